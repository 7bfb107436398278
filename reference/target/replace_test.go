package target

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/reference/internal/operator"
)

func sessions(n int) (keys []string) {
	for i := range n {
		keys = append(keys, fmt.Sprintf("session:{%d}", i))
	}
	return keys
}

// all writes, or reads back, every session in one pipeline.
func all(c *redis.Client, write bool) error {
	ctx := context.Background()
	cmds, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, k := range sessions(120) {
			if write {
				p.Set(ctx, k, "v", 5*time.Minute)
			} else {
				p.Get(ctx, k)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, c := range cmds {
		if err := c.Err(); err != nil {
			return err
		}
	}
	return nil
}

func kill(t *testing.T, d fixtures.Deployment, region string, but ...string) {
	for _, s := range d.Nodes() {
		if s.Region == region && (len(but) == 0 || s.ID != but[0]) {
			require.NoError(t, d.Kill(context.Background(), s.ID))
		}
	}
}

// A node that stays away is replaced inside its region, so that the loss of the
// other region beside the tertiary finds a quorum of every shard; and when it is
// back it holds what it held.
func TestLostNodeIsReplacedInItsRegion(t *testing.T) {
	topo := fixtures.ThreeRegion()
	topo.Settings = map[string]string{"replace_after": "2s"}
	d, events := up(t, topo, fixtures.UpOptions{})
	ctx := context.Background()
	us := dial(t, d, "us-east-1", "us-east-1-2")
	require.NoError(t, all(us, true))
	require.NoError(t, d.Kill(ctx, "us-east-1-1"))
	lost := 4 // shards of twelve
	require.Eventually(t, func() bool { return events.count("re-replicated") >= lost }, 30*time.Second, 50*time.Millisecond)

	kill(t, d, "eu-west-1")
	retried(t, 10*time.Second, func() error { return all(us, false) })
	retried(t, 10*time.Second, func() error { return all(us, true) })

	for _, s := range d.Nodes() {
		if s.Region == "eu-west-1" || s.ID == "us-east-1-1" {
			require.NoError(t, d.Restart(ctx, s.ID, fixtures.StartOptions{}))
		}
	}
	require.Eventually(t, func() bool {
		return events.count("placement-restored") >= lost && events.count("replica-removed") >= 2*lost
	}, 40*time.Second, 50*time.Millisecond,
		"the stand-ins go, and so do the replicas under the old identity")
	rctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	require.NoError(t, d.AwaitReady(rctx))
	require.NoError(t, d.Kill(ctx, "us-east-1-2")) // it counts again
	retried(t, 10*time.Second, func() error { return all(dial(t, d, "us-east-1", "us-east-1-1"), false) })
}

// The broken case: without a replacement the second fault costs the quorum of
// the shards that the first node held.
func TestLostNodeThatIsNotReplacedCostsTheNextFault(t *testing.T) {
	d, _ := up(t, fixtures.ThreeRegion(), fixtures.UpOptions{})
	us := dial(t, d, "us-east-1", "us-east-1-2")
	require.NoError(t, all(us, true))
	require.NoError(t, d.Kill(context.Background(), "us-east-1-1"))
	retried(t, 10*time.Second, func() error { return all(us, true) })
	kill(t, d, "eu-west-1")
	require.Never(t, func() bool { return all(us, true) == nil }, 6*time.Second, 500*time.Millisecond)
}

// After a region loss that lasts, the regions that are left hold three replicas,
// and a quorum of meta: one more node costs nothing.
func TestLostRegionIsReplacedInTheOthers(t *testing.T) {
	topo := fixtures.ThreeRegion()
	topo.Settings = map[string]string{"replace_region_after": "2s"} // its nodes are not waited for one by one
	d, events := up(t, topo, fixtures.UpOptions{})
	ctx := context.Background()
	require.NoError(t, all(dial(t, d, "us-east-1", "us-east-1-2"), true))
	kill(t, d, "us-east-1")
	require.Eventually(t, func() bool { return events.count("re-replicated") >= topo.Shards+1 }, 40*time.Second, 50*time.Millisecond, "twelve shards and meta")

	require.NoError(t, d.Kill(ctx, "eu-west-1-1"))
	eu := dial(t, d, "eu-west-1", "eu-west-1-2")
	retried(t, 15*time.Second, func() error { return all(eu, false) })
	retried(t, 15*time.Second, func() error { return all(eu, true) })
	for _, s := range d.Nodes() {
		if s.Region == "us-east-1" || s.ID == "eu-west-1-1" {
			require.NoError(t, d.Restart(ctx, s.ID, fixtures.StartOptions{}))
		}
	}
	restored := events.count("placement-restored")
	require.Eventually(t, func() bool { return events.count("placement-restored") >= restored+topo.Shards+1 }, 60*time.Second, 100*time.Millisecond, "undone when they are back")
	require.NoError(t, all(dial(t, d, "us-east-1", "us-east-1-1"), false))
}

// After level 2 the region that is left makes itself three replicas, so that it can
// lose a node. Its sisters come back one after the other and get their places again.
func TestTheLastRegionIsMadeRedundant(t *testing.T) {
	topo := fixtures.ThreeRegion()
	topo.Settings = map[string]string{"replace_region_after": "2s"}
	d, events := up(t, topo, fixtures.UpOptions{})
	ctx := context.Background()
	put(t, dial(t, d, "us-east-1", "us-east-1-1"), 200, "before")
	es := endpoints(d)
	everywhere(t, es)
	kill(t, d, "us-east-1")
	kill(t, d, "ap-southeast-1")
	var p *operator.Level2
	require.Eventually(t, func() (ok bool) {
		var err error
		p, err = operator.PlanLevel2(ctx, es, nil)
		return err == nil && len(p.Refusals) == 0
	}, 10*time.Second, 50*time.Millisecond)
	act, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	require.NoError(t, p.Act(act, true))
	// voters is how many replicas have a vote, by region, and the fewest voters that
	// a replica knows of its group: one that has not applied yet that there are more
	// needs those that it knows (raft takes a configuration when it is applied).
	voters := func() (in map[string]int, fewest int) {
		in, fewest = map[string]int{}, 99
		for _, r := range operator.Reports(ctx, es) {
			for _, g := range r.Groups {
				if g.Voter {
					in[r.Region]++
				}
				fewest = min(fewest, g.Voters)
			}
		}
		return in, fewest
	}
	require.Eventually(t, func() bool {
		in, fewest := voters()
		return in["eu-west-1"] == 3*(topo.Shards+1) && fewest == 3
	}, 40*time.Second, 50*time.Millisecond, "twelve shards and meta")

	require.NoError(t, d.Kill(ctx, "eu-west-1-1"))
	eu := dial(t, d, "eu-west-1", "eu-west-1-2")
	retried(t, 15*time.Second, func() error { return holds(eu, 200, func(int) string { return "before" }) })
	retried(t, 15*time.Second, func() error { return all(eu, true) })

	back := func(region string) {
		for _, s := range d.Nodes() {
			if s.Region == region {
				require.NoError(t, d.Restart(ctx, s.ID, fixtures.StartOptions{}))
			}
		}
	}
	require.NoError(t, d.Restart(ctx, "eu-west-1-1", fixtures.StartOptions{}))
	back("us-east-1")
	require.Eventually(t, func() bool {
		in, fewest := voters()
		return in["us-east-1"] >= topo.Shards+2 && fewest == 3 // two or three of the five voters of meta
	}, 60*time.Second, 100*time.Millisecond, "one region is back, the other not")
	back("ap-southeast-1")
	require.Eventually(t, func() bool {
		in, _ := voters()
		return events.count("placement-restored") > topo.Shards && in["ap-southeast-1"] == topo.Shards+1 && in["eu-west-1"] == topo.Shards+2
	}, 60*time.Second, 100*time.Millisecond, "all is where it began")
	us := dial(t, d, "us-east-1", "us-east-1-1")
	retried(t, 5*time.Second, func() error { return all(us, false) })
}
