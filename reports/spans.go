package reports

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/fivenines/fivenines/slo"
)

// bar is one row of a picture of spans.
type bar struct {
	label    string
	from, to float64 // seconds since the change
	open     bool    // it had not ended
	text     string  // at its right
	hover    string
}

// drawBars is a row for each span of time, from a common zero.
func drawBars(bars []bar, axis string, f form) (drawing, error) {
	const pitch = 20
	n := len(bars)
	p := newPlot(f)
	lo, hi := 0.0, 0.0
	for _, b := range bars {
		lo, hi = min(lo, b.from), max(hi, b.to)
	}
	if hi <= lo {
		hi = lo + 1
	}
	// Room for the texts at the right of the longest bars.
	var room vg.Length
	for _, b := range bars {
		room = max(room, textWidth(b.text, f.font))
	}
	labelWidth := vg.Length(0)
	for _, b := range bars {
		labelWidth = max(labelWidth, textWidth(fitText(b.label, f.font, f.width*0.4), f.font))
	}
	plotted := max(60, f.width-labelWidth-room-24)
	hi = lo + (hi-lo)*float64((plotted+room+10)/plotted)
	p.X.Min, p.X.Max = lo, hi
	p.X.Tick.Marker = linearTicks(lo, hi, f.ticksX, timeSteps, since)
	p.X.Label.Text = axis
	p.X.Label.Padding = 3
	p.Y.Min, p.Y.Max = -0.6, float64(n)-0.4
	var ticks plot.ConstantTicks
	for i, b := range bars {
		ticks = append(ticks, plot.Tick{Value: float64(n - 1 - i), Label: fitText(b.label, f.font, f.width*0.4)})
	}
	p.Y.Tick.Marker = ticks
	p.Y.Tick.Label.Color = paint("ink")
	p.Add(plotFunc(gridlines), plotFunc(func(c draw.Canvas, p *plot.Plot) {
		x, y := p.Transforms(&c)
		style := textStyle(f.font, "ink")
		style.YAlign = draw.YCenter
		for i, b := range bars {
			at := y(float64(n - 1 - i))
			x0, x1 := x(b.from), max(x(b.to), x(b.from)+1.5)
			c.FillPolygon(paint("bar"), []vg.Point{{X: x0, Y: at - 5}, {X: x1, Y: at - 5}, {X: x1, Y: at + 5}, {X: x0, Y: at + 5}})
			if b.open { // an arrow head: it goes on
				c.FillPolygon(paint("bad"), []vg.Point{{X: x1, Y: at - 8}, {X: x1 + 8, Y: at}, {X: x1, Y: at + 8}})
				x1 += 6
			}
			c.FillText(style, vg.Point{X: x1 + 5, Y: at + 1.5}, b.text)
		}
	}))
	height := vg.Length(n*pitch) + 3*f.font + 12
	return stack(f, []panel{{plot: p, height: height, spots: func(_, y func(float64) float64, a rect) []spot {
		var out []spot
		for i, b := range bars {
			at := y(float64(n - 1 - i))
			if s, ok := a.at(a.x0, at-pitch/2, a.x1, at+pitch/2, b.hover); ok {
				out = append(out, s)
			}
		}
		return out
	}}})
}

func barsFigure(fig figure, bars []bar, axis string) (figure, error) {
	for _, f := range forms {
		d, err := drawBars(bars, axis, f)
		if err != nil {
			return fig, fmt.Errorf("picture %s: %w", fig.ID, err)
		}
		fig.Drawings = append(fig.Drawings, d)
	}
	return fig, nil
}

// maxBars bounds the partitions of a picture.
const maxBars = 48

// Axes of pictures of spans.
const (
	sinceAsked  = "seconds since the fault was asked"
	sinceUndone = "seconds since the fault was undone"
)

// outageFigure is the outage of each partition after one change, a fault or
// its undoing.
func outageFigure(id, title, axis string, o *slo.Outage, change float64) (figure, error) {
	ps := slices.DeleteFunc(slices.Clone(o.Partitions), func(p slo.PartitionOutage) bool {
		return !finite(p.Start) || !finite(p.End) || p.End < p.Start
	})
	fig := figure{ID: id, Title: title}
	all := len(ps)
	if all > maxBars {
		slices.SortStableFunc(ps, func(a, b slo.PartitionOutage) int { return cmp.Compare(b.End-b.Start, a.End-a.Start) })
		ps = ps[:maxBars]
		fig.Note = fmt.Sprintf("The %d longest of %d outages.", maxBars, all)
	}
	slices.SortStableFunc(ps, func(a, b slo.PartitionOutage) int { return cmp.Compare(a.Partition, b.Partition) })
	bars := make([]bar, 0, len(ps))
	short, long := 0, 0
	for i, p := range ps {
		d := secondsText(p.End - p.Start)
		if p.Censored {
			d = "at least " + d
		}
		bars = append(bars, bar{
			label: fmt.Sprintf("shard %d", p.Partition), from: p.Start - change, to: p.End - change, open: p.Censored, text: d,
			hover: fmt.Sprintf("shard %d: %s, from T%s s to T%s s", p.Partition, d, signed(p.Start-change), signed(p.End-change)),
		})
		if p.End-p.Start < ps[short].End-ps[short].Start {
			short = i
		}
		if p.End-p.Start > ps[long].End-ps[long].Start {
			long = i
		}
	}
	fig.Desc = fmt.Sprintf("%s had an outage: median %s, shortest %s (shard %d), longest %s (shard %d).", countOf(all, "shard", "shards"),
		secondsText(o.P50), bars[short].text, ps[short].Partition, bars[long].text, ps[long].Partition)
	if o.Censored {
		fig.Desc += " An arrow marks an outage that was not over when the load stopped."
	}
	fig.Desc += fmt.Sprintf(" Between two operations on a shard nobody looked: give or take %s.", secondsText(o.Resolution))
	return barsFigure(fig, bars, axis)
}

// phasesFigure is what the time of the outage went into.
func phasesFigure(ms []milestone) (figure, error) {
	fig := figure{ID: "phases-picture", Title: "What the time went into"}
	var bars []bar
	prev := 0.0
	long := 0
	for i, m := range ms {
		bars = append(bars, bar{
			label: m.Ends, from: prev, to: m.At, text: secondsText(m.Took),
			hover: fmt.Sprintf("%s: %s, until T%s s, when %s", m.Ends, secondsText(m.Took), signed(m.At), m.Text),
		})
		if m.Took > ms[long].Took {
			long = i
		}
		prev = m.At
	}
	fig.Desc = fmt.Sprintf("The outage in %d phases, one after the other. The longest was %s, with %s of %s.", len(ms), ms[long].Ends, secondsText(ms[long].Took), secondsText(ms[len(ms)-1].At))
	return barsFigure(fig, bars, sinceAsked)
}

// trialsFigure is the failover time of each trial with its bounds.
func trialsFigure(r *slo.Result) (fig figure, ok bool, err error) {
	type point struct {
		trial        int
		v, low, high float64
		open         bool
	}
	var ps []point
	top, lowest, highest := 0.0, math.Inf(1), 0.0
	for i := range r.Trials {
		o := r.Trials[i].Measures.Failover
		if o == nil || !finite(o.Value) {
			continue
		}
		p := point{i + 1, o.Value, o.Lower, o.Value, o.Censored}
		if o.Upper != nil && finite(*o.Upper) {
			p.high = *o.Upper
		}
		ps = append(ps, p)
		top, lowest, highest = max(top, p.high), min(lowest, p.v), max(highest, p.v)
	}
	if len(r.Trials) < 2 || len(ps) == 0 {
		return fig, false, nil
	}
	fig = figure{ID: "trials-picture", Title: "Failover time by trial", Desc: fmt.Sprintf("%d trials: from %s to %s.", len(ps), secondsText(lowest), secondsText(highest))}
	if len(ps) > maxTrials {
		slices.SortStableFunc(ps, func(a, b point) int { return cmp.Compare(b.v, a.v) })
		ps = ps[:maxTrials]
		slices.SortStableFunc(ps, func(a, b point) int { return cmp.Compare(a.trial, b.trial) })
		fig.Note = fmt.Sprintf("The %d longest.", maxTrials)
	}
	target := 0.0
	for i := range r.Objectives {
		if o := &r.Objectives[i]; o.Name == slo.Failover {
			if b, _, ok := bound(o); ok {
				target = b
				fig.Desc += fmt.Sprintf(" The dashed line is the target, %s.", clean(o.Target))
				fig.Keys = []key{{"target", "target " + clean(o.Target)}}
			}
		}
	}
	if target < 20*top {
		top = max(top, target)
	}
	if !(top > 0) {
		top = 1
	}
	for _, f := range forms {
		p := newPlot(f)
		p.X.Min, p.X.Max = 0.4, float64(len(r.Trials))+0.6
		p.X.Tick.Marker = linearTicks(1, p.X.Max, f.ticksX, []float64{1, 2, 5, 10, 20, 50, 100, 200, 500}, func(v float64) string { return fixed(v, 0) })
		p.X.Label.Text = "trial"
		p.Y.Min, p.Y.Max = 0, top*1.12
		p.Y.Tick.Marker = linearTicks(0, p.Y.Max, 5, nil, func(v float64) string { return fixed(v, 3) + " s" })
		p.Add(plotFunc(gridlines), plotFunc(func(c draw.Canvas, p *plot.Plot) {
			x, y := p.Transforms(&c)
			if target > 0 && target <= p.Y.Max {
				c.StrokeLine2(draw.LineStyle{Color: paint("plan"), Width: 1.5, Dashes: []vg.Length{6, 3}}, c.Min.X, y(target), c.Max.X, y(target))
			}
			for _, d := range ps {
				px, py := x(float64(d.trial)), y(d.v)
				c.StrokeLine2(draw.LineStyle{Color: paint("bar"), Width: 1.2}, px, y(d.low), px, y(d.high))
				if d.open {
					c.FillPolygon(paint("bad"), []vg.Point{{X: px - 5, Y: py}, {X: px + 5, Y: py}, {X: px, Y: py + 9}})
					continue
				}
				c.SetColor(paint("bar"))
				var path vg.Path
				path.Move(vg.Point{X: px + 3.5, Y: py})
				path.Arc(vg.Point{X: px, Y: py}, 3.5, 0, 2*math.Pi)
				path.Close()
				c.Fill(path)
			}
		}))
		d, err := stack(f, []panel{{plot: p, height: 200, spots: func(x, _ func(float64) float64, a rect) []spot {
			var out []spot
			half := (x(2) - x(1)) / 2
			for _, d := range ps {
				t := fmt.Sprintf("trial %d: %s", d.trial, secondsText(d.v))
				if d.open {
					t += " at least"
				}
				if s, ok := a.at(x(float64(d.trial))-half, a.y0, x(float64(d.trial))+half, a.y1, t); ok {
					out = append(out, s)
				}
			}
			return out
		}}})
		if err != nil {
			return fig, false, fmt.Errorf("picture %s: %w", fig.ID, err)
		}
		fig.Drawings = append(fig.Drawings, d)
	}
	return fig, true, nil
}
