package node

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/reference/internal/admission"
	"github.com/fivenines/fivenines/reference/internal/cluster"
)

// single is a real node that is alone and leads its four shards.
func single(t testing.TB) *forwarded {
	ctx, cancel := context.WithCancel(context.Background())
	cfg := Config{Cluster: "test", ID: "a-1", Dir: t.TempDir(), Client: freePort(t), Peer: freePort(t), Admin: freePort(t), First: true,
		Regions: []cluster.Region{{Name: "a", Role: "primary", Nodes: 1}}, Shards: 4, Replicas: 1, Seed: 1}
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, cfg, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	c := redis.NewClient(&redis.Options{Addr: cfg.Client, MaxRetries: -1, ReadTimeout: 3 * time.Second})
	t.Cleanup(func() { c.Close() })
	require.Eventually(t, func() bool { return c.DBSize(ctx).Err() == nil }, 20*time.Second, 20*time.Millisecond, "it leads")
	return &forwarded{leader: &leader{t: t, ctx: ctx}, cfg: cfg, c: c}
}

// has says that the metrics have these lines.
func (f *forwarded) has(lines ...string) {
	f.t.Helper()
	m := f.metrics()
	for _, l := range lines {
		name, _, _ := strings.Cut(l, `",`)
		_, there, _ := strings.Cut(m, "\n"+name)
		require.True(f.t, strings.Contains(m, "\n"+l+"\n"), "there is no %s, but %.200s...", l, name+there)
	}
}

// After so many commands the counters of a node say so, for those that it answers
// from its own memory and for those that go through its log.
func TestOperationsOfALeaderAreCounted(t *testing.T) {
	f := single(t)
	for i := range 40 {
		require.NoError(t, f.c.Set(f.ctx, fmt.Sprint("k", i), "v", time.Minute).Err())
	}
	_, err := f.c.Pipelined(f.ctx, func(p redis.Pipeliner) error {
		for i := range 100 {
			p.Get(f.ctx, fmt.Sprint("k", i%40))
		}
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, f.c.Del(f.ctx, "k1", "k2", "k3").Err())
	require.Error(t, f.c.Do(f.ctx, "SET", "k").Err())
	require.Error(t, f.c.Do(f.ctx, "NOSUCH").Err())
	f.has(`fivenines_command_outcomes_total{command="set",outcome="ok"} 40`,
		`fivenines_command_outcomes_total{command="set",outcome="badrequest"} 1`,
		`fivenines_command_outcomes_total{command="set",outcome="unknown"} 0`,
		`fivenines_command_outcomes_total{command="get",outcome="ok"} 100`,
		`fivenines_command_outcomes_total{command="del",outcome="ok"} 1`,
		`fivenines_command_outcomes_total{command="other",outcome="badrequest"} 1`,
		`fivenines_command_duration_seconds_count{command="set"} 41`,
		`fivenines_command_duration_seconds_count{command="get"} 100`,
		`fivenines_command_duration_seconds_bucket{command="get",le="+Inf"} 100`)
	require.False(t, strings.Contains(f.metrics(), `fivenines_command_outcomes_total{command="echo"`), "nobody asked for it")
}

// Errors are counted by their class, and a command that its leader lets wait is
// in the bucket of its time.
func TestErrorsAndSlowOperationsAreCounted(t *testing.T) {
	shown := make(chan *Node, 1)
	f := forwardTo(t, func(c *Config) { c.watch = func(n *Node) { shown <- n } })
	n := <-shown
	f.answers(func(f forward) bool {
		switch string(f.op.Key) {
		case "slow":
			time.Sleep(600 * time.Millisecond)
		case "lost":
			return false
		}
		return true
	})
	require.NoError(t, f.c.Expire(f.ctx, "slow", time.Minute).Err())
	f.has(`fivenines_command_outcomes_total{command="expire",outcome="ok"} 1`,
		`fivenines_command_duration_seconds_bucket{command="expire",le="0.5"} 0`,
		`fivenines_command_duration_seconds_bucket{command="expire",le="1"} 1`,
		`fivenines_command_duration_seconds_bucket{command="expire",le="10"} 1`)
	require.ErrorContains(t, f.c.Set(f.ctx, "lost", "v", time.Minute).Err(), "UNKNOWN")
	require.ErrorContains(t, f.c.PTTL(f.ctx, "lost").Err(), "NOTAPPLIED")
	f.has(`fivenines_command_outcomes_total{command="set",outcome="unknown"} 1`,
		`fivenines_command_outcomes_total{command="pttl",outcome="notapplied"} 1`,
		`fivenines_command_duration_seconds_bucket{command="set",le="0.75"} 0`)

	n.guard.ctl.SetLevel(admission.LowOnly)
	require.ErrorContains(t, f.c.DBSize(f.ctx).Err(), "overloaded")
	n.guard.ctl.SetLevel(admission.Nothing)
	f.has(`fivenines_command_outcomes_total{command="dbsize",outcome="overloaded"} 1`)

	c, err := net.Dial("tcp", f.cfg.Client)
	require.NoError(t, err)
	_, err = io.WriteString(c, "GETDEL lost\r\nPING\r\n")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return f.got.Load() > 0 && n.guard.ctl.InFlight() > 0 }, 5*time.Second, time.Millisecond)
	require.NoError(t, c.Close())
	f.await(`fivenines_command_outcomes_total{command="getdel",outcome="gone"} 1`)
	f.await("fivenines_in_flight 0")
	f.has(`fivenines_command_outcomes_total{command="getdel",outcome="notapplied"} 0`, `fivenines_command_outcomes_total{command="getdel",outcome="unknown"} 0`)
}

// BenchmarkNode is a client of a whole node that leads alone: everything but the
// way there.
func BenchmarkNode(b *testing.B) {
	f := single(b)
	require.NoError(b, f.c.Set(f.ctx, "k", strings.Repeat("v", 256), time.Hour).Err())
	value := fmt.Sprintf("$256\r\n%s\r\n", strings.Repeat("v", 256))
	for _, bm := range []struct {
		name, in, out string
		times         int
	}{{"get-1", "GET k\r\n", value, 1}, {"get-16", "GET k\r\n", value, 16}, {"ping-1", "PING\r\n", "+PONG\r\n", 1}, {"set-64", "SET s v\r\n", "+OK\r\n", 64}} {
		b.Run(bm.name, func(b *testing.B) {
			c, err := net.Dial("tcp", f.cfg.Client)
			require.NoError(b, err)
			defer c.Close()
			in, out := []byte(strings.Repeat(bm.in, bm.times)), make([]byte, len(bm.out)*bm.times)
			for b.Loop() {
				if _, err := c.Write(in); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(c, out); err != nil {
					b.Fatal(err)
				}
			}
			require.Equal(b, strings.Repeat(bm.out, bm.times), string(out))
		})
	}
}
