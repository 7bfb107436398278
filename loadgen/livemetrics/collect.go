package livemetrics

import (
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fivenines/fivenines/loadgen"
	"github.com/fivenines/fivenines/loadgen/history"
)

// Metric describes one metric, for the reference.
type Metric struct {
	Name, Type, Help string
	Labels           []string // beside scenario
}

// All lists every metric, in the order in which they are read best.
func All() []Metric { return slices.Clone(all) }

var all = []Metric{
	{runInfo, "gauge", "1 for each scenario of this process; running says whether it goes on.", []string{"target", "backend", "mutant", "seed", "running"}},
	{phase, "gauge", "1 for the part of a trial that goes on: bringing (nodes up), creating (sessions), load-main, load-settle, undoing, waiting, reading (sessions back), stopping.", []string{"phase"}},
	{trial, "gauge", "Number of the trial that goes on.", nil},
	{intended, "counter", "Operations that the schedule called for, those under way included.", nil},
	{offered, "counter", "Operations that were offered and have ended, whatever came of them, under load, while sessions were created (fill) and read back.", []string{"during", "kind", "region", "class"}},
	{operations, "counter", "The same by outcome: ok (served), failed (certainly not applied), unknown (may have been), unsent (the generator never sent it).", []string{"during", "kind", "region", "class", "outcome"}},
	{bad, "counter", "Operations under load that count for availability and were not ok before the deadline, by the intended start.", []string{"kind", "region"}},
	{latency, "histogram", "From the intended start to the end of operations under load that count for availability, unsent ones aside.", []string{"kind", "region"}},
	{lag, "gauge", "How late the generator sent, at the quantile 0.999, in this phase of load; the run is inconclusive above 100 ms.", nil},
	{generatorCPU, "counter", "Processor time of the load generator, estimated.", nil},
	{live, "gauge", "Sessions that the generator believes to be live.", nil},
	{steady, "gauge", "1 if the steady-state hypothesis held in the latest window of load.", nil},
	{faultState, "gauge", "1 for the state of each fault: asked, proved, unproved or undone.", []string{"fault", "kind", "state"}},
	{faultsTotal, "counter", "Faults that reached a state.", []string{"kind", "state"}},
	{events, "counter", "Events of the record, by who reported them: platform (nodes, load balancers, alerts) or harness.", []string{"source", "event"}},
	{availability, "gauge", "Estimate: good over ended operations so far, of those that count for availability.", nil},
	{outage, "gauge", "Estimate: from the first bad operation since the latest fault was asked for to the end of the last, over all partitions; no partition's failover took longer. The verdict judges each partition.", nil},
	{objective, "gauge", "1 for each objective that the scenario declares.", []string{"objective", "bound"}},
	{measured, "gauge", "What was measured for an objective, in its unit, once the run is judged.", []string{"objective"}},
	{verdict, "gauge", "1 for the verdict on each objective, once the run is judged.", []string{"objective", "verdict"}},
	{strange, "counter", "Operations of a region or kind that is not known here, and so in no other counter.", nil},
}

// Names of the metrics.
const (
	runInfo      = "fivenines_run_info"
	phase        = "fivenines_run_phase"
	trial        = "fivenines_run_trial"
	intended     = "fivenines_operations_intended_total"
	offered      = "fivenines_operations_offered_total"
	operations   = "fivenines_operations_total"
	bad          = "fivenines_operations_bad_total"
	latency      = "fivenines_operation_latency_seconds"
	lag          = "fivenines_schedule_lag_seconds"
	generatorCPU = "fivenines_generator_cpu_seconds_total"
	live         = "fivenines_sessions_live"
	steady       = "fivenines_steady_state"
	faultState   = "fivenines_fault_state"
	faultsTotal  = "fivenines_faults_total"
	events       = "fivenines_events_total"
	availability = "fivenines_availability_ratio"
	outage       = "fivenines_outage_seconds"
	objective    = "fivenines_objective_info"
	measured     = "fivenines_objective_measured"
	verdict      = "fivenines_objective_verdict"
	strange      = "fivenines_operations_uncounted_total"
)

var descs = func() map[string]*prometheus.Desc {
	ds := map[string]*prometheus.Desc{}
	for _, m := range all {
		ds[m.Name] = prometheus.NewDesc(m.Name, m.Help, append([]string{"scenario"}, m.Labels...), nil)
	}
	return ds
}()

var valueTypes = func() map[string]prometheus.ValueType {
	ts := map[string]prometheus.ValueType{}
	for _, m := range all {
		ts[m.Name] = prometheus.GaugeValue
		if m.Type == "counter" {
			ts[m.Name] = prometheus.CounterValue
		}
	}
	return ts
}()

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	runs := slices.Clone(m.runs)
	m.mu.Unlock()
	for _, r := range runs {
		r.collect(ch)
	}
}

func (r *Run) collect(ch chan<- prometheus.Metric) {
	r.mu.Lock()
	asks := r.generator
	r.mu.Unlock()
	var now loadgen.Stats
	if asks != nil {
		now = asks() // not under our lock: it takes the generator's, which records under none
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	put := func(name string, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(descs[name], valueTypes[name], value, append([]string{r.info.Scenario}, labels...)...)
	}

	i := r.info
	put(runInfo, 1, i.Target, i.Backend, i.Mutant, strconv.FormatInt(i.Seed, 10), strconv.FormatBool(!r.ended))
	if r.phase != "" {
		put(phase, 1, r.phase)
		put(trial, float64(r.trial))
	}
	put(intended, float64(r.before.Intended+now.Intended))
	put(generatorCPU, (r.before.CPU + now.CPU).Seconds())
	if asks != nil {
		put(lag, now.LagP999.Seconds())
		put(live, float64(now.Live))
	}
	put(strange, float64(r.strange))
	r.collectOperations(ch, put)
	if r.steady != nil {
		put(steady, oneIf(*r.steady))
	}
	for text, f := range r.faults {
		put(faultState, 1, text, f.kind, f.state)
	}
	for k, n := range r.faultsN {
		put(faultsTotal, float64(n), k[0], k[1])
	}
	for k, n := range r.events {
		put(events, float64(n), k[0], k[1])
	}
	if r.faulty {
		took := 0.0
		if r.anyBad {
			took = (r.lastBad - r.firstBad).Seconds()
		}
		put(outage, took)
	}
	for name, bound := range i.Objectives {
		put(objective, 1, name, bound)
	}
	for _, o := range r.judged {
		put(verdict, 1, o.Name, o.Verdict)
		if o.Measured != nil {
			put(measured, *o.Measured, o.Name)
		}
	}
}

// collectOperations leaves out what never happened: most kinds do not occur in most classes.
func (r *Run) collectOperations(ch chan<- prometheus.Metric, put func(string, float64, ...string)) {
	var all, failed uint64
	for g := range r.regions {
		c, region := &r.regions[g], r.info.Regions[g]
		for k := 1; k < kinds; k++ {
			kind, counted := history.Kind(k).String(), uint64(0)
			for under := range c.n {
				for cl := 1; cl < classes; cl++ {
					class, sum := history.Class(cl), uint64(0)
					for o := 1; o < outcomes; o++ {
						if n := c.n[under][k][cl][o]; n > 0 {
							sum += n
							put(operations, float64(n), during(under, class), kind, region, class.String(), history.Outcome(o).String())
						}
					}
					if sum > 0 {
						put(offered, float64(sum), during(under, class), kind, region, class.String())
					}
					if under == 1 && available(class) {
						counted += sum
					}
				}
			}
			if counted == 0 {
				continue
			}
			all, failed = all+counted, failed+c.bad[k]
			put(bad, float64(c.bad[k]), kind, region)
			h := &c.lat[k]
			cumulated, below := uint64(0), map[float64]uint64{}
			for b, n := range h.buckets {
				cumulated += n
				if b < len(Buckets) {
					below[Buckets[b]] = cumulated
				}
			}
			ch <- prometheus.MustNewConstHistogram(descs[latency], cumulated, h.sum.Seconds(), below, r.info.Scenario, kind, region)
		}
	}
	if all > 0 {
		put(availability, 1-float64(failed)/float64(all))
	}
}

// during says which part of a trial operations belong to.
func during(under int, c history.Class) string {
	switch {
	case under == 1:
		return "load"
	case c == history.Audit:
		return "read-back"
	}
	return "fill"
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
