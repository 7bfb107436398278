package faults

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/fivenines/fivenines/fixtures"
)

func init() {
	node := ParamInfo{Name: "node", Default: "primary:1", Help: helpNode}
	catalogue(KindInfo{
		Kind:    "cpu-squeeze",
		Summary: "A node that runs gets only a part of a core.",
		Params:  []ParamInfo{node, {Name: "cores", Default: "0.1", Help: "at least 0.01"}},
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) {
		cores, err := strconv.ParseFloat(s.Params["cores"], 64)
		if err != nil || !(cores >= 0.01 && cores <= 1024) {
			return nil, fmt.Errorf("cores=%s is not a number from 0.01 on", s.Params["cores"])
		}
		return newSqueeze(s, topo, fixtures.Limits{CPU: cores})
	})
	catalogue(KindInfo{
		Kind:    "memory-squeeze",
		Summary: "A node that runs gets only so much memory; the kernel may end it.",
		Params:  []ParamInfo{node, {Name: "bytes", Default: "67108864", Help: "at least 8388608"}},
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) {
		b, err := strconv.ParseInt(s.Params["bytes"], 10, 64)
		if err != nil || b < 8<<20 {
			return nil, fmt.Errorf("bytes=%s is not a number from 8388608 on", s.Params["bytes"])
		}
		return newSqueeze(s, topo, fixtures.Limits{Memory: b})
	})
}

type squeeze struct {
	Spec
	node string
	l    fixtures.Limits
}

func newSqueeze(s Spec, topo *fixtures.Topology, l fixtures.Limits) (Fault, error) {
	node, err := chooseNode(topo, s.Params["node"])
	if err != nil {
		return nil, err
	}
	s.Params["node"] = node
	return &squeeze{s, node, l}, nil
}

func (f *squeeze) Kind() string { return f.Spec.Kind }

func (f *squeeze) Available(d fixtures.Deployment) error {
	if _, ok := d.(fixtures.Squeezer); !ok {
		return fmt.Errorf("%w: its nodes have no limits of their own; --backend container has", fixtures.ErrNotHere)
	}
	return known(d, []string{f.node})
}

func (f *squeeze) Parts(fixtures.Deployment) []string { return []string{f.node} }

func (f *squeeze) Effect(d fixtures.Deployment) Effect {
	ls := towards(d.Links(), []string{f.node})
	e := Effect{Nodes: map[string]fixtures.NodeState{}, Cut: map[string]bool{}, Unsure: linkIDs(ls), Bound: bound(ls)}
	if f.l.Memory > 0 {
		e.Unsure[f.node] = true // the kernel may end it
	}
	return e
}

func (f *squeeze) Inject(ctx context.Context, d fixtures.Deployment) error {
	return f.set(ctx, d, f.l)
}

// Heal also starts a node again that the kernel ended for its memory.
func (f *squeeze) Heal(ctx context.Context, d fixtures.Deployment) error {
	err := f.set(ctx, d, fixtures.Limits{})
	return errors.Join(err, revive(ctx, d, []string{f.node}, nil, fixtures.StartOptions{}))
}

func (f *squeeze) set(ctx context.Context, d fixtures.Deployment, l fixtures.Limits) error {
	s, ok := d.(fixtures.Squeezer)
	if !ok {
		return fixtures.ErrNotHere
	}
	return s.Squeeze(ctx, f.node, l)
}

// Confirm asks for the limits in force.
func (f *squeeze) Confirm(ctx context.Context, d fixtures.Deployment) (took, wrong []string) {
	s, ok := d.(fixtures.Squeezer)
	if !ok {
		return nil, []string{fixtures.ErrNotHere.Error()}
	}
	got, err := s.Limits(ctx, f.node)
	switch {
	case err != nil:
		return nil, []string{f.node + ": " + err.Error()}
	case got != f.l:
		return nil, []string{fmt.Sprintf("%s: its limits are %+v, not %+v", f.node, got, f.l)}
	}
	return []string{fmt.Sprintf("%s: limits %+v", f.node, got)}, nil
}
