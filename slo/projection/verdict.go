package projection

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// judge decides, and says what would decide an open verdict.
func (out *Projection) judge(e *engine, o *Options) {
	p := out.Level(o.Objective).Probability
	probability := fmt.Sprintf("a year stays inside %s with probability %s (%s to %s), %s is asked for",
		durationWords(BudgetS(o.Objective)), share(p.Value), share(p.Lower), share(p.Upper), share(o.Required))
	switch {
	case p.Upper < o.Required:
		// Also without what was not measured: that could only add downtime.
		out.Verdict, out.Why = Missed, probability
	case len(out.NotMeasured) > 0:
		out.Verdict = Inconclusive
		out.Why = fmt.Sprintf("no trials for %s; without it, %s", strings.Join(out.NotMeasured, ", "), probability)
	case p.Lower >= o.Required:
		out.Verdict, out.Why = Met, probability
	default:
		out.Verdict, out.Why = Inconclusive, probability
		out.More = e.more(out, o)
	}
}

// factors of trials that are tried.
var factors = []float64{1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 100}

// more finds how many times the trials would settle the verdict, supposing that
// further ones look like those there are.
func (e *engine) more(out *Projection, o *Options) *MoreTrials {
	settled := func(how mode) bool {
		in := e.probability(how, moreYears, BudgetS(o.Objective), o.Confidence)
		return in.Lower >= o.Required || in.Upper < o.Required
	}
	m := &MoreTrials{}
	width := fmt.Sprintf("With the trials alone uncertain the interval would be %.2f wide, with the rates alone %.2f.", out.Width.Trials, out.Width.Rates)
	trials := map[string]int{}
	for i := range e.plan.sources {
		if s := &e.plan.sources[i]; s.basis == BasisTrials {
			trials[s.scenario] = s.trials
		}
	}
	if len(trials) == 0 {
		m.Because = "Nothing here rests on trials, so more of them settle nothing: what is assumed and the rates have to be known better. " + width
		return m
	}
	if !settled(mode{trials: asTruth, more: 1}) {
		m.Because = "No number of trials settles it: it is the rates that are not known well enough. Put your own counts of incidents into the rates file (observed: events and part_years). " + width
		return m
	}
	// The least factor that settles it, and lets the next one settle it too.
	lo, hi := 0, len(factors)
	for lo < hi {
		mid := (lo + hi) / 2
		if settled(mode{trials: asSample, more: factors[mid]}) {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	if lo == len(factors) {
		m.Because = fmt.Sprintf("More than %.0f times the trials would be needed. %s", factors[len(factors)-1], width)
		return m
	}
	m.Factor, m.Further = factors[lo], map[string]int{}
	most := 0
	for s, n := range trials {
		m.Further[s] = int(math.Ceil((m.Factor - 1) * float64(n)))
		most = max(most, m.Further[s])
	}
	m.Because = fmt.Sprintf("About %g times the trials would settle it if the further ones look like these: up to %d more of each scenario. %s", m.Factor, most, width)
	return m
}

// fewTrials are too few for the bootstrap to keep its word (TestIntervalsCoverFewTrials).
const fewTrials = 20

// tailed says whether anything is drawn from beyond the trials.
func (p *plan) tailed() bool {
	return p.rule.index > 0 && slices.ContainsFunc(p.samples, func(s *sample) bool { return s != nil })
}

// ruleNotes says by which rules the figures came about.
func (p *plan) ruleNotes() []string {
	var out []string
	if p.rule.index > 0 {
		out = append(out, fmt.Sprintf("n trials leave a chance of 1 in n+1 for an outage worse than all of them: it is drawn from a Pareto tail of index %g from the worst one (or %s) on. The good ends of the intervals do without that tail.", p.rule.index, p.model.Rules.Unseen.Floor))
	} else {
		out = append(out, "The trials count as if they had shown every outage that there can be: the rates file switches off the tail beyond them.")
	}
	for _, s := range p.model.Scenarios() {
		if i := slices.IndexFunc(p.sources, func(x source) bool { return x.scenario == s && x.basis == BasisTrials }); i >= 0 && p.sources[i].trials < fewTrials {
			out = append(out, fmt.Sprintf("%s has %d trials: below %d, intervals of outages that vary much hold the truth less often than they say.", s, p.sources[i].trials, fewTrials))
		}
	}
	if p.overlap {
		out = append(out, "Faults that together take the quorum of a shard are an outage until the first repair that gives it back. One shard down counts as the service down.")
	} else {
		out = append(out, "Every fault counts as if it were alone: the rates file ignores overlaps.")
	}
	return append(out, "Rates are per part that is up; the mean of an uncertain rate is above its median.")
}
