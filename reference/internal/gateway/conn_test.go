package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/reference/internal/resp"
)

// Answers keep the order of their commands, whatever the order in which the
// requests complete.
func TestAnswersKeepTheOrderOfTheCommands(t *testing.T) {
	for seed := range uint64(20) {
		d := serve(t)
		d.node.holdAll(all)
		d.node.here.Store(false)
		c := dialRaw(t, d.addr)
		var want strings.Builder
		count := 0
		var sent strings.Builder
		for i := range 30 {
			k := fmt.Sprintf("k%d", i)
			switch i % 5 {
			case 0:
				sent.WriteString(wire("SET", k, "v"+k))
				want.WriteString("+OK\r\n")
				count++
			case 1:
				sent.WriteString(wire("GET", fmt.Sprintf("k%d", i-1)))
				fmt.Fprintf(&want, "$%d\r\nvk%d\r\n", 1+len(k), i-1)
				count++
			case 2:
				sent.WriteString(wire("PING", k))
				fmt.Fprintf(&want, "$%d\r\n%s\r\n", len(k), k)
			case 3:
				sent.WriteString(wire("MGET", fmt.Sprintf("k%d", i-3), "none"))
				fmt.Fprintf(&want, "*2\r\n$%d\r\nvk%d\r\n$-1\r\n", len(fmt.Sprint(i-3))+2, i-3)
				count += 2
			case 4:
				sent.WriteString(wire("NOSUCH"))
				want.WriteString("-ERR unknown command 'NOSUCH', with args beginning with: \r\n")
			}
		}
		c.send(sent.String())
		rs := d.node.await(t, count)
		// Applied in order, as one shard's leader does; answered in any order.
		done := &later{}
		for _, r := range rs {
			to := r.To
			r.To = done
			d.node.do(r)
			r.To = to
		}
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(rs), func(i, j int) { rs[i], rs[j] = rs[j], rs[i] })
		for _, r := range rs {
			r.To.Complete(r)
		}
		c.expect(want.String())
		c.Close()
		d.stop()
	}
}

type later struct{}

func (*later) Complete(*Request) {}

// A read never overtakes a write of its own connection that is still under
// way: it goes through the log behind it, and so it sees it.
func TestReadsSeeTheWritesBeforeThemOnTheirConnection(t *testing.T) {
	d := serve(t)
	d.node.holdAll(all)
	c := dialRaw(t, d.addr)
	c.send(wire("SET", "k", "1", "PX", "60000") + wire("GET", "k") + wire("TTL", "k") + wire("EXISTS", "k") + wire("MGET", "k", "other") +
		wire("GET", "other") + wire("SET", "k", "2") + wire("PTTL", "k") + wire("DBSIZE") + wire("DEL", "k") + wire("GET", "k"))
	// DBSIZE waits for all before it, and what follows waits for DBSIZE.
	rs := d.node.await(t, 9)
	kinds := ""
	for _, r := range rs {
		kinds += map[Kind]string{Write: "w", Get: "g", Exists: "e", PTTL: "t", Count: "c"}[r.Kind]
	}
	require.Equal(t, "wwwwwggww", kinds, "only the reads of another key are plain reads")
	d.node.holdAll(nil)
	for _, r := range rs {
		d.node.do(r)
	}
	c.expect("+OK\r\n$1\r\n1\r\n:60\r\n:1\r\n*2\r\n$1\r\n1\r\n$-1\r\n$-1\r\n+OK\r\n:-1\r\n:1\r\n:1\r\n$-1\r\n")

	// Of two connections the reads are independent, and nothing is left behind.
	c.cmd("SET", "k", "3")
	c.expect("+OK\r\n")
	d.node.holdAll(writes)
	c.cmd("SET", "k", "4")
	d.node.await(t, 10)
	o := dialRaw(t, d.addr)
	o.cmd("GET", "k")
	o.expect("$1\r\n3\r\n")
	d.node.do(d.node.await(t, 10)[9])
	c.expect("+OK\r\n")
	c.cmd("GET", "k")
	c.expect("$1\r\n4\r\n")
}

// A read that went through the log has changed nothing even if its outcome is
// unknown: it may be sent again.
func TestUnknownReadBehindAWriteMayBeRepeated(t *testing.T) {
	d := serve(t)
	d.node.holdAll(all)
	c := dialRaw(t, d.addr)
	c.send(wire("SET", "k", "1") + wire("GET", "k"))
	for _, r := range d.node.await(t, 2) {
		r.Fail(Unknown, "not committed in time")
	}
	c.expect("-UNKNOWN not committed in time\r\n-NOTAPPLIED not committed in time\r\n")
}

func TestFailuresOfFanOut(t *testing.T) {
	for _, tc := range []struct {
		cmd  []string
		st   []Status
		want string
	}{
		{[]string{"SET", "a", "1"}, []Status{NotApplied}, "-NOTAPPLIED r0\r\n"},
		{[]string{"SET", "a", "1"}, []Status{Unknown}, "-UNKNOWN r0\r\n"},
		{[]string{"GETDEL", "a"}, []Status{Unknown}, "-UNKNOWN r0\r\n"},
		{[]string{"PTTL", "a"}, []Status{Unknown}, "-NOTAPPLIED r0\r\n"},
		{[]string{"MGET", "a", "b"}, []Status{OK, NotApplied}, "-NOTAPPLIED r1\r\n"},
		{[]string{"EXISTS", "a", "b"}, []Status{NotApplied, OK}, "-NOTAPPLIED r0\r\n"},
		{[]string{"DEL", "a", "b"}, []Status{NotApplied, NotApplied}, "-NOTAPPLIED r0\r\n"},
		// One half was applied: to promise that nothing was would be a lie.
		{[]string{"DEL", "a", "b"}, []Status{OK, NotApplied}, "-UNKNOWN r1\r\n"},
		{[]string{"DEL", "a", "b"}, []Status{NotApplied, Unknown}, "-UNKNOWN r1\r\n"},
		{[]string{"DBSIZE"}, []Status{OK, OK, NotApplied, OK}, "-NOTAPPLIED r2\r\n"},
	} {
		d := serve(t)
		d.node.holdAll(all)
		c := dialRaw(t, d.addr)
		c.cmd(tc.cmd...)
		for i, r := range d.node.await(t, len(tc.st)) {
			r.Status, r.Reason = tc.st[i], fmt.Sprint("r", i)
			r.Result.Applied = r.Status == OK
			r.To.Complete(r)
		}
		c.expect(tc.want)
		d.stop()
	}
}

// An answer has the protocol version that held for its command.
func TestHelloChangesNothingForEarlierCommands(t *testing.T) {
	d := serve(t)
	d.node.here.Store(false)
	d.node.holdAll(all)
	c := dialRaw(t, d.addr)
	c.send(wire("GET", "none") + wire("HELLO", "3") + wire("GET", "none"))
	for _, r := range d.node.await(t, 2) {
		d.node.do(r)
	}
	c.expect("$-1\r\n%7\r\n")
	c.readUntil("$7\r\nmodules\r\n*0\r\n")
	c.expect("_\r\n")
}

func (c *raw) readUntil(end string) {
	c.t.Helper()
	var got []byte
	for !bytes.HasSuffix(got, []byte(end)) {
		b, err := c.in.ReadByte()
		require.NoError(c.t, err, "after %q", got)
		got = append(got, b)
	}
}

func TestQuitSendsWhatIsOwedFirst(t *testing.T) {
	d := serve(t)
	d.node.holdAll(all)
	c := dialRaw(t, d.addr)
	c.send(wire("SET", "k", "v") + wire("QUIT") + wire("SET", "k", "never"))
	rs := d.node.await(t, 1)
	d.node.do(rs[0])
	c.expect("+OK\r\n+OK\r\n")
	c.closed()
	c.Close()
	require.Eventually(t, func() bool { return d.Conns() == 0 }, 20*time.Second, time.Millisecond)
	require.Len(t, d.node.await(t, 1), 1, "what follows QUIT is not looked at")
}

// Hostile and broken input ends the connection with an error, after the answers
// to what came before it.
func TestProtocolErrorsCloseTheConnection(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"bulk length", "*1\r\n$x\r\n", "invalid bulk length"},
		{"negative bulk", "*1\r\n$-1\r\n", "invalid bulk length"},
		{"huge bulk", "*2\r\n$3\r\nGET\r\n$2147483648\r\n", "invalid bulk length"},
		{"no bulk", "*1\r\n:5\r\n", "expected '$', got ':'"},
		{"huge array", "*2147483647\r\n", "invalid multibulk length"},
		{"endless array", fmt.Sprintf("*%d\r\n", resp.MaxArgs), "too big query"},
		{"inline without end", strings.Repeat("a", resp.MaxInline+1), "too big inline request"},
		{"quotes", "GET \"a\r\n", "unbalanced quotes in request"},
		{"zero bytes", strings.Repeat("\x00", resp.MaxInline+1), "too big inline request"},
		{"TLS hello", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + strings.Repeat("x", 90) + "\n", "ERR unknown command"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := serve(t)
			c := dialRaw(t, d.addr)
			c.send(wire("PING") + wire("SET", "k", "v") + tc.in)
			c.expect("+PONG\r\n+OK\r\n")
			if strings.HasPrefix(tc.want, "ERR") {
				require.Contains(t, c.reply(), tc.want)
				return
			}
			c.expect("-ERR Protocol error: " + tc.want + "\r\n")
			c.closed()
			c.Close()
			require.Eventually(t, func() bool { return d.Conns() == 0 }, 20*time.Second, time.Millisecond)
		})
	}
}

// A command as big as is allowed works; one that never ends costs no more.
func TestInputIsBounded(t *testing.T) {
	d := serve(t)
	c := dialRaw(t, d.addr)
	big := strings.Repeat("x", resp.MaxBulk)
	c.cmd("SET", "k", big)
	c.expect("+OK\r\n")
	c.cmd("GET", "k")
	c.expect(fmt.Sprintf("$%d\r\n%s\r\n", len(big), big))

	before := heap()
	for range 4 {
		c := dialRaw(t, d.addr)
		fmt.Fprintf(c, "*5\r\n")
		for range 5 { // 5 MiB of arguments: more than one command may have
			if _, err := fmt.Fprintf(c, "$%d\r\n%s\r\n", len(big), big); err != nil {
				break
			}
		}
		c.expect("-ERR Protocol error: too big query\r\n")
		c.closed()
	}
	require.Less(t, heap()-before, 40<<20, "bytes kept")

	// Truncated: nothing happens, and the connection goes with its client.
	c = dialRaw(t, d.addr)
	c.send("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nab")
	require.NoError(t, c.Conn.(*net.TCPConn).CloseWrite())
	c.closed()
	o := dialRaw(t, d.addr)
	o.cmd("EXISTS", "k")
	o.expect(":1\r\n")
	o.cmd("MGET", "k")
	o.expect("*1\r\n$" + fmt.Sprint(len(big)) + "\r\n" + big + "\r\n")
}

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func TestTooManyKeysInOneCommand(t *testing.T) {
	d := serve(t, func(l *limits) { l.pending = 4 })
	c := dialRaw(t, d.addr)
	c.cmd("MGET", "a", "b", "c", "d", "e")
	c.expect("-ERR 5 keys in one command: at most 4 are allowed\r\n")
	c.cmd("DEL", "a", "b", "c", "d")
	c.expect(":0\r\n")
}

func TestConnectionLimit(t *testing.T) {
	d := serve(t, func(l *limits) { l.conns = 2 })
	a, b := dialRaw(t, d.addr), dialRaw(t, d.addr)
	for _, c := range []*raw{a, b} {
		c.cmd("PING")
		c.expect("+PONG\r\n")
	}
	x := dialRaw(t, d.addr)
	x.expect("-ERR max number of clients reached\r\n")
	x.closed()
	require.EqualValues(t, 1, d.Rejected.Load())
	a.Close()
	require.Eventually(t, func() bool { return d.Conns() == 1 }, 20*time.Second, time.Millisecond)
	c := dialRaw(t, d.addr)
	c.cmd("PING")
	c.expect("+PONG\r\n")
}

// Where too many requests are unanswered nothing more is read, and what was
// read is all answered in the end.
func TestBackPressure(t *testing.T) {
	d := serve(t, func(l *limits) { l.pending = 8 })
	d.node.holdAll(writes)
	c := dialRaw(t, d.addr)
	var sent strings.Builder
	for i := range 100 {
		sent.WriteString(wire("SET", fmt.Sprint("k", i), "v"))
	}
	c.send(sent.String())
	d.node.await(t, 9)
	time.Sleep(20 * time.Millisecond)
	require.Len(t, d.node.await(t, 9), 9, "more than the limit was taken")
	for done := 0; done < 100; {
		rs := d.node.await(t, done+1)
		for _, r := range rs[done:] {
			d.node.do(r)
		}
		done = len(rs)
	}
	c.expect(strings.Repeat("+OK\r\n", 100))
}

// A client may first write a long pipeline and only then read: what does not
// fit the sockets waits here.
func TestPipelineLongerThanTheSockets(t *testing.T) {
	for _, here := range []bool{true, false} {
		d := serve(t)
		d.node.here.Store(here)
		c := dialRaw(t, d.addr)
		val := strings.Repeat("v", 4096)
		c.cmd("SET", "k", val)
		c.expect("+OK\r\n")
		const count = 2000 // 8 MB of answers
		c.send(strings.Repeat(wire("GET", "k"), count))
		one := fmt.Sprintf("$%d\r\n%s\r\n", len(val), val)
		for range count {
			c.expect(one)
		}
		d.stop()
	}
}

// A client that takes no answers is cut off, by bytes or by time, and costs
// bounded memory until then.
func TestClientThatDoesNotReadIsCutOff(t *testing.T) {
	t.Run("time", func(t *testing.T) {
		d := serve(t, func(l *limits) { l.out, l.patience = 1<<20, 200*time.Millisecond })
		c := dialRaw(t, d.addr)
		val := strings.Repeat("v", 64<<10)
		c.cmd("SET", "k", val)
		c.expect("+OK\r\n")
		before := heap()
		for {
			if _, err := io.WriteString(c, strings.Repeat(wire("GET", "k"), 100)); err != nil {
				require.ErrorIs(t, err, syscall.ECONNRESET)
				break
			}
		}
		require.Eventually(t, func() bool { return d.Conns() == 0 }, 20*time.Second, time.Millisecond)
		require.Less(t, heap()-before, 16<<20)
	})
	t.Run("bytes", func(t *testing.T) {
		d := serve(t, func(l *limits) { l.out = 1 << 20 })
		d.node.here.Store(false)
		c := dialRaw(t, d.addr)
		val := strings.Repeat("v", 512<<10)
		c.cmd("SET", "k", val)
		c.expect("+OK\r\n")
		d.node.holdAll(all)
		c.cmd("MGET", "k", "k", "k", "k", "k", "k")
		c.cmd("PING")
		rs := d.node.await(t, 6)
		for _, r := range rs {
			cut := d.CutOff.Load() > 0
			d.node.do(r)
			require.Equal(t, cut, r.Value == nil, "values for nobody are let go")
		}
		require.EqualValues(t, 1, d.CutOff.Load())
		require.Eventually(t, func() bool { return d.Conns() == 0 }, 20*time.Second, time.Millisecond)
	})
}

// Rule 6: what waited in a socket while this process slept is not applied.
func TestSleepDropsConnections(t *testing.T) {
	d := serve(t)
	c := dialRaw(t, d.addr)
	c.cmd("PING")
	c.expect("+PONG\r\n")
	d.node.awake.Add(1)
	c.cmd("SET", "k", "stale")
	c.closed()
	require.EqualValues(t, 1, d.Stalls.Load())

	// Nor what waited with its whole connection in the backlog.
	d.node.wokeAt.Store(int64(d.node.Now()))
	c = dialRaw(t, d.addr)
	c.cmd("SET", "k", "stale")
	_, err := io.ReadAll(c.in)
	if err != nil {
		require.ErrorIs(t, err, syscall.ECONNRESET)
	}
	require.EqualValues(t, 2, d.Stalls.Load())

	d.node.wokeAt.Store(int64(d.node.Now() - backlogAge))
	c = dialRaw(t, d.addr)
	c.cmd("EXISTS", "k")
	c.expect(":0\r\n")
}

// A command is refused by the leader after its deadline, which counts from when
// it may have arrived, not from when its turn came.
func TestDeadlineCountsFromArrival(t *testing.T) {
	d := serve(t, func(l *limits) { l.pending = 1 })
	d.node.holdAll(writes)
	c := dialRaw(t, d.addr)
	c.cmd("SET", "a", "1")
	c.cmd("SET", "b", "1")
	rs := d.node.await(t, 2)
	sent := d.node.Now()
	c.cmd("SET", "c", "1") // not read: two are unanswered
	time.Sleep(100 * time.Millisecond)
	d.node.do(rs[0])
	d.node.do(rs[1])
	r := d.node.await(t, 3)[2]
	require.LessOrEqual(t, r.Deadline, sent+WriteBudget)
	d.node.do(r)
	c.expect("+OK\r\n+OK\r\n+OK\r\n")
	c.cmd("SET", "d", "1")
	sent = d.node.Now()
	r = d.node.await(t, 4)[3]
	require.Greater(t, r.Deadline, sent+WriteBudget-50*time.Millisecond)
	d.node.do(r)
}

// The end of the context ends everything, whatever clients and node are at.
func TestEndLeavesNothingBehind(t *testing.T) {
	d := serve(t)
	d.node.holdAll(writes)
	idle := dialRaw(t, d.addr)
	idle.cmd("PING")
	idle.expect("+PONG\r\n")
	waiting := dialRaw(t, d.addr)
	waiting.cmd("SET", "k", "v")
	quitting := dialRaw(t, d.addr)
	quitting.send(wire("SET", "k", "v") + wire("QUIT"))
	stuck := dialRaw(t, d.addr)
	stuck.cmd("SET", "big", strings.Repeat("v", 1<<20))
	rs := d.node.await(t, 3)
	for _, r := range rs {
		if len(r.Op.Key) == 3 {
			d.node.do(r)
		}
	}
	stuck.send(strings.Repeat(wire("GET", "big"), 40))
	d.stop()
	require.Zero(t, d.Conns())
	// A goroutine that has signed off may still be on its way out.
	require.Eventually(t, func() bool {
		buf := make([]byte, 1<<20)
		return !strings.Contains(string(buf[:runtime.Stack(buf, true)]), "gateway.(*conn)")
	}, 5*time.Second, time.Millisecond, "goroutines of connections are left")
	// Late completions go nowhere.
	for _, r := range rs {
		if len(r.Op.Key) == 1 {
			r.Fail(Unknown, "this node is stopping")
		}
	}
}

// Shortages are waited out; anything else ends the server.
func TestAcceptErrors(t *testing.T) {
	c1, c2 := net.Pipe()
	defer c2.Close()
	l := &failing{errs: []error{
		&net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)},
		&net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.ECONNABORTED)},
	}, conn: c1}
	c, err := Accept(context.Background(), l)
	require.NoError(t, err)
	require.Equal(t, c1, c)
	l.errs = []error{net.ErrClosed}
	_, err = Accept(context.Background(), l)
	require.ErrorIs(t, err, net.ErrClosed)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	l.errs = []error{syscall.EMFILE}
	_, err = Accept(ctx, l)
	require.Error(t, err)
}

type failing struct {
	net.Listener
	errs []error
	conn net.Conn
}

func (l *failing) Accept() (net.Conn, error) {
	if len(l.errs) == 0 {
		return l.conn, nil
	}
	err := l.errs[0]
	l.errs = l.errs[1:]
	return nil, err
}
