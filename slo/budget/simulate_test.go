package budget

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Workbook, chapter 5, "Recommended time windows and burn rates".
func TestWorkbookTable(t *testing.T) {
	p := Workbook()
	for i, want := range []struct {
		factor      float64
		long, short time.Duration
		response    string
	}{
		{14.4, time.Hour, 5 * time.Minute, "page"},
		{6, 6 * time.Hour, 30 * time.Minute, "page"},
		{1, 3 * day, 6 * time.Hour, "ticket"},
	} {
		a := p.Alerts[i]
		assert.Equal(t, want.factor, a.Factor(30*day))
		assert.Equal(t, want.long, a.Long)
		assert.Equal(t, want.short, a.Short)
		assert.Equal(t, want.response, a.Response)
	}
	assert.Equal(t, 13.44, p.Alerts[0].Factor(28*day), "of another period another one")
	assert.Equal(t, []time.Duration{5 * time.Minute, 30 * time.Minute, time.Hour, 6 * time.Hour, 3 * day}, p.Windows())
}

// outage is a healthy service of 100 events a second with a share of bad
// events in one span of it.
func outage(length, from, to time.Duration, bad float64) Series {
	s := Series{Step: time.Second, Counts: make([]Count, int(length/time.Second))}
	for i := range s.Counts {
		s.Counts[i] = Count{Good: 100, Total: 100}
		if at := time.Duration(i) * time.Second; at >= from && at < to {
			s.Counts[i].Good = 100 - uint64(math.Round(100*bad))
		}
	}
	return s
}

type fired struct {
	severity string
	from, to time.Duration
	reset    bool
}

func simulate(t *testing.T, o Objective, p Policy, s Series) []fired {
	t.Helper()
	fs, err := Simulate(o, p, s, s.Step)
	require.NoError(t, err)
	var out []fired
	for _, f := range fs {
		out = append(out, fired{f.Alert.Severity, f.From, f.To, f.Reset})
	}
	return out
}

// By hand, for 99.9 %: an alert fires when the bad seconds of its long window
// are more than 14.4, 6 or 1 thousandth of it: 51.84 s of 1 h, 129.6 s of 6 h,
// 259.2 s of 3 d. It resets when those of the short one are not: 4.32 s of
// 5 min, 10.8 s of 30 min, 21.6 s of 6 h.
func TestTotalOutage(t *testing.T) {
	o := Objective{Target: 0.999, Period: 30 * day}
	at := 3 * day
	s := outage(at+20*time.Hour, at, at+10*time.Minute, 1)
	sec := func(n int) time.Duration { return at + time.Duration(n)*time.Second }
	// The last 4 bad seconds are in the window that ends 4 s short of the
	// outage's end plus the window; and so on.
	assert.Equal(t, []fired{
		{"critical", sec(52), sec(600 + 300 - 4), true},
		{"high", sec(130), sec(600 + 1800 - 10), true},
		{"medium", sec(260), sec(600 + 21600 - 21), true},
	}, simulate(t, o, Workbook(), s))

	// Only as far as it is seen.
	cut := Series{Step: s.Step, Counts: s.Counts[:int(at/time.Second)+100]}
	assert.Equal(t, []fired{{"critical", sec(52), sec(100), false}}, simulate(t, o, Workbook(), cut))

	// At evaluations every 30 s the same, rounded up.
	fs, err := Simulate(o, Workbook(), s, 30*time.Second)
	require.NoError(t, err)
	require.Len(t, fs, 3)
	assert.Equal(t, []time.Duration{sec(60), sec(150), sec(270)}, []time.Duration{fs[0].From, fs[1].From, fs[2].From})
	assert.Equal(t, sec(900), fs[0].To)
}

// At the threshold itself nothing fires: 2592 bad seconds are 1 % of three days.
func TestThresholdIsExclusive(t *testing.T) {
	p := Workbook()
	p.Alerts = p.Alerts[2:]
	got := simulate(t, Objective{Target: 0.99, Period: 30 * day}, p, outage(3*day+time.Hour, 3*day, 4*day, 1))
	require.Len(t, got, 1)
	assert.Equal(t, 3*day+2593*time.Second, got[0].from)
}

func TestShortSpikeDoesNotPage(t *testing.T) {
	o := Objective{Target: 0.999, Period: 30 * day}
	s := outage(3*day+time.Hour, 3*day, 3*day+51*time.Second, 1)
	assert.Empty(t, simulate(t, o, Workbook(), s), "51 s of total outage are 1.97 % of the budget")
	s = outage(3*day+time.Hour, 3*day, 3*day+52*time.Second, 1)
	assert.Len(t, simulate(t, o, Workbook(), s), 1, "52 s are over 2 %")

	// With the long window alone the page would go on for an hour.
	p := Workbook()
	p.Alerts = p.Alerts[:1]
	p.Alerts[0].Short = p.Alerts[0].Long - time.Second
	got := simulate(t, o, p, s)
	require.Len(t, got, 1)
	assert.Equal(t, 3*day+time.Hour, got[0].to)
}

func TestSteadyErrors(t *testing.T) {
	p := Workbook()
	for _, c := range []struct {
		target float64
		bad    float64
		want   []string
	}{
		{0.99, 0.01, nil},                                       // burns the budget in just the period: not above 1
		{0.99, 0.02, []string{"medium"}},                        // 2
		{0.99, 0.07, []string{"high", "medium"}},                // 7
		{0.99, 0.15, []string{"critical", "high", "medium"}},    // 15
		{0.99999, 0.01, []string{"critical", "high", "medium"}}, // 1000
		{0.99999, 0.0, nil},                                     //
		{0.999, 0.01 /* burn 10 */, []string{"high", "medium"}}, //
		{0.9999, 0.01, []string{"critical", "high", "medium"}},  // 100
		{0.5, 0.51, []string{"medium"}},                         // 1.02: the others can't fire and are left out
		{0.5, 0.5, nil},                                         //
		{0.95, 0.31 /* 6.2 */, []string{"high", "medium"}},      //
		{0.95, 0.73 /* 14.6 */, []string{"critical", "high", "medium"}},
	} {
		o := Objective{Target: c.target, Period: 30 * day}
		pol := p
		if c.target == 0.5 {
			pol.Alerts = p.Alerts[2:]
		}
		fs, err := Simulate(o, pol, outage(3*day+time.Hour, 0, 4*day, c.bad), time.Minute)
		require.NoError(t, err)
		var got []string
		for _, f := range fs {
			got = append(got, f.Alert.Severity)
			assert.False(t, f.Reset, "it goes on")
		}
		assert.ElementsMatch(t, c.want, got, "%v of bad at %v", c.bad, c.target)
	}
}

// The Workbook's formula for the time to detect and the simulation agree, to
// the step and the granularity of the counts.
func TestDetectionTime(t *testing.T) {
	for _, target := range []float64{0.99, 0.999, 0.9999, 0.99999} {
		o := Objective{Target: target, Period: 30 * day}
		for _, bad := range []float64{1, 0.5, 0.1} {
			s := outage(3*day+12*time.Hour, 3*day, 4*day, bad)
			fs, err := Simulate(o, Workbook(), s, time.Second)
			require.NoError(t, err)
			n := 0
			for _, a := range Workbook().Alerts {
				want, ever := a.DetectionTime(o, bad)
				if !ever || want > 12*time.Hour {
					continue
				}
				for _, f := range fs {
					if f.Alert == a {
						n++
						assert.InDelta(t, want.Seconds(), (f.From - 3*day).Seconds(), 1.01, "%v %v %v", target, bad, a)
					}
				}
			}
			assert.Len(t, fs, n)
		}
	}
	o := Objective{Target: 0.999, Period: 30 * day}
	d, ever := Workbook().Alerts[0].DetectionTime(o, 1)
	assert.True(t, ever)
	assert.Equal(t, 51840*time.Millisecond, d)
	_, ever = Workbook().Alerts[0].DetectionTime(o, 0.0144)
	assert.False(t, ever, "at the threshold it does not fire")
	_, ever = Workbook().Alerts[0].DetectionTime(o, 0)
	assert.False(t, ever)
}

func TestLowTraffic(t *testing.T) {
	o := Objective{Target: 0.999, Period: 30 * day}
	p := Workbook()
	p.Alerts = p.Alerts[:1]
	p.MinErrors = 3
	s := Series{Step: time.Minute, Counts: make([]Count, 4*60)}
	for i := range s.Counts { // ten requests an hour
		if i%6 == 0 {
			s.Counts[i] = Count{1, 1}
		}
	}
	s.Counts[180].Good = 0 // one of ten: a burn rate of 100
	assert.Empty(t, simulate(t, o, p, s))
	// All fail: the third one pages, 13 minutes after the first.
	s.Counts[186].Good, s.Counts[192].Good = 0, 0
	assert.Equal(t, []fired{{"critical", 193 * time.Minute, 198 * time.Minute, true}}, simulate(t, o, p, s))
	p.MinErrors = 0
	assert.Len(t, simulate(t, o, p, s), 3, "without the guard each failure pages")
}

func TestNoTrafficIsNoAlert(t *testing.T) {
	o := Objective{Target: 0.999, Period: 30 * day}
	s := outage(2*time.Hour, time.Hour, 2*time.Hour, 1)
	for i := 3600; i < len(s.Counts); i++ {
		s.Counts[i] = Count{}
	}
	assert.Empty(t, simulate(t, o, Workbook(), s))
}

func TestScaled(t *testing.T) {
	const by = 720 // a month is an hour
	o := Objective{Target: 0.999, Period: 30 * day / by}
	p := Workbook().Scaled(by)
	assert.Equal(t, 5*time.Second, p.Alerts[0].Long)
	assert.Equal(t, 417*time.Millisecond, p.Alerts[0].Short)
	require.NoError(t, p.Validate(o))
	for i, a := range p.Alerts {
		assert.InDelta(t, Workbook().Alerts[i].Factor(30*day), a.Factor(o.Period), 1e-9)
	}
	assert.Equal(t, time.Hour, Workbook().Alerts[0].Long, "the original is left alone")
}

func TestBadPolicies(t *testing.T) {
	for want, change := range map[string]func(*Policy){
		"interval: must be 1ms or more":                                       func(p *Policy) { p.Interval = 0 },
		`no_data: "loud" is not a severity; there are critical, high, medium`: func(p *Policy) { p.NoData = "loud" },
		"alerts: needs one alert at least":                                    func(p *Policy) { p.Alerts = nil },
		`alerts[0].severity: "sev1" is not a severity`:                        func(p *Policy) { p.Alerts[0].Severity = "sev1" },
		`alerts[1].response: "" is not a response; there are page, ticket`:    func(p *Policy) { p.Alerts[1].Response = "" },
		"alerts[0].budget: 0 % is not above 0 % and up to 100 %":              func(p *Policy) { p.Alerts[0].Budget = 0 },
		"alerts[2].long: 31d is not above 0 and up to the period, 30d":        func(p *Policy) { p.Alerts[2].Long = 31 * day },
		"alerts[0].short: 1h is not above 0 and below the long window, 1h":    func(p *Policy) { p.Alerts[0].Short = time.Hour },
		"alerts[0].short: windows of 1h0m0s and 5m0.0000001s are not whole":   func(p *Policy) { p.Alerts[0].Short += 100 },
		"alerts[0].budget: can never fire: a burn rate of 720 needs 7":        func(p *Policy) { p.Alerts[0].Budget = 1 },
		"alerts[1].severity: alerts 0 and 1 have the same severity and long":  func(p *Policy) { p.Alerts[1] = p.Alerts[0] },
		"alerts[0].budget: 1e-13 of the budget is too little in 1h":           func(p *Policy) { p.Alerts[0].Budget = 1e-13 },
		"alerts[0].budget: 120 % is not above 0 % and up to 100 %":            func(p *Policy) { p.Alerts[0].Budget = 1.2 },
		"alerts[0].long: 0s is not above 0":                                   func(p *Policy) { p.Alerts[0].Long = 0 },
	} {
		p := Workbook()
		o := Objective{Target: 0.99, Period: 30 * day}
		require.NoError(t, p.Validate(o))
		change(&p)
		err := p.Validate(o)
		require.Error(t, err, want)
		assert.Contains(t, err.Error(), want)
		_, err = Simulate(o, p, outage(time.Hour, 0, 0, 0), time.Second)
		require.Error(t, err)
	}
	require.ErrorContains(t, Workbook().Validate(Objective{Target: 0.9, Period: 30 * day}), "alerts[0].budget: can never fire: a burn rate of 14.4 needs 144 % of all events to be bad")
	require.Error(t, Workbook().Validate(Objective{}))

	o, s := Objective{Target: 0.999, Period: 30 * day}, outage(time.Hour, 0, 0, 0)
	_, err := Simulate(o, Workbook(), s, 1500*time.Millisecond)
	require.ErrorContains(t, err, "don't fall on steps")
	_, err = Simulate(o, Workbook().Scaled(720), s, time.Second)
	require.Error(t, err)
	_, err = Simulate(o, Workbook(), Series{Step: 10 * time.Minute, Counts: []Count{{1, 1}}}, 10*time.Minute)
	require.ErrorContains(t, err, "below the series' steps")
}
