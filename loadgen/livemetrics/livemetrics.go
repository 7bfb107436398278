// Package livemetrics shows runs to Prometheus while they go on.
//
// A [Metrics] has the runs of one process, a [Run] is one scenario's: it is told of
// operations by the same path as the record ([Run.Recorder]), and of events and
// phases by the runner. Everything is counted from the start of the process, over
// all trials of the scenario, so that counters only grow.
//
// What is shown is for looking at. The verdict comes from the record, never from
// here, and a measure that is shown while a run goes on is an estimate.
//
// Recording takes a lock per batch of operations, not per operation, and allocates
// nothing (BenchmarkRecord). All methods are safe for concurrent use; those of a nil
// [Run] do nothing, so that a runner need not ask whether anybody looks.
package livemetrics

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fivenines/fivenines/loadgen"
	"github.com/fivenines/fivenines/loadgen/history"
)

// Info says what a run is.
type Info struct {
	Scenario, Target, Backend, Mutant string
	Seed                              int64
	Regions                           []string          // by the index that operations have
	Deadline                          time.Duration     // an operation slower than this is bad
	Objectives                        map[string]string // declared: name -> bound
}

// Objective is one row of a verdict.
type Objective struct {
	Name, Verdict string
	Measured      *float64 // in the objective's unit; nil: no value
}

// Sizes of what operations are counted by: values of the record's enumerations, each
// from 1.
const (
	kinds    = int(history.Resume) + 1
	classes  = int(history.Stream) + 1
	outcomes = int(history.Unsent) + 1
)

// Buckets are the upper bounds of the latency histogram, in seconds.
var Buckets = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

var bounds = func() (ds [13]time.Duration) {
	for i, b := range Buckets {
		ds[i] = time.Duration(b * float64(time.Second))
	}
	return ds
}()

// cells are the counters of one region.
type cells struct {
	n   [2][kinds][classes][outcomes]uint64 // beside the load, and under it
	bad [kinds]uint64                       // of those that count for availability
	lat [kinds]histogram                    // of the same
}

type histogram struct {
	buckets [len(bounds) + 1]uint64 // not cumulated; the last one is above all bounds
	sum     time.Duration
}

func (h *histogram) add(d time.Duration) {
	i := 0
	for i < len(bounds) && d > bounds[i] {
		i++
	}
	h.buckets[i]++
	h.sum += d
}

// Run is one scenario's numbers.
type Run struct {
	info Info

	mu      sync.Mutex
	regions []cells
	strange uint64 // operations of a region that the run does not have
	loaded  bool   // between the events that load started and stopped

	// Since the latest fault was asked for, over operations that count for availability.
	asked             time.Duration
	faulty            bool
	firstBad, lastBad time.Duration
	anyBad            bool

	phase     string
	trial     int
	steady    *bool
	faults    map[string]fault     // by text
	events    map[[2]string]uint64 // by source and kind
	faultsN   map[[2]string]uint64 // by kind and state
	generator func() loadgen.Stats // nil: none is at work
	before    loadgen.Stats        // of generators that ended
	judged    []Objective          // the last verdict's rows
	ended     bool
}

type fault struct{ kind, state string }

// Metrics are all runs of a process.
type Metrics struct {
	mu   sync.Mutex
	runs []*Run
}

// New has no runs yet.
func New() *Metrics { return &Metrics{} }

// Begin is a run that starts: the same one as before where the scenario and its
// regions are the same, so that its counters go on. A nil Metrics has a nil Run.
func (m *Metrics) Begin(info Info) *Run {
	if m == nil {
		return nil
	}
	info.Regions, info.Objectives = slices.Clone(info.Regions), maps.Clone(info.Objectives)
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, r := range m.runs {
		if r.info.Scenario != info.Scenario {
			continue
		}
		if slices.Equal(r.info.Regions, info.Regions) {
			r.again(info)
			return r
		}
		m.runs = slices.Delete(m.runs, i, i+1)
		break
	}
	r := &Run{
		info: info, regions: make([]cells, len(info.Regions)),
		faults: map[string]fault{}, events: map[[2]string]uint64{}, faultsN: map[[2]string]uint64{},
	}
	m.runs = append(m.runs, r)
	return r
}

func (r *Run) again(info Info) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.info = info
	r.loaded = false
	r.faulty, r.anyBad, r.ended, r.steady, r.phase, r.trial = false, false, false, nil, "", 0
	r.faults = map[string]fault{}
	r.judged = nil
}

// tee is a recorder that counts what it passes on.
type tee struct {
	next loadgen.Recorder
	run  *Run
}

func (t tee) Record(ops []history.Op) {
	t.run.count(ops)
	t.next.Record(ops)
}

// Recorder passes operations on to next and counts them.
func (r *Run) Recorder(next loadgen.Recorder) loadgen.Recorder {
	if r == nil {
		return next
	}
	return tee{next, r}
}

// available says whether an operation counts for availability: those of follower
// clients do, as in package slo.
func available(c history.Class) bool { return c == history.Follower }

func (r *Run) count(ops []history.Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	under := 0
	if r.loaded {
		under = 1
	}
	for i := range ops {
		op := &ops[i]
		if int(op.Region) >= len(r.regions) || int(op.Kind) >= kinds || int(op.Class) >= classes || int(op.Outcome) >= outcomes {
			r.strange++
			continue
		}
		c := &r.regions[op.Region]
		c.n[under][op.Kind][op.Class][op.Outcome]++
		if under == 0 || !available(op.Class) {
			continue
		}
		took := op.Latency()
		if op.Outcome != history.Unsent {
			c.lat[op.Kind].add(took)
		}
		if op.Outcome != history.OK || took > r.info.Deadline {
			c.bad[op.Kind]++
			r.wentBad(op)
		}
	}
}

func (r *Run) wentBad(op *history.Op) {
	if !r.faulty || op.Intended < r.asked {
		return
	}
	if !r.anyBad || op.Intended < r.firstBad {
		r.firstBad = op.Intended
	}
	r.lastBad = max(r.lastBad, op.End)
	r.anyBad = true
}

// Event is told everything that the record is.
func (r *Run) Event(e history.Event) {
	if r == nil {
		return
	}
	source := "platform"
	if e.Source == "harness" {
		source = "harness"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events[[2]string{source, e.Kind}]++
	switch e.Kind {
	case history.LoadStarted:
		r.loaded = true
	case history.LoadStopped:
		r.loaded = false
	}
	state := map[string]string{
		history.FaultAsked: "asked", history.FaultProved: "proved",
		history.FaultUnproved: "unproved", history.FaultUndone: "undone",
	}[e.Kind]
	if state == "" || source != "harness" {
		return
	}
	kind := e.Fields["kind"]
	if kind == "" {
		kind, _, _ = strings.Cut(e.Subject, "(")
	}
	r.faults[e.Subject] = fault{kind, state}
	r.faultsN[[2]string{kind, state}]++
	if e.Kind == history.FaultAsked {
		r.asked, r.faulty, r.anyBad, r.lastBad = e.At, true, false, 0
	}
}

// Phase is told which part of a trial began, in words. The first word names it, and
// for load the second.
func (r *Run) Phase(trial int, text string) {
	if r == nil {
		return
	}
	words := strings.FieldsFunc(text, func(c rune) bool { return c == ' ' || c == ':' || c == ',' })
	name := ""
	if len(words) > 0 {
		name = words[0]
	}
	if name == "load" && len(words) > 1 {
		name += "-" + words[1]
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trial, r.phase = trial, name
}

// Steady is told of each window of load whether the steady-state hypothesis holds.
func (r *Run) Steady(holds bool) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steady = &holds
}

// Generator is told whom to ask for the schedule's lag; nil when it ends.
func (r *Run) Generator(snapshot func() loadgen.Stats) {
	if r == nil {
		return
	}
	r.mu.Lock()
	old := r.generator
	r.mu.Unlock()
	var last loadgen.Stats
	if old != nil {
		last = old() // takes the generator's own lock
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if old != nil {
		r.before.Intended += last.Intended
		r.before.CPU += last.CPU
	}
	r.generator = snapshot
}

// Judged is told the verdict's rows, once they are known.
func (r *Run) Judged(rows []Objective) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.judged, r.ended = slices.Clone(rows), true
	r.phase = ""
}
