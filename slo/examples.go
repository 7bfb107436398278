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

// addExamples shows the operations behind the violations of a trial: first one
// of each check, then further ones.
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
		if len(a.result.Examples) >= maxExamples {
			return
		}
		a.result.Examples = append(a.result.Examples, t.example(vs[i]))
	}
}

func (t *trial) example(v violation) Example {
	e := Example{Check: v.check, Session: v.session, Why: v.why}
	e.Why = t.labelled(v.why)
	i, ok := slices.BinarySearch(t.groups.ids, v.session)
	if !ok {
		return e
	}
	ops := t.groups.opsOf(&t.ops, i, nil)
	checker.Sort(ops)
	at := max(0, slices.Index(ops, v.op))
	// Mostly what led there, and some of what followed.
	from := max(0, min(at-maxExampleOps*3/4, len(ops)-maxExampleOps))
	to := min(len(ops), from+maxExampleOps)
	if from > 0 {
		e.Ops = append(e.Ops, fmt.Sprintf("  ... %d earlier operations", from))
	}
	for j := from; j < to; j++ {
		mark := "  "
		if j == at {
			mark = "> "
		}
		e.Ops = append(e.Ops, mark+t.line(&ops[j]))
	}
	if to < len(ops) {
		e.Ops = append(e.Ops, fmt.Sprintf("  ... %d later operations", len(ops)-to))
	}
	return e
}

// line is one operation as text.
func (t *trial) line(o *history.Op) string {
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
	fmt.Fprintf(&b, ": %s", o.Kind)
	switch {
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
