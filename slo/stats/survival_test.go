package stats

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func ended(seconds ...float64) []Duration {
	ds := make([]Duration, len(seconds))
	for i, s := range seconds {
		ds[i] = Duration{Seconds: s}
	}
	return ds
}

func censored(seconds ...float64) []Duration {
	ds := ended(seconds...)
	for i := range ds {
		ds[i].Censored = true
	}
	return ds
}

// mp6 are the remissions, in weeks, of the 21 patients on 6-MP of Freireich et al.,
// Blood 21, 1963, 699-716; placebo are the others.
var (
	mp6     = slices.Concat(ended(6, 6, 6, 7, 10, 13, 16, 22, 23), censored(6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35))
	placebo = ended(1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23)
)

// Klein and Moeschberger, Survival Analysis (2003), table 4.1: S to three
// digits and its standard error. The interval's ends and the mean: the same formulas
// with exact fractions in another program.
func TestKaplanMeierPublished(t *testing.T) {
	s := KaplanMeier(mp6)
	require.Equal(t, 21, s.N)
	for i, want := range []struct {
		time, survival, se, lower, upper float64
		atRisk, events                   int
	}{
		{6, 0.857, 0.076, 0.619718, 0.951552, 21, 3},
		{7, 0.807, 0.087, 0.563147, 0.922809, 17, 1},
		{10, 0.753, 0.096, 0.503200, 0.889362, 15, 1},
		{13, 0.690, 0.107, 0.431610, 0.849066, 12, 1},
		{16, 0.627, 0.114, 0.367511, 0.804912, 11, 1},
		{22, 0.538, 0.128, 0.267779, 0.746791, 7, 1},
		{23, 0.448, 0.135, 0.188052, 0.680143, 6, 1},
	} {
		step := s.Steps[i]
		require.Equal(t, []any{want.time, want.atRisk, want.events}, []any{step.Time, step.AtRisk, step.Events})
		require.InDelta(t, want.survival, s.S(want.time), 0.0005)
		require.InDelta(t, want.survival, s.S(want.time+0.5), 0.0005)
		require.InDelta(t, want.se, s.StandardError(want.time), 0.0005)
		in := s.Interval(want.time, 0.95)
		require.InDelta(t, want.lower, in.Lower, 1e-6)
		require.InDelta(t, want.upper, in.Upper, 1e-6)
	}
	require.Len(t, s.Steps, 7)
	require.Equal(t, 1.0, s.S(5.9))
	require.InDelta(t, 160.0/357, s.S(35), 1e-15)
	require.True(t, math.IsNaN(s.S(35.1)), "nobody was followed any longer")
	require.Equal(t, 0.0, s.Interval(36, 0.95).Lower)

	// The median of 23 weeks, from 13 on; censoring hides the upper end. The placebo's is 8.
	median, in, ok := s.Quantile(0.5, 0.95)
	require.True(t, ok)
	require.Equal(t, 23.0, median)
	require.Equal(t, Interval{Lower: 13, Upper: math.Inf(1)}, in)
	quartile, _, ok := s.Quantile(0.25, 0.95)
	require.True(t, ok)
	require.Equal(t, 13.0, quartile)
	p90, in, ok := s.Quantile(0.9, 0.95)
	require.False(t, ok)
	require.Equal(t, math.Inf(1), p90)
	require.Equal(t, Interval{Lower: 35, Upper: math.Inf(1)}, in, "S may fall right after the last one")
	median, in, ok = KaplanMeier(placebo).Quantile(0.5, 0.95)
	require.True(t, ok)
	require.Equal(t, 8.0, median)
	require.Equal(t, Interval{Lower: 4, Upper: 11}, in)

	mean, se, ok := s.RestrictedMean(35)
	require.True(t, ok)
	require.InDelta(t, 13856.0/595, mean, 1e-12)
	require.InDelta(t, 2.8274676233714393, se, 1e-12)
	mean, se, _ = s.RestrictedMean(20)
	require.InDelta(t, 28768.0/1785, mean, 1e-12)
	require.InDelta(t, 1.2515601960050473, se, 1e-12)
	_, _, ok = s.RestrictedMean(35.1)
	require.False(t, ok)
}

// R's survival package and Stata's stci agree on this one: restricted mean up to
// 100 of 37.85714, standard error 10.73888, median 30.
func TestRestrictedMeanPublished(t *testing.T) {
	s := KaplanMeier(append(ended(10, 15, 23, 30, 35, 52), Duration{Seconds: 100, Censored: true}))
	mean, se, ok := s.RestrictedMean(100)
	require.True(t, ok)
	require.InDelta(t, 37.85714, mean, 5e-6)
	require.InDelta(t, 10.73888, se, 5e-6)
	median, _, ok := s.Quantile(0.5, 0.95)
	require.True(t, ok)
	require.Equal(t, 30.0, median)
}

// Without censoring S is the empirical one, Greenwood's error the binomial one and the
// restricted mean a plain mean, with the plain mean's error.
func TestKaplanMeierUncensored(t *testing.T) {
	rng := seeded(11)
	for range 200 {
		n := 1 + rng.IntN(30)
		x := draw(n, func() float64 { return math.Floor(10 * rng.ExpFloat64()) })
		s := KaplanMeier(ended(x...))
		for at := -0.5; at < 60; at += 0.5 {
			beyond := 0.0
			for _, v := range x {
				if v > at {
					beyond++
				}
			}
			p := beyond / float64(n)
			require.InDelta(t, p, s.S(at), 1e-12)
			if p > 0 {
				require.InDelta(t, math.Sqrt(p*(1-p)/float64(n)), s.StandardError(at), 1e-12)
			} else {
				require.True(t, math.IsNaN(s.StandardError(at)))
				if len(s.Steps) > 1 { // S falls: what bounded it before bounds it now
					require.Equal(t, s.Interval(slices.Max(x)-0.5, 0.95).Upper, s.Interval(at, 0.95).Upper)
				}
			}
		}
		for _, q := range []float64{0.1, 0.5, 0.9} {
			v, in, ok := s.Quantile(q, 0.95)
			require.True(t, ok)
			require.Equal(t, Quantile(slices.Sorted(slices.Values(x)), q), v)
			require.True(t, in.Contains(v), "%v in %v", v, in)
		}
		tau := 100 * rng.Float64()
		cut := make([]float64, n)
		for i, v := range x {
			cut[i] = min(v, tau)
		}
		m, se, ok := s.RestrictedMean(tau)
		require.True(t, ok)
		require.InDelta(t, mean(cut), m, 1e-9)
		require.InDelta(t, math.Sqrt(variance(cut)/float64(n)), se, 1e-9)
	}
}

// redistribute is Efron's other way to the same estimate (Fourth Berkeley
// Symposium, 1967): each censored duration's weight goes to those that lasted longer.
func redistribute(ds []Duration, at float64) float64 {
	ds = slices.Clone(ds)
	slices.SortFunc(ds, func(a, b Duration) int {
		switch {
		case a.Seconds != b.Seconds:
			return int(math.Copysign(1, a.Seconds-b.Seconds))
		case a.Censored == b.Censored:
			return 0
		case b.Censored:
			return -1
		}
		return 1
	})
	weight := make([]float64, len(ds))
	for i := range weight {
		weight[i] = 1 / float64(len(ds))
	}
	gone := 0.0
	for i, d := range ds {
		if !d.Censored {
			if d.Seconds <= at {
				gone += weight[i]
			}
			continue
		}
		for j := i + 1; j < len(ds); j++ {
			weight[j] += weight[i] / float64(len(ds)-i-1)
		}
	}
	return 1 - gone
}

func TestKaplanMeierRedistributes(t *testing.T) {
	rng := seeded(12)
	for range 300 {
		ds := make([]Duration, 1+rng.IntN(15))
		for i := range ds {
			ds[i] = Duration{Seconds: float64(rng.IntN(8)), Censored: rng.IntN(3) == 0}
		}
		s := KaplanMeier(ds)
		rng.Shuffle(len(ds), func(i, j int) { ds[i], ds[j] = ds[j], ds[i] })
		require.Equal(t, s, KaplanMeier(ds), "the order is no matter")
		for at := 0.0; at < 9; at += 0.5 {
			if v := s.S(at); !math.IsNaN(v) {
				require.InDelta(t, redistribute(ds, at), v, 1e-12, "S(%v) of %v", at, ds)
			}
			in := s.Interval(at, 0.95)
			require.True(t, 0 <= in.Lower && in.Lower <= in.Upper && in.Upper <= 1, "%v", in)
		}
		for _, q := range []float64{0.1, 0.5, 0.9} {
			v, in, _ := s.Quantile(q, 0.95)
			require.True(t, in.Contains(v), "p%v %v in %v of %v", 100*q, v, in, ds)
		}
	}
}

// censoring ends the look at an exponential duration of mean 1 at a random time.
func censoring(rng *rand.Rand, n int, until func() float64) []Duration {
	ds := make([]Duration, n)
	for i := range ds {
		d, c := rng.ExpFloat64(), until()
		ds[i] = Duration{Seconds: min(d, c), Censored: c < d}
	}
	return ds
}

func TestKaplanMeierCoverage(t *testing.T) {
	rng := seeded(13)
	samples := 3 * *sim
	for _, c := range []struct {
		name  string
		until func() float64
		n     int
	}{
		{"a third censored", func() float64 { return 2 * rng.ExpFloat64() }, 30},
		{"half censored", rng.ExpFloat64, 50},
		{"all stop at 1.5", func() float64 { return 1.5 }, 20},
		{"none", func() float64 { return 1e9 }, 15},
	} {
		for _, at := range []float64{0.1, 0.5, 1} {
			covered, below, above := coverage(samples, math.Exp(-at), func() Interval {
				return KaplanMeier(censoring(rng, c.n, c.until)).Interval(at, 0.95)
			})
			t.Logf("%-17s n=%d S(%.1f): %.3f (%.3f, %.3f)", c.name, c.n, at, covered, below, above)
			requireAtLeast(t, 0.94, covered, samples, "%s, S(%v)", c.name, at)
		}
		covered, below, above := coverage(samples, math.Ln2, func() Interval {
			_, in, _ := KaplanMeier(censoring(rng, c.n, c.until)).Quantile(0.5, 0.95)
			return in
		})
		t.Logf("%-17s n=%d median: %.3f (%.3f, %.3f)", c.name, c.n, covered, below, above)
		requireAtLeast(t, 0.94, covered, samples, "%s, median", c.name)
		tau := 1.0
		mean, _, _ := coverage(samples, 1-math.Exp(-tau), func() Interval {
			m, se, ok := KaplanMeier(censoring(rng, c.n, c.until)).RestrictedMean(tau)
			if !ok { // all that lasted so long were censored before
				return unbounded()
			}
			return Interval{Lower: m - 1.96*se, Upper: m + 1.96*se}
		})
		t.Logf("%-17s n=%d mean up to 1: %.3f", c.name, c.n, mean)
		requireAtLeast(t, 0.91, mean, samples, "%s, restricted mean", c.name)
	}
	// The check can fail: to drop the censored, and to take them for ended, are both wrong.
	for name, wrong := range map[string]func([]Duration) []Duration{
		"dropped": func(ds []Duration) []Duration {
			return slices.DeleteFunc(ds, func(d Duration) bool { return d.Censored })
		},
		"taken for ended": func(ds []Duration) []Duration {
			for i := range ds {
				ds[i].Censored = false
			}
			return ds
		},
	} {
		covered, _, _ := coverage(*sim, math.Exp(-1), func() Interval {
			return KaplanMeier(wrong(censoring(rng, 50, rng.ExpFloat64))).Interval(1, 0.95)
		})
		requireBelow(t, 0.8, covered, *sim, name)
	}
}

func TestKaplanMeierEdges(t *testing.T) {
	s := KaplanMeier(nil)
	require.True(t, math.IsNaN(s.S(0)))
	require.Equal(t, Interval{Lower: 0, Upper: 1}, s.Interval(1, 0.95))
	v, in, ok := s.Quantile(0.5, 0.95)
	require.False(t, ok)
	require.Equal(t, math.Inf(1), v)
	require.Equal(t, Interval{Lower: 0, Upper: math.Inf(1)}, in)
	_, _, ok = s.RestrictedMean(0)
	require.False(t, ok)

	// One duration: the median is known, no bound of it is.
	s = KaplanMeier(ended(4))
	v, in, ok = s.Quantile(0.5, 0.95)
	require.True(t, ok)
	require.Equal(t, 4.0, v)
	require.Equal(t, Interval{Lower: 0, Upper: math.Inf(1)}, in)
	m, se, ok := s.RestrictedMean(10)
	require.True(t, ok)
	require.Equal(t, 4.0, m)
	require.Zero(t, se)

	// None ended: nothing is known beyond the last look, and before it what so many clean looks say.
	s = KaplanMeier(censored(2, 2, 2, 3))
	require.Empty(t, s.Steps)
	require.Equal(t, 1.0, s.S(3))
	require.Equal(t, Proportion(4, 4, 0.95), s.Interval(1, 0.95))
	require.Equal(t, Proportion(1, 1, 0.95), s.Interval(2, 0.95))
	require.Equal(t, Interval{Lower: 0, Upper: 1}, s.Interval(3, 0.95))
	_, in, ok = s.Quantile(0.5, 0.95)
	require.False(t, ok)
	require.Equal(t, Interval{Lower: 0, Upper: math.Inf(1)}, in)
	_, in, _ = KaplanMeier(censored(slices.Repeat([]float64{2}, 30)...)).Quantile(0.5, 0.95)
	require.Equal(t, Interval{Lower: 2, Upper: math.Inf(1)}, in)

	// No outage at all is a duration of 0.
	s = KaplanMeier(ended(0, 0, 0, 5))
	require.Equal(t, 0.25, s.S(0))
	v, _, _ = s.Quantile(0.5, 0.95)
	require.Zero(t, v)
	// All ended at once: none of 50 exceeds it.
	s = KaplanMeier(ended(slices.Repeat([]float64{3}, 50)...))
	require.InDelta(t, ProportionUpper(0, 50, 0.975), s.Interval(3, 0.95).Upper, 1e-15)
	_, in, _ = s.Quantile(0.5, 0.95)
	require.Equal(t, Interval{Lower: 3, Upper: 3}, in)

	for name, f := range map[string]func(){
		"NaN":             func() { KaplanMeier(ended(math.NaN())) },
		"negative":        func() { KaplanMeier(ended(-1)) },
		"infinite":        func() { ExceedsCount(censored(math.Inf(1)), 5) },
		"quantile of 0":   func() { s.Quantile(0, 0.95) },
		"confidence of 1": func() { s.Interval(3, 1) },
		"mean up to +Inf": func() { s.RestrictedMean(math.Inf(1)) },
	} {
		require.Panics(t, f, name)
	}
}

func TestExceedsCount(t *testing.T) {
	exceed, under, unknown := ExceedsCount(slices.Concat(ended(0, 4.9, 5, 6), censored(4.9, 5, 7)), 5)
	require.Equal(t, []int{4, 2, 1}, []int{exceed, under, unknown})
	b, err := json.Marshal(Duration{Seconds: 1.5, Censored: true})
	require.NoError(t, err)
	require.JSONEq(t, `{"seconds":1.5,"censored":true}`, string(b))
}
