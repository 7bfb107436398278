package undertest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines"
	"github.com/fivenines/fivenines/slo"
)

// The platform loses a node as a Go test, from a program that is built for it.
func TestReference(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program and loads eight processes")
	}
	res := fivenines.Test(t, "node-crash", Reference(), fivenines.Rate(1000), fivenines.Sessions(1000), fivenines.Before(4*time.Second),
		fivenines.After(9*time.Second), fivenines.Objective("failover", "< 10 s"), fivenines.AllowInconclusive())
	if res.Verdict != slo.Inconclusive { // a busy machine
		require.Equal(t, "reference", res.Target)
		require.Equal(t, "process", res.Backend)
		require.Contains(t, res.Command, "go test -count=1 -run '^TestReference$/^node-crash$'")
	}
}

func builderFor(t *testing.T, compile func(context.Context, string) error) builder {
	t.Helper()
	return builder{cache: t.TempDir(), compile: compile}
}

// Test processes that start side by side build one after the other, and share
// what comes of it; another content has another path.
func TestBuiltOnceByContent(t *testing.T) {
	var running, most, times atomic.Int32
	content := "one"
	b := builderFor(t, func(_ context.Context, out string) error {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		times.Add(1)
		time.Sleep(20 * time.Millisecond)
		return os.WriteFile(out, []byte(content), 0o755)
	})
	var wg sync.WaitGroup
	paths := make([]string, 4)
	for i := range paths {
		wg.Go(func() {
			var err error
			if paths[i], err = b.build(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, most.Load(), "the lock holds between them, as between processes")
	for _, p := range paths {
		require.Equal(t, paths[0], p)
	}
	content = "two"
	other, err := b.build(t.Context())
	require.NoError(t, err)
	require.NotEqual(t, paths[0], other)
	old, err := os.ReadFile(paths[0])
	require.NoError(t, err)
	require.Equal(t, "one", string(old), "a program in use does not change")

	long := time.Now().Add(-2 * unusedFor)
	require.NoError(t, os.Chtimes(paths[0], long, long))
	_, err = b.build(t.Context())
	require.NoError(t, err)
	require.NoFileExists(t, paths[0])
	require.FileExists(t, other)

	before := times.Load()
	for range 2 {
		_, err = b.once(t.Context())
		require.NoError(t, err)
	}
	require.Equal(t, before+1, times.Load(), "once a process")
}

func TestBuildSaysWhatToDo(t *testing.T) {
	b := builderFor(t, func(context.Context, string) error { return errors.New("it does not compile") })
	_, err := b.build(t.Context())
	require.ErrorContains(t, err, "it does not compile")

	unlock, err := lock(t.Context(), filepath.Join(b.cache, "build.lock"))
	require.NoError(t, err)
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	_, err = b.build(ctx)
	require.ErrorContains(t, err, "another test builds it and holds")

	_, err = config{program: "/not/here"}.find(t.Context())
	require.ErrorContains(t, err, "undertest.Program, $FIVENINES_PROGRAM")
	t.Setenv("HOME", "")
	t.Setenv("XDG_CACHE_HOME", "")
	_, err = Build(t.Context())
	require.ErrorContains(t, err, "give its path with undertest.Program or $FIVENINES_PROGRAM")
}

// A module that imports no more than the Go API builds the program too, and its
// go.mod and go.sum stay as they are.
func TestBuildFromAModuleThatOnlyTests(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	dir := t.TempDir()
	mod, err := os.ReadFile(filepath.Join(root, "docs/example/go.mod"))
	require.NoError(t, err)
	mod = []byte(strings.ReplaceAll(string(mod), "=> ../..", "=> "+root))
	sum, err := os.ReadFile(filepath.Join(root, "docs/example/go.sum"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), mod, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o644))
	t.Chdir(dir)
	out := filepath.Join(dir, "fivenines")
	_, err = run(t.Context(), "build", "-o", out, program)
	require.Error(t, err, "else this shows nothing")
	require.NoError(t, compile(t.Context(), out))
	said, err := exec.CommandContext(t.Context(), out, "version").Output()
	require.NoError(t, err)
	require.Contains(t, string(said), "fivenines")
	for file, was := range map[string][]byte{"go.mod": mod, "go.sum": sum} {
		is, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, string(was), string(is))
	}

	t.Chdir(t.TempDir()) // no module at all
	require.ErrorContains(t, compile(t.Context(), out), "go build")
}

// The same in containers. Where there is no Docker, the test is skipped as
// inconclusive, which is no pass.
func TestReferenceInContainers(t *testing.T) {
	if testing.Short() {
		t.Skip("loads containers")
	}
	res := fivenines.Test(t, "node-crash", Reference(InContainers()), fivenines.Topology("three-node"), fivenines.Rate(300), fivenines.Sessions(400),
		fivenines.Before(4*time.Second), fivenines.After(9*time.Second), fivenines.Objective("failover", "< 10 s"), fivenines.AllowInconclusive())
	if res.Verdict == slo.Met {
		require.Equal(t, "container", res.Backend)
	}
}
