package slo

import (
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
)

// downShare of bad operations makes a one-second slice a down one.
const downShare = 0.05

// sessionWindow is the window of the per-session availability.
const sessionWindow = time.Minute

// availability of one trial, of follower clients under load.
type availability struct {
	intended, good uint64
}

// slots are the one-second slices of the load phases, which begin with them.
type slots [][]slot

type slot struct{ intended, bad int }

func (t *trial) newSlots() slots {
	s := make(slots, len(t.loads))
	for i, l := range t.loads {
		s[i] = make([]slot, l.len()/time.Second+1)
	}
	return s
}

// add counts an operation that was intended that long after its load began.
func (s slots) add(load int, since time.Duration, bad bool) {
	c := &s[load][since/time.Second]
	c.intended++
	if bad {
		c.bad++
	}
}

// measures are the share of the used slices that were up, and how long the
// others were; nil if none was used.
func (s slots) measures(loads []span) (avail, unavailable *Value) {
	var up, all int
	var down time.Duration
	for i, cs := range s {
		for j, c := range cs {
			if c.intended == 0 {
				continue
			}
			all++
			if float64(c.bad) <= downShare*float64(c.intended) {
				up++
				continue
			}
			// The last slice is as long as there was load.
			down += min(time.Second, max(0, loads[i].len()-time.Duration(j)*time.Second))
		}
	}
	if all == 0 {
		return nil, nil
	}
	return value(float64(up) / float64(all)), value(sec(down))
}

// measureAvailability counts good operations and good one-second slices.
func (t *trial) measureAvailability() {
	s := t.newSlots()
	a := &t.service
	t.ops.each(func(o *history.Op) {
		load := t.loadOf(o)
		if o.Class != history.Follower || load < 0 {
			return
		}
		bad := t.bad(o)
		s.add(load, o.Intended-t.loads[load].from, bad)
		a.intended++
		if !bad {
			a.good++
		}
	})
	if a.intended == 0 {
		return
	}
	t.m.Availability = value(float64(a.good) / float64(a.intended))
	t.m.SliceAvail, t.m.Unavailable = s.measures(t.loads)
}

// sessionWindows counts the windows in which a session was used, and those in
// which all went well; ops are one session's.
func (t *trial) sessionWindows(ops []history.Op, scratch []window) (good, all int, _ []window) {
	scratch = scratch[:0]
	for i := range ops {
		o := &ops[i]
		if o.Class != history.Follower {
			continue
		}
		load := t.loadOf(o)
		if load < 0 {
			continue
		}
		at := window{load: load, n: int((o.Intended - t.loads[load].from) / sessionWindow)}
		w := -1
		for j := range scratch {
			if scratch[j].load == at.load && scratch[j].n == at.n {
				w = j
			}
		}
		if w < 0 {
			w = len(scratch)
			scratch = append(scratch, at)
		}
		scratch[w].ops++
		if t.bad(o) {
			scratch[w].bad++
		}
	}
	for _, w := range scratch {
		all++
		if w.bad == 0 {
			good++
		}
	}
	return good, all, scratch
}

type window struct {
	load, n  int
	ops, bad int
}
