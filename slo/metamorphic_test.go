package slo

import (
	"encoding/json"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures/histories"
	"github.com/fivenines/fivenines/loadgen/history"
)

// essence is what no renaming may change: measures and verdicts.
func essence(t testing.TB, h *histories.History) string {
	t.Helper()
	r, err := analyze(recordOf(h), configOf(t, h))
	require.NoError(t, err)
	type fault struct{ Failover, Undo, Detect, RTO, RPO, Restart any }
	out := struct {
		Verdict  Verdict
		Summary  string
		Problems []string
		Rows     map[string]any
		Measures []Measures
		Faults   []fault
		Load     Load
	}{Verdict: r.Verdict, Summary: r.Summary, Problems: r.Problems, Rows: map[string]any{}, Load: r.Load}
	for _, o := range r.Objectives {
		out.Rows[o.Name] = []any{o.Verdict, o.Measured}
	}
	withoutPlaces := func(o *Outage) any {
		if o == nil {
			return nil
		}
		c := *o
		c.Partitions = nil
		return c
	}
	for _, tr := range r.Trials {
		m := tr.Measures
		if m.Failover != nil {
			m.Failover = ptr(withoutPlaces(m.Failover).(Outage))
		}
		out.Measures = append(out.Measures, m)
		for _, f := range tr.Faults {
			out.Faults = append(out.Faults, fault{withoutPlaces(f.Failover), withoutPlaces(f.Undo), f.TimeToDetect, f.RTO, f.RPO, f.Restart})
		}
	}
	b, err := json.MarshalIndent(out, "", " ")
	require.NoError(t, err)
	return string(b)
}

// changed is a copy of a history with its operations and events changed.
func changed(h *histories.History, op func(*history.Op), ev func(*history.Event), order func([]history.Op)) *histories.History {
	c := *h
	c.Events, c.Trials = nil, map[int][]history.Op{}
	for _, e := range h.Events {
		if ev != nil {
			ev(&e)
		}
		c.Events = append(c.Events, e)
	}
	for n, ops := range h.Trials {
		var out []history.Op
		for _, o := range ops {
			if op != nil {
				op(&o)
			}
			out = append(out, o)
		}
		if order != nil {
			order(out)
		}
		c.Trials[n] = out
	}
	return &c
}

// What is called what, when the run began and in which order things were
// written down changes no measure and no verdict.
func TestMetamorphic(t *testing.T) {
	for _, name := range histories.Names() {
		t.Run(name, func(t *testing.T) {
			h, err := histories.Load(name)
			require.NoError(t, err)
			want := essence(t, h)

			const shift = 7*time.Second + 123456789*time.Nanosecond
			assert.Equal(t, want, essence(t, changed(h, func(o *history.Op) {
				o.Intended += shift
				o.Start += shift
				o.End += shift
			}, func(e *history.Event) { e.At += shift }, nil)), "all times shifted")

			assert.Equal(t, want, essence(t, changed(h, func(o *history.Op) {
				o.Client, o.Writer = 900-o.Client, 900-o.Writer
			}, nil, nil)), "clients renumbered")

			assert.Equal(t, want, essence(t, changed(h, func(o *history.Op) {
				o.Session = 1<<40 - o.Session*7919
			}, nil, nil)), "sessions renumbered")

			assert.Equal(t, want, essence(t, changed(h, func(o *history.Op) {
				o.Partition = 1 - o.Partition
			}, nil, nil)), "partitions renumbered")

			assert.Equal(t, want, essence(t, changed(h, nil, nil, func(ops []history.Op) {
				rand.New(rand.NewPCG(1, 2)).Shuffle(len(ops), func(i, j int) { ops[i], ops[j] = ops[j], ops[i] })
			})), "recorded in another order")
		})
	}
}

// Sessions have nothing to do with each other: a history beside itself, with the
// sessions under other names, counts everything twice and measures what it did.
func TestInterleaved(t *testing.T) {
	counted := 0
	for _, name := range histories.Names() {
		h, err := histories.Load(name)
		require.NoError(t, err)
		one, err := analyze(recordOf(h), configOf(t, h))
		require.NoError(t, err)
		both := changed(h, nil, nil, nil)
		for n, ops := range h.Trials {
			for _, o := range ops {
				o.Session += 1 << 20
				both.Trials[n] = append(both.Trials[n], o)
			}
			rand.New(rand.NewPCG(3, 4)).Shuffle(len(both.Trials[n]), func(i, j int) { ops := both.Trials[n]; ops[i], ops[j] = ops[j], ops[i] })
		}
		two, err := analyze(recordOf(both), configOf(t, h))
		require.NoError(t, err)
		for i := range one.Trials {
			got, want := two.Trials[i].Measures, one.Trials[i].Measures
			for name, n := range ints(want) {
				want := 2 * n
				counted += n
				assert.Equal(t, want, ints(got)[name], "%s: %s", h.Name, name)
			}
			assert.Equal(t, want.Staleness, got.Staleness, h.Name)
		}
	}
	require.Greater(t, counted, 500)
}

// The same run gives the same bytes, on any number of processors.
func TestDeterministic(t *testing.T) {
	for _, name := range []string{"region-loss-good", "lost-write-bad", "contested-bad", "recreated-bad", "all-measures-replicas-bad"} {
		h, err := histories.Load(name)
		require.NoError(t, err)
		bytes := func() string {
			r, err := analyze(recordOf(h), configOf(t, h))
			require.NoError(t, err)
			b, err := json.Marshal(r)
			require.NoError(t, err)
			return string(b)
		}
		want := bytes()
		before := runtime.GOMAXPROCS(1)
		one := bytes()
		runtime.GOMAXPROCS(7)
		seven := bytes()
		runtime.GOMAXPROCS(before)
		assert.Equal(t, want, one, name)
		assert.Equal(t, want, seven, name)
	}
}

// Every history, recorded as a run on disk and opened again, gives the same result.
func TestAnalyzeRecordedRun(t *testing.T) {
	for _, name := range []string{"region-loss-good", "minority-ack-bad", "not-finished-bad", "all-measures-replicas-bad"} {
		h, err := histories.Load(name)
		require.NoError(t, err)
		dir := t.TempDir()
		require.NoError(t, h.Write(dir))
		run, err := history.Open(dir)
		require.NoError(t, err)
		got, err := Analyze(run, configOf(t, h))
		require.NoError(t, err)
		want, err := analyze(recordOf(h), configOf(t, h))
		require.NoError(t, err)
		w, err := json.MarshalIndent(want, "", " ")
		require.NoError(t, err)
		g, err := json.MarshalIndent(got, "", " ")
		require.NoError(t, err)
		assert.Equal(t, string(w), string(g), name)
	}
}
