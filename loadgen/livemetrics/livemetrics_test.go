package livemetrics

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/loadgen"
	"github.com/fivenines/fivenines/loadgen/history"
)

type sink struct{ n int }

func (s *sink) Record(ops []history.Op) { s.n += len(ops) }

func info() Info {
	return Info{
		Scenario: "x", Target: "t", Backend: "b", Seed: 7, Regions: []string{"us", "eu"}, Deadline: time.Second,
		Objectives: map[string]string{"failover": "< 5 s"},
	}
}

func op(at, took time.Duration, kind history.Kind, out history.Outcome, class history.Class, region uint8) history.Op {
	return history.Op{Intended: at, Start: at, End: at + took, Kind: kind, Outcome: out, Class: class, Region: region}
}

func said(t *testing.T, m *Metrics, names ...string) string {
	t.Helper()
	rec := httptest.NewRecorder()
	m.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusOK, rec.Code, rec.Body.String())
	var out []string
	for line := range strings.Lines(rec.Body.String()) {
		for _, n := range names {
			if strings.HasPrefix(line, n) {
				out = append(out, strings.TrimSpace(line))
			}
		}
	}
	return strings.Join(out, "\n")
}

// Every number by hand.
func TestCountsByHand(t *testing.T) {
	m := New()
	r := m.Begin(info())
	next := &sink{}
	rec := r.Recorder(next)
	harness := func(kind string, at time.Duration, e history.Event) {
		e.Kind, e.At, e.Source = kind, at, "harness"
		r.Event(e)
	}
	ms := time.Millisecond
	rec.Record([]history.Op{op(0, ms, history.Create, history.OK, history.Follower, 0)}) // before the load
	harness(history.LoadStarted, 0, history.Event{})
	rec.Record([]history.Op{
		op(10*ms, 2*ms, history.Read, history.OK, history.Follower, 0),
		op(11*ms, 1500*ms, history.Read, history.OK, history.Follower, 0), // too slow: bad, before the fault
		op(12*ms, 3*ms, history.Read, history.OK, history.Witness, 1),     // counts for nothing but itself
		op(13*ms, 3*ms, history.Update, history.OK, history.Contested, 1), // and so does this
	})
	fields := map[string]string{"kind": "region-loss"}
	harness(history.FaultAsked, time.Second, history.Event{Subject: "region-loss(region=us)", Fields: fields})
	harness(history.FaultProved, 1100*ms, history.Event{Subject: "region-loss(region=us)", Fields: fields})
	r.Event(history.Event{Kind: history.Detected, Source: "eu-1"})
	rec.Record([]history.Op{
		op(900*ms, 1200*ms, history.Update, history.Unknown, history.Follower, 0), // intended before the fault
		op(1200*ms, 1000*ms, history.Update, history.Unknown, history.Follower, 0),
		op(1300*ms, 0, history.Read, history.Unsent, history.Follower, 0),
		op(1900*ms, 600*ms, history.Read, history.Failed, history.Follower, 0),
		op(2*time.Second, ms, history.Read, history.OK, history.Follower, 9), // no such region
	})
	harness(history.LoadStopped, 3*time.Second, history.Event{})
	rec.Record([]history.Op{op(4*time.Second, ms, history.ReadBack, history.OK, history.Audit, 1)})
	r.Phase(2, "load: main, 500 operations a second")
	r.Steady(false)
	assert.Equal(t, 11, next.n, "everything is passed on")

	assert.Equal(t, strings.TrimSpace(`
fivenines_operations_total{class="audit",during="read-back",kind="read-back",outcome="ok",region="eu",scenario="x"} 1
fivenines_operations_total{class="contested",during="load",kind="update",outcome="ok",region="eu",scenario="x"} 1
fivenines_operations_total{class="follower",during="fill",kind="create",outcome="ok",region="us",scenario="x"} 1
fivenines_operations_total{class="follower",during="load",kind="read",outcome="failed",region="us",scenario="x"} 1
fivenines_operations_total{class="follower",during="load",kind="read",outcome="ok",region="us",scenario="x"} 2
fivenines_operations_total{class="follower",during="load",kind="read",outcome="unsent",region="us",scenario="x"} 1
fivenines_operations_total{class="follower",during="load",kind="update",outcome="unknown",region="us",scenario="x"} 2
fivenines_operations_total{class="witness",during="load",kind="read",outcome="ok",region="eu",scenario="x"} 1`),
		said(t, m, "fivenines_operations_total"))
	assert.Equal(t, strings.TrimSpace(`
fivenines_operations_bad_total{kind="read",region="us",scenario="x"} 3
fivenines_operations_bad_total{kind="update",region="us",scenario="x"} 2
fivenines_operations_uncounted_total{scenario="x"} 1`), said(t, m, "fivenines_operations_bad", "fivenines_operations_uncounted"))
	assert.Equal(t, strings.TrimSpace(`
fivenines_operation_latency_seconds_bucket{kind="read",region="us",scenario="x",le="0.0025"} 1
fivenines_operation_latency_seconds_bucket{kind="read",region="us",scenario="x",le="1"} 2
fivenines_operation_latency_seconds_bucket{kind="read",region="us",scenario="x",le="+Inf"} 3`),
		keep(said(t, m, `fivenines_operation_latency_seconds_bucket{kind="read"`), `le="0.0025"`, `le="1"`, `le="+Inf"`))
	assert.Equal(t, strings.TrimSpace(`
fivenines_availability_ratio{scenario="x"} 0.16666666666666663
fivenines_outage_seconds{scenario="x"} 1.3`), said(t, m, "fivenines_availability", "fivenines_outage"), "1 of 6; from 1.2 s to 2.5 s")
	assert.Equal(t, strings.TrimSpace(`
fivenines_events_total{event="detected",scenario="x",source="platform"} 1
fivenines_events_total{event="fault-asked",scenario="x",source="harness"} 1
fivenines_events_total{event="fault-proved",scenario="x",source="harness"} 1
fivenines_events_total{event="load-started",scenario="x",source="harness"} 1
fivenines_events_total{event="load-stopped",scenario="x",source="harness"} 1
fivenines_fault_state{fault="region-loss(region=us)",kind="region-loss",scenario="x",state="proved"} 1
fivenines_faults_total{kind="region-loss",scenario="x",state="asked"} 1
fivenines_faults_total{kind="region-loss",scenario="x",state="proved"} 1
fivenines_run_phase{phase="load-main",scenario="x"} 1
fivenines_steady_state{scenario="x"} 0`), said(t, m, "fivenines_events", "fivenines_fault", "fivenines_run_phase", "fivenines_steady"))

	value := 1.3
	r.Judged([]Objective{{"failover", "met", &value}, {"rto", "inconclusive", nil}})
	assert.Equal(t, strings.TrimSpace(`
fivenines_objective_measured{objective="failover",scenario="x"} 1.3
fivenines_objective_verdict{objective="failover",scenario="x",verdict="met"} 1
fivenines_objective_verdict{objective="rto",scenario="x",verdict="inconclusive"} 1
fivenines_run_info{backend="b",mutant="",running="false",scenario="x",seed="7",target="t"} 1`), said(t, m, "fivenines_objective_m", "fivenines_objective_v", "fivenines_run_"))
}

func keep(text string, parts ...string) string {
	var out []string
	for line := range strings.Lines(text) {
		for _, p := range parts {
			if strings.Contains(line, p) {
				out = append(out, strings.TrimSpace(line))
			}
		}
	}
	return strings.Join(out, "\n")
}

// A generator's counts stay when it ends, and the next one's are added.
func TestGeneratorsAddUp(t *testing.T) {
	m := New()
	r := m.Begin(info())
	n := uint64(10)
	stats := func() loadgen.Stats { return loadgen.Stats{Intended: n, LagP999: 3 * time.Millisecond, Live: 5} }
	r.Generator(stats)
	assert.Contains(t, said(t, m, "fivenines_"), `fivenines_operations_intended_total{scenario="x"} 10`)
	assert.Contains(t, said(t, m, "fivenines_"), `fivenines_schedule_lag_seconds{scenario="x"} 0.003`)
	n = 12
	r.Generator(nil)
	assert.NotContains(t, said(t, m, "fivenines_"), "fivenines_schedule_lag_seconds", "of no generator")
	r.Generator(stats)
	n = 1
	assert.Contains(t, said(t, m, "fivenines_"), `fivenines_operations_intended_total{scenario="x"} 13`)
}

// The same scenario again goes on counting; another topology is another run.
func TestBeginAgain(t *testing.T) {
	m := New()
	r := m.Begin(info())
	r.Recorder(&sink{}).Record([]history.Op{op(0, 1, history.Create, history.OK, history.Follower, 0)})
	r.Judged(nil)
	again := m.Begin(info())
	assert.Same(t, r, again)
	assert.Contains(t, said(t, m, "fivenines_run_info"), `running="true"`)
	assert.Contains(t, said(t, m, "fivenines_operations_total"), "} 1")
	other := info()
	other.Regions = []string{"one"}
	m.Begin(other)
	assert.NotContains(t, said(t, m, "fivenines_"), "fivenines_operations_total")
	second := info()
	second.Scenario = "y"
	m.Begin(second)
	assert.Contains(t, said(t, m, "fivenines_run_info"), `scenario="y"`)
	assert.Contains(t, said(t, m, "fivenines_run_info"), `scenario="x"`)
}

func TestNobodyLooks(t *testing.T) {
	var m *Metrics
	r := m.Begin(info())
	require.Nil(t, r)
	next := &sink{}
	assert.Same(t, next, r.Recorder(next), "nothing stands between")
	r.Event(history.Event{})
	r.Phase(1, "x")
	r.Steady(true)
	r.Generator(nil)
	r.Judged(nil)
}

// What is served is what is documented, and in the form that Prometheus wants.
func TestMetricsAreDocumentedAndWellFormed(t *testing.T) {
	m := New()
	r := m.Begin(info())
	r.Event(history.Event{Kind: history.LoadStarted, Source: "harness"})
	r.Recorder(&sink{}).Record([]history.Op{op(0, 1, history.Read, history.OK, history.Follower, 0)})
	problems, err := promlint.New(strings.NewReader(said(t, m, "#", "fivenines_") + "\n")).Lint()
	require.NoError(t, err)
	assert.Empty(t, problems)
	seen := map[string]bool{}
	for _, d := range All() {
		assert.NotEmpty(t, d.Help, d.Name)
		assert.False(t, seen[d.Name], d.Name)
		seen[d.Name] = true
	}
	reg := prometheus.NewPedanticRegistry()
	require.NoError(t, reg.Register(m), "descriptions are consistent")
	_, err = reg.Gather()
	require.NoError(t, err, "what is collected is what is described")
}

func TestOnlyLoopbackUnlessMeant(t *testing.T) {
	for _, addr := range []string{":9464", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.com:80"} {
		_, err := Serve(New(), addr, false)
		assert.ErrorIs(t, err, ErrNotLoopback, addr)
	}
	_, err := Serve(New(), "9464", false)
	assert.ErrorContains(t, err, "it wants HOST:PORT")
	for _, c := range []struct {
		addr     string
		anywhere bool
	}{{"127.0.0.1:0", false}, {"localhost:0", false}, {"127.0.0.1:0", true}} {
		s, err := Serve(New(), c.addr, c.anywhere)
		require.NoError(t, err, c.addr)
		res, err := http.Get(s.URL())
		require.NoError(t, err)
		assert.Equal(t, http.StatusOK, res.StatusCode)
		res.Body.Close()
		_, err = Serve(New(), strings.TrimSuffix(strings.TrimPrefix(s.URL(), "http://"), "/metrics"), false)
		assert.ErrorContains(t, err, "address already in use")
		require.NoError(t, s.Close())
		_, err = http.Get(s.URL())
		assert.Error(t, err, "it ended")
	}
}

// Scrapes beside records of several goroutines; the race detector looks on.
func TestScrapesBesideRecords(t *testing.T) {
	m := New()
	r := m.Begin(info())
	r.Event(history.Event{Kind: history.LoadStarted, Source: "harness"})
	rec := r.Recorder(discard{})
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for range 200 {
				rec.Record([]history.Op{op(0, 1, history.Read, history.OK, history.Follower, uint8(g%2))})
				r.Event(history.Event{Kind: history.Detected, Source: "n"})
				r.Phase(1, "load: main")
			}
		})
	}
	all.Go(func() {
		for range 20 {
			_ = said(t, m, "fivenines_")
		}
	})
	all.Wait()
	assert.Contains(t, said(t, m, "fivenines_events_total"), `source="platform"} 800`)
}

type discard struct{}

func (discard) Record([]history.Op) {}

// batch is what a tick completes under load.
func batch(n int) []history.Op {
	ops := make([]history.Op, n)
	kindsOf := []history.Kind{history.Read, history.Read, history.Read, history.Update}
	for i := range ops {
		ops[i] = op(time.Duration(i)*time.Millisecond, time.Duration(1+i%200)*time.Millisecond, kindsOf[i%4], history.OK, history.Follower, 0)
	}
	return ops
}

func TestRecordingAllocatesNothing(t *testing.T) {
	r := New().Begin(info())
	r.Event(history.Event{Kind: history.LoadStarted, Source: "harness"})
	rec, ops := r.Recorder(discard{}), batch(64)
	assert.Zero(t, testing.AllocsPerRun(100, func() { rec.Record(ops) }))
}

// BenchmarkRecord is what counting adds to each operation, in batches as ticks
// complete them. An operation costs the generator some 10 µs (BenchmarkGenerator's
// cpu-ns/op), of which 2 % are 200 ns.
func BenchmarkRecord(b *testing.B) {
	for _, n := range []int{1, 32, 256} {
		b.Run(map[int]string{1: "batch=1", 32: "batch=32", 256: "batch=256"}[n], func(b *testing.B) {
			r := New().Begin(info())
			r.Event(history.Event{Kind: history.LoadStarted, Source: "harness"})
			rec, ops := r.Recorder(discard{}), batch(n)
			b.ReportAllocs()
			for b.Loop() {
				rec.Record(ops)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/operation")
		})
	}
}
