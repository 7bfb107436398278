package scenarios

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/slo"
)

// crash is quick with the process of one node killed, which the fake system's
// supervisor starts again, or not.
func crash(within string) *Spec {
	s := quick()
	s.Faults = []FaultSpec{{Kind: "process-crash", Params: map[string]string{"node": "us-east-1-1", "within": within}, Until: &Until{}}}
	s.Objectives[slo.Restart] = "< 1.5 s"
	return s
}

// kinds of the events about the crash, in order, from its beginning to its undoing.
func (r *recorder) crashStory() (kinds []string, last string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if slices.Contains([]string{history.FaultAsked, history.NodeReady, history.NodeNotReady, history.FaultUndone}, e.Kind) {
			kinds = append(kinds, e.Kind)
			if e.Kind == history.NodeNotReady {
				last = e.Detail
			}
		}
	}
	return kinds, last
}

func TestANodeThatComesBackByItself(t *testing.T) {
	t.Parallel()
	o := runQuick(t.Context(), t, crash("1s"), &fakeSystem{takeover: 200 * time.Millisecond, supervised: "us-east-1-1", comesBack: 400 * time.Millisecond})
	require.NoError(t, o.err)
	assert.Equal(t, slo.Met, o.res.Verdict, "%s %v", o.res.Summary, o.res.Problems)
	assert.Equal(t, "us-east-1-1", o.rec.find(history.FaultAsked).Fields["comes_back"])
	c := o.res.Trials[0].Measures.Restart
	require.NotNil(t, c)
	assert.False(t, c.Censored)
	assert.GreaterOrEqual(t, c.Value, 0.4)
	assert.Greater(t, c.Value, c.Lower, "between two looks")
	assert.Positive(t, c.Lower)
	story, _ := o.rec.crashStory()
	assert.Equal(t, []string{"fault-asked", "node-not-ready", "node-not-ready", "node-ready", "node-ready", "fault-undone"}, story, "the first look, the last one in vain, the first one that is good and the last one")
}

// That it started, and says that it is ready, is not enough.
func TestANodeThatOnlySaysThatItIsBack(t *testing.T) {
	t.Parallel()
	o := runQuick(t.Context(), t, crash("1s"), &fakeSystem{takeover: 200 * time.Millisecond, supervised: "us-east-1-1", comesBack: 300 * time.Millisecond, pretends: true})
	require.NotNil(t, o.res, "%v", o.err)
	assert.Equal(t, slo.Missed, row(t, o.res, slo.Restart).Verdict, "%v", o.res.Objectives)
	c := o.res.Trials[0].Measures.Restart
	require.NotNil(t, c)
	assert.True(t, c.Censored)
	_, last := o.rec.crashStory()
	assert.Equal(t, "ready, and does not answer clients: reset", last)
	assert.False(t, o.rec.has(history.NodeReady))
}

// What the undoing of the fault starts did not come back by itself.
func TestANodeThatTheHarnessStarts(t *testing.T) {
	t.Parallel()
	o := runQuick(t.Context(), t, crash("1s"), &fakeSystem{takeover: 200 * time.Millisecond, supervised: "us-east-1-1", comesBack: -1})
	require.NoError(t, o.err)
	assert.Equal(t, slo.Missed, o.res.Verdict, "%s %v", o.res.Summary, o.res.Problems)
	assert.Equal(t, slo.Missed, row(t, o.res, slo.Restart).Verdict)
	assert.Equal(t, slo.Met, row(t, o.res, slo.Failover).Verdict, "the others went on")
	c := o.res.Trials[0].Measures.Restart
	require.NotNil(t, c)
	assert.True(t, c.Censored)
	assert.GreaterOrEqual(t, c.Value, 1.5, "to the end of the load")
	assert.False(t, o.rec.has(history.NodeReady))
	assert.NotEmpty(t, o.res.Trials[0].Faults[0].Undone)
}

// The undoing leaves it alone for as long as the fault says.
func TestAFaultIsNotUndoneBeforeTheNodeHadItsTime(t *testing.T) {
	t.Parallel()
	s := crash("5s")
	s.Faults[0].Until, s.Faults[0].For = nil, dur(100*time.Millisecond)
	o := runQuick(t.Context(), t, s, &fakeSystem{takeover: 200 * time.Millisecond, supervised: "us-east-1-1", comesBack: 600 * time.Millisecond})
	require.NoError(t, o.err)
	assert.Equal(t, slo.Met, o.res.Verdict, "%s %v", o.res.Summary, o.res.Problems)
	require.NotNil(t, o.res.Trials[0].Measures.Restart)
	assert.GreaterOrEqual(t, o.res.Trials[0].Measures.Restart.Value, 0.6)
	story, _ := o.rec.crashStory()
	assert.Equal(t, "fault-undone", story[len(story)-1])
}

// Who interrupts a run does not wait for the node.
func TestAnInterruptDoesNotWaitForTheNode(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	rec := &recorder{onEvent: func(e history.Event) {
		if e.Kind == history.NodeNotReady {
			cancel()
		}
	}}
	began := time.Now()
	o := runOnce(ctx, t, crash("5m"), &fakeSystem{takeover: 200 * time.Millisecond, supervised: "us-east-1-1", comesBack: -1}, func(o *Options) { o.Progress = rec })
	require.ErrorIs(t, o.err, ErrInterrupted)
	assert.Less(t, time.Since(began), 30*time.Second)
	assert.True(t, rec.has(history.FaultUndone))
}
