package stats

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTrialsFor(t *testing.T) {
	for _, c := range []struct {
		q, confidence float64
		want          int
	}{{0.9, 0.95, 29}, {0.95, 0.95, 59}, {0.99, 0.95, 299}, {0.999, 0.95, 2995}, {0.5, 0.75, 2}, {0.5, 0.5, 1}, {0.1, 0.5, 1}, {0.9, 0.9, 22}, {0.99, 0.99, 459}} {
		require.Equal(t, c.want, TrialsFor(c.q, c.confidence), "p%v at %v", 100*c.q, c.confidence)
	}
	require.InDelta(t, math.Pow(0.05, 1.0/29), HighestQuantile(29, 0.95), 1e-15)
	require.Zero(t, HighestQuantile(0, 0.95))
	// Both say the same, and the bound itself agrees, for the very quantile that n just supports.
	for n := 1; n < 3000; n += 1 + n/10 {
		for _, confidence := range []float64{0.5, 0.9, 0.95, 0.99} {
			q := HighestQuantile(n, confidence)
			require.Equal(t, n, TrialsFor(q, confidence), "%d trials at %v", n, confidence)
			x := draw(n, func() float64 { return 1 })
			_, ok := QuantileUpper(x, q, confidence)
			require.True(t, ok, "%d trials at %v", n, confidence)
			_, ok = QuantileUpper(x[1:], q, confidence)
			require.False(t, ok, "%d trials at %v", n-1, confidence)
		}
	}
}

// The ranks that bound the median at 95 %, as tables of the sign test have them;
// TestRanksBruteForce derives them again.
func TestMedianRanks(t *testing.T) {
	for n, want := range map[int][2]int{6: {1, 6}, 8: {1, 8}, 9: {2, 8}, 10: {2, 9}, 12: {3, 10}, 15: {4, 12}, 20: {6, 15}, 25: {8, 18}, 30: {10, 21}} {
		x := make([]float64, n)
		for i := range x {
			x[i] = float64(i + 1)
		}
		in, ok := QuantileInterval(x, 0.5, 0.95)
		require.True(t, ok)
		require.Equal(t, Interval{Lower: float64(want[0]), Upper: float64(want[1])}, in, "%d values", n)
	}
	in, ok := QuantileInterval([]float64{1, 2, 3, 4, 5}, 0.5, 0.95)
	require.False(t, ok)
	require.Equal(t, unbounded(), in)
}

// The ranks against sums of the binomial by its recurrence.
func TestRanksBruteForce(t *testing.T) {
	for n := 0; n <= 60; n++ {
		for _, q := range []float64{0.01, 0.1, 0.25, 0.5, 0.9, 0.95, 0.99} {
			for _, confidence := range []float64{0.8, 0.95, 0.995} {
				upper, lower := n+1, 0
				for r, cdf, term := 1, 0.0, math.Pow(1-q, float64(n)); r <= n; r++ {
					cdf += term // P(X <= r-1)
					term *= float64(n-r+1) / float64(r) * q / (1 - q)
					if upper > n && cdf >= confidence {
						upper = r
					}
					if 1-cdf >= confidence { // P(X >= r): at least r values at or below
						lower = r
					}
				}
				require.Equal(t, upper, upperRank(n, q, confidence), "upper of %d, p%v at %v", n, 100*q, confidence)
				require.Equal(t, lower, lowerRank(n, q, confidence), "lower of %d, p%v at %v", n, 100*q, confidence)
			}
		}
	}
}

func TestQuantileCoverage(t *testing.T) {
	rng := seeded(2)
	for _, d := range []struct {
		name     string
		draw     func() float64
		quantile func(q float64) float64 // the least value with at least q at or below it
	}{
		{"Pareto 1.1", func() float64 { return math.Pow(1-rng.Float64(), -1/1.1) }, func(q float64) float64 { return math.Pow(1-q, -1/1.1) }},
		{"exponential", rng.ExpFloat64, func(q float64) float64 { return -math.Log1p(-q) }},
		// Most trials had no outage at all, the others whole seconds.
		{"tied", func() float64 { return math.Floor(math.Max(0, -10+5*rng.ExpFloat64())) }, func(q float64) float64 { return math.Floor(math.Max(0, -10-5*math.Log1p(-q))) }},
	} {
		for _, c := range []struct {
			n int
			q float64
		}{{29, 0.9}, {40, 0.9}, {299, 0.99}, {10, 0.5}, {60, 0.25}} {
			samples := *sim * 2
			sample := func() []float64 { return slices.Sorted(slices.Values(draw(c.n, d.draw))) }
			truth := d.quantile(c.q)
			upper, _, _ := coverage(samples, truth, func() Interval {
				u, ok := QuantileUpper(sample(), c.q, 0.95)
				require.True(t, ok)
				return Interval{Lower: math.Inf(-1), Upper: u}
			})
			requireAtLeast(t, 0.95, upper, samples, "upper bound, %s, p%v of %d", d.name, 100*c.q, c.n)
			two, _, _ := coverage(samples, truth, func() Interval {
				in, _ := QuantileInterval(sample(), c.q, 0.95)
				return in
			})
			requireAtLeast(t, 0.95, two, samples, "interval, %s, p%v of %d", d.name, 100*c.q, c.n)
			t.Logf("%-12s p%v of %3d: upper %.3f, interval %.3f", d.name, 100*c.q, c.n, upper, two)
		}
	}
	// The check can fail: the largest of 20 values is no bound on p90, nor the last but one of 40.
	for _, c := range []struct{ n, rank int }{{20, 20}, {40, 38}} {
		got, _, _ := coverage(*sim, -math.Log1p(-0.9), func() Interval {
			return Interval{Lower: math.Inf(-1), Upper: slices.Sorted(slices.Values(draw(c.n, rng.ExpFloat64)))[c.rank-1]}
		})
		requireBelow(t, 0.95, got, *sim)
	}
}

func TestQuantileNearestRank(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(i + 1)
	}
	for i := 1; i < 100; i++ { // i/100 is not exact: 0.07*100 is above 7
		require.Equal(t, float64(i), Quantile(hundred, float64(i)/100))
	}
	require.Equal(t, 2.0, Quantile([]float64{1, 2, math.Inf(1)}, 0.5))
	require.Equal(t, 1.0, Quantile([]float64{1, 2}, 0.5))
	require.Equal(t, 7.0, Quantile([]float64{7}, 0.999))
	require.True(t, math.IsNaN(Quantile(nil, 0.5)))
}

func TestQuantileEdges(t *testing.T) {
	// A trial that never ended keeps the bound valid: it is the largest.
	x := draw(50, func() float64 { return 1 })
	x[49] = math.Inf(1)
	u, ok := QuantileUpper(x, 0.9, 0.95)
	require.True(t, ok)
	require.Equal(t, 1.0, u)
	u, ok = QuantileUpper(x[21:], 0.9, 0.95)
	require.True(t, ok)
	require.Equal(t, math.Inf(1), u)
	_, ok = QuantileLower(nil, 0.5, 0.95)
	require.False(t, ok)
	_, ok = QuantileUpper([]float64{1}, 0.5, 0.5)
	require.True(t, ok)
	for name, f := range map[string]func(){
		"unsorted":     func() { QuantileUpper([]float64{2, 1}, 0.5, 0.95) },
		"NaN":          func() { QuantileInterval([]float64{1, math.NaN()}, 0.5, 0.95) },
		"quantile 1":   func() { QuantileLower([]float64{1}, 1, 0.95) },
		"confidence 0": func() { QuantileUpper([]float64{1}, 0.5, 0) },
		"n below 0":    func() { HighestQuantile(-1, 0.95) },
		"percent":      func() { TrialsFor(90, 0.95) },
	} {
		require.Panics(t, f, name)
	}
}
