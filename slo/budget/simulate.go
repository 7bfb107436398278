package budget

import (
	"errors"
	"fmt"
	"time"
)

// Firing is one time that an alert fired. From and To count from the beginning
// of the series.
type Firing struct {
	Alert Alert
	From  time.Duration // the first evaluation at which its condition held
	To    time.Duration // the first one after that at which it did not; the series' end if it held on
	Reset bool          // it did end
}

// Simulate says which alerts of a policy fire on a series, and when they reset.
// Conditions are evaluated at the end of every step that falls on a multiple of
// every, which is at least the length of a step. Firings are in order of their
// begin; those that begin together in the order of the policy.
func Simulate(o Objective, p Policy, s Series, every time.Duration) ([]Firing, error) {
	if err := errors.Join(p.Validate(o), s.Validate()); err != nil {
		return nil, err
	}
	if every < s.Step || every%s.Step != 0 {
		return nil, fmt.Errorf("evaluations every %v don't fall on steps of %v", every, s.Step)
	}
	for _, a := range p.Alerts {
		if a.Short < s.Step {
			return nil, fmt.Errorf("alert %q: its short window of %s is below the series' steps of %v", a, FormatDuration(a.Short), s.Step)
		}
	}
	w := newWindows(s)
	stride := int(every / s.Step)
	var out []Firing
	open := make([]int, len(p.Alerts)) // index into out, plus one
	for n := stride; n <= len(s.Counts); n += stride {
		at := time.Duration(n) * s.Step
		for i, a := range p.Alerts {
			holds := p.holds(o, a, w.before(n, a.Long), w.before(n, a.Short))
			switch {
			case holds && open[i] == 0:
				out = append(out, Firing{Alert: a, From: at})
				open[i] = len(out)
			case !holds && open[i] != 0:
				f := &out[open[i]-1]
				f.To, f.Reset = at, true
				open[i] = 0
			}
		}
	}
	for _, i := range open {
		if i != 0 {
			out[i-1].To = s.Span()
		}
	}
	return out, nil
}

// holds is the condition of an alert, as Rules writes it. NaN, which a window
// without events gives, is not above anything.
func (p Policy) holds(o Objective, a Alert, long, short Count) bool {
	limit := a.Threshold(o)
	return long.ErrorRatio() > limit && short.ErrorRatio() > limit && long.Bad() >= p.MinErrors
}
