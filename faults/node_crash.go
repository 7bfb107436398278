package faults

import (
	"context"

	"github.com/fivenines/fivenines/fixtures"
)

func init() {
	catalogue(KindInfo{
		Kind:    "node-crash",
		Summary: "The process of one node is killed; undoing it starts the node again on its data.",
		Params:  []ParamInfo{{Name: "node", Default: "primary:1", Help: helpNode}},
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) {
		node, err := chooseNode(topo, s.Params["node"])
		if err != nil {
			return nil, err
		}
		s.Params["node"] = node
		return &nodeCrash{s, node}, nil
	})
}

type nodeCrash struct {
	Spec
	node string
}

func (f *nodeCrash) Kind() string { return f.Spec.Kind }

func (f *nodeCrash) Available(d fixtures.Deployment) error { return known(d, []string{f.node}) }

func (f *nodeCrash) Parts(fixtures.Deployment) []string { return []string{f.node} }

func (f *nodeCrash) Effect(d fixtures.Deployment) Effect {
	ls := towards(d.Links(), []string{f.node})
	return Effect{Nodes: states([]string{f.node}, fixtures.Dead), Cut: linkIDs(ls), Bound: bound(ls)}
}

func (f *nodeCrash) Inject(ctx context.Context, d fixtures.Deployment) error {
	return d.Kill(ctx, f.node)
}

func (f *nodeCrash) Heal(ctx context.Context, d fixtures.Deployment) error {
	return revive(ctx, d, []string{f.node}, nil, fixtures.StartOptions{})
}
