package checker

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/loadgen/history"
)

// hard makes a history in which every order of many concurrent writes has to
// be tried, and none fits.
func hard(writers int) []history.Op {
	ops := []history.Op{{Kind: history.Create, Outcome: history.OK, Class: history.Contested, Seq: 1, Start: 0, End: 1}}
	for w := range writers {
		ops = append(ops, history.Op{Kind: history.Update, Outcome: history.OK, Class: history.Contested, Seq: 1, Writer: uint16(w + 1), Start: tick(1), End: tick(100)})
	}
	for i := range 2 {
		ops = append(ops, history.Op{Kind: history.Read, Outcome: history.OK, Class: history.Contested, Seq: uint32(1 - i), Absent: i == 1, Start: tick(200 + 10*i), End: tick(201 + 10*i)})
	}
	return ops
}

// A checker that gives up says unknown, never yes, and soon.
func TestContestedGivesUp(t *testing.T) {
	start := time.Now()
	res, n := Contested(hard(24), Bounds{Steps: 20_000})
	assert.Equal(t, Unknown, res)
	assert.Equal(t, 27, n)
	res, _ = Contested(hard(40), Bounds{Steps: 1 << 40, Time: 50 * time.Millisecond})
	assert.Equal(t, Unknown, res)
	res, _ = Contested(hard(24), Bounds{Ops: 26})
	assert.Equal(t, Unknown, res)
	res, _ = Contested(hard(5), Bounds{})
	assert.Equal(t, No, res, "with the work done, it is decided")
	assert.Less(t, time.Since(start), 20*time.Second)
}

// What the search keeps is bounded: a history that would take a lot of memory is
// given up, whatever steps and time are left, and what was allocated by then is
// within the bound.
func TestContestedBoundsMemory(t *testing.T) {
	for _, before := range []int{0, 4000} { // reads in order, which make each step of the search larger
		ops := hard(40)
		for i := range ops[1:] {
			o := &ops[1+i]
			o.Start, o.End = o.Start+tick(before), o.End+tick(before)
		}
		for i := range before {
			ops = append(ops, history.Op{Kind: history.Read, Outcome: history.OK, Class: history.Contested, Seq: 1, Start: tick(i), End: tick(i) + 1})
		}
		allocated := func(b Bounds) int64 {
			var from, to runtime.MemStats
			runtime.ReadMemStats(&from)
			res, _ := Contested(ops, b)
			runtime.ReadMemStats(&to)
			require.Equal(t, Unknown, res)
			return int64(to.TotalAlloc - from.TotalAlloc)
		}
		fixed := allocated(Bounds{Steps: 1, Time: time.Minute}) // of the history itself
		const most = 16 << 20
		got := allocated(Bounds{Steps: 1 << 40, Time: time.Minute, Memory: most}) - fixed
		assert.Less(t, got, int64(most), "%d operations more", before)
		assert.Greater(t, got, int64(most/8), "the bound is near to what is used")
		assert.Greater(t, allocated(Bounds{Steps: 1 << 40, Time: time.Minute, Memory: 4 * most})-fixed, 2*got, "and it is what ends the search")
	}
	assert.EqualValues(t, 128<<20, Bounds{}.orDefaults().Memory)
}

// Replicas that answer eventual reads, and events, are no part of it.
func TestContestedIsAboutStrongOperations(t *testing.T) {
	ops := []history.Op{
		{Kind: history.Create, Outcome: history.OK, Class: history.Contested, Seq: 1, Writer: 1, Start: tick(0), End: tick(1)},
		{Kind: history.Update, Outcome: history.OK, Class: history.Contested, Seq: 1, Writer: 2, Start: tick(3), End: tick(4)},
		{Kind: history.Read, Outcome: history.OK, Class: history.Eventual, Seq: 1, Writer: 1, Start: tick(6), End: tick(7)},
		{Kind: history.Deliver, Outcome: history.OK, Class: history.Stream, Seq: 5, Start: tick(8), End: tick(8)},
	}
	res, n := Contested(ops, Bounds{})
	assert.Equal(t, Yes, res)
	assert.Equal(t, 2, n)
	ops[2].Class = history.Contested
	res, _ = Contested(ops, Bounds{})
	assert.Equal(t, No, res)
}

// A contested session may expire once nobody has refreshed it for its time,
// and not before.
func TestContestedExpiry(t *testing.T) {
	ops := []history.Op{
		{Kind: history.Create, Outcome: history.OK, Seq: 1, Writer: 1, TTL: 10, Start: tick(0), End: tick(1)},
		{Kind: history.Read, Outcome: history.OK, Absent: true, Start: tick(11), End: tick(12)},
	}
	res, _ := Contested(ops, Bounds{})
	assert.Equal(t, Yes, res)
	ops[1].Start, ops[1].End = tick(8), tick(9)
	res, _ = Contested(ops, Bounds{})
	assert.Equal(t, No, res)
	// A refresh in between keeps it.
	ops[1].Start, ops[1].End = tick(11), tick(12)
	touch := history.Op{Kind: history.Touch, Outcome: history.OK, Seq: 1, Writer: 1, TTL: 10, Start: tick(5), End: tick(6)}
	res, _ = Contested(append(ops, touch), Bounds{})
	assert.Equal(t, No, res)
}

// The idle clock counts from the start of an acknowledged refresh when the
// session must be there, and from the end of any refresh when it must be gone.
func TestExpiryBothWays(t *testing.T) {
	base := func() []history.Op {
		return []history.Op{
			{Kind: history.Create, Outcome: history.OK, Seq: 1, TTL: 100, Start: tick(0), End: tick(2)},
			{Kind: history.Touch, Outcome: history.Unknown, TTL: 100, Start: tick(50), End: tick(60)},
		}
	}
	read := func(at int, absent bool) history.Op {
		o := history.Op{Kind: history.Read, Outcome: history.OK, Absent: absent, Start: tick(at), End: tick(at + 1)}
		if !absent {
			o.Seq = 1
		}
		return o
	}
	rules := Rules{Grace: tick(5)}
	for _, c := range []struct {
		name  string
		op    history.Op
		early bool
		lost  bool
		late  bool
	}{
		{"gone while it must be there", read(40, true), false, true, false},
		{"gone in the last fifth of its time", read(90, true), true, false, false},
		{"gone as soon as it may be: the unknown touch need not have extended it", read(99, true), false, false, false},
		{"there after its first time: the unknown touch may have extended it", read(130, false), false, false, false},
		{"there within the grace", read(165, false), false, false, false},
		{"there after the grace", read(166, false), false, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := New(rules).Session(append(base(), c.op))
			assert.Equal(t, []bool{c.early, c.lost, c.late}, []bool{f.Early, f.Lost, f.Late})
		})
	}
	stood := rules
	stood.Stopped = func(_ uint16, from, to time.Duration) time.Duration {
		assert.Equal(t, tick(60), from)
		return tick(3)
	}
	f := New(stood).Session(append(base(), read(168, false)))
	assert.False(t, f.Late, "the idle clock stood still for a while")
	f = New(stood).Session(append(base(), read(169, false)))
	assert.True(t, f.Late)
}

// A create without an answer may take effect long after its client gave up, so
// no end of the session's time can be known; with an answer it can.
func TestUnansweredCreateHasNoEnd(t *testing.T) {
	ops := []history.Op{
		{Kind: history.Create, Outcome: history.Unknown, Seq: 1, TTL: 100, Start: tick(0), End: tick(2)},
		{Kind: history.Read, Outcome: history.OK, Seq: 1, Start: tick(200), End: tick(201)},
	}
	assert.False(t, New(Rules{Grace: tick(5)}).Session(ops).Late)
	ops[0].Outcome = history.OK
	assert.True(t, New(Rules{Grace: tick(5)}).Session(ops).Late)
}

// An acknowledged touch is a refresh; a read is none.
func TestReadsDoNotRefresh(t *testing.T) {
	ops := []history.Op{
		{Kind: history.Create, Outcome: history.OK, Seq: 1, TTL: 100, Start: tick(0), End: tick(2)},
		{Kind: history.Read, Outcome: history.OK, Seq: 1, Start: tick(50), End: tick(51)},
		{Kind: history.Read, Outcome: history.OK, Absent: true, Start: tick(120), End: tick(121)},
	}
	assert.False(t, violated(New(Rules{}).Session(ops)))
	ops[1].Kind, ops[1].TTL = history.Touch, 100
	f := New(Rules{}).Session(ops)
	assert.True(t, f.Lost || f.Early)
}

// A record that breaks what the checks assume is said to, and judged no further.
func TestBrokenRecord(t *testing.T) {
	two := []history.Op{
		{Kind: history.Create, Outcome: history.OK, Seq: 1, Start: tick(0), End: tick(2)},
		{Kind: history.Update, Outcome: history.OK, Seq: 1, Start: tick(3), End: tick(4)},
	}
	assert.Contains(t, New(Rules{}).Session(two).Broken, "written twice")
	two[0].Seq = 2
	assert.Contains(t, New(Rules{}).Session(two).Broken, "written after")
	two[0].Seq, two[1].Seq = 1, 2
	require.Empty(t, New(Rules{}).Session(two).Broken)
}

// The order in which operations were recorded is nobody's business.
func TestSortIsTotal(t *testing.T) {
	a := []history.Op{
		{Start: 1, End: 2, Kind: history.Read, Client: 1}, {Start: 1, End: 2, Kind: history.Read, Client: 2},
		{Start: 1, End: 3, Kind: history.Read}, {Start: 0, End: 3, Kind: history.Update, Seq: 2},
	}
	b := []history.Op{a[2], a[1], a[3], a[0]}
	Sort(a)
	Sort(b)
	assert.Equal(t, a, b)
}
