package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fivenines/fivenines/fixtures"
)

func init() {
	catalogue(KindInfo{
		Kind:    "power-loss",
		Summary: "All nodes lose power at the same instant and start again: what they had written and never synced is gone.",
		Params:  []ParamInfo{{Name: "region", Default: "all", Help: "all, or " + helpRegion}},
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) {
		if s.Params["region"] == "all" {
			f := &powerLoss{Spec: s, nodes: allNodes(topo)}
			for _, r := range topo.Regions {
				f.regions = append(f.regions, r.Name)
			}
			return f, nil
		}
		region, err := chooseRegion(topo, s.Params["region"])
		if err != nil {
			return nil, err
		}
		s.Params["region"] = region
		return &powerLoss{Spec: s, regions: []string{region}, nodes: regionNodes(topo, region)}, nil
	})
}

type powerLoss struct {
	Spec
	regions, nodes []string

	mu    sync.Mutex
	gone  time.Time // when all were seen dead; zero: they were not
	took  []string
	wrong []string
}

// afterPowerLoss is how a node starts whose power went.
var afterPowerLoss = fixtures.StartOptions{PowerLoss: true, RecordSync: true}

func (f *powerLoss) Kind() string { return f.Spec.Kind }

func (f *powerLoss) Available(d fixtures.Deployment) error { return known(d, f.nodes) }

func (f *powerLoss) Parts(fixtures.Deployment) []string {
	return append(slices.Clone(f.regions), f.nodes...)
}

func (f *powerLoss) Effect(d fixtures.Deployment) Effect {
	// Nothing has to be silent for a while: the proof is that the processes
	// are gone, all at once, which a loaded machine needs time to clean up.
	// An engine that is asked to end containers takes longer than the kernel.
	within := time.Second
	if !processes(d.Undo().Backend) {
		within = 3 * time.Second
	}
	return Effect{Nodes: map[string]fixtures.NodeState{}, Cut: map[string]bool{}, Momentary: true, Bound: within}
}

func (f *powerLoss) Inject(ctx context.Context, d fixtures.Deployment) error {
	before := d.Undo()
	if err := each(f.nodes, func(n string) error { return d.Kill(ctx, n) }); err != nil {
		return err
	}
	var alive []string
	for _, n := range f.nodes {
		if s, err := d.State(n); err != nil || s != fixtures.Dead {
			alive = append(alive, n)
		}
	}
	gone := time.Now()
	if len(alive) > 0 {
		return fmt.Errorf("power loss: %v are not dead", alive)
	}
	err := each(f.nodes, func(n string) error { return d.Restart(ctx, n, afterPowerLoss) })
	after := d.Undo()

	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = gone
	for _, n := range f.nodes {
		if after.Procs[n] == before.Procs[n] && after.Started[n] == before.Started[n] {
			f.wrong = append(f.wrong, fmt.Sprintf("%s: still the process that it was", n))
			continue
		}
		f.took = append(f.took, fmt.Sprintf("%s: process %d gone, process %d started", n, before.Procs[n], after.Procs[n]))
	}
	return err
}

// Evidence is what Inject saw.
func (f *powerLoss) Evidence() (took, wrong []string, at time.Time, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone.IsZero() {
		return nil, nil, time.Time{}, errors.New("not all processes were seen to be gone")
	}
	return slices.Clone(f.took), slices.Clone(f.wrong), f.gone, nil
}

func (f *powerLoss) Heal(ctx context.Context, d fixtures.Deployment) error {
	if err := revive(ctx, d, f.nodes, nil, afterPowerLoss); err != nil {
		return err
	}
	return d.AwaitReady(ctx, f.nodes...)
}
