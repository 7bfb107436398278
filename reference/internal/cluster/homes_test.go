package cluster

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

var activeActive = []Region{{Name: "us-east-1", Role: Active, Nodes: 3}, {Name: "eu-west-1", Role: Active, Nodes: 3}, {Name: "ap-southeast-1", Role: "tertiary", Nodes: 2}}

// Homes are even over the regions and over the nodes in them, the same for
// everybody, and always where a replica is.
func TestHomesAreEven(t *testing.T) {
	for _, c := range []struct {
		regions          []Region
		shards, replicas int
		spread           int // of leaders over the nodes of a region
	}{
		{activeActive, 12, 3, 0},
		{activeActive, 13, 3, 1},
		{append([]Region{{Name: "sa", Role: Active, Nodes: 2}}, activeActive...), 12, 3, 3}, // regions of different size
		{[]Region{{Name: "a", Role: Active, Nodes: 1}, {Name: "b", Role: Active, Nodes: 1}}, 8, 2, 0},
	} {
		m := mapOf(t, c.regions, c.shards, c.replicas)
		again := mapOf(t, c.regions, c.shards, c.replicas)
		s := NewMeta(m).State()
		inRegion, inNode := map[string]int{}, map[int]int{}
		for sh := range c.shards {
			home := m.Home(&s, sh)
			require.Equal(t, home, m.HomeOf(sh))
			require.Equal(t, home, again.HomeOf(sh))
			require.Equal(t, Active, m.Region(home).Role)
			first := m.Prefer(m.Replicas(sh), home)[0]
			require.Equal(t, home, m.Nodes[first].Region, "shard %d has a replica at home", sh)
			inRegion[home]++
			inNode[first]++
		}
		active := len(m.HomeRegions(&s))
		for _, r := range m.HomeRegions(&s) {
			require.InDelta(t, float64(c.shards)/float64(active), inRegion[r], 0.99, "%s of %v", r, c.regions)
			least, most := c.shards, 0
			for _, n := range m.Nodes {
				if n.Region == r {
					least, most = min(least, inNode[n.Index]), max(most, inNode[n.Index])
				}
			}
			require.LessOrEqual(t, most-least, c.spread, "nodes of %s: %v", r, inNode)
		}
	}
	one := mapOf(t, threeRegion, 12, 3)
	s := NewMeta(one).State()
	require.Empty(t, one.HomeRegions(&s), "where one region leads alone it is home of all, whichever it is")
	for sh := range 12 {
		require.Empty(t, one.HomeOf(sh))
		require.Equal(t, "us-east-1", one.Home(&s, sh))
	}
}

func TestHomesFollowTheMetaState(t *testing.T) {
	const us, eu, ap = "us-east-1", "eu-west-1", "ap-southeast-1"
	type step struct {
		c       Command
		applied bool
		homes   string // shards led in us, eu, ap
		epoch   uint64
	}
	homes := func(epoch uint64, pairs ...string) Command {
		c := Command{Kind: "homes", Epoch: epoch, Homes: true, Stand: map[string]string{}}
		for i := 0; i < len(pairs); i += 2 {
			c.Stand[pairs[i]] = pairs[i+1]
		}
		return c
	}
	move := func(epoch uint64, region string, shards ...int) Command {
		return Command{Kind: "move", Epoch: epoch, Region: region, Shards: shards, Operator: true}
	}
	promote := func(epoch uint64, region string, operator bool) Command {
		return Command{Kind: "promote", Epoch: epoch, Region: region, Operator: operator}
	}
	both := homes(1, us, eu)
	both.Kind, both.Region = "promote", eu
	for name, c := range map[string]struct {
		regions []Region
		steps   []step
	}{
		"a region is lost and comes back": {activeActive, []step{
			{homes(1, eu, us), true, "12 0 0", 2},
			{homes(2), true, "6 6 0", 3},
		}},
		"of two managers one wins": {activeActive, []step{
			{homes(1, eu, us), true, "12 0 0", 2},
			{homes(1, us, eu), false, "12 0 0", 2}, // saw the other region lost, in the same epoch
			{homes(1, eu, us), false, "12 0 0", 2}, // the same again
			{promote(1, eu, false), false, "12 0 0", 2},
			{move(1, eu, 3), false, "12 0 0", 2},
			{homes(2, us, eu), true, "0 12 0", 3},
		}},
		"role and homes in one command": {activeActive, []step{
			{both, true, "0 12 0", 2},
			{both, false, "0 12 0", 2},
		}},
		"what changes nothing is no change": {activeActive, []step{
			{homes(1), false, "6 6 0", 1},
			{move(1, ""), false, "6 6 0", 1},
			{Command{Kind: "homes", Epoch: 1, Stand: map[string]string{eu: us}}, false, "6 6 0", 1},
		}},
		"nobody stands in for himself, for one that stands in, or from nowhere": {activeActive, []step{
			{homes(1, eu, eu), false, "6 6 0", 1},
			{homes(1, us, eu, eu, us), false, "6 6 0", 1},
			{homes(1, us, eu, eu, ap), false, "6 6 0", 1},
			{homes(1, eu, "mars"), false, "6 6 0", 1},
			{homes(1, "mars", eu), false, "6 6 0", 1},
			{homes(1, us, ap, eu, ap), true, "0 0 12", 2},
		}},
		"an operator moves shards, and back": {activeActive, []step{
			{move(1, ap, 0, 1, 2), true, "", 2},
			{move(2, "mars", 0), false, "", 2},
			{move(2, ap, 12), false, "", 2},
			{move(2, ap, -1), false, "", 2},
			{move(2, "", 0, 1, 2), true, "6 6 0", 3},
			{move(3, eu), true, "0 12 0", 4},
			{homes(4, eu, us), true, "12 0 0", 5}, // what was moved is led elsewhere too while its home is lost
			{homes(5), true, "0 12 0", 6},
			{move(6, ""), true, "6 6 0", 7},
		}},
		"an operator's region leads every shard": {activeActive, []step{
			{promote(1, us, true), true, "12 0 0", 2},
			{promote(2, us, true), false, "12 0 0", 2},
			{promote(2, eu, true), true, "0 12 0", 3},
			{move(3, ""), true, "6 6 0", 4},
		}},
		"one region leads alone, but for what was moved": {threeRegion, []step{
			{move(1, eu, 3, 7), true, "10 2 0", 2},
			{promote(2, ap, false), true, "0 2 10", 3},
			{homes(3, eu, us), true, "2 0 10", 4},
			{homes(4), true, "0 2 10", 5},
			{promote(5, us, true), true, "12 0 0", 6},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			m := NewMeta(mapOf(t, c.regions, 12, 3))
			led := func(s State) string {
				n := map[string]int{}
				for sh := range 12 {
					n[m.m.Home(&s, sh)]++
				}
				return fmt.Sprint(n[us], " ", n[eu], " ", n[ap])
			}
			for i, s := range c.steps {
				o := apply(t, m, s.c)
				require.Equal(t, s.applied, o.Applied, "step %d: %+v", i, s.c)
				if s.homes != "" {
					require.Equal(t, s.homes, led(m.State()), "step %d", i)
				}
				require.Equal(t, s.epoch, m.State().Epoch, "step %d", i)
				n := NewMeta(m.m)
				require.NoError(t, n.Restore(m.Snapshot()))
				require.Equal(t, m.State(), n.State(), "the same from a snapshot")
			}
		})
	}
}

// A shard can't be at home where it has no replica.
func TestMoveNeedsAReplica(t *testing.T) {
	regions := append([]Region{}, activeActive...)
	regions = append(regions, Region{Name: "sa-east-1", Role: "secondary", Nodes: 2}, Region{Name: "door", Role: Edge, Nodes: 1})
	m := NewMeta(mapOf(t, regions, 12, 3))
	for _, r := range []string{"sa-east-1", "door"} {
		require.False(t, apply(t, m, Command{Kind: "move", Epoch: 1, Region: r, Shards: []int{3}}).Applied, r)
	}
	require.True(t, apply(t, m, Command{Kind: "move", Epoch: 1, Region: "ap-southeast-1", Shards: []int{3}}).Applied)
}

// What State hands out is a copy, homes too.
func TestHomesInAStateAreACopy(t *testing.T) {
	m := NewMeta(mapOf(t, activeActive, 12, 3))
	require.True(t, apply(t, m, Command{Kind: "move", Epoch: 1, Region: "ap-southeast-1", Shards: []int{3}}).Applied)
	require.True(t, apply(t, m, Command{Kind: "homes", Epoch: 2, Homes: true, Stand: map[string]string{"eu-west-1": "us-east-1"}}).Applied)
	s := m.State()
	s.Moved[4], s.Stand["us-east-1"] = "eu-west-1", "eu-west-1"
	require.Len(t, m.State().Moved, 1)
	require.Len(t, m.State().Stand, 1)
}
