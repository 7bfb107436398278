package faults

import (
	"context"
	"fmt"

	"github.com/fivenines/fivenines/fixtures"
)

// allRegions is the value of a parameter that names every other region.
const allRegions = "all"

// pathParams choose a path between regions.
func pathParams() []ParamInfo {
	return []ParamInfo{
		{Name: "from", Default: fixtures.Primary, Help: helpRegion},
		{Name: "to", Default: allRegions, Help: "another region by name or by role, or all others"},
		{Name: "path", Default: fixtures.Direct, Help: "the path by the name that the topology gives it; direct is the first"},
	}
}

// pathVictims are the links of one path between a region and others, in both directions.
type pathVictims struct {
	from string
	to   []string
	path string
}

func choosePath(s Spec, topo *fixtures.Topology) (pathVictims, error) {
	v := pathVictims{path: s.Params["path"]}
	var err error
	if v.from, err = chooseRegion(topo, s.Params["from"]); err != nil {
		return v, err
	}
	s.Params["from"] = v.from
	if s.Params["to"] != allRegions {
		to, err := chooseRegion(topo, s.Params["to"])
		if err != nil {
			return v, err
		}
		if to == v.from {
			return v, fmt.Errorf("from and to are both %s: name two regions", to)
		}
		s.Params["to"] = to
		v.to = []string{to}
	} else {
		for _, r := range topo.Regions {
			if r.Name != v.from {
				v.to = append(v.to, r.Name)
			}
		}
	}
	if len(v.to) == 0 {
		return v, fmt.Errorf("the topology has one region only: there is no path to another")
	}
	for _, to := range v.to {
		if _, ok := topo.Path(v.from, to).Way(v.path); !ok {
			var names []string
			for _, w := range topo.Path(v.from, to).Ways() {
				names = append(names, w.Name)
			}
			return v, fmt.Errorf("no path between %s and %s is called %q; there is %v", v.from, to, v.path, names)
		}
	}
	return v, nil
}

func (v pathVictims) links(d fixtures.Deployment) []fixtures.Link {
	return pick(d.Links(), func(l fixtures.Link) bool {
		if l.Kind != fixtures.PeerLink || (l.Path == "") != (v.path == fixtures.Direct) || l.Path != "" && l.Path != v.path {
			return false
		}
		for _, to := range v.to {
			if l.FromRegion == v.from && l.ToRegion == to || l.FromRegion == to && l.ToRegion == v.from {
				return true
			}
		}
		return false
	})
}

func (v pathVictims) available(d fixtures.Deployment) error {
	if len(v.links(d)) == 0 {
		return fmt.Errorf("this deployment has no %s path between %s and %v", v.path, v.from, v.to)
	}
	return nil
}

// parts name the path in each direction: "us-east-1>eu-west-1/direct".
func (v pathVictims) parts() (all []string) {
	for _, to := range v.to {
		all = append(all, v.from+">"+to+"/"+v.path, to+">"+v.from+"/"+v.path)
	}
	return all
}

func init() {
	catalogue(KindInfo{
		Kind:    "path-cut",
		Summary: "One of the paths between regions is silent in both directions; the other paths go on.",
		Params:  pathParams(),
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) {
		v, err := choosePath(s, topo)
		if err != nil {
			return nil, err
		}
		return &pathCut{s, v}, nil
	})
}

type pathCut struct {
	Spec
	pathVictims
}

func (f *pathCut) Kind() string                          { return f.Spec.Kind }
func (f *pathCut) Available(d fixtures.Deployment) error { return f.available(d) }
func (f *pathCut) Parts(fixtures.Deployment) []string    { return f.parts() }

func (f *pathCut) Effect(d fixtures.Deployment) Effect {
	ls := f.links(d)
	return Effect{Nodes: map[string]fixtures.NodeState{}, Cut: linkIDs(ls), Silent: true, Bound: bound(ls)}
}

func (f *pathCut) Inject(ctx context.Context, d fixtures.Deployment) error {
	return d.Cut(ctx, f.links(d)...)
}

func (f *pathCut) Heal(ctx context.Context, d fixtures.Deployment) error {
	return d.Mend(ctx, f.links(d)...)
}
