package scenarios

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/slo"
	"github.com/fivenines/fivenines/slo/projection"
)

// VerifyOptions are those of each run, and of the projection over all of them.
type VerifyOptions struct {
	Options
	Model      *projection.Model // nil: the default rates
	Projection projection.Options
	// Began is told of each scenario before it runs; nil: nobody.
	Began func(n, of int, s *Spec)
	// Ran is told of each result; nil: nobody.
	Ran func(s *Spec, res *slo.Result, err error)
}

// Verify runs each scenario, repeated, into a folder of its own below
// [Options].Out, and projects from all of them what a year would bring. A scenario
// that could not be run ends it with an error; what was measured until then is
// returned.
func Verify(ctx context.Context, specs []*Spec, opt VerifyOptions) (*slo.Verification, error) {
	var results []*slo.Result
	var folders []string
	var failed error
	for i, s := range specs {
		if opt.Began != nil {
			opt.Began(i+1, len(specs), s)
		}
		one := opt.Options
		one.Out = filepath.Join(opt.Out, s.Name)
		res, err := Run(ctx, s, one)
		if opt.Ran != nil {
			opt.Ran(s, res, err)
		}
		if res != nil {
			results = append(results, res)
			folders = append(folders, s.Name)
		}
		if errors.Is(err, fixtures.ErrNotHere) {
			continue // another backend's or machine's: Ran has said so, and the projection knows nothing of it
		}
		if err != nil {
			failed = fmt.Errorf("%s: %w", s.Name, err)
			break
		}
	}
	if len(results) == 0 {
		return nil, failed
	}
	if len(opt.Projection.Topology.Regions) == 0 {
		t, err := topologyFor(specs[0])
		if err != nil {
			return nil, err
		}
		opt.Projection.Topology = t
	}
	if opt.Model == nil {
		opt.Model = projection.Default()
	}
	v, err := slo.Verify(results, folders, opt.Model, opt.Projection)
	if v != nil {
		v.Command = opt.Command
	}
	if failed != nil {
		err = failed
	}
	return v, err
}

// topologyFor is the scenario's topology as a projection wants it.
func topologyFor(s *Spec) (projection.Topology, error) {
	topo, err := s.Topo()
	if err != nil {
		return projection.Topology{}, err
	}
	t := projection.Topology{Shards: topo.Shards, Replicas: topo.Replicas}
	for _, r := range topo.Regions {
		t.Regions = append(t.Regions, projection.TopologyRegion{Name: r.Name, Nodes: r.Nodes})
	}
	return t, nil
}

// VerifyRuns is Verify from stored runs.
func VerifyRuns(dirs []string, m *projection.Model, o projection.Options) (*slo.Verification, error) {
	var results []*slo.Result
	for i, dir := range dirs {
		res, err := Analyze(dir)
		if err != nil {
			return nil, err
		}
		results = append(results, res)
		if i > 0 || len(o.Topology.Regions) > 0 {
			continue
		}
		spec, _, err := storedAs(dir)
		if err != nil {
			return nil, err
		}
		if o.Topology, err = topologyFor(spec); err != nil {
			return nil, err
		}
	}
	if m == nil {
		m = projection.Default()
	}
	return slo.Verify(results, dirs, m, o)
}
