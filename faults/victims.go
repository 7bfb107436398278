package faults

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fivenines/fivenines/fixtures"
)

const (
	helpRegion = "a region by name, or by role: primary, secondary, tertiary, active; primary is the first active region where several are"
	helpNode   = "a node by name, or the n-th node of a region by name or role: primary:1"
)

// chooseRegion finds a region by name or by role; of several with one role, the first.
func chooseRegion(topo *fixtures.Topology, who string) (string, error) {
	if r := topo.Region(who); r != nil {
		return r.Name, nil
	}
	for _, r := range topo.Regions {
		if r.Role == who {
			return r.Name, nil
		}
	}
	if active := topo.Active(); who == fixtures.Primary && len(active) > 0 {
		return active[0], nil
	}
	var names []string
	for _, r := range topo.Regions {
		names = append(names, fmt.Sprintf("%s (%s)", r.Name, r.Role))
	}
	return "", fmt.Errorf("no region is called %q and none has that role; there are %s", who, strings.Join(names, ", "))
}

// chooseNode finds a node by name, or as the n-th of a region.
func chooseNode(topo *fixtures.Topology, who string) (string, error) {
	for _, n := range topo.Nodes() {
		if n.ID == who {
			return n.ID, nil
		}
	}
	if where, number, ok := strings.Cut(who, ":"); ok {
		region, err := chooseRegion(topo, where)
		if err != nil {
			return "", err
		}
		i, err := strconv.Atoi(number)
		ns := regionNodes(topo, region)
		if err != nil || i < 1 || i > len(ns) {
			return "", fmt.Errorf("node %q: %s has nodes 1 to %d", who, region, len(ns))
		}
		return ns[i-1], nil
	}
	var names []string
	for _, n := range topo.Nodes() {
		names = append(names, n.ID)
	}
	return "", fmt.Errorf("no node is called %q; there are %s, or primary:1 and the like", who, strings.Join(names, ", "))
}

// chooseNodes finds the nodes of a region, or one node, and what to call all of
// it: the region too is a part that is hit.
func chooseNodes(topo *fixtures.Topology, who string) (nodes, parts []string, name string, err error) {
	region, rerr := chooseRegion(topo, who)
	if rerr == nil {
		nodes = regionNodes(topo, region)
		return nodes, append([]string{region}, nodes...), region, nil
	}
	node, err := chooseNode(topo, who)
	if err != nil {
		return nil, nil, "", fmt.Errorf("%w; %w", err, rerr)
	}
	return []string{node}, []string{node}, node, nil
}

func regionNodes(topo *fixtures.Topology, region string) []string {
	var ids []string
	for _, n := range topo.Nodes() {
		if n.Region == region {
			ids = append(ids, n.ID)
		}
	}
	return ids
}

func allNodes(topo *fixtures.Topology) []string {
	var ids []string
	for _, n := range topo.Nodes() {
		ids = append(ids, n.ID)
	}
	return ids
}

// pick filters links.
func pick(links []fixtures.Link, want func(fixtures.Link) bool) []fixtures.Link {
	var ls []fixtures.Link
	for _, l := range links {
		if want(l) {
			ls = append(ls, l)
		}
	}
	return ls
}

// isolation is every path between a region and the rest of the world. Clients
// that stand near the region stay in the world: their links to other regions
// are not among them.
func isolation(links []fixtures.Link, region string) []fixtures.Link {
	return pick(links, func(l fixtures.Link) bool {
		return l.ToRegion == region || l.Kind == fixtures.PeerLink && l.FromRegion == region
	})
}

// partition is every peer link between a region and the others, and with
// clients also the client links that cross its border.
func partition(links []fixtures.Link, region string, clients bool) []fixtures.Link {
	return pick(links, func(l fixtures.Link) bool {
		return (l.FromRegion == region) != (l.ToRegion == region) && (clients || l.Kind == fixtures.PeerLink)
	})
}

// towards is every link that ends at one of the nodes.
func towards(links []fixtures.Link, nodes []string) []fixtures.Link {
	in := map[string]bool{}
	for _, n := range nodes {
		in[n] = true
	}
	return pick(links, func(l fixtures.Link) bool { return in[l.To] })
}

func linkIDs(links []fixtures.Link) map[string]bool {
	ids := map[string]bool{}
	for _, l := range links {
		ids[l.ID()] = true
	}
	return ids
}

func states(nodes []string, s fixtures.NodeState) map[string]fixtures.NodeState {
	m := map[string]fixtures.NodeState{}
	for _, n := range nodes {
		m[n] = s
	}
	return m
}

func longestRTT(links []fixtures.Link) (d time.Duration) {
	for _, l := range links {
		d = max(d, l.RTT)
	}
	return d
}
