package faults

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fivenines/fivenines/fixtures"
)

func init() {
	catalogue(KindInfo{
		Kind:    "balancer-crash",
		Summary: "The load balancer of a region is killed; the nodes behind it run on.",
		Params:  []ParamInfo{{Name: "region", Default: fixtures.Primary, Help: helpRegion}},
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) {
		region, err := chooseRegion(topo, s.Params["region"])
		if err != nil {
			return nil, err
		}
		s.Params["region"] = region
		return &balancerCrash{s, region}, nil
	})
}

type balancerCrash struct {
	Spec
	region string
}

func (f *balancerCrash) Kind() string { return f.Spec.Kind }

// service is the balancer, if the deployment has it.
func (f *balancerCrash) service(d fixtures.Deployment) (fixtures.Serviced, string, error) {
	s, ok := d.(fixtures.Serviced)
	if ok {
		for _, x := range s.Services() {
			if x.Kind == fixtures.Balancer && x.Region == f.region {
				return s, x.ID, nil
			}
		}
	}
	return nil, "", fmt.Errorf("%w: there is no load balancer in %s; the process backend brings its own, --backend container one where it finds an image of HAProxy", fixtures.ErrNotHere, f.region)
}

func (f *balancerCrash) Available(d fixtures.Deployment) error {
	_, _, err := f.service(d)
	return err
}

func (f *balancerCrash) Parts(d fixtures.Deployment) []string {
	if _, id, err := f.service(d); err == nil {
		return []string{id}
	}
	return nil
}

func (f *balancerCrash) Effect(d fixtures.Deployment) Effect {
	ls := pick(d.Links(), func(l fixtures.Link) bool { return l.Kind == fixtures.EntryLink && l.ToRegion == f.region })
	return Effect{Nodes: map[string]fixtures.NodeState{}, Cut: linkIDs(ls), Bound: bound(ls) + time.Second} // the engine needs a moment
}

func (f *balancerCrash) Inject(ctx context.Context, d fixtures.Deployment) error {
	s, id, err := f.service(d)
	if err != nil {
		return err
	}
	return s.KillService(ctx, id)
}

func (f *balancerCrash) Heal(ctx context.Context, d fixtures.Deployment) error {
	s, id, err := f.service(d)
	if err != nil {
		return err
	}
	return s.StartService(ctx, id)
}

// Confirm asks the operating system.
func (f *balancerCrash) Confirm(ctx context.Context, d fixtures.Deployment) (took, wrong []string) {
	s, id, err := f.service(d)
	if err == nil {
		var state fixtures.NodeState
		if state, err = s.ServiceState(ctx, id); err == nil && state != fixtures.Dead {
			err = fmt.Errorf("it is %s, should be %s", state, fixtures.Dead)
		}
	}
	if err != nil {
		return nil, []string{fmt.Sprintf("%s: %v", id, err)}
	}
	return []string{id + " " + string(fixtures.Dead)}, nil
}

// withEntries says what follows for the way through load balancers. A balancer
// one of whose nodes is hit may need a moment to see it, and one without nodes
// refuses: nothing is expected of links to it. What the effect names holds.
func (e Effect) withEntries(d fixtures.Deployment) Effect {
	links := d.Links()
	if !slices.ContainsFunc(links, func(l fixtures.Link) bool { return l.Kind == fixtures.EntryLink }) {
		return e
	}
	hit := map[string]bool{}
	for _, n := range d.Nodes() {
		own := fixtures.Link{Kind: fixtures.ClientLink, From: n.Region, To: n.ID}.ID()
		s, named := e.Nodes[n.ID]
		if named && s != fixtures.Running || e.Cut[own] || e.Unsure[own] {
			hit[n.Region] = true
		}
	}
	e.Unsure = maps.Clone(e.Unsure)
	for _, l := range links {
		if l.Kind == fixtures.EntryLink && hit[l.ToRegion] && !e.Cut[l.ID()] {
			if e.Unsure == nil {
				e.Unsure = map[string]bool{}
			}
			e.Unsure[l.ID()] = true
		}
	}
	return e
}
