package reports

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/url"
	"path"
	"strings"
	"text/tabwriter"

	"github.com/fivenines/fivenines/slo"
	"github.com/fivenines/fivenines/slo/stats"
)

// VerifyJSON writes a verification as JSON, schema fivenines-verify/v1.
func VerifyJSON(w io.Writer, v *slo.Verification) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// VerifyTerminal writes what a person sees at the end of a verification.
func VerifyTerminal(w io.Writer, v *slo.Verification, color bool) error {
	s := &screen{color: color, width: widthOf(w)}
	head := terminalSign[v.Verdict]
	if v.Verdict == slo.Met {
		head = "MET"
	}
	s.WriteString(s.paint("1;"+terminalColor[v.Verdict], head) + "  " + s.paint("1", "a year of "+clean(v.Target)) + "\n")
	s.wrapped("", "", clean(v.Summary))
	s.WriteString("\n")
	var table strings.Builder
	tw := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SCENARIO\tVERDICT\tTRIALS\tVOID\tOUTAGE (MEDIAN, LONGEST)\tUNDOING")
	for _, sc := range v.Scenarios {
		fmt.Fprintf(tw, "%s\t%s\t%d\t%d\t%s\t%s\n", clean(sc.Name), terminalSign[sc.Verdict], sc.Trials, sc.Void, outages(sc.Down), outages(sc.Undo))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	s.WriteString(table.String())
	for _, sc := range v.Scenarios {
		for _, o := range sc.Objectives {
			s.wrapped(fmt.Sprintf("%s, %s: ", clean(sc.Name), o.Name), "", clip(o.Evidence, 300))
		}
	}
	if _, err := io.WriteString(w, s.String()+"\n"); err != nil {
		return err
	}
	return TerminalProjection(w, v.Projection, color)
}

// VerifyMarkdown writes a verification for a job summary or a comment.
func VerifyMarkdown(w io.Writer, v *slo.Verification) error {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s: a year of %s\n\n%s\n\n", strings.ReplaceAll(markdownSign[v.Verdict], "**", ""), md(v.Target, 100), md(v.Summary, maxText))
	if v.Mutant != "" {
		fmt.Fprintf(&b, "> [!CAUTION]\n> **Mutant** %s: broken on purpose.\n\n", md(v.Mutant, 100))
	}
	b.WriteString("| Scenario | Verdict | Trials | Void | Outage (median, longest) | Undoing |\n|---|---|---|---|---|---|\n")
	for _, sc := range v.Scenarios {
		fmt.Fprintf(&b, "| %s | %s | %d | %d | %s | %s |\n", md(sc.Name, 100), markdownSign[sc.Verdict], sc.Trials, sc.Void, outages(sc.Down), outages(sc.Undo))
	}
	b.WriteString("\n")
	for _, sc := range v.Scenarios {
		for _, o := range sc.Objectives {
			fmt.Fprintf(&b, "- **%s, %s**: %s\n", md(sc.Name, 100), md(o.Name, 100), md(clip(o.Evidence, 300), maxText))
		}
	}
	b.WriteString("\n")
	if err := WriteProjectionMarkdown(&b, v.Projection); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}

var verifyTemplate = template.Must(template.Must(pageTemplate.Clone()).New("verify").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{{.Policy}}">
<link rel="icon" href="data:,">
<title>{{.Word}}: a year of {{.V.Target}} – fivenines</title>
<style>
{{.CSS}}</style>
</head>
<body>
<header class="top">
<div><strong>fivenines</strong> · verification of <strong>{{.V.Target}}</strong></div>
<div>{{.V.Backend}} backend · {{.Started}}</div>
</header>
<main>
{{- with .V.Mutant}}
<section class="banner mutant" role="note" aria-label="Mutant"><strong>⚠ Mutant {{.}}: broken on purpose</strong></section>
{{- end}}
<section class="verdict {{.Class}}" aria-label="Verdict">
<h1><span class="word">{{.Word}}</span> {{.Sentence}}</h1>
</section>
<section aria-labelledby="scenarios-part">
<h2 id="scenarios-part">Scenarios</h2>
<div class="scroll"><table><caption><span class="cap">Each scenario's trials, and the outages that the projection is made from</span></caption>
<thead><tr><th scope="col">Scenario</th><th scope="col">Verdict</th><th scope="col">Trials</th><th scope="col">Void</th><th scope="col">Outage (median, longest)</th><th scope="col">Undoing</th></tr></thead>
<tbody>
{{- range .Scenarios}}
<tr><th scope="row"><a href="{{.Link}}">{{.Name}}</a></th><td><span class="tag {{.Verdict}}"><span aria-hidden="true">{{.Sign}}</span> {{.Verdict}}</span></td><td class="num">{{.Trials}}</td><td class="num">{{.Void}}</td><td>{{.Outage}}</td><td>{{.Undoing}}</td></tr>
{{- end}}
</tbody></table></div>
{{- with .Open}}
<h3>What is not met</h3>
<ul>{{range .}}<li>{{.}}</li>{{end}}</ul>
{{- end}}
</section>
{{.Projection}}
<section aria-labelledby="again-part">
<h2 id="again-part">How to run it again</h2>
{{- with .V.Command}}
<pre class="command" tabindex="0" aria-label="command to run it again">{{.}}</pre>
{{- end}}
<p class="muted">{{.V.Machine}}{{with .V.Version}} · version {{.}}{{end}}</p>
</section>
</main>
<footer>The year is projected from repeated trials and yearly rates; nothing here was observed over a year.</footer>
<script>{{.JS}}</script>
</body>
</html>
`))

// VerifyHTML writes a verification as one page that needs nothing else. It links to
// the reports of the runs beside it.
func VerifyHTML(w io.Writer, v *slo.Verification) error {
	section, err := ProjectionSection(v.Projection)
	if err != nil {
		return err
	}
	type line struct {
		Name, Link, Verdict, Sign, Outage, Undoing string
		Trials, Void                               int
	}
	p := struct {
		shell
		V                              *slo.Verification
		Word, Class, Sentence, Started string
		Scenarios                      []line
		Open                           []string
		Projection                     template.HTML
	}{
		shell: newShell(), V: v, Word: string(v.Verdict), Class: string(v.Verdict), Projection: section,
		Sentence: sentence(&slo.Result{Verdict: v.Verdict, Summary: v.Summary}), Started: v.Started.UTC().Format("2 January 2006, 15:04 UTC"),
	}
	for _, sc := range v.Scenarios {
		link := (&url.URL{Path: path.Join(sc.Folder, "report.html")}).String()
		p.Scenarios = append(p.Scenarios, line{clean(sc.Name), link, string(sc.Verdict), signs[sc.Verdict], outages(sc.Down), outages(sc.Undo), sc.Trials, sc.Void})
		for _, o := range sc.Objectives {
			p.Open = append(p.Open, fmt.Sprintf("%s, %s (%s): %s", clean(sc.Name), o.Name, o.Target, clip(o.Evidence, 400)))
		}
	}
	var b bytes.Buffer
	if err := verifyTemplate.Execute(&b, p); err != nil {
		return fmt.Errorf("report of the verification: %w", err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

// outages are the median and the longest of durations.
func outages(ds []stats.Duration) string {
	if len(ds) == 0 {
		return "–"
	}
	longest := stats.Duration{}
	for _, d := range ds {
		if d.Seconds > longest.Seconds || d.Seconds == longest.Seconds && d.Censored {
			longest = d
		}
	}
	med := "not seen to end"
	if m, _, ok := stats.KaplanMeier(ds).Quantile(0.5, 0.95); ok {
		med = fixed(m, 2) + " s"
	}
	max := fixed(longest.Seconds, 2) + " s"
	if longest.Censored {
		max = "at least " + max
	}
	return med + ", " + max
}
