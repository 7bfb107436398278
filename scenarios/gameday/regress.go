package gameday

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fivenines/fivenines/slo"
	"github.com/fivenines/fivenines/slo/compare"
)

// How a run is compared with those before it.
const (
	// lookBack is how many earlier runs count.
	lookBack = 20
	// lately is how many runs, this one included, are also compared together:
	// runs of one trial each can show a change of a duration only so.
	lately = 5
	// alpha is the probability of marking a run for its durations although
	// nothing changed. Game days repeat: it is lower than that of a single comparison.
	alpha = 0.01
)

// measures that are compared where the file names none. Latencies and capacity
// are left out: they follow what else the machine does.
var (
	counts    = []string{slo.SessionLoss, slo.LostWrites, slo.Regressed, slo.StaleReads, slo.Expiry, slo.Linearizability, slo.MinorityAckWrite}
	durations = []string{slo.Failover, slo.Restart, "time-to-detect", slo.RTO, slo.RPO, "unavailable"}
)

// Means says what a regression is, for the index page.
func (r Regression) Means() string {
	return fmt.Sprintf("A run is a regression if an objective is missed that the last run of the same scenario, load and topology met; "+
		"if something is lost or stale that was not in up to %d runs before; or if a measure is shown to be worse, by more than %v of their median, "+
		"in this run's trials alone or in those of the last %d runs together (fivenines compare, at %g %%).", lookBack, r.Margin, lately, 100*alpha)
}

// worse says what got worse from earlier runs (newest first) to this one, empty
// if nothing is shown to have.
func (r Regression) worse(previous []*slo.Result, now *slo.Result) (string, error) {
	if len(previous) == 0 || now == nil {
		return "", nil
	}
	var found []string
	for _, o := range now.Objectives {
		if was := verdictBefore(previous, o.Name); o.Verdict == slo.Missed && was == slo.Met {
			found = append(found, fmt.Sprintf("%s: met before, now missed", o.Name))
		}
	}
	measures := r.Measures
	if measures == nil {
		measures = slices.Concat(counts, durations)
	}
	texts, err := r.compared(previous, []*slo.Result{now}, measures)
	if err != nil {
		return "", err
	}
	found = append(found, texts...)
	if len(previous) >= 2*lately-1 {
		var slow []string
		for _, m := range measures {
			if !slices.Contains(counts, m) { // what was lost once is told once
				slow = append(slow, m)
			}
		}
		recent := append([]*slo.Result{now}, previous[:lately-1]...)
		texts, err := r.compared(previous[lately-1:], recent, slow)
		if err != nil {
			return "", err
		}
		for _, t := range texts {
			found = append(found, fmt.Sprintf("%s over the last %d runs", t, lately))
		}
	}
	return strings.Join(found, "; "), nil
}

// verdictBefore is the latest verdict on an objective that said anything.
func verdictBefore(previous []*slo.Result, name string) slo.Verdict {
	for _, p := range previous {
		for _, o := range p.Objectives {
			if o.Name == name && (o.Verdict == slo.Met || o.Verdict == slo.Missed) {
				return o.Verdict
			}
		}
	}
	return slo.NotEvaluated
}

func (r Regression) compared(base, now []*slo.Result, measures []string) ([]string, error) {
	if len(measures) == 0 {
		return nil, nil
	}
	c, err := compare.Results(pool(base), pool(now), compare.Options{Alpha: alpha, Margin: r.Margin.Share(), Measures: measures, Anyway: true})
	if err == compare.ErrNothing {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("compare with the runs before: %w", err)
	}
	var out []string
	for _, m := range c.Measures {
		if m.Change == compare.Worse {
			out = append(out, m.Name+worseText(m))
		}
	}
	return out, nil
}

func worseText(m compare.Measure) string {
	if m.Base == nil || m.New == nil {
		return " (" + m.Why + ")"
	}
	unit := " " + m.Unit
	if m.Unit == "count" {
		unit = ""
	}
	return fmt.Sprintf(" %.3g%s, before %.3g%s", *m.New, unit, *m.Base, unit)
}

// pool is one result with the trials of all. They are those of one setup.
func pool(rs []*slo.Result) *slo.Result {
	p := *rs[0]
	p.Trials, p.Statistics = nil, nil
	for _, r := range rs {
		p.Trials = append(p.Trials, r.Trials...)
	}
	return &p
}
