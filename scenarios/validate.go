package scenarios

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fivenines/fivenines/faults"
	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/internal/closest"
	"github.com/fivenines/fivenines/scenarios/internal/strict"
	"github.com/fivenines/fivenines/slo"
)

// Validate says what is wrong with the scenario, naming fields. The file's
// name, which may be empty, goes before each.
func (s *Spec) Validate(file string) error { return s.validate(file, nil, DefaultRules()) }

// ValidateBy is Validate with other rules than those that come with fivenines.
func (s *Spec) ValidateBy(file string, rules *Rules) error { return s.validate(file, nil, rules) }

var nameRE = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

func (s *Spec) validate(file string, x strict.Index, rules *Rules) error {
	v := &validator{file: file, x: x, rules: rules}
	if !nameRE.MatchString(s.Name) || len(s.Name) > 64 {
		v.fail("name", "%q is not a name of lower-case letters, digits and single hyphens (at most 64)", s.Name)
	}
	if s.Target == "" {
		v.fail("target", "is empty; the system that comes with fivenines is called reference")
	}
	topo := v.topology(s)
	v.workload(&s.Workload, topo)
	v.timeline(s)
	v.steady(s)
	v.faults(s, topo)
	v.stop(&s.Stop)
	v.objectives(s)
	v.trials(s)
	if s.Seed < 0 {
		v.fail("seed", "%d is negative", s.Seed)
	}
	if len(v.errs) == 0 {
		return nil
	}
	slices.SortStableFunc(v.errs, func(a, b *strict.Error) int { return a.Line - b.Line })
	return v.errs
}

type validator struct {
	file  string
	x     strict.Index
	rules *Rules
	errs  strict.Errors
}

func (v *validator) fail(field, format string, args ...any) {
	e := &strict.Error{File: v.file, Field: field, Msg: fmt.Sprintf(format, args...)}
	if v.x != nil {
		e.Line = v.x.Line(field)
	}
	v.errs = append(v.errs, e)
}

func (v *validator) whole(field string, n, lo, hi int) {
	if n < lo || n > hi {
		v.fail(field, "%d is not from %d to %d", n, lo, hi)
	}
}

func (v *validator) number(field string, f, lo, hi float64) {
	if !(f >= lo && f <= hi) {
		v.fail(field, "%v is not from %v to %v", f, lo, hi)
	}
}

func (v *validator) duration(field string, d fixtures.Duration, lo, hi time.Duration) {
	if time.Duration(d) < lo || time.Duration(d) > hi {
		v.fail(field, "%v is not from %v to %v", d, lo, hi)
	}
}

func (v *validator) topology(s *Spec) *fixtures.Topology {
	if s.Topology.Inline == nil {
		t, err := Topology(s.Topology.Name)
		if err != nil {
			v.fail("topology", "%v", err)
		}
		return t
	}
	if err := s.Topology.Inline.Validate(); err != nil {
		v.errs = append(v.errs, located(v.file, v.x, "topology", err))
		return nil
	}
	return s.Topology.Inline
}

func (v *validator) region(field, name string, topo *fixtures.Topology) {
	if topo == nil || topo.Region(name) != nil {
		return
	}
	var names []string
	for _, r := range topo.Regions {
		names = append(names, r.Name)
	}
	v.fail(field, "no region is called %q; %s", name, closest.Meant(name, names))
}

func (v *validator) workload(w *Workload, topo *fixtures.Topology) {
	v.whole("workload.sessions", w.Sessions, 1, 10_000_000)
	v.number("workload.rate", w.Rate, 1, 2_000_000)
	m := w.Mix
	if sum := float64(m.Read + m.Update + m.Create + m.Touch + m.Close); math.Abs(sum-100) > 1e-6 {
		v.fail("workload.mix", "adds up to %s, not 100 %%", Percent(math.Round(sum*1e6)/1e6))
	}
	v.whole("workload.state_bytes", w.StateBytes, 64, 1<<20)
	v.duration("workload.ttl", w.TTL, time.Second, 24*time.Hour)
	if w.Short.Share > 0 {
		v.duration("workload.short.ttl", w.Short.TTL, time.Second, 24*time.Hour)
	}
	if w.Zipf != 0 && !(w.Zipf > 1 && w.Zipf <= 10) {
		v.fail("workload.zipf", "%v is not 0 (uniform) and not more than 1 to 10", w.Zipf)
	}
	var sum Percent
	for _, name := range slices.Sorted(maps.Keys(w.Clients)) {
		v.region("workload.clients."+name, name, topo)
		sum += w.Clients[name]
	}
	if len(w.Clients) > 0 && math.Abs(float64(sum)-100) > 1e-6 {
		v.fail("workload.clients", "adds up to %s, not 100 %%", sum)
	}
	if w.Through != "" && w.Through != ThroughNodes && w.Through != ThroughBalancers && w.Through != ThroughDNS {
		v.fail("workload.through", "%q is not %s, %s or %s", w.Through, ThroughNodes, ThroughBalancers, ThroughDNS)
	}
	v.homes(w, topo)
	v.number("workload.witness.rate", w.Witness.Rate, 0, w.Rate)
	switch {
	case w.Witness.Rate > 0 && w.Witness.Region == "":
		v.fail("workload.witness.region", "is needed: the region that the witness clients stay with")
	case w.Witness.Region != "":
		v.region("workload.witness.region", w.Witness.Region, topo)
	}
	v.whole("workload.contested.sessions", w.Contested.Sessions, 0, min(100_000, max(w.Sessions, 0)))
	v.number("workload.contested.rate", w.Contested.Rate, 0, w.Rate)
	if (w.Contested.Sessions == 0) != (w.Contested.Rate == 0) {
		v.fail("workload.contested", "sessions and rate are both 0, or neither")
	}
	v.number("workload.eventual.rate", w.Eventual.Rate, 0, w.Rate)
	switch {
	case w.Eventual.Rate > 0 && w.Eventual.Region == "":
		v.fail("workload.eventual.region", "is needed: the region whose replicas are read")
	case w.Eventual.Region != "":
		v.region("workload.eventual.region", w.Eventual.Region, topo)
	}
	if aside := w.Witness.Rate + w.Contested.Rate + w.Eventual.Rate; aside >= w.Rate && aside > 0 {
		v.fail("workload.rate", "%v leaves nothing beside the witness (%v), contested (%v) and eventual (%v) operations", w.Rate, w.Witness.Rate, w.Contested.Rate, w.Eventual.Rate)
	}
}

func (v *validator) homes(w *Workload, topo *fixtures.Topology) {
	switch {
	case w.Homes != "" && w.Homes != HomesAny && w.Homes != HomesLocal:
		v.fail("workload.homes", "%q is not %s or %s", w.Homes, HomesAny, HomesLocal)
	case w.Homes != HomesLocal || topo == nil:
	case len(topo.Active()) == 0:
		v.fail("workload.homes", "%s needs a topology with active regions; in %s one region leads alone", HomesLocal, topo.Name)
	default:
		for _, name := range slices.Sorted(maps.Keys(w.Clients)) {
			if r := topo.Region(name); r != nil && r.Role != fixtures.Active && w.Clients[name] > 0 {
				v.fail("workload.clients."+name, "no shard is at home there (its role is %s), which workload.homes: %s asks for", r.Role, HomesLocal)
			}
		}
	}
}

func (v *validator) timeline(s *Spec) {
	v.duration("timeline.before", s.Timeline.Before, time.Second, 24*time.Hour)
	v.duration("timeline.after", s.Timeline.After, time.Second, 24*time.Hour)
	v.duration("timeline.settle", s.Timeline.Settle, 0, time.Hour)
	if hold := v.rules.Hold; len(s.Faults) > 0 {
		const why = "%v is too short: an outage counts as over only after %v without a bad operation"
		if s.Timeline.After <= hold {
			v.fail("timeline.after", why, s.Timeline.After, hold)
		}
		if s.Timeline.Settle > 0 && s.Timeline.Settle <= hold {
			v.fail("timeline.settle", why+" (0 leaves it out)", s.Timeline.Settle, hold)
		}
	}
}

func (v *validator) steady(s *Spec) {
	v.duration("steady_state.window", s.Steady.Window, 100*time.Millisecond, time.Minute)
	if s.Steady.Window > s.Timeline.Before {
		v.fail("steady_state.window", "%v is longer than the load before the fault (%v)", s.Steady.Window, s.Timeline.Before)
	}
	if !(s.Steady.Success > 0 && s.Steady.Success <= 100) {
		v.fail("steady_state.success", "%v is not above 0 %% and up to 100 %%", s.Steady.Success)
	}
	v.duration("steady_state.read_p99", s.Steady.ReadP99, 0, time.Minute)
	v.duration("steady_state.write_p99", s.Steady.WriteP99, 0, time.Minute)
}

func (v *validator) faults(s *Spec, topo *fixtures.Topology) {
	var kinds []string
	for _, k := range faults.Kinds() {
		kinds = append(kinds, k.Kind)
	}
	load := time.Duration(s.Timeline.Before + s.Timeline.After)
	for i, f := range s.Faults {
		at := fmt.Sprintf("faults[%d]", i)
		v.fault(s, i, at, kinds, topo)
		if f.At < 0 || f.For < 0 {
			v.fail(at, "at and for can't be negative")
		}
		if when := s.at(i); when >= load {
			v.fail(at+".at", "%v is not before the end of the load (%v)", when, load)
		} else if end := when + time.Duration(f.For); end > load {
			v.fail(at+".for", "lasts until %v, past the end of the load (%v)", end, load)
		} else if when < time.Duration(s.Timeline.Before) {
			v.fail(at+".at", "%v is inside the %v (timeline.before) in which nothing may be broken", when, s.Timeline.Before)
		}
		if f.For > 0 && f.Until != nil {
			v.fail(at+".until", "for and until can't both end a fault")
		}
	}
}

func (v *validator) fault(s *Spec, i int, at string, kinds []string, topo *fixtures.Topology) {
	f := s.Faults[i]
	field := at + ".kind"
	switch {
	case f.Fault != "" && (f.Kind != "" || len(f.Params) > 0):
		v.fail(at, "fault and kind say the same thing twice; leave one out")
		return
	case f.Fault == "" && f.Kind == "":
		v.fail(at, "needs a fault such as region-loss(region=us-east-1), or a kind (%s)", strings.Join(kinds, ", "))
		return
	case f.Fault != "":
		field = at + ".fault"
	}
	kind, params, err := f.resolve()
	if err != nil {
		v.fail(field, "%v", err)
		return
	}
	if !slices.Contains(kinds, kind) {
		v.fail(field, "no fault is called %q; %s", kind, closest.Meant(kind, kinds))
		return
	}
	if topo == nil {
		return // said already; victims can't be checked
	}
	if _, err := faults.New(kind, params, topo); err != nil {
		if f.Fault == "" {
			field = at + ".params"
		}
		v.fail(field, "%v", err)
	}
	if kind == "power-loss" && !s.RecordSync {
		v.fail("record_sync", "must be true for power-loss: only then do nodes know what was not synced")
	}
}

func (v *validator) stop(s *Stop) {
	if !(s.Bad.Share > 0 && s.Bad.Share <= 100) {
		v.fail("stop.bad.share", "%v is not above 0 %% and up to 100 %% (which never stops)", s.Bad.Share)
	}
	v.duration("stop.bad.over", s.Bad.Over, time.Second, 24*time.Hour)
	v.duration("stop.max_duration", s.MaxDuration, 10*time.Second, 7*24*time.Hour)
	v.whole("stop.unasked_deaths", s.UnaskedDeaths, 0, 200)
}

func (v *validator) objectives(s *Spec) {
	names := slo.Names()
	for _, name := range slices.Sorted(maps.Keys(s.Objectives)) {
		field := "objectives." + name
		if !slices.Contains(names, name) {
			v.fail(field, "no objective is called %q; %s", name, closest.Meant(name, names))
			continue
		}
		expr, err := v.rules.objective(name, s.Objectives[name])
		if err == nil {
			_, err = slo.ParseTarget(name, expr)
		}
		if err != nil {
			v.fail(field, "%v", err)
		}
	}
}

func (v *validator) trials(s *Spec) {
	const most = 100_000
	v.whole("trials", s.Trials, 1, most)
	if s.MaxTrials == 0 {
		return
	}
	if s.MaxTrials < s.Trials || s.MaxTrials > most {
		v.fail("max_trials", "%d is not from %d (trials) to %d", s.MaxTrials, s.Trials, most)
	}
	for name, expr := range s.Objectives {
		expr, err := v.rules.objective(name, expr)
		if err != nil {
			continue // told already
		}
		if t, err := slo.ParseTarget(name, expr); err == nil && t.Quantile > 0 {
			return
		}
	}
	v.fail("max_trials", "no objective bounds a quantile over trials, so that nothing decides when to stop; declare one such as failover: p90 < 5 s")
}
