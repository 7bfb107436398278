package reports

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/slo"
)

// maxColumns bounds the points of a series; a longer one keeps its worst values.
const maxColumns = 320

// longRun is what still fits one picture at a second a point.
const longRun = 240.0

// column is a span of the timeline: a second, or the worst of several.
type column struct {
	from, to                             float64 // seconds since the epoch
	offered, served, bad                 float64 // a second
	readP50, readP99, writeP50, writeP99 float64 // milliseconds, 0 where there is none
}

// columns cuts the slices in [from, to) into at most maxColumns columns: the
// lowest served rate, the most bad operations and the highest latencies of each.
func columns(slices []slo.Slice, from, to float64) []column {
	width := 1.0
	if to-from > maxColumns {
		width = math.Ceil((to - from) / maxColumns)
	}
	var out []column
	n := 0 // seconds in the last column
	for i := range slices {
		s := &slices[i]
		at := float64(s.Second)
		if at < from || at >= to {
			continue
		}
		start := from + math.Floor((at-from)/width)*width
		if len(out) == 0 || out[len(out)-1].from != start {
			out = append(out, column{from: start, to: start + width, served: math.Inf(1)})
			n = 0
		}
		c := &out[len(out)-1]
		n++
		c.offered += (float64(s.Intended) - c.offered) / float64(n)
		c.served = min(c.served, float64(s.Good))
		c.bad = max(c.bad, float64(s.Bad))
		for _, q := range []struct {
			to   *float64
			from float64
		}{{&c.readP50, s.ReadP50}, {&c.readP99, s.ReadP99}, {&c.writeP50, s.WriteP50}, {&c.writeP99, s.WriteP99}} {
			if finite(q.from) && q.from > 0 {
				*q.to = max(*q.to, min(max(q.from, 0.001), 1e9)) // what a picture can show
			}
		}
	}
	return out
}

// band is a fault in force, on the timeline.
type band struct {
	asked, undone float64 // since the epoch; undone is +Inf where it was not
	text          string
}

// view is a part of the run's time that becomes a picture.
type view struct {
	id, title string
	from, to  float64
	origin    float64
	fromFault bool // the origin is the instant a fault was asked
}

func bands(r *slo.Result) []band {
	var out []band
	for _, t := range r.Trials {
		for i := range t.Faults {
			f := &t.Faults[i]
			if !finite(f.AskedS) {
				continue
			}
			b := band{f.AskedS, math.Inf(1), faultText(f)}
			if f.UndoneS != nil && finite(f.UndoneS.Value) {
				b.undone = f.UndoneS.Value
			}
			out = append(out, b)
		}
	}
	return out
}

// bandsIn are the faults in force within a view.
func bandsIn(r *slo.Result, v view) []band {
	return slices.DeleteFunc(bands(r), func(b band) bool { return b.asked >= v.to || b.undone <= v.from })
}

func faultText(f *slo.FaultRecord) string {
	if f.Text != "" {
		return clean(f.Text)
	}
	return clean(f.Kind)
}

// views chooses what to show of the timeline: all of it, and where that is
// long or has several trials, the surroundings of the worst fault too.
func views(r *slo.Result) []view {
	if len(r.Timeline) == 0 {
		return nil
	}
	lo, hi := math.Inf(1), math.Inf(-1)
	for i := range r.Timeline {
		lo, hi = min(lo, float64(r.Timeline[i].Second)), max(hi, float64(r.Timeline[i].Second)+1)
	}
	bs := bands(r)
	// A fault is often undone after the load: shown where it is near.
	for _, b := range bs {
		if finite(b.undone) && b.undone > hi && b.undone-hi < (hi-lo)/4 {
			hi = math.Ceil(b.undone)
		}
	}
	all := view{id: "timeline", title: "The whole run", from: lo, to: hi}
	w := worst(r)
	if w < 0 || len(r.Trials[w].Faults) == 0 || !finite(r.Trials[w].Faults[0].AskedS) {
		return []view{all}
	}
	asked := r.Trials[w].Faults[0].AskedS
	if len(r.Trials) == 1 && hi-lo <= longRun {
		all.origin, all.fromFault = asked, true
		all.title = "Rate, latency and events around the fault"
		return []view{all}
	}
	near := view{
		id: "timeline-fault", title: "Around the fault", origin: asked, fromFault: true,
		from: max(lo, math.Floor(asked)-15), to: min(hi, math.Ceil(asked)+45),
	}
	if o := r.Trials[w].Measures.Failover; o != nil {
		for _, p := range o.Partitions {
			if finite(p.End) {
				near.to = min(hi, max(near.to, math.Ceil(p.End)+10))
			}
		}
	}
	near.to = min(near.to, near.from+longRun)
	start, end := phaseAround(r.Timeline, asked)
	if u := r.Trials[w].Faults[0].UndoneS; u != nil && u.Value > end && u.Value < end+10 {
		end = math.Ceil(u.Value)
	}
	near.from, near.to = max(near.from, start), min(near.to, end)
	if len(r.Trials) > 1 {
		near.title = fmt.Sprintf("Around the fault of trial %d, the one with the longest failover", w+1)
		// Stop before the next trial begins.
		for i := range bs {
			if bs[i].asked > asked && bs[i].asked-15 < near.to && bs[i].asked-15 > asked {
				near.to = bs[i].asked - 15
			}
		}
	}
	if near.to-near.from < 2 {
		return []view{all}
	}
	return []view{near, all}
}

// phaseAround is the stretch of load without a gap that an instant falls into,
// or that begins after it.
func phaseAround(slices []slo.Slice, at float64) (from, to float64) {
	for i := range slices {
		s := float64(slices[i].Second)
		switch {
		case i == 0 || s > to+1 && to < at:
			from = s
		case s > to+1:
			return from, to
		}
		to = s + 1
	}
	return from, to
}

// timelineFigure is rate, latency and events over a part of the run.
func timelineFigure(r *slo.Result, v view) (figure, []column, error) {
	cols := columns(r.Timeline, v.from, v.to)
	fig := figure{ID: v.id, Title: v.title, Desc: describe(r, v, cols), Keys: []key{
		{"offered", "offered"}, {"served", "served in time"}, {"bad", "bad (failed, late, unanswered or unsent)"},
		{"read50", "reads, median"}, {"read99", "reads, 99th percentile"}, {"write50", "writes, median"}, {"write99", "writes, 99th percentile"},
	}}
	if len(bands(r)) > 0 {
		fig.Keys = append(fig.Keys, key{"fault", "fault in force"})
	}
	if _, ok := planLane(r, v); ok {
		fig.Keys = append(fig.Keys, key{"plan", "step of the plan"})
		fig.Desc += planText(r, &r.Trials[worst(r)])
	}
	if len(cols) > 0 && cols[0].to-cols[0].from > 1 {
		fig.Note = fmt.Sprintf("Each point is the worst second of %.0f.", cols[0].to-cols[0].from)
	} else if cutShort(cols) {
		fig.Note = "Where the load starts or stops, a second is not full."
	}
	for _, f := range forms {
		d, err := drawTimeline(r, v, cols, f)
		if err != nil {
			return fig, nil, fmt.Errorf("picture %s: %w", v.id, err)
		}
		fig.Drawings = append(fig.Drawings, d)
	}
	return fig, cols, nil
}

// cutShort says whether a stretch of load begins or ends with a part of a second.
func cutShort(cols []column) bool {
	for i := range cols {
		c := &cols[i]
		if first := i == 0 || cols[i-1].to < c.from; first && i+1 < len(cols) && c.offered < 0.9*cols[i+1].offered {
			return true
		}
		if last := i == len(cols)-1 || c.to < cols[i+1].from; last && i > 0 && c.offered < 0.9*cols[i-1].offered {
			return true
		}
	}
	return false
}

func drawTimeline(r *slo.Result, v view, cols []column, f form) (drawing, error) {
	base, ticks, axis := timeAxis(r, v, f)
	bs := bandsIn(r, v)

	most := 1.0
	for _, c := range cols {
		most = max(most, c.offered, c.served, c.bad)
	}
	rate := base()
	rate.Y.Min, rate.Y.Max = 0, most*1.12
	rate.Y.Tick.Marker = linearTicks(0, rate.Y.Max, 5, nil, compact)
	if err := addSteps(rate, cols, v.origin, []series{
		{colour: "served", fill: "served-fill", width: 1.6, of: func(c *column) float64 { return c.served }},
		{colour: "offered", width: 1.2, dashes: []vg.Length{5, 3}, of: func(c *column) float64 { return c.offered }},
		{colour: "bad", fill: "bad", width: 1.2, of: func(c *column) float64 { return c.bad }, gaps: true},
	}); err != nil {
		return drawing{}, err
	}
	rate.Add(plotFunc(func(c draw.Canvas, p *plot.Plot) { labelBands(c, p, f, bs, v.origin) }))
	panels := []panel{{plot: rate, title: "operations a second", height: 190, spots: func(x, _ func(float64) float64, a rect) []spot {
		return columnSpots(cols, v, x, a)
	}}}

	low, high := math.Inf(1), 0.0
	for _, c := range cols {
		for _, q := range []float64{c.readP50, c.readP99, c.writeP50, c.writeP99} {
			if q > 0 {
				low, high = min(low, q), max(high, q)
			}
		}
	}
	if high > 0 {
		lat := base()
		logAxis(lat, low, high)
		dashes := []vg.Length{3, 2}
		if err := addSteps(lat, cols, v.origin, []series{
			{colour: "read", width: 1.1, dashes: dashes, of: func(c *column) float64 { return c.readP50 }, gaps: true},
			{colour: "write", width: 1.1, dashes: dashes, of: func(c *column) float64 { return c.writeP50 }, gaps: true},
			{colour: "read", width: 1.8, of: func(c *column) float64 { return c.readP99 }, gaps: true},
			{colour: "write", width: 1.8, of: func(c *column) float64 { return c.writeP99 }, gaps: true},
		}); err != nil {
			return drawing{}, err
		}
		panels = append(panels, panel{plot: lat, title: "latency from the intended start (logarithmic)", height: 170, spots: func(x, _ func(float64) float64, a rect) []spot {
			return columnSpots(cols, v, x, a)
		}})
	}
	if lanes := lanesOf(r, v); len(lanes) > 0 {
		panels = append(panels, eventsPanel(base(), lanes, v, f))
	}
	labelAxis(&panels[len(panels)-1], ticks, axis, f)
	return stack(f, panels)
}

// series is one line of a timeline panel.
type series struct {
	colour, fill string
	width        vg.Length
	dashes       []vg.Length
	of           func(*column) float64
	gaps         bool // 0 is no value
}

// addSteps draws series as steps, one a column, broken where columns are missing.
func addSteps(p *plot.Plot, cols []column, origin float64, all []series) error {
	for _, s := range all {
		var run plotter.XYs
		end := 0.0
		flush := func() error {
			if len(run) == 0 {
				return nil
			}
			run = append(run, plotter.XY{X: end, Y: run[len(run)-1].Y})
			l, err := plotter.NewLine(run)
			if err != nil {
				return err
			}
			l.StepStyle = plotter.PostStep
			l.LineStyle = draw.LineStyle{Color: paint(s.colour), Width: s.width, Dashes: s.dashes}
			if s.fill != "" {
				l.FillColor = paint(s.fill)
			}
			// Not Plot.Add: it would widen the axes, which are set.
			p.Add(plotFunc(l.Plot))
			run = nil
			return nil
		}
		for i := range cols {
			c := &cols[i]
			y := s.of(c)
			none := s.gaps && y <= 0 || !finite(y)
			if none || len(run) > 0 && c.from-origin > end+1e-9 {
				if err := flush(); err != nil {
					return err
				}
			}
			if none {
				continue
			}
			run = append(run, plotter.XY{X: c.from - origin, Y: y})
			end = c.to - origin
		}
		if err := flush(); err != nil {
			return err
		}
	}
	return nil
}

func columnSpots(cols []column, v view, x func(float64) float64, a rect) []spot {
	var out []spot
	for i := range cols {
		c := &cols[i]
		if s, ok := a.at(x(c.from-v.origin), a.y0, x(c.to-v.origin), a.y1, columnText(c, v)); ok {
			out = append(out, s)
		}
	}
	return out
}

func columnText(c *column, v view) string {
	s := fmt.Sprintf("%s: offered %s/s, served %s/s, bad %s/s", instant(c.from, v), grouped(c.offered), grouped(c.served), grouped(c.bad))
	for _, q := range []struct {
		what     string
		p50, p99 float64
	}{{"reads", c.readP50, c.readP99}, {"writes", c.writeP50, c.writeP99}} {
		if q.p99 > 0 {
			s += fmt.Sprintf("; %s median %s, 99th percentile %s", q.what, millisText(q.p50), millisText(q.p99))
		}
	}
	return s
}

// instant is a time as the view counts it.
func instant(at float64, v view) string {
	if v.fromFault {
		return "T" + signed(at-v.origin) + " s"
	}
	return fixed(at-v.origin, 2) + " s"
}

func signed(v float64) string {
	s := fixed(v, 2)
	if !strings.HasPrefix(s, "-") {
		s = "+" + s
	}
	return s
}

func drawnBands(bs []band, origin float64) plotFunc {
	return func(c draw.Canvas, p *plot.Plot) { drawBands(c, p, bs, origin) }
}

func drawBands(c draw.Canvas, p *plot.Plot, bs []band, origin float64) {
	x, _ := p.Transforms(&c)
	for _, b := range bs {
		x0, x1 := max(c.Min.X, x(b.asked-origin)), c.Max.X
		if finite(b.undone) {
			x1 = min(c.Max.X, x(b.undone-origin))
		}
		if x1 <= x0 {
			continue
		}
		c.FillPolygon(paint("band"), []vg.Point{{X: x0, Y: c.Min.Y}, {X: x1, Y: c.Min.Y}, {X: x1, Y: c.Max.Y}, {X: x0, Y: c.Max.Y}})
		edge := draw.LineStyle{Color: paint("fault"), Width: 1.2}
		if b.asked-origin >= p.X.Min {
			c.StrokeLine2(edge, x0, c.Min.Y, x0, c.Max.Y)
		}
		edge.Dashes = []vg.Length{2, 2}
		if finite(b.undone) && b.undone-origin <= p.X.Max {
			c.StrokeLine2(edge, x1, c.Min.Y, x1, c.Max.Y)
		}
	}
}

// labelBands writes what each band is at its upper left, below each other
// where they would touch.
func labelBands(c draw.Canvas, p *plot.Plot, f form, bs []band, origin float64) {
	x, _ := p.Transforms(&c)
	style := textStyle(f.font, "fault")
	style.YAlign = draw.YTop
	var ends []vg.Length // of the last text on each line
	if len(bs) > 6 {
		return // an overview: the table of faults tells them apart
	}
	for _, b := range bs {
		x0 := max(c.Min.X, x(b.asked-origin)) + 4
		line := slices.IndexFunc(ends, func(e vg.Length) bool { return e < x0 })
		if line < 0 {
			line = len(ends)
			ends = append(ends, 0)
		}
		if line > 3 {
			continue
		}
		t := fitText(b.text, f.font, c.Max.X-x0-2)
		ends[line] = x0 + textWidth(t, f.font) + 6
		c.FillText(style, vg.Point{X: x0, Y: c.Max.Y - 2 - vg.Length(line)*(f.font+3)}, t)
	}
}

// lane is the platform's events of one kind.
type lane struct {
	kind  string
	marks []slo.Mark
	plan  bool // what should happen, not what did
}

// maxLanes bounds the kinds of events of a picture.
const maxLanes = 12

// told says whether an event tells of the failover itself.
func told(kind string) bool {
	return slices.Contains([]string{history.Suspected, history.Elected, history.Recovered, history.RouteMoved}, kind) ||
		slices.ContainsFunc(plan, func(s step) bool { return slices.Contains(s.kinds, kind) })
}

// lanesOf are the platform's events inside a view, by kind; the kind that came
// first stands first.
func lanesOf(r *slo.Result, v view) []lane {
	var out []lane
	for _, m := range r.Marks {
		if !(m.AtS >= v.from && m.AtS < v.to) || m.Source == "harness" {
			continue
		}
		i := slices.IndexFunc(out, func(l lane) bool { return l.kind == m.Kind })
		if i < 0 {
			i = len(out)
			out = append(out, lane{kind: m.Kind})
		}
		out[i].marks = append(out[i].marks, m)
	}
	for i := range out {
		slices.SortStableFunc(out[i].marks, func(a, b slo.Mark) int { return cmp.Compare(a.AtS, b.AtS) })
	}
	slices.SortStableFunc(out, func(a, b lane) int {
		return cmp.Or(cmp.Compare(a.marks[0].AtS, b.marks[0].AtS), strings.Compare(a.kind, b.kind))
	})
	if len(out) > maxLanes {
		// What the plan and the measures know keeps a lane of its own as long as there is one.
		room, rest := maxLanes-1, lane{kind: "others"}
		for _, l := range out {
			if told(l.kind) {
				room--
			}
		}
		out = slices.DeleteFunc(out, func(l lane) bool {
			if !told(l.kind) {
				if room--; room >= 0 {
					return false
				}
				rest.marks = append(rest.marks, l.marks...)
				return true
			}
			return false
		})
		for len(out) > maxLanes-1 {
			rest.marks = append(rest.marks, out[len(out)-1].marks...)
			out = out[:len(out)-1]
		}
		slices.SortStableFunc(rest.marks, func(a, b slo.Mark) int { return cmp.Compare(a.AtS, b.AtS) })
		out = append(out, rest)
	}
	if l, ok := planLane(r, v); ok && len(out) > 0 {
		out = append([]lane{l}, out...)
	}
	return out
}

func eventsPanel(p *plot.Plot, lanes []lane, v view, f form) panel {
	const pitch = 20
	n := len(lanes)
	p.Y.Min, p.Y.Max = -0.5, float64(n)-0.5
	var ticks plot.ConstantTicks
	for i, l := range lanes {
		name := ""
		if f.name == "wide" {
			name = fitText(clean(l.kind), f.font, 118)
		}
		ticks = append(ticks, plot.Tick{Value: float64(n - 1 - i), Label: name})
	}
	p.Y.Tick.Marker = ticks
	p.Add(plotFunc(func(c draw.Canvas, p *plot.Plot) {
		x, y := p.Transforms(&c)
		name := textStyle(f.font, "ink")
		name.YAlign = draw.YCenter
		for i, l := range lanes {
			at := y(float64(n - 1 - i))
			c.StrokeLine2(draw.LineStyle{Color: paint("grid"), Width: 0.6}, c.Min.X, at, c.Max.X, at)
			if f.name != "wide" {
				c.FillText(name, vg.Point{X: c.Min.X, Y: at + 7}, fitText(clean(l.kind), f.font, 118))
			}
			last := vg.Length(-100)
			for _, m := range l.marks {
				px := x(m.AtS - v.origin)
				if px-last < 0.5 {
					continue
				}
				last = px
				if l.plan {
					c.FillPolygon(paint("plan"), []vg.Point{{X: px - 4.5, Y: at}, {X: px, Y: at + 6}, {X: px + 4.5, Y: at}, {X: px, Y: at - 6}})
					continue
				}
				c.SetColor(paint("served"))
				var path vg.Path
				path.Move(vg.Point{X: px + 3.2, Y: at})
				path.Arc(vg.Point{X: px, Y: at}, 3.2, 0, 2*math.Pi)
				path.Close()
				c.Fill(path)
			}
		}
	}))
	return panel{plot: p, title: eventsTitle(lanes), height: vg.Length(n*pitch + 6), spots: func(x, y func(float64) float64, a rect) []spot {
		var out []spot
		for i, l := range lanes {
			at := y(float64(n - 1 - i))
			for j := 0; j < len(l.marks); {
				px := x(l.marks[j].AtS - v.origin)
				k := j
				var texts []string
				for k < len(l.marks) && x(l.marks[k].AtS-v.origin)-px < 6 {
					texts = append(texts, markText(&l.marks[k], v))
					k++
				}
				text := strings.Join(texts[:min(4, len(texts))], "\n")
				if more := len(texts) - 4; more > 0 {
					text += fmt.Sprintf("\nand %d more", more)
				}
				if s, ok := a.at(px-5, at-9, x(l.marks[k-1].AtS-v.origin)+5, at+9, text); ok {
					out = append(out, s)
				}
				j = k
			}
		}
		return out
	}}
}

func eventsTitle(lanes []lane) string {
	if lanes[0].plan {
		return "what the platform reported, against the plan"
	}
	return "what the platform reported"
}

func markText(m *slo.Mark, v view) string {
	s := instant(m.AtS, v) + " " + clip(m.Kind, 60)
	if m.Text != "" {
		s += ": " + clip(m.Text, 200)
	}
	if m.Source != "" {
		s += " (" + clip(m.Source, 60) + ")"
	}
	return s
}

// describe says in words what the picture shows.
func describe(r *slo.Result, v view, cols []column) string {
	if len(cols) == 0 {
		return "There was no load in this time."
	}
	low, slow, bad := cols[0], cols[0], 0.0
	for i := range r.Timeline {
		if at := float64(r.Timeline[i].Second); at >= v.from && at < v.to {
			bad += float64(r.Timeline[i].Bad)
		}
	}
	for _, c := range cols {
		// By share: seconds at the ends of a load are not full.
		if c.served*low.offered < low.served*c.offered {
			low = c
		}
		if c.writeP99 > slow.writeP99 {
			slow = c
		}
	}
	s := fmt.Sprintf("From %s to %s.", instant(v.from, v), instant(v.to, v))
	var inView []band
	for _, b := range bands(r) {
		if b.asked >= v.from && b.asked < v.to {
			inView = append(inView, b)
		}
	}
	if len(inView) > 3 {
		s += fmt.Sprintf(" %d faults, the first of them %s, asked at %s.", len(inView), inView[0].text, instant(inView[0].asked, v))
		inView = nil
	}
	for _, b := range inView {
		s += fmt.Sprintf(" The fault %s was asked at %s", b.text, instant(b.asked, v))
		if finite(b.undone) {
			s += " and undone by " + instant(b.undone, v)
		}
		s += "."
	}
	s += fmt.Sprintf(" The lowest served rate was %s of %s operations a second, in the second from %s on. In all, %s operations were bad.", grouped(low.served), grouped(low.offered), instant(low.from, v), grouped(bad))
	if slow.writeP99 > 0 {
		s += fmt.Sprintf(" The 99th percentile of writes was highest at %s, with %s.", instant(slow.from, v), millisText(slow.writeP99))
	}
	return s
}
