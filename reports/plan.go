package reports

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/slo"
)

// step is an instant of the plan for the loss of a region (DESIGN section 6).
type step struct {
	at   float64 // seconds
	what string
	by   string // what shows it
	// seen is when it was, from the instant the fault was asked for; not says why it is not known.
	seen func(r *slo.Result, t *slo.Trial) (at float64, ok bool)
	not  string
}

var plan = []step{
	{0, "failure detected", "the platform's first event that names it", phaseSeen("suspected", "detected"), "no event named it"},
	{1, "alert raised", "an alert that fires", alertSeen, "no alert service reported one"},
	{2, "failover under way", "the first election of a new leader", phaseSeen("elected"), "no election was reported"},
	{3, "secondary region active", "its promotion", phaseSeen("promoted"), "no promotion was reported"},
	{5, "traffic moved", "the clients' first good write", phaseSeen("first_write"), "no shard took writes again"},
	{7, "sessions restored", "the clients' first good write on the last shard", allBack, "not every shard took writes again while there was load"},
	{10, "full service", "the steady state, which holds from then on", steadySeen, "the steady state was not back while there was load"},
}

// phaseSeen is the first of these phases of the outage.
func phaseSeen(names ...string) func(*slo.Result, *slo.Trial) (float64, bool) {
	return func(_ *slo.Result, t *slo.Trial) (at float64, ok bool) {
		for _, n := range names {
			if v, there := t.Measures.Phases[n]; there && finite(v) && (!ok || v < at) {
				at, ok = v, true
			}
		}
		return at, ok
	}
}

func allBack(r *slo.Result, t *slo.Trial) (float64, bool) {
	if o := t.Measures.Failover; o != nil && o.Censored {
		return 0, false
	}
	return phaseSeen("last_partition")(r, t)
}

func steadySeen(_ *slo.Result, t *slo.Trial) (float64, bool) {
	v := t.Faults[0].RTO
	if v == nil || !finite(v.Value) {
		return 0, false
	}
	return v.Value, true
}

// alertSeen is the first alert of the trial after its fault was asked for.
func alertSeen(r *slo.Result, t *slo.Trial) (at float64, ok bool) {
	asked, next := t.Faults[0].AskedS, 1e15
	for _, b := range bands(r) {
		if b.asked > asked {
			next = min(next, b.asked)
		}
	}
	for i := range r.Marks {
		m := &r.Marks[i]
		if m.Kind == history.AlertFiring && m.AtS >= asked && m.AtS < next && (!ok || m.AtS-asked < at) {
			at, ok = m.AtS-asked, true
		}
	}
	return at, ok
}

// planned says whether the plan is about the trial: it began with the loss of a region.
func planned(t *slo.Trial) bool {
	return len(t.Faults) > 0 && finite(t.Faults[0].AskedS) && slices.Contains([]string{"region-loss", "region-crash"}, t.Faults[0].Kind)
}

// planTable holds what happened against the plan; nil for a run that it is not about.
func planTable(r *slo.Result, t *slo.Trial, of string) *table {
	if !planned(t) {
		return nil
	}
	out := &table{
		Caption: "What happened against the plan for the loss of a region" + of + ".",
		Note:    "The plan counts from the detection. What happened counts from the instant the fault was asked for, which is stricter. Only declared objectives decide the verdict.",
		Head:    heads("Plan", "Step", "#Happened", "Against the plan", "Shown by"),
	}
	for _, s := range plan {
		at, ok := s.seen(r, t)
		when, says := "", cell{Text: s.not}
		if ok {
			when = "T" + signed(at) + " s"
			switch late := at - s.at; {
			case s.at == 0:
				says = cell{Text: fmt.Sprintf("the plan's T+0, %s after the fault", secondsText(at))}
			case late > 0:
				says = cell{Text: secondsText(late) + " later", Class: "bad"}
			default:
				says = cell{Text: secondsText(-late) + " to spare", Class: "good"}
			}
		}
		out.Rows = append(out.Rows, []cell{{Text: "T+" + fixed(s.at, 0) + " s"}, {Text: s.what}, num(when), says, {Text: s.by}})
	}
	return out
}

// planLane are the steps of the plan on the timeline of a view around its fault.
func planLane(r *slo.Result, v view) (lane, bool) {
	l := lane{kind: "plan", plan: true}
	if w := worst(r); !v.fromFault || w < 0 || !planned(&r.Trials[w]) {
		return l, false
	}
	for _, s := range plan[1:] {
		if at := v.origin + s.at; at >= v.from && at < v.to {
			l.marks = append(l.marks, slo.Mark{AtS: at, Kind: "planned", Text: s.what})
		}
	}
	slices.SortStableFunc(l.marks, func(a, b slo.Mark) int { return cmp.Compare(a.AtS, b.AtS) })
	return l, len(l.marks) > 0
}

// planText says in words how the plan was kept, for who can't see the picture.
func planText(r *slo.Result, t *slo.Trial) string {
	if !planned(t) {
		return ""
	}
	var late []string
	seen := 0
	for _, s := range plan[1:] {
		if at, ok := s.seen(r, t); ok {
			seen++
			if at > s.at {
				late = append(late, fmt.Sprintf("%s (%s after T+%s s)", s.what, secondsText(at-s.at), fixed(s.at, 0)))
			}
		}
	}
	switch {
	case seen == 0:
		return ""
	case len(late) == 0:
		return fmt.Sprintf(" Of the plan's %d steps after the detection, the %d that were seen came in time.", len(plan)-1, seen)
	}
	return " Later than planned: " + strings.Join(late, ", ") + "."
}
