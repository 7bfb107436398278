package loadgen

import (
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
)

// request is one operation on its way. Requests stand in one slab and are named
// by ref, so that thousands of them cost the garbage collector nothing.
type request struct {
	op    history.Op
	gen   uint32
	place place
	pool  uint8
	slot  uint16
	last  history.Cause // of what became of the last attempt
	sent  bool          // at least one attempt was made
}

// place is where a request is.
type place uint8

const (
	free     place = iota
	waiting        // for a connection that can be used
	parked         // behind a gate
	delayed        // until its backoff is over
	inflight       // owed by a connection
)

// ref names a request; it goes stale when the request ends or, for one that is
// in flight, when its answer no longer matters.
type ref struct{ i, gen uint32 }

type slab struct {
	rs   []request
	idle []uint32
	used int
}

func (s *slab) take() (ref, *request) {
	var i uint32
	if n := len(s.idle); n > 0 {
		i = s.idle[n-1]
		s.idle = s.idle[:n-1]
	} else {
		i = uint32(len(s.rs))
		s.rs = append(s.rs, request{})
	}
	s.used++
	r := &s.rs[i]
	*r = request{gen: r.gen, place: waiting}
	return ref{i, r.gen}, r
}

// get returns nil for a stale ref.
func (s *slab) get(f ref) *request {
	if r := &s.rs[f.i]; r.gen == f.gen && r.place != free {
		return r
	}
	return nil
}

func (s *slab) release(f ref) {
	r := &s.rs[f.i]
	r.gen++
	r.place = free
	s.idle = append(s.idle, f.i)
	s.used--
}

// overdue is an entry of the queue of deadlines, which is in order because all
// operations of a phase have the same time.
type overdue struct {
	ref
	at time.Duration
}

// later is an entry of the heap of backoffs.
type later struct {
	ref
	at time.Duration
}

func (l later) when() time.Duration { return l.at }
