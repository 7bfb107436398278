package reports

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/slo"
)

// sampleIndex is a page's data: a scenario that got worse, one with two loads,
// and runs that did not come to an end.
func sampleIndex() *Index {
	zone := time.FixedZone("CET", 3600)
	day := func(n int) time.Time { return time.Date(2026, 11, n, 2, 30, 0, 0, zone) }
	x := &Index{
		Name: "nightly", Made: time.Date(2026, 11, 30, 3, 0, 0, 0, zone), Regression: "A run is a regression if it is worse than those before it.",
		Planned: []IndexPlan{
			{At: day(31), Schedule: "nights", Scenarios: []string{"node-crash", "region-loss"}},
			{At: day(32), Schedule: "lottery", Scenarios: []string{"power-loss"}, Blackout: "Christmas"},
		},
		Untold: []IndexUntold{{At: day(29), Event: "missed", Hook: "announce[0] (slack, $SLACK_URL)", Why: "no answer within 5s"}},
	}
	add := func(r IndexRun) { x.Runs = append([]IndexRun{r}, x.Runs...) }
	for n := 1; n <= 30; n++ {
		r := IndexRun{
			Started: day(n), Took: 87 * time.Second, Schedule: "nights", Scenario: "node-crash", Setup: "a", State: "finished", Verdict: slo.Met,
			Summary: "Met: node-crash cost at most 2.1 s, and nothing was lost.", Failover: ptr(2 + float64(n*7%5)/20), RPO: ptr(0.0), LostSessions: ptr(0), LostWrites: ptr(0),
			Trials: 3, Valid: 3, Seed: int64(1000 + n), Backend: "process", Report: fmt.Sprintf("runs/202611%02dT013000Z-node-crash/report.html", n),
		}
		switch n {
		case 9:
			r.State, r.Verdict, r.Summary, r.Failover = "interrupted", slo.Inconclusive, "Inconclusive: the run did not finish.", ptr(0.05)
			r.Note = "the program was killed; undone at the next start: run of process 7, which was killed, left node-crash(node=primary:1)"
		case 17:
			r.Verdict, r.Summary, r.Valid = slo.Inconclusive, "Inconclusive: the generator was late.", 2
		case 29:
			r.Verdict, r.Summary, r.Regression = slo.Missed, "Missed: failover took 6.5 s, and 3 writes were lost.", "failover: met before, now missed; lost-writes 3, before 0"
			r.Failover, r.Censored, r.LostWrites, r.RPO = ptr(6.5), true, ptr(3), ptr(0.42)
		case 30:
			r.Verdict, r.Summary, r.Failover = slo.Missed, "Missed: failover took 6.1 s.", ptr(6.1)
		}
		add(r)
		loss := r
		loss.Scenario, loss.Setup, loss.Started, loss.Regression = "region-loss", "b", r.Started.Add(3*time.Minute), ""
		loss.State, loss.Verdict, loss.Note, loss.Summary, loss.Trials, loss.Valid = "finished", slo.Met, "", "Met: a region was lost.", 3, 3
		loss.Failover, loss.RPO, loss.Censored, loss.LostSessions, loss.LostWrites = ptr(2.6+float64(n*3%7)/30), ptr(0.0), false, ptr(0), ptr(0)
		if n < 6 {
			loss.Setup = "c"
		}
		if n == 22 {
			loss.State, loss.Verdict, loss.Note, loss.Summary, loss.Report = "skipped", "", "its time is in the black-out release <b>", "", ""
			loss.Failover, loss.RPO, loss.LostSessions, loss.LostWrites, loss.Trials = nil, nil, nil, nil, 0
		}
		add(loss)
	}
	return x
}

func indexOf(t *testing.T, x *Index) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, WriteIndex(&b, x))
	return b.String()
}

func TestIndexSaysWhatHappened(t *testing.T) {
	page := indexOf(t, sampleIndex())
	golden(t, "index.html", words(page))
	for _, want := range []string{
		"<span class=\"word\">missed</span> The latest run is missed in 1 of 2 scenarios",
		"60 runs: 55 met, 2 missed, 1 inconclusive, 1 interrupted, 1 skipped; 1 regression.",
		`<li><a href="runs/20261130T013000Z-node-crash/report.html">node-crash, Mon 30 Nov 02:30</a>: missed for the last 2 runs – failover took 6.1 s.</li>`,
		`<a href="runs/20261129T013000Z-node-crash/report.html">node-crash</a>`,
		"Worse: failover: met before, now missed; lost-writes 3, before 0.",
		"&gt; 6.5 s", "3 writes", "3, 1 void",
		"The program was killed; undone at the next start",
		"Its time is in the black-out release &lt;b&gt;.",
		"region-loss with an earlier load, topology or timeline",
		"black-out: Christmas", "no answer within 5s",
	} {
		assert.Contains(t, page, want)
	}
	assert.Equal(t, 3*2, strings.Count(page, `<svg class="picture`), "three trends, each wide and narrow")
}

// The page needs nothing else: no script, no address but those of the reports.
func TestIndexStandsAlone(t *testing.T) {
	page := indexOf(t, sampleIndex())
	for _, bad := range []string{"<script", "src=", "url(", "@import", "https://", "<link rel=\"stylesheet"} {
		assert.NotContains(t, page, bad)
	}
	assert.Equal(t, strings.Count(page, "http://"), strings.Count(page, `xmlns="http://www.w3.org/2000/svg"`))
}

// Hostile and missing values: nothing of them is markup, and nothing panics.
func TestIndexOfAnything(t *testing.T) {
	evil := `"><script>alert(1)</script>` + "\x1b[31m"
	nan := 0.0
	nan /= nan
	x := &Index{Name: evil, Regression: evil, Planned: []IndexPlan{{Schedule: evil, Scenarios: []string{evil}, Blackout: evil}}, Untold: []IndexUntold{{Event: evil, Hook: evil, Why: evil}}}
	for i := range 400 {
		x.Runs = append(x.Runs, IndexRun{
			Schedule: evil, Scenario: fmt.Sprint(evil, i%30), Setup: evil, State: []string{"finished", evil, "running", ""}[i%4], Verdict: slo.Verdict(evil), Summary: evil, Note: evil,
			Regression: evil, Failover: ptr([]float64{nan, 1e300, -5, 0}[i%4]), RPO: ptr(nan), LostSessions: ptr(-3), Report: "javascript:alert(1)", Trials: -1,
		})
	}
	page := indexOf(t, x)
	assert.NotContains(t, page, "<script")
	assert.NotContains(t, page, `href="javascript:`)
	assert.Contains(t, page, "100 older ones are in the index only")
	assert.Contains(t, page, "are not drawn")
	assert.Less(t, len(page), 5<<20)

	page = indexOf(t, &Index{Name: "new"})
	assert.Contains(t, page, "Nothing has run yet")
	assert.NotContains(t, page, "Trends")
}

// What is drawn says the same as the words: a mark for each run and value.
func TestTrendMarks(t *testing.T) {
	x := sampleIndex()
	p := newIndexPage(x)
	require.Len(t, p.Trends, 3)
	count := func(d drawing, class string) (n int) {
		for _, s := range d.Shapes {
			if s.Class == class {
				n++
			}
		}
		return n
	}
	crash := p.Trends[0]
	assert.Equal(t, "node-crash", crash.Title, "what wants a look is drawn first")
	wide, narrow := crash.Drawings[0], crash.Drawings[1]
	assert.Equal(t, 3*26, count(wide, "is-met"), "verdict, failover and RPO of 26 runs")
	assert.Equal(t, 3*2, count(wide, "is-missed"))
	assert.Equal(t, 3, count(wide, "is-inconclusive"))
	assert.Equal(t, 1, count(wide, "is-none"), "no value of the interrupted one")
	assert.Equal(t, 1, count(wide, "is-worse"))
	assert.Equal(t, 1, count(wide, "loss"))
	assert.Len(t, wide.Spots, 30)
	assert.Len(t, narrow.Spots, 20, "a phone shows the newest")
	assert.Equal(t, "runs/20261129T013000Z-node-crash/report.html", wide.Spots[28].Link)
	assert.Contains(t, wide.Spots[28].Text, "failover > 6.5 s", "it was cut short")
	assert.NotContains(t, wide.Spots[8].Text, "lost", "nobody looked for losses of the interrupted one")
	for _, d := range crash.Drawings {
		for _, s := range d.Shapes {
			assert.NotContains(t, s.D+s.X+s.Y+s.W+s.H, "NaN")
		}
	}
	assert.Contains(t, crash.Desc, "30 runs: 26 met, 2 missed, 1 inconclusive, 1 interrupted; 1 regression. The last one, on 30 November 2026, is missed with a failover of 6.1 s; all lie between 2 s and 6.5 s.")
}

// The dates below a trend keep their distance, and the latest run has one.
func TestTrendDates(t *testing.T) {
	start := time.Date(2026, 10, 20, 2, 30, 0, 0, time.UTC)
	for _, f := range forms {
		for _, n := range []int{1, 2, 9, 20, 42, 60} {
			var runs []*IndexRun
			for i := range n {
				runs = append(runs, &IndexRun{Started: start.AddDate(0, 0, i), State: "finished", Verdict: slo.Met})
			}
			last, end := "", 0.0
			for _, s := range trendDrawing(f, runs).Shapes {
				if s.Class != "axis-text" || s.Anchor != "middle" {
					continue
				}
				at, err := strconv.ParseFloat(s.X, 64)
				require.NoError(t, err)
				half := wide(s.Text, f.font-1) / 2
				assert.Greater(t, at-half, end, "%s in %d runs on a %s screen", s.Text, n, f.name)
				last, end = s.Text, at+half
			}
			assert.Equal(t, runs[n-1].Started.Format("2 Jan"), last)
			assert.LessOrEqual(t, end, float64(f.width))
		}
	}
}

// What stands first on the page is what is wrong, not what is right.
func TestIndexStands(t *testing.T) {
	run := func(scenario, state string, v slo.Verdict) IndexRun {
		return IndexRun{Scenario: scenario, State: state, Verdict: v}
	}
	met, missed, unclear := run("a", "finished", slo.Met), run("b", "finished", slo.Missed), run("c", "interrupted", "")
	for _, c := range []struct {
		runs       []IndexRun
		word, want string
	}{
		{[]IndexRun{run("a", "running", "")}, "–", "Nothing has run yet"},
		{[]IndexRun{met, run("a", "finished", slo.Missed)}, "met", "The latest run of the only scenario is met"},
		{[]IndexRun{missed}, "missed", "The latest run of the only scenario is missed"},
		{[]IndexRun{met, run("b", "finished", slo.Met)}, "met", "The latest run of each of 2 scenarios is met"},
		{[]IndexRun{met, missed}, "missed", "The latest run is missed in 1 of 2 scenarios"},
		{[]IndexRun{met, unclear}, "inconclusive", "The latest run is inconclusive in 1 of 2 scenarios"},
		{[]IndexRun{unclear, met, missed}, "missed", "The latest run is missed in 1 of 3 scenarios, inconclusive in 1"},
	} {
		p := newIndexPage(&Index{Runs: c.runs})
		assert.Equal(t, c.want, p.Sentence)
		assert.Equal(t, c.word, p.Word)
	}
}
