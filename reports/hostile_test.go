package reports

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	texttemplate "text/template"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/slo"
)

const hostile = `</title></style></script><zz9 onzz="1">"'><img src=x onerror=alert(1)>&lt;x ]]> --> | a ` + "`" + ` **b** [l](http://evil.example) @somebody` +
	" \x1b[31mred\x1b[0m \x07\x00 \u202egnp.exe \xff\n\n# heading\n> quote\r\n```\n{{.CSS}} ${x} javascript:alert(1)"

// poison puts a text into every string of a result.
func poison(r *slo.Result, text string) *slo.Result {
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Struct:
			if v.Type().PkgPath() == "time" {
				return
			}
			for i := range v.NumField() {
				walk(v.Field(i))
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Map:
			for _, k := range v.MapKeys() {
				v.SetMapIndex(reflect.ValueOf(text+k.String()), v.MapIndex(k))
				v.SetMapIndex(k, reflect.Value{})
			}
		case reflect.String:
			v.SetString(text + v.String())
		}
	}
	walk(reflect.ValueOf(r).Elem())
	return r
}

// skeleton is a page's elements and attributes without any text of the result.
func skeleton(t testing.TB, page string) []string {
	t.Helper()
	out, err := parse(page)
	require.NoError(t, err)
	return out
}

func parse(page string) ([]string, error) {
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var out []string
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		if e, ok := tok.(xml.StartElement); ok {
			s := e.Name.Local
			for _, a := range e.Attr {
				s += " " + a.Name.Local
				if slices.Contains([]string{"href", "id", "class", "role", "src"}, a.Name.Local) {
					s += "=" + a.Value
				}
			}
			out = append(out, s)
		}
	}
}

// names of the elements and attributes of a page, without their order or number:
// pictures draw more or less with longer texts.
func vocabulary(skeleton []string) []string {
	seen := map[string]bool{}
	for _, s := range skeleton {
		seen[s] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

func TestHostileTextStaysText(t *testing.T) {
	for name, make := range results {
		bad := poison(make(), hostile)
		plain, page := render(t, "html", poison(make(), "plain ")), render(t, "html", bad)
		assert.Equal(t, vocabulary(skeleton(t, plain)), vocabulary(skeleton(t, page)), "%s: elements and attributes", name)
		assert.Equal(t, skeleton(t, words(plain)), skeleton(t, words(page)), "%s: structure", name)
		assert.Contains(t, page, "&lt;zz9", "the text is there, escaped")
		for format := range formats {
			text := page
			if format != "html" {
				text = render(t, format, bad)
			}
			if !slices.Contains([]string{"json", "md", "comment", "txt", "ansi", "prom"}, format) {
				assert.NotContains(t, text, "<zz9", "%s of %s", format, name)
				assert.NotContains(t, text, "<img", "%s of %s", format, name)
			}
			if format == "ansi" {
				text = ours.ReplaceAllString(text, "")
			}
			for _, c := range text {
				if unicode.IsControl(c) && c != '\n' || c == '\u202e' && format != "json" {
					t.Errorf("%s of %s holds the control character %q", format, name, c)
					break
				}
			}
		}
		readJUnit(t, render(t, "xml", bad))
		var badge struct {
			XMLName xml.Name
		}
		require.NoError(t, xml.Unmarshal([]byte(render(t, "svg", bad)), &badge))

		inCode := false
		for line := range strings.SplitSeq(render(t, "md", bad), "\n") {
			if strings.HasPrefix(line, "```") {
				inCode = !inCode
			}
			if inCode {
				continue
			}
			line = escaped.ReplaceAllString(line, "")
			for _, markup := range []string{"<zz9", "<img", "**b**", "](http", "@somebody", " ` ", "://"} {
				assert.NotContains(t, line, markup, "Markdown of %s", name)
			}
			if strings.HasPrefix(line, "| ") {
				assert.Equal(t, 6, strings.Count(line, "|"), "cells of %q", line)
			}
		}
		assert.False(t, inCode, "a code block was left open")
	}
}

// escaped is a character that Markdown takes as it is.
var escaped = regexp.MustCompile(`\\.`)

var ours = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// The check above sees markup that gets through: the same page from a template
// that does not escape.
func TestUnescapedTextIsCaught(t *testing.T) {
	page, err := newPage(poison(missed(), `<zz9 onzz="1"></zz9>`))
	require.NoError(t, err)
	var raw bytes.Buffer
	require.NoError(t, texttemplate.Must(texttemplate.New("raw").Parse(pageText)).Execute(&raw, page))
	got, _ := parse(raw.String())
	assert.NotSubset(t, vocabulary(skeleton(t, render(t, "html", poison(missed(), "plain ")))), vocabulary(got))
	assert.Contains(t, got, "zz9 onzz")
}
