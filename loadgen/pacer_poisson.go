package loadgen

import (
	"math/rand/v2"
	"time"
)

// PoissonPacer is what many independent clients make together: arrivals at
// random, Rate a second on average, the same ones for the same seed.
type PoissonPacer struct {
	Rate float64
	Seed uint64
}

// poissonCell is the span whose arrivals are drawn together. A Poisson process
// has no memory, so each cell can begin anew from its own seed.
const poissonCell = time.Millisecond

// Due implements [Pacer].
func (p PoissonPacer) Due(dst []time.Duration, from, to time.Duration) []time.Duration {
	from = max(from, 0)
	if p.Rate <= 0 || to <= from {
		return dst
	}
	gap := float64(time.Second) / p.Rate
	var src rand.PCG
	rng := rand.New(&src)
	for cell := from / poissonCell; cell*poissonCell < to; cell++ {
		src.Seed(p.Seed, uint64(cell))
		at := 0.0
		for {
			at += rng.ExpFloat64() * gap
			if at >= float64(poissonCell) {
				break
			}
			switch t := cell*poissonCell + time.Duration(at); {
			case t >= to:
				return dst
			case t >= from:
				dst = append(dst, t)
			}
		}
	}
	return dst
}
