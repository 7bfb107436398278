package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fivenines/fivenines/fixtures"
)

func init() {
	params := []ParamInfo{
		{Name: "node", Default: "primary:1", Help: helpNode},
		{Name: "grace", Default: "10s", Help: "how long it may take before it is killed: 0s to 1m"},
	}
	catalogue(KindInfo{
		Kind:    "node-stop",
		Summary: "One node is asked to end (SIGTERM), as by an operator, and killed after a grace period; undoing it starts the node again on its data.",
		Params:  params,
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) { return newStop(s, topo, false) })
	catalogue(KindInfo{
		Kind:    "node-restart",
		Summary: "One node is asked to end (SIGTERM), killed after a grace period, and started again at once on its data.",
		Params:  params,
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) { return newStop(s, topo, true) })
}

type nodeStop struct {
	Spec
	node  string
	grace time.Duration
	again bool // started again at once

	mu    sync.Mutex
	gone  time.Time // when it was seen dead; zero: it was not
	took  []string
	wrong []string
}

func newStop(s Spec, topo *fixtures.Topology, again bool) (Fault, error) {
	node, err := chooseNode(topo, s.Params["node"])
	if err != nil {
		return nil, err
	}
	s.Params["node"] = node
	grace, err := span(s, "grace", 0, time.Minute)
	if err != nil {
		return nil, err
	}
	return &nodeStop{Spec: s, node: node, grace: grace, again: again}, nil
}

// span reads a parameter that is a duration.
func span(s Spec, name string, least, most time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(s.Params[name])
	if err != nil || d < least || d > most {
		return 0, fmt.Errorf("%s=%s is not a duration from %v to %v, such as 500ms", name, s.Params[name], least, most)
	}
	return d, nil
}

func (f *nodeStop) Kind() string { return f.Spec.Kind }

func (f *nodeStop) Available(d fixtures.Deployment) error {
	if _, ok := d.(fixtures.Stopper); !ok {
		return fmt.Errorf("%w: this backend cannot ask a node to end", fixtures.ErrNotHere)
	}
	return known(d, []string{f.node})
}

func (f *nodeStop) Parts(fixtures.Deployment) []string { return []string{f.node} }

func (f *nodeStop) Effect(d fixtures.Deployment) Effect {
	if f.again {
		return Effect{Nodes: map[string]fixtures.NodeState{}, Cut: map[string]bool{}, Momentary: true, Bound: f.grace + 3*time.Second}
	}
	ls := towards(d.Links(), []string{f.node})
	return Effect{Nodes: states([]string{f.node}, fixtures.Dead), Cut: linkIDs(ls), Bound: f.grace + bound(ls) + time.Second}
}

func (f *nodeStop) Inject(ctx context.Context, d fixtures.Deployment) error {
	s, ok := d.(fixtures.Stopper)
	if !ok {
		return fixtures.ErrNotHere
	}
	before, began := d.Undo(), time.Now()
	byItself, err := s.Stop(ctx, f.node, f.grace)
	if err != nil {
		return err
	}
	if state, err := d.State(f.node); err != nil || state != fixtures.Dead {
		return errors.Join(err, fmt.Errorf("%s was stopped and is %s", f.node, state))
	}
	gone := time.Now()
	how := fmt.Sprintf("%s: ended by itself in %v", f.node, gone.Sub(began).Round(time.Millisecond))
	if !byItself {
		how = fmt.Sprintf("%s: killed after its grace of %v", f.node, f.grace)
	}
	var wrong []string
	if f.again {
		if err := d.Restart(ctx, f.node, fixtures.StartOptions{}); err != nil {
			return err
		}
		after := d.Undo()
		if after.Procs[f.node] == before.Procs[f.node] && after.Started[f.node] == before.Started[f.node] {
			wrong = append(wrong, f.node+": still the process that it was")
		} else {
			how += fmt.Sprintf("; process %d gone, process %d started", before.Procs[f.node], after.Procs[f.node])
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone, f.took, f.wrong = gone, []string{how}, wrong
	return nil
}

// Evidence is what Inject saw; the proof of a restart.
func (f *nodeStop) Evidence() (took, wrong []string, at time.Time, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone.IsZero() {
		return nil, nil, time.Time{}, fmt.Errorf("%s was not seen to be gone", f.node)
	}
	return slices.Clone(f.took), slices.Clone(f.wrong), f.gone, nil
}

// Confirm adds how the node ended to the proof of a stop.
func (f *nodeStop) Confirm(context.Context, fixtures.Deployment) (took, wrong []string) {
	took, wrong, _, err := f.Evidence()
	if err != nil {
		wrong = append(wrong, err.Error())
	}
	return took, wrong
}

func (f *nodeStop) Heal(ctx context.Context, d fixtures.Deployment) error {
	if err := revive(ctx, d, []string{f.node}, nil, fixtures.StartOptions{}); err != nil {
		return err
	}
	return d.AwaitReady(ctx, f.node)
}
