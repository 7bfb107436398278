package slo

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/slo/checker"
)

// findings of all sessions of a trial.
type findings struct {
	sessions, disrupted  int
	lost, recreated      int
	regressed, unread    int
	early, late, back    int // back: resurrected
	violatedExpiry       int // sessions with any of the three
	stale, backward      int
	phantom, corrupt     int
	lateWrites           int
	observed             int // strong observations judged
	readBack             int // sessions that a read-back answered for
	expired              int // sessions whose end was looked at
	goodWindows, windows int
	lostAcks             []time.Duration
	violations           []violation
	broken               string
	contested            []int     // sessions, index into groups
	several              contested // in a place: of its contested sessions
	minority             int       // in a place: writes acknowledged without a quorum
	duplicated           int
	eventual             checker.Eventual
	worst                staleRead
	stream               checker.StreamFindings
	spread               spread
	places               places
	ends                 SessionFates
}

// violation is one finding, for an example.
type violation struct {
	check   string
	session uint64
	op      history.Op
	why     string
}

// maxPerCheck bounds the examples of one check.
const maxPerCheck = 5

func appendCapped(vs []violation, v violation) []violation {
	n := 0
	for i := range vs {
		if vs[i].check == v.check {
			n++
			if vs[i].session == v.session {
				return vs // one example a session and check
			}
		}
	}
	if n >= maxPerCheck {
		return vs
	}
	return append(vs, v)
}

// checkSessions runs the safety checks over every session.
func (t *trial) checkSessions() {
	t.groups = t.ops.group()
	rules := checker.Rules{Grace: t.cfg.ExpiryGrace, Stopped: t.stopped}
	streams := checker.StreamRules{Until: t.recordEnd(), Patience: t.cfg.Hold}
	for _, p := range t.phases {
		rules.Phases = append(rules.Phases, p.Phase)
	}
	for _, part := range parallel(len(t.groups.ids), func(from, to int) findings { return t.checkRange(rules, streams, from, to) }) {
		t.safety.join(&part)
		t.places.fates.join(&part.places)
		t.places.spread.join(&part.spread)
	}
	s, m := &t.safety, &t.m
	m.Sessions, m.SessionsLost, m.Recreated = s.sessions, s.lost, s.recreated
	m.LostWrites, m.Regressed, m.Disrupted = len(s.lostAcks), s.regressed, s.disrupted
	m.StaleReads, m.BackwardReads, m.PhantomReads, m.CorruptReads = s.stale, s.backward, s.phantom, s.corrupt
	m.LateWrites, m.Unread, m.Duplicated = s.lateWrites, s.unread, s.duplicated
	m.ExpiryViolations, m.ExpiredEarly, m.ExpiredLate, m.Resurrected = s.violatedExpiry, s.early, s.late, s.back
	m.SessionFates = &s.ends
	t.measureEventual()
	t.measureStreams()
	if s.windows > 0 {
		m.SessionAvail = value(float64(s.goodWindows) / float64(s.windows))
	}
}

func (t *trial) checkRange(rules checker.Rules, streams checker.StreamRules, from, to int) findings {
	var sum findings
	var buf []history.Op
	var windows []window
	c := checker.New(rules)
	for i := from; i < to; i++ {
		buf = t.groups.opsOf(&t.ops, i, buf)
		var good, all int
		good, all, windows = t.sessionWindows(buf, windows)
		sum.goodWindows += good
		sum.windows += all
		sum.spread.add(windows)
		contested, stream := false, false
		for j := range buf {
			contested = contested || buf[j].Class == history.Contested
			stream = stream || buf[j].Class == history.Stream
		}
		if contested {
			sum.contested = append(sum.contested, i)
			if !stream {
				continue
			}
		}
		checker.Sort(buf)
		var one findings
		if !contested {
			f := c.Session(buf)
			one.add(t, t.groups.ids[i], buf, &f)
		}
		if stream {
			f := checker.Stream(buf, streams)
			one.addStream(t.groups.ids[i], buf, &f)
		}
		sum.join(&one)
		sum.places.add(home(buf), &one)
	}
	return sum
}

func (s *findings) add(t *trial, session uint64, ops []history.Op, f *checker.Findings) {
	count := func(n *int, yes bool) {
		if yes {
			*n++
		}
	}
	count(&s.sessions, f.Created)
	count(&s.lost, f.Lost)
	count(&s.recreated, f.Recreated)
	count(&s.regressed, f.Regressed)
	count(&s.unread, f.Unread)
	count(&s.early, f.Early)
	count(&s.late, f.Late)
	count(&s.back, f.Resurrected)
	count(&s.violatedExpiry, f.Early || f.Late || f.Resurrected)
	count(&s.readBack, f.ReadBack)
	count(&s.expired, f.Expired)
	disrupted := t.disrupted(ops)
	count(&s.disrupted, !f.Lost && !f.Regressed && !f.Early && disrupted)
	if f.Created {
		s.ends.add(f, ops, disrupted)
	}
	s.stale += f.Stale
	s.backward += f.Backward
	s.phantom += f.Phantom
	s.corrupt += f.Corrupt
	s.lateWrites += f.LateWrites
	s.observed += f.Observed
	s.duplicated += f.Duplicated
	s.eventual = f.Eventual
	if d := f.Eventual.Staleness; len(d) > 0 {
		s.worst = staleRead{slices.Max(d), session, ops[f.Eventual.Worst]}
	}
	s.lostAcks = append(s.lostAcks, f.LostWrites...)
	for _, v := range f.Violations {
		if t.wanted(v.Check) {
			s.violations = appendCapped(s.violations, violation{v.Check, session, ops[v.Op], v.Why})
		}
	}
	if s.broken == "" && f.Broken != "" {
		s.broken = fmt.Sprintf("session %d: %s", session, f.Broken)
	}
}

// disrupted says whether an operation was bad while a fault was in force.
func (t *trial) disrupted(ops []history.Op) bool {
	for i := range ops {
		o := &ops[i]
		if o.Class != history.Follower || !t.bad(o) || t.loadOf(o) < 0 {
			continue
		}
		for _, f := range t.faults {
			if o.End >= f.asked && o.Intended >= f.asked-inFlight && o.Intended <= t.over(f) {
				return true
			}
		}
	}
	return false
}

func (s *findings) join(o *findings) {
	for _, f := range []struct {
		to   *int
		from int
	}{
		{&s.sessions, o.sessions}, {&s.disrupted, o.disrupted}, {&s.lost, o.lost}, {&s.recreated, o.recreated},
		{&s.regressed, o.regressed}, {&s.unread, o.unread}, {&s.early, o.early}, {&s.late, o.late}, {&s.back, o.back},
		{&s.violatedExpiry, o.violatedExpiry}, {&s.stale, o.stale}, {&s.backward, o.backward}, {&s.phantom, o.phantom},
		{&s.corrupt, o.corrupt}, {&s.lateWrites, o.lateWrites}, {&s.observed, o.observed}, {&s.readBack, o.readBack},
		{&s.expired, o.expired}, {&s.goodWindows, o.goodWindows}, {&s.windows, o.windows},
		{&s.several.histories, o.several.histories}, {&s.several.ops, o.several.ops}, {&s.several.no, o.several.no}, {&s.several.unknown, o.several.unknown},
		{&s.minority, o.minority}, {&s.duplicated, o.duplicated},
	} {
		*f.to += f.from
	}
	s.ends.join(&o.ends)
	joinEventual(&s.eventual, &o.eventual)
	s.worst.join(&o.worst)
	joinStream(&s.stream, &o.stream)
	s.lostAcks = append(s.lostAcks, o.lostAcks...)
	s.contested = append(s.contested, o.contested...)
	for _, v := range o.violations {
		s.violations = appendCapped(s.violations, v)
	}
	s.broken = orElse(s.broken, o.broken)
}

// contested is what is known of the sessions with several writers.
type contested struct {
	histories, ops, no, unknown int
}

// checkContested looks for a linearization of each contested session.
func (t *trial) checkContested() {
	sessions := t.safety.contested
	if len(sessions) == 0 {
		t.m.Linearizable = string(checker.Unknown)
		return
	}
	type verdict struct {
		res checker.Linearizable
		ops int
	}
	verdicts := make([]verdict, len(sessions))
	deadline := time.Now().Add(t.cfg.LinearizableTimeout)
	next := make(chan int)
	var wg sync.WaitGroup
	for range parallelism(len(sessions)) {
		wg.Go(func() {
			var buf []history.Op
			for i := range next {
				buf = t.groups.opsOf(&t.ops, sessions[i], buf)
				left := time.Until(deadline)
				if left <= 0 {
					verdicts[i] = verdict{checker.Unknown, 0}
					continue
				}
				checker.Sort(buf)
				res, n := checker.Contested(buf, checker.Bounds{Time: left})
				verdicts[i] = verdict{res, n}
			}
		})
	}
	for i := range sessions {
		next <- i
	}
	close(next)
	wg.Wait()

	c := &t.contested
	for i, v := range verdicts {
		t.placeContested(sessions[i], v.res, v.ops)
		c.histories++
		c.ops += v.ops
		switch v.res {
		case checker.No:
			c.no++
			t.addContestedViolation(sessions[i])
		case checker.Unknown:
			c.unknown++
		}
	}
	t.m.Histories, t.m.LinearizableOps, t.m.NotLinearizable, t.m.Undecided = c.histories, c.ops, c.no, c.unknown
	switch {
	case c.no > 0:
		t.m.Linearizable = string(checker.No)
	case c.unknown > 0:
		t.m.Linearizable = string(checker.Unknown)
	default:
		t.m.Linearizable = string(checker.Yes)
	}
}
