package reports

import (
	"cmp"
	"fmt"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/fivenines/fivenines/slo"
)

// distributionFigure is the share of trials whose failover took at most so long.
// An outage that was not seen to end never counts as ended, so the curve is a
// lower bound of the true one.
func distributionFigure(r *slo.Result) (fig figure, ok bool, err error) {
	if r.Statistics == nil {
		return fig, false, nil
	}
	i := slices.IndexFunc(r.Statistics.Measures, func(m slo.TrialStatistics) bool { return m.Name == slo.Failover })
	if i < 0 {
		return fig, false, nil
	}
	m := &r.Statistics.Measures[i]
	vs := slices.DeleteFunc(slices.Clone(m.Values), func(v slo.Trialed) bool { return !finite(v.Value) || v.Value < 0 })
	if len(vs) < 2 {
		return fig, false, nil
	}
	slices.SortStableFunc(vs, func(a, b slo.Trialed) int { return cmp.Compare(a.Value, b.Value) })
	n, top := len(vs), vs[len(vs)-1].Value
	open := 0
	for _, v := range vs {
		if v.Censored {
			open++
		}
	}
	fig = figure{ID: "distribution-picture", Title: "Failover time over the trials", Desc: fmt.Sprintf("The share of %d trials whose failover took at most so long, from %s to %s.", n, secondsText(vs[0].Value), secondsText(top))}
	if m.Median != nil && finite(m.Median.Value) {
		fig.Desc += " Median " + statValue(m.Median, "s") + "."
	}
	if m.UpperBound != nil && finite(*m.UpperBound) {
		fig.Desc += fmt.Sprintf(" The trials bound p%s at %s.", short3(100*r.Statistics.Quantile), secondsText(*m.UpperBound))
	}
	if open > 0 {
		fig.Desc += fmt.Sprintf(" %s not seen to end, and never counted as ended: a triangle marks how long each lasted at least.", countOf(open, "outage was", "outages were"))
	}
	target := 0.0
	for i := range r.Objectives {
		if o := &r.Objectives[i]; o.Name == slo.Failover {
			if b, _, ok := bound(o); ok && finite(b) && b < 20*max(top, 1e-3) {
				target = b
				fig.Desc += fmt.Sprintf(" The dashed line is the target, %s.", clean(o.Target))
				fig.Keys = []key{{"target", "target " + clean(o.Target)}}
			}
		}
	}
	hi := max(top, target) * 1.05
	if !(hi > 0) {
		hi = 1
	}
	for _, f := range forms {
		p := newPlot(f)
		p.X.Min, p.X.Max = 0, hi
		p.X.Tick.Marker = linearTicks(0, hi, f.ticksX, timeSteps, func(v float64) string { return fixed(v, 3) })
		p.X.Label.Text = "failover time, seconds"
		p.Y.Min, p.Y.Max = 0, 1.06
		p.Y.Tick.Marker = linearTicks(0, 1, 4, []float64{0.25}, func(v float64) string { return fixed(100*v, 0) + " %" })
		p.Add(plotFunc(gridlines), plotFunc(func(c draw.Canvas, p *plot.Plot) {
			x, y := p.Transforms(&c)
			if target > 0 {
				c.StrokeLine2(draw.LineStyle{Color: paint("plan"), Width: 1.5, Dashes: []vg.Length{6, 3}}, x(target), c.Min.Y, x(target), c.Max.Y)
			}
			line := []vg.Point{{X: x(0), Y: y(0)}}
			ended := 0
			for _, v := range vs {
				at := y(float64(ended) / float64(n))
				if v.Censored {
					px := x(v.Value)
					c.FillPolygon(paint("bad"), []vg.Point{{X: px, Y: at - 5}, {X: px, Y: at + 5}, {X: px + 8, Y: at}})
					continue
				}
				ended++
				line = append(line, vg.Point{X: x(v.Value), Y: at}, vg.Point{X: x(v.Value), Y: y(float64(ended) / float64(n))})
			}
			line = append(line, vg.Point{X: c.Max.X, Y: line[len(line)-1].Y})
			c.StrokeLines(draw.LineStyle{Color: paint("served"), Width: 2}, line)
		}))
		d, err := stack(f, []panel{{plot: p, title: "share of trials that had failed over", height: 190, spots: func(x, _ func(float64) float64, a rect) []spot {
			var out []spot
			from, ended := a.x0, 0
			for i, v := range vs {
				if !v.Censored {
					ended++
				}
				to := a.x1
				if i+1 < n {
					to = x(vs[i+1].Value)
				}
				if to-from < 3 && i+1 < n {
					continue // many trials of the same length: the last of them speaks
				}
				text := fmt.Sprintf("at most %s: %d of %d trials (trial %d)", secondsText(v.Value), ended, n, v.Trial)
				if v.Censored {
					text = fmt.Sprintf("trial %d: at least %s, not seen to end", v.Trial, secondsText(v.Value))
				}
				if s, ok := a.at(from, a.y0, to, a.y1, text); ok {
					out = append(out, s)
				}
				from = to
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
