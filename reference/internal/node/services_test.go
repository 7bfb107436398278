package node

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/reference/internal/disk"
	"github.com/fivenines/fivenines/reference/internal/gateway"
	"github.com/fivenines/fivenines/reference/internal/healing"
	"github.com/fivenines/fivenines/reference/internal/healing/tree"
)

// counting lets a node under test count panics, and returns how many there were.
func counting(t *testing.T, n *Node) func() float64 {
	n.panics = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "panics_total"}, []string{"service"})
	reg := prometheus.NewRegistry()
	reg.MustRegister(n.panics)
	return func() (all float64) {
		fs, err := reg.Gather()
		require.NoError(t, err)
		for _, f := range fs {
			for _, m := range f.GetMetric() {
				all += m.GetCounter().GetValue()
			}
		}
		return all
	}
}

// sprout is a quick tree for one service; it says how often that was restarted.
func sprout(t *testing.T, s tree.Service) func() int {
	ms := func(n int) healing.Duration { return healing.Duration(time.Duration(n) * time.Millisecond) }
	tr := tree.New(tree.Options{Config: healing.Config{CheckEvery: ms(50), Patience: ms(100), Backoff: ms(10)}, Now: bootTime, Log: slog.New(slog.DiscardHandler), Tell: func(string, healing.Event) {}})
	ctx, cancel := context.WithCancel(context.Background())
	tr.Start(ctx)
	tr.Add(s)
	t.Cleanup(func() { cancel(); require.NoError(t, tr.Wait()) })
	return func() int { return tr.Status()[0].Restarts }
}

// A panic over what a peer sent ends that connection, and no other one.
func TestAPanicEndsOneConnectionOfAPeer(t *testing.T) {
	n, addr := listening(t)
	panics := counting(t, n)
	good := join(t, addr, "c-1")
	n.peers[1] = nil // whom to note that b-1 was heard: a broken invariant
	bad := join(t, addr, "b-1")
	_, err := bad.Write(ping(n))
	require.NoError(t, err)
	closed(t, bad)
	require.Eventually(t, func() bool { return panics() == 1 }, 5*time.Second, time.Millisecond)
	_, err = good.Write(AppendFrame(nil, FrameCanary, []byte("x")))
	require.NoError(t, err)
	_, err = io.ReadFull(good, make([]byte, len(AppendFrame(nil, FrameCanary, []byte("x")))))
	require.NoError(t, err)
}

// A panic over a client's command ends its connection, is told once with its
// stack, and counted; the node and its other clients go on.
func TestAPanicEndsOneConnectionOfAClient(t *testing.T) {
	shown := make(chan *Node, 1)
	f := forwardTo(t, func(c *Config) { c.watch = func(n *Node) { shown <- n } })
	n := <-shown
	client := func() net.Conn {
		c, err := net.Dial("tcp", f.cfg.Client)
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
		require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
		return c
	}
	pings := func(c net.Conn) {
		t.Helper()
		_, err := io.WriteString(c, "PING\r\n")
		require.NoError(t, err)
		b := make([]byte, len("+PONG\r\n"))
		_, err = io.ReadFull(c, b)
		require.NoError(t, err)
		require.Equal(t, "+PONG\r\n", string(b))
	}
	good, bad := client(), client()
	pings(good)
	pings(bad)
	require.NotContains(t, f.metrics(), "fivenines_panics_total{")

	broken := new(shard) // without a table: a broken invariant
	for i := range n.shards {
		n.shards[i].Store(broken)
	}
	_, err := io.WriteString(bad, "SET a v XX\r\nDEL b c d\r\nINFO\r\n")
	require.NoError(t, err)
	closed(t, bad)
	for i := range n.shards {
		n.shards[i].Store(nil)
	}
	f.await(`fivenines_panics_total{service="clients"} 1`)
	require.Contains(t, f.metrics(), "fivenines_in_flight 0\n", "what came with it is given back")
	require.Equal(t, 1, strings.Count(f.log.String(), "a panic ended a connection"))
	require.Contains(t, f.log.String(), "node.(*Node).Info", "its stack is logged")
	pings(good)
	require.NoError(t, f.c.Get(f.ctx, "k").Err())
}

// A panic in the loop ends the node, also over what a connection waits for.
func TestAPanicInTheLoopEndsTheNode(t *testing.T) {
	a := begin(t, disk.Identity{Incarnation: 1}, nil)
	require.NoError(t, a.guarded(a.Now()))
	a.Submit([]*gateway.Request{{Kind: gateway.Get, Shard: 0, To: fragile{}}})
	require.ErrorContains(t, a.guarded(a.Now()), "it cannot trust its data")
}

// fragile panics when what it waits for is there.
type fragile struct{}

func (fragile) Complete(*gateway.Request) { panic("an answer that can't be formed") }

// A router that panics in the middle of a decision, whose lines wait for it,
// begins again.
func TestARouterThatPanicsBeginsAgain(t *testing.T) {
	_, addr := listening(t)
	direct, other := newWire(t, addr, time.Millisecond), newWire(t, addr, time.Millisecond)
	n, _ := dialling(t, direct.Addr().String(), other.Addr().String())
	counting(t, n)
	r := n.routers[0]
	restarts := sprout(t, tree.Service{Name: "paths", Branch: branchLinks, Run: r.run, Check: r.healthy})
	probed := func() uint64 { return r.snapshot()[0].Sent }
	require.Eventually(t, func() bool { return probed() >= 2 }, 10*time.Second, time.Millisecond)
	r.mu.Lock()
	good := r.table
	r.table = nil
	r.mu.Unlock()
	require.Eventually(t, func() bool { return restarts() >= 1 }, 10*time.Second, time.Millisecond)
	r.mu.Lock()
	r.table = good
	r.mu.Unlock()
	was := probed()
	require.Eventually(t, func() bool { return probed() > was+2 }, 10*time.Second, time.Millisecond, "it probes again")
}

// Of several reasons not to lead, the last one that goes makes the node fit.
func TestReasonsNotToLeadAddUp(t *testing.T) {
	a := begin(t, disk.Identity{Incarnation: 1}, nil)
	a.unfitFor = map[string]string{}
	says := func(want string) {
		t.Helper()
		a.turns(1)
		assert.Equal(t, want, a.manager.unfit)
	}
	a.setUnfitFor("room", "no room")
	says("no room")
	a.serviceEvent("clients", healing.Event{Kind: healing.Escalated, Priority: "P1", Detail: "clients are gone"})
	says("clients are gone; no room")
	a.setUnfitFor("room", "")
	says("clients are gone")
	a.serviceEvent("dns", healing.Event{Kind: healing.Escalated, Priority: "P1", Detail: "dns is gone"})
	says("clients are gone") // which no session needs
	a.serviceEvent("clients", healing.Event{Kind: healing.Healed, Priority: "P3", Detail: "clients are well"})
	says("")
}

// A door opens the same address again, and its check sees whether it answers.
func TestADoorOpensAgain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	d := newDoor(l)
	var lives atomic.Int64
	check := d.answers([]byte("GET / HTTP/1.0\r\n\r\n"), someLine)
	restarts := sprout(t, tree.Service{Name: "door", Branch: branchDoors, Check: check, Run: d.behind(func(ctx context.Context, l net.Listener) error {
		lives.Add(1)
		srv := &http.Server{Handler: http.NotFoundHandler()}
		defer context.AfterFunc(ctx, func() { srv.Close() })()
		return srv.Serve(l)
	})})
	well := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		return check(ctx) == nil
	}
	require.Eventually(t, well, 5*time.Second, time.Millisecond)
	d.panic.Store(true)
	require.Eventually(t, func() bool { return restarts() == 1 && well() }, 10*time.Second, time.Millisecond)
	assert.EqualValues(t, 2, lives.Load())
}

// What is no answer: nobody there, and somebody who says nothing. A door that
// lets nobody in is one that works.
func TestWhatADoorMustAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	check := newDoor(l).answers([]byte("PING\r\n"), someLine)
	ask := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		return check(ctx)
	}
	require.ErrorIs(t, ask(), os.ErrDeadlineExceeded, "nobody accepts")
	silent, err := l.Accept()
	require.NoError(t, err)
	defer silent.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if c, err := l.Accept(); err == nil {
			c.Close()
		}
	}()
	require.NoError(t, ask(), "full")
	<-ended
	require.NoError(t, l.Close())
	require.ErrorIs(t, ask(), syscall.ECONNREFUSED)
}
