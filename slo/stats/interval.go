package stats

import (
	"fmt"
	"math"
)

// Interval is a closed interval; an end is infinite where the data don't bound it.
type Interval struct {
	Lower float64
	Upper float64
}

// Contains says whether x lies in the interval.
func (in Interval) Contains(x float64) bool { return in.Lower <= x && x <= in.Upper }

// unbounded is what no data say.
func unbounded() Interval { return Interval{Lower: math.Inf(-1), Upper: math.Inf(1)} }

func needOpenUnit(what string, p float64) {
	if !(p > 0 && p < 1) {
		panic(fmt.Sprintf("stats: %s of %v is not between 0 and 1", what, p))
	}
}

func needSample(x []float64) {
	for i, v := range x {
		if math.IsNaN(v) {
			panic(fmt.Sprintf("stats: value %d of the sample is NaN; leave out what was not measured", i))
		}
	}
}

func needSorted(x []float64) {
	needSample(x)
	for i := 1; i < len(x); i++ {
		if x[i] < x[i-1] {
			panic(fmt.Sprintf("stats: value %d of the sample is below the one before; sort it", i))
		}
	}
}

func allFinite(x []float64) bool {
	for _, v := range x {
		if math.IsInf(v, 0) {
			return false
		}
	}
	return true
}
