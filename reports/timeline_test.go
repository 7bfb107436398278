package reports

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/slo"
)

func TestColumnsKeepTheWorst(t *testing.T) {
	slices := timeline(0, 36000, -1, 0)
	slices[17_001].Good, slices[17_001].Bad, slices[17_002].WriteP99 = 3, 19_000, 777
	cols := columns(slices, 0, 36000)
	require.LessOrEqual(t, len(cols), maxColumns)
	low, bad, slow := math.Inf(1), 0.0, 0.0
	for i, c := range cols {
		if i > 0 {
			require.Equal(t, cols[i-1].to, c.from, "no time is left out")
		}
		low, bad, slow = min(low, c.served), max(bad, c.bad), max(slow, c.writeP99)
	}
	assert.Equal(t, []float64{3, 19_000, 777}, []float64{low, bad, slow})
	assert.InDelta(t, 20000, cols[9].offered, 50)
	assert.Len(t, columns(slices, 100, 160), 60, "a short view keeps its seconds")
}

func TestViews(t *testing.T) {
	assert.Len(t, views(met()), 1)
	assert.True(t, views(met())[0].fromFault)
	assert.False(t, views(noFault())[0].fromFault)
	vs := views(trials())
	require.Len(t, vs, 2)
	assert.Equal(t, "Around the fault of trial 17, the one with the longest failover", vs[0].title)
	assert.Equal(t, []float64{970, 1013}, []float64{vs[0].from, vs[0].to}, "the load of trial 17, to the undoing of its fault")
	r := met()
	r.Timeline = timeline(0, 3600, 26, 4)
	vs = views(r)
	require.Len(t, vs, 2, "an hour: the surroundings of the fault, and all")
	assert.Less(t, vs[0].to-vs[0].from, longRun)
	assert.Empty(t, views(&slo.Result{}))
}

func TestUndoingCountsFromTheUndoing(t *testing.T) {
	r := met()
	f := &r.Trials[0].Faults[0]
	f.Undo = outage(f.UndoneS.Value, 10, 0.87)
	figs, err := outageFigures(&r.Trials[0], "")
	require.NoError(t, err)
	require.Len(t, figs, 2)
	for i, want := range []string{sinceAsked, sinceUndone} {
		d := figs[i].Drawings[0]
		assert.Contains(t, string(d.Body), want)
		assert.Contains(t, d.Spots[0].Text, "from T-0.03 s", figs[i].Title)
	}
}

// A second that the load fills in part is no drop of the served rate.
func TestSecondsAtTheEndsAreNoDrop(t *testing.T) {
	r := met()
	last := &r.Timeline[len(r.Timeline)-1]
	last.Intended, last.Good = 12, 12
	fig, cols, err := timelineFigure(r, views(r)[0])
	require.NoError(t, err)
	assert.Contains(t, fig.Desc, "lowest served rate was 4,005 of 20,025 operations a second, in the second from T-0.4 s on")
	assert.Contains(t, fig.Note, "not full")
	assert.False(t, cutShort(cols[:len(cols)-1]))
}
