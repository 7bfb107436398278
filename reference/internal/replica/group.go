package replica

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/fivenines/fivenines/reference/internal/disk"
)

// Mode is what a replica may do about leadership.
type Mode uint8

const (
	// Active replicas campaign when the leader is silent.
	Active Mode = iota
	// Passive replicas (the tertiary region) vote and do not campaign, unless
	// the group had no leader for two election timeouts: theirs may be the
	// longest log. A passive leader serves nothing and hands over.
	Passive
)

// Machine is the replicated state. Apply and Restore are called by the owner
// of the Group only.
type Machine interface {
	// Apply applies one committed entry; what it returns is handed out with
	// the result if the entry was proposed by this process.
	Apply(index uint64, data []byte) (any, error)
	Snapshot() []byte
	Restore(data []byte) error
}

// Timing of a group. One tick is the unit of Raft's own counters.
type Timing struct {
	Tick          time.Duration // 50 ms
	ElectionTicks int           // 20: election timeout 1 s
	RoundEvery    int           // ticks between lease rounds, 2
	Margin        time.Duration // for clock drift, 100 ms
	RetryCampaign time.Duration // a campaign over a long round trip needs time: 500 ms
}

// DefaultTiming suits round trips up to 300 ms.
func DefaultTiming() Timing {
	return Timing{Tick: 50 * time.Millisecond, ElectionTicks: 20, RoundEvery: 2, Margin: 100 * time.Millisecond, RetryCampaign: 500 * time.Millisecond}
}

// Election is the election timeout.
func (t Timing) Election() time.Duration { return time.Duration(t.ElectionTicks) * t.Tick }

// Lease is how long after a round's send time the lease holds: a follower
// counts whole ticks, of which the first may have begun before it heard us.
func (t Timing) Lease() time.Duration {
	return time.Duration(t.ElectionTicks-1)*t.Tick - t.Margin
}

// Mutants are ways to be wrong on purpose, for testing the harness.
type Mutants struct {
	AckBeforeQuorum bool // results when proposed, not when committed
	StaleLease      bool // the lease never ends
	NoFailover      bool // never campaigns once it has seen a leader
	NoFencing       bool // a leader without quorum goes on alone
}

// Config of one replica.
type Config struct {
	Group     uint32
	ID        uint64 // Raft identity; never reused after its disk was lost
	Voters    []uint64
	Learners  []uint64
	Mode      Mode
	Rank      int // 0 is who should lead first; the others wait longer before the first election
	Timing    Timing
	Machine   Machine
	Restarted bool // rule 3 applies
	Joining   bool // a new identity: no configuration of its own until a leader sends one
	Mutants   Mutants
	Seed      int64
	Logf      func(string, ...any)
}

// Event is something the replica decided.
type Event struct {
	Kind   string // elected, leader-known, leader-lost, suspected-leader, deposed, transfer, lease-lost, config
	Term   uint64
	Leader uint64
	Detail string
}

// Result is the outcome of an entry that was applied here.
type Result struct {
	Index uint64
	Value any
}

// Storage is a disk write. The owner makes it durable and hands it to Stored;
// those of one group stay in order.
type Storage struct {
	Append    disk.Append
	snap      *raftpb.Snapshot
	responses []*raftpb.Message
}

// Output of one Ready.
type Output struct {
	Messages []*raftpb.Message // to other replicas
	Storage  *Storage          // nil: nothing to write
	Results  []Result
	Events   []Event
	// Restored: the machine was replaced by a snapshot from the leader.
	Restored bool
}

// ErrNotLeader is a proposal or request that only a serving leader takes.
var ErrNotLeader = errors.New("not the leader")

// Group is one replica. Not safe for concurrent use.
type Group struct {
	cfg  Config
	rn   *raft.RawNode
	log  *raft.MemoryStorage
	conf *raftpb.ConfState

	now          time.Duration
	booted       time.Duration
	heard        time.Duration // when the leader was last heard, or when it was lost
	retryAt      time.Duration
	rand         *rand.Rand
	ticks        int
	sawLeader    bool
	leader       uint64
	state        raft.StateType
	term         uint64
	applied      uint64
	appliedTerm  uint64
	ready        bool // leader that has applied an entry of its own term
	readyAt      time.Duration
	lease        lease
	snapIndex    uint64
	logBytes     uint64 // applied since the last snapshot
	heldBytes    uint64 // of log kept for a follower that is away
	held         uint64 // what is behind this index is kept for the archive; 0: nothing
	confPending  bool
	snapSent     map[uint64]time.Duration
	transferMark uint64
	events       []Event
	results      []Result // early ones, of mutants
	restored     bool
	err          error
}

// New makes a replica from what its disk holds.
func New(cfg Config, st disk.GroupState, now time.Duration) (*Group, error) {
	if cfg.Logf == nil {
		cfg.Logf = func(string, ...any) {}
	}
	g := &Group{cfg: cfg, log: raft.NewMemoryStorage(), now: now, booted: now, heard: now, snapSent: map[uint64]time.Duration{},
		rand: rand.New(rand.NewPCG(uint64(cfg.Seed), cfg.ID<<32|uint64(cfg.Group)))}
	fresh := st.Snapshot == nil && len(st.Entries) == 0 && raft.IsEmptyHardState(st.HardState)
	switch {
	case st.Snapshot != nil:
		if err := cfg.Machine.Restore(st.Snapshot.Data); err != nil {
			return nil, fmt.Errorf("group %d: snapshot at index %d: %w", cfg.Group, st.Snapshot.Meta.GetIndex(), err)
		}
		meta := proto.Clone(st.Snapshot.Meta).(*raftpb.SnapshotMetadata)
		if err := g.log.ApplySnapshot(&raftpb.Snapshot{Metadata: meta, Data: nil}); err != nil {
			return nil, fmt.Errorf("group %d: %w", cfg.Group, err)
		}
		g.conf = meta.GetConfState()
		g.applied, g.appliedTerm = meta.GetIndex(), meta.GetTerm()
	case !cfg.Joining:
		// Everybody begins from the same made-up snapshot at index 1, so that no
		// configuration change has to be replicated first.
		g.conf = &raftpb.ConfState{Voters: cfg.Voters, Learners: cfg.Learners}
		boot := &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: new(uint64(1)), Term: new(uint64(1)), ConfState: g.conf}}
		if err := g.log.ApplySnapshot(boot); err != nil {
			return nil, fmt.Errorf("group %d: %w", cfg.Group, err)
		}
		g.applied, g.appliedTerm = 1, 1
	}
	g.snapIndex = g.applied
	if !raft.IsEmptyHardState(st.HardState) {
		if st.HardState.GetCommit() < g.applied {
			st.HardState.Commit = new(g.applied)
		}
		if err := g.log.SetHardState(st.HardState); err != nil {
			return nil, fmt.Errorf("group %d: %w", cfg.Group, err)
		}
	} else if fresh && !cfg.Joining {
		if err := g.log.SetHardState(&raftpb.HardState{Term: new(uint64(1)), Vote: new(uint64(0)), Commit: new(uint64(1))}); err != nil {
			return nil, fmt.Errorf("group %d: %w", cfg.Group, err)
		}
	}
	if err := g.log.Append(st.Entries); err != nil {
		return nil, fmt.Errorf("group %d: %w", cfg.Group, err)
	}
	var err error
	g.rn, err = raft.NewRawNode(&raft.Config{
		ID: cfg.ID, ElectionTick: cfg.Timing.ElectionTicks, HeartbeatTick: max(1, cfg.Timing.ElectionTicks/2),
		Storage: g.log, Applied: g.applied, AsyncStorageWrites: true,
		// A follower that comes back is fed in portions: all that it missed at once
		// would hold the leader's loop for longer than its peers wait for a heartbeat.
		// 512 KiB a round trip is far more than a shard writes in one (HOTPATH: too
		// small a limit fails silently).
		MaxSizePerMsg: 64 << 10, MaxInflightBytes: 512 << 10, MaxInflightMsgs: 1024,
		MaxCommittedSizePerReady: 4 << 20, MaxUncommittedEntriesSize: 256 << 20, CheckQuorum: !cfg.Mutants.NoFencing && !cfg.Mutants.StaleLease, PreVote: true,
		ReadOnlyOption: raft.ReadOnlySafe, DisableProposalForwarding: true, StepDownOnRemoval: true,
		Logger: quietLogger{cfg.Logf},
	})
	if err != nil {
		return nil, fmt.Errorf("group %d: %w", cfg.Group, err)
	}
	g.term = g.rn.BasicStatus().GetTerm()
	return g, nil
}

// quarantined is rule 3: what this process promised before it restarted is
// forgotten, so it waits until every lease that it may have supported is over.
func (g *Group) quarantined() bool {
	return g.cfg.Restarted && g.now-g.booted < g.cfg.Timing.Election()+g.cfg.Timing.Margin
}

// Tick counts one tick. After a suspension it must be called once, not once
// for each tick missed.
func (g *Group) Tick(now time.Duration) {
	g.now = now
	g.ticks++
	if g.state == raft.StateLeader {
		g.rn.Tick()
		g.round()
		return
	}
	// Raft's own election timer draws from a global random source: it would make
	// replicas campaign that must not, at instants that no seed repeats. Only the
	// count of ticks since the leader was heard goes on, for the votes' lease.
	g.rn.TickQuiesced()
	g.maybeCampaign()
}

// maybeCampaign is our own election timer: it is shorter and not randomised,
// since at most one replica a region is Active and the others are Passive.
func (g *Group) maybeCampaign() {
	t := g.cfg.Timing
	// Voters that are farther from the lost leader heard it later than we did:
	// asked too early they would not answer, and a campaign would be wasted.
	wait := t.Election() + 3*t.Tick
	if g.cfg.Mode == Passive {
		wait = 2 * t.Election()
	}
	if !g.sawLeader {
		wait += time.Duration(g.cfg.Rank) * t.Election() / 2
	}
	if g.now-g.heard < wait || g.now < g.retryAt || g.quarantined() || !g.mayCampaign() {
		return
	}
	// Retries are spread, or replicas that split a vote would go on splitting it.
	g.retryAt = g.now + t.RetryCampaign + time.Duration(g.rand.Int64N(int64(t.RetryCampaign)))
	if err := g.rn.Campaign(); err != nil {
		g.cfg.Logf("group %d: campaign: %v", g.cfg.Group, err)
		return
	}
	g.event(Event{Kind: "campaign", Term: g.term, Detail: fmt.Sprintf("no leader heard for %v", g.now-g.heard)})
}

func (g *Group) mayCampaign() bool {
	return !(g.cfg.Mutants.NoFailover && g.sawLeader)
}

// Step takes a message from another replica.
func (g *Group) Step(now time.Duration, m *raftpb.Message) {
	g.now = now
	switch m.GetType() {
	case raftpb.MsgVote, raftpb.MsgPreVote:
		if g.quarantined() {
			return
		}
		// Whoever asks now gets the time that a vote takes.
		g.retryAt = max(g.retryAt, now+g.cfg.Timing.RetryCampaign/2)
	case raftpb.MsgApp, raftpb.MsgHeartbeat, raftpb.MsgSnap:
		if m.GetTerm() >= g.term {
			g.heard = now
		}
	case raftpb.MsgTimeoutNow:
		if g.quarantined() {
			return
		}
	case raftpb.MsgProp:
		return // forwarding is the node's business (rule 6)
	}
	if err := g.rn.Step(m); err != nil && !errors.Is(err, raft.ErrStepPeerNotFound) && !errors.Is(err, raft.ErrProposalDropped) {
		g.cfg.Logf("group %d: %s from %d: %v", g.cfg.Group, m.GetType(), m.GetFrom(), err)
	}
}

// Propose offers an entry. ErrNotLeader says that it was certainly not
// proposed. Its Result comes out of a later Ready, or never.
func (g *Group) Propose(now time.Duration, data []byte) error {
	g.now = now
	if !g.Serving() {
		return ErrNotLeader
	}
	if err := g.rn.Propose(data); err != nil {
		return fmt.Errorf("%w: %w", ErrNotLeader, err)
	}
	if g.cfg.Mutants.AckBeforeQuorum || g.cfg.Mutants.NoFencing && g.now > g.lease.until && g.lease.until != 0 {
		v, err := g.cfg.Machine.Apply(0, data)
		if err != nil {
			return err
		}
		g.results = append(g.results, Result{Value: v})
	}
	return nil
}

// Stored takes back a disk write that is durable now. Its order is that in
// which Ready gave them out.
func (g *Group) Stored(now time.Duration, s *Storage) ([]*raftpb.Message, error) {
	g.now = now
	if s.snap != nil {
		if err := g.log.ApplySnapshot(&raftpb.Snapshot{Metadata: s.snap.GetMetadata()}); err != nil && !errors.Is(err, raft.ErrSnapOutOfDate) {
			return nil, fmt.Errorf("group %d: %w", g.cfg.Group, err)
		}
	}
	if len(s.Append.Entries) > 0 {
		if err := g.log.Append(s.Append.Entries); err != nil {
			return nil, fmt.Errorf("group %d: %w", g.cfg.Group, err)
		}
	}
	if !raft.IsEmptyHardState(s.Append.HardState) {
		if err := g.log.SetHardState(s.Append.HardState); err != nil {
			return nil, fmt.Errorf("group %d: %w", g.cfg.Group, err)
		}
	}
	var out []*raftpb.Message
	for _, m := range s.responses {
		if m.GetTo() == g.cfg.ID {
			if err := g.rn.Step(m); err != nil && !errors.Is(err, raft.ErrStepPeerNotFound) {
				return nil, fmt.Errorf("group %d: %w", g.cfg.Group, err)
			}
			continue
		}
		out = append(out, m)
	}
	return out, nil
}

// Ready returns what there is to do, false if nothing.
func (g *Group) Ready(now time.Duration) (Output, bool, error) {
	g.now = now
	var out Output
	for g.rn.HasReady() {
		rd := g.rn.Ready()
		if rd.SoftState != nil || rd.HardState != nil {
			g.observe(rd)
		}
		for _, rs := range rd.ReadStates {
			g.confirm(rs.RequestCtx)
		}
		again := false
		for _, m := range rd.Messages {
			switch m.GetType() {
			case raftpb.MsgStorageAppend:
				out.Storage = g.storage(out.Storage, m)
			case raftpb.MsgStorageApply:
				if err := g.apply(m.GetEntries(), &out); err != nil {
					return out, true, err
				}
				for _, r := range m.GetResponses() {
					if err := g.rn.Step(r); err != nil {
						return out, true, fmt.Errorf("group %d: %w", g.cfg.Group, err)
					}
				}
				again = true
			case raftpb.MsgSnap:
				// The log's own snapshot has no data: send the machine as it is now.
				m.Snapshot = &raftpb.Snapshot{Data: g.cfg.Machine.Snapshot(), Metadata: &raftpb.SnapshotMetadata{
					Index: new(g.applied), Term: new(g.appliedTerm), ConfState: g.conf}}
				g.snapSent[m.GetTo()] = g.now
				out.Messages = append(out.Messages, m)
			default:
				out.Messages = append(out.Messages, m)
			}
		}
		if !again {
			break
		}
	}
	if len(g.results) > 0 {
		out.Results = append(out.Results, g.results...)
		g.results = nil
	}
	out.Events, g.events = g.events, nil
	out.Restored, g.restored = g.restored, false
	any := len(out.Messages) > 0 || out.Storage != nil || len(out.Results) > 0 || len(out.Events) > 0 || out.Restored
	return out, any, g.err
}

func (g *Group) storage(s *Storage, m *raftpb.Message) *Storage {
	n := &Storage{Append: disk.Append{Group: g.cfg.Group, Entries: m.GetEntries()}, responses: m.GetResponses()}
	if m.Term != nil {
		n.Append.HardState = &raftpb.HardState{Term: m.Term, Vote: m.Vote, Commit: m.Commit}
	}
	if !raft.IsEmptySnap(m.GetSnapshot()) {
		snap := m.GetSnapshot()
		n.snap = snap
		n.Append.Snapshot = &disk.Snapshot{Meta: snap.GetMetadata(), Data: snap.GetData()}
		if err := g.cfg.Machine.Restore(snap.GetData()); err != nil {
			g.err = fmt.Errorf("group %d: snapshot from the leader at index %d: %w", g.cfg.Group, snap.GetMetadata().GetIndex(), err)
		}
		g.conf = snap.GetMetadata().GetConfState()
		g.applied, g.appliedTerm = snap.GetMetadata().GetIndex(), snap.GetMetadata().GetTerm()
		g.snapIndex, g.logBytes = g.applied, 0
		g.restored = true
	}
	if s == nil {
		return n
	}
	// Two appends in one Ready loop: later entries follow or overwrite, and a
	// snapshot never comes second since raft waits for what is in progress.
	s.Append.Entries = mergeEntries(s.Append.Entries, n.Append.Entries)
	if n.Append.HardState != nil {
		s.Append.HardState = n.Append.HardState
	}
	if n.snap != nil {
		s.snap, s.Append.Snapshot, s.Append.Entries = n.snap, n.Append.Snapshot, n.Append.Entries
	}
	s.responses = append(s.responses, n.responses...)
	return s
}

func mergeEntries(a, b []*raftpb.Entry) []*raftpb.Entry {
	if len(a) == 0 || len(b) == 0 {
		return append(a, b...)
	}
	first := b[0].GetIndex()
	for len(a) > 0 && a[len(a)-1].GetIndex() >= first {
		a = a[:len(a)-1]
	}
	return append(append([]*raftpb.Entry(nil), a...), b...)
}

func (g *Group) apply(ents []*raftpb.Entry, out *Output) error {
	for _, e := range ents {
		switch e.GetType() {
		case raftpb.EntryConfChange, raftpb.EntryConfChangeV2:
			if err := g.applyConf(e); err != nil {
				return err
			}
		default:
			if len(e.GetData()) > 0 {
				v, err := g.cfg.Machine.Apply(e.GetIndex(), e.GetData())
				if err != nil {
					return fmt.Errorf("group %d: entry %d: %w", g.cfg.Group, e.GetIndex(), err)
				}
				if v != nil {
					out.Results = append(out.Results, Result{e.GetIndex(), v})
				}
				g.logBytes += uint64(len(e.GetData()))
			}
		}
		g.applied, g.appliedTerm = e.GetIndex(), e.GetTerm()
		if g.state == raft.StateLeader && !g.ready && g.appliedTerm == g.term {
			g.ready, g.readyAt = true, g.now
			g.round()
		}
	}
	return nil
}

func (g *Group) observe(rd raft.Ready) {
	st := g.rn.BasicStatus()
	term := st.GetTerm()
	was, wasLeader := g.state, g.leader
	g.state, g.leader = st.RaftState, st.Lead
	if g.leader != 0 {
		g.sawLeader = true
	}
	if term != g.term || g.state != raft.StateLeader {
		g.lease = lease{}
		g.ready = false
	}
	g.term = term
	if g.leader != wasLeader && g.leader != 0 {
		g.heard = g.now
	}
	switch {
	case g.state == raft.StateLeader && was != raft.StateLeader:
		g.event(Event{Kind: "elected", Term: term, Leader: g.cfg.ID})
	case was == raft.StateLeader && g.state != raft.StateLeader:
		g.heard = g.now
		g.event(Event{Kind: "deposed", Term: term, Leader: g.leader})
	case g.leader != wasLeader && g.leader != 0:
		g.event(Event{Kind: "leader-known", Term: term, Leader: g.leader})
	case g.leader != wasLeader:
		g.event(Event{Kind: "leader-lost", Term: term, Leader: wasLeader})
	}
}

func (g *Group) event(e Event) { g.events = append(g.events, e) }

// Leader is the Raft identity of the leader as far as known, 0 if none.
func (g *Group) Leader() uint64 { return g.leader }

// Term is the current term.
func (g *Group) Term() uint64 { return g.term }

// IsLeader says whether this replica leads, serving or not.
func (g *Group) IsLeader() bool { return g.state == raft.StateLeader }

// Applied is the index of the last applied entry.
func (g *Group) Applied() uint64 { return g.applied }

// Serving says whether proposals are taken: a leader that has applied an entry
// of its own term, is not handing over, and is not Passive.
func (g *Group) Serving() bool {
	return g.state == raft.StateLeader && g.ready && g.cfg.Mode == Active && !g.lease.transferring
}

// Coming says that this replica has been elected and will serve in a moment:
// it has not applied an entry of its own term, or has no lease yet.
func (g *Group) Coming(now, within time.Duration) bool {
	if g.state != raft.StateLeader || g.cfg.Mode != Active || g.lease.transferring {
		return false
	}
	return !g.ready || g.lease.until == 0 && now-g.readyAt < within
}

// HandingOver says that a transfer of leadership away from here is under way.
func (g *Group) HandingOver() bool { return g.state == raft.StateLeader && g.lease.transferring }

// SetMode changes what the replica may do; roles come from the meta group.
func (g *Group) SetMode(m Mode) { g.cfg.Mode = m }

// Voters returns the current configuration's voters.
func (g *Group) Voters() []uint64 {
	if g.conf == nil {
		return nil
	}
	return g.conf.GetVoters()
}

type quietLogger struct{ logf func(string, ...any) }

func (l quietLogger) Debug(...any)            {}
func (l quietLogger) Debugf(string, ...any)   {}
func (l quietLogger) Info(...any)             {}
func (l quietLogger) Infof(string, ...any)    {}
func (l quietLogger) Warning(...any)          {}
func (l quietLogger) Warningf(string, ...any) {}
func (l quietLogger) Error(v ...any)          { l.logf("raft: %s", fmt.Sprint(v...)) }
func (l quietLogger) Errorf(f string, v ...any) {
	l.logf("raft: "+f, v...)
}
func (l quietLogger) Fatal(v ...any)            { panic(fmt.Sprint(v...)) }
func (l quietLogger) Fatalf(f string, v ...any) { panic(fmt.Sprintf(f, v...)) }
func (l quietLogger) Panic(v ...any)            { panic(fmt.Sprint(v...)) }
func (l quietLogger) Panicf(f string, v ...any) { panic(fmt.Sprintf(f, v...)) }
