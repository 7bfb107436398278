package projection

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/distuv"
)

// sampler draws downtimes from one distribution that the trials allow for.
type sampler struct {
	values []float64 // ascending
	until  []float64 // of u, exclusive; the mass above the last is the tail
	guide  []int32   // where to begin looking for u

	tail     float64 // u from which it begins, 1 if there is none
	longest  float64 // of the trials
	censored bool    // the longest had not ended: the tail is byHand
	index    float64 // of Pareto's tail otherwise
	byHand   *span

	assumed *span // instead of all that
}

// trust says what a projection takes the trials for.
type trust int

const (
	asSample  trust = iota // a sample: the Bayesian bootstrap
	asCentral              // the middle of what they allow for
	asTruth                // the whole distribution: nothing is unseen
)

// tail of what no trial showed.
type tailRule struct {
	index, floor float64 // index 0: no unseen tail
	byHand       span
}

// weights of trials and, last, of what none of them showed. With more > 1 there
// are as if so many times as many trials, of the same outcomes.
func weights(r *rand.Rand, trials int, how trust, more float64, unseen bool) []float64 {
	w := make([]float64, trials+1)
	for i := range w {
		switch {
		case how == asTruth:
			w[i] = 1
		case how == asCentral:
			w[i] = 1
		case i < trials && more != 1:
			w[i] = distuv.Gamma{Alpha: more, Beta: 1, Src: r}.Rand()
		default:
			w[i] = r.ExpFloat64()
		}
	}
	if how == asTruth || !unseen {
		w[trials] = 0
	}
	return w
}

// draw makes a sampler from a sample: the product-limit estimate with weights.
func (s *sample) draw(r *rand.Rand, how trust, more float64, rule *tailRule) *sampler {
	w := weights(r, s.trials, how, more, rule.index > 0)
	atRisk := w[s.trials]
	for i := range s.durations {
		atRisk += w[s.trial[i]] * s.share[i]
	}
	out := &sampler{index: rule.index, byHand: &rule.byHand}
	surviving, last := 1.0, len(s.durations)-1
	for i, d := range s.durations {
		m := w[s.trial[i]] * s.share[i]
		if !d.Censored {
			fall := surviving
			if i < last || w[s.trials] > 0 { // else nothing is left, whatever rounding says
				fall = surviving * min(1, m/atRisk)
			}
			surviving -= fall
			out.values = append(out.values, d.Seconds)
			out.until = append(out.until, 1-surviving)
		}
		atRisk -= m
	}
	out.tail = 1 - surviving
	out.censored = s.durations[last].Censored
	out.longest = s.durations[last].Seconds
	if !out.censored {
		out.longest = max(out.longest, rule.floor)
	}
	out.guideUp()
	return out
}

func (s *sampler) guideUp() {
	s.guide = make([]int32, len(s.values)+1)
	j := 0
	for i := range s.guide {
		for j < len(s.until) && s.until[j] <= float64(i)/float64(len(s.guide)) {
			j++
		}
		s.guide[i] = int32(j)
	}
}

func assume(s span) *sampler { return &sampler{assumed: &s} }

// at is the quantile of u in [0, 1): a larger u never gives a shorter downtime.
func (s *sampler) at(u float64) float64 {
	if s.assumed != nil {
		return s.assumed.at(u)
	}
	if u >= s.tail {
		return s.beyond((u - s.tail) / (1 - s.tail))
	}
	i := int(s.guide[int(u*float64(len(s.guide)))])
	for s.until[i] <= u {
		i++
	}
	return s.values[i]
}

// beyond what was seen to end.
func (s *sampler) beyond(u float64) float64 {
	if s.censored {
		return max(s.longest, s.byHand.quantile(u))
	}
	return s.longest * math.Pow(1-u, -1/s.index)
}

// mean of the distribution.
func (s *sampler) mean() float64 {
	if s.assumed != nil {
		return s.assumed.mean
	}
	m, from := 0.0, 0.0
	for i, v := range s.values {
		m += v * (s.until[i] - from)
		from = s.until[i]
	}
	switch {
	case s.tail >= 1:
	case s.censored:
		const steps = 1000
		sum := 0.0
		for i := range steps {
			sum += s.beyond((float64(i) + 0.5) / steps)
		}
		m += (1 - s.tail) * sum / steps
	default:
		m += (1 - s.tail) * s.longest * s.index / (s.index - 1)
	}
	return m
}
