package reports

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/slo"
)

// step is an instant of the plan for the loss of a region (DESIGN section 6), which
// counts from the detection.
type step struct {
	at    float64 // seconds
	what  string
	kinds []string // the platform's events that report it
	// phase of the outage that is the same in a result without these events.
	phase string
	// saw is when the clients did, from the instant the fault was asked for; never is what they
	// say who did not.
	saw   func(t *slo.Trial) (at float64, ok bool)
	never string
}

var plan = []step{
	{at: 0, what: "failure detected", kinds: []string{history.Detected}, phase: "detected"},
	{at: 1, what: "alert raised", kinds: []string{"alert-sent", history.AlertFiring}},
	{at: 2, what: "failover manager notified", kinds: []string{"manager-notified"}},
	{at: 3, what: "secondary region active", kinds: []string{"region-activated", history.Promoted}, phase: "promoted"},
	{at: 5, what: "traffic moved", kinds: []string{"traffic-moved"}, saw: firstWrite, never: "no shard took writes again"},
	{at: 7, what: "sessions restored", kinds: []string{"sessions-restored"}, saw: allBack, never: "not every shard took writes again while there was load"},
	{at: 10, what: "full service", kinds: []string{"full-service"}, saw: steadySeen, never: "the steady state was not back while there was load"},
}

func phaseOf(t *slo.Trial, name string) (float64, bool) {
	at, ok := t.Measures.Phases[name]
	return at, ok && finite(at)
}

func firstWrite(t *slo.Trial) (float64, bool) { return phaseOf(t, "first_write") }

func allBack(t *slo.Trial) (float64, bool) {
	if o := t.Measures.Failover; o != nil && o.Censored {
		return 0, false
	}
	return phaseOf(t, "last_partition")
}

func steadySeen(t *slo.Trial) (float64, bool) {
	v := t.Faults[0].RTO
	if v == nil || !finite(v.Value) {
		return 0, false
	}
	return v.Value, true
}

// happened is a step as it was in a trial. Instants count from the fault.
type happened struct {
	step
	reported, seen     float64
	isReported, isSeen bool
}

// at is the later of what was reported and what clients saw: a step that clients can
// judge is over when they say so.
func (h *happened) at() (float64, bool) {
	switch {
	case h.saw != nil && !h.isSeen:
		return 0, false
	case h.isReported && h.isSeen:
		return max(h.reported, h.seen), true
	case h.isSeen:
		return h.seen, true
	}
	return h.reported, h.isReported
}

// planOf is what happened in a trial, and when its failure was detected, from the fault;
// ok is false for a trial that the plan is not about: one that did not begin with the loss of a region.
func planOf(r *slo.Result, t *slo.Trial) (all []happened, detected float64, ok bool) {
	if len(t.Faults) == 0 || !finite(t.Faults[0].AskedS) || !slices.Contains([]string{"region-loss", "region-crash"}, t.Faults[0].Kind) {
		return nil, 0, false
	}
	asked, next := t.Faults[0].AskedS, 1e15
	for _, b := range bands(r) {
		if b.asked > asked {
			next = min(next, b.asked)
		}
		if b.asked == asked && b.undone > asked {
			next = min(next, b.undone)
		}
	}
	for _, s := range plan {
		h := happened{step: s}
		for i := range r.Marks {
			m := &r.Marks[i]
			if slices.Contains(s.kinds, m.Kind) && m.Source != "harness" && m.AtS >= asked && m.AtS < next && (!h.isReported || m.AtS-asked < h.reported) {
				h.reported, h.isReported = m.AtS-asked, true
			}
		}
		if !h.isReported && s.phase != "" {
			h.reported, h.isReported = phaseOf(t, s.phase)
		}
		if s.saw != nil {
			h.seen, h.isSeen = s.saw(t)
		}
		all = append(all, h)
	}
	return all, all[0].reported, true
}

// planTable holds what happened against the plan; nil for a run that it is not about.
func planTable(r *slo.Result, t *slo.Trial, of string) *table {
	all, detected, ok := planOf(r, t)
	if !ok {
		return nil
	}
	out := &table{
		Caption: "The loss of the region against the plan" + of + ".",
		Note:    "T+0 is the detection; what was reported and seen counts from the fault. A step that clients can judge counts when they saw it, if that is later than the platform's event. Only declared objectives decide the verdict.",
		Head:    heads("Plan", "Step", "#Reported", "#Seen by clients", "#From detection", "Against the plan"),
	}
	if !all[0].isReported {
		out.Note = "No detection was reported, so everything counts from the fault. " + out.Note
	}
	instant := func(at float64, ok bool) cell {
		if !ok {
			return num("")
		}
		return num(secondsText(at))
	}
	for i := range all {
		h := &all[i]
		at, ok := h.at()
		says := cell{Text: "not reported"}
		switch late := at - detected - h.step.at; {
		case !ok && h.saw != nil && !h.isSeen:
			says = cell{Text: h.never, Class: "bad"}
		case !ok:
		case h.step.at == 0:
			says = cell{Text: "the plan begins"}
		case late > 0:
			says = cell{Text: secondsText(late) + " late", Class: "bad"}
		default:
			says = cell{Text: secondsText(-late) + " to spare", Class: "good"}
		}
		out.Rows = append(out.Rows, []cell{
			{Text: "T+" + fixed(h.step.at, 0) + " s"}, {Text: h.what}, instant(h.reported, h.isReported), instant(h.seen, h.isSeen), instant(at-detected, ok), says,
		})
	}
	return out
}

// planLane are the steps of the plan on the timeline of a view around its fault.
func planLane(r *slo.Result, v view) (lane, bool) {
	l := lane{kind: "plan", plan: true}
	w := worst(r)
	if !v.fromFault || w < 0 {
		return l, false
	}
	all, detected, ok := planOf(r, &r.Trials[w])
	if !ok {
		return l, false
	}
	for i := range all {
		if at := v.origin + detected + all[i].step.at; at >= v.from && at < v.to {
			l.marks = append(l.marks, slo.Mark{AtS: at, Kind: "planned", Text: all[i].what + " by now"})
		}
	}
	return l, len(l.marks) > 0
}

// planText says in words how the plan was kept.
func planText(r *slo.Result, t *slo.Trial) string {
	all, detected, ok := planOf(r, t)
	if !ok {
		return ""
	}
	var late, not []string
	for i := range all[1:] {
		h := &all[1+i]
		switch at, ok := h.at(); {
		case !ok:
			not = append(not, h.what)
		case at-detected > h.step.at:
			late = append(late, fmt.Sprintf("%s (%s after T+%s s)", h.what, secondsText(at-detected-h.step.at), fixed(h.step.at, 0)))
		}
	}
	s := ""
	if len(late) > 0 {
		s += " Later than planned: " + strings.Join(late, ", ") + "."
	}
	if len(not) > 0 {
		s += " Not seen: " + strings.Join(not, ", ") + "."
	}
	if s == "" {
		s = " Every step of the plan came in time."
	}
	return s
}
