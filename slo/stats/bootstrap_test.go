package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// spatial is column A of the spatial test data, Efron and Tibshirani (1993),
// table 14.1.
var spatial = []float64{48, 36, 20, 29, 42, 42, 20, 42, 22, 41, 45, 14, 6, 0, 33, 28, 34, 4, 32, 24, 47, 41, 24, 26, 30, 41}

// variance divides by n, as the book does here.
func variance(x []float64) float64 {
	m, s := mean(x), 0.0
	for _, v := range x {
		s += (v - m) * (v - m)
	}
	return s / float64(len(x))
}

func median(x []float64) float64 {
	slices.Sort(x)
	return middle(x)
}

// distinct is how many different values there are, which resampling only lowers.
func distinct(x []float64) float64 {
	slices.Sort(x)
	return float64(len(slices.Compact(x)))
}

func one(statistic func([]float64) float64) func([][]float64) float64 {
	return func(s [][]float64) float64 { return statistic(s[0]) }
}

// Efron and Tibshirani, pages 183-186: the variance is 171.5, its acceleration
// 0.061; with 2,000 resamples the BCa interval for 90 % is (115.8, 259.6), and the
// percentile interval (100.8, 233.9). Ours takes 100,000: what is left is the
// book's noise, a standard error of about 2 at each end.
func TestBCaPublished(t *testing.T) {
	require.InDelta(t, 171.5, variance(spatial), 0.05)
	require.InDelta(t, 0.061, acceleration([][]float64{spatial}, one(variance)), 0.0005)
	// By hand: the sum over jackknife values in another program.
	require.InDelta(t, 0.061240119812307155, acceleration([][]float64{spatial}, one(variance)), 1e-12)
	in, err := BCa(spatial, variance, 0.9, 100_000, seeded(1))
	require.NoError(t, err)
	t.Logf("spatial test data: (%.1f, %.1f)", in.Lower, in.Upper)
	require.InDelta(t, 115.8, in.Lower, 4)
	require.InDelta(t, 259.6, in.Upper, 4)
	percentiles := percentile(spatial, variance, 0.9, 100_000, seeded(1))
	require.InDelta(t, 100.8, percentiles.Lower, 4)
	require.InDelta(t, 233.9, percentiles.Upper, 4)
}

// percentile is the plain bootstrap interval, for comparison.
func percentile(x []float64, statistic func([]float64) float64, confidence float64, resamples int, rng *rand.Rand) Interval {
	work := make([]float64, len(x))
	replicates := draw(resamples, func() float64 {
		for i := range work {
			work[i] = x[rng.IntN(len(x))]
		}
		return statistic(work)
	})
	slices.Sort(replicates)
	at := func(p float64) float64 { return replicates[int(math.Round(p*float64(resamples+1)))-1] }
	return Interval{Lower: at((1 - confidence) / 2), Upper: at((1 + confidence) / 2)}
}

// The acceleration of means has a closed form, a sixth of the skewness of the sum:
// Davison and Hinkley (1997), equations 5.23 and 5.25.
func TestAcceleration(t *testing.T) {
	rng := seeded(2)
	base, next := draw(12, rng.ExpFloat64), draw(30, rng.ExpFloat64)
	difference := func(s [][]float64) float64 { return mean(s[1]) - mean(s[0]) }
	moment := func(x []float64, k float64) float64 {
		m, s := mean(x), 0.0
		for _, v := range x {
			s += math.Pow(v-m, k)
		}
		return s / math.Pow(float64(len(x)), k)
	}
	want := (moment(next, 3) - moment(base, 3)) / (6 * math.Pow(moment(next, 2)+moment(base, 2), 1.5))
	require.InDelta(t, want, acceleration([][]float64{base, next}, difference), 1e-12)
	require.InDelta(t, -want, acceleration([][]float64{next, base}, difference), 1e-12)
	// A sample without spread changes nothing.
	require.InDelta(t, acceleration([][]float64{next}, one(mean)), acceleration([][]float64{draw(10, func() float64 { return 3 }), next}, difference), 1e-12)
	// A statistic may change what it gets.
	require.InDelta(t, want, acceleration([][]float64{base, next}, func(s [][]float64) float64 {
		d := difference(s)
		clear(s[0])
		clear(s[1])
		return d
	}), 1e-12)
}

// Statistics of few values repeat; what equals the observed one is neither below nor above it.
func TestBCaCountsTiesHalf(t *testing.T) {
	replicates := slices.Concat(slices.Repeat([]float64{-1}, 100), slices.Repeat([]float64{0}, 800), slices.Repeat([]float64{1}, 100))
	in, err := bcaEnds(replicates, 0, 0, 0.95)
	require.NoError(t, err)
	require.Equal(t, Interval{Lower: -1, Upper: 1}, in)
}

func TestBCaRelations(t *testing.T) {
	rng := seeded(3)
	x := draw(20, rng.ExpFloat64)
	kept := slices.Clone(x)
	in, err := BCa(x, median, 0.95, 2000, seeded(4))
	require.NoError(t, err)
	require.Equal(t, kept, x, "the sample stays as it is")
	again, err := BCa(x, median, 0.95, 2000, seeded(4))
	require.NoError(t, err)
	require.Equal(t, in, again, "the same source, the same interval")

	moved := make([]float64, len(x))
	for i, v := range x {
		moved[i] = 3*v + 7
	}
	out, err := BCa(moved, median, 0.95, 2000, seeded(4))
	require.NoError(t, err)
	require.InDelta(t, 3*in.Lower+7, out.Lower, 1e-9)
	require.InDelta(t, 3*in.Upper+7, out.Upper, 1e-9)

	narrow, err := BCa(x, mean, 0.5, 2000, seeded(4))
	require.NoError(t, err)
	wide, err := BCa(x, mean, 0.95, 2000, seeded(4))
	require.NoError(t, err)
	require.True(t, wide.Lower < narrow.Lower && narrow.Upper < wide.Upper)

	// Against a sample without spread the difference is the other one, shifted.
	d, err := BCaDifference(draw(10, func() float64 { return 5 }), x, mean, 0.9, 20_000, seeded(5))
	require.NoError(t, err)
	alone, err := BCa(x, mean, 0.9, 20_000, seeded(6))
	require.NoError(t, err)
	require.InDelta(t, alone.Lower-5, d.Lower, 0.03)
	require.InDelta(t, alone.Upper-5, d.Upper, 0.03)
}

func TestBCaErrors(t *testing.T) {
	x := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	same := draw(12, func() float64 { return 4 })
	infinite := append(slices.Clone(x), math.Inf(1))
	for _, c := range []struct {
		name      string
		x         []float64
		statistic func([]float64) float64
		resamples int
		want      error
	}{
		{"nothing", nil, mean, 2000, ErrTooFew},
		{"nine", x[:9], mean, 2000, ErrTooFew},
		{"few resamples", x, mean, 799, ErrTooFew},
		{"all equal", same, mean, 2000, ErrNoSpread},
		{"a constant statistic", x, func([]float64) float64 { return 1 }, 2000, ErrNoSpread},
		{"infinite value", infinite, mean, 2000, ErrNotSmooth},
		{"NaN statistic", x, func([]float64) float64 { return math.NaN() }, 2000, ErrNotSmooth},
		{"most at the sample itself", x, distinct, 2000, ErrNotSmooth},
	} {
		in, err := BCa(c.x, c.statistic, 0.95, c.resamples, seeded(1))
		require.ErrorIs(t, err, c.want, c.name)
		require.Equal(t, unbounded(), in, c.name)
	}
	_, err := BCa(x, mean, 0.95, 800, seeded(1))
	require.NoError(t, err)
	_, err = BCaDifference(x, x[:9], mean, 0.95, 2000, seeded(1))
	require.ErrorIs(t, err, ErrTooFew)
	_, err = BCaDifference(same, same, mean, 0.95, 2000, seeded(1))
	require.ErrorIs(t, err, ErrNoSpread)
	_, err = BCaDifference(same, x, mean, 0.95, 2000, seeded(1))
	require.NoError(t, err)
	require.Panics(t, func() { _, _ = BCa(append(slices.Clone(x), math.NaN()), mean, 0.95, 2000, seeded(1)) })
	require.Panics(t, func() { _, _ = BCa(x, mean, 1.5, 2000, seeded(1)) })
}

// What docstrings promise of the coverage, and that BCa is worth its name: less
// wrong than the percentile interval, and less lopsided, where the distribution is skewed.
func TestBCaCoverage(t *testing.T) {
	rng := seeded(7)
	lognormal := func() float64 { return math.Exp(rng.NormFloat64()) }
	for _, c := range []struct {
		name      string
		draw      func() float64
		statistic func([]float64) float64
		truth     float64
		n         int
		least     float64 // true coverage of the nominal 95 %
		skewed    bool
	}{
		{"mean, normal", rng.NormFloat64, mean, 0, MinBootstrap, 0.90, false},
		{"mean, normal", rng.NormFloat64, mean, 0, 20, 0.92, false},
		{"mean, normal", rng.NormFloat64, mean, 0, 50, 0.935, false},
		{"mean, lognormal", lognormal, mean, math.Exp(0.5), MinBootstrap, 0.82, true},
		{"mean, lognormal", lognormal, mean, math.Exp(0.5), 20, 0.86, true},
		{"mean, lognormal", lognormal, mean, math.Exp(0.5), 50, 0.90, true},
		{"median, lognormal", lognormal, median, 1, 20, 0.94, false},
	} {
		if c.n > 20 && *sim < 1000 {
			continue // for the longer run
		}
		failed := 0
		var plain []Interval
		bca, below, above := coverage(*sim, c.truth, func() Interval {
			x := draw(c.n, c.draw)
			plain = append(plain, percentile(x, c.statistic, 0.95, 1000, rng))
			in, err := BCa(x, c.statistic, 0.95, 1000, rng)
			if err != nil { // of a very skewed sample, whose end lies beyond 1,000 resamples
				require.ErrorIs(t, err, ErrTooFew)
				failed++
				in = plain[len(plain)-1]
			}
			return in
		})
		require.Less(t, float64(failed), 0.02*float64(*sim), c.name)
		next := 0
		covered, plainBelow, plainAbove := coverage(*sim, c.truth, func() Interval {
			next++
			return plain[next-1]
		})
		t.Logf("%-17s n=%d: BCa %.3f (too low %.3f, too high %.3f), percentile %.3f (%.3f, %.3f)", c.name, c.n, bca, below, above, covered, plainBelow, plainAbove)
		requireAtLeast(t, c.least, bca, *sim, "%s of %d", c.name, c.n)
		require.Less(t, bca, 0.99)
		if c.skewed {
			require.Greater(t, bca, covered, "%s of %d", c.name, c.n)
			require.Less(t, below-above, plainBelow-plainAbove, "%s of %d", c.name, c.n)
		}
	}
}

func TestBCaDifferenceCoverage(t *testing.T) {
	rng := seeded(8)
	covered, below, above := coverage(*sim, 2*math.Exp(0.125)-3, func() Interval {
		base := draw(15, func() float64 { return 3 * rng.ExpFloat64() })
		next := draw(25, func() float64 { return 2 * math.Exp(0.5*rng.NormFloat64()) })
		in, err := BCaDifference(base, next, mean, 0.95, 1000, rng)
		require.NoError(t, err)
		return in
	})
	t.Logf("difference of means: %.3f (too low %.3f, too high %.3f)", covered, below, above)
	requireAtLeast(t, 0.90, covered, *sim)
	require.Less(t, covered, 0.98)
}
