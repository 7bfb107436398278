package replica

import (
	"encoding/binary"
	"fmt"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"
)

// A strong read is served under a lease of our own; etcd raft's
// ReadOnlyLeaseBased is unsafe (it served reads up to nine ticks after a new
// leader existed). A round is a ReadIndex whose context is the time at which
// its heartbeats were sent: when a quorum has answered, each of those
// followers had heard from us after that time and, by CheckQuorum's rule,
// votes for nobody within one election timeout of hearing.
type lease struct {
	until time.Duration // 0: none
	sent  time.Duration // send time of the newest confirmed round

	// A transfer revokes the lease, and the target may act on a delayed
	// TimeoutNow long after raft has given the transfer up, bypassing the
	// votes' lease. So the lease comes back in this term only after the target
	// itself has answered something sent after the transfer ended.
	transferring bool
	target       uint64
	ended        time.Duration
}

// LeaseUntil is the instant until which strong reads may be served, 0 for not
// at all. The caller reads the value first, then compares with its clock.
func (g *Group) LeaseUntil() time.Duration {
	if g.state != raft.StateLeader || !g.ready || g.cfg.Mode == Passive {
		if g.cfg.Mutants.StaleLease && g.sawLead() {
			return 1<<62 - 1
		}
		return 0
	}
	if g.cfg.Mutants.StaleLease || g.cfg.Mutants.NoFencing {
		return 1<<62 - 1
	}
	if g.lease.transferring {
		return 0
	}
	return g.lease.until
}

// sawLead is for the stale-lease mutant, which goes on serving as long as it
// believes that it leads.
func (g *Group) sawLead() bool { return g.state == raft.StateLeader && g.ready }

// round starts a lease round if one is due and looks after a pending transfer.
func (g *Group) round() {
	if !g.ready || g.state != raft.StateLeader {
		return
	}
	g.checkTransfer()
	g.checkSnapshots()
	if g.ticks%g.cfg.Timing.RoundEvery != 0 && g.lease.sent != 0 {
		return
	}
	g.rn.ReadIndex(binary.LittleEndian.AppendUint64(nil, uint64(g.now)))
}

// confirm is called when a quorum has answered a round.
func (g *Group) confirm(ctx []byte) {
	if len(ctx) != 8 || g.state != raft.StateLeader {
		return
	}
	sent := time.Duration(binary.LittleEndian.Uint64(ctx))
	if sent <= g.lease.sent || g.lease.transferring {
		return
	}
	if g.lease.target != 0 {
		// Confirmed by a quorum, which need not include the target.
		if !g.heardFrom(g.lease.target, sent) {
			return
		}
		g.lease.target = 0
	}
	g.lease.sent = sent
	g.lease.until = max(g.lease.until, sent+g.cfg.Timing.Lease())
}

// heardFrom says whether a round sent after the transfer ended has been
// confirmed while the target was active and had nothing outstanding.
func (g *Group) heardFrom(id uint64, sent time.Duration) bool {
	if sent <= g.lease.ended {
		return false
	}
	ok := false
	g.rn.WithProgress(func(pid uint64, _ raft.ProgressType, pr tracker.Progress) {
		if pid == id {
			ok = pr.Match >= g.transferMark
		}
	})
	return ok
}

// Transfer hands leadership to another replica. The lease is revoked first
// (rule 1) and proposals are refused until it is decided.
func (g *Group) Transfer(now time.Duration, to uint64) error {
	g.now = now
	if g.state != raft.StateLeader || g.lease.transferring {
		return ErrNotLeader
	}
	if to == g.cfg.ID {
		return nil
	}
	g.lease.until = 0
	g.lease.transferring = true
	g.lease.target = to
	g.event(Event{Kind: "transfer", Term: g.term, Leader: to, Detail: fmt.Sprintf("to replica %d", to)})
	g.rn.TransferLeader(to)
	return nil
}

func (g *Group) checkTransfer() {
	if !g.lease.transferring || g.rn.BasicStatus().LeadTransferee != 0 {
		return
	}
	// Raft gave up (after one election timeout). An entry of our own marks the
	// point that the target must have stored before the lease may come back:
	// it travels behind the TimeoutNow on the same connection.
	g.lease.transferring = false
	g.lease.ended = g.now
	if err := g.rn.Propose(nil); err != nil {
		g.cfg.Logf("group %d: mark after transfer: %v", g.cfg.Group, err)
	}
	if last, err := g.log.LastIndex(); err == nil {
		g.transferMark = last + 1
	}
	g.event(Event{Kind: "transfer-ended", Term: g.term, Leader: g.cfg.ID})
}

// checkSnapshots lets raft send a snapshot again whose connection broke.
func (g *Group) checkSnapshots() {
	for id, at := range g.snapSent {
		if g.now-at < 5*time.Second {
			continue
		}
		delete(g.snapSent, id)
		stuck := false
		g.rn.WithProgress(func(pid uint64, _ raft.ProgressType, pr tracker.Progress) {
			stuck = stuck || pid == id && pr.State == tracker.StateSnapshot
		})
		if stuck {
			g.rn.ReportSnapshot(id, raft.SnapshotFailure)
		}
	}
}

// Follower is what the leader knows of another replica.
type Follower struct {
	ID      uint64
	Match   uint64
	Active  bool
	Learner bool
	Behind  uint64 // entries
}

// Followers lists the other replicas as the leader sees them.
func (g *Group) Followers() []Follower {
	if g.state != raft.StateLeader {
		return nil
	}
	last, _ := g.log.LastIndex()
	var fs []Follower
	g.rn.WithProgress(func(id uint64, typ raft.ProgressType, pr tracker.Progress) {
		if id == g.cfg.ID {
			return
		}
		f := Follower{ID: id, Match: pr.Match, Active: pr.RecentActive && pr.State == tracker.StateReplicate, Learner: typ == raft.ProgressTypeLearner}
		if last > pr.Match {
			f.Behind = last - pr.Match
		}
		fs = append(fs, f)
	})
	return fs
}
