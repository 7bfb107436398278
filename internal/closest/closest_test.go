package closest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTo(t *testing.T) {
	names := []string{"region-loss", "region-partition", "node-crash", "ttl"}
	for word, want := range map[string]string{
		"regon-loss": "region-loss", "Region-Loss": "region-loss", "node-carsh": "node-crash", "ttk": "ttl",
		"meteor": "", "": "", "xyz": "", strings.Repeat("region-loss", 10): "",
	} {
		assert.Equal(t, want, To(word, names), word)
	}
}

func TestMeant(t *testing.T) {
	assert.Equal(t, "did you mean met?", Meant("mett", []string{"met", "missed"}))
	assert.Equal(t, "there are met, missed", Meant("other", []string{"met", "missed"}))
	assert.Equal(t, "there are none", Meant("other", nil))
}
