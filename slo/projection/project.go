package projection

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"gonum.org/v1/gonum/stat"

	"github.com/fivenines/fivenines/slo/stats"
)

// Options of a projection. The zero value of a field is its default.
type Options struct {
	Topology   Topology // ThreeRegion
	Years      int      // to simulate, 100,000
	Seed       uint64
	Workers    int     // that simulate, one for each processor; the result does not depend on it
	Objective  float64 // availability, 0.99999
	Required   float64 // probability of a year inside the budget, 0.9
	Confidence float64 // of intervals, 0.9
	// ExcludeMaintenance: what is planned is no downtime.
	ExcludeMaintenance bool
}

func (o Options) withDefaults() (Options, error) {
	if len(o.Topology.Regions) == 0 {
		o.Topology = ThreeRegion()
	}
	if o.Years == 0 {
		o.Years = 100_000
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	for _, f := range []struct {
		v     *float64
		usual float64
		name  string
	}{{&o.Objective, 0.99999, "objective"}, {&o.Required, 0.9, "required probability"}, {&o.Confidence, 0.9, "confidence"}} {
		if *f.v == 0 {
			*f.v = f.usual
		}
		if !(*f.v > 0 && *f.v < 1) {
			return o, fmt.Errorf("projection: %s: %v is not between 0 and 1", f.name, *f.v)
		}
	}
	if o.Years < 1000 || o.Years > 100_000_000 {
		return o, fmt.Errorf("projection: years: %d is not from 1,000 to 100 million", o.Years)
	}
	if o.Workers < 1 {
		return o, fmt.Errorf("projection: workers: %d is not positive", o.Workers)
	}
	return o, o.Topology.validate()
}

// Levels that every projection tells the probability of, beside its objective.
var levels = []float64{0.999, 0.9999, 0.99999, 0.999999}

// Blocks of years with parameters of their own. Fewer blocks make the ends of intervals
// rough, shorter blocks leave more chance in what one block says.
const (
	maxBlocks     = 500
	minBlockYears = 20
)

// Years of each block that the questions around the main one are asked of.
const (
	bareYears        = 30
	sensitivityYears = 4
	sideYears        = 16
	moreYears        = 40
)

// Project simulates years of the model's faults with the measured outages.
func Project(m *Model, measured Measured, o Options) (*Projection, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	var bad error
	m.validate(func(field, format string, args ...any) {
		if bad == nil {
			bad = fmt.Errorf("projection: model: %s: %s", field, fmt.Sprintf(format, args...))
		}
	})
	if bad != nil {
		return nil, bad
	}
	if err := measured.validate(); err != nil {
		return nil, err
	}
	p, err := newPlan(m, measured, &o)
	if err != nil {
		return nil, fmt.Errorf("projection: %w", err)
	}
	blocks := min(maxBlocks, o.Years/minBlockYears)
	e := engine{plan: p, seed: o.Seed, blocks: blocks, workers: o.Workers}
	years := (o.Years + blocks - 1) / blocks
	run := e.run(mode{trials: asSample, more: 1}, years, unchanged)
	bare := run
	if p.tailed() {
		bare = e.run(mode{trials: asSample, more: 1, noTail: true}, bareYears, unchanged)
	}

	out := &Projection{
		Schema: ResultSchema, Model: m.Name, Seed: o.Seed, Years: blocks * years, Confidence: o.Confidence,
		Objective: o.Objective, Required: o.Required, NotMeasured: p.notMeasured, Assumptions: p.assumptions,
		LeavesOut: m.LeavesOut, Topology: o.Topology,
	}
	out.summarize(run, bare, o.Confidence)
	out.share(p, run, &o)
	out.evidence(m, &o)
	out.Sensitivity = e.sensitivities(BudgetS(o.Objective), out.Level(o.Objective).Probability.Value)
	out.Width = e.widths(BudgetS(o.Objective), o.Confidence)
	out.judge(&e, &o)
	out.Notes = append(p.notes, p.ruleNotes()...)
	return out, nil
}

// engine runs blocks on several workers.
type engine struct {
	plan            *plan
	seed            uint64
	blocks, workers int
}

// run simulates the blocks; result i is of block i, whoever simulated it.
func (e *engine) run(how mode, years int, changed change) []tally {
	return e.runAll(how, years, []change{changed})[0]
}

// runAll simulates the same blocks under each change.
func (e *engine) runAll(how mode, years int, changes []change) [][]tally {
	out := make([][]tally, len(changes))
	for i := range out {
		out[i] = make([]tally, e.blocks)
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(e.workers, e.blocks) {
		wg.Go(func() {
			w := newWorld(e.plan)
			for {
				block := int(next.Add(1)) - 1
				if block >= e.blocks {
					return
				}
				params := e.plan.draw(e.seed, block, how)
				for i, c := range changes {
					out[i][block] = w.run(params, e.seed, block, years, c)
				}
			}
		})
	}
	wg.Wait()
	return out
}

// inside is the probability that a year's downtime stays within the budget.
func inside(run []tally, budget, confidence float64) Estimate {
	good, all := 0, 0
	var shares, noise []float64
	for _, t := range run {
		k := 0
		for _, d := range t.years {
			if d <= budget {
				k++
			}
		}
		n := len(t.years)
		good, all = good+k, all+n
		share := float64(k) / float64(n)
		shares = append(shares, share)
		noise = append(noise, share*(1-share)/float64(max(1, n-1)))
	}
	est := spread(shares, noise, confidence)
	// What so many years can tell at all.
	est.Lower = max(0, min(est.Lower, stats.ProportionLower(good, all, (1+confidence)/2)))
	est.Upper = min(1, max(est.Upper, stats.ProportionUpper(good, all, (1+confidence)/2)))
	return est
}

// spread is the mean of what blocks say and the interval that holds the true
// values of the given share of them. noise is the variance that each would have
// if all blocks had the same parameters: the blocks are drawn together until
// their variance is what is left without it (Louis, Journal of the American
// Statistical Association 79, 1984).
func spread(values, noise []float64, confidence float64) Estimate {
	mean, variance := stat.MeanVariance(values, nil)
	shrink := 0.0
	if variance > 0 {
		shrink = math.Sqrt(max(0, 1-stat.Mean(noise, nil)/variance))
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	end := func(p float64) float64 {
		return mean + shrink*(stat.Quantile(p, stat.LinInterp, sorted, nil)-mean)
	}
	return Estimate{Value: mean, Lower: end((1 - confidence) / 2), Upper: end((1 + confidence) / 2)}
}

// quantilesShown of a year's downtime.
var quantilesShown = []float64{0.1, 0.5, 0.9, 0.95, 0.99, 0.999}

// yearly is the mean downtime of a year.
func yearly(run []tally, confidence float64) Estimate {
	var means, noise []float64
	for _, t := range run {
		m, v := stat.MeanVariance(t.years, nil)
		means, noise = append(means, m), append(noise, v/float64(len(t.years)))
	}
	e := spread(means, noise, confidence)
	e.Lower = max(0, e.Lower)
	return e
}

// summarize takes from bare, years without the tail beyond the trials, the good end
// of each interval. The tail is there because the trials may not have shown
// the worst; that they have is possible too.
func (out *Projection) summarize(run, bare []tally, confidence float64) {
	var all []float64
	for _, t := range run {
		all = append(all, t.years...)
	}
	slices.Sort(all)
	out.Mean = yearly(run, confidence)
	out.Mean.Lower = min(out.Mean.Lower, yearly(bare, confidence).Lower)
	out.Availability = Estimate{Value: 1 - out.Mean.Value/Year, Lower: 1 - out.Mean.Upper/Year, Upper: 1 - out.Mean.Lower/Year}
	for _, q := range quantilesShown {
		out.Quantiles = append(out.Quantiles, Quantile{q, stat.Quantile(q, stat.Empirical, all, nil)})
	}
	ls := slices.Clone(levels)
	if !slices.Contains(ls, out.Objective) {
		ls = append(ls, out.Objective)
		slices.Sort(ls)
	}
	for _, a := range ls {
		p := inside(run, BudgetS(a), confidence)
		p.Upper = max(p.Upper, inside(bare, BudgetS(a), confidence).Upper)
		out.Levels = append(out.Levels, Level{Availability: a, BudgetS: BudgetS(a), Probability: p})
	}
	out.Histogram, out.CDF = histogram(all), cdf(all)
}

// binsPerDecade of the histogram.
const binsPerDecade = 10

// histogram of sorted downtimes.
func histogram(all []float64) []Bin {
	n := float64(len(all))
	zero, _ := slices.BinarySearch(all, math.SmallestNonzeroFloat64)
	var out []Bin
	if zero > 0 {
		out = append(out, Bin{Share: float64(zero) / n})
	}
	if zero == len(all) {
		return out
	}
	edge := func(k int) float64 { return math.Pow(10, float64(k)/binsPerDecade) }
	// Below a millisecond a year nobody looks; those years fall into the first bin.
	first := max(-3*binsPerDecade, int(math.Floor(math.Log10(all[zero])*binsPerDecade)))
	for i, k := zero, first; i < len(all); k++ {
		j, _ := slices.BinarySearch(all, edge(k+1))
		j = max(i, j)
		out = append(out, Bin{From: edge(k), To: edge(k + 1), Share: float64(j-i) / n})
		i = j
	}
	return out
}

// cdf of sorted downtimes, at every percent and finer at the upper end.
func cdf(all []float64) []Point {
	var out []Point
	add := func(share float64) {
		out = append(out, Point{Seconds: stat.Quantile(share, stat.Empirical, all, nil), Share: share})
	}
	for i := range 100 {
		add(float64(i) / 100)
	}
	for _, s := range []float64{0.995, 0.998, 0.999, 0.9995, 0.9999, 1} {
		add(s)
	}
	return out
}

func (out *Projection) share(p *plan, run []tally, o *Options) {
	years := float64(out.Years)
	central := p.draw(o.Seed, 0, mode{trials: asCentral, more: 1})
	total := 0.0
	for i := range len(p.sources) + 1 {
		c := ClassShare{Name: "overlaps"}
		if i < len(p.sources) {
			s := &p.sources[i]
			c = ClassShare{Name: s.name, Class: p.model.Classes[s.class].Name, Basis: s.basis, Scenario: s.scenario, Trials: s.trials, Censored: s.censored}
			if s.down >= 0 {
				c.EventS = central.samplers[s.down].mean()
			}
		}
		for _, t := range run {
			c.MeanS += t.rows[i] / years
			c.UndoS += t.undo[i] / years
			c.Events += float64(t.events[i]) / years
		}
		if i == len(p.sources) && c.Events > 0 {
			c.EventS = c.MeanS / c.Events
		}
		total += c.MeanS
		c.OfBudget = c.MeanS / BudgetS(o.Objective)
		out.Classes = append(out.Classes, c)
	}
	for i := range out.Classes {
		if total > 0 {
			out.Classes[i].Share = out.Classes[i].MeanS / total
		}
	}
	slices.SortStableFunc(out.Classes, func(a, b ClassShare) int {
		switch {
		case a.MeanS > b.MeanS:
			return -1
		case a.MeanS < b.MeanS:
			return 1
		}
		return 0
	})
}

func (out *Projection) evidence(m *Model, o *Options) {
	for i := range m.Classes {
		c := &m.Classes[i]
		k := c.rate()
		out.Rates = append(out.Rates, ClassEvidence{
			Name: c.Name, Description: c.Description, Maintenance: c.maintenance(), Parts: c.Parts, Count: o.Topology.parts(c.Parts),
			Rate: k.median, RateLow: k.low, RateHigh: k.high, Repair: c.Repair.String(), Sources: c.Sources,
		})
	}
}

// sensitivities asks each class three questions of the same years. The main run has
// more years: main is what it says, to which what a change adds is added.
func (e *engine) sensitivities(budget, main float64) []Sensitivity {
	changes := []change{unchanged}
	var answers []struct{ p, saved *float64 } // where the one of each change goes
	classes := e.plan.simulated()
	out := make([]Sensitivity, len(classes))
	for i, class := range classes {
		c, s := &e.plan.model.Classes[class], &out[i]
		*s = Sensitivity{Class: c.Name, Base: main, HalfRepair: main}
		ask := func(c change, p, saved *float64) {
			changes = append(changes, c)
			answers = append(answers, struct{ p, saved *float64 }{p, saved})
		}
		ask(change{class: class, halfDown: true}, &s.HalfDuration, &s.SavedDurationS)
		ask(change{class: class, halfRate: true}, &s.HalfRate, &s.SavedRateS)
		if c.takes() != Nothing { // else nothing waits for the repair
			ask(change{class: class, halfRepair: true}, &s.HalfRepair, &s.SavedRepairS)
		}
	}
	var base, mean float64
	for i, run := range e.runAll(mode{trials: asSample, more: 1}, sensitivityYears, changes) {
		var p, m, n float64
		for _, t := range run {
			for _, d := range t.years {
				n++
				m += d
				if d <= budget {
					p++
				}
			}
		}
		p, m = p/n, m/n
		if i == 0 {
			base, mean = p, m
			continue
		}
		*answers[i-1].p, *answers[i-1].saved = min(1, max(0, main+p-base)), mean-m
	}
	slices.SortStableFunc(out, func(a, b Sensitivity) int {
		_, pa, sa := a.Best()
		_, pb, sb := b.Best()
		switch {
		case pa > pb || pa == pb && sa > sb:
			return -1
		case pa < pb || sa < sb:
			return 1
		}
		return 0
	})
	return out
}

// widths of the interval with one kind of uncertainty alone.
func (e *engine) widths(budget, confidence float64) Width {
	of := func(how mode) float64 {
		in := e.probability(how, sideYears, budget, confidence)
		return in.Upper - in.Lower
	}
	return Width{Trials: of(mode{fixedRates: true, trials: asSample, more: 1}), Rates: of(mode{trials: asCentral, more: 1})}
}

// probability is inside of so many years a block, with the good end of the
// interval from years without a tail as [Projection.summarize] has it.
func (e *engine) probability(how mode, years int, budget, confidence float64) Estimate {
	in := inside(e.run(how, years, unchanged), budget, confidence)
	if how.trials == asSample && e.plan.tailed() {
		how.noTail = true
		in.Upper = max(in.Upper, inside(e.run(how, years, unchanged), budget, confidence).Upper)
	}
	return in
}
