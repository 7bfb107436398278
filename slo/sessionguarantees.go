package slo

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/slo/checker"
)

// checkStaleness is the check of the example that shows the most stale read.
const checkStaleness = "staleness"

// guarantees are the counts that sessions with eventual reads or event streams
// are judged by, as a sentence says them.
var guarantees = map[string]struct{ one, many string }{
	ReadYourWrites: {"eventual read lacked what its own session had written", "eventual reads lacked what their own session had written"},
	MonotonicReads: {"eventual read was older than the one before", "eventual reads were older than the ones before"},
	ReplayGaps:     {"event of a stream was passed over, out of order or repeated", "events of streams were passed over, out of order or repeated"},
	CrossSession:   {"event was delivered to a session that it is not of", "events were delivered to sessions that they are not of"},
}

// broken is the count that such an objective bounds.
func (m *Measures) broken(name string) int {
	switch name {
	case ReadYourWrites:
		return m.ReadYourWrites
	case MonotonicReads:
		return m.NonMonotonic
	case ReplayGaps:
		return m.ReplayGaps + m.Misordered + m.RepeatedEvents
	case CrossSession:
		return m.CrossSession + m.PhantomEvents + m.CorruptEvents
	}
	return 0
}

func joinEventual(s, o *checker.Eventual) {
	s.Reads += o.Reads
	s.AfterOwn += o.AfterOwn
	s.Again += o.Again
	s.ReadYourWrites += o.ReadYourWrites
	s.NonMonotonic += o.NonMonotonic
	s.Staleness = append(s.Staleness, o.Staleness...)
}

func joinStream(s, o *checker.StreamFindings) {
	s.Emitted += o.Emitted
	s.Events += o.Events
	s.Gaps += o.Gaps
	s.Duplicates += o.Duplicates
	s.Repeated += o.Repeated
	s.Misordered += o.Misordered
	s.CrossSession += o.CrossSession
	s.Phantom += o.Phantom
	s.Corrupt += o.Corrupt
}

// addStream takes the findings of one session's streams.
func (s *findings) addStream(session uint64, ops []history.Op, f *checker.StreamFindings) {
	joinStream(&s.stream, f)
	for _, v := range f.Violations {
		s.violations = appendCapped(s.violations, violation{v.Check, session, ops[v.Op], v.Why})
	}
}

// staleRead is the most stale read of a trial.
type staleRead struct {
	age     time.Duration
	session uint64
	op      history.Op
}

func (s *staleRead) join(o *staleRead) {
	if o.age > s.age {
		*s = *o
	}
}

// wanted says whether an example of the check is of use: that a guarantee was
// not kept which nobody asked for is no news.
func (t *trial) wanted(check string) bool {
	switch check {
	case checker.ReadYourWrites:
		return t.declared(ReadYourWrites)
	case checker.MonotonicReads:
		return t.declared(MonotonicReads)
	}
	return true
}

func (t *trial) declared(name string) bool {
	return slices.ContainsFunc(t.cfg.Objectives, func(o Target) bool { return o.Name == name })
}

// recordEnd is the last instant that is recorded of the trial.
func (t *trial) recordEnd() time.Duration {
	var end time.Duration
	for i := range t.events {
		end = max(end, t.events[i].At)
	}
	t.ops.each(func(o *history.Op) { end = max(end, o.End) })
	return end
}

// measureEventual takes the measures of eventual reads from the findings.
func (t *trial) measureEventual() {
	e, m := &t.safety.eventual, &t.m
	m.EventualReads, m.ReadYourWrites, m.NonMonotonic = e.Reads, e.ReadYourWrites, e.NonMonotonic
	if e.Reads == 0 {
		return
	}
	slices.Sort(e.Staleness)
	m.Staleness = &Stale{}
	if n := len(e.Staleness); n > 0 {
		m.Staleness.Max = sec(e.Staleness[n-1])
		// The reads that found the last state come first.
		rank := int(math.Ceil(0.99*float64(e.Reads)-1e-9)) - (e.Reads - n)
		if rank > 0 {
			m.Staleness.P99 = sec(e.Staleness[rank-1])
		}
	}
	if w := &t.safety.worst; t.beyond(Staleness, &m.Staleness.Max) && w.age > 0 {
		t.safety.violations = appendCapped(t.safety.violations, violation{checkStaleness, w.session, w.op,
			fmt.Sprintf("what was found at %s had been replaced by an acknowledged write %s s before", atText(w.op.Start), short(sec(w.age)))})
	}
}

// measureStreams takes the measures of event streams from the findings.
func (t *trial) measureStreams() {
	s, m := &t.safety.stream, &t.m
	m.StreamEvents, m.ReplayGaps, m.DuplicateEvents, m.RepeatedEvents = s.Events, s.Gaps, s.Duplicates, s.Repeated
	m.Misordered, m.CrossSession, m.PhantomEvents, m.CorruptEvents = s.Misordered, s.CrossSession, s.Phantom, s.Corrupt
}

// readGuarantee reads a row about eventual reads or event streams. Where there
// were none it has no value.
func (a *analysis) readGuarantee(name string) reading {
	some := func(t *trial) bool { return t.m.EventualReads > 0 }
	evidence := func(t *trial) string {
		e := &t.safety.eventual
		return fmt.Sprintf("eventual reads: %d, of which after a write of the same session %d, after a read of it %d; lacking the write %d, older than the read %d",
			e.Reads, e.AfterOwn, e.Again, e.ReadYourWrites, e.NonMonotonic)
	}
	switch name {
	case Staleness:
		return a.readStaleness()
	case ReplayGaps, CrossSession:
		some = func(t *trial) bool { return t.m.StreamEvents > 0 || t.safety.stream.Emitted > 0 }
		evidence = func(t *trial) string {
			s := &t.safety.stream
			if name == CrossSession {
				return fmt.Sprintf("events delivered: %d; of another session %d, never emitted %d, corrupt %d", s.Events, s.CrossSession, s.Phantom, s.Corrupt)
			}
			return fmt.Sprintf("events emitted: %d, delivered: %d; passed over %d, out of order %d, twice over one connection %d; twice over several, which is legal: %d",
				s.Emitted, s.Events, s.Gaps, s.Misordered, s.Repeated, s.Duplicates-s.Repeated)
		}
	}
	if !slices.ContainsFunc(a.trials, some) {
		return reading{}
	}
	return a.counted(func(t *trial) int { return t.m.broken(name) }, evidence)
}

// readStaleness is the most that any eventual read was stale by.
func (a *analysis) readStaleness() reading {
	var m reading
	for _, t := range a.trials {
		s := t.m.Staleness
		if s == nil || m.value != nil && m.value.Value >= s.Max {
			continue
		}
		m.value = value(s.Max)
		m.evidence = fmt.Sprintf("of %d eventual reads %d found what had been replaced before, the most stale one %s s before; 99th percentile %s s",
			t.m.EventualReads, len(t.safety.eventual.Staleness), short(s.Max), short(s.P99))
	}
	return m
}

func duplicatedText(t *trial) string {
	if t.m.Duplicated > 0 {
		return fmt.Sprintf("; old states that came back and stayed: %d", t.m.Duplicated)
	}
	return ""
}

// streamText is what was done to a session's event stream.
func streamText(o *history.Op) string {
	switch {
	case o.Kind == history.Resume && o.Outcome != history.OK:
		return " of the stream"
	case o.Kind == history.Resume && o.Seq == 0:
		return " of the stream from now on"
	case o.Kind == history.Resume:
		return fmt.Sprintf(" of the stream after %d", o.Seq)
	case o.Corrupt:
		return " a corrupt event"
	case o.Seq == 0:
		return " an event"
	}
	return fmt.Sprintf(" event %d%s", o.Seq, ifStr(o.Exists, " of another session", ""))
}
