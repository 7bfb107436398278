package projection

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat/distuv"
)

// Schema of a rates file.
const Schema = "fivenines/rates/v1"

// Model is how often what fails, and the rules by which it adds up: what a
// rates file holds. [Default] is the one that comes with fivenines.
type Model struct {
	Schema    string   `yaml:"schema" json:"schema"`
	Name      string   `yaml:"name" json:"name"`
	Rules     Rules    `yaml:"rules" json:"rules"`
	Classes   []Class  `yaml:"classes" json:"classes"`
	LeavesOut []string `yaml:"leaves_out,omitempty" json:"leaves_out,omitempty"` // what the projection does not cover
}

// Rules for what trials can't show.
type Rules struct {
	ByHand  Span   `yaml:"by_hand" json:"by_hand"` // until a person ends an outage that did not end by itself
	Unseen  Unseen `yaml:"unseen" json:"unseen"`
	Overlap string `yaml:"overlap" json:"overlap"` // quorum or ignored
}

// Unseen is the tail beyond the worst trial: of Pareto's form, with this index,
// from the worst duration seen or Floor, whichever is longer. Index 0: none, as if the trials had shown everything.
type Unseen struct {
	Index float64 `yaml:"index" json:"index"`
	Floor string  `yaml:"floor" json:"floor"`
}

// What Rules.Overlap may be.
const (
	OverlapQuorum  = "quorum"
	OverlapIgnored = "ignored"
)

// Class is a class of faults, or of planned maintenance.
type Class struct {
	Name        string `yaml:"name" json:"name"`
	Description string `yaml:"description" json:"description"`
	Kind        string `yaml:"kind,omitempty" json:"kind,omitempty"`         // fault (the default) or maintenance
	Scenario    string `yaml:"scenario,omitempty" json:"scenario,omitempty"` // whose trials measure it
	Parts       string `yaml:"parts" json:"parts"`                           // what the rate is per: node, region, link, topology
	// Takes is what serves nobody until it is repaired: node, region, topology
	// or none. The default follows from Parts; a link takes none. A link that
	// takes a region takes the first of its two.
	Takes string `yaml:"takes,omitempty" json:"takes,omitempty"`
	// RatePerYear and part is the median of a log-normal uncertainty, ErrorFactor its 95 %
	// quantile over the median (1, the default: the rate is known). Maintenance
	// has neither: its rate is a plan.
	RatePerYear float64   `yaml:"rate_per_year,omitempty" json:"rate_per_year,omitempty"`
	ErrorFactor float64   `yaml:"error_factor,omitempty" json:"error_factor,omitempty"`
	Observed    *Observed `yaml:"observed,omitempty" json:"observed,omitempty"` // instead of a rate
	Repair      Span      `yaml:"repair" json:"repair"`                         // until the part is back
	// NoUndo: giving the part back brings no outage of its own.
	NoUndo      bool          `yaml:"no_undo,omitempty" json:"no_undo,omitempty"`
	CommonCause []CommonCause `yaml:"common_cause,omitempty" json:"common_cause,omitempty"`
	Assume      *Assumption   `yaml:"assume,omitempty" json:"assume,omitempty"` // where there are no trials
	Sources     []Source      `yaml:"sources" json:"sources"`
}

// Observed is a count of events over so many years of parts. The rate is then
// Gamma(Events + 1/2) over PartYears, the posterior of Jeffreys' prior (Atwood et al.,
// NUREG/CR-6823, 2003, section 6.2.2.5.2).
type Observed struct {
	Events    float64 `yaml:"events" json:"events"`
	PartYears float64 `yaml:"part_years" json:"part_years"`
}

// CommonCause is the share of a class's events that takes more than one part at
// once (a beta factor: Mosleh et al., NUREG/CR-5485, 1998). Those events are measured by
// a scenario of their own.
type CommonCause struct {
	Share    float64 `yaml:"share" json:"share"`
	Takes    string  `yaml:"takes" json:"takes"` // region or topology
	Scenario string  `yaml:"scenario" json:"scenario"`
}

// Assumption is the downtime of an event where no trial measures it.
type Assumption struct {
	Down Span   `yaml:"down" json:"down"`
	Undo Span   `yaml:"undo" json:"undo"`
	Why  string `yaml:"why" json:"why"`
}

// Source is where a class's figures come from.
type Source struct {
	Title    string `yaml:"title" json:"title"`
	Year     int    `yaml:"year" json:"year"`
	URL      string `yaml:"url" json:"url"`
	Says     string `yaml:"says" json:"says"`
	Derived  string `yaml:"derived" json:"derived"`                       // how the figures follow from it
	Estimate bool   `yaml:"estimate,omitempty" json:"estimate,omitempty"` // they don't follow, they are somebody's guess
}

// Words that a rates file may use.
const (
	Fault       = "fault"
	Maintenance = "maintenance"

	Node         = "node"
	Region       = "region"
	Link         = "link"
	WholeService = "topology"
	Nothing      = "none"
)

// Class returns the named class, or nil.
func (m *Model) Class(name string) *Class {
	for i := range m.Classes {
		if m.Classes[i].Name == name {
			return &m.Classes[i]
		}
	}
	return nil
}

// Scenarios are those whose trials a projection needs, in the order of the file.
func (m *Model) Scenarios() []string {
	var out []string
	add := func(s string) {
		if s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	for _, c := range m.Classes {
		add(c.Scenario)
		for _, cc := range c.CommonCause {
			add(cc.Scenario)
		}
	}
	return out
}

func (c *Class) maintenance() bool { return c.Kind == Maintenance }

func (c *Class) takes() string {
	switch {
	case c.Takes != "":
		return c.Takes
	case c.Parts == Link:
		return Nothing
	}
	return c.Parts
}

// rate is what is known of a class's rate, per part and year.
type rate struct {
	median, low, high float64 // low to high: 90 %
	logNormal         distuv.LogNormal
	gamma             *distuv.Gamma
}

func (c *Class) rate() rate {
	switch {
	case c.Observed != nil:
		g := distuv.Gamma{Alpha: c.Observed.Events + 0.5, Beta: c.Observed.PartYears}
		return rate{median: g.Quantile(0.5), low: g.Quantile(0.05), high: g.Quantile(0.95), gamma: &g}
	case c.RatePerYear == 0 || c.ErrorFactor <= 1:
		return rate{median: c.RatePerYear, low: c.RatePerYear, high: c.RatePerYear}
	}
	sigma := math.Log(c.ErrorFactor) / distuv.UnitNormal.Quantile(0.95)
	return rate{
		median: c.RatePerYear, low: c.RatePerYear / c.ErrorFactor, high: c.RatePerYear * c.ErrorFactor,
		logNormal: distuv.LogNormal{Mu: math.Log(c.RatePerYear), Sigma: sigma},
	}
}

// validate lists what is wrong, each with the field it stands in.
func (m *Model) validate(fail func(field, format string, args ...any)) {
	if m.Schema != Schema {
		fail("schema", "%q is not %s", m.Schema, Schema)
	}
	checkSpan := func(field string, s Span) {
		if _, err := s.compile(); err != nil {
			fail(field, "%v", err)
		}
	}
	checkSpan("rules.by_hand", m.Rules.ByHand)
	if u := m.Rules.Unseen; u.Index != 0 {
		if !(u.Index > 1) || math.IsInf(u.Index, 0) {
			fail("rules.unseen.index", "%v is not above 1 (a tail without a mean), nor 0 (no tail)", u.Index)
		}
		if _, err := (Span{Value: u.Floor}).compile(); err != nil {
			fail("rules.unseen.floor", "%v", err)
		}
	}
	oneOf := func(field, v string, allowed ...string) {
		if !slices.Contains(allowed, v) {
			fail(field, "%q is not one of %s", v, strings.Join(allowed, ", "))
		}
	}
	oneOf("rules.overlap", m.Rules.Overlap, OverlapQuorum, OverlapIgnored)
	if len(m.Classes) == 0 {
		fail("classes", "has none; without faults there is nothing to project")
	}
	seen := map[string]bool{}
	for i := range m.Classes {
		c, at := &m.Classes[i], fmt.Sprintf("classes[%d].", i)
		switch {
		case c.Name == "":
			fail(at+"name", "is empty")
		case seen[c.Name]:
			fail(at+"name", "%q is there twice", c.Name)
		}
		seen[c.Name] = true
		if c.Kind != "" {
			oneOf(at+"kind", c.Kind, Fault, Maintenance)
		}
		oneOf(at+"parts", c.Parts, Node, Region, Link, WholeService)
		if c.Takes != "" {
			oneOf(at+"takes", c.Takes, Node, Region, WholeService, Nothing)
			if c.Takes == Node && c.Parts != Node {
				fail(at+"takes", "a fault of a %s does not say which node it takes", c.Parts)
			}
			if c.Takes == Region && c.Parts == WholeService {
				fail(at+"takes", "a fault of the topology does not say which region it takes")
			}
		}
		c.validateRate(at, fail)
		checkSpan(at+"repair", c.Repair)
		share := 0.0
		for j, cc := range c.CommonCause {
			f := fmt.Sprintf("%scommon_cause[%d].", at, j)
			if !(cc.Share > 0 && cc.Share <= 1) {
				fail(f+"share", "%v is not above 0 and at most 1", cc.Share)
			}
			share += cc.Share
			oneOf(f+"takes", cc.Takes, Region, WholeService)
			if cc.Takes == Region && c.Parts == WholeService {
				fail(f+"takes", "a fault of the topology does not say which region it takes")
			}
			if cc.Scenario == "" {
				fail(f+"scenario", "is empty; name the scenario that measures such an event")
			}
		}
		if share > 1 {
			fail(at+"common_cause", "the shares add up to %v, at most 1", share)
		}
		if a := c.Assume; a != nil {
			checkSpan(at+"assume.down", a.Down)
			checkSpan(at+"assume.undo", a.Undo)
			if a.Why == "" {
				fail(at+"assume.why", "is empty; say on what grounds this is assumed")
			}
		}
		if c.Scenario == "" && c.Assume == nil {
			fail(at+"scenario", "is empty; name the scenario that measures the class, or assume its downtime")
		}
		if len(c.Sources) == 0 {
			fail(at+"sources", "has none; say where the rate comes from")
		}
		for j, s := range c.Sources {
			if s.Title == "" {
				fail(fmt.Sprintf("%ssources[%d].title", at, j), "is empty")
			}
			if s.Derived == "" {
				fail(fmt.Sprintf("%ssources[%d].derived", at, j), "is empty; say how the figures follow from the source")
			}
		}
	}
}

func (c *Class) validateRate(at string, fail func(field, format string, args ...any)) {
	number := func(field string, v, least float64) {
		if !(v >= least) || v > 1e6 {
			fail(at+field, "%v is not from %v to a million", v, least)
		}
	}
	number("rate_per_year", c.RatePerYear, 0)
	if c.ErrorFactor != 0 {
		number("error_factor", c.ErrorFactor, 1)
		if c.ErrorFactor > 100 {
			fail(at+"error_factor", "%v is above 100, which is to know nothing", c.ErrorFactor)
		}
	}
	if o := c.Observed; o != nil {
		switch {
		case !(o.Events >= 0 && o.Events < 1e9) || o.Events != math.Trunc(o.Events):
			fail(at+"observed.events", "%v is not a count", o.Events)
		case !(o.PartYears > 0) || math.IsInf(o.PartYears, 0):
			fail(at+"observed.part_years", "%v is not positive", o.PartYears)
		}
		if c.RatePerYear != 0 || c.ErrorFactor != 0 {
			fail(at+"observed", "stands beside a rate; give one of them")
		}
	}
	if c.maintenance() && (c.Observed != nil || c.ErrorFactor > 1) {
		fail(at+"kind", "maintenance is planned: give rate_per_year alone")
	}
}
