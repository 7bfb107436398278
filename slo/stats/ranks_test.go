package stats

import (
	"math"
	"math/bits"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// The permeability of the human chorioamnion, Hollander and Wolfe,
// Nonparametric Statistical Methods (1999), example 4.1.
var (
	atTerm = []float64{0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46}
	early  = []float64{1.15, 0.88, 0.90, 0.74, 1.21}
)

// As published there and in the help of R's wilcox.test: U = 35, one-sided p
// 0.1272, an estimated difference of 0.305. The interval from -0.15 to 0.76:
// all 50 differences listed and counted in another program.
func TestMannWhitneyPublished(t *testing.T) {
	u, p := MannWhitney(early, atTerm)
	require.Equal(t, 35.0, u)
	require.InDelta(t, 2*0.1272061272061272, p, 1e-14)
	u, swapped := MannWhitney(atTerm, early)
	require.Equal(t, 15.0, u)
	require.InDelta(t, p, swapped, 1e-15)
	shift, in, ok := HodgesLehmann(early, atTerm, 0.95)
	require.True(t, ok)
	require.InDelta(t, 0.305, shift, 1e-12)
	require.InDelta(t, -0.15, in.Lower, 1e-12)
	require.InDelta(t, 0.76, in.Upper, 1e-12)
}

// Mann and Whitney (1947), table I: P(U <= u) for 4 and 4, and 3 and 3 values.
func TestRankSumsPublished(t *testing.T) {
	for n, want := range map[int][]float64{
		3: {0.050, 0.100, 0.200, 0.350, 0.500},
		4: {0.014, 0.029, 0.057, 0.100, 0.171, 0.243, 0.343, 0.443, 0.557},
	} {
		dist := rankSums(slices.Repeat([]int{1}, 2*n), n)
		cdf := 0.0
		for u, p := range want {
			cdf += dist[n*(n+1)+2*u]
			require.InDelta(t, p, cdf, 0.0005, "%d and %d values, U <= %d", n, n, u)
		}
	}
}

// enumerate is the p-value by all ways to choose which values are next's.
func enumerate(base, next []float64) (u, p float64) {
	all := slices.Concat(base, next)
	statistic := func(chosen uint) float64 {
		u := 0.0
		for i := range all {
			for j := range all {
				if chosen>>i&1 == 1 && chosen>>j&1 == 0 {
					switch {
					case all[i] > all[j]:
						u++
					case all[i] == all[j]:
						u += 0.5
					}
				}
			}
		}
		return u
	}
	u = statistic((1<<len(next) - 1) << len(base))
	lower, upper, ways := 0.0, 0.0, 0.0
	for chosen := uint(0); chosen < 1<<len(all); chosen++ {
		if bits.OnesCount(chosen) != len(next) {
			continue
		}
		ways++
		v := statistic(chosen)
		if v <= u {
			lower++
		}
		if v >= u {
			upper++
		}
	}
	return u, min(1, 2*min(lower, upper)/ways)
}

func TestMannWhitneyBruteForce(t *testing.T) {
	rng := seeded(21)
	for range 150 {
		values := 1 + rng.IntN(12) // few values: many ties
		f := func() float64 { return float64(rng.IntN(values)) }
		base, next := draw(1+rng.IntN(5), f), draw(1+rng.IntN(5), f)
		if rng.IntN(4) == 0 {
			next[0] = math.Inf(1)
		}
		wantU, wantP := enumerate(base, next)
		u, p := MannWhitney(base, next)
		require.Equal(t, wantU, u, "%v %v", base, next)
		require.InDelta(t, wantP, p, 1e-12, "%v %v", base, next)
	}
}

// Beyond 50 values the normal approximation takes over: about there both agree.
func TestMannWhitneyLarge(t *testing.T) {
	rng := seeded(22)
	for _, round := range []float64{0, 1} { // without and with ties
		for range 10 {
			shift := 0.6 * rng.Float64()
			f := func() float64 {
				v := 3 * rng.ExpFloat64()
				if round > 0 {
					v = math.Floor(v)
				}
				return v
			}
			base, next := draw(50, f), draw(50, func() float64 { return f() + shift })
			u, p := MannWhitney(base, next)
			_, ties := doubledRanks(base, next)
			m, sd := rankMoments(50, 50, ties)
			z := (math.Abs(u-m) - 0.5) / sd
			require.InDelta(t, math.Erfc(z/math.Sqrt2), p, 0.004, "u=%v", u)
			// The same pattern, each value twice and a half: past the limit, more certain.
			_, double := MannWhitney(slices.Repeat(base, 2), slices.Repeat(next, 2))
			require.Less(t, double, p+1e-9)
		}
	}
	// By hand: 60 and 60 values, all of next above all of base: U = 3600, mean
	// 1800, variance 3600*121/12, z = 1799.5/190.526.
	base := draw(60, rng.Float64)
	next := draw(60, func() float64 { return 2 + rng.Float64() })
	u, p := MannWhitney(base, next)
	require.Equal(t, 3600.0, u)
	require.InEpsilon(t, math.Erfc(1799.5/math.Sqrt(3600*121.0/12)/math.Sqrt2), p, 1e-9)
}

// Given the ties a test at 5 % must not reject more often: counted over all
// samples that share them.
func TestMannWhitneyLevel(t *testing.T) {
	for _, values := range [][]float64{
		{0, 1, 2, 3, 4, 5, 6, 7, 8, 9},
		{0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, // most trials had no outage
		{0, 0, 1, 1, 1, 2, 2, 3, 3, 3},
	} {
		for next := 3; next <= 7; next++ {
			rejected, ways := 0.0, 0.0
			for chosen := uint(0); chosen < 1<<len(values); chosen++ {
				if bits.OnesCount(chosen) != next {
					continue
				}
				var sides [2][]float64
				for i, v := range values {
					sides[chosen>>i&1] = append(sides[chosen>>i&1], v)
				}
				ways++
				if _, p := MannWhitney(sides[0], sides[1]); p <= 0.05 {
					rejected++
				}
			}
			require.LessOrEqual(t, rejected/ways, 0.05, "%v, %d of them", values, next)
		}
	}
}

func TestMannWhitneyEdges(t *testing.T) {
	for _, c := range [][2][]float64{{nil, {1, 2}}, {{1}, nil}, {nil, nil}, {{3, 3}, {3, 3, 3}}, {draw(80, func() float64 { return 1 }), draw(90, func() float64 { return 1 })}} {
		_, p := MannWhitney(c[0], c[1])
		require.Equal(t, 1.0, p)
	}
	require.Panics(t, func() { MannWhitney([]float64{math.NaN()}, []float64{1}) })
	require.Panics(t, func() { HodgesLehmann([]float64{1}, []float64{math.NaN()}, 0.95) })
	require.Panics(t, func() { HodgesLehmann([]float64{1}, []float64{1}, 1) })
}

// The interval holds the shifts that the test does not reject.
func TestHodgesLehmannInvertsTheTest(t *testing.T) {
	rng := seeded(23)
	for range 30 {
		base, next := draw(4+rng.IntN(6), rng.ExpFloat64), draw(4+rng.IntN(6), rng.ExpFloat64)
		shift, in, ok := HodgesLehmann(base, next, 0.95)
		require.True(t, ok)
		require.True(t, in.Contains(shift))
		for _, c := range []struct {
			by   float64
			want bool
		}{{in.Lower + 1e-9, true}, {in.Upper - 1e-9, true}, {shift, true}, {in.Lower - 1e-9, false}, {in.Upper + 1e-9, false}} {
			moved := slices.Clone(next)
			for i := range moved {
				moved[i] -= c.by
			}
			_, p := MannWhitney(base, moved)
			require.Equal(t, c.want, p > 0.05, "shift %v, p %v, interval %v", c.by, p, in)
		}
	}
}

func TestHodgesLehmannSupport(t *testing.T) {
	x := []float64{1, 2, 3, 4, 5, 6}
	for _, c := range []struct {
		n          int
		confidence float64
		want       bool
	}{{3, 0.9, true}, {3, 0.95, false}, {4, 0.95, true}, {4, 0.99, false}, {5, 0.99, true}, {1, 0.5, false}} {
		shift, in, ok := HodgesLehmann(x[:c.n], x[:c.n], c.confidence)
		require.Equal(t, c.want, ok, "%d values at %v", c.n, c.confidence)
		require.Zero(t, shift)
		if !ok {
			require.Equal(t, unbounded(), in)
		}
	}
	for _, c := range [][2][]float64{{nil, x}, {x, nil}, {x, {1, math.Inf(1)}}} {
		shift, in, ok := HodgesLehmann(c[0], c[1], 0.5)
		require.False(t, ok)
		require.True(t, math.IsNaN(shift))
		require.Equal(t, unbounded(), in)
	}
	// Exact and normal ranks about the limit: Hollander and Wolfe's approximation is off by one at most.
	exact := criticalRank(50, 50, 0.025)
	mean, sd := rankMoments(50, 50, nil)
	require.InDelta(t, mean+0.5-1.959964*sd, float64(exact), 1)
	require.InDelta(t, float64(exact), float64(criticalRank(51, 50, 0.025)), 25)
}

func TestHodgesLehmannCoverage(t *testing.T) {
	rng := seeded(24)
	samples := 3 * *sim
	for _, c := range []struct {
		name string
		m, n int
		draw func() float64
	}{
		{"lognormal", 8, 8, func() float64 { return math.Exp(rng.NormFloat64()) }},
		{"Pareto 1.1", 5, 12, func() float64 { return math.Pow(1-rng.Float64(), -1/1.1) }},
		{"whole seconds", 10, 10, func() float64 { return math.Floor(3 * rng.ExpFloat64()) }},
		{"normal, large", 55, 60, rng.NormFloat64},
	} {
		for _, confidence := range []float64{0.9, 0.95} {
			covered, below, above := coverage(samples/max(1, c.m/10), 7, func() Interval {
				_, in, ok := HodgesLehmann(draw(c.m, c.draw), draw(c.n, func() float64 { return 7 + c.draw() }), confidence)
				require.True(t, ok)
				return in
			})
			t.Logf("%-13s %d and %d at %v: %.3f (%.3f, %.3f)", c.name, c.m, c.n, confidence, covered, below, above)
			requireAtLeast(t, confidence, covered, samples/max(1, c.m/10), c.name)
			if c.name != "whole seconds" { // ties make it conservative
				require.Less(t, covered, confidence+0.04, c.name)
			}
		}
	}
}
