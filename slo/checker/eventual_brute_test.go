package checker

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/loadgen/history"
)

// placed is an order in which the writes of a session may have taken effect:
// the created and updated states, and the close at the end if there is one.
type placed struct {
	states []uint32
	ended  bool
}

func (p placed) pos(seq uint32) int { return slices.Index(p.states, seq) }
func (p placed) end() int           { return len(p.states) }

// orders calls fn with every order of the writes that real time and what was
// found allow, until it returns true. ended says which of the reads that found
// nothing found that the session was over: their ends bound the close.
func orders(ops []history.Op, fn func(p placed, over []bool) bool) bool {
	var writes []history.Op
	var closing *history.Op
	var reads, strongReads []history.Op
	for _, o := range ops {
		applied := o.Outcome == history.Unknown || o.Outcome == history.OK && !o.Absent && !o.Exists
		switch {
		case o.Class == history.Eventual:
			reads = append(reads, o)
		case o.Kind == history.Close && applied && closing == nil:
			closing = &o
		case (o.Kind == history.Create || o.Kind == history.Update) && applied:
			writes = append(writes, o)
		case o.Kind.Observes() && o.Outcome == history.OK && !o.Absent:
			strongReads = append(strongReads, o)
		}
	}
	var nothing []int
	for i, o := range reads {
		if o.Absent {
			nothing = append(nothing, i)
		}
	}
	const forever = time.Duration(1) << 60
	// by is when an applied write has certainly taken effect.
	by := func(w *history.Op) time.Duration {
		t := forever
		if w.Outcome == history.OK {
			t = w.End
		}
		for _, o := range append(slices.Clone(reads), strongReads...) {
			if w.Kind != history.Close && !o.Absent && o.Seq == w.Seq {
				t = min(t, o.End)
			}
		}
		return t
	}
	must := func(w *history.Op) bool { return by(w) != forever }
	var try func(p placed, now time.Duration, done []bool, over []bool) bool
	try = func(p placed, now time.Duration, done []bool, over []bool) bool {
		all := true
		for i := range writes {
			all = all && (done[i] || !must(&writes[i]))
		}
		// The close comes last, or not at all.
		if all && !slices.Contains(over, true) && (closing == nil || closing.Outcome != history.OK) && fn(p, over) {
			return true
		}
		if all && closing != nil && len(p.states) > 0 {
			at, ok := max(now, closing.Start), true
			for _, o := range strongReads {
				at = max(at, o.Start) // it was there
			}
			if closing.Outcome == history.OK {
				ok = at <= closing.End
			}
			for i, n := range nothing {
				if over[i] && at > reads[n].End {
					ok = false
				}
			}
			q := p
			q.ended = true
			if ok && fn(q, over) {
				return true
			}
		}
		for i := range writes {
			w := &writes[i]
			if done[i] || w.Kind == history.Update && len(p.states) == 0 || w.Kind == history.Create && len(p.states) > 0 {
				continue
			}
			if at := max(now, w.Start); at <= by(w) {
				done[i] = true
				q := placed{states: append(slices.Clone(p.states), w.Seq)}
				if try(q, at, done, over) {
					return true
				}
				done[i] = false
			}
		}
		return false
	}
	for m := range 1 << len(nothing) {
		over := make([]bool, len(nothing))
		for i := range over {
			over[i] = m>>i&1 == 1
		}
		if try(placed{}, 0, make([]bool, len(writes)), over) {
			return true
		}
	}
	return false
}

// at is where in the order each read stands.
func (p placed) at(reads []history.Op, over []bool) []int {
	var at []int
	n := 0
	for _, o := range reads {
		switch {
		case !o.Absent:
			at = append(at, p.pos(o.Seq))
			continue
		case over[n]:
			at = append(at, p.end())
		default:
			at = append(at, -1)
		}
		n++
	}
	return at
}

func eventualReads(ops []history.Op) []history.Op {
	var reads []history.Op
	for _, o := range ops {
		if o.Class == history.Eventual {
			reads = append(reads, o)
		}
	}
	return reads
}

// keepsOwn says whether read i of the order is no older than what its client had written.
func keepsOwn(p placed, ops []history.Op, r history.Op, at int) bool {
	for _, w := range ops {
		if w.Class == history.Eventual || w.Outcome != history.OK || w.Absent || w.Exists || w.Client != r.Client || w.End >= r.Start {
			continue
		}
		switch w.Kind {
		case history.Create, history.Update:
			if at < p.pos(w.Seq) {
				return false
			}
		case history.Close:
			if at < p.end() {
				return false
			}
		}
	}
	return true
}

func keepsOwnWrites(ops []history.Op) func(placed, []bool) bool {
	reads := eventualReads(ops)
	return func(p placed, over []bool) bool {
		for i, at := range p.at(reads, over) {
			if !keepsOwn(p, ops, reads[i], at) {
				return false
			}
		}
		return true
	}
}

func readsForward(ops []history.Op) func(placed, []bool) bool {
	reads := eventualReads(ops)
	return func(p placed, over []bool) bool {
		at := p.at(reads, over)
		for i := range reads {
			for j := range reads {
				if reads[i].Client == reads[j].Client && reads[i].End < reads[j].Start && at[i] > at[j] {
					return false
				}
			}
		}
		return true
	}
}

// staleAtLeast is how long ago each read's state was replaced in every order.
func staleAtLeast(ops []history.Op) []time.Duration {
	reads := eventualReads(ops)
	least := make([]time.Duration, len(reads))
	for i := range least {
		least[i] = never
	}
	orders(ops, func(p placed, over []bool) bool {
		for i, at := range p.at(reads, over) {
			stale := time.Duration(0)
			for _, w := range ops {
				if w.Class == history.Eventual || w.Outcome != history.OK || w.Absent || w.Exists {
					continue
				}
				later := (w.Kind == history.Create || w.Kind == history.Update) && p.pos(w.Seq) > at || w.Kind == history.Close && p.ended && at < p.end()
				if later {
					stale = max(stale, reads[i].Start-w.End)
				}
			}
			least[i] = min(least[i], stale)
		}
		return false
	})
	var out []time.Duration
	for _, d := range least {
		if d > 0 && d != never {
			out = append(out, d)
		}
	}
	return out
}

// replicated makes a tiny history of one writer whose session is read back from
// anywhere; strict keeps its reads from overlapping.
func replicated(r *rand.Rand, strict bool) []history.Op {
	var ops []history.Op
	now, seq := r.IntN(3), uint32(0)
	closed := false
	for range 1 + r.IntN(4) {
		o := history.Op{Start: tick(now), Writer: 1, Client: 1, Class: history.Follower, Kind: history.Update}
		now += r.IntN(5)
		o.End = tick(now)
		now += 1 + r.IntN(3)
		o.Outcome = []history.Outcome{history.OK, history.OK, history.OK, history.Unknown, history.Unknown, history.Failed}[r.IntN(6)]
		if seq > 0 && !closed && r.IntN(6) == 0 {
			o.Kind, closed = history.Close, true
			for _, w := range ops {
				if o.Outcome == history.OK && w.Outcome == history.OK && !w.Absent {
					o.Seq = w.Seq
				}
			}
			if o.Seq == 0 && o.Outcome == history.OK {
				o.Outcome = history.Unknown
			}
			ops = append(ops, o)
			continue
		}
		seq++
		o.Seq = seq
		if seq == 1 {
			o.Kind = history.Create
		} else if o.Outcome == history.OK && r.IntN(8) == 0 {
			o.Absent = true
		}
		ops = append(ops, o)
	}
	writes := len(ops)
	from := 0
	for range 1 + r.IntN(4) {
		if !strict {
			from = r.IntN(now + 3)
		} else {
			from += 1 + r.IntN(3)
		}
		to := from + r.IntN(6)
		o := history.Op{Start: tick(from), End: tick(to), Kind: history.Read, Outcome: history.OK, Class: history.Eventual, Client: 1, Writer: 1}
		if !strict && r.IntN(6) == 0 {
			o.Client = 2
		}
		if strict {
			from = to
		}
		w := ops[r.IntN(writes)]
		if w.Kind == history.Close || w.Outcome == history.Failed || w.Absent || w.Start > o.End {
			o.Absent = true
		} else {
			o.Seq = w.Seq
		}
		ops = append(ops, o)
	}
	Sort(ops)
	return ops
}

func possible(ops []history.Op) bool {
	return orders(ops, func(placed, []bool) bool { return true })
}

// The fast check says of tiny histories what trying every order of the writes
// says: whether one exists that keeps each guarantee, which reads lack a write
// whatever the order, and how stale each read is at least.
func TestEventualAgainstBruteForce(t *testing.T) {
	n := 20_000
	if testing.Short() {
		n = 5_000
	}
	c := New(Rules{})
	count := map[string]int{}
	for seed := range n {
		strict := seed%2 == 0
		ops := replicated(rand.New(rand.NewPCG(uint64(seed), 3)), strict)
		if !possible(ops) {
			continue
		}
		f := c.Session(ops)
		require.Zero(t, f.Phantom, "seed %d\n%s", seed, show(ops))
		e := f.Eventual
		own, forward := orders(ops, keepsOwnWrites(ops)), orders(ops, readsForward(ops))
		require.Equal(t, own, e.ReadYourWrites == 0, "seed %d: reads its writes %t, found %+v\n%s", seed, own, e, show(ops))
		if forward {
			require.Zero(t, e.NonMonotonic, "seed %d: found %+v\n%s", seed, e, show(ops))
		} else if strict {
			require.NotZero(t, e.NonMonotonic, "seed %d: found %+v\n%s", seed, e, show(ops))
		} else if e.NonMonotonic == 0 {
			count["not seen"]++
		}
		reads, lacking := eventualReads(ops), 0
		for i, r := range reads {
			if !orders(ops, func(p placed, over []bool) bool { return keepsOwn(p, ops, r, p.at(reads, over)[i]) }) {
				lacking++
			}
		}
		require.Equal(t, lacking, e.ReadYourWrites, "seed %d: found %+v\n%s", seed, e, show(ops))
		require.Equal(t, staleAtLeast(ops), e.Staleness, "seed %d: found %+v\n%s", seed, e, show(ops))
		count["own "+ifStr(own, "yes", "no")]++
		count["forward "+ifStr(forward, "yes", "no")]++
		if len(e.Staleness) > 0 {
			count["stale"]++
		}
	}
	for _, k := range []string{"own yes", "own no", "forward yes", "forward no", "stale"} {
		require.Greater(t, count[k], n/20, k)
	}
	assert.LessOrEqual(t, count["not seen"], n/200, "what only overlapping reads and an order of unanswered writes would show")
	t.Log(count)
}

// What replicas answer says nothing about the one state that a session has: the
// strong checks find the same beside eventual reads as without them. And there is
// no false alarm where strong reads bound the writes too.
func TestEventualReadsAreNoStrongOnes(t *testing.T) {
	n := 20_000
	if testing.Short() {
		n = 3_000
	}
	c := New(Rules{})
	alarms := 0
	for seed := range n {
		r := rand.New(rand.NewPCG(uint64(seed), 4))
		ops := single(r)
		for i := range ops {
			ops[i].TTL = uint32(r.IntN(2) * 12)
		}
		Sort(ops)
		want := c.Session(ops)
		most := uint32(1)
		for _, o := range ops {
			most = max(most, o.Seq)
		}
		both := slices.Clone(ops)
		for range 1 + r.IntN(4) {
			from := r.IntN(25)
			o := history.Op{Start: tick(from), End: tick(from + r.IntN(4)), Kind: history.Read, Outcome: history.OK, Class: history.Eventual, Client: 1}
			finding(r, &o, most)
			both = append(both, o)
		}
		Sort(both)
		got := c.Session(both)
		e := got.Eventual
		text := show(both)
		got.Eventual, got.Violations, want.Violations = Eventual{}, nil, nil
		got.Phantom = want.Phantom
		require.Equal(t, want, got, "seed %d\n%s", seed, text)

		if creates(ops) > 1 || !possible(both) || slices.ContainsFunc(both, func(o history.Op) bool { return o.TTL > 0 && o.Kind != history.Read }) {
			continue
		}
		if orders(both, keepsOwnWrites(both)) {
			require.Zero(t, e.ReadYourWrites, "seed %d: found %+v\n%s", seed, e, text)
		} else {
			alarms++
		}
		if orders(both, readsForward(both)) {
			require.Zero(t, e.NonMonotonic, "seed %d: found %+v\n%s", seed, e, text)
		} else {
			alarms++
		}
	}
	require.NotZero(t, alarms)
}
