package budget

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const day = 24 * time.Hour

func TestBudgets(t *testing.T) {
	for _, c := range []struct {
		target   float64
		period   time.Duration
		budget   float64
		downtime time.Duration
	}{
		{0.999, 30 * day, 0.001, 43*time.Minute + 12*time.Second},
		{0.9999, 30 * day, 0.0001, 4*time.Minute + 19200*time.Millisecond},
		{0.99999, 30 * day, 0.00001, 25920 * time.Millisecond},
		{0.99999, 365 * day, 0.00001, 315360 * time.Millisecond}, // the 5.26 minutes a year
		{0.99, 28 * day, 0.01, 6*time.Hour + 43*time.Minute + 12*time.Second},
	} {
		o := Objective{Target: c.target, Period: c.period}
		require.NoError(t, o.Validate())
		assert.Equal(t, c.budget, o.ErrorBudget(), "%v: no noise", c.target)
		assert.Equal(t, c.downtime, o.Downtime(), "%v", c.target)
	}
	o := Objective{Target: 0.999, Period: 30 * day}
	assert.InDelta(t, 3000, o.Events(3e6), 1e-9) // Workbook, chapter 2: 0.1 % of 3 million requests
	assert.Equal(t, 1.0, o.BurnRate(Count{Good: 999, Total: 1000}))
	assert.InDelta(t, 1000, o.BurnRate(Count{Total: 10}), 1e-9)
	assert.Zero(t, o.BurnRate(Count{Good: 10, Total: 10}))
	assert.True(t, math.IsNaN(o.BurnRate(Count{})))
	assert.InDelta(t, 0.02, o.Spent(14.4, time.Hour), 1e-12)
	assert.InDelta(t, 1, o.Spent(1, 30*day), 1e-12)
}

// Workbook, chapter 5, table "Burn rates and time to complete budget exhaustion".
func TestExhaustion(t *testing.T) {
	o := Objective{Target: 0.999, Period: 30 * day}
	for burn, want := range map[float64]time.Duration{1: 30 * day, 2: 15 * day, 10: 3 * day, 1000: 43*time.Minute + 12*time.Second} {
		got, ever := o.Exhaustion(burn, 0)
		assert.True(t, ever)
		assert.Equal(t, want, got.Round(time.Millisecond), "%v", burn)
	}
	half, _ := o.Exhaustion(2, 0.5)
	assert.Equal(t, 7*day+12*time.Hour, half)
	none, ever := o.Exhaustion(0, 1.5)
	assert.True(t, ever)
	assert.Zero(t, none)
	for _, burn := range []float64{0, math.NaN(), 1e-12} {
		_, ever = o.Exhaustion(burn, 0)
		assert.False(t, ever, "%v", burn)
	}
}

func TestBadObjectives(t *testing.T) {
	for _, o := range []Objective{{1, day}, {0, day}, {-1, day}, {1.5, day}, {math.NaN(), day}, {1 - 1e-13, day}, {0.9, 0}, {0.9, 800 * day}} {
		require.Error(t, o.Validate(), "%+v", o)
	}
	require.EqualError(t, Objective{1, day}.Validate(), "target: 100 % leaves no error budget or nothing but budget; it must be above 0 % and below 100 %")
}

func TestSpend(t *testing.T) {
	// 100 events a second for a minute of which the first and last second are
	// half full; 30 are bad. At the usual rate 30 days have 259.2 million
	// events, and 99.9 % of them leaves 259,200.
	s := Series{Step: time.Second}
	for i := range 60 {
		n := uint64(100)
		if i == 0 || i == 59 {
			n = 50
		}
		s.Counts = append(s.Counts, Count{Good: n, Total: n})
	}
	s.Counts[10].Good -= 30
	sp, err := Objective{Target: 0.999, Period: 30 * day}.Spend(s)
	require.NoError(t, err)
	assert.Equal(t, Count{Good: 5870, Total: 5900}, sp.Count)
	assert.Equal(t, 59*time.Second, sp.Load)
	assert.InDelta(t, 259_200, sp.Budget, 1e-6)
	assert.InDelta(t, 30.0/259_200, sp.Spent, 1e-15)
	assert.InDelta(t, 30.0/5900/0.001, sp.BurnRate, 1e-9)
	assert.Equal(t, 300*time.Millisecond, sp.Downtime)

	for _, bad := range []Series{{}, {Step: time.Second}, {Step: time.Second, Counts: []Count{{}}}, {Step: time.Second, Counts: []Count{{Good: 2, Total: 1}}}, {Counts: []Count{{}}}} {
		_, err := Objective{Target: 0.999, Period: 30 * day}.Spend(bad)
		require.Error(t, err, "%+v", bad)
	}
}

func TestBurnCurve(t *testing.T) {
	s := Series{Step: time.Second, Counts: []Count{{10, 10}, {5, 10}, {10, 10}, {0, 0}, {0, 0}}}
	o := Objective{Target: 0.9, Period: day}
	c := o.BurnCurve(s, 2*time.Second)
	for i, want := range []float64{0, 2.5, 2.5, 0} {
		assert.InDelta(t, want, c[i], 1e-9, "%d", i)
	}
	assert.True(t, math.IsNaN(c[4]), "no event, no burn rate")
	assert.InDelta(t, 5.0/30/0.1, o.BurnCurve(s, time.Hour)[4], 1e-9, "a longer window holds what there is")
}

func TestPadded(t *testing.T) {
	s := Series{Step: time.Second, Counts: []Count{{1, 4}, {8, 8}, {8, 8}}}
	p, err := s.Padded(1500*time.Millisecond, time.Second)
	require.NoError(t, err)
	assert.Equal(t, []Count{{8, 8}, {8, 8}, {1, 4}, {8, 8}, {8, 8}, {8, 8}}, p.Counts)
	_, err = s.Padded(10_000*day, 0)
	require.ErrorContains(t, err, "more than 50000000 steps")
}

func TestFormats(t *testing.T) {
	for s, d := range map[string]time.Duration{"30d": 30 * day, "4w": 28 * day, "1h30m": 90 * time.Minute, "5m": 5 * time.Minute, "250ms": 250 * time.Millisecond, "1y": 365 * day} {
		got, err := ParseDuration(s)
		require.NoError(t, err)
		assert.Equal(t, d, got)
		assert.Equal(t, s, FormatDuration(d))
	}
	for _, s := range []string{"", "5", "0s", "-5m", "1.5h", "5 m", "fast"} {
		_, err := ParseDuration(s)
		require.Error(t, err, s)
	}
	for s, v := range map[string]float64{"99.9 %": 0.999, "99.999%": 0.99999, " 5 % ": 0.05, "0 %": 0, "100%": 1} {
		got, err := ParseShare(s)
		require.NoError(t, err)
		assert.Equal(t, v, got, s)
	}
	for _, s := range []string{"", "0.999", "101 %", "-1 %", "NaN %", "x %"} {
		_, err := ParseShare(s)
		require.Error(t, err, s)
	}
	assert.Equal(t, "99.999 %", FormatPercent(0.99999))
	assert.Equal(t, "14.4", Number(0.02*720))
}
