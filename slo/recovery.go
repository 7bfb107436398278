package slo

import (
	"fmt"
	"slices"
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
)

// steadyWindow is what the hypothesis is checked on.
type steadyWindow struct {
	intended, bad int
	read, write   []uint32 // latencies in microseconds
}

// broken says what of the hypothesis does not hold, or "".
func (s *Steady) broken(w *steadyWindow) string {
	if w.intended == 0 {
		return "no operation was intended"
	}
	if good := float64(w.intended-w.bad) / float64(w.intended); good < s.Success {
		return fmt.Sprintf("%s %% of the operations were good, not %s %%", number(100*good), number(100*s.Success))
	}
	for _, b := range []struct {
		what  string
		us    []uint32
		bound time.Duration
	}{{"reads", w.read, s.ReadP99}, {"writes", w.write, s.WriteP99}} {
		if b.bound <= 0 || len(b.us) == 0 {
			continue
		}
		slices.Sort(b.us)
		if p := time.Duration(nearestRank(b.us, 0.99)) * time.Microsecond; p > b.bound {
			return fmt.Sprintf("%s took %v at the 99th percentile, not up to %v", b.what, p, b.bound)
		}
	}
	return ""
}

// windows cuts [from, to] of the load into whole windows of the hypothesis.
func (t *trial) windows(from, to time.Duration) []steadyWindow {
	n := int((to - from) / t.cfg.Steady.Window)
	if n <= 0 {
		return nil
	}
	ws := make([]steadyWindow, n)
	t.ops.each(func(o *history.Op) {
		if o.Class != history.Follower || o.Intended < from || t.loadOf(o) < 0 {
			return
		}
		i := int((o.Intended - from) / t.cfg.Steady.Window)
		if i >= n {
			return
		}
		w := &ws[i]
		w.intended++
		if t.bad(o) {
			w.bad++
		}
		if o.Outcome == history.Unsent {
			return
		}
		us := uint32(min(o.Latency()/time.Microsecond, 1<<32-1))
		if o.Kind == history.Read {
			w.read = append(w.read, us)
		} else {
			w.write = append(w.write, us)
		}
	})
	return ws
}

// measureRecovery finds when the steady state came back, and stayed.
func (t *trial) measureRecovery() {
	for _, f := range t.faults {
		load := t.loadAfter(f.asked)
		if load < 0 {
			continue
		}
		ws := t.windows(f.asked, t.loads[load].to)
		back := len(ws)
		for back > 0 && t.cfg.Steady.broken(&ws[back-1]) == "" {
			back--
		}
		at := f.asked + time.Duration(back)*t.cfg.Steady.Window
		f.recoveredBy = at
		if back < len(ws) {
			f.recovered = &at
		}
	}
	for _, f := range t.faults {
		if f.recovered == nil {
			t.m.RTO, t.m.TimeToRecover = nil, nil
			return
		}
		rto := sec(*f.recovered - f.asked)
		if t.m.RTO == nil || rto > t.m.RTO.Value {
			t.m.RTO = &Value{Value: rto, Lower: ptr(round(max(0, rto-t.cfg.Steady.Window.Seconds()))), Upper: ptr(rto)}
		}
		if f.detected != nil {
			if d := sec(max(0, *f.recovered-*f.detected)); t.m.TimeToRecover == nil || d > t.m.TimeToRecover.Value {
				t.m.TimeToRecover = value(d)
			}
		}
	}
}

// steadyBefore says why the hypothesis did not hold before the first fault, or
// "". The harness looked at the time; where it did not, four fifths of the
// later half of the windows must hold, as there.
func (t *trial) steadyBefore() string {
	if t.steady != nil {
		if t.steady.holds {
			return ""
		}
		return orElse(t.steady.why, "the harness saw that it did not hold")
	}
	s := t.beforeFault()
	ws := t.windows(s.from, s.to)
	ws = ws[len(ws)/2:]
	held, why := 0, ""
	for i := range ws {
		if w := t.cfg.Steady.broken(&ws[i]); w == "" {
			held++
		} else {
			why = w
		}
	}
	if 5*held < 4*len(ws) {
		return why
	}
	return ""
}
