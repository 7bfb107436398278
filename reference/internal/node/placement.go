package node

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/fivenines/fivenines/reference/internal/cluster"
	"github.com/fivenines/fivenines/reference/internal/disk"
	"github.com/fivenines/fivenines/reference/internal/failover"
	"github.com/fivenines/fivenines/reference/internal/gateway"
)

// Who should hold which shard is state of the meta group: the map's own
// placement, and where it differs from that. Its leader changes it when a node
// or a region is lost for long and when it is back (cluster.Map.Replace); the
// leader of each shard then moves its group there step by step (replica.Move);
// and each node begins replicas that it is given, as learners under an identity
// that was never used, and deletes those that a leader vouches were removed.

// hosted says whether this node holds a replica of a shard, by what its disk
// says, and under which placement.
func (n *Node) hosted(shard int) (placed uint32, here bool) {
	if n.replicas == nil {
		return 0, slices.Contains(n.m.Replicas(shard), n.self.Index)
	}
	placed, here = n.replicas[uint32(shard+1)]
	return placed, here
}

// placedHere is what a node without a disk is to hold; nil: the map's own.
func (n *Node) placedHere(st *cluster.State) map[uint32]uint32 {
	if st.Placed == 0 {
		return nil
	}
	out := map[uint32]uint32{}
	for s := range n.cfg.Shards {
		if slices.Contains(n.m.Placement(st, s), n.self.Index) {
			out[uint32(s+1)] = st.Joins[s][n.self.Index]
		}
	}
	return out
}

func (n *Node) addShard(now time.Duration, s int, placed uint32, joining bool) error {
	id := uint32(s + 1)
	sh := &shard{index: s, table: n.newTable(s)}
	if err := n.addGroup(id, sh, placed, n.m.Replicas(s), nil, &tableMachine{t: sh.table, self: n.boot, shard: s}, joining, now); err != nil {
		return err
	}
	// One that has to catch up first is shown once it has a vote.
	if last, _ := n.groups[id].g.Last(); placed == 0 && last > 0 {
		n.shards[s].Store(sh)
	}
	return nil
}

// place is the key of a group among the placements.
func (g *group) place() int {
	if g.shard == nil {
		return cluster.MetaPlace
	}
	return g.shard.index
}

// wanted is the identity that a node's replica should have.
func (n *Node) wanted(st *cluster.State, g *group, node int) uint64 {
	gen := st.Generations[n.m.Nodes[node].ID]
	if g.shard == nil {
		return cluster.ReplicaID(node, gen, 0)
	}
	return cluster.ReplicaID(node, gen, st.Joins[g.shard.index][node])
}

// place does this node's part in bringing replicas to where they should be.
func (m *manager) place(now time.Duration) {
	n := m.n
	if m.rejoining {
		return
	}
	if meta := n.groups[metaGroup]; meta != nil && meta.g.Serving() && now-m.placing > 2*time.Second {
		m.decidePlaces(now)
	}
	st := n.meta.State()
	if st.Placed == 0 && st.Incarnation <= 1 {
		return // everything is where it began
	}
	for s := range n.cfg.Shards {
		if n.groups[uint32(s+1)] == nil && n.mayBegin(&st, s) {
			n.beginReplica(now, s, st.Joins[s][n.self.Index])
		}
	}
	for _, g := range n.order {
		if g.g.IsLeader() {
			m.move(now, &st, g)
		}
	}
}

// decidePlaces is the meta leader's part.
func (m *manager) decidePlaces(now time.Duration) {
	n := m.n
	cfg := m.fo.Config()
	st := n.meta.State()
	region := func(name string) cluster.Fitness {
		r := slices.IndexFunc(n.m.Regions, func(r cluster.Region) bool { return r.Name == name })
		if m.fo.Out(now, r) >= time.Duration(cfg.ReplaceRegionAfter) {
			return cluster.Gone
		}
		return cluster.Fit
	}
	fit := func(i int) cluster.Fitness {
		switch {
		case m.fo.Since(now, i) >= time.Duration(cfg.ReplaceAfter), region(n.m.Nodes[i].Region) == cluster.Gone:
			return cluster.Gone
		case now < m.shun[i], i == n.self.Index && m.unfit != "", !st.Joined(n.m.Nodes[i].ID):
			return cluster.Unsure
		case m.fo.Settled(now, i, false):
			return cluster.Fit
		}
		return cluster.Unsure
	}
	places := n.m.Replace(&st, fit, region)
	if !n.m.Whole(&st) { // see addMissing
		maps.DeleteFunc(places, func(_ int, nodes []int) bool { return !st.Redundant(n.m, nodes) })
	}
	if len(places) == 0 {
		return
	}
	m.placing = now
	m.propose(now, cluster.Command{Kind: "place", Places: places, Placed: st.Placed})
}

// placed tells a change of placements that this node proposed.
func (m *manager) placed(o cluster.Outcome) {
	n := m.n
	for _, s := range slices.Sorted(maps.Keys(o.Command.Places)) {
		kind := "re-replicating"
		if _, differs := o.State.Places[s]; !differs {
			kind = "placement-restoring"
		}
		var parts []string
		for _, x := range o.Command.Places[s] {
			parts = append(parts, n.m.Nodes[x].ID)
		}
		name := "meta"
		if s != cluster.MetaPlace {
			name = "shard " + strconv.Itoa(s)
		}
		n.events.emit(kind, parts, fmt.Sprintf("%s moves to %v", name, parts), map[string]string{"shard": strconv.Itoa(s), "priority": failover.P1.String()})
	}
}

// move takes a group that is led here one step towards its placement.
func (m *manager) move(now time.Duration, st *cluster.State, g *group) {
	n := m.n
	if !g.g.Serving() && g.shard != nil || g.g.HandingOver() {
		g.moving = false
		return
	}
	key := g.place()
	nodes := n.m.Placement(st, key)
	var want []uint64
	for _, node := range nodes {
		id := n.wanted(st, g, node)
		// A replica that is there already is not replaced by itself.
		for _, v := range g.g.Voters() {
			if x, _ := cluster.NodeOf(v); x == node && cluster.GenerationOf(v) == cluster.GenerationOf(id) {
				id = v
			}
		}
		want = append(want, id)
	}
	if g.shard != nil && g.g.Settled() && now-m.toldMembers[g.id] > 2*time.Second {
		m.toldMembers[g.id] = now
		m.tellMembers(g)
	}
	if !m.whole(st, g, nodes) {
		_, g.moving = st.Places[key] // addMissing moves it
		return
	}
	done, err := g.g.Move(want, g.shard == nil)
	if err != nil {
		n.debugf("group %d: %v", g.id, err)
		return
	}
	if !done {
		g.moving, g.dirty = true, true
		return
	}
	if !slices.Contains(nodes, n.self.Index) {
		m.leave(now, g, nodes)
		return
	}
	if g.moving {
		g.moving = false
		var parts []string
		for _, x := range nodes {
			parts = append(parts, n.m.Nodes[x].ID)
		}
		kind := "re-replicated"
		if _, differs := st.Places[key]; !differs {
			kind = "placement-restored"
		}
		n.events.emit(kind, parts, fmt.Sprintf("group %d has its %d replicas on %v", g.id, len(nodes), parts), map[string]string{"shard": strconv.Itoa(key)})
	}
}

// whole says that a group has as many voters as it should, and that those who
// should be among them can be: as long as a later incarnation lacks replicas,
// that is addMissing's to mend, which takes nobody out.
func (m *manager) whole(st *cluster.State, g *group, nodes []int) bool {
	if st.Incarnation <= 1 {
		return true
	}
	voters := m.n.nodesOf(g.g.Voters())
	return len(g.g.Voters()) >= len(nodes) && !slices.ContainsFunc(nodes, func(node int) bool {
		return !slices.Contains(voters, node) && !st.Joined(m.n.m.Nodes[node].ID)
	})
}

// leave hands over a group that this node leads and should not hold.
func (m *manager) leave(now time.Duration, g *group, nodes []int) {
	for _, f := range g.g.Followers() {
		node, _ := cluster.NodeOf(f.ID)
		if slices.Contains(nodes, node) && f.Active && !f.Learner && f.Behind < caughtUp && m.fo.Settled(now, node, true) && now >= m.shun[node] {
			if g.g.Transfer(now, f.ID) == nil {
				g.dirty, g.handed = true, now
				m.n.publish(now, g)
			}
			return
		}
	}
}

// tellMembers lets nodes know that their replica was removed. The leader has
// applied the configuration, so it is committed, and no identity comes back.
func (m *manager) tellMembers(g *group) {
	in := map[int]bool{}
	ids := g.g.Members()
	for _, id := range g.g.Voters() { // a learner may be one that an older replica stands in the way of
		node, _ := cluster.NodeOf(id)
		in[node] = true
	}
	for i, p := range m.n.peers {
		if p != nil && !in[i] {
			m.n.sendControl(i, control{Kind: "members", Group: g.id, IDs: ids, Index: g.g.Applied()})
		}
	}
}

// removed is told by a leader which replicas its group has, and ends one that is
// not among them.
func (n *Node) removed(c *control) {
	g := n.groups[c.Group]
	if g == nil || g.shard == nil || len(c.IDs) == 0 || slices.Contains(c.IDs, g.g.ID()) || g.g.IsLeader() {
		return
	}
	// What is said may be of before this replica was added: then it has more.
	if last, _ := g.g.Last(); last > c.Index {
		return
	}
	st := n.meta.State()
	if st.Incarnation != n.incarnation.Load() {
		return // it does not know yet what it is to hold
	}
	if slices.Contains(n.m.Placement(&st, g.shard.index), n.self.Index) && n.wanted(&st, g, n.self.Index) == g.g.ID() {
		return // not added yet
	}
	n.dropReplica(g)
}

// dropReplica ends a replica that was taken away from this node, and forgets
// all that it had. Its archive notices when it looks again.
func (n *Node) dropReplica(g *group) {
	s := g.shard.index
	err := n.setReplica(g.id, 0, false)
	if err == nil {
		err = g.shard.table.Drop()
	}
	if err != nil {
		n.fatal = fmt.Errorf("cannot give up the replica of shard %d: %w", s, err)
		return
	}
	delete(n.groups, g.id)
	n.order = slices.DeleteFunc(n.order, func(o *group) bool { return o == g })
	n.shards[s].Store(nil)
	g.shard.lease.Store(0)
	n.shareMemory()
	n.dropping[g.id] = true
	n.writer.add(storedBatch{drop: g})
	for _, b := range g.pending {
		for _, r := range b.reqs {
			r.Fail(gateway.Unknown, "this replica was taken away")
		}
	}
	for _, r := range slices.Concat(g.early, g.batch) {
		n.refuse(r, "this replica was taken away")
	}
	g.pending, g.early, g.batch = nil, nil, nil
	n.events.emit("replica-removed", []string{n.cfg.ID}, fmt.Sprintf("shard %d is not held here any more", s), map[string]string{"shard": strconv.Itoa(s)})
}

// mayBegin says that a shard was given to this node under an identity that it
// never had. What it knows of meta may be older than what it knew before a
// restart, and then a replica that it has dropped would seem to be wanted.
func (n *Node) mayBegin(st *cluster.State, s int) bool {
	id := uint32(s + 1)
	if st.Incarnation != n.incarnation.Load() || n.dropping[id] || !slices.Contains(n.m.Placement(st, s), n.self.Index) {
		return false
	}
	last, had := n.dropped[id]
	return !had || st.Joins[s][n.self.Index] > last
}

// beginReplica starts a replica that this node was given.
func (n *Node) beginReplica(now time.Duration, s int, placed uint32) {
	id := uint32(s + 1)
	err := n.store.DeleteGroup(id) // of what a crash left of an earlier one
	if err == nil {
		err = n.setReplica(id, placed, true)
	}
	if err == nil {
		err = n.addShard(now, s, placed, true)
	}
	if err != nil {
		n.fatal = fmt.Errorf("cannot begin a replica of shard %d: %w", s, err)
		return
	}
	n.shareMemory()
	n.events.emit("replica-begun", []string{n.cfg.ID}, fmt.Sprintf("shard %d is to be held here", s), map[string]string{"shard": strconv.Itoa(s)})
}

// setReplica makes durable which replicas are here, and which never again.
func (n *Node) setReplica(group, placed uint32, here bool) error {
	next, dropped := map[uint32]uint32{}, maps.Clone(n.dropped)
	for s := range n.cfg.Shards {
		if p, ok := n.hosted(s); ok {
			next[uint32(s+1)] = p
		}
	}
	if here {
		next[group] = placed
	} else {
		if dropped == nil {
			dropped = map[uint32]uint32{}
		}
		dropped[group] = next[group]
		delete(next, group)
	}
	was, gone := n.replicas, n.dropped
	n.replicas, n.dropped = next, dropped
	if err := n.setIdentity(); err != nil {
		n.replicas, n.dropped = was, gone
		return err
	}
	return nil
}

func (n *Node) setIdentity() error {
	return n.store.SetIdentity(disk.Identity{Node: n.cfg.ID, Cluster: n.cfg.Cluster, Generation: n.generation, Incarnation: n.incarnation.Load(), Replicas: n.replicas, Dropped: n.dropped})
}
