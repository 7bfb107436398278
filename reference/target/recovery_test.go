package target

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/reference"
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
	again, err := operator.PlanLevel2(ctx, es, nil)
	require.NoError(t, err)
	require.Greater(t, again.Incarnation, p.Incarnation, "the order of an attempt that is taken back must never be obeyed in a later one")
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

	// The clients of the old side go on writing all the time. What is acknowledged
	// to them once the sides can talk is there afterwards: it is the new side's.
	type ack struct {
		key string
		at  time.Time
	}
	acks := make(chan []ack, 2)
	writing, stop := context.WithCancel(ctx)
	for _, n := range []string{"us-east-1", "eu-west-1"} {
		c := dial(t, d, n, n+"-1")
		go func() {
			var got []ack
			for i := 0; writing.Err() == nil; i++ {
				key := fmt.Sprintf("session:{%s-%d}", n, i)
				if c.Set(context.Background(), key, "v", 5*time.Minute).Err() == nil {
					got = append(got, ack{key, time.Now()})
				} else {
					time.Sleep(5 * time.Millisecond)
				}
			}
			acks <- got
		}()
	}
	require.NoError(t, d.Mend(ctx, cut...))
	mended := time.Now()
	require.Eventually(t, func() bool { return events.has("fenced") }, 5*time.Second, 5*time.Millisecond)
	t.Logf("the first of the old side was fenced %v after the mending", time.Since(mended).Round(time.Millisecond))
	ready, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	require.NoError(t, d.AwaitReady(ready))
	time.Sleep(500 * time.Millisecond) // some more acknowledgements, of the new side
	stop()
	late, fenced := 0, mended.Add(time.Second) // dialing again takes up to half a second, and a handshake
	for range 2 {
		for _, a := range <-acks {
			if a.at.Before(fenced) {
				continue
			}
			late++
			require.NoError(t, ap.Get(ctx, a.key).Err(), "%s was acknowledged %v after the mending and is not there", a.key, a.at.Sub(mended))
		}
	}
	require.Positive(t, late)
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

// TestFailoverFailsNoRequest moves the primary role to and fro under load. Nobody sees anything but
// answers and NOTAPPLIED, which a client sends again.
func TestFailoverFailsNoRequest(t *testing.T) {
	d, _ := up(t, oneNodeARegion(), fixtures.UpOptions{})
	es := endpoints(d)
	put(t, dial(t, d, "us-east-1", "us-east-1-1"), 100, "v")
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var sent, again atomic.Int64
	var slowest atomic.Int64
	failed := make(chan string, 64)
	for _, n := range d.Nodes() {
		c := dial(t, d, n.Region, n.ID)
		for w := range 8 {
			wg.Go(func() {
				for i := w; ctx.Err() == nil; i += 8 {
					key := fmt.Sprintf("session:{%d}", i%100)
					began := time.Now()
					for {
						var err error
						if i%2 == 0 {
							err = c.Get(context.Background(), key).Err()
						} else {
							err = c.Set(context.Background(), key, "w", 5*time.Minute).Err()
						}
						sent.Add(1)
						if err == nil {
							break
						}
						if !strings.HasPrefix(err.Error(), "NOTAPPLIED") || time.Since(began) > 2*time.Second {
							select {
							case failed <- fmt.Sprintf("%s after %v: %v", n.ID, time.Since(began), err):
							default:
							}
							break
						}
						again.Add(1)
						time.Sleep(10 * time.Millisecond)
					}
					if took := int64(time.Since(began)); took > slowest.Load() {
						slowest.Store(took)
					}
				}
			})
		}
	}
	for _, to := range []string{"eu-west-1", "us-east-1", "ap-southeast-1", "us-east-1"} {
		began := time.Now()
		require.NoError(t, operator.Failover(t.Context(), es, to))
		t.Logf("failover to %s took %v", to, time.Since(began).Round(time.Millisecond))
	}
	stop()
	wg.Wait()
	close(failed)
	for f := range failed {
		t.Error(f)
	}
	t.Logf("%d requests, %d answered NOTAPPLIED and sent again, the slowest took %v", sent.Load(), again.Load(), time.Duration(slowest.Load()).Round(time.Millisecond))
	require.Less(t, time.Duration(slowest.Load()), 2*time.Second)
	require.ErrorContains(t, operator.Failover(t.Context(), es, "mars"), "no region is called")
	// A choice stays: nobody gives the role back by himself.
	require.NoError(t, operator.Failover(t.Context(), es, "eu-west-1"))
	require.Never(t, func() bool {
		for _, r := range operator.Reports(t.Context(), es) {
			if r.Primary != "eu-west-1" {
				return true
			}
		}
		return false
	}, 7*time.Second, 200*time.Millisecond)
}

// TestArchiveFollowsTheLeaders: what was acknowledged before, while and after the primary region was lost
// is in the archive, without a gap, and is restored from there alone.
func TestArchiveFollowsTheLeaders(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	ref := New(self)
	where := filepath.Join(t.TempDir(), "archive")
	ref.UseArchive(where)
	d, events := upTarget(t, oneNodeARegion(), ref, fixtures.UpOptions{})
	ctx := context.Background()
	put(t, dial(t, d, "us-east-1", us), 100, "first")
	require.NoError(t, d.Kill(ctx, us)) // what it has not archived yet, the next leader has
	c := dial(t, d, "eu-west-1", eu)
	retried(t, 10*time.Second, func() error {
		if err := holds(c, 100, func(int) string { return "first" }); err != nil {
			return err
		}
		return c.Set(ctx, "session:{99}", "not asked for again", time.Hour).Err()
	})
	retried(t, 10*time.Second, func() error {
		return errors.Join(c.Set(ctx, "session:{99}", "first", time.Hour).Err(), c.Set(ctx, "session:{0}", "second", time.Hour).Err())
	})
	require.NoError(t, d.Restart(ctx, us, fixtures.StartOptions{}))
	ready(t, d)
	retried(t, 10*time.Second, func() error { return c.Set(ctx, "session:{1}", "third", time.Hour).Err() })
	done := time.Now()
	var r *reference.Restore
	require.Eventually(t, func() bool {
		r, err = reference.PrepareRestore(ctx, where, "small", time.Now())
		return err == nil && r.Reached.After(done)
	}, 10*time.Second, 100*time.Millisecond)
	require.False(t, events.has("archive-gap"))
	require.Empty(t, r.Problems)
	got := map[string]string{}
	r.Each(func(_ int, k, v []byte) { got[string(k)] = string(v) })
	require.Len(t, got, 100)
	require.Equal(t, "second", got["session:{0}"])
	require.Equal(t, "third", got["session:{1}"])
	require.Equal(t, "first", got["session:{2}"])
	require.NoError(t, r.Close())
	check, err := reference.CheckSessions(ctx, endpoints(d), where, "small")
	require.NoError(t, err)
	require.Equal(t, 100, check.Same)
	require.Zero(t, check.LostAll)
	_, _, problems, err := reference.VerifyArchive(ctx, where, "small")
	require.NoError(t, err)
	require.Empty(t, problems)
}
