package cluster

import (
	"maps"
	"slices"
)

// Active is the role of regions that lead together: each is home of an even part
// of the shards. Without any, the primary region is home of all.
const Active = "active"

// settle gives the shards homes. Those that share a node in the first active
// region take turns, so that inside the regions too the leaders are spread evenly
// (regions of one size share replica sets, see placeRegion).
func (m *Map) settle() {
	var active []string
	for _, r := range m.Regions {
		if r.Role == Active {
			active = append(active, r.Name)
		}
	}
	if len(active) < 2 {
		return
	}
	order := make([]int, m.Shards)
	for s := range order {
		order[s] = s
	}
	slices.SortStableFunc(order, func(a, b int) int { return m.places[a][0] - m.places[b][0] })
	m.homes = make([]string, m.Shards)
	for i, s := range order {
		m.homes[s] = active[i%len(active)]
	}
}

// HomeOf is the region that a shard was given at the start; empty where one
// region leads alone.
func (m *Map) HomeOf(shard int) string {
	if m.homes == nil || shard < 0 {
		return ""
	}
	return m.homes[shard]
}

// Home is the region whose replica should lead a shard now: where it began or an
// operator moved it to, or what stands in for that region while it is lost.
func (m *Map) Home(s *State, shard int) string {
	home, ok := s.Moved[shard]
	if !ok {
		if home = m.HomeOf(shard); home == "" {
			return s.Primary // which moves by itself when it is lost
		}
	}
	if in, ok := s.Stand[home]; ok {
		return in
	}
	return home
}

// HomeRegions lists the regions that are home of shards by configuration or by
// an operator's choice, in the order of preference. The primary region of a
// system in which it leads alone is not among them.
func (m *Map) HomeRegions(s *State) (names []string) {
	for _, r := range m.Regions {
		if slices.Contains(m.homes, r.Name) || slices.Contains(slices.Collect(maps.Values(s.Moved)), r.Name) {
			names = append(names, r.Name)
		}
	}
	return names
}

// holds says that a region has a node that should hold a replica of a shard.
func (m *Map) holds(s *State, shard int, region string) bool {
	return slices.ContainsFunc(m.Placement(s, shard), func(n int) bool { return m.Nodes[n].Region == region })
}

// mayStand says that a map of stand-ins is one: between regions that hold
// replicas, and nobody who is stood in for stands in for another.
func (m *Map) mayStand(stand map[string]string) bool {
	for lost, in := range stand {
		a, b := m.Region(lost), m.Region(in)
		if a == nil || b == nil || a.Role == Edge || b.Role == Edge || lost == in {
			return false
		}
		if _, chain := stand[in]; chain {
			return false
		}
	}
	return true
}

func nonEmpty(stand map[string]string) map[string]string {
	if len(stand) == 0 {
		return nil
	}
	return maps.Clone(stand)
}

// movesAny says that a region is not home of every shard.
func (m *Map) movesAny(s *State, region string) bool {
	if m.homes == nil {
		return len(s.Moved) > 0
	}
	for shard := range m.Shards {
		if to, ok := s.Moved[shard]; ok && to != region || !ok && m.homes[shard] != region {
			return true
		}
	}
	return false
}

// moveAll makes a region, the primary one, home of every shard.
func (m *Map) moveAll(s *State, region string) {
	s.Moved = nil
	if m.homes == nil {
		return
	}
	for shard := range m.Shards {
		m.moveOne(s, shard, region)
	}
}

// moveOne gives a shard another home; an empty one, or that where it began, is no choice.
func (m *Map) moveOne(s *State, shard int, region string) {
	if region == "" || region == m.HomeOf(shard) {
		if delete(s.Moved, shard); len(s.Moved) == 0 {
			s.Moved = nil
		}
		return
	}
	if s.Moved == nil {
		s.Moved = map[int]string{}
	}
	s.Moved[shard] = region
}

// move applies an operator's choice of homes: all of it or nothing.
func (m *Meta) move(c Command) bool {
	if c.Epoch != m.s.Epoch {
		return false
	}
	next := m.s.clone()
	shards := c.Shards
	if len(shards) == 0 {
		for s := range m.m.Shards {
			shards = append(shards, s)
		}
		if c.Region == "" {
			next.Chosen = "" // roles find their own way back too
		}
	}
	for _, s := range shards {
		if s < 0 || s >= m.m.Shards || c.Region != "" && !m.m.holds(&m.s, s, c.Region) {
			return false
		}
		m.m.moveOne(&next, s, c.Region)
	}
	if next.Chosen == m.s.Chosen && maps.Equal(next.Moved, m.s.Moved) {
		return false
	}
	next.Epoch++
	m.s = next
	return true
}
