package gameday

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The schema takes what the decoder takes, and refuses what an editor should
// underline.
func TestSchemaJudgesFiles(t *testing.T) {
	b, err := Schema()
	require.NoError(t, err)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource("gameday.json", doc))
	sch, err := c.Compile("gameday.json")
	require.NoError(t, err)
	judge := func(text string) error {
		var v any
		require.NoError(t, yaml.Unmarshal([]byte(text), &v), text)
		j, err := json.Marshal(v)
		require.NoError(t, err)
		inst, err := jsonschema.UnmarshalJSON(bytes.NewReader(j))
		require.NoError(t, err)
		return sch.Validate(inst)
	}
	require.NoError(t, judge(goodFile))
	own, err := os.ReadFile("../../.github/gameday.yaml")
	require.NoError(t, err)
	require.NoError(t, judge(string(own)))
	for _, c := range []struct{ replace, by string }{
		{"name: nightly\n", ""},
		{"rps: 300", "rsp: 300"},
		{"rps: 300", "rps: many"},
		{"before: 4s", "before: 4"},
		{"days: [fri-sat]", "days: [frei]"},
		{"from: 18:00", "from: evening"},
		{"last: 2027-01-03", "last: 3.1.2027"},
		{"kind: slack", "kind: slak"},
		{"regression]}", "regresion]}"},
		{"margin: 30 %", "margin: 0.3"},
	} {
		text := strings.Replace(goodFile, c.replace, c.by, 1)
		require.NotEqual(t, goodFile, text)
		assert.Error(t, judge(text), c.by)
	}
}
