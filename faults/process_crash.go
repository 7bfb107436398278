package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fivenines/fivenines/fixtures"
)

func init() {
	catalogue(KindInfo{
		Kind:    "process-crash",
		Summary: "The process of one supervised node is killed, its supervisor is not and has to start it again by itself; undoing it starts a node again that did not come back in time.",
		Params: []ParamInfo{
			{Name: "node", Default: "primary:1", Help: helpNode},
			{Name: "within", Default: "30s", Help: "how long the node may take to come back by itself: 1s to 5m"},
		},
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) {
		node, err := chooseNode(topo, s.Params["node"])
		if err != nil {
			return nil, err
		}
		s.Params["node"] = node
		within, err := span(s, "within", time.Second, 5*time.Minute)
		if err != nil {
			return nil, err
		}
		return &processCrash{Spec: s, node: node, within: within}, nil
	})
}

type processCrash struct {
	Spec
	node   string
	within time.Duration

	mu         sync.Mutex
	pid        int // that was killed
	supervisor int
}

func (f *processCrash) Kind() string { return f.Spec.Kind }

func (f *processCrash) Available(d fixtures.Deployment) error {
	if err := known(d, []string{f.node}); err != nil {
		return err
	}
	c, ok := d.(fixtures.Crasher)
	if !ok {
		return fmt.Errorf("%w: this backend cannot kill a node's process alone", fixtures.ErrNotHere)
	}
	if !c.Supervised(f.node) {
		return fmt.Errorf("%s has no supervisor; the reference gives it one with settings: {supervised: \"true\"}", f.node)
	}
	return nil
}

func (f *processCrash) Parts(fixtures.Deployment) []string { return []string{f.node} }

// Effect: the node may be gone or back already, whenever one looks.
func (f *processCrash) Effect(d fixtures.Deployment) Effect {
	e := Effect{Nodes: map[string]fixtures.NodeState{}, Cut: map[string]bool{}, Unsure: linkIDs(towards(d.Links(), []string{f.node})), Bound: time.Second}
	e.Unsure[f.node] = true
	// The proof sends canaries over the other links.
	for _, l := range d.Links() {
		e.Bound = max(e.Bound, l.RTT+answerIn)
	}
	return e
}

func (f *processCrash) Inject(ctx context.Context, d fixtures.Deployment) error {
	c, ok := d.(fixtures.Crasher)
	if !ok {
		return fixtures.ErrNotHere
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.supervisor = d.Undo().Procs[f.node]
	var err error
	f.pid, err = c.Crash(ctx, f.node)
	return err
}

// Returns implements Returner.
func (f *processCrash) Returns() (string, time.Duration) { return f.node, f.within }

// Confirm looks for the process that was killed, and for its supervisor, which
// must not have been.
func (f *processCrash) Confirm(_ context.Context, d fixtures.Deployment) (took, wrong []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := d.(fixtures.Crasher)
	if !ok || f.pid == 0 {
		return nil, []string{f.node + ": no process of it was killed"}
	}
	pid, err := c.Worker(f.node)
	switch {
	case err != nil:
		return nil, []string{err.Error()}
	case pid == f.pid:
		return nil, []string{fmt.Sprintf("%s: still the process %d", f.node, pid)}
	case d.Undo().Procs[f.node] != f.supervisor:
		return nil, []string{f.node + ": its supervisor is another one"}
	}
	return []string{fmt.Sprintf("%s: process %d killed, its supervisor %d lives", f.node, f.pid, f.supervisor)}, nil
}

// Heal starts the node if it is not back: whoever undoes the fault gives it its
// time before ([Returner]).
func (f *processCrash) Heal(ctx context.Context, d fixtures.Deployment) error {
	return errors.Join(revive(ctx, d, []string{f.node}, nil, fixtures.StartOptions{}), d.AwaitReady(ctx, f.node))
}
