package node

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/fivenines/fivenines/reference/internal/cluster"
	"github.com/fivenines/fivenines/reference/internal/disk"
	"github.com/fivenines/fivenines/reference/internal/gateway"
	"github.com/fivenines/fivenines/reference/internal/replica"
)

// Times of the failover manager.
const (
	suspectAfter  = time.Second             // without a byte from a peer that says something every 200 ms
	regionSettles = 1500 * time.Millisecond // all nodes of a region suspected for so long: another becomes primary
	failBackAfter = 5 * time.Second         // a region is back for so long before it gets its role again
	balanceEvery  = 500 * time.Millisecond
	settledFor    = 2 * time.Second // a replica's node is heard for so long before it is given leadership
)

// manager watches the other nodes, and moves roles through the meta group and
// leaders by transfer. Raft alone elects. It runs in the loop.
type manager struct {
	n         *Node
	lastPing  time.Duration
	balanced  time.Duration
	since     []time.Duration // node -> since when it is in its present state
	suspected []bool
	regionOut map[string]time.Duration // region -> since when all its nodes are suspected
	detected  map[string]bool
	rejoining bool
	asked     time.Duration
	promoting time.Duration
	primary   string
}

// control messages between nodes.
type control struct {
	Kind  string         `json:"kind"` // rejoin, state
	Node  string         `json:"node,omitempty"`
	Nonce uint64         `json:"nonce,omitempty"`
	State *cluster.State `json:"state,omitempty"`
}

func (m *manager) init(n *Node) {
	m.n = n
	m.since = make([]time.Duration, len(n.m.Nodes))
	m.suspected = make([]bool, len(n.m.Nodes))
	m.regionOut = map[string]time.Duration{}
	m.detected = map[string]bool{}
	now := n.Now()
	for i := range m.since {
		m.since[i] = now
	}
	m.primary = n.meta.State().Primary
}

func (m *manager) suspects(node int) bool { return m.suspected[node] }

// alive says that a node has been heard of for at least d.
func (m *manager) alive(now time.Duration, node int, d time.Duration) bool {
	return node == m.n.self.Index || !m.suspected[node] && now-m.since[node] >= d && m.n.peers[node].heard.Load() != 0
}

func (m *manager) tick(now time.Duration) {
	n := m.n
	if m.rejoining {
		m.rejoin(now)
	}
	if now-m.lastPing >= pingEvery {
		m.lastPing = now
		m.ping(now)
	}
	m.watch(now)
	if st := n.meta.State(); st.Primary != m.primary {
		m.roles(st)
	}
	if now-m.balanced >= balanceEvery {
		m.balanced = now
		m.balance(now)
		m.replaceLost()
		m.decide(now)
	}
}

// ping tells every peer that we live and what we lead.
func (m *manager) ping(now time.Duration) {
	n := m.n
	var hs []hint
	for _, g := range n.order {
		if g.shard == nil {
			continue
		}
		if g.g.Serving() && g.g.LeaseUntil() > now {
			hs = append(hs, hint{uint32(g.shard.index), g.g.Term(), n.self.Index})
		}
	}
	p := appendHints(binary.LittleEndian.AppendUint64(nil, uint64(n.Now())), hs)
	for _, o := range n.peers {
		if o != nil {
			o.send(func(b []byte) []byte { return AppendFrame(b, framePing, p) })
		}
	}
}

// watch suspects nodes that have gone silent, and regions all of whose nodes have.
func (m *manager) watch(now time.Duration) {
	n := m.n
	for i, p := range n.peers {
		if p == nil {
			continue
		}
		heard := time.Duration(p.heard.Load())
		if heard == 0 {
			heard = m.since[i]
		}
		silent := now-heard > suspectAfter
		if silent == m.suspected[i] {
			continue
		}
		m.suspected[i], m.since[i] = silent, now
		nd := n.m.Nodes[i]
		if silent {
			n.events.emit("suspected", []string{nd.ID, nd.Region}, fmt.Sprintf("nothing heard from %s for %v", nd.ID, (now-heard).Round(time.Millisecond)), nil)
			n.forwards.lost(i)
		} else if p.heard.Load() != 0 {
			n.events.emit("recovered", []string{nd.ID, nd.Region}, nd.ID+" is heard again", nil)
		}
	}
	for _, r := range n.m.Regions {
		if r.Name == n.self.Region {
			continue
		}
		out := true
		for _, nd := range n.m.Nodes {
			if nd.Region == r.Name && !m.suspected[nd.Index] {
				out = false
			}
		}
		_, was := m.regionOut[r.Name]
		switch {
		case out && !was:
			m.regionOut[r.Name] = now
			n.events.emit("detected", []string{r.Name}, "no node of "+r.Name+" is heard", nil)
		case !out && was:
			delete(m.regionOut, r.Name)
			n.events.emit("recovered", []string{r.Name}, r.Name+" is heard again", nil)
		}
	}
}

// decide is the meta leader's part: which region is primary. Two managers
// cannot disagree, since a change is a committed command that names the epoch
// it saw.
func (m *manager) decide(now time.Duration) {
	n := m.n
	meta := n.groups[metaGroup]
	if meta == nil || !meta.g.Serving() || now-m.promoting < 2*time.Second {
		return
	}
	st := n.meta.State()
	since, out := m.regionOut[st.Primary]
	for _, r := range n.m.Regions {
		if r.Name == st.Primary {
			if out {
				continue
			}
			return // the best region that is there is primary already
		}
		if r.Role == "tertiary" || r.Role == cluster.Edge {
			continue // only an operator makes a tertiary primary, and nobody an edge
		}
		hold := failBackAfter
		if out {
			if now-since < regionSettles-suspectAfter {
				return
			}
			hold = 0
		}
		back := 0
		for _, nd := range n.m.Nodes {
			if nd.Region == r.Name && m.alive(now, nd.Index, hold) {
				back++
			}
		}
		if back*2 <= r.Nodes {
			continue
		}
		why := "the primary region " + st.Primary + " is gone"
		if !out {
			why = r.Name + " is back"
		}
		m.promoting = now
		m.propose(now, cluster.Command{Kind: "promote", Region: r.Name, Epoch: st.Epoch, Reason: why})
		return
	}
}

func (m *manager) propose(now time.Duration, c cluster.Command) {
	meta := m.n.groups[metaGroup]
	c.From = m.n.boot
	b, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	if err := meta.g.Propose(now, b); err != nil {
		m.n.debugf("meta: %v", err)
	}
	meta.dirty = true
}

// outcome is an applied meta command.
func (m *manager) outcome(o cluster.Outcome) {
	// Everybody applies it, also again after a restart: its proposer tells.
	if !o.Applied || o.Command.From != m.n.boot {
		return
	}
	switch o.Command.Kind {
	case "promote":
		m.n.events.emit("promoted", []string{o.Command.Region}, fmt.Sprintf("%s is primary in epoch %d: %s", o.Command.Region, o.State.Epoch, o.Command.Reason),
			map[string]string{"epoch": strconv.FormatUint(o.State.Epoch, 10)})
	case "rejoin":
		m.n.events.emit("rejoin", []string{o.Command.Node}, fmt.Sprintf("%s lost its disk and gets generation %d", o.Command.Node, o.State.Generations[o.Command.Node]), nil)
	}
}

func (m *manager) roles(st cluster.State) {
	m.primary = st.Primary
	for _, g := range m.n.order {
		g.g.SetMode(m.n.modeFor(g.shard))
		g.dirty = true
	}
}

// balance hands leadership to the replica that should have it: in the primary
// region first, then in the regions' order, if it lives, is settled and has
// caught up. A Passive leader hands over to anybody who is Active (rule 4).
func (m *manager) balance(now time.Duration) {
	n := m.n
	for _, g := range n.order {
		if g.shard == nil || !g.g.IsLeader() {
			continue
		}
		followers := g.g.Followers()
		mine := n.modeFor(g.shard) == replica.Passive
		for _, cand := range n.m.Preference(g.shard.index, m.primary) {
			if cand == n.self.Index {
				if mine {
					continue
				}
				break
			}
			role := n.m.Region(n.m.Nodes[cand].Region)
			if role.Role == "tertiary" && role.Name != m.primary {
				continue
			}
			hold := settledFor
			if mine {
				hold = 0
			}
			i := slices.IndexFunc(followers, func(f replica.Follower) bool {
				node, _ := cluster.NodeOf(f.ID)
				return node == cand && f.Active && !f.Learner && f.Behind < 64
			})
			if i < 0 || !m.alive(now, cand, hold) {
				continue
			}
			if err := g.g.Transfer(now, followers[i].ID); err == nil {
				g.dirty = true
				n.publish(now, g)
			}
			break
		}
	}
}

// replaceLost gives the place of identities whose disks were lost to those
// that meta has given out since, one step at a time (rule 8).
func (m *manager) replaceLost() {
	n := m.n
	gens := n.meta.State().Generations
	if len(gens) == 0 {
		return
	}
	for _, g := range n.order {
		if !g.g.IsLeader() {
			continue
		}
		for _, id := range g.g.Members() {
			node, gen := cluster.NodeOf(id)
			if node < 0 || node >= len(n.m.Nodes) {
				continue
			}
			if want := gens[n.m.Nodes[node].ID]; gen < want {
				if _, err := g.g.Replace(id, cluster.RaftID(node, want)); err != nil {
					n.debugf("replace %x in group %d: %v", id, g.id, err)
				}
				g.dirty = true
				break
			}
		}
	}
}

// rejoin asks everybody for a new identity until the meta leader has given one.
func (m *manager) rejoin(now time.Duration) {
	if now-m.asked < time.Second {
		return
	}
	m.asked = now
	m.broadcast(control{Kind: "rejoin", Node: m.n.cfg.ID, Nonce: m.n.boot})
}

func (m *manager) broadcast(c control) {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	for _, p := range m.n.peers {
		if p != nil {
			p.send(func(out []byte) []byte { return AppendFrame(out, frameControl, b) })
		}
	}
}

func (m *manager) control(now time.Duration, from int, c *control) {
	n := m.n
	switch c.Kind {
	case "rejoin":
		meta := n.groups[metaGroup]
		if meta == nil || !meta.g.Serving() || n.m.Nodes[from].ID != c.Node {
			return
		}
		st := n.meta.State()
		if st.Nonces[c.Node] != c.Nonce {
			m.propose(now, cluster.Command{Kind: "rejoin", Node: c.Node, Nonce: c.Nonce})
			return
		}
		b, err := json.Marshal(control{Kind: "state", Node: c.Node, Nonce: c.Nonce, State: &st})
		if err != nil {
			panic(err)
		}
		n.peers[from].send(func(out []byte) []byte { return AppendFrame(out, frameControl, b) })
	case "state":
		if !m.rejoining || c.State == nil || c.Nonce != n.boot || c.State.Nonces[n.cfg.ID] != n.boot {
			return
		}
		gen := c.State.Generations[n.cfg.ID]
		n.generation, n.incarnation = gen, c.State.Incarnation
		if err := n.store.SetIdentity(disk.Identity{Node: n.cfg.ID, Cluster: n.cfg.Cluster, Generation: gen, Incarnation: n.incarnation}); err != nil {
			n.fatal = err
			return
		}
		if err := n.addGroups(true); err != nil {
			n.fatal = err
			return
		}
		m.rejoining = false
		n.events.emit("rejoined", []string{n.cfg.ID}, fmt.Sprintf("under generation %d", gen), nil)
	}
}

// decided turns what a replica decided into events and hints.
func (n *Node) decided(now time.Duration, g *group, e replica.Event) {
	name := "meta"
	fields := map[string]string{"term": strconv.FormatUint(e.Term, 10)}
	if g.shard != nil {
		name = "shard " + strconv.Itoa(g.shard.index)
		fields["shard"] = strconv.Itoa(g.shard.index)
	}
	switch e.Kind {
	case "elected":
		n.events.emit("elected", []string{n.cfg.ID, n.self.Region}, fmt.Sprintf("%s: leader in term %d", name, e.Term), fields)
		if g.shard != nil {
			n.metrics.elections.Add(1)
		}
	case "leader-known":
		if node, _ := cluster.NodeOf(e.Leader); g.shard != nil && node >= 0 && node < len(n.m.Nodes) {
			n.learn(now, hint{uint32(g.shard.index), e.Term, node})
		}
		return
	case "leader-lost":
		if g.shard != nil {
			n.learn(now, hint{uint32(g.shard.index), e.Term, -1})
		}
		return
	case "deposed":
		n.events.emit("deposed", []string{n.cfg.ID}, fmt.Sprintf("%s: no longer leader, term %d", name, e.Term), fields)
	default:
		n.events.emit(e.Kind, []string{n.cfg.ID}, name+": "+e.Detail, fields)
		return
	}
	if g.shard != nil && e.Kind == "elected" {
		n.learn(now, hint{uint32(g.shard.index), e.Term, n.self.Index})
		n.manager.lastPing = 0 // tell everybody with the next tick
	}
}

// peerUp and peerDown are called by a peer's goroutine.
func (n *Node) peerUp(*peer) {}

func (n *Node) peerDown(p *peer) {
	n.do(func() {
		n.forwards.lost(p.index)
		for _, g := range n.order {
			g.g.Unreachable(func(id uint64) bool { node, _ := cluster.NodeOf(id); return node == p.index })
			g.dirty = true
		}
	})
}

func (n *Node) addr(node int) gateway.NodeAddr {
	id := n.m.Nodes[node].ID
	host, port, err := net.SplitHostPort(n.cfg.Clients[id])
	if err != nil {
		return gateway.NodeAddr{ID: id}
	}
	p, _ := strconv.Atoi(port)
	return gateway.NodeAddr{ID: id, Host: host, Port: p}
}
