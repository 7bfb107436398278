package scenarios

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fivenines/fivenines/faults"
	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/loadgen/history"
)

// timedFault is one fault of the scenario, with its victims chosen.
type timedFault struct {
	faults.Fault
	spec FaultSpec
	at   time.Duration // from the start of the load
	id   int           // in the undo journal
}

// prepareFaults asks for what the faults need of the deployment.
func (t *trial) prepareFaults(up *fixtures.UpOptions) error {
	for i := range t.spec.Faults {
		f, err := t.spec.fault(i, t.topo)
		if err != nil {
			return fmt.Errorf("faults[%d]: %w", i, err)
		}
		if p, ok := f.(faults.Preparer); ok {
			p.Prepare(up)
		}
	}
	return nil
}

func (t *trial) makeFaults() ([]*timedFault, error) {
	var fs []*timedFault
	for i := range t.spec.Faults {
		f, err := t.spec.fault(i, t.topo)
		if err != nil {
			return nil, fmt.Errorf("faults[%d]: %w", i, err)
		}
		if err := f.Available(t.d); err != nil {
			return nil, fmt.Errorf("inconclusive: %s can't be injected on the %s backend: %w", f, t.opt.Backend.Name(), err)
		}
		fs = append(fs, &timedFault{Fault: f, spec: t.spec.Faults[i], at: t.spec.at(i) + t.offset})
	}
	slices.SortStableFunc(fs, func(a, b *timedFault) int { return int(a.at - b.at) })
	return fs, nil
}

// followTimeline injects and undoes the faults at their times. It returns when
// all have run their course or ctx ends; those that are held until the
// read-back stay in force.
func (t *trial) followTimeline(ctx context.Context) error {
	start := time.Now()
	if len(t.faults) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var together group
	for i, f := range t.faults {
		together.Go(func() {
			if !sleepUntil(ctx, start.Add(f.at)) {
				return
			}
			if err := t.runFault(ctx, f, i == 0); err != nil {
				cancel(err)
			}
		})
	}
	together.Wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errLoadDone) {
		return cause
	}
	return nil
}

// runFault asks for one fault, proves it and, where the timeline says so,
// undoes it while the load goes on.
func (t *trial) runFault(ctx context.Context, f *timedFault, first bool) error {
	if first {
		// A fault proves nothing about a system that was not well before.
		if err := t.steadyBefore(); err != nil {
			return err
		}
	}
	var ended <-chan struct{}
	if f.spec.Until != nil && f.spec.Until.Event != "" {
		var forget func()
		ended, forget = t.bus.next(f.spec.Until.Event)
		defer forget()
	}
	asked := time.Now()
	if err := t.inject(ctx, f); err != nil {
		return err
	}
	switch {
	case f.spec.For > 0:
		if !sleepUntil(ctx, asked.Add(time.Duration(f.spec.For))) {
			return nil
		}
	case ended != nil:
		select {
		case <-ended:
		case <-ctx.Done():
			return nil
		}
	default:
		return nil
	}
	return t.undo(ctx, f)
}

// inject asks for the fault, journal first, and proves that it took hold and
// hit nothing else. A fault that is not proved is recorded as such: the trial
// goes on and can't be met.
func (t *trial) inject(ctx context.Context, f *timedFault) error {
	t.acting.Lock()
	defer t.acting.Unlock()
	if ctx.Err() != nil {
		return nil
	}
	if err := faults.Baseline(ctx, t.d, t.effect()); err != nil {
		return t.because(ctx, notInjected("%s was not injected: %v", f, err))
	}
	if err := t.asked(f); err != nil {
		return err
	}
	t.mu.Lock()
	t.active = append(t.active, f)
	t.mu.Unlock()
	parts := f.Parts(t.d)
	asked := t.history.Now()
	t.event(history.Event{
		At: asked, Kind: history.FaultAsked, Subject: f.String(), Parts: parts,
		Fields: t.faultFields(f),
	})
	if err := f.Inject(ctx, t.d); err != nil {
		err = fmt.Errorf("inject %s: %w", f, err)
		t.event(history.Event{Kind: history.FaultUnproved, Subject: f.String(), Parts: parts, Detail: err.Error()})
		return t.because(ctx, err)
	}
	t.watchReturn(ctx, f, asked)
	if err := t.journal.Deployed(t.d); err != nil { // some faults start processes anew
		return err
	}
	return t.prove(ctx, f, asked, parts)
}

// prove records whether the fault took hold and spared everything else. One
// that is not proved is no reason to stop: what it did is seen in the record,
// and the trial can't be met.
func (t *trial) prove(ctx context.Context, f *timedFault, asked time.Duration, parts []string) error {
	p, err := faults.Prove(ctx, t.d, t.proveable(f), asked, t.history.Now)
	e := history.Event{
		At: p.At, Kind: history.FaultProved, Subject: f.String(), Parts: parts, Detail: p.Summary(),
		Fields: map[string]string{"kind": f.Kind(), "took": strings.Join(p.Took, ", "), "spared": strings.Join(p.Spared, ", ")},
	}
	switch {
	case err == nil:
	case errors.Is(err, faults.ErrUnproved):
		e.Kind, e.Detail, e.At = history.FaultUnproved, err.Error(), 0
	default:
		return t.because(ctx, err)
	}
	t.event(e)
	return nil
}

// faultFields says of a fault what measures need beside its parts.
func (t *trial) faultFields(f *timedFault) map[string]string {
	fields := map[string]string{"kind": f.Kind()}
	if r := t.isolatedRegion(f.Effect(t.d)); r != "" {
		fields["isolated_region"] = r
	}
	if r, ok := f.Fault.(faults.Returner); ok {
		fields["comes_back"], _ = r.Returns()
	}
	return fields
}

// isolatedRegion is the region whose nodes run but reach no other region: its
// side of a partition.
func (t *trial) isolatedRegion(e faults.Effect) string {
	for _, r := range t.topo.Regions {
		if len(t.topo.Regions) > 1 && t.running(r.Name, e) && t.cutOff(r.Name, e) {
			return r.Name
		}
	}
	return ""
}

// running says whether a node of the region should run under the effect.
func (t *trial) running(region string, e faults.Effect) bool {
	return slices.ContainsFunc(t.d.Nodes(), func(n fixtures.NodeSpec) bool {
		s, named := e.Nodes[n.ID]
		return n.Region == region && (!named || s == fixtures.Running)
	})
}

// cutOff says whether no peer link between the region and another one passes.
func (t *trial) cutOff(region string, e faults.Effect) bool {
	links := 0
	for _, l := range t.d.Links() {
		if l.Kind != fixtures.PeerLink || l.FromRegion == l.ToRegion || (l.FromRegion != region && l.ToRegion != region) {
			continue
		}
		links++
		if !e.Cut[l.ID()] {
			return false
		}
	}
	return links > 0
}

// undo gives back what a fault took away, once what has to come back by itself
// had its time. It does nothing if ctx ends before.
func (t *trial) undo(ctx context.Context, f *timedFault) error {
	if !t.awaitReturn(ctx, f) {
		return nil
	}
	t.acting.Lock()
	defer t.acting.Unlock()
	if !slices.Contains(t.inForce(), f) {
		return nil
	}
	// The undoing of a fault is not interrupted.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpIn)
	defer cancel()
	if err := f.Heal(ctx, t.d); err != nil {
		return fmt.Errorf("undo %s: %w", f, err)
	}
	if err := t.undone(f); err != nil {
		return err
	}
	t.mu.Lock()
	t.active = slices.DeleteFunc(t.active, func(a *timedFault) bool { return a == f })
	t.mu.Unlock()
	t.event(history.Event{Kind: history.FaultUndone, Subject: f.String(), Parts: f.Parts(t.d), Fields: map[string]string{"kind": f.Kind()}})
	return nil
}

// undoAll undoes what is in force, the last one first.
func (t *trial) undoAll(ctx context.Context) error {
	var errs []error
	for _, f := range slices.Backward(t.inForce()) {
		t.phase("undoing %s", f)
		errs = append(errs, t.undo(ctx, f))
	}
	return errors.Join(errs...)
}

// inForce lists the faults that were asked for and not undone.
func (t *trial) inForce() []*timedFault {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.active)
}

// effect is what all faults in force do together.
func (t *trial) effect() faults.Effect {
	all := faults.Effect{Nodes: map[string]fixtures.NodeState{}, Cut: map[string]bool{}, Unsure: map[string]bool{}}
	for _, f := range t.inForce() {
		e := f.Effect(t.d)
		if e.Momentary {
			continue
		}
		addEffect(&all, e)
	}
	return all
}

func addEffect(to *faults.Effect, e faults.Effect) {
	for n, s := range e.Nodes {
		if to.Nodes[n] != fixtures.Dead { // dead stays dead, whatever else hits it
			to.Nodes[n] = s
		}
	}
	for l, unsure := range e.Unsure {
		to.Unsure[l] = to.Unsure[l] || unsure
	}
	for l, cut := range e.Cut {
		to.Cut[l] = to.Cut[l] || cut
	}
}

// togetherFault is a fault as it shows while others are in force: the proof that it
// spared everything else must know of them.
type togetherFault struct {
	faults.Fault
	all faults.Effect
}

func (f togetherFault) Effect(fixtures.Deployment) faults.Effect { return f.all }

// Confirm implements faults.Confirmer for a fault that does.
func (f togetherFault) Confirm(ctx context.Context, d fixtures.Deployment) (took, wrong []string) {
	if c, ok := f.Fault.(faults.Confirmer); ok {
		return c.Confirm(ctx, d)
	}
	return nil, nil
}

// proveable is the fault as the proof must look at it.
func (t *trial) proveable(f *timedFault) faults.Fault {
	own := f.Effect(t.d)
	if len(t.inForce()) == 1 || own.Momentary {
		return f.Fault
	}
	all := t.effect()
	all.Bound, all.Silent = own.Bound, t.allSilent()
	return togetherFault{Fault: f.Fault, all: all}
}

// allSilent says whether every link that is cut must be silent rather than dead.
func (t *trial) allSilent() bool {
	return !slices.ContainsFunc(t.inForce(), func(f *timedFault) bool {
		e := f.Effect(t.d)
		return !e.Momentary && !e.Silent
	})
}

// regionsUp are the regions from which strong reads can be asked for while
// faults are in force: a node runs there and its region is not cut off.
func (t *trial) regionsUp() []int {
	e := t.effect()
	var up []int
	for i, r := range t.topo.Regions {
		alive := slices.ContainsFunc(t.d.Nodes(), func(n fixtures.NodeSpec) bool {
			s, err := t.d.State(n.ID)
			return n.Region == r.Name && err == nil && s == fixtures.Running
		})
		if alive && (len(t.topo.Regions) == 1 || !t.cutOff(r.Name, e)) {
			up = append(up, i)
		}
	}
	return up
}

func (t *trial) allRegions() []int {
	var all []int
	for i := range t.topo.Regions {
		all = append(all, i)
	}
	return all
}

// awaitWhole waits until every node serves again after everything was undone.
func (t *trial) awaitWhole(ctx context.Context) error {
	t.phase("waiting for all nodes to be ready")
	ready, cancel := context.WithTimeout(ctx, cleanUpIn)
	defer cancel()
	if err := t.d.AwaitReady(ready); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return stopped("the system was not whole again %v after everything was undone: %v", cleanUpIn, err)
	}
	return nil
}

func faultTexts(fs []*timedFault) []string {
	var out []string
	for _, f := range fs {
		out = append(out, f.String())
	}
	return out
}

// sleepUntil waits for the instant and says whether it came before ctx ended.
func sleepUntil(ctx context.Context, at time.Time) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func mayGoOn(ctx context.Context, early error) bool {
	var stop *stopError
	return ctx.Err() == nil && (early == nil || errors.As(early, &stop))
}
