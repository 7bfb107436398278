package reports

import (
	"fmt"

	"gonum.org/v1/plot/vg"
)

// shape is an element of a picture that is drawn here rather than by gonum/plot:
// what it looks like is up to its class in report.css.
type shape struct {
	Kind       string // rect, path, text
	Class      string
	X, Y, W, H string // of a rect; X and Y of a text
	D          string // of a path
	Anchor     string // of a text: start, middle, end
	Text       string
	Title      string // shown while the pointer is on it
	Length     string // of a text that must keep the room it was given, in any font
}

// sketch is a picture that grows.
type sketch struct {
	width  float64
	shapes []shape
}

func px(v float64) string { return fixed(v, 1) }

func (s *sketch) rect(class string, x, y, w, h float64, title string) {
	s.shapes = append(s.shapes, shape{Kind: "rect", Class: class, X: px(x), Y: px(y), W: px(max(0, w)), H: px(h), Title: title})
}

// path draws lines from point to point; close fills what they surround.
func (s *sketch) path(class string, close bool, title string, xy ...float64) {
	d := ""
	for i := 0; i+1 < len(xy); i += 2 {
		d += fmt.Sprintf("%s%s %s", map[bool]string{true: "M", false: "L"}[i == 0], px(xy[i]), px(xy[i+1]))
	}
	if close {
		d += "Z"
	}
	s.shapes = append(s.shapes, shape{Kind: "path", Class: class, D: d, Title: title})
}

func (s *sketch) line(class string, x0, y0, x1, y1 float64) {
	s.path(class, false, "", x0, y0, x1, y1)
}

func (s *sketch) text(class, anchor string, x, y float64, text string) {
	s.shapes = append(s.shapes, shape{Kind: "text", Class: class, X: px(x), Y: px(y), Anchor: anchor, Text: text})
}

func (s *sketch) drawing(f form, height float64) drawing {
	for i := range s.shapes {
		if t := &s.shapes[i]; t.Kind == "text" && t.Class == "lane-name" && t.Text != "" {
			t.Length = px(wide(t.Text, f.font))
		}
	}
	return drawing{Form: f.name, Width: int(s.width), Height: int(height + 0.999), Shapes: s.shapes}
}

// wide is how much room a text takes.
func wide(text string, size vg.Length) float64 { return float64(textWidth(text, size)) }
