package slo

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
)

// problem is why nothing can be concluded: no row is met beside one, and a
// missed row of the groups named is not missed either, since the problem may
// be the reason.
type problem struct {
	text   string
	spoils []group
	void   bool // it says nothing of how the system takes a fault: the trial may be left out
}

var (
	spoilsTiming  = []group{timing}
	spoilsMeasure = []group{timing, service}
	spoilsAll     = []group{safety, timing, service}
)

// checkWhole looks whether the run is all there.
func (a *analysis) checkWhole() {
	finished, why := false, ""
	for _, e := range a.rec.events {
		switch e.Kind {
		case history.RunFinished:
			finished = true
		case history.Stopped:
			why = e.Detail
		}
	}
	if !finished {
		a.problems = append(a.problems, problem{text: "the run did not finish" + prefixed(": ", why)})
	}
	if a.rec.truncated {
		a.problems = append(a.problems, problem{text: "the record was cut off, as by a crash"})
	}
	if got, want := a.startedTrials(), a.rec.manifest.Trials; got < want {
		a.problems = append(a.problems, problem{text: fmt.Sprintf("%d of %d trials were run", got, want)})
	}
}

// rest is how long a run may be without an event while its load goes on, before a
// record that does not say how it ended is taken to lack events.
const rest = 5 * time.Second

// checkEvents looks whether the events of a run that did not finish end long
// before its operations do: then undoings, ends of loads and recoveries may be
// among what is missing, and times up to them are none.
func (t *trial) checkEvents(all []history.Event) {
	if len(all) == 0 || slices.ContainsFunc(all, func(e history.Event) bool { return e.Kind == history.RunFinished }) {
		return
	}
	var end time.Duration
	t.ops.each(func(o *history.Op) { end = max(end, o.Intended) })
	if last := all[len(all)-1].At; end-last > rest {
		t.problem(spoilsMeasure, "the record lacks events: the last is of %s s, operations go on to %s s", short(last.Seconds()), short(end.Seconds()))
	}
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

func (t *trial) problem(spoils []group, format string, args ...any) {
	p := problem{text: t.labelled(fmt.Sprintf(format, args...)), spoils: spoils}
	p.void = !slices.Contains(spoils, safety)
	t.problems = append(t.problems, p)
}

// checkValid looks for what makes a trial say nothing.
func (t *trial) checkValid() {
	v := &t.cfg.Valid
	b := &t.load
	if t.safety.broken != "" {
		t.problem(spoilsAll, "the record contradicts itself (%s): a fault of the recorder", t.safety.broken)
	}
	if t.lag != nil && *t.lag > millis(v.MaxLagP999) {
		t.problem(spoilsMeasure, "the generator fell behind its schedule by %s ms (99.9th percentile), more than %v", number(*t.lag), v.MaxLagP999)
	}
	switch {
	case len(t.loads) == 0:
		t.problem(spoilsTiming, "there was no load")
		return
	case b.intended == 0:
		t.problem(spoilsTiming, "there was no load before the fault")
	default:
		if share := float64(b.unsent) / float64(b.intended); share > v.MaxUnsent {
			t.problem(spoilsTiming, "%.2f %% of the operations before the fault were never sent, more than %s %%", 100*share, number(100*v.MaxUnsent))
		}
		if c := t.m.Capacity; c != nil && c.Value < v.MinAchieved {
			t.problem(spoilsTiming, "%.1f %% of the target rate was served before the fault, less than %s %%", 100*c.Value, number(100*v.MinAchieved))
		}
		if why := t.steadyBefore(); why != "" {
			t.problem(spoilsTiming, "the steady state did not hold before the fault: %s", why)
		}
	}
	if t.void != "" {
		t.problem(spoilsTiming, "%s", t.void)
	}
	for _, f := range t.faults {
		switch {
		case f.unproved != "":
			t.problem(spoilsTiming, "%s is not proved: %s", f.text, f.unproved)
		case f.proved == nil:
			t.problem(spoilsTiming, "%s is not proved: nothing was seen of it", f.text)
		}
	}
}

// maxVoidShare of the trials may be void without taking the verdict away, of at
// least minTolerant trials.
const (
	maxVoidShare = 0.2
	minTolerant  = 5
)

// judged are the trials that measures are taken from: those without a problem,
// if there are enough of them, else all, so that every problem counts. What makes
// a trial void (an unsteady system before the fault, a fault that did not take
// hold, a generator that fell behind) is no outcome of the fault. A record that
// contradicts itself is no matter of one trial.
func (a *analysis) judged() []*trial {
	var ok []*trial
	for _, t := range a.trials {
		if len(t.problems) == 0 {
			ok = append(ok, t)
		}
		if slices.ContainsFunc(t.problems, func(p problem) bool { return !p.void }) {
			return a.trials
		}
	}
	void := len(a.trials) - len(ok)
	if len(a.trials) < minTolerant || float64(void) > maxVoidShare*float64(len(a.trials)) {
		return a.trials
	}
	return ok
}

// served are the trials that availability and capacity are taken from: a system
// that was not well before the fault counts, a generator that was late does not.
func (a *analysis) served() []*trial {
	judged := a.judged()
	var ok []*trial
	for _, t := range a.trials {
		if slices.Contains(judged, t) || !slices.ContainsFunc(t.problems, func(p problem) bool { return slices.Contains(p.spoils, service) }) {
			ok = append(ok, t)
		}
	}
	return ok
}

// needs lists, for a row, what a trial did not give; nil if it gave all.
func (t *trial) needs(name string) []string {
	lacks := t.lacksFor(name)
	if why := t.censoring(name); why != "" {
		lacks = append(lacks, t.labelled(why))
	}
	return lacks
}

// censoring says why a duration of the trial is only known at least; "" if it isn't.
func (t *trial) censoring(name string) string {
	switch name {
	case Failover:
		if slices.ContainsFunc(t.outages.all, func(o Outage) bool { return o.Censored }) {
			return fmt.Sprintf("an outage was not seen to end for %v before the load stopped: its length is a lower bound", t.cfg.Hold)
		}
	case Restart:
		if t.m.Restart != nil && t.m.Restart.Censored {
			return fmt.Sprintf("a node that had to come back by itself was not seen to serve for %v: its time is a lower bound", t.cfg.Hold)
		}
	case RTO:
		if slices.ContainsFunc(t.faults, func(f *fault) bool { return f.recovered == nil }) {
			return "the steady state was not back when the load stopped"
		}
	}
	return ""
}

// labelled is a text about the trial, which it names if there are several.
func (t *trial) labelled(text string) string {
	if t.manifest.Several() {
		return fmt.Sprintf("trial %d: %s", t.n, text)
	}
	return text
}

// lacksFor is needs but for a duration that was not seen to end.
func (t *trial) lacksFor(name string) []string {
	var lacks []string
	lack := func(yes bool, format string, args ...any) {
		if yes {
			lacks = append(lacks, fmt.Sprintf(format, args...))
		}
	}
	s := &t.safety
	noFault := len(t.faults) == 0
	switch name {
	case Failover:
		lack(noFault, "no fault was injected")
		lack(len(t.outages.unobserved) > 0, "no operation after the fault on %d partitions (%s)", len(t.outages.unobserved), list(t.outages.unobserved))
		for i, f := range t.faults {
			lack(f.failover == nil, "there was no load after fault %d was asked", i+1)
		}
	case Restart:
		lack(!slices.ContainsFunc(t.faults, func(f *fault) bool { return f.comesBack != "" }), "no fault took a node away that must come back by itself")
		for _, f := range t.faults {
			lack(f.comesBack != "" && f.restart == nil, "nobody looked whether %s came back after %s", f.comesBack, f.text)
		}
	case SessionLoss, LostWrites, Regressed, RPO:
		lack(s.sessions == 0, "no session was acknowledged as created")
		lack(s.readBack == 0, "no session was read back")
		lack(s.unread > 0, "%d sessions got no answer in a read-back", s.unread)
		lack(!noFault && t.lastPhase() != "after-undo" && s.readBack > 0, "no read-back after the fault was undone")
	case StaleReads:
		lack(s.observed == 0, "no read got an answer")
	case Expiry:
		lack(s.expired == 0, "no session was looked at after its time")
	case Linearizability:
		lack(t.contested.histories == 0, "there was no session with several writers")
		lack(t.contested.unknown > 0, "the checker gave up on %d of %d histories", t.contested.unknown, t.contested.histories)
	case MinorityAckWrite:
		tried := false
		for _, f := range t.faults {
			tried = tried || f.minority != nil && f.minority.Attempts > 0
		}
		lack(!tried, "no witness tried a write in a region that was proved to be cut off for longer than %v", minorityLease)
	case ReadYourWrites, MonotonicReads, Staleness:
		lack(s.eventual.Reads == 0, "no eventual read got an answer")
		lack(name == ReadYourWrites && s.eventual.Reads > 0 && s.eventual.AfterOwn == 0, "no eventual read began after a write of its session's writer")
		lack(name == MonotonicReads && s.eventual.Reads > 0 && s.eventual.Again == 0, "no eventual read began after an earlier one of its session")
	case ReplayGaps, CrossSession:
		lack(s.stream.Events == 0, "no stream delivered an event")
		lack(name == ReplayGaps && s.stream.Events > 0 && s.stream.Emitted == 0, "no event was acknowledged as emitted")
	case RTO:
		lack(noFault, "no fault was injected")
	case MTTD:
		lack(noFault, "no fault was injected")
		for _, f := range t.faults {
			lack(f.detected == nil, "nothing noticed %s", f.text)
		}
	case MTTR:
		lack(noFault, "no fault was injected")
		for _, f := range t.faults {
			lack(f.detected == nil, "nothing noticed %s", f.text)
			lack(f.recovered == nil, "the steady state was not back when the load stopped")
		}
	case Availability:
		lack(t.service.intended == 0, "there was no load")
	case Capacity:
		lack(t.m.Capacity == nil, "there was no load before the fault, or no target rate")
	}
	for i := range lacks {
		lacks[i] = t.labelled(lacks[i])
	}
	return lacks
}

func (t *trial) lastPhase() string {
	if len(t.phases) == 0 {
		return ""
	}
	return t.phases[len(t.phases)-1].Name
}

func list(ns []int) string {
	var s []string
	for i, n := range ns {
		if i == 8 {
			s = append(s, "...")
			break
		}
		s = append(s, fmt.Sprint(n))
	}
	return strings.Join(s, ", ")
}
