package scenarios

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fivenines/fivenines/faults"
	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/scenarios/internal/strict"
	"github.com/fivenines/fivenines/slo"
)

// Spec is a scenario: where it runs, what load it offers, what it breaks when,
// and what must still hold. [Default] gives every field a value; a file states
// only what differs.
type Spec struct {
	Name        string      `yaml:"name"`                  // of lower-case letters, digits and hyphens
	Description string      `yaml:"description,omitempty"` // for people: list and reports show it
	Topology    TopologyRef `yaml:"topology"`              // an embedded one by name, the path of a file, or in full
	Target      string      `yaml:"target"`                // the system under test
	// Settings of the target, added to those of the topology: replace_after: 4s.
	Settings map[string]string `yaml:"settings,omitempty"`
	Workload Workload          `yaml:"workload"`
	Timeline Timeline          `yaml:"timeline"`
	Steady   Steady            `yaml:"steady_state"`
	Faults   []FaultSpec       `yaml:"faults"`
	Stop     Stop              `yaml:"stop"`
	// Objectives: measure -> bound, such as failover: "< 5 s", or the word default
	// for what the objectives file says. What is not declared is not evaluated.
	Objectives map[string]string `yaml:"objectives"`
	Trials     int               `yaml:"trials"`
	// MaxTrials, if more than Trials: trials go on until every objective on a
	// quantile is decided at the asked error rates, or there were so many.
	MaxTrials int   `yaml:"max_trials,omitempty"`
	Seed      int64 `yaml:"seed"` // 0: a random one is drawn, printed and recorded
	// RecordSync asks the nodes to keep the record that a power loss needs.
	RecordSync bool `yaml:"record_sync"`
}

// TopologyRef is a topology by name or in full. A file may also give the path
// of a topology file, which is read when the scenario is.
type TopologyRef struct {
	Name   string
	Inline *fixtures.Topology
}

// Word takes a name; Load replaces a path by what the file holds.
func (r *TopologyRef) Word(text string) error {
	*r = TopologyRef{Name: text}
	return nil
}

// Block returns where the fields of an inline topology go.
func (r *TopologyRef) Block() any {
	*r = TopologyRef{Inline: &fixtures.Topology{}}
	return r.Inline
}

// Written is the name, or the topology in full.
func (r TopologyRef) Written() (string, any) {
	if r.Inline != nil {
		return "", r.Inline
	}
	return r.Name, nil
}

// Workload is DESIGN section 4 as a file writes it.
type Workload struct {
	Sessions   int                `yaml:"sessions"`
	Rate       float64            `yaml:"rate"` // operations a second, over all clients
	Mix        Mix                `yaml:"mix"`
	StateBytes int                `yaml:"state_bytes"`
	TTL        fixtures.Duration  `yaml:"ttl"`
	Short      Short              `yaml:"short"`
	Zipf       float64            `yaml:"zipf"`              // 0: uniform keys
	Clients    map[string]Percent `yaml:"clients,omitempty"` // region -> share; empty: all beside the primary region
	Through    Through            `yaml:"through,omitempty"` // how clients reach the nodes
	Homes      Homes              `yaml:"homes,omitempty"`   // where clients create their sessions
	Witness    Witness            `yaml:"witness"`
	Contested  Contested          `yaml:"contested"`
	Eventual   Eventual           `yaml:"eventual"`
}

// Through is how clients reach the nodes.
type Through string

const (
	// ThroughNodes: clients know every node, as those of Redis Cluster do, and go to leaders directly.
	ThroughNodes Through = "nodes"
	// ThroughBalancers: clients know one load balancer a region, their own region's first.
	ThroughBalancers Through = "balancers"
	// ThroughDNS: clients know a name. They ask the platform's DNS for it, connect to
	// what it answers, and ask again when the time to live is over or a connection fails.
	ThroughDNS Through = "dns"
)

// Homes is where clients create their sessions, as seen from the shards' homes.
type Homes string

const (
	// HomesAny: under any key, whichever region leads its shard.
	HomesAny Homes = "any"
	// HomesLocal: under keys of shards at home in the clients' own region, which then
	// serves what they do. The topology has active regions, and clients stand there.
	HomesLocal Homes = "local"
)

// Mix of operations, adding up to 100 %.
type Mix struct {
	Read   Percent `yaml:"read"`
	Update Percent `yaml:"update"`
	Create Percent `yaml:"create"`
	Touch  Percent `yaml:"touch"`
	Close  Percent `yaml:"close"`
}

// Short is the share of sessions that live only for TTL, so that expiry is
// tested across the fault.
type Short struct {
	Share Percent           `yaml:"share"`
	TTL   fixtures.Duration `yaml:"ttl"`
}

// Witness clients stay with one region whatever happens.
type Witness struct {
	Region string  `yaml:"region,omitempty"`
	Rate   float64 `yaml:"rate"` // within the workload's rate
}

// Contested sessions have several writers and are checked for linearizability.
type Contested struct {
	Sessions int     `yaml:"sessions"`
	Rate     float64 `yaml:"rate"` // over all of them, within the workload's rate
}

// Eventual are reads that any replica may answer (READONLY), by clients in a
// region on behalf of the sessions' owners. They are checked for the session
// guarantees, and how stale they are is measured.
type Eventual struct {
	Region string  `yaml:"region,omitempty"`
	Rate   float64 `yaml:"rate"` // within the workload's rate; 0: none
}

// Timeline is how long load runs before the first fault and after it, and how
// long once more when everything is undone.
type Timeline struct {
	Before fixtures.Duration `yaml:"before"`
	After  fixtures.Duration `yaml:"after"`
	Settle fixtures.Duration `yaml:"settle"`
}

// Steady is the steady-state hypothesis, checked before, during and after.
type Steady struct {
	Window   fixtures.Duration `yaml:"window"`
	Success  Percent           `yaml:"success"`
	ReadP99  fixtures.Duration `yaml:"read_p99"`  // 0: not bounded
	WriteP99 fixtures.Duration `yaml:"write_p99"` // of the surviving quorum's round trip; 0: not bounded
}

// FaultSpec is one fault on the timeline, as a line of text that a report may
// have printed, or as kind and params.
type FaultSpec struct {
	Fault  string            `yaml:"fault,omitempty"`  // the whole fault as text, in place of kind and params: region-loss(region=primary)
	Kind   string            `yaml:"kind,omitempty"`   // what breaks: see fivenines list
	Params map[string]string `yaml:"params,omitempty"` // of the kind; those with defaults may be left out
	// At counts from the start of the load; 0 is timeline.before. A seeded
	// part of a second is added per trial, so that trials do not all hit the
	// same phase of the platform's heartbeats.
	At fixtures.Duration `yaml:"at,omitempty"`
	// For or Until says when it is undone; without either, Until is readback.
	For   fixtures.Duration `yaml:"for,omitempty"`
	Until *Until            `yaml:"until,omitempty"`
}

// Until is the end of a fault: readback (held until the sessions were read
// back while it lasted) or the first event of a kind after it was asked for.
// An event that does not come leaves the fault in force until the read-back.
type Until struct {
	Event string `yaml:"event"`
}

// UntilReadBack is the word for a fault that is held through the first read-back.
const UntilReadBack = "readback"

// Word takes readback.
func (u *Until) Word(text string) error {
	if text != UntilReadBack {
		return fmt.Errorf("%q is not %s and not an event such as {event: promoted}", text, UntilReadBack)
	}
	*u = Until{}
	return nil
}

// Block returns where the fields go.
func (u *Until) Block() any { return (*untilBlock)(u) }

type untilBlock Until

// Written is readback or the event.
func (u Until) Written() (string, any) {
	if u.Event == "" {
		return UntilReadBack, nil
	}
	b := untilBlock(u)
	return "", &b
}

// Stop ends a trial early; what was recorded is kept and judged, and the
// verdict is never met.
type Stop struct {
	Bad         BadShare          `yaml:"bad"`
	MaxDuration fixtures.Duration `yaml:"max_duration"` // of one trial, bring-up included
	// UnaskedDeaths is how many nodes may die that no fault asked for.
	UnaskedDeaths int `yaml:"unasked_deaths"`
}

// BadShare stops when the share of bad operations stays above Share for Over.
// A Share of 100 % never stops.
type BadShare struct {
	Share Percent           `yaml:"share"`
	Over  fixtures.Duration `yaml:"over"`
}

// Default is the scenario that a file starts from: the load of DESIGN section
// 4 on the default topology, no fault and no objective.
func Default() *Spec {
	return &Spec{
		Topology: TopologyRef{Name: "three-region"},
		Target:   "reference",
		Workload: Workload{
			Sessions:   50_000,
			Rate:       20_000,
			Mix:        Mix{Read: 70, Update: 24, Create: 2, Touch: 2, Close: 2},
			StateBytes: 256,
			TTL:        dur(5 * time.Minute),
			Short:      Short{Share: 5, TTL: dur(10 * time.Second)},
			Contested:  Contested{Sessions: 48, Rate: 200},
		},
		Timeline: Timeline{Before: dur(10 * time.Second), After: dur(15 * time.Second), Settle: dur(12 * time.Second)},
		Steady: Steady{
			Window: dur(time.Second), Success: 99.9,
			ReadP99: dur(250 * time.Millisecond), WriteP99: dur(500 * time.Millisecond),
		},
		Stop:   Stop{Bad: BadShare{Share: 95, Over: dur(time.Minute)}, MaxDuration: dur(10 * time.Minute)},
		Trials: 1,
	}
}

func dur(d time.Duration) fixtures.Duration { return fixtures.Duration(d) }

// YAML is the scenario as a file that loads to an equal value.
func (s *Spec) YAML() ([]byte, error) {
	b, err := strict.Encode(s)
	if err != nil {
		return nil, fmt.Errorf("scenario %s as YAML: %w", s.Name, err)
	}
	return b, nil
}

// Write saves the scenario as YAML.
func (s *Spec) Write(path string) error {
	b, err := s.YAML()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Clean(path), b, 0o644)
}

// Clone is a copy that shares nothing.
func (s *Spec) Clone() *Spec {
	c := *s
	c.Workload.Clients = maps.Clone(s.Workload.Clients)
	c.Objectives = maps.Clone(s.Objectives)
	c.Settings = maps.Clone(s.Settings)
	c.Faults = slices.Clone(s.Faults)
	for i, f := range c.Faults {
		c.Faults[i].Params = maps.Clone(f.Params)
		if f.Until != nil {
			u := *f.Until
			c.Faults[i].Until = &u
		}
	}
	if t := s.Topology.Inline; t != nil {
		topo := *t
		topo.Regions, topo.Links, topo.Settings = slices.Clone(t.Regions), slices.Clone(t.Links), maps.Clone(t.Settings)
		c.Topology.Inline = &topo
	}
	return &c
}

// Overrides are settings of the command line that go before the scenario's;
// zero leaves the scenario's.
type Overrides struct {
	Topology      string // by name, or the path of a file
	Target        string
	Rate          float64
	Sessions      int
	Through       Through
	Before, After time.Duration
	Duration      time.Duration // of the load: Before stays, After takes the rest
	Trials        int
	MaxTrials     int
	Seed          int64
	Objectives    map[string]string // each goes before the scenario's of that name
}

// With returns the scenario with the overrides applied.
func (s *Spec) With(o Overrides) (*Spec, error) {
	c := s.Clone()
	if o.Target != "" {
		c.Target = o.Target
	}
	if o.Topology != "" {
		c.Topology = TopologyRef{Name: o.Topology}
		if isPath(o.Topology) {
			t, err := LoadTopology(o.Topology)
			if err != nil {
				return nil, err
			}
			c.Topology = TopologyRef{Inline: t}
		}
	}
	if o.Through != "" {
		c.Workload.Through = o.Through
	}
	if o.Rate != 0 {
		// The witness, contested and eventual parts count within the rate and keep their share of it where it shrinks.
		if f := o.Rate / c.Workload.Rate; f < 1 && f > 0 {
			c.Workload.Witness.Rate *= f
			c.Workload.Contested.Rate *= f
			c.Workload.Eventual.Rate *= f
		}
		c.Workload.Rate = o.Rate
	}
	if o.Sessions != 0 {
		c.Workload.Sessions = o.Sessions
		c.Workload.Contested.Sessions = min(c.Workload.Contested.Sessions, max(1, o.Sessions/10))
	}
	if o.Before != 0 {
		c.Timeline.Before = dur(o.Before)
	}
	if o.After != 0 {
		c.Timeline.After = dur(o.After)
	}
	if o.Duration != 0 {
		after := o.Duration - time.Duration(c.Timeline.Before)
		if after <= 0 {
			return nil, fmt.Errorf("a duration of %v leaves nothing after the %v before the fault; ask for longer, or shorten what comes before", o.Duration, c.Timeline.Before)
		}
		c.Timeline.After = dur(after)
	}
	if o.Trials != 0 {
		c.Trials = o.Trials
	}
	if o.MaxTrials != 0 {
		c.MaxTrials = o.MaxTrials
	}
	if o.Seed != 0 {
		c.Seed = o.Seed
	}
	if len(o.Objectives) > 0 && c.Objectives == nil {
		c.Objectives = map[string]string{}
	}
	maps.Copy(c.Objectives, o.Objectives)
	return c, nil
}

// Topo is the topology that the scenario runs on.
func (s *Spec) Topo() (*fixtures.Topology, error) {
	t := s.Topology.Inline
	if t == nil {
		var err error
		if t, err = Topology(s.Topology.Name); err != nil {
			return nil, err
		}
	}
	if len(s.Settings) > 0 {
		own := *t
		own.Settings = maps.Clone(t.Settings)
		if own.Settings == nil {
			own.Settings = map[string]string{}
		}
		maps.Copy(own.Settings, s.Settings)
		t = &own
	}
	return t, nil
}

// fault makes the i-th fault for a topology.
func (s *Spec) fault(i int, topo *fixtures.Topology) (faults.Fault, error) {
	kind, params, err := s.Faults[i].resolve()
	if err != nil {
		return nil, err
	}
	return faults.New(kind, params, topo)
}

// resolve gives kind and params of a fault, whichever way it was written.
func (f *FaultSpec) resolve() (string, map[string]string, error) {
	if f.Fault == "" {
		return f.Kind, f.Params, nil
	}
	p, err := faults.Parse(f.Fault)
	if err != nil {
		return "", nil, err
	}
	return p.Kind, p.Params, nil
}

// at is when the fault is asked for, from the start of the load, before the
// seeded part of a second.
func (s *Spec) at(i int) time.Duration {
	if a := s.Faults[i].At; a > 0 {
		return time.Duration(a)
	}
	return time.Duration(s.Timeline.Before)
}

// Config is what slo judges a run of this scenario by, under the rules that
// come with fivenines.
func (s *Spec) Config() slo.Config { return DefaultRules().Config(s) }

// String is the fault as one line of text.
func (f FaultSpec) String() string {
	if f.Fault != "" {
		return f.Fault
	}
	var ps []string
	for _, k := range slices.Sorted(maps.Keys(f.Params)) {
		ps = append(ps, k+"="+f.Params[k])
	}
	return f.Kind + "(" + strings.Join(ps, ", ") + ")"
}
