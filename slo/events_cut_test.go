package slo

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures/histories"
	"github.com/fivenines/fivenines/loadgen/history"
)

// A record whose events were cut off while its operations go on misses nothing by
// what the missing events would have ended; wherever the cut is.
func TestEventsThatAreMissingMissNoTime(t *testing.T) {
	const name = "region-loss-good"
	h, err := histories.Load(name)
	require.NoError(t, err)
	whole, err := analyze(recordOf(h), configOf(t, h))
	require.NoError(t, err)
	require.Equal(t, Met, whole.Verdict, whole.Summary)
	asked := slices.IndexFunc(h.Events, func(e history.Event) bool { return e.Kind == history.FaultAsked })
	require.Positive(t, asked)
	for cut := asked + 1; cut < len(h.Events); cut++ {
		c := *h
		c.Events = slices.Clone(h.Events[:cut])
		// Clients go on for as long as the system would have had to recover.
		c.Trials = map[int][]history.Op{}
		for n, ops := range h.Trials {
			c.Trials[n] = slices.Clone(ops)
			last := ops[len(ops)-1]
			last.Intended += time.Minute
			last.Start += time.Minute
			last.End += time.Minute
			last.Outcome = history.Failed
			c.Trials[n] = append(c.Trials[n], last)
		}
		r, err := analyze(recordOf(&c), configOf(t, &c))
		require.NoError(t, err)
		assert.Equal(t, Inconclusive, r.Verdict, "%d of %d events: %s", cut, len(h.Events), r.Summary)
		assert.Contains(t, strings.Join(r.Problems, "\n"), "the record lacks events")
	}
}
