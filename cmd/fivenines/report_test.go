package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/slo"
)

// Two scenarios share the folder of a textfile collector, which never sees half a file.
func TestTextfileForACollector(t *testing.T) {
	run := filepath.Dir(storedRun(t, 0, 2))
	out := t.TempDir()
	code, stdout, stderr := cli(t, "report", run, "--format", "textfile", "--out", out)
	require.Equal(t, exitMet, code, stderr)
	file := filepath.Join(out, "fivenines-node-crash.prom")
	require.Equal(t, file+"\n", stdout)
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(b), `fivenines_run_verdict{backend="",mutant="",scenario="node-crash",target="",verdict="met"} 1`)

	half := func(w io.Writer, _ *slo.Result) error {
		io.WriteString(w, "half")
		return errors.New("the disk is full")
	}
	require.ErrorContains(t, writeReport(file, nil, half), "the disk is full")
	again, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(b), string(again))
	left, err := os.ReadDir(out)
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.Equal(t, "fivenines-______etc_x.prom", fileOf("textfile", &slo.Result{Scenario: "../../etc/x"}))
}

func TestCommentWithABaseline(t *testing.T) {
	base, run := storedRun(t, 0, 2, 2.1, 2.2, 2.05, 2.15), filepath.Dir(storedRun(t, 0, 3, 3.1, 3.2, 3.05, 3.15))
	code, stdout, stderr := cli(t, "report", run, "--format", "comment", "--baseline", base, "--out", "-")
	require.Equal(t, exitMet, code, stderr)
	require.True(t, strings.HasPrefix(stdout, "<!-- fivenines:node-crash -->\n"), stdout)
	require.Contains(t, stdout, "| failover | 2.1 s | 3.1 s | ❌ **worse** |")
	code, stdout, _ = cli(t, "report", run, "--format", "comment", "--out", "-")
	require.Equal(t, exitMet, code)
	require.NotContains(t, stdout, "base")
	code, _, stderr = cli(t, "report", run, "--format", "comment", "--baseline", filepath.Join(run, "no.json"), "--out", "-")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "no.json")
}

func TestJobSummary(t *testing.T) {
	file := filepath.Join(t.TempDir(), "summary")
	t.Setenv("GITHUB_STEP_SUMMARY", file)
	var said bytes.Buffer
	r := &slo.Result{Scenario: "node-crash", Verdict: slo.Met, Summary: "All is well."}
	summarize(&said, r)
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Contains(t, string(b), "All is well.")
	assert.Empty(t, said.String())

	t.Setenv("GITHUB_STEP_SUMMARY", filepath.Join(file, "x"))
	summarize(&said, r)
	assert.Contains(t, said.String(), "warning: GITHUB_STEP_SUMMARY: job summary")

	said.Reset()
	t.Setenv("GITHUB_STEP_SUMMARY", "")
	summarize(&said, r)
	assert.Empty(t, said.String())
}
