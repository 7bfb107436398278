package projection

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/fivenines/fivenines/slo/stats"
)

// Measured holds the trials of each scenario, by its name.
type Measured map[string][]Trial

// Trial is what one trial of a scenario says of its faults' outages, in seconds.
// What was looked at and brought no outage is a duration of 0; an outage that was not
// seen to end is censored. Void trials are left out by the caller.
type Trial struct {
	Down []stats.Duration `json:"down"` // from the fault, one for each fault of the trial
	// Undo is the outage that giving the part back brought; empty where the
	// trial did not look.
	Undo []stats.Duration `json:"undo,omitempty"`
}

func (m Measured) validate() error {
	for _, name := range slices.Sorted(keys(m)) {
		for i, t := range m[name] {
			if len(t.Down) == 0 {
				return fmt.Errorf("measured %s: trial %d has no downtime; give 0 s where its fault brought none, and leave void trials out", name, i+1)
			}
			for _, d := range slices.Concat(t.Down, t.Undo) {
				if !(d.Seconds >= 0) || math.IsInf(d.Seconds, 0) {
					return fmt.Errorf("measured %s: trial %d: a downtime of %v s; it must be finite and not negative", name, i+1, d.Seconds)
				}
			}
		}
	}
	return nil
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// sample is the durations of a scenario's trials, ready for the bootstrap: sorted,
// ended before censored where they are equal, each with its trial's number.
type sample struct {
	trials    int
	durations []stats.Duration
	trial     []int
	share     []float64 // of its trial's weight
	censored  int
}

func newSample(trials []Trial, of func(*Trial) []stats.Duration) *sample {
	var all [][]stats.Duration
	for i := range trials {
		if ds := of(&trials[i]); len(ds) > 0 {
			ds = slices.Clone(ds)
			slices.SortFunc(ds, shorter)
			all = append(all, ds)
		}
	}
	// In an order of their own: which trial came first is no information.
	slices.SortFunc(all, func(a, b []stats.Duration) int { return slices.CompareFunc(a, b, shorter) })
	type one struct {
		d     stats.Duration
		trial int
	}
	var ones []one
	for i, ds := range all {
		for _, d := range ds {
			ones = append(ones, one{d, i})
		}
	}
	slices.SortStableFunc(ones, func(a, b one) int { return shorter(a.d, b.d) })
	s := &sample{trials: len(all)}
	for _, o := range ones {
		s.durations = append(s.durations, o.d)
		s.trial = append(s.trial, o.trial)
		s.share = append(s.share, 1/float64(len(all[o.trial])))
		if o.d.Censored {
			s.censored++
		}
	}
	return s
}

// shorter orders durations; of two as long as each other the censored one is longer.
func shorter(a, b stats.Duration) int {
	if c := cmp.Compare(a.Seconds, b.Seconds); c != 0 || a.Censored == b.Censored {
		return c
	}
	if b.Censored {
		return -1
	}
	return 1
}
