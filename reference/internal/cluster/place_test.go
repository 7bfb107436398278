package cluster

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// settle applies what Replace asks for until it asks for nothing more.
func settle(t *testing.T, m *Map, meta *Meta, node func(int) Fitness, region func(string) Fitness) (changed int) {
	t.Helper()
	for range 3 {
		s := meta.State()
		places := m.Replace(&s, node, region)
		if len(places) == 0 {
			return changed
		}
		changed += len(places)
		o := apply(t, meta, Command{Kind: "place", Places: places, Placed: s.Placed})
		require.True(t, o.Applied)
	}
	t.Fatal("placements do not settle")
	return 0
}

func TestReplace(t *testing.T) {
	for _, replicas := range []int{3, 5} {
		m := mapOf(t, threeRegion, 12, replicas)
		fit := func(string) Fitness { return Fit }
		gone := func(region string) func(string) Fitness {
			return func(r string) Fitness {
				if r == region {
					return Gone
				}
				return Fit
			}
		}
		without := func(f Fitness, nodes ...int) func(int) Fitness {
			return func(n int) Fitness {
				if slices.Contains(nodes, n) {
					return f
				}
				return Fit
			}
		}
		check := func(meta *Meta, lost ...int) {
			s := meta.State()
			for shard := MetaPlace; shard < 12; shard++ {
				now := m.Placement(&s, shard)
				require.Len(t, slices.Compact(slices.Sorted(slices.Values(now))), len(m.base(shard)), "two replicas on one node")
				for _, n := range now {
					require.NotContains(t, lost, n, "shard %d is still on a lost node", shard)
				}
			}
		}
		regionsOf := func(nodes []int) (out []string) {
			for _, n := range nodes {
				out = append(out, m.Nodes[n].Region)
			}
			return out
		}

		// A node is replaced in its region, and gets its place back.
		meta := NewMeta(m)
		require.Zero(t, settle(t, m, meta, without(Unsure, 0), fit), "not lost for long enough")
		require.NotZero(t, settle(t, m, meta, without(Gone, 0), fit))
		if replicas == 3 { // of five, two are in each region of three nodes: there is one substitute
			check(meta, 0)
		}
		s := meta.State()
		for shard := range 12 {
			require.Equal(t, regionsOf(m.Replicas(shard)), regionsOf(m.Placement(&s, shard)), "shard %d left its region", shard)
		}
		require.Zero(t, settle(t, m, meta, without(Unsure, 0), fit), "back, but not for long enough")
		require.NotZero(t, settle(t, m, meta, without(Fit), fit))
		require.Empty(t, meta.State().Places)

		// A region is replaced elsewhere once it is gone, and not before.
		before := settle(t, m, meta, without(Gone, 0, 1, 2), fit)
		require.Zero(t, before)
		settle(t, m, meta, without(Gone, 0, 1, 2), gone("us-east-1"))
		check(meta, 0, 1, 2)
		settle(t, m, meta, without(Fit), fit)
		require.Empty(t, meta.State().Places)

		// Identities are never used twice.
		joins := meta.State().Joins
		require.NotEmpty(t, joins)
		first := joins[m.replicasOn(0)][0]
		settle(t, m, meta, without(Gone, 0, 1, 2), gone("us-east-1"))
		settle(t, m, meta, without(Fit), fit)
		require.Greater(t, meta.State().Joins[m.replicasOn(0)][0], first)
		again := NewMeta(m)
		require.NoError(t, again.Restore(meta.Snapshot()))
		require.Equal(t, meta.Snapshot(), again.Snapshot())
	}
}

// replicasOn is a shard that a node holds.
func (m *Map) replicasOn(node int) int {
	return slices.IndexFunc(m.places, func(p []int) bool { return slices.Contains(p, node) })
}

func TestPlaceIsRefused(t *testing.T) {
	m := mapOf(t, threeRegion, 12, 3)
	meta := NewMeta(m)
	for name, c := range map[string]Command{
		"two replicas on one node": {Places: map[int][]int{0: {1, 1, 4}}},
		"too few":                  {Places: map[int][]int{0: {1, 4}}},
		"no such node":             {Places: map[int][]int{0: {1, 4, 8}}},
		"no such shard":            {Places: map[int][]int{12: {1, 4, 6}}},
		"another view":             {Places: map[int][]int{0: {1, 4, 6}}, Placed: 1},
		"nothing":                  {},
	} {
		c.Kind = "place"
		require.False(t, apply(t, meta, c).Applied, name)
		require.Equal(t, NewMeta(m).State(), meta.State(), name)
	}
}

func TestFiveReplicasAreTwoTwoOne(t *testing.T) {
	m := mapOf(t, threeRegion, 12, 5)
	for s := range 12 {
		per := map[string]int{}
		for _, n := range m.Replicas(s) {
			per[m.Nodes[n].Region]++
		}
		require.Equal(t, map[string]int{"us-east-1": 2, "eu-west-1": 2, "ap-southeast-1": 1}, per)
	}
}

// Nodes at the edge are nobody's substitute, however many others are lost.
func TestNothingIsPlacedOnTheEdge(t *testing.T) {
	m, err := NewMap([]Region{{"us", "primary", 3}, {"eu", "secondary", 3}, {"ap", "tertiary", 2}, {"sa", Edge, 9}}, 12, 3)
	require.NoError(t, err)
	meta := NewMeta(m)
	node := func(n int) Fitness {
		if m.Nodes[n].Region == "us" {
			return Gone
		}
		return Fit
	}
	region := func(r string) Fitness {
		if r == "us" {
			return Gone
		}
		return Fit
	}
	require.NotZero(t, settle(t, m, meta, node, region))
	s := meta.State()
	for shard := MetaPlace; shard < 12; shard++ {
		for _, n := range m.Placement(&s, shard) {
			require.Less(t, n, 8, "shard %d", shard)
		}
	}
	require.False(t, apply(t, meta, Command{Kind: "place", Places: map[int][]int{0: {8, 4, 6}}, Placed: s.Placed}).Applied)
	require.True(t, apply(t, meta, Command{Kind: "place", Places: map[int][]int{0: {7, 4, 6}}, Placed: s.Placed}).Applied)
}

// A new incarnation begins without placements on nodes that it begins without.
func TestPlacementsInANewIncarnation(t *testing.T) {
	m := mapOf(t, threeRegion, 12, 3)
	s := State{Incarnation: 2, Placed: 7, Joins: map[int]map[int]uint32{0: {3: 4}},
		Places: map[int][]int{MetaPlace: {3, 4, 5, 6, 7}, 0: {3, 4, 6}, 1: {1, 4, 6}}, Nonces: map[string]uint64{}}
	for _, n := range m.Nodes[3:] {
		s.Nonces[n.ID] = 2
	}
	require.False(t, m.Whole(&s), "nobody of us-east-1")
	m.Reincarnate(&s)
	require.Equal(t, map[int][]int{MetaPlace: {3, 4, 5, 6, 7}, 0: {3, 4, 6}}, s.Places)
	require.Empty(t, s.Joins)
	require.EqualValues(t, 7, s.Placed, "numbers are never given out twice")
	s.Nonces[m.Nodes[2].ID] = 9
	require.True(t, m.Whole(&s))
	require.False(t, s.Joined(m.Nodes[0].ID))
	s = State{Incarnation: 1}
	require.True(t, m.Whole(&s), "the first one lacks nobody")
}

// After level 2 only one region goes on: what it has to hold alone is placed on
// three of its nodes or not at all, and given back as the others return.
func TestPlacementsOfARegionThatIsLeftAlone(t *testing.T) {
	const meta = 5 // voters
	for _, tc := range []struct {
		survivor string
		from, to int // its nodes
		replicas int
		redone   bool
	}{
		{"eu-west-1", 3, 6, 3, true},
		{"eu-west-1", 3, 6, 5, true},
		{"ap-southeast-1", 6, 8, 3, false}, // two nodes
	} {
		m := mapOf(t, threeRegion, 12, tc.replicas)
		s := State{Incarnation: 2, Nonces: map[string]uint64{}}
		lives := func(i int) bool { return i >= tc.from && i < tc.to }
		for i, n := range m.Nodes {
			if lives(i) {
				s.Nonces[n.ID] = 2
			}
		}
		places := m.Replace(&s, func(i int) Fitness {
			if lives(i) {
				return Fit
			}
			return Gone
		}, func(r string) Fitness {
			if r == tc.survivor {
				return Fit
			}
			return Gone
		})
		require.Len(t, places, 13, "all want to move")
		for shard, nodes := range places {
			require.Equal(t, tc.redone, s.Redundant(m, nodes), "%s, shard %d: %v", tc.survivor, shard, nodes)
			if shard == MetaPlace {
				require.Len(t, nodes, meta)
			}
		}
	}
	s := State{Incarnation: 1}
	require.True(t, s.Redundant(mapOf(t, threeRegion, 12, 3), []int{0, 3, 6}), "the first incarnation lacks nobody")
}
