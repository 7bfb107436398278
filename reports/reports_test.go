package reports

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"html"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	texttemplate "text/template"
	"unicode"

	"github.com/mattn/go-runewidth"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/slo"
)

var update = flag.Bool("update", false, "write the golden files anew; read the difference before committing it")

type writer func(io.Writer, *slo.Result) error

var formats = map[string]writer{
	"html": WriteHTML, "json": WriteJSON, "xml": WriteJUnit, "md": WriteMarkdown, "svg": WriteBadge, "prom": WriteTextfile,
	"comment": func(w io.Writer, r *slo.Result) error { return WriteComment(w, r, nil) },
	"txt":     func(w io.Writer, r *slo.Result) error { return Terminal(w, r, false) },
	"ansi":    func(w io.Writer, r *slo.Result) error { return Terminal(w, r, true) },
}

func render(t testing.TB, format string, r *slo.Result) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, formats[format](&b, r), format)
	return b.String()
}

var (
	drawn = regexp.MustCompile(`(?s)(<svg class="picture.*?</desc>).*?(</svg>)`)
	css   = regexp.MustCompile(`(?s)<style>.*?</style>`)
	js    = regexp.MustCompile(`(?s)<script>(.*?)</script>`)
)

// words is a page without the insides of its pictures, which have a golden
// file of their own.
func words(page string) string {
	page = css.ReplaceAllString(drawn.ReplaceAllString(page, "$1…$2"), "<style>…</style>")
	return js.ReplaceAllString(page, "<script>…</script>")
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "go test ./reports -update writes it")
	if string(want) != got {
		g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
		for i := range min(len(g), len(w)) {
			if g[i] != w[i] {
				assert.Equal(t, w[i], g[i], "%s, line %d", path, i+1)
				break
			}
		}
		t.Errorf("%s is not what is written now; go test ./reports -update, then read the difference", path)
	}
}

func TestGolden(t *testing.T) {
	for name, make := range results {
		for format := range formats {
			if format == "json" && name == "trials" {
				continue // long, and nothing new
			}
			t.Run(name+"/"+format, func(t *testing.T) {
				got := render(t, format, make())
				if format == "html" {
					got = words(got)
				}
				golden(t, name+"."+format, got)
			})
		}
	}
	t.Run("pictures", func(t *testing.T) {
		all := regexp.MustCompile(`(?s)<svg class="picture wide.*?</svg>`).FindAllString(render(t, "html", missed()), -1)
		require.Len(t, all, 8, "two examples, timeline, the same by region, outage, phases by fault, milestones, fates")
		golden(t, "missed.pictures.svg", strings.Join(all, "\n"))
	})
}

func TestSameResultSameBytes(t *testing.T) {
	for format := range formats {
		want := render(t, format, missed())
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { assert.Equal(t, want, render(t, format, missed()), format) })
		}
		wg.Wait()
	}
}

func TestJSONReadsBack(t *testing.T) {
	for name, make := range results {
		var back slo.Result
		require.NoError(t, json.Unmarshal([]byte(render(t, "json", make())), &back))
		assert.Equal(t, make(), &back, name)
	}
	r := met()
	r.Load.AchievedRPS = math.NaN()
	err := WriteJSON(io.Discard, r)
	require.ErrorContains(t, err, "result of region-loss as JSON")
}

func TestEveryObjectiveIsShown(t *testing.T) {
	for _, v := range []slo.Verdict{slo.Met, slo.Missed, slo.Inconclusive, slo.NotEvaluated} {
		r := met()
		r.Verdict = v
		r.Objectives = nil
		for i, name := range slo.Names() {
			r.Objectives = append(r.Objectives, slo.Objective{Name: name, Unit: "count", Measured: val(float64(7000 + i)), Verdict: v})
		}
		for format := range formats {
			if format == "svg" || format == "comment" && v == slo.NotEvaluated {
				continue // a badge has room for the verdict, a comment for what is declared
			}
			text := render(t, format, r)
			for _, name := range slo.Names() {
				assert.Contains(t, text, name, "%s of a %s result", format, v)
			}
		}
	}
	for _, name := range slo.Names() {
		g := about(name)
		assert.NotEmpty(t, g.asks, "what %s asks", name)
		assert.NotEmpty(t, g.missed, "what to do when %s is missed", name)
	}
	for name := range guides {
		assert.Contains(t, slo.Names(), name, "a guide to nothing")
	}
}

// Only what the result says is met may look met.
func TestNothingElseIsGreen(t *testing.T) {
	green := map[string]string{"html": `class="verdict met"`, "md": "✅", "comment": "✅", "txt": "MET  ", "svg": badgeColor[slo.Met]}
	for format, sign := range green {
		require.Contains(t, render(t, format, met()), sign, "the sign that is looked for, in %s", format)
	}
	for _, v := range []slo.Verdict{"", "passed", slo.NotEvaluated, slo.Inconclusive, slo.Missed} {
		r := met()
		r.Verdict = v
		for i := range r.Objectives {
			r.Objectives[i].Verdict = v
		}
		for format, sign := range green {
			assert.NotContains(t, render(t, format, r), sign, "%s of verdict %q", format, v)
		}
		s := readJUnit(t, render(t, "xml", r))
		assert.Positive(t, s.Failures+s.Errors, "JUnit of verdict %q", v)
	}
	r := met()
	r.Mutant = "no-fsync"
	assert.NotContains(t, render(t, "svg", r), badgeColor[slo.Met], "a mutant's badge")
	for format := range formats {
		if format != "json" && format != "svg" && format != "prom" {
			assert.Contains(t, strings.Join(strings.Fields(ours.ReplaceAllString(render(t, format, r), "")), " "), "not see the defect", "%s of a mutant that was not caught", format)
		}
	}
	for format := range formats {
		assert.Contains(t, render(t, format, mutant()), "ack-before-quorum", "%s of a mutant", format)
	}
}

// JUnit.

type readSuite struct {
	Tests    int `xml:"tests,attr"`
	Failures int `xml:"failures,attr"`
	Errors   int `xml:"errors,attr"`
	Skipped  int `xml:"skipped,attr"`
	Suites   []struct {
		Failures   int `xml:"failures,attr"`
		Errors     int `xml:"errors,attr"`
		Properties []struct {
			Name  string `xml:"name,attr"`
			Value string `xml:"value,attr"`
		} `xml:"properties>property"`
		Cases []struct {
			Name    string    `xml:"name,attr"`
			Failure *readText `xml:"failure"`
			Error   *readText `xml:"error"`
			Skipped *readText `xml:"skipped"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

type readText struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

func readJUnit(t testing.TB, text string) readSuite {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	d.Strict = true
	var s readSuite
	require.NoError(t, d.Decode(&s))
	return s
}

// junitAgrees says whether a JUnit file tells a CI what the result tells.
func junitAgrees(s readSuite, r *slo.Result) error {
	if len(s.Suites) != 1 {
		return fmt.Errorf("%d test suites, not one", len(s.Suites))
	}
	failures, errored, skipped := 0, 0, 0
	byName := map[string]slo.Verdict{}
	for _, c := range s.Suites[0].Cases {
		v := slo.Met
		switch {
		case c.Failure != nil:
			failures++
			v = slo.Missed
		case c.Error != nil:
			errored++
			v = slo.Inconclusive
		case c.Skipped != nil:
			skipped++
			v = slo.NotEvaluated
		}
		byName[c.Name] = v
	}
	for _, o := range r.Objectives {
		if byName[o.Name] != o.Verdict {
			return fmt.Errorf("%s is %s, the test case says %q", o.Name, o.Verdict, byName[o.Name])
		}
	}
	switch n := s.Suites[0]; {
	case s.Tests != len(n.Cases) || s.Failures != failures || s.Errors != errored || s.Skipped != skipped || n.Failures != failures || n.Errors != errored:
		return errors.New("the counts are not those of the test cases")
	case r.Verdict == slo.Missed && failures == 0:
		return errors.New("the verdict is missed and nothing failed")
	case r.Verdict == slo.Inconclusive && errored+failures == 0:
		return errors.New("the verdict is inconclusive and the suite is green")
	case r.Verdict == slo.Met && failures+errored > 0:
		return errors.New("the verdict is met and the suite is not green")
	}
	return nil
}

func TestJUnitSaysWhatTheResultSays(t *testing.T) {
	for name, make := range results {
		r := make()
		text := render(t, "xml", r)
		s := readJUnit(t, text)
		require.NoError(t, junitAgrees(s, r), name)
		props := map[string]string{}
		for _, p := range s.Suites[0].Properties {
			props[p.Name] = p.Value
		}
		assert.Equal(t, strconv.FormatInt(r.Seed, 10), props["seed"], name)
		assert.Equal(t, r.Backend, props["backend"], name)
		assert.Equal(t, r.Target, props["target"], name)
		assert.Equal(t, r.Mutant, props["mutant"], name)
	}
	for _, c := range readJUnit(t, render(t, "xml", missed())).Suites[0].Cases {
		if c.Name == slo.LostWrites {
			require.NotNil(t, c.Failure)
			for _, want := range []string{"target:   0", "measured: 41", "evidence: 41 acknowledged writes are gone", "update to 9: ok", "what to do: "} {
				assert.Contains(t, c.Failure.Text, want)
			}
			assert.Equal(t, "lost-writes missed: target 0, measured 41", c.Failure.Message)
		}
	}
	// No row explains the verdict: the suite fails all the same.
	r := met()
	r.Verdict, r.Objectives, r.Problems = slo.Inconclusive, nil, []string{"no objective is declared"}
	require.NoError(t, junitAgrees(readJUnit(t, render(t, "xml", r)), r))
	r = met()
	r.Verdict = slo.Missed
	require.NoError(t, junitAgrees(readJUnit(t, render(t, "xml", r)), r))
}

// The check above rejects files that lie.
func TestJUnitThatLiesIsCaught(t *testing.T) {
	good := render(t, "xml", missed())
	failure := regexp.MustCompile(`(?s)\s*<failure.*?</failure>`)
	counts := regexp.MustCompile(` failures="\d+"`)
	for name, c := range map[string]struct{ text, want string }{
		"no failure element":   {failure.ReplaceAllString(good, ""), "is missed, the test case says"},
		"one less":             {strings.Replace(good, failure.FindString(good), "", 1), "is missed, the test case says"},
		"no failures counted":  {counts.ReplaceAllString(good, ` failures="0"`), "counts"},
		"inconclusive skipped": {strings.NewReplacer("<error ", "<skipped ", "</error>", "</skipped>").Replace(good), "is inconclusive, the test case says"},
	} {
		require.NotEqual(t, good, c.text, name)
		require.ErrorContains(t, junitAgrees(readJUnit(t, c.text), missed()), c.want, name)
	}
	// Without rows to compare, the verdict alone decides.
	r := missed()
	r.Objectives = nil
	require.ErrorContains(t, junitAgrees(readSuite{Suites: readJUnit(t, render(t, "xml", noFault())).Suites, Tests: 14, Skipped: 11}, r), "nothing failed")
}

// Numbers.

func TestMeasuredStaysOnItsSideOfTheTarget(t *testing.T) {
	for _, c := range []struct {
		o                slo.Objective
		measured, margin string
	}{
		{slo.Objective{Name: slo.Failover, Target: "< 5 s", Unit: "s", Measured: val(4.9996), Verdict: slo.Met}, "4.9996 s", "0.0004 s to spare (0 %)"},
		{slo.Objective{Name: slo.Failover, Target: "< 5 s", Unit: "s", Measured: val(5.0004), Verdict: slo.Missed}, "5.0004 s", "0.0004 s over"},
		{slo.Objective{Name: slo.Failover, Target: "< 5 s", Unit: "s", Measured: val(5), Verdict: slo.Missed}, "5 s", "0 s over"},
		{slo.Objective{Name: slo.Failover, Target: "< 5 s", Unit: "s", Measured: &slo.Value{Value: 2, Lower: ptr(1.9), Upper: ptr(2.1)}, Verdict: slo.Met}, "2 s (1.9 to 2.1 s)", "3 s to spare (60 %)"},
		{slo.Objective{Name: slo.Failover, Target: "< 5 s", Unit: "s", Measured: &slo.Value{Value: 27, Lower: ptr(26.9)}, Verdict: slo.Missed}, "at least 27 s", "at least 22 s over"},
		{slo.Objective{Name: slo.Failover, Target: "< 5 s", Unit: "s", Measured: val(2), Verdict: slo.Inconclusive}, "2 s", ""},
		{slo.Objective{Name: slo.Failover, Unit: "s", Measured: val(0.0123), Verdict: slo.NotEvaluated}, "0.012 s", ""},
		{slo.Objective{Name: slo.LostWrites, Target: "0", Unit: "count", Measured: val(0), Verdict: slo.Met}, "0", "none allowed"},
		{slo.Objective{Name: slo.LostWrites, Target: "0", Unit: "count", Measured: val(1234567), Verdict: slo.Missed}, "1,234,567", "1,234,567 over"},
		{slo.Objective{Name: slo.LostWrites, Target: "<= 3", Unit: "count", Measured: val(3), Verdict: slo.Met}, "3", "0 to spare"},
		{slo.Objective{Name: slo.Availability, Target: ">= 99.999 %", Unit: "share", Measured: val(0.99999999), Verdict: slo.Met}, "99.99999 %", "0.001 points to spare"},
		{slo.Objective{Name: slo.Availability, Target: ">= 99 %", Unit: "share", Measured: val(0.98999999), Verdict: slo.Missed}, "98.99999 %", "< 0.00001 points short"},
		{slo.Objective{Name: slo.Availability, Target: ">= 99 %", Unit: "share", Measured: val(1), Verdict: slo.Met}, "100 %", "1 points to spare"},
		{slo.Objective{Name: slo.RTO, Target: "< 30 s", Unit: "s", Verdict: slo.Inconclusive}, "", ""},
		{slo.Objective{Name: slo.RTO, Target: "< 30 s", Unit: "s", Measured: val(math.NaN()), Verdict: slo.Met}, "", ""},
		{slo.Objective{Name: "own", Target: "about ten", Unit: "MiB", Measured: val(12.5), Verdict: slo.Met}, "12.5 MiB", ""},
	} {
		assert.Equal(t, c.measured, measured(&c.o), "%+v", c.o)
		assert.Equal(t, c.margin, margin(&c.o), "%+v", c.o)
	}
}

func TestPercentNeverRoundsUpToAll(t *testing.T) {
	for k := 1; k < 16; k++ {
		assert.NotEqual(t, "100 %", percent(1-math.Pow(10, -float64(k))), "1 - 1e-%d", k)
	}
	assert.Equal(t, "99.9 %", percent(0.999))
	assert.Equal(t, "100 %", percent(1))
	assert.Equal(t, "0 %", percent(0))
	assert.Equal(t, "< 0.01 %", shareText(1, 50000))
	assert.Equal(t, "> 99.99 %", shareText(99999, 100000))
	assert.Equal(t, "-1,234", grouped(-1234))
}

// Hostile text.

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

// The page.

func TestPageStandsAlone(t *testing.T) {
	for name, make := range results {
		page := render(t, "html", make())
		assert.NoError(t, standsAlone(page), name)
		assert.NotContains(t, page, "Liberation Sans;", "a font of the drawing in %s", name)
		assert.Empty(t, regexp.MustCompile(`(fill|stroke):#[0-9A-Fa-f]+`).FindAllString(drawnOnly(page), 3), "a colour without a name in %s", name)
		for _, v := range regexp.MustCompile(`var\(--([a-z-]+)\)`).FindAllStringSubmatch(page, -1) {
			assert.Contains(t, pageStyle, "--"+v[1]+":", "%s uses a colour that the style does not define", name)
		}
	}
}

// standsAlone says what a page would load or run that is not its own.
func standsAlone(page string) error {
	page = strings.ReplaceAll(page, `xmlns="http://www.w3.org/2000/svg"`, "")
	for _, bad := range []string{"http://", "https://", "@import", "url(", "<iframe", "<object", "javascript:", "<script ", "<link rel=\"stylesheet"} {
		if strings.Contains(page, bad) {
			return fmt.Errorf("it has %s", bad)
		}
	}
	scripts := js.FindAllStringSubmatch(page, -1)
	if len(scripts) != 1 || strings.Count(page, "<script") != 1 {
		return fmt.Errorf("it has %d scripts", strings.Count(page, "<script"))
	}
	sum := sha256.Sum256([]byte(scripts[0][1]))
	allowed := "script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'\">"
	if !strings.Contains(html.UnescapeString(page), allowed) {
		return errors.New("its policy does not allow its script")
	}
	if csp := regexp.MustCompile(`Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(page); csp == nil || !strings.HasPrefix(html.UnescapeString(csp[1]), "default-src 'none';") {
		return errors.New("its policy allows more than it needs")
	}
	return nil
}

func TestWhatDoesNotStandAloneIsCaught(t *testing.T) {
	page := render(t, "html", met())
	require.NoError(t, standsAlone(page))
	for old, c := range map[string]struct{ new, want string }{
		"<footer>":         {`<footer><img src="https://example.com/x.png">`, "https://"},
		"<script>":         {"<script>//", "policy does not allow"},
		"</footer>":        {"</footer><script>1</script>", "2 scripts"},
		"default-src":      {"x-src", "allows more"},
		"system-ui, -appl": {"url(x), -appl", "url("},
	} {
		require.Contains(t, page, old)
		require.ErrorContains(t, standsAlone(strings.Replace(page, old, c.new, 1)), c.want)
	}
}

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

// Size.

func TestLongRunsStaySmall(t *testing.T) {
	r := trials()
	for len(r.Trials) < 1000 {
		r.Trials = append(r.Trials, r.Trials[:min(30, 1000-len(r.Trials))]...)
	}
	r.Timeline = timeline(0, 24*3600, 43200, 9)
	long := strings.Repeat("long ", 20_000)
	for i := range 5000 {
		r.Marks = append(r.Marks, slo.Mark{AtS: 43200 + float64(i)/7, Kind: fmt.Sprintf("kind-%d", i%40), Source: long, Text: long})
		r.Problems = append(r.Problems, long)
	}
	for i := range 400 {
		e := slo.Example{Check: "lost-write", Session: uint64(i), Why: long}
		for i := range 400 {
			e.Ops = append(e.Ops, long)
			at := float64(i) / 3
			e.Operations = append(e.Operations, slo.ExampleOp{
				Marked: i%2 == 0, Start: at, End: at + 1, Client: i, Region: long, Node: long, Class: long, Kind: long, Outcome: long, Cause: long, Found: long, Label: long, Skipped: 3,
			})
		}
		r.Examples = append(r.Examples, e)
	}
	assert.Less(t, len(render(t, "html", r)), 5<<20)
	assert.LessOrEqual(t, len(render(t, "md", r)), maxMarkdown)
	assert.Less(t, len(render(t, "xml", r)), 1<<20)
	assert.Less(t, len(render(t, "txt", r)), 100<<10)
}

func TestColumnsKeepTheWorst(t *testing.T) {
	slices := timeline(0, 36000, -1, 0)
	slices[17_001].Good, slices[17_001].Bad, slices[17_002].WriteP99 = 3, 19_000, 777
	cols := columns(slices, 0, 36000)
	require.LessOrEqual(t, len(cols), maxColumns)
	low, bad, slow := math.Inf(1), 0.0, 0.0
	for i, c := range cols {
		if i > 0 {
			require.Equal(t, cols[i-1].to, c.from, "no time is left out")
		}
		low, bad, slow = min(low, c.served), max(bad, c.bad), max(slow, c.writeP99)
	}
	assert.Equal(t, []float64{3, 19_000, 777}, []float64{low, bad, slow})
	assert.InDelta(t, 20000, cols[9].offered, 50)
	assert.Len(t, columns(slices, 100, 160), 60, "a short view keeps its seconds")
}

func TestViews(t *testing.T) {
	assert.Len(t, views(met()), 1)
	assert.True(t, views(met())[0].fromFault)
	assert.False(t, views(noFault())[0].fromFault)
	vs := views(trials())
	require.Len(t, vs, 2)
	assert.Equal(t, "Around the fault of trial 17, the one with the longest failover", vs[0].title)
	assert.Equal(t, []float64{970, 1013}, []float64{vs[0].from, vs[0].to}, "the load of trial 17, to the undoing of its fault")
	r := met()
	r.Timeline = timeline(0, 3600, 26, 4)
	vs = views(r)
	require.Len(t, vs, 2, "an hour: the surroundings of the fault, and all")
	assert.Less(t, vs[0].to-vs[0].from, longRun)
	assert.Empty(t, views(&slo.Result{}))
}

func TestUndoingCountsFromTheUndoing(t *testing.T) {
	r := met()
	f := &r.Trials[0].Faults[0]
	f.Undo = outage(f.UndoneS.Value, 10, 0.87)
	figs, err := outageFigures(&r.Trials[0], "")
	require.NoError(t, err)
	require.Len(t, figs, 2)
	for i, want := range []string{sinceAsked, sinceUndone} {
		d := figs[i].Drawings[0]
		assert.Contains(t, string(d.Body), want)
		assert.Contains(t, d.Spots[0].Text, "from T-0.03 s", figs[i].Title)
	}
}

// A second that the load fills in part is no drop of the served rate.
func TestSecondsAtTheEndsAreNoDrop(t *testing.T) {
	r := met()
	last := &r.Timeline[len(r.Timeline)-1]
	last.Intended, last.Good = 12, 12
	fig, cols, err := timelineFigure(r, views(r)[0])
	require.NoError(t, err)
	assert.Contains(t, fig.Desc, "lowest served rate was 4,005 of 20,025 operations a second, in the second from T-0.4 s on")
	assert.Contains(t, fig.Note, "not full")
	assert.False(t, cutShort(cols[:len(cols)-1]))
}

// Odd results do not break a format.
func TestOddResults(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for name, r := range map[string]*slo.Result{
		"empty": {},
		"not numbers": {
			Verdict: slo.Missed, Timeline: []slo.Slice{{Second: -3, ReadP99: nan, WriteP99: inf}, {Second: -3}, {Second: 1 << 40, Good: -1, WriteP50: 1e-300, WriteP99: 1e300}},
			Marks:      []slo.Mark{{AtS: nan}, {AtS: inf, Kind: "x"}},
			Objectives: []slo.Objective{{Name: slo.Failover, Target: "< 5 s", Measured: &slo.Value{Value: nan, Lower: &inf}, Unit: "s", Verdict: slo.Missed}},
			Trials: []slo.Trial{{
				Faults:   []slo.FaultRecord{{AskedS: nan, Failover: &slo.Outage{N: 1, Value: inf, Partitions: []slo.PartitionOutage{{Start: nan}}}}, {UndoneS: val(nan), ProvedS: val(inf)}},
				Measures: slo.Measures{Failover: &slo.Outage{Value: nan, N: 3, Partitions: []slo.PartitionOutage{{Start: 3, End: 1}, {Start: inf, End: inf}}}, Phases: map[string]float64{"elected": nan, "": inf, "x": -4}, Sessions: -1, SessionsLost: 4, Availability: val(nan)},
			}, {Measures: slo.Measures{Failover: &slo.Outage{N: 2, Value: -1, Partitions: []slo.PartitionOutage{{Start: 1, End: 1}, {Start: -1e18, End: 1e18}}}}}},
		},
	} {
		for format := range formats {
			if format == "json" {
				continue // has no way to write them, and says so
			}
			text := render(t, format, r)
			assert.NotEmpty(t, text)
			assert.NotContains(t, text, "NaN", "%s of %s", format, name)
		}
		skeleton(t, render(t, "html", r))
	}
}

func TestTerminalFits(t *testing.T) {
	for name, make := range results {
		for _, width := range []int{minWidth, 60, 80, 100, maxWidth} {
			plain, color := terminal(make(), false, width), terminal(make(), true, width)
			assert.Equal(t, plain, ours.ReplaceAllString(color, ""), "%s: colour adds nothing but colour", name)
			for line := range strings.SplitSeq(plain, "\n") {
				assert.LessOrEqual(t, runewidth.StringWidth(line), width, "%s at %d: %q", name, width, line)
			}
			first, _, _ := strings.Cut(strings.TrimPrefix(plain, "!!! "), "\n")
			if make().Mutant == "" {
				assert.Contains(t, strings.ToLower(first), string(make().Verdict), "the verdict comes first")
			}
		}
	}
	assert.Equal(t, defaultWidth, widthOf(io.Discard))
}

// scatter puts numbers into every numeric field of a result, and text and
// verdicts into strings, chosen by a seed.
func scatter(r *slo.Result, seed uint64, text string, numbers []float64) {
	rnd := rand.New(rand.NewPCG(seed, 5))
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			switch {
			case v.IsNil():
			case v.CanSet() && rnd.IntN(8) == 0:
				v.SetZero()
			default:
				walk(v.Elem())
			}
		case reflect.Struct:
			if v.Type().PkgPath() != "time" {
				for i := range v.NumField() {
					walk(v.Field(i))
				}
			}
		case reflect.Slice:
			if rnd.IntN(12) == 0 {
				v.SetLen(v.Len() / 2)
			}
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Map:
			for _, k := range slices.SortedFunc(slices.Values(v.MapKeys()), func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) }) {
				v.SetMapIndex(k, reflect.ValueOf(numbers[rnd.IntN(len(numbers))]))
			}
		case reflect.Float64:
			if rnd.IntN(3) == 0 {
				v.SetFloat(numbers[rnd.IntN(len(numbers))])
			}
		case reflect.Int, reflect.Int64:
			if f := numbers[rnd.IntN(len(numbers))]; rnd.IntN(4) == 0 && math.Abs(f) < 1e15 {
				v.SetInt(int64(f))
			}
		case reflect.Bool:
			v.SetBool(rnd.IntN(2) == 0)
		case reflect.String:
			if rnd.IntN(6) == 0 {
				v.SetString([]string{text, "", "met", "missed", "region-loss"}[rnd.IntN(5)])
			}
		}
	}
	walk(reflect.ValueOf(r).Elem())
}

// Whatever is in a result, no format breaks, and what a CI and a screen reader
// rely on holds.
func FuzzReports(f *testing.F) {
	f.Add(uint64(1), hostile, 5.0, -1.0, 0.5)
	f.Add(uint64(2), "", math.NaN(), math.Inf(1), 1e300)
	f.Add(uint64(3), "x", 26.4, 1e-300, -1e18)
	f.Fuzz(func(t *testing.T, seed uint64, text string, a, b, c float64) {
		r := missed()
		r.Timeline = timeline(20, 12, 26, 4)
		r.Marks = r.Marks[:9]
		second := met().Trials[0]
		second.Faults[0].AskedS += 60
		r.Trials = append(r.Trials, second)
		scatter(r, seed, text, []float64{0, 1, a, b, c, a + b, a * c, 26})
		for format := range formats {
			if format != "json" { // which has no way to write some numbers, and says so
				text := render(t, format, r)
				if strings.Contains(text, "NaN") && !strings.Contains(fmt.Sprintf("%+v", r), "NaN") {
					t.Errorf("%s made a NaN", format)
				}
			}
		}
		s := readJUnit(t, render(t, "xml", r))
		if (overall(r) != slo.Met || r.Mutant != "" && overall(r) != slo.Missed) && s.Failures+s.Errors == 0 {
			t.Error("a run that is not met has a green suite")
		}
		page := render(t, "html", r)
		if lacks := accessible(t, page); len(lacks) > 0 {
			t.Error(lacks)
		}
		if len(page) > 5<<20 {
			t.Errorf("the page has %d bytes", len(page))
		}
	})
}
