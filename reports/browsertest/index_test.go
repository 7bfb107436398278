package browsertest

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/reports"
	"github.com/fivenines/fivenines/slo"
)

// nights is a store of six weeks of game days with what such a store comes to hold: a
// regression, runs that did not end, one that is going on, an earlier load, a folder that
// retention took.
func nights() *reports.Index {
	zone := time.FixedZone("CET", 3600)
	first := time.Date(2026, 10, 20, 2, 30, 0, 0, zone)
	x := &reports.Index{
		Name: "nightly", Made: first.AddDate(0, 0, 41).Add(15 * time.Minute),
		Regression: "A run is a regression if it misses an objective that the run before it met, or if its failover is longer than those of the 10 runs before it, with a confidence of 95 %.",
		Planned: []reports.IndexPlan{
			{At: first.AddDate(0, 0, 42), Schedule: "nights", Scenarios: []string{"region-loss", "node-crash", "region-partition"}},
			{At: first.AddDate(0, 0, 43), Schedule: "lottery", Scenarios: []string{"power-loss"}, Blackout: "release week"},
		},
		Untold: []reports.IndexUntold{{At: first.AddDate(0, 0, 40).Add(5 * time.Minute), Event: "regression", Hook: "announce[0] (slack, $SLACK_URL)", Why: "no answer within 5s"}},
	}
	p := func(v float64) *float64 { return &v }
	n := func(v int) *int { return &v }
	for day := range 42 {
		for i, scenario := range []string{"region-loss", "node-crash", "region-partition"} {
			r := reports.IndexRun{
				Started: first.AddDate(0, 0, day).Add(time.Duration(4*i) * time.Minute), Took: time.Duration(180+11*(day*7%5)) * time.Second, Schedule: "nights",
				Scenario: scenario, Setup: "global at 5,000/s", State: "finished", Verdict: slo.Met, Failover: p([]float64{2.9, 1.6, 2.4}[i] + float64((day*13+i*5)%11)/20),
				RPO: p(0), LostSessions: n(0), LostWrites: n(0), Trials: 3, Valid: 3, Seed: int64(4000 + 10*day + i), Backend: "process",
			}
			r.Report = "runs/" + r.Started.UTC().Format("20060102T150405Z") + "-" + scenario + "/report.html"
			switch {
			case i == 0 && day < 12:
				r.Setup, r.Report = "global at 2,000/s", ""
			case i == 1 && day == 20:
				r.State, r.Verdict, r.Failover, r.RPO = "interrupted", slo.Inconclusive, nil, nil
				r.Note = "the program was killed; undone at the next start: run of process 7, which was killed, left node-crash(node=primary:1)"
			case i == 1 && day == 27:
				r.Verdict, r.Valid = slo.Inconclusive, 2
			case i == 2 && day == 33:
				r.State, r.Verdict, r.Failover, r.RPO, r.LostSessions, r.LostWrites, r.Took, r.Trials, r.Report = "skipped", "", nil, nil, nil, nil, 0, 0, ""
				r.Note = "its time is in the black-out release week"
			case i == 0 && day >= 40:
				r.Verdict, r.Failover, r.Censored = slo.Missed, p(9.4), day == 40
				if day == 40 {
					r.LostWrites, r.RPO, r.Regression = n(14), p(0.42), "failover: met before, now missed; lost-writes: 14, before 0"
				}
			case i == 2 && day == 41:
				r.State, r.Verdict, r.Failover, r.RPO, r.LostSessions, r.LostWrites, r.Took, r.Trials, r.Report = "running", "", nil, nil, nil, nil, 0, 0, ""
			}
			switch {
			case r.Verdict == slo.Met:
				r.Summary = fmt.Sprintf("Met: %s cost at most %.1f s, and nothing was lost.", scenario, *r.Failover)
			case r.Verdict == slo.Missed:
				r.Summary = fmt.Sprintf("Missed: %s cost %.1f s, and %d writes were lost.", scenario, *r.Failover, *r.LostWrites)
			case r.State == "finished":
				r.Summary = "Inconclusive: in 1 of 3 trials the load was not what was asked for."
			}
			x.Runs = append([]reports.IndexRun{r}, x.Runs...)
		}
	}
	return x
}

func indexPage(t testing.TB, x *reports.Index) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, reports.WriteIndex(&b, x))
	return b.String()
}

// trend is what should be drawn of a scenario with one setup, oldest first.
type trend struct {
	title string
	runs  []reports.IndexRun
}

// ended is whether a run has an outcome.
func ended(r *reports.IndexRun) bool { return r.State != "skipped" && r.State != "running" }

// word is what a run should be shown as.
func word(r *reports.IndexRun) string {
	if r.State == "finished" {
		return string(r.Verdict)
	}
	return r.State
}

// latest is the newest run of each scenario that ended, newest first.
func latest(x *reports.Index) (runs []reports.IndexRun) {
	seen := map[string]bool{}
	for i := range x.Runs {
		if r := &x.Runs[i]; ended(r) && !seen[r.Scenario] {
			seen[r.Scenario] = true
			runs = append(runs, *r)
		}
	}
	return runs
}

// trends are the pictures that a page should have: those whose latest run is not met first.
func trends(x *reports.Index) []trend {
	at := map[string]int{}
	var all []trend
	for i := range x.Runs {
		r := &x.Runs[i]
		if !ended(r) {
			continue
		}
		key := r.Scenario + "\x00" + r.Setup
		if _, ok := at[key]; !ok {
			title := r.Scenario
			if slices.ContainsFunc(all, func(t trend) bool { return t.runs[0].Scenario == r.Scenario }) {
				title += " with an earlier load, topology or timeline"
			}
			at[key] = len(all)
			all = append(all, trend{title: title})
		}
		t := &all[at[key]]
		t.runs = append([]reports.IndexRun{*r}, t.runs...)
	}
	bad := func(t trend) bool { return word(&t.runs[len(t.runs)-1]) != "met" }
	return append(slices.DeleteFunc(slices.Clone(all), func(t trend) bool { return !bad(t) }), slices.DeleteFunc(all, bad)...)
}

// indexFirstScreen says what somebody who has not scrolled yet does not learn.
func indexFirstScreen(p *tab, x *reports.Index) (bad []string) {
	type part struct {
		Text, Href string
		Seen       bool
	}
	at := func(css string) []part {
		return do[[]part](p, fmt.Sprintf(`[...document.querySelectorAll(%q)].map((e) => {
			const b = e.getBoundingClientRect();
			return { Text: e.innerText, Href: e.querySelector("a")?.getAttribute("href") || "", Seen: e.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && b.top >= 0 && b.bottom <= innerHeight };
		})`, css))
	}
	want, all := "met", 0
	var asks []part
	for _, r := range latest(x) {
		all++
		if w := word(&r); w != "met" {
			asks = append(asks, part{r.Scenario + ", " + r.Started.Format("Mon 2 Jan 15:04") + ": " + w, r.Report, true})
			if w == "missed" || want == "met" {
				want = map[bool]string{true: w, false: "inconclusive"}[w == "missed"]
			}
		}
	}
	h1 := at("h1")
	if len(h1) != 1 || !h1[0].Seen || !strings.HasPrefix(strings.ToLower(h1[0].Text), want) || !strings.Contains(h1[0].Text, fmt.Sprintf("%s in %d of %d scenarios", want, len(asks), all)) {
		bad = append(bad, fmt.Sprintf("the latest runs of %d of %d scenarios are not met, at worst %s; the headline is %+v", len(asks), all, want, h1))
	}
	if tally := at(".verdict p"); len(tally) != 1 || !tally[0].Seen || !strings.HasPrefix(tally[0].Text, fmt.Sprintf("%d runs: ", len(x.Runs))) {
		bad = append(bad, fmt.Sprintf("%d runs are told as %+v", len(x.Runs), tally))
	}
	got := at(".verdict li")
	for i, a := range asks {
		if i >= len(got) || !got[i].Seen || got[i].Href != a.Href || !strings.HasPrefix(got[i].Text, a.Text) {
			bad = append(bad, fmt.Sprintf("what should be looked at is %+v, told is %+v", a, got))
		}
	}
	if h3 := at("figure h3"); len(h3) == 0 || !h3[0].Seen || h3[0].Text != trends(x)[0].title {
		bad = append(bad, "the trend of "+trends(x)[0].title+" is not on the first screen")
	}
	return bad
}

// indexRuns compares the table with the runs.
func indexRuns(p *tab, x *reports.Index) (bad []string) {
	type row struct{ Scenario, When, Href, Verdict, Failover, Lost, Why string }
	rows := do[[]row](p, `[...document.querySelectorAll("table.runs tbody tr")].map((e) => {
		const at = (css) => { const s = e.querySelector(css); return s && s.checkVisibility({ visibilityProperty: true }) ? s.innerText.trim() : ""; };
		return { Scenario: e.querySelector("th").firstChild.textContent.trim(), When: at("th .asks"), Href: e.querySelector("th a")?.getAttribute("href") || "", Verdict: at("td[data-label=Verdict]"), Failover: at("td[data-label=Failover]"), Lost: at("td[data-label=Lost]"), Why: at("td.why") };
	})`)
	if len(rows) != len(x.Runs) {
		return []string{fmt.Sprintf("there are %d rows for %d runs", len(rows), len(x.Runs))}
	}
	for i, r := range x.Runs {
		got, wrong := rows[i], []string{}
		if got.Scenario != r.Scenario || !strings.HasPrefix(got.When, r.Started.Format("Mon 2 Jan 2006, 15:04")) {
			wrong = append(wrong, "what ran and when")
		}
		if got.Href != r.Report {
			wrong = append(wrong, "the report")
		}
		if tag, _, _ := strings.Cut(got.Verdict, "\n"); !strings.Contains(tag, " "+word(&r)) || strings.Contains(got.Verdict, "regression") != (r.Regression != "") || !strings.Contains(got.Why, r.Regression) {
			wrong = append(wrong, "the verdict")
		}
		failover := "–"
		if r.Failover != nil {
			failover = fmt.Sprint(math.Round(*r.Failover*100)/100, " s")
			if r.Censored {
				failover = "> " + failover
			}
		}
		// On a narrow screen the label is part of the text.
		if !strings.HasSuffix(got.Failover, failover) || (r.LostWrites != nil && *r.LostWrites > 0) != strings.Contains(got.Lost, "write") {
			wrong = append(wrong, "the measures")
		}
		if !strings.Contains(strings.ToLower(got.Why), strings.ToLower(r.Note)) || !strings.Contains(got.Why, r.Summary) {
			wrong = append(wrong, "what happened")
		}
		for _, w := range wrong {
			bad = append(bad, fmt.Sprintf("run %d, %s of %s: %s is wrong in %+v", i+1, r.Scenario, r.Started, w, got))
		}
	}
	return bad
}

// indexTrends reads the pictures, as they are seen: which mark stands where, what it says
// under the pointer and where a click leads.
func indexTrends(most int) func(*tab, *reports.Index) []string {
	return func(p *tab, x *reports.Index) (bad []string) {
		type mark struct {
			Kind, Text, Href string
			X                float64
			Worse            bool
		}
		type picture struct {
			Title string
			Marks []mark
		}
		got := do[[]picture](p, `[...document.querySelectorAll("figure")].map((f) => {
			const svg = [...f.querySelectorAll("svg.picture")].find((e) => e.checkVisibility());
			svg.scrollIntoView({ block: "center" });
			const all = [...svg.querySelectorAll("[class^=is-]")].filter((e) => e.checkVisibility({ visibilityProperty: true })).map((e) => ({ kind: e.getAttribute("class").slice(3), b: e.getBoundingClientRect() }));
			const middle = (m) => [m.b.x + m.b.width / 2, m.b.y + m.b.height / 2];
			const first = Math.min(...all.map((m) => middle(m)[1]));
			return { Title: f.querySelector("h3").innerText, Marks: all.filter((m) => middle(m)[1] < first + 3).map((m) => {
				const spot = document.elementsFromPoint(...middle(m)).find((e) => e.classList.contains("spot"));
				return { Kind: m.kind, X: middle(m)[0], Text: spot?.querySelector("title").textContent || "", Href: spot?.closest("a")?.getAttribute("href") || "", Worse: all.some((w) => w.kind === "worse" && Math.abs(middle(w)[0] - middle(m)[0]) < 2) };
			}) };
		})`)
		want := trends(x)
		if len(got) != len(want) {
			return []string{fmt.Sprintf("there are %d trends, not %d", len(got), len(want))}
		}
		for i, t := range want {
			runs, marks := t.runs[max(0, len(t.runs)-most):], got[i].Marks
			if got[i].Title != t.title || len(marks) != len(runs) {
				bad = append(bad, fmt.Sprintf("trend %d is %q with %d runs, not %q with %d", i+1, got[i].Title, len(marks), t.title, len(runs)))
				continue
			}
			last := 0.0
			for k, r := range runs {
				m, kind := marks[k], word(&r)
				if r.State != "finished" {
					kind = "none"
				}
				if m.Kind != kind || m.Worse != (r.Regression != "") || m.X <= last {
					bad = append(bad, fmt.Sprintf("%s of %s is drawn as %+v", t.title, r.Started, m))
				}
				if !strings.HasPrefix(m.Text, r.Started.Format("Mon 2 Jan 2006, 15:04 MST")+": "+word(&r)) {
					bad = append(bad, fmt.Sprintf("%s of %s says %q under the pointer", t.title, r.Started, m.Text))
				}
				if m.Href != r.Report {
					bad = append(bad, fmt.Sprintf("%s of %s leads to %q", t.title, r.Started, m.Href))
				}
				last = m.X
			}
		}
		kinds := do[[]string](p, `[...new Set([...document.querySelectorAll("svg.picture [class^=is-]")].map((e) => e.getAttribute("class")))].filter((c) => !document.querySelector(".legend ." + c))`)
		for _, k := range kinds {
			bad = append(bad, "the legend does not explain "+k)
		}
		return bad
	}
}

// indexKeyboard opens every report with keys alone, and skips what stands before the runs.
func indexKeyboard(p *tab, x *reports.Index) []string {
	reached := map[string]bool{}
	bad := tabbed(p, func(f focus) []string { reached[f.Href] = true; return nil })
	for _, r := range x.Runs {
		if r.Report != "" && !reached[r.Report] {
			bad = append(bad, "Tab does not reach "+r.Report)
		}
	}
	do[bool](p, `document.activeElement.blur(); document.querySelector(".skip").focus(); true`)
	p.press(kb.Enter)
	p.press(kb.Tab)
	if where := do[string](p, `location.hash + ", then " + (document.activeElement.closest("table")?.className || document.activeElement.outerHTML)`); where != "#runs, then objectives runs" {
		bad = append(bad, "skipping leads to "+where)
	}
	return bad
}

// indexPointer rests on a mark.
func indexPointer(p *tab, _ *reports.Index) []string {
	const spot = `[...document.querySelectorAll("svg.picture .spot")].filter((e) => e.checkVisibility())[7]`
	at := do[[2]float64](p, `(() => { const e = `+spot+`; e.scrollIntoView({ block: "center" }); const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()`)
	before := do[string](p, `getComputedStyle(`+spot+`).fill`)
	require.NoError(p.t, chromedp.Do(p.ctx, chromedp.MouseEvent("mouseMoved", at[0], at[1])))
	if after := do[string](p, `getComputedStyle(`+spot+`).fill`); after == before {
		return []string{"nothing shows what is under the pointer"}
	}
	return nil
}

var indexChecks = append(common[*reports.Index](), []check[*reports.Index]{
	{"first screen", desk, indexFirstScreen},
	{"first screen of a phone", phone, func(p *tab, _ *reports.Index) []string { return aboveTheFold(p) }},
	{"runs", desk, indexRuns},
	{"runs on a phone", phone, indexRuns},
	{"trends", desk, indexTrends(60)},
	{"trends on a phone", phone, indexTrends(20)},
	{"keyboard", desk, indexKeyboard},
	{"pointer", desk, indexPointer},
}...)

func TestIndexInABrowser(t *testing.T) {
	b := start(t)
	full := nights()
	// Names and reasons as long as they come, and nothing to break them at.
	crowded := nights()
	for i := range crowded.Runs {
		r := &crowded.Runs[i]
		r.Scenario, r.Schedule = strings.Repeat("region-loss-", 5)+r.Scenario, strings.Repeat("night", 15)
		r.Note = strings.Repeat("unbreakable", 30)
	}
	crowded.Planned[0].Schedule, crowded.Planned[1].Blackout = strings.Repeat("night", 15), strings.Repeat("release", 15)
	crowded.Untold[0].Why = strings.Repeat("unreachable", 20)
	for name, x := range map[string]*reports.Index{"nights": full, "crowded": crowded, "empty": {Name: "new", Made: full.Made}} {
		page := indexPage(t, x)
		only := map[string][]string{"crowded": {"width of a desk", "width of a phone", "width of paper", "runs on a phone"}, "empty": {"quiet", "structure", "width of a phone", "first screen of a phone"}}[name]
		stands(t, b, name, page, x, indexChecks, only)
	}
}

func TestBrokenIndexPagesAreCaught(t *testing.T) {
	b := start(t)
	x := nights()
	every := func(pattern, with string) func(string) string {
		return func(page string) string { return regexp.MustCompile(pattern).ReplaceAllString(page, with) }
	}
	last := x.Runs[2]
	require.Equal(t, slo.Missed, last.Verdict)
	caught(t, b, indexPage(t, x), x, indexChecks, []breakage{
		{"an image from elsewhere", "quiet", func(s string) string {
			return strings.Replace(unlocked(s), "</main>", `<img alt="x" src="http://127.0.0.1:9/x.png"></main>`, 1)
		}, "request of http://127.0.0.1:9/x.png"},
		{"a script", "quiet", swap("</main>", `</main><script>1</script>`), "Content Security Policy"},
		{"a complaint", "quiet", script(`console.error("x")`), "console.error"},
		{"trends without a name", "structure", every(`aria-labelledby="trend-`, `data-by="trend-`), "has no name"},
		{"a link to nowhere", "structure", swap(`<h2 id="runs">`, "<h2>"), "leads nowhere"},
		{"a heading skipped", "structure", every(`<(/?)h3`, "<${1}h4"), "skips a level"},
		{"a header without scope", "structure", swap(`<th scope="row"`, "<th"), "has no scope"},
		{"grey text", "contrast, light", swap("--muted: #525b67", "--muted: #9aa3ae"), "has a contrast of"},
		{"grey text in the dark", "contrast, dark", swap("--muted: #a7b0bc", "--muted: #4a515a"), "has a contrast of"},
		{"a regression that can't be read", "contrast, dark", swap("--fault: #ff9dbb", "--fault: #8c1d40"), "regression"},
		{"grey on a phone", "contrast, phone", style("@media (max-width: 720px) { .plan .at { color: #aaa } }"), "has a contrast of"},
		{"grey on paper", "contrast, paper", style("@media print { td.why { color: #aaa !important } }"), "has a contrast of"},
		{"something too wide", "width of a desk", swap("</main>", `<p style="width: 1500px; max-width: none">x</p></main>`), "p \"x\" ends at"},
		{"rows that are not stacked", "width of a phone", style(".scroll { overflow: visible } .objectives tr { display: flex !important }"), "the page is"},
		{"pictures as wide as a desk's", "width of a phone", style("svg.wide { display: block !important; width: 960px !important }"), "the page is"},
		{"a table wider than paper", "width of paper", style("@media print { table.runs { width: 900px } }"), "ends at"},
		{"an empty sheet", "paper", style("@media print { body { display: none } }"), "the PDF has"},
		{"a headline of what is right", "first screen", swap("is missed in 1 of 3", "is met in 2 of 3"), "the headline is"},
		{"a verdict that is better", "first screen", swap(`<span class="word">missed`, `<span class="word">met`), "the headline is"},
		{"nothing to look at", "first screen", style(".verdict li { display: none }"), "what should be looked at"},
		{"what to look at leads nowhere", "first screen", swap(`<li><a href="runs/`, `<li><a href="run/`), "what should be looked at"},
		{"no tally", "first screen", style(".verdict p { visibility: hidden }"), "runs are told as"},
		{"trends below", "first screen", style("nav { height: 1500px }"), "is not on the first screen"},
		{"a verdict below a phone's screen", "first screen of a phone", style("header.top { height: 900px }"), "not on the first screen"},
		{"a run left out", "runs", func(s string) string {
			return s[:strings.Index(s, `<tr class="missed"`)] + strings.SplitN(s[strings.Index(s, `<tr class="missed"`):], "</tr>", 2)[1]
		}, "there are 125 rows for 126 runs"},
		{"oldest first", "runs", script(`const b = document.querySelector("table.runs tbody"); b.append(...[...b.children].reverse())`), "what ran and when is wrong"},
		{"a verdict turned", "runs", swap("</span> missed</span>", "</span> met</span>"), "the verdict is wrong"},
		{"a verdict out of sight", "runs", style(".runs .tag, .runs td[data-label=Verdict] { display: none }"), "the verdict is wrong"},
		{"no word of the regression", "runs", style(".tag.worse { display: none }"), "the verdict is wrong"},
		{"the report of another run", "runs", func(s string) string {
			return strings.Replace(s, `<th scope="row" role="rowheader"><a href="`+last.Report, `<th scope="row" role="rowheader"><a href="`+x.Runs[1].Report, 1)
		}, "the report is wrong"},
		{"an outage that seems to have ended", "runs", swap(`data-label="Failover">&gt; 9.4 s`, `data-label="Failover">9.4 s`), "the measures is wrong"},
		{"losses out of sight", "runs", every(`14 writes</td>`, "0</td>"), "the measures is wrong"},
		{"no reasons", "runs", style(".why { display: none }"), "what happened is wrong"},
		{"no reasons on a phone", "runs on a phone", style("@media (max-width: 720px) { .why { display: none !important } }"), "what happened is wrong"},
		{"a mark of the wrong kind", "trends", every(`class="is-missed" d="M([0-9]{2})`, `class="is-met" d="M$1`), "is drawn as"},
		{"no marks", "trends", style("svg .is-missed { visibility: hidden }"), "with 28 runs, not"},
		{"no mark of the regression", "trends", style("svg.picture .is-worse { visibility: hidden }"), "is drawn as"},
		{"the wrong run under the pointer", "trends", every(`(<title>)Mon 30 Nov 2026, 02:30 CET: missed`, "${1}Sun 29 Nov 2026, 02:30 CET: missed"), "under the pointer"},
		{"nothing under the pointer", "trends", style(".spot { pointer-events: none }"), "under the pointer"},
		{"a mark that leads nowhere", "trends", every(`<a href="[^"]*" tabindex="-1">(<rect[^\n]*</rect>)</a>`, "$1"), "leads to"},
		{"what is well drawn first", "trends", script(`const f = document.querySelectorAll("figure"); f[0].before(f[1])`), "trend 1 is"},
		{"a kind that is not explained", "trends", every(`<li><svg[^>]*><path class="is-none"[^>]*></svg>[^<]*</li>`, ""), "the legend does not explain is-none"},
		{"a phone without its pictures' marks", "trends on a phone", style("svg.narrow .is-met { display: none }"), "not"},
		{"no outline", "keyboard", style(":focus-visible { outline: none !important }"), "can't be seen"},
		{"links that Tab skips", "keyboard", every(`<th scope="row" role="rowheader"><a href`, `<th scope="row" role="rowheader"><a tabindex="-1" href`), "Tab does not reach"},
		{"no skip link", "keyboard", style(".skip { display: none }"), "the first stop is"},
		{"a skip link to the wrong part", "keyboard", swap(`class="skip" href="#runs"`, `class="skip" href="#trends"`), "skipping leads to"},
		{"nothing stands out under the pointer", "pointer", style(".spot:hover { fill: transparent !important }"), "under the pointer"},
	})
	t.Run("a slow page", func(t *testing.T) {
		slow := script(`const until = performance.now() + 1200; while (performance.now() < until);`)(indexPage(t, x))
		assert.Contains(t, strings.Join(loaded(t, b, slow), "\n"), "to load")
	})
}
