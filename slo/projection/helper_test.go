package projection

import (
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/slo/stats"
)

func project(t testing.TB, m *Model, measured Measured, o Options) *Projection {
	t.Helper()
	p, err := Project(m, measured, o)
	require.NoError(t, err)
	return p
}

// trials of one fault each.
func trials(seconds ...float64) []Trial {
	var out []Trial
	for _, s := range seconds {
		out = append(out, Trial{Down: []stats.Duration{{Seconds: s}}, Undo: []stats.Duration{{}}})
	}
	return out
}

// sampleTrials draws trials from a distribution.
func sampleTrials(r *rand.Rand, n int, draw func(*rand.Rand) float64) []Trial {
	out := make([]float64, n)
	for i := range out {
		out[i] = draw(r)
	}
	return trials(out...)
}

// plain is a model with nothing but the given classes: no tail, no overlaps.
func plain(classes ...Class) *Model {
	for i := range classes {
		c := &classes[i]
		if c.Repair == (Span{}) {
			c.Repair = Constant(0)
		}
		if c.Parts == "" {
			c.Parts = WholeService
		}
		if c.Sources == nil {
			c.Sources = []Source{{Title: "a test", Derived: "by hand"}}
		}
	}
	return &Model{Schema: Schema, Rules: Rules{ByHand: Constant(1800), Overlap: OverlapIgnored}, Classes: classes}
}

// measuredDefaults are trials as the reference platform might give them.
func measuredDefaults(n int) Measured {
	r := rand.New(rand.NewPCG(1, 2))
	around := func(s float64) []Trial {
		out := sampleTrials(r, n, func(r *rand.Rand) float64 { return s * (0.7 + 0.6*r.Float64()) })
		for i := range out {
			out[i].Undo = []stats.Duration{{Seconds: 0.3 * r.Float64()}}
		}
		return out
	}
	return Measured{
		"node-crash": around(2.5), "node-pause": around(2), "region-loss": around(4), "region-crash": around(3),
		"region-partition": around(4), "power-loss": around(12),
	}
}

// processorTime that this process has had, in seconds: a machine that does other
// things too makes the time on the clock say little.
func processorTime(t testing.TB) float64 {
	t.Helper()
	var u syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

func BenchmarkProject(b *testing.B) {
	for _, workers := range []int{1, 2} {
		b.Run(map[int]string{1: "one-core", 2: "two-cores"}[workers], func(b *testing.B) {
			m, measured := Default(), measuredDefaults(30)
			before := processorTime(b)
			for b.Loop() {
				project(b, m, measured, Options{Workers: workers})
			}
			b.ReportMetric((processorTime(b)-before)/float64(b.N), "cpu-s/op")
		})
	}
}

func BenchmarkYears(b *testing.B) {
	m, measured := Default(), measuredDefaults(30)
	o, err := Options{}.withDefaults()
	require.NoError(b, err)
	p, err := newPlan(m, measured, &o)
	require.NoError(b, err)
	e := engine{plan: p, blocks: 500, workers: 1}
	before := processorTime(b)
	defer func() { b.ReportMetric((processorTime(b)-before)/float64(b.N), "cpu-s/op") }()
	for b.Loop() {
		e.run(mode{trials: asSample, more: 1}, 200, unchanged)
	}
}
