package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/loadgen"
	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/scenarios"
	"github.com/fivenines/fivenines/slo"
)

// cli runs the program with arguments.
func cli(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// Bad input: one clear line that names the thing, and the exit status that
// DESIGN section 8 gives it.
func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	// Nothing here brings anything up. What a killed run left on this machine
	// would be undone, and said, by whoever starts next: not by this test.
	t.Setenv("TMPDIR", dir)
	bad := filepath.Join(dir, "bad.yaml")
	require.NoError(t, os.WriteFile(bad, []byte("name: x\nworkload:\n  sesions: 5\n"), 0o600))
	good := filepath.Join(dir, "good.yaml")
	require.NoError(t, os.WriteFile(good, []byte("name: x\n"), 0o600))
	full := filepath.Join(dir, "full")
	require.NoError(t, os.MkdirAll(full, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(full, "x"), nil, 0o600))
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"rnu"}, exitUsage, `fivenines: no command is called "rnu"; did you mean run?`},
		{[]string{"frobnicate"}, exitUsage, `fivenines: no command is called "frobnicate"; fivenines --help lists them`},
		{[]string{"run"}, exitUsage, "fivenines: run needs a scenario"},
		{[]string{"run", "regon-loss"}, exitUsage, `fivenines: no scenario is called "regon-loss"; did you mean region-loss?`},
		{[]string{"run", bad}, exitUsage, "fivenines: " + bad + ":3: workload.sesions: no such field; did you mean sessions?"},
		{[]string{"run", good, bad}, exitUsage, "fivenines: " + bad + ":3: "},
		{[]string{"run", filepath.Join(dir, "none.yaml")}, exitUsage, "none.yaml: no such file or directory"},
		{[]string{"run", "baseline", "--backend", "cloud"}, exitUsage, `fivenines: no backend is called "cloud"; there are container, process`},
		{[]string{"run", "baseline", "--target", "redis"}, exitUsage, `fivenines: no target is called "redis"; there are reference`},
		{[]string{"run", "baseline", "--rps", "-5"}, exitUsage, "fivenines: --rps must be more than 0, not -5"},
		{[]string{"run", "baseline", "--sessions", "0"}, exitUsage, "fivenines: --sessions must be more than 0"},
		{[]string{"run", "baseline", "--rps", "fast"}, exitUsage, "--rps"},
		{[]string{"run", "baseline", "--duration", "2s"}, exitUsage, "fivenines: a duration of 2s leaves nothing after the 10s before the fault"},
		{[]string{"run", "region-loss", "--after", "1s"}, exitUsage, "fivenines: region-loss: timeline.after: 1s is too short"},
		{[]string{"run", "baseline", "--after", "10s", "--duration", "20s"}, exitUsage, "after"},
		{[]string{"run", "baseline", "--mutant", "no-fail-over"}, exitUsage, `fivenines: target reference has no mutant called "no-fail-over"; did you mean no-failover?`},
		{[]string{"run", "baseline", "--out", full}, exitRun, "is not empty; name a new one"},
		{[]string{"run", "baseline", "--out", filepath.Join(good, "x")}, exitRun, "not a directory"},
		{[]string{"run", "baseline", "--colour"}, exitUsage, "fivenines: unknown flag: --colour"},
		{[]string{"check"}, exitUsage, "fivenines: check needs at least one file"},
		{[]string{"check", good, bad}, exitUsage, "fivenines: " + bad + ":3: "},
		{[]string{"analyze"}, exitUsage, "accepts 1 arg"},
		{[]string{"analyze", dir}, exitUsage, "is not the folder of a run"},
		{[]string{"report", dir}, exitUsage, "is not the folder of a run"},
		{[]string{"report", dir, "--format", "pdf"}, exitUsage, `fivenines: no format is called "pdf"; there are badge, baseline, comment, html, json, junit, markdown, textfile`},
		{[]string{"report", dir, "--format", ""}, exitUsage, "fivenines: --format names no format; there are badge, baseline"},
		{[]string{"report", dir, "--format", "json,html", "--out", "-"}, exitUsage, "takes one format, not 2"},
		{[]string{"report", dir, "--baseline", dir}, exitUsage, "add --format comment"},
		{[]string{"up", "--mutant", "no-fsync"}, exitUsage, "add --i-know-this-is-broken"},
		{[]string{"up", "--topology", "two-region"}, exitUsage, `no topology is called "two-region"`},
		{[]string{"up", "--name", "../x"}, exitUsage, "is not made of lower-case letters"},
		{[]string{"down", "--name", "nobody-has-this"}, exitRun, `fivenines: "nobody-has-this" is not up`},
		{[]string{"status", "--name", "nobody-has-this"}, exitRun, `is not up; fivenines up starts it`},
	} {
		code, _, stderr := cli(t, c.args...)
		assert.Equal(t, c.code, code, "%v: %s", c.args, stderr)
		assert.Contains(t, stderr, c.want, "%v", c.args)
		for line := range strings.Lines(stderr) {
			assert.True(t, strings.HasPrefix(line, "fivenines") || strings.HasPrefix(line, "to run it again: "), "%v: %q", c.args, line)
		}
	}
}

func TestExitStatusIsTheVerdict(t *testing.T) {
	for v, want := range map[slo.Verdict]int{slo.Met: exitMet, slo.Missed: exitMiss, slo.Inconclusive: exitRun, slo.NotEvaluated: exitRun, "": exitRun} {
		err := verdictError(v)
		if want == exitMet {
			assert.NoError(t, err)
			continue
		}
		var e *exitError
		require.ErrorAs(t, err, &e)
		assert.Equal(t, want, e.code, "%q", v)
	}
	assert.True(t, worse(verdictError(slo.Inconclusive), verdictError(slo.Missed)))
	assert.True(t, worse(verdictError(slo.Missed), nil))
	assert.False(t, worse(nil, nil))
	assert.False(t, worse(verdictError(slo.Missed), runError(errors.New("x"))))
}

func TestListJSON(t *testing.T) {
	code, out, _ := cli(t, "list", "--json")
	require.Equal(t, exitMet, code)
	var l listing
	require.NoError(t, json.Unmarshal([]byte(out), &l))
	assert.Len(t, l.Scenarios, len(scenarios.Catalogue()))
	assert.NotEmpty(t, l.Faults)
	assert.NotEmpty(t, l.Objectives)
	assert.Contains(t, l.Topologies, "three-region")
	require.Len(t, l.Targets, 1)
	assert.ElementsMatch(t, []string{"ack-before-quorum", "no-failover", "stale-lease", "no-fencing", "no-fsync", "lost-disk", "no-hysteresis", "no-handover", "no-reroute", "no-shedding", "no-restart"}, l.Targets[0].Mutants)

	code, out, _ = cli(t, "list")
	require.Equal(t, exitMet, code)
	for _, s := range l.Scenarios {
		assert.Contains(t, out, s.Name)
	}
}

func TestCheckGoodFiles(t *testing.T) {
	topo := filepath.Join(t.TempDir(), "topo.yaml")
	require.NoError(t, os.WriteFile(topo, []byte("name: one\nregions: [{name: a, role: primary, nodes: 1}]\nlinks: []\nlocal_rtt: 1ms\nshards: 1\nreplicas: 1\n"), 0o600))
	code, out, stderr := cli(t, "check", topo, "../../scenarios/catalogue/region-loss.yaml")
	require.Equal(t, exitMet, code, stderr)
	assert.Contains(t, out, "topology one: 1 regions, 1 nodes, 1 shards")
	assert.Contains(t, out, "scenario region-loss: 1 faults, 12 objectives")

	code, out, _ = cli(t, "check", "--schema")
	require.Equal(t, exitMet, code)
	assert.True(t, json.Valid([]byte(out)))
}

func TestDoctor(t *testing.T) {
	code, out, _ := cli(t, "doctor", "--json", "--dir", t.TempDir())
	var fs []finding
	require.NoError(t, json.Unmarshal([]byte(out), &fs))
	missing := false
	for _, f := range fs {
		assert.NotEmpty(t, f.What)
		assert.NotEmpty(t, f.Found, f.What)
		missing = missing || f.Needed && !f.OK
	}
	assert.Equal(t, missing, code == exitRun)

	// What can't be used is said to be missing.
	code, out, stderr := cli(t, "doctor", "--dir", "/nowhere")
	assert.Equal(t, exitRun, code)
	assert.Contains(t, out, "MISSING")
	assert.Contains(t, stderr, "lacks what the process backend needs")
}

func TestVersion(t *testing.T) {
	code, out, _ := cli(t, "version")
	assert.Equal(t, exitMet, code)
	assert.Contains(t, out, "go1.")
}

func TestHelpNamesEveryCommand(t *testing.T) {
	code, out, _ := cli(t)
	require.Equal(t, exitMet, code)
	for _, c := range []string{"run", "list", "check", "analyze", "report", "up", "down", "status", "doctor", "version"} {
		assert.Contains(t, out, "\n  "+c+" ")
	}
}

func TestMutantIsShouted(t *testing.T) {
	var b bytes.Buffer
	shout(&b, "no-failover")
	assert.Equal(t, 3, strings.Count(b.String(), "\n"))
	assert.Contains(t, b.String(), "MUTANT NO-FAILOVER")

	b.Reset()
	cmd := runCommand()
	cmd.SetOut(&b)
	f := &runFlags{quiet: true}
	require.NoError(t, f.summary(cmd, &slo.Result{Scenario: "x", Verdict: slo.Missed, Mutant: "no-failover"}, ""))
	assert.Equal(t, "x: missed (MUTANT no-failover: broken on purpose)\n", b.String())
}

func TestAgainIsACommandThatRepeats(t *testing.T) {
	cmd := runCommand()
	require.NoError(t, cmd.ParseFlags([]string{"--rps", "500", "--mutant", "no-fsync", "--after", "20s"}))
	f := &runFlags{}
	f.objectives = map[string]string{"failover": "p90 < 5 s"}
	assert.Equal(t, "fivenines run 'my scenario.yaml' --rps 500 --after 20s --mutant no-fsync --objective 'failover=p90 < 5 s' --seed 42", f.again(cmd, []string{"run", "my scenario.yaml"}, 42))
}

func TestDefaultOutIsNew(t *testing.T) {
	t.Chdir(t.TempDir())
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	a := defaultOut("region-loss", now)
	assert.Equal(t, filepath.Join("runs", "20260102T150405Z-region-loss"), a)
	require.NoError(t, os.MkdirAll(a, 0o755))
	assert.Equal(t, a+"-2", defaultOut("region-loss", now))
}

func TestPlainProgress(t *testing.T) {
	var b bytes.Buffer
	p, done := newProgress(&b, false, false)
	p.Phase(scenarios.Phase{Trial: 2, Trials: 3, Text: "load: main", Lasts: 40 * time.Second})
	for range 8 { // two seconds in windows of a quarter
		p.Sample(scenarios.Sample{Rate: 20_000, Steady: true, Faults: []string{"region-loss(region=a)"}, Interval: loadgen.Interval{
			Span: 250 * time.Millisecond, OK: 4900, Bad: 7, ReadP99: 1500 * time.Microsecond, WriteP99: 81 * time.Millisecond,
		}})
	}
	p.Event(history.Event{At: 12 * time.Second, Kind: history.FaultAsked, Source: "harness", Subject: "region-loss(region=a)"})
	for _, node := range []string{"b-1", "b-2", "c-1"} {
		p.Event(history.Event{At: 13 * time.Second, Kind: history.Detected, Source: node, Parts: []string{"a"}})
	}
	p.Event(history.Event{At: 13 * time.Second, Kind: history.Detected, Source: "b-1", Parts: []string{"a-1"}})
	p.Event(history.Event{At: 14 * time.Second, Kind: history.Detected, Source: "b-1", Parts: []string{"a"}})
	p.Event(history.Event{At: 14 * time.Second, Kind: "chatter", Source: "b-1"})
	p.Event(history.Event{At: 30 * time.Second, Kind: history.Detected, Source: "b-1", Parts: []string{"a"}})
	done()
	assert.Equal(t, strings.Join([]string{
		"           trial 2 of 3: load: main, for 40s",
		"            20000/s asked   19600/s good      7 bad  p99 read 2ms write 81ms  region-loss(region=a)",
		"            20000/s asked   19600/s good      7 bad  p99 read 2ms write 81ms  region-loss(region=a)",
		"    12.0s  fault asked: region-loss(region=a)",
		"    13.0s  b-1: detected a",
		"    13.0s  b-1: detected a-1",
		"    30.0s  b-1: detected a",
		"",
	}, "\n"), b.String())
}

func TestQuietProgressSaysNothing(t *testing.T) {
	var b bytes.Buffer
	p, done := newProgress(&b, true, false)
	assert.Nil(t, p)
	done()
	assert.Empty(t, b.String())
}

// The live display ends whatever it was in the middle of.
func TestLiveProgressEnds(t *testing.T) {
	var b bytes.Buffer
	l := newLive(&b)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.Phase(scenarios.Phase{Trial: 1, Trials: 1, Text: "bringing 8 nodes up"})
		l.Sample(scenarios.Sample{Rate: 5})
		l.Phase(scenarios.Phase{Trial: 1, Trials: 1, Text: "load", Lasts: time.Minute})
		l.Event(history.Event{Kind: history.FaultAsked, Source: "harness", Subject: "x"})
		l.Phase(scenarios.Phase{Trial: 1, Trials: 1, Text: "stopping"})
		l.done()
	}()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("the display hangs")
	}
}

func TestStateIsHeldByItsLock(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	_, err := readState("x")
	require.ErrorIs(t, err, errNotUp)

	s, err := claimState("x")
	require.NoError(t, err)
	want := &upState{PID: 7, Ready: true, Topology: "three-node", Nodes: []upNode{{ID: "a-1", Leads: []int{1, 2}}}}
	require.NoError(t, s.write(&upState{PID: 7, Topology: strings.Repeat("long ", 100)}))
	require.NoError(t, s.write(want))
	got, err := readState("x")
	require.NoError(t, err)
	assert.Equal(t, want, got)

	_, err = claimState("x")
	require.ErrorContains(t, err, `"x" is up already`)
	other, err := claimState("y")
	require.NoError(t, err)
	require.NoError(t, other.release())

	// Killed: the file stays and the lock does not.
	b, err := os.ReadFile(s.path)
	require.NoError(t, err)
	require.NoError(t, s.release())
	require.NoError(t, os.WriteFile(s.path, b, 0o600))
	_, err = readState("x")
	require.ErrorIs(t, err, errNotUp)
	mine, named := filepath.Join(os.TempDir(), tempPrefix+"1"), filepath.Join(os.TempDir(), "mine")
	require.NoError(t, os.Mkdir(mine, 0o755))
	require.NoError(t, os.Mkdir(named, 0o755))
	for _, dir := range []string{mine, named} {
		b, err := json.Marshal(upState{Dir: dir})
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(s.path, b, 0o600))
		s, err := claimState("x")
		require.NoError(t, err, "what a killed one left is taken over")
		require.NoError(t, s.release())
	}
	assert.NoDirExists(t, mine, "its temporary data goes")
	assert.DirExists(t, named, "what the user named stays")
	s, err = claimState("x")
	require.NoError(t, err)
	require.NoError(t, s.release())
}

func TestUpRemovesWhatOthersLeft(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dirs := map[string]string{}
	held := map[string]*stateFile{}
	for _, name := range []string{"killed", "lives"} {
		s, err := claimState(name)
		require.NoError(t, err)
		dirs[name], held[name] = filepath.Join(os.TempDir(), tempPrefix+name), s
		require.NoError(t, os.Mkdir(dirs[name], 0o755))
		require.NoError(t, s.write(&upState{Dir: dirs[name]}))
	}
	require.NoError(t, held["killed"].f.Close(), "its lock goes, its file stays")
	defer held["lives"].release()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	topo, err := scenarios.Topology("three-node")
	require.NoError(t, err)
	target, err := targetNamed("reference")
	require.NoError(t, err)
	require.Error(t, (&upFlags{name: "mine"}).hold(ctx, io.Discard, io.Discard, topo, slowToComeUp{}, target))
	assert.NoDirExists(t, dirs["killed"])
	assert.NoFileExists(t, statePath("killed"))
	assert.DirExists(t, dirs["lives"])
	_, err = readState("lives")
	require.NoError(t, err)
}

func TestLeadersFollowTerms(t *testing.T) {
	l := &leaders{}
	elected := func(node, shard, term string) {
		l.see(history.Event{Kind: history.Elected, Source: node, Fields: map[string]string{"shard": shard, "term": term}})
	}
	elected("a-1", "0", "2")
	elected("b-1", "1", "2")
	elected("b-1", "0", "3")
	elected("a-1", "0", "2") // late news
	elected("a-1", "", "9")  // the meta group
	assert.Equal(t, map[string][]int{"b-1": {0, 1}}, l.byNode())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	l.settle(ctx, 2)
	require.NoError(t, ctx.Err())
}

func TestTopologyForReadsFiles(t *testing.T) {
	_, err := topologyFor("./none.yaml")
	require.ErrorContains(t, err, "no such file")
	topo, err := topologyFor("three-region")
	require.NoError(t, err)
	assert.Equal(t, fixtures.ThreeRegion(), topo)
}

func TestShellWord(t *testing.T) {
	for in, want := range map[string]string{"a-b/c.yaml": "a-b/c.yaml", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$(x)": "'$(x)'"} {
		assert.Equal(t, want, shellWord(in), fmt.Sprintf("%q", in))
	}
}
