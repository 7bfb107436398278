package target

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/reference/internal/node"
)

// A gateway at the edge serves its clients without a replica of its own, and
// goes on when the primary region is lost.
func TestAnEdgeGatewayServes(t *testing.T) {
	topo := oneNodeARegion()
	topo.Regions = append(topo.Regions, fixtures.Region{Name: "sa-east-1", Role: fixtures.Edge, Nodes: 1})
	for _, r := range topo.Regions[:3] {
		topo.Links = append(topo.Links, fixtures.Path{Between: [2]string{"sa-east-1", r.Name}, RTT: fixtures.Duration(30 * time.Millisecond)})
	}
	d, _ := up(t, topo, fixtures.UpOptions{})
	const edge = "sa-east-1-1"
	c := dial(t, d, "sa-east-1", edge)
	require.NoError(t, c.Set(t.Context(), "session:{1}", "hello", time.Minute).Err())
	got, err := c.Get(t.Context(), "session:{1}").Result()
	require.NoError(t, err)
	assert.Equal(t, "hello", got)

	res, err := http.Get("http://" + specOf(d, edge).Listen[fixtures.PortAdmin] + "/status")
	require.NoError(t, err)
	defer res.Body.Close()
	var s node.Status
	require.NoError(t, json.NewDecoder(res.Body).Decode(&s))
	assert.Empty(t, s.Shards, "it holds nothing")
	assert.Empty(t, s.Leads)

	require.NoError(t, d.Kill(t.Context(), us))
	require.Eventually(t, func() bool {
		return c.Set(t.Context(), "session:{1}", "still here", time.Minute).Err() == nil
	}, 20*time.Second, 50*time.Millisecond)
	got, err = c.Get(t.Context(), "session:{1}").Result()
	require.NoError(t, err)
	assert.Equal(t, "still here", got)
}
