package loadgen

import (
	"math"
	"time"
)

// ConstantPacer spaces arrivals evenly: the n-th, from 0, is due at n/Rate.
type ConstantPacer struct{ Rate float64 }

// Due implements [Pacer].
func (p ConstantPacer) Due(dst []time.Duration, from, to time.Duration) []time.Duration {
	if p.Rate <= 0 || to <= from {
		return dst
	}
	at := func(n float64) time.Duration { return time.Duration(math.Ceil(n * float64(time.Second) / p.Rate)) }
	n := max(0, math.Floor(from.Seconds()*p.Rate)-1)
	for at(n) < from {
		n++
	}
	for ; at(n) < to; n++ {
		dst = append(dst, at(n))
	}
	return dst
}
