package target

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/reference/internal/operator"
)

func endpoints(d fixtures.Deployment) (es []operator.Endpoint) {
	for _, n := range d.Nodes() {
		es = append(es, operator.Endpoint{Node: n.ID, Region: n.Region, Admin: n.Listen[fixtures.PortAdmin], Client: n.Listen[fixtures.PortClient]})
	}
	return es
}

// unseen makes nodes of regions out of reach for the operator, as when the
// console stands on the cut-off side: the addresses lead nowhere.
func unseen(t *testing.T, es []operator.Endpoint, regions ...string) (out []operator.Endpoint) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	for _, e := range es {
		for _, r := range regions {
			if e.Region == r {
				e.Admin, e.Client = l.Addr().String(), l.Addr().String()
			}
		}
		out = append(out, e)
	}
	return out
}

// between are the links between regions that have one end in each set.
func between(d fixtures.Deployment, region string) (ls []fixtures.Link) {
	for _, l := range d.Links() {
		if l.Kind == fixtures.PeerLink && (l.FromRegion == region) != (l.ToRegion == region) {
			ls = append(ls, l)
		}
	}
	return ls
}

func put(t *testing.T, c *redis.Client, n int, value string) {
	t.Helper()
	_, err := c.Pipelined(context.Background(), func(p redis.Pipeliner) error {
		for i := range n {
			p.Set(context.Background(), fmt.Sprintf("session:{%d}", i), value, 5*time.Minute)
		}
		return nil
	})
	require.NoError(t, err)
}

// holds reads n sessions at once and says which is not as it should be.
func holds(c *redis.Client, n int, want func(i int) string) error {
	ctx := context.Background()
	cmds, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range n {
			p.Get(ctx, fmt.Sprintf("session:{%d}", i))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, cmd := range cmds {
		if v := cmd.(*redis.StringCmd).Val(); v != want(i) {
			return fmt.Errorf("session %d: %q, want %q", i, v, want(i))
		}
	}
	return nil
}

// everywhere waits until all replicas have applied what their leaders have, but for clock entries.
func everywhere(t *testing.T, es []operator.Endpoint) {
	t.Helper()
	want := map[uint32]uint64{}
	require.Eventually(t, func() bool {
		rs := operator.Reports(t.Context(), es)
		if len(want) == 0 {
			for _, r := range rs {
				for _, g := range r.Groups {
					want[g.Group] = max(want[g.Group], g.Applied)
				}
			}
		}
		for _, r := range rs {
			for _, g := range r.Groups {
				if g.Applied < want[g.Group] {
					return false
				}
			}
		}
		return len(rs) == len(es)
	}, 10*time.Second, 20*time.Millisecond)
}

// TestLevel2 loses two regions of three and goes on with the third; then the
// two come back, wiped by the handshake alone.
func TestLevel2(t *testing.T) {
	topo := fixtures.ThreeRegion()
	d, events := up(t, topo, fixtures.UpOptions{})
	ctx := context.Background()
	put(t, dial(t, d, "us-east-1", "us-east-1-1"), 500, "before")
	es := endpoints(d)
	everywhere(t, es)

	// Alive regions are refused, whoever says that they are gone.
	p, err := operator.PlanLevel2(ctx, es, []string{"us-east-1", "eu-west-1"})
	require.NoError(t, err)
	require.NotEmpty(t, p.Refusals)
	require.ErrorContains(t, p.Act(ctx, true), "refused: us-east-1-1 of the region us-east-1, said to be lost, answers at its admin address")
	_, err = operator.PlanLevel2(ctx, es, nil)
	require.ErrorContains(t, err, "every region answers")
	_, err = operator.PlanLevel2(ctx, es, []string{"mars"})
	require.ErrorContains(t, err, "no region is called")

	for _, n := range d.Nodes() {
		if n.Region != "ap-southeast-1" {
			require.NoError(t, d.Kill(ctx, n.ID))
		}
	}
	p, err = operator.PlanLevel2(ctx, es, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"us-east-1", "eu-west-1"}, p.Lost)
	require.Eventually(t, func() bool {
		p, err = operator.PlanLevel2(ctx, es, nil)
		return err == nil && len(p.Refusals) == 0
	}, 10*time.Second, 50*time.Millisecond)
	require.ErrorContains(t, p.Act(ctx, false), "nobody attests")
	require.Equal(t, 500, p.Sessions())
	require.Len(t, p.Shards, topo.Shards+1)
	require.WithinDuration(t, time.Now(), p.Contact(), 15*time.Second)
	began := time.Now()
	act, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	require.NoError(t, p.Act(act, true))
	t.Logf("level 2 took %v", time.Since(began).Round(time.Millisecond))
	ap := dial(t, d, "ap-southeast-1", "ap-southeast-1-1")
	retried(t, 5*time.Second, func() error { return holds(ap, 500, func(int) string { return "before" }) })
	put(t, ap, 100, "after")

	// The lost regions come back with the disks of the old incarnation.
	for _, n := range d.Nodes() {
		if n.Region != "ap-southeast-1" {
			require.NoError(t, d.Restart(ctx, n.ID, fixtures.StartOptions{}))
		}
	}
	began = time.Now()
	ready, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	require.NoError(t, d.AwaitReady(ready))
	t.Logf("all replicas back in %v", time.Since(began).Round(time.Millisecond))
	require.True(t, events.has("fenced"))
	for _, n := range d.Nodes() {
		if n.Region != "ap-southeast-1" {
			require.DirExists(t, filepath.Join(n.Dir, "store", "data.incarnation-1"))
		}
	}
	// Now the third region may be lost: what it acknowledged alone is on the others.
	require.NoError(t, operator.Failover(ctx, es, "us-east-1"))
	for _, n := range d.Nodes() {
		if n.Region == "ap-southeast-1" {
			require.NoError(t, d.Kill(ctx, n.ID))
		}
	}
	us := dial(t, d, "us-east-1", "us-east-1-2")
	retried(t, 10*time.Second, func() error {
		err := holds(us, 500, func(i int) string {
			if i < 100 {
				return "after"
			}
			return "before"
		})
		if err != nil {
			return err
		}
		return us.Set(ctx, "session:{1}", "again", time.Minute).Err()
	})
}

// TestFalseAttestation: the two "lost" regions live, cut off from the third and
// from the operator, and go on acknowledging, which nobody can prevent. Once
// they can talk they never acknowledge again in the old incarnation.
func TestFalseAttestation(t *testing.T) {
	d, events := up(t, oneNodeARegion(), fixtures.UpOptions{})
	ctx := context.Background()
	us := dial(t, d, "us-east-1", "us-east-1-1")
	put(t, us, 50, "before")
	everywhere(t, endpoints(d))
	cut := between(d, "ap-southeast-1")
	require.NoError(t, d.Cut(ctx, cut...))
	lost := []string{"us-east-1", "eu-west-1"}
	p, err := operator.PlanLevel2(ctx, endpoints(d), lost)
	require.NoError(t, err)
	require.ErrorContains(t, p.Act(ctx, true), "answers at its admin address")

	blind := unseen(t, endpoints(d), lost...)
	require.Eventually(t, func() bool {
		p, err = operator.PlanLevel2(ctx, blind, lost)
		return err == nil && len(p.Refusals) == 0
	}, 10*time.Second, 50*time.Millisecond)
	act, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	require.NoError(t, p.Act(act, true))
	ap := dial(t, d, "ap-southeast-1", "ap-southeast-1-1")
	retried(t, 5*time.Second, func() error { return ap.Set(ctx, "session:{1}", "new side", time.Minute).Err() })
	require.NoError(t, us.Set(ctx, "session:{2}", "old side", time.Minute).Err(), "the old side has its quorum")

	// Every answer of the old side from now on either comes before the mending
	// is felt, or from the new incarnation.
	require.NoError(t, d.Mend(ctx, cut...))
	mended := time.Now()
	require.Eventually(t, func() bool { return events.has("fenced") }, 5*time.Second, 5*time.Millisecond)
	t.Logf("the first of the old side was fenced %v after the mending", time.Since(mended).Round(time.Millisecond))
	ready, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	require.NoError(t, d.AwaitReady(ready))
	for _, n := range d.Nodes() {
		c := dial(t, d, n.Region, n.ID)
		retried(t, 5*time.Second, func() error {
			for key, want := range map[string]string{"session:{1}": "new side", "session:{2}": "before"} {
				if v, err := c.Get(ctx, key).Result(); err != nil || v != want {
					return fmt.Errorf("%s on %s: %q, %w", key, n.ID, v, err)
				}
			}
			return nil
		})
		if !strings.HasPrefix(n.ID, "ap") {
			_, err := os.Stat(filepath.Join(n.Dir, "store", "data.incarnation-1"))
			require.NoError(t, err)
		}
	}
}

// flipping is the reference with the hook by which a test damages a replica.
type flipping struct{ *Reference }

func (f flipping) Command(s fixtures.NodeSpec, o fixtures.StartOptions) (fixtures.Command, error) {
	c, err := f.Reference.Command(s, o)
	c.Env = append(c.Env, "FIVENINES_TEST_FLIP=1")
	return c, err
}

// TestScrubberMendsADamagedReplica flips a bit in one follower's table and in one leader's: both are
// found, named, not read from, and mended.
func TestScrubberMendsADamagedReplica(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	d, events := upTarget(t, oneNodeARegion(), flipping{New(self)}, fixtures.UpOptions{})
	ctx := context.Background()
	us := dial(t, d, "us-east-1", "us-east-1-1")
	put(t, us, 200, "value")
	es := endpoints(d)
	everywhere(t, es)
	for shard, region := range map[int]string{0: "eu-west-1", 1: "us-east-1"} {
		for _, e := range es {
			if e.Region == region {
				res, err := http.Post(fmt.Sprintf("http://%s/test/flip?shard=%d", e.Admin, shard), "", nil)
				require.NoError(t, err)
				res.Body.Close()
				require.Equal(t, http.StatusOK, res.StatusCode)
			}
		}
	}
	wrong := 0
	for i := range 200 { // the damage is real
		if v, _ := us.Get(ctx, fmt.Sprintf("session:{%d}", i)).Result(); v != "value" {
			wrong++
		}
	}
	require.Equal(t, 1, wrong)
	began := time.Now()
	require.Eventually(t, func() bool { return events.count("replica-mended") == 2 }, 60*time.Second, 50*time.Millisecond)
	t.Logf("both mended after %v", time.Since(began).Round(time.Millisecond))
	require.True(t, events.has("replica-differs"))
	for _, n := range d.Nodes() {
		c := dial(t, d, n.Region, n.ID)
		retried(t, 10*time.Second, func() error { return holds(c, 200, func(int) string { return "value" }) })
	}
	// And the next round of the scrubber finds all of them equal.
	require.Eventually(t, func() bool {
		c, err := operator.CompareReplicas(ctx, es)
		return err == nil && len(c.Problems) == 0 && c.Equal == 4 && c.Replicas == 12
	}, 60*time.Second, 100*time.Millisecond)
}
