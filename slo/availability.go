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

// measureAvailability counts good operations and good one-second slices. The
// slices of a load phase begin with it.
func (t *trial) measureAvailability() {
	type slice struct{ intended, bad int }
	slices := make([][]slice, len(t.loads))
	for i, l := range t.loads {
		slices[i] = make([]slice, l.len()/time.Second+1)
	}
	a := &t.service
	t.ops.each(func(o *history.Op) {
		load := t.loadOf(o)
		if o.Class != history.Follower || load < 0 {
			return
		}
		s := &slices[load][(o.Intended-t.loads[load].from)/time.Second]
		a.intended++
		s.intended++
		if t.bad(o) {
			s.bad++
		} else {
			a.good++
		}
	})
	if a.intended == 0 {
		return
	}
	t.m.Availability = value(float64(a.good) / float64(a.intended))
	var up, all int
	var down time.Duration
	for i, ss := range slices {
		for j, s := range ss {
			if s.intended == 0 {
				continue
			}
			all++
			if float64(s.bad) <= downShare*float64(s.intended) {
				up++
				continue
			}
			// The last slice is as long as there was load.
			down += min(time.Second, max(0, t.loads[i].len()-time.Duration(j)*time.Second))
		}
	}
	t.m.SliceAvail = value(float64(up) / float64(all))
	t.m.Unavailable = value(sec(down))
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
		scratch[w].bad = scratch[w].bad || t.bad(o)
	}
	for _, w := range scratch {
		all++
		if !w.bad {
			good++
		}
	}
	return good, all, scratch
}

type window struct {
	load, n int
	bad     bool
}
