package yamlfile

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type inner struct {
	Target *float64       `yaml:"target"`
	Any    map[string]any `yaml:"any"`
	On     bool           `yaml:"on"`
}

type outer struct {
	Name string            `yaml:"name"`
	List []inner           `yaml:"list"`
	Ptr  *inner            `yaml:"ptr"`
	Map  map[string]string `yaml:"map"`
}

func TestMistakesAreNamedWithFileLineAndField(t *testing.T) {
	for text, want := range map[string]string{
		"name: x\nlist:\n  - targt: 5\n":              "f.yaml:3: list[0].targt: no such field; allowed are target, any, on",
		"name: x\nptr:\n  foo: 5\n":                   "f.yaml:3: ptr.foo: no such field; allowed are target, any, on",
		"nam: x\n":                                    "f.yaml:1: nam: no such field; allowed are name, list, ptr, map",
		"list:\n  - target: high\n":                   "f.yaml:2: list[0].target: needs a number",
		"list:\n  - target: 1\n    on: perhaps\n":     "f.yaml:3: list[0].on: needs true or false",
		"list: 5\n":                                   "f.yaml:1: list: needs a",
		"name: [a\n":                                  "f.yaml:1: ",
		"":                                            "f.yaml:1: is empty",
		"# nothing\n---\n# here\n":                    "f.yaml:1: is empty",
		"map: &a {x: y}\nptr: *a\n":                   "f.yaml:1: map: anchors, aliases and tags are not allowed",
		"name: !!str x\n":                             "f.yaml:1: name: anchors, aliases and tags are not allowed",
		"ptr:\n  <<: {on: true}\n":                    "f.yaml:2: ptr: anchors, aliases and tags are not allowed",
		"name: x\nname: y\n":                          "f.yaml:2: ",
		"name: \xff\n":                                "f.yaml: is not UTF-8 text",
		"name: " + strings.Repeat("[", 200):           "f.yaml: is nested deeper than 64 levels",
		strings.Repeat("- ", 200) + "x":               "f.yaml: is nested deeper than 64 levels",
		"name: " + strings.Repeat("x", MaxBytes):      "bytes, at most",
		"name: x\nmap:\n  a.b/c: d\n  e: {f: g}\n":    "f.yaml:4: map.e: needs a",
		"name: x\nlist:\n  - {on: true}\n  - {in: 1}": "f.yaml:4: list[1].in: no such field",
	} {
		docs, err := Parse("f.yaml", []byte(text))
		if err == nil {
			err = docs[0].Decode(&outer{})
		}
		var e *Error
		if assert.Truef(t, errors.As(err, &e), "%.40q: %v", text, err) {
			assert.Containsf(t, err.Error(), want, "%.40q", text)
			assert.NotContains(t, err.Error(), "\n")
		}
	}
}

func TestDocuments(t *testing.T) {
	docs, err := Parse("f.yaml", []byte("# head\nname: a\n---\nname: b\nlist:\n- any: {x: [1, two], y: {z: 0.5}}\n  target: 0.5\n---\n"))
	require.NoError(t, err)
	require.Len(t, docs, 2)
	var o outer
	require.NoError(t, docs[1].Decode(&o))
	assert.Equal(t, "b", o.Name)
	assert.InDelta(t, 0.5, *o.List[0].Target, 0)
	assert.Equal(t, "two", o.List[0].Any["x"].([]any)[1])
	assert.Equal(t, 4, docs[1].Line("name"))
	assert.Equal(t, 6, docs[1].Line("list[0].any.nothing.here"))
	assert.Equal(t, 7, docs[1].Line("list[0].target"))
	assert.Equal(t, 4, docs[1].Line(""))
	assert.True(t, docs[1].Has("list[0].any.y.z"))
	assert.False(t, docs[1].Has("list[1]"))
	require.EqualError(t, docs[1].Errorf("list[0].target", "is %d", 5), "f.yaml:7: list[0].target: is 5")

	var p struct {
		Name string `yaml:"name"`
	}
	require.NoError(t, docs[1].Peek(&p))
	assert.Equal(t, "b", p.Name)
}

// Whatever the text, the program goes on.
func FuzzParse(f *testing.F) {
	f.Add([]byte("name: a\n---\nlist:\n- any: {x: [1, two]}\n"))
	f.Add([]byte("a: &b c\nd: *b\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, err := Parse("f", data)
		if err != nil {
			return
		}
		for _, d := range docs {
			_ = d.Decode(&outer{})
			_ = d.Line("name")
		}
	})
}
