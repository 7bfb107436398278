package projection

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/slo/stats"
)

func TestVerdicts(t *testing.T) {
	sure := func(rate float64) *Model { return plain(Class{Name: "a", Scenario: "s", RatePerYear: rate}) }
	o := Options{Years: 10_000}
	p := project(t, sure(1), Measured{"s": trials(10)}, o)
	assert.Equal(t, Met, p.Verdict, p.Why)
	assert.Nil(t, p.More, "nothing is open")
	p = project(t, sure(10), Measured{"s": trials(100)}, o)
	assert.Equal(t, Missed, p.Verdict, p.Why)
	assert.Nil(t, p.More)
	o.Objective = 0.999
	p = project(t, sure(10), Measured{"s": trials(100)}, o)
	assert.Equal(t, Met, p.Verdict, "the objective counts: %s", p.Why)
	o.Objective, o.Required = 0.99999, 0.000001
	p = project(t, sure(5), Measured{"s": trials(100)}, o)
	assert.Equal(t, Met, p.Verdict, "the probability that is asked for counts: %s", p.Why)
	// Likely, and not sure.
	unsure := plain(Class{Name: "a", Scenario: "s", RatePerYear: 1, ErrorFactor: 3})
	p = project(t, unsure, Measured{"s": trials(100)}, Options{Years: 20_000})
	in := p.Level(0.99999).Probability
	require.Greater(t, in.Value, 0.9)
	require.Less(t, in.Lower, 0.9)
	assert.Equal(t, Inconclusive, p.Verdict, p.Why)
}

// The tail beyond the trials makes the bad end of the interval worse; that there is
// no such tail stays possible, so the good end is that of the trials alone.
func TestGoodEndsDoWithoutTheTail(t *testing.T) {
	m := plain(Class{Name: "a", Scenario: "s", RatePerYear: 30})
	measured := Measured{"s": trials(10, 10, 10)}
	bare := project(t, m, measured, Options{Years: 20_000}).Level(0.99999).Probability.Value
	m.Rules.Unseen = Unseen{Index: 1.2, Floor: "1s"}
	for seed := range uint64(6) {
		o := Options{Years: 10_000, Seed: seed}
		p := project(t, m, measured, o)
		in := p.Level(0.99999).Probability
		assert.GreaterOrEqual(t, in.Upper, bare-0.01, "seed %d", seed)
		assert.Less(t, in.Value, bare-0.05, "the tail counts in the middle")
		assert.Less(t, in.Lower, in.Value-0.05, "and at the bad end")
		assert.LessOrEqual(t, p.Mean.Lower, 305.0, "the mean of 30 of 10 s, give or take")
		o, err := o.withDefaults()
		require.NoError(t, err)
		plan, err := newPlan(m, measured, &o)
		require.NoError(t, err)
		e := engine{plan: plan, seed: seed, blocks: 200, workers: 2}
		in = e.probability(mode{trials: asSample, more: 1}, 50, BudgetS(0.99999), 0.9)
		assert.GreaterOrEqual(t, in.Upper, bare-0.01, "seed %d", seed)
	}
}

// A class without trials is never 0 in silence.
func TestWhatWasNotMeasured(t *testing.T) {
	m := plain(Class{Name: "a", Scenario: "s", RatePerYear: 1}, Class{Name: "b", Scenario: "z", RatePerYear: 1})
	p := project(t, m, Measured{"s": trials(10)}, Options{Years: 10_000})
	assert.Equal(t, Inconclusive, p.Verdict, "all years were inside, but for what is not known")
	assert.Equal(t, []string{"b"}, p.NotMeasured)
	assert.Contains(t, p.Why, "no trials for b")
	assert.Contains(t, strings.Join(p.Words(), " "), "Not measured, and not in these figures: b.")
	for _, c := range p.Classes {
		if c.Class == "b" {
			assert.Equal(t, BasisNothing, c.Basis)
		}
	}
	// It could only add downtime: what is missed without it is missed.
	p = project(t, m, Measured{"s": trials(1000)}, Options{Years: 10_000})
	assert.Equal(t, Missed, p.Verdict)
	// Assumed: counted, and said.
	m.Classes[1].Assume = &Assumption{Down: Constant(20), Undo: Constant(0), Why: "because of this."}
	p = project(t, m, Measured{"s": trials(10)}, Options{Years: 10_000})
	assert.Equal(t, Met, p.Verdict)
	require.Len(t, p.Assumptions, 1)
	assert.Equal(t, "b: 20s (undoing: 0s). because of this.", p.Assumptions[0])
	assert.InEpsilon(t, 30, p.Mean.Value, 0.05)
	// Trials win over the assumption.
	p = project(t, m, Measured{"s": trials(10), "z": trials(10)}, Options{Years: 10_000})
	assert.Empty(t, p.Assumptions)
	assert.InEpsilon(t, 20, p.Mean.Value, 0.05)
	// A common cause that no trial measured is as open.
	m = plain(Class{Name: "a", Scenario: "s", Parts: Node, RatePerYear: 1, CommonCause: []CommonCause{{Share: 0.1, Takes: Region, Scenario: "r"}}})
	p = project(t, m, Measured{"s": trials(1)}, Options{Years: 10_000})
	assert.Equal(t, Inconclusive, p.Verdict)
	assert.Equal(t, []string{"a (common cause: region)"}, p.NotMeasured)
}

// An open verdict says whether trials or rates keep it open, and how many trials would do.
func TestWhatWouldSettleIt(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	// Eight trials, rare long outages among them: open for want of trials.
	ts := sampleTrials(r, 8, func(r *rand.Rand) float64 { return 20 + 20*r.Float64() })
	ts[0] = trials(90)[0]
	m := plain(Class{Name: "a", Scenario: "s", RatePerYear: 4})
	m.Rules.Unseen = Unseen{Index: 2, Floor: "1s"}
	p := project(t, m, Measured{"s": ts}, Options{Years: 20_000})
	require.Equal(t, Inconclusive, p.Verdict, p.Why)
	require.NotNil(t, p.More)
	require.Greater(t, p.More.Factor, 1.0, p.More.Because)
	further := p.More.Further["s"]
	assert.Equal(t, int(math.Ceil((p.More.Factor-1)*8)), further)
	assert.Greater(t, p.Width.Trials, 5*p.Width.Rates, "%v", p.Width)
	// It keeps its word: as many more that look like these settle it.
	var all []Trial
	for len(all) < 8+further {
		all = append(all, ts...)
	}
	p = project(t, m, Measured{"s": all}, Options{Years: 20_000})
	assert.NotEqual(t, Inconclusive, p.Verdict, p.Why)

	// The same outages, of a rate that nobody knows: trials can't settle that.
	m = plain(Class{Name: "a", Scenario: "s", RatePerYear: 6, ErrorFactor: 5})
	p = project(t, m, Measured{"s": trials(60, 61, 62, 60, 61, 62, 60, 61, 62, 60, 61, 62)}, Options{Years: 20_000})
	require.Equal(t, Inconclusive, p.Verdict, p.Why)
	require.NotNil(t, p.More)
	assert.Zero(t, p.More.Factor)
	assert.Contains(t, p.More.Because, "it is the rates that are not known well enough")
	assert.Greater(t, p.Width.Rates, 5*p.Width.Trials, "%v", p.Width)

	// Nothing measured at all.
	m.Classes[0].Scenario, m.Classes[0].Assume = "", &Assumption{Down: Constant(60), Undo: Constant(0), Why: "a guess"}
	p = project(t, m, nil, Options{Years: 20_000})
	require.NotNil(t, p.More)
	assert.Contains(t, p.More.Because, "Nothing here rests on trials")
}

func TestMoreTrialsMakeTheIntervalNarrower(t *testing.T) {
	m := plain(Class{Name: "a", Scenario: "s", RatePerYear: 5})
	m.Rules.Unseen = Unseen{Index: 2, Floor: "1s"}
	r := rand.New(rand.NewPCG(3, 3))
	last := 1.0
	for _, n := range []int{5, 30, 300} {
		ts := sampleTrials(r, n, func(r *rand.Rand) float64 { return 20 + 80*r.Float64() })
		p := project(t, m, Measured{"s": ts}, Options{Years: 20_000})
		w := p.Level(0.99999).Probability.Upper - p.Level(0.99999).Probability.Lower
		assert.Less(t, w, last, "%d trials", n)
		last = w
	}
}

func TestBadArguments(t *testing.T) {
	ok := plain(Class{Name: "a", Scenario: "s", RatePerYear: 1})
	for want, c := range map[string]struct {
		m        *Model
		measured Measured
		o        Options
	}{
		"objective: 1 is not between 0 and 1":                        {ok, nil, Options{Objective: 1}},
		"required probability: -1 is not between":                    {ok, nil, Options{Required: -1}},
		"confidence: NaN is not between":                             {ok, nil, Options{Confidence: math.NaN()}},
		"years: 10 is not from 1,000":                                {ok, nil, Options{Years: 10}},
		"workers: -1 is not positive":                                {ok, nil, Options{Workers: -1}},
		"region 0 (a) has 0 nodes":                                   {ok, nil, Options{Topology: Topology{Regions: []TopologyRegion{{"a", 0}}}}},
		"shards: 0 is not from 1":                                    {ok, nil, Options{Topology: Topology{Regions: []TopologyRegion{{"a", 1}}}}},
		"replicas: 2 is not from 1 to 1":                             {ok, nil, Options{Topology: Topology{Regions: []TopologyRegion{{"a", 1}}, Shards: 1, Replicas: 2}}},
		"measured s: trial 1 has no downtime":                        {ok, Measured{"s": {{}}}, Options{}},
		"measured s: trial 2: a downtime of -1 s":                    {ok, Measured{"s": trials(1, -1)}, Options{}},
		"measured s: trial 1: a downtime of NaN s":                   {ok, Measured{"s": {{Down: []stats.Duration{{}}, Undo: []stats.Duration{{Seconds: math.NaN()}}}}}, Options{}},
		"model: classes[0].parts: \"x\" is not one of":               {plain(Class{Name: "a", Scenario: "s", Parts: "x"}), nil, Options{}},
		"events a year, at most 20000 are simulated; a has the most": {plain(Class{Name: "a", Scenario: "s", RatePerYear: 90_000}), nil, Options{}},
		"model: classes: has none":                                   {plain(), nil, Options{}},
		"placement: shard 0: there is no node 9":                     {ok, nil, Options{Topology: Topology{Regions: []TopologyRegion{{"a", 1}}, Shards: 1, Replicas: 1, Placement: [][]int{{9}}}}},
		"placement: has 1 shards, not 2":                             {ok, nil, Options{Topology: Topology{Regions: []TopologyRegion{{"a", 1}}, Shards: 2, Replicas: 1, Placement: [][]int{{0}}}}},
		"quorum: 2 is not from 1 to 1":                               {ok, nil, Options{Topology: Topology{Regions: []TopologyRegion{{"a", 1}}, Shards: 2, Replicas: 1, Quorum: 2}}},
		"placement: shard 0 has 0 replicas, not 1":                   {ok, nil, Options{Topology: Topology{Regions: []TopologyRegion{{"a", 1}}, Shards: 1, Replicas: 1, Placement: [][]int{{}}}}},
		"has 20000 nodes, at most 10,000 are simulated":              {ok, nil, Options{Topology: Topology{Regions: []TopologyRegion{{"a", 20000}}, Shards: 1, Replicas: 1}}},
		"placement: shard 0 names node 0 more than once":             {ok, nil, Options{Topology: Topology{Regions: []TopologyRegion{{"a", 2}}, Shards: 1, Replicas: 2, Placement: [][]int{{0, 0}}}}},
	} {
		p, err := Project(c.m, c.measured, c.o)
		require.Error(t, err, want)
		assert.Nil(t, p)
		assert.Contains(t, err.Error(), want)
	}
}

func TestPlacement(t *testing.T) {
	for _, o := range []Topology{
		ThreeRegion(),
		{Regions: []TopologyRegion{{"a", 3}}, Shards: 8, Replicas: 3},
		{Regions: []TopologyRegion{{"a", 2}, {"b", 1}}, Shards: 5, Replicas: 3},
		{Regions: []TopologyRegion{{"a", 4}, {"b", 4}, {"c", 4}, {"d", 4}, {"e", 4}}, Shards: 40, Replicas: 3},
	} {
		require.NoError(t, o.validate())
		holds := o.place(rand.New(rand.NewPCG(1, 1)))
		of := o.regionOf()
		nodes, regions := map[int32]map[int]bool{}, map[int32]map[int]bool{}
		total := 0
		for n, shards := range holds {
			for _, s := range shards {
				if nodes[s] == nil {
					nodes[s], regions[s] = map[int]bool{}, map[int]bool{}
				}
				nodes[s][n], regions[s][of[n]] = true, true
				total++
			}
		}
		assert.Equal(t, o.Shards*o.Replicas, total)
		for s := range int32(o.Shards) {
			assert.Len(t, nodes[s], o.Replicas, "no two replicas on a node")
			assert.Len(t, regions[s], min(o.Replicas, len(o.Regions)), "in as many regions as can be")
		}
	}
	holds := func() [][]int32 { o := ThreeRegion(); return o.place(rand.New(rand.NewPCG(1, 1))) }()
	for n, want := range []int{4, 4, 4, 4, 4, 4, 6, 6} {
		assert.Len(t, holds[n], want, "even over a region's nodes")
	}
}

func TestSpreadTakesTheNoiseOut(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var values, noise []float64
	for range 5000 {
		values = append(values, 10+2*r.NormFloat64()+r.NormFloat64())
		noise = append(noise, 1)
	}
	in := spread(values, noise, 0.9)
	assert.InDelta(t, 10, in.Value, 0.15)
	assert.InDelta(t, 2*1.645, in.Upper-in.Value, 0.15, "what is left is the parameters'")
	for i := range noise {
		noise[i] = 9
	}
	in = spread(values, noise, 0.9)
	assert.Equal(t, in.Value, in.Lower, "nothing but noise")
}

func TestHistogramHoldsEveryYear(t *testing.T) {
	p := project(t, Default(), measuredDefaults(10), Options{Years: 2000})
	sum := 0.0
	for i, b := range p.Histogram {
		sum += b.Share
		if i > 0 {
			assert.GreaterOrEqual(t, b.From, p.Histogram[i-1].To*(1-1e-12))
		}
	}
	assert.InDelta(t, 1, sum, 1e-9)
	for i := range p.CDF[1:] {
		assert.GreaterOrEqual(t, p.CDF[i+1].Seconds, p.CDF[i].Seconds)
	}
	assert.InEpsilon(t, 1-p.Mean.Value/Year, p.Availability.Value, 1e-12)
	for i := range p.Levels[1:] {
		assert.LessOrEqual(t, p.Levels[i+1].Probability.Value, p.Levels[i].Probability.Value)
	}
	assert.InDelta(t, 315.576, BudgetS(0.99999), 1e-6)
	odd := project(t, Default(), measuredDefaults(10), Options{Years: 1000, Objective: 0.9995})
	assert.NotNil(t, odd.Level(0.9995))
	assert.Nil(t, odd.Level(0.5))
}

func TestWordsNeverSayMoreThanTheNumber(t *testing.T) {
	for p, want := range map[float64]string{
		0: "no year", 0.0004: "hardly any year", 0.004: "4 of 1,000 years", 0.02: "2 of 100 years", 0.1: "one of ten years", 0.27: "not quite three of ten years",
		0.5: "five of ten years", 0.53: "a little over five of ten years", 0.899: "just under nine of ten years", 0.9: "nine of ten years", 0.904: "nine of ten years",
		0.91: "91 of 100 years", 0.9561: "95 of 100 years", 0.99: "99 of 100 years", 0.9978: "997 of 1,000 years", 0.9999: "all but one of 10,000 years", 1: "every year",
	} {
		assert.Equal(t, want, YearsInside(p), "%v", p)
	}
	assert.Equal(t, "an unknown share of the years", YearsInside(math.NaN()))
	assert.Equal(t, "an unknown share of the years", YearsInside(1.2))
	m := plain(Class{Name: "a", Scenario: "s", RatePerYear: 1.745}) // P(N <= 3) = 0.9
	p := project(t, m, Measured{"s": trials(100)}, Options{Years: 100_000, Seed: 1})
	words := strings.Join(p.Words(), "\n")
	assert.Contains(t, words, "of ten years stay inside the budget of 5.26 minutes (99.999 %)")
	assert.Contains(t, words, "Most of it comes from a: 100 % of the downtime")
	assert.Contains(t, words, "Fix a first: ")
	for s, want := range map[float64]string{0: "0 seconds", 0.25: "250 milliseconds", 31.5: "31.5 seconds", 315.576: "5.26 minutes", 31557.6: "8.77 hours", 864000: "10 days"} {
		assert.Equal(t, want, durationWords(s))
	}
	for a, want := range map[float64]string{0.99999: "99.999 %", 0.9999499: "99.99499 %", 0.999: "99.9 %", 1: "100 %", 0.5: "50 %", 0.9999959: "99.99959 %"} {
		assert.Equal(t, want, nines(a))
	}
}
