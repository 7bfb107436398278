package reports

import (
	"fmt"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/fivenines/fivenines/slo/projection"
)

// What the picture of the years can show, in seconds.
const (
	leastDowntime = 1e-3
	mostDowntime  = 1e9
)

// downtimeTicks are round durations for a logarithmic axis.
var downtimeTicks = []struct {
	seconds float64
	label   string
}{{0.001, "1 ms"}, {0.01, "10 ms"}, {0.1, "0.1 s"}, {1, "1 s"}, {10, "10 s"}, {60, "1 min"}, {600, "10 min"}, {3600, "1 h"}, {36000, "10 h"}, {4 * 86400, "4 d"}, {30 * 86400, "30 d"}, {365 * 86400, "1 y"}}

// yearsFigure is the distribution of a year's downtime, with what each
// availability allows; nil where there is none.
func yearsFigure(p *projection.Projection) (*figure, error) {
	type slab struct {
		from, to, share float64 // of the logarithm
		text            string
	}
	var slabs []slab
	none, top, lo, hi := 0.0, 0.0, math.Inf(1), math.Inf(-1)
	for _, b := range p.Histogram {
		if !(b.Share >= 0 && b.Share <= 1) {
			continue
		}
		if b.To <= 0 {
			none, top = b.Share, max(top, b.Share)
			continue
		}
		if !(b.From >= leastDowntime/2 && b.To > b.From && b.To < mostDowntime) || len(slabs) > 500 {
			continue
		}
		s := slab{math.Log10(b.From), math.Log10(b.To), b.Share, fmt.Sprintf("%s of the years have from %s to %s", likelyText(b.Share, 0), downtimeText(b.From), downtimeText(b.To))}
		slabs = append(slabs, s)
		top, lo, hi = max(top, b.Share), min(lo, s.from), max(hi, s.to)
	}
	if len(slabs) == 0 && none == 0 {
		return nil, nil
	}
	var budgets []projection.Level
	for _, l := range p.Levels {
		if l.BudgetS > leastDowntime && l.BudgetS < mostDowntime {
			budgets = append(budgets, l)
			lo, hi = min(lo, math.Log10(l.BudgetS)-0.3), max(hi, math.Log10(l.BudgetS)+0.3)
		}
	}
	if !(hi > lo) {
		lo, hi = -1, 4
	}
	// The years without downtime stand at the left, apart from the axis.
	const zeroWidth = 0.16
	zeroAt := lo - 0.5
	if none > 0 {
		slabs = append(slabs, slab{zeroAt - zeroWidth/2, zeroAt + zeroWidth/2, none, fmt.Sprintf("%s of the years have no downtime", likelyText(none, 0))})
		lo = zeroAt - zeroWidth
	}
	var cumulated []projection.Point
	for _, c := range p.CDF {
		if c.Share >= 0 && c.Share <= 1 && c.Seconds >= 0 && c.Seconds < mostDowntime {
			cumulated = append(cumulated, c)
		}
	}
	fig := &figure{ID: "projection-years", Title: "Downtime of a year", Keys: []key{{"served", "share of the years"}, {"target", "what an availability allows"}}}
	fig.Desc = fmt.Sprintf("The distribution of the downtime of %s simulated years on a logarithmic axis.", grouped(float64(p.Years)))
	for _, q := range p.Quantiles {
		switch q.Share {
		case 0.5:
			fig.Desc += fmt.Sprintf(" Half of the years have at most %s", downtimeText(q.Seconds))
		case 0.9:
			fig.Desc += fmt.Sprintf(", nine of ten at most %s", downtimeText(q.Seconds))
		case 0.99:
			fig.Desc += fmt.Sprintf(", 99 of 100 at most %s.", downtimeText(q.Seconds))
		}
	}
	for _, l := range budgets {
		if l.Availability == p.Objective {
			fig.Desc += fmt.Sprintf(" The objective, %s, allows %s.", availabilityText(l.Availability), downtimeText(l.BudgetS))
		}
	}
	for _, f := range forms {
		axis := func(q *plot.Plot, labels bool) {
			q.X.Min, q.X.Max = lo, hi
			var ticks plot.ConstantTicks
			last := math.Inf(-1)
			apart := (hi - lo) / float64(f.ticksX-1)
			if none > 0 {
				ticks = append(ticks, plot.Tick{Value: zeroAt, Label: "none"})
				last = zeroAt
			}
			for _, d := range downtimeTicks {
				at := math.Log10(d.seconds)
				if at < lo || at > hi || none > 0 && at < zeroAt+0.25 {
					continue
				}
				t := plot.Tick{Value: at}
				if at-last >= apart {
					t.Label, last = d.label, at
				}
				ticks = append(ticks, t)
			}
			if labels {
				q.X.Tick.Marker = ticks
				q.X.Label.Text = "downtime in a year"
				q.X.Label.Padding = 3
				return
			}
			for i := range ticks {
				ticks[i].Label = " "
			}
			q.X.Tick.Marker = ticks
			q.X.Tick.Label.Font.Size = 1
			q.X.Tick.Length = 0
		}
		marks := func(named bool) plotFunc {
			return func(c draw.Canvas, q *plot.Plot) {
				x, _ := q.Transforms(&c)
				style := textStyle(f.font, "plan")
				style.YAlign = draw.YTop
				for i, l := range budgets {
					line := draw.LineStyle{Color: paint("plan"), Width: 1, Dashes: []vg.Length{6, 3}}
					if l.Availability == p.Objective {
						line.Width = 2.2
					}
					at := x(math.Log10(l.BudgetS))
					c.StrokeLine2(line, at, c.Min.Y, at, c.Max.Y)
					if named {
						t := availabilityText(l.Availability)
						w := textWidth(t, f.font)
						c.FillText(style, vg.Point{X: min(at+3, c.Max.X-w), Y: c.Max.Y - 1 - vg.Length(i%2)*(f.font+2)}, t)
					}
				}
			}
		}
		years := newPlot(f)
		axis(years, false)
		years.Y.Min, years.Y.Max = 0, max(top*1.3, 1e-6)
		years.Y.Tick.Marker = linearTicks(0, years.Y.Max, 4, nil, func(v float64) string { return fixed(100*v, 4) + " %" })
		years.Add(plotFunc(gridlines), plotFunc(func(c draw.Canvas, q *plot.Plot) {
			x, y := q.Transforms(&c)
			for _, s := range slabs {
				if s.share == 0 {
					continue
				}
				x0, x1, y1 := x(s.from), max(x(s.to), x(s.from)+1), y(s.share)
				c.FillPolygon(paint("served-fill"), []vg.Point{{X: x0, Y: c.Min.Y}, {X: x1, Y: c.Min.Y}, {X: x1, Y: y1}, {X: x0, Y: y1}})
				c.StrokeLines(draw.LineStyle{Color: paint("served"), Width: 1.2}, []vg.Point{{X: x0, Y: c.Min.Y}, {X: x0, Y: y1}, {X: x1, Y: y1}, {X: x1, Y: c.Min.Y}})
			}
		}), marks(true))
		panels := []panel{{plot: years, title: "share of the years", height: 180, spots: func(x, y func(float64) float64, a rect) []spot {
			var out []spot
			for _, s := range slabs {
				if h, ok := a.at(x(s.from), a.y0, x(s.to), a.y1, s.text); ok {
					out = append(out, h)
				}
			}
			return out
		}}}
		last := years
		if len(cumulated) > 1 {
			sum := newPlot(f)
			last = sum
			sum.Y.Min, sum.Y.Max = 0, 1.02
			sum.Y.Tick.Marker = plot.ConstantTicks{{Value: 0, Label: "0 %"}, {Value: 0.5, Label: "50 %"}, {Value: 0.9, Label: "90 %"}, {Value: 1, Label: "100 %"}}
			axis(sum, true)
			sum.Add(plotFunc(gridlines), plotFunc(func(c draw.Canvas, q *plot.Plot) {
				x, y := q.Transforms(&c)
				var line []vg.Point
				for _, d := range cumulated {
					at := lo
					if d.Seconds > 0 {
						at = min(max(math.Log10(d.Seconds), lo), hi)
					} else if none > 0 {
						at = zeroAt
					}
					if n := len(line); n > 0 {
						line = append(line, vg.Point{X: x(at), Y: line[n-1].Y})
					}
					line = append(line, vg.Point{X: x(at), Y: y(d.Share)})
				}
				c.StrokeLines(draw.LineStyle{Color: paint("served"), Width: 1.8}, line)
			}), marks(false))
			panels = append(panels, panel{plot: sum, title: "years with at most so much", height: 120 + 3*f.font + 6, spots: func(x, _ func(float64) float64, a rect) []spot {
				var out []spot
				for _, l := range budgets {
					at := x(math.Log10(l.BudgetS))
					text := fmt.Sprintf("%s of the years stay inside %s (%s)", likelyText(l.Probability.Value, 0), downtimeText(l.BudgetS), availabilityText(l.Availability))
					if h, ok := a.at(at-6, a.y0, at+6, a.y1, text); ok {
						out = append(out, h)
					}
				}
				return out
			}})
		}
		if last == years {
			axis(years, true)
			years.X.Tick.Label.Font.Size, years.X.Tick.Length = f.font, 4
			panels[0].height += 3*f.font + 6
		}
		d, err := stack(f, panels)
		if err != nil {
			return nil, fmt.Errorf("picture %s: %w", fig.ID, err)
		}
		fig.Drawings = append(fig.Drawings, d)
	}
	return fig, nil
}

// maxShares bounds the classes of the picture.
const maxShares = 16

// sharesFigure is a bar of mean yearly downtime for each class, against the
// objective's budget; nil where there is no downtime.
func sharesFigure(p *projection.Projection) (*figure, error) {
	var cs []projection.ClassShare
	for _, c := range p.Classes {
		if c.MeanS > 0 && c.MeanS < mostDowntime && len(cs) < maxShares {
			cs = append(cs, c)
		}
	}
	if len(cs) == 0 {
		return nil, nil
	}
	budget := projection.BudgetS(p.Objective)
	top := 0.0
	for _, c := range cs {
		top = max(top, c.MeanS)
	}
	fig := &figure{ID: "projection-classes", Title: "Which class eats the budget", Desc: fmt.Sprintf("Mean downtime a year by class. The longest is %s, with %s.", clean(cs[0].Name), downtimeText(cs[0].MeanS))}
	shown := budget > 0 && budget < 3*top
	if shown {
		fig.Keys = []key{{"target", "the whole budget, " + downtimeText(budget)}}
		fig.Desc += fmt.Sprintf(" The dashed line is the whole budget, %s.", downtimeText(budget))
	} else {
		fig.Desc += fmt.Sprintf(" The whole budget is %s.", downtimeText(budget))
	}
	if more := len(p.Classes) - len(cs); more > 0 {
		fig.Note = fmt.Sprintf("%s without downtime or with too little to show.", countOf(more, "class is", "classes are"))
	}
	texts := make([]string, len(cs))
	for i, c := range cs {
		texts[i] = downtimeText(c.MeanS) + ", " + likelyText(c.Share, 0)
	}
	for _, f := range forms {
		const pitch = 20
		n := len(cs)
		q := newPlot(f)
		hi := top
		if shown {
			hi = max(hi, budget)
		}
		var room, labels vg.Length
		for i, c := range cs {
			room = max(room, textWidth(texts[i], f.font))
			labels = max(labels, textWidth(fitText(clean(c.Name), f.font, f.width*0.4), f.font))
		}
		plotted := max(60, f.width-labels-room-24)
		hi *= float64((plotted + room + 10) / plotted)
		q.X.Min, q.X.Max = 0, hi
		q.X.Tick.Marker = linearTicks(0, hi, max(2, f.ticksX/2), timeSteps, downtimeText)
		q.X.Label.Text = "mean downtime a year"
		q.X.Label.Padding = 3
		q.Y.Min, q.Y.Max = -0.6, float64(n)-0.4
		var ticks plot.ConstantTicks
		for i, c := range cs {
			ticks = append(ticks, plot.Tick{Value: float64(n - 1 - i), Label: fitText(clean(c.Name), f.font, f.width*0.4)})
		}
		q.Y.Tick.Marker = ticks
		q.Y.Tick.Label.Color = paint("ink")
		q.Add(plotFunc(gridlines), plotFunc(func(c draw.Canvas, q *plot.Plot) {
			x, y := q.Transforms(&c)
			style := textStyle(f.font, "ink")
			style.YAlign = draw.YCenter
			for i, s := range cs {
				at := y(float64(n - 1 - i))
				x1 := max(x(s.MeanS), x(0)+1.5)
				// The line of the budget goes round a text that it would cross.
				crossed := x(budget) > x1 && x(budget) < x1+8+textWidth(texts[i], f.font)
				if half := (y(1) - y(0)) / 2; shown && !crossed {
					c.StrokeLine2(draw.LineStyle{Color: paint("plan"), Width: 1.6, Dashes: []vg.Length{6, 4}}, x(budget), at-half, x(budget), at+half)
				}
				c.FillPolygon(paint("bar"), []vg.Point{{X: x(0), Y: at - 5}, {X: x1, Y: at - 5}, {X: x1, Y: at + 5}, {X: x(0), Y: at + 5}})
				c.FillText(style, vg.Point{X: x1 + 5, Y: at + 1.5}, texts[i])
			}
		}))
		d, err := stack(f, []panel{{plot: q, height: vg.Length(n*pitch) + 3*f.font + 12, spots: func(_, y func(float64) float64, a rect) []spot {
			var out []spot
			for i, s := range cs {
				at := y(float64(n - 1 - i))
				text := fmt.Sprintf("%s: %s a year, %s of the budget; %s events a year", clean(s.Name), texts[i], budgetText(s.OfBudget), rateText(s.Events))
				if h, ok := a.at(a.x0, at-pitch/2, a.x1, at+pitch/2, text); ok {
					out = append(out, h)
				}
			}
			return out
		}}})
		if err != nil {
			return nil, fmt.Errorf("picture %s: %w", fig.ID, err)
		}
		fig.Drawings = append(fig.Drawings, d)
	}
	return fig, nil
}
