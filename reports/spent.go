package reports

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/fivenines/fivenines/slo"
)

// spent is what the time of one fault's outage went into.
type spent struct {
	name     string
	took     [4]*float64 // detect, elect, route, reconnect
	whole    float64
	censored bool
}

var phaseTitles = [4]struct{ name, until string }{
	{"detect", "the platform names the failure"},
	{"elect", "the last election that was needed"},
	{"route", "a region is promoted, or any shard takes writes"},
	{"reconnect", "the last shard takes writes"},
}

// maxSpent bounds the faults of the picture.
const maxSpent = 40

// spentPhases are the phases of every fault that cost an outage, in order.
func spentPhases(r *slo.Result) []spent {
	var out []spent
	for n := range r.Trials {
		t := &r.Trials[n]
		for i := range t.Faults {
			f := &t.Faults[i]
			if f.Phases == nil || f.Failover == nil {
				continue
			}
			s := spent{censored: f.Failover.Censored, took: [4]*float64{f.Phases.Detect, f.Phases.Elect, f.Phases.Route, f.Phases.Reconnect}}
			any := false
			for k, d := range s.took {
				if d != nil && !(finite(*d) && *d >= 0) {
					s.took[k] = nil
				}
				if s.took[k] != nil {
					s.whole += *s.took[k]
					any = true
				}
			}
			if !any || !finite(s.whole) {
				continue
			}
			switch {
			case len(r.Trials) > 1 && len(t.Faults) > 1:
				s.name = fmt.Sprintf("trial %d, fault %d", n+1, i+1)
			case len(r.Trials) > 1:
				s.name = fmt.Sprintf("trial %d", n+1)
			case len(t.Faults) > 1:
				s.name = fmt.Sprintf("%d: %s", i+1, clip(faultText(f), 60))
			default:
				s.name = clip(faultText(f), 60)
			}
			out = append(out, s)
		}
	}
	return out
}

func spentFigure(all []spent) figure {
	fig := figure{ID: "spent-picture", Title: "What the outage of each fault went into"}
	for i, p := range phaseTitles {
		fig.Keys = append(fig.Keys, key{fmt.Sprintf("phase-%d", i+1), p.name + ": until " + p.until})
	}
	ss := all
	if len(ss) > maxSpent {
		ss = slices.Clone(ss)
		order := make([]int, len(ss))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(ss[b].whole, ss[a].whole) })
		order = order[:maxSpent]
		slices.Sort(order)
		var kept []spent
		for _, i := range order {
			kept = append(kept, ss[i])
		}
		ss = kept
		fig.Note = fmt.Sprintf("The %d longest of %d.", maxSpent, len(all))
	}
	long := slices.MaxFunc(ss, func(a, b spent) int { return cmp.Compare(a.whole, b.whole) })
	fig.Desc = fmt.Sprintf("From the instant asked to the last shard's first good write, in %s. The longest took %s (%s): %s.", countOf(len(all), "outage", "outages"), secondsText(long.whole), long.name, long.text())
	if slices.ContainsFunc(ss, func(s spent) bool { return s.censored }) {
		fig.Desc += " An arrow marks an outage that was not over when the load stopped, in the phase that it was stuck in."
	}
	for _, f := range forms {
		fig.Drawings = append(fig.Drawings, drawSpent(ss, f))
	}
	return fig
}

// text lists the phases with their lengths.
func (s *spent) text() string {
	out := ""
	for i, d := range s.took {
		if d == nil {
			continue
		}
		if out != "" {
			out += ", "
		}
		out += phaseTitles[i].name + " " + secondsText(*d)
	}
	return out
}

func drawSpent(ss []spent, f form) drawing {
	const pitch, height = 26.0, 16.0
	s := &sketch{width: float64(f.width)}
	font := float64(f.font)
	longest := 0.0
	left, right := 8.0, 0.0
	for i := range ss {
		longest = max(longest, ss[i].whole)
		left = max(left, min(0.34*s.width, wide(ss[i].name, f.font))+16)
		right = max(right, wide(ss[i].total(), f.font)+16)
	}
	if !(longest > 0) {
		longest = 1
	}
	scale := (s.width - left - right) / longest
	bottom := float64(len(ss))*pitch + 4
	for _, tick := range linearTicks(0, longest, f.ticksX, timeSteps, since) {
		x := left + tick.Value*scale
		s.line("grid", x, 0, x, bottom+4)
		s.text("axis-text", "middle", x, bottom+font+6, tick.Label)
	}
	for i := range ss {
		p := &ss[i]
		y := float64(i)*pitch + 4
		s.text("lane-name", "end", left-8, y+height-3.5, fitted(p.name, f.font, left-12))
		x, last := left, -1
		for k, d := range p.took {
			if d == nil {
				continue
			}
			last = k
			w := *d * scale
			class := fmt.Sprintf("phase-%d", k+1)
			s.rect(class, x, y, w, height, fmt.Sprintf("%s: %s %s, until %s", p.name, phaseTitles[k].name, secondsText(*d), phaseTitles[k].until))
			for _, text := range []string{phaseTitles[k].name + " " + secondsText(*d), secondsText(*d), phaseTitles[k].name[:1]} {
				if wide(text, f.font-1)+6 < w {
					s.text("on-phase", "middle", x+w/2, y+height-4.5, text)
					break
				}
			}
			x += w
		}
		if p.censored && last >= 0 {
			s.path("op-arrow", true, "", x, y-1, x+8, y+height/2, x, y+height+1)
			x += 8
		}
		s.text("lane-name", "start", x+6, y+height-3.5, p.total())
	}
	s.line("axis", left, bottom, s.width-right, bottom)
	s.text("axis-text", "middle", (left+s.width-right)/2, bottom+2*font+9, sinceAsked)
	return s.drawing(f, bottom+2*font+14)
}

func (s *spent) total() string {
	if s.censored {
		return "at least " + secondsText(s.whole)
	}
	return secondsText(s.whole)
}

func spentTable(all []spent) table {
	t := table{Caption: "What the outage of each fault went into: seconds from the instant asked to the last shard's first good write.", Head: heads("Fault", "#Detect", "#Elect", "#Route", "#Reconnect", "#In all")}
	for i := range all {
		if i == maxTrials {
			t.Note = fmt.Sprintf("The first %d; %d more in result.json.", maxTrials, len(all)-i)
			break
		}
		row := []cell{{Text: all[i].name}}
		for _, d := range all[i].took {
			if d == nil {
				row = append(row, num(""))
			} else {
				row = append(row, num(secondsText(*d)))
			}
		}
		t.Rows = append(t.Rows, append(row, num(all[i].total())))
	}
	return t
}
