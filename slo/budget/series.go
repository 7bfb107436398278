package budget

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Count of events.
type Count struct{ Good, Total uint64 }

// Bad events.
func (c Count) Bad() uint64 { return c.Total - c.Good }

// ErrorRatio is the share of bad events, NaN where there were none at all.
func (c Count) ErrorRatio() float64 { return float64(c.Bad()) / float64(c.Total) }

// Series is what was counted in each step, one after the other. Its instant 0
// is the beginning of the first step.
type Series struct {
	Step   time.Duration
	Counts []Count
}

// maxSteps bounds a series, at 16 bytes a step.
const maxSteps = 50_000_000

// Validate says what is wrong with the series.
func (s Series) Validate() error {
	if s.Step <= 0 {
		return errors.New("the steps of a series need a length")
	}
	if len(s.Counts) == 0 {
		return errors.New("the series is empty")
	}
	for i, c := range s.Counts {
		if c.Good > c.Total {
			return fmt.Errorf("step %d has %d good events of %d", i, c.Good, c.Total)
		}
	}
	return nil
}

// Span of the series.
func (s Series) Span() time.Duration { return time.Duration(len(s.Counts)) * s.Step }

// Sum of all steps.
func (s Series) Sum() Count {
	var sum Count
	for _, c := range s.Counts {
		sum.Good += c.Good
		sum.Total += c.Total
	}
	return sum
}

// PerStep is the usual number of events in a step: the median over steps that
// have any, so that steps which load fills in part don't count.
func (s Series) PerStep() uint64 {
	var some []uint64
	for _, c := range s.Counts {
		if c.Total > 0 {
			some = append(some, c.Total)
		}
	}
	if len(some) == 0 {
		return 0
	}
	slices.Sort(some)
	return some[len(some)/2]
}

// Padded is the series with steps of its usual number of events, all good,
// before and after it: what windows longer than a run would have held had the
// run happened to a service that was healthy otherwise.
func (s Series) Padded(before, after time.Duration) (Series, error) {
	steps := func(d time.Duration) int { return int((d + s.Step - 1) / s.Step) }
	if s.Step <= 0 || (before+after)/s.Step > maxSteps {
		return Series{}, fmt.Errorf("%v around a series with steps of %v is more than %d steps", before+after, s.Step, maxSteps)
	}
	n := s.PerStep()
	usual := Count{Good: n, Total: n}
	out := Series{Step: s.Step, Counts: make([]Count, 0, steps(before)+len(s.Counts)+steps(after))}
	for range steps(before) {
		out.Counts = append(out.Counts, usual)
	}
	out.Counts = append(out.Counts, s.Counts...)
	for range steps(after) {
		out.Counts = append(out.Counts, usual)
	}
	return out, nil
}

// windows gives sums over windows in constant time.
type windows struct {
	step time.Duration
	cum  []Count // cum[i]: before step i
}

func newWindows(s Series) windows {
	w := windows{step: s.Step, cum: make([]Count, len(s.Counts)+1)}
	for i, c := range s.Counts {
		w.cum[i+1] = Count{Good: w.cum[i].Good + c.Good, Total: w.cum[i].Total + c.Total}
	}
	return w
}

// before is the count in the window of length d that ends with the first n
// steps. A window that reaches back beyond the series holds what there is of
// it, as in PromQL.
func (w windows) before(n int, d time.Duration) Count {
	from := max(0, n-max(1, int(math.Round(float64(d)/float64(w.step)))))
	return Count{Good: w.cum[n].Good - w.cum[from].Good, Total: w.cum[n].Total - w.cum[from].Total}
}

// BurnCurve is the burn rate over the window that ends with each step; NaN
// where the window holds no event.
func (o Objective) BurnCurve(s Series, window time.Duration) []float64 {
	w := newWindows(s)
	out := make([]float64, len(s.Counts))
	for i := range out {
		out[i] = o.BurnRate(w.before(i+1, window))
	}
	return out
}

// Spending is what a series costs of the period's budget.
type Spending struct {
	Count
	Load       time.Duration // as long as the events would have lasted at the usual rate
	ErrorRatio float64       // share of bad events
	BurnRate   float64       // over Load
	Spent      float64       // share of the period's budget, where the usual rate goes on for the period
	Budget     float64       // bad events that the period allows at the usual rate
	Downtime   time.Duration // the spent budget as a time of total outage
}

// Spend computes what a series costs of the period's budget.
func (o Objective) Spend(s Series) (Spending, error) {
	if err := errors.Join(o.Validate(), s.Validate()); err != nil {
		return Spending{}, err
	}
	sum, usual := s.Sum(), float64(s.PerStep())
	if usual == 0 {
		return Spending{}, errors.New("the series has no event")
	}
	load := time.Duration(float64(sum.Total) / usual * float64(s.Step))
	burn := o.BurnRate(sum)
	return Spending{
		Count: sum, Load: load, ErrorRatio: sum.ErrorRatio(), BurnRate: burn,
		Spent:    o.Spent(burn, load),
		Budget:   o.Events(usual * float64(o.Period) / float64(s.Step)),
		Downtime: time.Duration(float64(load) * sum.ErrorRatio()),
	}, nil
}
