package replica

import (
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// Last is the end of the durable log and its term.
func (g *Group) Last() (index, term uint64) {
	index, _ = g.log.LastIndex()
	term, _ = g.log.Term(index)
	return index, term
}

// Committed is the index up to which entries are known to be committed.
func (g *Group) Committed() uint64 { return g.rn.BasicStatus().GetCommit() }

// Heard is when the group was last known to have a working leader: for a leader the send
// time of the newest round that a quorum confirmed, else when one was heard.
func (g *Group) Heard() time.Duration {
	if g.state == raft.StateLeader {
		return g.lease.sent
	}
	return g.heard
}

// Add makes a replica a member that is none yet: a learner first, and with
// voter, once it has caught up, a voter. It is called again until it says that
// it is done; each call takes at most one step (rule 8).
func (g *Group) Add(next uint64, voter bool) (done bool, err error) {
	if g.state != raft.StateLeader || !g.ready {
		return false, ErrNotLeader
	}
	if g.conf == nil || len(g.conf.GetVotersOutgoing()) > 0 || g.confPending {
		return false, nil
	}
	switch {
	case slices.Contains(g.conf.GetVoters(), next):
		return true, nil
	case !slices.Contains(g.conf.GetLearners(), next):
		return false, g.proposeConf(change(raftpb.ConfChangeAddLearnerNode, next))
	case !voter:
		return true, nil
	}
	for _, f := range g.Followers() {
		if f.ID == next && f.Active && f.Behind < 256 {
			return false, g.proposeConf(change(raftpb.ConfChangeAddNode, next))
		}
	}
	return false, nil
}
