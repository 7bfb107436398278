package replica

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/fivenines/fivenines/reference/internal/disk"
)

// Replace moves the group from replica old to replica next, which runs on the
// same place under a new identity: a learner first, and once it has caught up
// one joint configuration that promotes it and removes old (rule 8). It is
// called again until it says that it is done; each call takes at most one step.
func (g *Group) Replace(old, next uint64) (done bool, err error) {
	if g.state != raft.StateLeader || !g.ready {
		return false, ErrNotLeader
	}
	if g.conf == nil || len(g.conf.GetVotersOutgoing()) > 0 || g.confPending {
		return false, nil
	}
	wasLearner := slices.Contains(g.conf.GetLearners(), old)
	switch {
	case slices.Contains(g.conf.GetVoters(), next), wasLearner && slices.Contains(g.conf.GetLearners(), next):
		if !slices.Contains(g.conf.GetVoters(), old) && !wasLearner {
			return true, nil
		}
		return false, g.proposeConf(change(raftpb.ConfChangeRemoveNode, old))
	case !slices.Contains(g.conf.GetLearners(), next):
		return false, g.proposeConf(change(raftpb.ConfChangeAddLearnerNode, next))
	}
	for _, f := range g.Followers() {
		if f.ID == next && f.Active && f.Behind < 256 {
			return false, g.proposeConf(change(raftpb.ConfChangeAddNode, next), change(raftpb.ConfChangeRemoveNode, old))
		}
	}
	return false, nil
}

// Move takes one step towards the voters want: a missing one learns first, and
// once it has caught up it takes a surplus one's place in one joint change
// (rule 8). With demote what leaves goes on learning, and learners that are not
// wanted are left alone. It is called again until it says that it is done; a
// surplus leader has to hand over first.
func (g *Group) Move(want []uint64, demote bool) (done bool, err error) {
	if g.state != raft.StateLeader || !g.ready || g.lease.transferring {
		return false, ErrNotLeader
	}
	if g.conf == nil || len(g.conf.GetVotersOutgoing()) > 0 || g.confPending {
		return false, nil
	}
	voters, learners := g.conf.GetVoters(), g.conf.GetLearners()
	leave := func(id uint64) *raftpb.ConfChangeSingle {
		if demote {
			return change(raftpb.ConfChangeAddLearnerNode, id)
		}
		return change(raftpb.ConfChangeRemoveNode, id)
	}
	for _, l := range learners {
		if !demote && !slices.Contains(want, l) {
			return false, g.proposeConf(change(raftpb.ConfChangeRemoveNode, l))
		}
	}
	active := map[uint64]bool{}
	for _, f := range g.Followers() {
		active[f.ID] = f.Active
	}
	var surplus []uint64 // who does not answer goes first
	for _, v := range voters {
		switch {
		case slices.Contains(want, v) || v == g.cfg.ID:
		case active[v]:
			surplus = append(surplus, v)
		default:
			surplus = append([]uint64{v}, surplus...)
		}
	}
	for _, id := range want {
		if slices.Contains(voters, id) {
			continue
		}
		if !slices.Contains(learners, id) {
			return false, g.proposeConf(change(raftpb.ConfChangeAddLearnerNode, id))
		}
		for _, f := range g.Followers() {
			if f.ID != id || !f.Active || f.Behind >= 256 {
				continue
			}
			cs := []*raftpb.ConfChangeSingle{change(raftpb.ConfChangeAddNode, id)}
			if len(surplus) > 0 {
				cs = append(cs, leave(surplus[0]))
			}
			return false, g.proposeConf(cs...)
		}
		return false, nil
	}
	if len(surplus) > 0 {
		return false, g.proposeConf(leave(surplus[0]))
	}
	return true, nil
}

// Settled says that the configuration is no joint one and none is under way.
func (g *Group) Settled() bool {
	return g.conf != nil && len(g.conf.GetVotersOutgoing()) == 0 && !g.confPending
}

// ID is this replica's Raft identity.
func (g *Group) ID() uint64 { return g.cfg.ID }

func change(t raftpb.ConfChangeType, id uint64) *raftpb.ConfChangeSingle {
	return &raftpb.ConfChangeSingle{Type: t.Enum(), NodeId: new(id)}
}

func (g *Group) proposeConf(cs ...*raftpb.ConfChangeSingle) error {
	cc := &raftpb.ConfChangeV2{Transition: raftpb.ConfChangeTransitionAuto.Enum(), Changes: cs}
	if err := g.rn.ProposeConfChange(cc); err != nil {
		return fmt.Errorf("group %d: configuration change: %w", g.cfg.Group, err)
	}
	g.confPending = true
	return nil
}

func (g *Group) applyConf(e *raftpb.Entry) error {
	cc := &raftpb.ConfChangeV2{}
	if e.GetType() == raftpb.EntryConfChange {
		v1 := &raftpb.ConfChange{}
		if err := proto.Unmarshal(e.GetData(), v1); err != nil {
			return fmt.Errorf("group %d: entry %d: %w", g.cfg.Group, e.GetIndex(), err)
		}
		v2 := v1.AsV2()
		g.conf = g.rn.ApplyConfChange(v2)
	} else {
		if err := proto.Unmarshal(e.GetData(), cc); err != nil {
			return fmt.Errorf("group %d: entry %d: %w", g.cfg.Group, e.GetIndex(), err)
		}
		g.conf = g.rn.ApplyConfChange(cc)
	}
	g.confPending = false
	g.event(Event{Kind: "config", Term: g.term, Leader: g.leader, Detail: fmt.Sprintf("voters %v learners %v", g.conf.GetVoters(), g.conf.GetLearners())})
	return nil
}

// Compact makes a snapshot of the machine once maxBytes of log were applied
// since the last one, and drops log that no live follower needs. It returns
// what the disk must keep, or false. A follower that is away keeps the log
// alive up to four times maxBytes; then a snapshot is cheaper for it.
func (g *Group) Compact(maxBytes uint64) (disk.Snapshot, uint64, bool) {
	if g.logBytes < maxBytes || g.conf == nil || g.applied <= g.snapIndex {
		return disk.Snapshot{}, 0, false
	}
	keep := g.applied
	if g.state == raft.StateLeader {
		for _, f := range g.Followers() {
			if f.Active || g.heldBytes < 4*maxBytes {
				keep = min(keep, f.Match)
			}
		}
	} else if keep > 4096 {
		keep -= 4096 // the next leader may need them for a third replica
	} else {
		keep = 0
	}
	all := keep == g.applied
	if g.held != 0 && g.state == raft.StateLeader && g.applied-g.held < maxHeld {
		keep = min(keep, g.held)
	}
	snap, err := g.log.CreateSnapshot(g.applied, g.conf, nil)
	if err != nil {
		g.cfg.Logf("group %d: snapshot at %d: %v", g.cfg.Group, g.applied, err)
		return disk.Snapshot{}, 0, false
	}
	g.heldBytes += g.logBytes
	g.logBytes, g.snapIndex = 0, g.applied
	first, _ := g.log.FirstIndex()
	if keep >= first {
		if err := g.log.Compact(keep); err != nil {
			g.cfg.Logf("group %d: compact to %d: %v", g.cfg.Group, keep, err)
			keep = 0
		} else if all {
			g.heldBytes = 0
		}
	} else {
		keep = 0
	}
	meta := proto.Clone(snap.GetMetadata()).(*raftpb.SnapshotMetadata)
	return disk.Snapshot{Meta: meta, Data: g.cfg.Machine.Snapshot()}, keep, true
}

// Members lists all identities of the current configuration.
func (g *Group) Members() []uint64 {
	if g.conf == nil {
		return nil
	}
	out := slices.Clone(g.conf.GetVoters())
	out = append(out, g.conf.GetVotersOutgoing()...)
	out = append(out, g.conf.GetLearners()...)
	slices.Sort(out)
	return slices.Compact(out)
}

// Unreachable tells raft that messages to some members were lost.
func (g *Group) Unreachable(lost func(id uint64) bool) {
	for _, id := range g.Members() {
		if id != g.cfg.ID && lost(id) {
			g.rn.ReportUnreachable(id)
			if _, sent := g.snapSent[id]; sent {
				delete(g.snapSent, id)
				g.rn.ReportSnapshot(id, raft.SnapshotFailure)
			}
		}
	}
}
