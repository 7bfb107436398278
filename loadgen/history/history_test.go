package history

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// testManifest has 3 regions, 8 nodes and 12 partitions.
func testManifest() Manifest {
	m := Manifest{Scenario: "test", Seed: 7, Partitions: 12, Trials: 1, Deadline: time.Second, Version: "test"}
	for _, r := range []struct {
		name string
		n    int
	}{{"us-east-1", 3}, {"eu-west-1", 3}, {"ap-southeast-1", 2}} {
		m.Regions = append(m.Regions, RegionInfo{Name: r.name, RTT: map[string]time.Duration{"us-east-1": 76 * time.Millisecond}})
		for i := range r.n {
			m.Nodes = append(m.Nodes, NodeInfo{ID: r.name + "-" + string(rune('1'+i)), Region: r.name})
		}
	}
	return m
}

// randomOp draws from everything that is valid.
func randomOp(rng *rand.Rand) Op {
	o := Op{
		Intended:  time.Duration(rng.Int64N(int64(time.Hour))),
		Session:   rng.Uint64(),
		TTL:       rng.Uint32(),
		Writer:    uint16(rng.Uint32()),
		Client:    uint16(rng.Uint32()),
		Partition: uint16(rng.UintN(12)),
		Region:    uint8(rng.UintN(3)),
		Node:      uint8(rng.UintN(8)),
		Kind:      Create + Kind(rng.UintN(uint(Resume))),
		Outcome:   OK + Outcome(rng.UintN(uint(Unsent))),
		Class:     Follower + Class(rng.UintN(uint(Contested))),
		Retries:   uint8(rng.Uint32()),
	}
	if rng.IntN(8) == 0 {
		o.Node = NoNode
	}
	switch {
	case o.Kind == ReadBack:
		o.Class = Audit
	case o.Kind >= Emit:
		o.Class = Stream
	case o.Kind == Read && rng.IntN(4) == 0:
		o.Class = Eventual
	}
	o.Start = o.Intended + time.Duration(rng.Int64N(int64(time.Second)))
	o.End = o.Start
	if o.Outcome != Unsent {
		o.End += time.Duration(rng.Int64N(int64(time.Second)))
	}
	if o.Outcome != OK {
		o.Cause = Cause(rng.UintN(uint(Backpressure) + 1))
	}
	seq := 1 + rng.Uint32N(1<<20)
	found := rng.IntN(5)
	switch {
	case o.Kind == Deliver:
		o.Outcome, o.Cause, o.End = OK, NoCause, o.Start
		o.Seq, o.Exists, o.Corrupt = seq, found == 0, found == 1
	case o.Class == Stream:
		o.Seq = seq
	case !o.Kind.Observes():
		o.Seq = seq
		if o.Outcome == OK && found == 0 {
			o.Absent, o.Exists = o.Kind == Update, o.Kind == Create
		}
	case o.Outcome != OK:
	case found == 0:
		o.Absent = true
	case found == 1:
		o.Corrupt = true
		o.Seq = seq - 1
	default:
		o.Seq = seq
	}
	return o
}

func randomOps(rng *rand.Rand, n int) []Op {
	ops := make([]Op, n)
	for i := range ops {
		ops[i] = randomOp(rng)
	}
	return ops
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// smallSegments makes many segments and blocks of few operations.
func smallSegments() options {
	o := defaults()
	o.segment = 256 << 10
	o.batch = 64 << 10
	return o
}

// record writes a run with the given trials, each in pieces, and closes it.
func record(t testing.TB, opt options, trials ...[]Op) string {
	t.Helper()
	dir := t.TempDir()
	w, err := create(dir, testManifest(), opt)
	require.NoError(t, err)
	rng := newRand(99)
	for i, ops := range trials {
		require.NoError(t, w.StartTrial(i+1))
		for len(ops) > 0 {
			n := min(len(ops), 1+rng.IntN(3000))
			w.Record(ops[:n])
			ops = ops[n:]
		}
	}
	require.NoError(t, w.Close())
	return dir
}

func opsOf(t testing.TB, r *Run, trial int) []Op {
	t.Helper()
	var ops []Op
	require.NoError(t, r.Ops(trial, func(o *Op) error { ops = append(ops, *o); return nil }))
	return ops
}

// loadLike is n operations as a real load records them: close in time, mostly
// ok, of few distinct values.
func loadLike(n int) []Op {
	rng := newRand(5)
	ops := make([]Op, n)
	for i := range ops {
		at := time.Duration(i) * 10 * time.Microsecond
		o := Op{
			Intended: at, Start: at + time.Duration(rng.IntN(100_000)), Session: rng.Uint64N(50_000), Seq: 1 + rng.Uint32N(30),
			Writer: uint16(rng.UintN(64)), Client: uint16(rng.UintN(64)), Partition: uint16(rng.UintN(12)), Node: uint8(rng.UintN(3)),
			Kind: Read, Outcome: OK, Class: Follower,
		}
		o.End = o.Start + time.Duration(3_000_000+rng.IntN(3_000_000))
		if rng.IntN(4) == 0 {
			o.Kind, o.TTL, o.Writer = Update, 300_000, o.Client
		}
		ops[i] = o
	}
	return ops
}

// sameOps compares without reflection: there may be many.
func sameOps(t testing.TB, want, got []Op, format string, args ...any) {
	t.Helper()
	where := fmt.Sprintf(format, args...)
	for i := range min(len(want), len(got)) {
		if want[i] != got[i] {
			t.Fatalf("%s: operation %d is\n%+v and should be\n%+v", where, i, got[i], want[i])
		}
	}
	if len(want) != len(got) {
		t.Fatalf("%s: %d operations and not %d", where, len(got), len(want))
	}
}
