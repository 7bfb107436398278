package reports

import (
	"fmt"
	"strings"
	"time"

	"github.com/fivenines/fivenines/slo"
	"github.com/fivenines/fivenines/slo/budget"
)

// fiveNines is the promise that a run without an availability objective of its own is
// held against.
const fiveNines = 0.99999

// maxBudgetSpan bounds the run whose budget is looked at, in seconds.
const maxBudgetSpan = 7 * 24 * 3600

// budgetPart is what the run cost of a month's error budget, as slo/budget has it.
type budgetPart struct {
	Sentences []string
	Table     table
	Alerts    *table
	Command   string
}

// budgetObjective is the availability that the run declares, else five nines.
func budgetObjective(r *slo.Result) (o budget.Objective, declared bool) {
	for i := range r.Objectives {
		if o := &r.Objectives[i]; o.Name == slo.Availability {
			if b, least, ok := bound(o); ok && least && b > 0 && b < 1 {
				return budget.Objective{Target: b, Period: budget.DefaultPeriod}, true
			}
		}
	}
	return budget.Objective{Target: fiveNines, Period: budget.DefaultPeriod}, false
}

// budgetOf is nil for a run without a load.
func budgetOf(r *slo.Result) *budgetPart {
	n := len(r.Timeline)
	if n == 0 {
		return nil
	}
	o, declared := budgetObjective(r)
	p := &budgetPart{Command: "fivenines slo budget RUN"}
	why := "It is the platform's objective, since this run declares no availability of its own."
	if declared {
		why = "It is the objective that this run declares."
	}
	p.Sentences = append(p.Sentences, fmt.Sprintf("%s over %s days allows %s of total outage. %s This is what the run would have cost, had it happened to a service that was healthy before and after.",
		budget.FormatPercent(o.Target), fixed(o.Period.Hours()/24, 1), secondsText(o.Downtime().Seconds()), why))
	if span := r.Timeline[n-1].Second - r.Timeline[0].Second; span < 0 || span > maxBudgetSpan {
		p.Sentences = append(p.Sentences, "The run's timeline is too long to be looked at here; the command below does.")
		return p
	}
	series, first, err := budget.PerSecondSeries(n, func(i int) (int, budget.Count) {
		t := &r.Timeline[i]
		return t.Second, budget.Count{Good: uint64(max(0, t.Good)), Total: uint64(max(0, t.Intended))}
	})
	var rep *budget.Report
	if err == nil {
		rep, err = budget.Examine(o, budget.Workbook(), series)
	}
	if err != nil {
		p.Sentences = append(p.Sentences, "It can't be said: "+clean(err.Error())+".")
		return p
	}
	sp := rep.Spending
	p.Table = table{Caption: "Error budget of " + fixed(o.Period.Hours()/24, 1) + " days."}
	add := func(name, value, class string) {
		p.Table.Rows = append(p.Table.Rows, []cell{{Text: name}, {Text: value, Class: class}})
	}
	add("operations", fmt.Sprintf("%s, of them %s bad (%s)", grouped(float64(sp.Total)), grouped(float64(sp.Bad())), spentText(sp.ErrorRatio)), "")
	spent := fmt.Sprintf("%s of the budget, as %s of total outage would", spentText(sp.Spent), secondsText(sp.Downtime.Seconds()))
	if sp.Spent >= 1 {
		add("spent", spent, "bad")
		add("left", "nothing: events like this one alone would miss the objective for this period", "bad")
	} else {
		add("spent", spent, "")
		add("left", spentText(1-sp.Spent), "")
	}
	var peaks []string
	for _, k := range rep.Peaks {
		peaks = append(peaks, fmt.Sprintf("%s in %s", fixed(k.BurnRate, 1), budget.FormatDuration(k.Window)))
	}
	add("burn rate, at most", strings.Join(peaks, ", "), "")
	if len(rep.Firings) == 0 {
		add("alerts", "none would have fired", "")
		return p
	}
	asked, ok := 0.0, false
	if len(r.Trials) == 1 && len(r.Trials[0].Faults) > 0 && finite(r.Trials[0].Faults[0].AskedS) {
		asked, ok = r.Trials[0].Faults[0].AskedS, true
	}
	when := func(d time.Duration) string {
		at := float64(first) + d.Seconds()
		if ok {
			return "T" + signed(at-asked) + " s"
		}
		return fixed(at, 0) + " s"
	}
	t := table{Caption: "Alerts on the burn rate that would have fired.", Note: "A second counts when it is over.", Head: heads("Severity", "Asks for", "Windows", "Burn rate above", "#Fires", "#Resets")}
	for i, f := range rep.Firings {
		if i == maxTrials {
			break
		}
		resets := when(f.To)
		if !f.Reset {
			resets = "not reset"
		}
		t.Rows = append(t.Rows, []cell{
			{Text: f.Alert.Severity}, {Text: f.Alert.Response}, {Text: budget.FormatDuration(f.Alert.Long) + ", " + budget.FormatDuration(f.Alert.Short)},
			{Text: fixed(f.Alert.Factor(o.Period), 2)}, num(when(f.From)), num(resets),
		})
	}
	p.Alerts = &t
	return p
}

// spentText is a share as a percentage with three digits, which may be over 100 %.
func spentText(share float64) string {
	p := 100 * share
	switch {
	case !finite(p):
		return "?"
	case p > 0 && p < 0.0001:
		return "< 0.0001 %"
	case p >= 100:
		return grouped(p) + " %"
	}
	return short3(p) + " %"
}
