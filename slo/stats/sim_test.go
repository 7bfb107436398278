package stats

import (
	"flag"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// sim is how many samples a simulated coverage is counted over. The default
// keeps the package's tests within seconds; 20000 shows a whole percent more clearly:
//
//	go test ./slo/stats -run Coverage -v -sim 20000 -timeout 1h
var sim = flag.Int("sim", 300, "simulated samples of each coverage test")

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 5)) }

// coverage is the share of simulated intervals that contain the truth, those
// that lie below it and those that lie above it.
func coverage(samples int, truth float64, interval func() Interval) (covered, below, above float64) {
	for range samples {
		switch in := interval(); {
		case in.Upper < truth:
			below++
		case in.Lower > truth:
			above++
		default:
			covered++
		}
	}
	n := float64(samples)
	return covered / n, below / n, above / n
}

// noise is how far a share counted over n simulations may be from a true p.
func noise(p float64, n int) float64 { return 3.5 * math.Sqrt(p*(1-p)/float64(n)) }

// requireAtLeast wants a simulated share compatible with a true one of at least p.
func requireAtLeast(t *testing.T, p, share float64, n int, msg ...any) {
	t.Helper()
	require.GreaterOrEqual(t, share, p-noise(p, n), msg...)
}

// requireBelow wants a simulated share that no true one of p or more explains.
func requireBelow(t *testing.T, p, share float64, n int, msg ...any) {
	t.Helper()
	require.Less(t, share, p-noise(p, n), msg...)
}

func mean(x []float64) float64 {
	s := 0.0
	for _, v := range x {
		s += v
	}
	return s / float64(len(x))
}

func draw(n int, f func() float64) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = f()
	}
	return x
}
