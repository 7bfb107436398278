package session

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// Cold keeps the values of sessions that had to leave memory. It is a cache of
// the replicated state and nothing that a restart needs: a table begins with
// an empty one. Its methods are called under the table's lock or beside it,
// from any goroutine.
type Cold interface {
	// Put keeps a value under a serial number that was never used for the key.
	Put(key string, serial uint64, value []byte) error
	// Get appends the value that was put under the serial number; ErrMoved if
	// another or none is there. Anything else that is wrong with it is an error.
	Get(dst []byte, key string, serial uint64) ([]byte, error)
	Delete(key string) error
	// Each calls fn for all values in the order of keys, until fn returns an
	// error. Keys and values are valid during the call.
	Each(fn func(key []byte, serial uint64, value []byte) error) error
	// Reset forgets everything.
	Reset() error
}

// ErrMoved says that a value is no longer where it was.
var ErrMoved = errors.New("session: the value has moved")

// Residency says where values are.
type Residency struct {
	Hot, Cold         int    // sessions with their value in memory, and without
	HotBytes          int    // of the values in memory
	Evicted, Restored uint64 // values that left memory since the start, and those read back from disk
}

// shelf decides which values stay in memory: those in use, by second chance
// (the clock algorithm: a reader marks, the one who looks for room gives what
// is marked another round). It is guarded by the table's lock, except for the
// marks.
type shelf struct {
	cold     Cold  // nil: everything stays
	limit    int   // bytes of values in memory
	goal     int   // that limit is lowered to, a little with each change
	hand     *item // its next is the newest, its prev the next to go
	hot      int
	hotBytes int
	serial   uint64
	evicted  uint64
	restored atomic.Uint64
	failure  error
}

func (s *shelf) init() {
	s.hand = &item{}
	s.hand.prev, s.hand.next = s.hand, s.hand
}

func (s *shelf) push(it *item) {
	it.prev, it.next = s.hand, s.hand.next
	it.prev.next, it.next.prev = it, it
	s.hot++
}

func (s *shelf) drop(it *item) {
	it.prev.next, it.next.prev = it.next, it.prev
	it.prev, it.next = nil, nil
	s.hot--
}

// SetCold gives the table a disk to which it moves values when those in memory
// take more than limit bytes. It is called once, on an empty table.
func (t *Table) SetCold(c Cold, limit int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shelf.cold, t.shelf.limit, t.shelf.goal = c, limit, limit
}

// SetLimit changes how many bytes of values stay in memory. Less than now is
// reached step by step: to move all at once would hold the owner up.
func (t *Table) SetLimit(limit int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shelf.goal = limit
	t.shelf.limit = max(t.shelf.limit, limit)
}

// ErrDropped is the error of a table after Drop.
var ErrDropped = errors.New("session: the table was dropped")

// Drop ends a table that is no longer needed, and forgets what it has on disk,
// so that another table may use the same Cold. Who still reads this one gets
// what is in memory, or ErrDropped.
func (t *Table) Drop() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shelf.failure = ErrDropped
	if t.shelf.cold == nil {
		return nil
	}
	return t.shelf.cold.Reset()
}

// Err is why values that left memory can't be read back or written any more.
// A table with an error must not serve: what it says is absent may not be.
func (t *Table) Err() error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.shelf.failure
}

// Residency says where the values are.
func (t *Table) Residency() Residency {
	t.mu.RLock()
	defer t.mu.RUnlock()
	s := &t.shelf
	return Residency{s.hot, len(t.items) - s.hot, s.hotBytes, s.evicted, s.restored.Load()}
}

// replace takes over what another table holds; what is on disk is forgotten.
func (s *shelf) replace(o *shelf) error {
	s.hand, s.hot, s.hotBytes = o.hand, o.hot, o.hotBytes
	if s.cold == nil {
		return nil
	}
	return s.cold.Reset()
}

// each calls fn for all sessions in the order of keys, with their values
// wherever they are. The lock is held.
func (t *Table) each(keys []string, fn func(it *item, value []byte)) error {
	i := 0
	hot := func(until func(key string) bool) {
		for ; i < len(keys) && !until(keys[i]); i++ {
			if it := t.items[keys[i]]; it.next != nil {
				fn(it, it.value)
			} else {
				return // on disk
			}
		}
	}
	if t.shelf.cold != nil && t.shelf.hot < len(t.items) {
		err := t.shelf.cold.Each(func(key []byte, serial uint64, value []byte) error {
			it := t.items[string(key)]
			if it == nil || it.next != nil || it.serial != serial {
				return nil // of before
			}
			if hot(func(k string) bool { return k >= it.key }); i == len(keys) || keys[i] != it.key {
				return fmt.Errorf("session %q is not on disk", keys[min(i, len(keys)-1)])
			}
			fn(it, value)
			i++
			return nil
		})
		if err != nil {
			return err
		}
	}
	if hot(func(string) bool { return false }); i < len(keys) {
		return fmt.Errorf("session %q is not on disk", keys[i])
	}
	return nil
}

// shrinkBytes is by how much a change lowers the limit that SetLimit lowered.
const shrinkBytes = 256 << 10

// makeRoom moves values to disk until those in memory fit.
func (t *Table) makeRoom() {
	s := &t.shelf
	if s.cold == nil {
		return
	}
	if s.limit > s.goal {
		s.limit = max(s.goal, min(s.limit, s.hotBytes)-shrinkBytes)
	}
	for s.hotBytes > s.limit && s.hot > 1 && s.failure == nil {
		it := s.hand.prev
		s.drop(it)
		if it.used.Swap(false) {
			s.push(it)
			continue
		}
		if it.serial == 0 { // else it is there already
			s.serial++
			if err := s.cold.Put(it.key, s.serial, it.value); err != nil {
				s.push(it)
				s.failure = err
				return
			}
			it.serial, it.spilled = s.serial, true
		}
		s.hotBytes -= len(it.value)
		s.evicted++
		it.value, it.size = nil, len(it.value)
	}
}

// warm brings the value of a session back. The lock is held.
func (t *Table) warm(it *item) error {
	s := &t.shelf
	if it.next != nil || s.failure != nil {
		return s.failure
	}
	v, err := s.cold.Get(nil, it.key, it.serial)
	if err != nil {
		s.failure = err
		return err
	}
	t.keep(it, v)
	s.restored.Add(1)
	return nil
}

// keep puts a value that was read from disk into memory.
func (t *Table) keep(it *item, v []byte) {
	it.value = v
	t.shelf.push(it)
	t.shelf.hotBytes += len(v)
	it.used.Store(true)
}

// read appends the value of a session that is on disk, and brings it back. It
// is called without the lock, and looks again when the value has moved.
func (t *Table) read(dst []byte, key string, serial uint64) (_ []byte, ok bool) {
	v, err := t.shelf.cold.Get(nil, key, serial)
	t.mu.Lock()
	defer t.mu.Unlock()
	it := t.items[key]
	if it == nil || it.next != nil || it.serial != serial {
		return dst, false // it changed while we looked
	}
	if err != nil {
		if t.shelf.failure == nil {
			t.shelf.failure = err
		}
		return dst, false
	}
	if errors.Is(t.shelf.failure, ErrDropped) {
		return dst, false // it may be another table's
	}
	t.keep(it, v)
	t.shelf.restored.Add(1)
	t.makeRoom()
	return append(dst, v...), true
}
