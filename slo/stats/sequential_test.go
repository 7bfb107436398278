package stats

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// characteristics computes, by counting and not by simulation, what a rule does
// within horizon trials of probability p: how probably it says Below and Above,
// and the mean number of trials it takes, horizon where it doesn't decide.
func characteristics(rule func(k, n int) Decision, p float64, horizon int) (below, above, trials float64) {
	open := make([]float64, horizon+2) // open[k]: probability of k bad ones, undecided so far
	open[0] = 1
	for n := 1; n <= horizon; n++ {
		for k := n; k >= 0; k-- {
			v := open[k] * (1 - p)
			if k > 0 {
				v += open[k-1] * p
			}
			open[k] = v
			if v < 1e-18 { // all of these together are nothing
				continue
			}
			switch rule(k, n) {
			case Below:
				below += v
			case Above:
				above += v
			default:
				continue
			}
			trials += v * float64(n)
			open[k] = 0
		}
	}
	return below, above, trials + (1-below-above)*float64(horizon)
}

func ruleOf(q, alpha, beta float64) func(k, n int) Decision {
	return func(k, n int) Decision { return decide(k, n, q, alpha, beta) }
}

func TestSequentialTrialsOfCleanRun(t *testing.T) {
	for _, c := range []struct {
		q    float64
		want int
	}{{0.5, 6}, {0.1, 36}, {0.05, 74}, {0.01, 377}, {0.001, 3787}} {
		s, err := NewSequential(c.q, 0.05, 0.05)
		require.NoError(t, err)
		require.Equal(t, c.want, s.CleanUntilBelow(), "q=%v", c.q)
		for i := 1; i < c.want; i++ {
			require.Equal(t, Undecided, s.Observe(false), "q=%v, trial %d", c.q, i)
		}
		require.Equal(t, Below, s.Observe(false))
		require.Zero(t, s.CleanUntilBelow())
	}
}

// The mixtures against numerical integration in 60 digits (mpmath).
func TestMixtures(t *testing.T) {
	for _, c := range []struct {
		k, n         int
		q            float64
		below, above float64
	}{
		{0, 1, 0.1, 0.071458963982145, -0.53344228163436},
		{1, 1, 0.1, -1.0986122886681, 1.551969638369},
		{2, 2, 0.1, -1.6094379124341, 3.372695393394},
		{0, 36, 0.1, 3.0160064069499, -2.973479475748},
		{1, 64, 0.1, 3.0298943715895, -3.3627674471907},
		{10, 50, 0.1, -2.5882274384688, 0.73069154983266},
		{3, 100, 0.01, -1.7127421642271, -0.72869349810799},
		{80, 1000, 0.1, 0.23450686960574, -4.7135051893512},
		{130, 1000, 0.1, -4.2909322602231, 1.6935709881696},
		{0, 1_000_000, 0.001, 996.92567333141, -11.024146902128},
		{99_000, 1_000_000, 0.1, -0.011118751863588, -8.5526072450035},
		{101_000, 1_000_000, 0.1, -7.7819732682245, -0.81632918556484},
		{500, 1_000_000, 0.001, 150.32309391767, -10.33347476108},
		{600_000, 1_000_000, 0.5, -12.899242324687, 20129.601388254},
	} {
		require.InDelta(t, c.below, logBelow(c.k, c.n, c.q), 2e-8, "below, %d of %d at %v", c.k, c.n, c.q)
		require.InDelta(t, c.above, logAbove(c.k, c.n, c.q), 2e-8, "above, %d of %d at %v", c.k, c.n, c.q)
	}
}

// Under p = q each mixture has mean 1 after any number of trials: what the error rates rest on.
func TestMixturesAreMartingales(t *testing.T) {
	for _, q := range []float64{0.01, 0.1, 0.5, 0.9} {
		for _, n := range []int{1, 2, 10, 100, 400} {
			below, above := 0.0, 0.0
			for k := range n + 1 {
				below += math.Exp(logPmf(k, n, q) + logBelow(k, n, q))
				above += math.Exp(logPmf(k, n, q) + logAbove(k, n, q))
			}
			require.InDelta(t, 1, below, 1e-9, "q=%v, %d trials", q, n)
			require.InDelta(t, 1, above, 1e-9, "q=%v, %d trials", q, n)
		}
	}
}

// What the interval's search rests on.
func TestMixturesAreMonotone(t *testing.T) {
	for _, c := range [][2]int{{0, 1}, {0, 40}, {1, 40}, {20, 40}, {39, 40}, {40, 40}, {3, 5000}, {2500, 5000}} {
		k, n := c[0], c[1]
		for q := 0.001; q < 0.998; q += 0.001 {
			require.LessOrEqual(t, logBelow(k, n, q), logBelow(k, n, q+0.001)+1e-9, "%d of %d, q=%v", k, n, q)
			require.GreaterOrEqual(t, logAbove(k, n, q), logAbove(k, n, q+0.001)-1e-9, "%d of %d, q=%v", k, n, q)
		}
		// decide looks only at the side that the trials lean to.
		at := float64(k) / float64(n)
		if at > 0 && at < 1 {
			require.LessOrEqual(t, logBelow(k, n, at), 0.0)
			require.LessOrEqual(t, logAbove(k, n, at), 0.0)
		}
	}
}

// The error rates, exact to the horizon: a rule that looks after every trial and
// stops at its first decision.
func TestSequentialErrorRates(t *testing.T) {
	for _, q := range []float64{0.02, 0.1, 0.5} {
		for _, rate := range []float64{0.01, 0.05, 0.2} {
			horizon := 500
			below, above, trials := characteristics(ruleOf(q, rate, rate), q, horizon)
			t.Logf("p = q = %v, rates %v: below %.4f, above %.4f, %.0f trials on average of at most %d", q, rate, below, above, trials, horizon)
			require.LessOrEqual(t, below, rate)
			require.LessOrEqual(t, above, rate)
			if q > 0.02 { // not so cautious that it were useless; it may reach the rate only in the limit
				require.Greater(t, below, rate/4)
				require.Greater(t, above, rate/4)
			}
			// On the wrong side it errs even less.
			wrong, _, _ := characteristics(ruleOf(q, rate, rate), 1.2*q, horizon)
			require.Less(t, wrong, below)
			_, wrong, _ = characteristics(ruleOf(q, rate, rate), 0.8*q, horizon)
			require.Less(t, wrong, above)
		}
	}
	// The check can fail: an exact bound made for a fixed number, looked at after every trial.
	below, _, _ := characteristics(func(k, n int) Decision {
		if ProportionUpper(k, n, 0.95) < 0.1 {
			return Below
		}
		return Undecided
	}, 0.1, 500)
	t.Logf("a fixed-sample bound, peeked at: %.3f", below)
	require.Greater(t, below, 0.1)
}

// The numbers of trials in the docstring.
func TestSequentialTrials(t *testing.T) {
	for _, c := range []struct{ p, decided, trials float64 }{
		{0, 1, 36}, {0.01, 0.999, 48}, {0.025, 0.999, 78}, {0.05, 0.96, 213}, {0.2, 0.999, 96}, {0.5, 0.999, 8},
	} {
		below, above, trials := characteristics(ruleOf(0.1, 0.05, 0.05), c.p, 600)
		right := below
		if c.p > 0.1 {
			right = above
		}
		require.GreaterOrEqual(t, right, c.decided, "p=%v", c.p)
		require.InDelta(t, c.trials, trials, 0.5, "p=%v", c.p)
	}
	s, err := NewSequential(0.1, 0.05, 0.05)
	require.NoError(t, err)
	require.Equal(t, Undecided, s.Observe(true))
	require.Equal(t, 63, s.CleanUntilBelow(), "64 with one bad one")
	require.Equal(t, Above, s.Observe(true))
}

// The confidence sequence misses p at any of 500 trials with a probability of at most 5 %.
func TestSequentialIntervalCoverage(t *testing.T) {
	for _, p := range []float64{0.01, 0.1, 0.3, 0.5, 0.9} {
		var s Sequential
		missed, _, _ := characteristics(func(k, n int) Decision {
			s.bad, s.n = k, n
			if s.Interval(0.95).Contains(p) {
				return Undecided
			}
			return Below
		}, p, 60)
		// What takes long with intervals goes fast with what they invert.
		excluded := func(k, n int) Decision {
			if k < n && logBelow(k, n, p) >= -math.Log(0.025) || k > 0 && logAbove(k, n, p) >= -math.Log(0.025) {
				return Below
			}
			return Undecided
		}
		same, _, _ := characteristics(excluded, p, 60)
		require.InDelta(t, same, missed, 1e-12, "p=%v", p)
		long, _, _ := characteristics(excluded, p, 500)
		t.Logf("p=%v: missed within 60 trials %.4f, within 500 %.4f", p, missed, long)
		require.LessOrEqual(t, long, 0.05, "p=%v", p)
		require.Greater(t, long, 0.01, "p=%v", p)
	}
}

func TestSequentialInterval(t *testing.T) {
	rng := seeded(31)
	s, err := NewSequential(0.1, 0.025, 0.025)
	require.NoError(t, err)
	require.Equal(t, Interval{Lower: 0, Upper: 1}, s.Interval(0.95))
	for range 300 {
		p := []float64{0.01, 0.1, 0.3}[rng.IntN(3)]
		s, err := NewSequential(0.1, 0.025, 0.025)
		require.NoError(t, err)
		for i := 1; i <= 120; i++ {
			before := s.Decision()
			d := s.Observe(rng.Float64() < p)
			n, bad := s.Trials()
			require.Equal(t, i, n)
			if before != Undecided {
				require.Equal(t, before, d, "a decision stays")
				continue
			}
			require.Equal(t, decide(bad, n, 0.1, 0.025, 0.025), d)
			if i%10 == 0 || d != Undecided {
				in := s.Interval(0.95)
				require.True(t, in.Contains(float64(bad)/float64(n)))
				require.Equal(t, d == Below, in.Upper < 0.1, "%d of %d: %v", bad, n, in)
				require.Equal(t, d == Above, in.Lower > 0.1, "%d of %d: %v", bad, n, in)
				fixed := Proportion(bad, n, 0.95)
				require.True(t, in.Lower <= fixed.Lower && fixed.Upper <= in.Upper, "the price of peeking")
			}
		}
	}
	// A million trials: within a few parts in 10,000 of the share, and still in order.
	big := Sequential{q: 0.1, alpha: 0.05, beta: 0.05, n: 1_000_000, bad: 99_000}
	in := big.Interval(0.95)
	require.True(t, in.Lower < 0.099 && 0.099 < in.Upper && in.Upper-in.Lower < 0.004, "%v", in)
	require.Equal(t, Undecided, big.Observe(false)) // 3.3 standard errors, looked at a million times
	big.bad = 98_000
	require.Equal(t, Below, big.Observe(false))
}

func TestSequentialArguments(t *testing.T) {
	for _, c := range [][3]float64{{0, 0.05, 0.05}, {1, 0.05, 0.05}, {0.1, 0, 0.05}, {0.1, 0.05, 1}, {math.NaN(), 0.05, 0.05}, {10, 0.05, 0.05}} {
		s, err := NewSequential(c[0], c[1], c[2])
		require.Error(t, err)
		require.Nil(t, s)
	}
	require.Equal(t, "undecided below above Decision(7)", fmt.Sprint(Undecided, " ", Below, " ", Above, " ", Decision(7)))
	s, err := NewSequential(0.1, 0.05, 0.05)
	require.NoError(t, err)
	require.Panics(t, func() { s.Interval(95) })
}
