package cluster

import "slices"

// MetaPlace is the key of the meta group's voters among the placements.
const MetaPlace = -1

// ReplicaID is the Raft identity of a replica. A node that lost its disk has the
// next generation, and one that is given a shard again, after its replica was
// taken away and deleted, has the number of that placement: in neither case does
// an identity speak again whose promises are forgotten.
func ReplicaID(node int, generation, placed uint32) uint64 {
	return RaftID(node, generation|placed<<16)
}

// GenerationOf is the node's generation in a replica's identity.
func GenerationOf(id uint64) uint32 {
	_, g := NodeOf(id)
	return g & 0xffff
}

// mostPlaced bounds the numbers that fit an identity.
const mostPlaced = 0xffff

// Placement is the nodes that should hold a shard (or vote in the meta group), in the
// order of the map's own placement.
func (m *Map) Placement(s *State, shard int) []int {
	if p, ok := s.Places[shard]; ok {
		return p
	}
	return m.base(shard)
}

func (m *Map) base(shard int) []int {
	if shard == MetaPlace {
		v, _ := m.MetaVoters()
		return v
	}
	return m.Replicas(shard)
}

// place applies a placement. Its conditions are those of rule 8: no two replicas
// of a shard on one node, and as many as there were.
func (m *Meta) place(c Command) bool {
	if c.Placed != m.s.Placed || m.s.Placed >= mostPlaced || len(c.Places) == 0 {
		return false
	}
	for shard, nodes := range c.Places {
		if shard < MetaPlace || shard >= m.m.Shards || len(nodes) != len(m.m.base(shard)) {
			return false
		}
		seen := map[int]bool{}
		for _, n := range nodes {
			if n < 0 || n >= len(m.m.Nodes) || seen[n] || m.m.edge(n) {
				return false
			}
			seen[n] = true
		}
	}
	m.s.Placed++
	for shard, nodes := range c.Places {
		was := m.m.Placement(&m.s, shard)
		for _, n := range nodes {
			if shard != MetaPlace && !slices.Contains(was, n) {
				if m.s.Joins == nil {
					m.s.Joins = map[int]map[int]uint32{}
				}
				if m.s.Joins[shard] == nil {
					m.s.Joins[shard] = map[int]uint32{}
				}
				m.s.Joins[shard][n] = m.s.Placed
			}
		}
		if slices.Equal(nodes, m.m.base(shard)) {
			delete(m.s.Places, shard)
			continue
		}
		if m.s.Places == nil {
			m.s.Places = map[int][]int{}
		}
		m.s.Places[shard] = slices.Clone(nodes)
	}
	return true
}

// Fitness of a node or region for holding replicas.
type Fitness uint8

const (
	Fit    Fitness = iota // there, and for long enough
	Unsure                // what is stays: gone not long enough, or back not long enough
	Gone                  // to be replaced
)

// Replace says which placements should change, given who is fit. A lost node is
// replaced in its own region; where nobody is left there, in another region, but
// only once the region counts as gone. When the node of the map's own placement
// is fit again it gets its place back. The result depends on nothing else, so
// that it comes out the same again from what it led to.
func (m *Map) Replace(s *State, node func(int) Fitness, region func(string) Fitness) map[int][]int {
	out := map[int][]int{}
	load := make([]int, len(m.Nodes))
	for shard := range m.Shards {
		for _, n := range m.Placement(s, shard) {
			load[n]++
		}
	}
	for shard := MetaPlace; shard < m.Shards; shard++ {
		base, now := m.base(shard), m.Placement(s, shard)
		next := slices.Clone(now)
		for i, b := range base {
			cur := next[i]
			others := slices.Concat(next[:i], next[i+1:])
			switch {
			case cur == b && node(b) != Gone:
				continue
			case cur != b && node(b) == Fit && !slices.Contains(others, b):
				next[i] = b
			case cur != b && node(cur) != Gone:
				continue
			default:
				best := m.substitute(shard, b, others, load, node, region)
				if best < 0 {
					continue
				}
				next[i] = best
			}
			if shard != MetaPlace {
				load[cur]--
				load[next[i]]++
			}
		}
		if !slices.Equal(next, now) {
			out[shard] = next
		}
	}
	return out
}

// substitute is the least loaded fit node that may hold a replica in b's place.
func (m *Map) substitute(shard, b int, taken, load []int, node func(int) Fitness, region func(string) Fitness) int {
	home := m.Nodes[b].Region
	best, least := -1, 0
	for pass := range 2 {
		if pass == 1 && region(home) != Gone {
			break
		}
		for i, n := range m.Nodes {
			if (n.Region == home) != (pass == 0) || node(i) != Fit || slices.Contains(taken, i) || i == b || m.edge(i) {
				continue
			}
			// Elsewhere, the region with the fewest replicas of this shard goes first.
			cost := load[i]
			for _, t := range taken {
				if m.Nodes[t].Region == n.Region {
					cost += 1000
				}
			}
			if best < 0 || cost < least {
				best, least = i, cost
			}
		}
		if best >= 0 {
			return best
		}
	}
	return best
}

// edge says that a node holds no replicas, ever.
func (m *Map) edge(node int) bool { return m.Region(m.Nodes[node].Region).Role == Edge }

// Joined says that a node is part of this incarnation: it was there when it
// began, or was given an identity since. Who was left behind in the last one
// has none until it comes back wiped (rule 7).
func (s *State) Joined(id string) bool { return s.Incarnation <= 1 || s.Nonces[id] != 0 }

// Redundant says that so many nodes of a placement are part of this incarnation
// that one may be lost: three of them, or all.
func (s *State) Redundant(m *Map, nodes []int) bool {
	joined := 0
	for _, n := range nodes {
		if s.Joined(m.Nodes[n].ID) {
			joined++
		}
	}
	return joined >= min(3, len(nodes))
}

// Whole says that a node of every region that holds replicas has joined. Until
// then an incarnation waits for the regions that it began without, and what
// they hold is placed anew only where that is Redundant: two voters that need
// each other are worse than one.
func (m *Map) Whole(s *State) bool {
	for _, r := range m.Regions {
		if r.Role != Edge && r.Nodes > 0 && !slices.ContainsFunc(m.Nodes, func(n Node) bool { return n.Region == r.Name && s.Joined(n.ID) }) {
			return false
		}
	}
	return true
}

// Reincarnate forgets placements on nodes that do not go on in a new
// incarnation, and which placement brought a replica: identities have new
// generations, and the number of placements goes on.
func (m *Map) Reincarnate(s *State) {
	for shard, nodes := range s.Places {
		if slices.ContainsFunc(nodes, func(n int) bool { return !s.Joined(m.Nodes[n].ID) }) {
			delete(s.Places, shard)
		}
	}
	s.Joins = nil
}
