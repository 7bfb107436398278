package slo

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseTarget(t *testing.T) {
	for _, c := range []struct {
		name, expr, text string
		max, min         float64
	}{
		{Failover, "< 5 s", "< 5 s", 5, -1},
		{Failover, "<500ms", "< 0.5 s", 0.5, -1},
		{RTO, "< 5 min", "< 300 s", 300, -1},
		{RPO, "1 s", "< 1 s", 1, -1},
		{MTTR, "< 1 h", "< 3600 s", 3600, -1},
		{SessionLoss, "0", "0", 0, -1},
		{SessionLoss, "= 0", "0", 0, -1},
		{StaleReads, "<= 3", "<= 3", 3, -1},
		{Availability, ">= 99.999 %", ">= 99.999 %", -1, 0.99999},
		{Availability, "0.95", ">= 95 %", -1, 0.95},
		{Capacity, "99%", ">= 99 %", -1, 0.99},
	} {
		got, err := ParseTarget(c.name, c.expr)
		require.NoError(t, err, "%s %s", c.name, c.expr)
		if c.max >= 0 {
			require.NotNil(t, got.Max)
			assert.InDelta(t, c.max, *got.Max, 1e-12)
			assert.Nil(t, got.Min)
		} else {
			require.NotNil(t, got.Min)
			assert.InDelta(t, c.min, *got.Min, 1e-12)
			assert.Nil(t, got.Max)
		}
		assert.Equal(t, c.text, got.String())
		again, err := ParseTarget(c.name, got.String())
		require.NoError(t, err)
		assert.Equal(t, got.String(), again.String())
	}
}

func TestParseTargetRejects(t *testing.T) {
	for _, c := range [][2]string{
		{"fail-over", "< 5 s"}, {Failover, ""}, {Failover, "5"}, {Failover, "> 5 s"}, {Failover, "<= 5 s"}, {Failover, "< 5 parsec"},
		{Failover, "< -5 s"}, {Failover, "< 0 s"}, {SessionLoss, "1.5"}, {SessionLoss, "< 1"}, {SessionLoss, "= 1"}, {SessionLoss, "0 s"},
		{Availability, "101 %"}, {Availability, "99"}, {Availability, "< 99 %"}, {Availability, "NaN"}, {Availability, ">= 1e400"},
	} {
		_, err := ParseTarget(c[0], c[1])
		require.Error(t, err, "%s %s", c[0], c[1])
		assert.NotContains(t, err.Error(), "\n")
	}
}

func TestConfigIsChecked(t *testing.T) {
	rec := synthetic(100, 10)
	for _, bad := range [][]Target{
		{{Name: "speed", Max: ptr(1.0)}},
		{{Name: Failover}},
		{{Name: Availability, Max: ptr(1.0)}},
		{{Name: Failover, Max: ptr(1.0)}, {Name: Failover, Max: ptr(2.0)}},
	} {
		_, err := analyze(rec, Config{Objectives: bad})
		assert.Error(t, err)
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"< 5 s", "0", ">= 99.9 %", "", "<", "1e9 s"} {
		f.Add(Failover, s)
		f.Add(Availability, s)
		f.Add(SessionLoss, s)
	}
	f.Fuzz(func(t *testing.T, name, expr string) {
		target, err := ParseTarget(name, expr)
		if err != nil {
			return
		}
		_, err = ParseTarget(name, target.String())
		require.NoError(t, err, "%q of %q", target.String(), expr)
	})
}
