package gateway

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/reference/internal/cluster"
	"github.com/fivenines/fivenines/reference/internal/session"
)

// memory is a Node in memory: a table a shard and one goroutine, the loop, that
// completes requests. Tests can hold requests back and answer them themselves.
type memory struct {
	m      *cluster.Map
	addr   *net.TCPAddr
	here   atomic.Bool // ReadHere answers
	extra  atomic.Int64
	frozen atomic.Bool  // time passes by advance alone
	ahead  atomic.Int64 // of the clock
	clocks atomic.Int64 // times that it was looked at
	awake  atomic.Uint64
	wokeAt atomic.Int64

	tables []*session.Table
	seq    uint64

	mu    sync.Mutex
	todo  []*Request
	held  []*Request
	hold  func(*Request) bool // true: the test completes it
	wake  *sync.Cond
	ended bool
	loop  sync.WaitGroup
}

func newMemory(t testing.TB) *memory {
	m, err := cluster.NewMap([]cluster.Region{{Name: "here", Role: "primary", Nodes: 1}}, 4, 1)
	require.NoError(t, err)
	n := &memory{m: m}
	n.wake = sync.NewCond(&n.mu)
	n.here.Store(true)
	for range m.Shards {
		n.tables = append(n.tables, session.NewTable())
	}
	n.loop.Go(n.run)
	t.Cleanup(func() {
		n.mu.Lock()
		n.ended = true
		n.wake.Broadcast()
		n.mu.Unlock()
		n.loop.Wait()
	})
	return n
}

func (n *memory) run() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		for len(n.todo) == 0 && !n.ended {
			n.wake.Wait()
		}
		todo := n.todo
		n.todo = nil
		if len(todo) == 0 {
			return
		}
		for _, r := range todo {
			if n.hold != nil && n.hold(r) {
				n.held = append(n.held, r)
				n.wake.Broadcast()
				continue
			}
			n.mu.Unlock()
			n.do(r)
			n.mu.Lock()
		}
	}
}

// do answers a request from the table.
func (n *memory) do(r *Request) {
	t := n.tables[r.Shard]
	r.Status = OK
	switch r.Kind {
	case Write:
		r.Result = n.apply(r.Shard, r.Op)
	case Get:
		r.Value, r.Found, _ = t.Get(nil, r.Op.Key)
	case Exists:
		_, r.Found = t.Deadline(r.Op.Key)
	case PTTL:
		r.Num = -2
		if deadline, found := t.Deadline(r.Op.Key); found {
			if r.Num = -1; deadline != 0 {
				r.Num = max(1, int64(deadline)-n.clock())
			}
		}
	case Count:
		r.Num = int64(t.Len())
	}
	r.To.Complete(r)
}

func (n *memory) apply(shard int, op session.Op) session.Result {
	n.mu.Lock()
	defer n.mu.Unlock()
	if op.Kind != session.Expire {
		n.seq++
		op.Gateway, op.Seq = 1, n.seq
	}
	b := session.AppendOp(session.AppendEntryHeader(nil, uint64(n.clock()), 1, 1, 1), &op)
	_, _, rs, err := n.tables[shard].Apply(b, 1, nil)
	if err != nil {
		panic(err)
	}
	return rs[0]
}

// advance lets time pass, and ends the sessions whose time is over.
func (n *memory) advance(d time.Duration) {
	n.extra.Add(int64(d))
	for shard, t := range n.tables {
		var due []session.Op
		t.Due(uint64(n.clock()), 1<<20, func(key []byte, version uint64) {
			due = append(due, session.Op{Kind: session.Expire, Key: key, Version: version})
		})
		for _, op := range due {
			n.apply(shard, op)
		}
	}
}

func (n *memory) clock() int64 {
	now := time.Hour
	if !n.frozen.Load() {
		now = n.Now()
	}
	return int64((now + time.Duration(n.extra.Load())) / time.Millisecond)
}

// await waits until so many requests are held back, and returns them.
func (n *memory) await(t *testing.T, count int) []*Request {
	t.Helper()
	stop := time.AfterFunc(5*time.Second, func() { n.wake.Broadcast() })
	defer stop.Stop()
	n.mu.Lock()
	defer n.mu.Unlock()
	for began := time.Now(); len(n.held) < count; {
		require.Less(t, time.Since(began), 5*time.Second, "only %d of %d requests arrived", len(n.held), count)
		n.wake.Wait()
	}
	return append([]*Request(nil), n.held...)
}

func (n *memory) holdAll(fn func(*Request) bool) {
	n.mu.Lock()
	n.hold = fn
	n.mu.Unlock()
}

func all(*Request) bool      { return true }
func writes(r *Request) bool { return r.Kind == Write }

var began = time.Now()

func (n *memory) ID() string                       { return "here-1" }
func (n *memory) Shards() int                      { return n.m.Shards }
func (n *memory) Recent() time.Duration            { return n.Now() }
func (n *memory) Awake(time.Duration) uint64       { return n.awake.Load() }
func (n *memory) Woke(time.Duration) time.Duration { return time.Duration(n.wokeAt.Load()) }
func (n *memory) Info() string                     { return "# Server\r\nredis_version:7.4.0\r\n" }
func (n *memory) Now() time.Duration {
	n.clocks.Add(1)
	return time.Hour + time.Since(began) + time.Duration(n.ahead.Load())
}

func (n *memory) ShardOf(key []byte) int {
	fails("ShardOf", key)
	return n.m.ShardOf(key)
}

// fails is where a key makes this node panic.
func fails(where string, key []byte) {
	if at, ok := bytes.CutPrefix(key, []byte("panic in ")); ok && string(at) == where {
		panic(where)
	}
}

func (n *memory) ReadHere(shard int, dst, key []byte, eventual bool) ([]byte, bool, time.Duration, bool) {
	if !n.here.Load() && !eventual {
		return dst, false, 0, false
	}
	fails("ReadHere", key)
	if string(key) == "slow" {
		n.ahead.Add(int64(3 * time.Second))
	}
	v, found, _ := n.tables[shard].Get(dst, key)
	return v, found, n.Now(), true
}

func (n *memory) Submit(rs []*Request) {
	for _, r := range rs {
		fails("Submit", r.Op.Key)
	}
	n.mu.Lock()
	if n.ended {
		n.mu.Unlock()
		for _, r := range rs {
			r.Fail(NotApplied, "this node is stopping")
		}
		return
	}
	n.todo = append(n.todo, rs...)
	n.wake.Broadcast()
	n.mu.Unlock()
}

func (n *memory) Slots() []SlotRange {
	a := NodeAddr{ID: "here-1", Host: n.addr.IP.String(), Port: n.addr.Port}
	return []SlotRange{{Start: 0, End: 9999, Nodes: []NodeAddr{a}}, {Start: 10000, End: cluster.Slots - 1, Nodes: []NodeAddr{a}}}
}

// door is a served front door.
type door struct {
	*Server
	node *memory
	addr string
	stop func() // ends it and waits
}

func serve(t testing.TB, set ...func(*limits)) *door {
	return serveWith(t, func(s *Server) {
		for _, fn := range set {
			fn(&s.limit)
		}
	})
}

// serveWith sets the server up before anybody can connect.
func serveWith(t testing.TB, set func(*Server)) *door {
	n := newMemory(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	n.addr = l.Addr().(*net.TCPAddr)
	s := NewServer(n)
	set(s)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	stop := sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			require.NoError(t, err)
		case <-time.After(10 * time.Second):
			buf := make([]byte, 1<<20)
			t.Fatalf("the server does not end:\n%s", buf[:runtime.Stack(buf, true)])
		}
	})
	t.Cleanup(stop)
	return &door{Server: s, node: n, addr: l.Addr().String(), stop: stop}
}

// raw is a client that sees bytes.
type raw struct {
	t testing.TB
	net.Conn
	in *bufio.Reader
}

func dialRaw(t testing.TB, addr string) *raw {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	return &raw{t, c, bufio.NewReaderSize(c, 1<<16)}
}

func (c *raw) send(text string) {
	c.t.Helper()
	_, err := io.WriteString(c, text)
	require.NoError(c.t, err)
}

func (c *raw) cmd(args ...string) { c.t.Helper(); c.send(wire(args...)) }

// wire encodes one command.
func wire(args ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b.String()
}

// expect reads exactly this.
func (c *raw) expect(want string) {
	c.t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(c.in, got)
	require.NoError(c.t, err, "got only %q, want %q", got[:n], want)
	require.Equal(c.t, want, string(got))
}

// closed expects the end of the connection and nothing before it.
func (c *raw) closed() {
	c.t.Helper()
	rest, err := io.ReadAll(c.in)
	require.NoError(c.t, err)
	require.Empty(c.t, string(rest))
}

// reply reads one whole reply as it is on the wire.
func (c *raw) reply() string {
	c.t.Helper()
	var out bytes.Buffer
	require.NoError(c.t, readReply(c.in, &out), "after %q", out.String())
	return out.String()
}

func readReply(in *bufio.Reader, out *bytes.Buffer) error {
	line, err := in.ReadString('\n')
	if err != nil {
		return err
	}
	out.WriteString(line)
	var n int
	if _, err := fmt.Sscanf(line[1:], "%d", &n); err != nil && strings.ContainsRune("$=*%~", rune(line[0])) {
		return err
	}
	switch line[0] {
	case '$', '=':
		if n >= 0 {
			_, err = io.CopyN(out, in, int64(n+2))
		}
		return err
	case '%':
		n *= 2
	case '*', '~':
	default:
		return nil
	}
	for range n {
		if err := readReply(in, out); err != nil {
			return err
		}
	}
	return nil
}
