package budget

import (
	"fmt"
	"math"
	"time"
)

// Objective asks that at least Target of all events in any Period are good.
type Objective struct {
	Target float64       // share, over 0 and below 1
	Period time.Duration // rolling
}

// FieldError is a mistake in a value, by the name that a file gives it.
type FieldError struct{ Field, Msg string }

func (e *FieldError) Error() string { return e.Field + ": " + e.Msg }

func fieldErrorf(field, format string, args ...any) error {
	return &FieldError{field, fmt.Sprintf(format, args...)}
}

// MaxPeriod bounds a period.
const MaxPeriod = 2 * 365 * 24 * time.Hour

// Validate says what is wrong with the objective.
func (o Objective) Validate() error {
	switch {
	case !(o.Target > 0 && o.Target < 1):
		return fieldErrorf("target", "%s leaves no error budget or nothing but budget; it must be above 0 %% and below 100 %%", FormatPercent(o.Target))
	case o.ErrorBudget() < 1e-12:
		return fieldErrorf("target", "is nearer to 100 %% than can be computed with")
	case o.Period < time.Second || o.Period > MaxPeriod:
		return fieldErrorf("period", "%s is not from 1s to %s", FormatDuration(o.Period), FormatDuration(MaxPeriod))
	}
	return nil
}

// ErrorBudget is the share of events that may be bad, without the noise that
// 1 - 0.999 has in binary.
func (o Objective) ErrorBudget() float64 { return round(1-o.Target, 1e13) }

// Downtime is the budget as a time of total outage at an even load.
func (o Objective) Downtime() time.Duration {
	return time.Duration(math.Round(o.ErrorBudget() * float64(o.Period)))
}

// Events is the budget as a number of bad events, where there are total events
// in a period.
func (o Objective) Events(total float64) float64 { return o.ErrorBudget() * total }

// BurnRate is how many times faster than evenly the budget is spent by what was
// counted. NaN, as in PromQL, where nothing was.
func (o Objective) BurnRate(c Count) float64 { return c.ErrorRatio() / o.ErrorBudget() }

// Spent is the share of the period's budget that a burn rate spends in a time.
func (o Objective) Spent(burn float64, over time.Duration) float64 {
	return burn * float64(over) / float64(o.Period)
}

// Exhaustion is the time after which a burn rate has spent what is left of the
// budget when a share of it is spent already; never, if it is 0 or less.
func (o Objective) Exhaustion(burn, spent float64) (after time.Duration, ever bool) {
	switch {
	case spent >= 1:
		return 0, true
	case !(burn > 0):
		return 0, false
	}
	d := (1 - spent) / burn * float64(o.Period)
	if d >= math.MaxInt64 {
		return 0, false
	}
	return time.Duration(d), true
}

func round(v, unit float64) float64 { return math.Round(v*unit) / unit }
