package reports

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/fivenines/fivenines/slo"
)

// row is one objective as every format shows it.
type row struct {
	Name     string
	Asks     string // what the objective asks, in plain words
	Target   string
	Measured string // with its interval; "" where there is no value
	Value    string // what was measured, alone
	Interval string // "" where there is none
	Margin   string // what is left to the target, or by how much it was missed
	Verdict  slo.Verdict
	Evidence string
	Advice   string // what to do, for a row that is missed or inconclusive
}

// rows are the objectives with the ones that need attention first; rows of
// equal verdict keep the order of the result.
func rows(r *slo.Result) []row {
	out := make([]row, 0, len(r.Objectives))
	whole := strings.Join(r.Problems[:min(len(r.Problems), maxProblems)], "; ")
	for i := range r.Objectives {
		o := &r.Objectives[i]
		v := known(o.Verdict)
		evidence, todo := o.Evidence, advice(r, o)
		if v == slo.Inconclusive && whole != "" && strings.Contains(evidence, whole) {
			// The problems are shown once, not in every row.
			evidence, todo = strings.Replace(evidence, whole, "see the problems of the run", 1), ""
		}
		out = append(out, row{
			Name: clean(o.Name), Asks: about(o.Name).asks, Target: clean(o.Target),
			Measured: measured(o), Margin: margin(o), Verdict: v,
			Value: alone(o), Interval: interval(o),
			Evidence: clean(evidence), Advice: todo,
		})
	}
	slices.SortStableFunc(out, func(a, b row) int { return rank(a.Verdict) - rank(b.Verdict) })
	return out
}

// known maps what this package does not know to the verdict that claims nothing.
func known(v slo.Verdict) slo.Verdict {
	switch v {
	case slo.Met, slo.Missed, slo.NotEvaluated:
		return v
	}
	return slo.Inconclusive
}

// overall is the run's verdict. "not evaluated" is none for a run.
func overall(r *slo.Result) slo.Verdict {
	if v := known(r.Verdict); v != slo.NotEvaluated {
		return v
	}
	return slo.Inconclusive
}

func rank(v slo.Verdict) int {
	return slices.Index([]slo.Verdict{slo.Missed, slo.Inconclusive, slo.Met, slo.NotEvaluated}, v)
}

// sentence is the verdict in one plain sentence, without the verdict's word in
// front where the summary repeats it.
func sentence(r *slo.Result) string {
	s := clean(r.Summary)
	for _, v := range []slo.Verdict{slo.Met, slo.Missed, slo.Inconclusive} {
		if len(s) > len(v) && strings.EqualFold(s[:len(v)+1], string(v)+":") {
			s = strings.TrimSpace(s[len(v)+1:])
			break
		}
	}
	if s == "" {
		return map[slo.Verdict]string{
			slo.Met:          "Every declared objective was met.",
			slo.Missed:       "At least one declared objective was missed.",
			slo.Inconclusive: "This run allows no conclusion.",
		}[overall(r)]
	}
	r0 := []rune(s)
	return strings.ToUpper(string(r0[:1])) + string(r0[1:])
}

// bound is the objective's target as numbers; ok is false for a target that is
// not declared, or not in the form of [slo.ParseTarget].
func bound(o *slo.Objective) (v float64, least, ok bool) {
	if o.Target == "" {
		return 0, false, false
	}
	t, err := slo.ParseTarget(o.Name, o.Target)
	switch {
	case err != nil:
		return 0, false, false
	case t.Min != nil:
		return *t.Min, true, true
	case t.Max != nil:
		return *t.Max, false, true
	}
	return 0, false, false
}

// atLeast says whether a value is only a lower bound: bounded below and not above.
func atLeast(v *slo.Value) bool { return v != nil && v.Lower != nil && v.Upper == nil }

func measured(o *slo.Objective) string {
	m := o.Measured
	if m == nil || !finite(m.Value) {
		return ""
	}
	s := exact(o, valueText(o.Unit))
	switch {
	case atLeast(m):
		return "at least " + s
	case m.Lower != nil && m.Upper != nil && *m.Upper > *m.Lower:
		lo, hi := valueText(o.Unit)(*m.Lower), valueText(o.Unit)(*m.Upper)
		if lo != s || hi != s {
			return fmt.Sprintf("%s (%s to %s)", s, strings.TrimSuffix(strings.TrimSuffix(lo, " s"), " %"), hi)
		}
	}
	return s
}

// alone is what was measured, without its interval.
func alone(o *slo.Objective) string {
	if o.Measured == nil || !finite(o.Measured.Value) {
		return ""
	}
	s := exact(o, valueText(o.Unit))
	if atLeast(o.Measured) {
		return "at least " + s
	}
	return s
}

// interval is between what the measured value is, "" where it is known exactly or not at all.
func interval(o *slo.Objective) string {
	m := o.Measured
	if m == nil || !finite(m.Value) || m.Lower == nil || !finite(*m.Lower) {
		return ""
	}
	lo := valueText(o.Unit)(*m.Lower)
	switch {
	case m.Upper == nil:
		return lo + " or more"
	case !finite(*m.Upper) || *m.Upper <= *m.Lower:
		return ""
	}
	hi := valueText(o.Unit)(*m.Upper)
	if lo == hi {
		return ""
	}
	return strings.TrimSuffix(strings.TrimSuffix(lo, " s"), " %") + " to " + hi
}

// exact writes the value with as many digits as keep it on its side of the target.
func exact(o *slo.Objective, text func(float64) string) string {
	v := o.Measured.Value
	b, _, ok := bound(o)
	if ok && v != b && text(v) == text(b) && o.Unit == "s" {
		for d := 3; d < 9; d++ {
			if s := fixed(v, d); s != fixed(b, d) {
				return s + " s"
			}
		}
	}
	return text(v)
}

func valueText(unit string) func(float64) string {
	switch unit {
	case "s":
		return secondsText
	case "share":
		return percent
	case "count", "":
		return func(v float64) string {
			if v == math.Trunc(v) {
				return grouped(v)
			}
			return fixed(v, 3)
		}
	}
	return func(v float64) string { return fixed(v, 3) + " " + clean(unit) }
}

// margin is the distance to the target. An inconclusive row has none: a number
// that was measured under a problem would be read as a promise.
func margin(o *slo.Objective) string {
	b, least, ok := bound(o)
	if !ok || o.Measured == nil || !finite(o.Measured.Value) || o.Verdict != slo.Met && o.Verdict != slo.Missed {
		return ""
	}
	d := b - o.Measured.Value
	if least {
		d = -d
	}
	over, unit := d < 0 || d == 0 && o.Verdict == slo.Missed, ""
	d = math.Abs(d)
	var s string
	switch o.Unit {
	case "s":
		s = tiny(secondsText(d), "0.0001 s", d)
		if b > 0 {
			unit = fmt.Sprintf(" (%s %%)", fixed(100*d/b, 0))
		}
	case "share":
		digits := 5
		if d >= 1e-4 {
			digits = 3
		}
		s = tiny(fixed(100*d, digits)+" points", "0.00001 points", d)
	default:
		if !over && b == 0 {
			return "none allowed"
		}
		s = valueText(o.Unit)(d)
	}
	switch {
	case over && least:
		return s + " short"
	case over && atLeast(o.Measured):
		return "at least " + s + " over"
	case over:
		return s + " over"
	}
	return s + " to spare" + unit
}

// tiny replaces a distance that rounds to nothing.
func tiny(text, least string, d float64) string {
	if d != 0 && strings.HasPrefix(text, "0 ") {
		return "< " + least
	}
	return text
}

// undeclared splits the rows that the scenario does not evaluate from the others.
func undeclared(all []row) (declared, rest []row) {
	for _, r := range all {
		if r.Verdict == slo.NotEvaluated {
			rest = append(rest, r)
		} else {
			declared = append(declared, r)
		}
	}
	return declared, rest
}

func names(rs []row) []string {
	var ns []string
	for _, r := range rs {
		ns = append(ns, r.Name)
	}
	return ns
}

// count of rows by verdict: "10 met, 1 missed".
func tally(all []row) string {
	var parts []string
	for _, v := range []slo.Verdict{slo.Missed, slo.Inconclusive, slo.Met, slo.NotEvaluated} {
		n := 0
		for _, r := range all {
			if r.Verdict == v {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, v))
		}
	}
	if len(parts) == 0 {
		return "no objectives"
	}
	return strings.Join(parts, ", ")
}

// worst is the trial with the longest failover, or the first one; -1 without trials.
func worst(r *slo.Result) int {
	w := min(0, len(r.Trials)-1)
	for i := range r.Trials {
		o, most := r.Trials[i].Measures.Failover, (*slo.Outage)(nil)
		if w >= 0 {
			most = r.Trials[w].Measures.Failover
		}
		if o != nil && (most == nil || o.Value > most.Value || o.Value == most.Value && o.Censored && !most.Censored) {
			w = i
		}
	}
	return w
}

// facts are what a reader needs to know where a result comes from.
func facts(r *slo.Result) [][2]string {
	fs := [][2]string{
		{"scenario", clean(r.Scenario)}, {"target", clean(r.Target)}, {"backend", clean(r.Backend)},
		{"seed", fmt.Sprint(r.Seed)}, {"trials", fmt.Sprint(len(r.Trials))},
	}
	if r.Mutant != "" {
		fs = append(fs, [2]string{"mutant", clean(r.Mutant)})
	}
	if !r.Started.IsZero() {
		fs = append(fs, [2]string{"started", r.Started.UTC().Format("2006-01-02 15:04:05 UTC")})
	}
	for _, f := range [][2]string{{"version", clean(r.Version)}, {"machine", clean(r.Machine)}} {
		if f[1] != "" {
			fs = append(fs, f)
		}
	}
	return fs
}

// mutantText is shouted wherever a result of a broken system is shown.
func mutantText(r *slo.Result) string {
	if r.Mutant == "" {
		return ""
	}
	s := fmt.Sprintf("The system was broken on purpose (mutant %s). This run tests the harness and says nothing about the platform: its verdict must be missed", clean(r.Mutant))
	if overall(r) != slo.Missed {
		return s + ", and it is not. The harness did not see the defect."
	}
	return s + ", and it is."
}
