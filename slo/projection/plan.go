package projection

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/fivenines/fivenines/slo/stats"
)

// Basis is what a class's downtime rests on.
const (
	BasisTrials     = "trials"
	BasisAssumption = "assumption"
	BasisNothing    = "not measured"
)

// source is a stream of events: a class, or a share of one that takes more.
type source struct {
	class   int
	name    string
	share   float64 // of the class's rate
	parts   string
	count   int
	takes   string
	planned bool
	repair  span
	// Indices into params.samplers, -1 for an outage of no length.
	down, undo int
	basis      string
	scenario   string
	trials     int
	censored   int
}

// plan is a model made ready to be simulated.
type plan struct {
	model    *Model
	topology Topology
	rates    []rate // by class
	sources  []source
	samples  []*sample // what samplers are drawn from; nil where assumed is set
	assumed  []*sampler
	rule     tailRule
	overlap  bool
	regionOf []int
	linkEnd  []int
	first    []int // node of each region

	notMeasured, assumptions, notes []string
}

func newPlan(m *Model, measured Measured, o *Options) (*plan, error) {
	p := &plan{model: m, topology: o.Topology, overlap: m.Rules.Overlap == OverlapQuorum}
	p.regionOf, p.linkEnd = p.topology.regionOf(), p.topology.linkEnd()
	for i, n := 0, 0; i < len(p.topology.Regions); i++ {
		p.first = append(p.first, n)
		n += p.topology.Regions[i].Nodes
	}
	hand, err := m.Rules.ByHand.compile()
	if err != nil {
		return nil, err
	}
	p.rule = tailRule{index: m.Rules.Unseen.Index, byHand: hand}
	if p.rule.index > 0 {
		floor, err := Span{Value: m.Rules.Unseen.Floor}.compile()
		if err != nil {
			return nil, err
		}
		p.rule.floor = floor.a
	}
	known := map[string]int{} // scenario to the sampler of its downtime; the one of undoing follows
	for i := range m.Classes {
		c := &m.Classes[i]
		p.rates = append(p.rates, c.rate())
		if c.maintenance() && o.ExcludeMaintenance {
			p.notes = append(p.notes, fmt.Sprintf("%s is left out, as planned maintenance.", c.Name))
			continue
		}
		repair, err := c.Repair.compile()
		if err != nil {
			return nil, err
		}
		s := source{class: i, name: c.Name, share: 1, parts: c.Parts, count: p.topology.parts(c.Parts), takes: c.takes(), planned: c.maintenance(), repair: repair}
		if s.count == 0 {
			p.notes = append(p.notes, fmt.Sprintf("%s can't happen: the topology has no %s.", c.Name, c.Parts))
			continue
		}
		var common []source
		for _, cc := range c.CommonCause {
			s.share -= cc.Share
			x := s
			x.share, x.takes, x.planned = cc.Share, cc.Takes, false
			x.name = fmt.Sprintf("%s (common cause: %s)", c.Name, cc.Takes)
			p.measure(&x, cc.Scenario, nil, c.NoUndo, measured, known)
			common = append(common, x)
		}
		p.measure(&s, c.Scenario, c.Assume, c.NoUndo, measured, known)
		if s.planned {
			s.share = 1
			common = nil
		}
		p.sources = append(p.sources, s)
		p.sources = append(p.sources, common...)
	}
	return p, p.bounded()
}

// maxEvents a year, with every rate at its upper end: more take forever to simulate.
const maxEvents = 20_000

func (p *plan) bounded() error {
	total, most, name := 0.0, -1.0, ""
	for i := range p.sources {
		s := &p.sources[i]
		events := p.rates[s.class].high * s.share * float64(s.count)
		total += events
		if events > most {
			most, name = events, s.name
		}
	}
	if total > maxEvents {
		return fmt.Errorf("the upper ends of the rates add up to %.0f events a year, at most %d are simulated; %s has the most, %.0f", total, maxEvents, name, most)
	}
	return nil
}

// measure finds what a source's downtimes are drawn from.
func (p *plan) measure(s *source, scenario string, a *Assumption, noUndo bool, measured Measured, known map[string]int) {
	s.down, s.undo, s.scenario = -1, -1, scenario
	switch trials := measured[scenario]; {
	case scenario != "" && len(trials) > 0:
		s.basis = BasisTrials
		at, ok := known[scenario]
		if !ok {
			at = len(p.samples)
			known[scenario] = at
			down := newSample(trials, func(t *Trial) []stats.Duration { return t.Down })
			undo := newSample(trials, func(t *Trial) []stats.Duration { return t.Undo })
			if undo.trials == 0 {
				undo = down
				p.notes = append(p.notes, fmt.Sprintf("No trial of %s looked at the undoing of its fault: it is taken to bring an outage as long as the fault did.", scenario))
			}
			p.samples = append(p.samples, down, undo)
			p.assumed = append(p.assumed, nil, nil)
			if n := down.censored + undo.censored; n > 0 && (undo != down || down.censored > 0) {
				p.notes = append(p.notes, fmt.Sprintf("%d outages of %s were not seen to end: they count as longer by the Kaplan-Meier estimate, and beyond the longest as ended by a person (%s).", n, scenario, p.model.Rules.ByHand))
			}
		}
		s.down, s.undo = at, at+1
		s.trials, s.censored = p.samples[at].trials, p.samples[at].censored
	case a != nil:
		s.basis = BasisAssumption
		down, err := a.Down.compile()
		undo, err2 := a.Undo.compile()
		if err != nil || err2 != nil {
			panic("projection: an assumption that was not validated")
		}
		s.down, s.undo = len(p.samples), len(p.samples)+1
		p.samples = append(p.samples, nil, nil)
		p.assumed = append(p.assumed, assume(down), assume(undo))
		p.assumptions = append(p.assumptions, fmt.Sprintf("%s: %s (undoing: %s). %s", s.name, a.Down, a.Undo, a.Why))
	default:
		s.basis = BasisNothing
		p.notMeasured = append(p.notMeasured, s.name)
	}
	if noUndo {
		s.undo = -1
	}
}

// params are what a block of years takes for true.
type params struct {
	rates    []float64 // per part and second, by class
	samplers []*sampler
	holds    [][]int32 // shards of each node

	nodeBreaks    bool   // one node less is no quorum of its shards
	regionBreaks  []bool // the same of a region
	serviceBreaks bool
}

// mode is what varies from block to block.
type mode struct {
	fixedRates bool
	trials     trust
	more       float64 // times as many trials
	noTail     bool    // beyond what they showed
}

func (p *plan) draw(seed uint64, block int, how mode) *params {
	out := &params{}
	r := stream(seed, block, streamRates)
	for i := range p.rates {
		k := &p.rates[i]
		v := k.median
		switch {
		case k.gamma != nil:
			g := *k.gamma
			g.Src = r
			if x := g.Rand(); !how.fixedRates {
				v = x
			}
		case k.high > k.low:
			if x := k.logNormal.Quantile(clampUnit(r.Float64())); !how.fixedRates {
				v = x
			}
		}
		out.rates = append(out.rates, v/Year)
	}
	r = stream(seed, block, streamTrials)
	rule := p.rule
	if how.noTail {
		rule.index = 0
	}
	for i, s := range p.samples {
		switch {
		case s == nil:
			out.samplers = append(out.samplers, p.assumed[i])
		case i%2 == 1 && s == p.samples[i-1]:
			out.samplers = append(out.samplers, out.samplers[i-1])
		default:
			out.samplers = append(out.samplers, s.draw(r, how.trials, how.more, &rule))
		}
	}
	out.holds = p.topology.place(stream(seed, block, streamPlacement))
	out.breaks(p)
	return out
}

func clampUnit(u float64) float64 { return min(max(u, 1e-12), 1-1e-12) }

// breaks says which single losses are already more than a shard can bear.
func (q *params) breaks(p *plan) {
	spare := p.topology.Replicas - p.topology.quorum()
	q.nodeBreaks = spare < 1
	q.serviceBreaks = true
	q.regionBreaks = make([]bool, len(p.topology.Regions))
	for region := range q.regionBreaks {
		lost := map[int32]int{}
		for n, shards := range q.holds {
			if p.regionOf[n] != region {
				continue
			}
			for _, s := range shards {
				lost[s]++
				q.regionBreaks[region] = q.regionBreaks[region] || lost[s] > spare
			}
		}
	}
}

// The streams of random numbers of a block, each its own, so that what one
// takes from its does not move another.
const (
	streamRates = iota
	streamTrials
	streamPlacement
	streamFaults
	streamThinning
	streamPlanned // and the numbers above, one for each planned class
)

// stream is a generator that depends on its three arguments alone.
func stream(seed uint64, block, which int) *rand.Rand {
	return rand.New(rand.NewPCG(mix(seed^mix(uint64(block))), mix(uint64(which)^mix(seed+uint64(block)))))
}

// mix is the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014):
// neighbouring numbers become unrelated ones.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// simulated are the classes that have sources.
func (p *plan) simulated() []int {
	var out []int
	for _, s := range p.sources {
		if !slices.Contains(out, s.class) {
			out = append(out, s.class)
		}
	}
	return out
}
