package reports

import (
	"fmt"
	"io"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/fivenines/fivenines/slo"
)

// WriteTextfile writes the result as Prometheus metrics, for the textfile
// collector of the node exporter: gauges, in seconds and ratios, which carry the
// scenario, target, backend and mutant as labels. A value that was not measured
// is left out; a verdict is one series for each possible one, 1 for that which is.
func WriteTextfile(w io.Writer, r *slo.Result) error {
	m := &metrics{registry: prometheus.NewRegistry(), vecs: map[string]*prometheus.GaugeVec{}, run: prometheus.Labels{
		"scenario": clip(r.Scenario, 200), "target": clip(r.Target, 200), "backend": clip(r.Backend, 200), "mutant": clip(r.Mutant, 200),
	}}
	m.verdict("fivenines_run_verdict", "Verdict of the run: 1 for the one that it is.", overall(r), nil)
	m.set("fivenines_run_info", "What was run; always 1.", 1, prometheus.Labels{"seed": fmt.Sprint(r.Seed), "version": clip(r.Version, 200)})
	if !r.Started.IsZero() {
		m.set("fivenines_run_start_timestamp_seconds", "When the run began, in seconds of Unix time.", float64(r.Started.UnixMilli())/1000, nil)
	}
	m.load(r)
	for i := range r.Objectives {
		m.objective(&r.Objectives[i])
	}
	families, err := m.registry.Gather()
	if err != nil {
		return fmt.Errorf("metrics of %s: %w", clip(r.Scenario, 200), err)
	}
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(w, f); err != nil {
			return fmt.Errorf("metrics of %s: %w", clip(r.Scenario, 200), err)
		}
	}
	return nil
}

// metrics are those of one run.
type metrics struct {
	registry *prometheus.Registry
	vecs     map[string]*prometheus.GaugeVec
	run      prometheus.Labels
}

// set sets a series unless its value is no number. The labels of one name are the same in all calls.
func (m *metrics) set(name, help string, value float64, labels prometheus.Labels) {
	if !finite(value) {
		return
	}
	v := m.vecs[name]
	if v == nil {
		var names []string
		for l := range labels {
			names = append(names, l)
		}
		v = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: m.run}, names)
		m.registry.MustRegister(v)
		m.vecs[name] = v
	}
	v.With(labels).Set(value)
}

func (m *metrics) verdict(name, help string, is slo.Verdict, labels prometheus.Labels) {
	for _, v := range []slo.Verdict{slo.Met, slo.Missed, slo.Inconclusive} {
		one := 0.0
		if v == is {
			one = 1
		}
		with := prometheus.Labels{"verdict": string(v)}
		for k, l := range labels {
			with[k] = l
		}
		m.set(name, help, one, with)
	}
}

func (m *metrics) load(r *slo.Result) {
	void := 0
	for i := range r.Trials {
		if len(r.Trials[i].Void) > 0 {
			void++
		}
	}
	m.set("fivenines_run_trials", "Trials of the run.", float64(len(r.Trials)-void), prometheus.Labels{"state": "valid"})
	m.set("fivenines_run_trials", "Trials of the run.", float64(void), prometheus.Labels{"state": "void"})
	l := &r.Load
	m.set("fivenines_run_sessions", "Live sessions of the load.", float64(l.Sessions), nil)
	m.set("fivenines_run_offered_operations_per_second", "Operations a second that were to be offered.", l.TargetRPS, nil)
	m.set("fivenines_run_served_operations_per_second", "Operations a second that were answered in time before the first fault.", l.AchievedRPS, nil)
	for outcome, n := range map[string]uint64{"ok": l.OK, "failed": l.Failed, "unknown": l.Unknown, "unsent": l.Unsent} {
		m.set("fivenines_run_operations", "Operations of the load by what came of them, over all trials.", float64(n), prometheus.Labels{"outcome": outcome})
	}
	m.set("fivenines_run_schedule_lag_seconds", "How late the generator sent, at the percentile 99.9.", l.ScheduleLagMSP999/1000, nil)
	for of, q := range map[string]*slo.Latency{"all": &l.Latency, "read": l.Read, "write": l.Write} {
		if q == nil {
			continue
		}
		for p, ms := range map[string]float64{"50": q.P50, "99": q.P99, "99.9": q.P999, "100": q.Max} {
			m.set("fivenines_run_latency_seconds", "Latency of operations from when they were due, at a percentile.", ms/1000, prometheus.Labels{"operation": of, "percentile": p})
		}
	}
}

// units are the ends of names and what is meant, by the unit of an objective.
var units = map[string][2]string{"s": {"seconds", "in seconds"}, "share": {"ratio", "as a ratio"}, "count": {"items", "as a number"}}

func (m *metrics) objective(o *slo.Objective) {
	unit, ok := units[o.Unit]
	if !ok {
		return
	}
	labels := prometheus.Labels{"objective": clip(o.Name, 200)}
	if v := known(o.Verdict); v != slo.NotEvaluated {
		m.verdict("fivenines_objective_verdict", "Verdict on a declared objective: 1 for the one that it is.", v, labels)
	}
	if o.Measured != nil {
		m.set("fivenines_objective_measured_"+unit[0], "What was measured for an objective, "+unit[1]+"; the least that it is where no more is known.", o.Measured.Value, labels)
	}
	if b, least, ok := bound(o); ok {
		side := map[bool]string{true: "min", false: "max"}[least]
		m.set("fivenines_objective_target_"+unit[0], "The bound of a declared objective, "+unit[1]+"; side says which.", b, prometheus.Labels{"objective": labels["objective"], "side": side})
	}
}
