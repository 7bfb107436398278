package gateway

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/reference/internal/admission"
)

// many is a command on more keys than it may have without being bulk work.
func many(name string) string {
	args := []string{name}
	for i := range admission.BulkKeys + 1 {
		args = append(args, fmt.Sprint("k", i))
	}
	return strings.Join(args, " ")
}

// priorities of every command of the front door. Those that are never refused
// are none.
var prioritiesWanted = []struct {
	cmd      string
	priority string
}{
	{"SET k v XX", "critical"}, {"SET k v XX EX 10", "critical"}, {"SET k v NX", "normal"}, {"SET k v NX PX 1000", "normal"}, {"SET k v", "high"},
	{"GET k", "high"}, {"GETEX k", "high"}, {"EXISTS k", "high"}, {"TTL k", "high"}, {"PTTL k", "high"}, {"MGET k l", "high"},
	{"GETEX k EX 10", "critical"}, {"GETEX k PERSIST", "critical"}, {"EXPIRE k 10", "critical"}, {"PEXPIRE k 10", "critical"}, {"EXPIRE k 0", "critical"},
	{"GETDEL k", "critical"}, {"DEL k", "critical"}, {"DEL k l", "critical"},
	{many("DEL"), "low"}, {many("MGET"), "low"}, {many("EXISTS"), "low"}, {"DBSIZE", "low"}, {"INFO", "low"}, {"COMMAND COUNT", "low"}, {"CONFIG GET save", "low"},
	{"PING", ""}, {"ECHO x", ""}, {"HELLO 2", ""}, {"AUTH default x", ""}, {"SELECT 0", ""}, {"CLIENT ID", ""}, {"CLUSTER MYID", ""}, {"CLUSTER SLOTS", ""},
	{"READONLY", ""}, {"READWRITE", ""}, {"QUIT", ""},
}

// What a full node refuses of all commands: with so much in flight that not even
// critical operations are taken, everything that has a priority; with the two
// levels of shedding, just the lower ones.
func TestPrioritiesOfCommands(t *testing.T) {
	seen := map[string]bool{}
	for _, w := range prioritiesWanted {
		name, _, _ := strings.Cut(w.cmd, " ")
		seen[name] = true
	}
	for _, name := range Commands() {
		require.True(t, seen[name], "%s has no priority here", name)
	}
	for _, level := range []admission.Level{admission.Nothing, admission.LowOnly, admission.LowAndNormal} {
		ctl := admission.NewController(admission.Config{}, 4, false)
		d := serveWith(t, func(s *Server) { s.Admission = ctl })
		ctl.SetLevel(level)
		for _, w := range prioritiesWanted {
			c := dialRaw(t, d.addr)
			c.cmd(strings.Fields(w.cmd)...)
			got := c.reply()
			refused := strings.HasPrefix(got, "-NOTAPPLIED overloaded")
			want := level >= admission.LowOnly && w.priority == "low" || level >= admission.LowAndNormal && w.priority == "normal"
			require.Equal(t, want, refused, "%.40s at %v: %.60q", w.cmd, level, got)
			c.Close()
		}
		require.Zero(t, ctl.InFlight(), "what was taken was given back")
		d.stop()
	}
	counts := map[string]uint64{}
	ctl := admission.NewController(admission.Config{}, 4, false)
	d := serveWith(t, func(s *Server) { s.Admission = ctl })
	d.node.here.Store(false)
	for _, w := range prioritiesWanted {
		if w.priority == "" || strings.HasPrefix(w.cmd, "INFO") || strings.HasPrefix(w.cmd, "CO") {
			continue // answered at once
		}
		c := dialRaw(t, d.addr)
		c.cmd(strings.Fields(w.cmd)...)
		c.reply()
		n := uint64(0)
		for p := range admission.Critical + 1 {
			if p.String() == w.priority {
				n = ctl.Taken(p)
			}
		}
		require.Greater(t, n, counts[w.priority], "%.40s is not %s", w.cmd, w.priority)
		counts[w.priority] = n
		c.Close()
	}
}

// Eventual reads are the first to go, also those that this node could answer
// itself, and only on the connections that asked for them.
func TestEventualReadsAreShed(t *testing.T) {
	ctl := admission.NewController(admission.Config{}, 4, false)
	d := serveWith(t, func(s *Server) { s.Admission = ctl })
	c, strong := dialRaw(t, d.addr), dialRaw(t, d.addr)
	c.cmd("SET", "k", "v")
	c.expect("+OK\r\n")
	c.cmd("READONLY")
	c.expect("+OK\r\n")
	for _, here := range []bool{true, false} {
		d.node.here.Store(here)
		ctl.SetLevel(admission.LowOnly)
		c.send(wire("GET", "k") + wire("EXISTS", "k") + wire("GETEX", "k", "EX", "10") + wire("PING"))
		for range 2 {
			c.expect("-NOTAPPLIED overloaded: operations of this priority are not served now\r\n")
		}
		c.expect("$1\r\nv\r\n+PONG\r\n")
		strong.cmd("GET", "k")
		strong.expect("$1\r\nv\r\n")
		ctl.SetLevel(admission.Nothing)
		c.cmd("GET", "k")
		c.expect("$1\r\nv\r\n")
	}
	require.EqualValues(t, 4, ctl.Refused(admission.Low, admission.Shed))
}

// One connection that asks for more than its part is not read on: it waits for
// itself, and others are served. What it asked for is answered in the end, and in order.
func TestANoisyConnectionWaitsForItself(t *testing.T) {
	ctl := admission.NewController(admission.Config{MaxInFlight: 400}, 4, false)
	d := serveWith(t, func(s *Server) { s.Admission = ctl })
	d.node.holdAll(func(r *Request) bool { return strings.HasPrefix(string(r.Op.Key), "noisy") })
	noisy, other := dialRaw(t, d.addr), dialRaw(t, d.addr)
	const asked = 300
	var sent strings.Builder
	for i := range asked {
		sent.WriteString(wire("SET", fmt.Sprint("noisy", i), "v", "XX"))
	}
	noisy.send(sent.String())
	held := d.node.await(t, ctl.PerConnection()+1)
	require.Len(t, held, 101)
	for i := range 50 {
		other.cmd("SET", fmt.Sprint("k", i), "v", "NX")
		other.expect("+OK\r\n")
	}
	require.Equal(t, 101, ctl.InFlight())
	d.node.holdAll(nil)
	for _, r := range held {
		d.node.do(r)
	}
	noisy.expect(strings.Repeat("$-1\r\n", asked))
	require.Zero(t, ctl.InFlight())
}

// Refusals stand in the order of their commands, and what is refused was not
// handed on.
func TestRefusalsKeepTheOrder(t *testing.T) {
	ctl := admission.NewController(admission.Config{MaxInFlight: 8}, 4, false)
	d := serveWith(t, func(s *Server) { s.Admission = ctl })
	d.node.holdAll(all)
	c := dialRaw(t, d.addr)
	// A shard has two of eight: the third write of it does not fit.
	c.send(wire("SET", "{a}1", "v", "XX") + wire("SET", "{a}2", "v", "XX") + wire("SET", "{a}3", "v", "XX") + wire("SET", "{a}4", "v", "NX") + wire("PING"))
	held := d.node.await(t, 2)
	for i := range held {
		d.node.do(held[len(held)-1-i])
	}
	c.expect("$-1\r\n$-1\r\n" + strings.Repeat("-NOTAPPLIED overloaded: too many operations of this shard are in flight here\r\n", 2) + "+PONG\r\n")
	require.Len(t, held, 2)
}

func BenchmarkGetHere(b *testing.B) {
	for _, on := range []bool{false, true} {
		b.Run(fmt.Sprintf("admission=%v", on), func(b *testing.B) {
			s := NewServer(nil)
			n := newMemory(b)
			s.node = n
			if on {
				s.Admission = admission.NewController(admission.Config{}, 4, false)
			}
			c := &conn{s: s, proto: 2, writes: map[uint64]uint32{}}
			c.batch.c = c
			args := [][]byte{[]byte("GET"), []byte("session:{12345}")}
			for b.Loop() {
				c.batch.command(args)
				c.out = c.out[:0]
			}
		})
	}
}
