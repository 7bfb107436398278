package projection

import (
	"errors"
	"fmt"
	"math"
	"time"

	"gonum.org/v1/gonum/stat/distuv"
)

// Span is a distribution of durations, in one of three forms: Value (constant),
// Mean (exponential), or Median and P90 (log-normal). Texts are Go durations.
type Span struct {
	Value  string `yaml:"value,omitempty" json:"value,omitempty"`
	Mean   string `yaml:"mean,omitempty" json:"mean,omitempty"`
	Median string `yaml:"median,omitempty" json:"median,omitempty"`
	P90    string `yaml:"p90,omitempty" json:"p90,omitempty"`
}

func (s Span) String() string {
	switch {
	case s.Value != "":
		return s.Value
	case s.Mean != "":
		return "mean " + s.Mean
	}
	return fmt.Sprintf("median %s, 90 %% within %s", s.Median, s.P90)
}

// Constant, Exponential and LogNormal are the three forms of a [Span], from seconds.
func Constant(seconds float64) Span { return Span{Value: spanText(seconds)} }

// Exponential has the given mean, in seconds.
func Exponential(mean float64) Span { return Span{Mean: spanText(mean)} }

// LogNormal has the given median and 90 % quantile, in seconds.
func LogNormal(median, p90 float64) Span {
	return Span{Median: spanText(median), P90: spanText(p90)}
}

func spanText(seconds float64) string {
	return time.Duration(math.Round(seconds * 1e9)).String()
}

// span is a Span ready to be drawn from, in seconds.
type span struct {
	form      spanForm
	a         float64 // value, mean, or the mean of the logarithm
	sigma     float64 // of the logarithm
	mean, p90 float64
	table     []float64 // of a log-normal's quantiles, in steps of equal probability
}

// spanSteps of a table. Between its points it is linear; its last steps, where
// the quantiles run away, are not used.
const (
	spanSteps = 2048
	spanExact = 8
)

func (s *span) tabulate() {
	s.table = make([]float64, spanSteps)
	for i := range s.table {
		s.table[i] = s.quantile(float64(i) / spanSteps)
	}
}

type spanForm int

const (
	constant spanForm = iota
	exponential
	logNormal
)

// z90 is the 90 % quantile of the standard normal distribution.
var z90 = distuv.UnitNormal.Quantile(0.9)

func (s Span) compile() (span, error) {
	secs := func(text string) (float64, error) {
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, fmt.Errorf("%q is not a duration such as 30s, 15m or 4h", text)
		}
		if d < 0 {
			return 0, fmt.Errorf("%s is negative", text)
		}
		return d.Seconds(), nil
	}
	given := 0
	for _, b := range []bool{s.Value != "", s.Mean != "", s.Median != "" || s.P90 != ""} {
		if b {
			given++
		}
	}
	if given != 1 || (s.Median == "") != (s.P90 == "") {
		return span{}, errors.New("needs either value, or mean, or median and p90")
	}
	switch {
	case s.Value != "":
		v, err := secs(s.Value)
		return span{form: constant, a: v, mean: v, p90: v}, err
	case s.Mean != "":
		v, err := secs(s.Mean)
		return span{form: exponential, a: v, mean: v, p90: v * math.Ln10}, err
	}
	m, err := secs(s.Median)
	if err != nil {
		return span{}, err
	}
	p, err := secs(s.P90)
	if err != nil {
		return span{}, err
	}
	if !(m > 0) || p < m {
		return span{}, fmt.Errorf("needs 0 < median <= p90, not %s and %s", s.Median, s.P90)
	}
	d := distuv.LogNormal{Mu: math.Log(m), Sigma: math.Log(p/m) / z90}
	out := span{form: logNormal, a: d.Mu, sigma: d.Sigma, mean: d.Mean(), p90: p}
	out.tabulate()
	return out, nil
}

// at is quantile, to about a thousandth and much faster.
func (s *span) at(u float64) float64 {
	if s.form != logNormal {
		return s.quantile(u)
	}
	x := u * spanSteps
	i := int(x)
	if i >= spanSteps-spanExact {
		return s.quantile(u)
	}
	return s.table[i] + (x-float64(i))*(s.table[i+1]-s.table[i])
}

// quantile of u in [0, 1).
func (s *span) quantile(u float64) float64 {
	switch s.form {
	case exponential:
		return -s.a * math.Log1p(-u)
	case logNormal:
		u = min(max(u, 1e-12), 1-1e-12)
		return math.Exp(s.a + s.sigma*distuv.UnitNormal.Quantile(u))
	}
	return s.a
}
