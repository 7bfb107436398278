package slo

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/slo/checker"
)

const (
	maxExamples   = 20
	maxExampleOps = 40
)

// addExamples shows the operations behind the violations of a trial, first one
// of each check, then further ones; and those behind durations and shares that
// are beyond their targets.
func (a *analysis) addExamples(t *trial) {
	vs := slices.Clone(t.safety.violations)
	nth := map[string]int{}
	rank := make(map[int]int, len(vs))
	for i := range vs {
		rank[i] = nth[vs[i].check]
		nth[vs[i].check]++
	}
	order := make([]int, len(vs))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool { return rank[order[i]] < rank[order[j]] })
	for _, i := range order {
		if a.wantsExample(vs[i].check) {
			a.keepExample(t.example(vs[i]))
		}
	}
	a.addTimingExamples(t)
}

// wantsExample says whether there is room for an example of the check: there is
// always room for the first one.
func (a *analysis) wantsExample(check string) bool {
	return len(a.result.Examples) < maxExamples || !slices.ContainsFunc(a.result.Examples, func(e Example) bool { return e.Check == check })
}

// keepExample adds an example, if need be in the place of the last one of the
// check that has most.
func (a *analysis) keepExample(e Example) {
	es := a.result.Examples
	if len(es) >= maxExamples {
		n := map[string]int{}
		for i := range es {
			n[es[i].Check]++
		}
		drop := -1
		for i := range es {
			if drop < 0 || n[es[i].Check] >= n[es[drop].Check] {
				drop = i
			}
		}
		es = slices.Delete(es, drop, drop+1)
	}
	a.result.Examples = append(es, e)
}

func (t *trial) example(v violation) Example {
	e := Example{Check: v.check, Session: v.session, Scope: "session", Trial: t.n, Partition: int(v.op.Partition), Why: t.labelled(v.why)}
	i, ok := slices.BinarySearch(t.groups.ids, v.session)
	if !ok {
		return e
	}
	ops := t.groups.opsOf(&t.ops, i, nil)
	checker.Sort(ops)
	at := max(0, slices.Index(ops, v.op))
	marked := append(overruled(ops, at, v.check), at)
	// Mostly what led there, and some of what followed.
	show := slices.Clone(marked)
	room := maxExampleOps - len(marked)
	from := max(0, min(at-room*3/4, len(ops)-room))
	for j := from; j < min(len(ops), from+room); j++ {
		show = append(show, j)
	}
	t.tell(&e, ops, show, marked)
	return e
}

// maxOverruled bounds the lost writes that an example marks.
const maxOverruled = 6

// overruled are the writes that operation `at` should have found: of a stale
// read the last one that was acknowledged before it, of a loss those that nobody
// had found since, at least the last one. Sequence numbers tell their order.
func overruled(ops []history.Op, at int, check string) []int {
	found := &ops[at]
	floor := found.Seq
	switch check {
	case checker.LostWrite, checker.LostSession, checker.EarlyExpiry:
		for i := range ops {
			if o := &ops[i]; found.Absent && o.Outcome == history.OK && o.Kind.Observes() && !o.Absent && !o.Corrupt && o.End < found.Start {
				floor = max(floor, o.Seq)
			}
		}
	case checker.StaleRead:
	default:
		return nil
	}
	var acked, out []int
	for i := range ops {
		o := &ops[i]
		if (o.Kind == history.Create || o.Kind == history.Update) && o.Outcome == history.OK && !o.Absent && !o.Exists && o.End < found.Start && (found.Absent || o.Seq > found.Seq) {
			acked = append(acked, i)
			if o.Seq > floor {
				out = append(out, i)
			}
		}
	}
	if len(out) == 0 || check != checker.LostWrite {
		return acked[max(0, len(acked)-1):]
	}
	return out[max(0, len(out)-maxOverruled):]
}

// tell puts operations into an example, by their indices.
func (t *trial) tell(e *Example, ops []history.Op, show, marked []int) {
	slices.Sort(show)
	show = slices.Compact(show)
	next := 0
	for n, i := range show {
		o := t.exampleOp(&ops[i])
		o.Marked = slices.Contains(marked, i)
		mark := "  "
		if o.Marked {
			mark = "> "
		}
		whole := e.Scope == "session" // else it is a part of what the partition was asked
		if o.Skipped = i - next; n == 0 && o.Skipped > 0 && !whole {
			o.Skipped = 0
		} else if o.Skipped > 0 {
			e.Ops = append(e.Ops, fmt.Sprintf("  ... %d %s%s", o.Skipped, ifStr(n == 0, "earlier ", ""), operations(o.Skipped)))
		}
		next = i + 1
		who := ""
		if !whole {
			who = fmt.Sprintf("session %d, ", o.Session)
		}
		e.Ops = append(e.Ops, mark+t.line(&ops[i], who))
		e.Operations = append(e.Operations, o)
	}
	if e.Left = len(ops) - next; e.Scope != "session" {
		e.Left = 0
	} else if e.Left > 0 {
		e.Ops = append(e.Ops, fmt.Sprintf("  ... %d later %s", e.Left, operations(e.Left)))
	}
}

func operations(n int) string { return ifStr(n == 1, "operation", "operations") }

// exampleOp is one operation as data.
func (t *trial) exampleOp(o *history.Op) ExampleOp {
	x := ExampleOp{
		Intended: sec(o.Intended), Start: sec(o.Start), End: sec(o.End), Session: o.Session, Client: int(o.Client),
		Class: o.Class.String(), Kind: o.Kind.String(), Outcome: o.Outcome.String(), Bad: t.bad(o),
	}
	if int(o.Region) < len(t.manifest.Regions) {
		x.Region = t.manifest.Regions[o.Region].Name
	}
	if int(o.Node) < len(t.manifest.Nodes) {
		x.Node = t.manifest.Nodes[o.Node].ID
	}
	if o.Cause != history.NoCause {
		x.Cause = o.Cause.String()
	}
	state := ""
	switch {
	case o.Absent:
		x.Found, state = "absent", "∅"
	case o.Exists:
		x.Found, state = "exists", "="
	case o.Corrupt:
		x.Found, state = "corrupt", "!"
	case o.Seq != 0 && (!o.Kind.Observes() || o.Outcome == history.OK):
		x.Seq, state = int(o.Seq), fmt.Sprint(o.Seq)
		if o.Class == history.Contested {
			x.Writer = int(o.Writer)
			state += "·" + fmt.Sprint(o.Writer)
		}
	}
	x.Label = letters[o.Kind] + state
	return x
}

// letters are kinds of operations in a picture.
var letters = map[history.Kind]string{
	history.Create: "c", history.Read: "r", history.Update: "u", history.Touch: "t", history.Close: "x", history.ReadBack: "b",
	history.Emit: "e", history.Deliver: "d", history.Resume: "s",
}

// line is one operation as text; who is put before what was done.
func (t *trial) line(o *history.Op, who string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%12s to %12s  client %d", atText(o.Start), atText(o.End), o.Client)
	if int(o.Region) < len(t.manifest.Regions) {
		fmt.Fprintf(&b, " in %s", t.manifest.Regions[o.Region].Name)
	}
	if o.Class != history.Follower {
		fmt.Fprintf(&b, " (%s)", o.Class)
	}
	if int(o.Node) < len(t.manifest.Nodes) {
		fmt.Fprintf(&b, " at %s", t.manifest.Nodes[o.Node].ID)
	}
	fmt.Fprintf(&b, ": %s%s", who, o.Kind)
	switch {
	case o.Class == history.Stream:
		b.WriteString(streamText(o))
	case o.Absent:
		b.WriteString(", no such session")
	case o.Exists:
		b.WriteString(", it is there already")
	case o.Corrupt:
		b.WriteString(", found a corrupt state")
	case o.Kind.Observes() && o.Outcome == history.OK:
		fmt.Fprintf(&b, ", found %d", o.Seq)
	case !o.Kind.Observes():
		fmt.Fprintf(&b, " to %d", o.Seq)
	}
	if o.Class == history.Contested && o.Seq != 0 {
		fmt.Fprintf(&b, " of writer %d", o.Writer)
	}
	fmt.Fprintf(&b, ": %s", o.Outcome)
	if o.Cause != history.NoCause {
		fmt.Fprintf(&b, " (%s)", o.Cause)
	}
	return b.String()
}

func atText(d time.Duration) string { return fmt.Sprintf("%.6f s", d.Seconds()) }

// addContestedViolation finds the operation at which a contested session stops
// being linearizable, by bisection: what had not ended by then may have any outcome.
func (t *trial) addContestedViolation(i int) {
	session := t.groups.ids[i]
	probe := appendCapped(t.safety.violations, violation{check: Linearizability, session: session})
	if len(probe) == len(t.safety.violations) {
		return // there are enough
	}
	ops := t.groups.opsOf(&t.ops, i, nil)
	checker.Sort(ops)
	byEnd := slices.Clone(ops)
	slices.SortStableFunc(byEnd, func(a, b history.Op) int { return cmp.Compare(a.End, b.End) })
	var cut []history.Op
	n := sort.Search(len(byEnd)-1, func(n int) bool {
		cut = cut[:0]
		for _, o := range ops {
			if o.Start > byEnd[n].End {
				continue
			}
			if o.End > byEnd[n].End && o.Outcome == history.OK {
				o.Outcome, o.Absent, o.Exists, o.Corrupt = history.Unknown, false, false, false
			}
			cut = append(cut, o)
		}
		res, _ := checker.Contested(cut, checker.Bounds{Time: 2 * time.Second})
		return res == checker.No
	})
	t.safety.violations = appendCapped(t.safety.violations, violation{
		check: Linearizability, session: session, op: byEnd[n],
		why: "no order of the operations that ended by " + atText(byEnd[n].End) + " explains what they found",
	})
}
