package reports

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fivenines/fivenines/slo"
)

// evidence are the operations that show an objective missed.
type evidence struct {
	ID, Title string
	Examples  []pageExample
	Others    []pageRef // examples that stand at another objective
}

type pageRef struct{ ID, Text string }

type pageExample struct {
	ID, Title, Why string
	Figure         *figure
	Ops            []pageOp
}

type pageOp struct {
	Text   string
	Marked bool
}

// exampleTitle says what an example shows, and of what.
func exampleTitle(e *slo.Example) string {
	if e.Scope == "partition" {
		return fmt.Sprintf("%s of shard %d", clean(e.Check), e.Partition)
	}
	return fmt.Sprintf("%s in session %d", clean(e.Check), e.Session)
}

// addExamples puts each example below the first objective that it shows missed,
// in the order of the table; those that show none come with the consistency checks.
func (p *page) addExamples(r *slo.Result, declared []row) {
	at := map[int]pageRef{} // examples that have their place
	show := func(i int) pageExample {
		e := &r.Examples[i]
		x := pageExample{ID: fmt.Sprintf("example-%d", i+1), Title: exampleTitle(e), Why: clean(e.Why)}
		for _, l := range exampleLines(e) {
			x.Ops = append(x.Ops, pageOp{l, strings.HasPrefix(l, ">")})
		}
		if f, ok := examplePicture(r, e, x.ID+"-picture"); ok {
			x.Figure = &f
		}
		at[i] = pageRef{x.ID, x.Title}
		return x
	}
	shown := min(len(r.Examples), maxExamples)
	for n, o := range declared {
		if o.Verdict != slo.Missed {
			continue
		}
		ev := evidence{ID: fmt.Sprintf("evidence-%d", n+1), Title: o.Name}
		checks := slo.Checks(o.Name)
		for i := range shown {
			if !slices.Contains(checks, r.Examples[i].Check) {
				continue
			}
			if ref, ok := at[i]; ok {
				ev.Others = append(ev.Others, ref)
			} else {
				ev.Examples = append(ev.Examples, show(i))
			}
		}
		if len(ev.Examples)+len(ev.Others) > 0 {
			p.Evidence = append(p.Evidence, ev)
		}
	}
	for i := range shown {
		if _, ok := at[i]; !ok {
			p.Examples = append(p.Examples, show(i))
		}
	}
	if more := len(r.Examples) - shown; more > 0 {
		p.MoreExamples = fmt.Sprintf("And %d more, in result.json.", more)
	}
}
