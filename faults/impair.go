package faults

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fivenines/fivenines/fixtures"
)

// Faults in the packets of nodes. They need a backend with a network namespace
// a node; links and states do not show them, so each counts the packets that
// it hit.

const helpVictims = "a node or a region: " + helpNode + "; " + helpRegion

func init() {
	where := ParamInfo{Name: "where", Default: "primary:1", Help: helpVictims}
	share := func(def string) ParamInfo {
		return ParamInfo{Name: "share", Default: def, Help: "of the packets, above 0 and at most 1"}
	}
	catalogue(KindInfo{
		Kind:    "packet-loss",
		Summary: "A share of the packets of a node or region is lost, in and out.",
		Params:  []ParamInfo{where, share("0.05")},
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) {
		return newImpair(s, topo, "where", func(x float64) fixtures.Impairment { return fixtures.Impairment{Loss: x} })
	})
	catalogue(KindInfo{
		Kind:    "connection-resets",
		Summary: "A share of what reaches a node or region over TCP is answered by a reset, so that connections break.",
		Params:  []ParamInfo{where, share("0.01")},
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) {
		return newImpair(s, topo, "where", func(x float64) fixtures.Impairment { return fixtures.Impairment{Resets: x} })
	})
	catalogue(KindInfo{
		Kind:    "bandwidth",
		Summary: "A node or region can send only so much.",
		Params:  []ParamInfo{where, {Name: "rate", Default: "100000", Help: "bytes a second, at least 4096"}},
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) {
		rate, err := strconv.ParseInt(s.Params["rate"], 10, 64)
		if err != nil || rate < 4096 {
			return nil, fmt.Errorf("rate=%s is not a number of bytes a second of at least 4096", s.Params["rate"])
		}
		return newImpair(s, topo, "where", func(float64) fixtures.Impairment { return fixtures.Impairment{Bandwidth: rate} })
	})
	catalogue(KindInfo{
		Kind:    "packet-delay",
		Summary: "All that a node or region sends is delayed; with jitter, packets may overtake each other.",
		Params: []ParamInfo{
			where,
			{Name: "delay", Default: "100ms", Help: "1ms to 1m"},
			{Name: "jitter", Default: "0s", Help: "spread around the delay, up to as much"},
		},
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) {
		delay, err := span(s, "delay", time.Millisecond, time.Minute)
		if err != nil {
			return nil, err
		}
		jitter, err := span(s, "jitter", 0, delay)
		if err != nil {
			return nil, err
		}
		return newImpair(s, topo, "where", func(float64) fixtures.Impairment { return fixtures.Impairment{Delay: delay, Jitter: jitter} })
	})
	catalogue(KindInfo{
		Kind:    "packet-reorder",
		Summary: "A share of what a node or region sends overtakes the rest, which is delayed.",
		Params:  []ParamInfo{where, share("0.25"), {Name: "delay", Default: "10ms", Help: "of those that are overtaken, 1ms to 1m"}},
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) {
		delay, err := span(s, "delay", time.Millisecond, time.Minute)
		if err != nil {
			return nil, err
		}
		return newImpair(s, topo, "where", func(x float64) fixtures.Impairment { return fixtures.Impairment{Delay: delay, Reorder: x} })
	})
	catalogue(KindInfo{
		Kind:    "one-way-partition",
		Summary: "Packets between a region and the others pass in one direction only; its own clients still reach it.",
		Params: []ParamInfo{
			{Name: "region", Default: fixtures.Primary, Help: helpRegion},
			{Name: "lost", Default: "in", Values: []string{"in", "out"}, Help: "in: it hears nothing of other regions; out: they hear nothing of it"},
		},
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) {
		if len(topo.Regions) < 2 {
			return nil, fmt.Errorf("the topology has one region only: there is nothing to cut it off from")
		}
		in := s.Params["lost"] == "in"
		return newImpair(s, topo, "region", func(float64) fixtures.Impairment { return fixtures.Impairment{Deaf: in, Mute: !in} })
	})
}

// impair is any of them.
type impair struct {
	Spec
	nodes []string
	parts []string
	im    fixtures.Impairment
}

func newImpair(s Spec, topo *fixtures.Topology, who string, of func(share float64) fixtures.Impairment) (Fault, error) {
	f := &impair{Spec: s}
	var err error
	if who == "region" {
		if s.Params[who], err = chooseRegion(topo, s.Params[who]); err != nil {
			return nil, err
		}
	}
	if f.nodes, f.parts, s.Params[who], err = chooseNodes(topo, s.Params[who]); err != nil {
		return nil, err
	}
	share := 0.0
	if text, ok := s.Params["share"]; ok {
		if share, err = strconv.ParseFloat(text, 64); err != nil || !(share > 0 && share <= 1) {
			return nil, fmt.Errorf("share=%s is not above 0 and at most 1", text)
		}
	}
	f.im = of(share)
	return f, nil
}

func (f *impair) Kind() string { return f.Spec.Kind }

func (f *impair) Available(d fixtures.Deployment) error {
	p, ok := d.(fixtures.Packets)
	if !ok {
		return fmt.Errorf("%w: its nodes have no network of their own; --backend container has", fixtures.ErrNotHere)
	}
	if err := p.CanImpair(f.im); err != nil {
		return err
	}
	return known(d, f.nodes)
}

func (f *impair) Parts(fixtures.Deployment) []string { return f.parts }

// Effect: in a one-way partition nothing can be set up with the region from
// outside, whichever way packets are lost. Canaries to others are sent from
// outside the region, so what its nodes can say to them is not seen; the count
// of lost packets shows it.
func (f *impair) Effect(d fixtures.Deployment) Effect {
	e := Effect{Nodes: map[string]fixtures.NodeState{}, Cut: map[string]bool{}, Unsure: map[string]bool{}}
	hit := towards(d.Links(), f.nodes)
	if f.im.Deaf || f.im.Mute {
		hit = pick(hit, func(l fixtures.Link) bool { return l.Kind == fixtures.PeerLink && l.FromRegion != l.ToRegion })
		e.Cut, e.Silent = linkIDs(hit), true
	} else {
		e.Unsure = linkIDs(hit)
	}
	e.Bound = bound(hit) + time.Second + f.im.Delay // packets have to come by
	return e
}

func (f *impair) Inject(ctx context.Context, d fixtures.Deployment) error { return f.set(ctx, d, f.im) }

func (f *impair) Heal(ctx context.Context, d fixtures.Deployment) error {
	return f.set(ctx, d, fixtures.Impairment{})
}

func (f *impair) set(ctx context.Context, d fixtures.Deployment, im fixtures.Impairment) error {
	p, ok := d.(fixtures.Packets)
	if !ok {
		return fixtures.ErrNotHere
	}
	return each(f.nodes, func(n string) error { return p.Impair(ctx, n, im) })
}

// Confirm waits until packets of every node were hit.
func (f *impair) Confirm(ctx context.Context, d fixtures.Deployment) (took, wrong []string) {
	p, ok := d.(fixtures.Packets)
	if !ok {
		return nil, []string{fixtures.ErrNotHere.Error()}
	}
	for _, n := range f.nodes {
		for {
			hit, err := p.Impaired(ctx, n)
			if err == nil && hit > 0 {
				took = append(took, fmt.Sprintf("%s: %d packets hit", n, hit))
				break
			}
			select {
			case <-time.After(5 * time.Millisecond):
				continue
			case <-ctx.Done():
			}
			why := "no packet was hit"
			if err != nil {
				why = strings.ReplaceAll(err.Error(), "\n", "; ")
			}
			wrong = append(wrong, n+": "+why)
			break
		}
	}
	return took, wrong
}
