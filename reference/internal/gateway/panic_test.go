package gateway

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/reference/internal/admission"
)

// only is the one connection that is open.
func (d *door) only() (c *conn) {
	d.conns.Range(func(k, _ any) bool { c = k.(*conn); return false })
	return c
}

// A panic in a connection's own goroutines ends that connection alone. What it
// had in flight is given back: at once what the node does not have yet, and what the
// node has when the node completes it.
func TestAPanicEndsOneConnection(t *testing.T) {
	set := func(key string) string { return wire("SET", key, "v", "XX") }
	for _, tc := range []struct {
		name   string
		before func(c *conn) // to the connection, which is idle
		in     string
		stack  string // what its stack names
		taken  int    // requests that the node has by then
	}{
		{"with the connection locked", nil, wire("GET", "panic in ReadHere"), "readHere", 0},
		{"before a request was taken", nil, wire("GET", "panic in ShardOf"), "gateway.get(", 0},
		{"with requests that were not handed over", nil, set("a") + set("b") + wire("DEL", "c", "d", "e") + set("panic in ShardOf"), "(*batch).write", 0},
		{"between requests that were and some that were not", nil, set("a") + set("b") + wire("DBSIZE") + set("panic in ShardOf"), "(*batch).write", 2},
		{"while a request is taken", func(c *conn) { c.writes = nil }, set("a"), "(*batch).ask", 0},
		{"of a command on many keys", nil, wire("MGET", "a", "b", "panic in ShardOf"), "(*batch).each", 0},
		{"of the writer", func(c *conn) { c.sent = 1 }, set("a"), "(*conn).write(", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctl := admission.NewController(admission.Config{}, 4, false)
			var stack atomic.Pointer[string]
			var panics atomic.Int64
			d := serveWith(t, func(s *Server) {
				s.Admission = ctl
				s.Panicked = func(any) {
					text := string(debug.Stack())
					stack.Store(&text)
					panics.Add(1)
				}
			})
			d.node.holdAll(all)
			bad := dialRaw(t, d.addr)
			require.Eventually(t, func() bool { return d.Conns() == 1 && d.only() != nil }, 5*time.Second, time.Millisecond)
			if tc.before != nil {
				c := d.only()
				c.wmu.Lock()
				c.mu.Lock()
				tc.before(c)
				c.mu.Unlock()
				c.wmu.Unlock()
			}
			good := dialRaw(t, d.addr)
			good.cmd("SET", "good", "1")
			mine := d.node.await(t, 1)

			bad.send(tc.in)
			rs := d.node.await(t, 1+tc.taken)
			for _, r := range rs[1:] { // DBSIZE, or the writer, waits for them
				d.node.do(r)
			}
			bad.ended()
			require.Eventually(t, func() bool { return d.Conns() == 1 }, 5*time.Second, time.Millisecond, "its place is free")
			require.EqualValues(t, 1, panics.Load())
			require.Contains(t, *stack.Load(), tc.stack)
			require.Eventually(t, func() bool { return ctl.InFlight() == 1 }, 5*time.Second, time.Millisecond, "in flight is what the other connection asked for")
			d.node.do(mine[0])
			good.expect("+OK\r\n")
			for shard := range 4 {
				require.Zero(t, ctl.OfShard(shard), "shard %d", shard)
			}
			good.cmd("PING")
			good.expect("+PONG\r\n")
		})
	}
}

// Requests that the node has when their connection ends by a panic are given
// back by the node, once each.
func TestAPanicLeavesToTheNodeWhatItHas(t *testing.T) {
	ctl := admission.NewController(admission.Config{}, 4, false)
	d := serveWith(t, func(s *Server) { s.Admission, s.Panicked = ctl, func(any) {} })
	d.node.holdAll(all)
	c := dialRaw(t, d.addr)
	c.send(wire("SET", "a", "v") + wire("DEL", "a", "b", "c"))
	rs := d.node.await(t, 4)
	c.cmd("GET", "panic in ShardOf")
	c.ended()
	require.Eventually(t, func() bool { return d.Conns() == 0 }, 5*time.Second, time.Millisecond)
	require.Equal(t, 4, ctl.InFlight())
	for _, r := range rs {
		d.node.do(r)
	}
	require.Zero(t, ctl.InFlight())
}

// ended expects the end of the connection.
func (c *raw) ended() {
	c.t.Helper()
	for {
		if _, err := c.in.ReadByte(); err != nil {
			require.NotErrorIs(c.t, err, os.ErrDeadlineExceeded)
			return
		}
	}
}

// What is not the connection's own ends the process: a mailbox that may be half
// full, the node's loop when it completes a request, and all where nobody is told.
func TestAPanicThatEndsTheProcess(t *testing.T) {
	if how := os.Getenv("FIVENINES_TEST_PANIC_IN"); how != "" {
		d := serveWith(t, func(s *Server) {
			if how != "nobody" {
				s.Panicked = func(any) { fmt.Println("swallowed") }
			}
		})
		c := dialRaw(t, d.addr)
		switch how {
		case "Submit":
			c.cmd("SET", "panic in Submit", "v")
		case "loop":
			d.node.holdAll(all)
			c.cmd("SET", "k", "v")
			r := d.node.await(t, 1)[0]
			r.slot.form = func(int, []byte, []*Request) []byte { panic("the loop") }
			d.node.holdAll(nil)
			d.node.Submit([]*Request{r})
		case "nobody":
			c.cmd("GET", "panic in ShardOf")
		}
		time.Sleep(5 * time.Second) // it ends before
		return
	}
	for how, says := range map[string]string{"Submit": "Submit", "loop": "the loop", "nobody": "ShardOf"} {
		t.Run(how, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAPanicThatEndsTheProcess$")
			cmd.Env = append(os.Environ(), "FIVENINES_TEST_PANIC_IN="+how)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			err := cmd.Run()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit, "%s", out.String())
			require.True(t, strings.HasPrefix(out.String(), "panic: "+says+"\n"), "%s", out.String())
		})
	}
}
