package stats

import (
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
			if v == 0 {
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
