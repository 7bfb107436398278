package reports

import (
	"fmt"
	"io"
	"strings"

	"github.com/mattn/go-runewidth"

	"github.com/fivenines/fivenines/slo"
	"github.com/fivenines/fivenines/slo/projection"
)

// TerminalProjection writes the projection for a person at a terminal: the verdict
// first, then what it means, the levels, the classes and what fixing one would
// buy. It is laid out like [Terminal].
func TerminalProjection(w io.Writer, p *projection.Projection, color bool) error {
	_, err := io.WriteString(w, terminalProjection(p, color, widthOf(w)))
	return err
}

func terminalProjection(p *projection.Projection, color bool, width int) string {
	s := &screen{color: color, width: width}
	v := projectedOf(p)
	head := terminalSign[v.Verdict]
	if v.Verdict == slo.Met {
		head = "MET"
	}
	s.WriteString(s.paint("1;"+terminalColor[v.Verdict], head) + "  " + s.paint("1", clip(v.Title, max(10, width-len(head)-3))) + "\n")
	s.wrapped("", "", v.Why)
	for _, words := range v.Words {
		s.wrapped("- ", "", words)
	}
	s.wrapped("", "2", v.Facts)
	s.WriteString("\n")
	s.grid(v.Levels, 4)
	s.WriteString("\n")
	s.grid(v.Classes, 2)
	s.WriteString("\n")
	s.grid(v.Halving, 2)
	s.WriteString("\n")
	s.grid(v.Rates, 2)
	for _, n := range v.Notes {
		s.WriteString("\n")
		s.wrapped("", "1", n.Title)
		for _, item := range n.Items {
			s.wrapped("  - ", "", item)
		}
	}
	s.WriteString("\n" + s.paint("1", "Sources of the rates") + "\n")
	for _, r := range v.Sources.Rows {
		text := fmt.Sprintf("%s (%s)", r[1], r[4])
		if strings.HasPrefix(r[3], estimated) {
			text += "; the figure is an estimate"
		}
		s.wrapped("  "+clip(r[0], 30)+": ", "", text)
	}
	return s.String()
}

// grid aligns a table. Where the width is short the last columns go, down to least of
// them; then the first one is cut.
func (s *screen) grid(g grid, least int) {
	if len(g.Rows) == 0 {
		return
	}
	s.wrapped("", "2", g.Caption)
	columns := len(g.Head)
	widths := make([]int, columns)
	number := make([]bool, columns)
	head := make([]string, columns)
	for i, h := range g.Head {
		head[i], number[i] = strings.TrimPrefix(h, "#"), strings.HasPrefix(h, "#")
		head[i] = strings.ToUpper(head[i])
		widths[i] = runewidth.StringWidth(head[i])
	}
	for _, r := range g.Rows {
		for i := range columns {
			widths[i] = max(widths[i], runewidth.StringWidth(r[i]))
		}
	}
	total := func() int {
		n := 2 * (columns - 1)
		for _, w := range widths[:columns] {
			n += w
		}
		return n
	}
	for columns > least && total() > s.width {
		columns--
	}
	if over := total() - s.width; over > 0 {
		widths[0] = max(4, widths[0]-over)
	}
	for columns > 1 && total() > s.width {
		columns--
	}
	for i, r := range append([][]string{head}, g.Rows...) {
		var b strings.Builder
		for j := range columns {
			text := runewidth.Truncate(r[j], widths[j], "…")
			pad := strings.Repeat(" ", widths[j]-runewidth.StringWidth(text))
			if i == 0 {
				text = s.paint("2", text)
			}
			if j > 0 {
				b.WriteString("  ")
			}
			if number[j] {
				b.WriteString(pad + text)
			} else {
				b.WriteString(text)
				if j < columns-1 {
					b.WriteString(pad)
				}
			}
		}
		s.WriteString(strings.TrimRight(b.String(), " ") + "\n")
	}
}
