package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fivenines/fivenines/reference/internal/route"
)

// pathMetrics shows the paths to other regions.
type pathMetrics struct {
	n     *Node
	rows  []pathMetric
	moves *prometheus.Desc
}

type pathMetric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(s *route.Stats) float64
}

func (m *metrics) registerPaths(n *Node) {
	if len(n.routers) == 0 {
		return
	}
	p := &pathMetrics{n: n}
	labels := []string{"region", "path"}
	row := func(name, help string, kind prometheus.ValueType, of func(s *route.Stats) float64) {
		p.rows = append(p.rows, pathMetric{prometheus.NewDesc("fivenines_path_"+name, help, labels, nil), kind, of})
	}
	is := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	row("rtt_seconds", "Median round trip of the last probes.", prometheus.GaugeValue, func(s *route.Stats) float64 { return s.RTT.Seconds() })
	row("latency_over_baseline_seconds", "Round trip beyond the configured one; the objective is below 0.05.", prometheus.GaugeValue, func(s *route.Stats) float64 { return s.Latency.Seconds() })
	row("jitter_over_baseline_seconds", "Jitter (RFC 3550) beyond the configured one; the objective is below 0.002.", prometheus.GaugeValue, func(s *route.Stats) float64 { return s.Jitter.Seconds() })
	row("loss_ratio", "Share of the last 32 probes that were not answered in time.", prometheus.GaugeValue, func(s *route.Stats) float64 { return s.Loss })
	row("probes_total", "Probes sent.", prometheus.CounterValue, func(s *route.Stats) float64 { return float64(s.Sent) })
	row("probes_lost_total", "Probes that were not answered in time; the objective is below 0.0001 of those sent.", prometheus.CounterValue, func(s *route.Stats) float64 { return float64(s.Lost) })
	row("announced", "1 while the path is announced.", prometheus.GaugeValue, func(s *route.Stats) float64 { return is(s.Announced) })
	row("suppressed", "1 while the path is kept away because it came and went too often.", prometheus.GaugeValue, func(s *route.Stats) float64 { return is(s.Suppressed) })
	row("in_use", "1 for the path that connections to the region run over.", prometheus.GaugeValue, func(s *route.Stats) float64 { return is(s.InUse) })
	p.moves = prometheus.NewDesc("fivenines_route_moves_total", "Moves of the connections to a region to another path.", []string{"region"}, nil)
	m.reg.MustRegister(p)
}

// Describe implements prometheus.Collector.
func (p *pathMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, r := range p.rows {
		out <- r.desc
	}
	out <- p.moves
}

// Collect implements prometheus.Collector.
func (p *pathMetrics) Collect(out chan<- prometheus.Metric) {
	for _, r := range p.n.routers {
		for i, s := range r.snapshot() {
			for _, row := range p.rows {
				out <- prometheus.MustNewConstMetric(row.desc, row.kind, row.of(&s), r.region, r.names[i])
			}
		}
		out <- prometheus.MustNewConstMetric(p.moves, prometheus.CounterValue, float64(r.moves.Load()), r.region)
	}
}
