package node

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fivenines/fivenines/reference/internal/admission"
)

// guardCollector tells what is taken and what is refused.
type guardCollector struct{ g *guard }

func guardDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("fivenines_"+name, help, labels, nil)
}

var (
	admittedDesc      = guardDesc("operations_admitted_total", "Operations that this node took on, beside those that it answered at once from its own memory.", "priority")
	refusedDesc       = guardDesc("operations_shed_total", "Operations that this node refused, by the reason: usage (of CPU or memory), in-flight (too many), shard (too many of one shard).", "priority", "reason")
	limitDesc         = guardDesc("in_flight_limit", "Operations that may be in flight, as the adaptive limit is now.")
	inFlightDesc      = guardDesc("in_flight", "Operations that this node has taken on and not answered yet.")
	shardInFlightDesc = guardDesc("shard_in_flight", "The part of them that is of one shard.", "shard")
	levelDesc         = guardDesc("shed_level", "What is refused for the use of CPU or memory: 0 nothing, 1 low priority, 2 normal too.")
	queueDesc         = guardDesc("queue_delay_seconds", "The shortest time that requests stood before the loop, in the last window of the adaptive limit.")
	breakerDesc       = guardDesc("breaker_state", "Circuit breaker of requests to a peer: 0 closed, 1 half-open, 2 open.", "peer")
	openedDesc        = guardDesc("breaker_opened_total", "How often it opened.", "peer")
)

// Describe implements prometheus.Collector.
func (c guardCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{admittedDesc, refusedDesc, limitDesc, inFlightDesc, shardInFlightDesc, levelDesc, queueDesc, breakerDesc, openedDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c guardCollector) Collect(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	ctl := c.g.ctl
	for p := range admission.Critical + 1 {
		send(admittedDesc, prometheus.CounterValue, float64(ctl.Taken(p)), p.String())
		for why := admission.Shed; why <= admission.ShardFull; why++ {
			send(refusedDesc, prometheus.CounterValue, float64(ctl.Refused(p, why)), p.String(), why.String())
		}
	}
	send(limitDesc, prometheus.GaugeValue, float64(ctl.Limit()))
	send(inFlightDesc, prometheus.GaugeValue, float64(ctl.InFlight()))
	send(levelDesc, prometheus.GaugeValue, float64(ctl.Level()))
	send(queueDesc, prometheus.GaugeValue, time.Duration(c.g.delay.Load()).Seconds())
	for s := range c.g.n.cfg.Shards {
		send(shardInFlightDesc, prometheus.GaugeValue, float64(ctl.OfShard(s)), strconv.Itoa(s))
	}
	for _, o := range c.g.n.m.Nodes {
		if o.Index == c.g.n.self.Index {
			continue
		}
		send(breakerDesc, prometheus.GaugeValue, float64(c.g.breakers.State(o.Index)), o.ID)
		send(openedDesc, prometheus.CounterValue, float64(c.g.breakers.Opened(o.Index)), o.ID)
	}
}
