package node

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fivenines/fivenines/reference/internal/session"
)

// defaultSessionMemory holds four million sessions of 256 bytes.
const defaultSessionMemory = 1 << 30

// newTable makes the table of a shard. The node's memory for values is shared
// out evenly: over shards, which are placed evenly over nodes.
func (n *Node) newTable(shard int) *session.Table {
	t := session.NewTable()
	t.SetCold(n.cold.Group(uint32(shard+1)), n.shareOfMemory())
	return t
}

// shareOfMemory is what each table here may keep in memory.
func (n *Node) shareOfMemory() int {
	limit := n.cfg.SessionMemory
	if limit == 0 {
		limit = defaultSessionMemory
	}
	here := 0
	for s := range n.cfg.Shards {
		if _, ok := n.hosted(s); ok {
			here++
		}
	}
	return int(limit / int64(max(1, here)))
}

// shareMemory shares it out again after a replica came or went.
func (n *Node) shareMemory() {
	share := n.shareOfMemory()
	for _, g := range n.order {
		if g.shard != nil {
			g.shard.table.SetLimit(share)
		}
	}
}

// checkTables ends the node when a table can't read its values back.
func (n *Node) checkTables() {
	for _, g := range n.order { // also of those that do not count yet
		if g.shard == nil || n.fatal != nil {
			continue
		}
		if err := g.shard.table.Err(); err != nil {
			n.fatal = fmt.Errorf("sessions that left memory: %w", err)
		}
	}
}

// residency sums up over the replicas of this node.
func (n *Node) residency() (r session.Residency) {
	for i := range n.shards {
		s := n.shards[i].Load()
		if s == nil {
			continue
		}
		x := s.table.Residency()
		r.Hot += x.Hot
		r.Cold += x.Cold
		r.HotBytes += x.HotBytes
		r.Evicted += x.Evicted
		r.Restored += x.Restored
	}
	return r
}

func (m *metrics) sessions(n *Node) {
	gauge := func(name, help string, v func(session.Residency) float64) {
		m.reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "fivenines", Name: name, Help: help}, func() float64 { return v(n.residency()) }))
	}
	counter := func(name, help string, v func(session.Residency) uint64) {
		m.reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "fivenines", Name: name, Help: help}, func() float64 { return float64(v(n.residency())) }))
	}
	gauge("sessions_cold", "Sessions whose value is on disk only.", func(r session.Residency) float64 { return float64(r.Cold) })
	gauge("session_memory_bytes", "Bytes of the values that are in memory.", func(r session.Residency) float64 { return float64(r.HotBytes) })
	counter("sessions_evicted_total", "Values that left memory.", func(r session.Residency) uint64 { return r.Evicted })
	counter("sessions_read_back_total", "Values that were read back from disk on demand.", func(r session.Residency) uint64 { return r.Restored })
}
