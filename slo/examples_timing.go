package slo

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/slo/checker"
)

// Checks of examples that show a duration or a share, not a broken promise.
const (
	checkOutage      = "outage"
	checkRecovery    = "recovery"
	checkUnavailable = "unavailable"
)

// shownBy are the checks of the examples that show an objective missed.
var shownBy = map[string][]string{
	Failover:         {checkOutage},
	Restart:          nil, // the harness saw it, in no operation
	SessionLoss:      {checker.LostSession},
	LostWrites:       {checker.LostWrite},
	Regressed:        {checker.LostWrite},
	StaleReads:       {checker.StaleRead, checker.Backward, checker.Phantom, checker.Corrupt, checker.Duplicated},
	Expiry:           {checker.EarlyExpiry, checker.LateExpiry, checker.Resurrected},
	Linearizability:  {Linearizability},
	MinorityAckWrite: {MinorityAckWrite},
	RPO:              {checker.LostWrite},
	RTO:              {checkRecovery},
	MTTD:             {checkOutage},
	MTTR:             {checkRecovery},
	Availability:     {checkUnavailable},
	ReadYourWrites:   {checker.ReadYourWrites},
	MonotonicReads:   {checker.MonotonicReads},
	Staleness:        {checkStaleness},
	ReplayGaps:       {checker.ReplayGap, checker.Misordered, checker.RepeatedEvent},
	CrossSession:     {checker.CrossSession, checker.PhantomEvent, checker.CorruptedEvent},
	Capacity:         nil, // its shortfall is in no single operation
}

// Checks lists the checks of the examples that show an objective missed; see
// [Example].
func Checks(objective string) []string { return slices.Clone(shownBy[objective]) }

// beyond says whether an objective is declared whose bound v breaks.
func (t *trial) beyond(name string, v *float64) bool {
	i := slices.IndexFunc(t.cfg.Objectives, func(o Target) bool { return o.Name == name })
	if i < 0 || v == nil {
		return false
	}
	if o := t.cfg.Objectives[i]; o.Min != nil {
		return *v < *o.Min
	} else if o.Max != nil {
		return *v >= *o.Max
	}
	return false
}

func valueOf(v *Value) *float64 {
	if v == nil {
		return nil
	}
	return &v.Value
}

// addTimingExamples shows, of the worst trial, the longest outage, the last
// moment at which the service was not back, and the worst second.
func (a *analysis) addTimingExamples(t *trial) {
	if o := t.m.Failover; o != nil && o.N > 0 && (t.beyond(Failover, &o.Value) || t.beyond(MTTD, valueOf(t.m.TimeToDetect))) {
		a.keepWorst(o.Value, func() (Example, bool) { return t.outageExample(), true }, checkOutage)
	}
	var slow *fault
	took := func(f *fault) float64 { return sec(f.recoveredBy - f.asked) }
	for _, f := range t.faults {
		if slow == nil || took(f) > took(slow) {
			slow = f
		}
	}
	if slow != nil && (t.beyond(RTO, ptr(took(slow))) || t.beyond(MTTR, valueOf(t.m.TimeToRecover))) {
		a.keepWorst(took(slow), func() (Example, bool) { return t.recoveryExample(slow) }, checkRecovery)
	}
	if v := t.m.Availability; t.beyond(Availability, valueOf(v)) {
		a.keepWorst(1-v.Value, t.unavailableExample, checkUnavailable)
	}
}

// keepWorst keeps one example of a check: that of the trial in which it was worst.
func (a *analysis) keepWorst(v float64, of func() (Example, bool), check string) {
	if a.worst == nil {
		a.worst = map[string]float64{}
	}
	if old, ok := a.worst[check]; ok && old >= v {
		return
	}
	e, ok := of()
	if !ok {
		return
	}
	e.Check, a.worst[check] = check, v
	a.result.Examples = slices.DeleteFunc(a.result.Examples, func(e Example) bool { return e.Check == check })
	a.keepExample(e)
}

// followers are the operations of follower clients on a partition (-1: any) in
// [from, to] of a load, sorted.
func (t *trial) followers(partition int, from, to time.Duration) []history.Op {
	var ops []history.Op
	t.ops.each(func(o *history.Op) {
		if o.Class == history.Follower && (partition < 0 || int(o.Partition) == partition) && o.Intended >= from && o.Intended <= to && t.loadOf(o) >= 0 {
			ops = append(ops, *o)
		}
	})
	checker.Sort(ops)
	return ops
}

// What is shown around an outage.
const (
	beforeOutage = 3 // good operations, a write if there was one
	firstBad     = 8
	lastBad      = 5
	afterOutage  = 4
	around       = time.Second // in which they are looked for
)

// outageExample shows the longest outage of the trial: how it began and how it
// ended, on one partition.
func (t *trial) outageExample() Example {
	o := t.m.Failover
	p := o.Partitions[0]
	for _, q := range o.Partitions {
		if q.End-q.Start > p.End-p.Start {
			p = q
		}
	}
	start, end := instantOf(p.Start), instantOf(p.End)
	e := Example{Scope: "partition", Trial: t.n, Partition: p.Partition}
	e.Why = t.labelled(fmt.Sprintf("partition %d could not be relied on for %s%s s, from %s to %s; its first bad operation and %s are marked", p.Partition,
		ifStr(p.Censored, "at least ", ""), short(p.End-p.Start), atText(start), atText(end), ifStr(p.Censored, "its last one", "the first good write of those that lasted")))
	ops := t.followers(p.Partition, start-around, end+around)
	var bad, before, writes, after []int
	ended := -1
	for i := range ops {
		x := &ops[i]
		switch isBad := t.bad(x); {
		case isBad && x.Intended >= start && (p.Censored || x.Intended <= end):
			bad = append(bad, i)
		case !isBad && x.Intended < start:
			before = append(before, i)
			if x.Kind.IsWrite() {
				writes = append(writes, i)
			}
		case !isBad && x.Kind.IsWrite() && x.End == end && x.Intended >= start && !p.Censored && ended < 0:
			ended = i
		case !isBad && x.Start >= end && !p.Censored:
			after = append(after, i)
		}
	}
	show := append(tail(before, beforeOutage), tail(writes, 1)...)
	show = append(show, bad[:min(firstBad, len(bad))]...)
	show = append(show, tail(bad, lastBad)...)
	show = append(show, after[:min(afterOutage, len(after))]...)
	marked := slices.Clone(bad[:min(1, len(bad))])
	switch {
	case ended >= 0:
		marked = append(marked, ended)
	case len(bad) > 0:
		marked = append(marked, bad[len(bad)-1])
	}
	t.tell(&e, ops, append(show, marked...), marked)
	return e
}

func instantOf(s float64) time.Duration { return time.Duration(s*1e9 + copysignHalf(s)) }

func tail(s []int, n int) []int { return slices.Clone(s[max(0, len(s)-n):]) }

// recoveryExample shows the last window with operations in which the steady
// state was not back yet; false if it was never gone.
func (t *trial) recoveryExample(f *fault) (Example, bool) {
	ws := t.windows(f.asked, f.recoveredBy)
	for i := len(ws) - 1; i >= 0; i-- {
		why := t.cfg.Steady.broken(&ws[i])
		if why == "" || ws[i].intended == 0 {
			continue
		}
		from := f.asked + time.Duration(i)*t.cfg.Steady.Window
		to := from + t.cfg.Steady.Window
		return t.worstOf(from, to, fmt.Sprintf("from %s to %s the steady state was not back after %s: %s", atText(from), atText(to), f.text, why))
	}
	return Example{}, false
}

// unavailableExample shows the second with the most bad operations.
func (t *trial) unavailableExample() (Example, bool) {
	s := t.newSlots()
	t.ops.each(func(o *history.Op) {
		if load := t.loadOf(o); load >= 0 && o.Class == history.Follower {
			s.add(load, o.Intended-t.loads[load].from, t.bad(o))
		}
	})
	load, n := 0, 0
	for i := range s {
		for j := range s[i] {
			if s[i][j].bad > s[load][n].bad {
				load, n = i, j
			}
		}
	}
	if len(s) == 0 || s[load][n].bad == 0 {
		return Example{}, false
	}
	from := t.loads[load].from + time.Duration(n)*time.Second
	return t.worstOf(from, from+time.Second, fmt.Sprintf("%d of %d operations that were due from %s to %s were bad, in no other second as many", s[load][n].bad, s[load][n].intended, atText(from), atText(from+time.Second)))
}

// worstOf shows the worst operations of [from, to) on the partition that had
// most of them, and what came right after.
func (t *trial) worstOf(from, to time.Duration, why string) (Example, bool) {
	ops := t.followers(-1, from, to-1)
	if len(ops) == 0 {
		return Example{}, false
	}
	worse := func(a, b *history.Op) int {
		if x, y := t.bad(a), t.bad(b); x != y {
			if x {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.Latency(), a.Latency())
	}
	badIn := map[uint16]int{}
	top := &ops[0]
	for i := range ops {
		if t.bad(&ops[i]) {
			badIn[ops[i].Partition]++
		}
		if worse(&ops[i], top) < 0 {
			top = &ops[i]
		}
	}
	p := top.Partition
	for q, n := range badIn {
		if n > badIn[p] || n == badIn[p] && q < p {
			p = q
		}
	}
	e := Example{Scope: "partition", Trial: t.n, Partition: int(p), Why: t.labelled(why + fmt.Sprintf("; on partition %d the worst one is marked", p))}
	ops = t.followers(int(p), from, to+around)
	var in, after []int
	for i := range ops {
		if ops[i].Intended < to {
			in = append(in, i)
		} else if !t.bad(&ops[i]) {
			after = append(after, i)
		}
	}
	slices.SortStableFunc(in, func(a, b int) int { return worse(&ops[a], &ops[b]) })
	show := slices.Clone(in[:min(firstBad+lastBad, len(in))])
	marked := []int{show[0]}
	t.tell(&e, ops, append(show, after[:min(afterOutage, len(after))]...), marked)
	return e, true
}
