package loadgen

import (
	"strconv"
	"time"
)

// fate is what the generator knows of a session.
type fate uint8

const (
	creating fate = iota + 1 // its create is outstanding
	live                     // acknowledged, and in a population
	closing                  // its close is outstanding
	dead                     // acknowledged, and found missing by its own writer
	doubtful                 // its create or its close ended unknown
	expired                  // its time is over
)

// session is what one client remembers of a session of its own.
type session struct {
	expiry time.Duration // when it is over unless it is refreshed: last acknowledged refresh + ttl
	seq    uint32        // last sequence number used
	ttl    uint32        // milliseconds
	pos    int32         // in its population's list, -1 if it is not there
	writer uint16
	part   uint16
	slot   uint16
	pop    uint8
	fate   fate
	short  bool
	busy   bool // a write is outstanding
	queued bool // in the queue of expiries
}

func (s *session) timeToLive() time.Duration { return time.Duration(s.ttl) * time.Millisecond }

const registryChunk = 1024

// registry keeps sessions by number. Numbers ascend for ever; memory is kept
// only for chunks in which some session still matters.
type registry struct {
	chunks []*chunk
	next   uint64
}

type chunk struct {
	kept int
	s    [registryChunk]session
}

func (r *registry) create() (uint64, *session) {
	if r.next == 0 {
		r.next = 1 // 0 is no session
	}
	n := r.next
	r.next++
	i := int(n / registryChunk)
	for len(r.chunks) <= i {
		r.chunks = append(r.chunks, new(chunk))
	}
	c := r.chunks[i]
	c.kept++
	s := &c.s[n%registryChunk]
	s.pos = -1
	return n, s
}

// at is the memory of a session that was created and not forgotten, whatever is known of it.
func (r *registry) at(n uint64) *session { return &r.chunks[n/registryChunk].s[n%registryChunk] }

// get returns nil for a session that was forgotten.
func (r *registry) get(n uint64) *session {
	i := n / registryChunk
	if i >= uint64(len(r.chunks)) || r.chunks[i] == nil {
		return nil
	}
	s := &r.chunks[i].s[n%registryChunk]
	if s.fate == 0 {
		return nil
	}
	return s
}

// forget ends the memory of a session.
func (r *registry) forget(n uint64) {
	i := n / registryChunk
	c := r.chunks[i]
	c.s[n%registryChunk] = session{}
	c.kept--
	if full := (i+1)*registryChunk <= r.next; full && c.kept == 0 {
		r.chunks[i] = nil
	}
}

// each calls fn for every session that is remembered, by number.
func (r *registry) each(fn func(n uint64, s *session)) {
	for i, c := range r.chunks {
		if c == nil {
			continue
		}
		for j := range c.s {
			if c.s[j].fate != 0 {
				fn(uint64(i*registryChunk+j), &c.s[j])
			}
		}
	}
}

// appendKey appends the key of a session: session:{n}. The braces make the
// number the hash tag.
func appendKey(dst []byte, n uint64) []byte {
	dst = append(dst, "session:{"...)
	dst = strconv.AppendUint(dst, n, 10)
	return append(dst, '}')
}

// expiryItem stands in the heap of expiries, once for each session: the earliest
// time at which it may be over, which is checked again when it comes up.
type expiryItem struct {
	at time.Duration
	n  uint64
}

func (e expiryItem) when() time.Duration { return e.at }
