package reports

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestShots(t *testing.T) {
	dir := os.Getenv("SHOTS")
	if dir == "" {
		t.Skip()
	}
	for name, r := range results {
		f, err := os.Create(filepath.Join(dir, name+".html"))
		require.NoError(t, err)
		require.NoError(t, WriteHTML(f, r()))
		require.NoError(t, f.Close())
	}
	require.NoError(t, Terminal(os.Stdout, missed(), true))
	require.NoError(t, Terminal(os.Stdout, met(), false))
	require.NoError(t, WriteMarkdown(os.Stdout, missed()))
}
