package node

import (
	"context"
	"encoding/json"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/reference/internal/recovery"
	"github.com/fivenines/fivenines/reference/internal/session"
)

// TestIncarnationsNeverMix: an older one is told which is the present one; a
// later one ends this node's part, once.
func TestIncarnationsNeverMix(t *testing.T) {
	n, addr := listening(t)
	n.cfg.Dir = t.TempDir()
	ends := make(chan error, 4)
	n.end = func(err error) { ends <- err }
	ask := func(h hello) refusal {
		c := dialPeer(t, addr)
		_, err := c.Write(helloOf(t, h))
		require.NoError(t, err)
		no, err := readWelcome(c)
		require.NoError(t, err)
		return no
	}
	require.Empty(t, ask(hello{Cluster: "test", Incarnation: 0, Node: "b-1"}).Why, "it has no identity and asks for one")
	no := ask(hello{Cluster: "test", Incarnation: 2, Node: "b-1"})
	require.EqualValues(t, 3, no.Incarnation)
	require.Contains(t, no.Why, "is over")
	require.Empty(t, ends)
	// Strangers fence nobody.
	require.NotEmpty(t, ask(hello{Cluster: "other", Incarnation: 9, Node: "b-1"}).Why)
	require.NotEmpty(t, ask(hello{Cluster: "test", Incarnation: 9, Node: "z-1"}).Why)
	require.Empty(t, ends)
	require.NotEmpty(t, ask(hello{Cluster: "test", Incarnation: 4, Node: "b-1"}).Why)
	var end *incarnationEnded
	require.ErrorAs(t, <-ends, &end)
	require.Equal(t, "fenced", end.kind)
	require.True(t, n.fenced.Load())
	require.NoError(t, end.then())
	floor, err := recovery.Floor(n.cfg.Dir)
	require.NoError(t, err)
	require.EqualValues(t, 4, floor, "it may join no earlier one again")

	// A node with an order for that incarnation obeys it instead.
	require.NoError(t, recovery.SaveOrder(n.cfg.Dir, recovery.Order{Incarnation: 5}))
	n.fence(5)
	require.ErrorAs(t, <-ends, &end)
	require.Equal(t, "recovered", end.kind)
	n.fence(6)
	require.ErrorAs(t, <-ends, &end)
	require.Equal(t, "fenced", end.kind)
}

// TestARefusedDialerFencesItself: it need not be dialed to learn that it was left behind.
func TestARefusedDialerFencesItself(t *testing.T) {
	n, _ := listening(t)
	n.cfg.Dir = t.TempDir()
	ends := make(chan error, 4)
	n.end = func(err error) { ends <- err }
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	answer := func(no refusal) {
		b, err := json.Marshal(no)
		require.NoError(t, err)
		go func() {
			c, err := l.Accept()
			if err == nil {
				c.Read(make([]byte, 4096))
				c.Write(AppendFrame(nil, frameWelcome, b))
				c.Close()
			}
		}()
		n.peers[1].addr = l.Addr().String()
		require.ErrorContains(t, n.peers[1].session(context.Background()), "refused: no")
	}
	answer(refusal{Why: "no"})
	answer(refusal{Why: "no", Incarnation: 3})
	answer(refusal{Why: "no", Incarnation: 2})
	require.Empty(t, ends)
	answer(refusal{Why: "no", Incarnation: 4})
	var end *incarnationEnded
	require.ErrorAs(t, <-ends, &end)
}

// TestOrdersAreRefused: what an order must say before a node begins another incarnation.
func TestOrdersAreRefused(t *testing.T) {
	n, addr := listening(t)
	n.calm = make(chan struct{}, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	go func() { // the loop, as far as it is needed
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-n.wake:
			}
			n.mu.Lock()
			fs := n.funcs
			n.funcs = nil
			n.mu.Unlock()
			for _, f := range fs {
				f()
			}
		}
	}()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, silent.Close())
	for _, p := range n.peers {
		p.addr = silent.Addr().String()
	}
	good := func() recovery.Order {
		o := recovery.Order{Incarnation: 4, Lost: []string{"b", "c"}, Primary: "a", Attested: true, Authority: map[uint32]string{}, Generations: map[string]uint32{"a-1": 1}}
		for g := range uint32(5) {
			o.Authority[g] = "a-1"
		}
		return o
	}
	n.cfg.Shards = 4
	require.ErrorContains(t, n.begin(ctx, good()), "not frozen")
	n.frozenAt = n.Now()
	require.NoError(t, n.begin(ctx, good()))
	for want, change := range map[string]func(*recovery.Order){
		"attests":                   func(o *recovery.Order) { o.Attested = false },
		"one of its nodes":          func(o *recovery.Order) { o.Lost = []string{"a", "b"} },
		"is not after":              func(o *recovery.Order) { o.Incarnation = 3 },
		"does not say":              func(o *recovery.Order) { o.Generations = nil },
		"no region is called":       func(o *recovery.Order) { o.Lost = []string{"b", "mars"} },
		"nobody is the authority":   func(o *recovery.Order) { delete(o.Authority, 2) },
		"b-1] of the regions said":  func(o *recovery.Order) { n.peers[1].heard.Store(int64(n.Now())) },
		"[b-1 c-1] of the regions ": func(o *recovery.Order) { n.peers[1].addr, n.peers[2].addr = addr, addr },
	} {
		o := good()
		change(&o)
		require.ErrorContains(t, n.begin(ctx, o), want)
		n.peers[1].heard.Store(0)
		n.peers[1].addr, n.peers[2].addr = silent.Addr().String(), silent.Addr().String()
	}
}

// TestTheOddReplicaIsJudged: two against one, whoever it is; one against one says nothing.
func TestTheOddReplicaIsJudged(t *testing.T) {
	n, _ := listening(t)
	n.events = newEvents("a-1", "a")
	sh := &shard{index: 0, table: session.NewTable()}
	g := &group{id: 1, shard: sh}
	n.groups = map[uint32]*group{1: g}
	judged := func() (who []string) {
		n.events.mu.Lock()
		defer n.events.mu.Unlock()
		for _, e := range n.events.ring {
			who = append(who, e.Parts...)
		}
		n.events.ring = nil
		return who
	}
	n.hearSum(g, 1, digest{10, 7})
	n.hearSum(g, 2, digest{10, 8})
	require.Empty(t, judged())
	n.hearSum(g, 2, digest{11, 7})
	require.Empty(t, judged(), "of another index")
	n.hearSum(g, 0, digest{10, 7})
	require.Equal(t, []string{"c-1"}, judged())
	require.False(t, sh.bad.Load())
	n.hearSum(g, 0, digest{12, 7})
	n.hearSum(g, 1, digest{12, 7})
	n.hearSum(g, 2, digest{12, 7})
	require.Empty(t, judged())
	// All three differ: nobody can tell.
	n.hearSum(g, 0, digest{13, 1})
	n.hearSum(g, 1, digest{13, 2})
	n.hearSum(g, 2, digest{13, 3})
	require.Empty(t, judged())
	// What somebody made up does not push the present ones out.
	for i := range uint64(100) {
		n.hearSum(g, 1, digest{i, 1})
	}
	require.LessOrEqual(t, len(g.scrub.heard), 2*keptSums)
}
