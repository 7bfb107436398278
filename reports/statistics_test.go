package reports

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/slo"
)

func statistical() *slo.Result {
	p := func(v float64) *float64 { return &v }
	return &slo.Result{Scenario: "x", Verdict: slo.Met, Summary: "Met.", Statistics: &slo.Statistics{
		Trials: 29, Void: 1, Confidence: 0.95, Quantile: 0.9019, Measures: []slo.TrialStatistics{
			{
				Name: slo.Failover, Unit: "s", Values: []slo.Trialed{{Trial: 1, Value: 2.5}, {Trial: 2, Value: 20, Censored: true}},
				Median: &slo.Value{Value: 2.5, Lower: p(2.25), Upper: p(3)}, UpperBound: p(4.5), Misses: 1, Missing: &slo.Value{Value: 0.034, Lower: p(0.00087), Upper: p(0.178)},
			},
			{Name: slo.LostWrites, Unit: "count", Values: []slo.Trialed{{Trial: 1}}, Median: &slo.Value{}, Missing: &slo.Value{Upper: p(0.119)}},
			{Name: slo.Availability, Unit: "share", Values: []slo.Trialed{{Trial: 1, Value: 0.9}}, Median: &slo.Value{Value: 0.95, Lower: p(0.9), Upper: p(0.96)}},
		},
	}}
}

func TestStatisticsAreShownEverywhere(t *testing.T) {
	for name, write := range map[string]func(*bytes.Buffer, *slo.Result) error{
		"html":     func(b *bytes.Buffer, r *slo.Result) error { return WriteHTML(b, r) },
		"terminal": func(b *bytes.Buffer, r *slo.Result) error { return Terminal(b, r, false) },
		"markdown": func(b *bytes.Buffer, r *slo.Result) error { return WriteMarkdown(b, r) },
	} {
		var with, without bytes.Buffer
		r := statistical()
		require.NoError(t, write(&with, r), name)
		flat := string(bytes.Join(bytes.Fields(with.Bytes()), []byte(" ")))
		for _, want := range []string{
			"29 valid trials", "1 void one is left out", "no quantile above p90.2", "In no trial was there any of: lost-writes.",
			"at most 11.9 %", "2.5 s (2.25 to 3 s)", "95 % (90 to 96 %)", "0.087 to 17.8 % of all trials", "1 not seen to end",
		} {
			assert.Contains(t, flat, want, name)
		}
		r.Statistics = nil
		require.NoError(t, write(&without, r), name)
		assert.NotContains(t, without.String(), "valid trials", name)
	}
}
