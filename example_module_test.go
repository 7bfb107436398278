package fivenines

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The example is a module of its own, as a user's is: its tests pass, two
// topologies at a time, and the one that fails on purpose does, with a report.
func TestExampleModule(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the tests of docs/example for a minute")
	}
	kept := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "./...")
	cmd.Dir = filepath.Join("docs", "example")
	cmd.Env = append(os.Environ(), "SHOW_A_MISS=1", artifactsEnv+"="+kept, "GOFLAGS=-mod=readonly")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, "%s", out)
	text := string(out)
	require.Contains(t, text, "--- PASS: TestNodeCrash/node-crash", text)
	require.Contains(t, text, "--- PASS: TestNodeCrashWithoutCopies/node-crash", text)
	require.Contains(t, text, "--- PASS: TestRegionLoss/region-loss", text)
	require.Contains(t, text, "--- FAIL: TestNobodyIsThatQuick/node-crash", text)
	require.Contains(t, text, "node-crash: missed: ")
	require.Contains(t, text, "failover missed: target < 0.001 s")
	reports, err := filepath.Glob(filepath.Join(kept, "*", "report.html"))
	require.NoError(t, err)
	require.Len(t, reports, 1, "of the one that failed")
	require.Contains(t, text, reports[0])
}
