package projection

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/integrate/quad"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/fivenines/fivenines/slo/stats"
)

// What the simulation says where the answer is known.

// simulate is the raw years of a model, in blocks of a hundred.
func simulate(t testing.TB, m *Model, measured Measured, o Options, years int) []tally {
	t.Helper()
	o, err := o.withDefaults()
	require.NoError(t, err)
	p, err := newPlan(m, measured, &o)
	require.NoError(t, err)
	e := engine{plan: p, seed: o.Seed, blocks: years / 100, workers: 2}
	return e.run(mode{trials: asSample, more: 1}, 100, unchanged)
}

func yearsOf(run []tally) []float64 {
	var all []float64
	for _, t := range run {
		all = append(all, t.years...)
	}
	return all
}

// near says whether a mean of that many values with that deviation is as expected: within
// 4.5 standard errors, which chance leaves once in 150,000.
func near(t *testing.T, want, got, deviation float64, n int, what string) {
	t.Helper()
	assert.InDelta(t, want, got, 4.5*deviation/math.Sqrt(float64(n))+1e-9*math.Abs(want), what)
}

func probabilityNear(t *testing.T, want, got float64, n int, what string) {
	t.Helper()
	near(t, want, got, math.Sqrt(want*(1-want)), n, what)
}

// Events of constant length: the probability is a Poisson sum.
func TestConstantOutagesArePoisson(t *testing.T) {
	for _, c := range []struct {
		rate, seconds float64
	}{{3, 100}, {1, 200}, {8, 40}, {0.2, 400}} {
		m := plain(Class{Name: "a", Scenario: "s", RatePerYear: c.rate})
		p := project(t, m, Measured{"s": trials(c.seconds, c.seconds, c.seconds)}, Options{Years: 40_000})
		for _, l := range p.Levels {
			k := math.Floor(l.BudgetS / c.seconds)
			want := distuv.Poisson{Lambda: c.rate}.CDF(k)
			probabilityNear(t, want, l.Probability.Value, p.Years, "P")
			// One of ten such intervals misses; none by far.
			slack := 3*math.Sqrt(want*(1-want)/float64(p.Years)) + 1e-12
			assert.True(t, l.Probability.Lower-slack <= want && want <= l.Probability.Upper+slack, "%v holds %v", l.Probability, want)
			assert.Less(t, l.Probability.Upper-l.Probability.Lower, 0.06, "nothing is uncertain but the simulation itself")
		}
		near(t, c.rate*c.seconds, p.Mean.Value, math.Sqrt(c.rate)*c.seconds, p.Years, "mean")
		near(t, c.rate, p.Classes[0].Events, math.Sqrt(c.rate), p.Years, "events")
	}
}

// Exponential outages: mean and variance of the compound Poisson distribution,
// and its mass at 0.
func TestExponentialOutagesAreCompoundPoisson(t *testing.T) {
	const rate, mean = 2.5, 60.0
	m := plain(Class{Name: "a", RatePerYear: rate, Assume: &Assumption{Down: Exponential(mean), Undo: Constant(0), Why: "a test"}})
	years := yearsOf(simulate(t, m, nil, Options{}, 60_000))
	got, variance := stat.MeanVariance(years, nil)
	want := 2 * rate * mean * mean
	near(t, rate*mean, got, math.Sqrt(want), len(years), "mean")
	// The fourth cumulant of compound Poisson is rate E[X^4]: the deviation of the sample variance.
	near(t, want, variance, math.Sqrt(24*rate*math.Pow(mean, 4)+2*want*want), len(years), "variance")
	zero := 0
	for _, y := range years {
		if y == 0 {
			zero++
		}
	}
	probabilityNear(t, math.Exp(-rate), float64(zero)/float64(len(years)), len(years), "years without downtime")
}

// Log-normal outages keep their mean, with the table of their quantiles.
func TestLogNormalKeepsItsMoments(t *testing.T) {
	s, err := LogNormal(60, 600).compile()
	require.NoError(t, err)
	const n = 1 << 20
	sum, worst := 0.0, 0.0
	for i := range n {
		u := (float64(i) + 0.5) / n
		sum += s.at(u)
		if i > n/50 {
			worst = max(worst, math.Abs(s.at(u)/s.quantile(u)-1))
		}
	}
	assert.InEpsilon(t, s.mean, sum/n, 0.003)
	assert.Less(t, worst, 0.01)
	assert.InEpsilon(t, 60, s.quantile(0.5), 1e-9)
	assert.InEpsilon(t, 600, s.quantile(0.9), 1e-9)
}

func TestZeroRateIsNoDowntime(t *testing.T) {
	m := plain(Class{Name: "a", Scenario: "s"})
	p := project(t, m, Measured{"s": trials(100)}, Options{Years: 10_000})
	assert.Zero(t, p.Mean.Value)
	for _, l := range p.Levels {
		assert.Equal(t, 1.0, l.Probability.Value)
		assert.Greater(t, l.Probability.Lower, 0.999, "10,000 years without one: more is not known of the simulation")
	}
	assert.Equal(t, Met, p.Verdict)
	assert.Equal(t, []Bin{{Share: 1}}, p.Histogram)
}

// A rate that is uncertain: the probability is the Poisson sum averaged over it.
func TestUncertainRatesAreIntegrated(t *testing.T) {
	const seconds = 100.0
	k := math.Floor(BudgetS(0.99999) / seconds)
	over := func(density func(float64) float64, from, to float64) float64 {
		return quad.Fixed(func(x float64) float64 { return density(x) * distuv.Poisson{Lambda: x}.CDF(k) }, from, to, 2000, nil, 0)
	}
	g := distuv.Gamma{Alpha: 4.5, Beta: 2}
	l := distuv.LogNormal{Mu: math.Log(2), Sigma: math.Log(3) / distuv.UnitNormal.Quantile(0.95)}
	for name, c := range map[string]struct {
		class Class
		want  float64
		mean  float64
	}{
		"gamma":     {Class{Observed: &Observed{Events: 4, PartYears: 2}}, over(g.Prob, 1e-9, 40), g.Mean()},
		"lognormal": {Class{RatePerYear: 2, ErrorFactor: 3}, over(l.Prob, 1e-9, 200), l.Mean()},
	} {
		c.class.Name, c.class.Scenario = "a", "s"
		p := project(t, plain(c.class), Measured{"s": trials(seconds)}, Options{Years: 100_000, Seed: 3})
		// 500 rates were drawn: they, not the years, bound the precision.
		assert.InDelta(t, c.want, p.Level(0.99999).Probability.Value, 4.5*0.35/math.Sqrt(500), name)
		assert.InEpsilon(t, c.mean, p.Classes[0].Events, 0.2, name)
		in := p.Level(0.99999).Probability
		// The ends are those of the rate's own range.
		low, high := distuv.Poisson{Lambda: p.Rates[0].RateHigh}.CDF(k), distuv.Poisson{Lambda: p.Rates[0].RateLow}.CDF(k)
		assert.InDelta(t, low, in.Lower, 0.08, name)
		assert.InDelta(t, high, in.Upper, 0.03, name)
	}
}

func TestMaintenanceIsAPlan(t *testing.T) {
	m := plain(Class{Name: "deploy", Kind: Maintenance, Scenario: "s", RatePerYear: 12, Parts: Node})
	measured := Measured{"s": trials(2)}
	o := Options{Years: 10_000, Topology: Topology{Regions: []TopologyRegion{{"a", 5}}, Shards: 1, Replicas: 1}}
	p := project(t, m, measured, o)
	assert.InEpsilon(t, 120.0, p.Mean.Value, 1e-3, "12 for each of 5 nodes, of 2 s")
	assert.InDelta(t, p.Quantiles[0].Seconds, p.Quantiles[len(p.Quantiles)-1].Seconds, 4.1, "every year has as many, give or take one at each end")
	o.ExcludeMaintenance = true
	p = project(t, m, measured, o)
	assert.Zero(t, p.Mean.Value)
	assert.Contains(t, p.Notes[0], "deploy is left out")
}

// Maintenance waits until nothing is broken, but what breaks meanwhile meets it.
func TestMaintenanceWaits(t *testing.T) {
	broken := Class{Name: "a", Scenario: "none", Parts: Node, RatePerYear: 4, Repair: Exponential(Year / 400)}
	deploy := Class{Name: "deploy", Kind: Maintenance, Scenario: "none", Parts: Node, RatePerYear: 40, Repair: Constant(Year / 4000)}
	m := plain(broken, deploy)
	m.Rules.Overlap = OverlapQuorum
	o := Options{Topology: three(1)}
	run := simulate(t, m, Measured{"none": trials(0)}, o, 10_000)
	var deploys, overlaps int
	for _, x := range run {
		deploys += x.events[1]
		overlaps += x.events[2]
	}
	assert.InEpsilon(t, 120.0, float64(deploys)/10_000, 0.01, "none is dropped")
	assert.Greater(t, overlaps, 0)
	onlyBroken := simulate(t, func() *Model { m := plain(broken); m.Rules.Overlap = OverlapQuorum; return m }(), Measured{"none": trials(0)}, o, 10_000)
	alone := 0
	for _, x := range onlyBroken {
		alone += x.events[1]
	}
	extra := float64(overlaps-alone) / 10_000
	assert.InDelta(t, 120*2*4*0.00025, extra, 0.03, "either of the two other nodes breaks, at 4 a year, while one is in work, 120 times a year")
}

// three regions of n nodes, a shard that all nodes hold a share of.
func three(n int) Topology {
	return Topology{Regions: []TopologyRegion{{"a", n}, {"b", n}, {"c", n}}, Shards: 1, Replicas: 3}
}

// Parts that fail and are repaired: the service is down as long as the steady
// state of independent alternating renewal processes has too many of them down
// (Barlow and Proschan, Statistical Theory of Reliability and Life Testing, 1975,
// chapter 7). It depends on the mean time to repair alone.
func TestOverlapsAreTheSteadyState(t *testing.T) {
	const rate, repair = 40.0, Year / 1000
	u := rate * repair / Year / (1 + rate*repair/Year)
	for name, c := range map[string]struct {
		quorum int
		repair Span
		down   float64 // share of the time
		begins float64 // outages a year
	}{
		"2 of 3, exponential": {2, Exponential(repair), 3*u*u*(1-u) + u*u*u, 3 * u * (1 - u) * (1 - u) * 2 * rate},
		"2 of 3, constant":    {2, Constant(repair), 3*u*u*(1-u) + u*u*u, 3 * u * (1 - u) * (1 - u) * 2 * rate},
		"2 of 3, log-normal":  {2, LogNormal(repair/math.Exp(0.5), repair/math.Exp(0.5)*math.Exp(z90)), 3*u*u*(1-u) + u*u*u, 3 * u * (1 - u) * (1 - u) * 2 * rate},
		"1 of 3":              {1, Exponential(repair), u * u * u, 3 * u * u * (1 - u) * rate},
		"3 of 3":              {3, Exponential(repair), 1 - math.Pow(1-u, 3), 3 * rate * math.Pow(1-u, 3)},
	} {
		m := plain(Class{Name: "a", Scenario: "none", Parts: Region, RatePerYear: rate, Repair: c.repair})
		m.Rules.Overlap = OverlapQuorum
		o := Options{Topology: three(1), Seed: 5}
		o.Topology.Quorum = c.quorum
		const years = 8_000
		run := simulate(t, m, Measured{"none": trials(0)}, o, years)
		mean, variance := stat.MeanVariance(yearsOf(run), nil)
		near(t, c.down*Year, mean, math.Sqrt(variance), years, name)
		begun := 0
		for _, x := range run {
			if c.quorum == 3 {
				begun += x.events[0] // each takes the quorum alone, and while one is out no further begins
				continue
			}
			begun += x.events[1]
		}
		if c.quorum == 3 {
			// Also those that hit while it was down already.
			assert.Greater(t, float64(begun)/years, c.begins)
			continue
		}
		near(t, c.begins, float64(begun)/years, math.Sqrt(1.5*c.begins), years, name+": outages")
	}
}

// Only nodes that hold the same shard take its quorum.
func TestOverlapsNeedASharedShard(t *testing.T) {
	m := plain(Class{Name: "a", Scenario: "none", Parts: Node, RatePerYear: 40, Repair: Exponential(Year / 1000)})
	m.Rules.Overlap = OverlapQuorum
	const years = 6_000
	u := 0.04 / 1.04
	both := 3*u*u*(1-u) + u*u*u // of three given nodes, two or more
	for name, c := range map[string]struct {
		placement [][]int
		want      float64
	}{
		"two shards apart":    {[][]int{{0, 2, 4}, {1, 3, 5}}, 1 - (1-both)*(1-both)},
		"the same shard":      {[][]int{{0, 2, 4}, {0, 2, 4}}, both},
		"one replica shared":  {[][]int{{0, 2, 4}, {0, 3, 5}}, u*(1-math.Pow(1-u, 4)) + (1-u)*(1-(1-u*u)*(1-u*u))},
		"nodes without shard": {[][]int{{0, 1, 2}, {0, 1, 2}}, both},
	} {
		o := Options{Topology: Topology{Regions: []TopologyRegion{{"a", 2}, {"b", 2}, {"c", 2}}, Shards: 2, Replicas: 3, Placement: c.placement}}
		mean, variance := stat.MeanVariance(yearsOf(simulate(t, m, Measured{"none": trials(0)}, o, years)), nil)
		near(t, c.want*Year, mean, math.Sqrt(variance), years, name)
	}
}

// A fault that takes everything lasts until it is repaired, and the service
// needs as long as was measured to find itself again.
func TestLossOfEverythingLastsUntilRepair(t *testing.T) {
	m := plain(Class{Name: "power", Scenario: "s", RatePerYear: 0.5, Repair: Constant(3600)})
	m.Rules.Overlap = OverlapQuorum
	measured := Measured{"s": {{Down: []stats.Duration{{Seconds: 10}}, Undo: []stats.Duration{{Seconds: 25}}}}}
	p := project(t, m, measured, Options{Years: 40_000})
	near(t, 0.5*3625, p.Mean.Value, math.Sqrt(0.5)*3625, p.Years, "the longer of the two follows")
	assert.Equal(t, "power", p.Classes[0].Name, "it is no overlap: %v", p.Classes)
	assert.InDelta(t, 1, p.Classes[0].Share, 1e-9)
	m.Rules.Overlap = OverlapIgnored
	p = project(t, m, measured, Options{Years: 40_000})
	near(t, 0.5*35, p.Mean.Value, math.Sqrt(0.5)*35, p.Years, "as measured alone")
}

func TestUndoingCounts(t *testing.T) {
	m := plain(Class{Name: "a", Scenario: "s", RatePerYear: 4, Repair: Constant(3600)})
	one := func(down, undo float64) Measured {
		return Measured{"s": {{Down: []stats.Duration{{Seconds: down}}, Undo: []stats.Duration{{Seconds: undo}}}}}
	}
	p := project(t, m, one(5, 3), Options{Years: 20_000})
	near(t, 4*8, p.Mean.Value, 2*8, p.Years, "fault and undoing")
	assert.InEpsilon(t, 3.0/8, p.Classes[0].UndoS/p.Classes[0].MeanS, 1e-4)
	// No trial looked: as long as the fault, and it says so.
	p = project(t, m, Measured{"s": {{Down: []stats.Duration{{Seconds: 5}}}}}, Options{Years: 20_000})
	near(t, 4*10, p.Mean.Value, 2*10, p.Years, "twice the fault")
	assert.Contains(t, p.Notes[0], "No trial of s looked at the undoing")
	m.Classes[0].NoUndo = true
	p = project(t, m, one(5, 3), Options{Years: 20_000})
	near(t, 4*5, p.Mean.Value, 2*5, p.Years, "switched off")
}

// Outages at the same time count once: the covered share of the time is that of
// an M/G/infinity queue that is not empty, 1 - exp(-rate mean).
func TestUnionCountsOnce(t *testing.T) {
	for name, down := range map[string]Span{"constant": Constant(Year / 2000), "exponential": Exponential(Year / 2000)} {
		a := &Assumption{Down: down, Undo: Constant(0), Why: "a test"}
		m := plain(Class{Name: "a", RatePerYear: 600, Assume: a}, Class{Name: "b", RatePerYear: 400, Assume: a})
		years := yearsOf(simulate(t, m, nil, Options{}, 2000))
		mean, variance := stat.MeanVariance(years, nil)
		near(t, Year*(1-math.Exp(-0.5)), mean, math.Sqrt(variance), len(years), name)
	}
}

func TestCommonCauseTakesItsShare(t *testing.T) {
	m := plain(Class{Name: "a", Scenario: "s", Parts: Node, RatePerYear: 2, Repair: Constant(60), CommonCause: []CommonCause{
		{Share: 0.1, Takes: Region, Scenario: "r"}, {Share: 0.05, Takes: WholeService, Scenario: "w"}}})
	m.Rules.Overlap = OverlapQuorum
	p := project(t, m, Measured{"s": trials(1), "r": trials(20), "w": trials(40)}, Options{Years: 40_000})
	want := map[string][2]float64{ // events and downtime of one
		"a": {16 * 0.85, 1}, "a (common cause: region)": {1.6, 20}, "a (common cause: topology)": {0.8, 100},
	}
	seen := 0
	for _, c := range p.Classes {
		w, ok := want[c.Name]
		if !ok {
			continue
		}
		seen++
		near(t, w[0], c.Events, math.Sqrt(w[0]), p.Years, c.Name)
		assert.InEpsilon(t, w[0]*w[1], c.MeanS, 0.03, c.Name)
	}
	assert.Equal(t, 3, seen)
}

// The downtime of the rows is that of the years.
func TestRowsAddUp(t *testing.T) {
	run := simulate(t, Default(), measuredDefaults(10), Options{}, 1000)
	var rows, years float64
	for _, x := range run {
		for _, s := range x.rows {
			rows += s
		}
		for _, s := range x.years {
			years += s
		}
	}
	assert.InEpsilon(t, years, rows, 1e-9)
}

// A block begins with what the time before it left broken: its first year is like the others.
func TestFirstYearIsLikeTheOthers(t *testing.T) {
	m := plain(Class{Name: "a", Scenario: "none", Parts: Region, RatePerYear: 10, Repair: Exponential(Year / 50)})
	m.Rules.Overlap = OverlapQuorum
	o, err := Options{Topology: three(1)}.withDefaults()
	require.NoError(t, err)
	p, err := newPlan(m, Measured{"none": trials(0)}, &o)
	require.NoError(t, err)
	const blocks = 6000
	e := engine{plan: p, blocks: blocks, workers: 2}
	var years [2][]float64
	for _, x := range e.run(mode{trials: asSample, more: 1}, 2, unchanged) {
		for i, d := range x.years {
			years[i] = append(years[i], d)
		}
	}
	u := 10.0 / 60
	for i := range years {
		mean, variance := stat.MeanVariance(years[i], nil)
		near(t, (3*u*u*(1-u)+u*u*u)*Year, mean, math.Sqrt(variance), blocks, "year")
	}
}
