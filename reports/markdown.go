package reports

import (
	"fmt"
	"io"
	"strings"

	"github.com/fivenines/fivenines/slo"
)

// What GitHub takes in a comment, less some room for what a workflow adds.
const maxMarkdown = 60_000

// WriteMarkdown writes a summary for a GitHub job summary or a pull-request
// comment: the verdict, the objectives, what to do, how to run it again. It
// stays below the size that GitHub takes in a comment.
func WriteMarkdown(w io.Writer, r *slo.Result) error {
	text := markdown(r, maxExamples)
	for n := 3; len(text) > maxMarkdown && n >= 0; n-- {
		text = markdown(r, n)
	}
	_, err := io.WriteString(w, text)
	return err
}

var markdownSign = map[slo.Verdict]string{
	slo.Met: "✅ met", slo.Missed: "❌ **missed**", slo.Inconclusive: "⚠️ **inconclusive**", slo.NotEvaluated: "– not evaluated",
}

func markdown(r *slo.Result, examples int) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	all := rows(r)
	declared, rest := undeclared(all)

	line("## %s: %s", strings.ReplaceAll(markdownSign[overall(r)], "**", ""), md(r.Scenario, 200))
	line("")
	line("%s", md(sentence(r), maxText))
	line("")
	if m := mutantText(r); m != "" {
		line("> [!CAUTION]\n> **Mutant.** %s\n", md(m, maxText))
	}
	if overall(r) == slo.Inconclusive {
		line("> [!WARNING]\n> Inconclusive: this run claims neither that the objectives are met nor that they are missed.\n")
	}
	if len(declared) > 0 {
		line("| Objective | Target | Measured | Margin | Verdict |")
		line("|---|---|---|---|---|")
		for _, o := range declared {
			line("| %s | %s | %s | %s | %s |", md(o.Name, 100), md(o.Target, 100), mdDash(o.Measured), mdDash(o.Margin), markdownSign[o.Verdict])
		}
		line("")
	}
	if len(rest) > 0 {
		line("Not evaluated: %s.\n", md(strings.Join(names(rest), ", "), maxText))
	}
	for _, o := range declared {
		if o.Verdict == slo.Met {
			continue
		}
		line("- **%s**: %s", md(o.Name, 100), mdDash(clip(o.Evidence, 500)))
		if o.Advice != "" {
			line("  *What to do:* %s", md(o.Advice, 700))
		}
	}
	if r.Statistics != nil {
		b.WriteString(markdownStatistics(r.Statistics))
	}
	if len(r.Problems) > 0 {
		line("\n**Problems of the run**\n")
		for i, p := range r.Problems {
			if i == 10 {
				line("- and %d more", len(r.Problems)-i)
				break
			}
			line("- %s", md(p, 500))
		}
	}
	for i := range r.Examples {
		if i >= examples {
			line("\n%s in the HTML report.", countOf(len(r.Examples)-i, "more example is", "more examples are"))
			break
		}
		e := &r.Examples[i]
		line("\n<details><summary>%s: %s</summary>\n", mdHTML(exampleTitle(e), 150), mdHTML(e.Why, 300))
		line("%s\n</details>", fence(strings.Join(exampleLines(e), "\n"), "text"))
	}
	line("")
	var fs []string
	for _, f := range facts(r) {
		fs = append(fs, md(f[0]+" "+f[1], 200))
	}
	line("%s", strings.Join(fs, " · "))
	if r.Command != "" {
		line("\nRun it again:\n\n%s", fence(clean(r.Command), "sh"))
	}
	return b.String()
}

func mdDash(s string) string {
	if s == "" {
		return "–"
	}
	return md(s, maxText)
}

// markdownEscapes keep foreign text text: no markup, no HTML, no mention that
// notifies somebody, no link.
var markdownEscapes = strings.NewReplacer(
	"&", "&amp;", "<", "&lt;", ">", "&gt;",
	"\\", "\\\\", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "]", "\\]", "|", "\\|", "~", "\\~", "$", "\\$",
	"@", "@<!-- -->", "#", "#<!-- -->", "://", ":<!-- -->//", "www.", "www<!-- -->.",
)

func md(s string, most int) string {
	s = markdownEscapes.Replace(clip(s, most))
	// At the start of a line these would begin a list, a rule or a heading.
	if s != "" && strings.ContainsRune("+-=#", rune(s[0])) {
		s = "\\" + s
	}
	return s
}

// mdHTML is for text inside of an HTML element, where backslashes escape nothing; by entities,
// it is text for a reader that sees Markdown there as well.
func mdHTML(s string, most int) string {
	return htmlEscapes.Replace(clip(s, most))
}

var htmlEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "@", "@<!-- -->", "#", "#<!-- -->", "://", ":<!-- -->//", "www.", "www<!-- -->.",
	"*", "&#42;", "_", "&#95;", "[", "&#91;", "]", "&#93;", "`", "&#96;", "|", "&#124;", "~", "&#126;", "\\", "&#92;")

// fence is a code block that its text can't end.
func fence(text, language string) string {
	ticks := "```"
	for strings.Contains(text, ticks) {
		ticks += "`"
	}
	return ticks + language + "\n" + text + "\n" + ticks
}
