package failover

import "fmt"

// Alert is something that a person is to know of for as long as it holds.
type Alert struct {
	Name     string // RegionLost, NodeLost, NodeOverloaded or LinkSlow
	Severity string // critical, high, medium or low
	Region   string
	Node     string // empty for a region's
	Summary  string
}

// Alerts are those that hold now. Only the one with authority tells any, so that
// managers do not tell them twice: the incidents that it handles, nodes over
// their bounds, and the links to itself that are slow.
func (m *Machine) Alerts() []Alert {
	if !m.authority {
		return nil
	}
	var out []Alert
	for _, i := range m.incidents {
		switch {
		case !i.told:
		case i.priority == P0:
			name := m.topo.Regions[i.region].Name
			out = append(out, Alert{Name: "RegionLost", Severity: P0.Severity(), Region: name, Summary: name + " is lost"})
		default:
			n := m.topo.Nodes[i.node]
			out = append(out, Alert{Name: "NodeLost", Severity: P1.Severity(), Region: m.topo.Regions[n.Region].Name, Node: n.ID, Summary: n.ID + " is lost"})
		}
	}
	for i := range m.nodes {
		s, n := &m.nodes[i], m.topo.Nodes[i]
		if s.state == down {
			continue
		}
		region := m.topo.Regions[n.Region].Name
		if s.loadOver.on {
			out = append(out, Alert{Name: "NodeOverloaded", Severity: P2.Severity(), Region: region, Node: n.ID, Summary: n.ID + " is over its bound of CPU or memory"})
		}
		if s.slowOver.on {
			out = append(out, Alert{Name: "LinkSlow", Severity: P3.Severity(), Region: region, Node: n.ID, Summary: fmt.Sprintf("frames from %s to %s are late", n.ID, m.topo.Nodes[m.topo.Self].ID)})
		}
	}
	return out
}
