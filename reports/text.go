package reports

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxText bounds a single string of the result, in characters.
const maxText = 2000

// clean makes a foreign string fit to be shown on one line: no control
// characters (a terminal would obey them), no direction overrides (they make a
// text look like another), no line breaks, bounded length.
func clean(s string) string { return clip(s, maxText) }

func clip(s string, most int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n == most {
			return strings.TrimRight(b.String(), " ") + "…"
		}
		n++
		switch {
		case r == utf8.RuneError || unicode.Is(unicode.Cs, r):
			r = '\uFFFD'
		case unicode.IsSpace(r):
			r = ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			r = '\uFFFD'
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(b.String())
}

// cleanLine is clean for preformatted text: leading blanks stay.
func cleanLine(s string) string {
	t := strings.TrimLeft(s, " ")
	return s[:min(len(s)-len(t), 40)] + clip(t, 400)
}

// grouped is a whole number with its thousands apart.
func grouped(n float64) string {
	if !finite(n) {
		return "?"
	}
	s := strconv.FormatFloat(math.Abs(math.Round(n)), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if math.Round(n) < 0 {
		s = "-" + s
	}
	return s
}

// secondsText is a duration for a person, in seconds so that rows compare.
func secondsText(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100:
		return fixed(v, 0) + " s"
	case a >= 10:
		return fixed(v, 1) + " s"
	case a >= 0.1 || a == 0:
		return fixed(v, 2) + " s"
	case a >= 0.01:
		return fixed(v, 3) + " s"
	}
	return fixed(v, 4) + " s"
}

// fixed is v with at most that many decimals and no trailing zeros.
func fixed(v float64, decimals int) string {
	if !finite(v) {
		return "?"
	}
	s := strconv.FormatFloat(v, 'f', decimals, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	if s == "-0" {
		return "0"
	}
	return s
}

// percent of a share, rounded down: a run that lost one operation in ten
// million did not reach 100 %.
func percent(share float64) string {
	if !finite(share) {
		return "?"
	}
	p := share * 100
	if p < 100 && p > 0 {
		p = math.Floor(p*1e5+1e-6) / 1e5
		if share < 1 && p >= 100 {
			p = 99.99999
		}
	}
	if p > 100 {
		return fixed(p, 2) + " %"
	}
	return fixed(p, 5) + " %"
}

// millisText is a latency given in milliseconds.
func millisText(ms float64) string {
	switch a := math.Abs(ms); {
	case !finite(ms):
		return "?"
	case a >= 10_000:
		return fixed(ms/1000, 1) + " s"
	case a >= 1000:
		return fixed(ms/1000, 2) + " s"
	case a >= 100:
		return fixed(ms, 0) + " ms"
	case a >= 10:
		return fixed(ms, 1) + " ms"
	}
	return fixed(ms, 2) + " ms"
}

// countOf is "1 session" or "3 sessions".
func countOf(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(float64(n)) + " " + many
}

// shareText is n of all as a percentage that is never 0 % for something, nor
// 100 % for less than all.
func shareText(n, all int) string {
	if all <= 0 {
		return ""
	}
	p := 100 * float64(n) / float64(all)
	switch {
	case n > 0 && p < 0.01:
		return "< 0.01 %"
	case n < all && p > 99.99:
		return "> 99.99 %"
	}
	return fixed(p, 2) + " %"
}

// finite says whether a number can be drawn and read: not NaN, and not of a
// size that no measure has.
func finite(v float64) bool { return math.Abs(v) < 1e15 }

func listText(items []string, most int) string {
	if len(items) > most {
		return strings.Join(items[:most], ", ") + fmt.Sprintf(" and %d more", len(items)-most)
	}
	return strings.Join(items, ", ")
}
