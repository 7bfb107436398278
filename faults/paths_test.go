package faults

import (
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

func TestPathsAreChosen(t *testing.T) {
	topo := fixtures.ThreeRegion()
	for text, want := range map[string]string{
		"path-cut(from=eu-west-1, to=secondary)":      "from and to are both eu-west-1",
		"path-cut(path=cable)":                        `no path between us-east-1 and eu-west-1 is called "cable"; there is [direct internet satellite]`,
		"path-cut(to=mars)":                           `no region is called "mars"`,
		"path-degrade(latency=0s)":                    "latency, jitter and loss are all 0",
		"path-degrade(latency=fast)":                  "latency=fast is not a duration",
		"path-degrade(loss=2)":                        "loss=2 is not a number from 0 to 1",
		"provider-loss(provider=cloud-z)":             `no region has the provider "cloud-z"; there are cloud-a, cloud-b, cloud-c`,
		"provider-loss(provider=cloud-a, mode=slow)":  "mode=slow is not one of",
		"path-degrade(from=primary, path=satellites)": "no path between",
	} {
		s, err := Parse(text)
		require.NoError(t, err)
		_, err = New(s.Kind, s.Params, topo)
		assert.ErrorContains(t, err, want, text)
	}
	one := fixtures.ThreeRegion()
	for i := range one.Regions {
		one.Regions[i].Provider = "cloud-a"
	}
	_, err := New("provider-loss", nil, one)
	assert.ErrorContains(t, err, "every region is with cloud-a: nothing would be left")
	one.Regions[2].Provider = "cloud-c"
	f, err := New("provider-loss", nil, one)
	require.NoError(t, err)
	assert.Equal(t, []string{"cloud-a", "us-east-1", "us-east-1-1", "us-east-1-2", "us-east-1-3", "eu-west-1", "eu-west-1-1", "eu-west-1-2", "eu-west-1-3"}, f.Parts(nil))
	assert.Equal(t, "provider-loss(provider=cloud-a, mode=silent)", f.String())
	one.Regions[0].Provider = ""
	_, err = New("provider-loss", nil, one)
	assert.ErrorContains(t, err, "region us-east-1 has no provider")
}

// Faults of a path hit it in both directions, and neither the other paths nor
// anything else; one that does not is not proved.
func TestPathFaultsTakeHoldAndAreUndone(t *testing.T) {
	topo, _ := tiny()
	topo.Links[0].Paths = []fixtures.Way{{Name: fixtures.Internet, RTT: fixtures.Duration(40 * time.Millisecond)}}
	topo.Regions[0].Provider, topo.Regions[1].Provider = "cloud-a", "cloud-b"
	d, err := process.New(process.Options{}).Up(ctxFor(t, 30*time.Second), topo, &fake.Target{NoEvents: true}, fixtures.UpOptions{Dir: t.TempDir(), Seed: 1})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, d.Down(ctxFor(t, 10*time.Second))) })
	ctx := ctxFor(t, time.Minute)
	has := func(all []string, prefix string) bool {
		return slices.ContainsFunc(all, func(s string) bool { return strings.HasPrefix(s, prefix) })
	}
	for _, tc := range []struct {
		text        string
		took, spare []string
		parts       []string
	}{
		{"path-cut", []string{"peer:east-1>west-1 silent", "peer:west-1>east-2 silent"}, []string{"peer:east-1>west-1/internet", "client:east>west-1", "west-1"}, []string{"east>west/direct", "west>east/direct"}},
		{"path-cut(path=internet)", []string{"peer:east-1>west-1/internet silent"}, []string{"peer:east-1>west-1"}, []string{"east>west/internet", "west>east/internet"}},
		{"path-degrade(latency=150ms)", []string{"peer:east-1>west-1 degraded", "peer:west-1>east-2 degraded"}, []string{"peer:east-1>west-1/internet", "client:east>west-1"}, []string{"east>west/direct", "west>east/direct"}},
		{"path-degrade(latency=0s, jitter=80ms)", []string{"peer:east-1>west-1 degraded"}, []string{"peer:east-1>west-1/internet"}, []string{"east>west/direct", "west>east/direct"}},
		{"path-degrade(latency=0s, loss=0.3, path=internet)", []string{"peer:east-1>west-1/internet degraded"}, []string{"peer:east-1>west-1"}, []string{"east>west/internet", "west>east/internet"}},
		{"provider-loss", []string{"east-1 paused", "east-2 paused", "client:west>east-1 silent", "peer:east-1>west-1/internet silent"}, []string{"west-1", "client:east>west-1"}, []string{"cloud-a", "east", "east-1", "east-2"}},
		{"provider-loss(mode=crash)", []string{"east-1 dead", "east-2 dead", "peer:west-1>east-1/internet dead"}, []string{"west-1"}, []string{"cloud-a", "east", "east-1", "east-2"}},
	} {
		f := parse(t, d, tc.text)
		require.NoError(t, Baseline(ctx, d, Effect{}), tc.text)
		now := stopwatch()
		require.NoError(t, f.Inject(ctx, d))
		p, err := Prove(ctx, d, f, 0, now)
		require.NoError(t, err, tc.text)
		for _, want := range tc.took {
			assert.True(t, has(p.Took, want), "%s: %s is not in %v", tc.text, want, p.Took)
		}
		for _, want := range tc.spare {
			assert.True(t, slices.Contains(p.Spared, want), "%s: %s is not in %v", tc.text, want, p.Spared)
		}
		assert.Equal(t, tc.parts, f.Parts(d), tc.text)
		require.NoError(t, f.Heal(ctx, d))
		require.NoError(t, f.Heal(ctx, d), "again")
		require.NoError(t, d.AwaitReady(ctx))
	}
	require.NoError(t, Baseline(ctx, d, Effect{}))

	g := d.(fixtures.Degrader)
	links := parse(t, d, "path-cut").(*pathCut).links(d)
	for _, tc := range []struct {
		name, text string
		inject     func() error
		want       string
	}{
		{"nothing", "path-degrade", func() error { return nil }, "peer:east-1>west-1 answers after"},
		{"too little", "path-degrade", func() error { return g.Degrade(ctx, fixtures.Degradation{Latency: 100 * time.Millisecond}, links...) }, "should take 250ms more"},
		{"one link less", "path-degrade", func() error {
			return g.Degrade(ctx, fixtures.Degradation{Latency: 250 * time.Millisecond}, links[1:]...)
		}, links[0].ID() + " answers after"},
		{"no jitter", "path-degrade(latency=0s, jitter=400ms)", func() error { return nil }, "no link shows the jitter or the loss"},
		{"another path", "path-cut(path=internet)", func() error { return d.Cut(ctx, links...) }, "peer:east-1>west-1/internet answers, should be cut"},
		{"half a provider", "provider-loss(mode=crash)", func() error { return d.Kill(ctx, "east-1") }, "east-2 is running, should be dead"},
	} {
		f := parse(t, d, tc.text)
		now := stopwatch()
		require.NoError(t, tc.inject())
		_, err := Prove(ctx, d, f, 0, now)
		require.ErrorIs(t, err, ErrUnproved, tc.name)
		assert.ErrorContains(t, err, tc.want, tc.name)
		require.NoError(t, g.Degrade(ctx, fixtures.Degradation{}, links...))
		require.NoError(t, revive(ctx, d, []string{"east-1", "east-2"}, d.Links(), fixtures.StartOptions{}))
		require.NoError(t, d.AwaitReady(ctx))
	}
	require.NoError(t, Baseline(ctx, d, Effect{}))
}
