package stats

import (
	"math"
	"sort"
)

// slack forgives the rounding of probabilities that should be equal, such as
// q^n against 1-confidence where q was chosen to make them so.
const slack = 1e-12

// TrialsFor is the least number of trials whose largest value bounds the
// q-quantile from above: the least n with 1-q^n >= confidence (Wilks, Annals of
// Mathematical Statistics 12, 1941, 91-96). At 95 %: 29 for p90, 59 for p95,
// 299 for p99.
func TrialsFor(q, confidence float64) int {
	needOpenUnit("quantile", q)
	needOpenUnit("confidence", confidence)
	n := int(math.Ceil(math.Log1p(-confidence)/math.Log(q)*(1-slack) - slack))
	return max(1, n)
}

// HighestQuantile is the highest quantile that n trials can bound from above,
// (1-confidence)^(1/n): 0 without trials.
func HighestQuantile(n int, confidence float64) float64 {
	needCounts(0, n)
	needOpenUnit("confidence", confidence)
	if n == 0 {
		return 0
	}
	return math.Exp(math.Log1p(-confidence) / float64(n))
}

// Quantile is the q-quantile of a sorted sample by nearest rank: the least
// value that at least q of the sample do not exceed (type 1 of Hyndman and Fan,
// The American Statistician 50, 1996, 361-365), as everywhere in fivenines. It was always
// measured, and an infinite value spoils no other quantile. NaN of an empty sample.
func Quantile(sorted []float64, q float64) float64 {
	needSorted(sorted)
	needOpenUnit("quantile", q)
	if len(sorted) == 0 {
		return math.NaN()
	}
	i := int(math.Ceil(q*float64(len(sorted))-1e-9)) - 1
	return sorted[max(0, min(len(sorted)-1, i))]
}

// QuantileUpper is the one-sided upper confidence bound of the q-quantile of
// the distribution that the sorted sample comes from: an order statistic, valid
// for every distribution, also with ties (David and Nagaraja, Order
// Statistics, 2003, section 7.1). False if the sample has less than
// [TrialsFor] values: then its largest value is no bound. A censored value
// belongs in as +Inf, which keeps the bound valid.
func QuantileUpper(sorted []float64, q, confidence float64) (float64, bool) {
	needSorted(sorted)
	r := upperRank(len(sorted), q, confidence)
	if r > len(sorted) {
		return math.Inf(1), false
	}
	return sorted[r-1], true
}

// QuantileLower is the one-sided lower confidence bound of the q-quantile;
// false if the sample is too small for one. A censored value belongs in as it
// is, the least that it can have been.
func QuantileLower(sorted []float64, q, confidence float64) (float64, bool) {
	needSorted(sorted)
	r := lowerRank(len(sorted), q, confidence)
	if r < 1 {
		return math.Inf(-1), false
	}
	return sorted[r-1], true
}

// QuantileInterval is the two-sided interval with the same error on both sides.
// False if the sample is too small for either end, which is infinite then; the
// other one holds with (1+confidence)/2.
func QuantileInterval(sorted []float64, q, confidence float64) (Interval, bool) {
	needOpenUnit("confidence", confidence)
	side := (1 + confidence) / 2
	lower, okLower := QuantileLower(sorted, q, side)
	upper, okUpper := QuantileUpper(sorted, q, side)
	return Interval{Lower: lower, Upper: upper}, okLower && okUpper
}

// upperRank is the least r for which the r-th smallest of n values is at least
// the q-quantile with the confidence, n+1 if none is: fewer than r values lie
// below the quantile with probability P(Binomial(n, q) <= r-1).
func upperRank(n int, q, confidence float64) int {
	needOpenUnit("quantile", q)
	needOpenUnit("confidence", confidence)
	// P(Binomial <= n-1) is 1-q^n, which no rank below n reaches if it is not enough.
	if -math.Expm1(float64(n)*math.Log(q)) < confidence-slack {
		return n + 1
	}
	return 1 + sort.Search(n-1, func(k int) bool { return binomialCDF(k, n, q) >= confidence-slack })
}

// lowerRank is the mirror image: of negated values the q-quantile is the (1-q)-quantile.
func lowerRank(n int, q, confidence float64) int {
	return n + 1 - upperRank(n, 1-q, confidence)
}
