package node

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/fivenines/fivenines/reference/internal/admission"
	"github.com/fivenines/fivenines/reference/internal/gateway"
	"github.com/fivenines/fivenines/reference/internal/session"
)

// ReadHere implements gateway.Node. The order matters (rule 1): the value is
// read first, and only then is the lease compared with the clock.
func (n *Node) ReadHere(shard int, dst, key []byte, eventual bool) (value []byte, found bool, at time.Duration, ok bool) {
	sh := n.shards[shard].Load()
	if sh == nil {
		return dst, false, 0, false
	}
	if !eventual && sh.lease.Load() == 0 {
		return dst, false, 0, false
	}
	value, found, err := sh.table.Get(dst, key)
	if err != nil {
		return dst, false, 0, false // the loop ends the node for it
	}
	if eventual {
		return value, found, 0, n.joined.Load() && !sh.bad.Load()
	}
	at = n.Now()
	return value, found, at, int64(at) < sh.lease.Load()
}

// Recent implements gateway.Node: the loop looks at the clock at the start of a
// turn, behind each group's entries, and behind each strong read.
func (n *Node) Recent() time.Duration { return time.Duration(n.recent.Load()) }

// Awake implements gateway.Node.
func (n *Node) Awake(now time.Duration) uint64 {
	e := n.slept.Load()
	if now-time.Duration(n.ticked.Load()) > sleptFor {
		e++ // the loop has not noticed yet
	}
	return e
}

// Woke implements gateway.Node.
func (n *Node) Woke(now time.Duration) time.Duration {
	if now-time.Duration(n.ticked.Load()) > sleptFor {
		return now // the loop has not noticed yet
	}
	return time.Duration(n.woke.Load())
}

// route finds out who can serve a request: this node's own replica, or the
// leader, one hop away.
func (n *Node) route(now time.Duration, r *gateway.Request) {
	if r.Kind == gateway.Write && r.Op.Gateway == 0 && r.Hops == 0 {
		n.seq++
		r.Op.Gateway, r.Op.Seq = n.boot, n.seq
	}
	if r.Hops == 0 && !r.Eventual && n.held[r.Shard] != nil {
		n.hold(now, r)
		return
	}
	n.serve(now, r)
}

// serve gives a request to this node's replica or to the leader.
func (n *Node) serve(now time.Duration, r *gateway.Request) {
	g := n.groups[uint32(r.Shard+1)]
	if g != nil {
		if r.Kind == gateway.Write && g.g.Serving() {
			if g.shard.bad.Load() { // its answer would be made from a wrong state
				r.Fail(gateway.NotApplied, "this replica is being mended")
				return
			}
			g.batch = append(g.batch, r)
			return
		}
		if r.Kind != gateway.Write && (r.Eventual && n.shards[r.Shard].Load() != nil && !g.shard.bad.Load() || int64(now) < g.shard.lease.Load()) {
			n.read(now, g.shard, r)
			return
		}
		if g.g.Coming(now, comingSoon) {
			n.await(now, g, r)
			return
		}
		if g.g.HandingOver() {
			n.hold(now, r)
			return
		}
	}
	leader := n.leaderOf(r.Shard, now)
	handed := g != nil && g.handed != 0 && now-g.handed < handedFor
	if r.Hops > 0 {
		if handed || leader >= 0 && leader != n.self.Index {
			n.refuse(r, "this node has handed the shard over")
			return
		}
		r.Fail(gateway.NotApplied, "no leader serves this shard here")
		return
	}
	if leader < 0 || leader == n.self.Index {
		// A leader that was heard of a moment ago is being succeeded, most likely:
		// one that is lost would have been silent for longer.
		if handed || now-time.Duration(n.vouched[r.Shard].Load()) < holdFor {
			n.hold(now, r)
			return
		}
		r.Fail(gateway.NotApplied, "the shard has no leader now")
		return
	}
	if n.manager.suspects(leader) {
		r.Fail(gateway.NotApplied, "the shard's leader is out of reach")
		return
	}
	if !n.guard.breakers.Allow(leader) {
		r.Fail(gateway.NotApplied, "the shard's leader does not answer: its circuit breaker is open")
		return
	}
	n.forwards.add(now, leader, r)
}

// read answers from the table of this replica. For a strong read the lease is
// compared with the clock after the value was read.
func (n *Node) read(now time.Duration, sh *shard, r *gateway.Request) {
	switch r.Kind {
	case gateway.Get:
		var err error
		if r.Value, r.Found, err = sh.table.Get(nil, r.Op.Key); err != nil {
			r.Fail(gateway.NotApplied, "this replica cannot read its disk")
			return
		}
	case gateway.Exists:
		_, r.Found = sh.table.Deadline(r.Op.Key)
	case gateway.PTTL:
		r.Num = -2
		deadline, found := sh.table.Deadline(r.Op.Key)
		switch r.Found = found; {
		case !found:
		case deadline == 0:
			r.Num = -1
		default:
			r.Num = max(1, int64(deadline)-int64(sh.clock(now)))
		}
	case gateway.Count:
		r.Num = int64(sh.table.Len())
	}
	if !r.Eventual {
		at := n.Now()
		n.recent.Store(int64(at))
		if int64(at) >= sh.lease.Load() {
			r.Fail(gateway.NotApplied, "the leader's lease ended")
			return
		}
	}
	r.Status = gateway.OK
	r.To.Complete(r)
}

// forwards are requests whose answer another node owes.
type forwards struct {
	next    uint64
	out     map[int][]*gateway.Request // by leader, to be sent at the end of this turn
	waiting map[uint64]waiting
	queue   []uint64 // ids in the order sent, for their time
	owed    map[owed]int
	replies map[int][]byte
}

type waiting struct {
	r    *gateway.Request
	to   int
	sent time.Duration
}

func (f *forwards) init() {
	f.out, f.waiting, f.replies, f.owed = map[int][]*gateway.Request{}, map[uint64]waiting{}, map[int][]byte{}, map[owed]int{}
}

func (f *forwards) add(now time.Duration, leader int, r *gateway.Request) {
	f.out[leader] = append(f.out[leader], r)
}

// flush sends what was added in this turn, in as few frames as may be. What a
// dead connection did not take was certainly not sent.
func (f *forwards) flush(n *Node, now time.Duration) {
	for to, rs := range f.out {
		if len(rs) == 0 {
			continue
		}
		delete(f.out, to)
		first := f.next
		sent := n.peers[to].send(func(b []byte) []byte {
			begin := func() (at int) {
				b, at = beginFrame(b, frameForward)
				b = binary.LittleEndian.AppendUint64(b, uint64(now))
				return at
			}
			at := begin()
			for _, r := range rs {
				if len(b)-at > fullFrame {
					b = endFrame(b, at)
					at = begin()
				}
				f.next++
				fw := forward{id: f.next, left: r.Deadline - now, kind: r.Kind, priority: r.Priority, shard: r.Shard, op: r.Op}
				b = appendForward(b, &fw)
			}
			return endFrame(b, at)
		})
		if !sent {
			for _, r := range rs {
				n.guard.breakers.Lost(to)
				r.Fail(gateway.NotApplied, "the shard's leader is out of reach")
			}
			continue
		}
		n.metrics.forwarded.Add(uint64(len(rs)))
		for i, r := range rs {
			id := first + uint64(i) + 1
			f.waiting[id] = waiting{r, to, now}
			f.owed[owed{r.Shard, to}]++
			f.queue = append(f.queue, id)
		}
	}
	for to := range f.replies {
		f.reply(n, to)
	}
}

func (f *forwards) reply(n *Node, to int) {
	b := f.replies[to]
	delete(f.replies, to)
	n.peers[to].send(func(out []byte) []byte { return AppendFrame(out, frameReply, b) })
}

// settle takes a forward off what its leader owes.
func (f *forwards) settle(id uint64, w waiting) {
	delete(f.waiting, id)
	f.owed[owed{w.r.Shard, w.to}]--
}

func (f *forwards) fail(w waiting, why string) {
	if w.r.Kind == gateway.Write {
		w.r.Fail(gateway.Unknown, why)
	} else {
		w.r.Fail(gateway.NotApplied, why)
	}
}

// expire gives up on answers that do not come.
func (f *forwards) expire(n *Node, now time.Duration) {
	for len(f.queue) > 0 {
		w, ok := f.waiting[f.queue[0]]
		if ok && now-w.sent < gateway.WriteBudget {
			return
		}
		if ok {
			f.settle(f.queue[0], w)
			if w.r.Priority <= admission.High {
				n.guard.breakers.TimedOut(w.to)
			} else {
				n.guard.breakers.Lost(w.to) // bulk work that takes long says little of the peer
			}
			f.fail(w, "no answer from the leader in time")
		}
		f.queue = f.queue[1:]
	}
}

// lost is called when the connection to a peer broke: what was under way to it
// may or may not have arrived, and is never sent again.
func (f *forwards) lost(n *Node, to int) {
	for id, w := range f.waiting {
		if w.to == to {
			f.settle(id, w)
			n.guard.breakers.Lost(to)
			f.fail(w, "the connection to the leader broke")
		}
	}
}

func (f *forwards) failAll(n *Node, why string) {
	for id, w := range f.waiting {
		f.settle(id, w)
		n.guard.breakers.Lost(w.to)
		f.fail(w, why)
	}
	for to, rs := range f.out {
		delete(f.out, to)
		for _, r := range rs {
			r.Fail(gateway.NotApplied, why)
		}
	}
}

// answer takes a reply to a forward.
func (f *forwards) answer(n *Node, now time.Duration, a *reply, from int) {
	w, ok := f.waiting[a.id]
	if !ok || w.to != from {
		n.guard.breakers.Late(from)
		return
	}
	f.settle(a.id, w)
	n.guard.breakers.Answered(from)
	r := w.r
	if a.status == gateway.NotApplied && a.flags&replyMoved != 0 {
		n.hold(now, r)
		if h := n.held[r.Shard]; h != nil {
			h.denied = now
		}
		return
	}
	if a.status == gateway.NotApplied && a.flags&replyOverloaded != 0 {
		r.Fail(a.status, "overloaded: the shard's leader does not take operations of this priority now")
		return
	}
	if a.status != gateway.OK {
		r.Fail(a.status, "the leader refused it")
		return
	}
	r.Status = gateway.OK
	found := a.flags&replyFound != 0
	if r.Kind == gateway.Write {
		r.Result = session.Result{Applied: a.flags&replyApplied != 0, Found: found, Old: bytes.Clone(a.value), TTL: a.num}
	} else {
		r.Found, r.Num, r.Value = found, a.num, bytes.Clone(a.value)
	}
	r.To.Complete(r)
}

// remote completes a request that came from another node.
type remote struct {
	n    *Node
	from int
}

func (c remote) Complete(r *gateway.Request) {
	if r.Admitted {
		c.n.guard.ctl.Release(r.Shard)
	}
	a := reply{id: r.ID, status: r.Status, num: r.Num}
	switch {
	case r.Status != gateway.OK:
		if r.Moved {
			a.flags |= replyMoved
		}
		if r.Overloaded {
			a.flags |= replyOverloaded
		}
	case r.Kind == gateway.Write:
		if r.Result.Applied {
			a.flags |= replyApplied
		}
		if r.Result.Found {
			a.flags |= replyFound
		}
		a.value, a.num = r.Result.Old, r.Result.TTL
	default:
		if r.Found {
			a.flags |= replyFound
		}
		a.value = r.Value
	}
	f := &c.n.forwards
	f.replies[c.from] = appendReply(f.replies[c.from], &a)
	if len(f.replies[c.from]) > fullFrame {
		f.reply(c.n, c.from)
	}
}

// takeForward is the leader's side of a forward. What it took longer on the
// way than the quickest frame of its connection is off its time already.
func (n *Node) takeForward(now time.Duration, from int, f *forward) {
	if f.shard >= n.cfg.Shards {
		return
	}
	r := &gateway.Request{Kind: f.kind, Shard: f.shard, Op: f.op, Deadline: now + f.left, Hops: 1, Priority: f.priority, ID: f.id, To: remote{n, from}}
	if f.left <= 0 {
		r.Fail(gateway.NotApplied, "its deadline had passed")
		return
	}
	if n.guard.arrived(r) {
		n.route(now, r)
	}
}

// learn takes a hint of who leads a shard; the highest term is right.
func (n *Node) learn(now time.Duration, h hint) {
	if int(h.shard) >= n.cfg.Shards || h.leader >= len(n.m.Nodes) {
		return
	}
	s := h.shard
	defer func() {
		if h.leader >= 0 && n.terms[s].Load() == h.term && int(n.leaders[s].Load()) == h.leader {
			n.vouched[s].Store(int64(now))
		}
	}()
	switch t := n.terms[s].Load(); {
	case h.term < t, h.term == t && (h.leader < 0 || n.leaders[s].Load() >= 0):
		return
	}
	n.terms[s].Store(h.term)
	n.leaders[s].Store(int64(h.leader))
	if h.leader >= 0 {
		n.guard.breakers.Back(h.leader) // it was elected: what it did before counts no more
	}
}

// hintsLast is how long a leader is believed to lead since it last said so;
// it says so with every ping.
const hintsLast = 1500 * time.Millisecond

// leaderOf is the node that leads a shard, -1 if none can be vouched for. A
// region that is cut off remembers leaders that others have long succeeded: it
// must not tell clients about them.
func (n *Node) leaderOf(shard int, now time.Duration) int {
	l := int(n.leaders[shard].Load())
	switch {
	case l < 0:
		return -1
	case l == n.self.Index:
		if sh := n.shards[shard].Load(); sh == nil || int64(now) >= sh.lease.Load() {
			return -1
		}
	case now-time.Duration(n.vouched[shard].Load()) > hintsLast:
		return -1
	}
	return l
}

// Slots implements gateway.Node: what CLUSTER SLOTS tells. As with Redis, slots
// that nobody serves are left out.
func (n *Node) Slots() []gateway.SlotRange {
	var out []gateway.SlotRange
	now := n.Now()
	st := n.meta.State()
	for _, run := range n.m.Runs() {
		shard := run.Shard
		r := gateway.SlotRange{Start: run.Start, End: run.End}
		leader := n.leaderOf(shard, now)
		if leader < 0 {
			continue
		}
		r.Nodes = append(r.Nodes, n.addr(leader))
		for _, p := range n.m.Placement(&st, shard) {
			if p != leader {
				r.Nodes = append(r.Nodes, n.addr(p))
			}
		}
		out = append(out, r)
	}
	return out
}
