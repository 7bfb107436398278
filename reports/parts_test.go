package reports

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/slo"
	"github.com/fivenines/fivenines/slo/projection"
)

func texts(t *table) map[string]string {
	out := map[string]string{}
	for _, r := range t.Rows {
		var rest []string
		for _, c := range r[1:] {
			rest = append(rest, c.Text)
		}
		out[r[0].Text] = strings.Join(rest, " | ")
	}
	return out
}

func TestPlanIsComparedWithWhatHappened(t *testing.T) {
	r := met()
	asked := r.Trials[0].Faults[0].AskedS
	told := func(at float64, kind string) {
		r.Marks = append(r.Marks, slo.Mark{AtS: asked + at, Kind: kind, Source: "eu-west-1-1"})
	}
	told(-1, "alert-firing")
	told(2.5, "alert-sent")
	told(2.6, "alert-firing")
	told(2.7, "manager-notified")
	told(2.21, "traffic-moved")
	told(6, "sessions-restored")
	got := texts(planTable(r, &r.Trials[0], ""))
	assert.Len(t, got, len(plan))
	// Reported, seen by clients, after the detection at 1.304 s, against the plan.
	assert.Equal(t, "failure detected | 1.3 s | - | 0 s | the plan begins", got["T+0 s"])
	assert.Equal(t, "alert raised | 2.5 s | - | 1.2 s | 0.2 s late", got["T+1 s"])
	assert.Equal(t, "failover manager notified | 2.7 s | - | 1.4 s | 0.6 s to spare", got["T+2 s"])
	assert.Equal(t, "secondary region active | 2.22 s | - | 0.92 s | 2.08 s to spare", got["T+3 s"])
	assert.Equal(t, "traffic moved | 2.21 s | 2.11 s | 0.91 s | 4.09 s to spare", got["T+5 s"])
	assert.Equal(t, "sessions restored | 6 s | 3.39 s | 4.7 s | 2.3 s to spare", got["T+7 s"])
	assert.Equal(t, "full service | - | 5 s | 3.7 s | 6.3 s to spare", got["T+10 s"], "clients saw it")
	assert.Equal(t, " Later than planned: alert raised (0.2 s after T+1 s).", planText(r, &r.Trials[0]))

	// What the platform says is not enough where clients saw otherwise.
	r = missed()
	told(3, "sessions-restored")
	told(3, "full-service")
	got = texts(planTable(r, &r.Trials[0], ""))
	assert.Contains(t, got["T+1 s"], "not reported")
	assert.Contains(t, got["T+7 s"], "not every shard took writes again")
	assert.Contains(t, got["T+10 s"], "the steady state was not back")

	// Events of a later trial, or of the undoing, are not this one's.
	r = met()
	later := met().Trials[0]
	later.Faults[0].AskedS += 100
	r.Trials = append(r.Trials, later)
	told(101, "alert-sent")
	told(33, "alert-sent")
	assert.Contains(t, texts(planTable(r, &r.Trials[0], ""))["T+1 s"], "not reported")
	assert.Contains(t, texts(planTable(r, &r.Trials[1], ""))["T+1 s"], "alert raised | 1 s")

	r.Trials[0].Faults[0].Kind = "node-crash"
	assert.Nil(t, planTable(r, &r.Trials[0], ""), "the plan is about regions")
	l, ok := planLane(met(), views(met())[0])
	require.True(t, ok)
	assert.Len(t, l.marks, len(plan))
	assert.InDelta(t, asked+1.304+10, l.marks[6].AtS, 1e-9, "it counts from the detection")
	assert.True(t, lanesOf(met(), views(met())[0])[0].plan, "it stands above the events")
}

// Many kinds of events share a lane, but not those that tell of the failover.
func TestFailoverKeepsItsLanes(t *testing.T) {
	r := met()
	v := views(r)[0]
	for i := range 30 {
		r.Marks = append(r.Marks, slo.Mark{AtS: v.from + 1 + float64(i)/100, Kind: fmt.Sprintf("kind-%d", i), Source: "x"})
	}
	var kinds []string
	for _, l := range lanesOf(r, v) {
		kinds = append(kinds, l.kind)
	}
	assert.Len(t, kinds, maxLanes+1)
	assert.Subset(t, kinds, []string{"plan", "suspected", "detected", "elected", "promoted", "others"})
}

func TestDistributionNeverEndsWhatDidNotEnd(t *testing.T) {
	r := trials()
	m := slo.TrialStatistics{Name: slo.Failover, Unit: "s", Median: &slo.Value{Value: 3, Lower: ptr(2.8), Upper: ptr(3.2)}, UpperBound: ptr(4.0)}
	for i, tr := range r.Trials {
		m.Values = append(m.Values, slo.Trialed{Trial: i + 1, Value: tr.Measures.Failover.Value, Censored: i == 4})
	}
	r.Statistics = &slo.Statistics{Trials: 30, Confidence: 0.95, Quantile: 0.9, Measures: []slo.TrialStatistics{m}}
	fig, ok, err := distributionFigure(r)
	require.NoError(t, err)
	require.True(t, ok)
	assert.Contains(t, fig.Desc, "30 trials")
	assert.Contains(t, fig.Desc, "1 outage was not seen to end")
	assert.Contains(t, fig.Desc, "p90 at 4 s")
	spots := fig.Drawings[0].Spots
	last := spots[len(spots)-1].Text
	assert.Contains(t, last, "29 of 30 trials", "the one that was not seen to end never counts")
	page := render(t, "html", r)
	assert.Contains(t, page, `id="distribution-picture"`)
	assert.Empty(t, accessible(t, page))
	assert.Contains(t, page, "Intervals of durations are how exactly the worst of 30 trials was seen")

	_, ok, err = distributionFigure(met())
	require.NoError(t, err)
	assert.False(t, ok, "one trial has no distribution")
}

func TestFatesAddUp(t *testing.T) {
	fig, tab, ok := endsFigure(missed())
	require.True(t, ok)
	got := texts(&tab)
	assert.Equal(t, "3 | < 0.01 % | neither closed nor expired, and strong reads do not find them", got["lost"])
	assert.Contains(t, got["kept"], "23,185 | ")
	assert.Contains(t, fig.Desc, "3 lost (< 0.01 %)")
	for _, d := range fig.Drawings {
		end := 0.0
		for _, s := range d.Shapes {
			if s.Kind != "rect" {
				continue
			}
			var x, w float64
			_, err := fmt.Sscan(s.X+" "+s.W, &x, &w)
			require.NoError(t, err)
			assert.InDelta(t, end, x, 0.3, "no gap before %s", s.Title)
			assert.GreaterOrEqual(t, w, 3.9, "%s can be seen", s.Title)
			end = x + w
		}
		assert.InDelta(t, float64(d.Width), end, 1)
	}
	r := met()
	r.Trials[0].Measures.SessionFates = nil
	_, _, ok = endsFigure(r)
	assert.False(t, ok, "a result of before")
	render(t, "html", r)
}

// By hand: 40,045 bad operations of 800,000 or so at 20,000 a second are 2 s of total
// outage; the budget of five nines in 30 days is 25.92 s.
func TestBudgetOfARun(t *testing.T) {
	b := budgetOf(met())
	require.NotNil(t, b)
	assert.Contains(t, b.Sentences[0], "99.999 % over 30 days allows 25.9 s of total outage. It is the platform's objective")
	got := texts(&b.Table)
	assert.Contains(t, got["spent"], "7.7")
	assert.Contains(t, got["spent"], "as 2 s of total outage would")
	require.NotNil(t, b.Alerts)
	assert.Equal(t, "critical", b.Alerts.Rows[0][0].Text)
	assert.Equal(t, "page", b.Alerts.Rows[0][1].Text)

	b = budgetOf(noFault())
	assert.Contains(t, b.Sentences[0], "that this run declares")
	assert.Equal(t, "none would have fired", texts(&b.Table)["alerts"])
	assert.Nil(t, b.Alerts)

	r := met()
	r.Timeline[0].Good = r.Timeline[0].Intended + 1
	assert.Contains(t, strings.Join(budgetOf(r).Sentences, " "), "It can't be said")
	r.Timeline[len(r.Timeline)-1].Second = 1 << 30
	assert.Contains(t, strings.Join(budgetOf(r).Sentences, " "), "too long")
	assert.Nil(t, budgetOf(&slo.Result{}))
}

func TestRegionsOfTheTimeline(t *testing.T) {
	r := met()
	fig, tab, ok, err := regionsFigure(r, views(r)[0])
	require.NoError(t, err)
	require.True(t, ok)
	assert.Contains(t, fig.Desc, "us-east-1: served at least 3,204 of 16,020")
	assert.Contains(t, fig.Desc, "eu-west-1: served at least 801 of 4,005")
	assert.Len(t, tab.Rows, 80)
	assert.True(t, slices.ContainsFunc(fig.Drawings[0].Spots, func(s spot) bool { return strings.HasPrefix(s.Text, "eu-west-1, T-0.4 s: offered 4,005/s") }))
	for i := range r.Timeline {
		r.Timeline[i].Regions = r.Timeline[i].Regions[:1]
	}
	_, _, ok, err = regionsFigure(r, views(r)[0])
	require.NoError(t, err)
	assert.False(t, ok, "one region is the whole")
}

// Text keeps the width that it was laid out with, so that labels stand where they belong in
// a font of other metrics, too.
func TestTextKeepsItsWidth(t *testing.T) {
	got := fixText(`<text x="2" y="-3" style="font-size:12px;fill:var(--ink)">a &lt; b</text>`)
	assert.Equal(t, fmt.Sprintf("<text x=\"2\" y=\"-3\" style=\"font-size:12px;fill:var(--ink)\" textLength=%q lengthAdjust=\"spacingAndGlyphs\">a &lt; b</text>\n", px(float64(textWidth("a < b", 12)))), got)
	assert.Empty(t, fixText(`<text x="2" style="font-size:1px;fill:var(--ink)"> </text>`))
	for _, d := range mustFigure(t, met()).Drawings {
		assert.Equal(t, strings.Count(string(d.Body), "<text "), strings.Count(string(d.Body), "textLength="))
		assert.Greater(t, strings.Count(string(d.Body), "<text "), 20)
	}
}

func mustFigure(t *testing.T, r *slo.Result) figure {
	f, _, err := timelineFigure(r, views(r)[0])
	require.NoError(t, err)
	return f
}

func TestIntervalStandsApart(t *testing.T) {
	o := &slo.Objective{Name: slo.Failover, Target: "< 5 s", Unit: "s", Measured: &slo.Value{Value: 2, Lower: ptr(1.9), Upper: ptr(2.1)}, Verdict: slo.Met}
	assert.Equal(t, []string{"2 s", "1.9 to 2.1 s"}, []string{alone(o), interval(o)})
	o.Measured = &slo.Value{Value: 27, Lower: ptr(26.9)}
	assert.Equal(t, []string{"at least 27 s", "26.9 s or more"}, []string{alone(o), interval(o)})
	o.Measured = val(2)
	assert.Empty(t, interval(o))
}

// A run that belongs to a verification shows the projection, any other one how to make one.
func TestYear(t *testing.T) {
	page := render(t, "html", met())
	assert.Contains(t, page, "fivenines verify --from RUN")
	assert.Contains(t, page, "region-loss: 1 time, the longest outage 3.41 s")
	var b strings.Builder
	var p *projection.Projection = storedProjection(t)
	require.NoError(t, WriteHTMLProjected(&b, met(), p))
	assert.NotContains(t, b.String(), "fivenines verify --from RUN")
	assert.Contains(t, b.String(), `id="projection-part"`)
	assert.Empty(t, accessible(t, b.String()))
	assert.NoError(t, standsAlone(b.String()))
}

// hundredTrials is a hundred trials, of an hour of load in all, as the browser's test has
// it too: an hour in seconds, by three regions, with every trial's events.
func hundredTrials() *slo.Result {
	r := trials()
	one := r.Trials[:30]
	r.Trials, r.Timeline, r.Marks = nil, nil, nil
	m := slo.TrialStatistics{Name: slo.Failover, Unit: "s", Median: &slo.Value{Value: 3.1, Lower: ptr(3.0), Upper: ptr(3.2)}, UpperBound: ptr(4.72)}
	for i := range 100 {
		t := one[i%30]
		start := 36 * i
		t.Faults = []slo.FaultRecord{fault(float64(start) + 10.4)}
		t.Faults[0].Failover, t.Faults[0].Phases = t.Measures.Failover, one[i%30].Faults[0].Phases
		r.Trials = append(r.Trials, t)
		r.Timeline = append(r.Timeline, timeline(start, 36, start+10, 4)...)
		m.Values = append(m.Values, slo.Trialed{Trial: i + 1, Value: t.Measures.Failover.Value})
		r.Marks = append(r.Marks, slo.Mark{AtS: float64(start) + 11, Kind: "suspected", Source: "eu-west-1-2", Text: "us-east-1"}, slo.Mark{AtS: float64(start) + 12, Kind: "elected", Source: "eu-west-1-1", Text: "shard 1 term 3"}, slo.Mark{AtS: float64(start) + 13, Kind: "promoted", Source: "eu-west-1-1", Text: "eu-west-1"})
	}
	r.Statistics = &slo.Statistics{Trials: 100, Confidence: 0.95, Quantile: 0.97, Measures: []slo.TrialStatistics{m}}
	return r
}

func TestHundredTrialsAndAnHourStaySmall(t *testing.T) {
	r := hundredTrials()
	require.Len(t, r.Timeline, 3600)
	// One second that is worse than all others must be seen after the downsampling.
	r.Timeline[1801].Good, r.Timeline[1801].Bad, r.Timeline[1803].WriteP99 = 7, r.Timeline[1801].Intended-7, 4321
	r.Timeline[1801].Regions[1].Good = 3
	page := render(t, "html", r)
	t.Logf("the page has %d bytes", len(page))
	assert.Less(t, len(page), 5<<20)
	assert.Empty(t, accessible(t, page))
	assert.Contains(t, page, "The lowest served rate was 7 of ")
	assert.Contains(t, page, "highest at")
	assert.Contains(t, page, "4.32 s")
	assert.Contains(t, page, "Each point is the worst second of 12.")

	// An hour in one trial.
	r = met()
	r.Timeline = timeline(0, 3600, 26, 4)
	assert.Less(t, len(render(t, "html", r)), 5<<20)
}

// How long a node took to come back by itself is shown as other durations are.
func TestRestartIsShown(t *testing.T) {
	r := met()
	row := slo.Objective{Name: slo.Restart, Target: "< 30 s", Measured: &slo.Value{Value: 2.31, Lower: ptr(2.25), Upper: ptr(2.31)}, Unit: "s", Verdict: slo.Met, Evidence: "us-east-1-1 served again"}
	r.Objectives = append(r.Objectives, row)
	at := func(c *slo.Comeback) []string {
		r.Trials[0].Measures.Restart, r.Trials[0].Faults[0].Restart = c, c
		var out []string
		for _, table := range recoveryTables(r) {
			for _, cells := range table.Rows {
				if cells[0].Text == "Back by itself" || cells[0].Text == "Restart" {
					out = append(out, cells[1].Text)
				}
			}
		}
		return out
	}
	assert.Equal(t, []string{"-", "-"}, at(nil))
	assert.Equal(t, []string{"2.31 s", "2.31 s"}, at(&slo.Comeback{Value: 2.31, Lower: 2.25, Upper: ptr(2.31), N: 1}))
	shown := func() map[string]string {
		out := map[string]string{}
		for name, write := range map[string]func(io.Writer, *slo.Result) error{"html": WriteHTML, "junit": WriteJUnit, "markdown": WriteMarkdown, "textfile": WriteTextfile, "json": WriteJSON} {
			var b bytes.Buffer
			require.NoError(t, write(&b, r), name)
			out[name] = b.String()
		}
		return out
	}
	pages := shown()
	assert.Contains(t, pages["html"], "2.25 to 2.31 s")
	assert.Contains(t, pages["markdown"], "2.31 s")
	assert.Contains(t, pages["json"], `"restart_s": {`)
	assert.Contains(t, pages["textfile"], `fivenines_objective_measured_seconds{backend="process",mutant="",objective="restart",scenario="region-loss",target="reference"} 2.31`)
	assert.Contains(t, pages["junit"], `<testcase name="restart"`)

	row.Measured, row.Verdict = &slo.Value{Value: 41.2, Lower: ptr(41.2)}, slo.Missed
	r.Objectives[len(r.Objectives)-1] = row
	assert.Equal(t, []string{"at least 41.2 s", "at least 41.2 s"}, at(&slo.Comeback{Value: 41.2, Lower: 41.2, N: 1, Censored: true}))
	pages = shown()
	assert.Contains(t, pages["html"], "at least 41.2 s")
	assert.Contains(t, pages["html"], about(slo.Restart).missed)
	assert.Contains(t, pages["markdown"], "at least 41.2 s")
}
