package reports

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/fivenines/fivenines/slo"
)

func TestMeasuredStaysOnItsSideOfTheTarget(t *testing.T) {
	for _, c := range []struct {
		o                slo.Objective
		measured, margin string
	}{
		{slo.Objective{Name: slo.Failover, Target: "< 5 s", Unit: "s", Measured: val(4.9996), Verdict: slo.Met}, "4.9996 s", "0.0004 s to spare (0 %)"},
		{slo.Objective{Name: slo.Failover, Target: "< 5 s", Unit: "s", Measured: val(5.0004), Verdict: slo.Missed}, "5.0004 s", "0.0004 s over"},
		{slo.Objective{Name: slo.Failover, Target: "< 5 s", Unit: "s", Measured: val(5), Verdict: slo.Missed}, "5 s", "0 s over"},
		{slo.Objective{Name: slo.Failover, Target: "< 5 s", Unit: "s", Measured: &slo.Value{Value: 2, Lower: ptr(1.9), Upper: ptr(2.1)}, Verdict: slo.Met}, "2 s (1.9 to 2.1 s)", "3 s to spare (60 %)"},
		{slo.Objective{Name: slo.Failover, Target: "< 5 s", Unit: "s", Measured: &slo.Value{Value: 27, Lower: ptr(26.9)}, Verdict: slo.Missed}, "at least 27 s", "at least 22 s over"},
		{slo.Objective{Name: slo.Failover, Target: "< 5 s", Unit: "s", Measured: val(2), Verdict: slo.Inconclusive}, "2 s", ""},
		{slo.Objective{Name: slo.Failover, Unit: "s", Measured: val(0.0123), Verdict: slo.NotEvaluated}, "0.012 s", ""},
		{slo.Objective{Name: slo.LostWrites, Target: "0", Unit: "count", Measured: val(0), Verdict: slo.Met}, "0", "none allowed"},
		{slo.Objective{Name: slo.LostWrites, Target: "0", Unit: "count", Measured: val(1234567), Verdict: slo.Missed}, "1,234,567", "1,234,567 over"},
		{slo.Objective{Name: slo.LostWrites, Target: "<= 3", Unit: "count", Measured: val(3), Verdict: slo.Met}, "3", "0 to spare"},
		{slo.Objective{Name: slo.Availability, Target: ">= 99.999 %", Unit: "share", Measured: val(0.99999999), Verdict: slo.Met}, "99.99999 %", "0.001 points to spare"},
		{slo.Objective{Name: slo.Availability, Target: ">= 99 %", Unit: "share", Measured: val(0.98999999), Verdict: slo.Missed}, "98.99999 %", "< 0.00001 points short"},
		{slo.Objective{Name: slo.Availability, Target: ">= 99 %", Unit: "share", Measured: val(1), Verdict: slo.Met}, "100 %", "1 points to spare"},
		{slo.Objective{Name: slo.RTO, Target: "< 30 s", Unit: "s", Verdict: slo.Inconclusive}, "", ""},
		{slo.Objective{Name: slo.RTO, Target: "< 30 s", Unit: "s", Measured: val(math.NaN()), Verdict: slo.Met}, "", ""},
		{slo.Objective{Name: "own", Target: "about ten", Unit: "MiB", Measured: val(12.5), Verdict: slo.Met}, "12.5 MiB", ""},
	} {
		assert.Equal(t, c.measured, measured(&c.o), "%+v", c.o)
		assert.Equal(t, c.margin, margin(&c.o), "%+v", c.o)
	}
}

func TestPercentNeverRoundsUpToAll(t *testing.T) {
	for k := 1; k < 16; k++ {
		assert.NotEqual(t, "100 %", percent(1-math.Pow(10, -float64(k))), "1 - 1e-%d", k)
	}
	assert.Equal(t, "99.9 %", percent(0.999))
	assert.Equal(t, "100 %", percent(1))
	assert.Equal(t, "0 %", percent(0))
	assert.Equal(t, "< 0.01 %", shareText(1, 50000))
	assert.Equal(t, "> 99.99 %", shareText(99999, 100000))
	assert.Equal(t, "-1,234", grouped(-1234))
}
