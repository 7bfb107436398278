package gameday

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/slo"
)

// outcomeOf is a result with one trial for each failover.
func outcomeOf(v slo.Verdict, lost int, failovers ...float64) *slo.Result {
	r := &slo.Result{Scenario: "node-crash", Verdict: v, Summary: string(v)}
	for _, f := range failovers {
		r.Trials = append(r.Trials, slo.Trial{Measures: slo.Measures{LostWrites: lost, Failover: &slo.Outage{Value: f}, RPO: &slo.Value{}}})
	}
	r.Objectives = []slo.Objective{{Name: slo.Failover, Verdict: v}, {Name: slo.LostWrites, Verdict: slo.Met}}
	return r
}

func TestRegressions(t *testing.T) {
	calm := func(n int) (out []*slo.Result) {
		for i := range n {
			out = append(out, outcomeOf(slo.Met, 0, 2+float64(i%4)/20))
		}
		return out
	}
	met := func(f ...float64) *slo.Result { return outcomeOf(slo.Met, 0, f...) }
	r := Regression{Margin: 20}
	for _, c := range []struct {
		name     string
		previous []*slo.Result
		now      *slo.Result
		want     string
	}{
		{"the first run has nothing to be worse than", nil, outcomeOf(slo.Missed, 1, 9), ""},
		{"the same", calm(10), met(2.05), ""},
		{"met, now missed", calm(1), outcomeOf(slo.Missed, 0, 9), "failover: met before, now missed"},
		{"missed before is not worse", []*slo.Result{outcomeOf(slo.Missed, 0, 9)}, outcomeOf(slo.Missed, 0, 9), ""},
		{"what said nothing is passed over", []*slo.Result{outcomeOf(slo.Inconclusive, 0, 2), met(2)}, outcomeOf(slo.Missed, 0, 9), "failover: met before, now missed"},
		{"a first loss", calm(3), outcomeOf(slo.Met, 1, 2), "lost-writes 1, before 0"},
		{"a single slow run shows nothing", calm(20), met(4), ""},
		{"a slow run of several trials does", calm(20), met(4, 4.1, 4.2, 4.3), "failover 4.1 s, before 2.05 s"},
		{"but not within the margin", calm(20), met(2.2, 2.21, 2.22, 2.23), ""},
		{"faster is not worse", calm(20), met(1, 1, 1, 1), ""},
		{"five slow ones in a row", append([]*slo.Result{met(4), met(4.1), met(4.2), met(4.3)}, calm(10)...), met(4.4), "failover 4.2 s, before 2.05 s over the last 5 runs"},
		{"four in a row are one too few", append([]*slo.Result{met(4.1), met(4.2), met(4.3)}, calm(6)...), met(4.4), ""},
	} {
		got, err := r.worse(c.previous, c.now)
		require.NoError(t, err, c.name)
		assert.Equal(t, c.want, got, c.name)
	}
	got, err := Regression{Margin: 20, Measures: []string{slo.RPO}}.worse(calm(3), outcomeOf(slo.Met, 1, 2))
	require.NoError(t, err)
	assert.Empty(t, got, "only what is asked for")
	got, err = Regression{Margin: 20, Measures: []string{slo.LostWrites}}.worse(calm(9), outcomeOf(slo.Met, 1, 2))
	require.NoError(t, err)
	assert.Equal(t, "lost-writes 1, before 0", got, "a count alone has no part in the last runs together")
}
