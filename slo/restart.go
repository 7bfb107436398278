package slo

import (
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
)

// measureRestart finds when the nodes that had to come back by themselves served
// again.
func (t *trial) measureRestart() {
	for _, f := range t.faults {
		if f.comesBack == "" {
			continue
		}
		f.restart, f.notReady = t.comeback(f)
		t.m.Restart = together(t.m.Restart, f.restart)
	}
}

// comeback is what the harness saw of the node that a fault took away, and what
// the node lacked when it was last seen not to serve; nil if nobody looked.
func (t *trial) comeback(f *fault) (c *Comeback, lacked string) {
	looked, serves := false, false
	away := f.asked               // when it was last seen not to serve
	var ready, last time.Duration // since when it serves; the last look
	for i := range t.events {
		e := &t.events[i]
		if !isLook(e) || e.Subject != f.text || e.At < f.asked || f.undone != nil && e.At > *f.undone {
			continue
		}
		looked, last = true, e.At
		if serves && e.At > ready+t.cfg.Hold {
			break // what became of it later is another matter
		}
		switch {
		case e.Kind == history.NodeNotReady:
			serves, away, lacked = false, e.At, e.Detail
		case !serves:
			serves, ready = true, e.At
		}
	}
	switch {
	case !looked:
		return nil, ""
	case !serves:
		return atLeast(away - f.asked), lacked
	case last < ready+t.cfg.Hold:
		return atLeast(ready - f.asked), lacked
	}
	v := sec(ready - f.asked)
	return &Comeback{Value: v, Lower: sec(away - f.asked), Upper: &v, N: 1}, lacked
}

func atLeast(d time.Duration) *Comeback {
	return &Comeback{Value: sec(d), Lower: sec(d), N: 1, Censored: true}
}

// isLook says whether the harness looked at a node that must come back.
func isLook(e *history.Event) bool {
	return (e.Kind == history.NodeReady || e.Kind == history.NodeNotReady) && !platformEvent(e)
}

// longer is the one that took longer; of equal ones, one that was not seen to end.
func longer(a, b *Comeback) *Comeback {
	if a == nil || b != nil && (b.Value > a.Value || b.Value == a.Value && b.Censored && !a.Censored) {
		return b
	}
	return a
}

// together is what several nodes took that are all needed. It has not ended
// before the last of them has.
func together(a, b *Comeback) *Comeback {
	if a == nil || b == nil {
		return longer(a, b)
	}
	c := *longer(a, b)
	c.N = a.N + b.N
	if a.Censored || b.Censored {
		c.Censored, c.Upper, c.Lower = true, nil, c.Value
	}
	return &c
}
