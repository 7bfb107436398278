package replica

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/fivenines/fivenines/reference/internal/disk"
)

// Reseed replaces the machine by the state that a good replica had at index,
// and applies to it what this replica has applied since. It is false if that
// is not possible now: the index lies ahead, or the log behind it is gone.
// Raft's own state was never in doubt and is left alone. What it returns is a
// snapshot that the disk must have, since the one that is there may be of the
// machine that was wrong.
func (g *Group) Reseed(index uint64, data []byte) (snap disk.Snapshot, ok bool, err error) {
	if index > g.applied {
		return snap, false, nil
	}
	var ents []*raftpb.Entry
	if index < g.applied {
		if ents, err = g.log.Entries(index+1, g.applied+1, 1<<62); err != nil {
			return snap, false, nil
		}
	}
	if err := g.cfg.Machine.Restore(data); err != nil {
		return snap, false, fmt.Errorf("group %d: state of another replica at index %d: %w", g.cfg.Group, index, err)
	}
	for _, e := range ents {
		if e.GetType() == raftpb.EntryNormal && len(e.GetData()) > 0 {
			if _, err := g.cfg.Machine.Apply(e.GetIndex(), e.GetData()); err != nil {
				return snap, false, fmt.Errorf("group %d: entry %d: %w", g.cfg.Group, e.GetIndex(), err)
			}
		}
	}
	// The disk's snapshot must not go back: only if it is at an older index is
	// there a need for, and a way to, another one.
	snap, _, ok = g.Compact(0)
	if !ok {
		return disk.Snapshot{}, true, nil
	}
	return snap, true, nil
}
