package reports

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"

	"github.com/fivenines/fivenines/slo"
)

// maxRegionPanels bounds the regions of a picture.
const maxRegionPanels = 6

// regional is a region's part of the timeline, in a view.
type regional struct {
	name string
	cols []column
}

// regionals are the regions that clients stood in, where there are several.
func regionals(r *slo.Result, v view) (out []regional, more int) {
	var names []string
	seconds := map[string][]slo.Slice{}
	for i := range r.Timeline {
		s := &r.Timeline[i]
		if at := float64(s.Second); at < v.from || at >= v.to {
			continue
		}
		for _, g := range s.Regions {
			if !slices.Contains(names, g.Region) {
				if len(names) == maxRegionPanels {
					more = max(more, 1)
					continue
				}
				names = append(names, g.Region)
			}
			seconds[g.Region] = append(seconds[g.Region], slo.Slice{
				Second: s.Second, Intended: g.Intended, Good: g.Good, Bad: g.Bad,
				ReadP50: g.ReadP50, ReadP99: g.ReadP99, WriteP50: g.WriteP50, WriteP99: g.WriteP99,
			})
		}
	}
	for _, n := range names {
		out = append(out, regional{clean(n), columns(seconds[n], v.from, v.to)})
	}
	return out, more
}

// regionsFigure is rate, errors and latency of each region's clients over a part of the
// run; false where clients stood in one region, or the result does not tell.
func regionsFigure(r *slo.Result, v view) (fig figure, tab table, ok bool, err error) {
	all, more := regionals(r, v)
	if len(all) < 2 {
		return fig, tab, false, nil
	}
	v.id += "-regions"
	fig = figure{ID: v.id, Title: v.title + ", by region of the clients", Keys: []key{
		{"offered", "offered"}, {"served", "served in time"}, {"bad", "bad"}, {"read99", "reads, 99th percentile"}, {"write99", "writes, 99th percentile"},
	}}
	if len(bands(r)) > 0 {
		fig.Keys = append(fig.Keys, key{"fault", "fault in force"})
	}
	fig.Desc = fmt.Sprintf("What the clients in %s saw.", countOf(len(all), "region", "regions"))
	for _, g := range all {
		if len(g.cols) == 0 {
			continue
		}
		low, slow := g.cols[0], g.cols[0]
		for _, c := range g.cols {
			if c.served*low.offered < low.served*c.offered {
				low = c
			}
			if max(c.readP99, c.writeP99) > max(slow.readP99, slow.writeP99) {
				slow = c
			}
		}
		fig.Desc += fmt.Sprintf(" %s: served at least %s of %s operations a second (%s), slowest 99th percentile %s (%s).", g.name,
			grouped(low.served), grouped(low.offered), instant(low.from, v), millisText(max(slow.readP99, slow.writeP99)), instant(slow.from, v))
	}
	if more > 0 {
		fig.Note = fmt.Sprintf("The first %d regions.", maxRegionPanels)
	}
	if c := all[0].cols; len(c) > 0 && c[0].to-c[0].from > 1 {
		fig.Note += fmt.Sprintf(" Each point is the worst second of %.0f.", c[0].to-c[0].from)
	}
	for _, f := range forms {
		d, err := drawRegions(r, v, all, f)
		if err != nil {
			return fig, tab, false, fmt.Errorf("picture %s: %w", v.id, err)
		}
		fig.Drawings = append(fig.Drawings, d)
	}
	return fig, regionsTimeTable(all, v), true, nil
}

func drawRegions(r *slo.Result, v view, all []regional, f form) (drawing, error) {
	base, ticks, axis := timeAxis(r, v, f)
	var panels []panel
	for _, g := range all {
		name := g.name
		spots := func(x, _ func(float64) float64, a rect) []spot {
			out := columnSpots(g.cols, v, x, a)
			for i := range out {
				out[i].Text = name + ", " + out[i].Text
			}
			return out
		}
		most, low, high := 1.0, math.Inf(1), 0.0
		for _, c := range g.cols {
			most = max(most, c.offered, c.served, c.bad)
			for _, q := range []float64{c.readP99, c.writeP99} {
				if q > 0 {
					low, high = min(low, q), max(high, q)
				}
			}
		}
		rate := base()
		rate.Y.Min, rate.Y.Max = 0, most*1.12
		rate.Y.Tick.Marker = linearTicks(0, rate.Y.Max, 2, nil, compact)
		if err := addSteps(rate, g.cols, v.origin, []series{
			{colour: "served", fill: "served-fill", width: 1.4, of: func(c *column) float64 { return c.served }},
			{colour: "offered", width: 1.1, dashes: []vg.Length{5, 3}, of: func(c *column) float64 { return c.offered }},
			{colour: "bad", fill: "bad", width: 1, of: func(c *column) float64 { return c.bad }, gaps: true},
		}); err != nil {
			return drawing{}, err
		}
		panels = append(panels, panel{plot: rate, title: fitText(name+": operations a second", f.font, f.width-8), height: 74, spots: spots})
		if high <= 0 {
			continue
		}
		lat := base()
		logAxis(lat, low, high)
		if err := addSteps(lat, g.cols, v.origin, []series{
			{colour: "read", width: 1.5, of: func(c *column) float64 { return c.readP99 }, gaps: true},
			{colour: "write", width: 1.5, of: func(c *column) float64 { return c.writeP99 }, gaps: true},
		}); err != nil {
			return drawing{}, err
		}
		panels = append(panels, panel{plot: lat, title: fitText(name+": latency, 99th percentile", f.font, f.width-8), height: 74, spots: spots})
	}
	labelAxis(&panels[len(panels)-1], ticks, axis, f)
	return stack(f, panels)
}

// timeAxis makes plots over a view with its fault bands, whose axis has no labels yet.
func timeAxis(r *slo.Result, v view, f form) (base func() *plot.Plot, ticks plot.ConstantTicks, axis string) {
	lo, hi := v.from-v.origin, v.to-v.origin
	label := func(x float64) string { return fixed(x, 3) }
	axis = "seconds since the run began"
	if v.fromFault {
		label, axis = since, sinceAsked
	}
	ticks = linearTicks(lo, hi, f.ticksX, timeSteps, label)
	bare := make(plot.ConstantTicks, len(ticks))
	for i := range ticks {
		bare[i] = plot.Tick{Value: ticks[i].Value, Label: " "}
	}
	bs := bandsIn(r, v)
	return func() *plot.Plot {
		p := newPlot(f)
		p.X.Min, p.X.Max = lo, hi
		p.X.Tick.Marker = bare
		p.X.Tick.Label.Font.Size = 1
		p.X.Tick.Length = 0
		p.Add(drawnBands(bs, v.origin), plotFunc(gridlines))
		return p
	}, ticks, axis
}

// labelAxis gives the lowest panel the labels of all.
func labelAxis(p *panel, ticks plot.ConstantTicks, axis string, f form) {
	p.plot.X.Tick.Marker = ticks
	p.plot.X.Tick.Label.Font.Size = f.font
	p.plot.X.Tick.Length = 4
	p.plot.X.Label.Text = axis
	p.plot.X.Label.Padding = 3
	p.height += 3*f.font + 6
}

// logAxis makes an axis of milliseconds in powers of ten.
func logAxis(p *plot.Plot, low, high float64) {
	low, high = math.Floor(math.Log10(low)), math.Ceil(math.Log10(high)+1e-9)
	if high <= low {
		high = low + 1
	}
	p.Y.Min, p.Y.Max = math.Pow(10, low), math.Pow(10, high)
	p.Y.Scale = plot.LogScale{}
	var ts plot.ConstantTicks
	for e := low; e <= high; e++ {
		ts = append(ts, plot.Tick{Value: math.Pow(10, e), Label: millisText(math.Pow(10, e))})
	}
	p.Y.Tick.Marker = ts
}

// maxRegionRows bounds the rows of the table beside the picture.
const maxRegionRows = 400

func regionsTimeTable(all []regional, v view) table {
	t := table{Caption: v.title + ", by region of the clients", Head: heads("Time", "Region", "#Offered /s", "#Served /s", "#Bad /s", "#Reads, 99th", "#Writes, 99th")}
	ms := func(v float64) cell {
		if v <= 0 {
			return num("")
		}
		return num(millisText(v))
	}
	type line struct {
		c    *column
		name string
	}
	var lines []line
	for i := range all {
		for k := range all[i].cols {
			lines = append(lines, line{&all[i].cols[k], all[i].name})
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int {
		switch {
		case a.c.from < b.c.from:
			return -1
		case a.c.from > b.c.from:
			return 1
		}
		return 0
	})
	for i, l := range lines {
		if i == maxRegionRows {
			t.Note = fmt.Sprintf("The first %d of %d; all are in result.json.", maxRegionRows, len(lines))
			break
		}
		bad := num(grouped(l.c.bad))
		if l.c.bad > 0 {
			bad.Class += " bad"
		}
		t.Rows = append(t.Rows, []cell{{Text: instant(l.c.from, v)}, {Text: l.name}, num(grouped(l.c.offered)), num(grouped(l.c.served)), bad, ms(l.c.readP99), ms(l.c.writeP99)})
	}
	return t
}
