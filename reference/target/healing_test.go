package target

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures"
)

// kinds are those of the events about a node so far.
func (l *eventLog) kinds(node string) (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.evs {
		if e.Source == node || len(e.Parts) > 0 && e.Parts[0] == node {
			all = append(all, e.Kind)
		}
	}
	return all
}

func supervised(settings map[string]string) *fixtures.Topology {
	topo := oneNodeARegion()
	topo.Settings = map[string]string{"supervised": "true"}
	for k, v := range settings {
		topo.Settings[k] = v
	}
	return topo
}

// A node's process that is killed is there again within the objective, 30 s,
// without anybody's help, with its data, and as the same replica.
func TestASupervisedNodeComesBack(t *testing.T) {
	if testing.Short() {
		t.Skip("brings a topology up")
	}
	d, events := up(t, supervised(nil), fixtures.UpOptions{})
	ctx := context.Background()
	other := dial(t, d, "us-east-1", eu)
	require.NoError(t, other.Set(ctx, "k", "v", time.Minute).Err())
	c := d.(fixtures.Crasher)
	supervisor := d.Undo().Procs[us]
	began := time.Now()
	pid, err := c.Crash(ctx, us)
	require.NoError(t, err)
	require.NotEqual(t, supervisor, pid)
	rctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	require.Eventually(t, func() bool { w, err := c.Worker(us); return err == nil && w != 0 && w != pid }, 30*time.Second, 10*time.Millisecond)
	require.NoError(t, d.AwaitReady(rctx))
	t.Logf("ready %v after its process was killed", time.Since(began))
	assert.Equal(t, supervisor, d.Undo().Procs[us])
	own := dial(t, d, "us-east-1", us)
	retried(t, 10*time.Second, func() error { return own.Get(ctx, "k").Err() })
	require.Eventually(t, func() bool { return slices.Contains(events.kinds(us), "process-restarted") }, 5*time.Second, 10*time.Millisecond)
	assert.NotContains(t, events.kinds(us), "rejoin", "its disk is its own")
	assert.NotContains(t, events.kinds(us), "node-died", "somebody asked for it")
	assert.Contains(t, metrics(t, d, us), "fivenines_process_restarts 1")

	// Of one that nobody asked for, the record says so.
	w, err := c.Worker(us)
	require.NoError(t, err)
	p, err := os.FindProcess(w)
	require.NoError(t, err)
	require.NoError(t, p.Kill())
	require.Eventually(t, func() bool {
		_, err := d.State(us)
		return err == nil && slices.Contains(events.kinds(us), "node-died")
	}, 10*time.Second, 10*time.Millisecond)
}

func metrics(t *testing.T, d fixtures.Deployment, node string) string {
	for _, n := range d.Nodes() {
		if n.ID == node {
			b, err := get(t.Context(), client, "http://"+n.Listen[fixtures.PortAdmin]+"/metrics")
			require.NoError(t, err)
			return string(b)
		}
	}
	t.Fatalf("no node %s", node)
	return ""
}

// A node that can't start any more is tried three times, left alone, and given
// to an operator; what it says of itself comes from its supervisor meanwhile.
// When the cause is gone, it comes back.
func TestACrashLoopOfANodeIsEscalated(t *testing.T) {
	if testing.Short() {
		t.Skip("brings a topology up")
	}
	d, events := up(t, supervised(map[string]string{"restart_cooldown": "3s"}), fixtures.UpOptions{})
	var at, admin string
	for _, n := range d.Nodes() {
		if n.ID == ap {
			at, admin = n.Listen[fixtures.PortClient], n.Listen[fixtures.PortAdmin]
		}
	}
	c := d.(fixtures.Crasher)
	_, err := c.Crash(t.Context(), ap)
	require.NoError(t, err)
	var l net.Listener
	require.Eventually(t, func() bool { l, err = net.Listen("tcp", at); return err == nil }, 5*time.Second, time.Millisecond, "take its address away")
	defer l.Close()
	require.Eventually(t, func() bool { return slices.Contains(events.kinds(ap), "escalated") }, 30*time.Second, 20*time.Millisecond, "%v", events.kinds(ap))
	kinds := events.kinds(ap)
	assert.Contains(t, kinds, "process-cooldown")
	state, err := d.State(ap)
	require.NoError(t, err)
	assert.Equal(t, fixtures.Dead, state)
	res, err := http.Get("http://" + admin + "/healthz")
	require.NoError(t, err)
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	res.Body.Close()
	assert.Contains(t, string(b), "given it to an operator")
	log, err := os.ReadFile(d.Nodes()[2].Log)
	require.NoError(t, err)
	assert.Equal(t, 3, strings.Count(string(log), "restart 1 of 3\"")+strings.Count(string(log), "restart 2 of 3\"")+strings.Count(string(log), "restart 3 of 3\""), "exactly three restarts:\n%s", log)

	require.NoError(t, l.Close())
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	require.NoError(t, d.AwaitReady(ctx))
}

// panicking is the reference with the hook by which a test lets a front door panic.
type panicking struct{ *Reference }

func (f panicking) Command(s fixtures.NodeSpec, o fixtures.StartOptions) (fixtures.Command, error) {
	c, err := f.Reference.Command(s, o)
	c.Env = append(c.Env, "FIVENINES_TEST_PANIC=1")
	return c, err
}

// A service that panics is started again in place: the process is the same, it
// leads what it led, and clients that were connected are served all the while.
func TestAServiceThatPanicsIsRestartedInPlace(t *testing.T) {
	if testing.Short() {
		t.Skip("brings a topology up")
	}
	self, err := os.Executable()
	require.NoError(t, err)
	topo := oneNodeARegion()
	topo.Settings = map[string]string{"restart_cooldown": "3s", "health_every": "500ms"}
	d, events := upTarget(t, topo, panicking{New(self)}, fixtures.UpOptions{})
	ctx := t.Context()
	old := dial(t, d, "us-east-1", us)
	require.NoError(t, old.Set(ctx, "k", "v", time.Minute).Err())
	before := d.Undo()
	spec := d.Nodes()[0]
	pass := func(door string) {
		t.Helper()
		res, err := http.Post("http://"+spec.Listen[fixtures.PortAdmin]+"/test/panic?door="+door, "", nil)
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, http.StatusOK, res.StatusCode)
		port := map[string]fixtures.Port{"clients": fixtures.PortClient, "peers": fixtures.PortPeer, "admin": fixtures.PortAdmin}[door]
		c, err := net.Dial("tcp", spec.Listen[port]) // whom it is about to panic on
		if err == nil {
			c.Close()
		}
	}
	count := func(kind string) (n int) {
		events.mu.Lock()
		defer events.mu.Unlock()
		seen := map[string]bool{}
		for _, e := range events.evs { // the stream begins anew where it broke
			if e.Kind == kind && e.Source == us && !seen[e.NodeTime] {
				seen[e.NodeTime] = true
				n++
			}
		}
		return n
	}
	elected := count("elected")
	for i, door := range []string{"clients", "peers", "admin"} {
		pass(door)
		require.Eventually(t, func() bool { return count("service-healed") == i+1 }, 15*time.Second, 20*time.Millisecond, "%s: %v", door, events.kinds(us))
		require.NoError(t, old.Get(ctx, "k").Err(), "a client that was there is still served")
		require.NoError(t, dial(t, d, "us-east-1", us).Get(ctx, "k").Err(), "and so is a new one")
	}
	assert.Equal(t, before.Procs[us], d.Undo().Procs[us])
	state, err := d.State(us)
	require.NoError(t, err)
	assert.Equal(t, fixtures.Running, state)
	assert.Equal(t, elected, count("elected"), "it leads what it led")
	for _, door := range []string{"clients", "peers", "admin"} {
		assert.Contains(t, metrics(t, d, us), fmt.Sprintf("fivenines_service_restarts_total{service=%q} 1", door))
	}

	// One that goes on panicking is given up, and with it what the node leads.
	for k := 1; k <= 4; k++ {
		pass("clients")
		require.Eventually(t, func() bool { return count("service-failed") == 3+k }, 15*time.Second, 10*time.Millisecond)
		if k < 3 { // the first restart of three was above
			require.Eventually(t, func() bool {
				return strings.Contains(metrics(t, d, us), fmt.Sprintf("fivenines_service_restarts_total{service=\"clients\"} %d", 1+k))
			}, 15*time.Second, 10*time.Millisecond)
		} else {
			break
		}
	}
	require.Eventually(t, func() bool {
		return slices.Contains(events.kinds(us), "escalated") && slices.Contains(events.kinds(us), "unfit")
	}, 20*time.Second, 20*time.Millisecond, "%v", events.kinds(us))
	via := dial(t, d, "us-east-1", eu)
	retried(t, 10*time.Second, func() error { return via.Get(ctx, "k").Err() })
	// It is tried on, and leads again once it is well.
	require.Eventually(t, func() bool { return slices.Contains(events.kinds(us), "fit") }, 30*time.Second, 20*time.Millisecond)
	require.NoError(t, dial(t, d, "us-east-1", us).Get(ctx, "k").Err())
}
