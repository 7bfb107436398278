package reports

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/slo"
)

func textOf(t *table) string {
	var b strings.Builder
	line := func(cs []cell) {
		for i, c := range cs {
			if i > 0 {
				b.WriteString(" | ")
			}
			b.WriteString(c.Text)
		}
		b.WriteString("\n")
	}
	line(t.Head)
	for _, r := range t.Rows {
		line(r)
	}
	return b.String()
}

// Counts are added up over the trials, of outages the longest is named, and a
// column without anything in it is left out.
func TestPlacesOverTrials(t *testing.T) {
	r := trials()
	r.Trials = r.Trials[:3]
	r.Trials[1].Regions[1].Fates.StaleReads, r.Trials[1].Regions[1].Fates.CorruptReads = 2, 1
	r.Trials[1].Regions[1].Outages[0].Value, r.Trials[1].Regions[1].Outages[0].Censored = 11, true
	r.Trials[2].Regions[1].Read = &slo.Latency{P50: 5000, P99: 6000, P999: 7000, Max: 8000}
	text := textOf(regionsTable(r))
	assert.Contains(t, text, "Clients in | us-east-1 | eu-west-1\n")
	assert.Contains(t, text, "Operations | 1,920,000 | 480,000\n")
	assert.Contains(t, text, "Unavailable | 12 s | 9 s\n")
	assert.Contains(t, text, "| at least 11 s (trial 2)\n")
	assert.Contains(t, text, "Reads, median | 0.7 ms | 5 s\n")
	assert.Contains(t, text, "Wrong reads | 0 | 3\n")
	assert.NotContains(t, text, "Lost")

	assert.Equal(t, "none", (&corner{intended: 1}).outageText(r))
	assert.Empty(t, (&corner{}).outageText(r), "nobody looked")
	var c corner
	c.out(3, false, 1)
	c.out(3, true, 2)
	c.out(2, true, 3)
	assert.Equal(t, "at least 3 s (trial 2)", c.outageText(r), "of two as long the one that did not end")

	r.Trials[2].Partitions[4].Fates.SessionsLost = 6
	tab := shardsTable(r)
	require.Len(t, tab.Rows, 12)
	assert.Contains(t, textOf(tab), "Shard | Operations | Good | Bad | Outages | Longest outage | Sessions | Disrupted | Lost\n")
	row := tab.Rows[4]
	assert.Equal(t, []string{"shard 4", "200,001", "16,296", "3", "12,702", "6"}, []string{row[0].Text, row[1].Text, row[3].Text, row[4].Text, row[6].Text, row[8].Text})
	assert.Equal(t, "num bad", row[8].Class)
	assert.Equal(t, "num", tab.Rows[3][8].Class)

	assert.Contains(t, textOf(spreadTable(r)), "none | 89,400 | 60.57 %\n1 | 57,954 | 39.26 %\n2 | 246 | 0.17 %\n")
	assert.Nil(t, regionsTable(&slo.Result{Trials: []slo.Trial{{}}}))
	assert.Nil(t, shardsTable(&slo.Result{Trials: []slo.Trial{{}}}))
	assert.Nil(t, spreadTable(&slo.Result{Trials: []slo.Trial{{}}}))
}

// A long table shows the worst.
func TestManyShards(t *testing.T) {
	r := met()
	ps := r.Trials[0].Partitions[:0:0]
	for i := range 500 {
		ps = append(ps, slo.PartitionShare{Partition: i, Count: 1, Operations: slo.Operations{Intended: 100, Good: 100}})
	}
	ps[400].Operations.Good = 3
	ps[450].Fates.LostWrites = 1
	ps[470].Outages = []slo.ChangeOutage{{Start: 1, End: 4}}
	ps[499].Count = 90
	r.Trials[0].Partitions = ps
	tab := shardsTable(r)
	assert.Len(t, tab.Rows, maxShards)
	assert.Equal(t, "The worst 96.", tab.Note)
	assert.Contains(t, tab.Caption, "589 shards")
	text := textOf(tab)
	for _, want := range []string{"shard 400 |", "shard 450 |", "shard 470 |"} {
		assert.Contains(t, text, want)
	}
}

// The bars of the phases are as long as they took, one after the other.
func TestSpentPhases(t *testing.T) {
	r := trials()
	all := spentPhases(r)
	require.Len(t, all, 30)
	assert.Equal(t, "trial 17", all[16].name)
	assert.InDelta(t, 4.74, all[16].whole, 1e-9)
	fig := spentFigure(all)
	assert.Contains(t, fig.Desc, "in 30 outages. The longest took 4.74 s (trial 17): detect 1.18 s, elect 1.42 s, route 0.47 s, reconnect 1.67 s.")
	for i, f := range forms {
		type key struct{ y, class string }
		at, long := map[key]float64{}, map[key]float64{}
		for _, s := range fig.Drawings[i].Shapes {
			if s.Kind == "rect" {
				at[key{s.Y, s.Class}], long[key{s.Y, s.Class}] = number(t, s.X), number(t, s.W)
			}
		}
		require.Len(t, at, 120, f.name)
		y := px(16*26 + 4)
		scale := (long[key{y, "phase-1"}] + long[key{y, "phase-2"}] + long[key{y, "phase-3"}] + long[key{y, "phase-4"}]) / 4.74
		for k, took := range map[string]float64{"phase-1": 1.18, "phase-2": 1.416, "phase-3": 0.472, "phase-4": 1.672} {
			assert.InDelta(t, took*scale, long[key{y, k}], 0.2, "%s %s", f.name, k)
		}
		assert.InDelta(t, at[key{y, "phase-1"}]+long[key{y, "phase-1"}], at[key{y, "phase-2"}], 0.11)
		assert.InDelta(t, at[key{y, "phase-3"}]+long[key{y, "phase-3"}], at[key{y, "phase-4"}], 0.11)
	}

	one := spentPhases(missed())
	require.Len(t, one, 1)
	assert.Equal(t, "at least 29.6 s", one[0].total())
	assert.Contains(t, textOf(ptr(spentTable(one))), "| 0.84 s | 28.8 s | - | - | at least 29.6 s\n")
	arrows := 0
	for _, s := range spentFigure(one).Drawings[0].Shapes {
		if s.Class == "op-arrow" {
			arrows++
		}
	}
	assert.Equal(t, 1, arrows)

	for len(r.Trials) < 100 {
		r.Trials = append(r.Trials, r.Trials[len(r.Trials)%30])
	}
	fig = spentFigure(spentPhases(r))
	assert.Equal(t, "The 40 longest of 100.", fig.Note)
	r.Trials[0].Faults[0].Phases.Elect = ptr(math.NaN())
	r.Trials[1].Faults[0].Phases = &slo.Phases{}
	assert.Len(t, spentPhases(r), 96, "trial 2 and its three copies have none")
	assert.NotContains(t, fmt.Sprintf("%+v", spentFigure(spentPhases(r))), "NaN")
}
