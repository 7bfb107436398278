package scenarios

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/reports"
	"github.com/fivenines/fivenines/slo"
)

// TestMain lets more runs go on at once than there are cores: they mostly wait.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// quickSeed draws a small offset for the fault, which saves most of a second.
const quickSeed = 21

// quick is a scenario of a few seconds for the fake system.
func quick() *Spec {
	s := Default()
	s.Name, s.Target, s.Seed = "quick", "fake", quickSeed
	topo := ThreeNode()
	topo.Shards = fakePartitions
	s.Topology = TopologyRef{Inline: topo}
	s.Workload.Sessions, s.Workload.Rate = 200, 300
	s.Workload.Short = Short{Share: 5, TTL: dur(3 * time.Second)}
	s.Workload.Contested = Contested{Sessions: 4, Rate: 20}
	s.Timeline = Timeline{Before: dur(time.Second), After: dur(2 * time.Second), Settle: dur(800 * time.Millisecond)}
	s.Steady = Steady{Window: dur(200 * time.Millisecond), Success: 95}
	s.Faults = []FaultSpec{{Kind: "region-loss", Params: map[string]string{"region": "primary"}, Until: &Until{}}}
	s.Objectives = map[string]string{
		slo.Failover: "< 1 s", slo.SessionLoss: "0", slo.LostWrites: "0", slo.Regressed: "0",
		slo.StaleReads: "0", slo.Linearizability: "0", slo.RPO: "< 1 s", slo.Capacity: ">= 60 %",
	}
	return s
}

// quickRules are the rules with a hold that fits a run of seconds, and bounds
// that a busy machine keeps.
func quickRules() *Rules {
	r := *DefaultRules()
	r.Hold = dur(500 * time.Millisecond)
	r.Valid = Valid{MaxLagP999: dur(500 * time.Millisecond), MinAchieved: 60, MaxUnsent: 5}
	return &r
}

// recorder keeps what progress is told.
type recorder struct {
	mu      sync.Mutex
	phases  []Phase
	samples []Sample
	events  []history.Event
	onEvent func(history.Event)
}

func (r *recorder) Phase(p Phase) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.phases = append(r.phases, p)
}

func (r *recorder) Sample(s Sample) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples = append(r.samples, s)
}

func (r *recorder) Event(e history.Event) {
	r.mu.Lock()
	r.events = append(r.events, e)
	on := r.onEvent
	r.mu.Unlock()
	if on != nil {
		on(e)
	}
}

func (r *recorder) has(kind string) bool { return r.find(kind) != nil }

func (r *recorder) find(kind string) *history.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.events, func(e history.Event) bool { return e.Kind == kind })
	if i < 0 {
		return nil
	}
	return &r.events[i]
}

func (r *recorder) count(kind string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

type outcome struct {
	res *slo.Result
	err error
	rec *recorder
	out string
}

// runQuick runs a scenario against a fake system and checks what holds for
// every run: nothing is left up, nothing is left in the journal. Where the
// machine was too busy for a run of seconds to say anything, it runs again.
func runQuick(ctx context.Context, t *testing.T, spec *Spec, sys *fakeSystem, change ...func(*Options)) outcome {
	t.Helper()
	for try := 1; ; try++ {
		o := runOnce(ctx, t, spec, sys, change...)
		if o.res == nil || o.res.Load.ScheduleLagMSP999 < 100 || ctx.Err() != nil || try == 5 {
			return o
		}
		t.Logf("the generator was %.0f ms late: again", o.res.Load.ScheduleLagMSP999)
	}
}

func runOnce(ctx context.Context, t *testing.T, spec *Spec, sys *fakeSystem, change ...func(*Options)) outcome {
	t.Helper()
	rec := &recorder{}
	opt := Options{
		Backend: sys, Target: fakeTarget{}, Out: filepath.Join(t.TempDir(), "run"), Progress: rec,
		JournalDir: filepath.Join(t.TempDir(), "journal"), Version: "test", Command: "go test", Rules: quickRules(),
	}
	for _, c := range change {
		c(&opt)
	}
	if r, ok := opt.Progress.(*recorder); ok {
		rec = r
	}
	res, err := Run(ctx, spec, opt)
	requireNothingUp(t, sys)
	left, _ := filepath.Glob(filepath.Join(opt.JournalDir, "*"))
	assert.Empty(t, left, "the journal of a run that ended")
	assert.NoDirExists(t, filepath.Join(opt.Out, "work"))
	return outcome{res, err, rec, opt.Out}
}

func row(t *testing.T, res *slo.Result, name string) slo.Objective {
	t.Helper()
	require.NotNil(t, res)
	i := slices.IndexFunc(res.Objectives, func(o slo.Objective) bool { return o.Name == name })
	require.GreaterOrEqual(t, i, 0, "objective %s", name)
	return res.Objectives[i]
}

func TestSoundSystemMeets(t *testing.T) {
	t.Parallel()
	o := runQuick(t.Context(), t, quick(), &fakeSystem{takeover: 300 * time.Millisecond})
	require.NoError(t, o.err)
	require.NotNil(t, o.res)
	assert.Equal(t, slo.Met, o.res.Verdict, "%s %v %+v", o.res.Summary, o.res.Problems, o.res.Objectives)
	assert.NotEmpty(t, o.res.Trials[0].Faults[0].Proved)
	assert.NotEmpty(t, o.res.Trials[0].Faults[0].Undone)

	// The story, in order.
	var story []string
	for _, e := range o.rec.events {
		if e.Source == "harness" {
			story = append(story, strings.TrimSpace(e.Kind+" "+e.Fields["region"]+" "+e.Fields["phase"]))
		}
	}
	assert.Equal(t, []string{
		"run-started", "trial-started", "load-started  main", "steady-state  before",
		"fault-asked", "fault-proved", "steady-state  during", "load-stopped  main", "generator-stats",
		"readback-start eu-west-1 before-undo", "readback-end eu-west-1 before-undo",
		"readback-start ap-southeast-1 before-undo", "readback-end ap-southeast-1 before-undo",
		"fault-undone", "load-started  settle", "steady-state  after", "load-stopped  settle",
		"readback-start us-east-1 after-undo", "readback-end us-east-1 after-undo",
		"readback-start eu-west-1 after-undo", "readback-end eu-west-1 after-undo",
		"readback-start ap-southeast-1 after-undo", "readback-end ap-southeast-1 after-undo",
		"run-finished",
	}, story)
	assert.NotEmpty(t, o.rec.samples)

	// The folder has everything, and judging it again gives the same, byte for byte.
	for _, f := range []string{"result.json", "report.html", "junit.xml", "operations.parquet", "events.jsonl", "manifest.json", "spec.yaml", "objectives.yaml"} {
		assert.FileExists(t, filepath.Join(o.out, f))
	}
	again, err := Analyze(o.out)
	require.NoError(t, err)
	var b strings.Builder
	require.NoError(t, reports.WriteJSON(&b, again))
	first, err := os.ReadFile(filepath.Join(o.out, "result.json"))
	require.NoError(t, err)
	assert.Equal(t, string(first), b.String())
}

func TestForgottenSessionsMiss(t *testing.T) {
	t.Parallel()
	o := runQuick(t.Context(), t, quick(), &fakeSystem{takeover: 300 * time.Millisecond, loseEvery: 20})
	require.NoError(t, o.err)
	assert.Equal(t, slo.Missed, o.res.Verdict)
	assert.Equal(t, slo.Missed, row(t, o.res, slo.SessionLoss).Verdict)
	assert.Positive(t, o.res.Trials[0].Measures.SessionsLost)
	assert.Equal(t, slo.Met, row(t, o.res, slo.Failover).Verdict)
}

func TestForgottenWritesMiss(t *testing.T) {
	t.Parallel()
	o := runQuick(t.Context(), t, quick(), &fakeSystem{takeover: 300 * time.Millisecond, staleEvery: 5})
	require.NoError(t, o.err)
	assert.Equal(t, slo.Missed, o.res.Verdict)
	assert.Equal(t, slo.Missed, row(t, o.res, slo.LostWrites).Verdict)
}

func TestNoFailoverMisses(t *testing.T) {
	t.Parallel()
	s := quick()
	s.Workload.Contested = Contested{} // their checker would only say that it can't know
	delete(s.Objectives, slo.Linearizability)
	o := runQuick(t.Context(), t, s, &fakeSystem{takeover: -1})
	require.NoError(t, o.err)
	assert.Equal(t, slo.Missed, o.res.Verdict)
	assert.Equal(t, slo.Missed, row(t, o.res, slo.Failover).Verdict)
	require.NotNil(t, o.res.Trials[0].Measures.Failover)
	assert.True(t, o.res.Trials[0].Measures.Failover.Censored)
}

func TestMutantIsPassedOnAndMisses(t *testing.T) {
	t.Parallel()
	o := runQuick(t.Context(), t, quick(), &fakeSystem{takeover: 300 * time.Millisecond}, func(o *Options) { o.Mutant = "forgetful" })
	require.NoError(t, o.err)
	assert.Equal(t, slo.Missed, o.res.Verdict)
	assert.Equal(t, "forgetful", o.res.Mutant)
}

func TestUnprovedFaultIsInconclusive(t *testing.T) {
	t.Parallel()
	s := quick()
	s.Faults[0] = FaultSpec{Kind: "region-partition", Params: map[string]string{"region": "primary"}}
	o := runQuick(t.Context(), t, s, &fakeSystem{cutsFail: true})
	require.NoError(t, o.err)
	require.True(t, o.rec.has(history.FaultUnproved))
	assert.Equal(t, slo.Inconclusive, o.res.Verdict, o.res.Summary)
}

func TestPartitionNamesTheIsolatedRegion(t *testing.T) {
	t.Parallel()
	s := quick()
	s.Workload.Witness = Witness{Region: "us-east-1", Rate: 30}
	s.Objectives[slo.MinorityAckWrite] = "0"
	s.Timeline.After = dur(3500 * time.Millisecond) // a lease may last 2 s of it
	s.Faults[0] = FaultSpec{Fault: "region-partition(region=primary)"}
	o := runQuick(t.Context(), t, s, &fakeSystem{takeover: 300 * time.Millisecond})
	require.NoError(t, o.err)
	asked := o.rec.find(history.FaultAsked)
	require.NotNil(t, asked)
	assert.Equal(t, "us-east-1", asked.Fields["isolated_region"])
	assert.Contains(t, asked.Parts, "us-east-1")
	for _, e := range o.rec.events {
		if e.Kind == history.ReadBackStart && e.Fields["phase"] == beforeUndo {
			assert.NotEqual(t, "us-east-1", e.Fields["region"], "nobody can read strongly there")
		}
	}
	assert.Equal(t, slo.Met, o.res.Verdict, "%s %v", o.res.Summary, o.res.Problems)
}

func TestDeathThatNoFaultAskedForStops(t *testing.T) {
	t.Parallel()
	s := quick()
	s.Timeline.Before = dur(4 * time.Second)
	o := runQuick(t.Context(), t, s, &fakeSystem{takeover: 100 * time.Millisecond, dies: "ap-southeast-1-1", dieAfter: 1500 * time.Millisecond})
	require.NoError(t, o.err, "a stop condition is not an error of the run")
	assert.Equal(t, 1, o.rec.count(NodeDied), "one report of one death")
	require.True(t, o.rec.has(history.Stopped))
	assert.Contains(t, o.rec.find(history.Stopped).Detail, "ap-southeast-1-1 died and no fault asked for it")
	assert.False(t, o.rec.has(history.FaultAsked), "it ended before the fault")
	assert.NotEqual(t, slo.Met, o.res.Verdict)
}

// A harness that lost its way says so; the system under test is not judged by it.
func TestALostWayIsNotTheSystemsFault(t *testing.T) {
	t.Parallel()
	s := quick()
	s.Timeline.Before = dur(4 * time.Second)
	o := runQuick(t.Context(), t, s, &fakeSystem{takeover: 100 * time.Millisecond, loses: 1500 * time.Millisecond})
	require.ErrorContains(t, o.err, "the harness lost its own way to the system under test")
	require.True(t, o.rec.has(history.Stopped))
	assert.Equal(t, slo.Inconclusive, o.res.Verdict)
}

// Before the load there is nothing to judge: it is an error, at once, with the
// cause that the backend saw.
func TestDeathBeforeTheLoadIsAnError(t *testing.T) {
	t.Parallel()
	s := quick()
	s.Workload.Sessions = 200_000 // more than can be created by then
	start := time.Now()
	o := runQuick(t.Context(), t, s, &fakeSystem{dies: "us-east-1-1", dieAfter: 200 * time.Millisecond, lastWords: "disk full", takeover: -1})
	require.EqualError(t, o.err, "node us-east-1-1 died and no fault asked for it (logs/t001/us-east-1-1.log): disk full")
	assert.Nil(t, o.res)
	assert.Equal(t, 1, o.rec.count(NodeDied), "one report of one death")
	assert.Less(t, time.Since(start), 15*time.Second)
}

func TestTrialThatTakesTooLongStops(t *testing.T) {
	t.Parallel()
	s := quick()
	s.Timeline.Before, s.Stop.MaxDuration = dur(30*time.Second), dur(10*time.Second)
	o := runQuick(t.Context(), t, s, &fakeSystem{})
	require.NoError(t, o.err)
	assert.Contains(t, o.rec.find(history.Stopped).Detail, "stop.max_duration (10s)")
	assert.Equal(t, slo.Inconclusive, o.res.Verdict)
}

func TestUnsteadySystemIsNotBroken(t *testing.T) {
	t.Parallel()
	s := quick()
	s.Steady.ReadP99 = 1 // a nanosecond
	o := runQuick(t.Context(), t, s, &fakeSystem{takeover: 300 * time.Millisecond})
	require.NoError(t, o.err)
	assert.False(t, o.rec.has(history.FaultAsked))
	e := o.rec.find(history.SteadyState)
	require.NotNil(t, e)
	assert.Equal(t, "false", e.Fields["holds"])
	assert.Contains(t, e.Detail, "reads took")
	assert.Equal(t, slo.Inconclusive, o.res.Verdict)
}

func TestBadShareStops(t *testing.T) {
	t.Parallel()
	s := quick()
	s.Timeline.After = dur(20 * time.Second)
	s.Stop.Bad = BadShare{Share: 50, Over: dur(time.Second)} // in time for nothing else to end it
	o := runQuick(t.Context(), t, s, &fakeSystem{takeover: -1})
	require.NoError(t, o.err)
	require.True(t, o.rec.has(history.Stopped))
	assert.Contains(t, o.rec.find(history.Stopped).Detail, "stop.bad")
	assert.Less(t, o.rec.find(history.LoadStopped).At, 15*time.Second, "long before the load would have ended")
	assert.True(t, o.rec.has(history.FaultUndone))
	assert.NotEqual(t, slo.Met, o.res.Verdict)
}

func TestInterruptUndoesAndKeeps(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rec := &recorder{onEvent: func(e history.Event) {
		if e.Kind == history.FaultProved {
			cancel()
		}
	}}
	o := runQuick(ctx, t, quick(), &fakeSystem{takeover: 300 * time.Millisecond}, func(opt *Options) { opt.Progress = rec })
	require.ErrorIs(t, o.err, ErrInterrupted)
	assert.True(t, rec.has(history.FaultUndone), "undone with a context of its own")
	assert.Equal(t, "interrupted", rec.find(history.Stopped).Detail)
	require.NotNil(t, o.res, "what was recorded is judged")
	assert.NotEqual(t, slo.Met, o.res.Verdict)
	assert.FileExists(t, filepath.Join(o.out, "result.json"))
}

func TestSystemThatDoesNotComeUp(t *testing.T) {
	t.Parallel()
	o := runQuick(t.Context(), t, quick(), &fakeSystem{upErr: errors.New("port 7000 is taken")})
	require.EqualError(t, o.err, "bring the system up: port 7000 is taken")
	assert.Nil(t, o.res)
}

func TestBalancersThatAreNotThereAreNotRunnableHere(t *testing.T) {
	t.Parallel()
	spec := quick()
	spec.Workload.Through = ThroughBalancers
	o := runQuick(t.Context(), t, spec, &fakeSystem{})
	require.ErrorIs(t, o.err, fixtures.ErrNotHere)
	require.ErrorContains(t, o.err, "no load balancer in us-east-1")
	assert.Nil(t, o.res)
}

// A target says for itself where partitions are at home, and what its DNS is.
func TestHomesAndDNSNeedATargetThatHasThem(t *testing.T) {
	t.Parallel()
	spec := quick()
	topo, err := spec.Topo()
	require.NoError(t, err)
	topo.Regions[0].Role, topo.Regions[1].Role = fixtures.Active, fixtures.Active
	spec.Topology = TopologyRef{Inline: topo}
	spec.Workload.Homes = HomesLocal
	o := runQuick(t.Context(), t, spec, &fakeSystem{})
	require.ErrorIs(t, o.err, fixtures.ErrNotHere)
	require.ErrorContains(t, o.err, "the target fake does not say where its partitions are at home")
	assert.Nil(t, o.res)

	spec = quick()
	o = runQuick(t.Context(), t, spec, &fakeSystem{}, func(o *Options) { o.Target = resolvedTarget{}; o.Overrides.Through = ThroughDNS })
	require.ErrorIs(t, o.err, fixtures.ErrNotHere)
	require.ErrorContains(t, o.err, "the fake backend has no address for the DNS of fake")
	assert.Nil(t, o.res)
}

type resolvedTarget struct{ fakeTarget }

func (resolvedTarget) Zone() string { return "fake.test." }

func TestFaultThatCanNotBeUndoneIsAnError(t *testing.T) {
	t.Parallel()
	sys := &fakeSystem{takeover: 300 * time.Millisecond, healErr: errors.New("no such link")}
	o := runQuick(t.Context(), t, quick(), sys)
	require.ErrorContains(t, o.err, "undo region-loss(region=us-east-1, mode=silent): ")
	require.ErrorContains(t, o.err, "no such link")
	require.NotNil(t, o.res)
	assert.NotEqual(t, slo.Met, o.res.Verdict)
}

func TestFaultUntilAnEvent(t *testing.T) {
	t.Parallel()
	s := quick()
	s.Faults[0].Until = &Until{Event: history.Promoted}
	o := runQuick(t.Context(), t, s, &fakeSystem{takeover: 300 * time.Millisecond})
	require.NoError(t, o.err)
	var order []string
	for _, e := range o.rec.events {
		if slices.Contains([]string{history.FaultProved, history.Promoted, history.FaultUndone, history.LoadStopped}, e.Kind) {
			order = append(order, e.Kind)
		}
	}
	require.GreaterOrEqual(t, len(order), 4)
	assert.Equal(t, []string{history.FaultUndone, history.LoadStopped}, order[2:4], "undone while the load went on")
	for _, e := range o.rec.events {
		assert.NotEqual(t, beforeUndo, e.Fields["phase"], "nothing was in force at the first read-back")
	}
}

// A second fault while the first is in force: its proof knows of both.
func TestOverlappingFaults(t *testing.T) {
	t.Parallel()
	s := quick()
	s.Faults = append(s.Faults, FaultSpec{Kind: "node-crash", Params: map[string]string{"node": "tertiary:1"}, At: dur(1800 * time.Millisecond), For: dur(500 * time.Millisecond)})
	o := runQuick(t.Context(), t, s, &fakeSystem{takeover: 300 * time.Millisecond})
	require.NoError(t, o.err)
	assert.Equal(t, 2, o.rec.count(history.FaultProved), "%+v", o.rec.find(history.FaultUnproved))
	assert.Equal(t, 2, o.rec.count(history.FaultUndone))
	assert.Zero(t, o.rec.count(NodeDied), "a death that was asked for")
}

func TestTrialsDifferInPhaseAndRepeatBySeed(t *testing.T) {
	offsets := func(seed int64) (all []time.Duration) {
		spec := quick()
		spec.Seed = seed
		w, err := history.CreateDir(t.TempDir(), history.Manifest{})
		require.NoError(t, err)
		defer w.Close()
		r := &run{spec: spec, opt: Options{Progress: silent{}}, history: w}
		for n := 1; n <= 5; n++ {
			tr, err := r.newTrial(n)
			require.NoError(t, err)
			all = append(all, tr.offset)
		}
		return all
	}
	a := offsets(1)
	assert.Equal(t, a, offsets(1))
	assert.NotEqual(t, a, offsets(2))
	slices.Sort(a)
	assert.Len(t, slices.Compact(a), 5)
	assert.Less(t, a[4], time.Second)
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spec   func(*Spec)
		opt    func(*Options)
		before func(out string)
		want   string
	}{
		"unknown mutant": {opt: func(o *Options) { o.Mutant = "forgetfull" }, want: `target fake has no mutant called "forgetfull"; did you mean forgetful?`},
		"other target":   {spec: func(s *Spec) { s.Target = "reference" }, want: "is for the target reference, not fake"},
		"no DNS":         {opt: func(o *Options) { o.Overrides.Through = ThroughDNS }, want: "workload.through: dns: the target fake has no DNS that clients could ask; use nodes or balancers"},
		"bad scenario":   {spec: func(s *Spec) { s.Trials = 0 }, want: "scenario quick: trials: 0 is not from 1"},
		"folder in use": {before: func(out string) {
			require.NoError(t, os.MkdirAll(out, 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(out, "x"), nil, 0o600))
		}, want: "is not empty; name a new one"},
		"folder is a file": {before: func(out string) { require.NoError(t, os.WriteFile(out, nil, 0o600)) }, want: "make the run's folder: "},
		"bad override":     {opt: func(o *Options) { o.Overrides.Duration = time.Millisecond }, want: "leaves nothing after"},
	} {
		s := quick()
		if c.spec != nil {
			c.spec(s)
		}
		o := runQuick(t.Context(), t, s, &fakeSystem{}, func(o *Options) {
			if c.opt != nil {
				c.opt(o)
			}
			if c.before != nil {
				c.before(o.Out)
			}
		})
		require.ErrorContains(t, o.err, c.want, name)
		assert.Nil(t, o.res)
		assert.NotContains(t, o.err.Error(), "\n", "one line")
	}
}

func TestAnalyzeNeedsARun(t *testing.T) {
	_, err := Analyze(t.TempDir())
	require.ErrorContains(t, err, "is not the folder of a run")
}

func TestMostly(t *testing.T) {
	y, n := true, false
	for _, c := range []struct {
		windows []bool
		want    bool
	}{
		{nil, false},
		{[]bool{n}, false},
		{[]bool{y}, true},
		{[]bool{n, n, y, y}, true},
		{[]bool{y, y, y, n}, false},
		{[]bool{n, n, n, n, n, y, y, n, y, y}, true},
		{[]bool{y, y, y, y, y, y, n, n, y, y}, false},
	} {
		assert.Equal(t, c.want, mostly(c.windows), "%v", c.windows)
	}
}
