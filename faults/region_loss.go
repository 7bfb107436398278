package faults

import (
	"context"

	"github.com/fivenines/fivenines/fixtures"
)

func init() {
	region := ParamInfo{Name: "region", Default: fixtures.Primary, Help: helpRegion}
	catalogue(KindInfo{
		Kind:    "region-loss",
		Summary: "A whole region is gone: silent (blackholed, its processes held stopped; nothing answers, nothing is closed) or by a crash of its processes.",
		Params: []ParamInfo{region, {
			Name: "mode", Default: "silent", Values: []string{"silent", "crash"},
			Help: "silent: links cut and processes stopped; crash: processes killed, so that peers and clients see connections end",
		}},
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) {
		return newRegionLoss(s, topo, s.Params["mode"] == "crash")
	})
	catalogue(KindInfo{
		Kind:    "region-crash",
		Summary: "All processes of a region are killed at once: short for region-loss with mode=crash.",
		Params:  []ParamInfo{region},
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) {
		return newRegionLoss(s, topo, true)
	})
}

type regionLoss struct {
	Spec
	region string
	nodes  []string
	crash  bool
}

func newRegionLoss(s Spec, topo *fixtures.Topology, crash bool) (Fault, error) {
	region, err := chooseRegion(topo, s.Params["region"])
	if err != nil {
		return nil, err
	}
	s.Params["region"] = region
	return &regionLoss{Spec: s, region: region, nodes: regionNodes(topo, region), crash: crash}, nil
}

func (f *regionLoss) Kind() string { return f.Spec.Kind }

func (f *regionLoss) Available(d fixtures.Deployment) error { return known(d, f.nodes) }

func (f *regionLoss) Parts(fixtures.Deployment) []string {
	return append([]string{f.region}, f.nodes...)
}

func (f *regionLoss) Effect(d fixtures.Deployment) Effect {
	if f.crash {
		ls := towards(d.Links(), f.nodes)
		return Effect{Nodes: states(f.nodes, fixtures.Dead), Cut: linkIDs(ls), Bound: bound(ls)}
	}
	ls := isolation(d.Links(), f.region)
	return Effect{Nodes: states(f.nodes, fixtures.Paused), Cut: linkIDs(ls), Silent: true, Bound: bound(ls)}
}

func (f *regionLoss) Inject(ctx context.Context, d fixtures.Deployment) error {
	if f.crash {
		return each(f.nodes, func(n string) error { return d.Kill(ctx, n) })
	}
	// The links first: cutting them takes no time and hits all of them at one
	// instant, while processes stop one after the other.
	if err := d.Cut(ctx, isolation(d.Links(), f.region)...); err != nil {
		return err
	}
	return each(f.nodes, func(n string) error { return d.Pause(ctx, n) })
}

func (f *regionLoss) Heal(ctx context.Context, d fixtures.Deployment) error {
	var links []fixtures.Link
	if !f.crash {
		links = isolation(d.Links(), f.region)
	}
	return revive(ctx, d, f.nodes, links, fixtures.StartOptions{})
}
