package gameday

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/reports/store"
	"github.com/fivenines/fivenines/scenarios"
	"github.com/fivenines/fivenines/slo"
)

// fakeClock moves when the plan waits for it, and a run moves it by what it takes.
type fakeClock struct {
	mu   sync.Mutex
	now  time.Time
	busy bool      // a run is on: who waits now, for a black-out, moves nothing
	end  time.Time // waiting goes no further: who waits longer is stopped
	stop context.CancelFunc
	wait chan struct{} // closed and made anew whenever the time moves
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
	close(c.wait)
	c.wait = make(chan struct{})
}

func (c *fakeClock) running(yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = yes
}

func (c *fakeClock) Until(ctx context.Context, t time.Time) error {
	c.mu.Lock()
	moves := !c.busy && t.After(c.now)
	c.mu.Unlock()
	if moves {
		if t.After(c.end) {
			c.stop()
		} else {
			c.set(t)
		}
	}
	for {
		c.mu.Lock()
		now, moved := c.now, c.wait
		c.mu.Unlock()
		if !t.After(now) {
			return ctx.Err()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-moved:
		}
	}
}

// rig is a runner whose runs take a time and give a result that the test says.
type rig struct {
	*Runner
	clock *fakeClock
	dir   string
	ctx   context.Context
	ran   []string
	log   strings.Builder
	does  func(ctx context.Context, key string) (*slo.Result, error)
}

func newRig(t *testing.T, text, start string) *rig {
	t.Helper()
	g := &rig{dir: t.TempDir(), clock: &fakeClock{now: at(t, start), wait: make(chan struct{})}}
	g.clock.end = g.clock.now.AddDate(0, 0, 3)
	g.ctx, g.clock.stop = context.WithCancel(t.Context())
	t.Cleanup(g.clock.stop)
	g.does = func(context.Context, string) (*slo.Result, error) { return outcomeOf(slo.Met, 0, 2), nil }
	g.reopen(t, text)
	return g
}

// reopen is another start of the program.
func (g *rig) reopen(t *testing.T, text string) {
	t.Helper()
	s, err := store.Open(t.Context(), g.dir)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	g.Runner = &Runner{
		Config: load(t, text), Store: s, Clock: g.clock, Getenv: func(string) string { return "" },
		Undo: func(context.Context) ([]string, error) { return nil, nil },
		Log: func(format string, args ...any) {
			fmt.Fprintf(&g.log, format+"\n", args...)
			g.clock.running(strings.Contains(format, "into")) // what is said last before a run
		},
		Execute: func(ctx context.Context, p Planned, out string) (*slo.Result, error) {
			g.ran = append(g.ran, p.Key)
			if err := os.MkdirAll(out, 0o755); err != nil {
				return nil, err
			}
			res, err := g.does(ctx, p.Key)
			if res != nil {
				err = errors.Join(err, os.WriteFile(filepath.Join(out, "report.html"), []byte("x"), 0o600))
			}
			if err == nil {
				g.clock.set(g.clock.Now().Add(2 * time.Minute))
			}
			return res, err
		},
	}
}

func (g *rig) rows(t *testing.T) (out []string) {
	t.Helper()
	runs, err := g.Store.Runs(t.Context(), 0)
	require.NoError(t, err)
	for i := len(runs) - 1; i >= 0; i-- {
		r := runs[i]
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Key, r.State, r.Verdict)))
	}
	return out
}

func (g *rig) page(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(g.dir, IndexPage))
	require.NoError(t, err)
	return string(b)
}

const twoRuns = `name: d
schedules:
  - {name: n, cron: "30 2 * * *", scenarios: [node-crash, region-loss]}
blackouts:
  - {name: freeze, first: 2026-12-02, last: 2026-12-02}
`

func TestServeRunsWhatIsDue(t *testing.T) {
	g := newRig(t, twoRuns, "2026-11-30 02:00")
	require.NoError(t, g.Serve(g.ctx), "being stopped is no error")
	assert.Equal(t, []string{
		"n/2026-11-30T02:30/1 finished met", "n/2026-11-30T02:30/2 finished met",
		"n/2026-12-01T02:30/1 finished met", "n/2026-12-01T02:30/2 finished met",
		"n/2026-12-02T02:30/1 skipped", "n/2026-12-02T02:30/2 skipped",
	}, g.rows(t))
	assert.Contains(t, g.log.String(), "n/2026-12-02T02:30/1: skipped: its time is in the black-out freeze")
	assert.Contains(t, g.log.String(), "next: Thu 2026-12-03 02:30 UTC  n: node-crash, region-loss")
	assert.Contains(t, g.page(t), "4 met, 2 skipped")
	runs, err := g.Store.Runs(t.Context(), 0)
	require.NoError(t, err)
	assert.Equal(t, at(t, "2026-11-30 02:30"), runs[5].Started)
	assert.Equal(t, at(t, "2026-11-30 02:32"), runs[4].Started, "one after the other")
}

// The worst verdict counts, what ran is not repeated, and --again does.
func TestOnce(t *testing.T) {
	g := newRig(t, twoRuns, "2026-11-30 12:00")
	g.does = func(_ context.Context, key string) (*slo.Result, error) {
		if strings.HasSuffix(key, "/1") {
			return outcomeOf(slo.Missed, 0, 9), nil
		}
		return outcomeOf(slo.Inconclusive, 0, 2), nil
	}
	v, err := g.Once(g.ctx)
	require.NoError(t, err)
	assert.Equal(t, slo.Missed, v, "a miss is not hidden by what could not be told")
	assert.Len(t, g.ran, 2)

	g.reopen(t, twoRuns)
	v, err = g.Once(g.ctx)
	require.NoError(t, err)
	assert.Equal(t, slo.Missed, v, "what ran today counts")
	assert.Len(t, g.ran, 2, "and is not repeated")
	assert.Contains(t, g.log.String(), "n/2026-11-30T02:30/1: ran today already and is missed")

	g.Again = true
	g.does = func(context.Context, string) (*slo.Result, error) { return outcomeOf(slo.Met, 0, 2), nil }
	v, err = g.Once(g.ctx)
	require.NoError(t, err)
	assert.Equal(t, slo.Met, v)
	assert.Len(t, g.ran, 4)
}

func TestOnceInABlackout(t *testing.T) {
	g := newRig(t, twoRuns, "2026-12-02 12:00")
	for range 2 {
		v, err := g.Once(g.ctx)
		require.NoError(t, err)
		assert.Equal(t, slo.NotEvaluated, v, "what did not run says nothing")
	}
	assert.Empty(t, g.ran)
	assert.Equal(t, []string{"n/2026-12-02T02:30/1 skipped", "n/2026-12-02T02:30/2 skipped"}, g.rows(t), "each once")

	// The plan is outside, but it is given in the black-out.
	now := strings.Replace(twoRuns, "first: 2026-12-02, last: 2026-12-02", "from: 11:00, to: 13:00", 1)
	g = newRig(t, now, "2026-12-02 12:00")
	_, err := g.Once(g.ctx)
	require.NoError(t, err)
	assert.Empty(t, g.ran)
	assert.Contains(t, g.log.String(), "the black-out freeze is on")
	// When it is over, what was skipped can run.
	g.clock.set(at(t, "2026-12-02 13:00"))
	_, err = g.Once(g.ctx)
	require.NoError(t, err)
	assert.Len(t, g.ran, 2)
}

// A black-out that begins during a run ends it.
func TestBlackoutEndsARun(t *testing.T) {
	text := strings.Replace(twoRuns, "first: 2026-12-02, last: 2026-12-02", "from: 02:31, to: 05:00", 1)
	g := newRig(t, text, "2026-11-30 02:30")
	g.clock.end = at(t, "2026-11-30 02:40")
	g.does = func(ctx context.Context, key string) (*slo.Result, error) {
		g.clock.set(at(t, "2026-11-30 02:31"))
		<-ctx.Done()
		return outcomeOf(slo.Inconclusive, 0, 2), scenarios.ErrInterrupted
	}
	v, err := g.Once(g.ctx)
	require.NoError(t, err)
	assert.Equal(t, slo.Inconclusive, v)
	assert.Equal(t, []string{"n/2026-11-30T02:30/1 interrupted inconclusive", "n/2026-11-30T02:30/2 skipped"}, g.rows(t))
	assert.Contains(t, g.log.String(), "black-out freeze began; everything was undone")
}

// Who is stopped keeps what was, and the next start runs the rest of the day.
func TestStopped(t *testing.T) {
	g := newRig(t, twoRuns, "2026-11-30 12:00")
	g.does = func(ctx context.Context, _ string) (*slo.Result, error) {
		g.clock.stop()
		<-ctx.Done()
		return nil, scenarios.ErrInterrupted
	}
	v, err := g.Once(g.ctx)
	require.NoError(t, err)
	assert.Equal(t, slo.Inconclusive, v)
	assert.Equal(t, []string{"n/2026-11-30T02:30/1 interrupted"}, g.rows(t))
	g.does = func(context.Context, string) (*slo.Result, error) { return outcomeOf(slo.Met, 0, 2), nil }
	v, err = g.Once(t.Context())
	require.NoError(t, err)
	assert.Equal(t, slo.Inconclusive, v, "the interrupted one is part of the day")
	assert.Equal(t, []string{"n/2026-11-30T02:30/1 interrupted", "n/2026-11-30T02:30/2 finished met"}, g.rows(t))
}

// killed makes the rows that a killed process leaves: its first run was met,
// its second one was on.
func killed(t *testing.T, g *rig) {
	t.Helper()
	done, on := g.Config.PlanToday(g.clock.Now())[0], g.Config.PlanToday(g.clock.Now())[0]
	row := g.row(done, done.Runs[0], g.clock.Now())
	row.State = store.Running
	require.NoError(t, g.Store.Begin(t.Context(), row))
	row.State, row.Ended = store.Finished, g.clock.Now()
	require.NoError(t, g.Store.Finish(t.Context(), row, outcomeOf(slo.Met, 0, 2)))
	row = g.row(on, on.Runs[1], g.clock.Now())
	row.State, row.Folder = store.Running, "cut"
	require.NoError(t, os.MkdirAll(g.Store.Path(row), 0o755))
	require.NoError(t, g.Store.Begin(t.Context(), row))
}

const threeRuns = `name: d
schedules:
  - {name: n, cron: "30 2 * * *", scenarios: [node-crash, region-loss, node-pause]}
`

// After a kill the fault is undone first, the run is marked, what it recorded is
// judged, and the others of its time go on; with --once and without.
func TestKilled(t *testing.T) {
	for _, once := range []bool{true, false} {
		g := newRig(t, threeRuns, "2026-11-30 02:40")
		killed(t, g)
		var order []string
		g.Undo = func(context.Context) ([]string, error) {
			order = append(order, "undo")
			return []string{"run of process 7, which was killed, left node-crash(node=primary:1)"}, nil
		}
		g.Salvage = func(dir string) (*slo.Result, error) {
			order = append(order, "salvage "+filepath.Base(dir))
			return outcomeOf(slo.Inconclusive, 0, 2), nil
		}
		g.does = func(context.Context, string) (*slo.Result, error) {
			order = append(order, "run")
			return outcomeOf(slo.Met, 0, 2), nil
		}
		if once {
			v, err := g.Once(g.ctx)
			require.NoError(t, err)
			assert.Equal(t, slo.Inconclusive, v)
		} else {
			g.clock.end = at(t, "2026-11-30 12:00")
			require.NoError(t, g.Serve(g.ctx))
		}
		assert.Equal(t, []string{"undo", "salvage cut", "run"}, order)
		assert.Equal(t, []string{"n/2026-11-30T02:30/1 finished met", "n/2026-11-30T02:30/2 interrupted inconclusive", "n/2026-11-30T02:30/3 finished met"}, g.rows(t))
		assert.Contains(t, g.page(t), "The program was killed; undone at the next start: run of process 7, which was killed, left node-crash(node=primary:1)")
	}
}

// What cannot be undone ends the game day before anything else is broken.
func TestNothingRunsOnWhatIsBroken(t *testing.T) {
	g := newRig(t, threeRuns, "2026-11-30 02:40")
	killed(t, g)
	g.Undo = func(context.Context) ([]string, error) { return nil, errors.New("node n1 does not end") }
	_, err := g.Once(g.ctx)
	require.EqualError(t, err, "undo what an earlier run left: node n1 does not end")
	require.Error(t, g.Serve(g.ctx))
	assert.Empty(t, g.ran)
	left, err := g.Store.Orphans(t.Context())
	require.NoError(t, err)
	assert.Len(t, left, 1, "the next start tries again")
}

// An old occasion is not gone on with, and one that was slept through is kept as skipped.
func TestTooLate(t *testing.T) {
	g := newRig(t, threeRuns, "2026-11-30 02:40")
	killed(t, g)
	g.clock.set(at(t, "2026-11-30 20:00"))
	g.clock.end = at(t, "2026-12-01 01:00")
	require.NoError(t, g.Serve(g.ctx))
	assert.Empty(t, g.ran)

	g = newRig(t, threeRuns, "2026-11-30 02:00")
	g.clock.end = at(t, "2026-12-01 02:00")
	g.does = func(context.Context, string) (*slo.Result, error) {
		g.clock.set(g.clock.Now().Add(26 * time.Hour))
		g.does = func(context.Context, string) (*slo.Result, error) { return outcomeOf(slo.Met, 0, 2), nil }
		return outcomeOf(slo.Met, 0, 2), nil
	}
	require.NoError(t, g.Serve(g.ctx))
	assert.Equal(t, []string{
		"n/2026-11-30T02:30/1 finished met", "n/2026-11-30T02:30/2 finished met", "n/2026-11-30T02:30/3 finished met",
		"n/2026-12-01T02:30/1 skipped", "n/2026-12-01T02:30/2 skipped", "n/2026-12-01T02:30/3 skipped",
	}, g.rows(t))
}

// A regression is kept, shown and announced; a run that does not work is
// inconclusive, and what announces nothing fails nothing.
func TestRegressionAndFailure(t *testing.T) {
	hook := listen(t, fine)
	text := strings.Replace(twoRuns, "[node-crash, region-loss]", "[node-crash]", 1) +
		"announce:\n  - {kind: slack, url: \"" + hook.URL + "\", on: [start, end, missed, regression]}\n" +
		"  - {kind: slack, url: \"http://127.0.0.1:1/secret\", on: [regression]}\nretention: {runs: 1}\n"
	g := newRig(t, text, "2026-11-29 12:00")
	for i, res := range []*slo.Result{outcomeOf(slo.Met, 0, 2), outcomeOf(slo.Missed, 3, 9), nil} {
		g.clock.set(at(t, "2026-11-29 12:00").AddDate(0, 0, i))
		g.does = func(context.Context, string) (*slo.Result, error) {
			if res == nil {
				return nil, errors.New("no Docker Engine")
			}
			return res, nil
		}
		v, err := g.Once(g.ctx)
		require.NoError(t, err)
		assert.Equal(t, []slo.Verdict{slo.Met, slo.Missed, slo.Inconclusive}[i], v)
	}
	runs, err := g.Store.Runs(t.Context(), 0)
	require.NoError(t, err)
	require.Len(t, runs, 3)
	assert.Equal(t, []any{store.Failed, "no Docker Engine"}, []any{runs[0].State, runs[0].Note})
	assert.Equal(t, "failover: met before, now missed; lost-writes 3, before 0", runs[1].Regression)
	assert.Empty(t, runs[2].Regression)
	assert.Empty(t, runs[2].Folder, "retention")
	assert.NoDirExists(t, filepath.Join(g.dir, store.RunsDir, "20261129T120000Z-node-crash"))

	var heads []string
	for _, s := range hook.all() {
		s, _, _ = strings.Cut(strings.TrimPrefix(s, `/ {"text":"*Game day d: node-crash `), "*")
		heads = append(heads, s)
	}
	assert.Len(t, heads, 8)
	assert.Equal(t, []string{"is met", "is missed", "missed its objectives", "got worse", "could not be run"}, []string{heads[1], heads[3], heads[4], heads[5], heads[7]})

	page := g.page(t)
	assert.Contains(t, page, "Worse: failover: met before, now missed; lost-writes 3, before 0.")
	assert.Contains(t, page, "No Docker Engine.")
	assert.Contains(t, page, "connection refused", "what was not announced is shown")
	assert.NotContains(t, page, "secret")
	told, err := g.Store.Announcements(t.Context(), 100)
	require.NoError(t, err)
	assert.Len(t, told, 9)
}

// Runs of another load are not compared with each other.
func TestSetups(t *testing.T) {
	of := func(text string) Planned { return load(t, text).PlanToday(at(t, "2026-12-01 00:00"))[0].Runs[0] }
	one := setup(of(goodFile))
	assert.NotEmpty(t, one)
	for _, c := range []struct {
		from, to string
		same     bool
	}{
		{"rps: 300", "rps: 301", false}, {"three-node", "three-region", false}, {"after: 12s", "after: 13s", false}, {"rps: 300", "backend: container, rps: 300", false},
		{"seed: 7", "seed: 8", true}, {"failover: < 8 s", "failover: < 7 s", true}, {"rps: 300", "trials: 9, rps: 300", true},
	} {
		assert.Equal(t, c.same, one == setup(of(strings.Replace(goodFile, c.from, c.to, 1))), c.to)
	}
}
