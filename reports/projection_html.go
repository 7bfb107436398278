package reports

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/fivenines/fivenines/slo/projection"
)

// projectionTemplate is the section, and a page around it. It shares the
// figures and tables of the report's page.
var projectionTemplate = template.Must(template.Must(pageTemplate.Clone()).New("projection").Parse(`
{{- define "projection-section"}}
<section aria-labelledby="projection-part">
<h2 id="projection-part">{{.Title}}</h2>
<p><span class="tag {{.Class}}"><span aria-hidden="true">{{.Sign}}</span> {{.Verdict}}</span> {{.Why}}.</p>
<ul>{{range .Words}}<li>{{.}}</li>{{end}}</ul>
{{template "table" .Levels}}
{{- with .Years}}{{template "figure" .}}{{end}}
{{- with .Shares}}{{template "figure" .}}{{end}}
{{template "table" .Classes}}
{{- with .Halving}}{{template "table" .}}{{end}}
{{- range .Notes}}
<h3>{{.Title}}</h3>
<ul>{{range .Items}}<li>{{.}}</li>{{end}}</ul>
{{- end}}
<h3>Rates and their sources</h3>
{{template "table" .Rates}}
{{template "table" .Sources}}
<p class="muted">{{.Facts}}.</p>
</section>
{{- end}}
{{- define "projection-page"}}<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{{.Policy}}">
<link rel="icon" href="data:,">
<title>{{.Verdict}}: {{.Title}} – fivenines</title>
<style>
{{.CSS}}</style>
</head>
<body>
<main>
<section class="verdict {{.Class}}" aria-label="Verdict">
<h1><span class="word">{{.Verdict}}</span> {{.Title}}</h1>
{{- with .Words}}
<p>{{index . 0}}</p>
{{- end}}
</section>
{{template "projection-section" .}}
</main>
<footer>Projected from repeated trials and yearly rates; nothing here was observed over a year.</footer>
<script>{{.JS}}</script>
</body>
</html>
{{- end}}`))

// projectionPage is what the template shows.
type projectionPage struct {
	*projected
	shell
	Class, Sign                     string
	Levels, Classes, Rates, Sources table
	Halving                         *table
	Years, Shares                   *figure
}

// ProjectionSection is the projection as a section of a page, to stand among the other
// sections of a report whose style is that of [WriteHTML]. All text in it is escaped.
func ProjectionSection(p *projection.Projection) (template.HTML, error) {
	b, err := renderProjection("projection-section", p)
	return template.HTML(b), err
}

// WriteProjectionHTML writes the projection as one page that needs nothing else.
func WriteProjectionHTML(w io.Writer, p *projection.Projection) error {
	b, err := renderProjection("projection-page", p)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

func renderProjection(name string, p *projection.Projection) ([]byte, error) {
	v := projectedOf(p)
	v.Why = upperFirst(v.Why)
	page := &projectionPage{
		projected: v, shell: newShell(), Class: string(v.Verdict), Sign: signs[v.Verdict],
		Levels: v.Levels.table(), Classes: v.Classes.table(), Rates: v.Rates.table(), Sources: v.Sources.table(),
	}
	if len(v.Halving.Rows) > 0 {
		t := v.Halving.table()
		page.Halving = &t
	}
	var err error
	if page.Years, err = yearsFigure(p); err != nil {
		return nil, fmt.Errorf("projection: %w", err)
	}
	if page.Shares, err = sharesFigure(p); err != nil {
		return nil, fmt.Errorf("projection: %w", err)
	}
	var b bytes.Buffer
	if err := projectionTemplate.ExecuteTemplate(&b, name, page); err != nil {
		return nil, fmt.Errorf("projection: %w", err)
	}
	return b.Bytes(), nil
}

func (g grid) table() table {
	t := table{Caption: g.Caption, Head: heads(g.Head...)}
	for _, r := range g.Rows {
		cells := make([]cell, len(r))
		for i, text := range r {
			cells[i] = cell{Text: text}
			if i > 0 && strings.HasPrefix(g.Head[i], "#") {
				cells[i].Class = "num"
			}
			if text == "NOT MEASURED" {
				cells[i].Class = "bad"
			}
		}
		t.Rows = append(t.Rows, cells)
	}
	return t
}
