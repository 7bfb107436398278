package checker

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/loadgen/history"
)

// value is the state of a session: writer and sequence number, zero if there is none.
type value struct {
	writer uint16
	seq    uint32
}

// brute is the second, dumber implementation: it tries every order of the
// operations that real time allows, and for each unknown write both worlds.
func brute(ops []history.Op) bool {
	var take []history.Op
	for _, o := range ops {
		if o.Outcome == history.OK || o.Outcome == history.Unknown && o.Kind.IsWrite() {
			take = append(take, o)
		}
	}
	return tryAll(take, make([]bool, len(take)), value{})
}

func tryAll(ops []history.Op, done []bool, v value) bool {
	rest := false
	for i := range ops {
		if !done[i] && ops[i].Outcome == history.OK {
			rest = true
		}
	}
	if !rest {
		return true // what is unknown need not have happened
	}
next:
	for i, o := range ops {
		if done[i] {
			continue
		}
		for j, p := range ops {
			if !done[j] && p.Outcome == history.OK && p.End < o.Start {
				continue next // p comes before o
			}
		}
		after, ok := apply(o, v)
		if !ok {
			continue
		}
		done[i] = true
		if tryAll(ops, done, after) {
			return true
		}
		done[i] = false
	}
	return false
}

func apply(o history.Op, v value) (value, bool) {
	there, known := v != (value{}), o.Outcome == history.OK
	mine := value{o.Writer, o.Seq}
	switch o.Kind {
	case history.Create:
		if there {
			return v, !known || o.Exists
		}
		return mine, !known || !o.Exists
	case history.Update:
		if !there {
			return v, !known || o.Absent
		}
		return mine, !known || !o.Absent
	case history.Touch, history.Read, history.ReadBack:
		return v, !known || o.Absent && !there || !o.Absent && there && v == mine
	case history.Close:
		return value{}, !known || o.Absent && !there || !o.Absent && there && v == mine
	}
	panic("unknown kind")
}

func tick(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// single makes a tiny history of one writer and some readers.
func single(r *rand.Rand) []history.Op {
	var ops []history.Op
	now, seq := 1+r.IntN(3), uint32(0)
	for range 1 + r.IntN(4) {
		o := history.Op{Start: tick(now), Writer: 1, Client: 1, Class: history.Follower}
		now += r.IntN(5)
		o.End = tick(now)
		now += 1 + r.IntN(3) // a client's next operation comes after its last
		o.Outcome = []history.Outcome{history.OK, history.OK, history.OK, history.Unknown, history.Failed}[r.IntN(5)]
		switch k := r.IntN(8); {
		case seq == 0 || k == 0:
			seq++
			o.Kind, o.Seq = history.Create, seq
			o.Exists = o.Outcome == history.OK && seq > 1 && r.IntN(2) == 0
		case k < 5:
			seq++
			o.Kind, o.Seq = history.Update, seq
			o.Absent = o.Outcome == history.OK && r.IntN(6) == 0
		case k < 6:
			o.Kind = history.Touch
			finding(r, &o, seq)
		default:
			o.Kind = history.Close
			finding(r, &o, seq)
		}
		ops = append(ops, o)
	}
	for range 1 + r.IntN(4) {
		from := r.IntN(now + 3)
		o := history.Op{Start: tick(from), End: tick(from + r.IntN(5)), Kind: history.Read, Outcome: history.OK, Class: history.Follower, Client: 2}
		finding(r, &o, seq)
		ops = append(ops, o)
	}
	return ops
}

func finding(r *rand.Rand, o *history.Op, most uint32) {
	if o.Outcome != history.OK {
		return
	}
	if o.Absent = r.IntN(4) == 0; !o.Absent {
		o.Seq, o.Writer = 1+uint32(r.IntN(int(most)+1)), 1
		if o.Seq > most {
			o.Seq = max(1, most)
		}
	}
}

func violated(f Findings) bool {
	return f.Stale+f.Backward+f.Phantom+f.Corrupt+len(f.LostWrites) > 0 || f.Lost || f.Early || f.Late || f.Resurrected
}

// creates counts those that may have been applied.
func creates(ops []history.Op) int {
	n := 0
	for i := range ops {
		if ops[i].Kind == history.Create && fateOf(&ops[i]) != void {
			n++
		}
	}
	return n
}

func show(ops []history.Op) string {
	var b strings.Builder
	for _, o := range ops {
		fmt.Fprintf(&b, "%3d-%-3d %v seq %d writer %d %v absent %t exists %t\n", o.Start/tick(1), o.End/tick(1), o.Kind, o.Seq, o.Writer, o.Outcome, o.Absent, o.Exists)
	}
	return b.String()
}

// The fast checker and Porcupine say of tiny histories of one writer what
// trying everything says: no false alarm, and nothing missed.
func TestSingleWriterAgainstBruteForce(t *testing.T) {
	n := 40_000
	if testing.Short() {
		n = 5_000
	}
	c := New(Rules{})
	var good, bad int
	for seed := range n {
		ops := single(rand.New(rand.NewPCG(uint64(seed), 1)))
		Sort(ops)
		want := brute(ops)
		f := c.Session(ops)
		require.Empty(t, f.Broken, "seed %d\n%s", seed, show(ops))
		if creates(ops) > 1 {
			// No client makes a session twice; there is no false alarm even so.
			if want {
				require.False(t, violated(f), "seed %d: found %+v\n%s", seed, f, show(ops))
			}
			continue
		}
		require.Equal(t, want, !violated(f), "seed %d: linearizable %t, found %+v\n%s", seed, want, f, show(ops))
		res, _ := Contested(ops, Bounds{})
		require.Equal(t, want, res == Yes, "seed %d: linearizable %t, Porcupine says %s\n%s", seed, want, res, show(ops))
		if want {
			good++
		} else {
			bad++
		}
	}
	require.Greater(t, good, n/20, "enough linearizable histories")
	require.Greater(t, bad, n/20, "enough others")
}

// contestedHistory makes a tiny history of two writers.
func contestedHistory(r *rand.Rand) []history.Op {
	var ops []history.Op
	seqs := [2]uint32{}
	for w := range seqs {
		now := r.IntN(4)
		for range 1 + r.IntN(3) {
			o := history.Op{Start: tick(now), Writer: uint16(w + 1), Client: uint16(w + 1), Class: history.Contested}
			now += r.IntN(5)
			o.End = tick(now)
			now += r.IntN(2)
			o.Outcome = []history.Outcome{history.OK, history.OK, history.Unknown, history.Failed}[r.IntN(4)]
			ok := o.Outcome == history.OK
			switch r.IntN(4) {
			case 0, 1:
				seqs[w]++
				o.Kind, o.Seq = history.Create, seqs[w]
				o.Exists = ok && r.IntN(2) == 0
			case 2:
				seqs[w]++
				o.Kind, o.Seq = history.Update, seqs[w]
				o.Absent = ok && r.IntN(3) == 0
			default:
				o.Kind = history.Close
			}
			ops = append(ops, o)
		}
	}
	for range 1 + r.IntN(3) {
		from := r.IntN(12)
		ops = append(ops, history.Op{Start: tick(from), End: tick(from + r.IntN(4)), Kind: history.Read, Outcome: history.OK, Class: history.Contested, Client: 3})
	}
	for i := range ops {
		o := &ops[i]
		if !o.Kind.Observes() || o.Outcome != history.OK {
			continue
		}
		w := r.IntN(2)
		if o.Absent = r.IntN(3) == 0 || seqs[w] == 0; o.Absent {
			continue
		}
		o.Writer, o.Seq = uint16(w+1), 1+uint32(r.IntN(int(seqs[w])))
	}
	return ops
}

func TestContestedAgainstBruteForce(t *testing.T) {
	n := 40_000
	if testing.Short() {
		n = 5_000
	}
	var good, bad int
	for seed := range n {
		ops := contestedHistory(rand.New(rand.NewPCG(uint64(seed), 2)))
		want := brute(ops)
		res, _ := Contested(ops, Bounds{})
		require.Equal(t, want, res == Yes, "seed %d: linearizable %t, Porcupine says %s\n%s", seed, want, res, show(ops))
		if want {
			good++
		} else {
			bad++
		}
	}
	require.Greater(t, good, n/20)
	require.Greater(t, bad, n/20)
}
