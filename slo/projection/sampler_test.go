package projection

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/slo/stats"
)

func durations(t *Trial) []stats.Duration { return t.Down }

func hand(t testing.TB, s Span) span {
	t.Helper()
	c, err := s.compile()
	require.NoError(t, err)
	return c
}

// exceeds is the probability that a draw is longer than t.
func (s *sampler) exceeds(t float64) float64 {
	const n = 20_000
	k := 0
	for i := range n {
		if s.at((float64(i)+0.5)/n) > t {
			k++
		}
	}
	return float64(k) / n
}

// With equal weights the draws follow the Kaplan-Meier estimate of package stats.
func TestSamplerIsKaplanMeier(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 40 {
		var ts []Trial
		var ds []stats.Duration
		for range 1 + r.IntN(12) {
			d := stats.Duration{Seconds: float64(r.IntN(8)), Censored: r.Float64() < 0.4}
			ds = append(ds, d)
			ts = append(ts, Trial{Down: []stats.Duration{d}})
		}
		rule := &tailRule{byHand: hand(t, Constant(1e6))}
		s := newSample(ts, durations).draw(nil, asTruth, 1, rule)
		km := stats.KaplanMeier(ds)
		for x := -0.5; x < 9; x += 0.5 {
			want := 1.0
			if x >= 0 {
				want = km.S(x)
			}
			if math.IsNaN(want) {
				// Beyond a censored longest one: all that survived it ends by hand.
				want = s.exceeds(8)
			}
			assert.InDelta(t, want, s.exceeds(x), 1e-4, "%v at %v", ds, x)
		}
		assert.True(t, slices.IsSortedFunc(s.values, func(a, b float64) int { return int(a - b) }))
	}
}

// Weights: the mass of a censored duration goes to what is longer, in
// proportion (Efron's redistribution to the right, Fourth Berkeley Symposium, 1967).
func TestWeightedSamplerRedistributesToTheRight(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	for range 40 {
		var ts []Trial
		n := 2 + r.IntN(8)
		for i := range n {
			ts = append(ts, Trial{Down: []stats.Duration{{Seconds: float64(1 + i), Censored: i < n-1 && r.Float64() < 0.4}}})
		}
		rule := &tailRule{index: 2, floor: 1, byHand: hand(t, Constant(1e6))}
		seed := r.Uint64()
		w := weights(rand.New(rand.NewPCG(seed, 0)), n, asSample, 1, true)
		mass := slices.Clone(w)
		total := 0.0
		for _, m := range w {
			total += m
		}
		for i := range n {
			if !ts[i].Down[0].Censored {
				continue
			}
			right := 0.0
			for _, m := range w[i+1:] {
				right += m
			}
			for j := i + 1; j <= n; j++ {
				mass[j] += mass[i] * w[j] / right
			}
			mass[i] = 0
		}
		s := newSample(ts, durations).draw(rand.New(rand.NewPCG(seed, 0)), asSample, 1, rule)
		beyond := 0.0
		for i := n - 1; i >= 0; i-- {
			beyond += mass[i+1] / total
			assert.InDelta(t, beyond, s.exceeds(float64(i+1)+1e-9), 1e-4)
		}
	}
}

// A censored outage is never forgotten and never ends when it was last seen.
func TestCensoredOutagesLastUntilAPersonEndsThem(t *testing.T) {
	ts := trials(10, 10, 10, 10, 10, 10, 10, 10, 10)
	ts = append(ts, Trial{Down: []stats.Duration{{Seconds: 30, Censored: true}}, Undo: []stats.Duration{{}}})
	m := plain(Class{Name: "a", Scenario: "s", RatePerYear: 2})
	p := project(t, m, Measured{"s": ts}, Options{Years: 20_000})
	assert.InEpsilon(t, 2*(0.9*10+0.1*1800), p.Mean.Value, 0.05)
	assert.Equal(t, 1, p.Classes[0].Censored)
	assert.InEpsilon(t, 0.9*10+0.1*1800, p.Classes[0].EventS, 1e-6)
	assert.Contains(t, p.Notes[0], "1 outages of s were not seen to end")
	// Longer than any person takes: never shorter than it was seen to be.
	ts[9].Down[0].Seconds = 5000
	p = project(t, m, Measured{"s": ts}, Options{Years: 20_000})
	assert.InEpsilon(t, 2*(0.9*10+0.1*5000), p.Mean.Value, 0.05)
}

// The tail beyond n trials has probability 1/(n+1) and begins at the worst.
func TestUnseenTail(t *testing.T) {
	rule := &tailRule{index: 2, floor: 1}
	for _, n := range []int{1, 5, 20} {
		s := newSample(trials(make([]float64, n)...), durations).draw(nil, asCentral, 1, rule)
		assert.InDelta(t, 1/float64(n+1), s.exceeds(0), 1e-4, "trials without outage prove no more than this")
		assert.InDelta(t, 1/float64(n+1)/4, s.exceeds(2), 1e-4, "Pareto: twice as long with a quarter of the probability")
		assert.InEpsilon(t, 2/float64(n+1), s.mean(), 1e-9)
	}
	s := newSample(trials(3, 7), durations).draw(nil, asCentral, 1, rule)
	assert.InDelta(t, 1.0/3, s.exceeds(7), 1e-4)
	assert.InDelta(t, 0, s.exceeds(7*60), 1e-4)
	r := rand.New(rand.NewPCG(1, 9))
	mass := 0.0
	for range 4000 {
		mass += 1 - newSample(trials(3, 7, 8, 9), durations).draw(r, asSample, 1, rule).tail
	}
	assert.InDelta(t, 0.2, mass/4000, 0.01, "in the mean over the bootstrap too")
}

func TestDurationsOfATrialShareItsWeight(t *testing.T) {
	ts := []Trial{{Down: []stats.Duration{{Seconds: 1}, {Seconds: 1}, {Seconds: 1}, {Seconds: 1}}}, {Down: []stats.Duration{{Seconds: 9}}}}
	s := newSample(ts, durations).draw(nil, asTruth, 1, &tailRule{})
	assert.InEpsilon(t, 5, s.mean(), 1e-9)
}

func TestQuantilesOfASamplerRise(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for range 20 {
		ts := sampleTrials(r, 1+r.IntN(30), func(r *rand.Rand) float64 { return r.ExpFloat64() })
		s := newSample(ts, durations).draw(r, asSample, 1, &tailRule{index: 1.5, floor: 0.5})
		last := 0.0
		for i := range 5000 {
			v := s.at(float64(i) / 5000)
			require.GreaterOrEqual(t, v, last)
			last = v
		}
	}
}
