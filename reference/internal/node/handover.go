package node

import (
	"maps"
	"slices"
	"time"

	"github.com/fivenines/fivenines/reference/internal/gateway"
)

// A planned change of leaders must not fail a request. While a shard is between
// two leaders, requests are held where they came in and follow the new leader;
// one that is elected but has not committed an entry of its term yet, or has no
// lease yet, keeps what comes until it may serve it.
//
// Rule 6 stands: what is sent a second time is only what a leader handed back
// with the promise that it was never proposed. It keeps its sequence number, so
// that the replicated state would refuse it if the promise were wrong; and since
// it would also refuse what is overtaken by a later write of the same gateway,
// nothing of a held shard is sent on while the old leader still owes answers.
const (
	holdFor    = 750 * time.Millisecond // then the client is told, and has time to ask elsewhere
	oweFor     = 400 * time.Millisecond // after which the old leader's answers are not waited for
	maxHeld    = 1 << 16                // requests of this node
	handedFor  = 2 * time.Second        // a leader that handed over knows that somebody leads
	comingSoon = time.Second            // an elected leader serves by then
)

// handover is a shard between two leaders, as one node sees it.
type handover struct {
	reqs   []*gateway.Request
	since  []time.Duration // when each began to be held
	began  time.Duration
	term   uint64        // of the leader that went
	denied time.Duration // when a leader last handed something back
}

// owed is what some node still has to answer for a shard.
type owed struct{ shard, to int }

// mayHold says that a request is one whose client can wait a little.
func (n *Node) mayHold(now time.Duration, r *gateway.Request) bool {
	return n.cfg.Mutant != "no-handover" && r.Hops == 0 && r.Op.Gateway != 0 == (r.Kind == gateway.Write) && n.holding < maxHeld && r.Deadline-now > 50*time.Millisecond
}

// hold keeps a request until its shard has a leader again.
func (n *Node) hold(now time.Duration, r *gateway.Request) {
	if !n.mayHold(now, r) {
		n.refuse(r, "the shard is between two leaders")
		return
	}
	h := n.held[r.Shard]
	if h == nil {
		h = &handover{began: now, term: n.terms[r.Shard].Load(), denied: now}
		n.held[r.Shard] = h
	}
	h.reqs = append(h.reqs, r)
	h.since = append(h.since, now)
	n.holding++
	n.metrics.held.Add(1)
}

// refuse hands a request back: certainly not proposed here. To another node it
// says that somebody else leads.
func (n *Node) refuse(r *gateway.Request, why string) {
	r.Moved = r.Hops > 0
	r.Fail(gateway.NotApplied, why)
}

// release sends on what was held for shards that have a leader again.
func (n *Node) release(now time.Duration) {
	for _, s := range slices.Sorted(maps.Keys(n.held)) {
		h := n.held[s]
		for i := 0; i < len(h.reqs); i++ {
			if r := h.reqs[i]; now-h.since[i] > holdFor || now > r.Deadline {
				h.reqs, h.since = slices.Delete(h.reqs, i, i+1), slices.Delete(h.since, i, i+1)
				n.holding--
				n.metrics.heldTooLong.Add(1)
				r.Fail(gateway.NotApplied, "the shard was between two leaders for too long")
				i--
			}
		}
		if len(h.reqs) > 0 && !n.led(now, s, h) {
			continue
		}
		delete(n.held, s)
		n.holding -= len(h.reqs)
		// In the order of their sequence; reads of other keys have none.
		slices.SortStableFunc(h.reqs, func(a, b *gateway.Request) int {
			if a.Op.Seq < b.Op.Seq {
				return -1
			}
			return int(min(a.Op.Seq-b.Op.Seq, 1))
		})
		for _, r := range h.reqs {
			n.serve(now, r)
		}
	}
}

// led says that a shard has a leader to which what was held can go.
func (n *Node) led(now time.Duration, s int, h *handover) bool {
	to := n.self.Index
	if g := n.groups[uint32(s+1)]; g == nil || !g.g.Serving() && !g.g.Coming(now, comingSoon) {
		to = n.leaderOf(s, now)
		if to < 0 || to == n.self.Index || n.manager.suspects(to) {
			return false
		}
		if n.terms[s].Load() <= h.term && time.Duration(n.vouched[s].Load()) <= h.denied {
			return false
		}
	}
	if now-h.began < oweFor {
		for o, k := range n.forwards.owed {
			if o.shard == s && o.to != to && k > 0 {
				return false
			}
		}
	}
	return true
}

// await keeps what came to a leader that may not serve it yet.
func (n *Node) await(now time.Duration, g *group, r *gateway.Request) {
	if len(g.early) >= maxHeld || n.cfg.Mutant == "no-handover" {
		r.Fail(gateway.NotApplied, "too many wait for the new leader")
		return
	}
	g.early = append(g.early, r)
	n.metrics.held.Add(1)
}

// ripe serves what a new leader kept, as soon as it may: writes when it takes
// proposals, reads when it has its lease.
func (n *Node) ripe(now time.Duration, g *group) {
	early := g.early
	g.early = nil
	coming, serving := g.g.Coming(now, comingSoon), g.g.Serving()
	for _, r := range early {
		switch {
		case now > r.Deadline:
			n.metrics.heldTooLong.Add(1)
			r.Fail(gateway.NotApplied, "its deadline had passed before the new leader served")
		case coming && (!serving || r.Kind != gateway.Write):
			g.early = append(g.early, r)
		default:
			n.serve(now, r)
		}
	}
}
