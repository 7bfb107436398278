package projection

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// Topology is what the faults hit: how many parts there are, and which of them
// hold replicas of the same shard. Its fields have the meaning that they have in a
// topology file of fivenines.
type Topology struct {
	Regions  []TopologyRegion `json:"regions"`
	Shards   int              `json:"shards"`
	Replicas int              `json:"replicas"` // of each shard
	// Quorum is how many replicas of a shard must be up; 0 is a majority.
	Quorum int `json:"quorum,omitempty"`
	// Links between regions; 0 is one for each pair.
	Links int `json:"links,omitempty"`
	// Placement lists for each shard the nodes that hold it, counted over all
	// regions from 0. Where it is empty, each block of years draws one: replicas
	// in distinct regions as far as there are enough, evenly over a region's nodes.
	Placement [][]int `json:"placement,omitempty"`
}

// TopologyRegion is a region and how many nodes it has.
type TopologyRegion struct {
	Name  string `json:"name"`
	Nodes int    `json:"nodes"`
}

// ThreeRegion is the default topology: 3, 3 and 2 nodes, 12 shards of three replicas.
func ThreeRegion() Topology {
	return Topology{
		Regions: []TopologyRegion{{"us-east-1", 3}, {"eu-west-1", 3}, {"ap-southeast-1", 2}},
		Shards:  12, Replicas: 3,
	}
}

func (t *Topology) nodes() int {
	n := 0
	for _, r := range t.Regions {
		n += r.Nodes
	}
	return n
}

func (t *Topology) quorum() int {
	if t.Quorum > 0 {
		return t.Quorum
	}
	return t.Replicas/2 + 1
}

// parts of a kind.
func (t *Topology) parts(kind string) int {
	switch kind {
	case Node:
		return t.nodes()
	case Region:
		return len(t.Regions)
	case Link:
		if t.Links > 0 {
			return t.Links
		}
		return len(t.Regions) * (len(t.Regions) - 1) / 2
	}
	return 1
}

// regionOf gives the region of each node.
func (t *Topology) regionOf() []int {
	var of []int
	for i, r := range t.Regions {
		for range r.Nodes {
			of = append(of, i)
		}
	}
	return of
}

// linkEnd is the first region of each link, pair by pair; further links go round.
func (t *Topology) linkEnd() []int {
	var ends []int
	for i := range t.Regions {
		for range t.Regions[i+1:] {
			ends = append(ends, i)
		}
	}
	n := t.parts(Link)
	for i := 0; len(ends) < n; i++ {
		ends = append(ends, i%len(t.Regions))
	}
	return ends[:n]
}

func (t *Topology) validate() error {
	if len(t.Regions) == 0 {
		return fmt.Errorf("topology: has no region")
	}
	for i, r := range t.Regions {
		if r.Nodes < 1 {
			return fmt.Errorf("topology: region %d (%s) has %d nodes, at least 1 is needed", i, r.Name, r.Nodes)
		}
	}
	nodes := t.nodes()
	switch {
	case nodes > 10_000:
		return fmt.Errorf("topology: has %d nodes, at most 10,000 are simulated", nodes)
	case t.Shards < 1 || t.Shards > 100_000:
		return fmt.Errorf("topology: shards: %d is not from 1 to 100,000", t.Shards)
	case t.Replicas < 1 || t.Replicas > nodes:
		return fmt.Errorf("topology: replicas: %d is not from 1 to %d, the number of nodes", t.Replicas, nodes)
	case t.Quorum < 0 || t.Quorum > t.Replicas:
		return fmt.Errorf("topology: quorum: %d is not from 1 to %d, the number of replicas", t.Quorum, t.Replicas)
	case t.Links < 0:
		return fmt.Errorf("topology: links: %d is negative", t.Links)
	case len(t.Placement) > 0 && len(t.Placement) != t.Shards:
		return fmt.Errorf("topology: placement: has %d shards, not %d", len(t.Placement), t.Shards)
	}
	for s, ns := range t.Placement {
		if len(ns) != t.Replicas {
			return fmt.Errorf("topology: placement: shard %d has %d replicas, not %d", s, len(ns), t.Replicas)
		}
		for i, n := range ns {
			if n < 0 || n >= nodes {
				return fmt.Errorf("topology: placement: shard %d: there is no node %d", s, n)
			}
			if slices.Contains(ns[:i], n) {
				return fmt.Errorf("topology: placement: shard %d names node %d more than once", s, n)
			}
		}
	}
	return nil
}

// place says for each node which shards it holds.
func (t *Topology) place(r *rand.Rand) [][]int32 {
	holds := make([][]int32, t.nodes())
	if len(t.Placement) > 0 {
		for s, ns := range t.Placement {
			for _, n := range ns {
				holds[n] = append(holds[n], int32(s))
			}
		}
		return holds
	}
	first := make([]int, len(t.Regions)) // node of each region
	for i := 1; i < len(t.Regions); i++ {
		first[i] = first[i-1] + t.Regions[i-1].Nodes
	}
	// A region's nodes are dealt out in rounds, each in an order of its own.
	decks := make([][]int, len(t.Regions))
	deal := func(region int, taken []int) int {
		for {
			if len(decks[region]) == 0 {
				for _, n := range r.Perm(t.Regions[region].Nodes) {
					decks[region] = append(decks[region], first[region]+n)
				}
			}
			n := decks[region][0]
			decks[region] = decks[region][1:]
			used := false
			for _, other := range taken {
				used = used || other == n
			}
			if !used { // some node is not: replicas go no further than nodes
				return n
			}
		}
	}
	for s := range t.Shards {
		var taken []int
		inRegion := make([]int, len(t.Regions))
		for region := s % len(t.Regions); len(taken) < t.Replicas; region = (region + 1) % len(t.Regions) {
			if inRegion[region] == t.Regions[region].Nodes {
				continue
			}
			n := deal(region, taken)
			inRegion[region]++
			taken = append(taken, n)
			holds[n] = append(holds[n], int32(s))
		}
	}
	return holds
}
