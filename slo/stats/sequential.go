package stats

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mathext"
)

// Decision is what the trials so far say of a probability and its bound.
type Decision int

const (
	// Undecided: the trials are compatible with both.
	Undecided Decision = iota
	// Below: the probability is below the bound.
	Below
	// Above: the probability is above the bound.
	Above
)

func (d Decision) String() string {
	switch d {
	case Undecided:
		return "undecided"
	case Below:
		return "below"
	case Above:
		return "above"
	}
	return fmt.Sprintf("Decision(%d)", int(d))
}

// prior is the exponent a of the density a*p^(a-1) over probabilities that the
// mixtures weigh alternatives with. It has no scale, so the trials that it takes go as 1/q,
// and for a <= 1 the evidence against a bound moves one way as the bound
// moves. At q = 0.1 and alpha = 0.05 a half takes 36 clean trials, a quarter 33 and
// 1 takes 43; with p = q/4 it is 78, 80 and 83 on average.
const prior = 0.5

// Sequential tests whether a probability lies below or above a bound q while
// the trials come in. One may look after every trial and stop at any, for any
// reason: the error rates hold over the whole sequence.
//
//   - alpha bounds the probability that it ever says Below although p >= q,
//   - beta bounds the probability that it ever says Above although p <= q.
//
// Each claim rests on a mixture of likelihood ratios against q (method of
// mixtures: Robbins, Annals of Mathematical Statistics 41, 1970, 1397-1409;
// beta-binomial: Howard, Ramdas, McAuliffe and Sekhon, Annals of Statistics 49,
// 2021, 1055-1080), with the weights of Beta(1/2, 1) cut to (0, q) for Below
// and to (q, 1) for Above. Under the contrary claim it is a nonnegative
// supermartingale of mean 1, which by Ville's inequality reaches 1/alpha with a
// probability of at most alpha. The trials need not be alike: it is enough that
// each one's probability, given those before, is on the contrary side.
//
// At q = 0.1 and alpha = 0.05, 36 clean trials say Below (a test fixed in
// advance needs 29, see [TrialsFor]), 64 with one bad one among them; with beta =
// 0.05, two bad ones at the start say Above. On average it takes 48 trials if
// p is q/10, 78 if q/4, 213 if q/2, 96 if 2q, 8 if 5q; for other small q
// the numbers go as 1/q. At p = q it hardly ever decides: the caller's budget of
// trials is what ends it.
//
// It is exact to about 1e-8 for up to a million trials. Not safe for concurrent use.
type Sequential struct {
	q, alpha, beta float64
	n, bad         int
	decision       Decision
}

// NewSequential prepares a test against the bound q with the error rates alpha
// and beta, all between 0 and 1.
func NewSequential(q, alpha, beta float64) (*Sequential, error) {
	for _, v := range []struct {
		what string
		p    float64
	}{{"bound", q}, {"alpha", alpha}, {"beta", beta}} {
		if !(v.p > 0 && v.p < 1) {
			return nil, fmt.Errorf("sequential test: the %s of %v is not between 0 and 1", v.what, v.p)
		}
	}
	return &Sequential{q: q, alpha: alpha, beta: beta}, nil
}

// Observe takes one more trial and says what is decided. A decision stays: what
// trials show that come in after it (they were under way already) changes only [Sequential.Interval].
func (s *Sequential) Observe(bad bool) Decision {
	s.n++
	if bad {
		s.bad++
	}
	if s.decision == Undecided {
		s.decision = decide(s.bad, s.n, s.q, s.alpha, s.beta)
	}
	return s.decision
}

// decide says what k bad ones of n trials claim of p against q.
func decide(k, n int, q, alpha, beta float64) Decision {
	// Where the bad ones are few for q, no p above it explains them better.
	if float64(k) < q*float64(n) {
		if logBelow(k, n, q) >= -math.Log(alpha) {
			return Below
		}
		return Undecided
	}
	if logAbove(k, n, q) >= -math.Log(beta) {
		return Above
	}
	return Undecided
}

// Decision is what was decided so far.
func (s *Sequential) Decision() Decision { return s.decision }

// Trials is how many were observed, and how many of them were bad.
func (s *Sequential) Trials() (n, bad int) { return s.n, s.bad }

// CleanUntilBelow is how many more trials, all clean, it would take to say
// Below; 0 if it is said already. After Above it is what it would have taken.
func (s *Sequential) CleanUntilBelow() int {
	if s.decision == Below {
		return 0
	}
	enough := func(more int) bool { return logBelow(s.bad, s.n+more, s.q) >= -math.Log(s.alpha) }
	high := 1
	for !enough(high) {
		high *= 2
	}
	low := high / 2 // not enough, or 0
	for high-low > 1 {
		if mid := low + (high-low)/2; enough(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return high
}

// Interval is a confidence sequence of the probability: with the given
// confidence it contains the probability after every trial at once, hence at
// whatever trial one stops. It holds the bounds that the test, with half of
// 1-confidence for alpha and for beta, would not decide on; for a given
// number of trials it is wider than [Proportion]. [0, 1] without trials.
func (s *Sequential) Interval(confidence float64) Interval {
	needOpenUnit("confidence", confidence)
	limit := -math.Log((1 - confidence) / 2)
	in := Interval{Lower: 0, Upper: 1}
	// The evidence for below grows with the bound, that for above shrinks.
	if s.bad < s.n {
		_, in.Upper = crossing(func(p float64) bool { return logBelow(s.bad, s.n, p) >= limit })
	}
	if s.bad > 0 {
		in.Lower, _ = crossing(func(p float64) bool { return logAbove(s.bad, s.n, p) < limit })
	}
	return in
}

// crossing brackets where in (0, 1) a condition turns true.
func crossing(reached func(float64) bool) (before, after float64) {
	before, after = 0, 1
	for range 1100 { // enough to halve down to the least number there is
		mid := before + (after-before)/2
		if mid == before || mid == after {
			break
		}
		if reached(mid) {
			after = mid
		} else {
			before = mid
		}
	}
	return before, after
}

// logBelow is the log of the mixture over (0, q) of likelihood ratios against
// q after k bad ones of n trials:
//
//	a/q^a * integral over p from 0 to q of p^(a-1) (p/q)^k ((1-p)/(1-q))^(n-k)
//
// It grows with q: with p = q*u the integrand is ((1-qu)/(1-q))^(n-k) times what does not depend on q.
func logBelow(k, n int, q float64) float64 {
	a, b := prior+float64(k), float64(n-k)+1
	if nearTail(a, b, q) {
		return math.Log(prior*(1-q)/a) + math.Log(betaFraction(a, b, q))
	}
	lb := mathext.Lbeta(a, b)
	power := a*math.Log(q) + b*math.Log1p(-q)
	upper := power - math.Log(b) + math.Log(betaFraction(b, a, 1-q)) - lb
	return math.Log(prior) - power + math.Log1p(-q) + lb + math.Log1p(-math.Exp(upper))
}

// logAbove is the mirror image over (q, 1), with the weights a*p^(a-1)/(1-q^a).
// It shrinks as q grows: with p^a = q^a + v(1-q^a) so do both p/q and (1-p)/(1-q), if a <= 1.
func logAbove(k, n int, q float64) float64 {
	a, b := prior+float64(k), float64(n-k)+1
	weight := math.Log(prior) - math.Log(-math.Expm1(prior*math.Log(q)))
	if !nearTail(a, b, q) {
		return weight + prior*math.Log(q) + math.Log((1-q)/b) + math.Log(betaFraction(b, a, 1-q))
	}
	lb := mathext.Lbeta(a, b)
	power := a*math.Log(q) + b*math.Log1p(-q)
	lower := power - math.Log(a) + math.Log(betaFraction(a, b, q)) - lb
	return weight - power + prior*math.Log(q) + math.Log1p(-q) + lb + math.Log1p(-math.Exp(lower))
}

// nearTail says on which side of x the continued fraction converges fast:
// below if true, above with a and b, x and 1-x exchanged if false.
func nearTail(a, b, x float64) bool { return x < (a+1)/(a+b+2) }

// betaFraction is the continued fraction of the incomplete beta function (NIST
// Digital Library of Mathematical Functions, 8.17.22):
//
//	integral over p from 0 to x of p^(a-1) (1-p)^(b-1) = x^a (1-x)^b / a * betaFraction(a, b, x)
//
// [mathext.RegIncBeta] gives the integral over its whole, which underflows for
// the thousands of trials that logs still tell apart, and stops at 300 terms; a million trials take thousands.
func betaFraction(a, b, x float64) float64 {
	// Modified Lentz: the fraction is 1/(1 + d1/(1 + d2/(1 + ...))).
	const tiny = 1e-300
	c, d := 1.0, 1-(a+b)*x/(a+1)
	if math.Abs(d) < tiny {
		d = tiny
	}
	d = 1 / d
	f := d
	for i := 1; i < 1_000_000; i++ {
		m := float64(i)
		for _, t := range [2]float64{
			m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m)),
			-(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1)),
		} {
			if d = 1 + t*d; math.Abs(d) < tiny {
				d = tiny
			}
			if c = 1 + t/c; math.Abs(c) < tiny {
				c = tiny
			}
			d = 1 / d
			f *= c * d
		}
		if math.Abs(c*d-1) < 1e-15 {
			return f
		}
	}
	panic(fmt.Sprintf("stats: incomplete beta function of a=%v, b=%v, x=%v does not converge", a, b, x))
}
