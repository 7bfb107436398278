package reports

import (
	"bytes"
	"fmt"
	"html"
	"html/template"
	"image/color"
	"math"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Pictures are drawn by gonum/plot in colours that stand for names, and the
// names become CSS variables in the SVG, so that one picture serves light, dark
// and print. Each is drawn twice: a wide form for a desk and paper, a narrow one
// for a phone, where a scaled-down wide one could not be read.

// figure is a picture as the page shows it.
type figure struct {
	ID, Title string
	Desc      string // what the picture shows, for who can't see it
	Note      string
	Keys      []key
	Bare      bool // its heading stands elsewhere
	Drawings  []drawing
}

// key is an entry of a figure's legend.
type key struct{ Class, Text string }

type drawing struct {
	Form          string // wide, narrow
	Width, Height int
	Body          template.HTML // from gonum/plot, which escapes the text in it
	Shapes        []shape
	Spots         []spot
}

// spot is an area that shows its text while the pointer is on it.
type spot struct {
	X, Y, W, H string
	Text       string
	Link       string // where a click on it leads
}

// form is a size that every picture is drawn in.
type form struct {
	name   string
	width  vg.Length
	font   vg.Length
	ticksX int
}

var forms = []form{
	{"wide", 960, 12, 12},
	{"narrow", 344, 11, 6},
}

// palette names the colours; report.css gives each a value per theme.
var palette = []string{"ink", "muted", "grid", "offered", "served", "served-fill", "bad", "read", "write", "fault", "band", "bar", "plan"}

// paint is the stand-in for a named colour.
func paint(name string) color.Color {
	i := slices.Index(palette, name)
	if i < 0 {
		panic("reports: no colour is called " + name)
	}
	return color.NRGBA{R: 0xF0, G: uint8(i), B: 0x0F, A: 0xFF}
}

var (
	styleAttr   = regexp.MustCompile(`style="[^"]*"`)
	standIn     = regexp.MustCompile(`#F0([0-9A-F]{2})0F`)
	fontDetails = regexp.MustCompile(`font-family:[^;"]*;font-variant:[^;"]*;font-weight:normal;font-style:normal;?`)
)

// inline is what is inside the svg element of a drawing, with colours by name
// and the page's fonts. Style attributes hold nothing but what the canvas
// writes: text is outside of them, and has its quotes escaped.
func inline(c *vgsvg.Canvas) (template.HTML, error) {
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return "", err
	}
	s := b.String()
	start := strings.Index(s, "<svg")
	open := strings.Index(s[max(0, start):], ">")
	end := strings.LastIndex(s, "</svg>")
	if start < 0 || open < 0 || end < start+open {
		return "", fmt.Errorf("gonum/plot wrote no svg element")
	}
	s = styleAttr.ReplaceAllStringFunc(s[start+open+1:end], func(a string) string {
		a = fontDetails.ReplaceAllString(a, "")
		return standIn.ReplaceAllStringFunc(a, func(h string) string {
			var i int
			if _, err := fmt.Sscanf(h, "#F0%02X0F", &i); err != nil || i >= len(palette) {
				return h
			}
			return "var(--" + palette[i] + ")"
		})
	})
	s = drawnText.ReplaceAllStringFunc(s, fixText)
	return template.HTML(strings.TrimSpace(strings.ReplaceAll(s, "\n\t", " "))), nil
}

var drawnText = regexp.MustCompile(`<text ([^>]*style="font-size:([0-9.]+)px[^>]*)>([^<]*)</text>\n?`)

// fixText gives a text the width that it was laid out with, whatever font the reader
// has; a text of blanks only kept room while plots were laid out.
func fixText(text string) string {
	m := drawnText.FindStringSubmatch(text)
	size, err := strconv.ParseFloat(m[2], 64)
	if strings.TrimSpace(m[3]) == "" {
		return ""
	}
	if err != nil {
		return text
	}
	w := textWidth(html.UnescapeString(m[3]), vg.Length(size))
	return fmt.Sprintf("<text %s textLength=\"%s\" lengthAdjust=\"spacingAndGlyphs\">%s</text>\n", m[1], fixed(float64(w), 1), m[3])
}

// sans is the font whose metrics pictures are laid out with; the page names
// fonts of the same metrics.
func sans(size vg.Length) font.Font {
	return font.From(font.Font{Typeface: "Liberation", Variant: "Sans"}, size)
}

func textStyle(size vg.Length, colour string) text.Style {
	return text.Style{Font: sans(size), Color: paint(colour), Handler: plot.DefaultTextHandler}
}

func textWidth(s string, size vg.Length) vg.Length {
	w, _, _ := plot.DefaultTextHandler.Box(s, sans(size))
	return w
}

// fitText cuts a text to a width.
func fitText(s string, size, width vg.Length) string {
	r := []rune(s)
	// No letter is narrower than a sixth of its size: what is beyond never fits,
	// and need not be measured.
	most := max(0, int(6*width/size))
	if len(r) <= most && textWidth(s, size) <= width {
		return s
	}
	r = r[:min(len(r), most)]
	n := sort.Search(len(r), func(n int) bool { return textWidth(string(r[:n+1])+"…", size) > width })
	if n == 0 {
		return ""
	}
	return string(r[:n]) + "…"
}

// plotFunc draws into a panel's data area.
type plotFunc func(c draw.Canvas, p *plot.Plot)

func (f plotFunc) Plot(c draw.Canvas, p *plot.Plot) { f(c, p) }

func newPlot(f form) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Tick.Label = text.Style{Font: sans(f.font), Color: paint("muted"), Handler: plot.DefaultTextHandler, XAlign: a.Tick.Label.XAlign, YAlign: a.Tick.Label.YAlign}
		a.Label.TextStyle = text.Style{Font: sans(f.font), Color: paint("muted"), Handler: plot.DefaultTextHandler, XAlign: draw.XCenter, YAlign: draw.YBottom}
		a.LineStyle = draw.LineStyle{Color: paint("grid"), Width: 1}
		a.Tick.LineStyle = a.LineStyle
		a.Padding = 0
	}
	p.Y.LineStyle.Width, p.Y.Tick.LineStyle.Width, p.Y.Tick.Length = 0, 0, 4
	p.X.Tick.Length = 4
	return p
}

// gridlines at the labelled ticks of both axes.
func gridlines(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	style := draw.LineStyle{Color: paint("grid"), Width: 0.6}
	for _, t := range p.X.Tick.Marker.Ticks(p.X.Min, p.X.Max) {
		c.StrokeLine2(style, x(t.Value), c.Min.Y, x(t.Value), c.Max.Y)
	}
	for _, t := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
		if t.Label != "" {
			c.StrokeLine2(style, c.Min.X, y(t.Value), c.Max.X, y(t.Value))
		}
	}
}

// panel is one plot of a picture's stack.
type panel struct {
	plot   *plot.Plot
	title  string
	height vg.Length
	// spots are asked for once the panel has its place; x and y map data to
	// the drawing, y downwards.
	spots func(x, y func(float64) float64, area rect) []spot
}

type rect struct{ x0, y0, x1, y1 float64 }

// stack draws panels below each other with their data areas aligned.
func stack(f form, panels []panel) (drawing, error) {
	const gap = 10
	titleHeight := f.font + 6
	var height vg.Length
	for _, p := range panels {
		height += p.height + gap
		if p.title != "" {
			height += titleHeight
		}
	}
	canvas := vgsvg.New(f.width, height)
	all := draw.New(canvas)
	areas := make([]draw.Canvas, len(panels))
	var left, right vg.Length
	top := height
	for i, p := range panels {
		if p.title != "" {
			top -= titleHeight
		}
		areas[i] = draw.Canvas{Canvas: all.Canvas, Rectangle: vg.Rectangle{Min: vg.Point{Y: top - p.height}, Max: vg.Point{X: f.width - 2, Y: top}}}
		top -= p.height + gap
		d := p.plot.DataCanvas(areas[i])
		left = max(left, d.Min.X-areas[i].Min.X)
		right = max(right, areas[i].Max.X-d.Max.X)
	}
	out := drawing{Form: f.name, Width: int(f.width), Height: int(math.Ceil(float64(height)))}
	for i, p := range panels {
		d := p.plot.DataCanvas(areas[i])
		area := draw.Crop(areas[i], left-(d.Min.X-areas[i].Min.X), (areas[i].Max.X-d.Max.X)-right, 0, 0)
		if p.title != "" {
			style := textStyle(f.font, "ink")
			style.YAlign = draw.YBottom
			area.FillText(style, vg.Point{X: areas[i].Min.X + 2, Y: areas[i].Max.Y + 5}, p.title)
		}
		p.plot.Draw(area)
		if p.spots == nil {
			continue
		}
		d = p.plot.DataCanvas(area)
		x, y := p.plot.Transforms(&d)
		down := func(l vg.Length) float64 { return float64(height - l) }
		out.Spots = append(out.Spots, p.spots(
			func(v float64) float64 { return float64(x(v)) },
			func(v float64) float64 { return down(y(v)) },
			rect{float64(d.Min.X), down(d.Max.Y), float64(d.Max.X), down(d.Min.Y)})...)
	}
	var err error
	out.Body, err = inline(canvas)
	return out, err
}

// at makes a spot, cut to the area, at least as wide as a finger's half.
func (r rect) at(x0, y0, x1, y1 float64, text string) (spot, bool) {
	x0, x1 = max(x0, r.x0), min(x1, r.x1)
	y0, y1 = max(y0, r.y0), min(y1, r.y1)
	if !(x1 > x0) || !(y1 > y0) {
		return spot{}, false
	}
	n := func(v float64) string { return fixed(v, 1) }
	return spot{n(x0), n(y0), n(x1 - x0), n(y1 - y0), text, ""}, true
}

// niceStep is a round distance that cuts span into at most n parts.
func niceStep(span float64, n int, steps []float64) float64 {
	if !(span > 0) || !finite(span) {
		return 1
	}
	for _, s := range steps {
		if span/s <= float64(n) {
			return s
		}
	}
	p := math.Pow(10, math.Floor(math.Log10(span/float64(n))))
	for _, m := range []float64{1, 2, 5, 10} {
		if span/(p*m) <= float64(n)*(1+1e-9) {
			return p * m
		}
	}
	return p * 10
}

// linearTicks are labelled ticks at round values.
func linearTicks(lo, hi float64, n int, steps []float64, label func(float64) string) plot.ConstantTicks {
	step := niceStep(hi-lo, n, steps)
	var ts plot.ConstantTicks
	for k := math.Ceil(lo/step - 1e-9); k*step <= hi+step*1e-9 && len(ts) < 100; k++ {
		v := k * step
		ts = append(ts, plot.Tick{Value: v, Label: label(v)})
	}
	return ts
}

// timeSteps are round distances in seconds.
var timeSteps = []float64{0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400}

// since is a tick on an axis whose zero is the fault.
func since(v float64) string {
	if v > 0 {
		return "+" + fixed(v, 3)
	}
	return fixed(v, 3)
}

// compact is a rate on an axis.
func compact(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1e6:
		return fixed(v/1e6, 2) + "M"
	case a >= 1e3:
		return fixed(v/1e3, 2) + "k"
	}
	return fixed(v, 2)
}
