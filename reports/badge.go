package reports

import (
	"bytes"
	"fmt"
	"html/template"
	"io"

	"gonum.org/v1/plot/vg"

	"github.com/fivenines/fivenines/slo"
)

// White text on each of these has a contrast of at least 4.5.
var badgeColor = map[slo.Verdict]string{slo.Met: "#1a7f37", slo.Missed: "#b42318", slo.Inconclusive: "#8a5a00"}

var badgeTemplate = template.Must(template.New("badge").Parse(`<svg xmlns="http://www.w3.org/2000/svg" width="{{.Width}}" height="20" role="img" aria-label="{{.Label}}: {{.Text}}"><title>{{.Label}}: {{.Text}}</title>
<clipPath id="r"><rect width="{{.Width}}" height="20" rx="3"/></clipPath>
<g clip-path="url(#r)"><rect width="{{.Left}}" height="20" fill="#3d444d"/><rect x="{{.Left}}" width="{{.Right}}" height="20" fill="{{.Color}}"/></g>
<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,Arial,sans-serif" font-size="11"><text x="{{.LeftMid}}" y="14" textLength="{{.LeftText}}">{{.Label}}</text><text x="{{.RightMid}}" y="14" textLength="{{.RightText}}">{{.Text}}</text></g>
</svg>
`))

// WriteBadge writes a small SVG badge that says the scenario and its verdict.
// That of a mutant says so, and is never green.
func WriteBadge(w io.Writer, r *slo.Result) error {
	v := overall(r)
	label, text, color := clip(r.Scenario, 40), string(v), badgeColor[v]
	if label == "" {
		label = "fivenines"
	}
	if r.Mutant != "" {
		text, color = "mutant "+clip(r.Mutant, 40)+": "+text, badgeColor[slo.Missed]
	}
	// Verdana is about a fifth wider than the font that is measured here.
	width := func(s string) int { return int(textWidth(s, vg.Length(11))*1.2) + 1 }
	lt, rt := width(label), width(text)
	left, right := lt+12, rt+12
	var b bytes.Buffer
	err := badgeTemplate.Execute(&b, map[string]any{
		"Label": label, "Text": text, "Color": color, "Width": left + right, "Left": left, "Right": right,
		"LeftText": lt, "RightText": rt, "LeftMid": fmt.Sprintf("%.1f", float64(left)/2), "RightMid": fmt.Sprintf("%.1f", float64(left)+float64(right)/2),
	})
	if err != nil {
		return fmt.Errorf("badge of %s: %w", r.Scenario, err)
	}
	_, err = w.Write(b.Bytes())
	return err
}
