package disk

import (
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"
	"go.etcd.io/raft/v3/raftpb"
)

// Append is what one group wants on disk. Its parts apply in the order of the
// fields: the snapshot first, then the entries.
type Append struct {
	Group     uint32
	Snapshot  *Snapshot         // replaces the state and the log
	Entries   []*raftpb.Entry   // overwrite what is at their indexes and delete everything behind them
	HardState *raftpb.HardState // nil or empty: unchanged
	// TruncateTo allows the entries up to this index to be deleted, as far as a
	// snapshot covers them.
	TruncateTo uint64
}

// Batch is what one Commit makes durable, all of it or nothing.
type Batch struct{ Appends []Append }

// Snapshot of a group's state machine.
type Snapshot struct {
	Meta *raftpb.SnapshotMetadata
	Data []byte
}

// Commit returns once b is durable. An error that is about b itself (a gap in
// the log) leaves the store as it was; every other one is final.
func (s *Store) Commit(b *Batch) error {
	r := &request{sync: true, batch: b}
	for i := range b.Appends {
		if a := &b.Appends[i]; a.Snapshot != nil {
			d, err := s.writeChunks(a.Group, a.Snapshot)
			if err != nil {
				return err
			}
			r.snaps = append(r.snaps, d)
		}
	}
	if err := s.submit(r); err != nil {
		return err
	}
	s.counts.commits.Add(1)
	return nil
}

// request is one caller's part of a Pebble batch.
type request struct {
	batch  *Batch
	snaps  []*description // of the appends that have a snapshot, in order
	write  func(*pebble.Batch) error
	sync   bool
	always bool // also where the mutant does not sync
	done   chan error
}

// submit hands r to the committer and waits.
func (s *Store) submit(r *request) error {
	r.done = make(chan error, 1)
	select {
	case <-s.failed:
		return s.failure
	case <-s.stop:
		return ErrClosed
	case s.requests <- r:
	}
	select {
	case err := <-r.done:
		return err
	case <-s.failed:
		return s.failure
	case <-s.stopped: // r may have been the last that was served
		select {
		case err := <-r.done:
			return err
		default:
		}
		if err := s.Err(); err != nil {
			return err
		}
		return ErrClosed
	}
}

const maxGather = 8 << 20 // bytes of one Pebble batch, beyond what its last request adds

// commitLoop owns the groups' states and is the only one that writes.
func (s *Store) commitLoop() {
	defer close(s.stopped)
	var reqs []*request
	for {
		reqs = reqs[:0]
		select {
		case r := <-s.requests:
			reqs = append(reqs, r)
		case <-s.stop:
			return
		case <-s.failed:
			return
		}
		reqs = s.commit(reqs)
	}
}

// commit writes the requests, and all others that are waiting, as one batch.
func (s *Store) commit(reqs []*request) []*request {
	b := s.db.NewBatch()
	opts := pebble.NoSync
	kept := reqs[:0]
	for r := reqs[0]; r != nil; {
		if err := s.encode(b, r); err != nil {
			r.done <- err
		} else {
			kept = append(kept, r)
			if r.sync && (r.always || !s.noSync) {
				opts = pebble.Sync
			}
		}
		r = nil
		if b.Len() < maxGather {
			select {
			case r = <-s.requests:
			default:
			}
		}
	}
	if len(kept) == 0 || b.Empty() && opts == pebble.NoSync {
		_ = b.Close()
		for _, r := range kept {
			r.done <- nil
		}
		return kept
	}
	n := b.Len()
	err := s.db.Apply(b, opts)
	if err == nil {
		err = b.Close()
	}
	if err != nil {
		s.die(err)
	}
	s.counts.batches.Add(1)
	s.counts.bytes.Add(uint64(n))
	for _, r := range kept {
		r.done <- nil
	}
	return kept
}

// encode adds r to b, or leaves b alone if r cannot be.
func (s *Store) encode(b *pebble.Batch, r *request) error {
	if r.write != nil {
		return r.write(b)
	}
	type step struct {
		a         *Append
		cur, next state
		snap      *description
	}
	var few [16]step
	steps := few[:0]
	snaps := r.snaps
	for i := range r.batch.Appends {
		st := step{a: &r.batch.Appends[i]}
		if st.a.Snapshot != nil {
			st.snap, snaps = snaps[0], snaps[1:]
		}
		if err := s.broken[st.a.Group]; err != nil {
			return fmt.Errorf("disk %s: %w", s.dir, err)
		}
		if cur := s.groups[st.a.Group]; cur != nil {
			st.cur = *cur
		}
		for j := range steps { // a group may come twice
			if steps[j].a.Group == st.a.Group {
				st.cur = steps[j].next
			}
		}
		var err error
		if st.next, err = plan(st.cur, st.a, st.snap); err != nil {
			return fmt.Errorf("disk %s: group %d: %w", s.dir, st.a.Group, err)
		}
		steps = append(steps, st)
	}
	for i := range steps {
		if err := put(b, steps[i].a, steps[i].cur, steps[i].next, steps[i].snap); err != nil {
			s.die(err)
		}
	}
	for i := range steps {
		s.set(steps[i].a.Group, steps[i].next)
	}
	return nil
}

func (s *Store) set(group uint32, st state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.groups[group]; p != nil {
		*p = st
		return
	}
	s.groups[group] = &st
}

// plan says what the group's state is after a, or why a cannot be.
func plan(cur state, a *Append, snap *description) (state, error) {
	n := cur
	if snap != nil {
		n.snapIndex, n.snapTerm, n.snapSerial = snap.index(), snap.term(), snap.Serial
		n.first, n.last = n.snapIndex+1, n.snapIndex
	}
	if len(a.Entries) > 0 {
		from := a.Entries[0].GetIndex()
		empty := n.first == 0
		switch {
		case from == 0:
			return n, errors.New("an entry has index 0")
		case empty:
			n.first = from
		case from < n.first:
			return n, fmt.Errorf("entry %d lies before the log, which begins at %d", from, n.first)
		case from > n.last+1 && from > n.snapIndex+1:
			return n, fmt.Errorf("entry %d would leave a gap behind %d", from, max(n.last, n.snapIndex))
		case from > n.last+1:
			n.first = from // a snapshot covers what is between
		}
		term := uint64(0)
		for i, e := range a.Entries {
			if e.GetIndex() != from+uint64(i) {
				return n, fmt.Errorf("entry %d follows entry %d", e.GetIndex(), from+uint64(i)-1)
			}
			if e.GetTerm() < term {
				return n, fmt.Errorf("entry %d of term %d follows one of term %d", e.GetIndex(), e.GetTerm(), term)
			}
			term = e.GetTerm()
		}
		n.last = from + uint64(len(a.Entries)) - 1
	}
	if hs := a.HardState; hs.GetTerm() != 0 || hs.GetVote() != 0 || hs.GetCommit() != 0 {
		if hs.GetTerm() < n.term {
			return n, fmt.Errorf("hard state of term %d follows term %d", hs.GetTerm(), n.term)
		}
		n.term, n.vote, n.commit = hs.GetTerm(), hs.GetVote(), hs.GetCommit()
	}
	n.truncate(a.TruncateTo)
	return n, nil
}

func (s *state) truncate(to uint64) {
	to = min(to, s.snapIndex, s.last)
	if s.first != 0 && to >= s.first {
		s.first = to + 1
	}
}

// put writes the step from cur to next.
func put(b *pebble.Batch, a *Append, cur, next state, snap *description) error {
	var err error
	keepErr := func(e error) {
		if err == nil {
			err = e
		}
	}
	if cur.first != 0 && cur.last >= cur.first {
		// What the new log does not have: its old beginning and its old end.
		if low := min(next.first, cur.last+1); low > cur.first {
			keepErr(b.DeleteRange(entryKey(a.Group, cur.first), entryKey(a.Group, low), nil))
		}
		if cur.last > next.last {
			high := max(next.last+1, cur.first)
			keepErr(b.DeleteRange(entryKey(a.Group, high), entryKey(a.Group, cur.last+1), nil))
		}
	}
	if snap != nil {
		keepErr(snap.put(b, a.Group))
	}
	for _, e := range a.Entries {
		if e.GetIndex() < next.first {
			continue // truncated in the same breath
		}
		op := b.SetDeferred(entryKeyLen, entryHead+len(e.GetData()))
		putEntryKey(op.Key, a.Group, e.GetIndex())
		putEntry(op.Key, op.Value, e)
		keepErr(op.Finish())
	}
	keepErr(b.Set(groupKey(keyState, a.Group), next.encode(a.Group), nil))
	return err
}

// deleteChunks deletes the chunks of the snapshots with serials from to to.
func deleteChunks(b *pebble.Batch, group uint32, from, to uint64) error {
	return b.DeleteRange(chunkKey(group, from, 0), chunkKey(group, to, math.MaxUint32), nil)
}
