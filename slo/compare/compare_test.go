package compare

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/slo"
)

// runOf is a result with a trial for each failover time.
func runOf(failovers ...float64) *slo.Result {
	r := &slo.Result{Scenario: "x", Target: "reference", Backend: "process", Load: slo.Load{TargetRPS: 100, Sessions: 10}, Verdict: slo.Met, Machine: "m"}
	for _, f := range failovers {
		r.Trials = append(r.Trials, slo.Trial{Measures: slo.Measures{
			Failover: &slo.Outage{Value: f, N: 1}, RPO: &slo.Value{}, Availability: &slo.Value{Value: 1 - f/100},
		}})
	}
	r.Objectives = []slo.Objective{{Name: slo.Failover, Target: "< 5 s", Verdict: slo.Met}}
	return r
}

func measure(t *testing.T, c *Comparison, name string) Measure {
	t.Helper()
	for _, m := range c.Measures {
		if m.Name == name {
			return m
		}
	}
	t.Fatalf("no measure %s in %+v", name, c.Measures)
	return Measure{}
}

func compared(t *testing.T, base, next *slo.Result, o Options) *Comparison {
	t.Helper()
	c, err := Results(base, next, o)
	require.NoError(t, err)
	return c
}

func around(center float64, n int, seed uint64) []float64 {
	rng := rand.New(rand.NewPCG(seed, 1))
	var vs []float64
	for range n {
		vs = append(vs, center+0.05*center*rng.NormFloat64())
	}
	return vs
}

func TestDurations(t *testing.T) {
	only := Options{Measures: []string{slo.Failover}}
	base := runOf(around(2, 12, 1)...)
	for name, c := range map[string]struct {
		next   []float64
		change Change
		why    string
	}{
		"slower":                    {around(3, 12, 2), Worse, "p = "},
		"faster":                    {around(1.2, 12, 2), Better, "p = "},
		"the same":                  {around(2, 12, 3), Same, "within 10 %"},
		"too few":                   {[]float64{3, 3.1, 3.2}, Worse, "p = "}, // 3 of 12: 2/455
		"one trial":                 {[]float64{9}, CannotTell, "1 trials are too few"},
		"a little, surely":          {around(2.06, 12, 4), Same, "within"},
		"so wide that nobody knows": {[]float64{0.5, 4, 1, 3.8, 1.2, 3, 2, 2.5, 0.7, 3.4, 2.2, 1.4}, CannotTell, "vary too much"},
	} {
		got := compared(t, base, runOf(c.next...), only)
		m := measure(t, got, slo.Failover)
		assert.Equal(t, c.change, m.Change, "%s: %+v", name, m)
		assert.Contains(t, m.Why, c.why, name)
		assert.Equal(t, c.change, got.Change, name)
	}
}

// The other way round is the other answer, and a shift of both changes nothing.
func TestSymmetry(t *testing.T) {
	opposite := map[Change]Change{Better: Worse, Worse: Better, Same: Same, CannotTell: CannotTell}
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 7))
		a := around(2, 2+rng.IntN(14), seed)
		b := around(2+rng.Float64(), 2+rng.IntN(14), seed+100)
		o := Options{Measures: []string{slo.Failover}, Margin: 0.05}
		one, other := compared(t, runOf(a...), runOf(b...), o), compared(t, runOf(b...), runOf(a...), o)
		if one.Change == Same || other.Change == Same {
			continue // the margin is a share of the base's
		}
		assert.Equal(t, opposite[one.Change], other.Change, "%v %v", a, b)
	}
}

// Where nothing changed, a worsening is found as often as was asked for, over
// all measures together; and a real one is found.
func TestErrorRate(t *testing.T) {
	worse, found := 0, 0
	const runs = 300
	for seed := range uint64(runs) {
		base, next := runOf(around(2, 10, seed)...), runOf(around(2, 10, seed+1000)...)
		slow := runOf(around(2.6, 10, seed+2000)...)
		for i := range base.Trials {
			rng := rand.New(rand.NewPCG(seed, uint64(i)))
			for _, r := range []*slo.Result{base, next, slow} {
				r.Trials[i].Measures.RTO = &slo.Value{Value: 5 + rng.NormFloat64()}
				r.Trials[i].Measures.ReadP99 = &slo.Value{Value: 50 + 10*rng.NormFloat64()}
				r.Trials[i].Measures.WriteP99 = &slo.Value{Value: 150 + 30*rng.NormFloat64()}
			}
		}
		o := Options{Margin: 1e-6}
		if compared(t, base, next, o).Change == Worse {
			worse++
		}
		if measure(t, compared(t, base, slow, o), slo.Failover).Change == Worse {
			found++
		}
	}
	assert.LessOrEqual(t, float64(worse)/runs, 0.05, "false alarms") // each measure is worse in half of them
	assert.Greater(t, float64(found)/runs, 0.95)
}

func TestCountsNeedNoStatistics(t *testing.T) {
	base, next := runOf(2), runOf(2)
	next.Trials[0].Measures.LostWrites = 1
	c := compared(t, base, next, Options{})
	assert.Equal(t, Worse, c.Change)
	assert.Equal(t, Worse, measure(t, c, slo.LostWrites).Change)
	assert.Contains(t, c.Summary, "lost-writes")
	// Gone again may be luck.
	assert.Equal(t, CannotTell, measure(t, compared(t, next, base, Options{}), slo.LostWrites).Change)

	many, none := runOf(around(2, 10, 1)...), runOf(around(2, 10, 2)...)
	for i := range many.Trials {
		many.Trials[i].Measures.LostWrites = 3 + i%2
	}
	assert.Equal(t, Better, measure(t, compared(t, many, none, Options{}), slo.LostWrites).Change)
	more := runOf(around(2, 10, 3)...)
	for i := range more.Trials {
		more.Trials[i].Measures.LostWrites = 30 + i
	}
	assert.Equal(t, Worse, measure(t, compared(t, many, more, Options{}), slo.LostWrites).Change)

	// What a void trial lost is lost.
	next.Trials[0].Void = []string{"unproved"}
	assert.Equal(t, Worse, compared(t, base, next, Options{}).Change)
}

func TestDurationsThatDidNotEnd(t *testing.T) {
	only := Options{Measures: []string{slo.Failover}}
	base := runOf(around(2, 8, 1)...)
	next := runOf(around(2, 8, 2)...)
	for i := range next.Trials {
		next.Trials[i].Measures.Failover.Value, next.Trials[i].Measures.Failover.Censored = 20, true
	}
	m := measure(t, compared(t, base, next, only), slo.Failover)
	assert.Equal(t, Worse, m.Change, "%+v", m)
	assert.Nil(t, m.New, "its median is not known")

	next.Trials[0].Measures.Failover.Value = 1 // at least 1 s: it may have been any longer
	assert.Equal(t, CannotTell, measure(t, compared(t, base, next, only), slo.Failover).Change)
}

func TestVerdicts(t *testing.T) {
	base, next := runOf(2), runOf(2)
	next.Objectives[0].Verdict = slo.Missed
	c := compared(t, base, next, Options{})
	assert.Equal(t, Worse, c.Change)
	assert.Equal(t, Worse, measure(t, c, "failover objective").Change)
	assert.Equal(t, Better, measure(t, compared(t, next, base, Options{}), "failover objective").Change)
}

func TestDifferentThingsAreNotCompared(t *testing.T) {
	base, next := runOf(2), runOf(2)
	next.Scenario, next.Load.TargetRPS = "y", 200
	_, err := Results(base, next, Options{})
	assert.EqualError(t, err, "the runs can't be compared: scenario: x and y; target rate: 100 and 200")
	c := compared(t, base, next, Options{Anyway: true})
	assert.Len(t, c.Notes, 2)

	_, err = Results(base, base, Options{Measures: []string{"speed"}})
	assert.ErrorContains(t, err, `no measure is called "speed"; there are session-loss`)
	_, err = Results(base, base, Options{Alpha: 0.7})
	assert.Error(t, err)
	_, err = Results(&slo.Result{}, &slo.Result{}, Options{Measures: []string{slo.Failover}})
	assert.ErrorIs(t, err, ErrNothing)
}

func TestComparisonIsJSON(t *testing.T) {
	c := compared(t, runOf(2, 2.1), runOf(math3()...), Options{})
	b, err := json.Marshal(c)
	require.NoError(t, err)
	var back Comparison
	require.NoError(t, json.Unmarshal(b, &back))
	assert.Equal(t, *c, back)
}

func math3() []float64 { return []float64{2, 3, 4} }

func TestTrialsToTell(t *testing.T) {
	for level, want := range map[float64]int{0.5: 2, 0.05: 4, 0.01: 5, 0.005: 6} {
		assert.Equal(t, want, trialsToTell(level), fmt.Sprint(level))
	}
}

// What a node took to come back is compared as an outage is; results of before
// it was measured have nothing to compare.
func TestRestarts(t *testing.T) {
	only := Options{Measures: []string{slo.Restart}}
	of := func(censored bool, vs ...float64) *slo.Result {
		r := runOf(vs...)
		for i, v := range vs {
			r.Trials[i].Measures.Restart = &slo.Comeback{Value: v, N: 1, Censored: censored}
		}
		return r
	}
	base := of(false, around(2, 8, 1)...)
	assert.Equal(t, Worse, measure(t, compared(t, base, of(false, around(4, 8, 2)...), only), slo.Restart).Change)
	m := measure(t, compared(t, base, of(true, 30, 30, 30, 30, 30, 30, 30, 30), only), slo.Restart)
	assert.Equal(t, Worse, m.Change)
	assert.Nil(t, m.New, "its median is not known")
	assert.Equal(t, CannotTell, measure(t, compared(t, runOf(2), base, only), slo.Restart).Change)
}
