package node

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/reference/internal/admission"
	"github.com/fivenines/fivenines/reference/internal/cluster"
	"github.com/fivenines/fivenines/reference/internal/failover"
	"github.com/fivenines/fivenines/reference/internal/gateway"
)

// leader is peer a-1 by hand: it says that it leads every shard, pings, takes
// what is forwarded to it, and answers as the test wants.
type leader struct {
	t      testing.TB
	l      net.Listener
	term   atomic.Uint64
	answer atomic.Pointer[func(forward) bool] // nil, or false: it never does
	got    atomic.Int64
	wg     sync.WaitGroup
	ctx    context.Context
	home   string // of the node's peers' port
}

// forwarded is a real node, d-1, that has no replicas and forwards everything to
// the leader. Its front door, its peers' port and its admin port are real sockets.
type forwarded struct {
	*leader
	cfg Config
	c   *redis.Client
	log *lines
}

// lines is a log that can be read while it is written.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func freePort(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

func forwardTo(t *testing.T, set func(*Config)) *forwarded {
	ctx, cancel := context.WithCancel(context.Background())
	a := &leader{t: t, ctx: ctx}
	a.term.Store(1000)
	var err error
	a.l, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	regions := []cluster.Region{{Name: "a", Role: "primary", Nodes: 1}, {Name: "b", Role: "secondary", Nodes: 1}, {Name: "c", Role: "tertiary", Nodes: 1}, {Name: "d", Role: cluster.Edge, Nodes: 1}}
	cfg := Config{Cluster: "test", ID: "d-1", Dir: t.TempDir(), Client: freePort(t), Peer: freePort(t), Admin: freePort(t), First: true,
		Peers: map[string]string{"a-1": a.l.Addr().String(), "b-1": freePort(t), "c-1": freePort(t)}, Regions: regions, Shards: 4, Replicas: 3, Seed: 1}
	if set != nil {
		set(&cfg)
	}
	a.home = cfg.Peer
	ended, log := make(chan error, 1), new(lines)
	go func() { ended <- Run(ctx, cfg, slog.New(slog.NewTextHandler(log, nil))) }()
	a.wg.Go(a.accept)
	t.Cleanup(func() {
		cancel()
		a.l.Close()
		require.NoError(t, <-ended)
		a.wg.Wait()
	})
	f := &forwarded{a, cfg, redis.NewClient(&redis.Options{Addr: cfg.Client, MaxRetries: -1, ReadTimeout: 3 * time.Second, PoolSize: 64}), log}
	t.Cleanup(func() { f.c.Close() })
	a.answers(func(forward) bool { return true })
	require.Eventually(t, func() bool { return f.c.Get(ctx, "k").Err() == nil }, 20*time.Second, 20*time.Millisecond, "nothing is forwarded")
	return f
}

func (a *leader) answers(fn func(forward) bool) { a.answer.Store(&fn) }

// accept takes the node's connection and makes one to it, as peers do.
func (a *leader) accept() {
	for {
		c, err := a.l.Accept()
		if err != nil {
			return
		}
		a.wg.Go(func() {
			defer c.Close()
			stop := context.AfterFunc(a.ctx, func() { c.Close() })
			defer stop()
			a.serve(c)
		})
	}
}

func (a *leader) serve(c net.Conn) {
	var out net.Conn // to the node
	var buf []byte
	in := &inbound{n: &Node{}}
	for {
		typ, p, used, err := NextFrame(buf, maxFrame)
		if err != nil {
			return
		}
		if used == 0 {
			b := make([]byte, 64<<10)
			n, err := c.Read(b)
			if err != nil {
				return
			}
			buf = append(buf, b[:n]...)
			continue
		}
		buf = buf[used:]
		switch typ {
		case frameHello:
			c.Write(AppendFrame(nil, frameWelcome, nil))
			if strings.Contains(string(p), `"probe":true`) {
				continue
			}
			var h hello
			if json.Unmarshal(p, &h) != nil {
				return
			}
			var d net.Dialer
			o, err := d.DialContext(a.ctx, "tcp", a.home)
			if err != nil {
				return
			}
			out = o
			defer o.Close()
			h.Node, h.Boot = "a-1", 77
			if _, err := o.Write(AppendFrame(nil, frameHello, mustJSON(h))); err != nil {
				return
			}
			if no, err := readWelcome(o); err != nil || no.Why != "" {
				return
			}
			a.wg.Go(func() { a.ping(o) })
		case frameForward:
			m := mail{}
			if m.add(in, bootTime(), typ, p) != nil {
				return
			}
			var b []byte
			fn := *a.answer.Load()
			for _, f := range m.forwards {
				a.got.Add(1)
				if fn(f) {
					b = appendReply(b, &reply{id: f.id, status: gateway.OK, flags: replyFound | replyApplied, value: []byte("v")})
				}
			}
			if len(b) > 0 {
				out.Write(AppendFrame(nil, frameReply, b))
			}
		}
	}
}

func (a *leader) ping(o net.Conn) {
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for {
		var hs []hint
		for s := range uint32(4) {
			hs = append(hs, hint{s, a.term.Load(), 0})
		}
		b := make([]byte, 8)
		binary.LittleEndian.PutUint64(b, uint64(bootTime()))
		if _, err := o.Write(AppendFrame(nil, framePing, appendHints(b, hs))); err != nil {
			return
		}
		select {
		case <-t.C:
		case <-a.ctx.Done():
			return
		}
	}
}

func (f *forwarded) metrics() string {
	f.t.Helper()
	res, err := http.Get("http://" + f.cfg.Admin + "/metrics")
	require.NoError(f.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(f.t, err)
	return string(b)
}

// await waits for a line of the metrics.
func (f *forwarded) await(line string) {
	f.t.Helper()
	require.Eventually(f.t, func() bool { return strings.Contains(f.metrics(), "\n"+line) }, 10*time.Second, 20*time.Millisecond, "%s", line)
}

// asked does many reads at once and waits for their answers.
func (f *forwarded) asked(n int) (errs []error) {
	cmds, _ := f.c.Pipelined(f.ctx, func(p redis.Pipeliner) error {
		for i := range n {
			p.Get(f.ctx, fmt.Sprint("k", i))
		}
		return nil
	})
	for _, c := range cmds {
		errs = append(errs, c.Err())
	}
	return errs
}

// A peer that takes requests and answers none opens its breaker: who asks then is
// told at once. It closes when the peer answers a probe, and at once when there is
// news of the peer; what others lead is not held up by it in any case.
func TestABreakerOpensForAPeerThatHangs(t *testing.T) {
	f := forwardTo(t, nil)
	for _, err := range f.asked(20) {
		require.NoError(t, err)
	}
	hang := func(forward) bool { return false }
	f.answers(hang)
	open := func() {
		t.Helper()
		for _, err := range f.asked(100) {
			require.ErrorContains(t, err, "NOTAPPLIED")
		}
		f.await(`fivenines_breaker_state{peer="a-1"} 2`)
		began, got := time.Now(), f.got.Load()
		errs := f.asked(100)
		told := 0
		for _, err := range errs {
			if strings.Contains(err.Error(), "circuit breaker is open") {
				told++
			}
		}
		require.GreaterOrEqual(t, told, 99)
		require.LessOrEqual(t, f.got.Load()-got, int64(1), "but for a probe nothing was sent")
		if told == 100 {
			require.Less(t, time.Since(began), gateway.WriteBudget, "nobody waited")
		}
	}
	open()

	f.answers(func(forward) bool { return true })
	require.Eventually(t, func() bool { return f.c.Get(f.ctx, "k").Err() == nil }, 5*time.Second, 10*time.Millisecond)
	f.await(`fivenines_breaker_state{peer="a-1"} 0`)
	for _, err := range f.asked(20) {
		require.NoError(t, err)
	}

	f.answers(hang)
	open()
	// It is elected anew: what it leads now is asked of it without a probe.
	f.answers(func(forward) bool { return true })
	f.term.Add(1)
	require.Eventually(t, func() bool {
		for _, err := range f.asked(20) {
			if err != nil {
				return false
			}
		}
		return true
	}, 5*time.Second, 10*time.Millisecond)
	f.await(`fivenines_breaker_state{peer="a-1"} 0`)
}

// Where low priority has taken its part of what may be in flight, it is refused,
// and critical operations are answered as if it were not there. The mutant knows
// no difference.
func TestLowPriorityLeavesRoomForCriticalOperations(t *testing.T) {
	for _, mutant := range []string{"", "no-shedding"} {
		t.Run("mutant="+mutant, func(t *testing.T) {
			f := forwardTo(t, func(c *Config) {
				c.Mutant = mutant
				c.Admission = admission.Config{MaxInFlight: 800}
			})
			// Bulk work takes for ever.
			f.answers(func(f forward) bool { return !strings.HasPrefix(string(f.op.Key), "bulk") })
			var keys []string
			for i := range admission.BulkKeys + 6 {
				keys = append(keys, fmt.Sprint("bulk", i))
			}
			var refused, unknown atomic.Int64
			var wg sync.WaitGroup
			for range 30 {
				wg.Go(func() {
					switch err := f.c.Del(f.ctx, keys...).Err(); {
					case strings.HasPrefix(err.Error(), "NOTAPPLIED overloaded"):
						refused.Add(1)
					case strings.HasPrefix(err.Error(), "UNKNOWN"):
						unknown.Add(1)
					}
				})
			}
			require.Eventually(t, func() bool { return refused.Load() > 15 }, 5*time.Second, time.Millisecond)
			served := 0
			cmds, _ := f.c.Pipelined(f.ctx, func(p redis.Pipeliner) error {
				for i := range 100 {
					p.SetXX(f.ctx, fmt.Sprint("k", i), "v", time.Minute)
				}
				return nil
			})
			for _, c := range cmds {
				if c.Err() == nil {
					served++
				}
			}
			waited := unknown.Load()
			wg.Wait()
			require.Zero(t, waited, "the bulk work was over too soon")
			require.Equal(t, int64(30), refused.Load()+unknown.Load())
			if mutant != "" {
				require.Less(t, served, 100)
				return
			}
			require.Equal(t, 100, served)
			f.await("fivenines_in_flight 0") // all has timed out
			m := f.metrics()
			require.Contains(t, m, `fivenines_operations_shed_total{priority="critical",reason="in-flight"} 0`)
			require.NotContains(t, m, `fivenines_operations_shed_total{priority="low",reason="in-flight"} 0`+"\n"+`fivenines_operations_shed_total{priority="low",reason="shard"} 0`)
			require.Contains(t, m, `fivenines_breaker_opened_total{peer="a-1"} 0`, "bulk work that takes long says nothing of the peer")
			f.event("shedding", "in-flight", "low")
			f.event("shedding-ended", "in-flight", "nothing")
		})
	}
}

// A node that uses more of its CPU than it should refuses low, then normal
// priority, says so, and takes them again when it is over.
func TestANodeOverItsBoundShedsLoad(t *testing.T) {
	f := forwardTo(t, func(c *Config) {
		c.Failover.CPU = 0.0001 // always
		c.Admission.ShedAfter = failover.Duration(500 * time.Millisecond)
	})
	f.event("shedding", "usage", "low")
	f.event("shedding", "usage", "normal")
	f.await("fivenines_shed_level 2")
	require.ErrorContains(t, f.c.DBSize(f.ctx).Err(), "NOTAPPLIED overloaded")
	require.ErrorContains(t, f.c.Info(f.ctx).Err(), "NOTAPPLIED overloaded")
	require.ErrorContains(t, f.c.SetNX(f.ctx, "k", "v", time.Minute).Err(), "NOTAPPLIED overloaded")
	require.NoError(t, f.c.SetXX(f.ctx, "k", "v", time.Minute).Err())
	require.NoError(t, f.c.GetEx(f.ctx, "k", time.Minute).Err())
	require.NoError(t, f.c.Get(f.ctx, "k").Err())
	require.NoError(t, f.c.Ping(f.ctx).Err())
	require.NoError(t, f.c.Do(f.ctx, "CLUSTER", "SLOTS").Err())
	m := f.metrics()
	require.Contains(t, m, `fivenines_operations_shed_total{priority="normal",reason="usage"} 1`)
	require.Contains(t, m, `fivenines_operations_shed_total{priority="critical",reason="usage"} 0`)
}

// event waits for one of the node's events.
func (f *forwarded) event(kind, reason, level string) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.ctx, 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+f.cfg.Admin+"/events", nil)
	require.NoError(f.t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(f.t, err)
	defer res.Body.Close()
	dec := json.NewDecoder(res.Body)
	for {
		var e Event
		require.NoError(f.t, dec.Decode(&e), "no event %s of %s at level %s", kind, reason, level)
		if e.Kind == kind && e.Fields["reason"] == reason && e.Fields["level"] == level {
			require.Equal(f.t, []string{"d-1"}, e.Parts)
			require.Equal(f.t, "P2", e.Fields["priority"])
			return
		}
	}
}
