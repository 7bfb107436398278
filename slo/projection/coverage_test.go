package projection

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/fivenines/fivenines/slo/stats"
)

// coverage is how often the interval of the probability holds the truth, over so many
// repetitions of an experiment that may know of the truth what trials and counts say.
func coverage(t *testing.T, repeat, years int, truth float64, how mode, experiment func(*rand.Rand) (*Model, Measured)) (share, optimistic, width float64) {
	t.Helper()
	hits, above := 0, 0
	for i := range repeat {
		m, measured := experiment(rand.New(rand.NewPCG(uint64(i), 77)))
		o, err := Options{Seed: uint64(i)}.withDefaults()
		require.NoError(t, err)
		p, err := newPlan(m, measured, &o)
		require.NoError(t, err)
		e := engine{plan: p, seed: o.Seed, blocks: 100, workers: 2}
		in := e.probability(how, years/100, BudgetS(o.Objective), o.Confidence)
		switch {
		case in.Lower > truth:
			above++
		case truth <= in.Upper:
			hits++
		}
		width += (in.Upper - in.Lower) / float64(repeat)
	}
	return float64(hits) / float64(repeat), float64(above) / float64(repeat), width
}

// truth of a model whose outages are known.
func truth(t *testing.T, rate float64, down Span) float64 {
	t.Helper()
	m := plain(Class{Name: "a", RatePerYear: rate, Assume: &Assumption{Down: down, Undo: Constant(0), Why: "the truth"}})
	return inside(simulate(t, m, nil, Options{Seed: 99}, 100_000), BudgetS(0.99999), 0.9).Value
}

// Twenty trials of outages of a known distribution: their interval holds the
// truth as often as it says. One that takes the trials for the truth (which is
// what a projection without the bootstrap would do) does not.
func TestIntervalsCoverFewTrials(t *testing.T) {
	const rate = 5
	down := LogNormal(40, 110)
	want := truth(t, rate, down)
	require.InDelta(t, 0.7, want, 0.15, "in the middle, where intervals are wide")
	drawn := hand(t, down)
	experiment := func(tail float64) func(*rand.Rand) (*Model, Measured) {
		return func(r *rand.Rand) (*Model, Measured) {
			m := plain(Class{Name: "a", Scenario: "s", RatePerYear: rate})
			m.Rules.Unseen = Unseen{Index: tail, Floor: "1s"}
			return m, Measured{"s": sampleTrials(r, 20, func(r *rand.Rand) float64 { return drawn.quantile(r.Float64()) })}
		}
	}
	const repeat = 150
	share, optimistic, width := coverage(t, repeat, 4000, want, mode{trials: asSample, more: 1}, experiment(2))
	// 90 % is meant; 150 repetitions give 2.4 points either way.
	assert.InDelta(t, 0.9, share, 0.08)
	assert.Less(t, optimistic, 0.09, "5 % is meant: what decides that an objective is met")
	assert.Less(t, width, 0.6)
	share, _, _ = coverage(t, repeat, 4000, want, mode{trials: asTruth, more: 1}, experiment(2))
	assert.Less(t, share, 0.6, "without the bootstrap")
}

// Half of the outages are not seen to end: the interval must stay honest, where
// one that takes them for ended, or leaves them out, is sure of something wrong.
func TestIntervalsCoverCensoredTrials(t *testing.T) {
	const rate, looked = 4, 60.0
	// What outlasts the trial is ended by hand, as the rule supposes.
	drawn := distuv.Exponential{Rate: 1 / 80.0}
	after := hand(t, LogNormal(120, 200))
	draw := func(r *rand.Rand) (seconds float64, ended bool) {
		if d := drawn.Quantile(r.Float64()); d < looked {
			return d, true
		}
		return max(looked, after.quantile(r.Float64())), false
	}
	r := rand.New(rand.NewPCG(5, 5))
	good := 0
	const years = 200_000
	for range years {
		sum := 0.0
		for n := poisson(r, rate); n > 0; n-- {
			d, _ := draw(r)
			sum += d
		}
		if sum <= BudgetS(0.99999) {
			good++
		}
	}
	want := float64(good) / years
	experiment := func(spoil func([]Trial) []Trial) func(*rand.Rand) (*Model, Measured) {
		return func(r *rand.Rand) (*Model, Measured) {
			m := plain(Class{Name: "a", Scenario: "s", RatePerYear: rate})
			m.Rules.ByHand = LogNormal(120, 200)
			var ts []Trial
			for range 20 {
				d, ended := draw(r)
				ts = append(ts, Trial{Down: []stats.Duration{{Seconds: min(d, looked), Censored: !ended}}, Undo: []stats.Duration{{}}})
			}
			return m, Measured{"s": spoil(ts)}
		}
	}
	how := mode{trials: asSample, more: 1}
	share, _, _ := coverage(t, 150, 4000, want, how, experiment(func(ts []Trial) []Trial { return ts }))
	assert.InDelta(t, 0.9, share, 0.08)
	for name, spoil := range map[string]func([]Trial) []Trial{
		"taken for ended": func(ts []Trial) []Trial {
			for i := range ts {
				ts[i].Down[0].Censored = false
			}
			return ts
		},
		"left out": func(ts []Trial) []Trial {
			var out []Trial
			for _, x := range ts {
				if !x.Down[0].Censored {
					out = append(out, x)
				}
			}
			return out
		},
	} {
		share, _, _ := coverage(t, 60, 4000, want, how, experiment(spoil))
		assert.Less(t, share, 0.5, name)
	}
}

func poisson(r *rand.Rand, mean float64) int {
	n := 0
	for at := r.ExpFloat64(); at < mean; at += r.ExpFloat64() {
		n++
	}
	return n
}

// Rates that are counted: over repeated years of counting, the interval holds the truth.
func TestIntervalsCoverCountedRates(t *testing.T) {
	const rate, years, seconds = 2.5, 4, 100
	want := distuv.Poisson{Lambda: rate}.CDF(3)
	share, _, _ := coverage(t, 200, 4000, want, mode{trials: asSample, more: 1}, func(r *rand.Rand) (*Model, Measured) {
		return plain(Class{Name: "a", Scenario: "s", Observed: &Observed{Events: float64(poisson(r, rate*years)), PartYears: years}}), Measured{"s": trials(seconds)}
	})
	assert.InDelta(t, 0.9, share, 0.08)
}
