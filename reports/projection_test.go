package reports

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/mattn/go-runewidth"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/slo"
	"github.com/fivenines/fivenines/slo/projection"
)

// storedProjection is what slo/projection made of the default rates and thirty
// trials of each scenario.
func storedProjection(t testing.TB) *projection.Projection {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "projection.json"))
	require.NoError(t, err)
	p := &projection.Projection{}
	require.NoError(t, json.Unmarshal(b, p))
	return p
}

// openProjection lacks the trials of one class.
func openProjection(t testing.TB) *projection.Projection {
	p := storedProjection(t)
	p.Verdict, p.Why = projection.Inconclusive, "no trials for region-loss"
	p.NotMeasured = []string{"region-loss"}
	for i := range p.Classes {
		if p.Classes[i].Name == "region-loss" {
			p.Classes[i] = projection.ClassShare{Name: "region-loss", Class: "region-loss", Basis: projection.BasisNothing, Scenario: "region-loss", Events: 0.4}
		}
	}
	p.More = nil
	return p
}

var projectionForms = map[string]func(io.Writer, *projection.Projection) error{
	"html": WriteProjectionHTML, "md": WriteProjectionMarkdown, "json": WriteProjectionJSON,
	"txt":  func(w io.Writer, p *projection.Projection) error { return TerminalProjection(w, p, false) },
	"ansi": func(w io.Writer, p *projection.Projection) error { return TerminalProjection(w, p, true) },
}

func renderedProjection(t testing.TB, form string, p *projection.Projection) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, projectionForms[form](&b, p), form)
	return b.String()
}

func TestProjectionGolden(t *testing.T) {
	for name, p := range map[string]*projection.Projection{"projection": storedProjection(t), "projection-open": openProjection(t)} {
		for _, form := range []string{"html", "md", "txt"} {
			t.Run(name+"/"+form, func(t *testing.T) {
				got := renderedProjection(t, form, p)
				if form == "html" {
					got = words(got)
				}
				golden(t, name+"."+form, got)
			})
		}
	}
	golden(t, "projection.pictures.svg", strings.Join(regexp.MustCompile(`(?s)<svg class="picture wide.*?</svg>`).FindAllString(renderedProjection(t, "html", storedProjection(t)), -1), "\n"))
}

// Every format says the verdict, every level, class and source.
func TestProjectionIsShownWhole(t *testing.T) {
	p := storedProjection(t)
	for form := range projectionForms {
		if form == "json" {
			continue
		}
		text := ours.ReplaceAllString(renderedProjection(t, form, p), "")
		flat := strings.Join(strings.Fields(strings.NewReplacer("\\", "", "<!-- -->", "", "&amp;", "&", "&#39;", "'", "&#43;", "+").Replace(text)), " ")
		assert.Contains(t, strings.ToLower(flat), string(p.Verdict), form)
		for _, l := range p.Levels {
			assert.Contains(t, flat, availabilityText(l.Availability), form)
			assert.Contains(t, flat, downtimeText(l.BudgetS), form)
		}
		for _, c := range p.Classes {
			assert.Contains(t, flat, c.Name, form)
		}
		for _, r := range p.Rates {
			for _, s := range r.Sources {
				assert.Contains(t, flat, strings.Join(strings.Fields(s.Title), " "), form)
			}
		}
		for _, s := range slices.Concat(p.Notes, p.Assumptions, p.LeavesOut, p.Words()) {
			assert.Contains(t, flat, strings.Join(strings.Fields(s), " "), form)
		}
	}
}

// What was not measured is said in words, and has no figure of its own.
func TestProjectionSaysWhatIsMissing(t *testing.T) {
	p := openProjection(t)
	for form := range projectionForms {
		if form == "json" {
			continue
		}
		text := ours.ReplaceAllString(renderedProjection(t, form, p), "")
		assert.Contains(t, text, "Not measured", form)
		assert.Contains(t, text, "NOT MEASURED", form)
		assert.NotContains(t, renderedProjection(t, form, storedProjection(t)), "NOT MEASURED", form)
	}
}

func TestProjectionClaimsNothingElse(t *testing.T) {
	for _, v := range []projection.Verdict{projection.Missed, projection.Inconclusive, "", "great", "MET", "not evaluated"} {
		p := storedProjection(t)
		p.Verdict = v
		assert.NotEqual(t, slo.Met, projectionVerdict(p), "%q", v)
		assert.NotContains(t, renderedProjection(t, "html", p), `class="verdict met"`)
		assert.NotContains(t, renderedProjection(t, "html", p), `class="tag met"`)
		assert.False(t, strings.HasPrefix(renderedProjection(t, "txt", p), "MET"))
		assert.NotContains(t, renderedProjection(t, "md", p), "✅")
	}
	p := storedProjection(t)
	p.Verdict = projection.Met
	assert.Contains(t, renderedProjection(t, "html", p), `class="tag met"`)
	assert.True(t, strings.HasPrefix(renderedProjection(t, "txt", p), "MET"))
	assert.Contains(t, renderedProjection(t, "md", p), "✅ met")
}

// poisonAll puts a text in front of every string below a pointer.
func poisonAll(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			poisonAll(v.Elem(), text)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			poisonAll(v.Field(i), text)
		}
	case reflect.Slice:
		for i := range v.Len() {
			poisonAll(v.Index(i), text)
		}
	case reflect.String:
		v.SetString(text + v.String())
	}
}

func poisonedProjection(t testing.TB, text string) *projection.Projection {
	p := storedProjection(t)
	poisonAll(reflect.ValueOf(p), text)
	return p
}

func TestProjectionHostileTextStaysText(t *testing.T) {
	plain, page := renderedProjection(t, "html", poisonedProjection(t, "plain ")), renderedProjection(t, "html", poisonedProjection(t, hostile))
	assert.Equal(t, vocabulary(skeleton(t, plain)), vocabulary(skeleton(t, page)))
	assert.Equal(t, skeleton(t, words(plain)), skeleton(t, words(page)))
	assert.Contains(t, page, "&lt;zz9", "the text is there, escaped")
	for _, form := range []string{"html", "md", "txt", "ansi"} {
		text := ours.ReplaceAllString(renderedProjection(t, form, poisonedProjection(t, hostile)), "")
		for _, c := range text {
			if unicode.IsControl(c) && c != '\n' || c == '\u202e' {
				t.Errorf("%s holds the control character %q", form, c)
				break
			}
		}
	}
	head := 0
	for line := range strings.SplitSeq(renderedProjection(t, "md", poisonedProjection(t, hostile)), "\n") {
		line = escaped.ReplaceAllString(line, "")
		for _, markup := range []string{"<zz9", "<img", "**b**", "](http", "@somebody", " ` ", "://"} {
			assert.NotContains(t, line, markup)
		}
		switch cells := strings.Count(line, "|"); {
		case !strings.HasPrefix(line, "|"):
			head = 0
		case head == 0:
			head = cells
		default:
			assert.Equal(t, head, cells, "cells of %q", line)
		}
	}
}

func TestProjectionPageStandsAlone(t *testing.T) {
	page := renderedProjection(t, "html", storedProjection(t))
	assert.Empty(t, accessible(t, page))
	require.NoError(t, standsAlone(page))
	assert.Empty(t, regexp.MustCompile(`(fill|stroke):#[0-9A-Fa-f]+`).FindAllString(drawnOnly(page), 3), "a colour without a name")
	for _, v := range regexp.MustCompile(`var\(--([a-z-]+)\)`).FindAllStringSubmatch(page, -1) {
		assert.Contains(t, pageStyle, "--"+v[1]+":", "a colour that the style does not define")
	}
	assert.Less(t, len(page), 400<<10)
	// The section stands in the report's page: no id twice, no picture without text.
	section, err := ProjectionSection(storedProjection(t))
	require.NoError(t, err)
	joined := strings.Replace(render(t, "html", met()), "</main>", string(section)+"</main>", 1)
	assert.Empty(t, accessible(t, joined))
}

func TestProjectionTerminalFits(t *testing.T) {
	for _, p := range []*projection.Projection{storedProjection(t), openProjection(t), {}} {
		for _, width := range []int{minWidth, 60, 80, 100, maxWidth} {
			plain, color := terminalProjection(p, false, width), terminalProjection(p, true, width)
			assert.Equal(t, plain, ours.ReplaceAllString(color, ""), "colour adds nothing but colour")
			for line := range strings.SplitSeq(plain, "\n") {
				assert.LessOrEqual(t, runewidth.StringWidth(line), width, "at %d: %q", width, line)
			}
		}
	}
}

func TestProjectionFigures(t *testing.T) {
	for p, want := range map[float64]string{0: "0 %", 0.0001: "< 0.1 %", 0.9: "90 %", 0.89999: "89.999 %", 0.8999999: "89.99999 %", 0.99996: "> 99.9 %", 1: "100 %", 1.5: "?"} {
		assert.Equal(t, want, likelyText(p, 0.9), "%v", p)
	}
	assert.Equal(t, "?", likelyText(math.NaN(), 0.9))
	assert.Equal(t, "99.9996 %", likelyText(0.999996, 0.99999), "of what was asked for, the digits that tell")
	for s, want := range map[float64]string{0: "0 s", 0.0001: "< 0.001 s", 5.2: "5.2 s", 315.576: "5.26 min", 31557.6: "8.77 h", 864000: "10 d", 1e18: "?"} {
		assert.Equal(t, want, downtimeText(s), "%v", s)
	}
	for a, want := range map[float64]string{0.99999: "99.999 %", 0.9999499: "99.99499 %", 0.999999: "99.9999 %", 1: "100 %", 0.5: "50 %", -1: "?"} {
		assert.Equal(t, want, availabilityText(a), "%v", a)
	}
	assert.Equal(t, "27.4 %", budgetText(0.274))
	assert.Equal(t, "14 times", budgetText(14))
}

// Whatever numbers a stored projection holds, no format breaks.
func TestProjectionOddNumbers(t *testing.T) {
	numbers := []float64{0, 1, -1, math.NaN(), math.Inf(1), math.Inf(-1), 1e300, 1e-300, 0.5, 1e9}
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		p := storedProjection(t)
		var walk func(v reflect.Value)
		walk = func(v reflect.Value) {
			switch v.Kind() {
			case reflect.Pointer:
				if !v.IsNil() {
					walk(v.Elem())
				}
			case reflect.Struct:
				for i := range v.NumField() {
					walk(v.Field(i))
				}
			case reflect.Slice:
				if r.IntN(6) == 0 {
					v.SetLen(r.IntN(v.Len() + 1))
				}
				for i := range v.Len() {
					walk(v.Index(i))
				}
			case reflect.Float64:
				if r.IntN(3) == 0 {
					v.SetFloat(numbers[r.IntN(len(numbers))])
				}
			case reflect.String:
				if r.IntN(10) == 0 {
					v.SetString("")
				}
			}
		}
		walk(reflect.ValueOf(p))
		for form := range projectionForms {
			if form == "json" {
				continue // has no way to write them, and says so
			}
			text := renderedProjection(t, form, p)
			assert.NotEmpty(t, text)
			if form == "html" {
				assert.Empty(t, accessible(t, text), "seed %d", seed)
				assert.NotContains(t, drawnOnly(text), "NaN", "seed %d", seed)
			}
		}
	}
	for form := range projectionForms {
		assert.NotEmpty(t, renderedProjection(t, form, &projection.Projection{}), form)
	}
	var b bytes.Buffer
	require.Error(t, WriteProjectionJSON(&b, &projection.Projection{Objective: math.NaN()}))
}

func TestProjectionJSONReadsBack(t *testing.T) {
	var back projection.Projection
	require.NoError(t, json.Unmarshal([]byte(renderedProjection(t, "json", storedProjection(t))), &back))
	assert.Equal(t, storedProjection(t), &back)
}

// Long lists stay below what GitHub takes.
func TestProjectionMarkdownStaysSmall(t *testing.T) {
	p := storedProjection(t)
	for i := range 400 {
		c := p.Classes[0]
		c.Name = fmt.Sprintf("class %d %s", i, strings.Repeat("x", 300))
		p.Classes = append(p.Classes, c)
		r := p.Rates[0]
		r.Name = c.Name
		p.Rates = append(p.Rates, r)
		p.Notes = append(p.Notes, strings.Repeat("note ", 100))
	}
	assert.Less(t, len(renderedProjection(t, "md", p)), maxMarkdown)
	assert.Less(t, len(renderedProjection(t, "html", p)), 1<<20)
}
