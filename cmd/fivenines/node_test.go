package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
