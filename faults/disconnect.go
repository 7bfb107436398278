package faults

import (
	"context"
	"fmt"
	"time"

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
		return &disconnect{s, []string{node}, []string{node}}, nil
	})
	catalogue(KindInfo{
		Kind:    "region-disconnect",
		Summary: "All nodes of a region are taken off their network, also from each other; their processes run on.",
		Params:  []ParamInfo{{Name: "region", Default: fixtures.Primary, Help: helpRegion}},
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) {
		region, err := chooseRegion(topo, s.Params["region"])
		if err != nil {
			return nil, err
		}
		s.Params["region"] = region
		nodes := regionNodes(topo, region)
		return &disconnect{s, nodes, append([]string{region}, nodes...)}, nil
	})
}

type disconnect struct {
	Spec
	nodes, parts []string
}

func (f *disconnect) Kind() string { return f.Spec.Kind }

func (f *disconnect) Available(d fixtures.Deployment) error {
	if _, ok := d.(fixtures.Unplugger); !ok {
		return fmt.Errorf("%w: its nodes have no network of their own; --backend container has", fixtures.ErrNotHere)
	}
	return known(d, f.nodes)
}

func (f *disconnect) Parts(fixtures.Deployment) []string { return f.parts }

func (f *disconnect) Effect(d fixtures.Deployment) Effect {
	ls := towards(d.Links(), f.nodes)
	return Effect{Nodes: map[string]fixtures.NodeState{}, Cut: linkIDs(ls), Bound: bound(ls) + time.Second} // the engine needs a moment
}

func (f *disconnect) Inject(ctx context.Context, d fixtures.Deployment) error {
	u, ok := d.(fixtures.Unplugger)
	if !ok {
		return fixtures.ErrNotHere
	}
	return each(f.nodes, func(n string) error { return u.Unplug(ctx, n) })
}

func (f *disconnect) Heal(ctx context.Context, d fixtures.Deployment) error {
	u, ok := d.(fixtures.Unplugger)
	if !ok {
		return fixtures.ErrNotHere
	}
	return each(f.nodes, func(n string) error { return u.Plug(ctx, n) })
}
