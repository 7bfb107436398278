package reports

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"

	"github.com/fivenines/fivenines/slo"
	"github.com/fivenines/fivenines/slo/projection"
)

//go:embed report.html.tmpl
var pageText string

//go:embed report.css
var pageStyle string

var pageTemplate = template.Must(template.New("report").Parse(pageText))

// WriteHTML writes the report as one page that needs nothing else: no network, and
// no script but a few lines of its own, without which its tables say all the same.
// Whatever the length of the run, it stays below 5 MiB.
func WriteHTML(w io.Writer, r *slo.Result) error { return WriteHTMLProjected(w, r, nil) }

// WriteHTMLProjected is WriteHTML with the projection to a year that the run is a part of.
func WriteHTMLProjected(w io.Writer, r *slo.Result, of *projection.Projection) error {
	p, err := newPage(r)
	if err == nil && of != nil {
		p.Projection, err = ProjectionSection(of)
	}
	if err != nil {
		return fmt.Errorf("report of %s: %w", clean(r.Scenario), err)
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, p); err != nil {
		return fmt.Errorf("report of %s: %w", clean(r.Scenario), err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

// page is all that the template shows, as text.
type page struct {
	shell
	Scenario, Description, Target, Backend string
	Seed, Trials, Started                  string
	Class, VerdictWord, Sentence, Mutant   string
	Inconclusive                           bool
	Problems                               []string
	Nav                                    []navEntry
	Tally                                  string
	Intervals                              string
	Declared                               []pageRow
	Rest                                   []string
	Timelines                              []timelinePart
	Regional                               []timelinePart
	Distribution                           *figure
	TrialsFigure                           *figure
	Outages                                []figure
	Phases                                 *phasesPart
	Recovery                               []table
	Statistics                             *table
	Ends                                   *timelinePart
	Fates, Consistency                     *table
	Budget                                 *budgetPart
	Outlasted                              []string
	Projection                             template.HTML
	Evidence                               []evidence
	Examples                               []pageExample
	Regions, Shards, Spread                *table
	MoreExamples                           string
	Load                                   table
	Events                                 *table
	Command                                string
	Environment                            table
}

type navEntry struct{ ID, Text string }

type pageRow struct {
	row
	Class, Sign string
}

type timelinePart struct {
	Figure figure
	Table  table
}

type phasesPart struct {
	Figure     *figure
	Table      *table
	Plan       *table
	Spent      *figure // by fault
	SpentTable *table
}

var signs = map[slo.Verdict]string{slo.Met: "✓", slo.Missed: "✗", slo.Inconclusive: "?", slo.NotEvaluated: "–"}

func newPage(r *slo.Result) (*page, error) {
	v := overall(r)
	p := &page{
		shell: newShell(), Scenario: orDash(clean(r.Scenario)), Description: clean(r.Description), Target: orDash(clean(r.Target)),
		Backend: orDash(clean(r.Backend)), Seed: fmt.Sprint(r.Seed), Trials: countOf(len(r.Trials), "trial", "trials"),
		Class: string(v), VerdictWord: string(v), Sentence: sentence(r), Mutant: mutantText(r), Inconclusive: v == slo.Inconclusive,
		Command: clean(r.Command),
	}
	if !r.Started.IsZero() {
		p.Started = r.Started.UTC().Format("2 January 2006, 15:04 UTC")
	}
	for i, t := range r.Problems {
		if i == maxProblems {
			p.Problems = append(p.Problems, fmt.Sprintf("and %d more", len(r.Problems)-i))
			break
		}
		p.Problems = append(p.Problems, clean(t))
	}
	all := rows(r)
	p.Tally, p.Intervals = tally(all), intervalsOf(r)
	declared, rest := undeclared(all)
	p.Rest = names(rest)
	for _, o := range declared {
		p.Declared = append(p.Declared, pageRow{o, string(o.Verdict), signs[o.Verdict]})
	}
	if err := p.addPictures(r); err != nil {
		return nil, err
	}
	p.Recovery = recoveryTables(r)
	if r.Statistics != nil {
		p.Statistics = statisticsTable(r.Statistics)
	}
	if len(r.Trials) > 0 {
		p.Fates, p.Consistency = fatesTable(r), consistencyTable(r)
	}
	if f, t, ok := endsFigure(r); ok {
		p.Ends = &timelinePart{f, t}
	}
	p.Budget, p.Outlasted = budgetOf(r), outlasted(r)
	p.addExamples(r, declared)
	p.Regions, p.Shards, p.Spread = regionsTable(r), shardsTable(r), spreadTable(r)
	p.Load = loadTable(r)
	p.Events = eventsTable(r)
	p.Environment = table{Caption: "This run"}
	for _, f := range facts(r) {
		p.Environment.Rows = append(p.Environment.Rows, []cell{{Text: f[0]}, {Text: f[1]}})
	}
	p.Environment.Rows = append(p.Environment.Rows, []cell{{Text: "result schema"}, {Text: clean(r.Schema)}})
	p.addNav()
	return p, nil
}

func (p *page) addPictures(r *slo.Result) error {
	for _, v := range views(r) {
		f, cols, err := timelineFigure(r, v)
		if err != nil {
			return err
		}
		p.Timelines = append(p.Timelines, timelinePart{f, timelineTable(cols, v)})
		if v.fromFault || len(r.Timeline) > 0 && p.Regional == nil {
			f, tab, ok, err := regionsFigure(r, v)
			if err != nil {
				return err
			}
			if ok {
				p.Regional = append(p.Regional, timelinePart{f, tab})
			}
		}
	}
	d, ok, err := distributionFigure(r)
	if err != nil {
		return err
	}
	if ok {
		p.Distribution = &d
	}
	f, ok, err := trialsFigure(r)
	if err != nil {
		return err
	}
	if ok {
		p.TrialsFigure = &f
	}
	w := worst(r)
	if w < 0 {
		return nil
	}
	t := &r.Trials[w]
	of := ""
	if len(r.Trials) > 1 {
		of = fmt.Sprintf(", trial %d", w+1)
	}
	if p.Outages, err = outageFigures(t, of); err != nil {
		return err
	}
	ms := milestones(t)
	spent, against := spentPhases(r), planTable(r, t, of)
	if len(ms) == 0 && len(spent) == 0 && against == nil {
		return nil
	}
	p.Phases = &phasesPart{Plan: against}
	if len(spent) > 0 {
		f, tab := spentFigure(spent), spentTable(spent)
		p.Phases.Spent, p.Phases.SpentTable = &f, &tab
	}
	if len(ms) > 0 {
		tab := phasesTable(r, ms, of)
		p.Phases.Table = &tab
	}
	if len(ms) > 1 {
		f, err := phasesFigure(ms)
		if err != nil {
			return err
		}
		p.Phases.Figure = &f
	}
	return nil
}

// maxOutages bounds the pictures of a trial with many faults.
const maxOutages = 6

// outageFigures are the outages of a trial that hit somebody, by fault.
func outageFigures(t *slo.Trial, of string) ([]figure, error) {
	var out []figure
	add := func(title, axis string, o *slo.Outage, change float64) error {
		if o == nil || len(o.Partitions) == 0 || !finite(change) || len(out) == maxOutages {
			return nil
		}
		ok := false
		for _, p := range o.Partitions {
			ok = ok || finite(p.Start) && finite(p.End) && p.End >= p.Start
		}
		if !ok {
			return nil
		}
		f, err := outageFigure(fmt.Sprintf("outage-%d", len(out)+1), title+of, axis, o, change)
		if err != nil {
			return err
		}
		out = append(out, f)
		return nil
	}
	for i := range t.Faults {
		f := &t.Faults[i]
		if err := add("Outage by shard after "+faultText(f), sinceAsked, f.Failover, f.AskedS); err != nil {
			return nil, err
		}
		change, axis := f.AskedS, sinceAsked
		if f.UndoneS != nil && finite(f.UndoneS.Value) {
			change, axis = f.UndoneS.Value, sinceUndone
		}
		if err := add("Outage by shard after undoing "+faultText(f), axis, f.Undo, change); err != nil {
			return nil, err
		}
	}
	if len(out) == 0 {
		asked := 0.0
		if len(t.Faults) > 0 {
			asked = t.Faults[0].AskedS
		}
		if err := add("Outage by shard", sinceAsked, t.Measures.Failover, asked); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// intervalsOf says what the intervals of the objectives are.
func intervalsOf(r *slo.Result) string {
	if r.Statistics != nil {
		return fmt.Sprintf("Intervals of durations are how exactly the worst of %s was seen; what the trials say of all possible ones is below, for %s %% confidence.", countOf(len(r.Trials), "trial", "trials"), short3(100*r.Statistics.Confidence))
	}
	return "Intervals are how exactly a duration was seen; one trial says nothing of the next one."
}

// outlasted is what this run has to say of a year: outages by fault, and of how many trials.
func outlasted(r *slo.Result) []string {
	type class struct {
		name   string
		n      int
		most   float64
		censor bool
	}
	var all []class
	for i := range r.Trials {
		for k := range r.Trials[i].Faults {
			f := &r.Trials[i].Faults[k]
			name := clean(f.Kind)
			at := slices.IndexFunc(all, func(c class) bool { return c.name == name })
			if at < 0 {
				at = len(all)
				all = append(all, class{name: name})
			}
			all[at].n++
			if o := f.Failover; o != nil && finite(o.Value) && o.Value >= all[at].most {
				all[at].most, all[at].censor = o.Value, o.Censored
			}
		}
	}
	var out []string
	for i, c := range all {
		if i == maxListed {
			break
		}
		longest := "without an outage"
		if c.most > 0 {
			longest = "the longest outage " + secondsText(c.most)
			if c.censor {
				longest = "the longest outage at least " + secondsText(c.most)
			}
		}
		out = append(out, fmt.Sprintf("%s: %s, %s", orDash(c.name), countOf(c.n, "time", "times"), longest))
	}
	return out
}

func (p *page) addNav() {
	add := func(yes bool, id, text string) {
		if yes {
			p.Nav = append(p.Nav, navEntry{id, text})
		}
	}
	add(true, "objectives", "Objectives")
	add(len(p.Evidence) > 0, "evidence-part", "Evidence")
	add(p.Statistics != nil, "statistics-part", "Trials")
	add(len(p.Timelines) > 0, "timeline-part", "Timeline")
	add(len(p.Outages) > 0 || p.TrialsFigure != nil || p.Distribution != nil, "outage-part", "Outage")
	add(p.Phases != nil, "phases-part", "Phases")
	add(len(p.Recovery) > 0, "recovery-part", "Recovery")
	add(p.Regions != nil || p.Shards != nil, "places-part", "Regions")
	add(p.Fates != nil, "sessions-part", "Sessions")
	add(p.Consistency != nil, "consistency-part", "Consistency")
	add(p.Budget != nil, "budget-part", "Error budget")
	add(true, "year-part", "A year")
	add(true, "load-part", "Load")
	add(p.Events != nil, "events-part", "Events")
	add(true, "again-part", "Run it again")
}
