package slo

import (
	"fmt"
	"slices"
	"strings"
)

// summary is the verdict in one plain sentence.
func (a *analysis) summary() string {
	r := a.result
	switch r.Verdict {
	case Met:
		return "Met: " + a.cost() + a.kept() + "."
	case Missed:
		return "Missed: " + joinAnd(a.broken(Missed)) + "."
	}
	why := r.Problems
	if len(why) == 0 {
		for _, o := range r.Objectives {
			if o.Verdict == Inconclusive {
				why = append(why, o.Name+": "+o.Evidence)
			}
		}
	}
	s := "Inconclusive: " + why[0]
	if n := len(why) - 1; n > 0 {
		s += fmt.Sprintf(" (and %d more)", n)
	}
	return s + "."
}

// cost says what the faults cost, or what the load was without any.
func (a *analysis) cost() string {
	var what string
	var worst *Outage
	for _, t := range a.trials {
		if len(t.faults) > 0 && what == "" {
			what = phraseOf(t.faults)
		}
		if o := t.m.Failover; o != nil && (worst == nil || o.Value > worst.Value) {
			worst = o
		}
	}
	times := ""
	if n := len(a.trials); n > 1 {
		times = fmt.Sprintf(" at most, in %d trials", n)
	}
	switch {
	case worst == nil && what == "":
		return fmt.Sprintf("%.0f operations a second were served for %s sessions without a fault", a.result.Load.AchievedRPS, number(float64(a.result.Load.Sessions)))
	case worst == nil:
		return what + " was survived"
	case worst.N == 0:
		return what + " cost no client an operation" + times
	}
	return what + " cost " + short(worst.Value) + " s of failover" + times
}

// kept says which losses were looked for and not found.
func (a *analysis) kept() string {
	met := func(name string) bool {
		return slices.ContainsFunc(a.result.Objectives, func(o Objective) bool { return o.Name == name && o.Verdict == Met })
	}
	var not []string
	if met(SessionLoss) {
		not = append(not, "no session")
	}
	if met(LostWrites) {
		not = append(not, "no acknowledged write")
	}
	switch {
	case len(not) > 0:
		return "; " + joinAnd(not) + " was lost"
	case met(StaleReads):
		return "; no read was stale"
	}
	return ""
}

// broken says of each row with that verdict how it was missed.
func (a *analysis) broken(v Verdict) []string {
	var out []string
	for _, o := range a.result.Objectives {
		if o.Verdict != v || o.Measured == nil {
			continue
		}
		m := o.Measured.Value
		n := number(m)
		if o.Quantile > 0 {
			out = append(out, fmt.Sprintf("%s breaks %s (%s)", o.Name, o.Target, o.Evidence))
			continue
		}
		switch o.Name {
		case Failover:
			atLeast := slices.ContainsFunc(a.trials, func(t *trial) bool { return t.m.Failover != nil && t.m.Failover.Censored })
			out = append(out, fmt.Sprintf("failover took %s%s s (%s)", ifStr(atLeast, "at least ", ""), short(m), o.Target))
		case Restart:
			atLeast := slices.ContainsFunc(a.trials, func(t *trial) bool { return t.m.Restart != nil && t.m.Restart.Censored })
			out = append(out, fmt.Sprintf("a node took %s%s s to serve again by itself (%s)", ifStr(atLeast, "at least ", ""), short(m), o.Target))
		case SessionLoss:
			out = append(out, plural(n, "session was lost", "sessions were lost"))
		case LostWrites:
			out = append(out, plural(n, "acknowledged write was lost", "acknowledged writes were lost"))
		case Regressed:
			out = append(out, plural(n, "session went back to an older state", "sessions went back to an older state"))
		case StaleReads:
			out = append(out, plural(n, "strong read was stale or wrong", "strong reads were stale or wrong"))
		case Expiry:
			out = append(out, plural(n, "session expired at the wrong time or came back", "sessions expired at the wrong time or came back"))
		case Linearizability:
			out = append(out, plural(n, "history is not linearizable", "histories are not linearizable"))
		case MinorityAckWrite:
			out = append(out, plural(n, "write was acknowledged by a side without a quorum", "writes were acknowledged by a side without a quorum"))
		case ReadYourWrites, MonotonicReads, ReplayGaps, CrossSession:
			out = append(out, plural(n, guarantees[o.Name].one, guarantees[o.Name].many))
		case Staleness:
			out = append(out, fmt.Sprintf("an eventual read found what had been replaced for %s s (%s)", short(m), o.Target))
		case Availability, Capacity:
			out = append(out, fmt.Sprintf("%s was %s %% (%s)", o.Name, number(100*m), o.Target))
		default:
			out = append(out, fmt.Sprintf("%s was %s s (%s)", strings.ToUpper(o.Name), short(m), o.Target))
		}
	}
	return out
}

func plural(n, one, many string) string {
	if n == "1" {
		return n + " " + one
	}
	return n + " " + many
}

func joinAnd(s []string) string {
	if len(s) < 2 {
		return strings.Join(s, "")
	}
	if len(s) == 2 && strings.HasPrefix(s[0], "no ") {
		return s[0] + " and " + s[1]
	}
	return strings.Join(s[:len(s)-1], ", ") + " and " + s[len(s)-1]
}
