package slo

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures/histories"
	"github.com/fivenines/fivenines/loadgen/history"
)

// unshown lists what the examples of a result lack: each objective that is
// missed has one, and each shows the same operations as data and as text.
func unshown(r *Result) []string {
	var out []string
	wrong := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, o := range r.Objectives {
		hurt := o.Name != MTTD || slices.ContainsFunc(r.Trials, func(t Trial) bool { return t.Measures.Failover != nil && t.Measures.Failover.N > 0 })
		if o.Verdict != Missed || len(Checks(o.Name)) == 0 || !hurt {
			continue
		}
		if !slices.ContainsFunc(r.Examples, func(e Example) bool { return slices.Contains(Checks(o.Name), e.Check) }) {
			wrong("%s is missed, and no example shows it", o.Name)
		}
	}
	if len(r.Examples) > maxExamples {
		wrong("%d examples", len(r.Examples))
	}
	for _, e := range r.Examples {
		name := fmt.Sprintf("%s of session %d, partition %d", e.Check, e.Session, e.Partition)
		if e.Scope != "session" && e.Scope != "partition" || e.Trial < 1 || e.Trial > len(r.Trials) {
			wrong("%s: scope %q, trial %d", name, e.Scope, e.Trial)
		}
		if len(e.Operations) > maxExampleOps {
			wrong("%s: %d operations", name, len(e.Operations))
		}
		marks, n := 0, 0
		for _, line := range e.Ops {
			if strings.HasPrefix(line, "  ...") {
				continue
			}
			if n == len(e.Operations) {
				wrong("%s: more lines than operations", name)
				break
			}
			o := &e.Operations[n]
			n++
			if o.Marked != strings.HasPrefix(line, "> ") {
				wrong("%s: marked as text or as data: %q", name, line)
			}
			if o.Marked {
				marks++
			}
			for _, want := range []string{fmt.Sprintf("%.6f s to", o.Start), fmt.Sprintf("%.6f s  client %d", o.End, o.Client), o.Kind, o.Outcome} {
				if !strings.Contains(line, want) {
					wrong("%s: %q does not say %q", name, line, want)
				}
			}
			if n > 1 && o.Start < e.Operations[n-2].Start {
				wrong("%s: not by time at %q", name, line)
			}
			if e.Scope == "session" && o.Session != e.Session {
				wrong("%s: an operation of session %d", name, o.Session)
			}
		}
		if n != len(e.Operations) || marks == 0 {
			wrong("%s: %d lines for %d operations, %d marked", name, n, len(e.Operations), marks)
		}
	}
	return out
}

func TestUnshownIsSeen(t *testing.T) {
	rec, cfg := load(t, "lost-write-bad")
	for want, change := range map[string]func(*Result){
		"lost-writes is missed": func(r *Result) { r.Examples = nil },
		"rpo is missed":         func(r *Result) { r.Examples[0].Check = "another" },
		"trial 0":               func(r *Result) { r.Examples[0].Trial = 0 },
		"lines for":             func(r *Result) { r.Examples[0].Ops = r.Examples[0].Ops[:3] },
		"more lines":            func(r *Result) { r.Examples[0].Operations = r.Examples[0].Operations[1:] },
		"marked as":             func(r *Result) { r.Examples[0].Operations[4].Marked = true },
		"does not say":          func(r *Result) { r.Examples[0].Operations[4].Outcome = "unknown" },
		"session 7":             func(r *Result) { r.Examples[0].Operations[4].Session = 7 },
	} {
		r, err := analyze(rec, cfg)
		require.NoError(t, err)
		require.Empty(t, unshown(r))
		change(r)
		assert.Contains(t, strings.Join(unshown(r), "\n"), want)
	}
}

// Whatever is missed is shown, on every recorded history and on random ones,
// with targets that nothing meets.
func TestEveryMissIsShown(t *testing.T) {
	strict := Config{}
	for _, name := range Names() {
		for _, expr := range []string{">= 100 %", "< 0.001 s", "0"} {
			if o, err := ParseTarget(name, expr); err == nil {
				strict.Objectives = append(strict.Objectives, o)
				break
			}
		}
	}
	require.Len(t, strict.Objectives, len(Names()))
	recs := map[string]*record{}
	for _, name := range histories.Names() {
		h, err := histories.Load(name)
		require.NoError(t, err)
		recs[name] = recordOf(h)
	}
	for seed := range uint64(6) {
		recs[fmt.Sprint("random ", seed)] = random(rand.New(rand.NewPCG(seed, 3)))
	}
	missed := map[string]bool{}
	for name, rec := range recs {
		r, err := analyze(rec, strict)
		require.NoError(t, err)
		for _, wrong := range unshown(r) {
			t.Errorf("%s: %s", name, wrong)
		}
		for _, o := range r.Objectives {
			if o.Verdict == Missed {
				missed[o.Name] = true
			}
		}
	}
	for _, name := range Names() {
		checks, ok := shownBy[name]
		assert.True(t, missed[name] || len(checks) == 0, "some history misses %s", name)
		assert.True(t, ok, "what shows a miss of %s", name)
	}
	assert.Len(t, shownBy, len(Names()))
}

// What the first trials show leaves room for what only a later one shows.
func TestRoomForEveryCheck(t *testing.T) {
	a := &analysis{result: &Result{}}
	for i := range 5 {
		for _, check := range []string{"a", "b", "c", "d"} {
			a.keepExample(Example{Check: check, Session: uint64(i)})
		}
	}
	require.Len(t, a.result.Examples, maxExamples)
	assert.False(t, a.wantsExample("a"))
	require.True(t, a.wantsExample("e"))
	a.keepExample(Example{Check: "e"})
	n := map[string]int{}
	for _, e := range a.result.Examples {
		n[e.Check]++
	}
	assert.Equal(t, map[string]int{"a": 5, "b": 5, "c": 5, "d": 4, "e": 1}, n)
}

// The example of an outage is the worst trial's, and shows how the longest
// outage began and ended.
func TestOutageExample(t *testing.T) {
	trial := func(n int, write float64) string {
		return fmt.Sprintf(`
			event 100 load-started trial=%[1]d
			event 130 load-stopped trial=%[1]d
			event 110 fault-asked cut(x) parts=x trial=%[1]d
			event 110.1 fault-proved cut(x) trial=%[1]d
			op 99 +0.01 s2 create 1 trial=%[1]d
			each 0.5 from 100 to 110 s1 update 2 trial=%[1]d
			each 0.1 from 110.2 to %[2]g s1 read failed took=0.05 trial=%[1]d
			each 0.5 from %[2]g to 130 s1 update 40 trial=%[1]d
			each 0.5 from %[3]g to 130 s2 read 1 trial=%[1]d client=3 region=1
		`, n, write, write+0.05)
	}
	r := told(t, map[string]string{Failover: "< 3 s"}, "manifest trials=3\ndrop event load-started\ndrop event load-stopped\ndrop s1 create\n"+trial(1, 114.2)+trial(2, 116.2)+trial(3, 115.2))
	require.Len(t, r.Examples, 1, "%s", r.Summary)
	e := r.Examples[0]
	assert.Equal(t, "outage", e.Check)
	assert.Equal(t, 2, e.Trial)
	assert.Equal(t, "trial 2: partition 0 could not be relied on for 6.01 s, from 110.200000 s to 116.210000 s; its first bad operation and the first good write of those that lasted are marked", e.Why)
	// Of 60 bad operations the first eight and the last five.
	assert.Equal(t, []string{
		"> 110.200000 s to 110.250000 s  client 0 in us-east-1: session 1, read: failed",
		"  110.300000 s to 110.350000 s  client 0 in us-east-1: session 1, read: failed",
	}, e.Ops[1:3])
	at := slices.Index(e.Ops, "  ... 47 operations")
	require.Equal(t, 9, at, "%s", strings.Join(e.Ops, "\n"))
	assert.Equal(t, []string{
		"  116.100000 s to 116.150000 s  client 0 in us-east-1: session 1, read: failed",
		"> 116.200000 s to 116.210000 s  client 0 in us-east-1: session 1, update to 40: ok",
	}, e.Ops[at+5:at+7])
	next := e.Operations[len(e.Operations)-4]
	assert.Equal(t, ExampleOp{Intended: 116.25, Start: 116.25, End: 116.26, Session: 2, Client: 3, Region: "eu-west-1", Class: "follower", Kind: "read", Outcome: "ok", Seq: 1, Label: "r1"}, next)

	// It never ended: the last bad one is marked.
	r = told(t, map[string]string{Failover: "< 3 s"}, calm+cut+"each 0.5 from 10 to 29.8 s1 read unknown took=1 cause=timeout\n")
	e = r.Examples[0]
	assert.Contains(t, e.Why, "for at least 19.5 s")
	marked := slices.DeleteFunc(slices.Clone(e.Operations), func(o ExampleOp) bool { return !o.Marked })
	require.Len(t, marked, 2)
	assert.Equal(t, []float64{10, 29.5}, []float64{marked[0].Start, marked[1].Start})
	assert.True(t, marked[0].Bad)
	assert.Equal(t, "timeout", marked[0].Cause)
}

// What a read should have found is marked with it.
func TestOverruled(t *testing.T) {
	op := func(k history.Kind, seq uint32, at int, out history.Outcome) history.Op {
		return history.Op{Kind: k, Seq: seq, Start: time.Duration(at) * time.Second, End: time.Duration(at)*time.Second + 1, Outcome: out}
	}
	ops := []history.Op{
		op(history.Create, 1, 1, history.OK), op(history.Update, 2, 2, history.OK), op(history.Update, 3, 3, history.Failed),
		op(history.Update, 4, 4, history.OK), op(history.Read, 1, 5, history.OK), op(history.Update, 5, 6, history.OK),
	}
	assert.Equal(t, []int{1, 3}, overruled(ops, 4, "lost-write"))
	assert.Equal(t, []int{3}, overruled(ops, 4, "stale-read"))
	assert.Empty(t, overruled(ops, 4, "resurrected"))
	ops[4].Absent, ops[4].Seq = true, 0
	assert.Equal(t, []int{0, 1, 3}, overruled(ops, 4, "lost-write"))
	ops[2] = op(history.Read, 2, 3, history.OK)
	assert.Equal(t, []int{3}, overruled(ops, 4, "lost-write"), "2 was found since")
	ops[2] = op(history.Read, 4, 4, history.OK)
	ops[2].Start, ops[2].End = ops[3].End, ops[3].End+1
	assert.Equal(t, []int{3}, overruled(ops, 4, "lost-write"), "at least the last one")
	assert.Equal(t, []int{3}, overruled(ops, 4, "lost-session"))
}
