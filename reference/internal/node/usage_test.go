package node

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A squeezed node knows what it may use, from cgroups of either version.
func TestCPULimit(t *testing.T) {
	for name, tc := range map[string]struct {
		files map[string]string
		want  float64
	}{
		"none":                 {nil, 4},
		"v2":                   {map[string]string{"cpu.max": "10000 100000\n"}, 0.1},
		"v2, no limit":         {map[string]string{"cpu.max": "max 100000\n"}, 4},
		"v2, more than there":  {map[string]string{"cpu.max": "800000 100000\n"}, 4},
		"v1":                   {map[string]string{"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1.5},
		"v1, no limit":         {map[string]string{"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4},
		"v1, without a period": {map[string]string{"cpu/cpu.cfs_quota_us": "150000\n"}, 4},
		"nonsense":             {map[string]string{"cpu.max": "much\n"}, 4},
	} {
		dir := t.TempDir()
		for file, text := range tc.files {
			require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644))
		}
		require.InDelta(t, tc.want, cpuLimit(dir, 4), 1e-9, name)
	}
}

// It does not say that nothing is used when something is.
func TestUsageSeesItsOwnWork(t *testing.T) {
	var u usage
	u.init()
	began := u.at
	x := uint64(1)
	for now := began; now-began < 250e6; now = bootTime() {
		for range 1000 {
			x = x*6364136223846793005 + 1
		}
	}
	cpu, memory := u.sample(bootTime())
	require.Greater(t, cpu, 1.0, "after a quarter of a second of work (%d)", x)
	require.Positive(t, memory)
	again, _ := u.sample(bootTime())
	require.InDelta(t, cpu, again, 0, "too soon for another sample")
}
