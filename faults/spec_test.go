package faults

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Spec{
		"power-loss":                                  {"power-loss", map[string]string{}},
		"power-loss()":                                {"power-loss", map[string]string{}},
		" node-crash ( node = primary:1 ) ":           {"node-crash", map[string]string{"node": "primary:1"}},
		"region-loss(region=us-east-1,mode=silent)":   {"region-loss", map[string]string{"region": "us-east-1", "mode": "silent"}},
		"region-loss(\tregion=us-east-1, mode=crash)": {"region-loss", map[string]string{"region": "us-east-1", "mode": "crash"}},
	} {
		got, err := Parse(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for text, want := range map[string]string{
		"":                      "column 1: expected the name of a fault",
		"(a=b)":                 "column 1: expected the name of a fault",
		"a(":                    "column 3: expected the name of a parameter, found the end",
		"a(b":                   "column 4: expected =",
		"a(b=":                  "column 5: expected a value for b",
		"a(b=c":                 "column 6: expected , or )",
		"a(b=c d)":              `column 7: expected , or ), found "d)"`,
		"a(b=c,)":               "column 7: expected the name of a parameter",
		"a(b=c) d":              `column 8: expected the end, found "d"`,
		"a(b=c, b=d)":           "parameter b is there twice",
		"region-loss(region=é)": "expected a value",
	} {
		_, err := Parse(text)
		assert.ErrorContains(t, err, want, text)
	}
}

// Every fault that can be made prints text from which the same fault is made.
func TestFaultsPrintAndParseBack(t *testing.T) {
	topo := fixtures.ThreeRegion()
	values := map[string][]string{
		"region":      {"primary", "secondary", "tertiary", "us-east-1", "eu-west-1", "ap-southeast-1"},
		"node":        {"primary:1", "tertiary:2", "eu-west-1:3", "us-east-1-2"},
		"where":       {"primary:1", "tertiary", "eu-west-1"},
		"share":       {"0.01", "1", "0.5"},
		"rate":        {"5000", "1000000"},
		"cores":       {"0.1", "2"},
		"connections": {"1", "16"},
		"bytes":       {"8388608", "1073741824"},
		"grace":       {"0s", "2s"},
		"within":      {"5s", "30s"},
		"delay":       {"100ms", "2s"},
		"jitter":      {"0s", "50ms"},
		"size":        {"67108864", "1073741824"},
		"survivor":    {"tertiary", "eu-west-1"},
		"operator":    {"2s", "5s", "1m0s"},
		"provider":    {"primary", "cloud-b"},

		"from":    {"primary", "us-east-1"},
		"to":      {"all", "secondary", "ap-southeast-1"},
		"path":    {"direct", "internet", "satellite"},
		"latency": {"100ms", "1s"},
		"loss":    {"0", "0.05"},
	}
	rng := rand.New(rand.NewPCG(1, 1))
	made := map[string]bool{}
	for i := range 100 * len(Kinds()) {
		k := Kinds()[i%len(Kinds())]
		params := map[string]string{}
		for _, p := range k.Params {
			vs := p.Values
			if len(vs) == 0 {
				vs = values[p.Name]
			}
			if rng.IntN(4) > 0 {
				params[p.Name] = vs[rng.IntN(len(vs))]
			}
		}
		f, err := New(k.Kind, params, topo)
		require.NoError(t, err, "%s %v", k.Kind, params)
		s, err := Parse(f.String())
		require.NoError(t, err, f.String())
		again, err := New(s.Kind, s.Params, topo)
		require.NoError(t, err, f.String())
		assert.Equal(t, f, again)
		assert.Equal(t, f.String(), again.String())
		assert.Equal(t, k.Kind, f.Kind())
		made[f.String()] = true
	}
	assert.Greater(t, len(made), 20)
	assert.Contains(t, made, "region-loss(region=eu-west-1, mode=silent)", "in the order of the documentation")
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"power-loss", "a()", "region-loss(region=us-east-1, mode=silent)", "a(b=c,d=e)", "a(b=c,,)", "a(=)", "\x00(", "a(b=c)x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(s.String())
		require.NoError(t, err)
		require.Equal(t, s, again)
	})
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	topo := fixtures.ThreeRegion()
	for _, tc := range []struct{ text, want string }{
		{"meteor", `no fault is called "meteor"; there are all-regions-loss, balancer-crash, bandwidth, `},
		{"region-loss(mode=loud)", "mode=loud is not one of silent, crash"},
		{"region-loss(node=x)", `no parameter "node"; it has region, mode`},
		{"region-loss(region=mars)", `no region is called "mars" and none has that role; there are us-east-1 (primary), `},
		{"node-crash(node=mars-1)", `no node is called "mars-1"`},
		{"node-crash(node=primary:4)", "us-east-1 has nodes 1 to 3"},
		{"node-pause(node=primary:x)", "us-east-1 has nodes 1 to 3"},
		{"node-stop(grace=soon)", "grace=soon is not a duration from 0s to 1m0s"},
		{"node-restart(node=mars-1)", `no node is called "mars-1"`},
		{"power-loss(region=mars)", `no region is called "mars"`},
	} {
		s, err := Parse(tc.text)
		require.NoError(t, err)
		_, err = New(s.Kind, s.Params, topo)
		assert.ErrorContains(t, err, tc.want, tc.text)
	}
	one := &fixtures.Topology{Regions: []fixtures.Region{{Name: "a", Role: fixtures.Primary, Nodes: 1}}}
	_, err := New("region-partition", nil, one)
	assert.ErrorContains(t, err, "one region only")
}

func TestKindsAreDocumented(t *testing.T) {
	for _, k := range Kinds() {
		assert.NotEmpty(t, k.Summary, k.Kind)
		assert.True(t, strings.HasSuffix(k.Summary, "."), k.Kind)
		for _, p := range k.Params {
			assert.NotEmpty(t, p.Help, "%s %s", k.Kind, p.Name)
		}
		_, err := New(k.Kind, nil, fixtures.ThreeRegion())
		assert.NoError(t, err, "%s works with its defaults", k.Kind)
	}
}
