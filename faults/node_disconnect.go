package faults

import (
	"context"
	"fmt"

	"github.com/fivenines/fivenines/fixtures"
)

func init() {
	catalogue(KindInfo{
		Kind:    "node-disconnect",
		Summary: "A node is taken off its network, to peers in its region as well; its process runs on.",
		Params:  []ParamInfo{{Name: "node", Default: "primary:1", Help: helpNode}},
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) {
		node, err := chooseNode(topo, s.Params["node"])
		if err != nil {
			return nil, err
		}
		s.Params["node"] = node
		return &nodeDisconnect{s, node}, nil
	})
}

type nodeDisconnect struct {
	Spec
	node string
}

func (f *nodeDisconnect) Kind() string { return f.Spec.Kind }

func (f *nodeDisconnect) Available(d fixtures.Deployment) error {
	if _, ok := d.(fixtures.Unplugger); !ok {
		return fmt.Errorf("%w: its nodes have no network of their own; --backend container has", fixtures.ErrNotHere)
	}
	return known(d, []string{f.node})
}

func (f *nodeDisconnect) Parts(fixtures.Deployment) []string { return []string{f.node} }

func (f *nodeDisconnect) Effect(d fixtures.Deployment) Effect {
	ls := towards(d.Links(), []string{f.node})
	return Effect{Nodes: map[string]fixtures.NodeState{}, Cut: linkIDs(ls), Bound: bound(ls)}
}

func (f *nodeDisconnect) Inject(ctx context.Context, d fixtures.Deployment) error {
	u, ok := d.(fixtures.Unplugger)
	if !ok {
		return fixtures.ErrNotHere
	}
	return u.Unplug(ctx, f.node)
}

func (f *nodeDisconnect) Heal(ctx context.Context, d fixtures.Deployment) error {
	u, ok := d.(fixtures.Unplugger)
	if !ok {
		return fixtures.ErrNotHere
	}
	return u.Plug(ctx, f.node)
}
