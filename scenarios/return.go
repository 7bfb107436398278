package scenarios

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fivenines/fivenines/faults"
	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/loadgen/history"
)

// How a node that has to come back by itself is looked at.
const (
	returnEvery  = 50 * time.Millisecond
	returnLookIn = 2 * time.Second // a look that takes longer found nothing
)

// watchedReturn is the watch on a node that has to come back by itself. It lives
// from the fault to its undoing, or until the node has served for the hold.
type watchedReturn struct {
	node  string
	until time.Time // so long its fault leaves the node alone
	end   context.CancelFunc
	done  chan struct{} // closed once nothing is recorded any more
}

// watchReturn begins to look at the node that a fault took away and that has to
// come back by itself, if it is such a fault. asked is when it was asked for.
// The process that was killed is gone by now: who answers is another one.
func (t *trial) watchReturn(ctx context.Context, f *timedFault, asked time.Duration) {
	r, ok := f.Fault.(faults.Returner)
	if !ok {
		return
	}
	node, within := r.Returns()
	// The load may end while the fault is in force.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w := &watchedReturn{node: node, until: time.Now().Add(within - (t.history.Now() - asked)), end: cancel, done: make(chan struct{})}
	t.mu.Lock()
	if t.returns == nil {
		t.returns = map[*timedFault]*watchedReturn{}
	}
	t.returns[f] = w
	t.mu.Unlock()
	go func() {
		defer close(w.done)
		defer cancel()
		t.lookForReturn(ctx, f, node)
	}()
}

// awaitReturn gives the node of a fault the time that is left for coming back by
// itself, and ends the watch on it: what is done next is the harness's doing. It
// is false if ctx ended before.
func (t *trial) awaitReturn(ctx context.Context, f *timedFault) bool {
	t.mu.Lock()
	w := t.returns[f]
	t.mu.Unlock()
	if w == nil {
		return true
	}
	left := time.NewTimer(time.Until(w.until))
	defer left.Stop()
	select {
	case <-w.done:
	case <-left.C:
	case <-ctx.Done():
		return false
	}
	w.end()
	<-w.done
	return true
}

// endReturns ends all watches.
func (t *trial) endReturns() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range t.returns {
		w.end()
	}
}

// lookForReturn records when the node is found to serve and when not, and the
// last look.
func (t *trial) lookForReturn(ctx context.Context, f *timedFault, node string) {
	say := func(l look) {
		e := history.Event{At: l.at, Kind: history.NodeReady, Subject: f.String(), Parts: []string{node}}
		if l.lacks != nil {
			e.Kind, e.Detail = history.NodeNotReady, l.lacks.Error()
		}
		t.event(e)
	}
	tick := time.NewTicker(returnEvery)
	defer tick.Stop()
	var last, said look
	for n := 1; ; n++ {
		l := t.lookAt(ctx, node)
		if ctx.Err() != nil {
			break // it was cut short, and says nothing
		}
		if n == 1 || (l.lacks == nil) != (said.lacks == nil) {
			if l.lacks == nil && last.at > said.at {
				say(last) // until when it was not seen to serve
			}
			say(l)
			said = l
		}
		last = l
		if l.lacks == nil && l.at >= said.at+time.Duration(t.rules.Hold) {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	if last.at > said.at {
		say(last)
	}
}

// look is whether a node serves.
type look struct {
	at    time.Duration // the end of one that found it serving, the beginning of one that did not
	lacks error         // nil: it serves
}

// lookAt asks the node whether it serves its part, and goes a client's way to it:
// that it has started, or says so, is not enough.
func (t *trial) lookAt(ctx context.Context, node string) look {
	ctx, cancel := context.WithTimeout(ctx, returnLookIn)
	defer cancel()
	began := t.history.Now()
	nodes := t.d.Nodes()
	i := slices.IndexFunc(nodes, func(n fixtures.NodeSpec) bool { return n.ID == node })
	if err := t.d.Target().Ready(ctx, nodes[i]); err != nil {
		return look{began, fmt.Errorf("not ready: %w", err)}
	}
	link, ok := t.clientsWay(nodes[i])
	if !ok {
		return look{began, errors.New("a fault cuts every way from clients to it")}
	}
	if err := t.d.Canary(ctx, link); err != nil {
		return look{began, fmt.Errorf("ready, and does not answer clients: %w", err)}
	}
	return look{at: t.history.Now()}
}

// clientsWay is a link from clients to the node that no fault cuts: if there is
// one, that of its own region's.
func (t *trial) clientsWay(n fixtures.NodeSpec) (way fixtures.Link, ok bool) {
	cut := t.effect().Cut
	for _, l := range t.d.Links() {
		if l.Kind == fixtures.ClientLink && l.To == n.ID && !cut[l.ID()] && (!ok || l.FromRegion == n.Region) {
			way, ok = l, true
		}
	}
	return way, ok
}
