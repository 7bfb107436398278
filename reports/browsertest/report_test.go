package browsertest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/reports"
	"github.com/fivenines/fivenines/slo"
)

var screenshots = flag.String("screenshots", "", "folder to write the documentation's pictures to")

// stored is the result of a real run, as testdata/README.md says.
func stored(t testing.TB, name string) *slo.Result {
	t.Helper()
	r := &slo.Result{}
	read(t, name, r)
	return r
}

func read(t testing.TB, name string, to any) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".json.gz"))
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	require.NoError(t, json.NewDecoder(z).Decode(to))
}

func html(t testing.TB, r *slo.Result) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, reports.WriteHTML(&b, r))
	return b.String()
}

// long is a hundred trials over an hour of load, made of a real run.
func long(t testing.TB) *slo.Result {
	r := stored(t, "met")
	one, seconds := r.Trials[0], r.Timeline
	r.Trials, r.Timeline, r.Marks = nil, nil, nil
	m := slo.TrialStatistics{Name: slo.Failover, Unit: "s"}
	for i := range 100 {
		from := 36 * i
		n := one
		f := one.Faults[0]
		f.AskedS = float64(from) + 10
		n.Faults = []slo.FaultRecord{f}
		r.Trials = append(r.Trials, n)
		m.Values = append(m.Values, slo.Trialed{Trial: i + 1, Value: n.Measures.Failover.Value + float64(i)/100})
		for k := range 36 {
			s := seconds[k%len(seconds)]
			s.Second = from + k
			r.Timeline = append(r.Timeline, s)
		}
	}
	r.Statistics = &slo.Statistics{Trials: 100, Confidence: 0.95, Quantile: 0.97, Measures: []slo.TrialStatistics{m}}
	return r
}

// firstScreen says what a reader who has not scrolled yet does not find.
func firstScreen(p *tab, r *slo.Result) []string {
	var bad []string
	at := func(css, what string) string {
		got := do[struct {
			Text        string
			Top, Bottom float64
			Seen        bool
		}](p, fmt.Sprintf(`(() => {
			const e = document.querySelector(%q);
			if (!e) return { Text: "", Top: 0, Bottom: 0, Seen: false };
			const b = e.getBoundingClientRect();
			return { Text: e.innerText, Top: b.top, Bottom: b.bottom, Seen: e.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && b.top >= 0 && b.top + Math.min(b.height, 24) <= innerHeight };
		})()`, css))
		if !got.Seen {
			bad = append(bad, what+" is not on the first screen")
		}
		return got.Text
	}
	word := at("h1 .word", "the verdict")
	sentence := at("h1", "the verdict's sentence")
	if !strings.EqualFold(word, string(r.Verdict)) || len(strings.Fields(sentence)) < 5 {
		bad = append(bad, fmt.Sprintf("the verdict reads %q", sentence))
	}
	at(".objectives tbody tr", "the first objective")
	if hidden := do[int](p, `(() => { const b = document.querySelector(".objectives").parentElement; return b.scrollWidth - b.clientWidth; })()`); hidden > 0 {
		bad = append(bad, fmt.Sprintf("%d pixels of the objectives' table are out of sight", hidden))
	}
	heads := do[[]string](p, `[...document.querySelectorAll(".objectives thead th")].map((e) => e.textContent)`)
	if got := strings.Join(heads, ", "); got != "Objective, Verdict, Target, Measured, Interval, Margin, Evidence" {
		bad = append(bad, "the objectives' columns are "+got)
	}
	shown := do[map[string]string](p, `Object.fromEntries([...document.querySelectorAll(".objectives tbody tr:not(.todo)")].map((e) => [e.querySelector("th").firstChild.textContent.trim(), e.querySelector(".tag").innerText]))`)
	missed := false
	for _, o := range r.Objectives {
		if o.Verdict != slo.NotEvaluated && !strings.HasSuffix(shown[o.Name], string(o.Verdict)) {
			bad = append(bad, fmt.Sprintf("the row of %s, which is %s, reads %q", o.Name, o.Verdict, shown[o.Name]))
		}
		missed = missed || o.Verdict == slo.Missed
	}
	if missed {
		if text := at(".objectives tr.missed.todo", "what to do about a miss"); !strings.Contains(text, "What to do about") {
			bad = append(bad, "nothing says what to do about a miss")
		}
	}
	return bad
}

// keyboard reads the report with keys alone.
func keyboard(p *tab) []string {
	sliders := 0
	bad := tabbed(p, func(f focus) (bad []string) {
		if f.What == "input.range" {
			if sliders++; sliders == 1 {
				bad = slider(p)
			}
		}
		return bad
	})
	if sliders == 0 {
		bad = append(bad, "no picture can be read by keyboard")
	}
	return bad
}

const sliderText = `document.activeElement.getAttribute("aria-valuetext")`

// slider reads values of the first picture with the arrow keys.
func slider(p *tab) (bad []string) {
	before := do[string](p, sliderText)
	p.press(kb.ArrowRight)
	p.press(kb.ArrowRight)
	after := do[string](p, sliderText)
	if before == after || after == "" {
		bad = append(bad, fmt.Sprintf("the arrow keys read %q after %q", after, before))
	}
	if shown := do[string](p, `document.activeElement.parentElement.innerText.trim()`); shown != after {
		bad = append(bad, fmt.Sprintf("the slider says %q and shows %q", after, shown))
	}
	if on := do[int](p, `document.querySelectorAll("svg .on").length`); on != 1 {
		bad = append(bad, fmt.Sprintf("%d places are marked in the picture", on))
	}
	return bad
}

// pointer reads a value of the first picture with the mouse.
func pointer(p *tab) (bad []string) {
	at := do[[2]float64](p, `(() => {
		const svg = [...document.querySelectorAll("svg.picture")].find((e) => e.checkVisibility() && e.querySelector(".spot"));
		svg.scrollIntoView({ block: "center" });
		const s = [...svg.querySelectorAll(".spot")], b = s[Math.floor(s.length / 3)].getBoundingClientRect();
		return [b.x + b.width / 2, b.y + b.height / 2];
	})()`)
	require.NoError(p.t, chromedp.Do(p.ctx, chromedp.MouseEvent("mouseMoved", at[0], at[1])))
	text := do[string](p, `document.querySelector("svg .spot.on > title")?.textContent || ""`)
	if text == "" || !strings.Contains(do[string](p, `document.body.innerText`), text) {
		bad = append(bad, fmt.Sprintf("under the pointer is %q", text))
	}
	return bad
}

// checks are what every report is looked at for.
var checks = append(common[*slo.Result](), []check[*slo.Result]{
	{"first screen", desk, firstScreen},
	{"first screen of a phone", phone, func(p *tab, _ *slo.Result) []string { return aboveTheFold(p) }},
	{"keyboard", desk, func(p *tab, _ *slo.Result) []string { return keyboard(p) }},
	{"pointer", desk, func(p *tab, _ *slo.Result) []string { return pointer(p) }},
}...)

func TestReportsInABrowser(t *testing.T) {
	b := start(t)
	for name, r := range map[string]*slo.Result{"met": stored(t, "met"), "missed": stored(t, "missed"), "trials": stored(t, "trials"), "long": long(t)} {
		page := html(t, r)
		// What the latter two don't have in common with the others.
		only := map[string][]string{"trials": {"first screen", "structure", "contrast, light", "width of a phone"}, "long": {"quiet", "structure", "width of a desk", "width of a phone", "pointer", "paper"}}[name]
		stands(t, b, name, page, r, checks, only)
	}
}

// The verification's page, and the report of a run that belongs to one, have the same style.
func TestVerificationInABrowser(t *testing.T) {
	b := start(t)
	v := &slo.Verification{}
	read(t, "verify", v)
	var whole, part bytes.Buffer
	require.NoError(t, reports.VerifyHTML(&whole, v))
	require.NoError(t, reports.WriteHTMLProjected(&part, stored(t, "trials"), v.Projection))
	for name, page := range map[string]string{"verification": whole.String(), "report with its projection": part.String()} {
		for _, c := range common[*slo.Result]() {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				assert.Empty(t, c.look(open(t, b, page, c.on), nil))
			})
		}
	}
}

// Each check sees what it is for: pages that are broken in one way each.
func TestBrokenPagesAreCaught(t *testing.T) {
	b := start(t)
	r := stored(t, "missed")
	good := html(t, r)
	caught(t, b, good, r, checks, []breakage{
		{"an image from elsewhere", "quiet", func(s string) string {
			return strings.Replace(unlocked(s), "</main>", `<img alt="x" src="http://127.0.0.1:9/x.png"></main>`, 1)
		}, "request of http://127.0.0.1:9/x.png"},
		{"an image that the policy stops", "quiet", swap("</main>", `<img alt="x" src="http://127.0.0.1:9/x.png"></main>`), "Content Security Policy"},
		{"a complaint", "quiet", script(`console.error("x")`), "console.error"},
		{"an exception", "quiet", script(`throw new Error("x")`), "exception"},
		{"a script that is not the page's", "quiet", swap("</main>", `</main><script>1</script>`), "Content Security Policy"},
		{"no verdict", "first screen", style("h1 { visibility: hidden }"), "the verdict is not on the first screen"},
		{"objectives below", "first screen", style("nav { height: 1500px }"), "the first objective is not on the first screen"},
		{"a row that lies", "first screen", func(s string) string {
			return regexp.MustCompile(`</span> missed</span></td>`).ReplaceAllString(s, "</span> met</span></td>")
		}, "which is missed, reads"},
		{"objectives cut off", "first screen", style(".objectives td.why { min-width: 600px }"), "are out of sight"},
		{"no interval", "first screen", swap(">Interval</th>", ">Else</th>"), "the objectives' columns are"},
		{"no advice", "first screen", func(s string) string { return strings.ReplaceAll(s, "What to do about", "About") }, "what to do about a miss"},
		{"a verdict below a phone's screen", "first screen of a phone", style("header.top { height: 900px }"), "not on the first screen"},
		{"a heading skipped", "structure", swap(`<h2 id="load-part">Load</h2>`, `<h4 id="load-part">Load</h4>`), `skips a level`},
		{"a picture without a name", "structure", swap(`role="img" aria-labelledby=`, `role="img" data-by=`), "has no name"},
		{"an image without alt", "structure", swap("</main>", `<img src="data:,"></main>`), "has no alt"},
		{"an id twice", "structure", swap("</main>", `<p id="objectives">x</p></main>`), "the id objectives stands there 2 times"},
		{"no lang", "structure", swap(`<html lang="en">`, "<html>"), "no lang"},
		{"a header without scope", "structure", swap(`<th scope="row"`, "<th"), "has no scope"},
		{"no caption", "structure", func(s string) string { return regexp.MustCompile(`(?s)<caption>.*?</caption>`).ReplaceAllString(s, "") }, "has no caption"},
		{"a link to nowhere", "structure", swap(`href="#load-part"`, `href="#gone"`), "leads nowhere"},
		{"no main", "structure", func(s string) string { return strings.NewReplacer("<main>", "<div>", "</main>", "</div>").Replace(s) }, "there are 0 main"},
		{"a control without a name", "structure", swap("</main>", `<button></button></main>`), "has no name"},
		{"grey text", "contrast, light", swap("--muted: #525b67", "--muted: #9aa3ae"), "has a contrast of"},
		{"grey text in the dark", "contrast, dark", swap("--muted: #a7b0bc", "--muted: #4a515a"), "has a contrast of"},
		{"grey text in a picture", "contrast, light", style("svg.picture text { fill: #999 !important; stroke: none !important }"), "has a contrast of"},
		{"a bright ground", "contrast, dark", style(".verdict { background: #fff }"), "has a contrast of"},
		{"grey text on a phone", "contrast, phone", style("@media (max-width: 720px) { .asks { color: #aaa !important } }"), "has a contrast of"},
		{"grey text on paper", "contrast, paper", style("@media print { .asks { color: #aaa !important } }"), "has a contrast of"},
		{"a table wider than paper", "width of paper", style("@media print { .objectives td { white-space: nowrap !important } }"), "ends at"},
		{"a table that does not scroll", "width of a phone", style(".scroll { overflow: visible }"), "the page is"},
		{"a caption as wide as its table", "width of a phone", style(".cap { max-width: none; white-space: nowrap }"), "ends out of sight"},
		{"something too wide", "width of a desk", swap("</main>", `<p style="width: 1500px; max-width: none">x</p></main>`), "p \"x\" ends at"},
		{"no outline", "keyboard", style(":focus-visible { outline: none !important }"), "can't be seen"},
		{"an outline of the ground's colour", "keyboard", style(":focus-visible { outline-color: var(--page) !important }"), "can't be seen"},
		{"no sliders", "keyboard", func(s string) string { return regexp.MustCompile(`(?s)<script>.*?</script>`).ReplaceAllString(s, "") }, "no picture can be read by keyboard"},
		{"a trap", "keyboard", func(s string) string {
			return strings.Replace(unlocked(s), "</main>", `</main><script>document.addEventListener("keydown", (e) => { if (document.activeElement.tagName === "INPUT") e.preventDefault(); })</script>`, 1)
		}, "the arrow keys read"},
		{"no values under the pointer", "pointer", style(".spot { pointer-events: none }"), "under the pointer"},
		{"an empty sheet", "paper", style("@media print { body { display: none } }"), "the PDF has"},
		{"no skip link", "keyboard", style(".skip { display: none }"), "the first stop is"},
	})
	t.Run("a slow page", func(t *testing.T) {
		slow := script(`const until = performance.now() + 1200; while (performance.now() < until);`)(good)
		assert.Contains(t, strings.Join(loaded(t, b, slow), "\n"), "to load")
	})
}

// The pictures of the documentation are those of the reports as they are.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("go test ./reports/browsertest -screenshots docs/screenshots writes the pictures")
	}
	b := start(t)
	for name, s := range map[string]struct {
		page   string
		on     screen
		scroll string
	}{
		"index-light":     {indexPage(t, nights()), screen{width: 1280, height: 1000}, ""},
		"index-runs":      {indexPage(t, nights()), screen{width: 1280, height: 1000, dark: true}, "#runs"},
		"index-phone":     {indexPage(t, nights()), phone, ""},
		"report-light":    {html(t, stored(t, "met")), screen{width: 1280, height: 1000}, ""},
		"report-dark":     {html(t, stored(t, "met")), screen{width: 1280, height: 1000, dark: true}, "#timeline-part"},
		"report-phone":    {html(t, stored(t, "met")), phone, ""},
		"report-missed":   {html(t, stored(t, "missed")), screen{width: 1280, height: 1000}, ""},
		"report-evidence": {html(t, stored(t, "missed")), screen{width: 1280, height: 1000}, "#evidence-part"},
	} {
		p := open(t, b, s.page, s.on)
		if s.scroll != "" {
			do[bool](p, fmt.Sprintf(`(document.querySelector(%q) || document.body).scrollIntoView(); true`, s.scroll))
		}
		shot := p.screenshot()
		_, err := png.DecodeConfig(bytes.NewReader(shot))
		require.NoError(t, err)
		assert.Less(t, len(shot), 300<<10, name)
		require.NoError(t, os.MkdirAll(*screenshots, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(*screenshots, name+".png"), shot, 0o644))
	}
}
