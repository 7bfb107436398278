package stats

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// Duration is how long something took, or, Censored, how long it had lasted
// when nobody looked any more: at least that long.
type Duration struct {
	Seconds  float64 `json:"seconds"`
	Censored bool    `json:"censored"`
}

// ExceedsCount judges durations against a bound that they must stay below. A
// censored one that had lasted less is unknown: it may have reached the bound.
func ExceedsCount(ds []Duration, bound float64) (exceed, under, unknown int) {
	needDurations(ds)
	for _, d := range ds {
		switch {
		case d.Seconds >= bound:
			exceed++
		case d.Censored:
			unknown++
		default:
			under++
		}
	}
	return exceed, under, unknown
}

// Step is an instant at which the survival function falls.
type Step struct {
	Time     float64
	AtRisk   int     // durations that had not ended, nor been censored, just before
	Events   int     // durations that ended then
	Survival float64 // S at and after Time, up to the next step
	// Hazards is the sum of Greenwood's terms d/(n(n-d)) up to here: the variance
	// of S is S² times it. Infinite where S is 0.
	Hazards float64
}

// Survival is the product-limit estimate of S(t), the probability that a duration
// exceeds t, from durations of which some are censored independently of how
// long they would have lasted.
type Survival struct {
	N     int // durations
	Steps []Step
	times []float64 // all durations in order, for the number at risk
	last  Duration  // the longest, censored if one of that length is
}

// KaplanMeier estimates the survival function of durations (Kaplan and Meier,
// Journal of the American Statistical Association 53, 1958, 457-481). Where a
// duration ended and another was censored at the same instant, the censored one
// counts as longer. It panics on durations that are negative or not finite.
func KaplanMeier(ds []Duration) *Survival {
	needDurations(ds)
	ds = slices.Clone(ds)
	slices.SortFunc(ds, func(a, b Duration) int { return cmp.Compare(a.Seconds, b.Seconds) })
	s := &Survival{N: len(ds)}
	survival, hazards := 1.0, 0.0
	for i := 0; i < len(ds); {
		t, atRisk, events := ds[i].Seconds, len(ds)-i, 0
		s.last = Duration{Seconds: t}
		for ; i < len(ds) && ds[i].Seconds == t; i++ {
			s.times = append(s.times, t)
			if ds[i].Censored {
				s.last.Censored = true
			} else {
				events++
			}
		}
		if events == 0 {
			continue
		}
		n, d := float64(atRisk), float64(events)
		survival *= (n - d) / n
		hazards += d / (n * (n - d)) // +Inf where none is left, as documented
		s.Steps = append(s.Steps, Step{Time: t, AtRisk: atRisk, Events: events, Survival: survival, Hazards: hazards})
	}
	return s
}

func needDurations(ds []Duration) {
	for i, d := range ds {
		if !(d.Seconds >= 0) || math.IsInf(d.Seconds, 0) {
			panic(fmt.Sprintf("stats: duration %d is %v s; it must be finite and not negative, censored where its end was not seen", i, d.Seconds))
		}
	}
}

// hidden says whether nothing is known of S at t: beyond the last duration, if
// that is censored.
func (s *Survival) hidden(t float64) bool {
	return s.N == 0 || t > s.last.Seconds && s.last.Censored
}

// stepAt is the last step at or before t.
func (s *Survival) stepAt(t float64) (Step, bool) {
	i, found := slices.BinarySearchFunc(s.Steps, t, func(e Step, t float64) int { return cmp.Compare(e.Time, t) })
	if !found {
		i--
	}
	if i < 0 {
		return Step{Survival: 1}, false
	}
	return s.Steps[i], true
}

// S is the estimated probability that a duration exceeds t; NaN beyond the last
// duration if that is censored.
func (s *Survival) S(t float64) float64 {
	if s.hidden(t) {
		return math.NaN()
	}
	step, _ := s.stepAt(t)
	return step.Survival
}

// StandardError of S(t) is Greenwood's; NaN where S is 0 or not known.
func (s *Survival) StandardError(t float64) float64 {
	if s.hidden(t) {
		return math.NaN()
	}
	step, _ := s.stepAt(t)
	return step.Survival * math.Sqrt(step.Hazards)
}

// Interval is the pointwise interval of S(t), symmetric for log(-log S)
// (Kalbfleisch and Prentice, The Statistical Analysis of Failure Time Data,
// 1980, section 1.3). Where that has no width: before the first event the
// lower end is exact for the number still at risk; once S is 0 the upper end is
// the one of the step before. Beyond a censored last duration the lower end is 0.
// It is approximate: with 15 to 50 durations it contained the truth in 93 to 96 %
// of simulated cases at 95 %.
func (s *Survival) Interval(t, confidence float64) Interval {
	needOpenUnit("confidence", confidence)
	step, fallen := s.stepAt(t)
	if !fallen {
		// All that were looked at beyond t survived it: S^m is the probability of that.
		i, _ := slices.BinarySearchFunc(s.times, t, func(v, t float64) int {
			if v <= t {
				return -1
			}
			return 1
		})
		return Interval{Lower: ProportionLower(len(s.times)-i, len(s.times)-i, (1+confidence)/2), Upper: 1}
	}
	in := s.atStep(step, confidence)
	if s.hidden(t) {
		in.Lower = 0
	}
	return in
}

// atStep is the interval of S at a step.
func (s *Survival) atStep(step Step, confidence float64) Interval {
	if step.Survival > 0 {
		z := distuv.UnitNormal.Quantile((1 + confidence) / 2)
		w := z * math.Sqrt(step.Hazards) / -math.Log(step.Survival)
		return Interval{Lower: math.Pow(step.Survival, math.Exp(w)), Upper: math.Pow(step.Survival, math.Exp(-w))}
	}
	in := Interval{Lower: 0, Upper: 1}
	if k := len(s.Steps); k > 1 {
		in.Upper = s.atStep(s.Steps[k-2], confidence).Upper
	} else {
		// Every duration ended at one instant: none of N exceeds it.
		in.Upper = ProportionUpper(0, s.N, (1+confidence)/2)
	}
	return in
}

// Quantile is the duration that a share q does not exceed: the least t with
// S(t) <= 1-q; +Inf and false if censoring hides it. The interval inverts that of S
// (Brookmeyer and Crowley, Biometrics 38, 1982, 29-41): its upper end is
// +Inf where the durations, few or censored, don't bound it, its lower end 0.
// Without censored durations [QuantileInterval] is exact; prefer it.
func (s *Survival) Quantile(q, confidence float64) (float64, Interval, bool) {
	needOpenUnit("quantile", q)
	needOpenUnit("confidence", confidence)
	value, in := math.Inf(1), Interval{Lower: 0, Upper: math.Inf(1)}
	left := 1 - q
	// first is the first step at which an end of the interval has come down to 1-q.
	first := func(end func(Step) float64) (float64, bool) {
		for _, step := range s.Steps {
			if end(step) <= left+slack {
				return step.Time, true
			}
		}
		return 0, false
	}
	v, ok := first(func(e Step) float64 { return e.Survival })
	if ok {
		value = v
	}
	if u, bounded := first(func(e Step) float64 { return s.atStep(e, confidence).Upper }); bounded {
		in.Upper = u
	}
	// Before the first event the lower end of S may be at 1-q already.
	lower, bounded := first(func(e Step) float64 { return s.atStep(e, confidence).Lower })
	switch early := s.earlyLower(left, confidence); {
	case bounded:
		in.Lower = min(lower, early)
	case s.N > 0:
		// S may be anything beyond the last duration.
		in.Lower = min(s.last.Seconds, early)
	}
	return value, in, ok
}

// earlyLower is the least t before the first event at which so few are at risk
// that the lower end of S is at most left; +Inf if there is none.
func (s *Survival) earlyLower(left, confidence float64) float64 {
	first := math.Inf(1)
	if len(s.Steps) > 0 {
		first = s.Steps[0].Time
	}
	for _, t := range slices.Concat([]float64{0}, s.times) {
		if t >= first {
			break
		}
		if s.Interval(t, confidence).Lower <= left {
			return t
		}
	}
	return math.Inf(1)
}

// RestrictedMean is the mean of min(duration, tau), the area under S up to tau,
// with its standard error (Klein and Moeschberger, Survival Analysis, 2003,
// section 4.5). False if tau is beyond a censored last duration, where S is not
// known. The mean +- 1.96 standard errors contained the truth in 92 to 94 % of
// simulated cases with 15 to 50 durations.
func (s *Survival) RestrictedMean(tau float64) (mean, standardError float64, ok bool) {
	if !(tau >= 0) || math.IsInf(tau, 0) {
		panic(fmt.Sprintf("stats: restricted mean up to %v; it must be finite and not negative", tau))
	}
	if s.hidden(tau) {
		return math.NaN(), math.NaN(), false
	}
	end := tau
	variance, area := 0.0, 0.0
	for i, step := range slices.Backward(s.Steps) {
		if step.Time >= tau {
			continue
		}
		area += step.Survival * (end - step.Time)
		end = step.Time
		// Where none is left the area beyond is 0, and so is the term.
		if step.Survival > 0 {
			n, d := float64(s.Steps[i].AtRisk), float64(s.Steps[i].Events)
			variance += area * area * d / (n * (n - d))
		}
	}
	return area + end, math.Sqrt(variance), true
}
