package main

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/fixtures/process"
	"github.com/fivenines/fivenines/fixtures/targettest"
)

// What a target promises, before anything is judged by it.
func TestTarget(t *testing.T) {
	if testing.Short() {
		t.Skip("brings a topology up")
	}
	server := filepath.Join(t.TempDir(), "server")
	if out, err := exec.Command("go", "build", "-o", server, "./server").CombinedOutput(); err != nil {
		t.Fatalf("build the server: %v: %s", err, out)
	}
	targettest.Run(t, func() fixtures.Target { return target{server} }, process.New(process.Options{}))
}
