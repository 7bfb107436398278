package recovery

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/fivenines/fivenines/reference/internal/cluster"
	"github.com/fivenines/fivenines/reference/internal/disk"
	"github.com/fivenines/fivenines/reference/internal/session"
)

// A replica that stood in for a lost node can be all that is left of its shard:
// it goes on in the next incarnation, and the placement that brought it does not.
func TestAStandInBecomesTheAuthority(t *testing.T) {
	three := []cluster.Region{{Name: "a", Role: "primary", Nodes: 1}, {Name: "b", Role: "secondary", Nodes: 2}, {Name: "c", Role: "tertiary", Nodes: 1}}
	m, err := cluster.NewMap(three, 2, 3)
	require.NoError(t, err)
	// Node 1 or 2, whichever does not hold shard 0 by itself, stands in for node 0.
	self := 1
	if m.Replicas(0)[1] == 1 {
		self = 2
	}
	node := m.Nodes[self].ID
	place := []int{self, m.Replicas(0)[1], 3}
	dir := t.TempDir()
	st := cluster.State{Incarnation: 1, Epoch: 4, Primary: "b", Generations: map[string]uint32{}, Nonces: map[string]uint64{}}
	meta, err := json.Marshal(st)
	require.NoError(t, err)
	held := map[uint32]uint32{1: 1}
	for s := range 2 {
		if p := m.Replicas(s); p[1] == self {
			held[uint32(s+1)] = 0
		}
	}
	seeds := []Seed{{Group: 0, Index: 3, Term: 2, Voters: []uint64{1}, Data: meta}}
	for g := range held {
		seeds = append(seeds, Seed{Group: g, Index: 3, Term: 2, Voters: []uint64{1}, Data: session.NewTable().Snapshot()})
	}
	require.NoError(t, Prepare(dir, disk.Identity{Node: node, Cluster: "c", Incarnation: 1, Replicas: held}, seeds))
	require.NoError(t, Install(dir, "before"))
	s, err := disk.Open(disk.Options{Dir: Data(dir)})
	require.NoError(t, err)
	// The placement itself is in the log of meta, not in its snapshot.
	cmd, err := json.Marshal(cluster.Command{Kind: "place", Places: map[int][]int{0: place}})
	require.NoError(t, err)
	require.NoError(t, s.Commit(&disk.Batch{Appends: []disk.Append{{Group: 0, Entries: []*raftpb.Entry{{Index: new(uint64(4)), Term: new(uint64(2)), Data: cmd}}}}}))
	require.NoError(t, s.Close())

	o := Order{Incarnation: 2, Lost: []string{"a", "c"}, Primary: "b", Attested: true, Authority: map[uint32]string{0: node}, Generations: map[string]uint32{"b-1": 1, "b-2": 1}}
	for g := range held {
		o.Authority[g] = node
	}
	require.NoError(t, Reincarnate(dir, m, node, o))
	s, err = disk.Open(disk.Options{Dir: Data(dir)})
	require.NoError(t, err)
	defer s.Close()
	id, _, err := s.Identity()
	require.NoError(t, err)
	require.Contains(t, id.Replicas, uint32(1), "the data are there and nobody would load them")
	for g := range held {
		require.Zero(t, id.Replicas[g], "under the number that its configuration names")
		gs, err := s.Load(g)
		require.NoError(t, err)
		require.Equal(t, []uint64{cluster.ReplicaID(self, 1, 0)}, gs.Snapshot.Meta.GetConfState().GetVoters())
	}
	gs, err := s.Load(0)
	require.NoError(t, err)
	var next cluster.State
	require.NoError(t, json.Unmarshal(gs.Snapshot.Data, &next))
	require.Empty(t, next.Places, "it names c-1, which is lost")
	require.Empty(t, next.Joins)
	require.EqualValues(t, 1, next.Placed)
	require.Equal(t, m.Replicas(0), m.Placement(&next, 0))
	require.True(t, next.Joined("b-1"))
	require.False(t, next.Joined("c-1"))
}

// One that is the authority of what it always held has the map's own placement.
func TestHeld(t *testing.T) {
	m, err := cluster.NewMap([]cluster.Region{{Name: "a", Nodes: 1}, {Name: "b", Nodes: 1}}, 2, 2)
	require.NoError(t, err)
	require.Nil(t, held(m, 0, []Seed{{Group: 0}, {Group: 2}}))
}

// The shards at home in lost regions are led in the region that goes on.
func TestHomesOfLostRegionsMoveToTheAuthority(t *testing.T) {
	regions := []cluster.Region{{Name: "a", Role: cluster.Active, Nodes: 1}, {Name: "b", Role: cluster.Active, Nodes: 1}, {Name: "c", Role: "tertiary", Nodes: 1}}
	m, err := cluster.NewMap(regions, 4, 3)
	require.NoError(t, err)
	before, err := json.Marshal(cluster.Command{Kind: "homes", Epoch: 1, Homes: true, Stand: map[string]string{"b": "a"}})
	require.NoError(t, err)
	for lost, want := range map[string]map[string]string{"ab": {"a": "c", "b": "c"}, "bc": {"b": "a"}} {
		o := Order{Incarnation: 2, Primary: want["b"], Attested: true, Generations: map[string]uint32{"a-1": 1, "c-1": 1}}
		for _, r := range lost {
			o.Lost = append(o.Lost, string(r))
		}
		seed, err := cut(m, 0, disk.GroupState{Entries: []*raftpb.Entry{{Index: new(uint64(2)), Term: new(uint64(1)), Data: before}}}, o)
		require.NoError(t, err)
		var next cluster.State
		require.NoError(t, json.Unmarshal(seed.Data, &next))
		require.Equal(t, want, next.Stand, lost)
		for s := range 4 {
			require.Equal(t, o.Primary, m.Home(&next, s))
		}
	}
}
