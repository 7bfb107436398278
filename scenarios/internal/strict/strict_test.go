package strict

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every text comes back as it was, and what another reader could take for
// something else than a text is quoted.
func TestTextsSurvive(t *testing.T) {
	type file struct {
		Text string            `yaml:"text"`
		Map  map[string]string `yaml:"map"`
		List []string          `yaml:"list"`
	}
	for _, s := range []string{
		"plain", "with space", "a: b", "- a", "# no comment", "a #b", "true", "Null", "0x1f", "007", "1e3", "2026-01-02", "12:30:00",
		"", " ", "tab\there", "line\nbreak", "cr\rlf\n", "nul\x00", "del\x7f", "\u2028", "\u0085", "\ufeff", "ü☃𝄞", `"`, `\`, "'", "%", "@", "`",
		"< 5 s", ">= 99 %", "[a]", "{a}", "*a", "&a", "!a", "|", ">", "~", "-", "?", ":", "a:", "a,b", "=",
	} {
		in := file{Text: s, Map: map[string]string{"k": s}, List: []string{s, s}}
		b, err := Encode(&in)
		require.NoError(t, err)
		var out file
		_, err = Decode("f", b, &out)
		require.NoError(t, err, "%q: %s", s, b)
		assert.Equal(t, in, out, "%q: %s", s, b)
	}
	for _, s := range []string{"true", "No", "null", "12", "1.5", "0x1f", "1e3", "2026-01-02", "12:30:00", "~", "", "a: b", "# a", ">= 1"} {
		assert.True(t, strings.HasPrefix(quoted(s), `"`), s)
	}
}

func TestIndexFindsTheNearestLine(t *testing.T) {
	x := Index{"": 1, "faults": 5, "faults[0]": 6, "faults[0].kind": 7}
	for field, want := range map[string]int{"faults[0].kind": 7, "faults[0].params.region": 6, "faults[3]": 5, "stop.bad": 1, "": 1} {
		assert.Equal(t, want, x.Line(field), field)
	}
}

func TestEncodeRefusesWhatItCanNotWrite(t *testing.T) {
	_, err := Encode(&struct {
		P *int `yaml:"p"`
	}{})
	require.ErrorContains(t, err, "nil")
	_, err = Encode(&struct {
		C chan int `yaml:"c"`
	}{})
	require.ErrorContains(t, err, "no way to write")
}
