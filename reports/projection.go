package reports

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/fivenines/fivenines/slo"
	"github.com/fivenines/fivenines/slo/projection"
)

// WriteProjectionJSON writes the projection indented, in the order of its fields.
func WriteProjectionJSON(w io.Writer, p *projection.Projection) error {
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("projection as JSON: %w", err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// projected is the projection as every format shows it: the same words and
// figures, whatever the form around them.
type projected struct {
	Verdict slo.Verdict
	Title   string   // what was asked
	Why     string   // the verdict's figures
	Words   []string // plain sentences
	Facts   string   // where the figures come from

	Levels, Classes, Halving, Rates grid
	Sources                         grid
	Notes                           []noted
}

// grid is a table in text; a heading that begins with # is one of numbers.
type grid struct {
	Caption string
	Head    []string
	Rows    [][]string
}

// noted is a list under a heading.
type noted struct {
	Title string
	Items []string
}

// maxListed bounds the lists and rows of a projection.
const maxListed = 60

func projectedOf(p *projection.Projection) *projected {
	out := &projected{
		Verdict: projectionVerdict(p), Title: fmt.Sprintf("Availability of %s a year, projected", availabilityText(p.Objective)), Why: clean(p.Why),
		Facts: fmt.Sprintf("%s simulated years, rates of %s, seed %d, intervals of %s", grouped(float64(p.Years)), orDash(clean(p.Model)), p.Seed, likelyText(p.Confidence, 0)),
	}
	for _, s := range p.Words() {
		out.Words = append(out.Words, clean(s))
	}
	out.levels(p)
	out.classes(p)
	out.halving(p)
	out.rates(p)
	out.notes(p)
	return out
}

// projectionVerdict shows nothing green but what is met.
func projectionVerdict(p *projection.Projection) slo.Verdict {
	if v := known(slo.Verdict(p.Verdict)); v != slo.NotEvaluated {
		return v
	}
	return slo.Inconclusive
}

func (out *projected) levels(p *projection.Projection) {
	out.Levels = grid{Caption: "How many years stay inside the downtime that an availability allows.", Head: []string{"Availability", "#Allowed a year", "#Years inside", "#At least", "#At most", "In words"}}
	for i := range limited(p.Levels) {
		l := &p.Levels[i]
		required := 0.0
		name := availabilityText(l.Availability)
		if l.Availability == p.Objective {
			name += " (objective)"
			required = p.Required
		}
		out.Levels.Rows = append(out.Levels.Rows, []string{
			name, downtimeText(l.BudgetS), likelyText(l.Probability.Value, required), likelyText(l.Probability.Lower, required), likelyText(l.Probability.Upper, required),
			projection.YearsInside(l.Probability.Value),
		})
	}
}

func (out *projected) classes(p *projection.Projection) {
	out.Classes = grid{Caption: "What the downtime of a year comes from.", Head: []string{"Class", "#Downtime a year", "#Share", "#Of the budget", "#Events a year", "#Outage of one", "#From undoing", "Measured by"}}
	for i := range limited(p.Classes) {
		c := &p.Classes[i]
		name, by := clean(c.Name), ""
		switch {
		case c.Class == "":
			name, by = "overlaps (two faults at once)", "the topology"
		case c.Basis == projection.BasisTrials:
			by = fmt.Sprintf("%s, %s", clean(c.Scenario), countOf(c.Trials, "trial", "trials"))
			if c.Censored > 0 {
				by += fmt.Sprintf(", %d not seen to end", c.Censored)
			}
		case c.Basis == projection.BasisAssumption:
			by = "assumed"
		default:
			by = "NOT MEASURED"
		}
		row := []string{name, downtimeText(c.MeanS), likelyText(c.Share, 0), budgetText(c.OfBudget), rateText(c.Events), downtimeText(c.EventS), downtimeText(c.UndoS), by}
		if by == "NOT MEASURED" {
			row[1] = by // also where a narrow form has no room for the last column
			for _, i := range []int{2, 3, 5, 6} {
				row[i] = "?"
			}
		}
		out.Classes.Rows = append(out.Classes.Rows, row)
	}
}

func (out *projected) halving(p *projection.Projection) {
	out.Halving = grid{Caption: "Years inside the budget if one class were better. The first one is the one to fix first.", Head: []string{"Class", "#Now", "#Outages half as long", "#Half as many", "#Repaired in half the time"}}
	for i := range limited(p.Sensitivity) {
		s := &p.Sensitivity[i]
		out.Halving.Rows = append(out.Halving.Rows, []string{
			clean(s.Class), likelyText(s.Base, p.Required), likelyText(s.HalfDuration, p.Required), likelyText(s.HalfRate, p.Required), likelyText(s.HalfRepair, p.Required),
		})
	}
}

func (out *projected) rates(p *projection.Projection) {
	out.Rates = grid{Caption: "How often what fails, by the rates file.", Head: []string{"Class", "#A part and year", "#Range of 90 %", "#Parts", "Back after", "What it is"}}
	out.Sources = grid{Caption: "Where the rates come from.", Head: []string{"Class", "Source", "It says", "How the figures follow", "Address"}}
	for i := range limited(p.Rates) {
		r := &p.Rates[i]
		span := "known"
		switch {
		case r.Maintenance:
			span = "planned"
		case r.RateHigh > r.RateLow:
			span = rateText(r.RateLow) + " to " + rateText(r.RateHigh)
		}
		out.Rates.Rows = append(out.Rates.Rows, []string{
			clean(r.Name), rateText(r.Rate), span, fmt.Sprintf("%s × %s", grouped(float64(r.Count)), clean(r.Parts)), clean(r.Repair), clean(r.Description),
		})
		for j := range limited(r.Sources) {
			s := &r.Sources[j]
			title := clean(s.Title)
			if s.Year != 0 {
				title += fmt.Sprintf(", %d", s.Year)
			}
			derived := clean(s.Derived)
			if s.Estimate {
				derived = estimated + derived
			}
			address := strings.TrimPrefix(strings.TrimPrefix(clean(s.URL), "https://"), "http://")
			out.Sources.Rows = append(out.Sources.Rows, []string{clean(r.Name), title, orDash(clean(s.Says)), orDash(derived), orDash(address)})
		}
	}
}

func (out *projected) notes(p *projection.Projection) {
	add := func(title string, items []string) {
		if len(items) == 0 {
			return
		}
		n := noted{Title: title}
		for i := range limited(items) {
			n.Items = append(n.Items, clean(items[i]))
		}
		if more := len(items) - len(n.Items); more > 0 {
			n.Items = append(n.Items, fmt.Sprintf("and %d more", more))
		}
		out.Notes = append(out.Notes, n)
	}
	add("Not measured, and so not in these figures", p.NotMeasured)
	add("Assumed, since no trial measured it", p.Assumptions)
	add("By these rules", p.Notes)
	add("Not covered", p.LeavesOut)
}

// estimated marks figures that no source gives.
const estimated = "Estimate: "

// limited is a range over the first items.
func limited[T any](items []T) []T { return items[:min(len(items), maxListed)] }

// downtimeText is a duration of any length for a person.
func downtimeText(s float64) string {
	switch a := math.Abs(s); {
	case !finite(s):
		return "?"
	case a > 0 && a < 0.001:
		return "< 0.001 s"
	case a < 100:
		return secondsText(s)
	case a < 2*3600:
		return significant(s/60) + " min"
	case a < 2*86400:
		return significant(s/3600) + " h"
	}
	return significant(s/86400) + " d"
}

// rateText is a number of events a year.
func rateText(v float64) string {
	if finite(v) && v > 0 && v < 0.0001 {
		return "< 0.0001"
	}
	return significant(v)
}

// significant has three figures, and all those before the point.
func significant(v float64) string {
	switch a := math.Abs(v); {
	case !finite(v):
		return "?"
	case a >= 100:
		return grouped(v)
	case a >= 10:
		return fixed(v, 1)
	case a >= 1:
		return fixed(v, 2)
	case a >= 0.1:
		return fixed(v, 3)
	}
	return fixed(v, 4)
}

// likelyText is a probability in percent: never rounded to none or all, and
// never across what was asked for.
func likelyText(p, required float64) string {
	switch {
	case !(p >= 0 && p <= 1):
		return "?"
	case p > 0 && p < 0.0005:
		return "< 0.1 %"
	case p < 1 && p > 0.9995 && (required < 0.9995 || p == required):
		return "> 99.9 %"
	}
	for d := 1; d < 9; d++ {
		rounded := math.Round(p*100*math.Pow(10, float64(d))) / math.Pow(10, float64(d)) / 100
		if (rounded >= required) == (p >= required) && (rounded == 1) == (p == 1) && (rounded == 0) == (p == 0) {
			return fixed(p*100, d) + " %"
		}
	}
	return fixed(p*100, 9) + " %"
}

// budgetText is a share of the budget, which may be many times it.
func budgetText(v float64) string {
	switch {
	case !finite(v):
		return "?"
	case v >= 10:
		return fixed(v, 0) + " times"
	case v > 0 && v < 0.0005:
		return "< 0.1 %"
	}
	return fixed(v*100, 1) + " %"
}

// availabilityText has as many digits as the availability's nines, rounded down.
func availabilityText(a float64) string {
	if !(a >= 0 && a <= 1) {
		return "?"
	}
	digits := 2
	if a < 1 {
		digits = min(8, max(2, int(math.Ceil(-math.Log10(1-a)))))
	}
	scale := math.Pow(10, float64(digits))
	return fixed(math.Floor(a*100*scale+1e-6)/scale, digits) + " %"
}
