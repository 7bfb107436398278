package projection

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const small = `schema: fivenines/rates/v1
name: mine
rules:
  by_hand: {median: 30m, p90: 4h}
  unseen: {index: 2, floor: 1s}
  overlap: quorum
classes:
  - name: crash
    description: a node dies
    scenario: node-crash
    parts: node
    rate_per_year: 3
    error_factor: 3
    repair: {median: 3m, p90: 15m}
    sources:
      - {title: our log, year: 2026, url: "https://example.org/log", says: 3 a year, derived: counted}
`

// The default file covers what the design asks for, and says where each figure is from.
func TestDefaultFile(t *testing.T) {
	m := Default()
	for _, name := range []string{"node-crash", "node-pause", "region-loss", "region-partition", "power-loss", "link-loss", "deploy"} {
		c := m.Class(name)
		require.NotNil(t, c, name)
		for _, s := range c.Sources {
			assert.NotZero(t, s.Year, name)
			assert.True(t, strings.HasPrefix(s.URL, "https://"), "%s: %s", name, s.URL)
			assert.NotEmpty(t, s.Says, name)
			assert.NotEmpty(t, s.Derived, name)
		}
	}
	for i := range m.Classes {
		c := &m.Classes[i]
		if c.Assume == nil {
			assert.FileExists(t, filepath.Join("..", "..", "scenarios", "catalogue", c.Scenario+".yaml"), "%s has no assumption: its scenario must be there", c.Name)
		}
		for _, cc := range c.CommonCause {
			assert.FileExists(t, filepath.Join("..", "..", "scenarios", "catalogue", cc.Scenario+".yaml"))
		}
	}
	assert.Nil(t, m.Class("nothing"))
	assert.Equal(t, []string{"node-crash", "region-crash", "node-pause", "region-loss", "region-partition", "power-loss", "rolling-restart"}, m.Scenarios())
	assert.NotEmpty(t, m.LeavesOut)
	// A copy of the file is the same model.
	path := filepath.Join(t.TempDir(), "copy.yaml")
	require.NoError(t, os.WriteFile(path, DefaultYAML(), 0o644))
	copied, err := Load(path)
	require.NoError(t, err)
	assert.Equal(t, m, copied)
}

func TestMistakesInAFileAreNamed(t *testing.T) {
	_, err := Parse("mine.yaml", []byte(small))
	require.NoError(t, err)
	for _, c := range []struct{ old, with, want string }{
		{"rate_per_year", "rate_per_yaer", "mine.yaml:12: classes[0].rate_per_yaer: no such field; allowed are name, description"},
		{"by_hand", "by_hands", "mine.yaml:4: rules.by_hands: no such field; allowed are by_hand, unseen, overlap"},
		{"median: 3m", "meadian: 3m", "mine.yaml:14: classes[0].repair.meadian: no such field; allowed are value, mean, median, p90"},
		{"title: our log", "titel: our log", "mine.yaml:16: classes[0].sources[0].titel: no such field"},
		{"rate_per_year: 3", "rate_per_year: often", `mine.yaml:12: classes[0].rate_per_year: "often" is not a number`},
		{"rate_per_year: 3\n    error_factor: 3", "observed: {events: 2.5, part_years: 3}", "mine.yaml:12: classes[0].observed.events: 2.5 is not a count"},
		{"rate_per_year: 3", "rate_per_year: -3", "mine.yaml:12: classes[0].rate_per_year: -3 is not from 0 to a million"},
		{"rate_per_year: 3", "rate_per_year: .nan", "mine.yaml:12: classes[0].rate_per_year: NaN is not from 0"},
		{"error_factor: 3", "error_factor: 0.5", "mine.yaml:13: classes[0].error_factor: 0.5 is not from 1"},
		{"error_factor: 3", "error_factor: 500", "mine.yaml:13: classes[0].error_factor: 500 is above 100"},
		{"parts: node", "parts: nodes", `mine.yaml:11: classes[0].parts: "nodes" is not one of node, region, link, topology`},
		{"{median: 3m, p90: 15m}", "{median: 3m}", "mine.yaml:14: classes[0].repair: needs either value, or mean, or median and p90"},
		{"{median: 3m, p90: 15m}", "{median: 15m, p90: 3m}", "mine.yaml:14: classes[0].repair: needs 0 < median <= p90"},
		{"{median: 3m, p90: 15m}", "{value: 3}", `mine.yaml:14: classes[0].repair: "3" is not a duration such as 30s`},
		{"{median: 3m, p90: 15m}", "{value: -3s}", `mine.yaml:14: classes[0].repair: -3s is negative`},
		{"{median: 3m, p90: 15m}", "{value: 3s, mean: 4s}", "classes[0].repair: needs either"},
		{"scenario: node-crash", "scenario: ''", "classes[0].scenario: is empty; name the scenario that measures the class, or assume"},
		{"fivenines/rates/v1", "fivenines/rates/v9", `mine.yaml:1: schema: "fivenines/rates/v9" is not fivenines/rates/v1`},
		{"index: 2", "index: 1", "mine.yaml:5: rules.unseen.index: 1 is not above 1"},
		{"floor: 1s", "floor: soon", `mine.yaml:5: rules.unseen.floor: "soon" is not a duration`},
		{"overlap: quorum", "overlap: maybe", `mine.yaml:6: rules.overlap: "maybe" is not one of quorum, ignored`},
		{"derived: counted", "derived: ''", "mine.yaml:16: classes[0].sources[0].derived: is empty"},
		{"error_factor: 3", "observed: {events: 3, part_years: 8}", "mine.yaml:13: classes[0].observed: stands beside a rate"},
		{"    error_factor: 3\n", "    kind: maintenance\n    error_factor: 3\n", "classes[0].kind: maintenance is planned"},
		{"    error_factor: 3\n", "    takes: region\n    common_cause: [{share: 1.5, takes: region, scenario: r}]\n", "classes[0].common_cause[0].share: 1.5 is not above 0 and at most 1"},
		{"    error_factor: 3\n", "    common_cause: [{share: 0.6, takes: region, scenario: r}, {share: 0.6, takes: region, scenario: r}]\n", "the shares add up to 1.2"},
		{"    error_factor: 3\n", "    common_cause: [{share: 0.6, takes: node, scenario: ''}]\n", `classes[0].common_cause[0].takes: "node" is not one of region, topology`},
		{"    error_factor: 3\n", "    name: again\n", "mine.yaml:13"},
		{"parts: node", "parts: region\n    takes: node", "classes[0].takes: a fault of a region does not say which node it takes"},
		{"name: mine", "name: &x mine", "anchors, aliases and tags are not allowed"},
		{"name: mine", "name: !!str mine", "anchors, aliases and tags are not allowed"},
		{"name: mine", "name:", "mine.yaml:2: name: has no value"},
		{"name: mine", "name: [mine]", "mine.yaml:2"},
		{"name: mine", "name: [", "mine.yaml:"},
		{"schema:", "a: 1\n---\nschema:", "a second document begins here"},
	} {
		text := strings.Replace(small, c.old, c.with, 1)
		require.NotEqual(t, small, text, c.old)
		m, err := Parse("mine.yaml", []byte(text))
		require.Error(t, err, "%s -> %s", c.old, c.with)
		assert.Nil(t, m)
		assert.Contains(t, err.Error(), c.want)
		assert.NotContains(t, strings.TrimRight(strings.Split(err.Error(), "\nmine.yaml")[0], "\n"), "\n", "one line a mistake")
		var fe *FieldError
		require.ErrorAs(t, err, &fe)
		assert.Equal(t, "mine.yaml", fe.File)
	}
	for text, want := range map[string]string{
		"": "mine.yaml: is empty", "# nothing\n": "mine.yaml: is empty", "\xff": "is not UTF-8", strings.Repeat("a", maxBytes+1): "at most",
		strings.Repeat("[", 100): "nested deeper", strings.Repeat("- ", 100) + "a": "nested deeper", "3": "mine.yaml",
		"schema: fivenines/rates/v1": "classes: has none",
	} {
		_, err := Parse("mine.yaml", []byte(text))
		require.Error(t, err, "%.20q", text)
		assert.Contains(t, err.Error(), want)
	}
	_, err = Load(filepath.Join(t.TempDir(), "gone.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)
	// All mistakes at once.
	_, err = Parse("mine.yaml", []byte(strings.NewReplacer("parts: node", "parts: x", "overlap: quorum", "overlap: x").Replace(small)))
	assert.Contains(t, err.Error(), "mine.yaml:6")
	assert.Contains(t, err.Error(), "mine.yaml:11")
}

// Whatever the bytes, Parse ends with a model that projects or an error that names the file.
func FuzzParse(f *testing.F) {
	f.Add([]byte(small))
	f.Add(DefaultYAML())
	f.Add([]byte("classes: [{name: a, parts: node}]"))
	f.Add([]byte("a: &b [*b]\n---\n? - x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse("f.yaml", data)
		if err != nil {
			if m != nil || !strings.HasPrefix(err.Error(), "f.yaml") {
				t.Fatalf("%v, %v", m, err)
			}
			return
		}
		o, err := Options{}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := newPlan(m, nil, &o); err != nil && !strings.Contains(err.Error(), "events a year") {
			t.Fatalf("a file that was accepted can't be planned: %v", err)
		}
	})
}
