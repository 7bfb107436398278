package loadgen

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/loadgen/resp"
)

const (
	clientsPerRegion = 16 // client ids of the follower clients of one region
	witnessSessions  = 48 // that witness clients write
	contestedWriters = 3
	contestedTTL     = time.Hour // they do not expire within a run
	writeTries       = 16        // sessions looked at for one that can be written
	homeTries        = 1 << 16   // numbers looked at for one at home; then nothing is
	goneReadShare    = 0.01      // of the followers' reads go to sessions whose time is over
	goneGrace        = 5 * time.Second
	goneKept         = time.Minute // how long a session that is over can still be read back
)

// population is the sessions that the clients of one class in one region own.
type population struct {
	class   history.Class
	region  uint8
	pool    uint8
	index   uint8
	share   float64 // of the operations of its class
	target  int     // sessions to hold
	client0 uint16  // first client id
	clients uint16

	live     []uint64
	creating int // outstanding creates
	short    int // live or being created, with the short time-to-live
	zipf     *rand.Zipf
}

func (p *population) size() int { return len(p.live) + p.creating }

// contestedSession is one with several writers; each counts for itself.
type contestedSession struct {
	n   uint64
	seq [contestedWriters]uint32
}

// intent is one operation that the schedule called for.
type intent struct {
	kind   history.Kind
	class  history.Class
	n      uint64
	client uint16
	region uint8
	pool   uint8
	seq    uint32
	ttl    uint32
}

// sessions is the state of all sessions and the choice of what is done to them.
// It knows nothing of connections.
type sessions struct {
	w   Workload
	rng *rand.Rand
	all registry

	pops      []*population // followers first, then the witness, then the contested
	followers int
	witness   *population
	contested []contestedSession
	writers   []population // of the contested sessions: where each client stands
	eventual  *population  // where those who read from any replica stand; it has no sessions

	// Sessions that eventual reads return to.
	written, looked recent

	// Numbers whose keys are at home in a region (the index), passed over by the
	// clients of another one.
	passed map[uint8]*fifo[uint64]

	expiries timeHeap[expiryItem]
	gone     fifo[expiryItem] // sessions whose time is over; at is when
	keyBuf   []byte
}

// live of all followers together.
func (s *sessions) liveFollowers() int {
	n := 0
	for _, p := range s.pops[:s.followers] {
		n += len(p.live)
	}
	return n
}

// born makes a new session of a population; its create is not sent yet.
func (s *sessions) born(p *population) (uint64, *session) {
	n, ses := s.number(p)
	ses.fate, ses.pop, ses.busy = creating, p.index, true
	ses.writer = p.client0 + uint16(n%uint64(p.clients))
	ttl := s.w.TTL
	switch p.class {
	case history.Contested:
		ttl = max(ttl, contestedTTL)
	case history.Follower:
		if s.drawShort(p) {
			ses.short, ttl = true, s.w.ShortTTL
			p.short++
		}
	}
	ses.ttl = uint32(ttl / time.Millisecond)
	p.creating++
	return n, ses
}

// number gives a new session its number, and so its key, slot and partition:
// where homes matter, the next one that is at home with the clients of the
// population. What they pass over is kept for the clients whom it suits.
func (s *sessions) number(p *population) (uint64, *session) {
	local := s.w.Home != nil && p.class == history.Follower
	if q := s.passed[p.region]; local && q != nil && q.len() > 0 {
		n := q.pop()
		return n, s.all.at(n)
	}
	for tries := 0; ; tries++ {
		n, ses := s.all.create()
		s.keyBuf = appendKey(s.keyBuf[:0], n)
		ses.slot = uint16(resp.Slot(s.keyBuf))
		if s.w.Partition != nil {
			ses.part = uint16(s.w.Partition(string(s.keyBuf)))
		}
		if !local || tries == homeTries {
			return n, ses
		}
		home := uint8(s.w.Home(int(ses.part)))
		if home == p.region {
			return n, ses
		}
		if !slices.ContainsFunc(s.pops[:s.followers], func(o *population) bool { return o.region == home }) {
			s.all.forget(n)
			continue
		}
		if s.passed == nil {
			s.passed = map[uint8]*fifo[uint64]{}
		}
		if s.passed[home] == nil {
			s.passed[home] = &fifo[uint64]{}
		}
		s.passed[home].push(n)
	}
}

// drawShort keeps the share of short sessions although they expire: more of the
// new ones are short while there are too few, and none while there are enough.
func (s *sessions) drawShort(p *population) bool {
	share := s.w.ShortShare
	u := s.rng.Float64()
	if share <= 0 || s.w.ShortTTL <= 0 {
		return false
	}
	if float64(p.short) >= share*float64(p.target) {
		return false
	}
	if p.size() < p.target/2 {
		return u < share // while filling, as they come
	}
	return u < max(share, min(0.5, 4*share))
}

func (s *sessions) join(n uint64, ses *session) {
	p := s.pops[ses.pop]
	ses.fate = live
	ses.pos = int32(len(p.live))
	p.live = append(p.live, n)
	if !ses.queued {
		ses.queued = true
		s.expiries.push(expiryItem{ses.expiry, n})
	}
}

func (s *sessions) leave(ses *session) {
	if ses.pos < 0 {
		return
	}
	p := s.pops[ses.pop]
	last := p.live[len(p.live)-1]
	p.live[ses.pos] = last
	s.all.get(last).pos = ses.pos
	p.live = p.live[:len(p.live)-1]
	ses.pos = -1
}

// end takes a session out of the world; it is remembered if it may still exist.
func (s *sessions) end(n uint64, ses *session, f fate) {
	s.leave(ses)
	if ses.short {
		s.pops[ses.pop].short--
		ses.short = false
	}
	if f == 0 {
		s.all.forget(n)
		return
	}
	ses.fate = f
}

// expire ends sessions whose time is over, and forgets those that were long ago.
func (s *sessions) expire(now time.Duration) {
	for len(s.expiries) > 0 && s.expiries[0].at <= now {
		it := s.expiries.pop()
		ses := s.all.get(it.n)
		switch {
		case ses == nil || ses.fate != live && ses.fate != closing:
		case ses.busy:
			// A write is outstanding that may refresh it.
			s.expiries.push(expiryItem{now + 100*time.Millisecond, it.n})
		case ses.expiry > now:
			s.expiries.push(expiryItem{ses.expiry, it.n})
		default:
			s.end(it.n, ses, expired)
			s.gone.push(expiryItem{now, it.n})
		}
	}
	for s.gone.len() > 0 && s.gone.at(0).at+goneKept <= now {
		n := s.gone.pop().n
		if ses := s.all.get(n); ses != nil && ses.fate == expired {
			s.all.forget(n)
		}
	}
}

// draw chooses the next operation. All randomness of the sequence of operations
// is drawn here and in what it calls.
func (s *sessions) draw(now time.Duration) intent {
	u := s.rng.Float64() * s.w.Rate
	if u -= s.w.Witness.Rate; u < 0 && s.witness != nil {
		return s.drawWitness(now)
	}
	if u -= s.w.Contested.Rate; u < 0 && len(s.contested) > 0 {
		return s.drawContested()
	}
	if u -= s.w.Eventual.Rate; u < 0 && s.eventual != nil {
		return s.drawEventual(now)
	}
	p := s.pops[0]
	if s.followers > 1 {
		v := s.rng.Float64()
		for _, q := range s.pops[:s.followers] {
			p = q
			if v -= q.share; v < 0 {
				break
			}
		}
	}
	k := s.drawKind()
	if k == history.Create || k == history.Close {
		// Both together keep their share; which one it is keeps the population level.
		switch size := p.size(); {
		case size < p.target:
			k = history.Create
		case size > p.target:
			k = history.Close
		}
	}
	if k == history.Create {
		n, ses := s.born(p)
		return s.write(p, k, n, ses)
	}
	if k != history.Read {
		if n, ses := s.writable(p, now); ses != nil {
			return s.write(p, k, n, ses)
		}
		// Every session looked at is being written: its one writer is busy.
	}
	return s.read(p, s.readable(p, now))
}

func (s *sessions) drawKind() history.Kind {
	m := s.w.Mix
	v := s.rng.Float64() * (m.Read + m.Update + m.Create + m.Touch + m.Close)
	switch {
	case v < m.Read:
		return history.Read
	case v < m.Read+m.Update:
		return history.Update
	case v < m.Read+m.Update+m.Touch:
		return history.Touch
	case v < m.Read+m.Update+m.Touch+m.Create:
		return history.Create
	}
	return history.Close
}

func (s *sessions) drawWitness(now time.Duration) intent {
	p := s.witness
	if len(p.live) == 0 || s.rng.IntN(2) == 0 {
		return s.read(p, s.readable(nil, now))
	}
	switch v := s.rng.IntN(10); {
	case v < 5:
		return s.read(p, s.pick(p))
	default:
		n, ses := s.writable(p, now)
		if ses == nil {
			return s.read(p, s.pick(p))
		}
		if v == 5 {
			return s.write(p, history.Touch, n, ses)
		}
		return s.write(p, history.Update, n, ses)
	}
}

// drawEventual reads a session as its own writer does. Of the many sessions few
// would be read soon after they were written, or twice, which is when a replica
// that is behind shows: half of the reads go to sessions that were written not long
// ago, a quarter to those that were read so.
func (s *sessions) drawEventual(now time.Duration) intent {
	n := uint64(0)
	switch s.rng.IntN(4) {
	case 0, 1:
		n = s.written.draw(s)
	case 2:
		n = s.looked.draw(s)
	}
	if n == 0 {
		if n = s.readable(s.pops[0], now); n == 0 {
			return s.read(s.pops[0], 0)
		}
	}
	s.looked.add(n)
	p := s.eventual
	return intent{kind: history.Read, class: p.class, n: n, client: s.all.get(n).writer, region: p.region, pool: p.pool}
}

// recent is the last few sessions that something was done to.
type recent struct {
	n    [32]uint64
	next int
}

func (r *recent) add(n uint64) {
	r.n[r.next%len(r.n)] = n
	r.next++
}

// draw chooses one that is remembered still, 0 if it chose in vain.
func (r *recent) draw(s *sessions) uint64 {
	n := r.n[s.rng.IntN(len(r.n))]
	if s.all.get(n) == nil {
		return 0
	}
	return n
}

func (s *sessions) drawContested() intent {
	c := &s.contested[s.rng.IntN(len(s.contested))]
	w := s.rng.IntN(contestedWriters)
	at := &s.writers[w]
	in := intent{class: history.Contested, n: c.n, client: at.client0, region: at.region, pool: at.pool}
	switch v := s.rng.IntN(20); {
	case v < 10:
		in.kind = history.Read
		return in
	case v < 16:
		in.kind = history.Update
	case v < 18:
		in.kind = history.Touch
	default:
		in.kind = history.Create
	}
	in.ttl = s.all.get(c.n).ttl
	if in.kind != history.Touch {
		c.seq[w]++
		in.seq = c.seq[w]
	}
	return in
}

// read reads session n; where there is none yet the operation makes one.
func (s *sessions) read(p *population, n uint64) intent {
	if n == 0 {
		n, ses := s.born(p)
		return s.write(p, history.Create, n, ses)
	}
	return intent{kind: history.Read, class: p.class, n: n, client: p.client0 + uint16(s.rng.IntN(int(p.clients))), region: p.region, pool: p.pool}
}

// write makes the session busy and counts its sequence number.
func (s *sessions) write(p *population, k history.Kind, n uint64, ses *session) intent {
	in := intent{kind: k, class: p.class, n: n, client: ses.writer, region: p.region, pool: p.pool}
	if p.class == history.Contested {
		at := &s.writers[n%contestedWriters]
		in.client, in.region, in.pool = at.client0, at.region, at.pool
	}
	ses.busy = true
	switch k {
	case history.Create, history.Update:
		ses.seq++
		in.seq, in.ttl = ses.seq, ses.ttl
	case history.Touch:
		in.ttl = ses.ttl
	case history.Close:
		s.leave(ses)
		ses.fate = closing
	}
	return in
}

// pick chooses a live session of p, 0 if it has none.
func (s *sessions) pick(p *population) uint64 {
	if len(p.live) == 0 {
		return 0
	}
	if p.zipf != nil {
		return p.live[p.zipf.Uint64()%uint64(len(p.live))]
	}
	return p.live[s.rng.IntN(len(p.live))]
}

// readable chooses a session to read: any live one of any region's followers
// (only of their own where homes matter), and now and then one whose time is over, to see whether it is gone.
func (s *sessions) readable(p *population, now time.Duration) uint64 {
	if p != nil && s.gone.len() > 0 && s.rng.Float64() < goneReadShare {
		it := s.gone.at(s.rng.IntN(s.gone.len()))
		if ses := s.all.get(it.n); ses != nil && now <= it.at+ses.timeToLive()+goneGrace && (s.w.Home == nil || ses.pop == p.index) {
			return it.n
		}
	}
	if s.followers == 1 {
		return s.pick(s.pops[0])
	}
	if s.w.Home != nil && p != nil && p.class == history.Follower {
		return s.pick(p)
	}
	i := s.rng.IntN(max(1, s.liveFollowers()))
	for _, q := range s.pops[:s.followers] {
		if i -= len(q.live); i < 0 {
			return s.pick(q)
		}
	}
	return 0
}

// writable chooses a session of p that has no write outstanding and is not over.
func (s *sessions) writable(p *population, now time.Duration) (uint64, *session) {
	for range writeTries {
		n := s.pick(p)
		if n == 0 {
			break
		}
		if ses := s.all.get(n); !ses.busy && now < ses.expiry {
			return n, ses
		}
	}
	return 0, nil
}

// settle takes note of what an operation came to.
func (s *sessions) settle(op *history.Op) {
	if op.Class == history.Contested || op.Class == history.Audit || !op.Kind.IsWrite() {
		if op.Class == history.Contested && op.Kind == history.Create {
			s.settleContested(op)
		}
		return
	}
	ses := s.all.get(op.Session)
	ses.busy = false
	if op.Kind == history.Create {
		s.pops[ses.pop].creating--
	}
	acked := op.Outcome == history.OK && !op.Absent && !op.Exists
	if acked && op.TTL > 0 {
		ses.expiry = op.End + ses.timeToLive()
	}
	if s.eventual != nil && acked && op.Class == history.Follower {
		s.written.add(op.Session)
	}
	switch op.Kind {
	case history.Create:
		switch {
		case acked:
			s.join(op.Session, ses)
		case op.Outcome == history.Unknown, op.Exists:
			s.end(op.Session, ses, doubtful)
		default:
			s.end(op.Session, ses, 0)
		}
	case history.Update, history.Touch:
		switch {
		case op.Absent && op.End >= ses.expiry-time.Second:
			s.end(op.Session, ses, expired)
			s.gone.push(expiryItem{op.End, op.Session})
		case op.Absent:
			s.end(op.Session, ses, dead)
		}
	case history.Close:
		switch op.Outcome {
		case history.OK:
			s.end(op.Session, ses, 0)
		case history.Unknown:
			s.end(op.Session, ses, doubtful)
		default:
			s.join(op.Session, ses)
		}
	}
}

// settleContested: the first create of a contested session, in Fill, makes it
// known; later ones change nothing.
func (s *sessions) settleContested(op *history.Op) {
	ses := s.all.get(op.Session)
	if ses == nil || ses.fate != creating {
		return
	}
	ses.busy = false
	p := s.pops[ses.pop]
	p.creating--
	switch {
	case op.Outcome == history.OK && !op.Exists:
		ses.fate = live
		c := contestedSession{n: op.Session}
		c.seq[op.Session%contestedWriters] = op.Seq
		s.contested = append(s.contested, c)
	case op.Outcome == history.Unknown || op.Exists:
		ses.fate = doubtful
	default:
		s.all.forget(op.Session)
	}
}

// worthReading lists the sessions that a read-back reads: every one that was
// acknowledged, or may have been created, and is not known to be closed or to
// have been over for long.
func (s *sessions) worthReading() []uint64 {
	var out []uint64
	s.all.each(func(n uint64, ses *session) {
		if ses.fate != creating {
			out = append(out, n)
		}
	})
	return out
}
