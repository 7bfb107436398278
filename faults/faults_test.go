package faults

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/fixtures/process"
	"github.com/fivenines/fivenines/fixtures/targettest/fake"
)

const envHarness = "FIVENINES_TEST_HARNESS"

func TestMain(m *testing.M) {
	fake.Main()
	if dir := os.Getenv(envHarness); dir != "" {
		harness(dir)
	}
	os.Exit(m.Run())
}

func ctxFor(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func up(t testing.TB) fixtures.Deployment {
	t.Helper()
	topo, _ := tiny()
	return upTarget(t, topo, &fake.Target{NoEvents: true, Supervised: "west-1"})
}

func upTarget(t testing.TB, topo *fixtures.Topology, target *fake.Target) fixtures.Deployment {
	t.Helper()
	d, err := process.New(process.Options{}).Up(ctxFor(t, 30*time.Second), topo, target,
		fixtures.UpOptions{Dir: t.TempDir(), Seed: 1})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, d.Down(ctxFor(t, 10*time.Second))) })
	return d
}

func parse(t testing.TB, d fixtures.Deployment, text string) Fault {
	t.Helper()
	s, err := Parse(text)
	require.NoError(t, err)
	f, err := New(s.Kind, s.Params, d.Topology())
	require.NoError(t, err)
	require.NoError(t, f.Available(d))
	return f
}

// stopwatch is a clock that began now.
func stopwatch() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

// A whole life of each kind: baseline, inject, proof, heal, baseline.
func TestEveryKindTakesHoldAndIsUndone(t *testing.T) {
	d := up(t)
	ctx := ctxFor(t, 60*time.Second)
	for _, tc := range []struct {
		text  string
		took  []string // parts of the proof, by prefix
		spare []string
		parts []string
	}{
		{
			"region-loss(region=primary)",
			[]string{"east-1 paused", "east-2 paused", "client:east>east-1 silent", "client:west>east-2 silent", "peer:east-1>west-1 silent", "peer:west-1>east-1 silent"},
			[]string{"west-1", "client:east>west-1", "client:west>west-1"},
			[]string{"east", "east-1", "east-2"},
		},
		{
			"region-crash(region=east)",
			[]string{"east-1 dead", "east-2 dead", "client:east>east-1 dead", "peer:west-1>east-2 dead"},
			[]string{"west-1", "client:east>west-1", "peer:east-1>west-1"},
			[]string{"east", "east-1", "east-2"},
		},
		{
			"region-partition(region=west)",
			[]string{"peer:east-1>west-1 silent", "peer:west-1>east-2 silent"},
			[]string{"east-1", "west-1", "client:east>west-1", "client:west>east-1", "client:west>west-1"},
			[]string{"west", "west-1"},
		},
		{
			"region-partition(region=west, clients=cut)",
			[]string{"peer:east-1>west-1 silent", "client:east>west-1 silent", "client:west>east-1 silent"},
			[]string{"client:west>west-1", "client:east>east-1"},
			[]string{"west", "west-1"},
		},
		{
			"node-crash(node=primary:2)",
			[]string{"east-2 dead", "client:west>east-2 dead", "peer:west-1>east-2 dead"},
			[]string{"east-1", "client:west>east-1", "peer:east-2>west-1"},
			[]string{"east-2"},
		},
		{
			"node-pause(node=primary:2)",
			[]string{"east-2 paused", "client:west>east-2 silent", "peer:west-1>east-2 silent"},
			[]string{"east-1", "client:west>east-1", "peer:east-2>west-1"},
			[]string{"east-2"},
		},
		{
			"node-stop(node=primary:2)",
			[]string{"east-2 dead", "east-2: ended by itself", "client:west>east-2 dead"},
			[]string{"east-1", "client:west>east-1", "peer:east-2>west-1"},
			[]string{"east-2"},
		},
		{
			"node-restart(node=primary:2)",
			[]string{"east-2: ended by itself"},
			[]string{"east-1", "east-2", "west-1"},
			[]string{"east-2"},
		},
		{
			"overload(node=primary:2, rate=10000, connections=3)",
			[]string{"east-2: bulk deletes on 3 connections"},
			[]string{"east-1", "east-2", "west-1", "client:west>east-2", "peer:east-2>west-1"},
			[]string{"east-2"},
		},
		{
			"process-crash(node=secondary:1)",
			[]string{"west-1: process "},
			[]string{"east-1", "east-2", "client:west>east-1", "peer:west-1>east-1"},
			[]string{"west-1"},
		},
		{
			"power-loss",
			[]string{"east-1: process ", "east-2: process ", "west-1: process "},
			nil,
			[]string{"east", "west", "east-1", "east-2", "west-1"},
		},
	} {
		t.Run(tc.text, func(t *testing.T) {
			f := parse(t, d, tc.text)
			require.NoError(t, Baseline(ctx, d, Effect{}))
			before := d.Undo()
			now := stopwatch()
			require.NoError(t, f.Inject(ctx, d))
			p, err := Prove(ctx, d, f, 0, now)
			require.NoError(t, err)
			t.Logf("proved at %v (bound %v): %s", p.At, f.Effect(d).Bound, p.Summary())
			for _, w := range tc.took {
				assert.True(t, slices.ContainsFunc(p.Took, func(s string) bool { return strings.HasPrefix(s, w) }), "%s in %v", w, p.Took)
			}
			for _, w := range tc.spare {
				assert.Contains(t, p.Spared, w)
			}
			assert.Empty(t, p.Wrong)
			assert.Positive(t, p.At)
			assert.Equal(t, tc.parts, f.Parts(d))

			require.NoError(t, f.Heal(ctx, d))
			require.NoError(t, Baseline(ctx, d, Effect{}))
			if f.Kind() == "power-loss" {
				for n, pid := range d.Undo().Procs {
					assert.NotEqual(t, before.Procs[n], pid)
				}
			}
			require.NoError(t, f.Heal(ctx, d), "again")
		})
	}
}

// broken is a fault that does something else than it says.
type broken struct {
	Fault
	inject func(d fixtures.Deployment) error
}

func (b broken) Inject(_ context.Context, d fixtures.Deployment) error { return b.inject(d) }

func TestAFaultThatIsNotWhatItSaysIsNotProved(t *testing.T) {
	d := up(t)
	ctx := ctxFor(t, 60*time.Second)
	all := d.Links()
	for _, tc := range []struct {
		name, text string
		inject     func(d fixtures.Deployment) error
		want       string
	}{
		{"does nothing", "region-partition(region=east)", func(fixtures.Deployment) error { return nil }, "peer:east-1>west-1 answers, should be cut"},
		{"forgets a link", "region-partition(region=east)", func(d fixtures.Deployment) error {
			return d.Cut(ctx, partition(all, "east", false)[1:]...)
		}, "answers, should be cut"},
		{"cuts too much", "region-partition(region=east)", func(d fixtures.Deployment) error {
			return d.Cut(ctx, partition(all, "east", true)...)
		}, "client:west>east-1 should answer"},
		{"crashes what should be silent", "node-pause(node=east-1)", func(d fixtures.Deployment) error { return d.Kill(ctx, "east-1") }, "east-1 is dead, should be paused"},
		{"closes what should be silent", "region-loss(region=west)", func(d fixtures.Deployment) error {
			return errors.Join(d.Cut(ctx, isolation(all, "west")[1:]...), d.Kill(ctx, "west-1"))
		}, "should be silent: "},
		{"hits another node", "node-crash(node=east-1)", func(d fixtures.Deployment) error { return d.Kill(ctx, "east-2") }, "east-2 is dead, should be running"},
		{"hits one more", "node-pause(node=east-1)", func(d fixtures.Deployment) error {
			return errors.Join(d.Pause(ctx, "east-1"), d.Pause(ctx, "west-1"))
		}, "west-1 is paused, should be running"},
		{"only half of the region", "region-crash(region=east)", func(d fixtures.Deployment) error { return d.Kill(ctx, "east-1") }, "east-2 is running, should be dead"},
		{"no power lost", "power-loss", func(d fixtures.Deployment) error { return nil }, "not all processes were seen to be gone"},
		{"stops nothing", "node-stop(node=east-1)", func(d fixtures.Deployment) error { return nil }, "east-1 is running, should be dead"},
		{"stops it without asking", "node-stop(node=east-1)", func(d fixtures.Deployment) error { return d.Kill(ctx, "east-1") }, "east-1 was not seen to be gone"},
		{"sends nothing", "overload(node=east-1)", func(d fixtures.Deployment) error { return nil }, "0 of 16 connections for bulk deletes had an answer"},
		{"kills no process", "process-crash(node=west-1)", func(d fixtures.Deployment) error { return nil }, "west-1: no process of it was killed"},
		{"kills the supervisor too", "process-crash(node=west-1)", func(d fixtures.Deployment) error { return d.Kill(ctx, "west-1") }, "no process of it was killed"},
		{"restarts nothing", "node-restart(node=east-1)", func(d fixtures.Deployment) error { return nil }, "east-1 was not seen to be gone"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := parse(t, d, tc.text)
			now := stopwatch()
			require.NoError(t, tc.inject(d))
			_, err := Prove(ctx, d, broken{f, tc.inject}, 0, now)
			_, keeps := f.(interface {
				Evidence() (took, wrong []string, at time.Time, err error)
			})
			if _, confirms := f.(Confirmer); keeps || confirms {
				_, err = Prove(ctx, d, f, 0, now)
			}
			require.ErrorIs(t, err, ErrUnproved)
			assert.ErrorContains(t, err, tc.want)
			// Whatever was hit is undone by a fault that heals everything.
			require.NoError(t, revive(ctx, d, []string{"east-1", "east-2", "west-1"}, all, fixtures.StartOptions{}))
			require.NoError(t, Baseline(ctx, d, Effect{}))
		})
	}
}

func TestAFaultThatTakesHoldLateIsNotProved(t *testing.T) {
	d := up(t)
	ctx := ctxFor(t, 20*time.Second)
	f := parse(t, d, "node-crash")
	require.NoError(t, f.Inject(ctx, d))
	p, err := Prove(ctx, d, f, 0, func() time.Duration { return 10 * time.Second })
	require.ErrorIs(t, err, ErrUnproved)
	assert.ErrorContains(t, err, "the bound is")
	assert.NotEmpty(t, p.Took)
}

func TestBaselineFindsWhatIsBrokenAlready(t *testing.T) {
	d := up(t)
	ctx := ctxFor(t, 20*time.Second)
	f := parse(t, d, "region-partition(region=west)")
	require.NoError(t, f.Inject(ctx, d))
	assert.ErrorContains(t, Baseline(ctx, d, Effect{}), "peer:east-1>west-1 should answer")
	assert.NoError(t, Baseline(ctx, d, f.Effect(d)), "a fault in force is no surprise")
	require.NoError(t, d.Pause(ctx, "east-1"))
	assert.ErrorContains(t, Baseline(ctx, d, f.Effect(d)), "east-1 is paused, should be running")
}

func TestHealAfterAPartialInject(t *testing.T) {
	d := up(t)
	ctx := ctxFor(t, 30*time.Second)
	f := parse(t, d, "region-loss(region=east)")
	require.NoError(t, d.Cut(ctx, isolation(d.Links(), "east")...))
	require.NoError(t, d.Pause(ctx, "east-1"))
	require.NoError(t, d.Kill(ctx, "east-2"), "it died meanwhile")
	require.NoError(t, f.Heal(ctx, d))
	require.NoError(t, Baseline(ctx, d, Effect{}))
}

func TestVictimsMustBeOfTheDeployment(t *testing.T) {
	d := up(t)
	for _, text := range []string{"region-loss", "region-crash", "region-partition", "node-crash", "node-pause", "power-loss"} {
		s, err := Parse(text)
		require.NoError(t, err)
		f, err := New(s.Kind, s.Params, fixtures.ThreeRegion()) // another topology
		require.NoError(t, err)
		assert.Error(t, f.Available(d), text)
	}
}

func TestProveEndsWithItsContext(t *testing.T) {
	d := up(t)
	f := parse(t, d, "region-partition")
	require.NoError(t, f.Inject(ctxFor(t, time.Second), d))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Prove(ctx, d, f, 0, stopwatch())
	assert.ErrorIs(t, err, context.Canceled)
	assert.NotErrorIs(t, err, ErrUnproved, "an interrupted proof says nothing of the fault")
}

func journals(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	return files
}

// A supervised node's process that is killed comes back by itself, or else by
// the undoing; only supervised nodes have one to kill.
func TestProcessCrash(t *testing.T) {
	topo, _ := tiny()
	ctx := ctxFor(t, 60*time.Second)
	for name, lazy := range map[string]bool{"back by itself": false, "a supervisor that does not": true} {
		t.Run(name, func(t *testing.T) {
			d := upTarget(t, topo, &fake.Target{NoEvents: true, Supervised: "west-1", Lazy: lazy})
			c := d.(fixtures.Crasher)
			first, err := c.Worker("west-1")
			require.NoError(t, err)
			f := parse(t, d, "process-crash(node=west-1, within=2s)")
			now := stopwatch()
			supervisor := d.Undo().Procs["west-1"]
			require.NoError(t, f.Inject(ctx, d))
			p, err := Prove(ctx, d, f, 0, now)
			require.NoError(t, err)
			assert.Contains(t, p.Took[0], "west-1: process ")
			require.NoError(t, Baseline(ctx, d, f.Effect(d)), "it may be gone while it is in force")
			if lazy {
				s, err := d.State("west-1")
				require.NoError(t, err)
				assert.Equal(t, fixtures.Dead, s, "its supervisor lives, and it does not")
			} else {
				require.Eventually(t, func() bool { s, err := d.State("west-1"); return err == nil && s != fixtures.Dead }, 10*time.Second, 5*time.Millisecond)
			}
			node, within := f.(Returner).Returns()
			assert.Equal(t, "west-1", node)
			assert.Equal(t, 2*time.Second, within)
			require.NoError(t, f.Heal(ctx, d))
			again, err := c.Worker("west-1")
			require.NoError(t, err)
			assert.NotEqual(t, first, again)
			assert.Equal(t, lazy, d.Undo().Procs["west-1"] != supervisor, "who started it again")
			require.NoError(t, Baseline(ctx, d, Effect{}))
		})
	}
	d := up(t)
	s, err := Parse("process-crash(node=east-1)")
	require.NoError(t, err)
	f, err := New(s.Kind, s.Params, topo)
	require.NoError(t, err)
	assert.ErrorContains(t, f.Available(d), "east-1 has no supervisor")
}
