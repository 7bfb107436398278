package stats

import (
	"math"
	"slices"
	"sort"

	"gonum.org/v1/gonum/stat/distuv"
)

// exactRanks is the largest sample for which the distribution of ranks is
// counted out; the normal approximation is good to three digits long before.
const exactRanks = 50

// MannWhitney tests whether the values of next tend to be larger or smaller
// than those of base (Mann and Whitney, Annals of Mathematical Statistics 18, 1947,
// 50-60). u is the number of pairs in which next is the larger one, ties
// counting half, of len(base)*len(next); p is two-sided, twice the smaller tail.
//
// With at most 50 values on each side the tails are exact given the ties
// (the conditional permutation distribution), beyond they are normal with
// correction for ties and continuity. An empty sample and one value
// throughout give p = 1. Infinite values are ordinary ranks.
func MannWhitney(base, next []float64) (u, p float64) {
	needSample(base)
	needSample(next)
	m, n := len(base), len(next)
	if m == 0 || n == 0 {
		return 0, 1
	}
	doubled, ties := doubledRanks(base, next)
	sum := 0
	for _, r := range doubled[m:] {
		sum += r
	}
	// In doubled ranks all is whole: 2U = sum - n(n+1).
	twoU := sum - n*(n+1)
	u = float64(twoU) / 2
	if len(ties) == 1 {
		return u, 1
	}
	if m <= exactRanks && n <= exactRanks {
		dist := rankSums(ties, n)
		lower, upper := 0.0, 0.0
		for v, c := range dist {
			if v-n*(n+1) <= twoU {
				lower += c
			}
			if v-n*(n+1) >= twoU {
				upper += c
			}
		}
		return u, min(1, 2*min(lower, upper))
	}
	mean, sd := rankMoments(m, n, ties)
	z := max(0, math.Abs(u-mean)-0.5) / sd
	return u, math.Erfc(z / math.Sqrt2)
}

// doubledRanks gives each value, base first, twice its midrank among all, and
// the sizes of the groups of equal values in increasing order.
func doubledRanks(base, next []float64) (doubled, ties []int) {
	all := slices.Concat(base, next)
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	sort.Slice(order, func(a, b int) bool { return all[order[a]] < all[order[b]] })
	doubled = make([]int, len(all))
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && all[order[j]] == all[order[i]] {
			j++
		}
		for k := i; k < j; k++ {
			doubled[order[k]] = i + 1 + j
		}
		ties = append(ties, j-i)
		i = j
	}
	return doubled, ties
}

// rankSums is the probability of each sum of doubled midranks of n values drawn
// from groups of equal ones.
func rankSums(ties []int, n int) []float64 {
	total := 0
	for _, t := range ties {
		total += t
	}
	// ways[k][v]: in how many ways k values have the sum v. Counts up to
	// C(100, 50) = 1e29 are sums of positive terms: rounding stays relative.
	ways := make([][]float64, n+1)
	for k := range ways {
		ways[k] = make([]float64, 2*total*k+1)
	}
	ways[0][0] = 1
	seen := 0
	for _, t := range ties {
		rank := 2*seen + t + 1
		for range t {
			seen++
			for k := min(n, seen); k >= 1; k-- {
				from, to := ways[k-1], ways[k][rank:]
				for v, c := range from {
					if c != 0 {
						to[v] += c
					}
				}
			}
		}
	}
	all := 0.0
	for _, c := range ways[n] {
		all += c
	}
	for v := range ways[n] {
		ways[n][v] /= all
	}
	return ways[n]
}

// rankMoments are the mean and the standard deviation of U given the ties.
func rankMoments(m, n int, ties []int) (mean, sd float64) {
	cubes := 0.0
	for _, t := range ties {
		t := float64(t)
		cubes += t*t*t - t
	}
	a, b := float64(m), float64(n)
	all := a + b
	return a * b / 2, math.Sqrt(a * b / 12 * (all + 1 - cubes/(all*(all-1))))
}

// HodgesLehmann estimates by how much next is shifted against base: the median
// of all differences next - base (Hodges and Lehmann, Annals of Mathematical
// Statistics 34, 1963, 598-611), with the interval that inverts the
// Mann-Whitney test without ties (Hollander and Wolfe, Nonparametric
// Statistical Methods, 1999, section 4.3). With ties the interval, its ends
// included, is conservative. It takes len(base)*len(next) numbers of memory.
//
// False, with an unbounded interval, if the samples are too small for the
// confidence (3 and 3 values at 90 %, 4 and 4 at 95 %, 5 and 5 at 99 % are
// enough) or hold an infinite value; the shift is NaN if it isn't defined.
func HodgesLehmann(base, next []float64, confidence float64) (shift float64, in Interval, ok bool) {
	needSample(base)
	needSample(next)
	needOpenUnit("confidence", confidence)
	if len(base) == 0 || len(next) == 0 || !allFinite(base) || !allFinite(next) {
		return math.NaN(), unbounded(), false
	}
	differences := make([]float64, 0, len(base)*len(next))
	for _, b := range base {
		for _, v := range next {
			differences = append(differences, v-b)
		}
	}
	slices.Sort(differences)
	shift = middle(differences)
	c := criticalRank(len(base), len(next), (1-confidence)/2)
	if c < 1 {
		return shift, unbounded(), false
	}
	return shift, Interval{Lower: differences[c-1], Upper: differences[len(differences)-c]}, true
}

// criticalRank is the largest c with P(U <= c-1) <= tail, without ties: the
// c-th smallest and the c-th largest difference are the ends of the interval.
func criticalRank(m, n int, tail float64) int {
	if m <= exactRanks && n <= exactRanks {
		ties := slices.Repeat([]int{1}, m+n)
		below := 0.0
		// Doubled ranks: U moves in steps of 2 from the sum n(n+1).
		for c, dist := 0, rankSums(ties, n); ; c++ {
			if below += dist[n*(n+1)+2*c]; below > tail*(1+slack) {
				return c
			}
		}
	}
	mean, sd := rankMoments(m, n, nil)
	return max(0, int(math.Floor(mean+0.5-sd*distuv.UnitNormal.Quantile(1-tail))))
}

// middle is the median of sorted values, the mean of the two in the middle.
func middle(sorted []float64) float64 {
	n := len(sorted)
	return sorted[(n-1)/2]/2 + sorted[n/2]/2
}
