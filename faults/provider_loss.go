package faults

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fivenines/fivenines/fixtures"
)

// primaryProvider is the value that names the provider of the primary region.
const primaryProvider = "primary"

func init() {
	catalogue(KindInfo{
		Kind:    "provider-loss",
		Summary: "All regions of a cloud provider are gone at once, as in region-loss; those of the others remain.",
		Params: []ParamInfo{
			{Name: "provider", Default: primaryProvider, Help: "by the label that the topology gives its regions; primary: that of the primary region"},
			{Name: "mode", Default: "silent", Values: []string{"silent", "crash"}, Help: "silent: links cut and processes stopped; crash: processes killed"},
		},
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) {
		who := s.Params["provider"]
		if who == primaryProvider {
			region, err := chooseRegion(topo, fixtures.Primary)
			if err != nil {
				return nil, err
			}
			if who = topo.Region(region).Provider; who == "" {
				return nil, fmt.Errorf("region %s has no provider: give the topology's regions a provider", region)
			}
		}
		s.Params["provider"] = who
		f := &providerLoss{Spec: s, provider: who}
		var providers []string
		for _, r := range topo.Regions {
			if r.Provider != "" && !slices.Contains(providers, r.Provider) {
				providers = append(providers, r.Provider)
			}
			if r.Provider != who {
				continue
			}
			spec := Spec{Kind: s.Kind, Params: map[string]string{"region": r.Name}}
			x, err := newRegionLoss(spec, topo, s.Params["mode"] == "crash")
			if err != nil {
				return nil, err
			}
			f.regions = append(f.regions, x.(*regionLoss))
		}
		switch {
		case len(f.regions) == 0:
			return nil, fmt.Errorf("no region has the provider %q; there are %s", who, strings.Join(providers, ", "))
		case len(f.regions) == len(topo.Regions):
			return nil, fmt.Errorf("every region is with %s: nothing would be left; give at least one another provider", who)
		}
		return f, nil
	})
}

type providerLoss struct {
	Spec
	provider string
	regions  []*regionLoss
}

func (f *providerLoss) Kind() string { return f.Spec.Kind }

func (f *providerLoss) nodes() (all []string) {
	for _, r := range f.regions {
		all = append(all, r.nodes...)
	}
	return all
}

func (f *providerLoss) Available(d fixtures.Deployment) error { return known(d, f.nodes()) }

func (f *providerLoss) Parts(d fixtures.Deployment) []string {
	all := []string{f.provider}
	for _, r := range f.regions {
		all = append(all, r.Parts(d)...)
	}
	return all
}

// links are those of all regions, each once.
func (f *providerLoss) links(d fixtures.Deployment) (all []fixtures.Link) {
	for _, r := range f.regions {
		for _, l := range isolation(d.Links(), r.region) {
			if !slices.Contains(all, l) {
				all = append(all, l)
			}
		}
	}
	return all
}

func (f *providerLoss) Effect(d fixtures.Deployment) Effect {
	if f.regions[0].crash {
		ls := towards(d.Links(), f.nodes())
		return Effect{Nodes: states(f.nodes(), fixtures.Dead), Cut: linkIDs(ls), Bound: bound(ls)}
	}
	ls := f.links(d)
	return Effect{Nodes: states(f.nodes(), fixtures.Paused), Cut: linkIDs(ls), Silent: true, Bound: bound(ls)}
}

func (f *providerLoss) Inject(ctx context.Context, d fixtures.Deployment) error {
	if f.regions[0].crash {
		return each(f.nodes(), func(n string) error { return d.Kill(ctx, n) })
	}
	if err := d.Cut(ctx, f.links(d)...); err != nil {
		return err
	}
	return each(f.nodes(), func(n string) error { return d.Pause(ctx, n) })
}

func (f *providerLoss) Heal(ctx context.Context, d fixtures.Deployment) error {
	var links []fixtures.Link
	if !f.regions[0].crash {
		links = f.links(d)
	}
	return revive(ctx, d, f.nodes(), links, fixtures.StartOptions{})
}
