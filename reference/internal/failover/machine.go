package failover

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Region and Node as the machine needs them; regions in order of preference.
type Region struct {
	Name     string
	Tertiary bool // only an operator makes it primary
}

// Node belongs to the region with that index.
type Node struct {
	ID     string
	Region int
}

// Topology that is watched, and which of its nodes watches.
type Topology struct {
	Regions []Region
	Nodes   []Node
	Self    int
}

// Priority of an incident; P0 goes first.
type Priority int

// A region, a node, CPU or memory, the latency of a link.
const (
	P0 Priority = iota
	P1
	P2
	P3
)

func (p Priority) String() string { return fmt.Sprintf("P%d", int(p)) }

// Severity for alerting.
func (p Priority) Severity() string {
	return [...]string{"critical", "high", "medium", "low"}[p]
}

// Event is something that was decided or seen.
type Event struct {
	Kind   string
	Parts  []string // nodes and regions that it names
	Detail string
	Fields map[string]string
}

// Kinds of events. Those from Detected to FullService are the timeline.
const (
	Suspected        = "suspected"
	Down             = "down"
	Recovered        = "recovered"
	Detected         = "detected"
	AlertSent        = "alert-sent"
	ManagerNotified  = "manager-notified"
	RegionActivated  = "region-activated"
	TrafficMoved     = "traffic-moved"
	SessionsRestored = "sessions-restored"
	FullService      = "full-service"
	Escalated        = "escalated"
	HeldDown         = "held-down"
	Overloaded       = "overloaded"
	CapacityAsked    = "capacity-asked"
	LinkSlow         = "link-slow"
	Calm             = "calm"
)

// Promote is the action of making a region primary, if the epoch still holds.
type Promote struct {
	Region int
	Epoch  uint64
	Reason string
}

// Report is what a node says of itself once a heartbeat, and of others at once
// when its mind changes.
type Report struct {
	CPU    float64 `json:"cpu"`    // percent of what it may use
	Memory float64 `json:"memory"` // percent of what it may use
	Down   []int   `json:"down"`   // nodes that are down as it sees it
	Behind []int   `json:"behind"` // nodes whose replicas lag behind the leaders here
	// Sessions in the shards that it leads.
	Sessions int `json:"sessions"`
	Led      int `json:"led"` // shards
}

// Output of a Tick. Actions are only given with authority.
type Output struct {
	Events  []Event
	Promote *Promote
	Homes   *Homes // of the same epoch, if there are both
	// Lost are nodes that have just been found down: what was under way to them
	// is not answered any more.
	Lost []int
	// Changed: the set of nodes that are down did; others want to know.
	Changed bool
}

type health uint8

const (
	alive health = iota
	suspected
	down
)

type nodeState struct {
	det       detector
	state     health
	since     time.Duration // in which it is in that state; a mere suspicion does not restart being alive
	everHeard bool
	flaps     flaps
	report    Report
	reported  time.Duration // 0: never
	loadOver  over
	slowOver  over
}

// flaps counts outages that are not forgotten yet.
type flaps struct {
	n  int
	at time.Duration
}

func (f *flaps) add(now time.Duration) { f.n, f.at = f.n+1, now }

func (f *flaps) decay(now, memory time.Duration) {
	if f.n > 0 && now-f.at > memory {
		f.n = 0
	}
}

// hold doubles with each outage after the first.
func (f *flaps) hold(base, most time.Duration) time.Duration {
	h := base
	for i := 1; i < f.n && h < most; i++ {
		h *= 2
	}
	return min(h, max(most, base))
}

// over is a bound that is only believed to be exceeded after some time, and to
// hold again after as long.
type over struct {
	on    bool
	since time.Duration // in which the opposite of on is seen; 0: it is not
}

func (o *over) see(now time.Duration, high bool, hold time.Duration) (changed bool) {
	switch {
	case high == o.on:
		o.since = 0
	case o.since == 0:
		o.since = now
	case now-o.since >= hold:
		o.on, o.since = high, 0
		return true
	}
	return false
}

type regionState struct {
	out    bool
	since  time.Duration // in which it is out, or in
	failed bool          // out for long enough, and others say so
	flaps  flaps
	told   bool // held-down was said for this return
}

// incident is an outage that is being handled.
type incident struct {
	priority  Priority
	region    int // of a P0, else -1
	node      int // of a P1
	began     time.Duration
	told      bool // alert and manager
	activated bool
	moved     time.Duration // 0: not yet
	restored  time.Duration
	escalated bool
	done      bool // full service was told; it stays until the part is back
	before    int  // sessions led anywhere before it
}

// Machine is not safe for concurrent use.
type Machine struct {
	cfg       Config
	topo      Topology
	began     time.Duration
	ticked    time.Duration
	nodes     []nodeState
	regions   []regionState
	primary   int
	epoch     uint64
	keep      bool // the primary region is an operator's choice
	authority bool
	changedAt time.Duration // of roles, or when a change was last asked for
	asked     bool
	homes     []int       // regions that are home of shards
	stand     map[int]int // home region that is lost -> region that leads its shards
	leaders   []int       // of shards; -1: nobody serves it
	led       bool        // leaders were ever given
	incidents []*incident
	sessions  int // led by all together while all was well
	out       Output
}

// New watches a topology whose first region is primary in epoch 1.
func New(cfg Config, topo Topology, now time.Duration) *Machine {
	m := &Machine{cfg: cfg.Filled(), topo: topo, began: now, ticked: now, nodes: make([]nodeState, len(topo.Nodes)), regions: make([]regionState, len(topo.Regions)), epoch: 1}
	for i := range m.nodes {
		m.nodes[i].since = now
	}
	for i := range m.regions {
		m.regions[i].since = now
	}
	return m
}

// Config is the configuration with its defaults.
func (m *Machine) Config() Config { return m.cfg }

// Heard records any sign of life of a node, Heartbeat one that comes at regular
// intervals.
func (m *Machine) Heard(node int, at time.Duration) {
	n := &m.nodes[node]
	n.everHeard = true
	n.det.at = max(n.det.at, at)
}

// Heartbeat records a regular sign of life at its arrival, and how long the one
// before lay back; 0 if that is not known.
func (m *Machine) Heartbeat(node int, at, interval time.Duration) {
	n := &m.nodes[node]
	n.everHeard = true
	last := n.det.at
	if interval > 0 {
		n.det.at = at - interval
		n.det.beat(at, true)
	}
	n.det.at = max(last, at)
}

// Report takes what another node, or this one, says.
func (m *Machine) Report(now time.Duration, node int, r Report) {
	m.nodes[node].report, m.nodes[node].reported = r, now
}

// Delay is by how much frames from a node are later than the quickest.
func (m *Machine) Delay(now time.Duration, node int, late time.Duration) {
	n := &m.nodes[node]
	if !n.slowOver.see(now, late > m.cfg.Latency.d(), m.cfg.LatencyFor.d()) {
		return
	}
	kind, detail := LinkSlow, fmt.Sprintf("frames from %s are %v later than its quickest", m.topo.Nodes[node].ID, late.Round(time.Millisecond))
	if !n.slowOver.on {
		kind, detail = Calm, "frames from "+m.topo.Nodes[node].ID+" are quick again"
	}
	m.event(kind, P3, []string{m.topo.Nodes[node].ID, m.topo.Nodes[m.topo.Self].ID}, detail)
}

// SetRoles tells what the meta group has decided.
func (m *Machine) SetRoles(now time.Duration, primary string, epoch uint64) {
	i := slices.IndexFunc(m.topo.Regions, func(r Region) bool { return r.Name == primary })
	if i < 0 || i == m.primary && epoch == m.epoch {
		return
	}
	m.primary, m.epoch, m.changedAt, m.asked = i, epoch, now, false
}

// Keep says that the primary region was an operator's choice: it keeps its role
// until it is lost.
func (m *Machine) Keep(yes bool) { m.keep = yes }

// SetAuthority says whether this process leads the meta group.
func (m *Machine) SetAuthority(yes bool) { m.authority = yes }

// Shards tells which node serves each shard, -1 for none.
func (m *Machine) Shards(leaders []int) { m.leaders, m.led = append(m.leaders[:0], leaders...), true }

// IsDown says that nothing should be sent to a node.
func (m *Machine) IsDown(node int) bool { return m.nodes[node].state == down }

// Suspects says that a node is suspected or down.
func (m *Machine) Suspects(node int) bool { return m.nodes[node].state != alive }

// Phi of a node's silence now.
func (m *Machine) Phi(now time.Duration, node int) float64 {
	if node == m.topo.Self {
		return 0
	}
	d := &m.nodes[node].det
	return max(0, d.phi(now-max(d.at, m.began), m.cfg.PingEvery.d(), m.cfg.MinDeviation.d()))
}

// Since is how long a node has been down, 0 if it is not.
func (m *Machine) Since(now time.Duration, node int) time.Duration {
	if n := &m.nodes[node]; n.state == down {
		return now - n.since
	}
	return 0
}

// Out is how long all nodes of a region have been down, 0 if they are not.
func (m *Machine) Out(now time.Duration, region int) time.Duration {
	if r := &m.regions[region]; r.failed {
		return now - r.since
	}
	return 0
}

// Settled says that a node has been there for so long that it may be given
// leadership. Urgent asks only that it is there.
func (m *Machine) Settled(now time.Duration, node int, urgent bool) bool {
	if node == m.topo.Self {
		return true
	}
	n := &m.nodes[node]
	if n.state != alive || !n.everHeard {
		return false
	}
	hold := m.nodeHold(node)
	if urgent {
		hold = 0
	}
	return now-n.since >= hold
}

func (m *Machine) nodeHold(node int) time.Duration {
	if m.cfg.NoHysteresis {
		return 0
	}
	return m.nodes[node].flaps.hold(m.cfg.NodeSettle.d(), m.cfg.HoldDownMax.d())
}

func (m *Machine) regionHold(r int) time.Duration {
	if m.cfg.NoHysteresis {
		return 0
	}
	return m.regions[r].flaps.hold(m.cfg.FailBack.d(), m.cfg.HoldDownMax.d())
}

// Tick lets time pass and returns what follows.
func (m *Machine) Tick(now time.Duration) Output {
	// Who did not run himself can't say that others were silent.
	if gap := now - m.ticked; gap > 2*m.cfg.PingEvery.d() && !m.cfg.NoHysteresis {
		for i := range m.nodes {
			if d := &m.nodes[i].det; d.at != 0 {
				d.at = min(now, d.at+gap)
			}
		}
	}
	m.ticked = now
	m.watchNodes(now)
	m.watchRegions(now)
	m.load(now)
	m.open(now)
	if m.authority {
		m.decide(now)
	}
	m.handle(now)
	out := m.out
	m.out = Output{}
	return out
}

func (m *Machine) watchNodes(now time.Duration) {
	for i := range m.nodes {
		n := &m.nodes[i]
		if i == m.topo.Self {
			continue
		}
		n.flaps.decay(now, m.cfg.FlapMemory.d())
		id := m.topo.Nodes[i]
		parts := []string{id.ID, m.topo.Regions[id.Region].Name}
		silence := now - max(n.det.at, m.began)
		is := alive
		switch confirm := m.cfg.ConfirmAfter.d(); {
		case !n.everHeard:
			if silence > m.cfg.ConnTimeout.d() {
				is = down
			}
		case silence > m.cfg.ConnTimeout.d():
			is = down
		case m.Phi(now, i) >= m.cfg.Phi || m.cfg.NoHysteresis && silence > 2*m.cfg.PingEvery.d():
			if is = suspected; silence > confirm || m.cfg.NoHysteresis {
				is = down
			}
		}
		if is == n.state {
			continue
		}
		was := n.state
		n.state = is
		if was == down || is == down {
			n.since = now
			m.out.Changed = true
		}
		switch {
		case is != alive && was == alive:
			m.event(Suspected, P1, parts, fmt.Sprintf("nothing heard from %s for %v, phi %.1f", id.ID, silence.Round(time.Millisecond), m.Phi(now, i)))
		case is == alive:
			m.event(Recovered, P1, parts, id.ID+" is heard again")
		}
		if is == down {
			n.flaps.add(now)
			n.reported = 0
			m.out.Lost = append(m.out.Lost, i)
			m.event(Down, P1, parts, fmt.Sprintf("nothing heard from %s for %v", id.ID, silence.Round(time.Millisecond)))
		}
	}
}

func (m *Machine) watchRegions(now time.Duration) {
	for r := range m.regions {
		s := &m.regions[r]
		if r == m.topo.Nodes[m.topo.Self].Region {
			continue
		}
		s.flaps.decay(now, m.cfg.FlapMemory.d())
		name := m.topo.Regions[r].Name
		out := true
		for i, n := range m.topo.Nodes {
			out = out && (n.Region != r || m.nodes[i].state == down)
		}
		if out != s.out {
			s.out, s.since, s.told = out, now, false
			if out {
				s.flaps.add(now)
				m.event(Detected, P0, []string{name}, "no node of "+name+" is heard")
			} else {
				s.failed = false
				m.event(Recovered, P0, []string{name}, name+" is heard again")
			}
		}
		if !s.out || s.failed {
			continue
		}
		s.failed = m.cfg.NoHysteresis || now-s.since >= m.cfg.RegionSettle.d() && m.agreed(r)
	}
}

// agreed says that of those outside a region who reported lately, this node
// among them, more than half find all of it down.
func (m *Machine) agreed(region int) bool {
	yes, all := 1, 1
	for i, n := range m.topo.Nodes {
		s := &m.nodes[i]
		if i == m.topo.Self || n.Region == region || s.state == down || s.reported == 0 || m.ticked-s.reported > 3*m.cfg.Heartbeat.d() {
			continue
		}
		all++
		says := true
		for j, o := range m.topo.Nodes {
			says = says && (o.Region != region || slices.Contains(s.report.Down, j))
		}
		if says {
			yes++
		}
	}
	return 2*yes > all
}

func (m *Machine) load(now time.Duration) {
	for i := range m.nodes {
		n := &m.nodes[i]
		if n.reported == 0 || n.state == down {
			continue
		}
		r := n.report
		if !n.loadOver.see(now, r.CPU > m.cfg.CPU || r.Memory > m.cfg.Memory, m.cfg.LoadFor.d()) || !m.authority && i != m.topo.Self {
			continue
		}
		id := m.topo.Nodes[i].ID
		what := fmt.Sprintf("%s uses %.0f %% of its CPU and %.0f %% of its memory", id, r.CPU, r.Memory)
		switch {
		case !n.loadOver.on:
			m.event(Calm, P2, []string{id}, what)
		case i == m.topo.Self:
			m.event(Overloaded, P2, []string{id}, what)
		default:
			m.event(CapacityAsked, P2, []string{id, m.topo.Regions[m.topo.Nodes[i].Region].Name}, what)
		}
	}
}

// IsOverloaded says that a node is over its bound of CPU or memory.
func (m *Machine) IsOverloaded(node int) bool { return m.nodes[node].loadOver.on }

// decide is what roles and homes should be, at intervals.
func (m *Machine) decide(now time.Duration) {
	if gap := m.cfg.RoleGap.d(); now-m.changedAt < gap && (m.asked || m.epoch > 1) && !m.cfg.NoHysteresis {
		return
	}
	m.decidePrimary(now)
	m.decideHomes(now)
}

// decidePrimary is which region should be primary.
func (m *Machine) decidePrimary(now time.Duration) {
	failed := m.regions[m.primary].failed
	if m.keep && !failed {
		return
	}
	passes := []bool{false}
	if failed {
		passes = []bool{false, true} // who flaps comes last where there is another
	}
	for _, flapping := range passes {
		for r, reg := range m.topo.Regions {
			if r == m.primary {
				if failed {
					continue
				}
				return // the best region that is there is primary already
			}
			s := &m.regions[r]
			if reg.Tertiary || failed && (s.flaps.n > 1) != flapping {
				continue
			}
			hold := m.regionHold(r)
			if failed {
				hold = 0
			}
			if !m.ready(now, r, hold, failed) {
				if !failed {
					m.heldDown(r, "is primary")
				}
				continue
			}
			why := "the primary region " + m.topo.Regions[m.primary].Name + " is gone"
			if !failed {
				why = reg.Name + " is back"
			}
			m.changedAt, m.asked = now, true
			m.out.Promote = &Promote{r, m.epoch, why}
			return
		}
	}
}

// heldDown tells, once, that a region that is back has to wait.
func (m *Machine) heldDown(r int, as string) {
	if s := &m.regions[r]; s.flaps.n > 1 && !s.out && !s.told {
		s.told = true
		name := m.topo.Regions[r].Name
		m.event(HeldDown, P0, []string{name}, fmt.Sprintf("%s was lost %d times: it %s again after %v without an outage", name, s.flaps.n, as, m.regionHold(r)))
	}
}

// ready says that most nodes of a region have been there for so long, and, for
// a change that is not urgent, that none of their replicas lags behind.
func (m *Machine) ready(now time.Duration, region int, hold time.Duration, urgent bool) bool {
	there, all := 0, 0
	for i, n := range m.topo.Nodes {
		if n.Region != region {
			continue
		}
		all++
		s := &m.nodes[i]
		if i == m.topo.Self || s.state == alive && s.everHeard && now-s.since >= hold {
			there++
		}
		if urgent || m.cfg.NoHysteresis {
			continue
		}
		for j := range m.nodes {
			if o := &m.nodes[j]; o.state != down && o.reported != 0 && slices.Contains(o.report.Behind, i) {
				return false
			}
		}
	}
	return 2*there > all
}

// open begins incidents.
func (m *Machine) open(now time.Duration) {
	has := func(p Priority, region, node int) bool {
		return slices.ContainsFunc(m.incidents, func(i *incident) bool { return i.priority == p && i.region == region && i.node == node })
	}
	for r := range m.regions {
		if m.regions[r].failed && !has(P0, r, -1) {
			// A region takes its nodes' incidents over.
			m.incidents = slices.DeleteFunc(m.incidents, func(i *incident) bool { return i.priority == P1 && m.topo.Nodes[i.node].Region == r })
			m.incidents = append(m.incidents, &incident{priority: P0, region: r, node: -1, began: m.regions[r].since, before: m.sessions, activated: m.activated(r)})
		}
	}
	for i, n := range m.topo.Nodes {
		if s := &m.nodes[i]; s.state == down && !m.regions[n.Region].out && now-max(s.since, m.regions[n.Region].since) >= m.cfg.RegionSettle.d() && !has(P1, -1, i) {
			m.incidents = append(m.incidents, &incident{priority: P1, region: -1, node: i, began: s.since, before: m.sessions})
		}
	}
	slices.SortStableFunc(m.incidents, func(a, b *incident) int { return int(a.priority - b.priority) })
	if len(m.incidents) == 0 {
		if served, _ := m.served(); served {
			if s := m.total(); s > 0 {
				m.sessions = s
			}
		}
	}
}

// served says that every shard is served by a node that is there, and how many
// are not.
func (m *Machine) served() (all bool, missing int) {
	for _, l := range m.leaders {
		if l < 0 || m.nodes[l].state == down {
			missing++
		}
	}
	return m.led && missing == 0, missing
}

// total is how many sessions the nodes that are there say they lead.
func (m *Machine) total() (sum int) {
	for i := range m.nodes {
		if n := &m.nodes[i]; n.reported != 0 && n.state != down {
			sum += n.report.Sessions
		}
	}
	return sum
}

// counted says that who leads shards now has reported since.
func (m *Machine) counted(since time.Duration) bool {
	for _, l := range m.leaders {
		if l < 0 || m.nodes[l].reported <= since || m.nodes[l].report.Led == 0 {
			return false
		}
	}
	return true
}

// handle carries incidents on through their timeline, and ends them. Those who
// have no authority keep them without a word, to take them over.
func (m *Machine) handle(now time.Duration) {
	served, missing := m.served()
	m.incidents = slices.DeleteFunc(m.incidents, func(i *incident) bool {
		what, parts := "", []string(nil)
		back := false
		if i.priority == P0 {
			name := m.topo.Regions[i.region].Name
			what, parts, back = "the loss of "+name, []string{name}, !m.regions[i.region].out
		} else {
			n := m.topo.Nodes[i.node]
			what, parts, back = "the loss of "+n.ID, []string{n.ID, m.topo.Regions[n.Region].Name}, m.nodes[i.node].state == alive
		}
		tell := func(kind, detail string) {
			if m.authority {
				m.event(kind, i.priority, parts, detail)
			}
		}
		if !i.told && m.authority {
			i.told = true
			tell(AlertSent, fmt.Sprintf("%s: severity %s", what, i.priority.Severity()))
			tell(ManagerNotified, what+" is handled by the leader of the meta group")
		}
		if i.priority == P0 && !i.activated && m.activated(i.region) && m.epoch > 0 {
			i.activated = true
			detail := fmt.Sprintf("%s is primary in epoch %d", m.topo.Regions[m.primary].Name, m.epoch)
			if in, ok := m.stand[i.region]; ok {
				detail = fmt.Sprintf("%s leads its shards in epoch %d", m.topo.Regions[in].Name, m.epoch)
			}
			tell(RegionActivated, detail)
		}
		if (i.priority == P1 || i.activated) && i.moved == 0 && served {
			i.moved = now
			tell(TrafficMoved, "every shard is served without it")
		}
		if i.moved != 0 && i.restored == 0 && served && m.counted(i.moved) {
			i.restored = now
			tell(SessionsRestored, fmt.Sprintf("%d sessions are led, %d were before", m.total(), i.before))
		}
		if !i.done && i.restored != 0 && served && now-i.restored >= m.cfg.Heartbeat.d() {
			i.done = true
			tell(FullService, fmt.Sprintf("%v after %s was detected", (now-i.began).Round(time.Millisecond), what))
		}
		if !i.done && !i.escalated && now-i.began >= m.cfg.Escalate.d() {
			i.escalated = true
			tell(Escalated, fmt.Sprintf("%s: after %v %d shards are not served; an operator has to look", what, (now-i.began).Round(time.Second), missing))
		}
		return back
	})
}

func (m *Machine) event(kind string, p Priority, parts []string, detail string) {
	m.out.Events = append(m.out.Events, Event{Kind: kind, Parts: parts, Detail: detail, Fields: map[string]string{"priority": p.String(), "severity": p.Severity()}})
}

// String is for tests and logs.
func (e Event) String() string {
	return fmt.Sprintf("%s %s [%s] %s", e.Fields["priority"], e.Kind, strings.Join(e.Parts, " "), e.Detail)
}
