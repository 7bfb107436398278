package faults

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/fixtures/container"
	"github.com/fivenines/fivenines/fixtures/container/netfault"
	"github.com/fivenines/fivenines/fixtures/targettest/fake"
)

// inContainers brings the tiny topology up in containers; without an engine
// the test is skipped, and fails in CI.
func inContainers(t *testing.T) fixtures.Deployment {
	t.Helper()
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	if err := exec.Command("docker", "version").Run(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("CI needs a Docker Engine: ", err)
		}
		t.Skip("no Docker Engine answers")
	}
	program := filepath.Join(t.TempDir(), "fakenode")
	build := exec.Command("go", "build", "-o", program, "github.com/fivenines/fivenines/fixtures/targettest/fakenode")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	topo, _ := tiny()
	d, err := container.New(container.Options{Links: fixtures.Command{Path: program}, Services: true}).Up(ctxFor(t, time.Minute), topo,
		&fake.Target{Binary: program, NoEvents: true}, fixtures.UpOptions{Dir: t.TempDir(), Seed: 1, Disks: map[string]int64{"east-2": 64 << 20}})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, d.Down(ctxFor(t, time.Minute))) })
	return d
}

// chatter keeps packets going to and from every node, as peers would.
func chatter(t *testing.T, d fixtures.Deployment) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_ = each(allNodes(d.Topology()), func(n string) error {
				for _, l := range d.Links() {
					if l.To == n {
						try, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
						_ = d.Canary(try, l)
						cancel()
					}
				}
				return nil
			})
		}
	}()
	t.Cleanup(func() { stop(); <-done })
}

// Every kind on containers: those that only they have, and those that
// processes have as well, which must look the same.
func TestEveryKindInContainers(t *testing.T) {
	d := inContainers(t)
	chatter(t, d)
	ctx := ctxFor(t, 3*time.Minute)
	for _, tc := range []struct {
		text string
		took []string // parts of the proof, by prefix
	}{
		{"node-crash(node=primary:2)", []string{"east-2 dead", "client:west>east-2"}},
		{"node-pause(node=primary:2)", []string{"east-2 paused", "client:west>east-2 silent"}},
		{"region-loss(region=primary)", []string{"east-1 paused", "client:east>east-1 silent", "peer:west-1>east-1 silent"}},
		{"region-partition(region=west)", []string{"peer:east-1>west-1 silent", "peer:west-1>east-2 silent"}},
		{"power-loss", []string{"east-1: process ", "west-1: process "}},
		{"node-stop(node=primary:2)", []string{"east-2 dead", "east-2: ended by itself", "client:west>east-2"}},
		{"node-stop(node=primary:2, grace=0s)", []string{"east-2 dead", "east-2: "}},
		{"node-restart(node=primary:2)", []string{"east-2: ended by itself"}},
		{"packet-loss(where=primary:1, share=0.2)", []string{"east-1: "}},
		{"connection-resets(where=primary:1, share=0.5)", []string{"east-1: "}},
		{"bandwidth(where=primary:1, rate=5000)", []string{"east-1: "}},
		{"one-way-partition(region=east, lost=in)", []string{"peer:west-1>east-1 silent", "east-1: ", "east-2: "}},
		{"one-way-partition(region=east, lost=out)", []string{"peer:west-1>east-2 silent", "east-1: "}},
		{"balancer-crash(region=primary)", []string{"entry:east>east", "entry:west>east", "balancer-east dead"}},
		{"node-disconnect(node=primary:1)", []string{"client:east>east-1", "peer:west-1>east-1"}},
		{"region-disconnect(region=east)", []string{"client:west>east-1", "client:west>east-2", "peer:west-1>east-1"}},
		{"cpu-squeeze(node=primary:1, cores=0.2)", []string{"east-1: limits"}},
		{"memory-squeeze(node=primary:1, bytes=134217728)", []string{"east-1: limits"}},
		{"dns-gone", []string{"east-1: no answer", "east-2: no answer", "west-1: no answer"}},
		{"dns-gone(where=west)", []string{"west-1: no answer"}},
		{"dns-slow(where=east, delay=300ms)", []string{"east-1: told right after ", "east-2: told right after "}},
		{"dns-wrong(where=primary:1)", []string{"east-1: told wrong"}},
		{"disk-full(node=primary:2, size=67108864)", []string{"east-2: a write to its disk gets: no space left on device"}},
		{"disk-readonly(node=primary:2, size=67108864)", []string{"east-2: a write to its disk gets: read-only file system"}},
	} {
		t.Run(tc.text, func(t *testing.T) {
			f := parse(t, d, tc.text)
			require.NoError(t, Baseline(ctx, d, Effect{}))
			now := stopwatch()
			require.NoError(t, f.Inject(ctx, d))
			p, err := Prove(ctx, d, f, 0, now)
			t.Logf("proved at %v (bound %v): %v", p.At, f.Effect(d).Bound, p.Took)
			assert.NoError(t, err)
			for _, w := range tc.took {
				assert.True(t, slices.ContainsFunc(p.Took, func(s string) bool { return strings.HasPrefix(s, w) }), "%s in %v", w, p.Took)
			}
			require.NoError(t, f.Heal(ctx, d))
			require.NoError(t, Baseline(ctx, d, Effect{}), "all is well again")
			require.NoError(t, f.Heal(ctx, d), "again")
		})
	}
	t.Run("delays", func(t *testing.T) { testDelays(ctx, t, d) })
}

// Delays need netem, which many kernels lack: such a kernel is named, and where
// it is there the faults take hold.
func testDelays(ctx context.Context, t *testing.T, d fixtures.Deployment) {
	i := slices.IndexFunc(container.Capabilities(), func(c netfault.Capability) bool { return c.Name == "netem" })
	require.GreaterOrEqual(t, i, 0)
	for _, text := range []string{"packet-delay(where=primary:1, delay=50ms, jitter=5ms)", "packet-reorder(where=primary:1, share=0.5)"} {
		s, err := Parse(text)
		require.NoError(t, err)
		f, err := New(s.Kind, s.Params, d.Topology())
		require.NoError(t, err)
		if !container.Capabilities()[i].OK {
			err := f.Available(d)
			assert.ErrorIs(t, err, fixtures.ErrNotHere, text)
			assert.ErrorContains(t, err, "this kernel has no netem", text)
			assert.Error(t, f.Inject(ctx, d), "who asks all the same is refused")
			assert.NoError(t, f.Heal(ctx, d))
			continue
		}
		require.NoError(t, f.Available(d))
		now := stopwatch()
		require.NoError(t, f.Inject(ctx, d))
		p, err := Prove(ctx, d, f, 0, now)
		assert.NoError(t, err)
		t.Logf("%s: proved at %v: %v", text, p.At, p.Took)
		require.NoError(t, f.Heal(ctx, d))
	}
	require.NoError(t, Baseline(ctx, d, Effect{}))
}

// idle is a deployment that says that it did what was asked, and did not.
type idle struct {
	fixtures.Deployment
	limits fixtures.Limits
	write  error
	liedTo string // by DNS
}

func (idle) CanImpair(fixtures.Impairment) error                       { return nil }
func (idle) Impair(context.Context, string, fixtures.Impairment) error { return nil }
func (idle) Impaired(context.Context, string) (uint64, error)          { return 0, nil }
func (idle) Squeeze(context.Context, string, fixtures.Limits) error    { return nil }
func (i idle) Limits(context.Context, string) (fixtures.Limits, error) { return i.limits, nil }
func (idle) Unplug(context.Context, string) error                      { return nil }
func (idle) Plug(context.Context, string) error                        { return nil }

func (idle) Services() []fixtures.Service {
	return []fixtures.Service{{ID: "balancer-east", Kind: fixtures.Balancer, Region: "east"}}
}
func (idle) EntryAddr(string, string) string            { return "" }
func (idle) KillService(context.Context, string) error  { return nil }
func (idle) StartService(context.Context, string) error { return nil }
func (idle) ServiceState(context.Context, string) (fixtures.NodeState, error) {
	return fixtures.Running, nil
}

func (idle) CanBreakDisk(string) error                                    { return nil }
func (idle) BreakDisk(context.Context, string, fixtures.DiskFault) error  { return nil }
func (idle) MendDisk(context.Context, string) error                       { return nil }
func (idle) Misname(context.Context, fixtures.NameFault, ...string) error { return nil }
func (i idle) Lookup(_ context.Context, node string) (bool, error)        { return i.liedTo != node, nil }

func (i idle) WriteDisk(context.Context, string) error { return i.write }

func TestFaultsThatDoNothingAreNotProved(t *testing.T) {
	d := up(t)
	for text, want := range map[string]string{
		"packet-loss(where=primary:1)":           "east-1: no packet was hit",
		"bandwidth(where=east)":                  "east-2: no packet was hit",
		"one-way-partition(region=east)":         "peer:west-1>east-1 answers, should be cut",
		"node-disconnect(node=primary:1)":        "client:east>east-1 answers, should be cut",
		"region-disconnect(region=east)":         "client:east>east-2 answers, should be cut",
		"cpu-squeeze(node=primary:1)":            "east-1: its limits are",
		"balancer-crash(region=east)":            "balancer-east: it is running, should be dead",
		"memory-squeeze(node=primary:1)":         "east-1: its limits are",
		"connection-resets(where=west, share=1)": "west-1: no packet was hit",
		"packet-delay(where=west)":               "west-1: no packet was hit",
		"packet-reorder(where=east)":             "east-1: no packet was hit",
		"dns-gone(where=east)":                   "east-2: DNS should be gone: right=true",
		"dns-slow(where=east-1)":                 "east-1: DNS should be slow: right=true",
		"dns-wrong(where=east)":                  "east-1: DNS should be wrong: right=true",
		"disk-full(node=west-1)":                 "west-1: its disk still takes writes",
		"disk-readonly(node=west-1)":             "west-1: its disk still takes writes",
	} {
		f := parse(t, idle{Deployment: d}, text)
		now := stopwatch()
		_, err := Prove(ctxFor(t, 20*time.Second), idle{Deployment: d}, f, 0, now)
		assert.ErrorIs(t, err, ErrUnproved, text)
		assert.ErrorContains(t, err, want, text)
	}
}

// Names that are wrong for somebody else as well are more than was asked for.
func TestNamesThatAreWrongForOthersAreNotProved(t *testing.T) {
	d := up(t)
	for text, want := range map[string]string{
		"dns-wrong(where=east-1)": "west-1: should be told right",
		"dns-wrong(where=east)":   "east-1: DNS should be wrong",
	} {
		f, err := Parse(text)
		require.NoError(t, err)
		fault, err := New(f.Kind, f.Params, d.Topology())
		require.NoError(t, err)
		now := stopwatch()
		_, err = Prove(ctxFor(t, 20*time.Second), idle{Deployment: d, liedTo: "west-1"}, fault, 0, now)
		assert.ErrorIs(t, err, ErrUnproved, text)
		assert.ErrorContains(t, err, want, text)
	}
}

// A disk that fails in another way is not the disk that was asked for.
func TestADiskThatBreaksOtherwiseIsNotProved(t *testing.T) {
	d := up(t)
	for text, write := range map[string]error{"disk-full": syscall.EROFS, "disk-readonly": syscall.EIO} {
		dead := idle{Deployment: d, write: write}
		f := parse(t, dead, text)
		now := stopwatch()
		_, err := Prove(ctxFor(t, 20*time.Second), dead, f, 0, now)
		assert.ErrorIs(t, err, ErrUnproved, text)
		assert.ErrorContains(t, err, write.Error(), text)
	}
}

func TestWhatProcessesCannotSufferIsNotRunnableHere(t *testing.T) {
	d := up(t)
	for _, text := range []string{"packet-loss", "connection-resets", "bandwidth", "one-way-partition", "node-disconnect", "region-disconnect", "cpu-squeeze", "memory-squeeze", "disk-full", "disk-readonly", "dns-gone", "dns-slow", "dns-wrong", "packet-delay", "packet-reorder", "balancer-crash"} {
		f, err := New(text, nil, d.Topology())
		require.NoError(t, err)
		assert.True(t, errors.Is(f.Available(d), fixtures.ErrNotHere), text)
	}
	for _, bad := range []struct{ kind, param, value, want string }{
		{"packet-loss", "share", "0", "share=0"},
		{"packet-loss", "share", "NaN", "share=NaN"},
		{"packet-loss", "where", "nowhere", "no node is called"},
		{"bandwidth", "rate", "12", "rate=12"},
		{"one-way-partition", "region", "east-1", "no region is called"},
		{"cpu-squeeze", "cores", "0", "cores=0"},
		{"memory-squeeze", "bytes", "1", "bytes=1"},
		{"disk-full", "size", "1", "size=1"},
		{"dns-slow", "delay", "5s", "delay=5s"},
		{"packet-delay", "delay", "0s", "delay=0s"},
		{"packet-delay", "jitter", "101ms", "jitter=101ms is not a duration from 0s to 100ms"},
		{"packet-reorder", "share", "2", "share=2"},
		{"packet-reorder", "delay", "2m", "delay=2m"},
		{"dns-gone", "where", "nowhere", "no node is called"},
		{"disk-readonly", "node", "mars-1", "no node is called"},
	} {
		_, err := New(bad.kind, map[string]string{bad.param: bad.value}, d.Topology())
		assert.ErrorContains(t, err, bad.want, bad.kind)
	}
}
