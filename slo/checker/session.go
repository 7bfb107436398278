package checker

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
)

// first is an instant before all others.
const first = time.Duration(-1)

// never is an instant after all others: the acknowledgement of an unknown write.
const never = time.Duration(math.MaxInt64)

// earlyShare is the part of the time-to-live after which an absence is called
// early expiry and not loss.
const earlyShare = 0.8

// Names of the checks, as examples and reports show them.
const (
	LostSession = "lost-session"
	LostWrite   = "lost-write"
	StaleRead   = "stale-read"
	Backward    = "backward-read"
	Phantom     = "phantom-read"
	Corrupt     = "corrupt-read"
	EarlyExpiry = "early-expiry"
	LateExpiry  = "late-expiry"
	Resurrected = "resurrected"
	LateWrite   = "late-write" // legal
	Duplicated  = "duplicated-write"

	ReadYourWrites = "read-your-writes"
	MonotonicReads = "monotonic-reads"

	ReplayGap      = "replay-gap"
	Misordered     = "misordered-event"
	RepeatedEvent  = "repeated-event"
	CrossSession   = "cross-session-event"
	PhantomEvent   = "phantom-event"
	CorruptedEvent = "corrupt-event"
)

// Phase is one read-back of all sessions, over all regions that it was done from.
type Phase struct {
	Name     string
	From, To time.Duration
}

// Rules are what the checks need to know beside the operations.
type Rules struct {
	// Grace is how long a session may live on after its time.
	Grace time.Duration
	// Stopped says for how much of [from, to] the idle clocks of a partition
	// may have stood still. nil: they never did.
	Stopped func(partition uint16, from, to time.Duration) time.Duration
	// Phases are the read-backs, in order of time.
	Phases []Phase
}

// Findings are what is wrong with one session, and what was seen of it.
type Findings struct {
	Created bool // acknowledged as created
	Closed  bool // an acknowledged close found it
	// Observed counts the strong observations that were judged.
	Observed int
	// Expired: it was observed at a time at which it may have expired, so that
	// the check of expiry had something to check.
	Expired bool
	// ReadBack: a read of the read-back got an answer.
	ReadBack bool
	// Unread: it must exist, and no read of some read-back phase got an answer.
	Unread bool
	// Broken says which assumption about the record does not hold, or "".
	Broken string

	Lost        bool
	Recreated   bool // Lost, and found again with nothing but newer states
	Regressed   bool
	Early       bool
	Late        bool
	Resurrected bool

	Stale, Backward, Phantom, Corrupt int
	LateWrites                        int
	// Duplicated counts the writes whose state came back to stay. The reads that
	// found it again are counted as stale or backward as well.
	Duplicated int

	// Eventual is what was seen by reads that any replica may answer.
	Eventual Eventual

	// LostWrites holds the acknowledgement of each lost write.
	LostWrites []time.Duration
	// Violations point at operations, in the order in which they were found;
	// there may be fewer than the counts say.
	Violations []Violation
}

// Violation is one finding, with the operation that shows it.
type Violation struct {
	Check string
	Op    int // index into the operations given
	Why   string
}

// maxViolations bounds what is kept of one session, but for the first of each check.
const maxViolations = 8

func (f *Findings) violate(check string, op int, format string, args ...any) {
	if len(f.Violations) < maxViolations || !f.shows(check) {
		f.Violations = append(f.Violations, Violation{check, op, fmt.Sprintf(format, args...)})
	}
}

// shows says whether there is a violation of a check.
func (f *Findings) shows(check string) bool {
	return slices.ContainsFunc(f.Violations, func(v Violation) bool { return v.Check == check })
}

// fate of a write, as its client knows it.
type fate uint8

const (
	void    fate = iota // certainly not applied
	acked               // applied by its end
	unknown             // may be applied at any time after its start
)

func fateOf(o *history.Op) fate {
	switch {
	case o.Outcome == history.OK && !o.Absent && !o.Exists:
		return acked
	case o.Outcome == history.Unknown:
		return unknown
	}
	return void
}

// write is one create or update.
type write struct {
	seq   uint32
	fate  fate
	kind  history.Kind
	op    int
	start time.Duration
	ack   time.Duration // never, if not acknowledged
	seen  time.Duration // end of the first observation that saw it; never
	last  time.Duration // latest start of an observation that saw it, else start
	late  bool
	again bool // it was counted as duplicated
}

// bound is when it has certainly taken effect.
func (w *write) bound() time.Duration { return min(w.ack, w.seen) }

// observation is an ok operation that found a state.
type observation struct {
	op    int
	write int // index into Checker.writes
	// over is the acknowledged write that certainly came after the state seen,
	// and before the observation; -1. back is the same for an observed one.
	over, back int
}

// Checker checks sessions one after the other, and keeps its memory between
// them. It is not safe for concurrent use.
type Checker struct {
	rules        Rules
	ops          []history.Op
	writes       []write
	obs          []observation
	absences     []int
	present      []int // operations that show that the session exists
	byAck        []int // writes by acknowledgement
	bySeen       []int // writes by first observation
	refs         []int // acknowledged refreshes by end
	replicaReads []int // ok reads that any replica may answer
	replica      replica
	f            Findings

	born       time.Duration // it certainly exists from here on
	closeStart time.Duration // a close may have taken effect from here on
	closeAck   time.Duration // a close has certainly taken effect
	closer     uint16        // whose close that was
	firstLost  int           // operation that shows the session lost, or -1
}

// New returns a Checker.
func New(r Rules) *Checker { return &Checker{rules: r} }

// Sort puts the operations of a session in the order that Session wants: by
// start, and otherwise in an order that does not depend on how they were recorded.
func Sort(ops []history.Op) {
	slices.SortFunc(ops, func(a, b history.Op) int {
		if c := cmp.Compare(a.Start, b.Start); c != 0 {
			return c
		}
		return cmp.Or(cmp.Compare(a.End, b.End), cmp.Compare(a.Intended, b.Intended),
			cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Client, b.Client),
			cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Region, b.Region))
	})
}

// Session checks the operations of one normal session, sorted by [Sort]. It
// keeps the slice until the next call.
func (c *Checker) Session(ops []history.Op) Findings {
	c.ops, c.f = ops, Findings{}
	c.collect()
	c.match()
	c.firstCreate()
	c.order()
	c.absent()
	c.expiry()
	c.resurrection()
	c.final()
	c.unread()
	c.eventual()
	return c.f
}

// collect sorts the operations into what they say.
func (c *Checker) collect() {
	c.writes, c.obs, c.absences, c.present = c.writes[:0], c.obs[:0], c.absences[:0], c.present[:0]
	c.byAck, c.bySeen, c.refs, c.replicaReads = c.byAck[:0], c.bySeen[:0], c.refs[:0], c.replicaReads[:0]
	c.closeStart, c.closeAck = never, never
	c.firstLost = -1
	sorted := true
	for i := range c.ops {
		o := &c.ops[i]
		switch o.Kind {
		case history.Create, history.Update:
			w := write{seq: o.Seq, fate: fateOf(o), kind: o.Kind, op: i, start: o.Start, ack: never, seen: never, last: o.Start}
			if w.fate == acked {
				w.ack = o.End
			}
			if w.seq == 0 || o.Outcome == history.Unsent {
				break // nothing was written: refused by its condition, or never sent
			}
			if n := len(c.writes); n > 0 && c.writes[n-1].seq >= w.seq {
				sorted = false
			}
			c.writes = append(c.writes, w)
			if o.Kind == history.Create && w.fate == acked {
				c.f.Created = true
			}
		case history.Close:
			if o.Outcome == history.Unknown || o.Outcome == history.OK && !o.Absent {
				c.closeStart = min(c.closeStart, o.Start)
			}
			if o.Outcome == history.OK && !o.Absent {
				if o.End < c.closeAck {
					c.closeAck, c.closer = o.End, o.Client
				}
				c.f.Closed = true
			}
		case history.ReadBack:
			c.f.ReadBack = c.f.ReadBack || o.Outcome == history.OK
		case history.Read:
			if o.Class == history.Eventual && o.Outcome == history.OK {
				c.replicaReads = append(c.replicaReads, i)
			}
		}
	}
	if !sorted {
		slices.SortFunc(c.writes, func(a, b write) int { return cmp.Compare(a.seq, b.seq) })
		for i := 1; i < len(c.writes); i++ {
			a, b := &c.writes[i-1], &c.writes[i]
			if a.seq == b.seq {
				c.f.Broken = fmt.Sprintf("sequence %d was written twice", a.seq)
			} else if a.start > b.start {
				c.f.Broken = fmt.Sprintf("sequence %d was written after %d", a.seq, b.seq)
			}
		}
	}
}

// find returns the write of a sequence number, or -1.
func (c *Checker) find(seq uint32) int {
	// Sequences start at 1 and rise by one, unless the record is a strange one.
	if i := int(seq) - 1; i >= 0 && i < len(c.writes) && c.writes[i].seq == seq {
		return i
	}
	i, ok := slices.BinarySearchFunc(c.writes, seq, func(w write, s uint32) int { return cmp.Compare(w.seq, s) })
	if !ok {
		return -1
	}
	return i
}

// match finds the write behind each observation.
func (c *Checker) match() {
	c.born = never
	conceived, created := never, false
	for i := range c.writes {
		if w := &c.writes[i]; w.kind == history.Create {
			created = true
			if w.fate != void {
				conceived = min(conceived, w.start)
			}
		}
	}
	for i := range c.ops {
		o := &c.ops[i]
		if o.Outcome != history.OK || !strong(o) {
			continue
		}
		if o.Kind.Observes() || o.Absent {
			c.f.Observed++
		}
		switch {
		case o.Absent:
			c.absences = append(c.absences, i)
		case o.Corrupt:
			c.corrupt(i)
		case created && o.End < conceived && (o.Kind.Observes() && c.find(o.Seq) >= 0 || !o.Kind.Observes()):
			c.phantom(i, "the session was found before it was created")
		case o.Kind.Observes():
			if n := c.source(i); n >= 0 {
				w := &c.writes[n]
				w.seen = min(w.seen, o.End)
				w.last = max(w.last, o.Start)
				c.obs = append(c.obs, observation{op: i, write: n, over: -1, back: -1})
				c.exists(i)
			}
		case o.Kind == history.Update || o.Kind == history.Create:
			c.exists(i)
		}
	}
}

// strong says whether an operation concerns the one state that a session has,
// and not some replica's copy of it or the session's event stream.
func strong(o *history.Op) bool { return o.Class != history.Eventual && o.Class != history.Stream }

// source is the write behind the state that an operation found; -1 if it can't
// have found it, which is counted.
func (c *Checker) source(op int) int {
	o := &c.ops[op]
	n := c.find(o.Seq)
	switch {
	case n < 0:
		c.phantom(op, "nobody ever wrote sequence %d", o.Seq)
	case c.writes[n].fate == void && c.ops[c.writes[n].op].Outcome == history.OK:
		c.phantom(op, "sequence %d was refused because its condition did not hold, and is there", o.Seq)
	case c.writes[n].fate == void:
		c.phantom(op, "sequence %d was promised not to be applied, and is there", o.Seq)
	case c.writes[n].start > o.End:
		c.phantom(op, "sequence %d was found before it was written", o.Seq)
	default:
		return n
	}
	return -1
}

func (c *Checker) corrupt(op int) {
	c.f.Corrupt++
	c.f.violate(Corrupt, op, "the state found fails its checksum or names another session")
}

func (c *Checker) phantom(op int, format string, args ...any) {
	c.f.Phantom++
	c.f.violate(Phantom, op, format, args...)
}

func (c *Checker) exists(op int) {
	c.present = append(c.present, op)
	c.born = min(c.born, c.ops[op].End)
}

// order finds stale and backward observations, and writes that came late.
func (c *Checker) order() {
	if len(c.obs) == 0 {
		return
	}
	floating := false // an unknown write was observed
	for i := range c.writes {
		w := &c.writes[i]
		if w.bound() == first {
			continue // nothing can be older
		}
		if w.fate == acked {
			c.byAck = append(c.byAck, i)
		}
		if w.seen != never {
			c.bySeen = append(c.bySeen, i)
			floating = floating || w.fate == unknown
		}
	}
	sortBy(c.byAck, func(i int) time.Duration { return c.writes[i].ack })
	sortBy(c.bySeen, func(i int) time.Duration { return c.writes[i].seen })
	var a, s int
	newestAck, newestSeen := -1, -1 // the one that started last, of those that have taken effect
	for i := range c.obs {
		r := &c.obs[i]
		from := c.ops[r.op].Start
		for ; a < len(c.byAck) && c.writes[c.byAck[a]].ack < from; a++ {
			newestAck = c.laterStart(newestAck, c.byAck[a])
		}
		for ; s < len(c.bySeen) && c.writes[c.bySeen[s]].seen < from; s++ {
			newestSeen = c.laterStart(newestSeen, c.bySeen[s])
		}
		w := &c.writes[r.write]
		switch {
		case newestAck >= 0 && c.writes[newestAck].start > w.bound():
			r.over = newestAck
		case newestSeen >= 0 && c.writes[newestSeen].start > w.bound():
			r.back = newestSeen
		case w.fate == unknown && !w.late && newestAck >= 0 && c.writes[newestAck].start > w.start:
			w.late = true
			c.f.LateWrites++
		}
	}
	c.closing()
	if floating {
		c.zones()
	}
}

// closing judges the state that a close found: the close comes after every
// write and observation, whenever these began, so that it is the last state.
func (c *Checker) closing() {
	if c.closeAck == never || c.mayComeBack(c.closeStart) {
		return
	}
	for i := range c.obs {
		r := &c.obs[i]
		if c.ops[r.op].Kind != history.Close {
			continue
		}
		w := &c.writes[r.write]
		for j := range c.writes {
			k := &c.writes[j]
			if k.fate == void || k.bound() == never || j == r.write {
				continue
			}
			w.last = max(w.last, k.last)
			switch {
			case k.bound() == first || k.last <= w.bound() || r.over >= 0:
			case k.fate == acked:
				r.over = j
			case r.back < 0:
				r.back = j
			}
		}
	}
}

// firstCreate puts the create before all other writes where there is only one
// that may have been applied: an update needs a session to be applied to.
func (c *Checker) firstCreate() {
	only := -1
	for i := range c.writes {
		if w := &c.writes[i]; w.kind == history.Create && w.fate != void {
			if only >= 0 {
				return
			}
			only = i
		}
	}
	if only >= 0 && c.born != never {
		c.writes[only].seen = first
	}
}

func sortBy(xs []int, at func(int) time.Duration) {
	less := func(a, b int) int { return cmp.Or(cmp.Compare(at(a), at(b)), a-b) }
	if !slices.IsSortedFunc(xs, less) {
		slices.SortFunc(xs, less)
	}
}

func (c *Checker) laterStart(a, b int) int {
	if a < 0 || c.writes[b].start > c.writes[a].start {
		return b
	}
	return a
}

// zones decides what order by time alone can't: whether there is any order of
// the writes that explains the observations, when unknown writes may take
// effect at any time (Gibbons and Korach, Testing Shared Memories, 1997). A
// write with its observations spans from the first end to the last start of
// them; two such spans may not overlap, and a write whose operations are all
// concurrent may not lie inside the span of another.
func (c *Checker) zones() {
	for i := range c.obs {
		if c.obs[i].over >= 0 || c.obs[i].back >= 0 {
			return // something is found already
		}
	}
	type zone struct {
		lo, hi time.Duration
		write  int
	}
	var forward, backward []zone
	for i := range c.writes {
		w := &c.writes[i]
		if w.fate != acked && w.seen == never || w.fate == void {
			continue // may as well never have taken effect
		}
		if bound := w.bound(); bound < w.last {
			forward = append(forward, zone{bound, w.last, i})
		} else {
			backward = append(backward, zone{w.last, bound, i})
		}
	}
	slices.SortFunc(forward, func(a, b zone) int { return cmp.Or(cmp.Compare(a.lo, b.lo), a.write-b.write) })
	blame := func(w int) {
		for i := len(c.obs) - 1; i >= 0; i-- {
			if c.obs[i].write == w {
				c.obs[i].back = w
				return
			}
		}
	}
	for i := 1; i < len(forward); i++ {
		if forward[i].lo < forward[i-1].hi {
			blame(forward[i-1].write)
			return
		}
	}
	for _, b := range backward {
		i, _ := slices.BinarySearchFunc(forward, b.lo, func(z zone, t time.Duration) int { return cmp.Compare(z.lo, t) })
		if i > 0 && b.hi < forward[i-1].hi {
			blame(forward[i-1].write)
			return
		}
	}
}

// countReads counts the stale and backward observations, but for those from
// explained on.
func (c *Checker) countReads(explained int) {
	for i := range c.obs[:explained] {
		r := &c.obs[i]
		o, w := &c.ops[r.op], &c.writes[r.write]
		switch {
		case r.over >= 0:
			k := &c.writes[r.over]
			c.f.Stale++
			c.f.violate(StaleRead, r.op, "sequence %d was found at %s, after sequence %d had been acknowledged at %s", w.seq, secs(o.Start), k.seq, secs(k.ack))
		case r.back == r.write:
			c.f.Backward++
			c.f.violate(Backward, r.op, "sequence %d was found again at %s: no order of the writes explains it", w.seq, secs(o.Start))
		case r.back >= 0:
			k := &c.writes[r.back]
			c.f.Backward++
			c.f.violate(Backward, r.op, "sequence %d was found at %s, after sequence %d had been found by %s", w.seq, secs(o.Start), k.seq, secs(k.seen))
		}
	}
}

func secs(d time.Duration) string { return fmt.Sprintf("%.6f s", d.Seconds()) }

// mayComeBack says whether a create may take effect after t.
func (c *Checker) mayComeBack(t time.Duration) bool {
	for i := range c.writes {
		if w := &c.writes[i]; w.kind == history.Create && w.fate != void && w.bound() >= t {
			return true
		}
	}
	return false
}
