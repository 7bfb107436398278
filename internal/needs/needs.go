// Package needs is for tests that compare with programs of others.
package needs

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// Program is the path of a program. A test that lacks it is skipped, and fails in
// CI, where a skip would look green; install says how it gets there.
func Program(t testing.TB, name, install string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	Missing(t, fmt.Sprintf("%s is not in PATH: %s", name, install))
	return ""
}

// Missing ends a test that can't be run here.
func Missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal("CI needs what this test needs: " + why)
	}
	t.Skip(why)
}
