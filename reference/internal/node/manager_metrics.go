package node

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
)

// manager registers the failover manager's metrics.
func (m *metrics) manager(n *Node) {
	m.decisions = prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "fivenines", Name: "failover_events_total", Help: "What the failover manager of this node saw and decided."}, []string{"kind", "priority"})
	m.reg.MustRegister(m.decisions, phiCollector{n})
	n.manager.replication = newReplication(m.reg)
	m.reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "fivenines", Name: "role_changes_total", Help: "Role changes that this node proposed and that were applied."},
		func() float64 { return float64(n.manager.promoted.Load()) }))
}

// phiCollector tells how much each peer is suspected.
type phiCollector struct{ n *Node }

var phiDesc = prometheus.NewDesc("fivenines_phi", "Suspicion of a peer: the negative decimal logarithm of the probability that it is only late.", []string{"peer"}, nil)

func (c phiCollector) Describe(ch chan<- *prometheus.Desc) { ch <- phiDesc }

func (c phiCollector) Collect(ch chan<- prometheus.Metric) {
	for _, p := range c.n.peers {
		if p != nil {
			ch <- prometheus.MustNewConstMetric(phiDesc, prometheus.GaugeValue, math.Float64frombits(p.phi.Load()), p.id)
		}
	}
}
