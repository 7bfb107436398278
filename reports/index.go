package reports

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"github.com/fivenines/fivenines/slo"
)

//go:embed index.html.tmpl
var indexText string

//go:embed index.css
var indexStyle string

var indexTemplate = template.Must(template.Must(pageTemplate.Clone()).New("index").Parse(indexText))

// Index is what the page over many runs shows.
type Index struct {
	Name       string
	Made       time.Time
	Regression string     // what counts as one
	Runs       []IndexRun // newest first
	Planned    []IndexPlan
	Untold     []IndexUntold
}

// IndexRun is a run. Instants are shown in the time zone that they are in;
// what has no value is nil or empty.
type IndexRun struct {
	Started            time.Time
	Took               time.Duration
	Schedule, Scenario string
	Setup              string // runs with the same one are compared
	State              string // running, finished, interrupted, failed, skipped
	Verdict            slo.Verdict
	Summary, Note      string
	Regression         string // what got worse
	Failover, RPO      *float64
	Censored           bool
	LostSessions       *int
	LostWrites         *int
	Trials, Valid      int
	Seed               int64
	Backend            string
	Report             string // relative to the page
}

// IndexPlan is what is to come.
type IndexPlan struct {
	At        time.Time
	Schedule  string
	Scenarios []string
	Blackout  string // that it falls into
}

// IndexUntold is an announcement that failed.
type IndexUntold struct {
	At               time.Time
	Event, Hook, Why string
}

// Bounds of the page.
const (
	maxIndexRows   = 300
	maxIndexTrends = 24
)

// WriteIndex writes the page over many runs. It needs nothing else: no network,
// no script.
func WriteIndex(w io.Writer, x *Index) error {
	var b bytes.Buffer
	if err := indexTemplate.ExecuteTemplate(&b, "index-page", newIndexPage(x)); err != nil {
		return fmt.Errorf("index page of %s: %w", clean(x.Name), err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

type indexPage struct {
	CSS                          template.CSS
	Name, Made                   string
	Class, Word, Sentence, Tally string
	Attention                    []indexAttention
	Regression, More, MoreTrends string
	Trends                       []figure
	Rows                         []indexRow
	Planned                      []indexPlanned
	Untold                       *table
}

type indexRow struct {
	Class, Report, Scenario, When, Schedule, Seed string
	Tag, Sign, Word, Regression                   string
	Failover, Lost, RPO, Trials, What             string
}

// indexAttention is a scenario that does not stand well.
type indexAttention struct{ Report, Run, Text string }

type indexPlanned struct{ At, What, Blackout string }

const indexTime = "Mon 2 Jan 2006, 15:04 MST"

func newIndexPage(x *Index) *indexPage {
	p := &indexPage{
		CSS: template.CSS(pageStyle + indexStyle), Name: orDash(clean(x.Name)), Made: x.Made.Format(indexTime),
		Regression: clean(x.Regression),
	}
	all := make([]*IndexRun, len(x.Runs))
	for i := range x.Runs {
		all[i] = &x.Runs[i]
	}
	p.Tally = tallyRuns(all) + "."
	p.stand(x.Runs)
	for i := range x.Runs {
		if i == maxIndexRows {
			p.More = fmt.Sprintf("%s older ones are in the index only.", grouped(float64(len(x.Runs)-i)))
			break
		}
		p.Rows = append(p.Rows, newIndexRow(&x.Runs[i]))
	}
	p.trends(x.Runs)
	for _, o := range x.Planned {
		var names []string
		for _, s := range o.Scenarios {
			names = append(names, clip(s, 80))
		}
		p.Planned = append(p.Planned, indexPlanned{o.At.Format(indexTime), clip(o.Schedule, 80) + ": " + listText(names, 12), clip(o.Blackout, 100)})
	}
	if len(x.Untold) > 0 {
		p.Untold = &table{Caption: "No run waits for them or fails with them.", Head: heads("When", "Webhook", "Event", "Why")}
		for _, u := range x.Untold {
			p.Untold.Rows = append(p.Untold.Rows, []cell{{Text: u.At.Format(indexTime)}, {Text: clean(u.Hook)}, {Text: clean(u.Event)}, {Text: clip(u.Why, 300)}})
		}
	}
	return p
}

// word is what a run is shown as: its verdict if it has come to one.
func (r *IndexRun) word() string {
	if r.State != "finished" {
		return orDash(clip(r.State, 30))
	}
	if v := known(r.Verdict); v != slo.NotEvaluated {
		return string(v)
	}
	return string(slo.Inconclusive)
}

func (r *IndexRun) sign() string {
	if s, ok := signs[slo.Verdict(r.word())]; ok {
		return s
	}
	return "–"
}

func newIndexRow(r *IndexRun) indexRow {
	word := r.word()
	row := indexRow{
		Report: r.Report, Scenario: orDash(clip(r.Scenario, 80)), When: r.Started.Format(indexTime), Schedule: orDash(clip(r.Schedule, 80)), Seed: fmt.Sprint(r.Seed),
		Class: word, Tag: word, Sign: r.sign(), Word: word, Regression: clip(r.Regression, 500),
		Failover: "–", Lost: "–", RPO: "–", Trials: "–",
	}
	if r.State != "finished" {
		row.Class = "quiet"
	}
	if r.Failover != nil && r.State == "finished" { // an outage that was cut short is none
		row.Failover = r.failoverText()
	}
	if r.RPO != nil && r.State == "finished" {
		row.RPO = secondsText(*r.RPO)
	}
	row.Lost = lostText(r)
	if r.Trials > 0 {
		row.Trials = fmt.Sprint(r.Trials)
		if r.Valid < r.Trials {
			row.Trials = fmt.Sprintf("%d, %d void", r.Trials, r.Trials-r.Valid)
		}
	}
	var what []string
	if r.Note != "" {
		what = append(what, upperFirst(clip(r.Note, 500)))
	}
	if r.Summary != "" {
		what = append(what, clip(r.Summary, 500))
	}
	for i := range what {
		what[i] = strings.TrimSuffix(what[i], ".") + "."
	}
	if r.Took > 0 && r.State != "skipped" {
		what = append(what, "Took "+r.Took.Round(time.Second).String()+".")
	}
	row.What = strings.Join(what, " ")
	return row
}

// failoverText is the failover, or what it took at least.
func (r *IndexRun) failoverText() string {
	if r.Censored {
		return "> " + secondsText(*r.Failover)
	}
	return secondsText(*r.Failover)
}

func lostText(r *IndexRun) string {
	if r.LostSessions == nil || r.LostWrites == nil {
		return "–"
	}
	var parts []string
	if n := *r.LostSessions; n > 0 {
		parts = append(parts, countOf(n, "session", "sessions"))
	}
	if n := *r.LostWrites; n > 0 {
		parts = append(parts, countOf(n, "write", "writes"))
	}
	if parts == nil && r.State != "finished" {
		return "–" // it was not looked for
	}
	if parts == nil {
		return "0"
	}
	return strings.Join(parts, ", ")
}

// tallyRuns says how runs came out.
func tallyRuns(runs []*IndexRun) string {
	n := map[string]int{}
	worse := 0
	for _, r := range runs {
		n[r.word()]++
		if r.Regression != "" {
			worse++
		}
	}
	text := countOf(len(runs), "run", "runs")
	var parts []string
	for _, w := range []string{"met", "missed", "inconclusive", "running", "interrupted", "failed", "skipped"} {
		if n[w] > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", grouped(float64(n[w])), w))
		}
	}
	if parts != nil {
		text += ": " + strings.Join(parts, ", ")
	}
	return text + "; " + countOf(worse, "regression", "regressions")
}

// stand says how the latest run of each scenario went that was not skipped.
func (p *indexPage) stand(runs []IndexRun) {
	seen := map[string]bool{}
	n := map[slo.Verdict]int{}
	for i := range runs {
		r := &runs[i]
		if seen[r.Scenario] || !r.ended() {
			continue
		}
		seen[r.Scenario] = true
		n[r.outcome()]++
		if r.wanting() {
			a := indexAttention{Report: r.Report, Run: clip(r.Scenario, 80) + ", " + r.Started.Format("Mon 2 Jan 15:04"), Text: r.word()}
			if n := inARow(runs[i:]); n > 1 {
				a.Text += fmt.Sprintf(" for the last %d runs", n)
			}
			if r.Regression != "" {
				a.Text += ", a regression (" + clip(r.Regression, 300) + ")"
			}
			if _, why, ok := strings.Cut(r.Summary, ": "); ok { // the verdict stands there already
				a.Text += " – " + clip(why, 300)
			}
			p.Attention = append(p.Attention, a)
		}
	}
	worst, all := slo.Met, len(seen)
	for v := range n {
		if rank(v) < rank(worst) {
			worst = v
		}
	}
	p.Class, p.Word = string(worst), string(worst)
	switch {
	case all == 0:
		p.Class, p.Word, p.Sentence = "", "–", "Nothing has run yet"
	case all == 1:
		p.Sentence = "The latest run of the only scenario is " + string(worst)
	case n[slo.Met] == all:
		p.Sentence = fmt.Sprintf("The latest run of each of %d scenarios is met", all)
	default:
		p.Sentence = fmt.Sprintf("The latest run is %s in %d of %s", worst, n[worst], countOf(all, "scenario", "scenarios"))
		if n := n[slo.Inconclusive]; n > 0 && worst != slo.Inconclusive {
			p.Sentence += fmt.Sprintf(", %s in %d", slo.Inconclusive, n)
		}
	}
}

// ended is whether the run went on and is over.
func (r *IndexRun) ended() bool { return r.State != "skipped" && r.State != "running" }

// outcome of a run that ended: one that came to no verdict is inconclusive.
func (r *IndexRun) outcome() slo.Verdict {
	if v := slo.Verdict(r.word()); v == slo.Met || v == slo.Missed {
		return v
	}
	return slo.Inconclusive
}

// wanting is whether somebody should look at the run.
func (r *IndexRun) wanting() bool { return r.outcome() != slo.Met || r.Regression != "" }

// inARow is how many runs of the first one's scenario and setup came out as it did.
func inARow(runs []IndexRun) int {
	n := 0
	for i := range runs {
		r := &runs[i]
		if r.Scenario != runs[0].Scenario || r.Setup != runs[0].Setup || !r.ended() {
			continue
		}
		if r.word() != runs[0].word() {
			break
		}
		n++
	}
	return n
}
