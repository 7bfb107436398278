package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/reports/store"
	"github.com/fivenines/fivenines/scenarios/gameday"
)

func TestGameDayBadInput(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	good := file("good.yaml", "name: d\nschedules:\n  - {name: s, cron: \"@daily\", scenarios: [node-crash]}\n")
	bad := file("bad.yaml", "name: d\nschedules:\n  - {name: s, cron: \"@dayly\", scenarios: [node-crash]}\n")
	lock, err := store.AcquireLock(filepath.Join(dir, "held"))
	require.NoError(t, err)
	defer lock.Release()
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, exitUsage, "fivenines: gameday needs --config FILE"},
		{[]string{"--config", filepath.Join(dir, "none.yaml")}, exitUsage, "none.yaml: no such file"},
		{[]string{"--config", bad}, exitUsage, "fivenines: " + bad + `:3: schedules[0].cron: "@dayly" is not a cron expression`},
		{[]string{"--config", good, "--again"}, exitUsage, "fivenines: --again is for --once"},
		{[]string{"--config", good, "--once", "--dry-run"}, exitUsage, "once"},
		{[]string{"--config", good, "--once", "--store", filepath.Join(dir, "held")}, exitRun, "fivenines: another game day uses this store"},
		{[]string{"--config", good, "--once", "--store", good}, exitRun, "not a directory"},
	} {
		code, _, stderr := cli(t, append([]string{"gameday"}, c.args...)...)
		assert.Equal(t, c.code, code, "%v: %s", c.args, stderr)
		assert.Contains(t, stderr, c.want, "%v", c.args)
	}
	dark := file("dark.yaml", "name: d\nschedules:\n  - {name: s, cron: \"@daily\", scenarios: [node-crash]}\nblackouts:\n  - {name: always, days: [mon-sun]}\n")
	code, out, stderr := cli(t, "gameday", "--config", dark, "--once", "--store", filepath.Join(dir, "dark"))
	assert.Equal(t, exitMet, code, stderr)
	assert.Equal(t, "d: nothing ran today\n", out)
	assert.Contains(t, stderr, "skipped: its time is in the black-out always")
	code, out, stderr = cli(t, "check", good)
	require.Equal(t, exitMet, code, stderr)
	assert.Contains(t, out, "game day d: 1 schedules, 0 black-outs")
	code, _, stderr = cli(t, "check", bad)
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, stderr, "schedules[0].cron")
}

// Without --once it waits for the next time, holding the store, until it is
// interrupted, which is a good end.
func TestGameDayStaysUntilInterrupted(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	config := filepath.Join(dir, "day.yaml")
	require.NoError(t, os.WriteFile(config, []byte("name: d\nschedules:\n  - {name: rare, cron: \"0 0 29 2 *\", scenarios: [node-crash]}\n"), 0o600))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r, w := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"gameday", "--config", config, "--store", filepath.Join(dir, "store")}, io.Discard, w)
		w.Close()
	}()
	for s := bufio.NewScanner(r); s.Scan(); {
		if !strings.Contains(s.Text(), "next: ") {
			continue
		}
		assert.Contains(t, s.Text(), "-02-29 00:00 UTC  rare: node-crash")
		_, err := store.AcquireLock(filepath.Join(dir, "store"))
		assert.ErrorIs(t, err, store.ErrLocked)
		stop()
	}
	assert.Equal(t, exitMet, <-code)
	lock, err := store.AcquireLock(filepath.Join(dir, "store"))
	require.NoError(t, err)
	require.NoError(t, lock.Release())
	assert.FileExists(t, filepath.Join(dir, "store", gameday.IndexPage))
}

func TestGameDayDryRun(t *testing.T) {
	c, err := gameday.Load("../../.github/gameday.yaml", gamedayKnown())
	require.NoError(t, err)
	var b bytes.Buffer
	now := time.Date(2026, 12, 19, 12, 0, 0, 0, time.UTC)
	require.NoError(t, printPlan(&b, c, now))
	assert.Contains(t, b.String(), "Sun 2026-12-20 03:17 UTC  nightly\n    node-crash, seed ")
	assert.Contains(t, b.String(), "Thu 2026-12-24 03:17 UTC  nightly  skipped: black-out turn of the year\n")
	assert.Equal(t, 8, strings.Count(b.String(), " UTC  "), "seven nights and a weekly draw")
	code, out, _ := cli(t, "gameday", "--config", "../../.github/gameday.yaml", "--dry-run")
	assert.Equal(t, exitMet, code)
	assert.NotEmpty(t, out)
}

// The command of a report does the same run by itself.
func TestGameDayRunsCanBeRepeated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "day.yaml")
	require.NoError(t, os.WriteFile(path, []byte(`name: d
schedules:
  - name: s
    cron: "@daily"
    scenarios: [node-crash]
    run: {topology: three-node, rps: 300.5, sessions: 400, before: 4s, trials: 2, objectives: {failover: p90 < 8 s}}
`), 0o600))
	c, err := gameday.Load(path, gamedayKnown())
	require.NoError(t, err)
	f := gamedayFlags{config: path}
	p := c.PlanToday(time.Now())[0].Runs[0]
	assert.Equal(t, fmt.Sprintf("fivenines run node-crash --backend process --topology three-node --rps 300.5 --sessions 400 --before 4s --trials 2 --objective 'failover=p90 < 8 s' --seed %d", p.Seed), f.runAgain(p))
}

const quickScenario = `name: quick
description: A node of a small topology is killed.
topology: three-node
workload: {rate: 200, sessions: 200, contested: {sessions: 4, rate: 20}}
timeline: {before: 3s, after: 8s, settle: 0s}
faults:
  - {kind: node-crash, params: {node: "primary:1"}, until: readback}
objectives: {failover: < 10 s, session-loss: 0, lost-writes: 0}
`

// Three runs of a game day. The program is killed in the middle of the second
// one's fault and started again: the fault is undone, the run is marked as
// interrupted, the first one is not repeated, the third one is run. A machine that
// is busy may make verdicts inconclusive: they are not what is tested here.
func TestGameDayThatIsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three topologies")
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "fivenines")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)

	var mu sync.Mutex
	var told []string
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		told = append(told, string(b))
	}))
	defer hook.Close()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "quick.yaml"), []byte(quickScenario), 0o600))
	config := filepath.Join(dir, "day.yaml")
	// A zone in which it is about noon, so that today does not end meanwhile.
	require.NoError(t, os.WriteFile(config, []byte(fmt.Sprintf(`name: d
timezone: Etc/GMT%+d
schedules:
  - {name: s, cron: "0 12 * * *", scenarios: [./quick.yaml, ./quick.yaml, ./quick.yaml]}
announce:
  - {kind: slack, url_env: HOOK, on: [start, end]}
`, time.Now().UTC().Hour()-12)), 0o600))
	folder := filepath.Join(dir, "store")
	once := func() *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), bin, "gameday", "--config", config, "--store", folder, "--once", "--plain")
		cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOOK="+hook.URL)
		return cmd
	}

	first := once()
	stderr, err := first.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, first.Start())
	var log strings.Builder
	faults := 0
	for s := bufio.NewScanner(stderr); s.Scan(); {
		log.WriteString(s.Text() + "\n")
		if !strings.Contains(s.Text(), "fault proved: ") {
			continue
		}
		if faults++; faults == 1 {
			// Meanwhile nobody else may run game days on the store.
			text, err := once().CombinedOutput()
			var exit *exec.ExitError
			require.True(t, errors.As(err, &exit), "%s", text)
			assert.Equal(t, exitRun, exit.ExitCode())
			assert.Contains(t, string(text), fmt.Sprintf("another game day uses this store (process %d holds", first.Process.Pid))
			continue
		}
		require.NoError(t, first.Process.Kill())
	}
	_ = first.Wait()
	require.Equal(t, 2, faults, "%s", log.String())

	// It left a journal, which says what runs and what is broken.
	journals, err := filepath.Glob(filepath.Join(dir, "fivenines-*", "journal", "*.jsonl"))
	require.NoError(t, err)
	require.Len(t, journals, 1)
	nodes := journalled(t, journals[0])
	require.Len(t, nodes, 3)

	second := once()
	text, err := second.CombinedOutput()
	var exit *exec.ExitError
	require.True(t, errors.As(err, &exit), "an interrupted run is not met: %s", text)
	assert.Contains(t, []int{exitRun, exitMiss}, exit.ExitCode(), "%s", text)
	assert.NoFileExists(t, journals[0])
	for _, pid := range nodes {
		assert.NoDirExists(t, fmt.Sprintf("/proc/%d", pid))
	}
	assert.Contains(t, string(text), "undone: run of process "+fmt.Sprint(first.Process.Pid)+", which was killed, left node-crash")

	s, err := store.Open(t.Context(), folder)
	require.NoError(t, err)
	defer s.Close()
	runs, err := s.Runs(t.Context(), 0)
	require.NoError(t, err)
	require.Len(t, runs, 3, "%s", text)
	assert.Equal(t, []store.State{store.Finished, store.Interrupted, store.Finished}, []store.State{runs[2].State, runs[1].State, runs[0].State}, "%s", text)
	assert.Contains(t, runs[1].Note, "the program was killed; undone at the next start: run of process "+fmt.Sprint(first.Process.Pid))
	assert.NotEqual(t, "met", string(runs[1].Verdict), "what it recorded is judged, and never met")
	page, err := os.ReadFile(filepath.Join(folder, gameday.IndexPage))
	require.NoError(t, err)
	assert.Contains(t, string(page), "1 interrupted")
	for _, r := range runs {
		assert.Contains(t, string(page), fmt.Sprintf(`href="runs/%s/report.html"`, r.Folder))
		assert.FileExists(t, filepath.Join(s.Path(&r), "report.html"))
		assert.FileExists(t, filepath.Join(s.Path(&r), "logs", "t001", "us-east-1-1.log"))
		assert.NoDirExists(t, filepath.Join(s.Path(&r), "work"), "the nodes' data")
	}
	mu.Lock()
	defer mu.Unlock()
	assert.Len(t, told, 6, "three started, three ended: %q", told)
}

// journalled are the processes that a journal names last.
func journalled(t *testing.T, path string) (pids []int) {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	all := map[int]bool{}
	for line := range bytes.Lines(b) {
		var e struct {
			Undo struct {
				Procs map[string]int
			} `json:"undo"`
		}
		require.NoError(t, json.Unmarshal(line, &e))
		for _, pid := range e.Undo.Procs {
			all[pid] = true
		}
	}
	for pid := range all {
		pids = append(pids, pid)
	}
	return pids
}
