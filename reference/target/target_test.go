package target

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/fixtures/process"
	"github.com/fivenines/fivenines/loadgen/history"
)

type eventLog struct {
	mu  sync.Mutex
	evs []history.Event
}

func (l *eventLog) add(e history.Event) {
	l.mu.Lock()
	l.evs = append(l.evs, e)
	if os.Getenv("EV") != "" {
		fmt.Println(time.Now().Format("05.000"), e.Kind, e.Source, e.Detail)
	}
	l.mu.Unlock()
}

func (l *eventLog) has(kind string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.evs {
		if e.Kind == kind {
			return true
		}
	}
	return false
}

func up(t *testing.T, topo *fixtures.Topology, opt fixtures.UpOptions) (fixtures.Deployment, *eventLog) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	return upTarget(t, topo, New(self), opt)
}

func upTarget(t *testing.T, topo *fixtures.Topology, target fixtures.Target, opt fixtures.UpOptions) (fixtures.Deployment, *eventLog) {
	t.Helper()
	log := &eventLog{}
	opt.Dir, opt.Seed, opt.OnEvent = t.TempDir(), 1, log.add
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	began := time.Now()
	d, err := process.New(process.Options{}).Up(ctx, topo, target, opt)
	require.NoError(t, err)
	t.Logf("up in %v", time.Since(began).Round(time.Millisecond))
	t.Cleanup(func() {
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(opt.Dir, "*", "*.log"))
			more, _ := filepath.Glob(filepath.Join(opt.Dir, "*.log"))
			for _, f := range append(logs, more...) {
				b, _ := os.ReadFile(f)
				t.Logf("%s:\n%s", f, b[max(0, len(b)-2000):])
			}
		}
		began := time.Now()
		require.NoError(t, d.Down(context.Background()))
		t.Logf("down in %v", time.Since(began).Round(time.Millisecond))
	})
	return d, log
}

func dial(t *testing.T, d fixtures.Deployment, region, node string) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: d.ClientAddr(region, node), MaxRetries: -1, ReadTimeout: 2 * time.Second})
	t.Cleanup(func() { c.Close() })
	return c
}

// retried runs an operation until the platform says neither NOTAPPLIED nor
// nothing at all.
func retried(t *testing.T, within time.Duration, fn func() error) time.Duration {
	t.Helper()
	began := time.Now()
	var last error
	if !assert.Eventually(t, func() bool { last = fn(); return last == nil }, within, 20*time.Millisecond) {
		t.Fatalf("last: %v", last)
	}
	return time.Since(began)
}

func oneNodeARegion() *fixtures.Topology {
	topo := fixtures.ThreeRegion()
	topo.Name = "small"
	for i := range topo.Regions {
		topo.Regions[i].Nodes = 1
	}
	topo.Shards = 4
	return topo
}

func TestPlatformServesAndSurvivesALostRegion(t *testing.T) {
	d, events := up(t, fixtures.ThreeRegion(), fixtures.UpOptions{})
	ctx := context.Background()
	us := dial(t, d, "us-east-1", "us-east-1-1")
	_, err := us.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range 200 {
			p.Set(ctx, fmt.Sprintf("session:{%d}", i), "v", time.Minute)
		}
		return nil
	})
	require.NoError(t, err)
	// Any node takes any key.
	for _, n := range d.Nodes() {
		v, err := dial(t, d, "us-east-1", n.ID).Get(ctx, "session:{7}").Result()
		require.NoError(t, err, n.ID)
		require.Equal(t, "v", v)
	}
	var n int64
	n, err = us.DBSize(ctx).Result()
	require.NoError(t, err)
	require.EqualValues(t, 200, n)

	for _, s := range d.Nodes() {
		if s.Region == "us-east-1" {
			require.NoError(t, d.Kill(ctx, s.ID))
		}
	}
	eu := dial(t, d, "eu-west-1", "eu-west-1-2")
	took := retried(t, 10*time.Second, func() error {
		for i := range 200 {
			if err := eu.Get(ctx, fmt.Sprintf("session:{%d}", i)).Err(); err != nil {
				return err
			}
		}
		return eu.Set(ctx, "session:{7}", "after", time.Minute).Err()
	})
	t.Logf("all sessions read and one written in %v after the loss", took.Round(time.Millisecond))
	require.Eventually(t, func() bool { return events.has(history.Detected) && events.has(history.Promoted) }, 5*time.Second, 10*time.Millisecond)

	for _, s := range d.Nodes() {
		if s.Region == "us-east-1" {
			require.NoError(t, d.Restart(ctx, s.ID, fixtures.StartOptions{}))
		}
	}
	rctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	require.NoError(t, d.AwaitReady(rctx))
	back := dial(t, d, "us-east-1", "us-east-1-1")
	v, err := back.Get(ctx, "session:{7}").Result()
	require.NoError(t, err)
	require.Equal(t, "after", v)
}

// A region that is cut off remembers leaders that others have succeeded. Clients
// that ask it must not be told about them, or they would stay with it.
func TestCutOffRegionNamesNoLeaders(t *testing.T) {
	d, _ := up(t, oneNodeARegion(), fixtures.UpOptions{})
	ctx := t.Context()
	led := func(node string) (slots int, leaders map[string]bool) {
		//lint:ignore SA1019 SLOTS is what the front door serves
		rs, err := dial(t, d, d.Nodes()[0].Region, node).ClusterSlots(ctx).Result()
		require.NoError(t, err)
		leaders = map[string]bool{}
		for _, r := range rs {
			slots += r.End - r.Start + 1
			leaders[r.Nodes[0].ID] = true
		}
		return slots, leaders
	}
	slots, leaders := led("us-east-1-1")
	require.Equal(t, 16384, slots)
	require.Equal(t, map[string]bool{"us-east-1-1": true}, leaders)

	var cut []fixtures.Link
	for _, l := range d.Links() {
		if l.Kind == fixtures.PeerLink && (l.FromRegion == "us-east-1" || l.ToRegion == "us-east-1") {
			cut = append(cut, l)
		}
	}
	require.NoError(t, d.Cut(ctx, cut...))
	require.Eventually(t, func() bool {
		_, leaders := led("eu-west-1-1")
		return leaders["eu-west-1-1"] && len(leaders) == 1
	}, 10*time.Second, 50*time.Millisecond, "the others elect")
	slots, leaders = led("us-east-1-1")
	require.Zero(t, slots, "the side that was cut off still names %v", leaders)
	require.NoError(t, d.Mend(ctx, cut...))
	require.Eventually(t, func() bool { slots, _ := led("us-east-1-1"); return slots == 16384 }, 10*time.Second, 50*time.Millisecond)
}

func TestLostDiskComesBackUnderANewIdentity(t *testing.T) {
	d, events := up(t, oneNodeARegion(), fixtures.UpOptions{})
	ctx := context.Background()
	us := dial(t, d, "us-east-1", "us-east-1-1")
	require.NoError(t, us.Set(ctx, "k", "v", 0).Err())
	require.NoError(t, d.Kill(ctx, "eu-west-1-1"))
	require.NoError(t, d.Wipe(ctx, "eu-west-1-1"))
	require.NoError(t, d.Restart(ctx, "eu-west-1-1", fixtures.StartOptions{}))
	rctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	require.NoError(t, d.AwaitReady(rctx))
	require.True(t, events.has("rejoined"))

	// It counts again: with the tertiary gone, us and the new eu are the quorum.
	require.NoError(t, d.Kill(ctx, "ap-southeast-1-1"))
	retried(t, 10*time.Second, func() error { return us.Set(ctx, "k", "v2", 0).Err() })
	require.NoError(t, d.Kill(ctx, "us-east-1-1"))
	require.NoError(t, d.Restart(ctx, "ap-southeast-1-1", fixtures.StartOptions{}))
	eu := dial(t, d, "eu-west-1", "eu-west-1-1")
	retried(t, 20*time.Second, func() error {
		v, err := eu.Get(ctx, "k").Result()
		if err == nil && v != "v2" {
			t.Fatalf("read %q, acknowledged was v2", v)
		}
		return err
	})
}

func TestUnknownMutantIsRefused(t *testing.T) {
	_, err := New("x").Command(fixtures.NodeSpec{Topology: fixtures.ThreeRegion()}, fixtures.StartOptions{Mutant: "no-such"})
	require.ErrorContains(t, err, "ack-before-quorum")
	require.True(t, strings.Contains(err.Error(), "no-such"))
}
