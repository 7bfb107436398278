package loadgen

import (
	"math"
	"slices"
	"testing"
	"testing/quick"
	"time"

	"github.com/stretchr/testify/require"
)

// However a schedule is asked for, it is the same, ascending and in bounds.
func TestPacersArePure(t *testing.T) {
	for name, p := range map[string]func(rate float64, seed uint64) Pacer{
		"constant": func(r float64, _ uint64) Pacer { return ConstantPacer{r} },
		"poisson":  func(r float64, s uint64) Pacer { return PoissonPacer{r, s} },
	} {
		t.Run(name, func(t *testing.T) {
			err := quick.Check(func(rate uint32, seed uint64, from uint16, steps []uint16) bool {
				pacer := p(float64(rate%20_000)+0.5, seed)
				at := time.Duration(from) * 10 * time.Microsecond
				first := at
				var pieces []time.Duration
				for _, s := range steps[:min(len(steps), 20)] {
					next := at + time.Duration(s)*time.Microsecond
					n := len(pieces)
					pieces = pacer.Due(pieces, at, next)
					for _, d := range pieces[n:] {
						if d < at || d >= next {
							return false
						}
					}
					at = next
				}
				return slices.IsSorted(pieces) && slices.Equal(pieces, pacer.Due(nil, first, at))
			}, &quick.Config{MaxCount: 200})
			require.NoError(t, err)
			require.Empty(t, p(0, 1).Due(nil, 0, time.Second))
			require.Empty(t, p(100, 1).Due(nil, time.Second, 0))
		})
	}
}

func TestConstantPacerIsEven(t *testing.T) {
	for _, rate := range []float64{0.3, 1, 3, 1000, 99_999.7} {
		const span = 10 * time.Second
		due := ConstantPacer{rate}.Due(nil, 0, span)
		require.InDelta(t, rate*span.Seconds(), len(due), 1, "rate %g", rate)
		for n, at := range due {
			require.InDelta(t, float64(n)/rate*1e9, float64(at), 1)
		}
	}
}

// The gaps of a Poisson process are exponential: the mean is 1/rate, and so is
// the deviation; and the rate is right over any span.
func TestPoissonPacerIsPoisson(t *testing.T) {
	for _, rate := range []float64{100, 5000, 100_000} {
		span := time.Duration(100_000 / rate * float64(time.Second))
		due := PoissonPacer{rate, 1}.Due(nil, 0, span)
		require.InDelta(t, 100_000, len(due), 4*math.Sqrt(100_000))
		var sum, squares float64
		for i := 1; i < len(due); i++ {
			gap := (due[i] - due[i-1]).Seconds() * rate
			sum += gap
			squares += gap * gap
		}
		n := float64(len(due) - 1)
		mean := sum / n
		require.InDelta(t, 1, mean, 0.02)
		require.InDelta(t, 1, squares/n-mean*mean, 0.05)
	}
	require.NotEqual(t, PoissonPacer{100, 1}.Due(nil, 0, time.Second), PoissonPacer{100, 2}.Due(nil, 0, time.Second))
}

func BenchmarkPoissonPacer(b *testing.B) {
	p := PoissonPacer{100_000, 1}
	var due []time.Duration
	at := time.Duration(0)
	for b.Loop() {
		due = p.Due(due[:0], at, at+2*time.Millisecond)
		at += 2 * time.Millisecond
	}
}
