package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/slo"
	"github.com/fivenines/fivenines/slo/compare"
)

// storedRun writes a result of some trials as a run's folder has it.
func storedRun(t *testing.T, lost int, failovers ...float64) string {
	t.Helper()
	r := slo.Result{Schema: slo.Schema, Scenario: "node-crash", Verdict: slo.Met, Summary: "Met.", Started: time.Unix(0, 0).UTC(), Objectives: []slo.Objective{}, Trials: []slo.Trial{}}
	for _, f := range failovers {
		r.Trials = append(r.Trials, slo.Trial{Faults: []slo.FaultRecord{}, Measures: slo.Measures{
			Failover: &slo.Outage{Value: f, N: 1}, LostWrites: lost, Linearizable: "yes",
		}})
	}
	b, err := json.Marshal(r)
	require.NoError(t, err)
	require.NoError(t, slo.ValidateJSON(b))
	path := filepath.Join(t.TempDir(), "result.json")
	require.NoError(t, os.WriteFile(path, b, 0o600))
	return path
}

func TestCompare(t *testing.T) {
	base := storedRun(t, 0, 2, 2.1, 2.2, 2.05, 2.15)
	slow := storedRun(t, 0, 3, 3.1, 3.2, 3.05, 3.15)
	lossy := storedRun(t, 1, 2)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{base, base, "--margin", "20 %"}, exitMet, "SAME"},
		{[]string{base, slow}, exitMiss, "WORSE"},
		{[]string{slow, base}, exitMet, "BETTER"},
		{[]string{base, slow, "--measure", "lost-writes"}, exitMet, "SAME"},
		{[]string{base, lossy}, exitMiss, "lost-writes"},
		{[]string{filepath.Dir(base), filepath.Dir(slow), "--format", "markdown"}, exitMiss, "| failover | 2.1 s | 3.1 s | +1 s (+0.85 to +1.15)"},
		{[]string{base, storedRun(t, 0, 9), "--measure", "failover"}, exitMet, "1 trials are too few"},
		{[]string{base, storedRun(t, 0, 9), "--measure", "failover", "--strict"}, exitRun, "cannot tell"},
		{[]string{base, storedRun(t, 0)}, exitRun, ""},
	} {
		code, out, stderr := cli(t, append([]string{"compare"}, c.args...)...)
		assert.Equal(t, c.code, code, "%v: %s%s", c.args, out, stderr)
		assert.Contains(t, out, c.says, "%v: %s", c.args, stderr)
	}
	code, out, _ := cli(t, "compare", base, slow, "--format", "json")
	require.Equal(t, exitMiss, code)
	var got compare.Comparison
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	assert.Equal(t, compare.Worse, got.Change)
	assert.Equal(t, base, got.Base.Path)

	broken := filepath.Join(t.TempDir(), "broken.json")
	require.NoError(t, os.WriteFile(broken, []byte(`{"schema":"fivenines/v1"}`), 0o600))
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{base}, exitUsage, "compare needs two runs, BASE and NEW, not 1"},
		{[]string{base, "none.json"}, exitUsage, "none.json: no such file"},
		{[]string{base, broken}, exitUsage, broken + ": result: /: "},
		{[]string{base, slow, "--format", "pdf"}, exitUsage, `no format is called "pdf"`},
		{[]string{base, slow, "--margin", "x"}, exitUsage, `--margin: "x" is not a percentage`},
		{[]string{base, slow, "--measure", "speed"}, exitUsage, `no measure is called "speed"`},
		{[]string{base, slow, "--alpha", "2"}, exitUsage, "--alpha must be between"},
	} {
		code, _, stderr := cli(t, append([]string{"compare"}, c.args...)...)
		assert.Equal(t, c.code, code, "%v: %s", c.args, stderr)
		assert.Contains(t, stderr, c.says)
	}
}

// A baseline is small, valid, and says the same in a comparison as the whole result.
func TestBaseline(t *testing.T) {
	run := filepath.Dir(storedRun(t, 0, 2, 2.1, 2.2, 2.05, 2.15))
	code, base, stderr := cli(t, "report", run, "--format", "baseline", "--out", "-")
	require.Equal(t, exitMet, code, stderr)
	require.NoError(t, slo.ValidateJSON([]byte(base)))
	path := filepath.Join(t.TempDir(), "baseline.json")
	require.NoError(t, os.WriteFile(path, []byte(base), 0o600))
	slow := storedRun(t, 0, 3, 3.1, 3.2, 3.05, 3.15)
	_, want, _ := cli(t, "compare", run, slow, "--format", "markdown")
	code, got, _ := cli(t, "compare", path, slow, "--format", "markdown")
	assert.Equal(t, exitMiss, code)
	assert.Equal(t, want, got)
}
