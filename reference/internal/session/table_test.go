package session

import (
	"fmt"
	"math/rand"
	"testing"

	"github.com/stretchr/testify/require"
)

func entry(clock, proposer, batch uint64, ops ...Op) []byte {
	b := AppendEntryHeader(nil, clock, proposer, batch, len(ops))
	for i := range ops {
		b = AppendOp(b, &ops[i])
	}
	return b
}

func apply(t *testing.T, tb *Table, clock uint64, ops ...Op) []Result {
	t.Helper()
	_, mine, rs, err := tb.Apply(entry(clock, 1, 1, ops...), 1, nil)
	require.NoError(t, err)
	require.True(t, mine)
	return rs
}

func TestRedisConditions(t *testing.T) {
	k, v1, v2 := []byte("k"), []byte("one"), []byte("two")
	tb := NewTable()
	r := apply(t, tb, 1000,
		Op{Kind: Set, Flags: XX, Key: k, Value: v1},                     // absent: not applied
		Op{Kind: Set, Flags: NX, Key: k, Value: v1, TTL: 500},           // applied
		Op{Kind: Set, Flags: NX, Key: k, Value: v2},                     // exists
		Op{Kind: Set, Flags: XX | WantOld | KeepTTL, Key: k, Value: v2}, // old one
		Op{Kind: GetEx, Key: k, TTL: 9000},
		Op{Kind: GetDel, Key: k},
		Op{Kind: Del, Key: k})
	applied := []bool{}
	for _, x := range r {
		applied = append(applied, x.Applied)
	}
	require.Equal(t, []bool{false, true, false, true, true, true, false}, applied)
	require.Equal(t, "one", string(r[3].Old))
	require.Equal(t, "two", string(r[4].Old))
	require.Equal(t, "two", string(r[5].Old))
	require.Zero(t, tb.Len())
	require.Zero(t, tb.Bytes())
}

// Rule 5: a session's end is a committed entry, conditional on what the leader saw.
func TestExpiryIsConditionalOnTheVersionSeen(t *testing.T) {
	k := []byte("k")
	tb := NewTable()
	apply(t, tb, 1000, Op{Kind: Set, Key: k, Value: []byte("v"), TTL: 500})
	var seen uint64
	tb.Due(1400, 10, func([]byte, uint64) { t.Fatal("not due yet") })
	tb.Due(2000, 10, func(_ []byte, v uint64) { seen = v })
	require.NotZero(t, seen)

	// A refresh that commits before the Expire wins.
	apply(t, tb, 1490, Op{Kind: GetEx, Key: k, TTL: 500})
	r := apply(t, tb, 2000, Op{Kind: Expire, Key: k, Version: seen})
	require.False(t, r[0].Applied)
	require.Equal(t, 1, tb.Len())

	// Before its deadline on the shard clock it does not end, whoever asks.
	var now uint64
	tb.Due(10_000, 10, func(_ []byte, v uint64) { now = v })
	tb2 := NewTable()
	require.NoError(t, tb2.Restore(tb.Snapshot()))
	tb2.clock = 1500
	r = apply(t, tb2, 1501, Op{Kind: Expire, Key: k, Version: now})
	require.False(t, r[0].Applied, "early")
	r = apply(t, tb, 2500, Op{Kind: Expire, Key: k, Version: now})
	require.True(t, r[0].Applied)
	require.Zero(t, tb.Len())
}

// Rule 5: the shard clock never goes back, so a new leader whose stamps lag
// cannot make deadlines earlier.
func TestClockNeverGoesBack(t *testing.T) {
	tb := NewTable()
	apply(t, tb, 5000, Op{Kind: Del, Key: []byte("x")})
	apply(t, tb, 4000, Op{Kind: Set, Key: []byte("k"), Value: nil, TTL: 100})
	require.EqualValues(t, 5000, tb.Clock())
	deadline, found := tb.Deadline([]byte("k"))
	require.True(t, found)
	require.EqualValues(t, 5100, deadline)
}

// Rule 6: a write is applied once, whatever the network does.
func TestWritesAreDeduplicated(t *testing.T) {
	tb := NewTable()
	w := Op{Kind: Set, Gateway: 7, Seq: 5, Key: []byte("k"), Value: []byte("5")}
	require.True(t, apply(t, tb, 1, w)[0].Applied)
	late := w
	late.Seq, late.Value = 4, []byte("4")
	require.True(t, apply(t, tb, 1, w)[0].Duplicate)
	require.True(t, apply(t, tb, 1, late)[0].Duplicate, "overtaken")
	v, _, _ := tb.Get(nil, []byte("k"))
	require.Equal(t, "5", string(v))
	other := late
	other.Gateway = 8
	require.True(t, apply(t, tb, 1, other)[0].Applied)
}

func TestGatewayTableIsBounded(t *testing.T) {
	tb := NewTable()
	for g := uint64(1); g <= 3*maxGateways; g++ {
		apply(t, tb, 1, Op{Kind: Set, Gateway: g, Seq: 1, Key: []byte("k")})
	}
	require.Len(t, tb.gateways, maxGateways)
	require.True(t, apply(t, tb, 1, Op{Kind: Set, Gateway: 3 * maxGateways, Seq: 1, Key: []byte("k")})[0].Duplicate)
}

func randomEntry(r *rand.Rand, clock uint64, seq *uint64) []byte {
	var ops []Op
	for range 1 + r.Intn(4) {
		*seq++
		op := Op{Kind: Kind(1 + r.Intn(6)), Flags: Flags(r.Intn(64)), Gateway: uint64(r.Intn(5)), Seq: *seq, Key: fmt.Appendf(nil, "k%d", r.Intn(20)), TTL: uint64(r.Intn(3) * 700)}
		if op.Kind == Set {
			op.Value = make([]byte, r.Intn(50))
		}
		if op.Kind == Expire {
			op.Version = uint64(r.Intn(200))
		}
		ops = append(ops, op)
	}
	return entry(clock, uint64(r.Intn(3)), *seq, ops...)
}

// The state is a function of the entries: a replica that restored a snapshot
// in the middle, one that asks for due sessions at odd moments and one that
// proposes hold the same table. A model in a plain map checks the content.
func TestReplicasAgree(t *testing.T) {
	for seed := range int64(50) {
		r := rand.New(rand.NewSource(seed))
		a, b, c := NewTable(), NewTable(), NewTable()
		var seq uint64
		for i := range 200 {
			e := randomEntry(r, uint64(i*100), &seq)
			for j, tb := range []*Table{a, b, c} {
				_, _, _, err := tb.Apply(e, uint64(j), nil)
				require.NoError(t, err)
			}
			if i%7 == 0 {
				b.Due(uint64(i*100), 3, func([]byte, uint64) {})
			}
			if i%31 == 0 {
				n := NewTable()
				require.NoError(t, n.Restore(c.Snapshot()))
				c = n
			}
		}
		require.Equal(t, a.Digest(), b.Digest(), "seed %d", seed)
		require.Equal(t, a.Digest(), c.Digest(), "seed %d", seed)
		size := 0
		for k, it := range a.items {
			size += len(k) + len(it.value)
		}
		require.Equal(t, size, a.Bytes())
	}
}

// Every session with a deadline is offered once it is due, however often it
// was refreshed: none lives for ever because the wheel lost it.
func TestWheelLosesNobody(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	tb := NewTable()
	for i := range 3000 {
		k := fmt.Appendf(nil, "k%d", r.Intn(200))
		switch r.Intn(4) {
		case 0:
			apply(t, tb, uint64(i*10), Op{Kind: Set, Key: k, TTL: uint64(1 + r.Intn(5000))})
		case 1:
			apply(t, tb, uint64(i*10), Op{Kind: GetEx, Key: k, TTL: uint64(1 + r.Intn(5000))})
		case 2:
			apply(t, tb, uint64(i*10), Op{Kind: GetDel, Key: k})
		case 3:
			tb.Due(uint64(i*10), 2, func([]byte, uint64) {})
		}
	}
	want := tb.Len()
	require.NotZero(t, want)
	offered := map[string]bool{}
	for clock := uint64(30_000); clock < 60_000; clock += 500 {
		tb.Due(clock, 1000, func(k []byte, _ uint64) { offered[string(k)] = true })
	}
	require.Len(t, offered, want)
}

func TestCorruptionIsFound(t *testing.T) {
	tb := NewTable()
	apply(t, tb, 10, Op{Kind: Set, Key: []byte("a"), Value: []byte("b"), TTL: 5})
	s := tb.Snapshot()
	for i := range s {
		bad := append([]byte(nil), s...)
		bad[i] ^= 0x40
		require.ErrorIs(t, NewTable().Restore(bad), ErrCorrupt, "byte %d", i)
		require.ErrorIs(t, NewTable().Restore(s[:i+1][:i]), errOrNil(i), "cut at %d", i)
	}
}

func errOrNil(i int) error {
	if i == 0 {
		return nil // an empty snapshot is an empty table
	}
	return ErrCorrupt
}

func FuzzApply(f *testing.F) {
	f.Add(entry(1, 2, 3, Op{Kind: Set, Key: []byte("k"), Value: []byte("v"), TTL: 1}, Op{Kind: Expire, Key: []byte("k"), Version: 1}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEntry(b)
		tb := NewTable()
		_, _, rs, err2 := tb.Apply(b, e.Proposer, nil)
		if err == nil {
			require.NoError(t, err2)
			require.Len(t, rs, len(e.Ops))
			n := NewTable()
			require.NoError(t, n.Restore(tb.Snapshot()))
			require.Equal(t, tb.Digest(), n.Digest())
		}
		_ = NewTable().Restore(b)
	})
}

func BenchmarkApply(b *testing.B) {
	tb := NewTable()
	v := make([]byte, 256)
	var ops []Op
	for i := range 8 {
		ops = append(ops, Op{Kind: Set, Flags: XX, Key: fmt.Appendf(nil, "session:{%d}", i), Value: v, TTL: 300_000})
	}
	e := entry(1, 2, 3, ops...)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := tb.Apply(e, 0, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/8, "ns/write")
}

func TestDigestTellsTablesApart(t *testing.T) {
	a, b := NewTable(), NewTable()
	for _, tab := range []*Table{a, b} {
		_, _, _, err := tab.Apply(entry(1, 1, 1, Op{Kind: Set, Gateway: 1, Seq: 1, Key: []byte("k"), Value: []byte("value")}), 0, nil)
		require.NoError(t, err)
	}
	require.Equal(t, a.Digest(), b.Digest())
	require.True(t, b.Flip())
	require.NotEqual(t, a.Digest(), b.Digest())
	require.NotEqual(t, NewTable().Digest(), a.Digest())
}
