package faults

import (
	"context"
	"fmt"

	"github.com/fivenines/fivenines/fixtures"
)

func init() {
	catalogue(KindInfo{
		Kind:    "region-partition",
		Summary: "A region is cut off from the other regions in both directions; its processes run on, and its own clients still reach it.",
		Params: []ParamInfo{
			{Name: "region", Default: fixtures.Primary, Help: helpRegion},
			{
				Name: "clients", Default: "stay", Values: []string{"stay", "cut"},
				Help: "stay: only links between nodes are cut; cut: also those of clients in other regions to it and of its clients to other regions",
			},
		},
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) {
		region, err := chooseRegion(topo, s.Params["region"])
		if err != nil {
			return nil, err
		}
		if len(topo.Regions) < 2 {
			return nil, fmt.Errorf("the topology has one region only: there is nothing to cut it off from")
		}
		s.Params["region"] = region
		return &regionPartition{Spec: s, region: region, nodes: regionNodes(topo, region), clients: s.Params["clients"] == "cut"}, nil
	})
}

type regionPartition struct {
	Spec
	region  string
	nodes   []string
	clients bool
}

func (f *regionPartition) Kind() string { return f.Spec.Kind }

func (f *regionPartition) links(d fixtures.Deployment) []fixtures.Link {
	return partition(d.Links(), f.region, f.clients)
}

func (f *regionPartition) Available(d fixtures.Deployment) error {
	if len(f.links(d)) == 0 {
		return fmt.Errorf("this deployment has no link that leads out of %s", f.region)
	}
	return known(d, f.nodes)
}

func (f *regionPartition) Parts(fixtures.Deployment) []string {
	return append([]string{f.region}, f.nodes...)
}

func (f *regionPartition) Effect(d fixtures.Deployment) Effect {
	ls := f.links(d)
	return Effect{Nodes: map[string]fixtures.NodeState{}, Cut: linkIDs(ls), Silent: true, Bound: bound(ls)}
}

func (f *regionPartition) Inject(ctx context.Context, d fixtures.Deployment) error {
	return d.Cut(ctx, f.links(d)...)
}

func (f *regionPartition) Heal(ctx context.Context, d fixtures.Deployment) error {
	return d.Mend(ctx, f.links(d)...)
}
