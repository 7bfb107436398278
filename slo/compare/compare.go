package compare

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/fivenines/fivenines/slo"
	"github.com/fivenines/fivenines/slo/stats"
)

// Schema is what Comparison.Schema says.
const Schema = "fivenines-compare/v1"

// Change of a measure from base to new.
type Change string

const (
	Better     Change = "better"
	Same       Change = "same"
	Worse      Change = "worse"
	CannotTell Change = "cannot tell"
)

// Options of a comparison.
type Options struct {
	// Alpha is the probability of saying worse or better of anything at all
	// although nothing changed. 0: 5 %.
	Alpha float64
	// Margin is the share of the base's median by which a measure may differ
	// and still be the same. 0: 10 %.
	Margin float64
	// Measures to compare, by name; nil is all that both runs have.
	Measures []string
	// Anyway compares runs of different scenarios, targets or loads.
	Anyway bool
}

// Comparison of two runs. It is JSON by its tags.
type Comparison struct {
	Schema   string    `json:"schema"`
	Scenario string    `json:"scenario"`
	Base     Side      `json:"base"`
	New      Side      `json:"new"`
	Alpha    float64   `json:"alpha"`
	Margin   float64   `json:"margin"` // share of the base's median
	Change   Change    `json:"change"` // worse if one measure is, else better if one is, else cannot tell if one is, else same
	Summary  string    `json:"summary"`
	Notes    []string  `json:"notes,omitempty"` // what differs between the runs beside the system
	Measures []Measure `json:"measures"`
}

// Side is one of the two runs.
type Side struct {
	Path    string      `json:"path,omitempty"`
	Version string      `json:"version"`
	Machine string      `json:"machine"`
	Seed    int64       `json:"seed"`
	Trials  int         `json:"trials"` // valid ones
	Verdict slo.Verdict `json:"verdict"`
}

// Measure is one row of the comparison, in the unit given.
type Measure struct {
	Name   string   `json:"name"`
	Unit   string   `json:"unit"` // s, ms, share, count, verdict
	Base   *float64 `json:"base"` // median over trials; of a count the sum; null if it has no value
	New    *float64 `json:"new"`
	BaseN  int      `json:"base_n"` // trials
	NewN   int      `json:"new_n"`
	Shift  *float64 `json:"shift"` // new less base (Hodges and Lehmann); of a count the mean a trial
	Lower  *float64 `json:"lower"` // of the shift; null where the trials are too few
	Upper  *float64 `json:"upper"`
	P      *float64 `json:"p"` // Mann-Whitney, two-sided, not corrected
	Change Change   `json:"change"`
	Why    string   `json:"why"`
}

// ErrNothing says that the runs have no measure in common.
var ErrNothing = errors.New("the runs have no measure in common")

// Results compares two runs. It refuses runs that are not of the same scenario,
// target and load, unless it is told to compare them anyway.
func Results(base, next *slo.Result, o Options) (*Comparison, error) {
	if o.Alpha == 0 {
		o.Alpha = 0.05
	}
	if o.Margin == 0 {
		o.Margin = 0.10
	}
	if !(o.Alpha > 0 && o.Alpha < 0.5) {
		return nil, fmt.Errorf("an error rate of %v is not between 0 and a half", o.Alpha)
	}
	if !(o.Margin > 0 && o.Margin < 10) {
		return nil, fmt.Errorf("a margin of %v is not between 0 and 10 times the base", o.Margin)
	}
	if err := o.known(); err != nil {
		return nil, err
	}
	c := &Comparison{
		Schema: Schema, Scenario: next.Scenario, Alpha: o.Alpha, Margin: o.Margin,
		Base: side(base), New: side(next), Measures: []Measure{},
	}
	differ := differences(base, next)
	if len(differ) > 0 && !o.Anyway {
		return nil, fmt.Errorf("the runs can't be compared: %s", strings.Join(differ, "; "))
	}
	c.Notes = append(differ, notes(base, next)...)
	var tested []*Measure
	for _, k := range kinds {
		if o.Measures != nil && !slices.Contains(o.Measures, k.name) {
			continue
		}
		b, n := k.values(base), k.values(next)
		if len(b) == 0 && len(n) == 0 {
			continue
		}
		c.Measures = append(c.Measures, compare(k, b, n, o))
	}
	for i := range c.Measures {
		if m := &c.Measures[i]; m.P != nil && m.Change == "" {
			tested = append(tested, m)
		}
	}
	decide(tested, o)
	if o.Measures == nil {
		c.Measures = append(c.Measures, verdicts(base, next)...)
	}
	if len(c.Measures) == 0 {
		return nil, ErrNothing
	}
	c.conclude()
	return c, nil
}

func (o *Options) known() error {
	for _, name := range o.Measures {
		if !slices.ContainsFunc(kinds, func(k kind) bool { return k.name == name }) {
			return fmt.Errorf("no measure is called %q; there are %s", name, strings.Join(Names(), ", "))
		}
	}
	return nil
}

func side(r *slo.Result) Side {
	return Side{Version: r.Version, Machine: r.Machine, Seed: r.Seed, Trials: len(validTrials(r)), Verdict: r.Verdict}
}

// differences make two runs measure different things.
func differences(a, b *slo.Result) []string {
	var out []string
	for _, d := range []struct {
		what       string
		one, other any
	}{
		{"scenario", a.Scenario, b.Scenario}, {"target", a.Target, b.Target}, {"backend", a.Backend, b.Backend}, {"mutant", a.Mutant, b.Mutant},
		{"target rate", a.Load.TargetRPS, b.Load.TargetRPS}, {"sessions", a.Load.Sessions, b.Load.Sessions},
	} {
		// A mutant is a broken version of the same system: that is what is compared.
		if d.one != d.other && d.what != "mutant" {
			out = append(out, fmt.Sprintf("%s: %v and %v", d.what, d.one, d.other))
		}
	}
	return out
}

// notes are differences that may explain a change.
func notes(a, b *slo.Result) []string {
	var out []string
	if a.Machine != b.Machine {
		out = append(out, fmt.Sprintf("the machines differ (%s; %s): durations may have changed with them", a.Machine, b.Machine))
	}
	if a.Mutant != b.Mutant {
		out = append(out, fmt.Sprintf("mutant: %q and %q", a.Mutant, b.Mutant))
	}
	return out
}

// compare fills in what the values say. Change stays open where the tests of all
// measures together decide it.
func compare(k kind, base, next []slo.Trialed, o Options) Measure {
	m := Measure{Name: k.name, Unit: k.unit, BaseN: len(base), NewN: len(next)}
	if k.unit == unitCount {
		counted(&m, base, next, o)
		return m
	}
	b, bOpen := numbers(base)
	n, nOpen := numbers(next)
	m.Base, m.New = median(b), median(n)
	switch {
	case len(b) == 0:
		m.Change, m.Why = CannotTell, "the base has no value"
		return m
	case len(n) == 0:
		m.Change, m.Why = CannotTell, "the new run has no value"
		return m
	case !isLongest(bOpen, b, n) || !isLongest(nOpen, b, n):
		m.Change, m.Why = CannotTell, "a duration was not seen to end, and others were longer"
		return m
	}
	_, p := stats.MannWhitney(b, n)
	m.P = &p
	if shift, in, ok := stats.HodgesLehmann(b, n, 1-o.Alpha); !math.IsNaN(shift) && !math.IsInf(shift, 0) {
		m.Shift = &shift
		if ok && !math.IsInf(in.Lower, 0) && !math.IsInf(in.Upper, 0) {
			m.Lower, m.Upper = &in.Lower, &in.Upper
		}
	}
	return m
}

// counted compares what must never happen.
func counted(m *Measure, base, next []slo.Trialed, o Options) {
	b, _ := numbers(base)
	n, _ := numbers(next)
	bs, ns := sum(b), sum(n)
	m.Base, m.New = &bs, &ns
	switch {
	case len(b) == 0 || len(n) == 0:
		m.Change, m.Why = CannotTell, "one of the runs has no value"
	case bs == 0 && ns == 0:
		m.Change, m.Why = Same, "none in either"
	case bs == 0:
		m.Change, m.Why = Worse, "there were none"
	default:
		_, p := stats.MannWhitney(b, n)
		shift := ns/float64(len(n)) - bs/float64(len(b))
		m.P, m.Shift = &p, &shift
		if ns == 0 && p < o.Alpha {
			m.Change, m.Why = Better, "there are none any more"
		} else if ns == 0 {
			m.Change, m.Why = CannotTell, fmt.Sprintf("there were some in the base, and %d trials without one may be luck", len(n))
		}
	}
}

// decide says of each tested measure whether it changed, by Holm's procedure:
// the smallest p must be below alpha over the number of tests, and so on.
func decide(ms []*Measure, o Options) {
	byP := slices.Clone(ms)
	slices.SortStableFunc(byP, func(a, b *Measure) int { return cmp.Compare(*a.P, *b.P) })
	rejected := true
	for i, m := range byP {
		level := o.Alpha / float64(len(byP)-i)
		rejected = rejected && *m.P < level
		m.judge(rejected, level, o)
	}
}

func (m *Measure) judge(significant bool, level float64, o Options) {
	margin := 0.0
	if m.Base != nil && m.Unit != unitCount {
		margin = o.Margin * math.Abs(*m.Base)
	}
	within := m.Lower != nil && *m.Lower >= -margin && *m.Upper <= margin
	shift := 0.0
	switch {
	case m.Shift != nil:
		shift = *m.Shift
	case m.Base != nil && m.New != nil:
		shift = *m.New - *m.Base // infinite, where durations were not seen to end
	case m.New == nil:
		shift = math.Inf(1)
	default:
		shift = math.Inf(-1)
	}
	if higherIsBetter(m.Name) {
		shift = -shift
	}
	switch {
	case within:
		m.Change, m.Why = Same, fmt.Sprintf("the difference is within %s %% of the base", trim(100*o.Margin))
	case significant && math.Abs(shift) > margin && shift > 0:
		m.Change, m.Why = Worse, fmt.Sprintf("p = %.2g", *m.P)
	case significant && math.Abs(shift) > margin:
		m.Change, m.Why = Better, fmt.Sprintf("p = %.2g", *m.P)
	default:
		m.Change, m.Why = CannotTell, m.doubt(significant, level)
	}
}

// doubt says why nothing can be told, and what would help.
func (m *Measure) doubt(significant bool, level float64) string {
	if significant {
		return "it differs, by less than the margin as far as can be told"
	}
	if need := trialsToTell(level); min(m.BaseN, m.NewN) < need {
		return fmt.Sprintf("%d and %d trials are too few: %d on each side are needed to tell any difference", m.BaseN, m.NewN, need)
	}
	return fmt.Sprintf("p = %.2g: the trials are too few, or vary too much, for a difference of this size", *m.P)
}

// trialsToTell is the least number of trials on each side with which a complete
// separation is significant: 2/C(2n,n) < level.
func trialsToTell(level float64) int {
	c := 1.0
	for n := 1; ; n++ {
		c *= float64(2*n) * float64(2*n-1) / float64(n*n)
		if 2/c < level || n > 100 {
			return n
		}
	}
}

// verdicts compares objectives that both runs declare.
func verdicts(base, next *slo.Result) []Measure {
	var out []Measure
	for _, n := range next.Objectives {
		i := slices.IndexFunc(base.Objectives, func(b slo.Objective) bool { return b.Name == n.Name })
		if i < 0 {
			continue
		}
		b := base.Objectives[i]
		m := Measure{Name: n.Name + " objective", Unit: "verdict", BaseN: len(validTrials(base)), NewN: len(validTrials(next)),
			Why: fmt.Sprintf("%s (%s), now %s (%s)", b.Verdict, b.Target, n.Verdict, n.Target)}
		switch {
		case b.Verdict == slo.NotEvaluated || n.Verdict == slo.NotEvaluated || b.Verdict == n.Verdict:
			continue
		case n.Verdict == slo.Missed:
			m.Change = Worse
		case b.Verdict == slo.Missed && n.Verdict == slo.Met:
			m.Change = Better
		default:
			m.Change = CannotTell
		}
		out = append(out, m)
	}
	return out
}

func (c *Comparison) conclude() {
	by := map[Change][]string{}
	for _, m := range c.Measures {
		by[m.Change] = append(by[m.Change], m.Name)
	}
	switch {
	case len(by[Worse]) > 0:
		c.Change, c.Summary = Worse, "Worse: "+strings.Join(by[Worse], ", ")
	case len(by[Better]) > 0:
		c.Change, c.Summary = Better, "Better: "+strings.Join(by[Better], ", ")
	case len(by[CannotTell]) > 0:
		c.Change, c.Summary = CannotTell, "No change shown"
	default:
		c.Change, c.Summary = Same, "The same"
	}
	if n := len(by[CannotTell]); n > 0 {
		c.Summary += fmt.Sprintf("; can't be told of %s", strings.Join(by[CannotTell], ", "))
	}
	c.Summary += fmt.Sprintf(" (%d and %d trials).", c.Base.Trials, c.New.Trials)
}
