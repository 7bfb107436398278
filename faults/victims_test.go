package faults

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures"
)

// tiny is two regions with two and one node, and all their links.
func tiny() (*fixtures.Topology, []fixtures.Link) {
	topo := &fixtures.Topology{
		Name: "tiny",
		Regions: []fixtures.Region{
			{Name: "east", Role: fixtures.Primary, Nodes: 2},
			{Name: "west", Role: fixtures.Secondary, Nodes: 1},
		},
		Links:    []fixtures.Path{{Between: [2]string{"east", "west"}, RTT: fixtures.Duration(20 * time.Millisecond)}},
		LocalRTT: fixtures.Duration(500 * time.Microsecond),
		Shards:   4, Replicas: 2,
	}
	var links []fixtures.Link
	for _, a := range topo.Nodes() {
		for _, b := range topo.Nodes() {
			if a.Region != b.Region {
				links = append(links, fixtures.Link{Kind: fixtures.PeerLink, From: a.ID, FromRegion: a.Region, To: b.ID, ToRegion: b.Region, RTT: 20 * time.Millisecond})
			}
		}
	}
	for _, r := range topo.Regions {
		for _, n := range topo.Nodes() {
			links = append(links, fixtures.Link{Kind: fixtures.ClientLink, From: r.Name, FromRegion: r.Name, To: n.ID, ToRegion: n.Region, RTT: time.Duration(topo.Path(r.Name, n.Region).RTT)})
		}
	}
	return topo, links
}

func TestVictimLinks(t *testing.T) {
	_, links := tiny()
	peers := []string{"peer:east-1>west-1", "peer:east-2>west-1", "peer:west-1>east-1", "peer:west-1>east-2"}
	for _, tc := range []struct {
		name string
		got  []fixtures.Link
		want []string
	}{
		// Clients that stand near the lost region must still reach the other one.
		{"isolation of east", isolation(links, "east"), append([]string{
			"client:east>east-1", "client:east>east-2", "client:west>east-1", "client:west>east-2"}, peers...)},
		{"isolation of west", isolation(links, "west"), append([]string{"client:east>west-1", "client:west>west-1"}, peers...)},
		{"partition of east", partition(links, "east", false), peers},
		{"partition of east with clients", partition(links, "east", true), append([]string{
			"client:east>west-1", "client:west>east-1", "client:west>east-2"}, peers...)},
		{"towards east-1", towards(links, []string{"east-1"}), []string{"client:east>east-1", "client:west>east-1", "peer:west-1>east-1"}},
		{"towards nobody", towards(links, nil), nil},
	} {
		var got []string
		for _, l := range tc.got {
			got = append(got, l.ID())
		}
		slices.Sort(got)
		assert.Equal(t, tc.want, got, tc.name)
	}
}

func TestVictimsByNameAndRole(t *testing.T) {
	topo := fixtures.ThreeRegion()
	for who, want := range map[string]string{
		"primary": "us-east-1", "secondary": "eu-west-1", "tertiary": "ap-southeast-1", "eu-west-1": "eu-west-1",
	} {
		got, err := chooseRegion(topo, who)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	for who, want := range map[string]string{
		"primary:1": "us-east-1-1", "tertiary:2": "ap-southeast-1-2", "eu-west-1:3": "eu-west-1-3", "eu-west-1-2": "eu-west-1-2",
	} {
		got, err := chooseNode(topo, who)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	// A region that is called like a role wins over the role.
	odd := &fixtures.Topology{Regions: []fixtures.Region{
		{Name: "a", Role: fixtures.Primary, Nodes: 1}, {Name: "primary", Role: fixtures.Secondary, Nodes: 1},
	}}
	got, err := chooseRegion(odd, "primary")
	require.NoError(t, err)
	assert.Equal(t, "primary", got)
}
