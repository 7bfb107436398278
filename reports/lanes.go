package reports

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"

	"github.com/fivenines/fivenines/slo"
)

// The picture of an example: a lane for each client, and in it a bar for each
// operation from its invocation to its completion. What matters is which
// operations overlap and which follow each other, so the axis keeps their order
// and not the scale: a pause of half a minute takes little more room than one of
// a second.

// deed is an operation as the picture shows it.
type deed struct {
	*slo.ExampleOp
	start, end float64 // instants
	skipped    int     // operations before it that the picture does not show
	label      string
	hover      string
}

// laneOf is who invoked it. There are clients enough to give each its own lane
// in the example of a session, not always in that of a partition.
func laneOf(o *slo.ExampleOp, byRegion bool) (name, where string) {
	who := fmt.Sprintf("client %d", o.Client)
	if byRegion {
		who = "all clients"
	}
	switch o.Class {
	case "audit":
		who = "read-back"
	case "witness":
		who = fmt.Sprintf("witness %d", o.Client)
	case "eventual":
		who += ", eventual"
	}
	return who, clip(o.Region, 40)
}

// Bounds of a picture.
const (
	maxClientLanes = 6
	maxLabel       = 12
)

var maxDeeds = map[string]int{"wide": 30, "narrow": 11}

// deeds are the operations of an example that a picture has room for: the marked
// ones and those around them.
func deeds(e *slo.Example, most int) []deed {
	var all []deed
	skipped := 0
	for i := range e.Operations {
		o := &e.Operations[i]
		skipped += max(0, o.Skipped)
		if !finite(o.Start) || !finite(o.End) || !finite(o.Intended) {
			skipped++
			continue
		}
		d := deed{ExampleOp: o, start: o.Start, end: max(o.Start, o.End), skipped: skipped, label: clip(o.Label, maxLabel), hover: deedText(o)}
		all, skipped = append(all, d), 0
		if len(all) == maxExampleOps {
			break
		}
	}
	if len(all) > most {
		far := func(i int) int { // from the nearest marked one
			n := len(all)
			for j := range all {
				if all[j].Marked {
					n = min(n, max(i-j, j-i))
				}
			}
			return n
		}
		order := make([]int, len(all))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(far(a), far(b)), cmp.Compare(a, b)) })
		keep := order[:most]
		slices.Sort(keep)
		var kept []deed
		for _, i := range keep {
			d := all[i]
			from := 0
			if len(kept) > 0 {
				from = keep[len(kept)-1] + 1
			}
			for j := from; j < i; j++ {
				d.skipped += all[j].skipped + 1
			}
			kept = append(kept, d)
		}
		all = kept
	}
	slices.SortStableFunc(all, func(a, b deed) int { return cmp.Compare(a.start, b.start) })
	if len(all) > 0 {
		all[0].skipped = 0
	}
	return all
}

// didText says what an operation did.
func didText(o *slo.ExampleOp) string {
	var b strings.Builder
	b.WriteString(clip(o.Kind, 20))
	switch {
	case o.Found == "absent":
		b.WriteString(", no such session")
	case o.Found == "exists":
		b.WriteString(", it is there already")
	case o.Found != "":
		b.WriteString(", found a " + clip(o.Found, 20) + " state")
	case o.Seq != 0 && observes(o.Kind):
		fmt.Fprintf(&b, ", found %d", o.Seq)
	case o.Seq != 0:
		fmt.Fprintf(&b, " to %d", o.Seq)
	}
	if o.Writer != 0 {
		fmt.Fprintf(&b, " of writer %d", o.Writer)
	}
	return b.String()
}

// deedText is an operation in one sentence.
func deedText(o *slo.ExampleOp) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, session %d, by client %d", didText(o), o.Session, o.Client)
	if o.Region != "" {
		b.WriteString(" in " + clip(o.Region, 40))
	}
	if o.Node != "" {
		b.WriteString(" at " + clip(o.Node, 40))
	}
	b.WriteString(": " + clip(o.Outcome, 20))
	if o.Cause != "" {
		b.WriteString(" (" + clip(o.Cause, 40) + ")")
	}
	if o.Bad && o.Outcome == "ok" {
		b.WriteString(", too late")
	}
	fmt.Fprintf(&b, "; %s s to %s s, %s", fixed(o.Start, 6), fixed(o.End, 6), millisText(1000*(o.End-o.Intended)))
	if o.Marked {
		return "MARKED: " + b.String()
	}
	return b.String()
}

func observes(kind string) bool { return kind == "read" || kind == "read-back" || kind == "deliver" }

// instantMark is a change of a fault, on the axis.
type instantMark struct {
	at   float64
	text string
	end  bool
}

// changes are the faults of the example's trial that began or ended in [from, to].
func changes(r *slo.Result, e *slo.Example, from, to float64) (in []instantMark, before string) {
	n := max(1, e.Trial) - 1
	if n >= len(r.Trials) {
		return nil, ""
	}
	last := math.Inf(-1)
	add := func(at float64, text string, end bool) {
		if !finite(at) {
			return
		}
		switch {
		case at >= from && at <= to && len(in) < 8:
			in = append(in, instantMark{at, text, end})
		case at < from && at > last:
			last, before = at, fmt.Sprintf("%s at %s s, %s before the first operation shown.", strings.ToUpper(text[:1])+text[1:], fixed(at, 3), secondsText(from-at))
		}
	}
	for i := range r.Trials[n].Faults {
		f := &r.Trials[n].Faults[i]
		name := "fault"
		if len(r.Trials[n].Faults) > 1 {
			name = fmt.Sprintf("fault %d", i+1)
		}
		add(f.AskedS, name+" asked", false)
		if f.UndoneS != nil {
			add(f.UndoneS.Value, name+" undone", true)
		}
	}
	slices.SortStableFunc(in, func(a, b instantMark) int { return cmp.Compare(a.at, b.at) })
	return in, before
}

// warp maps instants to places: in order, with room that grows with the
// logarithm of the time between them.
type warp struct {
	instants []float64
	places   []float64
}

func newWarp(instants []float64, from, to float64) *warp {
	slices.Sort(instants)
	instants = slices.Compact(instants)
	w := &warp{instants: instants, places: make([]float64, len(instants))}
	sum := 0.0
	for i := 1; i < len(instants); i++ {
		sum += 1 + math.Log10(1+(instants[i]-instants[i-1])*1e3)
		w.places[i] = sum
	}
	for i := range w.places {
		if sum > 0 {
			w.places[i] *= (to - from) / sum
		}
		w.places[i] += from
	}
	return w
}

// x is where an instant that the warp was made of lies.
func (w *warp) x(at float64) float64 {
	i, _ := slices.BinarySearch(w.instants, at)
	return w.places[min(i, len(w.places)-1)]
}

// track is a lane of the picture.
type trackLane struct {
	name, where string
	deeds       []int
	row         []int // of each deed in the lane
	rows        int
}

// lanesOfDeeds sorts the operations by who invoked them.
func lanesOfDeeds(ds []deed) []trackLane {
	build := func(byRegion bool) []trackLane {
		var out []trackLane
		for i := range ds {
			name, where := laneOf(ds[i].ExampleOp, byRegion)
			n := slices.IndexFunc(out, func(l trackLane) bool { return l.name == name && l.where == where })
			if n < 0 {
				n = len(out)
				out = append(out, trackLane{name: name, where: where})
			}
			out[n].deeds = append(out[n].deeds, i)
		}
		return out
	}
	out := build(false)
	if len(out) > maxClientLanes {
		out = build(true)
	}
	return out
}

// examplePicture is the operations of an example as a picture; false if there
// is nothing to draw.
func examplePicture(r *slo.Result, e *slo.Example, id string) (figure, bool) {
	ds := deeds(e, maxDeeds["wide"])
	if len(ds) == 0 {
		return figure{}, false
	}
	fig := figure{ID: id, Title: exampleTitle(e), Bare: true}
	from, to := ds[0].start, ds[0].end
	var marked []string
	clients := map[string]bool{}
	for i := range ds {
		to = max(to, ds[i].end)
		name, where := laneOf(ds[i].ExampleOp, false)
		clients[name+where] = true
		if ds[i].Marked {
			marked = append(marked, fmt.Sprintf("%s (%s s)", didText(ds[i].ExampleOp), fixed(ds[i].start, 3)))
		}
	}
	marks, before := changes(r, e, from, to)
	fig.Desc = fmt.Sprintf("%s by %s, from %s s to %s s of the run. Marked: %s.", countOf(len(ds), "operation", "operations"), countOf(len(clients), "client", "clients"), fixed(from, 3), fixed(to, 3), orDash(listText(marked, 6)))
	if before != "" {
		fig.Desc += " " + before
	}
	fig.Note = "Time goes to the right; pauses are shortened."
	if len(ds) > maxDeeds["narrow"] {
		fig.Note += " A small screen shows those next to what is marked."
	}
	has := func(f func(*slo.ExampleOp) bool) bool {
		return slices.ContainsFunc(ds, func(d deed) bool { return f(d.ExampleOp) })
	}
	for _, k := range []struct {
		key
		yes bool
	}{
		{key{"op-write", kindsText(ds, false)}, has(func(o *slo.ExampleOp) bool { return !observes(o.Kind) })},
		{key{"op-read", kindsText(ds, true)}, has(func(o *slo.ExampleOp) bool { return observes(o.Kind) })},
		{key{"op-marked", "marked"}, len(marked) > 0},
		{key{"op-failed", "failed: certainly not applied"}, has(func(o *slo.ExampleOp) bool { return o.Outcome == "failed" })},
		{key{"op-unknown", "no answer: its end is open"}, has(func(o *slo.ExampleOp) bool { return o.Outcome == "unknown" })},
		{key{"op-unsent", "never sent"}, has(func(o *slo.ExampleOp) bool { return o.Outcome == "unsent" })},
		{key{"op-late", "answered too late"}, has(func(o *slo.ExampleOp) bool { return o.Bad && o.Outcome == "ok" })},
		{key{"op-fault", "fault asked, undone"}, len(marks) > 0},
	} {
		if k.yes {
			fig.Keys = append(fig.Keys, k.key)
		}
	}
	for _, f := range forms {
		fig.Drawings = append(fig.Drawings, drawDeeds(deeds(e, maxDeeds[f.name]), marks, f))
	}
	return fig, true
}

// kindsText says what the labels of the operations mean that read, or of those
// that write.
func kindsText(ds []deed, reads bool) string {
	var kinds []string
	none := ""
	for i := range ds {
		k := clip(ds[i].Kind, 20)
		letter := []rune(ds[i].label)
		if observes(ds[i].Kind) != reads || len(letter) == 0 {
			continue
		}
		for _, f := range [][2]string{{"absent", "; ∅ no such session"}, {"exists", "; = it was there"}, {"corrupt", "; ! not whole"}} {
			if ds[i].Found == f[0] && !strings.Contains(none, f[1]) {
				none += f[1]
			}
		}
		if t := string(letter[:1]) + " " + k; !slices.Contains(kinds, t) && len(kinds) < 6 {
			kinds = append(kinds, t)
		}
	}
	slices.Sort(kinds)
	if reads {
		return strings.Join(kinds, ", ") + ": what it found" + none
	}
	return strings.Join(kinds, ", ") + ": what it wrote" + none
}

// Measures of the picture.
const (
	deedHeight = 12.0
	deedPitch  = 29.0 // of rows in a lane: a label, a bar
	lanePad    = 7.0
)

func drawDeeds(ds []deed, marks []instantMark, f form) drawing {
	s := &sketch{width: float64(f.width)}
	font := float64(f.font)
	lanes := lanesOfDeeds(ds)
	from, to := ds[0].start, ds[0].end
	for i := range ds {
		to = max(to, ds[i].end)
	}
	marks = slices.DeleteFunc(slices.Clone(marks), func(m instantMark) bool { return m.at < from || m.at > to })

	// At the left the lanes' names; on a phone they stand above the lanes.
	left := 8.0
	if f.name == "wide" {
		for i := range lanes {
			left = max(left, min(0.2*s.width, max(wide(lanes[i].name, f.font), wide(lanes[i].where, f.font-1)))+22)
		}
	}
	const right = 34.0
	var instants []float64
	for i := range ds {
		instants = append(instants, ds[i].start, ds[i].end)
		if ds[i].Outcome == "unsent" {
			instants = append(instants, ds[i].start)
		}
	}
	for _, m := range marks {
		instants = append(instants, m.at)
	}
	w := newWarp(instants, left+6, s.width-right)

	// Rows: no two operations or labels of a row touch.
	for n := range lanes {
		var ends []float64
		for _, i := range lanes[n].deeds {
			d := &ds[i]
			x0, x1 := deedSpan(d, w)
			x1 = max(x1, x0+wide(d.label, f.font-1)+3) + 4
			row := slices.IndexFunc(ends, func(e float64) bool { return e <= x0 })
			if row < 0 {
				row = len(ends)
				ends = append(ends, 0)
			}
			ends[row] = x1
			lanes[n].row = append(lanes[n].row, row)
		}
		lanes[n].rows = len(ends)
	}

	// Heights.
	head := font + 6
	if len(marks) > 0 {
		head += font + 4
	}
	y := head
	tops := make([]float64, len(lanes))
	for n := range lanes {
		tops[n] = y
		if f.name != "wide" {
			y += font + 5
		}
		y += float64(lanes[n].rows)*deedPitch + 2*lanePad
	}
	bottom := y

	for n := range lanes {
		h := bottom - tops[n]
		if n+1 < len(lanes) {
			h = tops[n+1] - tops[n]
		}
		s.rect("lane"+map[int]string{0: "", 1: " odd"}[n%2], 0, tops[n], s.width, h, "")
	}
	drawPauses(s, ds, marks, w, head, bottom, f)
	textEnd := 0.0
	for i, m := range marks {
		x := w.x(m.at)
		class := "change"
		if m.end {
			class = "change over"
		}
		s.line(class, x, font+4, x, bottom)
		text := m.text
		if x > textEnd && i < 6 {
			anchor := "start"
			tx := x + 4
			if x+wide(text, f.font)+6 > s.width {
				anchor, tx = "end", x-4
			}
			s.text("change-name", anchor, tx, font+2, text)
			textEnd = tx + wide(text, f.font) + 6
		}
	}
	for n := range lanes {
		top := tops[n] + lanePad
		if f.name == "wide" {
			mid := tops[n] + (float64(lanes[n].rows)*deedPitch+2*lanePad)/2
			if lanes[n].where != "" {
				mid -= font * 0.55
			}
			s.text("lane-name", "start", 10, mid+font*0.35, fitted(lanes[n].name, f.font, left-16))
			s.text("lane-where", "start", 10, mid+font*1.6, fitted(lanes[n].where, f.font-1, left-16))
		} else {
			s.text("lane-name", "start", 6, tops[n]+font+3, fitted(strings.TrimSpace(lanes[n].name+" "+lanes[n].where), f.font, s.width-12))
			top += font + 5
		}
		for k, i := range lanes[n].deeds {
			drawDeed(s, &ds[i], w, top+float64(lanes[n].row[k])*deedPitch, f)
		}
	}
	drawAxis(s, ds, marks, w, bottom, f)
	return s.drawing(f, bottom+font+14)
}

func fitted(text string, size vg.Length, width float64) string {
	return fitText(text, size, vg.Length(width))
}

// minDeed is the width of an operation that took no time.
const minDeed = 5

// deedSpan is where an operation is drawn, with the arrow of one without an end.
func deedSpan(d *deed, w *warp) (x0, x1 float64) {
	x0 = w.x(d.start)
	x1 = max(w.x(d.end), x0+minDeed)
	switch d.Outcome {
	case "unknown":
		x1 += 13
	case "failed":
		x1 += 5
	}
	return x0, x1
}

// drawDeed draws one operation with its label above it.
func drawDeed(s *sketch, d *deed, w *warp, top float64, f form) {
	y := top + float64(f.font) + 4
	x0 := w.x(d.start)
	x1 := max(w.x(d.end), x0+minDeed)
	mid := y + deedHeight/2
	_, end := deedSpan(d, w)
	label := "op-label"
	if d.Marked {
		label += " marked"
		s.rect("op-halo", x0-4, y-3.5, end-x0+8, deedHeight+7, "")
	}
	class := "op-write"
	if observes(d.Kind) {
		class = "op-read"
	}
	switch d.Outcome {
	case "ok":
		s.rect(class, x0, y, x1-x0, deedHeight, d.hover)
		if d.Bad {
			s.rect("op-late", x1-2.5, y-3, 3.5, deedHeight+6, d.hover)
		}
	case "failed":
		s.rect(class+" void", x0, y, x1-x0, deedHeight, d.hover)
		s.path("op-cross", false, "", x1-4, mid-4.5, x1+5, mid+4.5)
		s.path("op-cross", false, "", x1-4, mid+4.5, x1+5, mid-4.5)
	case "unsent":
		s.path("op-unsent", true, d.hover, x0, mid, x0+5, mid-6, x0+10, mid, x0+5, mid+6)
	default:
		s.path(class+" open", false, d.hover, x1, y, x0, y, x0, y+deedHeight, x1, y+deedHeight)
		s.line("op-open", x1, mid, x1+8, mid)
		s.path("op-arrow", true, "", x1+6, mid-4.5, x1+13, mid, x1+6, mid+4.5)
	}
	s.text(label, "start", x0, y-6, d.label)
}

// drawPauses marks the times in which nobody did anything, and where operations
// are left out.
func drawPauses(s *sketch, ds []deed, marks []instantMark, w *warp, top, bottom float64, f form) {
	end := ds[0].end
	for i := 1; i < len(ds); i++ {
		d := &ds[i]
		pause := d.start - end
		if pause >= 1 || d.skipped > 0 && pause > 0 {
			x0, x1 := w.x(end), w.x(d.start)
			long, short := secondsText(pause), ""
			if d.skipped > 0 {
				long = fmt.Sprintf("%d more", d.skipped)
				short = fmt.Sprintf("+%d", d.skipped)
			}
			title := secondsText(pause) + " without an operation of these"
			if d.skipped > 0 {
				title = countOf(d.skipped, "operation is", "operations are") + " not shown here, in " + secondsText(pause)
			}
			s.rect("pause", x0+1, top, x1-x0-2, bottom-top, title)
			for _, text := range []string{long, short} {
				half := wide(text, f.font-1)/2 + 3
				crossed := slices.ContainsFunc(marks, func(m instantMark) bool { return math.Abs(w.x(m.at)-(x0+x1)/2) < half })
				if text != "" && 2*half < x1-x0 && !crossed {
					s.text("pause-text", "middle", (x0+x1)/2, top-4, text)
					break
				}
			}
		}
		end = max(end, d.end)
	}
}

// drawAxis writes instants of the run where there is room for them.
func drawAxis(s *sketch, ds []deed, marks []instantMark, w *warp, bottom float64, f form) {
	s.line("axis", w.places[0]-6, bottom, s.width, bottom)
	type tick struct {
		x, at float64
		rank  int
	}
	var ticks []tick
	for i := range ds {
		rank := 2
		if ds[i].Marked {
			rank = 0
		}
		ticks = append(ticks, tick{w.x(ds[i].start), ds[i].start, rank})
	}
	for _, m := range marks {
		ticks = append(ticks, tick{w.x(m.at), m.at, 1})
	}
	slices.SortStableFunc(ticks, func(a, b tick) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.x, b.x)) })
	var taken [][2]float64
	for _, t := range ticks {
		text := fixed(t.at, 3) + " s"
		half := wide(text, f.font-1)/2 + 5
		x := min(max(t.x, half), s.width-half)
		if slices.ContainsFunc(taken, func(o [2]float64) bool { return x-half < o[1] && x+half > o[0] }) {
			continue
		}
		taken = append(taken, [2]float64{x - half, x + half})
		s.line("axis", t.x, bottom, t.x, bottom+4)
		s.text("axis-text", "middle", x, bottom+float64(f.font)+5, text)
	}
}
