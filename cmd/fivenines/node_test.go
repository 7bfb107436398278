package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/reference"
)

func TestAStartIsFirstOnce(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "started")
	for _, want := range []bool{true, false, false} {
		got, err := firstOnce(marker)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	_, err := firstOnce(filepath.Join(marker, "below-a-file"))
	require.Error(t, err, "a marker that cannot be kept must not count as a first start")
}

// The child gets its supervisor's arguments, and learns that it is no first start.
func TestArgumentsOfASupervisedNode(t *testing.T) {
	own := []string{"node", "--config", "f.json", "--supervised", "--first-once", "m"}
	assert.Equal(t, []string{"node", "--config", "f.json", "--first-once", "m"}, supervisedArgs(own, 0, ""))
	again := supervisedArgs(own, 2, "-1 signal: killed")
	c := nodeCommand()
	require.NoError(t, c.ParseFlags(again[1:]))
	n, err := c.Flags().GetInt("restarts")
	require.NoError(t, err)
	assert.Equal(t, 2, n)
	why, err := c.Flags().GetString("restarted-since")
	require.NoError(t, err)
	assert.Equal(t, "-1 signal: killed", why)
	supervised, err := c.Flags().GetBool("supervised")
	require.NoError(t, err)
	assert.False(t, supervised, "a supervisor of supervisors would never end")

	cfg := reference.Restarted(reference.Config{First: true, DropUnsynced: true, RecordSync: true}, n, why)
	assert.False(t, cfg.First, "it waits out what it may have promised")
	assert.False(t, cfg.DropUnsynced)
	assert.True(t, cfg.RecordSync)
	assert.Equal(t, reference.Config{First: true}, reference.Restarted(reference.Config{First: true}, 0, ""))
}
