package reports

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"

	"github.com/fivenines/fivenines/slo"
)

// Bounds of the width that a summary is laid out for.
const (
	defaultWidth = 100
	minWidth     = 40
	maxWidth     = 140
)

// Terminal writes the summary that a person sees at the end of a run: the
// verdict first, then the objectives, what to do, the problems, and short
// examples of violations. It is laid out for the width of the terminal that w
// is, else for 100 columns. It reads the same without colour.
func Terminal(w io.Writer, r *slo.Result, color bool) error {
	_, err := io.WriteString(w, terminal(r, color, widthOf(w)))
	return err
}

func widthOf(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			return min(max(n, minWidth), maxWidth)
		}
	}
	return defaultWidth
}

var terminalSign = map[slo.Verdict]string{
	slo.Met: "met", slo.Missed: "MISSED", slo.Inconclusive: "INCONCLUSIVE", slo.NotEvaluated: "not evaluated",
}

var terminalColor = map[slo.Verdict]string{slo.Met: "32", slo.Missed: "31", slo.Inconclusive: "33"}

// screen writes lines that fit.
type screen struct {
	strings.Builder
	color bool
	width int
}

func (s *screen) paint(codes, text string) string {
	if !s.color || codes == "" || text == "" {
		return text
	}
	return "\x1b[" + codes + "m" + text + "\x1b[0m"
}

// wrapped writes text with its first line after lead, the others below it.
func (s *screen) wrapped(lead, codes, text string) {
	indent := runewidth.StringWidth(lead)
	for i, l := range wrap(text, max(20, s.width-indent)) {
		if i > 0 {
			lead = strings.Repeat(" ", indent)
		}
		s.WriteString(strings.TrimRight(lead+s.paint(codes, l), " ") + "\n")
	}
}

func terminal(r *slo.Result, color bool, width int) string {
	s := &screen{color: color, width: width}
	v := overall(r)
	if m := mutantText(r); m != "" {
		s.wrapped("!!! ", "1;35", m)
		s.WriteString("\n")
	}
	head := terminalSign[v]
	if v == slo.Met {
		head = "MET"
	}
	s.WriteString(s.paint("1;"+terminalColor[v], head) + "  " + s.paint("1", clip(r.Scenario, 60)) + "\n")
	s.wrapped("", "", sentence(r))
	s.wrapped("", "2", fmt.Sprintf("seed %d, %s backend, target %s, %s", r.Seed, clean(r.Backend), clean(r.Target), countOf(len(r.Trials), "trial", "trials")))
	s.wrapped("", "2", loadLine(r))

	declared, rest := undeclared(rows(r))
	if len(declared) > 0 {
		s.WriteString("\n")
		s.table(declared)
	}
	if len(rest) > 0 {
		s.wrapped("not evaluated: ", "2", strings.Join(names(rest), ", "))
	}
	for _, o := range declared {
		if o.Verdict == slo.Met {
			continue
		}
		s.WriteString("\n")
		s.wrapped(o.Name+": ", "", orDash(o.Evidence))
		if o.Verdict == slo.Missed {
			s.wrapped("  what to do: ", "", o.Advice)
		}
	}
	if len(r.Problems) > 0 {
		s.WriteString("\n" + s.paint("1", "Problems of this run") + "\n")
		for i, p := range r.Problems {
			if i == 10 {
				s.wrapped("  - ", "", fmt.Sprintf("and %d more, see the report", len(r.Problems)-i))
				break
			}
			s.wrapped("  - ", "", clean(p))
		}
	}
	if r.Statistics != nil {
		s.statistics(r.Statistics)
	}
	s.examples(r)
	return s.String()
}

func loadLine(r *slo.Result) string {
	l := &r.Load
	return fmt.Sprintf("%s sessions, %s/s offered, %s/s served before the fault; %s operations: %s ok, %s failed, %s unknown, %s unsent",
		grouped(float64(l.Sessions)), grouped(l.TargetRPS), grouped(l.AchievedRPS),
		grouped(float64(l.Intended)), grouped(float64(l.OK)), grouped(float64(l.Failed)), grouped(float64(l.Unknown)), grouped(float64(l.Unsent)))
}

// table aligns the objectives. Where the width is short the margin goes, then
// the bounds, then the target; name and verdict always stay whole.
func (s *screen) table(rs []row) {
	cells := [][]string{{"OBJECTIVE", "VERDICT", "MEASURED", "TARGET", "MARGIN"}}
	for _, o := range rs {
		cells = append(cells, []string{clip(o.Name, 40), terminalSign[o.Verdict], orDash(o.Measured), orDash(o.Target), o.Margin})
	}
	columns := len(cells[0])
	widths := func() []int {
		ws := make([]int, columns)
		for _, c := range cells {
			for i := range ws {
				ws[i] = max(ws[i], runewidth.StringWidth(c[i]))
			}
		}
		return ws
	}
	total := func(ws []int) int {
		n := 2 * (columns - 1)
		for _, w := range ws {
			n += w
		}
		return n
	}
	if total(widths()) > s.width {
		columns-- // the margin
	}
	if total(widths()) > s.width {
		for i := range cells { // the bounds
			cells[i][2], _, _ = strings.Cut(cells[i][2], " (")
		}
	}
	if total(widths()) > s.width {
		columns-- // the target
	}
	if over := total(widths()) - s.width; over > 0 {
		for i := range cells {
			cells[i][2] = runewidth.Truncate(cells[i][2], max(4, widths()[2]-over), "…")
		}
	}
	ws := widths()
	for i, c := range cells {
		var b strings.Builder
		for j := range columns {
			text := c[j]
			pad := strings.Repeat(" ", ws[j]-runewidth.StringWidth(text))
			switch {
			case i == 0:
				text = s.paint("2", text)
			case j == 1:
				text = s.paint("1;"+terminalColor[rs[i-1].Verdict], text)
			}
			if j > 0 {
				b.WriteString("  ")
			}
			b.WriteString(text)
			if j < columns-1 {
				b.WriteString(pad)
			}
		}
		s.WriteString(strings.TrimRight(b.String(), " ") + "\n")
	}
}

// Bounds of the examples on a terminal.
const (
	terminalExamples   = 3
	terminalExampleOps = 6
)

func (s *screen) examples(r *slo.Result) {
	for i := range r.Examples {
		e := &r.Examples[i]
		if i == terminalExamples {
			s.wrapped("", "2", fmt.Sprintf("%s with all operations in report.html of the run's folder", countOf(len(r.Examples)-i, "more example", "more examples")))
			return
		}
		s.WriteString("\n")
		s.wrapped("", "", clip(exampleTitle(e), 60)+": "+clean(e.Why))
		ops := exampleLines(e)
		from := 0
		for j, o := range ops {
			if strings.HasPrefix(o, ">") {
				from = max(0, min(j-terminalExampleOps/2, len(ops)-terminalExampleOps))
			}
		}
		for _, o := range ops[from:min(len(ops), from+terminalExampleOps)] {
			s.WriteString("  " + runewidth.Truncate(o, s.width-2, "…") + "\n")
		}
	}
}

// wrap cuts text into lines of at most that width, at blanks where there are some.
func wrap(text string, width int) []string {
	var out []string
	var line string
	for _, word := range strings.Fields(text) {
		for runewidth.StringWidth(word) > width {
			if line != "" {
				out, line = append(out, line), ""
			}
			head := runewidth.Truncate(word, width, "")
			if head == "" {
				break
			}
			out, word = append(out, head), word[len(head):]
		}
		switch {
		case line == "":
			line = word
		case runewidth.StringWidth(line)+1+runewidth.StringWidth(word) <= width:
			line += " " + word
		default:
			out, line = append(out, line), word
		}
	}
	if line != "" || len(out) == 0 {
		out = append(out, line)
	}
	return out
}
