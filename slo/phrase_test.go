package slo

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestPhrase(t *testing.T) {
	for text, want := range map[string]string{
		"region-loss(region=us-east-1, mode=silent)":                   "losing us-east-1",
		"node-crash(node=us-east-1-1)":                                 "the crash of us-east-1-1",
		"power-loss(region=all)":                                       "a power loss of all nodes",
		"dns-gone(where=all)":                                          "DNS that does not answer all nodes",
		"path-cut(from=us-east-1, to=all, path=direct)":                "the loss of the direct path from us-east-1 to all others",
		"path-cut(from=us-east-1, to=eu-west-1, path=backup)":          "the loss of the backup path from us-east-1 to eu-west-1",
		"two-region-loss(survivor=eu-west-1, mode=crash, operator=5s)": "losing all regions but eu-west-1",
		"all-regions-loss(operator=5s)":                                "losing every node and disk",
		"node-crash":                                                   "node-crash",
		"meteor(size=huge)":                                            "meteor(size=huge)",
		"something else":                                               "something else",
	} {
		assert.Equal(t, want, Phrase(text))
	}
}

func TestFaultsOfASentence(t *testing.T) {
	f := func(n string) *fault { return &fault{text: "node-crash(node=" + n + ")"} }
	assert.Equal(t, "the crash of a", phraseOf([]*fault{f("a")}))
	assert.Equal(t, "the crash of a and the crash of b", phraseOf([]*fault{f("a"), f("b")}))
	assert.Equal(t, "the crash of a, the crash of b and the crash of c", phraseOf([]*fault{f("a"), f("b"), f("c")}))
	assert.Equal(t, "the crash of a, the crash of b and 2 more faults", phraseOf([]*fault{f("a"), f("b"), f("c"), f("d")}))
}
