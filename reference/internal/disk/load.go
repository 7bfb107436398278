package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"
	"go.etcd.io/raft/v3/raftpb"
)

// GroupState is what a replica starts from.
type GroupState struct {
	HardState *raftpb.HardState // nil: never set
	Snapshot  *Snapshot         // nil: none
	Entries   []*raftpb.Entry   // those behind the snapshot
}

// Load reads and verifies a group; a group that was never written is empty.
func (s *Store) Load(group uint32) (GroupState, error) {
	var gs GroupState
	err := s.read(func() error {
		var err error
		if gs, err = s.load(group); err != nil {
			err = damaged{err}
		}
		return err
	})
	if err != nil {
		return GroupState{}, fmt.Errorf("disk %s: group %d: %w", s.dir, group, err)
	}
	return gs, nil
}

func (s *Store) load(group uint32) (GroupState, error) {
	var gs GroupState
	s.mu.Lock()
	broken, known := s.broken[group], s.groups[group]
	var st state
	if known != nil {
		st = *known
	}
	s.mu.Unlock()
	if broken != nil {
		return gs, broken
	}
	if known == nil {
		return gs, s.absent(group)
	}
	if st.term != 0 || st.vote != 0 || st.commit != 0 {
		gs.HardState = &raftpb.HardState{Term: new(st.term), Vote: new(st.vote), Commit: new(st.commit)}
	}
	prevTerm := uint64(0)
	if st.snapIndex != 0 {
		var err error
		if gs.Snapshot, err = s.loadSnapshot(group, st); err != nil {
			return gs, err
		}
	}
	want := st.first
	err := s.scan(entryKey(group, 0), entryKey(group, math.MaxUint64), func(k, v []byte) error {
		index := binary.BigEndian.Uint64(k[5:])
		if index != want || index > st.last {
			return fmt.Errorf("entry %d found where the log of entries %d to %d has %d", index, st.first, st.last, want)
		}
		e, err := getEntry(k, v)
		if err != nil {
			return fmt.Errorf("entry %d: %w", index, err)
		}
		switch term := e.GetTerm(); {
		case term < prevTerm:
			return fmt.Errorf("entry %d of term %d follows one of term %d", index, term, prevTerm)
		case st.snapIndex == index && term != st.snapTerm:
			return fmt.Errorf("entry %d is of term %d, the snapshot at its index of term %d", index, term, st.snapTerm)
		case index > st.snapIndex && term < st.snapTerm:
			return fmt.Errorf("entry %d of term %d follows a snapshot of term %d", index, term, st.snapTerm)
		case st.term != 0 && term > st.term:
			return fmt.Errorf("entry %d is of term %d, the hard state of term %d", index, term, st.term)
		}
		prevTerm, want = e.GetTerm(), index+1
		if index > st.snapIndex {
			gs.Entries = append(gs.Entries, e)
		}
		return nil
	})
	switch {
	case err != nil:
		return gs, err
	case st.first == 0: // nothing but a hard state
		return gs, nil
	case want != st.last+1:
		return gs, fmt.Errorf("the log ends before entry %d, it should have entries %d to %d", want, st.first, st.last)
	case st.snapIndex != 0 && st.first > st.snapIndex+1:
		return gs, fmt.Errorf("the log begins at entry %d, the snapshot ends at %d", st.first, st.snapIndex)
	case st.commit > max(st.last, st.snapIndex):
		return gs, fmt.Errorf("entries up to %d are committed, the log ends at %d", st.commit, max(st.last, st.snapIndex))
	}
	return gs, nil
}

// absent verifies that nothing lies about of a group without a state record.
func (s *Store) absent(group uint32) error {
	_, c, err := s.db.Get(groupKey(keySnapshot, group))
	if err == nil {
		return errors.Join(errors.New("a snapshot but no state record"), c.Close())
	}
	if !errors.Is(err, pebble.ErrNotFound) {
		return fmt.Errorf("cannot read: %w", err)
	}
	return s.scan(entryKey(group, 0), entryKey(group, math.MaxUint64), func(k, _ []byte) error {
		return fmt.Errorf("entry %d but no state record", binary.BigEndian.Uint64(k[5:]))
	})
}
