package reports

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"github.com/fivenines/fivenines/slo/compare"
)

var changeSign = map[compare.Change]string{
	compare.Better: "better", compare.Same: "same", compare.Worse: "WORSE", compare.CannotTell: "cannot tell",
}

// CompareTerminal writes a comparison for a terminal. It reads the same without colour.
func CompareTerminal(w io.Writer, c *compare.Comparison, color bool) error {
	s := &screen{color: color, width: widthOf(w)}
	codes := map[compare.Change]string{compare.Worse: "1;31", compare.Better: "1;32", compare.Same: "1;32", compare.CannotTell: "1;33"}
	s.WriteString(s.paint(codes[c.Change], strings.ToUpper(string(c.Change))) + "  " + s.paint("1", clip(c.Scenario, 60)) + "\n")
	s.wrapped("", "", clean(c.Summary))
	for _, side := range []struct {
		name string
		compare.Side
	}{{"base", c.Base}, {"new", c.New}} {
		s.wrapped("", "2", clean(fmt.Sprintf("%s: %s, %s, seed %d, version %s", side.name, side.Verdict, countOf(side.Trials, "trial", "trials"), side.Seed, orDash(side.Version))))
	}
	for _, n := range c.Notes {
		s.wrapped("note: ", "33", clean(n))
	}
	s.WriteString("\n")
	var table strings.Builder
	tw := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "MEASURE\tCHANGE\tBASE\tNEW\tDIFFERENCE\tWHY")
	for i := range c.Measures {
		m := &c.Measures[i]
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", m.Name, changeSign[m.Change], compared(m, m.Base), compared(m, m.New), difference(m), clean(m.Why))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	s.WriteString(table.String())
	s.wrapped("", "2", compareFootnote(c))
	_, err := io.WriteString(w, s.String())
	return err
}

// CompareMarkdown writes a comparison for a pull-request comment.
func CompareMarkdown(w io.Writer, c *compare.Comparison) error {
	var b strings.Builder
	sign := map[compare.Change]string{compare.Better: "✅ better", compare.Same: "✅ same", compare.Worse: "❌ **worse**", compare.CannotTell: "⚠️ cannot tell"}
	fmt.Fprintf(&b, "## %s: %s against its base\n\n%s\n\n", strings.ReplaceAll(sign[c.Change], "**", ""), md(c.Scenario, 200), md(c.Summary, maxText))
	for _, n := range c.Notes {
		fmt.Fprintf(&b, "> %s\n", md(n, maxText))
	}
	b.WriteString("\n| Measure | Base | New | Difference | Change | Why |\n|---|---|---|---|---|---|\n")
	for i := range c.Measures {
		m := &c.Measures[i]
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", md(m.Name, 100), compared(m, m.Base), compared(m, m.New), difference(m), sign[m.Change], md(m.Why, 300))
	}
	fmt.Fprintf(&b, "\n%s\n", md(compareFootnote(c), maxText))
	_, err := io.WriteString(w, b.String())
	return err
}

// CompareJSON writes a comparison as JSON, schema fivenines-compare/v1.
func CompareJSON(w io.Writer, c *compare.Comparison) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(c)
}

func compareFootnote(c *compare.Comparison) string {
	return fmt.Sprintf("Medians over trials, counts summed; differences with their interval at %s %% confidence (Mann-Whitney, Hodges-Lehmann); the same within %s %% of the base.",
		short3(100*(1-c.Alpha)), short3(100*c.Margin))
}

func compared(m *compare.Measure, v *float64) string {
	switch {
	case m.Unit == "verdict" || v == nil:
		return "–"
	case m.Unit == "share":
		return short3(100**v) + " %"
	case m.Unit == "count":
		return short3(*v)
	}
	return short3(*v) + " " + m.Unit
}

func difference(m *compare.Measure) string {
	if m.Shift == nil || m.Unit == "verdict" {
		return "–"
	}
	scale, unit := 1.0, " "+m.Unit
	switch m.Unit {
	case "share":
		scale, unit = 100, " points"
	case "count":
		unit = " a trial"
	}
	s := withSign(scale**m.Shift) + unit
	if m.Lower != nil && m.Upper != nil {
		s += fmt.Sprintf(" (%s to %s)", withSign(scale**m.Lower), withSign(scale**m.Upper))
	}
	return s
}

func withSign(v float64) string {
	if v > 0 {
		return "+" + short3(v)
	}
	return short3(v)
}

// short3 is a number with three digits that count, or the whole one.
func short3(v float64) string {
	if v == 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return fmt.Sprint(v)
	}
	digits := max(0, 2-int(math.Floor(math.Log10(math.Abs(v)))))
	s := fmt.Sprintf("%.*f", digits, v)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}
