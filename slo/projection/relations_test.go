package projection

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat/distuv"
)

// Same arguments, same projection, whoever simulated which block.
func TestWorkersChangeNothing(t *testing.T) {
	m, measured := Default(), measuredDefaults(10)
	o := Options{Years: 1000, Seed: 7, Workers: 1}
	want := project(t, m, measured, o)
	for _, workers := range []int{2, 5} {
		o.Workers = workers
		assert.Equal(t, want, project(t, m, measured, o), "%d workers", workers)
	}
	o.Seed = 8
	assert.NotEqual(t, want.Mean, project(t, m, measured, o).Mean, "the seed counts")
	b, err := json.Marshal(want)
	require.NoError(t, err, "every figure is finite")
	var back Projection
	require.NoError(t, json.Unmarshal(b, &back))
	assert.Equal(t, want, &back)
}

// A class in two halves of the rate is the same class.
func TestSplittingAClassChangesNothing(t *testing.T) {
	one := Class{Name: "a", Scenario: "s", RatePerYear: 5, Parts: Region, Repair: Exponential(3600)}
	half, other := one, one
	half.RatePerYear, other.RatePerYear, other.Name = 2, 3, "b"
	measured := Measured{"s": trials(20, 50, 90)}
	o := Options{Years: 40_000}
	whole, split := plain(one), plain(half, other)
	whole.Rules.Overlap, split.Rules.Overlap = OverlapQuorum, OverlapQuorum
	x, y := project(t, whole, measured, o), project(t, split, measured, o)
	assert.InEpsilon(t, x.Mean.Value, y.Mean.Value, 0.02)
	for i := range x.Levels {
		assert.InDelta(t, x.Levels[i].Probability.Value, y.Levels[i].Probability.Value, 0.02)
		assert.InDelta(t, x.Levels[i].Probability.Lower, y.Levels[i].Probability.Lower, 0.03)
	}
}

func TestDoublingDurationsDoublesTheMean(t *testing.T) {
	m := plain(Class{Name: "a", Scenario: "s", RatePerYear: 5})
	o := Options{Years: 10_000}
	x := project(t, m, Measured{"s": trials(2, 5, 9)}, o)
	y := project(t, m, Measured{"s": trials(4, 10, 18)}, o)
	assert.InEpsilon(t, 2*x.Mean.Value, y.Mean.Value, 1e-4, "the same events: but for overlaps, exactly")
	for i := range x.Quantiles {
		assert.InDelta(t, 2*x.Quantiles[i].Seconds, y.Quantiles[i].Seconds, 1e-6)
	}
}

func TestNamesAndOrderOfTrialsDontMatter(t *testing.T) {
	m := plain(Class{Name: "a", Scenario: "s", RatePerYear: 5})
	x := project(t, m, Measured{"s": trials(2, 5, 9)}, Options{Years: 10_000})
	m.Classes[0].Name, m.Classes[0].Scenario = "z", "y"
	y := project(t, m, Measured{"y": trials(9, 2, 5)}, Options{Years: 10_000})
	assert.Equal(t, x.Mean, y.Mean)
	assert.Equal(t, x.Levels, y.Levels)
}

// A tail, more faults, more maintenance, overlaps: each only adds downtime.
func TestWhatAddsDowntime(t *testing.T) {
	measured := measuredDefaults(10)
	mean := func(change func(*Model, *Options)) float64 {
		m, o := Default(), Options{}
		change(m, &o)
		return yearly(simulate(t, m, measured, o, 4000), 0.9).Value
	}
	all := mean(func(*Model, *Options) {})
	for name, less := range map[string]func(*Model, *Options){
		"no tail":        func(m *Model, _ *Options) { m.Rules.Unseen.Index = 0 },
		"no overlaps":    func(m *Model, _ *Options) { m.Rules.Overlap = OverlapIgnored },
		"no maintenance": func(_ *Model, o *Options) { o.ExcludeMaintenance = true },
		"one class less": func(m *Model, _ *Options) { m.Classes = m.Classes[1:] },
		"no undoing": func(m *Model, _ *Options) {
			for i := range m.Classes {
				m.Classes[i].NoUndo = true
			}
		},
	} {
		assert.Less(t, mean(less), all, name)
	}
}

// What halving buys is what the closed form says, and nothing ever gets worse.
func TestSensitivityIsRightAndMonotone(t *testing.T) {
	const rate, seconds = 4.0, 100.0
	m := plain(Class{Name: "a", Scenario: "s", RatePerYear: rate}, Class{Name: "b", Scenario: "z", RatePerYear: 1})
	p := project(t, m, Measured{"s": trials(seconds), "z": trials(0)}, Options{Years: 40_000})
	budget := BudgetS(0.99999)
	cdf := func(rate, k float64) float64 { return distuv.Poisson{Lambda: rate}.CDF(math.Floor(k)) }
	require.Len(t, p.Sensitivity, 2)
	s := p.Sensitivity[0]
	require.Equal(t, "a", s.Class, "the one to fix stands first")
	const n = maxBlocks * sensitivityYears
	probabilityNear(t, cdf(rate, budget/seconds*2), s.HalfDuration, n/2, "half the duration")
	probabilityNear(t, cdf(rate/2, budget/seconds), s.HalfRate, n/2, "half the rate")
	assert.InEpsilon(t, rate*seconds/2, s.SavedRateS, 0.1)
	assert.InEpsilon(t, rate*seconds/2, s.SavedDurationS, 0.1)
	assert.Equal(t, s.Base, p.Sensitivity[1].HalfDuration, "outages of no length can't get shorter")

	// Year by year, on the same random numbers. A fault that does not happen leaves its part
	// up for another to hit: only in the sum is that always less.
	o, err := Options{}.withDefaults()
	require.NoError(t, err)
	plan, err := newPlan(Default(), measuredDefaults(10), &o)
	require.NoError(t, err)
	e := engine{plan: plan, blocks: 20, workers: 2}
	for class := range plan.model.Classes {
		runs := e.runAll(mode{trials: asSample, more: 1}, 40, []change{unchanged, {class: class, halfDown: true}, {class: class, halfRate: true}, {class: class, halfRepair: true}})
		var sums [4]float64
		for i, run := range runs {
			for b, x := range run {
				for y, d := range x.years {
					sums[i] += d
					if i == 1 {
						assert.LessOrEqual(t, d, runs[0][b].years[y]+1e-6, "halving a duration in year %d of block %d", y, b)
					}
				}
			}
		}
		name := plan.model.Classes[class].Name
		assert.Less(t, sums[1], sums[0], "half the duration of %s", name)
		assert.Less(t, sums[2], sums[0], "half the rate of %s", name)
		if plan.model.Classes[class].takes() != Nothing {
			assert.LessOrEqual(t, sums[3], sums[0]*1.002, "half the time to repair %s", name)
		}
	}
}

// A change in one class leaves the events of the others where they were.
func TestChangesKeepTheOthersRandomNumbers(t *testing.T) {
	m := plain(Class{Name: "a", Scenario: "s", RatePerYear: 50}, Class{Name: "b", Scenario: "s", RatePerYear: 7},
		Class{Name: "c", Kind: Maintenance, Scenario: "s", RatePerYear: 12})
	o, err := Options{}.withDefaults()
	require.NoError(t, err)
	plan, err := newPlan(m, Measured{"s": trials(1, 2, 3)}, &o)
	require.NoError(t, err)
	e := engine{plan: plan, blocks: 10, workers: 1}
	runs := e.runAll(mode{trials: asSample, more: 1}, 20, []change{unchanged, {class: 0, halfRate: true}, {class: 2, halfRate: true}})
	for b := range runs[0] {
		base, thinned, planned := runs[0][b], runs[1][b], runs[2][b]
		assert.Equal(t, base.events[1:], thinned.events[1:])
		assert.InDelta(t, base.rows[1], thinned.rows[1], 7, "but for what overlapped")
		assert.Less(t, thinned.events[0], base.events[0])
		assert.Equal(t, base.events[:2], planned.events[:2])
		assert.Less(t, planned.events[2], base.events[2])
	}
}
