package reports

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/fivenines/fivenines/slo"
	"github.com/fivenines/fivenines/slo/compare"
)

// CommentMarker is the first line of a pull-request comment. A workflow finds its
// own comment by it, and updates that in place of adding another.
func CommentMarker(r *slo.Result) string {
	name := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' {
			return c
		}
		return -1
	}, clip(r.Scenario, 64))
	for strings.Contains(name, "--") { // which may end an HTML comment
		name = strings.ReplaceAll(name, "--", "-")
	}
	return "<!-- fivenines:" + strings.Trim(name, "-") + " -->"
}

// WriteComment writes a short pull-request comment: the verdict in a sentence,
// the declared objectives, and against a base (nil: none) what got better or
// worse. Details are folded, the rest is in the reports.
func WriteComment(w io.Writer, r *slo.Result, c *compare.Comparison) error {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("%s", CommentMarker(r))
	line("### %s: %s\n", strings.ReplaceAll(markdownSign[overall(r)], "**", ""), md(r.Scenario, 200))
	if m := mutantText(r); m != "" {
		line("> [!CAUTION]\n> **Mutant.** %s\n", md(m, maxText))
	}
	line("%s\n", md(sentence(r), maxText))
	declared, _ := undeclared(rows(r))
	if len(declared) > 0 {
		line("| Objective | Target | Measured | Verdict |\n|---|---|---|---|")
		for _, o := range declared {
			line("| %s | %s | %s | %s |", md(o.Name, 100), md(o.Target, 100), mdDash(o.Measured), markdownSign[o.Verdict])
		}
		line("")
	}
	for i, p := range r.Problems {
		if i == 3 {
			line("- and %s", countOf(len(r.Problems)-i, "more problem", "more problems"))
			break
		}
		line("- %s", md(p, 300))
	}
	if c != nil {
		commentComparison(line, c)
	}
	line("<details><summary>Run it again</summary>\n\n%s\n", fence(orDash(clean(r.Command)), "sh"))
	var fs []string
	for _, f := range facts(r) {
		fs = append(fs, md(f[0]+" "+f[1], 200))
	}
	line("%s\n</details>", strings.Join(fs, " · "))
	_, err := io.WriteString(w, b.String())
	return err
}

// commentComparison lists what changed, and counts the rest.
func commentComparison(line func(string, ...any), c *compare.Comparison) {
	signs := map[compare.Change]string{compare.Better: "✅ better", compare.Worse: "❌ **worse**"}
	line("**Against the base:** %s\n", md(c.Summary, maxText))
	changed, same := 0, 0
	for i := range c.Measures {
		m := &c.Measures[i]
		if signs[m.Change] == "" {
			if m.Change == compare.Same {
				same++
			}
			continue
		}
		if changed++; changed == 1 {
			line("| Measure | Base | New | Change |\n|---|---|---|---|")
		}
		line("| %s | %s | %s | %s |", md(m.Name, 100), md(compared(m, m.Base), 100), md(compared(m, m.New), 100), signs[m.Change])
	}
	if changed > 0 {
		line("")
	}
	rest := countOf(same, "measure is", "measures are") + " the same"
	if open := len(c.Measures) - same - changed; open > 0 {
		rest += "; of " + countOf(open, "measure", "measures") + " nothing can be told"
	}
	line("%s.\n", rest)
}

// maxSummary is what GitHub takes of a step's summary, all that it appends together.
const maxSummary = 1 << 20

// ErrSummaryFull says that a job summary has no room for any more.
var ErrSummaryFull = errors.New("the job summary has no room left (1 MiB a step)")

// AppendSummary appends to the file of a GitHub job summary the first of the
// texts that there is room for: in full, then shorter. What would go past the
// bound is not written, since GitHub then drops all of it.
func AppendSummary(file string, texts ...func(io.Writer) error) error {
	size := int64(0)
	if i, err := os.Stat(file); err == nil {
		size = i.Size()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("job summary: %w", err)
	}
	for _, write := range texts {
		var b bytes.Buffer
		b.WriteByte('\n')
		if err := write(&b); err != nil {
			return fmt.Errorf("job summary: %w", err)
		}
		b.WriteByte('\n')
		if size+int64(b.Len()) > maxSummary {
			continue
		}
		f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err == nil {
			_, err = f.Write(b.Bytes())
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			return fmt.Errorf("job summary: %w", err)
		}
		return nil
	}
	return ErrSummaryFull
}
