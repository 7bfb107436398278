package scenarios

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/loadgen"
	"github.com/fivenines/fivenines/loadgen/history"
)

// NodeDied is the event of a node that died and that no fault asked for:
// Parts names it first. Backends that see it report it, else the watch does.
const NodeDied = "node-died"

// WayLost is the event of a backend whose own way to the system under test broke,
// and every connection with it: what clients saw is not the system's doing.
const WayLost = "tunnel-lost"

// EntriesNamed is the event of clients that DNS sends to other nodes than before;
// Subject is their region.
const EntriesNamed = "entries-named"

// wayLost is why the trial says nothing of the system, or nil.
func (t *trial) wayLost() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lost == "" {
		return nil
	}
	return fmt.Errorf("the harness lost its own way to the system under test, so that nothing can be said of it: %s; run it again", t.lost)
}

// lookEvery is how often the watch looks at nodes and at the record.
const lookEvery = 200 * time.Millisecond

// watch looks after a phase of load: it samples the steady state for the
// record and for progress, and returns once the trial must stop.
func (t *trial) watch(ctx context.Context, phase string, lasts time.Duration) error {
	start := time.Now()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	window := time.NewTicker(time.Duration(t.spec.Steady.Window))
	defer window.Stop()
	var bad time.Duration
	for {
		select {
		case <-ctx.Done():
			t.steadyDone(phase)
			return nil
		case <-tick.C:
			if err := t.look(); err != nil {
				return err
			}
		case <-window.C:
			iv := t.gen.Interval()
			if iv.Intended == 0 && time.Since(start) > lasts {
				continue // what is still under way at the end of the schedule is waited for
			}
			holds := t.steady.add(phase, len(t.inForce()) > 0, iv)
			t.live.Steady(holds)
			t.opt.Progress.Sample(Sample{
				Trial: t.n, Rate: t.spec.Workload.Rate, Interval: iv,
				Steady: holds, Faults: faultTexts(t.inForce()),
			})
			stop := t.spec.Stop.Bad
			if share := badShare(iv); share <= stop.Share.Share() || stop.Share == 100 {
				bad = 0
			} else if bad += iv.Span; bad >= time.Duration(stop.Over) {
				return stopped("more than %s of the operations were bad for %v (stop.bad)", stop.Share, stop.Over)
			}
		}
	}
}

func badShare(iv loadgen.Interval) float64 {
	if iv.OK+iv.Bad == 0 {
		return 0
	}
	return float64(iv.Bad) / float64(iv.OK+iv.Bad)
}

// watchNodes looks after a part of the trial without load.
func (t *trial) watchNodes(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := t.look(); err != nil {
				return err
			}
		}
	}
}

// look finds a record that can't be written, and nodes that died though no
// fault asked for it.
func (t *trial) look() error {
	if err := errors.Join(t.history.Err(), t.wayLost()); err != nil {
		return err
	}
	if !t.acting.TryLock() {
		return nil // a fault is being injected or undone
	}
	defer t.acting.Unlock()
	want := t.effect()
	for _, n := range t.d.Nodes() {
		s, err := t.d.State(n.ID)
		if err != nil || s != fixtures.Dead || want.Nodes[n.ID] == fixtures.Dead || want.Unsure[n.ID] {
			continue
		}
		if deaths, why := t.died(n.ID); deaths > t.spec.Stop.UnaskedDeaths {
			return stopped("node %s died and no fault asked for it (logs/t%03d/%s.log): %s", n.ID, t.n, n.ID, why)
		}
	}
	return nil
}

// died notes that a node is dead that should not be, and says how many are and
// why this one is. Backends that see it themselves report it with what the
// node said last, which may be under way when the watch sees it: its own
// report is made when it looks again.
func (t *trial) died(node string) (deaths int, why string) {
	t.mu.Lock()
	why, seen := t.dead[node]
	if !seen {
		t.dead[node] = ""
	}
	deaths = len(t.dead)
	t.mu.Unlock()
	switch {
	case !seen:
		return 0, ""
	case why == "":
		why = "the process ended"
		t.event(history.Event{Kind: NodeDied, Subject: node, Parts: []string{node}, Detail: why})
		t.reported(node, why)
	}
	return deaths, why
}

// reported notes that the record has a node's death.
func (t *trial) reported(node, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dead[node] = orElse(why, "it said nothing")
}

// steadyTracker keeps which windows of the load held the hypothesis.
type steadyTracker struct {
	hypothesis Steady

	mu     sync.Mutex
	before []bool // windows before the first fault, in order
	during []bool // windows while a fault was in force, or after one
	after  []bool // windows of the settling load
	why    string // what did not hold last
}

// add takes one window and says whether the hypothesis holds in it.
func (s *steadyTracker) add(phase string, faulty bool, iv loadgen.Interval) bool {
	why := s.hypothesis.broken(iv)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case phase == settleLoad:
		s.after = append(s.after, why == "")
	case faulty || len(s.during) > 0:
		s.during = append(s.during, why == "")
	default:
		s.before = append(s.before, why == "")
	}
	if why != "" {
		s.why = why
	}
	return why == ""
}

// broken says what of the hypothesis does not hold in a window, or "".
func (h Steady) broken(iv loadgen.Interval) string {
	done := iv.OK + iv.Bad
	switch {
	case done == 0:
		return "no operation completed"
	case 100*float64(iv.OK)/float64(done) < float64(h.Success):
		return fmt.Sprintf("%.3f %% of the operations were good, not %s", 100*float64(iv.OK)/float64(done), h.Success)
	case h.ReadP99 > 0 && iv.ReadP99 > time.Duration(h.ReadP99):
		return fmt.Sprintf("reads took %v at the 99th percentile, not up to %v", iv.ReadP99.Round(time.Millisecond), h.ReadP99)
	case h.WriteP99 > 0 && iv.WriteP99 > time.Duration(h.WriteP99):
		return fmt.Sprintf("writes took %v at the 99th percentile, not up to %v", iv.WriteP99.Round(time.Millisecond), h.WriteP99)
	}
	return ""
}

// mostly says whether the later half of the windows held, a fifth of them
// excepted: connections warm up at first, and a single pause of a shared
// machine is no finding.
func mostly(windows []bool) bool {
	late := windows[len(windows)/2:]
	if len(late) == 0 {
		return false
	}
	n := 0
	for _, ok := range late {
		if ok {
			n++
		}
	}
	return 5*n >= 4*len(late)
}

// steadyBefore checks the hypothesis when the first fault is due.
func (t *trial) steadyBefore() error {
	t.steady.mu.Lock()
	holds, why := mostly(t.steady.before), t.steady.why
	t.steady.mu.Unlock()
	t.steadyEvent("before", holds, why)
	if !holds {
		return notInjected("the steady state did not hold before the fault: %s", orElse(why, "no window of load was seen"))
	}
	return nil
}

// steadyDone records what held in a phase of load that ended.
func (t *trial) steadyDone(phase string) {
	s := &t.steady
	s.mu.Lock()
	during, after, before, why := s.during, s.after, s.before, s.why
	s.mu.Unlock()
	switch {
	case phase == settleLoad && len(after) > 0:
		t.steadyEvent("after", mostly(after), why)
	case phase == settleLoad:
	case len(t.faults) == 0 && len(before) > 0:
		t.steadyEvent("before", mostly(before), why)
	case len(during) > 0:
		// Whether it came back while the fault was in force: the last windows.
		t.steadyEvent("during", mostly(during), why)
	}
}

func (t *trial) steadyEvent(phase string, holds bool, why string) {
	e := history.Event{Kind: history.SteadyState, Fields: map[string]string{"phase": phase, "holds": strconv.FormatBool(holds)}}
	if !holds {
		e.Detail = why
	}
	t.event(e)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// bus tells those who wait for an event of the platform.
type bus struct {
	mu      sync.Mutex
	waiting map[chan struct{}]string
}

// next returns a channel that is closed at the next event of the kind.
func (b *bus) next(kind string) (<-chan struct{}, func()) {
	ch := make(chan struct{})
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting == nil {
		b.waiting = map[chan struct{}]string{}
	}
	b.waiting[ch] = kind
	return ch, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.waiting, ch)
	}
}

func (b *bus) publish(e history.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for ch, kind := range b.waiting {
		if kind == e.Kind {
			close(ch)
			delete(b.waiting, ch)
		}
	}
}
