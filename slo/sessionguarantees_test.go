package slo

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures/histories"
	"github.com/fivenines/fivenines/loadgen/history"
)

// The quantile is that of all eventual reads, of which most are not stale, by
// nearest rank on the whole list.
func TestStalenessQuantile(t *testing.T) {
	for _, reads := range []int{1, 2, 99, 100, 101, 250, 1000} {
		for stale := range 12 {
			if stale > reads {
				continue
			}
			tr := &trial{cfg: &Config{}}
			tr.safety.eventual.Reads = reads
			all := make([]float64, reads-stale)
			for i := range stale {
				d := time.Duration(stale-i) * time.Second
				tr.safety.eventual.Staleness = append(tr.safety.eventual.Staleness, d)
				all = append(all, d.Seconds())
			}
			slices.Sort(all)
			tr.measureEventual()
			rank := int(math.Ceil(0.99 * float64(reads)))
			require.Equal(t, &Stale{P99: all[rank-1], Max: all[reads-1]}, tr.m.Staleness, "%d of %d", stale, reads)
		}
	}
}

// Nobody is shown operations that break a promise that nobody made; what was
// measured is in the table all the same.
func TestGuaranteesThatNobodyAskedFor(t *testing.T) {
	h, err := histories.Load("all-measures-replicas-bad")
	require.NoError(t, err)
	for _, name := range []string{ReadYourWrites, MonotonicReads, Staleness} {
		delete(h.Rules, name)
	}
	r, err := analyze(recordOf(h), configOf(t, h))
	require.NoError(t, err)
	for name, want := range map[string]float64{ReadYourWrites: 1, MonotonicReads: 2, Staleness: 1.78} {
		o := objective(r, name)
		assert.Equal(t, NotEvaluated, o.Verdict, name)
		require.NotNil(t, o.Measured, name)
		assert.InDelta(t, want, o.Measured.Value, 1e-9, name)
		assert.False(t, slices.ContainsFunc(r.Examples, func(e Example) bool { return slices.Contains(Checks(name), e.Check) }), name)
	}
	h, err = histories.Load("region-loss-good")
	require.NoError(t, err)
	r, err = analyze(recordOf(h), configOf(t, h))
	require.NoError(t, err)
	for _, name := range []string{ReadYourWrites, MonotonicReads, Staleness, ReplayGaps, CrossSession} {
		o := objective(r, name)
		assert.Equal(t, NotEvaluated, o.Verdict, name)
		assert.Nil(t, o.Measured, "%s: where nothing was done, nothing was measured", name)
	}
}

// Eventual reads and events are nobody's availability and no part of a failover,
// however bad they are; events are no load at all.
func TestEventualReadsAndEventsAreNoAvailability(t *testing.T) {
	h, err := histories.Load("region-loss-good")
	require.NoError(t, err)
	measured := func(h *histories.History) (Measures, Load) {
		r, err := analyze(recordOf(h), configOf(t, h))
		require.NoError(t, err)
		m := r.Trials[0].Measures
		m.EventualReads, m.Staleness, m.StreamEvents = 0, nil, 0
		return m, r.Load
	}
	want, load := measured(h)
	both := changed(h, nil, nil, nil)
	for i := range 100 {
		at := 14*time.Second + time.Duration(i)*50*time.Millisecond
		read := history.Op{Intended: at, Start: at, End: at + time.Second, Session: 2, Region: 1, Kind: history.Read, Class: history.Eventual, Node: history.NoNode, Outcome: history.Unknown, Cause: history.Timeout}
		event := history.Op{Intended: at, Start: at, End: at, Session: 2, Kind: history.Deliver, Class: history.Stream, Node: history.NoNode, Outcome: history.OK, Seq: uint32(i + 1)}
		both.Trials[1] = append(both.Trials[1], read, event)
	}
	got, more := measured(both)
	assert.Equal(t, want, got)
	assert.Equal(t, load.Intended+100, more.Intended, "the reads are load, the events are none")
	assert.Equal(t, load.OK, more.OK)
}

// What was not done is said.
func TestGuaranteesWithoutEvidence(t *testing.T) {
	for name, want := range map[string]map[string]string{
		"no-eventual-bad": {
			ReadYourWrites: "no eventual read got an answer", MonotonicReads: "no eventual read got an answer", Staleness: "no eventual read got an answer",
		},
		"no-own-reads-bad": {
			ReadYourWrites: "no eventual read began after a write of its session's writer", MonotonicReads: "no eventual read began after an earlier one of its session",
		},
		"no-stream-bad": {ReplayGaps: "no stream delivered an event", CrossSession: "no stream delivered an event"},
	} {
		rec, cfg := load(t, name)
		r, err := analyze(rec, cfg)
		require.NoError(t, err)
		for row, text := range want {
			assert.Equal(t, Inconclusive, objective(r, row).Verdict)
			assert.Contains(t, objective(r, row).Evidence, text)
		}
	}
}

// Statistics over trials take these rows from each trial as the table does.
func TestGuaranteesOfATrial(t *testing.T) {
	tr := &trial{n: 3, m: Measures{
		ReadYourWrites: 1, NonMonotonic: 2, Staleness: &Stale{P99: 3, Max: 4}, ReplayGaps: 5, Misordered: 6, RepeatedEvents: 7,
		CrossSession: 8, PhantomEvents: 9, CorruptEvents: 10,
	}}
	for name, want := range map[string]float64{ReadYourWrites: 1, MonotonicReads: 2, Staleness: 4, ReplayGaps: 18, CrossSession: 27} {
		v, ok := tr.valueOf(name)
		assert.True(t, ok, name)
		assert.Equal(t, Trialed{Trial: 3, Value: want}, v, name)
	}
	_, ok := (&trial{}).valueOf(Staleness)
	assert.False(t, ok)
	require.NoError(t, tr.ops.add(&history.Op{End: 7}))
	assert.EqualValues(t, 7, tr.recordEnd())
	tr.events = []history.Event{{At: 9}}
	assert.EqualValues(t, 9, tr.recordEnd())
}
