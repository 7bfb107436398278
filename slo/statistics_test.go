package slo

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures/histories"
	"github.com/fivenines/fivenines/loadgen/history"
)

// several is a run whose trials are recorded histories.
func several(t testing.TB, names ...string) *record {
	t.Helper()
	rec := &record{}
	trials := map[int]*histories.History{}
	for i, name := range names {
		h, err := histories.Load(name)
		require.NoError(t, err)
		n := i + 1
		trials[n] = h
		if i == 0 {
			rec.manifest = h.Manifest
		}
		for _, e := range h.Events {
			if e.Kind == history.RunFinished {
				continue
			}
			e.Trial = n
			rec.events = append(rec.events, e)
		}
	}
	rec.manifest.Trials = len(names)
	rec.events = append(rec.events, history.Event{Kind: history.RunFinished, At: time.Hour, Trial: len(names)})
	rec.ops = func(trial int, fn func(*history.Op) error) error { return trials[trial].Ops(1, fn) }
	return rec
}

func times(n int, name string) []string {
	var names []string
	for range n {
		names = append(names, name)
	}
	return names
}

func judgedBy(t testing.TB, rec *record, cfg Config, exprs map[string]string) *Result {
	t.Helper()
	cfg.Objectives = nil
	for _, name := range Names() {
		if expr, ok := exprs[name]; ok {
			target, err := ParseTarget(name, expr)
			require.NoError(t, err)
			cfg.Objectives = append(cfg.Objectives, target)
		}
	}
	r, err := analyze(rec, cfg)
	require.NoError(t, err)
	return r
}

// Twenty-nine trials without a miss bound a p90, twenty-eight do not, and one
// miss among them neither (DESIGN section 5).
func TestQuantileNeedsItsTrials(t *testing.T) {
	_, cfg := load(t, "region-loss-good")
	p90 := map[string]string{Failover: "p90 < 2.5 s"} // it is 2.255 s
	for _, c := range []struct {
		trials  []string
		expr    string
		verdict Verdict
		says    string
	}{
		{times(29, "region-loss-good"), "p90 < 2.5 s", Met, "0 of 29 trials were not below 2.5 s; of all trials at most 9.81 % would not be"},
		{times(28, "region-loss-good"), "p90 < 2.5 s", Inconclusive, "p90 < 2.5 s needs 29 trials without a miss"},
		{times(6, "region-loss-good"), "p50 < 2.5 s", Met, "0 of 6"},
		{times(6, "region-loss-good"), "p50 < 2 s", Missed, "6 of 6"},
		// One miss is no proof against a p90: it happens in a tenth of sound runs. Two are.
		{times(1, "region-loss-good"), "p90 < 2 s", Inconclusive, "1 of 1 trials were not below 2 s"},
		{times(2, "region-loss-good"), "p90 < 2 s", Missed, "2 of 2 trials were not below 2 s"},
		{times(1, "region-loss-good"), "p99 < 2.5 s", Inconclusive, "needs 299 trials"},
		{append(times(20, "region-loss-good"), "no-end-bad"), "p50 < 2.5 s", Met, "1 of 21"},
	} {
		p90[Failover] = c.expr
		o := objective(judgedBy(t, several(t, c.trials...), cfg, p90), Failover)
		assert.Equal(t, c.verdict, o.Verdict, "%s on %d: %s", c.expr, len(c.trials), o.Evidence)
		assert.Contains(t, o.Evidence, c.says)
		assert.Greater(t, o.Quantile, 0.4)
	}
}

// Sequential trials are judged by a test that is valid whenever they stop: it
// takes more of them than one of a number that was fixed before.
func TestSequentialTrials(t *testing.T) {
	_, cfg := load(t, "region-loss-good")
	cfg.Sequential = true
	decided := 0
	for n := 20; n <= 45 && decided == 0; n++ {
		r := judgedBy(t, several(t, times(n, "region-loss-good")...), cfg, map[string]string{Failover: "p90 < 2.5 s", SessionLoss: "0"})
		if r.decided() {
			assert.Equal(t, Met, r.Verdict, r.Summary)
			decided = n
		} else {
			assert.Equal(t, Inconclusive, r.Verdict)
		}
	}
	assert.Greater(t, decided, 29, "a look after every trial costs trials")
	assert.LessOrEqual(t, decided, 40)

	bad := judgedBy(t, several(t, times(4, "region-loss-good")...), cfg, map[string]string{Failover: "p90 < 2 s"})
	assert.True(t, bad.decided())
	assert.Equal(t, Missed, bad.Verdict, bad.Summary)

	// What the trials show of safety ends them at once.
	lost := judgedBy(t, several(t, "region-loss-good", "lost-write-bad"), cfg, map[string]string{Failover: "p90 < 2.5 s", LostWrites: "0"})
	assert.True(t, lost.decided())
	assert.Equal(t, Missed, lost.Verdict)
}

// The judge of a run that goes on says what the analysis of the whole run would.
func TestJudgeAgreesWithAnalyze(t *testing.T) {
	_, cfg := load(t, "region-loss-good")
	_, err := NewJudge(cfg)
	require.Error(t, err, "trials of a fixed number are not judged one by one")
	cfg.Sequential = true
	target, err := ParseTarget(Failover, "p75 < 2.5 s")
	require.NoError(t, err)
	cfg.Objectives = []Target{target}
	rec := several(t, times(20, "region-loss-good")...)
	rec.sortEvents()
	j := &Judge{cfg: cfg, a: newAnalysis(rec, cfg)}
	for n := 1; n <= 20; n++ {
		require.NoError(t, j.a.trial(n))
		r, err := analyze(several(t, times(n, "region-loss-good")...), cfg)
		require.NoError(t, err)
		assert.Equal(t, r.decided(), j.Decided(), "after trial %d", n)
		assert.Equal(t, j.Decided(), j.Decided(), "asking changes nothing")
	}
	assert.True(t, j.Decided())
}

// A trial that says nothing of the fault is left out of many, and takes the
// verdict of few away. What it lost is lost all the same.
func TestVoidTrials(t *testing.T) {
	_, cfg := load(t, "region-loss-good")
	want := map[string]string{Failover: "< 5 s", LostWrites: "0", SessionLoss: "0"}
	for _, c := range []struct {
		trials  []string
		verdict Verdict
	}{
		{[]string{"region-loss-good", "unproved-bad"}, Inconclusive},
		{append(times(4, "region-loss-good"), "unproved-bad"), Met},
		{append(times(4, "region-loss-good"), "unproved-slow-bad"), Met},
		{append(times(3, "region-loss-good"), "unproved-bad", "unproved-bad"), Inconclusive},
		{append(times(4, "region-loss-good"), "unproved-lost-write-bad"), Missed},
	} {
		r := judgedBy(t, several(t, c.trials...), cfg, want)
		assert.Equal(t, c.verdict, r.Verdict, "%v: %s", c.trials, r.Summary)
		void := r.Trials[len(r.Trials)-1].Void
		require.NotEmpty(t, void)
		assert.Contains(t, void[0], fmt.Sprintf("trial %d: ", len(r.Trials)))
		assert.NotEmpty(t, r.Problems, "it is told")
	}
}

// A trial before whose fault the system was not well has no fault at all.
func TestTrialWithoutItsFaultIsVoid(t *testing.T) {
	_, cfg := load(t, "region-loss-good")
	rec := several(t, times(5, "region-loss-good")...)
	for i := range rec.events {
		if e := &rec.events[i]; e.Trial == 3 && e.Kind == history.FaultProved {
			e.Kind, e.Detail = history.TrialVoid, "it was not well"
		}
	}
	rec.events = deleteEvents(rec.events, 3, history.FaultAsked, history.FaultUndone)
	r := judgedBy(t, rec, cfg, map[string]string{Failover: "< 5 s", SessionLoss: "0"})
	assert.Equal(t, Met, r.Verdict, r.Summary)
	assert.Equal(t, []string{"trial 3: it was not well"}, r.Trials[2].Void)
	require.NotNil(t, r.Statistics)
	assert.Equal(t, 4, r.Statistics.Trials)
	assert.Equal(t, 1, r.Statistics.Void)
}

// Void or not, what it failed to serve before the fault counts.
func TestVoidTrialsServe(t *testing.T) {
	_, cfg := load(t, "region-loss-good")
	rec := several(t, append(times(4, "region-loss-good"), "not-steady-bad")...)
	r := judgedBy(t, rec, cfg, map[string]string{Failover: "< 5 s", Availability: ">= 90 %"})
	require.NotEmpty(t, r.Trials[4].Void)
	assert.Contains(t, objective(r, Availability).Evidence, "of 4450 operations", "of all five")
	assert.Equal(t, Met, objective(r, Failover).Verdict)
}

func deleteEvents(es []history.Event, trial int, kinds ...string) []history.Event {
	var out []history.Event
	for _, e := range es {
		drop := false
		for _, k := range kinds {
			drop = drop || e.Trial == trial && e.Kind == k
		}
		if !drop {
			out = append(out, e)
		}
	}
	return out
}

func TestStatistics(t *testing.T) {
	_, cfg := load(t, "region-loss-good")
	assert.Nil(t, judgedBy(t, several(t, "region-loss-good"), cfg, nil).Statistics, "one trial supports none")

	r := judgedBy(t, several(t, append(times(19, "region-loss-good"), "no-end-bad")...), cfg, map[string]string{Failover: "< 5 s"})
	s := r.Statistics
	require.NotNil(t, s)
	assert.Equal(t, 20, s.Trials)
	assert.InDelta(t, 0.861, s.Quantile, 0.001) // 0.05^(1/20)
	by := map[string]TrialStatistics{}
	for _, m := range s.Measures {
		by[m.Name] = m
	}
	f := by[Failover]
	require.Len(t, f.Values, 20)
	assert.True(t, f.Values[19].Censored)
	assert.Nil(t, f.Mean, "of a duration that was not seen to end there is no mean")
	require.NotNil(t, f.Median)
	assert.InDelta(t, 2.255, f.Median.Value, 1e-6)
	assert.Equal(t, 1, f.Misses)
	assert.InDelta(t, 0.05, f.Missing.Value, 1e-9)
	// Clopper and Pearson, 1 of 20.
	assert.InDelta(t, 0.00127, *f.Missing.Lower, 1e-5)
	assert.InDelta(t, 0.24873, *f.Missing.Upper, 1e-5)

	l := by[SessionLoss]
	assert.Zero(t, l.Misses)
	require.NotNil(t, l.Missing, "a count has a natural target")
	assert.InDelta(t, 0.1684, *l.Missing.Upper, 1e-4) // two-sided: 1-0.025^(1/20)
}

func TestQuantileTargets(t *testing.T) {
	target, err := ParseTarget(RTO, "p99 < 300 s")
	require.NoError(t, err)
	assert.InDelta(t, 0.99, target.Quantile, 1e-12)
	assert.Equal(t, "p99 < 300 s", target.String())
	target, err = ParseTarget(Failover, "p99.9 < 1 m")
	require.NoError(t, err)
	assert.Equal(t, "p99.9 < 60 s", target.String())
	for name, expr := range map[string]string{
		MTTD: "p90 < 5 s", SessionLoss: "p90 0", Availability: "p90 >= 99 %", Failover: "p100 < 5 s", RPO: "p0 < 5 s", RTO: "p < 5 s",
	} {
		_, err := ParseTarget(name, expr)
		assert.Error(t, err, "%s: %s", name, expr)
	}
}
