package reports

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func drawnOnly(page string) string { return strings.Join(drawn.FindAllString(page, -1), "") }

// accessible lists what a page lacks for a reader who can't see it.
func accessible(t testing.TB, page string) []string {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var lacks, open []string
	ids := map[string]bool{}
	var refs []string
	tables, captions, h1, last := 0, 0, 0, 1
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if e, ok := tok.(xml.EndElement); ok && len(open) > 0 && e.Name.Local == open[len(open)-1] {
			open = open[:len(open)-1]
		}
		e, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		open = append(open, e.Name.Local)
		attr := map[string]string{}
		for _, a := range e.Attr {
			attr[a.Name.Local] = a.Value
		}
		if id := attr["id"]; id != "" {
			if ids[id] {
				lacks = append(lacks, "two elements have the id "+id)
			}
			ids[id] = true
		}
		refs = append(refs, strings.Fields(attr["aria-labelledby"])...)
		if ref, ok := strings.CutPrefix(attr["href"], "#"); ok {
			refs = append(refs, ref)
		}
		switch n := e.Name.Local; n {
		case "html":
			if attr["lang"] == "" {
				lacks = append(lacks, "no language")
			}
		case "table":
			tables++
		case "caption":
			captions++
		case "th":
			if attr["scope"] == "" {
				lacks = append(lacks, "a th has no scope")
			}
		case "svg":
			if attr["aria-hidden"] != "true" && (attr["role"] != "img" || attr["aria-labelledby"] == "") {
				lacks = append(lacks, "a picture has no text")
			}
		case "h1", "h2", "h3", "h4":
			level := int(n[1] - '0')
			if level == 1 {
				h1++
			}
			if level > last+1 {
				lacks = append(lacks, "heading "+n+" after h"+strconv.Itoa(last))
			}
			last = level
		}
	}
	if tables != captions {
		lacks = append(lacks, fmt.Sprintf("%d tables have %d captions", tables, captions))
	}
	if h1 != 1 {
		lacks = append(lacks, fmt.Sprintf("%d h1", h1))
	}
	for _, ref := range refs {
		if !ids[ref] {
			lacks = append(lacks, "nothing has the id "+ref)
		}
	}
	return lacks
}

func TestPageIsAccessible(t *testing.T) {
	for name, make := range results {
		assert.Empty(t, accessible(t, render(t, "html", make())), name)
	}
	page := render(t, "html", met())
	caption := regexp.MustCompile(`<caption>.*?</caption>`).FindString(page)
	for _, c := range []struct{ old, new, want string }{
		{`<th scope="row"`, `<th`, "a th has no scope"},
		{caption, ``, "captions"},
		{`role="img"`, ``, "a picture has no text"},
		{`href="#objectives"`, `href="#gone"`, "nothing has the id gone"},
		{`<h2 id="load-part">Load</h2>`, `<h4 id="load-part">Load</h4>`, "heading h4 after"},
		{`id="load-part"`, `id="again-part"`, "two elements have the id again-part"},
		{`<html lang="en">`, `<html>`, "no language"},
	} {
		require.Contains(t, page, c.old)
		assert.Contains(t, strings.Join(accessible(t, strings.ReplaceAll(page, c.old, c.new)), "\n"), c.want)
	}
}

// themes are the colours of the style by theme.
func themes(t testing.TB) map[string]map[string]string {
	t.Helper()
	out := map[string]map[string]string{}
	roots := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllStringSubmatch(pageStyle, -1)
	require.Len(t, roots, 3)
	for i, theme := range []string{"light", "dark", "print"} {
		out[theme] = map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): ([^;]+);`).FindAllStringSubmatch(roots[i][1], -1) {
			out[theme][m[1]] = m[2]
		}
	}
	return out
}

func luminance(t testing.TB, hex string) float64 {
	t.Helper()
	hex = strings.TrimPrefix(hex, "#")
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	n, err := strconv.ParseUint(hex, 16, 32)
	require.NoError(t, err, hex)
	l := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		c := float64(n>>(16-8*i)&0xff) / 255
		if c <= 0.03928 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		l += weight * c
	}
	return l
}

func contrast(t testing.TB, a, b string) float64 {
	la, lb := luminance(t, a), luminance(t, b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

// WCAG 2.1 AA: 4.5 for text, 3 for what a picture needs.
func TestContrast(t *testing.T) {
	assert.InDelta(t, 21, contrast(t, "#000", "#ffffff"), 0.01)
	assert.Less(t, contrast(t, "#999999", "#ffffff"), 4.5, "a grey that is too light")
	for theme, c := range themes(t) {
		for _, p := range []struct {
			front, back string
			least       float64
		}{
			{"text", "page", 4.5}, {"text", "card", 4.5}, {"text", "code", 4.5}, {"muted", "page", 4.5}, {"muted", "card", 4.5}, {"muted", "code", 4.5},
			{"link", "page", 4.5}, {"link", "card", 4.5}, {"met", "met-bg", 4.5}, {"met", "card", 4.5}, {"missed", "missed-bg", 4.5}, {"missed", "card", 4.5},
			{"inconclusive", "inconclusive-bg", 4.5}, {"text", "inconclusive-bg", 4.5}, {"mutant", "mutant-bg", 4.5}, {"text", "mutant-bg", 4.5},
			{"ink", "card", 4.5}, {"fault", "card", 4.5},
			{"ink", "code", 4.5}, {"missed", "code", 4.5}, {"fault", "code", 4.5}, {"read", "code", 3}, {"write", "code", 3}, {"bad", "code", 3},
			{"card", "plan", 4.5}, {"card", "bar", 4.5}, {"card", "write", 4.5}, {"card", "offered", 4.5}, // text on phases
			{"offered", "card", 3}, {"served", "card", 3}, {"bad", "card", 3}, {"read", "card", 3}, {"write", "card", 3}, {"bar", "card", 3}, {"plan", "card", 3},
		} {
			value := func(name string) string {
				if v, ok := c[name]; ok {
					return v
				}
				return themes(t)["light"][name]
			}
			assert.GreaterOrEqual(t, contrast(t, value(p.front), value(p.back)), p.least, "%s on %s, %s", p.front, p.back, theme)
		}
	}
	for v, color := range badgeColor {
		assert.GreaterOrEqual(t, contrast(t, "#ffffff", color), 4.5, "badge of %s", v)
	}
}
