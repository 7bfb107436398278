package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/slo"
)

func opened(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func running(key string) *Run {
	return &Run{Key: key, Schedule: "nights", Scenario: "node-crash", Planned: noon, Started: noon.Add(time.Second), State: Running,
		Seed: 7, Backend: "process", Setup: "s1", Folder: key}
}

func value(v float64) *slo.Value { return &slo.Value{Value: v} }

// result of trials with these failovers; a negative one is void.
func result(v slo.Verdict, failovers ...float64) *slo.Result {
	r := &slo.Result{Schema: "fivenines/v1", Scenario: "node-crash", Verdict: v, Summary: "it went " + string(v), Target: "reference", Backend: "process"}
	for _, f := range failovers {
		t := slo.Trial{Measures: slo.Measures{LostWrites: 1, Failover: &slo.Outage{Value: max(f, -f), Partitions: []slo.PartitionOutage{{Partition: 3}}}, RPO: value(0.5)}}
		if f < 0 {
			t.Void = []string{"late"}
		}
		r.Trials = append(r.Trials, t)
	}
	return r
}

func TestRunsSurviveReopening(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a store? with #odd% name")
	s := opened(t, dir)
	r := running("a/1")
	require.NoError(t, s.Begin(t.Context(), r))
	r.State, r.Ended, r.Regression = Finished, noon.Add(time.Minute), "failover"
	require.NoError(t, s.Finish(t.Context(), r, result(slo.Met, 1.5, 2.5, -9)))
	skipped := &Run{Key: "a/2", Schedule: "nights", Scenario: "x", Planned: noon, Started: noon, Ended: noon, State: Skipped, Note: "black-out"}
	require.NoError(t, s.Begin(t.Context(), skipped))
	require.NoError(t, s.Announced(t.Context(), Announcement{Run: r.ID, At: noon, Event: "end", Hook: "announce[0]", Error: "no"}))
	require.NoError(t, s.Close())

	s = opened(t, dir)
	runs, err := s.Runs(t.Context(), 0)
	require.NoError(t, err)
	require.Len(t, runs, 2)
	assert.Equal(t, *skipped, runs[0], "newest first")
	got := runs[1]
	assert.Equal(t, *r, got)
	assert.InDelta(t, 2.5, *got.Failover, 0, "the void trial does not count")
	assert.InDelta(t, 0.5, *got.RPO, 0)
	assert.Equal(t, 3, *got.LostWrites, "but what it lost is lost")
	assert.Equal(t, []any{3, 2}, []any{got.Trials, got.Valid})
	told, err := s.Announcements(t.Context(), 10)
	require.NoError(t, err)
	assert.Equal(t, []Announcement{{Run: r.ID, At: noon, Event: "end", Hook: "announce[0]", Error: "no"}}, told)
	one, err := s.Runs(t.Context(), 1)
	require.NoError(t, err)
	assert.Len(t, one, 1)
}

func TestPreviousAreThoseThatCompare(t *testing.T) {
	s := opened(t, t.TempDir())
	add := func(key string, state State, v slo.Verdict, setup string, failover float64) *Run {
		r := running(key)
		r.Setup = setup
		require.NoError(t, s.Begin(t.Context(), r))
		r.State = state
		require.NoError(t, s.Finish(t.Context(), r, result(v, failover)))
		return r
	}
	add("1", Finished, slo.Met, "s1", 1)
	add("2", Finished, slo.Missed, "s1", 2)
	add("3", Interrupted, slo.Met, "s1", 3)
	add("4", Finished, slo.Inconclusive, "s1", 4)
	add("5", Finished, slo.Met, "s2", 5)
	now := add("6", Finished, slo.Met, "s1", 6)
	add("7", Finished, slo.Met, "s1", 7)
	got, err := s.Previous(t.Context(), now, 20)
	require.NoError(t, err)
	require.Len(t, got, 2)
	assert.InDelta(t, 2, got[0].Trials[0].Measures.Failover.Value, 0, "newest first")
	assert.InDelta(t, 1, got[1].Trials[0].Measures.Failover.Value, 0)
	assert.Empty(t, got[0].Trials[0].Measures.Failover.Partitions, "what no comparison needs is left out")
	assert.Equal(t, slo.Missed, got[0].Verdict)
}

// An index of an earlier version is brought to this one with what is in it; a
// later one is refused and left as it is.
func TestMigration(t *testing.T) {
	dir := t.TempDir()
	old, err := open(t.Context(), dir, migrations[:1])
	require.NoError(t, err)
	_, err = old.db.Exec(`INSERT INTO runs (key, schedule, scenario, planned, started, state, seed, backend, setup, verdict) VALUES ('k', 's', 'node-crash', 1, 2, 'finished', 3, 'process', 'x', 'met')`)
	require.NoError(t, err)
	require.NoError(t, old.Close())

	s := opened(t, dir)
	runs, err := s.Runs(t.Context(), 0)
	require.NoError(t, err)
	require.Len(t, runs, 1)
	assert.Equal(t, slo.Met, runs[0].Verdict)
	assert.Empty(t, runs[0].Regression)
	require.NoError(t, s.Announced(t.Context(), Announcement{Run: runs[0].ID, At: noon}))
	require.NoError(t, s.Close())

	later, err := open(t.Context(), dir, append(append([]string{}, migrations...), "CREATE TABLE later (x)"))
	require.NoError(t, err)
	require.NoError(t, later.Close())
	_, err = Open(t.Context(), dir)
	require.ErrorContains(t, err, fmt.Sprintf("it has version %d, and this program knows up to %d", len(migrations)+1, len(migrations)))
	_, err = open(t.Context(), t.TempDir(), append(append([]string{}, migrations...), "CREATE NONSENSE"))
	require.ErrorContains(t, err, fmt.Sprintf("bring it to version %d", len(migrations)+1))
}

func TestNoIndex(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, IndexFile), []byte(strings.Repeat("this is no database. ", 100)), 0o600))
	_, err := Open(t.Context(), dir)
	require.ErrorContains(t, err, IndexFile)
}

// Two that write at the same time wait for each other: nothing is lost, and
// nobody is told that the index is busy. Both open it while it is new.
func TestTwoWriters(t *testing.T) {
	dir := t.TempDir()
	const each = 40
	var all sync.WaitGroup
	for w := range 2 {
		all.Go(func() {
			s, err := Open(context.Background(), dir)
			if !assert.NoError(t, err) {
				return
			}
			defer s.Close()
			for i := range each {
				r := running(fmt.Sprintf("%d/%d", w, i))
				if !assert.NoError(t, s.Begin(context.Background(), r)) {
					return
				}
				r.State = Finished
				if !assert.NoError(t, s.Finish(context.Background(), r, result(slo.Met, 1))) {
					return
				}
			}
		})
	}
	all.Wait()
	s := opened(t, dir)
	runs, err := s.Runs(t.Context(), 0)
	require.NoError(t, err)
	assert.Len(t, runs, 2*each)
	for _, r := range runs {
		assert.Equal(t, Finished, r.State)
	}
}

// SQLite does not wait, whatever its busy timeout, where an opener that is to turn
// the index to WAL mode finds that another one writes to it.
func TestAnIndexThatIsBeingMade(t *testing.T) {
	dir := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(dir, IndexFile))
	require.NoError(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	_, err = db.Exec("BEGIN IMMEDIATE")
	require.NoError(t, err)
	opened := make(chan error, 1)
	go func() {
		s, err := Open(context.Background(), dir)
		if err == nil {
			err = s.Close()
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		t.Fatalf("it was not waited for: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	_, err = db.Exec("COMMIT")
	require.NoError(t, err)
	require.NoError(t, <-opened)
}

func TestLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	l, err := AcquireLock(dir)
	require.NoError(t, err)
	_, err = AcquireLock(dir)
	require.ErrorIs(t, err, ErrLocked)
	require.ErrorContains(t, err, fmt.Sprintf("process %d holds %s", os.Getpid(), filepath.Join(dir, LockFile)))
	require.NoError(t, l.Release())
	l, err = AcquireLock(dir)
	require.NoError(t, err)
	require.NoError(t, l.Release())
}

// A process that is killed leaves no lock, whole rows, and a run that is found.
func TestKilledOwner(t *testing.T) {
	dir := os.Getenv("STORE_OF_A_CHILD")
	if dir != "" {
		_, err := AcquireLock(dir)
		require.NoError(t, err)
		s, err := Open(context.Background(), dir)
		require.NoError(t, err)
		require.NoError(t, s.Begin(context.Background(), running("killed")))
		fmt.Println("it runs")
		select {}
	}
	dir = t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestKilledOwner$")
	cmd.Env = append(os.Environ(), "STORE_OF_A_CHILD="+dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	b := make([]byte, 7)
	_, err = out.Read(b)
	require.NoError(t, err)
	_, err = AcquireLock(dir)
	require.ErrorIs(t, err, ErrLocked)
	require.NoError(t, cmd.Process.Kill())
	var exit *exec.ExitError
	require.True(t, errors.As(cmd.Wait(), &exit))

	l, err := AcquireLock(dir)
	require.NoError(t, err)
	defer l.Release()
	s := opened(t, dir)
	left, err := s.Orphans(t.Context())
	require.NoError(t, err)
	require.Len(t, left, 1)
	assert.Equal(t, "killed", left[0].Key)
}

func TestPruneRemovesFoldersAndKeepsRows(t *testing.T) {
	s := opened(t, t.TempDir())
	for i := range 5 {
		path, name := s.NewFolder("node-crash", noon)
		require.NoError(t, os.MkdirAll(filepath.Join(path, "logs"), 0o755))
		r := running(fmt.Sprint(i))
		r.Folder = name
		require.NoError(t, s.Begin(t.Context(), r))
		if i == 4 {
			break // still running
		}
		r.State, r.Ended = Finished, noon.AddDate(0, 0, i)
		require.NoError(t, s.Finish(t.Context(), r, result(slo.Met, 1)))
	}
	removed, err := s.Prune(t.Context(), 0, time.Time{})
	require.NoError(t, err)
	assert.Empty(t, removed, "no bound")
	removed, err = s.Prune(t.Context(), 3, time.Time{})
	require.NoError(t, err)
	assert.Equal(t, []string{"20261130T120000Z-node-crash"}, removed)
	removed, err = s.Prune(t.Context(), 0, noon.AddDate(0, 0, 2))
	require.NoError(t, err)
	assert.Equal(t, []string{"20261130T120000Z-node-crash-2"}, removed)
	left, err := os.ReadDir(filepath.Join(s.Dir(), RunsDir))
	require.NoError(t, err)
	assert.Len(t, left, 3)
	runs, err := s.Runs(t.Context(), 0)
	require.NoError(t, err)
	assert.Len(t, runs, 5)
	assert.Empty(t, runs[4].Folder)
	assert.Equal(t, slo.Met, runs[4].Verdict)

	// A row that names something else removes nothing.
	evil := running("evil")
	evil.Folder = "../../elsewhere"
	require.NoError(t, s.Begin(t.Context(), evil))
	evil.State, evil.Ended = Finished, noon
	require.NoError(t, s.Finish(t.Context(), evil, nil))
	_, err = s.Prune(t.Context(), 0, noon.AddDate(0, 0, 1))
	require.ErrorContains(t, err, "is no name of a folder")
}
