package stats

import (
	"fmt"

	"gonum.org/v1/gonum/mathext"
)

// Proportion is the exact two-sided interval of Clopper and Pearson (Biometrika
// 26, 1934, 404-413) of a probability that came true in k of n trials. Each
// side errs with a probability of at most (1-confidence)/2, whatever the truth. Without
// trials it is [0, 1]. It panics unless 0 <= k <= n and 0 < confidence < 1.
func Proportion(k, n int, confidence float64) Interval {
	needOpenUnit("confidence", confidence)
	side := (1 + confidence) / 2
	return Interval{Lower: ProportionLower(k, n, side), Upper: ProportionUpper(k, n, side)}
}

// ProportionUpper is the exact one-sided upper bound: the probability p at
// which k or fewer in n trials have a probability of 1-confidence. Of n clean
// trials it is 1-(1-confidence)^(1/n), about 3/n at 95 %.
func ProportionUpper(k, n int, confidence float64) float64 {
	needCounts(k, n)
	needOpenUnit("confidence", confidence)
	if k == n {
		return 1
	}
	// The complement keeps the digits of a small tail.
	return 1 - betaQuantile(float64(n-k), float64(k)+1, 1-confidence)
}

// ProportionLower is the exact one-sided lower bound.
func ProportionLower(k, n int, confidence float64) float64 {
	needCounts(k, n)
	needOpenUnit("confidence", confidence)
	if k == 0 {
		return 0
	}
	return betaQuantile(float64(k), float64(n-k)+1, 1-confidence)
}

func needCounts(k, n int) {
	if k < 0 || n < 0 || k > n {
		panic(fmt.Sprintf("stats: %d of %d trials is no count", k, n))
	}
}

func betaQuantile(a, b, p float64) float64 { return mathext.InvRegIncBeta(a, b, p) }

// binomialCDF is P(X <= k) for X of n trials with probability p.
func binomialCDF(k, n int, p float64) float64 {
	switch {
	case k < 0:
		return 0
	case k >= n:
		return 1
	}
	return mathext.RegIncBeta(float64(n-k), float64(k)+1, 1-p)
}
