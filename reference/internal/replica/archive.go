package replica

import (
	"go.etcd.io/raft/v3/raftpb"
)

// maxHeld bounds how many entries a leader keeps for an archive that is behind;
// then a base snapshot is cheaper. It is what followers keep for the next leader.
const maxHeld = 4096

// Hold keeps the log behind index from being compacted, 0 for no longer.
func (g *Group) Hold(index uint64) { g.held = index }

// AppliedTerm is the term of the last applied entry.
func (g *Group) AppliedTerm() uint64 { return g.appliedTerm }

// Entries returns the entries from lo up to hi, fewer if they are more than
// maxBytes. Unlike all else it may be called by any goroutine; up to what was
// applied, entries never change. raft.ErrCompacted: lo is gone from the log.
func (g *Group) Entries(lo, hi, maxBytes uint64) ([]*raftpb.Entry, error) {
	return g.log.Entries(lo, hi+1, maxBytes)
}

// TermAt is the term of the entry at an index, if the log still has it. Any
// goroutine.
func (g *Group) TermAt(index uint64) (uint64, bool) {
	t, err := g.log.Term(index)
	return t, err == nil
}
