package slo

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
)

// Schema is what Result.Schema says.
const Schema = "fivenines/v1"

// Analyze judges a recorded run: history in, verdict out.
func Analyze(run *history.Run, cfg Config) (*Result, error) {
	return analyze(recordOfRun(run), cfg)
}

func recordOfRun(run *history.Run) *record {
	return &record{manifest: run.Manifest, events: run.Events, truncated: run.Truncated, ops: run.Ops}
}

// record is a run as the analysis needs it.
type record struct {
	manifest  history.Manifest
	events    []history.Event
	truncated bool
	ops       func(trial int, fn func(*history.Op) error) error
}

func (r *record) sortEvents() {
	r.events = slices.Clone(r.events)
	slices.SortStableFunc(r.events, func(x, y history.Event) int { return cmp.Compare(x.At, y.At) })
}

// analysis is the state of judging one run.
type analysis struct {
	rec      *record
	cfg      Config
	result   *Result
	totals   totals
	problems []problem
	trials   []*trial
	worst    map[string]float64 // what the examples show that are kept of one trial only
}

func analyze(rec *record, cfg Config) (*Result, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	rec.sortEvents()
	a := newAnalysis(rec, cfg)
	a.checkWhole()
	for n := 1; n <= a.startedTrials(); n++ {
		if err := a.trial(n); err != nil {
			return nil, fmt.Errorf("trial %d: %w", n, err)
		}
	}
	a.totals.fill(&a.result.Load, a.trials)
	a.result.Marks = marks(rec.events)
	a.judge()
	a.result.Summary = a.summary()
	return a.result, nil
}

func newAnalysis(rec *record, cfg Config) *analysis {
	m := &rec.manifest
	return &analysis{rec: rec, cfg: cfg.withDefaults(m.Deadline), result: &Result{
		Schema:   Schema,
		Scenario: m.Scenario,
		Seed:     m.Seed,
		Backend:  m.Backend,
		Target:   m.Target,
		Mutant:   m.Mutant,
		Started:  m.Started,
		Machine:  m.Machine,
		Version:  m.Version,
		Command:  m.Command,
		Load:     Load{TargetRPS: m.TargetRPS, Sessions: m.Sessions},
		Trials:   []Trial{},
	}}
}

// startedTrials is how many trials there is something of.
func (a *analysis) startedTrials() int {
	n := 0
	for i := range a.rec.events {
		n = max(n, a.rec.events[i].Trial)
	}
	return n
}

// trial judges one trial. Its operations are held in memory for the time of it.
func (a *analysis) trial(n int) error {
	t := &trial{n: n, cfg: &a.cfg, manifest: &a.rec.manifest}
	for _, e := range a.rec.events {
		if e.Trial == n {
			t.events = append(t.events, e)
		}
	}
	if err := a.rec.ops(n, t.ops.add); err != nil {
		return fmt.Errorf("read the operations: %w", err)
	}
	if len(t.events) == 0 && t.ops.n == 0 {
		return nil
	}
	t.readEvents()
	t.findLoads()

	t.measureLoad(&a.totals)
	t.measureAvailability()
	t.breakDown()
	t.measureFailover()
	t.measureRestart()
	t.measureDetection()
	t.measureRecovery()
	t.checkSessions()
	t.checkContested()
	t.measureMinority()
	t.measureRPO()
	t.checkValid()
	t.checkEvents(a.rec.events)

	a.result.Timeline = append(a.result.Timeline, t.timeline()...)
	a.addExamples(t)
	a.result.Trials = append(a.result.Trials, t.result(a.rec.manifest.Started))
	t.ops = store{} // a later trial needs the memory
	t.groups = groups{}
	a.trials = append(a.trials, t)
	return nil
}

// trial is the state of judging one trial.
type trial struct {
	n        int
	cfg      *Config
	manifest *history.Manifest
	events   []history.Event
	ops      store
	groups   groups

	loads    []span // load phases
	faults   []*fault
	instants []instant
	phases   []readBack
	cpu      float64 // of the generator in the main load, seconds
	lag      *float64
	steady   *steadyEvent // before the fault
	void     string       // why no fault was injected

	m         Measures
	outages   outages
	safety    findings
	problems  []problem
	load      before
	service   availability
	contested contested
	places    breakdown
}

// span is from and to, since the run's epoch.
type span struct{ from, to time.Duration }

func (s span) has(t time.Duration) bool { return t >= s.from && t <= s.to }
func (s span) len() time.Duration       { return s.to - s.from }

// loadOf is the load phase that an operation belongs to, or -1.
func (t *trial) loadOf(o *history.Op) int {
	for i, s := range t.loads {
		if s.has(o.Intended) {
			return i
		}
	}
	return -1
}

func (t *trial) bad(o *history.Op) bool {
	return o.Outcome != history.OK || o.Latency() > t.cfg.Deadline
}

// firstAsked is the instant of the first fault.
func (t *trial) firstAsked() (time.Duration, bool) {
	if len(t.faults) == 0 {
		return 0, false
	}
	return t.faults[0].asked, true
}

// findLoads sets the end of each load phase to the last operation intended in
// it: between that and load-stopped, operations were only waited for.
func (t *trial) findLoads() {
	if len(t.loads) == 0 {
		// A record without phases: everything but the read-back is load.
		s := span{1<<63 - 1, -1}
		t.ops.each(func(o *history.Op) {
			if o.Class != history.Audit {
				s = span{min(s.from, o.Intended), max(s.to, o.Intended)}
			}
		})
		if s.to >= 0 {
			t.loads = []span{s}
		}
		return
	}
	ends := make([]time.Duration, len(t.loads))
	for i := range ends {
		ends[i] = -1
	}
	t.ops.each(func(o *history.Op) {
		if o.Class == history.Audit {
			return
		}
		if i := t.loadOf(o); i >= 0 {
			ends[i] = max(ends[i], o.Intended)
		}
	})
	for i := range t.loads {
		if ends[i] >= 0 {
			t.loads[i].to = ends[i]
		} else {
			t.loads[i].to = t.loads[i].from
		}
	}
}

// result is the trial as result.json has it.
func (t *trial) result(epoch time.Time) Trial {
	out := Trial{
		Faults: []FaultRecord{}, Measures: t.m,
		Sessions: t.places.spread.result(), Regions: t.regionShares(), Partitions: t.partitionShares(),
	}
	if all := t.places.all; all.Intended > 0 {
		out.Operations = &all
	}
	for _, f := range t.faults {
		out.Faults = append(out.Faults, f.record(epoch))
	}
	return out
}

func sec(d time.Duration) float64 { return round(d.Seconds()) }

// round keeps nanoseconds and drops the noise of binary fractions.
func round(v float64) float64 {
	const scale = 1e9
	if v > 1e6 || v < -1e6 {
		return v
	}
	return float64(int64(v*scale+copysignHalf(v))) / scale
}

func copysignHalf(v float64) float64 {
	if v < 0 {
		return -0.5
	}
	return 0.5
}

func value(v float64) *Value { return &Value{Value: v} }

func ptr[T any](v T) *T { return &v }
