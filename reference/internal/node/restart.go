package node

import (
	"fmt"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// ProcessRestarted is the event of a node that its supervisor started again.
const ProcessRestarted = "process-restarted"

// Restart is what a supervisor tells the node that it starts again.
type Restart struct {
	Count int    // ever
	Why   string // how the last life ended
}

// restarted tells of it, and counts.
func (n *Node) restarted() {
	r := n.cfg.Restarted
	if r == nil {
		r = &Restart{}
	} else if n.cfg.began == nil {
		n.events.emit(ProcessRestarted, []string{n.cfg.ID, n.self.Region}, fmt.Sprintf("the process of %s was started again by its supervisor, restart %d: %s", n.cfg.ID, r.Count, r.Why),
			map[string]string{"restarts": strconv.Itoa(r.Count), "priority": "P3"})
	}
	n.metrics.reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "fivenines", Name: "process_restarts", Help: "How often the supervisor of this process started it again."},
		func() float64 { return float64(r.Count) }))
}
