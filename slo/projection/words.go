package projection

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

var numerals = []string{"none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"}

// YearsInside puts a probability into words: "nine of ten years". It never
// says more than the number does.
func YearsInside(p float64) string {
	switch {
	case !(p >= 0 && p <= 1):
		return "an unknown share of the years"
	case p == 1:
		return "every year"
	case p == 0:
		return "no year"
	case p >= 0.9995:
		return fmt.Sprintf("all but one of %s years", groups(math.Floor(1/(1-p)+1e-9)))
	case p >= 0.995:
		return fmt.Sprintf("%d of 1,000 years", int(p*1000+1e-9))
	case p > 0.905 || p > 0 && p < 0.095 && p >= 0.01:
		return fmt.Sprintf("%d of 100 years", int(p*100+1e-9))
	case p < 0.001:
		return "hardly any year"
	case p < 0.01:
		return fmt.Sprintf("%d of 1,000 years", int(p*1000+1e-9))
	}
	tenths := p * 10
	k := math.Round(tenths)
	at := fmt.Sprintf("%s of ten years", numerals[int(k)])
	switch d := tenths - k; {
	case d < -0.05:
		return "not quite " + at
	case d < -1e-9:
		return "just under " + at
	case d > 0.05:
		return "a little over " + at
	}
	return at
}

// Words is the projection in plain sentences.
func (p *Projection) Words() []string {
	var out []string
	level := p.Level(p.Objective)
	if level == nil {
		return nil
	}
	in := level.Probability
	s := fmt.Sprintf("%s stay inside the budget of %s (%s)", upper(YearsInside(in.Value)), durationWords(level.BudgetS), nines(p.Objective))
	if strings.HasSuffix(YearsInside(in.Value), "year") {
		s = strings.Replace(s, " stay ", " stays ", 1)
	}
	if in.Upper-in.Lower >= 0.005 {
		s += fmt.Sprintf("; it may be as few as %s or as many as %s", YearsInside(in.Lower), YearsInside(in.Upper))
	}
	out = append(out, s+".")
	s = fmt.Sprintf("A year brings %s of downtime in the mean (%s to %s), an availability of %s.",
		durationWords(p.Mean.Value), durationWords(p.Mean.Lower), durationWords(p.Mean.Upper), nines(p.Availability.Value))
	for _, q := range p.Quantiles {
		if q.Share == 0.5 {
			s += fmt.Sprintf(" Half of the years have less than %s", durationWords(q.Seconds))
		}
		if q.Share == 0.99 {
			s += fmt.Sprintf(", one in a hundred has more than %s.", durationWords(q.Seconds))
		}
	}
	out = append(out, s)
	if len(p.Classes) > 0 && p.Classes[0].MeanS > 0 {
		c := p.Classes[0]
		out = append(out, fmt.Sprintf("Most of it comes from %s: %s of the downtime, %s of the budget.", c.Name, share(c.Share), share(c.OfBudget)))
	}
	if len(p.Sensitivity) > 0 {
		best := &p.Sensitivity[0]
		what, q, saved := best.Best()
		switch {
		case q > best.Base+0.001:
			out = append(out, fmt.Sprintf("Fix %s first: %s of its events would bring %s inside the budget.", best.Class, what, YearsInside(q)))
		case saved > 0:
			out = append(out, fmt.Sprintf("No class alone changes much; %s of %s would save most, %s a year.", what, best.Class, durationWords(saved)))
		}
	}
	if len(p.NotMeasured) > 0 {
		out = append(out, fmt.Sprintf("Not measured, and not in these figures: %s.", strings.Join(p.NotMeasured, ", ")))
	}
	if p.More != nil {
		out = append(out, p.More.Because)
	}
	return out
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// durationWords is a duration in the unit that a person would use.
func durationWords(s float64) string {
	text := func(v float64, unit string) string {
		digits := 1
		if v >= 100 {
			digits = 0
		} else if v < 10 {
			digits = 2
		}
		t := strconv.FormatFloat(v, 'f', digits, 64)
		if strings.Contains(t, ".") {
			t = strings.TrimRight(strings.TrimRight(t, "0"), ".")
		}
		return t + " " + unit
	}
	switch {
	case s == 0:
		return "0 seconds"
	case s < 1:
		return text(s*1000, "milliseconds")
	case s < 100:
		return text(s, "seconds")
	case s < 2*3600:
		return text(s/60, "minutes")
	case s < 2*86400:
		return text(s/3600, "hours")
	}
	return text(s/86400, "days")
}

// nines is an availability in percent with the digits that count, rounded down.
func nines(a float64) string {
	if !(a >= 0 && a <= 1) {
		return "?"
	}
	digits := 2
	if a > 0 && a < 1 {
		digits = min(8, max(2, int(math.Ceil(-math.Log10(1-a)))))
	}
	scale := math.Pow(10, float64(digits))
	return trimmed(math.Floor(a*100*scale+1e-6)/scale, digits) + " %"
}

// share in percent, never rounded to all or nothing.
func share(p float64) string {
	switch {
	case math.IsNaN(p):
		return "?"
	case p > 0 && p < 0.0005:
		return "< 0.1 %"
	case p > 0.9995 && p < 1:
		return "> 99.9 %"
	}
	return trimmed(p*100, 1) + " %"
}

func trimmed(v float64, digits int) string {
	t := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Contains(t, ".") {
		t = strings.TrimRight(strings.TrimRight(t, "0"), ".")
	}
	return t
}

func groups(n float64) string {
	t := strconv.FormatFloat(n, 'f', 0, 64)
	for i := len(t) - 3; i > 0; i -= 3 {
		t = t[:i] + "," + t[i:]
	}
	return t
}
