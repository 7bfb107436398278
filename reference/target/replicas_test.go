package target

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/reference/internal/operator"
)

// Five replicas are 2+2+1: whichever region is lost, three are left, which is
// the quorum.
func TestFiveReplicasSurviveARegion(t *testing.T) {
	if testing.Short() {
		t.Skip("brings a topology up")
	}
	topo := fixtures.ThreeRegion()
	topo.Replicas = 5
	d, _ := up(t, topo, fixtures.UpOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	put(t, dial(t, d, "us-east-1", "us-east-1-1"), 300, "before")
	for _, r := range operator.Reports(ctx, endpoints(d)) {
		for _, g := range r.Groups {
			if g.Group != 0 {
				require.Equal(t, 5, g.Voters, "group %d on %s", g.Group, r.Node)
			}
		}
	}
	for _, n := range d.Nodes() {
		if n.Region == "us-east-1" {
			require.NoError(t, d.Kill(ctx, n.ID))
		}
	}
	eu := dial(t, d, "eu-west-1", "eu-west-1-1")
	retried(t, 15*time.Second, func() error { return holds(eu, 300, func(int) string { return "before" }) })
	put(t, eu, 300, "after")
	for _, n := range d.Nodes() {
		if n.Region == "us-east-1" {
			require.NoError(t, d.Restart(ctx, n.ID, fixtures.StartOptions{}))
		}
	}
	require.NoError(t, d.AwaitReady(ctx))
	everywhere(t, endpoints(d))
	// The region holds two replicas of each shard again: now the other two may go.
	for _, n := range d.Nodes() {
		if n.Region == "eu-west-1" {
			require.NoError(t, d.Kill(ctx, n.ID))
		}
	}
	us := dial(t, d, "us-east-1", "us-east-1-2")
	retried(t, 15*time.Second, func() error { return holds(us, 300, func(int) string { return "after" }) })
}
