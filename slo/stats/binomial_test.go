package stats

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// NIST/SEMATECH e-Handbook of Statistical Methods, section 7.2.4.1: 4 defectives of
// 20, 90 %: 0.071354 and 0.401029 (the latter rounds a root found to 5 digits:
// 0.4010281). The others: bisection of the binomial sum in 40 decimal digits.
func TestProportionPublished(t *testing.T) {
	in := Proportion(4, 20, 0.9)
	require.InDelta(t, 0.071354, in.Lower, 1e-6)
	require.InDelta(t, 0.401029, in.Upper, 2e-6)
	for _, c := range []struct {
		k, n         int
		confidence   float64
		lower, upper float64
	}{
		{4, 20, 0.9, 0.071353884309, 0.401028117332},
		{0, 10, 0.95, 0, 0.308497107819},
		{1, 10, 0.95, 0.002528578544, 0.445016117028},
		{5, 10, 0.95, 0.187086028447, 0.812913971553},
		{10, 10, 0.95, 0.691502892181, 1},
		{10, 100, 0.95, 0.049004689221, 0.176222597740},
		{1, 1000, 0.95, 0.000025317487, 0.005558924280},
		{3, 29, 0.99, 0.011999542535, 0.329839957950},
	} {
		in := Proportion(c.k, c.n, c.confidence)
		require.InDelta(t, c.lower, in.Lower, 1e-11, "%d of %d", c.k, c.n)
		require.InDelta(t, c.upper, in.Upper, 1e-11, "%d of %d", c.k, c.n)
	}
}

func TestProportionOfCleanTrials(t *testing.T) {
	for _, n := range []int{1, 2, 29, 30, 299, 10_000, 1_000_000} {
		want := -math.Expm1(math.Log(0.05) / float64(n))
		require.InEpsilon(t, want, ProportionUpper(0, n, 0.95), 1e-9, "%d clean trials", n)
		require.InEpsilon(t, 1-want, ProportionLower(n, n, 0.95), 1e-9, "%d bad trials", n)
		require.Zero(t, ProportionLower(0, n, 0.95))
		require.Equal(t, 1.0, ProportionUpper(n, n, 0.95))
	}
	require.InDelta(t, 0.1, ProportionUpper(0, 29, 0.95), 0.002) // DESIGN section 5: p90 needs 29
	require.Equal(t, Interval{Lower: 0, Upper: 1}, Proportion(0, 0, 0.95))
}

// pmf is the probability of k in n, independent of the library's incomplete beta function.
func pmf(k, n int, p float64) float64 { return math.Exp(logPmf(k, n, p)) }

func logPmf(k, n int, p float64) float64 {
	lg := func(i int) float64 { v, _ := math.Lgamma(float64(i) + 1); return v }
	return lg(n) - lg(k) - lg(n-k) + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p)
}

// tailSum adds binomial probabilities one by one, P(X <= k) or P(X >= k), until they are too small to matter.
func tailSum(k, n int, p float64, upper bool) float64 {
	sum, step := 0.0, -1
	if upper {
		step = 1
	}
	for i := k; i >= 0 && i <= n; i += step {
		v := pmf(i, n, p)
		sum += v
		if v < 1e-12*sum {
			break
		}
	}
	return sum
}

// At its bounds the observed count is just as improbable as the confidence
// says, also where the library's continued fraction has the most to do.
func TestProportionTails(t *testing.T) {
	for _, n := range []int{3, 10, 57, 300, 5000, 100_000, 1_000_000} {
		for _, share := range []float64{0, 0.001, 0.03, 0.2, 0.5, 0.77, 0.99} {
			for _, confidence := range []float64{0.8, 0.95, 0.999} {
				k := int(share * float64(n))
				if k < n {
					require.InEpsilon(t, 1-confidence, tailSum(k, n, ProportionUpper(k, n, confidence), false), 1e-6, "upper %d of %d at %v", k, n, confidence)
				}
				if k > 0 {
					require.InEpsilon(t, 1-confidence, tailSum(k, n, ProportionLower(k, n, confidence), true), 1e-6, "lower %d of %d at %v", k, n, confidence)
				}
			}
		}
	}
}

// exactCoverage sums the binomial over the counts whose interval contains p,
// and takes the worst p.
func exactCoverage(n int, interval func(k, n int) Interval) float64 {
	ins := make([]Interval, n+1)
	for k := range ins {
		ins[k] = interval(k, n)
	}
	worst := 1.0
	for i := 1; i < 200; i++ {
		p := float64(i) / 200
		covered := 0.0
		for k := range ins {
			if ins[k].Contains(p) {
				covered += pmf(k, n, p)
			}
		}
		worst = min(worst, covered)
	}
	return worst
}

func TestProportionCoverage(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5, 10, 29, 50, 100} {
		for _, confidence := range []float64{0.8, 0.9, 0.95, 0.99} {
			for name, interval := range map[string]func(k, n int) Interval{
				"two-sided": func(k, n int) Interval { return Proportion(k, n, confidence) },
				"upper":     func(k, n int) Interval { return Interval{Upper: ProportionUpper(k, n, confidence)} },
				"lower":     func(k, n int) Interval { return Interval{Lower: ProportionLower(k, n, confidence), Upper: 1} },
			} {
				require.GreaterOrEqual(t, exactCoverage(n, interval), confidence-1e-9, "%s bound of %d trials at %v", name, n, confidence)
			}
		}
	}
	// The check can fail: the textbook's normal interval and a bound that is one bad trial short.
	require.Less(t, exactCoverage(50, func(k, n int) Interval {
		p := float64(k) / float64(n)
		w := 1.96 * math.Sqrt(p*(1-p)/float64(n))
		return Interval{Lower: p - w, Upper: p + w}
	}), 0.5)
	require.Less(t, exactCoverage(29, func(k, n int) Interval {
		return Interval{Upper: ProportionUpper(max(0, k-1), n, 0.95)}
	}), 0.9)
}

func TestProportionPanics(t *testing.T) {
	for name, f := range map[string]func(){
		"more than n":     func() { Proportion(3, 2, 0.95) },
		"negative":        func() { ProportionUpper(-1, 2, 0.95) },
		"negative n":      func() { ProportionLower(0, -1, 0.95) },
		"confidence of 1": func() { Proportion(1, 2, 1) },
		"confidence in %": func() { ProportionUpper(1, 2, 95) },
		"confidence NaN":  func() { ProportionLower(1, 2, math.NaN()) },
	} {
		require.Panics(t, f, name)
	}
}
