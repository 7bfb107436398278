package reports

import (
	"fmt"

	"github.com/fivenines/fivenines/slo"
)

// fate is one end that a session can come to.
type fate struct {
	name, class, means string
	of                 func(*slo.SessionFates) int
	wrong              bool
}

// In the order of the picture; every session has exactly one.
var fateKinds = []fate{
	{"kept", "fate-kept", "nothing happened to them that a client noticed", func(f *slo.SessionFates) int { return f.Kept }, false},
	{"disrupted", "fate-disrupted", "kept, but an operation of theirs was bad during a fault", func(f *slo.SessionFates) int { return f.Disrupted }, false},
	{"closed", "fate-closed", "ended by their client", func(f *slo.SessionFates) int { return f.Closed }, false},
	{"expired", "fate-expired", "ended by their own clock", func(f *slo.SessionFates) int { return f.Expired }, false},
	{"without an answer", "fate-unread", "the read-back got none: nothing is claimed of them", func(f *slo.SessionFates) int { return f.Unread }, true},
	{"wrong expiry", "fate-expiry", "expired early or late, or came back", func(f *slo.SessionFates) int { return f.BadExpiry }, true},
	{"regressed", "fate-regressed", "found with a state older than the last acknowledged one", func(f *slo.SessionFates) int { return f.Regressed }, true},
	{"lost", "fate-lost", "neither closed nor expired, and strong reads do not find them", func(f *slo.SessionFates) int { return f.Lost }, true},
}

// endsFigure is what became of all sessions, each at one fate; false for a result that
// does not know.
func endsFigure(r *slo.Result) (figure, table, bool) {
	var counts [8]int
	all, known := 0, false
	for i := range r.Trials {
		f := r.Trials[i].Measures.SessionFates
		if f == nil {
			continue
		}
		known = true
		for k, kind := range fateKinds {
			n := max(0, kind.of(f))
			counts[k] += n
			all += n
		}
	}
	fig := figure{ID: "fates-picture", Title: "What each session came to", Desc: fmt.Sprintf("Of %s acknowledged as created:", countOf(all, "session", "sessions"))}
	tab := table{Caption: "What each session came to" + overTrials(r) + ".", Note: "Every session counts once, at the gravest that it fits.", Head: heads("Fate", "#Sessions", "#Share", "Meaning")}
	if !known || all == 0 {
		return fig, tab, false
	}
	first := true
	for k, kind := range fateKinds {
		c := num(grouped(float64(counts[k])))
		if kind.wrong && counts[k] > 0 {
			c.Class += " bad"
		}
		tab.Rows = append(tab.Rows, []cell{{Text: kind.name}, c, num(shareText(counts[k], all)), {Text: kind.means}})
		if counts[k] == 0 {
			continue
		}
		fig.Keys = append(fig.Keys, key{kind.class, fmt.Sprintf("%s: %s", kind.name, grouped(float64(counts[k])))})
		if !first {
			fig.Desc += ","
		}
		first = false
		fig.Desc += fmt.Sprintf(" %s %s (%s)", grouped(float64(counts[k])), kind.name, shareText(counts[k], all))
	}
	fig.Desc += "."
	for _, f := range forms {
		s := &sketch{width: float64(f.width)}
		const height, least = 34.0, 4.0
		// What is too small to be seen is drawn as wide as least; the others give way.
		room, rest := s.width, all
		for _, n := range counts {
			if n > 0 && float64(n)/float64(all)*s.width < least {
				room -= least
				rest -= n
				fig.Note = "What is too small to be seen is drawn a little wider."
			}
		}
		x := 0.0
		for k, kind := range fateKinds {
			n := counts[k]
			if n == 0 {
				continue
			}
			w := least
			if float64(n)/float64(all)*s.width >= least {
				w = float64(n) / float64(max(1, rest)) * room
			}
			s.rect(kind.class, x, 2, w, height, fmt.Sprintf("%s: %s of %s sessions (%s)", kind.name, grouped(float64(n)), grouped(float64(all)), shareText(n, all)))
			for _, text := range []string{fmt.Sprintf("%s %s", grouped(float64(n)), kind.name), grouped(float64(n))} {
				if wide(text, f.font)+10 < w {
					s.text("on-phase", "middle", x+w/2, 2+height/2+4, text)
					break
				}
			}
			x += w
		}
		fig.Drawings = append(fig.Drawings, s.drawing(f, height+6))
	}
	return fig, tab, true
}
