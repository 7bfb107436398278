package operator

import (
	"context"
	"fmt"
	"slices"
)

// ReplicaCheck compares the checksums that the replicas of each shard made of
// their states at the same index.
type ReplicaCheck struct {
	Shards   int      `json:"shards"`
	Equal    int      `json:"equal"`    // shards with two equal replicas at least, and none that differs
	Replicas int      `json:"replicas"` // that were compared
	Untold   []int    `json:"untold"`   // shards of which no two replicas told a checksum of the same index
	Problems []string `json:"problems"`
}

// CompareReplicas compares what the scrubber found last; the checksums are up
// to half a minute old.
func CompareReplicas(ctx context.Context, all []Endpoint) (*ReplicaCheck, error) {
	rs := Reports(ctx, all)
	if len(rs) == 0 {
		return nil, errNobody
	}
	c := &ReplicaCheck{Shards: rs[0].Shards, Untold: []int{}, Problems: []string{}}
	for s := range c.Shards {
		sums := map[uint64]map[uint32][]string{} // index -> checksum -> nodes
		most := uint64(0)
		for _, r := range rs {
			for _, g := range r.Groups {
				if int(g.Group) != s+1 {
					continue
				}
				if g.Bad != "" {
					c.Problems = append(c.Problems, fmt.Sprintf("shard %d: the replica on %s %s", s, r.Node, g.Bad))
				}
				for _, d := range g.Sums {
					if sums[d.Index] == nil {
						sums[d.Index] = map[uint32][]string{}
					}
					sums[d.Index][d.Sum] = append(sums[d.Index][d.Sum], r.Node)
				}
			}
		}
		nodes := func(at uint64) (n int) {
			for _, who := range sums[at] {
				n += len(who)
			}
			return n
		}
		for at := range sums {
			if nodes(at) > nodes(most) || nodes(at) == nodes(most) && at > most {
				most = at
			}
		}
		switch n := nodes(most); {
		case len(sums[most]) > 1:
			var parts []string
			for sum, who := range sums[most] {
				slices.Sort(who)
				parts = append(parts, fmt.Sprintf("%08x on %v", sum, who))
			}
			slices.Sort(parts)
			c.Problems = append(c.Problems, fmt.Sprintf("shard %d: the replicas differ at index %d: %v", s, most, parts))
			c.Replicas += n
		case n > 1:
			c.Equal++
			c.Replicas += n
		default:
			c.Untold = append(c.Untold, s)
		}
	}
	return c, nil
}
