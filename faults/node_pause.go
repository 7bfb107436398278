package faults

import (
	"context"

	"github.com/fivenines/fivenines/fixtures"
)

func init() {
	catalogue(KindInfo{
		Kind:    "node-pause",
		Summary: "The process of one node is held stopped, as by a long garbage collection or a frozen host: silent, with its connections open; undoing it lets it go on.",
		Params:  []ParamInfo{{Name: "node", Default: "primary:1", Help: helpNode}},
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) {
		node, err := chooseNode(topo, s.Params["node"])
		if err != nil {
			return nil, err
		}
		s.Params["node"] = node
		return &nodePause{s, node}, nil
	})
}

type nodePause struct {
	Spec
	node string
}

func (f *nodePause) Kind() string { return f.Spec.Kind }

func (f *nodePause) Available(d fixtures.Deployment) error {
	if err := known(d, []string{f.node}); err != nil {
		return err
	}
	if s, ok := d.(fixtures.Suspender); ok {
		return s.CanSuspend(f.node)
	}
	return nil
}

func (f *nodePause) Parts(fixtures.Deployment) []string { return []string{f.node} }

func (f *nodePause) Effect(d fixtures.Deployment) Effect {
	ls := towards(d.Links(), []string{f.node})
	return Effect{Nodes: states([]string{f.node}, fixtures.Paused), Cut: linkIDs(ls), Silent: true, Bound: bound(ls)}
}

func (f *nodePause) Inject(ctx context.Context, d fixtures.Deployment) error {
	return d.Pause(ctx, f.node)
}

func (f *nodePause) Heal(ctx context.Context, d fixtures.Deployment) error {
	return revive(ctx, d, []string{f.node}, nil, fixtures.StartOptions{})
}
