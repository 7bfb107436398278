package failover

import (
	"math"
	"time"
)

// detector is a phi-accrual failure detector: phi is the negative decimal
// logarithm of the probability that a heartbeat comes as late as this one, or
// later, if intervals are normal with the mean and deviation that were seen.
type detector struct {
	at        time.Duration // of the last heartbeat; 0: none yet
	intervals [64]float64   // seconds, a ring
	n         int
	sum, sq   float64
}

// beat records a heartbeat that arrived at a time. Without count only its time
// counts: the interval before it says nothing about the peer.
func (d *detector) beat(at time.Duration, count bool) {
	if at <= d.at {
		return
	}
	if d.at != 0 && count {
		x := (at - d.at).Seconds()
		i := d.n % len(d.intervals)
		if d.n >= len(d.intervals) {
			old := d.intervals[i]
			d.sum -= old
			d.sq -= old * old
		}
		d.intervals[i] = x
		d.n++
		d.sum += x
		d.sq += x * x
	}
	d.at = at
}

// moments are mean and deviation in seconds; expected is the mean while nothing
// was seen, and floor bounds the deviation from below.
func (d *detector) moments(expected, floor time.Duration) (mean, dev float64) {
	mean, dev = expected.Seconds(), floor.Seconds()
	if k := float64(min(d.n, len(d.intervals))); k > 0 {
		// An estimate from few is drawn towards what the configuration expects.
		prior := max(0, 8-k)
		mean = (d.sum + prior*mean) / (k + prior)
		dev = max(dev, math.Sqrt(max(0, d.sq/k-(d.sum/k)*(d.sum/k))))
	}
	return max(mean, expected.Seconds()), dev
}

// phi of a silence.
func (d *detector) phi(silence, expected, floor time.Duration) float64 {
	mean, dev := d.moments(expected, floor)
	z := (silence.Seconds() - mean) / dev
	if z > 30 {
		return z*z/2/math.Ln10 + math.Log10(z*math.Sqrt(2*math.Pi)) // where erfc underflows: the tail's leading term
	}
	return -math.Log10(math.Erfc(z/math.Sqrt2) / 2)
}
