package checker

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/loadgen/history"
)

// anyRead is a read that any replica may answer, by a client; seq 0 is nothing found.
func anyRead(client uint16, seq uint32, from, to int) history.Op {
	return history.Op{Kind: history.Read, Outcome: history.OK, Class: history.Eventual, Client: client, Seq: seq, Absent: seq == 0, Start: tick(from), End: tick(to)}
}

// A session that lives 100 ms, written at 0 and 20 and touched at 50 by client 1.
func living() []history.Op {
	return []history.Op{
		{Kind: history.Create, Outcome: history.OK, Seq: 1, Client: 1, TTL: 100, Start: tick(0), End: tick(2)},
		{Kind: history.Update, Outcome: history.OK, Seq: 2, Client: 1, TTL: 100, Start: tick(20), End: tick(25)},
		{Kind: history.Touch, Outcome: history.OK, Seq: 2, Client: 1, TTL: 100, Start: tick(50), End: tick(52)},
	}
}

func TestEventualReads(t *testing.T) {
	closing := func(o history.Outcome) history.Op {
		c := history.Op{Kind: history.Close, Outcome: o, Client: 1, Start: tick(60), End: tick(62)}
		if o == history.OK {
			c.Seq = 2
		}
		return c
	}
	for _, c := range []struct {
		name             string
		ops              []history.Op
		own, forward     int
		stale            time.Duration // of the first stale read
		phantom, corrupt int
	}{
		{"the last state", []history.Op{anyRead(1, 2, 30, 31)}, 0, 0, 0, 0, 0},
		{"an older state", []history.Op{anyRead(1, 1, 30, 31)}, 1, 0, tick(5), 0, 0},
		{"an older state, for somebody else", []history.Op{anyRead(2, 1, 30, 31)}, 0, 0, tick(5), 0, 0},
		{"an older state, while the newer one is written", []history.Op{anyRead(1, 1, 24, 31)}, 0, 0, 0, 0, 0},
		{"older and older", []history.Op{anyRead(2, 2, 30, 31), anyRead(2, 1, 32, 33)}, 0, 1, tick(7), 0, 0},
		{"older, but at the same time", []history.Op{anyRead(2, 2, 30, 33), anyRead(2, 1, 32, 34)}, 0, 0, tick(7), 0, 0},
		{"older than what somebody else found", []history.Op{anyRead(2, 2, 30, 31), anyRead(3, 1, 32, 33)}, 0, 0, tick(7), 0, 0},
		{"one violation is one", []history.Op{anyRead(2, 2, 30, 31), anyRead(2, 1, 32, 33), anyRead(2, 2, 34, 35)}, 0, 1, tick(7), 0, 0},
		{"not there though it must be", []history.Op{anyRead(1, 0, 30, 31)}, 1, 0, tick(28), 0, 0},
		{"not there, for somebody else who saw nothing", []history.Op{anyRead(2, 0, 30, 31)}, 0, 0, tick(28), 0, 0},
		{"not there, for somebody else who saw it", []history.Op{anyRead(2, 1, 10, 11), anyRead(2, 0, 30, 31)}, 0, 1, tick(28), 0, 0},
		{"before it was created", []history.Op{anyRead(1, 0, 1, 3)}, 0, 0, 0, 0, 0},
		{"gone after the time of its last touch", []history.Op{anyRead(1, 0, 149, 150)}, 0, 0, 0, 0, 0},
		{"gone a little before", []history.Op{anyRead(1, 0, 148, 149)}, 1, 0, tick(146), 0, 0},
		// A replica that had the write of 20 ms and not the touch may let go of it at 120 ms.
		{"gone where the touch has not come", []history.Op{anyRead(2, 2, 30, 31), anyRead(2, 0, 119, 120)}, 0, 0, tick(117), 0, 0},
		{"gone before any write lets it", []history.Op{anyRead(2, 2, 30, 31), anyRead(2, 0, 118, 119)}, 0, 1, tick(116), 0, 0},
		{"gone, and back where it has not expired", []history.Op{anyRead(2, 2, 30, 31), anyRead(2, 0, 119, 120), anyRead(2, 2, 121, 122)}, 0, 1, tick(117), 0, 0},
		{"closed and gone", []history.Op{closing(history.OK), anyRead(1, 0, 70, 71)}, 0, 0, 0, 0, 0},
		{"closed and there", []history.Op{closing(history.OK), anyRead(1, 2, 70, 71)}, 1, 0, tick(8), 0, 0},
		{"closed and there, for somebody else", []history.Op{closing(history.OK), anyRead(2, 2, 70, 71)}, 0, 0, tick(8), 0, 0},
		{"perhaps closed, and gone", []history.Op{closing(history.Unknown), anyRead(1, 2, 65, 66), anyRead(1, 0, 70, 71)}, 0, 0, 0, 0, 0},
		{"perhaps closed, and gone, and there", []history.Op{closing(history.Unknown), anyRead(1, 0, 70, 71), anyRead(1, 2, 75, 76)}, 0, 0, 0, 0, 0},
		{"perhaps closed, there, gone, there", []history.Op{closing(history.Unknown), anyRead(2, 2, 64, 65), anyRead(2, 0, 70, 71), anyRead(2, 2, 75, 76)}, 0, 1, 0, 0, 0},
		{"not closed, and gone", []history.Op{closing(history.Failed), anyRead(1, 0, 70, 71)}, 1, 0, tick(68), 0, 0},
		{"nobody wrote it", []history.Op{anyRead(1, 7, 70, 71)}, 0, 0, 0, 1, 0},
		{"before it was written", []history.Op{anyRead(1, 2, 10, 11)}, 0, 0, 0, 1, 0},
		{"promised not to be written", []history.Op{{Kind: history.Update, Outcome: history.Failed, Seq: 3, Client: 1, Start: tick(55), End: tick(56)}, anyRead(1, 3, 70, 71)}, 0, 0, 0, 1, 0},
		{"corrupt", []history.Op{{Kind: history.Read, Outcome: history.OK, Class: history.Eventual, Corrupt: true, Client: 1, Start: tick(70), End: tick(71)}}, 0, 0, 0, 0, 1},
		{"no answer", []history.Op{{Kind: history.Read, Outcome: history.Unknown, Class: history.Eventual, Client: 1, Start: tick(70), End: tick(71)}}, 0, 0, 0, 0, 0},
		// The unanswered write may have taken effect after the one of 20 ms, until somebody saw it before.
		{"an unanswered write, late", []history.Op{lateWrite(), anyRead(1, 2, 30, 31), anyRead(1, 9, 40, 41)}, 0, 0, 0, 0, 0},
		{"an unanswered write, then the next, then it again", []history.Op{lateWrite(), anyRead(2, 9, 12, 22), anyRead(2, 2, 26, 27), anyRead(2, 9, 28, 29)}, 0, 1, 0, 0, 0},
		{"an unanswered write after the next", []history.Op{lateWrite(), anyRead(2, 2, 26, 27), anyRead(2, 9, 28, 29)}, 0, 0, 0, 0, 0},
		{"an unanswered write, seen early by a replica", []history.Op{lateWrite(), anyRead(2, 9, 12, 13), anyRead(1, 9, 40, 41)}, 1, 0, tick(15), 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			ops := append(living(), c.ops...)
			for i := range ops {
				if ops[i].Seq == 9 { // numbers rise: the one between 1 and 2
					ops[i].Seq = 2
				} else if ops[i].Seq >= 2 && slices.ContainsFunc(c.ops, func(o history.Op) bool { return o.Outcome == history.Unknown && o.Kind == history.Update }) {
					ops[i].Seq++
				}
			}
			Sort(ops)
			f := New(Rules{}).Session(ops)
			require.Empty(t, f.Broken)
			e := f.Eventual
			assert.Equal(t, []int{c.own, c.forward, c.phantom, c.corrupt}, []int{e.ReadYourWrites, e.NonMonotonic, f.Phantom, f.Corrupt}, "lacking own writes, going back, phantom, corrupt")
			var stale time.Duration
			if len(e.Staleness) > 0 {
				stale = e.Staleness[0]
			}
			assert.Equal(t, c.stale, stale)
			assert.Len(t, f.Violations, c.own+c.forward+c.phantom+c.corrupt, "each has its evidence")
			assert.Zero(t, f.Stale+f.Backward+len(f.LostWrites), "strong reads are another matter")
			assert.False(t, f.Lost || f.Early || f.Late || f.Resurrected)
		})
	}
}

// lateWrite is a write without an answer before the one of 20 ms.
func lateWrite() history.Op {
	return history.Op{Kind: history.Update, Outcome: history.Unknown, Seq: 9, Client: 1, TTL: 100, Start: tick(10), End: tick(15)}
}

// long is one session with n writes and as many reads of every kind that concerns
// these checks, of which many go back.
func long(n int) []history.Op {
	ops := []history.Op{{Kind: history.Create, Outcome: history.OK, Seq: 1, Client: 1, Start: 0, End: 1}}
	for i := range n {
		seq := uint32(i + 2)
		ops = append(ops,
			history.Op{Kind: history.Update, Outcome: history.OK, Seq: seq, Client: 1, Start: tick(10 * i), End: tick(10*i + 2)},
			history.Op{Kind: history.Read, Outcome: history.OK, Seq: seq - uint32(i%3/2*min(i, 40)), Client: 2, Start: tick(10*i + 3), End: tick(10*i + 4)},
			anyRead(uint16(1+i%5), seq-uint32(i%7/6*min(i, 1000)), 10*i+4, 10*i+30),
			history.Op{Kind: history.Emit, Class: history.Stream, Outcome: history.OK, Seq: seq, Client: 1, Start: tick(10*i + 5), End: tick(10*i + 6)},
		)
		if i%9 > 0 {
			ops = append(ops, history.Op{Kind: history.Deliver, Class: history.Stream, Outcome: history.OK, Seq: seq, Client: uint16(i % 4), Start: tick(10*i + 7), End: tick(10*i + 7)})
		} else {
			ops = append(ops, history.Op{Kind: history.Resume, Class: history.Stream, Outcome: history.OK, Seq: seq - uint32(min(i, 5)), Client: uint16(i % 4), Start: tick(10*i + 7), End: tick(10*i + 8)})
		}
	}
	Sort(ops)
	return ops
}

// The time is near to linear in the length of a session: for ten times the
// operations far from a hundred times as long.
func BenchmarkOneLongSession(b *testing.B) {
	for _, n := range []int{2_000, 20_000, 200_000} {
		ops := long(n)
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			c := New(Rules{})
			for range b.N {
				f := c.Session(ops)
				s := Stream(ops, StreamRules{Until: time.Hour})
				if f.Eventual.NonMonotonic == 0 || f.Duplicated+f.Stale == 0 || s.Gaps == 0 {
					b.Fatalf("%+v %+v", f.Eventual, s)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(ops)), "ns/operation")
		})
	}
}
