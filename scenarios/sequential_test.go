package scenarios

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/slo"
)

// Trials go on until the objective is decided, either way, and no further.
func TestTrialsGoOnUntilTheyDecide(t *testing.T) {
	for name, c := range map[string]struct {
		takeover  time.Duration
		objective string
		verdict   slo.Verdict
		trials    int
		max       int
	}{
		// At 5 % three clean trials are enough to bound a fifth, two bad ones against nine tenths.
		"met":    {300 * time.Millisecond, "p20 < 1.5 s", slo.Met, 3, 12},
		"missed": {-1, "p90 < 1.5 s", slo.Missed, 2, 12},
		"budget": {300 * time.Millisecond, "p99 < 1.5 s", slo.Inconclusive, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := quick()
			s.MaxTrials = c.max
			s.Objectives = map[string]string{slo.Failover: c.objective}
			o := runQuick(t.Context(), t, s, &fakeSystem{takeover: c.takeover})
			require.NoError(t, o.err)
			assert.Equal(t, c.verdict, o.res.Verdict, o.res.Summary)
			valid := 0
			for i := range o.res.Trials {
				if len(o.res.Trials[i].Void) == 0 { // a busy machine makes some void
					valid++
				}
			}
			if valid == len(o.res.Trials) {
				assert.Equal(t, c.trials, valid, o.res.Summary)
			} else if c.max > c.trials {
				assert.GreaterOrEqual(t, valid, c.trials, o.res.Summary)
			}
			require.NotNil(t, o.res.Statistics)
			assert.True(t, o.res.Statistics.Sequential)
			again, err := Analyze(o.out)
			require.NoError(t, err)
			assert.Equal(t, o.res, again)
		})
	}
}

// One trial in which the system was not well before the fault does not end a
// run of several.
func TestTrialThatWasNotWellIsVoid(t *testing.T) {
	t.Parallel()
	s := quick()
	s.Trials = 3
	delete(s.Objectives, slo.Capacity) // which it misses
	o := runQuick(t.Context(), t, s, &fakeSystem{takeover: 300 * time.Millisecond, unwell: 2})
	require.NoError(t, o.err)
	assert.Equal(t, 2, o.rec.count(history.FaultProved))
	e := o.rec.find(history.TrialVoid)
	require.NotNil(t, e)
	assert.Equal(t, 2, e.Trial)
	require.Len(t, o.res.Trials, 3)
	assert.NotEmpty(t, o.res.Trials[1].Void)
	assert.Empty(t, o.res.Trials[0].Void)
	assert.Equal(t, slo.Inconclusive, o.res.Verdict, "one of three is too many")
}

func TestMaxTrialsNeedAnObjectiveThatDecides(t *testing.T) {
	s := quick()
	s.MaxTrials = 5
	assert.ErrorContains(t, s.ValidateBy("x.yaml", quickRules()), "max_trials: no objective bounds a quantile")
	s.Objectives[slo.Failover] = "p90 < 5 s"
	assert.NoError(t, s.ValidateBy("x.yaml", quickRules()))
	s.Trials = 6
	assert.ErrorContains(t, s.ValidateBy("x.yaml", quickRules()), "max_trials: 5 is not from 6 (trials)")
	s.Trials, s.Objectives[slo.RPO] = 1, "default"
	assert.NoError(t, s.ValidateBy("x.yaml", quickRules()))
	var rpo slo.Target
	for _, target := range s.Config().Objectives {
		if target.Name == slo.RPO {
			rpo = target
		}
	}
	assert.Equal(t, DefaultRules().Defaults[slo.RPO], rpo.String())
}
