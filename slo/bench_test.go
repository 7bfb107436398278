package slo

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/loadgen/history"
)

// synthetic is a run of n operations on a system that answers correctly, with
// an outage of about two seconds after the fault in the middle.
func synthetic(n, sessions int) *record {
	const partitions = 12
	r := rand.New(rand.NewPCG(1, 1))
	length := 40 * time.Second
	ops := make([]history.Op, 0, n+3*sessions)
	seqs, now := make([]uint32, sessions), make([]uint32, sessions) // last tried, last applied
	free := make([]time.Duration, sessions)                         // when the writer may write again
	add := func(o history.Op) {
		o.Partition, o.Node, o.Class = uint16(o.Session%partitions), history.NoNode, history.Follower
		if o.Kind == history.ReadBack {
			o.Class = history.Audit
		}
		o.Intended = o.Start
		ops = append(ops, o)
	}
	for s := range sessions {
		seqs[s], now[s] = 1, 1
		add(history.Op{Kind: history.Create, Outcome: history.OK, Session: uint64(s), Seq: 1, TTL: 300_000, Start: time.Millisecond, End: 2 * time.Millisecond})
	}
	start := time.Second
	asked := start + length/2
	for i := range n {
		at := start + time.Duration(int64(i)*int64(length)/int64(n))
		s := r.IntN(sessions)
		o := history.Op{Session: uint64(s), Start: at, Kind: history.Read, Outcome: history.OK, Seq: now[s], End: at + time.Millisecond}
		write := r.IntN(10) < 3
		switch out := at > asked && at < asked+2*time.Second; {
		case free[s] >= at || out && !write:
			o.Seq, o.Outcome, o.Cause, o.End = 0, history.Failed, history.NotApplied, at+time.Millisecond
			if out {
				o.End = at + time.Second
			} else {
				continue // a client that waits for its own write
			}
		case write:
			seqs[s]++
			o.Kind, o.Seq, o.TTL, o.End = history.Update, seqs[s], 300_000, at+30*time.Millisecond
			if out {
				o.Outcome, o.Cause, o.End = history.Failed, history.NotApplied, at+time.Second
			} else {
				now[s] = seqs[s]
			}
			free[s] = o.End
		}
		add(o)
	}
	for s := range sessions {
		add(history.Op{Kind: history.ReadBack, Outcome: history.OK, Session: uint64(s), Seq: now[s], Start: start + length + 2*time.Second, End: start + length + 3*time.Second})
	}
	end := start + length
	ev := func(at time.Duration, kind, subject string, fields map[string]string) history.Event {
		return history.Event{At: at, Kind: kind, Subject: subject, Trial: 1, Source: "harness", Fields: fields}
	}
	return &record{
		manifest: history.Manifest{Partitions: partitions, Trials: 1, TargetRPS: float64(n) / length.Seconds(), Sessions: sessions, Deadline: time.Second},
		events: []history.Event{
			ev(start, history.LoadStarted, "", nil), ev(asked, history.FaultAsked, "region-loss(region=a)", nil),
			ev(asked+50*time.Millisecond, history.FaultProved, "region-loss(region=a)", nil),
			ev(end, history.LoadStopped, "", nil), ev(end+time.Second, history.FaultUndone, "region-loss(region=a)", nil),
			ev(end+2*time.Second, history.ReadBackStart, "", map[string]string{"phase": "after-undo", "region": "b"}),
			ev(end+3*time.Second, history.ReadBackEnd, "", map[string]string{"phase": "after-undo", "region": "b"}),
			ev(end+4*time.Second, history.RunFinished, "", nil),
		},
		ops: func(trial int, fn func(*history.Op) error) error {
			for i := range ops {
				if err := fn(&ops[i]); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func declared(t testing.TB, objectives map[string]string) Config {
	t.Helper()
	var c Config
	for _, name := range Names() {
		if expr, ok := objectives[name]; ok {
			target, err := ParseTarget(name, expr)
			require.NoError(t, err)
			c.Objectives = append(c.Objectives, target)
		}
	}
	return c
}

// A large sound run raises no alarm, and one wrong operation in it is found.
func TestLargeRun(t *testing.T) {
	cfg := declared(t, map[string]string{Failover: "< 5 s", SessionLoss: "0", LostWrites: "0", Regressed: "0", StaleReads: "0", RPO: "< 1 s", RTO: "< 30 s", Capacity: ">= 90 %"})
	cfg.Valid.MinAchieved = 0.9
	rec := synthetic(200_000, 5_000)
	r, err := analyze(rec, cfg)
	require.NoError(t, err)
	require.Equal(t, Met, r.Verdict, r.Summary)
	assert.InDelta(t, 2, r.Trials[0].Measures.Failover.Value, 0.1)
	assert.Equal(t, 12, r.Trials[0].Measures.Failover.N)
	checkResult(t, r)

	sound := rec.ops
	n := 0
	rec.ops = func(trial int, fn func(*history.Op) error) error {
		return sound(trial, func(o *history.Op) error {
			if o.Kind == history.Read && o.Outcome == history.OK && o.Seq > 2 {
				if n++; n == 10_000 {
					o.Seq--
					defer func() { o.Seq++ }()
				}
			}
			return fn(o)
		})
	}
	r, err = analyze(rec, cfg)
	require.NoError(t, err)
	m := r.Trials[0].Measures
	assert.Equal(t, 1, m.StaleReads+m.PhantomReads, "the one wrong read")
	assert.Equal(t, Missed, r.Verdict)
	assert.Len(t, r.Examples, 1)
}

func BenchmarkAnalyze(b *testing.B) {
	const n = 1_000_000
	rec := synthetic(n, 50_000)
	cfg := declared(b, map[string]string{Failover: "< 5 s", SessionLoss: "0", StaleReads: "0"})
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		if _, err := analyze(rec, cfg); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}
