package target

import (
	"context"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures"
)

// A follower that takes nothing any more shows in its leader's metrics, and
// nowhere once it has caught up.
func TestReplicationLagIsMeasured(t *testing.T) {
	if testing.Short() {
		t.Skip("brings a topology up")
	}
	d, _ := up(t, oneNodeARegion(), fixtures.UpOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	leader, follower := d.Nodes()[0], d.Nodes()[2]
	line := regexp.MustCompile(`(?m)^fivenines_replication_lag_seconds\{follower="` + regexp.QuoteMeta(follower.ID) + `"\} (\S+)$`)
	lag := func() float64 {
		b, err := get(ctx, client, "http://"+leader.Listen[fixtures.PortAdmin]+"/metrics")
		require.NoError(t, err)
		m := line.FindSubmatch(b)
		require.NotNil(t, m, "no lag of %s in the metrics of %s", follower.ID, leader.ID)
		v, err := strconv.ParseFloat(string(m[1]), 64)
		require.NoError(t, err)
		return v
	}
	c := dial(t, d, leader.Region, leader.ID)
	put(t, c, 20, "before")
	require.Eventually(t, func() bool { return lag() < 1 }, 10*time.Second, 50*time.Millisecond)
	require.NoError(t, d.Pause(ctx, follower.ID))
	put(t, c, 20, "paused")
	require.Eventually(t, func() bool { return lag() > 1.5 }, 10*time.Second, 50*time.Millisecond)
	require.NoError(t, d.Resume(ctx, follower.ID))
	require.Eventually(t, func() bool { return lag() < 1 }, 20*time.Second, 50*time.Millisecond)
}
