package cluster

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Nodes at the edge hold no replica and have no vote, and everybody else's
// placement is what it is without them.
func TestTheEdgeHoldsNothing(t *testing.T) {
	regions := []Region{{"us", "primary", 3}, {"eu", "secondary", 3}, {"ap", "tertiary", 2}}
	plain, err := NewMap(regions, 12, 3)
	require.NoError(t, err)
	m, err := NewMap(append(regions[:3:3], Region{"sa", Edge, 2}), 12, 3)
	require.NoError(t, err)
	require.Len(t, m.Nodes, 10)
	for s := range 12 {
		assert.Equal(t, plain.Replicas(s), m.Replicas(s))
	}
	voters, learners := m.MetaVoters()
	want, _ := plain.MetaVoters()
	assert.Equal(t, want, voters)
	assert.Contains(t, learners, 8)
	assert.Contains(t, learners, 9)

	two, err := NewMap([]Region{{"us", "primary", 3}, {"sa", Edge, 2}}, 4, 3)
	require.NoError(t, err)
	voters, _ = two.MetaVoters()
	assert.Equal(t, []int{0, 1, 2}, voters)
	_, err = NewMap([]Region{{"us", "primary", 2}, {"sa", Edge, 2}}, 4, 3)
	assert.ErrorContains(t, err, "no nodes left for 3 replicas")
}
