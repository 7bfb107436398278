package slo

import (
	"fmt"
	"time"

	"github.com/fivenines/fivenines/slo/projection"
	"github.com/fivenines/fivenines/slo/stats"
)

// VerificationSchema is what Verification.Schema says.
const VerificationSchema = "fivenines-verify/v1"

// Verification is what a set of scenarios together says of a year: verify.json.
type Verification struct {
	Schema     string                 `json:"schema"`
	Verdict    Verdict                `json:"verdict"` // the worst of the scenarios' and the projection's
	Summary    string                 `json:"summary"`
	Target     string                 `json:"target"`
	Backend    string                 `json:"backend"`
	Mutant     string                 `json:"mutant"`
	Machine    string                 `json:"machine"`
	Version    string                 `json:"version"`
	Command    string                 `json:"command,omitempty"`
	Started    time.Time              `json:"started"` // of the first run
	Scenarios  []Verified             `json:"scenarios"`
	Projection *projection.Projection `json:"projection"`
}

// Verified is one scenario of a verification.
type Verified struct {
	Name       string      `json:"name"`
	Folder     string      `json:"folder"` // of the run, with its own report
	Seed       int64       `json:"seed"`
	Verdict    Verdict     `json:"verdict"`
	Summary    string      `json:"summary"`
	Trials     int         `json:"trials"`
	Void       int         `json:"void"`
	Objectives []Objective `json:"objectives"` // those that are not met
	// Down and Undo are the outages that the projection was made from, seconds.
	Down []stats.Duration `json:"down"`
	Undo []stats.Duration `json:"undo"`
}

// Downtimes are the outages of the run's faults, and of their undoing, trial by
// trial, as a projection wants them: the longest of all partitions. Trials
// without a fault, and void ones, are left out.
func (r *Result) Downtimes() []projection.Trial {
	var out []projection.Trial
	of := func(o *Outage) stats.Duration { return stats.Duration{Seconds: o.Value, Censored: o.Censored} }
	for i := range r.Trials {
		t := &r.Trials[i]
		if len(t.Void) > 0 {
			continue
		}
		var d projection.Trial
		for j := range t.Faults {
			f := &t.Faults[j]
			if f.Failover != nil {
				d.Down = append(d.Down, of(f.Failover))
			}
			if f.Undo != nil {
				d.Undo = append(d.Undo, of(f.Undo))
			}
		}
		if len(d.Down) > 0 {
			out = append(out, d)
		}
	}
	return out
}

// Verify joins the results of scenarios to one verdict, and projects what a year
// would bring. folders are where each result's run lies.
func Verify(results []*Result, folders []string, m *projection.Model, o projection.Options) (*Verification, error) {
	if len(results) == 0 {
		return nil, fmt.Errorf("there is no run to verify by")
	}
	first := results[0]
	v := &Verification{
		Schema: VerificationSchema, Target: first.Target, Backend: first.Backend, Mutant: first.Mutant,
		Machine: first.Machine, Version: first.Version, Started: first.Started, Scenarios: []Verified{},
	}
	measured := projection.Measured{}
	for i, r := range results {
		if r.Target != v.Target || r.Mutant != v.Mutant || r.Backend != v.Backend {
			return nil, fmt.Errorf("%s and %s are not runs of the same system: target %s, backend %s, mutant %q; target %s, backend %s, mutant %q",
				folders[0], folders[i], v.Target, v.Backend, v.Mutant, r.Target, r.Backend, r.Mutant)
		}
		for j, o := range results[:i] {
			if o.Scenario == r.Scenario && o.Seed == r.Seed && o.Started.Equal(r.Started) && !r.Started.IsZero() {
				return nil, fmt.Errorf("%s and %s are the same run, whose trials would count twice; leave one out", folders[j], folders[i])
			}
		}
		s := Verified{
			Name: r.Scenario, Folder: folders[i], Seed: r.Seed, Verdict: r.Verdict, Summary: r.Summary, Trials: len(r.Trials),
			Objectives: []Objective{}, Down: []stats.Duration{}, Undo: []stats.Duration{},
		}
		for j := range r.Trials {
			if len(r.Trials[j].Void) > 0 {
				s.Void++
			}
		}
		for _, obj := range r.Objectives {
			if obj.Verdict == Missed || obj.Verdict == Inconclusive {
				s.Objectives = append(s.Objectives, obj)
			}
		}
		for _, d := range r.Downtimes() {
			s.Down = append(s.Down, d.Down...)
			s.Undo = append(s.Undo, d.Undo...)
			measured[r.Scenario] = append(measured[r.Scenario], d)
		}
		if r.Started.Before(v.Started) {
			v.Started = r.Started
		}
		v.Scenarios = append(v.Scenarios, s)
	}
	var err error
	if v.Projection, err = projection.Project(m, measured, o); err != nil {
		return nil, fmt.Errorf("project a year: %w", err)
	}
	v.judge()
	return v, nil
}

func (v *Verification) judge() {
	v.Verdict = Verdict(v.Projection.Verdict)
	var missed, open []string
	for _, s := range v.Scenarios {
		switch s.Verdict {
		case Met:
			continue
		case Missed:
			missed = append(missed, s.Name)
			v.Verdict = Missed
		default:
			open = append(open, s.Name)
			if v.Verdict == Met {
				v.Verdict = Inconclusive
			}
		}
	}
	words := v.Projection.Words()
	lead := ""
	if len(words) > 0 {
		lead = words[0]
	}
	switch {
	case len(missed) > 0:
		lead = fmt.Sprintf("Missed in %s. %s", joinAnd(missed), lead)
	case v.Verdict == Missed:
		lead = "Missed by the projection. " + lead
	case len(open) > 0:
		lead = fmt.Sprintf("Inconclusive in %s. %s", joinAnd(open), lead)
	case v.Verdict == Inconclusive:
		lead = "Inconclusive: " + v.Projection.Why + ". " + lead
	default:
		lead = fmt.Sprintf("Met: %d scenarios. %s", len(v.Scenarios), lead)
	}
	v.Summary = lead
}
