package checker

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
)

// StreamRules are what the check of event streams needs to know beside the
// operations.
type StreamRules struct {
	// Until is the end of the record: a stream that stands and is not resumed
	// was listened to until then.
	Until time.Duration
	// Patience is how long an event may take on a stream that stands.
	Patience time.Duration
}

// StreamFindings are what is wrong with the event streams of one session.
type StreamFindings struct {
	Emitted int // events acknowledged as emitted
	Events  int // that arrived

	Gaps         int // owed to a client, and never delivered to it
	Duplicates   int // delivered again: over another connection legal
	Repeated     int // of the duplicates, those over the same connection
	Misordered   int // after a later one over the same connection
	CrossSession int // of another session
	Phantom      int // that nobody emitted
	Corrupt      int // that fail their checksum

	Violations []Violation
}

func (f *StreamFindings) violate(check string, op int, format string, args ...any) {
	if len(f.Violations) < maxViolations {
		f.Violations = append(f.Violations, Violation{check, op, fmt.Sprintf(format, args...)})
	}
}

// Stream checks the event streams of one session. The operations are sorted by
// [Sort]; those that are not of the class Stream are left out. What is found:
//
//   - Replay gap: an event that was acknowledged as emitted, is owed over a
//     connection, was never delivered to its client, and either a later one was
//     delivered over that connection, or the connection stood until the end of
//     the record and the event had its time. A connection owes every event after
//     the one that its client named as its last (Last-Event-ID); one whose client
//     named none, those whose emission began when it stood; one whose opening is
//     not recorded, those after the first that it delivered. A number that was
//     acknowledged for two events is a gap too: no client can ask for the second.
//   - Duplicate: delivered to the same client again. Over another connection this
//     is at-least-once delivery, over the same one it is repeated.
//   - Misordered: delivered over a connection after an event with a higher number.
//   - Phantom: an event of this session that nothing had begun to emit when it
//     arrived, or whose emission was promised not to have happened. An emission
//     without an answer and without a number explains any one event. Nothing is
//     claimed of a session of which no emission is recorded.
//   - Cross-session and corrupt events, as they were recorded.
func Stream(ops []history.Op, rules StreamRules) StreamFindings {
	s := streamCheck{ops: ops, rules: rules, begun: map[uint32]time.Duration{}, phantom: map[uint32]bool{}}
	s.collect()
	s.phantoms()
	slices.SortStableFunc(s.clients, func(a, b int) int { return cmp.Compare(ops[a].Client, ops[b].Client) })
	for from := 0; from < len(s.clients); {
		to := from
		for to < len(s.clients) && ops[s.clients[to]].Client == ops[s.clients[from]].Client {
			to++
		}
		s.follow(s.clients[from:to])
		from = to
	}
	return s.f
}

type streamCheck struct {
	ops   []history.Op
	rules StreamRules
	f     StreamFindings

	emits     bool                     // an emission is recorded
	emitted   []int                    // acknowledged ones, by number, each number once
	begun     map[uint32]time.Duration // earliest start of what may have emitted a number
	unnamed   []time.Duration          // starts of emissions without an answer and a number
	delivered []int                    // own events that are whole
	phantom   map[uint32]bool
	clients   []int // what clients saw: Deliver and Resume
}

func (s *streamCheck) collect() {
	for i := range s.ops {
		o := &s.ops[i]
		switch o.Kind {
		case history.Emit:
			s.emits = true
			if o.Outcome == history.OK {
				s.f.Emitted++
				s.emitted = append(s.emitted, i)
			}
			switch {
			case o.Outcome != history.OK && o.Outcome != history.Unknown:
			case o.Seq == 0:
				s.unnamed = append(s.unnamed, o.Start)
			default:
				if at, ok := s.begun[o.Seq]; !ok || o.Start < at {
					s.begun[o.Seq] = o.Start
				}
			}
		case history.Deliver:
			s.f.Events++
			switch {
			case o.Exists:
				s.f.CrossSession++
				s.f.violate(CrossSession, i, "at %s the stream delivered event %d of another session", secs(o.End), o.Seq)
			case o.Corrupt:
				s.f.Corrupt++
				s.f.violate(CorruptedEvent, i, "at %s the stream delivered an event that fails its checksum", secs(o.End))
			default:
				s.delivered = append(s.delivered, i)
				s.clients = append(s.clients, i)
			}
		case history.Resume:
			s.clients = append(s.clients, i)
		}
	}
	slices.SortStableFunc(s.emitted, func(a, b int) int { return cmp.Compare(s.ops[a].Seq, s.ops[b].Seq) })
	once := s.emitted[:0]
	for _, i := range s.emitted {
		if n := len(once); n > 0 && s.ops[once[n-1]].Seq == s.ops[i].Seq {
			s.f.Gaps++
			s.f.violate(ReplayGap, i, "event %d was acknowledged at %s, after another one of that number at %s", s.ops[i].Seq, secs(s.ops[i].End), secs(s.ops[once[n-1]].End))
			continue
		}
		once = append(once, i)
	}
	s.emitted = once
}

// phantoms finds the numbers that nothing emitted. Each unnamed emission explains
// one of them that arrived after it began; the ones that arrived first have
// the least choice.
func (s *streamCheck) phantoms() {
	if !s.emits {
		return
	}
	slices.Sort(s.unnamed)
	seen := map[uint32]bool{}
	begun, used := 0, 0
	for _, i := range s.delivered { // in order of time
		o := &s.ops[i]
		if seen[o.Seq] {
			continue
		}
		seen[o.Seq] = true
		if at, ok := s.begun[o.Seq]; ok && at <= o.End {
			continue
		}
		for ; begun < len(s.unnamed) && s.unnamed[begun] <= o.End; begun++ {
		}
		if used < begun {
			used++
			continue
		}
		s.phantom[o.Seq] = true
		s.f.Phantom++
		s.f.violate(PhantomEvent, i, "event %d was delivered at %s, and nothing had emitted it", o.Seq, secs(o.End))
	}
}

// connection is one stream of a client, over its life.
type connection struct {
	after  uint32        // events after this one are owed
	from   time.Duration // those emitted since are owed, where the client named no event; never if that does not count
	stands time.Duration // since
	top    uint32        // highest number delivered
}

// follow judges what one client saw, in order of time.
func (s *streamCheck) follow(saw []int) {
	var cs []connection
	at := map[uint32]int{} // connection that delivered a number last
	up := false
	for _, i := range saw {
		o := &s.ops[i]
		if o.Kind == history.Resume {
			if up = o.Outcome == history.OK; up {
				c := connection{after: o.Seq, from: never, stands: o.End}
				if o.Seq == 0 {
					c.from = o.End
				}
				cs = append(cs, c)
			}
			continue
		}
		if s.phantom[o.Seq] {
			continue
		}
		if len(cs) == 0 {
			cs = append(cs, connection{after: o.Seq, from: never}) // not recorded: after what it delivered first
		}
		c := &cs[len(cs)-1]
		last, again := at[o.Seq]
		same := again && last == len(cs)-1
		switch {
		case same:
			s.f.Repeated++
			s.f.violate(RepeatedEvent, i, "event %d was delivered at %s for the second time over the same connection", o.Seq, secs(o.End))
		case o.Seq < c.top:
			s.f.Misordered++
			s.f.violate(Misordered, i, "event %d was delivered at %s, after event %d over the same connection", o.Seq, secs(o.End), c.top)
		}
		if again {
			s.f.Duplicates++
		}
		at[o.Seq] = len(cs) - 1
		c.top = max(c.top, o.Seq)
	}
	if len(cs) > 0 {
		s.gaps(s.ops[saw[0]].Client, cs, at, up)
	}
}

// gaps finds the events that are owed, due, and not among those delivered.
func (s *streamCheck) gaps(client uint16, cs []connection, delivered map[uint32]int, up bool) {
	// What was passed over: above what a client named, below what it then got.
	type span struct{ after, top uint32 }
	var resumed []span
	type opening struct {
		from time.Duration
		top  uint32
	}
	var opened []opening
	for _, c := range cs {
		if c.from == never {
			resumed = append(resumed, span{c.after, c.top})
		} else {
			opened = append(opened, opening{c.from, c.top})
		}
	}
	slices.SortFunc(resumed, func(a, b span) int { return cmp.Compare(a.after, b.after) })
	for i := 1; i < len(resumed); i++ {
		resumed[i].top = max(resumed[i].top, resumed[i-1].top)
	}
	// Both lists hold, at each place, the highest number of it and all before.
	slices.SortFunc(opened, func(a, b opening) int { return cmp.Compare(a.from, b.from) })
	for i := 1; i < len(opened); i++ {
		opened[i].top = max(opened[i].top, opened[i-1].top)
	}
	last := &cs[len(cs)-1]
	for _, i := range s.emitted {
		o := &s.ops[i]
		if _, ok := delivered[o.Seq]; ok {
			continue
		}
		passed := uint32(0)
		if n, _ := slices.BinarySearchFunc(resumed, o.Seq, func(x span, seq uint32) int { return cmp.Compare(x.after, seq) }); n > 0 {
			passed = resumed[n-1].top
		}
		if n, _ := slices.BinarySearchFunc(opened, o.Start+1, func(x opening, t time.Duration) int { return cmp.Compare(x.from, t) }); n > 0 {
			passed = max(passed, opened[n-1].top)
		}
		owed := last.from == never && o.Seq > last.after || o.Start >= last.from
		switch {
		case passed > o.Seq:
			s.f.Gaps++
			s.f.violate(ReplayGap, i, "event %d was acknowledged at %s and never delivered to client %d, though event %d was", o.Seq, secs(o.End), client, passed)
		case up && owed && max(o.End, last.stands)+s.rules.Patience <= s.rules.Until:
			s.f.Gaps++
			s.f.violate(ReplayGap, i, "event %d was acknowledged at %s and never delivered to client %d, though its stream stood from %s until the end", o.Seq, secs(o.End), client, secs(last.stands))
		}
	}
}
