package checker

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/loadgen/history"
)

// A state that comes back and stays is told from an answer that was behind; the
// reads count as stale either way.
func TestDuplicated(t *testing.T) {
	op := func(kind history.Kind, seq uint32, at int) history.Op {
		return history.Op{Kind: kind, Outcome: history.OK, Class: history.Follower, Seq: seq, Client: 1, Start: tick(at), End: tick(at + 2)}
	}
	read := func(seq uint32, at int) history.Op { return op(history.Read, seq, at) }
	base := []history.Op{
		op(history.Create, 1, 0), op(history.Update, 2, 10), read(2, 13), op(history.Update, 3, 20), read(3, 23),
	}
	later := []history.Op{op(history.Update, 4, 60), read(4, 63)}
	witness := read(2, 40)
	witness.Class = history.Witness
	for _, c := range []struct {
		name            string
		ops             []history.Op
		duplicated, bad int
	}{
		{"nothing comes back", nil, 0, 0},
		{"one answer that was behind", []history.Op{read(2, 40)}, 0, 1},
		{"two, with a newer one between them", []history.Op{read(2, 40), read(3, 44), read(2, 48)}, 0, 2},
		{"two, and a newer one after them", []history.Op{read(2, 40), read(2, 44), read(3, 48)}, 0, 2},
		{"it is back and stays", []history.Op{read(2, 40), read(2, 44)}, 1, 2},
		{"it is back for a witness and a follower", []history.Op{witness, read(2, 44), read(2, 48)}, 1, 3},
		{"two answers at the same time", []history.Op{read(2, 40), read(2, 41)}, 0, 2},
		{"its own writer touches it", []history.Op{op(history.Touch, 2, 40)}, 1, 1},
		{"the create is back", []history.Op{read(1, 40), read(1, 44)}, 1, 2},
		{"two are back, one after the other", []history.Op{read(2, 40), read(2, 44), read(1, 48), read(1, 52)}, 2, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			ops := append(append(append([]history.Op{}, base...), c.ops...), later...)
			Sort(ops)
			f := New(Rules{}).Session(ops)
			assert.Equal(t, c.duplicated, f.Duplicated)
			assert.Equal(t, c.bad, f.Stale+f.Backward)
			assert.Empty(t, f.LostWrites)
			n := 0
			for _, v := range f.Violations {
				if v.Check == Duplicated {
					n++
				}
			}
			assert.Equal(t, c.duplicated, n)
		})
	}
	// Where it is what is left at the end, the write that it took away is lost.
	ops := append(append([]history.Op{}, base...), read(2, 40), read(2, 44))
	f := New(Rules{}).Session(ops)
	assert.Zero(t, f.Duplicated)
	assert.Len(t, f.LostWrites, 1)
}

// The sweep finds what the definition, taken word by word, finds.
func TestDuplicatedAgainstBruteForce(t *testing.T) {
	c := New(Rules{})
	found := 0
	for seed := range 30_000 {
		r := rand.New(rand.NewPCG(uint64(seed), 7))
		var ops []history.Op
		now := 1
		for seq := uint32(1); seq <= 4; seq++ {
			o := history.Op{Kind: history.Update, Outcome: history.OK, Seq: seq, Client: 1, Start: tick(now), End: tick(now + 1 + r.IntN(3))}
			if seq == 1 {
				o.Kind = history.Create
			}
			if r.IntN(5) == 0 {
				o.Outcome = history.Unknown
			}
			ops = append(ops, o)
			now += 4 + r.IntN(12)
		}
		for range 3 + r.IntN(5) {
			at := 2 + r.IntN(now)
			o := history.Op{Kind: history.Read, Outcome: history.OK, Client: 2, Seq: 1 + uint32(r.IntN(4)), Start: tick(at), End: tick(at + r.IntN(4))}
			if r.IntN(5) == 0 {
				o.Kind = history.Touch
			}
			ops = append(ops, o)
		}
		Sort(ops)
		f := c.Session(ops)
		if len(f.LostWrites) > 0 {
			continue // explained otherwise
		}
		want := 0
		for w := range c.writes {
			if c.wordByWord(w) {
				want++
			}
		}
		require.Equal(t, want, f.Duplicated, "seed %d\n%s", seed, show(ops))
		found += f.Duplicated
	}
	require.Greater(t, found, 500)
}

// wordByWord says whether the state of a write came back to stay.
func (c *Checker) wordByWord(write int) bool {
	start := func(r *observation) time.Duration { return c.ops[r.op].Start }
	end := func(r *observation) time.Duration { return c.ops[r.op].End }
	newer := func(r *observation, w int) bool { return r.write != w && c.writes[r.write].start > c.writes[w].bound() }
	stays := func(r *observation) bool {
		before, after := false, false
		for i := range c.obs {
			p := &c.obs[i]
			before = before || newer(p, r.write) && end(p) < start(r)
			after = after || newer(p, r.write) && start(p) > end(r) && c.writes[p.write].start <= end(r)
		}
		return r.outdated() && before && !after
	}
	for i := range c.obs {
		r := &c.obs[i]
		if r.write != write || !stays(r) {
			continue
		}
		if c.ops[r.op].Kind != history.Read {
			return true
		}
		for j := i + 1; j < len(c.obs); j++ {
			p := &c.obs[j]
			if newer(p, write) || p.write != write && stays(p) {
				break
			}
			if p.write == write && stays(p) && start(p) > end(r) {
				return true
			}
		}
	}
	return false
}
