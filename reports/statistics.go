package reports

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/fivenines/fivenines/slo"
)

// statRow is one measure over the trials, as text.
type statRow struct {
	Name, N, Median, Mean, Bound, Missing string
}

// statRows leaves out counts that are 0 in every trial: one sentence says it of all.
func statRows(s *slo.Statistics) (rows []statRow, clean []string, upper *float64) {
	for i := range s.Measures {
		m := &s.Measures[i]
		if m.Unit == "count" && m.Misses == 0 && m.Missing != nil && m.Median != nil && m.Median.Value == 0 {
			clean = append(clean, m.Name)
			if m.Missing.Upper != nil && (upper == nil || *m.Missing.Upper > *upper) {
				upper = m.Missing.Upper
			}
			continue
		}
		r := statRow{Name: m.Name, N: fmt.Sprint(len(m.Values)), Median: statValue(m.Median, m.Unit), Mean: statValue(m.Mean, m.Unit), Bound: "–", Missing: "–"}
		censored := 0
		for _, v := range m.Values {
			if v.Censored {
				censored++
			}
		}
		if censored > 0 {
			r.N += fmt.Sprintf(", %d not seen to end", censored)
		}
		if m.UpperBound != nil {
			r.Bound = fmt.Sprintf("p%s at most %s", short3(100*s.Quantile), inUnit(*m.UpperBound, m.Unit))
		}
		if m.Missing != nil {
			r.Missing = fmt.Sprintf("%d", m.Misses)
			if m.Missing.Lower != nil && m.Missing.Upper != nil {
				r.Missing += fmt.Sprintf(": %s to %s %% of all trials", short3(100**m.Missing.Lower), short3(100**m.Missing.Upper))
			}
		}
		rows = append(rows, r)
	}
	return rows, clean, upper
}

func statValue(v *slo.Value, unit string) string {
	if v == nil {
		return "–"
	}
	s := inUnit(v.Value, unit)
	switch {
	case v.Lower != nil && v.Upper != nil:
		s += fmt.Sprintf(" (%s to %s)", inUnit(*v.Lower, ""), inUnit(*v.Upper, unit))
		if unit == "share" {
			s = fmt.Sprintf("%s (%s to %s)", inUnit(v.Value, unit), short3(100**v.Lower), inUnit(*v.Upper, unit))
		}
	case v.Lower != nil:
		s += fmt.Sprintf(" (at least %s)", inUnit(*v.Lower, unit))
	}
	return s
}

func inUnit(v float64, unit string) string {
	switch unit {
	case "share":
		return fmt.Sprintf("%.4g %%", 100*v)
	case "count", "":
		return short3(v)
	}
	return short3(v) + " " + unit
}

// statSentences say what the statistics are of, and what clean trials bound.
func statSentences(s *slo.Statistics) []string {
	text := fmt.Sprintf("The unit is the trial: %s", countOf(s.Trials, "valid trial", "valid trials"))
	if s.Void > 0 {
		text += fmt.Sprintf(" (%s left out)", countOf(s.Void, "void one is", "void ones are"))
	}
	text += fmt.Sprintf(", which can bound no quantile above p%s; intervals are for %s %% confidence.", short3(100*s.Quantile), short3(100*s.Confidence))
	if s.Sequential {
		text += " Trials went on until they had decided; their intervals of shares hold whenever one stops."
	}
	out := []string{text}
	if _, clean, upper := statRows(s); len(clean) > 0 {
		c := fmt.Sprintf("In no trial was there any of: %s.", strings.Join(clean, ", "))
		if upper != nil {
			c += fmt.Sprintf(" Of all possible trials at most %s %% would have one, for each.", short3(100**upper))
		}
		out = append(out, c)
	}
	return out
}

func statisticsTable(s *slo.Statistics) *table {
	rows, _, _ := statRows(s)
	t := &table{Caption: "Over the trials", Note: strings.Join(statSentences(s), " "), Head: heads("Measure", "Trials", "Median", "Mean", "Bound", "Trials that miss")}
	for _, r := range rows {
		t.Rows = append(t.Rows, []cell{{Text: r.Name}, {Text: r.N, Num: true}, {Text: r.Median}, {Text: r.Mean}, {Text: r.Bound}, {Text: r.Missing}})
	}
	return t
}

// statistics is the same for a terminal.
func (s *screen) statistics(st *slo.Statistics) {
	s.WriteString("\n" + s.paint("1", "Over the trials") + "\n")
	for _, text := range statSentences(st) {
		s.wrapped("", "2", text)
	}
	rows, _, _ := statRows(st)
	tw := tabwriter.NewWriter(&s.Builder, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "MEASURE\tTRIALS\tMEDIAN\tMEAN\tBOUND\tTRIALS THAT MISS")
	for _, r := range rows {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, r.N, r.Median, r.Mean, r.Bound, r.Missing)
	}
	_ = tw.Flush() // a strings.Builder takes everything
}

func markdownStatistics(s *slo.Statistics) string {
	var b strings.Builder
	b.WriteString("\n**Over the trials**\n\n")
	for _, text := range statSentences(s) {
		b.WriteString(md(text, maxText) + "\n")
	}
	b.WriteString("\n| Measure | Trials | Median | Mean | Bound | Trials that miss |\n|---|---|---|---|---|---|\n")
	rows, _, _ := statRows(s)
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", md(r.Name, 100), r.N, r.Median, r.Mean, r.Bound, r.Missing)
	}
	return b.String()
}
