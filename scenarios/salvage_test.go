package scenarios

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Of a run that was killed before it recorded anything the logs stay, and the
// nodes' data goes. (What a killed run recorded is judged in the test of game days.)
func TestSalvageKeepsLogs(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []string{"work/t001/logs/n1.log", "work/t001/nodes/n1/store/000001.log", "work/t002/nodes/n1/x", "logs/t000/n1.log"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, f), nil, 0o600))
	}
	for range 2 {
		res, err := Salvage(dir)
		require.NoError(t, err)
		assert.Nil(t, res)
		assert.NoDirExists(t, filepath.Join(dir, "work"))
		assert.FileExists(t, filepath.Join(dir, "logs", "t001", "n1.log"))
		assert.FileExists(t, filepath.Join(dir, "logs", "t000", "n1.log"))
	}
}
