package budget

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A run of a minute with 3 s of total outage at second 20, for five nines in 30
// days. By hand: the budget is 25.92 s, of which 3 s are 11.57 %. 14.4 / 6 / 1
// times 0.001 % of 1 h / 6 h / 3 d are 0.5184, 1.296 and 2.592 s: the first,
// second and third bad second fire them. They reset when the short windows
// hold less than 0.0432, 0.108 and 0.216 bad seconds, that is none.
func TestExamine(t *testing.T) {
	o := Objective{Target: 0.99999, Period: 30 * day}
	s := outage(time.Minute, 20*time.Second, 23*time.Second, 1)
	r, err := Examine(o, Workbook(), s)
	require.NoError(t, err)
	assert.InDelta(t, 3/25.92, r.Spending.Spent, 1e-9)
	assert.Equal(t, 3*time.Second, r.Spending.Downtime)
	var got []fired
	for _, f := range r.Firings {
		got = append(got, fired{f.Alert.Severity, f.From, f.To, f.Reset})
	}
	assert.Equal(t, []fired{
		{"critical", 21 * time.Second, 23*time.Second + 5*time.Minute, true},
		{"high", 22 * time.Second, 23*time.Second + 30*time.Minute, true},
		{"medium", 23 * time.Second, 23*time.Second + 6*time.Hour, true},
	}, got)
	at, ever := r.Paged()
	assert.True(t, ever)
	assert.Equal(t, 21*time.Second, at)
	require.Len(t, r.Peaks, 5)
	assert.Equal(t, 5*time.Minute, r.Peaks[0].Window)
	assert.InDelta(t, 1000, r.Peaks[0].BurnRate, 1e-6) // 3 of 300 s
	assert.Equal(t, 23*time.Second, r.Peaks[0].At)
	assert.InDelta(t, 3.0/259200/0.00001, r.Peaks[4].BurnRate, 1e-6)

	// A clean run: nothing fires, and the peak is 0.
	r, err = Examine(o, Workbook(), outage(time.Minute, 0, 0, 1))
	require.NoError(t, err)
	assert.Empty(t, r.Firings)
	assert.Zero(t, r.Spending.Spent)
	assert.Equal(t, Peak{Window: 5 * time.Minute, At: time.Second}, r.Peaks[0], "of the run, not of what is assumed before it")
	_, ever = r.Paged()
	assert.False(t, ever)

	// Only a ticket is no page.
	o.Target = 0.999
	p := Workbook()
	p.MinErrors = 0
	p.Alerts[2].Budget /= 1000
	r, err = Examine(o, p, s)
	require.NoError(t, err)
	require.Len(t, r.Firings, 1)
	_, ever = r.Paged()
	assert.False(t, ever)

	_, err = Examine(o, Policy{}, s)
	require.Error(t, err)
	_, err = Examine(o, p, Series{Step: time.Second})
	require.Error(t, err)
	_, err = Examine(o, p.Scaled(1000), s)
	require.Error(t, err)
}

func TestPerSecondSeries(t *testing.T) {
	seconds := []int{5, 6, 9}
	make := func(ss []int) (Series, int, error) {
		return PerSecondSeries(len(ss), func(i int) (int, Count) { return ss[i], Count{Good: 1, Total: 2} })
	}
	s, first, err := make(seconds)
	require.NoError(t, err)
	assert.Equal(t, 5, first)
	assert.Equal(t, []Count{{1, 2}, {1, 2}, {}, {}, {1, 2}}, s.Counts)
	for _, bad := range [][]int{{}, {5, 5}, {5, 4}, {0, 100_000_000}} {
		_, _, err := make(bad)
		require.Error(t, err, "%v", bad)
	}
}
