package replica

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"slices"
	"sort"
	"strings"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/fivenines/fivenines/reference/internal/disk"
)

// sim is a group in virtual time over a virtual network and virtual disks. It
// checks after every step what must always hold: at most one replica may serve
// strong reads, and one that may has every acknowledged write.
type sim struct {
	now     time.Duration
	rand    *rand.Rand
	nodes   map[uint64]*simNode
	ids     []uint64
	wire    []*packet
	seq     int
	delay   func(from, to uint64) time.Duration
	cut     map[[2]uint64]bool
	acked   map[string]string
	broken  []string
	logging strings.Builder
	jitter  bool
}

type packet struct {
	due time.Duration
	seq int
	m   *raftpb.Message
}

type simNode struct {
	id       uint64
	cfg      Config
	g        *Group
	kv       *kvMachine
	paused   bool
	down     bool
	queue    []*raftpb.Message // arrived while paused
	nextTick time.Duration
	disk     simDisk
	writing  []*writing
	asked    map[string]string // proposed here, not yet acknowledged
}

type writing struct {
	due time.Duration
	s   *Storage
}

// simDisk holds what was synced.
type simDisk struct {
	hs   *raftpb.HardState
	snap *disk.Snapshot
	ents []*raftpb.Entry
}

func (d *simDisk) store(a disk.Append) {
	if a.Snapshot != nil {
		d.snap, d.ents = a.Snapshot, nil
	}
	for _, e := range a.Entries {
		for len(d.ents) > 0 && d.ents[len(d.ents)-1].GetIndex() >= e.GetIndex() {
			d.ents = d.ents[:len(d.ents)-1]
		}
		d.ents = append(d.ents, e)
	}
	if !raft.IsEmptyHardState(a.HardState) {
		d.hs = proto.Clone(a.HardState).(*raftpb.HardState)
	}
}

func (d *simDisk) state() disk.GroupState {
	st := disk.GroupState{Snapshot: d.snap, Entries: slices.Clone(d.ents), HardState: &raftpb.HardState{}}
	if d.hs != nil {
		st.HardState = proto.Clone(d.hs).(*raftpb.HardState)
	}
	return st
}

type kvMachine struct{ kv map[string]string }

func (m *kvMachine) Apply(_ uint64, data []byte) (any, error) {
	k, v, _ := strings.Cut(string(data), "=")
	m.kv[k] = v
	return string(data), nil
}
func (m *kvMachine) Snapshot() []byte {
	b, _ := json.Marshal(m.kv)
	return b
}
func (m *kvMachine) Restore(b []byte) error {
	m.kv = map[string]string{}
	if len(b) == 0 {
		return nil
	}
	return json.Unmarshal(b, &m.kv)
}

func newSim(seed int64, voters int, passive []uint64, mu Mutants) *sim {
	s := &sim{rand: rand.New(rand.NewSource(seed)), nodes: map[uint64]*simNode{}, cut: map[[2]uint64]bool{}, acked: map[string]string{}, now: time.Hour}
	s.delay = func(uint64, uint64) time.Duration { return 10 * time.Millisecond }
	var ids []uint64
	for i := range voters {
		ids = append(ids, uint64(i+1))
	}
	for i, id := range ids {
		mode := Active
		if slices.Contains(passive, id) {
			mode = Passive
		}
		s.add(&simNode{id: id, cfg: Config{Group: 1, ID: id, Voters: ids, Mode: mode, Rank: i, Timing: DefaultTiming(), Mutants: mu, Seed: seed}})
	}
	return s
}

func (s *sim) add(n *simNode) {
	s.nodes[n.id] = n
	s.ids = append(s.ids, n.id)
	slices.Sort(s.ids)
	s.start(n, false)
}

func (s *sim) start(n *simNode, restarted bool) {
	n.kv = &kvMachine{kv: map[string]string{}}
	n.cfg.Machine, n.cfg.Restarted = n.kv, restarted
	n.asked, n.writing, n.queue = map[string]string{}, nil, nil
	g, err := New(n.cfg, n.disk.state(), s.now)
	if err != nil {
		panic(err)
	}
	n.g, n.down, n.paused = g, false, false
	n.nextTick = s.now + time.Duration(s.rand.Intn(50))*time.Millisecond
}

func (s *sim) send(ms []*raftpb.Message) {
	for _, m := range ms {
		if s.cut[[2]uint64{m.GetFrom(), m.GetTo()}] {
			continue
		}
		// Over the wire and back, so that nothing is shared.
		b, err := proto.Marshal(m)
		if err != nil {
			panic(err)
		}
		c := &raftpb.Message{}
		if err := proto.Unmarshal(b, c); err != nil {
			panic(err)
		}
		s.seq++
		d := s.delay(m.GetFrom(), m.GetTo())
		if s.jitter {
			d += time.Duration(s.rand.Intn(5)) * time.Millisecond
		}
		p := &packet{s.now + d, s.seq, c}
		for _, o := range s.wire { // one connection a pair keeps the order
			if o.m.GetFrom() == m.GetFrom() && o.m.GetTo() == m.GetTo() {
				p.due = max(p.due, o.due)
			}
		}
		s.wire = append(s.wire, p)
	}
}

const simStep = 5 * time.Millisecond

// run advances virtual time.
func (s *sim) run(d time.Duration) {
	for end := s.now + d; s.now < end; {
		s.now += simStep
		sort.SliceStable(s.wire, func(i, j int) bool {
			return s.wire[i].due < s.wire[j].due || s.wire[i].due == s.wire[j].due && s.wire[i].seq < s.wire[j].seq
		})
		for len(s.wire) > 0 && s.wire[0].due <= s.now {
			p := s.wire[0]
			s.wire = s.wire[1:]
			n := s.nodes[p.m.GetTo()]
			if n == nil || n.down || s.cut[[2]uint64{p.m.GetFrom(), p.m.GetTo()}] {
				continue
			}
			if n.paused {
				n.queue = append(n.queue, p.m)
				continue
			}
			n.g.Step(s.now, p.m)
			s.drain(n)
		}
		for _, id := range s.ids {
			n := s.nodes[id]
			if n.down || n.paused {
				continue
			}
			for len(n.writing) > 0 && n.writing[0].due <= s.now {
				w := n.writing[0]
				n.writing = n.writing[1:]
				n.disk.store(w.s.Append)
				ms, err := n.g.Stored(s.now, w.s)
				if err != nil {
					panic(err)
				}
				s.send(ms)
			}
			if s.now >= n.nextTick {
				n.nextTick = s.now + n.cfg.Timing.Tick // a sleeper does not catch up
				n.g.Tick(s.now)
			}
			s.drain(n)
		}
		s.check()
	}
}

func (s *sim) drain(n *simNode) {
	for {
		out, some, err := n.g.Ready(s.now)
		if err != nil {
			panic(err)
		}
		if !some {
			return
		}
		s.send(out.Messages)
		if out.Storage != nil {
			n.writing = append(n.writing, &writing{s.now + time.Millisecond, out.Storage})
		}
		for _, r := range out.Results {
			k, v, _ := strings.Cut(r.Value.(string), "=")
			if n.asked[k] == v {
				delete(n.asked, k)
				s.acked[k] = v
				s.logf("%d acknowledges %s=%s", n.id, k, v)
			}
		}
		for _, e := range out.Events {
			switch e.Kind {
			case "elected", "deposed", "transfer", "transfer-ended", "config":
				s.logf("%d %s%s", n.id, e.Kind, cond(e.Kind == "transfer" || e.Kind == "config", " "+e.Detail))
			}
		}
	}
}

func cond(b bool, s string) string {
	if b {
		return s
	}
	return ""
}

func (s *sim) logf(format string, a ...any) { fmt.Fprintf(&s.logging, format+"\n", a...) }

func (s *sim) leased() (out []uint64) {
	for _, id := range s.ids {
		n := s.nodes[id]
		// A paused process serves nothing while it sleeps, and compares with
		// the clock when it wakes: its lease counts by what the clock says now.
		if !n.down && n.g.LeaseUntil() > s.now {
			out = append(out, id)
		}
	}
	return out
}

// check is what must hold at every instant.
func (s *sim) check() {
	l := s.leased()
	if len(l) > 1 {
		s.fail("two replicas hold the lease: %v", l)
	}
	for _, id := range l {
		n := s.nodes[id]
		if n.paused {
			continue
		}
		for k, v := range s.acked {
			if got := n.kv.kv[k]; got != v && !s.newer(n, k, got) {
				s.fail("%d serves %s=%s under a lease, acknowledged was %s", id, k, got, v)
			}
		}
	}
}

// newer: keys are written with rising numbers, and a write may be applied
// before it is acknowledged.
func (s *sim) newer(n *simNode, k, got string) bool {
	return len(got) > 0 && (len(got) > len(s.acked[k]) || len(got) == len(s.acked[k]) && got > s.acked[k])
}

func (s *sim) fail(format string, a ...any) {
	if len(s.broken) < 3 {
		s.broken = append(s.broken, fmt.Sprintf("at %v: ", s.now-time.Hour)+fmt.Sprintf(format, a...))
	}
}

func (s *sim) write(id uint64, kv string) error {
	n := s.nodes[id]
	if n.down || n.paused {
		return fmt.Errorf("node %d does not run", id)
	}
	k, v, _ := strings.Cut(kv, "=")
	n.asked[k] = v
	if err := n.g.Propose(s.now, []byte(kv)); err != nil {
		delete(n.asked, k)
		return err
	}
	s.drain(n)
	return nil
}

// read is a strong read: the value first, then the lease.
func (s *sim) read(id uint64, k string) (string, bool) {
	n := s.nodes[id]
	if n.down || n.paused {
		return "", false
	}
	v := n.kv.kv[k]
	return v, n.g.LeaseUntil() > s.now
}

func (s *sim) isolate(id uint64, on bool) {
	for _, o := range s.ids {
		if o != id {
			s.cut[[2]uint64{id, o}], s.cut[[2]uint64{o, id}] = on, on
		}
	}
	if on {
		s.wire = slices.DeleteFunc(s.wire, func(p *packet) bool { return p.m.GetFrom() == id || p.m.GetTo() == id })
	}
}

func (s *sim) pause(id uint64) { s.nodes[id].paused = true }

func (s *sim) resume(id uint64) {
	n := s.nodes[id]
	n.paused = false
	for _, m := range n.queue {
		n.g.Step(s.now, m)
	}
	n.queue = nil
	s.drain(n)
}

func (s *sim) crash(id uint64) {
	n := s.nodes[id]
	n.down = true
	n.writing = nil // what was not synced is gone
	s.wire = slices.DeleteFunc(s.wire, func(p *packet) bool { return p.m.GetFrom() == id || p.m.GetTo() == id })
}

func (s *sim) restart(id uint64) { s.start(s.nodes[id], true) }

func (s *sim) leader() uint64 {
	if l := s.leased(); len(l) == 1 {
		return l[0]
	}
	return 0
}

func (s *sim) status() string {
	var b bytes.Buffer
	for _, id := range s.ids {
		n := s.nodes[id]
		switch {
		case n.down:
			fmt.Fprintf(&b, "%d down\n", id)
		case n.paused:
			fmt.Fprintf(&b, "%d paused\n", id)
		default:
			role := "follower"
			if n.g.IsLeader() {
				role = "leader"
			}
			fmt.Fprintf(&b, "%d %s of %d serving=%v lease=%v\n", id, role, n.g.Leader(), n.g.Serving(), n.g.LeaseUntil() > s.now)
		}
	}
	return b.String()
}
