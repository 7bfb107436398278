package scenarios

import (
	"time"

	"github.com/fivenines/fivenines/loadgen/livemetrics"
	"github.com/fivenines/fivenines/slo"
)

// shown is what live metrics say of a run.
func (r *run) shown() livemetrics.Info {
	info := livemetrics.Info{
		Scenario: r.spec.Name, Target: r.spec.Target, Backend: r.opt.Backend.Name(), Mutant: r.opt.Mutant, Seed: r.spec.Seed,
		Deadline: time.Duration(r.rules.Deadline), Objectives: map[string]string{},
	}
	for name, bound := range r.spec.Objectives {
		if said, err := r.rules.objective(name, bound); err == nil {
			bound = said
		}
		info.Objectives[name] = bound
	}
	for _, g := range r.topo.Regions {
		info.Regions = append(info.Regions, g.Name)
	}
	return info
}

// showVerdict ends the run for who looks at it live; res may be nil.
func (r *run) showVerdict(res *slo.Result) {
	var rows []livemetrics.Objective
	if res != nil {
		for _, o := range res.Objectives {
			row := livemetrics.Objective{Name: o.Name, Verdict: string(o.Verdict)}
			if o.Measured != nil {
				row.Measured = &o.Measured.Value
			}
			rows = append(rows, row)
		}
	}
	r.live.Judged(rows)
}
