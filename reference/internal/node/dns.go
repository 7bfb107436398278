package node

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fivenines/fivenines/reference/internal/cluster"
	"github.com/fivenines/fivenines/reference/internal/traffic"
)

// viewEvery is how often the DNS server is told what the node knows.
const viewEvery = 250 * time.Millisecond

// wokeFor is how long a process that slept has to listen before it knows better
// than others again: it blames nobody for the silence in which it slept, and would
// still name those who led before.
const wokeFor = time.Second

// listenDNS opens the node's DNS server.
func (n *Node) listenDNS() (*traffic.Server, error) {
	var nodes, places, regions []string
	for _, x := range n.m.Nodes {
		nodes, places = append(nodes, x.ID), append(places, x.Region)
	}
	for _, r := range n.m.Regions {
		regions = append(regions, r.Name)
	}
	doors, err := traffic.Doors(nodes, places, n.cfg.Clients)
	if err != nil {
		return nil, err
	}
	zone := n.cfg.Zone
	if zone == "" {
		zone = traffic.DefaultZone
	}
	s, err := traffic.Listen(n.cfg.DNS, traffic.NewZone(zone, n.cfg.ID, regions, doors), n.Now)
	if err != nil {
		return nil, err
	}
	counter := func(name, help string, v func() uint64) {
		n.metrics.reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "fivenines", Name: name, Help: help}, func() float64 { return float64(v()) }))
	}
	counter("dns_queries_total", "DNS queries.", s.Queries.Load)
	counter("dns_failures_total", "DNS queries answered SERVFAIL, because this node does not know better than others.", s.Failures.Load)
	return s, nil
}

// keepView tells the DNS server what the loop knows until ctx ends. While the
// loop stands still, so does the view, and the server notices.
func (n *Node) keepView(ctx context.Context, s *traffic.Server) {
	tick := time.NewTicker(viewEvery)
	defer tick.Stop()
	for {
		n.do(func() {
			now := n.Now()
			s.Set(n.view(now), now)
		})
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// view is what the node knows of the others. It runs in the loop.
func (n *Node) view(now time.Duration) traffic.View {
	v := traffic.View{Primary: n.meta.State().Primary, Down: map[string]bool{}}
	for i, x := range n.m.Nodes {
		v.Down[x.ID] = i != n.self.Index && n.manager.suspects(i)
	}
	// While shards are without a leader no node is ready: the next region's has
	// to be named all the same, since that is where they will be.
	v.Down[n.cfg.ID] = !n.started.Load() || n.manager.rejoining
	if g := n.groups[metaGroup]; g != nil {
		leader, _ := cluster.NodeOf(g.g.Leader())
		switch {
		case g.g.Leader() == 0 || leader < 0 || leader >= len(n.m.Nodes):
		case leader == n.self.Index:
			v.Fit = g.g.Serving() && g.g.LeaseUntil() > now
		default:
			v.Fit = !n.manager.suspects(leader)
		}
	}
	if woke := time.Duration(n.woke.Load()); woke != 0 && now-woke < wokeFor {
		v.Fit = false
	}
	return v
}
