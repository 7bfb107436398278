package reports

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/slo"
)

// story is an example with n operations by some clients, in order of time.
func story(r *rand.Rand, n, clients int) *slo.Example {
	e := &slo.Example{Check: "stale-read", Session: 7, Scope: "session", Trial: 1, Why: "w"}
	at := 10.0
	for i := range n {
		at += math.Pow(10, 4*r.Float64()-3)
		o := slo.ExampleOp{Start: at, Intended: at, End: at + math.Pow(10, 3*r.Float64()-3), Client: r.IntN(clients), Region: "us-east-1", Class: "follower", Session: 7, Seq: i + 1}
		o.Kind = []string{"read", "update", "read-back", "touch"}[r.IntN(4)]
		o.Outcome = []string{"ok", "ok", "ok", "failed", "unknown", "unsent"}[r.IntN(6)]
		if o.Kind == "read-back" {
			o.Class = "audit"
		}
		o.Label = o.Kind[:1] + strconv.Itoa(o.Seq)
		o.Bad = o.Outcome != "ok" || r.IntN(5) == 0
		if r.IntN(4) == 0 {
			o.Skipped = r.IntN(50)
		}
		e.Operations = append(e.Operations, o)
		e.Ops = append(e.Ops, "op "+o.Label)
	}
	e.Operations[r.IntN(n)].Marked = true
	e.Operations[n-1].Marked = true
	return e
}

func number(t testing.TB, s string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(s, 64)
	require.NoError(t, err)
	return v
}

// extent is how far a shape reaches: of a path its points, of a text its room.
func extent(t testing.TB, s *shape, f form) (x0, y0, x1, y1 float64) {
	t.Helper()
	switch s.Kind {
	case "rect":
		x, y := number(t, s.X), number(t, s.Y)
		return x, y, x + number(t, s.W), y + number(t, s.H)
	case "path":
		x0, y0, x1, y1 = math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)
		for _, p := range strings.FieldsFunc(strings.TrimSuffix(s.D, "Z"), func(r rune) bool { return r == 'M' || r == 'L' }) {
			a, b, _ := strings.Cut(p, " ")
			x, y := number(t, a), number(t, b)
			x0, y0, x1, y1 = min(x0, x), min(y0, y), max(x1, x), max(y1, y)
		}
		return x0, y0, x1, y1
	}
	x, y, w := number(t, s.X), number(t, s.Y), wide(s.Text, f.font-1)
	switch s.Anchor {
	case "middle":
		x -= w / 2
	case "end":
		x -= w
	}
	return x, y - 8, x + w, y
}

// Every operation is there once, in order, and nothing lies on another or
// outside of the picture.
func TestOperationsAsAPicture(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 7))
	res := met()
	for n := range 60 {
		e := story(r, 1+r.IntN(40), 1+r.IntN(9))
		fig, ok := examplePicture(res, e, "x")
		require.True(t, ok)
		require.Len(t, fig.Drawings, 2)
		for i, f := range forms {
			d := fig.Drawings[i]
			ds := deeds(e, maxDeeds[f.name])
			require.LessOrEqual(t, len(ds), maxDeeds[f.name])
			type box struct{ x0, y0, x1, y1 float64 }
			var bars, labels, arrows []box
			byHover := map[string]float64{}
			halos := 0
			for k := range d.Shapes {
				s := &d.Shapes[k]
				x0, y0, x1, y1 := extent(t, s, f)
				assert.True(t, x0 >= -0.1 && y0 >= -0.1 && x1 <= float64(d.Width)+0.1 && y1 <= float64(d.Height)+0.1, "story %d: %s %s at %v %v to %v %v, of %d x %d", n, f.name, s.Class, x0, y0, x1, y1, d.Width, d.Height)
				switch {
				case strings.HasPrefix(s.Class, "op-label"):
					labels = append(labels, box{x0, y0, x1, y1})
				case s.Class == "op-arrow":
					arrows = append(arrows, box{x0, y0, x1, y1})
				case s.Class == "op-halo":
					halos++
				case s.Title != "" && s.Class != "op-late" && s.Class != "pause":
					_, twice := byHover[s.Title]
					assert.False(t, twice, "story %d: twice %s", n, s.Title)
					byHover[s.Title] = x0
					bars = append(bars, box{x0, y0, x1, y1})
				}
			}
			assert.Len(t, byHover, len(ds))
			assert.Len(t, labels, len(ds))
			marked := 0
			for k := range ds {
				if ds[k].Marked {
					marked++
				}
				x, ok := byHover[ds[k].hover]
				require.True(t, ok)
				if k > 0 {
					assert.GreaterOrEqual(t, x, byHover[ds[k-1].hover], "story %d: by time", n)
				}
			}
			assert.Equal(t, marked, halos)
			for _, a := range arrows {
				for _, b := range bars {
					assert.False(t, a.x0 < b.x1-0.11 && b.x0 < a.x1-0.11 && a.y0 < b.y1 && b.y0 < a.y1, "story %d, %s: an arrow at %v lies on %v", n, f.name, a, b)
				}
			}
			for _, all := range [][]box{bars, labels} {
				slices.SortFunc(all, func(a, b box) int { return cmp.Or(cmp.Compare(a.y0, b.y0), cmp.Compare(a.x0, b.x0)) })
				for k := 1; k < len(all); k++ {
					a, b := all[k-1], all[k]
					assert.False(t, a.y0 == b.y0 && b.x0 < a.x1-0.11, "story %d, %s: %v lies on %v", n, f.name, b, a)
				}
			}
		}
	}
}

// How an operation ended shows in its shape, not in a colour alone.
func TestOutcomesHaveShapes(t *testing.T) {
	shapes := map[string]string{}
	for _, kind := range []string{"read", "update"} {
		for _, outcome := range []string{"ok", "late", "failed", "unknown", "unsent"} {
			o := slo.ExampleOp{Kind: kind, Outcome: outcome, Start: 1, End: 2, Label: "l", Bad: outcome != "ok"}
			if outcome == "late" {
				o.Outcome = "ok"
			}
			e := &slo.Example{Operations: []slo.ExampleOp{o}}
			d := drawDeeds(deeds(e, 9), nil, forms[0])
			var kinds []string
			for _, s := range d.Shapes {
				if strings.HasPrefix(s.Class, "op-") && s.Kind != "text" {
					kinds = append(kinds, s.Kind+" "+s.Class)
				}
			}
			drawn := strings.Join(kinds, ", ")
			for other, had := range shapes {
				same := outcome == "unsent" && strings.HasSuffix(other, "unsent")
				assert.True(t, same || had != drawn, "%s %s looks like %s: %s", kind, outcome, other, drawn)
			}
			shapes[kind+" "+outcome] = drawn
		}
	}
}

// A picture with room for few operations keeps the marked ones and those next to
// them, and says how many it leaves out.
func TestFewerOperations(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 50 {
		e := story(r, 40, 3)
		ds := deeds(e, 8)
		require.Len(t, ds, 8)
		marked := 0
		for _, d := range ds {
			if d.Marked {
				marked++
			}
		}
		want := 0
		first, last := -1, -1
		for i := range e.Operations {
			if e.Operations[i].Marked {
				want++
			}
			if e.Operations[i].Seq == ds[0].Seq {
				first = i
			}
			if e.Operations[i].Seq == ds[7].Seq {
				last = i
			}
		}
		require.Equal(t, want, marked)
		total, told := 0, 0
		for _, o := range e.Operations[first+1 : last+1] {
			total += 1 + o.Skipped
		}
		for _, d := range ds[1:] {
			told += 1 + d.skipped
		}
		require.Equal(t, total, told, "none is lost from the count")
		require.Zero(t, ds[0].skipped)
	}
}

func TestWarp(t *testing.T) {
	w := newWarp([]float64{5, 1, 1.001, 30, 5, 1000}, 100, 900)
	assert.Equal(t, []float64{1, 1.001, 5, 30, 1000}, w.instants)
	assert.Equal(t, []float64{100, 900}, []float64{w.x(1), w.x(1000)})
	for i := 1; i < len(w.places); i++ {
		assert.Greater(t, w.places[i], w.places[i-1])
	}
	ms, quarter := w.x(1.001)-w.x(1), w.x(1000)-w.x(30)
	assert.Greater(t, ms, 50.0, "a millisecond can be seen")
	assert.Less(t, quarter, 8*ms, "a quarter of an hour does not fill the picture")
	assert.Equal(t, []float64{7}, newWarp([]float64{3}, 7, 9).places)
}

// Faults inside of what is shown are lines, what came before is told.
func TestFaultsInTheExample(t *testing.T) {
	r := met() // asked at 26.402, undone at 58.902
	e := &slo.Example{Trial: 1, Operations: []slo.ExampleOp{{Kind: "read", Outcome: "ok", Start: 26, End: 26.1, Label: "r1"}, {Kind: "update", Outcome: "ok", Start: 27, End: 27.1, Label: "u2", Marked: true}}}
	count := func(fig figure) (asked, undone int) {
		for _, s := range fig.Drawings[0].Shapes {
			switch s.Class {
			case "change":
				asked++
			case "change over":
				undone++
			}
		}
		return asked, undone
	}
	fig, _ := examplePicture(r, e, "x")
	a, u := count(fig)
	assert.Equal(t, []int{1, 0}, []int{a, u})
	assert.Contains(t, fig.Keys, key{"op-fault", "fault asked, undone"})
	assert.Contains(t, fig.Desc, "2 operations by 1 client, from 26 s to 27.1 s of the run. Marked: update (27 s).")

	e.Operations[0].Start, e.Operations[0].End = 26.5, 26.6
	fig, _ = examplePicture(r, e, "x")
	a, u = count(fig)
	assert.Equal(t, []int{0, 0}, []int{a, u})
	assert.Contains(t, fig.Desc, "Fault asked at 26.402 s, 0.098 s before the first operation shown.")

	e.Operations[1].Start, e.Operations[1].End = 60, 61
	fig, _ = examplePicture(r, e, "x")
	a, u = count(fig)
	assert.Equal(t, []int{0, 1}, []int{a, u})

	e.Trial = 9 // of no trial that is known
	_, ok := examplePicture(r, e, "x")
	assert.True(t, ok)
	_, ok = examplePicture(r, &slo.Example{}, "x")
	assert.False(t, ok)
}

// Each example stands once, below the first objective that it shows missed.
func TestEvidenceStandsAtItsObjective(t *testing.T) {
	r := missed()
	r.Examples = append(r.Examples, slo.Example{Check: "backward-read", Session: 5, Scope: "session", Why: "of an objective that is met"})
	for i := range r.Objectives {
		if r.Objectives[i].Name == slo.RPO {
			r.Objectives[i].Verdict = slo.Missed
		}
	}
	p, err := newPage(r)
	require.NoError(t, err)
	got := map[string][]string{}
	for _, ev := range p.Evidence {
		for _, x := range ev.Examples {
			got[ev.Title] = append(got[ev.Title], x.Title)
		}
		for _, o := range ev.Others {
			got[ev.Title] = append(got[ev.Title], "see "+o.Text)
		}
	}
	assert.Equal(t, map[string][]string{
		"failover": {"outage of shard 7"}, "session-loss": {"lost-session in session 48112"}, "lost-writes": {"lost-write in session 1207"}, "rpo": {"see lost-write in session 1207"},
	}, got)
	require.Len(t, p.Examples, 1)
	assert.Equal(t, "backward-read in session 5", p.Examples[0].Title)

	page := render(t, "html", r)
	objectives, timeline := strings.Index(page, `id="objectives"`), strings.Index(page, `id="timeline-part"`)
	assert.True(t, objectives < strings.Index(page, `id="evidence-part"`) && strings.Index(page, `id="example-3-picture-wide-title"`) < timeline, "the picture follows the objectives")
	for i := range r.Examples {
		assert.Equal(t, 1, strings.Count(page, fmt.Sprintf(`id="example-%d"`, i+1)))
	}
	assert.NotContains(t, render(t, "html", met()), "evidence-part")
}
