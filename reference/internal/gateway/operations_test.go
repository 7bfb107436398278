package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/reference/internal/admission"
	"github.com/fivenines/fivenines/reference/internal/resp"
)

// counted are the outcomes of a command that are not zero, by name.
func (s *Server) counted(command string) map[string]uint64 {
	some := map[string]uint64{}
	for _, op := range s.Operations() {
		for o, n := range op.Outcomes {
			if op.Command == command && n > 0 {
				some[Outcomes[o]] = n
			}
		}
	}
	return some
}

func TestOutcomeOf(t *testing.T) {
	for reply, want := range map[string]string{
		"": "ok", "+OK\r\n": "ok", "$-1\r\n": "ok", ":-1\r\n": "ok", "*0\r\n": "ok", "_\r\n": "ok", "$6\r\n-ERR x\r\n": "ok",
		"-NOTAPPLIED the shard has no leader now\r\n":                     "notapplied",
		"-NOTAPPLIED overloaded: the shard's leader does not take it\r\n": "overloaded",
		"-UNKNOWN not committed in time\r\n":                              "unknown",
		"-ERR syntax error\r\n":                                           "badrequest",
		"-NOPROTO unsupported protocol version\r\n":                       "badrequest",
		"-WRONGPASS invalid\r\n":                                          "badrequest",
	} {
		require.Equal(t, want, Outcomes[outcomeOf([]byte(reply))], reply)
	}
	for why := admission.Shed; why <= admission.ShardFull; why++ {
		require.Equal(t, "overloaded", Outcomes[outcomeOf(resp.AppendError(nil, "NOTAPPLIED "+why.Text()))], why.Text())
	}
}

// Each command is counted once, under its own name, also where it has
// subcommands, goes to many shards, or is spelled in another case.
func TestEveryCommandIsCountedOnce(t *testing.T) {
	for _, here := range []bool{true, false} {
		d := serve(t)
		d.node.here.Store(here)
		c := dialRaw(t, d.addr)
		times := map[string]uint64{}
		for _, w := range prioritiesWanted {
			name, rest, _ := strings.Cut(w.cmd, " ")
			if name == "QUIT" {
				continue
			}
			for _, spelled := range []string{name, strings.ToLower(name)} {
				c.cmd(append([]string{spelled}, strings.Fields(rest)...)...)
				got := c.reply()
				label := strings.ToLower(name)
				times[label]++
				all := uint64(0)
				for _, n := range d.counted(label) {
					all += n
				}
				require.Equal(t, times[label], all, "%s: %s", w.cmd, got)
				if name != "AUTH" {
					require.Equal(t, times[label], d.counted(label)["ok"], "%s: %s", w.cmd, got)
				}
			}
		}
		c.cmd("QUIT")
		c.expect("+OK\r\n")
		times["quit"]++
		all, named := uint64(0), 0
		for _, op := range d.Operations() {
			sum := uint64(0)
			for _, n := range op.Outcomes {
				sum += n
			}
			require.Equal(t, times[op.Command], sum, op.Command)
			require.Equal(t, sum, op.Count, op.Command)
			all += sum
			named++
		}
		require.Equal(t, d.Commands.Load(), all)
		require.Equal(t, len(Commands())+1, named)
		d.stop()
	}
	// What nobody asked for is there for sessions alone.
	d := serve(t)
	var shown []string
	for _, op := range d.Operations() {
		shown = append(shown, op.Command)
	}
	require.Equal(t, []string{"other", "del", "exists", "expire", "get", "getdel", "getex", "mget", "pexpire", "pttl", "set", "ttl"}, shown)
}

func TestErrorsAreCountedByClass(t *testing.T) {
	type m = map[string]uint64
	ctl := admission.NewController(admission.Config{}, 4, false)
	d := serveWith(t, func(s *Server) { s.Admission, s.Panicked = ctl, func(any) {} })
	c := dialRaw(t, d.addr)
	c.send(wire("GET") + wire("SET", "k", "v", "NOSUCH") + wire("GET", strings.Repeat("k", 70_000)) + wire("NOSUCH") + wire("A-NAME-OF-MORE-THAN-16-BYTES") + wire("HELLO", "9"))
	for range 6 {
		c.reply()
	}
	require.Equal(t, m{"badrequest": 2}, d.counted("get"))
	require.Equal(t, m{"badrequest": 1}, d.counted("set"))
	require.Equal(t, m{"badrequest": 2}, d.counted("other"))
	require.Equal(t, m{"badrequest": 1}, d.counted("hello"))

	ctl.SetLevel(admission.LowOnly)
	c.cmd("DBSIZE")
	c.reply()
	ctl.SetLevel(admission.Nothing)
	require.Equal(t, m{"overloaded": 1}, d.counted("dbsize"))

	d.node.holdAll(all)
	c.send(wire("SET", "k", "1") + wire("GET", "k") + wire("DEL", "a", "b") + wire("PEXPIRE", "k", "9") + wire("ECHO", "x"))
	rs := d.node.await(t, 5)
	for i, status := range []Status{Unknown, Unknown, OK, NotApplied, NotApplied} {
		if status == OK {
			d.node.do(rs[i])
			continue
		}
		rs[i].Fail(status, "for a test")
	}
	for range 5 {
		c.reply()
	}
	require.Equal(t, m{"badrequest": 1, "unknown": 1}, d.counted("set"))
	require.Equal(t, m{"badrequest": 2, "notapplied": 1}, d.counted("get"), "a read changes nothing, whatever became of it")
	require.Equal(t, m{"unknown": 1}, d.counted("del"), "a part of it was applied")
	require.Equal(t, m{"notapplied": 1}, d.counted("pexpire"))
	require.Equal(t, m{"ok": 1}, d.counted("echo"), "though it waited for the others")

	// A connection that ends owes its answers for ever.
	o := dialRaw(t, d.addr)
	o.send(wire("GETDEL", "k") + wire("PING"))
	r := d.node.await(t, 6)[5]
	o.Close()
	require.Eventually(t, func() bool { return d.counted("getdel")["gone"] == 1 }, 5*time.Second, time.Millisecond)
	d.node.do(r)
	require.Equal(t, m{"gone": 1}, d.counted("getdel"))
	require.Equal(t, m{"ok": 1}, d.counted("ping"))

	// Also what is read on before anybody sees that it ended.
	dead := newConn(d.Server, nil)
	dead.dead = true
	_, _, err := dead.take([]byte(wire("GETEX", "k", "PERSIST")), 0)
	require.NoError(t, err)
	d.node.do(d.node.await(t, 7)[6])
	require.Equal(t, m{"gone": 1}, d.counted("getex"))

	// And so does one that a panic ends: for the command that panicked too.
	o = dialRaw(t, d.addr)
	o.send(wire("PING") + wire("TTL", "k") + wire("EXISTS", "panic in ShardOf"))
	o.ended()
	require.Eventually(t, func() bool { return d.counted("exists")["gone"] == 1 }, 5*time.Second, time.Millisecond)
	require.Equal(t, m{"ok": 2}, d.counted("ping"))
	require.Equal(t, m{"gone": 1}, d.counted("ttl"))

	// Input that is no command.
	c.send("*1\r\n:1\r\n")
	c.reply()
	require.Equal(t, m{"badrequest": 3}, d.counted("other"))
}

// took is how many replies of a command there were, and of those how many in the
// bucket of so many seconds.
func (s *Server) took(command string, least, most float64) (count, within uint64, sum float64) {
	for _, op := range s.Operations() {
		if op.Command == command {
			return op.Count, op.Buckets[most] - op.Buckets[least], op.Sum
		}
	}
	return 0, 0, 0
}

// Durations go from the read of a command to its reply, wherever that is made.
func TestDurations(t *testing.T) {
	d := serve(t)
	c := dialRaw(t, d.addr)
	slow := func(command string) {
		t.Helper()
		count, within, sum := d.took(command, 2, 5)
		require.EqualValues(t, 1, count)
		require.EqualValues(t, 1, within)
		require.InDelta(t, 3.5, sum, 0.5)
	}
	c.cmd("GET", "slow")
	c.expect("$-1\r\n")
	slow("get")

	d.node.holdAll(all)
	c.send(wire("SET", "k", "v") + wire("GETDEL", "k"))
	rs := d.node.await(t, 2)
	d.node.ahead.Add(int64(3 * time.Second))
	d.node.do(rs[0])
	rs[1].Fail(NotApplied, "for a test")
	c.expect("+OK\r\n-NOTAPPLIED for a test\r\n")
	slow("set")
	slow("getdel")
	d.node.holdAll(nil)

	// What comes behind it in the same read waited too, what comes later did not.
	c.send(wire("PING") + wire("GET", "slow") + wire("ECHO", "x"))
	c.expect("+PONG\r\n$-1\r\n$1\r\nx\r\n")
	slow("ping")
	slow("echo")
	c.cmd("TTL", "k")
	c.expect(":-1\r\n")
	count, within, _ := d.took("ttl", 2, 5)
	require.EqualValues(t, 1, count)
	require.Zero(t, within)
}

// What a connection waits because too much of it is unanswered does not count
// for commands that are not looked at before.
func TestDurationsBeginWhenACommandIsLookedAt(t *testing.T) {
	d := serve(t, func(l *limits) { l.pending = 1 })
	d.node.holdAll(writes)
	c := dialRaw(t, d.addr)
	c.send(wire("SET", "a", "1") + wire("SET", "b", "1") + wire("EXPIRE", "c", "9"))
	for i, r := range d.node.await(t, 2) {
		if i == 0 {
			d.node.ahead.Add(int64(3 * time.Second))
		}
		d.node.do(r)
	}
	d.node.do(d.node.await(t, 3)[2])
	c.expect("+OK\r\n+OK\r\n:0\r\n")
	_, within, _ := d.took("set", 2, 5)
	require.EqualValues(t, 2, within)
	count, within, _ := d.took("expire", 2, 5)
	require.EqualValues(t, 1, count)
	require.Zero(t, within)
}

// To count costs no allocation, and a look at the clock only where a read's end
// was not looked at anyway: at most one for all that came together.
func TestCountingIsCheap(t *testing.T) {
	n := newMemory(t)
	s := NewServer(n)
	c := newConn(s, nil)
	take := func(in string) (clocks int64, allocs float64) {
		buf := []byte(in)
		before := n.clocks.Load()
		allocs = testing.AllocsPerRun(100, func() {
			_, _, err := c.take(buf, 0)
			require.NoError(t, err)
			c.out = c.out[:0]
		})
		return (n.clocks.Load() - before) / 101, allocs
	}
	get := wire("GET", "none")
	clocks, allocs := take(strings.Repeat(get, 10))
	require.EqualValues(t, 10, clocks, "those of the reads")
	require.Zero(t, allocs)
	clocks, _ = take(strings.Repeat(get, 10) + wire("PING"))
	require.EqualValues(t, 11, clocks, "and one for what reads nothing")
	clocks, _ = take(strings.Repeat(wire("PING"), 100))
	require.EqualValues(t, 1, clocks)
}

// BenchmarkCommands runs what one read of a socket brought.
func BenchmarkCommands(b *testing.B) {
	for _, bm := range []struct{ name, in string }{
		{"get", wire("GET", "session:{12345}")},
		{"get-16", strings.Repeat(wire("GET", "session:{12345}"), 16)},
		{"set", wire("SET", "session:{12345}", strings.Repeat("v", 256), "XX", "EX", "1800")},
		{"set-16", strings.Repeat(wire("SET", "session:{12345}", strings.Repeat("v", 256), "XX", "EX", "1800"), 16)},
		{"readonly", wire("READONLY")},
	} {
		b.Run(bm.name, func(b *testing.B) {
			n := &instant{newMemory(b)}
			s := NewServer(n)
			s.Admission = admission.NewController(admission.Config{}, 4, false)
			b.RunParallel(func(pb *testing.PB) {
				c := newConn(s, nil)
				buf := []byte(bm.in)
				for pb.Next() {
					if _, _, err := c.take(buf, n.Now()); err != nil {
						b.Fatal(err)
					}
					c.out = c.out[:0]
				}
			})
		})
	}
}

// instant completes at once what it is handed.
type instant struct{ *memory }

func (instant) Submit(rs []*Request) {
	for _, r := range rs {
		r.Status, r.Result.Applied = OK, true
		r.To.Complete(r)
	}
}
