package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fivenines/fivenines/reference/internal/gateway"
)

// operationsCollector shows what the front door counted of its commands.
type operationsCollector struct{ s *gateway.Server }

var (
	operationsDesc = prometheus.NewDesc("fivenines_command_outcomes_total",
		"Client commands by what their reply said: ok, overloaded (certainly not applied, since this node or the leader sheds load), notapplied (certainly not applied), unknown (may have been applied), badrequest (any other error); gone: the connection ended before the reply. Names that are no command are other.",
		[]string{"command", "outcome"}, nil)
	durationDesc = prometheus.NewDesc("fivenines_command_duration_seconds",
		"Server side: from when a client command was read to when its reply was ready, whatever that said. It holds the way to the leader and back, but not that between client and node, nor a wait in the socket or behind replies that the client has not taken.",
		[]string{"command"}, nil)
)

// Describe implements prometheus.Collector.
func (c operationsCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- operationsDesc
	ch <- durationDesc
}

// Collect implements prometheus.Collector.
func (c operationsCollector) Collect(ch chan<- prometheus.Metric) {
	for _, op := range c.s.Operations() {
		for o, n := range op.Outcomes {
			ch <- prometheus.MustNewConstMetric(operationsDesc, prometheus.CounterValue, float64(n), op.Command, gateway.Outcomes[o])
		}
		ch <- prometheus.MustNewConstHistogram(durationDesc, op.Count, op.Sum, op.Buckets, op.Command)
	}
}
