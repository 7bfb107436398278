package checker

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/loadgen/history"
)

// bruteStream counts from the definitions, one pair of operations at a time.
func bruteStream(ops []history.Op, rules StreamRules) StreamFindings {
	var f StreamFindings
	var emits, delivered, resumes []history.Op
	for _, o := range ops {
		switch o.Kind {
		case history.Emit:
			emits = append(emits, o)
		case history.Resume:
			resumes = append(resumes, o)
		case history.Deliver:
			f.Events++
			switch {
			case o.Exists:
				f.CrossSession++
			case o.Corrupt:
				f.Corrupt++
			default:
				delivered = append(delivered, o)
			}
		}
	}
	var acked []history.Op // each number once
	for i, e := range emits {
		if e.Outcome != history.OK {
			continue
		}
		f.Emitted++
		first := true
		for j, p := range emits {
			if p.Outcome == history.OK && p.Seq == e.Seq && j < i {
				first = false
			}
		}
		if first {
			acked = append(acked, e)
		} else {
			f.Gaps++
		}
	}

	phantom := map[uint32]bool{}
	var firsts []history.Op
	for _, d := range delivered {
		explained := len(emits) == 0
		for _, e := range emits {
			if e.Seq == d.Seq && (e.Outcome == history.OK || e.Outcome == history.Unknown) && e.Start <= firstOf(delivered, d.Seq) {
				explained = true
			}
		}
		if !explained && d.End == firstOf(delivered, d.Seq) {
			dup := false
			for _, p := range firsts {
				dup = dup || p.Seq == d.Seq
			}
			if !dup {
				firsts = append(firsts, d)
			}
		}
	}
	var unnamed []history.Op
	for _, e := range emits {
		if e.Outcome == history.Unknown && e.Seq == 0 {
			unnamed = append(unnamed, e)
		}
	}
	f.Phantom = len(firsts) - assign(firsts, unnamed, make([]bool, len(unnamed)))
	// Which of them are the phantoms does not matter in these histories: all are
	// left out below by the same rule, the first to arrive explained first.
	used := 0
	for _, d := range firsts {
		n := 0
		for _, e := range unnamed {
			if e.Start <= d.End {
				n++
			}
		}
		if used < n {
			used++
		} else {
			phantom[d.Seq] = true
		}
	}

	// over is the connection that an event came over: the index of its Resume, -1
	// where that is not recorded.
	over := func(d history.Op) int {
		at := -1
		for i, r := range resumes {
			if r.Client == d.Client && r.Outcome == history.OK && r.Start < d.Start {
				at = i
			}
		}
		return at
	}
	var whole []history.Op
	clients := map[uint16]bool{}
	for _, d := range delivered {
		if !phantom[d.Seq] {
			whole = append(whole, d)
			clients[d.Client] = true
		}
	}
	for _, r := range resumes {
		clients[r.Client] = true
	}
	for i, d := range whole {
		again, repeated, late := false, false, false
		for _, p := range whole[:i] {
			if p.Client != d.Client {
				continue
			}
			again = again || p.Seq == d.Seq
			repeated = repeated || p.Seq == d.Seq && over(p) == over(d)
			late = late || p.Seq > d.Seq && over(p) == over(d)
		}
		if again {
			f.Duplicates++
		}
		if repeated {
			f.Repeated++
		} else if late {
			f.Misordered++
		}
	}
	for c := range clients {
		for _, e := range acked {
			got, due := false, false
			last := -1 // Resume of the client, ok or not
			for i, r := range resumes {
				if r.Client == c {
					last = i
				}
			}
			low, any := uint32(0), false
			for _, d := range whole {
				if d.Client == c && d.Seq == e.Seq {
					got = true
				}
				if d.Client == c && over(d) < 0 && !any {
					low, any = d.Seq, true
				}
			}
			owes := func(i int) bool {
				switch {
				case i < 0:
					return e.Seq > low
				case resumes[i].Seq > 0:
					return e.Seq > resumes[i].Seq
				}
				return e.Start >= resumes[i].End
			}
			for _, d := range whole {
				due = due || d.Client == c && d.Seq > e.Seq && owes(over(d))
			}
			if last >= 0 && resumes[last].Outcome == history.OK && owes(last) && max(e.End, resumes[last].End)+rules.Patience <= rules.Until {
				due = true
			}
			if due && !got {
				f.Gaps++
			}
		}
	}
	return f
}

func firstOf(delivered []history.Op, seq uint32) time.Duration {
	for _, d := range delivered {
		if d.Seq == seq {
			return d.End
		}
	}
	return never
}

// assign is how many events can be explained at most, each by an emission of its own.
func assign(events, by []history.Op, used []bool) int {
	if len(events) == 0 {
		return 0
	}
	best := assign(events[1:], by, used)
	for i := range by {
		if !used[i] && by[i].Start <= events[0].End {
			used[i] = true
			best = max(best, 1+assign(events[1:], by, used))
			used[i] = false
		}
	}
	return best
}

// streamed makes a tiny history of the events of one session.
func streamed(r *rand.Rand) []history.Op {
	var ops []history.Op
	event := func(o history.Op) {
		o.Class = history.Stream
		ops = append(ops, o)
	}
	now := r.IntN(3)
	for n := range r.IntN(6) {
		o := history.Op{Kind: history.Emit, Outcome: history.OK, Seq: uint32(n + 1), Start: tick(now), End: tick(now + r.IntN(4)), Client: 9}
		switch r.IntN(7) {
		case 0:
			o.Outcome = history.Unknown
		case 1:
			o.Outcome, o.Seq = history.Unknown, 0
		case 2:
			o.Outcome = history.Failed
		case 3:
			o.Seq = uint32(1 + r.IntN(6))
		}
		now += r.IntN(3)
		event(o)
	}
	clients := 1 + r.IntN(2)
	for c := range clients {
		at := r.IntN(4)
		seq := uint32(0)
		for range r.IntN(6) {
			at++
			o := history.Op{Start: tick(at), End: tick(at), Client: uint16(c + 1), Outcome: history.OK}
			switch v := r.IntN(10); {
			case v < 3:
				o.Kind = history.Resume
				at += r.IntN(3)
				o.End = tick(at)
				o.Seq = []uint32{0, seq, seq, uint32(r.IntN(3))}[r.IntN(4)]
				o.Outcome = []history.Outcome{history.OK, history.OK, history.OK, history.Failed}[r.IntN(4)]
			default:
				o.Kind = history.Deliver
				if seq++; r.IntN(3) == 0 {
					seq = uint32(1 + r.IntN(6))
				}
				o.Seq = seq
				o.Exists, o.Corrupt = v == 3 && seq == 2, v == 4 && seq == 3
			}
			event(o)
		}
	}
	Sort(ops)
	return ops
}

// The near-linear check of streams counts what the definitions, taken word by
// word, count on tiny histories.
func TestStreamAgainstBruteForce(t *testing.T) {
	n := 30_000
	if testing.Short() {
		n = 8_000
	}
	var sum StreamFindings
	clean := 0
	for seed := range n {
		r := rand.New(rand.NewPCG(uint64(seed), 5))
		ops := streamed(r)
		rules := StreamRules{Until: tick(8 + r.IntN(10)), Patience: tick(r.IntN(5))}
		got, want := Stream(ops, rules), bruteStream(ops, rules)
		problems := got.Gaps + got.Repeated + got.Misordered + got.CrossSession + got.Phantom + got.Corrupt
		require.Equal(t, min(problems, maxViolations), len(got.Violations), "each problem has its evidence")
		got.Violations = nil
		require.Equal(t, want, got, "seed %d, %+v\n%s", seed, rules, show(ops))
		sum.Gaps += min(got.Gaps, 1)
		sum.Duplicates += min(got.Duplicates, 1)
		sum.Repeated += min(got.Repeated, 1)
		sum.Misordered += min(got.Misordered, 1)
		sum.CrossSession += min(got.CrossSession, 1)
		sum.Phantom += min(got.Phantom, 1)
		sum.Corrupt += min(got.Corrupt, 1)
		if problems == 0 && got.Events > 1 {
			clean++
		}
	}
	for name, k := range map[string]int{
		"gaps": sum.Gaps, "duplicates": sum.Duplicates, "repeated": sum.Repeated, "misordered": sum.Misordered,
		"cross-session": sum.CrossSession, "phantom": sum.Phantom, "corrupt": sum.Corrupt, "clean": clean,
	} {
		assert.Greater(t, k, n/100, "histories with %s", name)
	}
	t.Logf("%+v, clean %d", sum, clean)
}

// An earlier connection goes on owing what it passed over, when its client has
// opened another one since without naming an event.
func TestStreamOpenedAgain(t *testing.T) {
	event := func(kind history.Kind, seq uint32, from, to int) history.Op {
		return history.Op{Kind: kind, Outcome: history.OK, Class: history.Stream, Seq: seq, Start: tick(from), End: tick(to)}
	}
	ops := []history.Op{
		event(history.Resume, 0, 1, 2), event(history.Emit, 5, 3, 4), event(history.Deliver, 5, 5, 5),
		event(history.Resume, 0, 10, 11), event(history.Emit, 4, 12, 13), event(history.Emit, 6, 14, 15), event(history.Deliver, 6, 16, 16),
	}
	rules := StreamRules{Until: tick(20), Patience: tick(30)}
	assert.Equal(t, 1, Stream(ops, rules).Gaps, "event 4, though event 5 and 6 were delivered")
	assert.Equal(t, 1, Stream(ops[:5], rules).Gaps, "over the first connection, event 5 was")
	ops[4].Start, ops[4].End = tick(0), tick(1)
	Sort(ops)
	assert.Zero(t, Stream(ops, rules).Gaps, "event 4 was there before the stream was")
}

// Names and the origin of time mean nothing, and what else is done to the session is no event.
func TestStreamMetamorphic(t *testing.T) {
	for seed := range 2_000 {
		r := rand.New(rand.NewPCG(uint64(seed), 6))
		ops := streamed(r)
		rules := StreamRules{Until: tick(12), Patience: tick(2)}
		want := Stream(ops, rules)
		want.Violations = nil
		var moved []history.Op
		for _, o := range ops {
			o.Start, o.End, o.Client, o.Session = o.Start+time.Hour, o.End+time.Hour, 700-o.Client, 77
			moved = append(moved, o)
		}
		for i := range 4 {
			moved = append(moved, history.Op{Kind: history.Read, Class: history.Follower, Outcome: history.OK, Seq: uint32(i + 1), Start: time.Hour + tick(i), End: time.Hour + tick(i+1)})
		}
		r.Shuffle(len(moved), func(i, j int) { moved[i], moved[j] = moved[j], moved[i] })
		Sort(moved)
		rules.Until += time.Hour
		got := Stream(moved, rules)
		got.Violations = nil
		require.Equal(t, want, got, "seed %d\n%s", seed, show(ops))
	}
}
