package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/reports"
	"github.com/fivenines/fivenines/slo"
	"github.com/fivenines/fivenines/slo/projection"
)

// The runs of a verification show its projection, both when it is written and when
// a report is written anew; a run that only lies beside it does not.
func TestRunsShowTheProjectionOfTheirVerification(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "reports", "testdata", "projection.json"))
	require.NoError(t, err)
	p := &projection.Projection{}
	require.NoError(t, json.Unmarshal(b, p))
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	for _, run := range []string{"region-loss", "other"} {
		res := &slo.Result{Schema: slo.Schema, Scenario: run, Verdict: slo.Met, Summary: "Met."}
		require.NoError(t, writeReport(filepath.Join(dir, run, "result.json"), res, reports.WriteJSON))
		require.NoError(t, writeReport(filepath.Join(dir, run, "report.html"), res, reports.WriteHTML))
	}
	v := &slo.Verification{Verdict: slo.Met, Target: "reference", Projection: p, Scenarios: []slo.Verified{
		{Name: "region-loss", Folder: "region-loss", Verdict: slo.Met}, {Name: "elsewhere", Folder: "../elsewhere", Verdict: slo.Met},
	}}
	require.NoError(t, writeVerification(dir, v))
	projected := func(run string) bool {
		b, err := os.ReadFile(filepath.Join(run, "report.html"))
		require.NoError(t, err)
		return bytes.Contains(b, []byte(`id="projection-part"`))
	}
	run := filepath.Join(dir, "region-loss")
	assert.True(t, projected(run))
	assert.False(t, projected(other))

	for _, r := range []string{run, other} {
		cmd := reportCommand()
		cmd.SetArgs([]string{r})
		cmd.SetOut(&bytes.Buffer{})
		require.NoError(t, cmd.Execute())
	}
	assert.True(t, projected(run), "a report that is written anew")
	assert.False(t, projected(other))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "verify.json"), []byte("{"), 0o600))
	assert.Nil(t, projectionBeside(run), "a damaged one is none")
}
