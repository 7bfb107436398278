package node

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/fivenines/fivenines/reference/internal/cluster"
	"github.com/fivenines/fivenines/reference/internal/failover"
	"github.com/fivenines/fivenines/reference/internal/gateway"
	"github.com/fivenines/fivenines/reference/internal/replica"
)

const (
	balanceEvery = 500 * time.Millisecond
	caughtUp     = 64              // entries that a replica may lack and still be given leadership
	shunFor      = 2 * time.Second // a node that says that it is unfit gets no leadership for so long
)

// manager gives what this node sees to the failover machine, and carries out
// what that decides: roles move through the meta group and leaders by transfer.
// Raft alone elects. It runs in the loop.
type manager struct {
	replication *replication
	n           *Node
	fo          *failover.Machine
	lastPing    time.Duration
	tell        bool // what this node leads has changed: ping at the end of this turn
	reported    time.Duration
	balanced    time.Duration
	usage       usage
	leaders     []int
	rejoining   bool
	asked       time.Duration
	primary     string
	epoch       uint64            // of the roles and homes that the replicas' modes follow
	stand       map[string]string // who stood in for whom then
	leaving     bool              // some shard is led here that should be led from elsewhere
	promoted    atomic.Uint64     // role changes that this node proposed and that were applied

	unfit string                // why this node must not lead shards; "": it may
	shun  map[int]time.Duration // nodes that said so of themselves, and until when it holds

	placing     time.Duration            // when a change of placements was last asked for
	toldMembers map[uint32]time.Duration // group -> when others were told its members
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// control messages between nodes.
type control struct {
	Kind   string           `json:"kind"` // rejoin, state, report, unfit, members; of the scrubber: sum, want-state, state-piece
	Node   string           `json:"node,omitempty"`
	Nonce  uint64           `json:"nonce,omitempty"`
	State  *cluster.State   `json:"state,omitempty"`
	Report *failover.Report `json:"report,omitempty"`

	Group uint32   `json:"group,omitempty"` // of members and of the scrubber
	IDs   []uint64 `json:"ids,omitempty"`   // members: the identities in the group
	Index uint64   `json:"index,omitempty"` // members: up to which its leader has applied

	// Of the scrubber.
	Sum    digest `json:"sum,omitzero"`
	Offset int    `json:"offset,omitempty"`
	Size   int    `json:"size,omitempty"`
	Data   []byte `json:"data,omitempty"`
}

func (m *manager) init(n *Node) {
	m.n = n
	m.shun = map[int]time.Duration{}
	topo := failover.Topology{Self: n.self.Index}
	for _, r := range n.m.Regions {
		topo.Regions = append(topo.Regions, failover.Region{Name: r.Name, Tertiary: r.Role == "tertiary" || r.Role == cluster.Edge})
	}
	for _, nd := range n.m.Nodes {
		topo.Nodes = append(topo.Nodes, failover.Node{ID: nd.ID, Region: slices.IndexFunc(n.m.Regions, func(r cluster.Region) bool { return r.Name == nd.Region })})
	}
	cfg := n.cfg.Failover
	cfg.NoHysteresis = cfg.NoHysteresis || n.cfg.Mutant == "no-hysteresis"
	m.fo = failover.New(cfg, topo, n.Now())
	m.leaders = make([]int, n.cfg.Shards)
	m.toldMembers = map[uint32]time.Duration{}
	st := n.meta.State()
	m.primary, m.epoch, m.stand = st.Primary, st.Epoch, st.Stand
	m.usage.init()
}

// suspects says that a node is out of reach.
func (m *manager) suspects(node int) bool { return m.fo.IsDown(node) }

func (m *manager) tick(now time.Duration) {
	n := m.n
	if m.rejoining {
		m.rejoin(now)
	}
	cfg := m.fo.Config()
	if now-m.lastPing >= time.Duration(cfg.PingEvery) {
		m.ping(now)
	}
	m.watch(now)
	m.replication.watch(now, n)
	if now-m.reported >= time.Duration(cfg.Heartbeat) {
		m.report(now)
	}
	if st := n.meta.State(); st.Primary != m.primary || st.Epoch != m.epoch || m.leaving {
		m.roles(st)
	}
	if now-m.balanced >= balanceEvery {
		m.balanced = now
		m.stepBack()
		m.replaceLost()
		m.addMissing()
		m.place(now)
		m.balance(now)
	}
}

// ping tells every peer that we live and what we lead.
func (m *manager) ping(now time.Duration) {
	n := m.n
	m.lastPing, m.tell = now, false
	var hs []hint
	for _, g := range n.order {
		if g.shard == nil {
			continue
		}
		if g.g.Serving() && g.g.LeaseUntil() > now || g.g.Coming(now, comingSoon) {
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

// watch hands the failover machine what was seen, and does what it says.
func (m *manager) watch(now time.Duration) {
	n := m.n
	for i, p := range n.peers {
		if p == nil {
			continue
		}
		if at := time.Duration(p.heard.Load()); at != 0 {
			m.fo.Heard(i, at)
		}
		if at := time.Duration(p.pinged.Swap(0)); at != 0 {
			m.fo.Heartbeat(i, at, time.Duration(p.interval.Load()))
			m.fo.Delay(now, i, time.Duration(p.late.Load()))
		}
	}
	meta := n.groups[metaGroup]
	m.fo.SetAuthority(meta != nil && meta.g.Serving())
	st := n.meta.State()
	m.fo.SetRoles(now, st.Primary, st.Epoch)
	m.fo.Keep(st.Chosen == st.Primary)
	m.fo.SetHomes(n.homes(&st))
	for s := range m.leaders {
		m.leaders[s] = n.leaderOf(s, now)
	}
	m.fo.Shards(m.leaders)
	out := m.fo.Tick(now)
	for i, p := range n.peers {
		if p != nil {
			p.phi.Store(math.Float64bits(m.fo.Phi(now, i)))
		}
	}
	for _, i := range out.Lost {
		n.forwards.lost(n, i)
	}
	for _, e := range out.Events {
		n.events.emit(e.Kind, e.Parts, e.Detail, e.Fields)
		n.metrics.decisions.WithLabelValues(e.Kind, e.Fields["priority"]).Inc()
	}
	if n.cfg.Alertmanager != "" {
		n.alerts.Store(&alertsNow{meta != nil && meta.g.Serving(), m.fo.Alerts()})
	}
	if out.Changed {
		m.report(now)
	}
	if out.Promote != nil || out.Homes != nil {
		m.propose(now, n.decree(out))
	}
}

// report tells everybody how this node is, and whom it finds down.
func (m *manager) report(now time.Duration) {
	n := m.n
	m.reported = now
	r := failover.Report{}
	r.CPU, r.Memory = m.usage.sample(now)
	for i := range n.m.Nodes {
		if m.fo.IsDown(i) {
			r.Down = append(r.Down, i)
		}
	}
	behind := map[int]bool{}
	for _, g := range n.order {
		if g.shard == nil || !g.g.Serving() {
			continue
		}
		r.Led++
		r.Sessions += g.shard.table.Len()
		for _, f := range g.g.Followers() {
			if node, _ := cluster.NodeOf(f.ID); node >= 0 && node < len(n.m.Nodes) && (!f.Active || f.Learner || f.Behind >= caughtUp) {
				behind[node] = true
			}
		}
	}
	r.Behind = slices.Sorted(maps.Keys(behind))
	m.fo.Report(now, n.self.Index, r)
	m.broadcast(control{Kind: "report", Report: &r})
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
		m.promoted.Add(1)
		m.n.events.emit("promoted", []string{o.Command.Region}, fmt.Sprintf("%s is primary in epoch %d: %s", o.Command.Region, o.State.Epoch, o.Command.Reason),
			map[string]string{"epoch": strconv.FormatUint(o.State.Epoch, 10)})
		m.rehomed(o)
	case "homes", "move":
		m.promoted.Add(1)
		m.rehomed(o)
	case "place":
		m.placed(o)
	case "rejoin":
		m.n.events.emit("rejoin", []string{o.Command.Node}, fmt.Sprintf("%s lost its disk and gets generation %d", o.Command.Node, o.State.Generations[o.Command.Node]), nil)
	}
}

func (m *manager) roles(st cluster.State) {
	m.primary, m.epoch, m.stand, m.leaving = st.Primary, st.Epoch, st.Stand, false
	for _, g := range m.n.order {
		mode := m.n.modeFor(g.shard)
		if mode == replica.Passive && g.g.Serving() {
			// It was elected to serve, and goes on until it has handed over in order
			// (balance): who serves nothing at once would fail requests.
			m.leaving = true
			continue
		}
		g.g.SetMode(mode)
		g.dirty = true
	}
}

// balance hands leadership to the replica that should have it: in the shard's
// home region first, which is the primary one where that leads alone, then in the regions' order, if it lives, is settled and has
// caught up. A Passive leader hands over to anybody who is Active (rule 4).
func (m *manager) balance(now time.Duration) {
	n := m.n
	st := n.meta.State()
	for _, g := range n.order {
		if g.shard == nil || !g.g.IsLeader() || g.moving && m.unfit == "" {
			continue
		}
		followers := g.g.Followers()
		mine := m.unfit != "" || n.modeFor(g.shard) == replica.Passive
		home := n.m.Home(&st, g.shard.index)
		for _, cand := range n.m.Prefer(n.m.Placement(&st, g.shard.index), home) {
			if cand == n.self.Index {
				if mine {
					continue
				}
				break
			}
			role := n.m.Region(n.m.Nodes[cand].Region)
			if role.Role == "tertiary" && role.Name != home {
				continue
			}
			i := slices.IndexFunc(followers, func(f replica.Follower) bool {
				node, _ := cluster.NodeOf(f.ID)
				return node == cand && f.Active && !f.Learner && f.Behind < caughtUp
			})
			if i < 0 || !m.fo.Settled(now, cand, mine) || now < m.shun[cand] {
				continue
			}
			if err := g.g.Transfer(now, followers[i].ID); err == nil {
				g.dirty, g.handed = true, now
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
	st := n.meta.State()
	gens := st.Generations
	if len(gens) == 0 {
		return
	}
	for _, g := range n.order {
		if !g.g.IsLeader() {
			continue
		}
		for _, id := range g.g.Members() {
			node, _ := cluster.NodeOf(id)
			if node < 0 || node >= len(n.m.Nodes) {
				continue
			}
			if g.shard != nil && !slices.Contains(n.m.Placement(&st, g.shard.index), node) {
				continue // it goes, and nobody comes for it: see move
			}
			if want := gens[n.m.Nodes[node].ID]; cluster.GenerationOf(id) < want {
				if _, err := g.g.Replace(id, n.wanted(&st, g, node)); err != nil {
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
	case "unfit":
		m.shun[from] = now + shunFor
	case "report":
		if c.Report != nil {
			m.fo.Report(now, from, *c.Report)
		}
	case "members":
		n.removed(c)
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
		n.sendControl(from, control{Kind: "state", Node: c.Node, Nonce: c.Nonce, State: &st})
	case "state":
		if !m.rejoining || c.State == nil || c.Nonce != n.boot || c.State.Nonces[n.cfg.ID] != n.boot || c.State.Incarnation < n.incarnation.Load() {
			return
		}
		gen := c.State.Generations[n.cfg.ID]
		if err := n.join(gen, c.State); err != nil {
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
		n.manager.tell = true
	}
}

// peerUp and peerDown are called by a peer's goroutine.
func (n *Node) peerUp(p *peer) {
	n.do(func() { n.guard.breakers.Back(p.index) })
}

func (n *Node) peerDown(p *peer) {
	n.do(func() {
		n.forwards.lost(n, p.index)
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
