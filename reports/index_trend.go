package reports

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"
)

// trendRuns is how many runs a picture shows, by form.
var trendRuns = map[string]int{"wide": 60, "narrow": 20}

// trends draws a picture for each scenario and setup: those first whose latest run wants
// a look, then those that ran last.
func (p *indexPage) trends(runs []IndexRun) {
	type key struct{ scenario, setup string }
	by := map[key][]*IndexRun{} // newest first
	var order []key
	for i := range runs {
		r := &runs[i]
		if !r.ended() {
			continue
		}
		k := key{r.Scenario, r.Setup}
		if by[k] == nil {
			order = append(order, k)
		}
		by[k] = append(by[k], r)
	}
	latest := map[string]string{} // scenario to setup
	for _, k := range order {
		if _, ok := latest[k.scenario]; !ok {
			latest[k.scenario] = k.setup
		}
	}
	place := func(k key) int {
		if latest[k.scenario] == k.setup && by[k][0].wanting() {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(order, func(a, b key) int { return place(a) - place(b) })
	for i, k := range order[:min(len(order), maxIndexTrends)] {
		title := orDash(clip(k.scenario, 80))
		if latest[k.scenario] != k.setup {
			title += " with an earlier load, topology or timeline"
		}
		ordered := slices.Clone(by[k])
		slices.Reverse(ordered)
		p.Trends = append(p.Trends, trendFigure(fmt.Sprintf("trend-%d", i+1), title, ordered))
	}
	if n := len(order) - maxIndexTrends; n > 0 {
		p.MoreTrends = fmt.Sprintf("%s more are not drawn.", countOf(n, "scenario or setup", "scenarios or setups"))
	}
}

// trendLane is one measure over the runs.
type trendLane struct {
	title  string
	height float64
	value  func(r *IndexRun) (v float64, ok bool)
	text   func(v float64) string
	bars   bool
}

var trendLanes = []trendLane{
	{"Failover", 96, (*IndexRun).failover, secondsText, false},
	{"RPO", 56, (*IndexRun).rpo, secondsText, false},
	{"Lost sessions and writes", 56, func(r *IndexRun) (float64, bool) {
		if r.LostSessions == nil || r.LostWrites == nil {
			return 0, false
		}
		return float64(*r.LostSessions + *r.LostWrites), true
	}, grouped, true},
}

func (r *IndexRun) failover() (float64, bool) { return r.measured(r.Failover) }
func (r *IndexRun) rpo() (float64, bool)      { return r.measured(r.RPO) }

// measured is a duration that can be drawn; one that was cut short is none.
func (r *IndexRun) measured(p *float64) (float64, bool) {
	if p == nil || !finite(*p) || *p < 0 || r.State != "finished" {
		return 0, false
	}
	return *p, true
}

func trendFigure(id, title string, runs []*IndexRun) figure {
	f := figure{ID: id, Title: title, Desc: trendText(runs)}
	for _, fm := range forms {
		f.Drawings = append(f.Drawings, trendDrawing(fm, runs[max(0, len(runs)-trendRuns[fm.name]):]))
	}
	switch wide, narrow := trendRuns["wide"], trendRuns["narrow"]; {
	case len(runs) > wide:
		f.Note = fmt.Sprintf("Drawn are the newest %d, on a narrow screen %d.", wide, narrow)
	case len(runs) > narrow:
		f.Note = fmt.Sprintf("On a narrow screen, the newest %d are drawn.", narrow)
	}
	return f
}

// trendText is the picture in words.
func trendText(runs []*IndexRun) string {
	var values []float64
	for _, r := range runs {
		if v, ok := r.failover(); ok {
			values = append(values, v)
		}
	}
	last := runs[len(runs)-1]
	text := fmt.Sprintf("%s. The last one, on %s, is %s", tallyRuns(runs), last.Started.Format("2 January 2006"), last.word())
	if _, ok := last.failover(); ok {
		text += " with a failover of " + last.failoverText()
		if len(values) > 1 {
			slices.Sort(values)
			text += fmt.Sprintf("; all lie between %s and %s", secondsText(values[0]), secondsText(values[len(values)-1]))
		}
	}
	return text + "."
}

func trendDrawing(f form, runs []*IndexRun) drawing {
	s := &sketch{width: float64(f.width)}
	const right = 14
	left := 64.0
	if f.name == "narrow" {
		left = 50
	}
	step := (s.width - left - right) / float64(max(len(runs), 8))
	x := func(i int) float64 { return left + step*(float64(i)+0.5) }

	// The verdicts, with what got worse below them.
	y := 16.0
	s.text("lane-title", "start", 0, y+4, "Verdict")
	for i, r := range runs {
		s.mark(markOf(r), x(i), y)
		if r.Regression != "" {
			s.mark("worse", x(i), y+15)
		}
	}
	y += 28
	for _, l := range trendLanes {
		if h := s.lane(l, runs, x, left, y, f.font); h > 0 {
			y += h
		}
	}
	s.dates(runs, x, y+10, f)
	d := s.drawing(f, y+20)
	for i, r := range runs {
		if sp, ok := (rect{left, 0, s.width, y}).at(x(i)-step/2, 0, x(i)+step/2, y, runText(r)); ok {
			sp.Link = r.Report
			d.Spots = append(d.Spots, sp)
		}
	}
	return d
}

// lane draws one measure and returns how much height that took.
func (s *sketch) lane(l trendLane, runs []*IndexRun, x func(int) float64, left, y float64, font vg.Length) float64 {
	top, any := 0.0, false
	for _, r := range runs {
		if v, ok := l.value(r); ok {
			top, any = max(top, v), true
		}
	}
	if !any {
		return 0
	}
	const head = 20
	s.text("lane-title", "start", 0, y+12, l.title)
	height := l.height
	if top == 0 {
		height = 14 // all of them: a line says so
	}
	base := y + head + height
	scale := height / (1.1 * max(top, 1e-9))
	if top > 0 {
		for _, v := range roundValues(top) {
			at := base - v*scale
			s.line("grid", left, at, s.width-4, at)
			s.text("axis-text", "end", left-6, at+4, fitText(l.text(v), font-1, vg.Length(left-6)))
		}
	} else {
		s.text("axis-text", "end", left-6, base+4, l.text(0))
	}
	s.line("lane-base", left, base, s.width-4, base)
	var path []float64
	if !l.bars {
		for i, r := range runs {
			if v, ok := l.value(r); ok {
				path = append(path, x(i), base-v*scale)
			}
		}
		s.path("trend", false, "", path...)
	}
	for i, r := range runs {
		v, ok := l.value(r)
		switch {
		case !ok:
		case l.bars && v > 0:
			w := min(14, (x(1)-x(0))*0.7)
			s.rect("loss", x(i)-w/2, base-v*scale, w, v*scale, "")
		case !l.bars:
			s.mark(markOf(r), x(i), base-v*scale)
		}
	}
	return head + height + 14
}

// roundValues are two to four round values up to top.
func roundValues(top float64) []float64 {
	step := math.Pow(10, math.Floor(math.Log10(top)))
	for _, m := range []float64{0.2, 0.5, 1, 2, 5} {
		if top/(step*m) <= 4 {
			step *= m
			break
		}
	}
	var vs []float64
	for v := step; v <= top*1.1 && len(vs) < 5; v += step {
		vs = append(vs, v)
	}
	return vs
}

// dates below the lanes: as many as fit at equal distances, the latest run's among them.
func (s *sketch) dates(runs []*IndexRun, x func(int) float64, y float64, f form) {
	layout := "2 Jan"
	if len(runs) > 1 && runs[0].Started.Format(layout) == runs[len(runs)-1].Started.Format(layout) {
		layout = "15:04"
	}
	room := 10.0
	for _, r := range runs {
		room = max(room, 10+wide(r.Started.Format(layout), f.font-1))
	}
	every := int(math.Ceil(room / (x(1) - x(0))))
	text := ""
	for i := (len(runs) - 1) % every; i < len(runs); i += every {
		if t := runs[i].Started.Format(layout); t != text {
			text = t
			s.text("axis-text", "middle", x(i), y+4, t)
		}
	}
}

func markOf(r *IndexRun) string {
	switch w := r.word(); w {
	case "met", "missed", "inconclusive":
		return w
	}
	return "none"
}

// mark is a sign that is told from the others without its colour.
func (s *sketch) mark(kind string, x, y float64) {
	const r = 4
	circle := fmt.Sprintf("M%s %sa%d %d 0 1 0 %d 0a%d %d 0 1 0 -%d 0Z", px(x-r), px(y), r, r, 2*r, r, r, 2*r)
	class := "is-" + kind
	switch kind {
	case "missed":
		d := fmt.Sprintf("M%s %sL%s %sM%s %sL%s %s", px(x-r), px(y-r), px(x+r), px(y+r), px(x+r), px(y-r), px(x-r), px(y+r))
		s.shapes = append(s.shapes, shape{Kind: "path", Class: class, D: d})
	case "none":
		s.line(class, x-r, y, x+r, y)
	case "worse":
		s.path(class, true, "", x, y-5, x+5, y+5, x-5, y+5)
	default:
		s.shapes = append(s.shapes, shape{Kind: "path", Class: class, D: circle})
	}
}

// runText is what a run shows while the pointer is on it.
func runText(r *IndexRun) string {
	parts := []string{r.Started.Format(indexTime) + ": " + r.word()}
	if _, ok := r.failover(); ok {
		parts = append(parts, "failover "+r.failoverText())
	}
	if v, ok := r.rpo(); ok {
		parts = append(parts, "RPO "+secondsText(v))
	}
	if lost := lostText(r); lost != "–" {
		parts = append(parts, "lost "+lost)
	}
	if r.Regression != "" {
		parts = append(parts, "regression: "+clip(r.Regression, 200))
	}
	return strings.Join(parts, "\n")
}
