package slo

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/slo/projection"
	"github.com/fivenines/fivenines/slo/stats"
)

// crashes is a run of trials of a scenario, with outages of so many seconds.
func crashes(scenario string, v Verdict, seconds ...float64) *Result {
	r := &Result{Scenario: scenario, Target: "reference", Backend: "process", Verdict: v}
	for _, s := range seconds {
		r.Trials = append(r.Trials, Trial{Faults: []FaultRecord{{Failover: &Outage{Value: s, N: 1}, Undo: &Outage{}}}})
	}
	return r
}

func oneClass(t *testing.T) *projection.Model {
	t.Helper()
	m, err := projection.Parse("rates.yaml", []byte(`
schema: fivenines/rates/v1
name: test
rules: {by_hand: {value: 1h}, overlap: ignored}
classes:
  - name: node-crash
    description: A node crashes.
    scenario: node-crash
    parts: node
    rate_per_year: 3
    repair: {value: 1m}
    sources: [{title: A test, year: 2026, url: "https://example.org", says: So., derived: Nothing.}]
`))
	require.NoError(t, err)
	return m
}

func many(n int, s float64) []float64 {
	var out []float64
	for range n {
		out = append(out, s)
	}
	return out
}

func TestVerify(t *testing.T) {
	m := oneClass(t)
	o := projection.Options{Years: 5000, Seed: 1}
	for name, c := range map[string]struct {
		runs    []*Result
		verdict Verdict
		says    string
	}{
		"met":                {[]*Result{crashes("node-crash", Met, many(60, 2)...), crashes("baseline", Met)}, Met, "Met: 2 scenarios. "},
		"slow":               {[]*Result{crashes("node-crash", Met, many(60, 60)...)}, Missed, "Missed by the projection. "},
		"a scenario missed":  {[]*Result{crashes("node-crash", Met, many(60, 2)...), crashes("power-loss", Missed, 1)}, Missed, "Missed in power-loss. "},
		"a scenario is open": {[]*Result{crashes("node-crash", Inconclusive, many(60, 2)...)}, Inconclusive, "Inconclusive in node-crash. "},
		"not measured":       {[]*Result{crashes("region-loss", Met, 2)}, Inconclusive, "Inconclusive: "},
	} {
		v, err := Verify(c.runs, make([]string, len(c.runs)), m, o)
		require.NoError(t, err, name)
		assert.Equal(t, c.verdict, v.Verdict, "%s: %s", name, v.Summary)
		assert.Contains(t, v.Summary, c.says, name)
		assert.Len(t, v.Scenarios, len(c.runs))
	}
	_, err := Verify(nil, nil, m, o)
	assert.Error(t, err)
	other := crashes("node-crash", Met, 2)
	other.Mutant = "no-failover"
	_, err = Verify([]*Result{crashes("node-crash", Met, 2), other}, []string{"a", "b"}, m, o)
	assert.ErrorContains(t, err, "a and b are not runs of the same system")
}

// What the projection takes from a run: every fault's and undoing's outage,
// censored ones as such, nothing of void trials or of trials without a fault.
func TestDowntimes(t *testing.T) {
	r := crashes("node-crash", Met, 2, 3)
	r.Trials[0].Faults = append(r.Trials[0].Faults, FaultRecord{Failover: &Outage{Value: 7, Censored: true}})
	r.Trials[1].Void = []string{"unproved"}
	r.Trials = append(r.Trials, Trial{})
	assert.Equal(t, []projection.Trial{{
		Down: []stats.Duration{{Seconds: 2}, {Seconds: 7, Censored: true}}, Undo: []stats.Duration{{}},
	}}, r.Downtimes())
}

// The trials of one run, named twice or copied, are not twice as many.
func TestVerifyRefusesTheSameRunTwice(t *testing.T) {
	m, o := oneClass(t), projection.Options{Years: 5000, Seed: 1}
	run := func(seed int64, at time.Time) *Result {
		r := crashes("node-crash", Met, 2)
		r.Seed, r.Started = seed, at
		return r
	}
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	_, err := Verify([]*Result{run(1, at), run(2, at), run(1, at.Add(time.Minute))}, []string{"a", "b", "c"}, m, o)
	require.NoError(t, err)
	_, err = Verify([]*Result{run(1, at), run(2, at), run(1, at.In(time.Local))}, []string{"a", "b", "c"}, m, o)
	require.EqualError(t, err, "a and c are the same run, whose trials would count twice; leave one out")
}
