package budget

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Severities of alerts, the gravest first (DESIGN section 7).
var Severities = []string{"critical", "high", "medium", "low"}

// Responses that an alert asks for.
var Responses = []string{"page", "ticket"}

// Alert fires while a share of the budget is spent within the long window, and
// the short window says that it still is being spent. The burn rate at which
// it does follows from share, window and period.
type Alert struct {
	Severity string        // one of Severities
	Response string        // one of Responses
	Budget   float64       // share of the period's budget
	Long     time.Duration // window
	Short    time.Duration // window after which the alert resets
}

// Factor is the burn rate above which the alert fires: Budget * period / Long.
func (a Alert) Factor(period time.Duration) float64 {
	return round(a.Budget*float64(period)/float64(a.Long), 1e9)
}

// Threshold is the error ratio above which the alert fires.
func (a Alert) Threshold(o Objective) float64 { return a.Factor(o.Period) * o.ErrorBudget() }

// DetectionTime is how long a steady error ratio must last after a time without
// errors until the alert fires (Workbook, chapter 5: (1 - SLO) / error ratio *
// window * burn rate); never, if the ratio is at most the threshold.
func (a Alert) DetectionTime(o Objective, errorRatio float64) (after time.Duration, ever bool) {
	share := a.Threshold(o) / errorRatio
	if !(share < 1) {
		return 0, false
	}
	return time.Duration(math.Round(share * float64(a.Long))), true
}

func (a Alert) String() string {
	return fmt.Sprintf("%s: %s of the budget in %s", a.Severity, FormatPercent(a.Budget), FormatDuration(a.Long))
}

// Policy is the alerts of an objective.
type Policy struct {
	Alerts   []Alert
	Interval time.Duration // between evaluations
	// MinErrors is the number of bad events in an alert's long window below
	// which it stays silent: with little traffic a single failure is a high
	// error ratio (Workbook, "Low-Traffic Services"). A total outage still fires.
	MinErrors uint64
	// NoData is the severity of the alert that fires when the indicator has no
	// value at all, so that silence is not taken for health; empty for none.
	NoData string
}

// shortOf is the short window of a long one (Workbook: one twelfth).
func shortOf(long time.Duration) time.Duration { return long / 12 }

// Workbook is the table that the Workbook recommends as a start (chapter 5,
// table "Recommended time windows and burn rates"): for a period of 30 days
// its burn rates are 14.4, 6 and 1.
func Workbook() Policy {
	const hour, day = time.Hour, 24 * time.Hour
	return Policy{
		Alerts: []Alert{
			{Severity: "critical", Response: "page", Budget: 0.02, Long: hour, Short: shortOf(hour)},
			{Severity: "high", Response: "page", Budget: 0.05, Long: 6 * hour, Short: shortOf(6 * hour)},
			{Severity: "medium", Response: "ticket", Budget: 0.10, Long: 3 * day, Short: shortOf(3 * day)},
		},
		Interval:  30 * time.Second,
		MinErrors: 10,
	}
}

// Validate says what is wrong with the policy for an objective.
func (p Policy) Validate(o Objective) error {
	if err := o.Validate(); err != nil {
		return err
	}
	if p.Interval < time.Millisecond {
		return fieldErrorf("interval", "must be 1ms or more")
	}
	if p.NoData != "" && !slices.Contains(Severities, p.NoData) {
		return fieldErrorf("no_data", "%q is not a severity; there are %s", p.NoData, strings.Join(Severities, ", "))
	}
	if len(p.Alerts) == 0 {
		return fieldErrorf("alerts", "needs one alert at least")
	}
	seen := map[string]int{}
	for i, a := range p.Alerts {
		at := func(field string) string { return fmt.Sprintf("alerts[%d].%s", i, field) }
		switch {
		case !slices.Contains(Severities, a.Severity):
			return fieldErrorf(at("severity"), "%q is not a severity; there are %s", a.Severity, strings.Join(Severities, ", "))
		case !slices.Contains(Responses, a.Response):
			return fieldErrorf(at("response"), "%q is not a response; there are %s", a.Response, strings.Join(Responses, ", "))
		case !(a.Budget > 0 && a.Budget <= 1):
			return fieldErrorf(at("budget"), "%s is not above 0 %% and up to 100 %%", FormatPercent(a.Budget))
		case a.Long <= 0 || a.Long > o.Period:
			return fieldErrorf(at("long"), "%s is not above 0 and up to the period, %s", FormatDuration(a.Long), FormatDuration(o.Period))
		case a.Short <= 0 || a.Short >= a.Long:
			return fieldErrorf(at("short"), "%s is not above 0 and below the long window, %s", FormatDuration(a.Short), FormatDuration(a.Long))
		case a.Long%time.Millisecond != 0 || a.Short%time.Millisecond != 0:
			return fieldErrorf(at("short"), "windows of %v and %v are not whole milliseconds", a.Long, a.Short)
		case a.Factor(o.Period) <= 0:
			return fieldErrorf(at("budget"), "%v of the budget is too little in %s", a.Budget, FormatDuration(a.Long))
		case a.Threshold(o) >= 1:
			return fieldErrorf(at("budget"), "can never fire: a burn rate of %s needs %s of all events to be bad; take a longer window or a smaller share",
				Number(a.Factor(o.Period)), FormatPercent(a.Threshold(o)))
		}
		key := a.Severity + " " + FormatDuration(a.Long)
		if j, twice := seen[key]; twice {
			return fieldErrorf(at("severity"), "alerts %d and %d have the same severity and long window", j, i)
		}
		seen[key] = i
	}
	return nil
}

// Scaled is the policy with every time divided by a factor, for runs in which
// an hour stands for a longer time. The objective's period is to be divided by
// the same, so that burn rates stay what they are.
func (p Policy) Scaled(by float64) Policy {
	p.Alerts = slices.Clone(p.Alerts)
	shrink := func(d time.Duration) time.Duration {
		return max(time.Millisecond, time.Duration(float64(d)/by).Round(time.Millisecond))
	}
	for i := range p.Alerts {
		a := &p.Alerts[i]
		a.Long, a.Short = shrink(a.Long), shrink(a.Short)
	}
	p.Interval = shrink(p.Interval)
	return p
}

// Windows are all windows of the alerts, each once, shortest first.
func (p Policy) Windows() []time.Duration {
	var ws []time.Duration
	for _, a := range p.Alerts {
		ws = append(ws, a.Long, a.Short)
	}
	slices.Sort(ws)
	return slices.Compact(ws)
}
