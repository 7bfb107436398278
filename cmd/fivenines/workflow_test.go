package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

// step is the script of a step of a job of the CI workflow.
func step(t *testing.T, job, name string) string {
	t.Helper()
	b, err := os.ReadFile("../../.github/workflows/ci.yml")
	require.NoError(t, err)
	var w struct {
		Jobs map[string]struct {
			Steps []struct{ Name, Run string }
		}
	}
	require.NoError(t, yaml.Unmarshal(b, &w))
	for _, s := range w.Jobs[job].Steps {
		if s.Name == name {
			return s.Run
		}
	}
	t.Fatalf("the workflow has no step %s in %s", name, job)
	return ""
}

// bash runs a step's script as a runner does, with programs of ours before others.
func bash(t *testing.T, dir, script string, programs map[string]string, env ...string) (string, error) {
	t.Helper()
	bin := t.TempDir()
	for name, text := range programs {
		require.NoError(t, os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/bash\n"+text), 0o755))
	}
	cmd := exec.CommandContext(t.Context(), "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), append(env, "PATH="+bin+":"+os.Getenv("PATH"), "RUNNER_TEMP="+bin)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// The comment of a pull request is added once, and updated in place from then on.
func TestWorkflowUpdatesItsComment(t *testing.T) {
	script := step(t, "scenario", "comment")
	for name, c := range map[string]struct{ have, want string }{
		"first":  {"", "api --method POST repos/o/r/issues/7/comments -F body=@comment.md"},
		"second": {"41\n42\n", "api --method PATCH repos/o/r/issues/comments/41 -F body=@comment.md"},
	} {
		dir := t.TempDir()
		code, comment, _ := cli(t, "report", filepath.Dir(storedRun(t, 0, 2)), "--format", "comment", "--out", "-")
		require.Equal(t, exitMet, code)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "comment.md"), []byte(comment), 0o644))
		gh := `echo "$@" >>calls
case "$*" in *--jq*) printf '%s' "$HAVE" ;; esac`
		out, err := bash(t, dir, script, map[string]string{"gh": gh}, "GITHUB_REPOSITORY=o/r", "PR=7", "HAVE="+c.have)
		require.NoError(t, err, "%s: %s", name, out)
		b, err := os.ReadFile(filepath.Join(dir, "calls"))
		require.NoError(t, err)
		calls := strings.Split(strings.TrimSpace(string(b)), "\n")
		require.Len(t, calls, 2, name)
		require.Contains(t, calls[0], `startswith("<!-- fivenines:node-crash -->")`)
		require.Equal(t, c.want, calls[1], name)
	}
}

// A missed objective fails the job; an inconclusive run warns, a broken one fails.
func TestWorkflowKeepsTheVerdict(t *testing.T) {
	script := step(t, "scenario", "run")
	for code, c := range map[string]struct {
		fails bool
		says  string
	}{"0": {}, "1": {fails: true}, "2": {fails: true}, "3": {says: "::warning::node-crash is inconclusive"}} {
		out, err := bash(t, t.TempDir(), script, map[string]string{"fivenines": "exit " + code}, "RUN=out")
		require.Equal(t, c.fails, err != nil, "exit %s: %s", code, out)
		require.Contains(t, out, c.says)
	}
}

// The commands of the workflow are ones that the program has.
func TestWorkflowCallsWhatThereIs(t *testing.T) {
	run := filepath.Dir(storedRun(t, 0, 2, 2.1, 2.2))
	dir := t.TempDir()
	exe, err := filepath.Abs("../..")
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, ".github"), 0o755))
	require.NoError(t, os.Symlink(filepath.Join(exe, ".github/baselines"), filepath.Join(dir, ".github/baselines")))
	out, err := bash(t, dir, step(t, "scenario", "reports"), map[string]string{"fivenines": `printf '%s\n' "$*" >>calls`}, "RUN="+run)
	require.NoError(t, err, out)
	b, err := os.ReadFile(filepath.Join(dir, "calls"))
	require.NoError(t, err)
	t.Chdir(dir)
	for call := range strings.SplitSeq(strings.TrimSpace(string(b)), "\n") {
		code, _, stderr := cli(t, strings.Fields(call)...)
		if strings.Contains(call, "--baseline") { // another load than the stored one's
			require.NotContains(t, stderr, "unknown flag")
			continue
		}
		require.Equal(t, exitMet, code, "%s: %s", call, stderr)
	}
	code, _, stderr := cli(t, "report", run, "--format", "svg")
	require.Equal(t, exitUsage, code, stderr)
}
