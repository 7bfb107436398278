package cluster

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

var threeRegion = []Region{{"us-east-1", "primary", 3}, {"eu-west-1", "secondary", 3}, {"ap-southeast-1", "tertiary", 2}}

func mapOf(t *testing.T, regions []Region, shards, replicas int) *Map {
	t.Helper()
	m, err := NewMap(regions, shards, replicas)
	require.NoError(t, err)
	return m
}

// The placement of data that is on disks: if this digest changes, nodes that
// are upgraded one by one disagree about who holds what.
func TestPlacementIsTheSameForEver(t *testing.T) {
	digest := func(m *Map) string {
		var b []byte
		for _, s := range m.slots {
			b = binary.LittleEndian.AppendUint16(b, s)
		}
		b = fmt.Append(b, m.places)
		return fmt.Sprintf("%08x", crc32.ChecksumIEEE(b))
	}
	m := mapOf(t, threeRegion, 12, 3)
	require.Equal(t, "42d9e1dc", digest(m))
	require.Equal(t, "f745329a", digest(mapOf(t, threeRegion, 100, 5)))
	require.Equal(t, 10, m.ShardOf([]byte("session:{7}")), "a key's shard")
	require.Equal(t, m.ShardOf([]byte("session:{7}")), m.ShardOf([]byte("other:{7}")))
}

func TestSlotsAreSpreadEvenly(t *testing.T) {
	for _, shards := range []int{1, 2, 3, 4, 12, 24, 48, 100, 1000, 1024} {
		m := mapOf(t, threeRegion, shards, 3)
		count := make([]int, shards)
		next := 0
		for _, r := range m.Runs() {
			require.Equal(t, next, r.Start)
			require.LessOrEqual(t, r.Start, r.End)
			for s := r.Start; s <= r.End; s++ {
				require.EqualValues(t, r.Shard, m.slots[s])
			}
			count[r.Shard] += r.End - r.Start + 1
			next = r.End + 1
		}
		require.Equal(t, Slots, next, "every slot has a shard")
		require.LessOrEqual(t, slices.Max(count)-slices.Min(count), 1, "%d shards", shards)
	}
	require.LessOrEqual(t, len(mapOf(t, threeRegion, 12, 3).Runs()), 100, "CLUSTER SLOTS stays short")
}

func TestReplicasArePlacedOverRegions(t *testing.T) {
	for _, tc := range []struct {
		regions          []Region
		shards, replicas int
	}{
		{threeRegion, 12, 3}, {threeRegion, 1, 3}, {threeRegion, 100, 3}, {threeRegion, 1024, 3}, {threeRegion, 12, 1}, {threeRegion, 12, 2},
		{threeRegion, 12, 5}, {threeRegion, 12, 8}, {[]Region{{"a", "primary", 1}}, 4, 1}, {[]Region{{"a", "primary", 5}}, 12, 3},
		{[]Region{{"a", "primary", 1}, {"b", "secondary", 4}}, 12, 3}, {[]Region{{"a", "primary", 64}, {"b", "secondary", 64}, {"c", "tertiary", 64}}, 1024, 3},
	} {
		m := mapOf(t, tc.regions, tc.shards, tc.replicas)
		load := make([]int, len(m.Nodes))
		inRegion := map[string]int{}
		for s := range tc.shards {
			places := m.Replicas(s)
			require.Len(t, places, tc.replicas)
			require.Len(t, slices.Compact(slices.Sorted(slices.Values(places))), tc.replicas, "two replicas of shard %d on one node (rule 8)", s)
			per := map[string]int{}
			for _, n := range places {
				load[n]++
				per[m.Nodes[n].Region]++
				inRegion[m.Nodes[n].Region]++
			}
			for i, r := range tc.regions {
				if i < tc.replicas {
					require.NotZero(t, per[r.Name], "shard %d has no replica in %s", s, r.Name)
				}
				if tc.replicas <= len(tc.regions) {
					require.LessOrEqual(t, per[r.Name], 1)
				}
			}
		}
		for _, n := range m.Nodes {
			share := float64(inRegion[n.Region]) / float64(m.Region(n.Region).Nodes)
			require.LessOrEqual(t, float64(load[n.Index]), math.Ceil(share*loadFactor)+1, "%s of %v", n.ID, tc.regions)
		}
	}
	for _, tc := range []struct{ shards, replicas int }{{0, 3}, {12, 0}, {12, 9}, {Slots + 1, 3}, {-1, 3}} {
		_, err := NewMap(threeRegion, tc.shards, tc.replicas)
		require.ErrorContains(t, err, "do not fit 8 nodes")
	}
}

// Consistent hashing: with one node more, little more than that node's share moves.
func TestOneNodeMoreMovesFewShards(t *testing.T) {
	const shards = 96
	for nodes := 1; nodes < 8; nodes++ {
		a := mapOf(t, []Region{{"r", "primary", nodes}}, shards, 1)
		b := mapOf(t, []Region{{"r", "primary", nodes + 1}}, shards, 1)
		moved := 0
		for s := range shards {
			if a.Replicas(s)[0] != b.Replicas(s)[0] {
				moved++
			}
		}
		require.LessOrEqual(t, moved, 2*shards/(nodes+1), "from %d nodes to one more", nodes)
	}
}

// No loss of one region costs the meta group its quorum, whatever the sizes.
func TestMetaQuorumSurvivesTheLossOfARegion(t *testing.T) {
	for a := 1; a <= 4; a++ {
		for b := 0; b <= 4; b++ {
			for c := 0; c <= 4; c++ {
				regions := []Region{{"a", "primary", a}}
				if b > 0 {
					regions = append(regions, Region{"b", "secondary", b})
				}
				if b > 0 && c > 0 {
					regions = append(regions, Region{"c", "tertiary", c}, Region{"d", "tertiary", 1})
				}
				m := mapOf(t, regions, 4, 1)
				voters, learners := m.MetaVoters()
				require.Len(t, slices.Compact(slices.Sorted(slices.Values(slices.Concat(voters, learners)))), len(m.Nodes), "everybody has a part")
				require.EqualValues(t, 1, len(voters)%2, "%v: an even number of voters", regions)
				if len(regions) < 3 {
					continue
				}
				for _, lost := range regions {
					left := 0
					for _, v := range voters {
						if m.Nodes[v].Region != lost.Name {
							left++
						}
					}
					require.Greater(t, 2*left, len(voters), "%v without %s", regions, lost.Name)
				}
			}
		}
	}
	voters, _ := mapOf(t, threeRegion, 12, 3).MetaVoters()
	require.Equal(t, []int{0, 1, 3, 4, 6}, voters)
}

func TestPreference(t *testing.T) {
	m := mapOf(t, threeRegion, 12, 3)
	for s := range m.Shards {
		var got []string
		for _, n := range m.Preference(s, "eu-west-1") {
			got = append(got, m.Nodes[n].Region)
		}
		require.Equal(t, []string{"eu-west-1", "us-east-1", "ap-southeast-1"}, got)
		require.Equal(t, m.Replicas(s), m.Preference(s, "us-east-1"))
		require.Equal(t, m.Replicas(s), m.Preference(s, "unknown"))
	}
}

func TestRaftIDRoundTrip(t *testing.T) {
	seen := map[uint64]bool{}
	for _, node := range []int{0, 1, 7, 199, 65534} {
		for _, gen := range []uint32{0, 1, 2, math.MaxUint32} {
			id := RaftID(node, gen)
			require.NotZero(t, id, "raft has no id 0")
			require.False(t, seen[id], "two replicas with one identity")
			seen[id] = true
			n, g := NodeOf(id)
			require.Equal(t, node, n)
			require.Equal(t, gen, g)
		}
	}
	n, _ := NodeOf(0)
	require.Negative(t, n, "raft's none is nobody")
}
