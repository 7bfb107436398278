package slo

import (
	"fmt"
	"slices"
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
)

// quietBefore is how long no event may have named a part for one that does to
// count as its detection.
const quietBefore = 30 * time.Second

// measureDetection finds when each fault was known: to the platform by its
// events, else to the first client that saw a bad operation.
func (t *trial) measureDetection() {
	for _, f := range t.faults {
		if e := t.detection(f, anybody); e != nil {
			f.detected, f.detectedBy = &e.At, fmt.Sprintf("%s by %s", e.Kind, e.Source)
		} else if at, ok := t.firstBad(f); ok {
			f.detected, f.detectedBy = &at, "no event named it: the first bad operation"
		}
		if f.detected != nil {
			if d := sec(*f.detected - f.asked); t.m.TimeToDetect == nil || d > t.m.TimeToDetect.Value {
				t.m.TimeToDetect = value(d)
			}
		}
	}
}

// detection is the first event of these detectors that names a part of the fault.
func (t *trial) detection(f *fault, counts func(by string) bool) *history.Event {
	known := map[string][]string{} // by who would say so: parts that were named already
	for i := range t.events {
		e := &t.events[i]
		by := detector(e)
		if by == "" || !counts(by) || e.At < f.asked-quietBefore {
			continue
		}
		if e.At < f.asked {
			known[by] = append(known[by], e.Parts...)
			continue
		}
		if slices.ContainsFunc(e.Parts, func(p string) bool { return slices.Contains(f.parts, p) && !slices.Contains(known[by], p) }) {
			return e
		}
	}
	return nil
}

func anybody(string) bool        { return true }
func thePlatform(by string) bool { return by == platform }

const platform = "platform"

// detector says who finds something broken by an event: the platform, a load
// balancer, an alert, or a node that has too much to do. Empty: nobody.
func detector(e *history.Event) string {
	switch {
	case !platformEvent(e):
		return ""
	case e.Kind == history.Suspected || e.Kind == history.Detected || e.Kind == history.PathWithdrawn:
		return platform
	case e.Kind == history.ServerDown || e.Kind == history.AlertFiring || e.Kind == history.Shedding:
		return e.Kind
	}
	return ""
}

// firstBad is when a client first knew of a bad operation of the fault.
func (t *trial) firstBad(f *fault) (time.Duration, bool) {
	if f.failover == nil || f.failover.N == 0 {
		return 0, false // no outage: a bad operation long before is not the fault's
	}
	load := t.loadAfter(f.asked)
	at, found := time.Duration(0), false
	t.ops.each(func(o *history.Op) {
		if o.Class == history.Follower && o.End >= f.asked && o.Intended >= f.asked-inFlight && t.loadOf(o) == load && t.bad(o) && (!found || o.End < at) {
			at, found = o.End, true
		}
	})
	return at, found
}
