package budget

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Report is what a run did to a month's budget, had it happened to a service
// that had been healthy for as long as the longest window, and was again
// afterwards. Times count from the beginning of the run's series.
type Report struct {
	Objective Objective
	Policy    Policy
	Spending  Spending
	Peaks     []Peak   // of each window of the policy, shortest first
	Firings   []Firing // in order of their begin
}

// Peak is the highest burn rate that a window saw.
type Peak struct {
	Window   time.Duration
	BurnRate float64
	At       time.Duration // the end of the window
}

// Examine reports on the series of a run.
func Examine(o Objective, p Policy, s Series) (*Report, error) {
	spending, err := o.Spend(s)
	if err != nil {
		return nil, err
	}
	if err := p.Validate(o); err != nil {
		return nil, err
	}
	ws := p.Windows()
	before := ws[len(ws)-1]
	before += (s.Step - before%s.Step) % s.Step
	// Every alert is reset when its short window holds nothing of the run.
	var after time.Duration
	for _, a := range p.Alerts {
		after = max(after, a.Short+s.Step)
	}
	whole, err := s.Padded(before, after)
	if err != nil {
		return nil, err
	}
	firings, err := Simulate(o, p, whole, s.Step)
	if err != nil {
		return nil, err
	}
	for i := range firings {
		firings[i].From -= before
		firings[i].To -= before
	}
	r := &Report{Objective: o, Policy: p, Spending: spending, Firings: firings}
	first := int(before / s.Step)
	w := newWindows(whole)
	for _, window := range ws {
		k := Peak{Window: window, BurnRate: math.Inf(-1)}
		for n := first + 1; n <= len(whole.Counts); n++ {
			if b := o.BurnRate(w.before(n, window)); b > k.BurnRate {
				k.BurnRate, k.At = b, time.Duration(n)*s.Step-before
			}
		}
		r.Peaks = append(r.Peaks, k)
	}
	return r, nil
}

// Paged says whether anybody would have been paged, and when first.
func (r *Report) Paged() (at time.Duration, ever bool) {
	i := slices.IndexFunc(r.Firings, func(f Firing) bool { return f.Alert.Response == "page" })
	if i < 0 {
		return 0, false
	}
	return r.Firings[i].From, true
}

// PerSecondSeries makes a series of one-second steps out of counts by their second,
// which must ascend. Seconds between them had no load. It returns the first.
func PerSecondSeries(n int, at func(i int) (second int, c Count)) (s Series, first int, err error) {
	s.Step = time.Second
	for i := range n {
		second, c := at(i)
		switch {
		case i == 0:
			first = second
		case second < first+len(s.Counts):
			return Series{}, 0, fmt.Errorf("second %d comes after second %d", second, first+len(s.Counts)-1)
		case second-first > maxSteps:
			return Series{}, 0, fmt.Errorf("second %d is %d after the first one, which is too long", second, second-first)
		}
		for first+len(s.Counts) < second {
			s.Counts = append(s.Counts, Count{})
		}
		s.Counts = append(s.Counts, c)
	}
	return s, first, s.Validate()
}
