package slo

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// judge makes the table of objectives and the verdict.
func (a *analysis) judge() {
	for _, p := range a.problems {
		a.result.Problems = append(a.result.Problems, p.text)
	}
	judged := a.judged()
	for i, t := range a.trials {
		for _, p := range t.problems {
			a.result.Problems = append(a.result.Problems, p.text)
			a.result.Trials[i].Void = append(a.result.Trials[i].Void, p.text)
			if slices.Contains(judged, t) {
				a.problems = append(a.problems, p)
			}
		}
	}
	for _, r := range rows {
		a.result.Objectives = append(a.result.Objectives, a.judgeRow(r))
	}
	a.result.Verdict = a.verdict()
	a.result.Statistics = a.statistics()
}

func (a *analysis) verdict() Verdict {
	v := NotEvaluated
	for _, o := range a.result.Objectives {
		switch {
		case o.Verdict == Missed || v == Missed:
			v = Missed
		case o.Verdict == Inconclusive || v == Inconclusive:
			v = Inconclusive
		case o.Verdict == Met:
			v = Met
		}
	}
	if v == NotEvaluated {
		a.result.Problems = append(a.result.Problems, "no objective is declared")
		return Inconclusive
	}
	return v
}

// reading is what a row is judged by.
type reading struct {
	value    *Value  // as measured
	bound    float64 // what it is at least, where value is nil or a lower bound
	evidence string
}

func (a *analysis) judgeRow(r row) Objective {
	m := a.read(r.name)
	o := Objective{Name: r.name, Measured: m.value, Unit: string(r.unit), Verdict: NotEvaluated, Evidence: m.evidence}
	i := slices.IndexFunc(a.cfg.Objectives, func(t Target) bool { return t.Name == r.name })
	if i < 0 {
		return o
	}
	target := a.cfg.Objectives[i]
	o.Target, o.Quantile = target.String(), target.Quantile
	var lacks []string
	for _, t := range a.judged() {
		lacks = append(lacks, t.needs(r.name)...)
	}
	if len(a.trials) == 0 {
		lacks = append(lacks, "nothing was recorded")
	}
	lacks = append(lacks, a.tooFew(target)...)

	missed := a.misses(target, r, m)
	if target.Quantile > 0 {
		var v Verdict
		v, o.Evidence = a.quantileVerdict(target, r)
		o.Measured = a.quantileValue(target, r)
		m.value = o.Measured
		lacks = nil // of single trials: they were left out
		if missed = v == Missed; v == Inconclusive {
			lacks, m.evidence = []string{o.Evidence}, ""
		} else {
			m.evidence = o.Evidence
		}
	}
	var spoilt, doubts []string
	for _, p := range a.problems {
		doubts = append(doubts, p.text)
		if slices.Contains(p.spoils, r.group) {
			spoilt = append(spoilt, p.text)
		}
	}
	switch {
	case missed && len(spoilt) == 0:
		o.Verdict = Missed
	case missed:
		o.Verdict = Inconclusive
		o.Evidence = sentence("the bound is exceeded, but", strings.Join(spoilt, "; "), m.evidence)
	case len(lacks) > 0 || len(doubts) > 0 || m.value == nil:
		o.Verdict = Inconclusive
		why := append(lacks, doubts...)
		if len(why) == 0 {
			why = []string{"it was not measured"}
		}
		o.Evidence = sentence("", strings.Join(why, "; "), m.evidence)
	default:
		o.Verdict = Met
	}
	return o
}

func sentence(lead, why, evidence string) string {
	s := strings.TrimSpace(lead + " " + why)
	if evidence != "" {
		s += " (" + evidence + ")"
	}
	return s
}

// misses says whether what was measured, or is known at least, breaks the target.
func (a *analysis) misses(target Target, r row, m reading) bool {
	v := m.bound
	if m.value != nil {
		v = max(v, m.value.Value)
	}
	switch {
	case target.Min != nil:
		return m.value != nil && m.value.Value < *target.Min
	case target.Max != nil && r.unit == seconds:
		return (m.value != nil || m.bound > 0) && v >= *target.Max
	case target.Max != nil:
		return m.value != nil && m.value.Value > *target.Max
	}
	return false
}

// tooFew says whether a share of so few operations can't carry the target: one
// bad operation more would decide.
func (a *analysis) tooFew(target Target) []string {
	if target.Name != Availability || target.Min == nil || *target.Min >= 1 {
		return nil
	}
	var n uint64
	for _, t := range a.judged() {
		n += t.service.intended
	}
	if need := math.Ceil(1/(1-*target.Min) - 1e-6); n > 0 && float64(n) < need {
		return []string{fmt.Sprintf("%d operations are too few to tell %s: %.0f are needed", n, target, need)}
	}
	return nil
}

// read takes a row's value from all trials: counts are summed, the longest
// duration counts, but for the means that MTTD and MTTR are.
func (a *analysis) read(name string) reading {
	switch name {
	case Failover:
		return a.readFailover()
	case Restart:
		return a.readRestart()
	case SessionLoss:
		return a.counted(func(t *trial) int { return t.m.SessionsLost }, func(t *trial) string {
			return fmt.Sprintf("%d of %d sessions not found%s", t.m.SessionsLost, t.m.Sessions, unreadText(t))
		})
	case LostWrites:
		return a.counted(func(t *trial) int { return t.m.LostWrites }, func(t *trial) string {
			return fmt.Sprintf("acknowledged writes gone: %d (of %d sessions)", t.m.LostWrites, t.m.Sessions)
		})
	case Regressed:
		return a.counted(func(t *trial) int { return t.m.Regressed }, func(t *trial) string {
			return fmt.Sprintf("%d of %d sessions read back older than acknowledged", t.m.Regressed, t.m.Sessions)
		})
	case StaleReads:
		return a.counted(func(t *trial) int {
			return t.m.wrongReads()
		}, func(t *trial) string {
			return fmt.Sprintf("strong reads: %d; stale %d, backward %d, phantom %d, corrupt %d%s; unknown writes that took effect late, which is legal: %d",
				t.safety.observed, t.m.StaleReads, t.m.BackwardReads, t.m.PhantomReads, t.m.CorruptReads, duplicatedText(t), t.m.LateWrites)
		})
	case Expiry:
		return a.counted(func(t *trial) int { return t.m.ExpiryViolations }, func(t *trial) string {
			return fmt.Sprintf("sessions looked at after their time: %d; expired early %d, expired late %d, came back %d",
				t.safety.expired, t.m.ExpiredEarly, t.m.ExpiredLate, t.m.Resurrected)
		})
	case Linearizability:
		return a.counted(func(t *trial) int { return t.m.NotLinearizable }, func(t *trial) string {
			return fmt.Sprintf("contested sessions checked: %d (%d operations); not linearizable %d, not decided %d",
				t.m.Histories, t.m.LinearizableOps, t.m.NotLinearizable, t.m.Undecided)
		})
	case MinorityAckWrite:
		return a.counted(func(t *trial) int { return t.m.MinorityAcks }, func(t *trial) string {
			tried := 0
			for _, f := range t.faults {
				if f.minority != nil {
					tried += f.minority.Attempts
				}
			}
			return fmt.Sprintf("writes tried in a cut-off region: %d, acknowledged %d", tried, t.m.MinorityAcks)
		})
	case ReadYourWrites, MonotonicReads, Staleness, ReplayGaps, CrossSession:
		return a.readGuarantee(name)
	case RPO:
		var m reading
		for _, t := range a.trials { // lost is lost
			if v := t.m.RPO; v != nil && (m.value == nil || v.Value > m.value.Value) {
				m.value = v
				m.evidence = fmt.Sprintf("acknowledged writes lost: %d", t.m.LostWrites)
			}
		}
		return m
	case RTO:
		return a.readRTO()
	case MTTD:
		return a.mean(func(f *fault) (float64, bool) {
			if f.detected == nil {
				return 0, false
			}
			return sec(*f.detected - f.asked), true
		}, func(f *fault) string { return f.detectedBy })
	case MTTR:
		return a.mean(func(f *fault) (float64, bool) {
			if f.detected == nil || f.recovered == nil {
				return 0, false
			}
			return sec(max(0, *f.recovered-*f.detected)), true
		}, func(f *fault) string { return "from detection to the steady state" })
	case Availability:
		var good, all uint64
		for _, t := range a.served() {
			good += t.service.good
			all += t.service.intended
		}
		if all == 0 {
			return reading{}
		}
		return reading{value: value(float64(good) / float64(all)), evidence: fmt.Sprintf("%d of %d operations good", good, all)}
	case Capacity:
		var m reading
		for _, t := range a.served() {
			if v := t.m.Capacity; v != nil && (m.value == nil || v.Value < m.value.Value) {
				m.value = v
				m.evidence = fmt.Sprintf("%s %% of the operations asked for (%.0f a second) were served in time before the fault", percent(v.Value), t.manifest.TargetRPS)
			}
		}
		return m
	}
	return reading{}
}

func unreadText(t *trial) string {
	if t.m.Unread > 0 {
		return fmt.Sprintf(", %d without an answer", t.m.Unread)
	}
	return ""
}

func (a *analysis) counted(of func(*trial) int, evidence func(*trial) string) reading {
	if len(a.trials) == 0 {
		return reading{}
	}
	n := 0
	var es []string
	for _, t := range a.trials {
		n += of(t)
		e := evidence(t)
		if len(a.trials) > 1 {
			e = fmt.Sprintf("trial %d: %s", t.n, e)
		}
		if of(t) > 0 || len(es) == 0 {
			es = append(es, e)
		}
	}
	const most = 3
	if len(es) > most {
		es = append(es[:most], "...")
	}
	if n == 0 && len(a.judged()) > 1 {
		es = append(es, a.cleanText(len(a.judged())))
	}
	return reading{value: value(float64(n)), evidence: strings.Join(es, "; ")}
}

func (a *analysis) readFailover() reading {
	var worst *Outage
	var of *trial
	for _, t := range a.judged() {
		if o := t.m.Failover; o != nil && (worst == nil || o.Value > worst.Value || o.Value == worst.Value && o.Censored && !worst.Censored) {
			worst, of = o, t
		}
	}
	if worst == nil {
		return reading{}
	}
	v := &Value{Value: worst.Value, Lower: ptr(worst.Lower), Upper: worst.Upper}
	if worst.N == 0 {
		return reading{value: v, evidence: fmt.Sprintf("no bad operation on any of %d partitions", len(of.outages.spans))}
	}
	e := fmt.Sprintf("%d of %d partitions had an outage: median %s s, longest %s%s s, give or take %s s; all over %s s after the change",
		worst.N, len(of.outages.spans), short(worst.P50), ifStr(worst.Censored, "at least ", ""), short(worst.Value), short(worst.Resolution), short(worst.FromAsked))
	if f := of.faults[0]; len(of.faults) > 0 && f.undo != nil && f.undo.N > 0 && f.undo.Value == worst.Value && (f.failover == nil || f.failover.Value < worst.Value) {
		e += "; it was caused by undoing the fault"
	}
	return reading{value: v, bound: worst.Value, evidence: e}
}

func (a *analysis) readRestart() reading {
	var worst *fault
	n := 0
	for _, t := range a.judged() {
		for _, f := range t.faults {
			if f.restart == nil {
				continue
			}
			n++
			if worst == nil || longer(worst.restart, f.restart) == f.restart {
				worst = f
			}
		}
	}
	if worst == nil {
		return reading{}
	}
	c := worst.restart
	e := fmt.Sprintf("%s served again by itself %s s after the fault was asked, and for %v on", worst.comesBack, short(c.Value), a.cfg.Hold)
	if c.Censored {
		e = fmt.Sprintf("%s was not seen to serve again by itself for %v, up to %s s after the fault was asked", worst.comesBack, a.cfg.Hold, short(c.Value)) + prefixed(": ", worst.notReady)
	}
	if n > 1 {
		e = fmt.Sprintf("the longest of %d: %s", n, e)
	}
	return reading{value: &Value{Value: c.Value, Lower: ptr(c.Lower), Upper: c.Upper}, bound: c.Value, evidence: e}
}

func (a *analysis) readRTO() reading {
	var m reading
	for _, t := range a.judged() {
		for _, f := range t.faults {
			if f.recovered == nil {
				m.bound = max(m.bound, sec(f.recoveredBy-f.asked))
			}
		}
		if v := t.m.RTO; v != nil && (m.value == nil || v.Value > m.value.Value) {
			m.value = v
		}
	}
	switch {
	case m.bound > 0:
		m.evidence = fmt.Sprintf("not back when the load stopped, %s s after the fault was asked", short(m.bound))
		if m.value == nil || m.bound > m.value.Value {
			m.value = &Value{Value: m.bound, Lower: ptr(m.bound)}
		}
	case m.value != nil:
		m.evidence = "to the first window from which on the whole steady state held"
	}
	return m
}

// mean is over all faults of all trials.
func (a *analysis) mean(of func(*fault) (float64, bool), evidence func(*fault) string) reading {
	sum, n, e := 0.0, 0, ""
	for _, t := range a.judged() {
		for _, f := range t.faults {
			if v, ok := of(f); ok {
				sum += v
				n++
				e = orElse(e, evidence(f))
			}
		}
	}
	if n == 0 {
		return reading{}
	}
	if n > 1 {
		e = fmt.Sprintf("mean of %d faults; first: %s", n, e)
	}
	return reading{value: value(round(sum / float64(n))), evidence: e}
}

// short is seconds for a person.
func short(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 0.1 || v == 0:
		return number(math.Round(v*100) / 100)
	}
	return number(math.Round(v*1e5) / 1e5)
}

func ifStr(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}
