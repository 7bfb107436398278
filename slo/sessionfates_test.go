package slo

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures/histories"
	"github.com/fivenines/fivenines/loadgen/history"
)

// Sessions by their ends, one of each that the whole histories lack.
const closings = `
want verdict=met
manifest partitions=1 rps=4 sessions=5
rules hold=2 grace=1 window=1 success=0.999
event 0.01 trial-started
event 1 load-started phase=main
event 20 load-stopped phase=main
event 22 readback-start region=us-east-1 phase=after-undo
event 23 readback-end region=us-east-1 phase=after-undo
event 24 run-finished
# Closed.
op 0.1 +0.05 s1 create 1
op 2 +0.05 s1 close 1
# A close that got no answer, and it is gone.
op 0.1 +0.05 s2 create 1
op 2 3 s2 close unknown cause=timeout
op 22.1 +0.01 s2 read-back absent
# A close that got no answer, and did nothing.
op 0.1 +0.05 s3 create 1
op 2 3 s3 close unknown cause=timeout
op 22.1 +0.01 s3 read-back 1
# Expired.
op 0.1 +0.05 s4 create 1 ttl=5
op 22.1 +0.01 s4 read-back absent
# Never acknowledged: not one of the sessions.
op 0.1 1.1 s5 create 1 unknown cause=timeout
op 22.1 +0.01 s5 read-back absent
`

func TestSessionFates(t *testing.T) {
	h, err := histories.Parse("closings", closings)
	require.NoError(t, err)
	r, err := analyze(recordOf(h), configOf(t, h))
	require.NoError(t, err)
	assert.Equal(t, &SessionFates{Closed: 2, Expired: 1, Kept: 1}, r.Trials[0].Measures.SessionFates)
}

// Whatever happened, the fates add up to the sessions, and the regions of a
// second to the second.
func TestPartsAddUp(t *testing.T) {
	regions, several := 0, 0
	for _, name := range histories.Names() {
		h, err := histories.Load(name)
		require.NoError(t, err)
		r, err := analyze(recordOf(h), configOf(t, h))
		require.NoError(t, err)
		for i := range r.Trials {
			m := &r.Trials[i].Measures
			if m.SessionFates == nil { // a trial of which nothing was judged
				assert.Zero(t, m.Sessions, name)
				continue
			}
			assert.Equal(t, m.Sessions, m.SessionFates.Sum(), name)
			assert.Equal(t, []int{m.SessionsLost, m.Regressed}, []int{m.SessionFates.Lost, m.SessionFates.Regressed}, name)
			assert.LessOrEqual(t, m.SessionFates.Disrupted, m.Disrupted, name)
		}
		for i := range r.Timeline {
			s := &r.Timeline[i]
			if s.Regions == nil {
				continue
			}
			several++
			sum := Slice{}
			for _, g := range s.Regions {
				assert.Equal(t, g.Intended, g.Good+g.Bad, name)
				sum.Intended, sum.Good, sum.Bad = sum.Intended+g.Intended, sum.Good+g.Good, sum.Bad+g.Bad
				sum.ReadP99, sum.WriteP99 = max(sum.ReadP99, g.ReadP99), max(sum.WriteP99, g.WriteP99)
				if g.Bad > 0 {
					regions++
				}
			}
			assert.Equal(t, []int{s.Intended, s.Good, s.Bad}, []int{sum.Intended, sum.Good, sum.Bad}, "%s, second %d", name, s.Second)
			assert.LessOrEqual(t, s.ReadP99, sum.ReadP99, "%s, second %d", name, s.Second)
			assert.LessOrEqual(t, s.WriteP99, sum.WriteP99, "%s, second %d", name, s.Second)
		}
	}
	assert.Positive(t, several, "no history has clients in several regions")
	assert.Positive(t, regions, "no region had anything bad")
}

// By hand, of region-breakdown-good: at second 7 only the third region suffers.
func TestTimelineByRegion(t *testing.T) {
	h, err := histories.Load("region-breakdown-good")
	require.NoError(t, err)
	r, err := analyze(recordOf(h), configOf(t, h))
	require.NoError(t, err)
	for _, s := range r.Timeline {
		if s.Second != 7 {
			continue
		}
		assert.Equal(t, []RegionSlice{
			{Region: "us-east-1", Intended: 2, Good: 2, ReadP50: 10, ReadP99: 10, WriteP50: 20, WriteP99: 20},
			{Region: "eu-west-1", Intended: 1, Good: 1, ReadP50: 10, ReadP99: 10},
			{Region: "ap-southeast-1", Intended: 2, Bad: 2, ReadP50: 500, ReadP99: 500, WriteP50: 1000, WriteP99: 1000},
		}, s.Regions)
		return
	}
	t.Fatal("there is no second 7")
}

// A hundred trials have more events than a picture shows: of each the first of a kind stays.
func TestMarksTellOfEveryTrial(t *testing.T) {
	var events []history.Event
	for trial := 1; trial <= 100; trial++ {
		for i := range 50 {
			kind := history.Elected
			if i%10 == 0 {
				kind = []string{history.FaultAsked, history.Detected, "alert-sent", history.Promoted, "full-service"}[i/10]
			}
			events = append(events, history.Event{At: time.Duration(trial*1000+i) * time.Millisecond, Trial: trial, Kind: kind, Source: "x"})
		}
	}
	ms := marks(events)
	assert.Len(t, ms, 300+94*6, "the first six trials, and six kinds of each later one")
	assert.True(t, slices.IsSortedFunc(ms, func(a, b Mark) int { return cmp.Compare(a.AtS, b.AtS) }))
	last := ms[len(ms)-6:]
	assert.Equal(t, []string{history.FaultAsked, history.Elected, history.Detected, "alert-sent", history.Promoted, "full-service"},
		[]string{last[0].Kind, last[1].Kind, last[2].Kind, last[3].Kind, last[4].Kind, last[5].Kind})
	var many []history.Event
	for i := range 9000 {
		many = append(many, history.Event{Trial: i, Kind: fmt.Sprint(i)})
	}
	assert.Len(t, marks(many), maxMilestones)
}
