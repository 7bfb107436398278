package reports

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/slo"
	"github.com/fivenines/fivenines/slo/projection"
	"github.com/fivenines/fivenines/slo/stats"
)

func verification(t *testing.T) *slo.Verification {
	t.Helper()
	p, err := projection.Project(projection.Default(), nil, projection.Options{Years: 1000, Seed: 1})
	require.NoError(t, err)
	return &slo.Verification{
		Schema: slo.VerificationSchema, Verdict: slo.Missed, Summary: "Missed in node-crash. Hardly any year.", Target: "<b>x</b>", Backend: "process",
		Mutant: "no-failover", Started: time.Unix(0, 0), Command: "fivenines verify --seed 1", Projection: p,
		Scenarios: []slo.Verified{
			{Name: "node-crash", Folder: "node-crash", Verdict: slo.Missed, Trials: 3, Void: 1,
				Objectives: []slo.Objective{{Name: slo.Failover, Target: "< 5 s", Verdict: slo.Missed, Evidence: "it took long"}},
				Down:       []stats.Duration{{Seconds: 2}, {Seconds: 30, Censored: true}}},
			{Name: "baseline", Folder: "../runs/a b", Verdict: slo.Met, Trials: 1},
		},
	}
}

func TestVerificationIsShownWhole(t *testing.T) {
	v := verification(t)
	for name, write := range map[string]func(*bytes.Buffer) error{
		"html":     func(b *bytes.Buffer) error { return VerifyHTML(b, v) },
		"terminal": func(b *bytes.Buffer) error { return VerifyTerminal(b, v, false) },
		"markdown": func(b *bytes.Buffer) error { return VerifyMarkdown(b, v) },
	} {
		var b bytes.Buffer
		require.NoError(t, write(&b), name)
		flat := strings.Join(strings.Fields(b.String()), " ")
		for _, want := range []string{"Hardly any year.", "node-crash", "2 s, at least 30 s", "it took long", "baseline", "99.999 %"} {
			assert.Contains(t, flat, want, name)
		}
		if name != "terminal" {
			assert.NotContains(t, flat, "<b>x</b>", name)
			assert.Contains(t, flat, "no-failover", name)
		}
	}
	var page bytes.Buffer
	require.NoError(t, VerifyHTML(&page, v))
	assert.Contains(t, page.String(), `href="node-crash/report.html"`)
	assert.Contains(t, page.String(), `href="../runs/a%20b/report.html"`)
	assert.NoError(t, standsAlone(page.String()))

	var b bytes.Buffer
	require.NoError(t, VerifyJSON(&b, v))
	var back slo.Verification
	require.NoError(t, json.Unmarshal(b.Bytes(), &back))
	assert.Equal(t, v.Scenarios[0].Down, back.Scenarios[0].Down)
}
