package target

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/reference/internal/node"
	"github.com/fivenines/fivenines/reference/internal/operator"
)

func activeActive() *fixtures.Topology {
	topo := fixtures.ThreeRegion()
	topo.Name = "both"
	topo.Regions[0].Role, topo.Regions[1].Role = fixtures.Active, fixtures.Active
	topo.Settings = map[string]string{"fail_back_after": "3s", "node_settle": "1s"}
	return topo
}

// startLoadOn is startLoad for the keys of some shards.
func startLoadOn(t *testing.T, d fixtures.Deployment, region string, shards []int, nodes ...string) *load {
	var keys []string
	for i := 0; len(keys) < 100; i++ {
		if key := fmt.Sprintf("session:{on-%s-%d}", region, i); slices.Contains(shards, d.Target().PartitionOf(key)) {
			keys = append(keys, key)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &load{stop: stop}
	const clients = 4
	for i := range clients {
		c := dial(t, d, region, nodes[i%len(nodes)])
		l.wg.Go(func() {
			for j := i; ctx.Err() == nil; j += clients {
				key, want := keys[j%len(keys)], fmt.Sprint(j)
				err := c.Set(context.Background(), key, want, time.Minute).Err()
				if err == nil {
					var got string
					if got, err = c.Get(context.Background(), key).Result(); err == nil && got != want {
						err = fmt.Errorf("read %q after %q was written", got, want)
					}
				}
				l.mu.Lock()
				if err != nil {
					l.bad = append(l.bad, fmt.Sprintf("%s shard %d %s: %v", time.Now().Format("05.000"), d.Target().PartitionOf(key), key, err))
				} else {
					l.ok++
				}
				l.mu.Unlock()
			}
		})
	}
	t.Cleanup(func() { l.end() })
	return l
}

// Two active regions, each at home of half of the shards; one is lost and comes
// back. The shards at home in the other one lose nothing, not even a request; those
// of the lost one are led there, and go back without a failed request. Then an
// operator moves some, and takes that back.
func TestHomesOfALostRegionMoveAndComeBack(t *testing.T) {
	if testing.Short() {
		t.Skip("brings a topology up")
	}
	calm(t, homesMoveAndComeBack)
}

func homesMoveAndComeBack(t *testing.T) []string {
	const us, eu, ap = "us-east-1", "eu-west-1", "ap-southeast-1"
	topo := activeActive()
	d, events := up(t, topo, fixtures.UpOptions{})
	ctx := t.Context()
	var es []operator.Endpoint
	for _, n := range d.Nodes() {
		es = append(es, operator.Endpoint{Node: n.ID, Region: n.Region, Admin: n.Listen[fixtures.PortAdmin], Client: d.ClientAddr(n.Region, n.ID)})
	}
	homes := map[string][]int{}
	for s := range topo.Shards {
		h := d.Target().(fixtures.Homed).HomeOf(s)
		homes[h] = append(homes[h], s)
	}
	require.Len(t, homes[us], 6)
	require.Len(t, homes[eu], 6)
	led := func(s int) string {
		for _, r := range operator.Reports(ctx, es) {
			if slices.ContainsFunc(r.Groups, func(g node.GroupReport) bool { return g.Group == uint32(s+1) && g.Serving }) {
				return r.Region
			}
		}
		return ""
	}
	all := func(region string, shards []int) func() bool {
		return func() bool {
			return !slices.ContainsFunc(shards, func(s int) bool { return led(s) != region })
		}
	}
	const patience, often = 30 * time.Second, 100 * time.Millisecond
	require.Eventually(t, all(us, homes[us]), patience, often, "led at home")
	require.Eventually(t, all(eu, homes[eu]), patience, often, "led at home")

	beside := startLoadOn(t, d, us, homes[us], "us-east-1-1", "us-east-1-2")
	require.Eventually(t, func() bool { beside.mu.Lock(); defer beside.mu.Unlock(); return beside.ok > 50 }, patience, often)
	for _, n := range d.Nodes() {
		if n.Region == eu {
			require.NoError(t, d.Kill(ctx, n.ID))
		}
	}
	require.Eventually(t, func() bool { return events.count(history.Promoted, us) > 0 }, patience, often, "meta gives the homes away")
	require.Eventually(t, all(us, homes[eu]), patience, often, "led in the other active region")
	ok, bad := beside.end()
	t.Logf("%d requests beside the loss", ok)
	if len(bad) > 0 { // the other region's own shards are not disturbed
		return bad
	}
	for _, r := range operator.Reports(ctx, es) {
		require.NotContains(t, r.Homes, eu, "%s knows", r.Node)
		require.Equal(t, us, r.Primary)
	}

	every := append(slices.Clone(homes[us]), homes[eu]...)
	back := startLoadOn(t, d, us, every, "us-east-1-1", "us-east-1-3")
	for _, n := range d.Nodes() {
		if n.Region == eu {
			require.NoError(t, d.Restart(ctx, n.ID, fixtures.StartOptions{}))
		}
	}
	require.Eventually(t, func() bool { return events.count(history.Promoted, eu) > 0 }, patience, often, "meta gives the homes back")
	require.Eventually(t, all(eu, homes[eu]), patience, often, "and leaders follow")
	ok, bad = back.end()
	t.Logf("%d requests while homes came back", ok)
	if len(bad) > 0 {
		return bad
	}
	require.Greater(t, ok, 50)

	// An operator's choice: two shards go to the standby.
	some := []int{homes[us][0], homes[eu][0]}
	load := startLoadOn(t, d, us, some, "us-east-1-1")
	plan, err := operator.PlanMove(ctx, es, ap, some)
	require.NoError(t, err)
	require.Empty(t, plan.Refusals)
	require.True(t, all(us, homes[us])(), "a plan changes nothing")
	require.NoError(t, plan.Act(ctx))
	require.True(t, all(ap, some)())
	require.Never(t, func() bool { return !all(ap, some)() }, 4*time.Second, often, "nobody takes it back")
	plan, err = operator.PlanMove(ctx, es, "", nil)
	require.NoError(t, err)
	require.NoError(t, plan.Act(ctx))
	require.True(t, all(us, homes[us])())
	require.True(t, all(eu, homes[eu])())
	ok, bad = load.end()
	t.Logf("%d requests while two shards moved there and back", ok)
	_, err = operator.PlanMove(ctx, es, "mars", some)
	require.ErrorContains(t, err, "no region is called")
	_, err = operator.PlanMove(ctx, es, ap, []int{topo.Shards})
	require.ErrorContains(t, err, "there is no shard 12")
	return bad
}
