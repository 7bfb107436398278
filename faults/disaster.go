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

// AllRegionsLoss is the kind that needs an archive to come back from.
const AllRegionsLoss = "all-regions-loss"

// operator is how long the recovery of an operator may take.
const operatorPatience = 3 * time.Minute

func init() {
	help := "when the operator acts, after the regions are gone; longer than the proof takes (2s to 10m)"
	catalogue(KindInfo{
		Kind:    "two-region-loss",
		Summary: "All regions but one are gone, by a crash of their processes or in silence. An operator attests it and makes the last one the authority (level 2).",
		Params: []ParamInfo{
			{Name: "survivor", Default: fixtures.Tertiary, Help: helpRegion},
			{
				Name: "mode", Default: "crash", Values: []string{"crash", "silent"},
				Help: "crash: processes killed; silent: links cut and processes stopped, so that they wake up as the majority that they were",
			},
			{Name: "operator", Default: "5s", Help: help},
		},
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) {
		survivor, err := chooseRegion(topo, s.Params["survivor"])
		if err != nil {
			return nil, err
		}
		if len(topo.Regions) < 3 {
			return nil, fmt.Errorf("a topology of %d regions keeps its quorum or loses everything; there must be three", len(topo.Regions))
		}
		s.Params["survivor"] = survivor
		f := &disaster{Spec: s, silent: s.Params["mode"] == "silent"}
		for _, r := range topo.Regions {
			if r.Name != survivor {
				f.regions = append(f.regions, r.Name)
				f.nodes = append(f.nodes, regionNodes(topo, r.Name)...)
			}
		}
		return f, f.delayed()
	})
	catalogue(KindInfo{
		Kind:    AllRegionsLoss,
		Summary: "All nodes are killed and their disks wiped. An operator restores everything from the archive (level 3).",
		Params:  []ParamInfo{{Name: "operator", Default: "5s", Help: help}},
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) {
		f := &disaster{Spec: s, nodes: allNodes(topo), wipe: true}
		for _, r := range topo.Regions {
			f.regions = append(f.regions, r.Name)
		}
		return f, f.delayed()
	})
}

// disaster takes regions away for good; what follows is an operator's work,
// which the fault does in his place some time later.
type disaster struct {
	Spec
	regions, nodes []string
	wipe, silent   bool
	after          time.Duration

	mu      sync.Mutex
	stop    context.CancelFunc
	done    chan struct{} // closed when the operator is done
	err     error         // what the operator was told
	running bool          // all nodes run again
}

func (f *disaster) delayed() (err error) {
	if f.after, err = time.ParseDuration(f.Params["operator"]); err != nil || f.after < 2*time.Second || f.after > 10*time.Minute {
		return fmt.Errorf("operator=%s is not between 2s and 10m", f.Params["operator"])
	}
	return nil
}

func (f *disaster) Kind() string { return f.Spec.Kind }

func (f *disaster) Available(d fixtures.Deployment) error {
	if _, ok := d.Target().(fixtures.Recoverer); !ok {
		return fmt.Errorf("target %s has no operator's recovery: %w", d.Target().Name(), fixtures.ErrNotHere)
	}
	return known(d, f.nodes)
}

func (f *disaster) Parts(fixtures.Deployment) []string {
	return append(slices.Clone(f.regions), f.nodes...)
}

func (f *disaster) Effect(d fixtures.Deployment) Effect {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running {
		return Effect{Nodes: map[string]fixtures.NodeState{}, Cut: map[string]bool{}}
	}
	if f.silent {
		ls := f.isolated(d)
		return Effect{Nodes: states(f.nodes, fixtures.Paused), Cut: linkIDs(ls), Silent: true, Bound: bound(ls)}
	}
	ls := towards(d.Links(), f.nodes)
	return Effect{Nodes: states(f.nodes, fixtures.Dead), Cut: linkIDs(ls), Bound: bound(ls)}
}

// isolated is every link that ends or begins in a lost region, once.
func (f *disaster) isolated(d fixtures.Deployment) []fixtures.Link {
	return pick(d.Links(), func(l fixtures.Link) bool {
		return slices.Contains(f.regions, l.ToRegion) || l.Kind == fixtures.PeerLink && slices.Contains(f.regions, l.FromRegion)
	})
}

func (f *disaster) take(ctx context.Context, d fixtures.Deployment) error {
	if !f.silent {
		return each(f.nodes, func(n string) error { return d.Kill(ctx, n) })
	}
	if err := d.Cut(ctx, f.isolated(d)...); err != nil {
		return err
	}
	return each(f.nodes, func(n string) error { return d.Pause(ctx, n) })
}

func (f *disaster) Inject(ctx context.Context, d fixtures.Deployment) error {
	if err := f.take(ctx, d); err != nil {
		return err
	}
	lost := time.Now()
	if f.wipe {
		if err := each(f.nodes, func(n string) error { return d.Wipe(ctx, n) }); err != nil {
			return err
		}
	}
	// The operator's work belongs to the fault: Heal waits for it.
	work, stop := context.WithTimeout(context.WithoutCancel(ctx), f.after+operatorPatience)
	f.mu.Lock()
	f.stop, f.done, f.err, f.running = stop, make(chan struct{}), nil, false
	done := f.done
	f.mu.Unlock()
	go func() {
		defer close(done)
		defer stop()
		err := f.operate(work, d, lost)
		f.mu.Lock()
		f.err = err
		f.mu.Unlock()
	}()
	return nil
}

func (f *disaster) operate(ctx context.Context, d fixtures.Deployment, lost time.Time) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(time.Until(lost.Add(f.after))):
	}
	op := d.Target().(fixtures.Recoverer)
	if !f.wipe {
		return op.Recover(ctx, d, f.regions)
	}
	if err := op.Restore(ctx, d, time.Now()); err != nil {
		return err
	}
	if err := each(f.nodes, func(n string) error { return d.Restart(ctx, n, fixtures.StartOptions{}) }); err != nil {
		return err
	}
	f.mu.Lock()
	f.running = true
	f.mu.Unlock()
	return d.AwaitReady(ctx, f.nodes...)
}

// Heal waits for the operator, then brings the lost regions back.
func (f *disaster) Heal(ctx context.Context, d fixtures.Deployment) error {
	f.mu.Lock()
	done, stop := f.done, f.stop
	f.mu.Unlock()
	var links []fixtures.Link
	if f.silent {
		links = f.isolated(d)
	}
	if done == nil {
		return revive(ctx, d, f.nodes, links, fixtures.StartOptions{})
	}
	var err error
	select {
	case <-done:
		f.mu.Lock()
		err = f.err
		f.mu.Unlock()
	case <-ctx.Done():
		stop()
		<-done
		err = context.Cause(ctx)
	}
	if err != nil {
		err = fmt.Errorf("the operator's recovery: %w", err)
	}
	return errors.Join(err, revive(ctx, d, f.nodes, links, fixtures.StartOptions{}))
}
