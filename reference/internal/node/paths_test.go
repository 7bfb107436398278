package node

import (
	"context"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/reference/internal/cluster"
	"github.com/fivenines/fivenines/reference/internal/route"
)

// wire forwards connections with a delay; while it is cut, nothing passes.
type wire struct {
	net.Listener
	to    string
	delay time.Duration
	mu    sync.Mutex
	cut   bool
	wg    sync.WaitGroup
}

func newWire(t *testing.T, to string, delay time.Duration) *wire {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &wire{Listener: l, to: to, delay: delay}
	var open []net.Conn
	w.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				c.Close()
				continue
			}
			w.mu.Lock()
			open = append(open, c, far)
			w.mu.Unlock()
			w.wg.Go(func() { w.pass(far.(*net.TCPConn), c) })
			w.wg.Go(func() { w.pass(c.(*net.TCPConn), far) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.mu.Lock()
		for _, c := range open {
			c.Close()
		}
		w.mu.Unlock()
		w.wg.Wait()
	})
	return w
}

// pass keeps the order: each chunk leaves its time after it came.
func (w *wire) pass(to *net.TCPConn, from net.Conn) {
	type chunk struct {
		at   time.Time
		data []byte
	}
	ch := make(chan chunk, 4096)
	w.wg.Go(func() {
		for c := range ch {
			time.Sleep(time.Until(c.at)) // this is the wire, not a wait for something
			w.mu.Lock()
			cut := w.cut
			w.mu.Unlock()
			switch {
			case cut:
			case c.data == nil:
				to.CloseWrite()
			default:
				to.Write(c.data)
			}
		}
	})
	defer close(ch)
	for {
		buf := make([]byte, 4096)
		k, err := from.Read(buf)
		if err != nil {
			ch <- chunk{time.Now().Add(w.delay), nil}
			return
		}
		ch <- chunk{time.Now().Add(w.delay), buf[:k]}
	}
}

func (w *wire) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
}

// dialling is a node of which only the side that dials one peer over two paths is there.
func dialling(t *testing.T, direct, other string) (*Node, *peer) {
	m, err := cluster.NewMap([]cluster.Region{{Name: "a", Nodes: 1}, {Name: "b", Nodes: 1}, {Name: "c", Nodes: 1}}, 4, 3)
	require.NoError(t, err)
	cfg := Config{Cluster: "test", ID: "b-1", Paths: map[string][]PeerPath{"a-1": {{Name: "direct", Addr: direct, RTTms: 20}, {Name: "other", Addr: other, RTTms: 40}}}}
	n := &Node{cfg: cfg, m: m, self: m.Nodes[1], boot: 7, incarnation: 3, events: newEvents("b-1", "b"), wake: make(chan struct{}, 1), log: slog.New(slog.DiscardHandler)}
	n.routers, err = newRouters(n)
	require.NoError(t, err)
	require.Len(t, n.routers, 1)
	p := &peer{n: n, index: 0, id: "a-1", route: n.routers[0], wake: make(chan struct{}, 1), moved: make(chan bool, 1)}
	n.peers = []*peer{p, nil, nil}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { p.run(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		// A function of a context that has ended may still be closing a socket.
		require.Eventually(t, func() bool {
			buf := make([]byte, 1<<20)
			return !strings.Contains(string(buf[:runtime.Stack(buf, true)]), "node.(*peer)")
		}, 5*time.Second, 5*time.Millisecond, "a goroutine of the peer is left")
	})
	require.Eventually(t, func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.up }, 10*time.Second, time.Millisecond)
	return n, p
}

// A move to another path loses nothing that was sent, keeps the order although
// the old path is the slower one, and never refuses what is to be sent.
func TestAMoveLosesNothing(t *testing.T) {
	n, addr := listening(t)
	slow, quick := newWire(t, addr, 120*time.Millisecond), newWire(t, addr, 5*time.Millisecond)
	from, p := dialling(t, slow.Addr().String(), quick.Addr().String())
	r := from.routers[0]
	stop := time.After(1500 * time.Millisecond)
	moved := time.After(300 * time.Millisecond)
	back := time.After(900 * time.Millisecond)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	sent := uint64(0)
	for going := true; going; {
		select {
		case <-stop:
			going = false
		case <-moved:
			r.apply([]route.Event{{Kind: route.Moved, Path: 1, From: 0}})
		case <-back:
			r.apply([]route.Event{{Kind: route.Moved, Path: 0, From: 1}})
		case <-tick.C:
			sent++
			at := sent
			require.True(t, p.send(func(b []byte) []byte {
				return AppendFrame(b, framePing, appendHints(make([]byte, 8), []hint{{1, at, 1}}))
			}), "refused while it moved")
			p.flush()
		}
	}
	var got []uint64
	require.Eventually(t, func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		got = got[:0]
		for _, m := range n.mails {
			for _, h := range m.hints {
				got = append(got, h.term)
			}
		}
		return uint64(len(got)) >= sent
	}, 10*time.Second, 5*time.Millisecond, "%d sent, %d came", sent, len(got))
	for i, x := range got {
		require.Equal(t, uint64(i+1), x, "out of order")
	}
	var kinds []string
	for _, e := range from.events.ring {
		kinds = append(kinds, e.Kind+" "+strings.Join(e.Parts, " "))
	}
	require.Equal(t, []string{"route-moved b>a/other b>a/direct", "route-moved b>a/direct b>a/other"}, kinds)
}

// A move away from a path on which nothing passes does not wait for it.
func TestAMoveAwayFromSilence(t *testing.T) {
	n, addr := listening(t)
	dead, quick := newWire(t, addr, time.Millisecond), newWire(t, addr, time.Millisecond)
	from, p := dialling(t, dead.Addr().String(), quick.Addr().String())
	dead.set(true)
	began := time.Now()
	from.routers[0].apply([]route.Event{{Kind: route.Moved, Path: 1, From: 0, Lost: true}})
	taken(t, n, func(m *mail) bool {
		p.send(func([]byte) []byte { return ping(from) })
		p.flush()
		return m.pinged
	})
	require.Less(t, time.Since(began), followIn/2, "it waited for the silent one")
}

// The router itself: a path that is cut is found out, the connection moves,
// and comes back.
func TestTheRouterMovesAndComesBack(t *testing.T) {
	_, addr := listening(t)
	direct, other := newWire(t, addr, 10*time.Millisecond), newWire(t, addr, 20*time.Millisecond)
	from, _ := dialling(t, direct.Addr().String(), other.Addr().String())
	r := from.routers[0]
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { r.run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	probed := func(path int, more uint64) {
		t.Helper()
		was := r.snapshot()[path].Sent
		require.Eventually(t, func() bool { return r.snapshot()[path].Sent >= was+more }, 10*time.Second, 5*time.Millisecond)
	}
	probed(0, 5)
	probed(1, 2)
	require.Zero(t, r.path())
	s := r.snapshot()
	require.GreaterOrEqual(t, s[0].RTT, 20*time.Millisecond)
	require.GreaterOrEqual(t, s[1].RTT, 40*time.Millisecond)
	direct.set(true)
	began := time.Now()
	require.Eventually(t, func() bool { return r.path() == 1 }, 5*time.Second, 5*time.Millisecond)
	require.Less(t, time.Since(began), 3*time.Second)
	direct.set(false)
	require.Eventually(t, func() bool { return r.path() == 0 }, 12*time.Second, 10*time.Millisecond)
}

// A connection for probes is no connection: it ends no other one, is not heard
// as the node, and carries nothing else.
func TestProbesAreNotTheNode(t *testing.T) {
	n, addr := listening(t)
	main := join(t, addr, "b-1")
	c := dialPeer(t, addr)
	_, err := c.Write(helloOf(t, hello{Cluster: "test", Incarnation: 3, Node: "b-1", Boot: 2, Probe: true}))
	require.NoError(t, err)
	why, err := readWelcome(c)
	require.NoError(t, err)
	require.Empty(t, why)
	n.peers[1].heard.Store(0)
	frame := AppendFrame(nil, frameProbe, make([]byte, 8))
	_, err = c.Write(frame)
	require.NoError(t, err)
	got := make([]byte, len(frame))
	_, err = io.ReadFull(c, got)
	require.NoError(t, err)
	require.Equal(t, frame, got)
	require.Zero(t, n.peers[1].heard.Load())
	_, err = main.Write(ping(n))
	require.NoError(t, err)
	taken(t, n, func(m *mail) bool { return m.pinged })
	_, err = c.Write(ping(n))
	require.NoError(t, err)
	closed(t, c)
}

func TestPathsAreTheSameToAllNodesOfARegion(t *testing.T) {
	m, err := cluster.NewMap([]cluster.Region{{Name: "a", Nodes: 2}, {Name: "b", Nodes: 1}}, 4, 2)
	require.NoError(t, err)
	n := &Node{m: m, self: m.Nodes[2]}
	two := []PeerPath{{Name: "direct"}, {Name: "other"}}
	n.cfg.Paths = map[string][]PeerPath{"a-1": two, "a-2": {{Name: "direct"}, {Name: "another"}}}
	_, err = newRouters(n)
	require.ErrorContains(t, err, "paths to a-2: the 2. is another, not other as to a-1")
	n.cfg.Paths["a-2"] = append(two[:2:2], PeerPath{Name: "third"})
	_, err = newRouters(n)
	require.ErrorContains(t, err, "paths to a-2: 3, but 2 to a-1")
	n.cfg.Paths = nil
	all, err := newRouters(n)
	require.NoError(t, err)
	require.Empty(t, all, "one path is no choice")
}
