package checker

import (
	"math/bits"
	"slices"
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
)

// duplicated finds writes whose state came back to stay: found again although a
// state that certainly came after it had been found before, and from then on
// nothing of what it had been replaced by. One answer of a replica that is behind
// is no such thing: two reads with nothing newer found between them, or the touch
// or close that finds it, show that it is the session's state again. What the
// end of the session explains as lost writes is left out.
func (c *Checker) duplicated(explained int) {
	obs := c.obs[:explained]
	if !slices.ContainsFunc(obs, observation.outdated) {
		return
	}
	lastFound := make([]time.Duration, len(c.writes)) // start of the last observation of each
	for i := range lastFound {
		lastFound[i] = first
	}
	for _, r := range c.obs {
		lastFound[r.write] = max(lastFound[r.write], c.ops[r.op].Start)
	}
	latest := newRangeMax(lastFound)
	next, newest := 0, -1 // of the states found so far, the one that was written last
	run, since := -1, 0   // the state that is back, and the operation that found it so first
	for i := range obs {
		r := &obs[i]
		o, w := &c.ops[r.op], &c.writes[r.write]
		for ; next < len(c.bySeen) && c.writes[c.bySeen[next]].seen < o.Start; next++ {
			newest = c.laterStart(newest, c.bySeen[next])
		}
		back := r.outdated() && newest >= 0 && c.writes[newest].start > w.bound()
		switch {
		case !back || latest.max(max(c.begunAfter(w.bound()), r.write+1), c.begunAfter(o.End)) > o.End:
			if run >= 0 && w.start > c.writes[run].bound() {
				run = -1
			}
		case o.Kind == history.Touch || o.Kind == history.Close || run == r.write && c.ops[since].End < o.Start:
			if !w.again {
				w.again = true
				c.f.Duplicated++
				k := &c.writes[newest]
				c.f.violate(Duplicated, r.op, "sequence %d is back at %s and stays, though sequence %d had been found by %s: it was applied again, or what came after it was undone", w.seq, secs(o.Start), k.seq, secs(k.seen))
			}
		case run != r.write:
			run, since = r.write, r.op
		}
	}
}

// outdated says whether the state that was found certainly was not the last one.
func (r observation) outdated() bool { return r.over >= 0 || r.back >= 0 && r.back != r.write }

// begunAfter is the first write that began after t.
func (c *Checker) begunAfter(t time.Duration) int {
	i, _ := slices.BinarySearchFunc(c.writes, t, func(w write, t time.Duration) int {
		if w.start > t {
			return 1
		}
		return -1
	})
	return i
}

// rangeMax answers the maximum of any range in constant time: the maxima of all
// ranges whose length is a power of two (a sparse table).
type rangeMax [][]time.Duration

func newRangeMax(v []time.Duration) rangeMax {
	m := rangeMax{v}
	for n := 2; n <= len(v); n *= 2 {
		below := m[len(m)-1]
		row := make([]time.Duration, len(v)-n+1)
		for i := range row {
			row[i] = max(below[i], below[i+n/2])
		}
		m = append(m, row)
	}
	return m
}

// max is that of [from, to), before everything where that is empty.
func (m rangeMax) max(from, to int) time.Duration {
	if from >= to {
		return first
	}
	row := bits.Len(uint(to-from)) - 1
	return max(m[row][from], m[row][to-1<<row])
}
