package faults

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures"
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
