package reports

import (
	"fmt"
	"io"
	"strings"

	"github.com/fivenines/fivenines/slo"
	"github.com/fivenines/fivenines/slo/projection"
)

// WriteProjectionMarkdown writes the projection for a job summary or a comment,
// below the size that GitHub takes.
func WriteProjectionMarkdown(w io.Writer, p *projection.Projection) error {
	v := projectedOf(p)
	text := projectionMarkdown(v, true)
	if len(text) > maxMarkdown {
		text = projectionMarkdown(v, false)
	}
	if len(text) > maxMarkdown {
		v.Classes.Rows, v.Halving.Rows, v.Notes = v.Classes.Rows[:min(5, len(v.Classes.Rows))], v.Halving.Rows[:min(5, len(v.Halving.Rows))], nil
		text = projectionMarkdown(v, false)
	}
	_, err := io.WriteString(w, text)
	return err
}

func projectionMarkdown(v *projected, sources bool) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("## %s: %s\n", strings.ReplaceAll(markdownSign[v.Verdict], "**", ""), md(v.Title, 200))
	line("%s\n", md(upperFirst(v.Why), maxText))
	if v.Verdict == slo.Inconclusive {
		line("> [!WARNING]\n> Inconclusive: this projection claims neither that the objective is met nor that it is missed.\n")
	}
	for _, s := range v.Words {
		line("- %s", md(s, maxText))
	}
	line("")
	table := func(g grid) {
		if len(g.Rows) == 0 {
			return
		}
		line("%s\n", md(g.Caption, maxText))
		head, rule := "|", "|"
		for _, h := range g.Head {
			if name, ok := strings.CutPrefix(h, "#"); ok {
				head, rule = head+" "+name+" |", rule+"---:|"
			} else {
				head, rule = head+" "+h+" |", rule+"---|"
			}
		}
		line("%s\n%s", head, rule)
		for _, r := range g.Rows {
			cells := "|"
			for _, c := range r {
				cells += " " + mdDash(clip(c, 400)) + " |"
			}
			line("%s", cells)
		}
		line("")
	}
	table(v.Levels)
	table(v.Classes)
	table(v.Halving)
	for _, n := range v.Notes {
		line("**%s**\n", md(n.Title, 100))
		for _, item := range n.Items {
			line("- %s", md(item, 700))
		}
		line("")
	}
	if sources {
		line("<details><summary>Rates and their sources</summary>\n")
		table(v.Rates)
		table(v.Sources)
		line("</details>\n")
	}
	line("%s", md(v.Facts, 300))
	return b.String()
}

func upperFirst(s string) string {
	r := []rune(s)
	if len(r) == 0 {
		return s
	}
	return strings.ToUpper(string(r[:1])) + string(r[1:])
}
