package node

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/reference/internal/cluster"
	"github.com/fivenines/fivenines/reference/internal/gateway"
	"github.com/fivenines/fivenines/reference/internal/session"
)

// listening is a node of which only the side that peers dial is there.
func listening(t *testing.T) (*Node, string) {
	m, err := cluster.NewMap([]cluster.Region{{Name: "a", Nodes: 1}, {Name: "b", Nodes: 1}, {Name: "c", Nodes: 1}}, 4, 3)
	require.NoError(t, err)
	n := &Node{cfg: Config{Cluster: "test", ID: "a-1"}, m: m, self: m.Nodes[0], boot: 1, inbound: map[int]*inbound{}, wake: make(chan struct{}, 1),
		log: slog.New(slog.DiscardHandler)}
	n.incarnation.Store(3)
	for _, o := range m.Nodes {
		n.peers = append(n.peers, &peer{n: n, index: o.Index, id: o.ID})
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.serveP2P(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
		buf := make([]byte, 1<<20)
		require.NotContains(t, string(buf[:runtime.Stack(buf, true)]), "node.(*inbound)")
	})
	return n, l.Addr().String()
}

func dialPeer(t *testing.T, addr string) net.Conn {
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(15*time.Second)))
	return c
}

func helloOf(t *testing.T, h hello) []byte {
	b, err := json.Marshal(h)
	require.NoError(t, err)
	return AppendFrame(nil, frameHello, b)
}

// join is a connection that has said who it is.
func join(t *testing.T, addr, node string) net.Conn {
	c := dialPeer(t, addr)
	_, err := c.Write(helloOf(t, hello{Cluster: "test", Incarnation: 3, Node: node, Boot: 2}))
	require.NoError(t, err)
	why, err := readWelcome(c)
	require.NoError(t, err)
	require.Empty(t, why)
	return c
}

// closed waits for the other side's end.
func closed(t *testing.T, c net.Conn) {
	t.Helper()
	b, err := io.ReadAll(c)
	if err != nil {
		require.ErrorContains(t, err, "reset")
	}
	require.Empty(t, b)
}

// taken waits until the node's mailbox has something that fn wants.
func taken(t *testing.T, n *Node, fn func(m *mail) bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		for i := range n.mails {
			if fn(&n.mails[i]) {
				return true
			}
		}
		return false
	}, 20*time.Second, time.Millisecond)
}

func ping(n *Node) []byte {
	p := make([]byte, 8)
	return AppendFrame(nil, framePing, appendHints(p, []hint{{1, 2, 1}}))
}

func TestHostilePeers(t *testing.T) {
	n, addr := listening(t)
	good := join(t, addr, "b-1")
	before := heap()
	for name, in := range map[string][]byte{
		"256 MiB before hello":   {0, 0, 0, 0x10, frameHello},
		"4 GiB":                  {0xff, 0xff, 0xff, 0xff, frameRaft},
		"no length":              {0, 0, 0, 0, frameHello},
		"forward before hello":   AppendFrame(nil, frameForward, make([]byte, 20)),
		"hello that is no JSON":  AppendFrame(nil, frameHello, []byte("{")),
		"TLS":                    []byte("\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + strings.Repeat("x", 90)),
		"HTTP":                   []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"a Redis client":         []byte("*1\r\n$4\r\nPING\r\n"),
		"another cluster":        helloOf(t, hello{Cluster: "other", Incarnation: 3, Node: "b-1"}),
		"another incarnation":    helloOf(t, hello{Cluster: "test", Incarnation: 2, Node: "b-1"}),
		"a node that is unknown": helloOf(t, hello{Cluster: "test", Incarnation: 3, Node: "z-1"}),
		"itself":                 helloOf(t, hello{Cluster: "test", Incarnation: 3, Node: "a-1"}),
	} {
		c := dialPeer(t, addr)
		_, err := c.Write(in)
		require.NoError(t, err, name)
		got, err := io.ReadAll(c)
		if err != nil {
			require.ErrorContains(t, err, "reset", name)
		}
		if len(got) > 0 {
			typ, why, _, err := NextFrame(got, maxHello)
			require.NoError(t, err, name)
			require.EqualValues(t, frameWelcome, typ, name)
			require.NotEmpty(t, why, name)
		}
	}
	for name, in := range map[string][]byte{
		"unknown type":            AppendFrame(nil, 99, nil),
		"second hello":            helloOf(t, hello{Cluster: "test", Incarnation: 3, Node: "c-1"}),
		"4 GiB":                   {0xff, 0xff, 0xff, 0xff, frameRaft},
		"256 MiB of forwards":     {0, 0, 0, 0x10, frameForward},
		"garbage for Raft":        AppendFrame(nil, frameRaft, []byte("garbage, garbage, garbage")),
		"forward without a time":  AppendFrame(nil, frameForward, []byte("1234567")),
		"forward that is garbage": AppendFrame(nil, frameForward, []byte("12345678garbage")),
		"reply that is garbage":   AppendFrame(nil, frameReply, []byte{0xff}),
		"a million hints":         AppendFrame(nil, framePing, append(make([]byte, 8), 0xff, 0xff, 0x3f)),
		"control that is no JSON": AppendFrame(nil, frameControl, []byte("x")),
	} {
		c := join(t, addr, "c-1")
		_, err := c.Write(in)
		require.NoError(t, err, name)
		closed(t, c)
	}
	// Many connections that only claim to send much cost what they sent.
	for range 20 {
		c := join(t, addr, "c-1")
		_, err := c.Write([]byte{0, 0, 0, 0x10, frameRaft})
		require.NoError(t, err)
	}
	require.Less(t, heap()-before, 16<<20)

	// The others go on.
	_, err := good.Write(ping(n))
	require.NoError(t, err)
	taken(t, n, func(m *mail) bool { return m.from == 1 && m.pinged && len(m.hints) == 1 })
}

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// A canary needs no hello, and a prober that does not read holds nobody up.
func TestCanariesAreEchoed(t *testing.T) {
	_, addr := listening(t)
	c := dialPeer(t, addr)
	for range 3 {
		ask := AppendFrame(nil, FrameCanary, []byte("canary"))
		_, err := c.Write(ask)
		require.NoError(t, err)
		got := make([]byte, len(ask))
		_, err = io.ReadFull(c, got)
		require.NoError(t, err)
		require.Equal(t, ask, got)
	}
}

// Rule 6: what may still be under way on an older connection of a peer must
// not arrive behind what a newer one carries.
func TestNewConnectionReplacesTheOld(t *testing.T) {
	n, addr := listening(t)
	old := join(t, addr, "b-1")
	other := join(t, addr, "c-1")
	next := join(t, addr, "b-1")
	closed(t, old)
	for i, c := range []net.Conn{next, other} {
		_, err := c.Write(ping(n))
		require.NoError(t, err)
		taken(t, n, func(m *mail) bool { return m.from == i+1 && m.pinged })
	}
}

// A frame as large as a snapshot arrives whole, in whatever pieces, and its
// memory is given back.
func TestLargeFrameArrives(t *testing.T) {
	n, addr := listening(t)
	c := join(t, addr, "b-1")
	before := heap()
	m := raftMessage()
	m.Entries[0].Data = bytes.Repeat([]byte("0123456"), 1<<20)
	b, err := appendRaft(nil, 1, m)
	require.NoError(t, err)
	_, err = c.Write(b)
	require.NoError(t, err)
	taken(t, n, func(got *mail) bool {
		return len(got.raft) == 1 && bytes.Equal(got.raft[0].m.Entries[0].Data, m.Entries[0].Data)
	})
	_, err = c.Write(ping(n))
	require.NoError(t, err)
	taken(t, n, func(m *mail) bool { return m.pinged })
	n.mu.Lock()
	n.mails = nil
	n.mu.Unlock()
	m, b = nil, nil
	require.Less(t, heap()-before, 4<<20)
}

// Forwards and replies that do not fit one frame go in several.
func TestManyForwardsAreCutIntoFrames(t *testing.T) {
	n, _ := listening(t)
	n.forwards.init()
	n.metrics = &metrics{}
	p := n.peers[1]
	p.up, p.wake = true, make(chan struct{}, 1)
	value := make([]byte, 64<<10)
	var got []uint64
	for range 100 {
		n.forwards.add(0, 1, &gateway.Request{Kind: gateway.Write, Deadline: time.Second, Op: session.Op{Kind: session.Set, Key: []byte("k"), Value: value}})
		r := &gateway.Request{Kind: gateway.Get, Status: gateway.OK, Value: value, ID: 7}
		remote{n, 1}.Complete(r)
	}
	n.forwards.flush(n, 0)
	require.Len(t, n.forwards.waiting, 100)
	replies := 0
	for rest := p.buf; len(rest) > 0; {
		typ, payload, used, err := NextFrame(rest, maxFrame)
		require.NoError(t, err)
		require.NotZero(t, used)
		require.Less(t, used, maxMail)
		rest = rest[used:]
		m := mail{}
		require.NoError(t, m.add(&inbound{n: n}, 0, typ, payload))
		for _, f := range m.forwards {
			got = append(got, f.id)
		}
		replies += len(m.replies)
	}
	require.Equal(t, 100, replies)
	require.Len(t, got, 100)
	for i, id := range got {
		require.EqualValues(t, i+1, id)
		require.NotNil(t, n.forwards.waiting[id].r)
	}
}

// The delay of a frame is measured without agreement of clocks, and clocks that
// drift apart for days are not taken for delay.
func TestDelay(t *testing.T) {
	const ms = time.Millisecond
	in := &inbound{}
	require.Zero(t, in.delay(1000*ms, 50_000*ms)) // another clock
	require.Equal(t, 3*ms, in.delay(1100*ms, 50_103*ms).Round(ms))
	require.Equal(t, 2*time.Second, in.delay(1200*ms, 52_200*ms).Round(10*ms), "stopped for two seconds")
	require.Zero(t, in.delay(4000*ms, 52_999*ms), "quicker than all before")
	require.Equal(t, 1*ms, in.delay(4100*ms, 53_100*ms).Round(ms))

	in = &inbound{}
	var sent, now time.Duration = 0, 0
	for range 10 * 24 * 3600 { // ten days, a frame a second, 100 ppm apart
		sent += time.Second
		now += time.Second + 100*time.Microsecond
		if d := in.delay(sent, now); d > ms {
			t.Fatalf("%v of drift are taken for delay", d)
		}
	}
	sent += time.Second
	require.Equal(t, time.Second, in.delay(sent, now+2*time.Second).Round(10*ms), "and a real delay is still seen")
}
