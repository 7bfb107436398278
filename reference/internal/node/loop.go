package node

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/fivenines/fivenines/reference/internal/cluster"
	"github.com/fivenines/fivenines/reference/internal/disk"
	"github.com/fivenines/fivenines/reference/internal/gateway"
	"github.com/fivenines/fivenines/reference/internal/replica"
	"github.com/fivenines/fivenines/reference/internal/session"
)

// nudge tells the loop that its mailbox has something. What somebody waits for
// within the region (reads, their answers) is urgent; what is bound by round
// trips between regions anyway waits for the next regular turn.
func (n *Node) nudge(urgent bool) {
	ch := n.calm
	if urgent {
		ch = n.wake
	}
	select {
	case ch <- struct{}{}:
	default:
	}
}

func (n *Node) deliver(m mail) {
	n.mu.Lock()
	n.mails = append(n.mails, m)
	n.mu.Unlock()
	n.nudge(len(m.forwards) > 0 || len(m.replies) > 0 || len(m.control) > 0)
}

// Submit implements gateway.Node.
func (n *Node) Submit(rs []*gateway.Request) {
	n.mu.Lock()
	if n.stopped {
		n.mu.Unlock()
		for _, r := range rs {
			r.Fail(gateway.NotApplied, "this node is stopping")
		}
		return
	}
	if len(n.requests) == 0 {
		n.since = n.Now()
	}
	n.requests = append(n.requests, rs...)
	n.mu.Unlock()
	urgent := false
	for _, r := range rs {
		if r.Kind != gateway.Write {
			urgent = true
			break
		}
	}
	n.nudge(urgent)
}

// do runs fn in the loop.
func (n *Node) do(fn func()) {
	n.mu.Lock()
	n.funcs = append(n.funcs, fn)
	n.mu.Unlock()
	n.nudge(true)
}

// loop owns every replica of the node.
func (n *Node) loop(ctx context.Context) error {
	defer n.stopLoop()
	timer := time.NewTimer(n.timing.Tick)
	defer timer.Stop()
	n.lastTick = n.Now()
	n.ticked.Store(int64(n.lastTick))
	lastTurn := n.lastTick
	for {
		timer.Reset(n.timing.Tick / 2)
		wait := urgentInterval
		select {
		case <-ctx.Done():
			return nil
		case <-n.wake:
		case <-n.calm:
			wait = turnInterval
		case <-timer.C:
			wait = 0
		}
		if d := wait - (n.Now() - lastTurn); wait > 0 && d > 0 {
			timer.Reset(d)
			if wait == turnInterval {
				select {
				case <-ctx.Done():
					return nil
				case <-n.wake: // something urgent came meanwhile
				case <-timer.C:
				}
			} else {
				<-timer.C
			}
		}
		now := n.Now()
		lastTurn = now
		if err := n.guarded(now); err != nil {
			return err
		}
	}
}

// guarded is a turn after which the node may go on. Raft panics where what it
// finds contradicts what it was promised, as a log that lost synced entries: the
// node stops then, and says in its last line what to do.
func (n *Node) guarded(now time.Duration) (err error) {
	defer func() {
		if p := recover(); p != nil {
			n.log.Error("a broken invariant", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("stops, since it cannot trust its data in %s: %v; wipe them and start the node again, and it rejoins as a new replica", n.cfg.Dir, p)
			// What Raft says when entries are gone that this replica had acknowledged:
			// a write-ahead log whose damaged end looks like one that was torn.
			if strings.Contains(fmt.Sprint(p), "raft log corrupted, truncated, or lost") && n.cfg.Mutant == "" {
				err = disk.Damaged(err)
			}
		}
	}()
	n.turn(now)
	return n.fatal
}

func (n *Node) stopLoop() {
	n.mu.Lock()
	n.stopped = true
	rs := n.requests
	n.requests = nil
	n.mu.Unlock()
	for _, g := range n.order {
		if g.shard != nil {
			g.shard.lease.Store(0)
		}
	}
	for _, r := range rs {
		r.Fail(gateway.NotApplied, "this node is stopping")
	}
	for _, g := range n.order {
		for _, b := range g.pending {
			for _, r := range b.reqs {
				r.Fail(gateway.Unknown, "this node is stopping")
			}
		}
	}
	for _, g := range n.order {
		for _, r := range g.early {
			r.Fail(gateway.NotApplied, "this node is stopping")
		}
	}
	for _, h := range n.held {
		for _, r := range h.reqs {
			r.Fail(gateway.NotApplied, "this node is stopping")
		}
	}
	n.forwards.failAll(n, "this node is stopping")
}

// turn takes the whole mailbox and does what follows from it.
func (n *Node) turn(now time.Duration) {
	n.recent.Store(int64(now))
	n.mu.Lock()
	mails, requests, stored, funcs, since := n.mails, n.requests, n.stored, n.funcs, n.since
	n.mails, n.requests, n.stored, n.funcs = nil, nil, nil, nil
	n.mu.Unlock()
	for _, fn := range funcs {
		fn()
	}
	for _, sb := range stored {
		for i, s := range sb.items {
			g := sb.groups[i]
			if n.groups[g.id] != g {
				continue
			}
			ms, err := g.g.Stored(now, s)
			if err != nil {
				n.fatal = err
				return
			}
			n.sendRaft(g, ms)
			g.dirty = true
		}
	}
	if n.fenced.Load() || n.frozen(now) {
		n.standStill(now, requests)
		return
	}
	for i := range mails {
		n.take(now, &mails[i])
	}
	if len(requests) > 0 {
		n.guard.turn(now, since)
	}
	for _, r := range requests {
		n.route(now, r)
	}
	if now-n.lastTick >= n.timing.Tick {
		n.tick(now)
	}
	for _, g := range n.order {
		if len(g.batch) > 0 {
			n.propose(now, g)
		}
	}
	n.drain(now)
	for _, g := range n.order {
		if len(g.early) > 0 {
			if n.ripe(now, g); len(g.batch) > 0 {
				n.propose(now, g)
			}
		}
	}
	if len(n.held) > 0 {
		n.release(now)
	}
	n.drain(now)
	if n.manager.tell {
		n.manager.ping(now)
	}
	n.forwards.flush(n, now)
	for _, p := range n.peers {
		if p != nil {
			p.flush()
		}
	}
}

func (n *Node) take(now time.Duration, m *mail) {
	for _, r := range m.raft {
		g := n.groups[r.group]
		// A message to an identity that this node no longer has is for nobody.
		if g == nil || r.m.GetTo() != g.g.ID() {
			continue
		}
		if node, _ := cluster.NodeOf(r.m.GetFrom()); node != m.from {
			continue
		}
		g.g.Step(now, r.m)
		g.dirty = true
	}
	for _, h := range m.hints {
		n.learn(now, h)
	}
	for i := range m.forwards {
		n.takeForward(now, m.from, &m.forwards[i])
	}
	for i := range m.replies {
		n.forwards.answer(n, now, &m.replies[i], m.from)
	}
	for i := range m.control {
		n.manager.control(now, m.from, &m.control[i])
		n.scrubControl(m.from, &m.control[i])
	}
}

// tick runs whatever goes by time. A process that slept makes one tick, not
// those that it missed (rule 2).
func (n *Node) tick(now time.Duration) {
	if now-n.lastTick > sleptFor {
		n.woke.Store(int64(now))
		n.slept.Add(1)
		n.events.emit("woke", nil, fmt.Sprintf("this process did not run for %v: client connections are dropped", (now-n.lastTick).Round(time.Millisecond)), nil)
	}
	n.lastTick = now
	n.ticked.Store(int64(now))
	for _, g := range n.order {
		g.g.Tick(now)
		g.dirty = true
		n.timeouts(now, g)
		if g.shard != nil {
			n.expire(now, g)
			n.scrub(now, g)
			if snap, to, ok := g.g.Compact(compactBytes); ok {
				n.writer.snapshot(g, snap, to)
			}
		} else if snap, to, ok := g.g.Compact(1 << 16); ok {
			n.writer.snapshot(g, snap, to)
		}
	}
	n.manager.tick(now)
	n.guard.tick(now)
	n.checkTables()
}

// timeouts tells those who waited too long that the outcome is unknown. The
// entry stays proposed: it may still be committed.
func (n *Node) timeouts(now time.Duration, g *group) {
	for len(g.pending) > 0 && now-g.pending[0].at > gateway.WriteBudget {
		for _, r := range g.pending[0].reqs {
			r.Fail(gateway.Unknown, "not committed in time")
		}
		g.pending = g.pending[1:]
	}
	n.forwards.expire(n, now)
}

// clock is the shard clock as the leader counts it.
func (s *shard) clock(now time.Duration) uint64 {
	since := s.since.Load()
	if since == 0 {
		return s.table.Clock()
	}
	return uint64(s.base.Load() + (int64(now)-since)/int64(time.Millisecond))
}

// expire proposes the end of sessions whose time is over (rule 5), and once a
// second a clock entry where nothing else carries the shard clock on.
func (n *Node) expire(now time.Duration, g *group) {
	sh := g.shard
	if !g.g.Serving() {
		sh.table.Due(sh.table.Clock(), 0, nil)
		return
	}
	clock := sh.clock(now)
	sh.table.Due(clock, 512, func(key []byte, version uint64) {
		g.batch = append(g.batch, &gateway.Request{Kind: gateway.Write, Shard: sh.index, To: discard{}, Deadline: now + time.Hour,
			Op: session.Op{Kind: session.Expire, Key: key, Version: version}})
	})
	if clock > sh.table.Clock()+1000 && len(g.batch) == 0 && len(g.pending) == 0 {
		g.batch = append(g.batch, &gateway.Request{Kind: gateway.Write, Shard: sh.index, To: discard{}, Deadline: now + time.Hour,
			Op: session.Op{Kind: session.Expire, Key: []byte{0}, Version: 0}})
	}
}

type discard struct{}

func (discard) Complete(*gateway.Request) {}

// propose makes one entry of what arrived for a shard in this turn.
func (n *Node) propose(now time.Duration, g *group) {
	reqs := g.batch
	g.batch = nil
	live := reqs[:0]
	size := 0
	for _, r := range reqs {
		if now > r.Deadline {
			r.Fail(gateway.NotApplied, "its deadline had passed before it was proposed")
			continue
		}
		size += len(r.Op.Key) + len(r.Op.Value) + 32
		live = append(live, r)
	}
	if len(live) == 0 {
		return
	}
	g.nextID++
	data := session.AppendEntryHeader(make([]byte, 0, size+40), g.shard.clock(now), n.boot, g.nextID, len(live))
	for _, r := range live {
		data = session.AppendOp(data, &r.Op)
	}
	// Before Propose: a mutant's result comes out at once.
	g.pending = append(g.pending, pendingBatch{id: g.nextID, at: now, reqs: live})
	if err := g.g.Propose(now, data); err != nil {
		g.pending = g.pending[:len(g.pending)-1]
		for _, r := range live {
			if r.Op.Kind != session.Expire && n.groups[g.id] == g {
				n.serve(now, r) // it may have begun to hand over in this turn
				continue
			}
			r.Fail(gateway.NotApplied, "no leader serves this shard here")
		}
		return
	}
	n.metrics.entries.Add(1)
	n.metrics.proposed.Add(uint64(len(live)))
	g.dirty = true
}

// drain carries out what the replicas decided.
func (n *Node) drain(now time.Duration) {
	var sb storedBatch
	for again := true; again; {
		again = false
		for _, g := range n.order {
			if !g.dirty {
				continue
			}
			g.dirty = false
			out, some, err := g.g.Ready(now)
			if err != nil {
				n.fatal = fmt.Errorf("cannot apply: %w", err)
				return
			}
			if some {
				n.sendRaft(g, out.Messages)
				if out.Storage != nil {
					sb.groups = append(sb.groups, g)
					sb.items = append(sb.items, out.Storage)
				}
				if len(out.Results) > 0 { // what was applied for them took its time
					n.recent.Store(int64(n.Now()))
				}
				for _, r := range out.Results {
					n.result(g, r)
				}
				for _, e := range out.Events {
					n.decided(now, g, e)
				}
			}
			n.publish(now, g)
		}
	}
	if len(sb.items) > 0 {
		n.writer.add(sb)
	}
}

// publish shows connection goroutines what they may serve.
func (n *Node) publish(now time.Duration, g *group) {
	sh := g.shard
	if sh == nil {
		return
	}
	if n.shards[sh.index].Load() == nil && n.groups[g.id] == g && slices.Contains(g.g.Voters(), g.g.ID()) {
		n.shards[sh.index].Store(sh) // it has caught up and counts
	}
	serving := g.g.Serving()
	if serving && sh.since.Load() == 0 {
		// A new leader's clock goes on from the last committed stamp.
		sh.base.Store(int64(sh.table.Clock()))
		sh.since.Store(int64(now))
	} else if !serving && !g.g.IsLeader() {
		sh.since.Store(0)
	}
	until := int64(g.g.LeaseUntil())
	if sh.bad.Load() {
		until = 0
	}
	if until > 0 && sh.lease.Load() == 0 {
		n.manager.tell = true // everybody may send its clients here
	}
	sh.lease.Store(until)
}

func (n *Node) result(g *group, r replica.Result) {
	switch v := r.Value.(type) {
	case *applied:
		for i, b := range g.pending {
			if b.id != v.batch {
				continue
			}
			for j, req := range b.reqs {
				if v.results[j].Duplicate {
					req.Fail(gateway.NotApplied, "overtaken by a later write of its gateway")
					continue
				}
				req.Status, req.Result = gateway.OK, v.results[j]
				req.To.Complete(req)
			}
			g.pending = append(g.pending[:i:i], g.pending[i+1:]...)
			n.metrics.committed.Add(uint64(len(b.reqs)))
			return
		}
	case cluster.Outcome:
		n.manager.outcome(v)
	}
}

func (n *Node) sendRaft(g *group, ms []*raftpb.Message) {
	for _, m := range ms {
		node, _ := cluster.NodeOf(m.GetTo())
		if node < 0 || node >= len(n.peers) || n.peers[node] == nil {
			continue
		}
		n.peers[node].send(func(b []byte) []byte {
			out, err := appendRaft(b, g.id, m)
			if err != nil {
				n.log.Error("raft message", "err", err)
			}
			return out
		})
	}
}

// storedBatch is what one turn wants on disk.
type storedBatch struct {
	groups []*group
	items  []*replica.Storage
	snaps  []snapItem
	drop   *group // its data are to be deleted
}

type snapItem struct {
	group uint32
	snap  disk.Snapshot
	to    uint64
}
