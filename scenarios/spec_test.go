package scenarios

import (
	"bytes"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/faults"
	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/loadgen"
	"github.com/fivenines/fivenines/slo"
)

var update = flag.Bool("update", false, "rewrite schema.json from the Go types")

func TestCatalogueLoadsAndDeclares(t *testing.T) {
	var names []string
	for _, e := range Catalogue() {
		names = append(names, e.Name)
		assert.NotEmpty(t, e.Description, e.Name)
		assert.NoError(t, e.Spec.Validate(e.Name))
		assert.Len(t, e.Spec.Config().Objectives, len(e.Spec.Objectives), "%s: every objective reaches slo", e.Name)
		if slices.ContainsFunc(e.Spec.Faults, func(f FaultSpec) bool { return f.Kind == "two-region-loss" || f.Kind == faults.AllRegionsLoss }) {
			// Levels 2 and 3 promise a bound of what is lost, not that nothing is.
			assert.NotEmpty(t, e.Spec.Objectives[slo.RPO], e.Name)
			if e.Spec.Faults[0].For == 0 { // else the far region leads on for clients that could be served near by
				assert.NotEmpty(t, e.Spec.Objectives[slo.RTO], e.Name)
			}
			continue
		}
		for _, safety := range []string{slo.SessionLoss, slo.LostWrites, slo.Regressed, slo.StaleReads, slo.Expiry, slo.Linearizability} {
			assert.Equal(t, "0", e.Spec.Objectives[safety], "%s: %s", e.Name, safety)
		}
	}
	files, err := filepath.Glob("catalogue/*.yaml")
	require.NoError(t, err)
	for i := range files {
		files[i] = strings.TrimSuffix(filepath.Base(files[i]), ".yaml")
	}
	assert.Equal(t, files, names, "a scenario is named as its file")
	assert.Greater(t, len(names), 20)

	loss, err := Named("region-loss")
	require.NoError(t, err)
	assert.Equal(t, 50_000, loss.Workload.Sessions)
	assert.InDelta(t, 20_000, loss.Workload.Rate, 0)
	assert.Equal(t, Timeline{Before: dur(10 * time.Second), After: dur(30 * time.Second), Settle: dur(12 * time.Second)}, loss.Timeline)
}

func TestNamedSaysWhatWasMeant(t *testing.T) {
	_, err := Named("regon-loss")
	require.EqualError(t, err, `no scenario is called "regon-loss"; did you mean region-loss?`)
	_, err = Named("everything")
	require.ErrorContains(t, err, "there are active-active, all-regions-loss, balancer-crash")
}

func TestNamedIsACopy(t *testing.T) {
	a, err := Named("region-loss")
	require.NoError(t, err)
	a.Objectives[slo.Failover] = "< 1 s"
	a.Faults[0].Params["region"] = "elsewhere"
	b, err := Named("region-loss")
	require.NoError(t, err)
	assert.Equal(t, "< 5 s", b.Objectives[slo.Failover])
	assert.Equal(t, "primary", b.Faults[0].Params["region"])
}

const goodFile = `name: mine
topology: three-region
workload:
  sessions: 1000
  rate: 2000
  contested: {sessions: 5, rate: 20}
timeline: {before: 5s, after: 10s}
faults:
  - kind: region-loss
    params: {region: us-east-1}
    until: readback
objectives:
  failover: < 5 s
  session-loss: 0
`

// Each mistake is found, in its line, in its field, and the message says what
// would be right.
func TestMistakesNameLineAndField(t *testing.T) {
	_, err := Decode("x.yaml", []byte(goodFile))
	require.NoError(t, err, "the file that the mistakes are made in")
	for _, c := range []struct{ replace, by, want string }{
		{"kind: region-loss", "kind: regon-loss", `x.yaml:9: faults[0].kind: no fault is called "regon-loss"; did you mean region-loss?`},
		{"kind: region-loss", "kind: meteor", `x.yaml:9: faults[0].kind: no fault is called "meteor"; there are `},
		{"  - kind: region-loss\n    params: {region: us-east-1}", "  - fault: regin-loss(region=us-east-1)", `x.yaml:9: faults[0].fault: `},
		{"kind: region-loss", "at: 6s", "x.yaml:9: faults[0]: needs a fault such as"},
		{"kind: region-loss", "kind: region-loss\n    fault: node-crash(node=x)", "x.yaml:9: faults[0]: fault and kind say the same thing twice"},
		{"us-east-1}", "mars}", "x.yaml:10: faults[0].params: "},
		{"until: readback", "until: later", `x.yaml:11: faults[0].until: "later" is not readback and not an event`},
		{"until: readback", "until: {evnt: promoted}", "x.yaml:11: faults[0].until.evnt: no such field; did you mean event?"},
		{"until: readback", "for: 1m", "x.yaml:11: faults[0].for: lasts until 1m5s, past the end of the load (15s)"},
		{"until: readback", "at: 20s", "x.yaml:11: faults[0].at: 20s is not before the end of the load (15s)"},
		{"until: readback", "at: 2s", "x.yaml:11: faults[0].at: 2s is inside the 5s"},
		{"until: readback", "until: readback\n    for: 2s", "x.yaml:11: faults[0].until: for and until can't both end a fault"},
		{"sessions: 1000", "sesions: 1000", "x.yaml:4: workload.sesions: no such field; did you mean sessions?"},
		{"sessions: 1000", "sessions: many", `x.yaml:4: workload.sessions: "many" is not a whole number`},
		{"sessions: 1000", "sessions: [1]", "x.yaml:4: workload.sessions: needs a whole number, not a list"},
		{"sessions: 1000", "sessions: 0", "x.yaml:4: workload.sessions: 0 is not from 1 to 10000000"},
		{"sessions: 1000", "sessions:", "x.yaml:4: workload.sessions: has no value"},
		{"rate: 2000", "rate: .nan", `x.yaml:5: workload.rate: ".nan" is not a number`},
		{"rate: 2000", "rate: 2000\n  mix: {read: 50 %}", "x.yaml:6: workload.mix: adds up to 80 %, not 100 %"},
		{"rate: 2000", "rate: 2000\n  mix: {read: 0.7}", `x.yaml:6: workload.mix.read: "0.7" is not a percentage such as 5 %`},
		{"rate: 2000", "rate: 2000\n  ttl: 5 minutes", `x.yaml:6: workload.ttl: "5 minutes" is not a duration such as 500ms, 10s or 5m`},
		{"rate: 2000", "rate: 2000\n  clients: {us-est-1: 100 %}", `x.yaml:6: workload.clients.us-est-1: no region is called "us-est-1"; did you mean us-east-1?`},
		{"rate: 2000", "rate: 2000\n  witness: {rate: 5}", "x.yaml:6: workload.witness.region: is needed"},
		{"rate: 2000", "rate: 2000\n  homes: here", `x.yaml:6: workload.homes: "here" is not any or local`},
		{"rate: 2000", "rate: 2000\n  homes: local", "x.yaml:6: workload.homes: local needs a topology with active regions; in three-region one region leads alone"},
		{"rate: 2000", "rate: 2000\n  eventual: {rate: 5}", "x.yaml:6: workload.eventual.region: is needed: the region whose replicas are read"},
		{"rate: 2000", "rate: 2000\n  eventual: {region: eu-west-11, rate: 5}", `x.yaml:6: workload.eventual.region: no region is called "eu-west-11"; did you mean eu-west-1?`},
		{"rate: 2000", "rate: 2000\n  eventual: {region: eu-west-1, rate: -5}", "x.yaml:6: workload.eventual.rate: -5 is not from 0 to 2000"},
		{"rate: 2000", "rate: 2000\n  eventual: {region: eu-west-1, rate: 1980}", "x.yaml:5: workload.rate: 2000 leaves nothing beside the witness (0), contested (20) and eventual (1980) operations"},
		{"rate: 2000", "rate: 2000\n  eventual: {rgion: eu-west-1}", "x.yaml:6: workload.eventual.rgion: no such field; did you mean region?"},
		{"rate: 2000", "rate: 15", "workload.contested.rate: 20 is not from 0 to 15"},
		{"after: 10s", "after: 4s", "x.yaml:7: timeline.after: 4s is too short"},
		{"after: 10s", "after: 10s, settle: 3s", "x.yaml:7: timeline.settle: 3s is too short"},
		{"topology: three-region", "topology: three-regions", `x.yaml:2: topology: no topology is called "three-regions"; did you mean three-region`},
		{"topology: three-region", "topology: {shards: 12, regions: [{name: a, role: chief, nodes: 1}]}", `x.yaml:2: topology.regions[0].role: "chief" is not primary, secondary, tertiary, active or edge`},
		{"topology: three-region", "topology: ./other.yaml", "x.yaml:2: topology: ./other.yaml: no other file may be named here"},
		{"failover: < 5 s", "failovr: < 5 s", `x.yaml:13: objectives.failovr: no objective is called "failovr"; did you mean failover?`},
		{"failover: < 5 s", "failover: fast", "x.yaml:13: objectives.failover: "},
		{"name: mine", "name: Mine!", `x.yaml:1: name: "Mine!" is not a name`},
		{"name: mine", "name: mine\nname: again", "x.yaml:2: "},
		{"name: mine", "name: mine\nnme: again", "x.yaml:2: nme: no such field; did you mean name?"},
		{"name: mine", "name: mine\nnetwork: again", "x.yaml:2: network: no such field; allowed are name, description, topology"},
		{"name: mine", "name: &a mine", "x.yaml:1: name: anchors, aliases and tags are not allowed"},
		{"name: mine", "name: [mine", "x.yaml:"},
		{"name: mine", "name: mine\ntrials: 0", "x.yaml:2: trials: 0 is not from 1 to 100000"},
		{"name: mine", "name: mine\nrecord_sync: yes", `x.yaml:2: record_sync: "yes" is not true or false`},
		{"name: mine", "name: mine\nstop: {bad: {share: 0 %}}", "x.yaml:2: stop.bad.share: 0 % is not above 0 %"},
		{"name: mine", "name: mine\nsteady_state: {window: 20s}", "x.yaml:2: steady_state.window: 20s is longer than the load before the fault (5s)"},
		{"  session-loss: 0\n", "  session-loss: 0\n---\nname: two\n", "starts a second document"},
	} {
		text := strings.Replace(goodFile, c.replace, c.by, 1)
		require.NotEqual(t, goodFile, text, c.replace)
		_, err := Decode("x.yaml", []byte(text))
		if assert.Error(t, err, c.by) {
			assert.Contains(t, err.Error(), c.want)
		}
	}
}

func TestAllMistakesAreReported(t *testing.T) {
	text := strings.NewReplacer("sessions: 1000", "sessions: -1", "kind: region-loss", "kind: meteor", "after: 10s", "after: 1s").Replace(goodFile)
	_, err := Decode("x.yaml", []byte(text))
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	assert.GreaterOrEqual(t, len(lines), 3)
	var fe *FieldError
	require.ErrorAs(t, err, &fe)
	assert.Equal(t, 4, fe.Line, "the first one comes first")
}

func TestEmptyAndHugeFiles(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "x.yaml:1: is empty",
		"# only a comment\n":         "is empty",
		"- a\n- b\n":                 "needs fields (name, ",
		strings.Repeat("a", 65<<10):  "at most 65536 are read",
		strings.Repeat("[", 60<<10):  "x.yaml",
		strings.Repeat("- ", 30<<10): "x.yaml",
		"name: " + strings.Repeat("{a: ", 10<<10): "x.yaml",
	} {
		_, err := Decode("x.yaml", []byte(text))
		if assert.Error(t, err) {
			assert.Contains(t, err.Error(), want)
		}
	}
}

func TestPowerLossNeedsTheRecord(t *testing.T) {
	_, err := Decode("p.yaml", []byte("name: p\nfaults: [{kind: power-loss}]\nrecord_sync: false\n"))
	require.ErrorContains(t, err, "p.yaml:3: record_sync: must be true for power-loss")
}

func TestTopologyFromAFileIsInlined(t *testing.T) {
	dir := t.TempDir()
	topo, err := yaml.Marshal(ThreeNode())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "topo.yaml"), topo, 0o600))
	path := filepath.Join(dir, "s.yaml")
	require.NoError(t, os.WriteFile(path, []byte("name: s\ntopology: ./topo.yaml\n"), 0o600))
	s, err := Load(path)
	require.NoError(t, err)
	assert.Equal(t, ThreeNode(), s.Topology.Inline)

	require.NoError(t, os.WriteFile(filepath.Join(dir, "topo.yaml"), bytes.Replace(topo, []byte("shards: 12"), []byte("shards: 0"), 1), 0o600))
	_, err = Load(path)
	require.ErrorContains(t, err, "topo.yaml:")
	require.ErrorContains(t, err, "shards: 0 is not from 1 to 1024")

	require.NoError(t, os.Remove(filepath.Join(dir, "topo.yaml")))
	_, err = Load(path)
	require.ErrorContains(t, err, "s.yaml:2: topology: ./topo.yaml: ")
}

func TestLoadNamesTheFile(t *testing.T) {
	_, err := Load("/nowhere/x.yaml")
	require.EqualError(t, err, "/nowhere/x.yaml: no such file or directory")
}

// A scenario prints to YAML that loads to an equal value, whatever is in it.
func TestSpecSurvivesYAML(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, e := range Catalogue() {
		requireRoundTrip(t, e.Spec)
	}
	for range 500 {
		requireRoundTrip(t, randomSpec(rng))
	}
}

func requireRoundTrip(t *testing.T, s *Spec) {
	t.Helper()
	b, err := s.YAML()
	require.NoError(t, err)
	back, err := Decode("again.yaml", b)
	require.NoError(t, err, string(b))
	require.Equal(t, s, back, string(b))
}

// randomSpec is a valid scenario with as much in it as there can be.
func randomSpec(rng *rand.Rand) *Spec {
	pick := func(words ...string) string { return words[rng.IntN(len(words))] }
	ms := func(lo, hi int) fixtures.Duration { return dur(time.Duration(lo+rng.IntN(hi-lo)) * time.Millisecond) }
	s := Default()
	s.Name = pick("a", "region-loss", "x-1", "true", "null", "1e5", "0x10", "007")
	s.Description = pick("", "plain", "with: colon", "# hash", "quote \" and ' and \\", " spaces ", "two\nlines", "- dash", "tab\there", "trailing\n", "ü ☃", "{a: b}", "> folded", "| literal", "~", "100 %")
	if rng.IntN(2) == 0 {
		s.Topology = TopologyRef{Inline: pickTopo(rng)}
	}
	s.Workload.Sessions = 100 + rng.IntN(100_000)
	s.Workload.Rate = 1000 + rng.Float64()*1e5
	s.Workload.StateBytes = 64 + rng.IntN(1000)
	s.Workload.TTL, s.Workload.Short = ms(1000, 1e6), Short{Share: Percent(rng.Float64() * 100), TTL: ms(1000, 1e5)}
	s.Workload.Mix = Mix{Read: 50.5, Update: 20, Create: 9.5, Touch: 10, Close: 10}
	if rng.IntN(2) == 0 {
		s.Workload.Zipf = 1.01 + rng.Float64()
		s.Workload.Clients = map[string]Percent{"us-east-1": 33.3, "eu-west-1": 66.7}
		s.Workload.Witness = Witness{Region: "eu-west-1", Rate: 12.5}
		s.Workload.Eventual = Eventual{Region: "ap-southeast-1", Rate: 7.25}
	}
	s.Timeline = Timeline{Before: ms(10_000, 20_000), After: ms(6000, 30_000), Settle: ms(5001, 10_000)}
	s.Steady = Steady{Window: ms(100, 5000), Success: Percent(0.001 + rng.Float64()*99), ReadP99: ms(0, 500), WriteP99: ms(0, 500)}
	s.Stop = Stop{Bad: BadShare{Share: Percent(1 + rng.IntN(100)), Over: ms(1000, 60_000)}, MaxDuration: ms(10_000, 1e6), UnaskedDeaths: rng.IntN(4)}
	for range rng.IntN(3) {
		f := FaultSpec{Kind: "region-loss", Params: map[string]string{"region": "us-east-1"}}
		if rng.IntN(2) == 0 {
			f = FaultSpec{Fault: "region-loss(region=us-east-1, mode=silent)"}
		}
		if rng.IntN(2) == 0 {
			f.At = s.Timeline.Before + ms(0, 1000)
		}
		switch rng.IntN(4) {
		case 0:
			f.Until = &Until{}
		case 1:
			f.Until = &Until{Event: pick("promoted", "true", "12")}
		case 2:
			f.For = ms(1, 2000)
		}
		s.Faults = append(s.Faults, f)
	}
	s.Objectives = map[string]string{}
	for name, expr := range DefaultRules().Defaults {
		if rng.IntN(2) == 0 {
			s.Objectives[name] = expr
		}
	}
	if len(s.Objectives) == 0 {
		s.Objectives = nil
	}
	s.Trials, s.Seed, s.RecordSync = 1+rng.IntN(300), rng.Int64(), rng.IntN(2) == 0
	return s
}

func pickTopo(rng *rand.Rand) *fixtures.Topology {
	t := ThreeNode()
	if rng.IntN(2) == 0 {
		t = fixtures.ThreeRegion()
	}
	t.LocalRTT = dur(time.Duration(rng.IntN(1e9)))
	t.Regions[0].Provider = "some: cloud"
	return t
}

func TestOverrides(t *testing.T) {
	s, err := Named("region-loss")
	require.NoError(t, err)
	s.Workload.Eventual = Eventual{Region: "eu-west-1", Rate: 30}
	o, err := s.With(Overrides{Rate: 2000, Sessions: 100, Duration: 25 * time.Second, Trials: 3, Seed: 7, Target: "other"})
	require.NoError(t, err)
	require.NoError(t, o.Validate(""))
	assert.InDelta(t, 2000, o.Workload.Rate, 0)
	assert.InDelta(t, 20, o.Workload.Contested.Rate, 1e-9, "a tenth of the rate, a tenth of its parts")
	assert.Equal(t, Eventual{Region: "eu-west-1", Rate: 3}, o.Workload.Eventual)
	assert.Equal(t, 100, o.Workload.Sessions)
	assert.Equal(t, 10, o.Workload.Contested.Sessions)
	assert.Equal(t, dur(15*time.Second), o.Timeline.After)
	assert.Equal(t, "other", o.Target)
	assert.Equal(t, 3, o.Trials)
	assert.EqualValues(t, 7, o.Seed)
	assert.Equal(t, 50_000, s.Workload.Sessions, "the scenario itself is untouched")

	_, err = s.With(Overrides{Duration: 5 * time.Second})
	require.ErrorContains(t, err, "leaves nothing after the 10s before the fault")
}

// What a file says of eventual reads reaches the generator; by default there are none.
func TestEventualReadsReachTheGenerator(t *testing.T) {
	for text, want := range map[string]loadgen.Eventual{
		"name: e\nworkload: {eventual: {region: eu-west-1, rate: 12.5}}\n": {Region: 1, Rate: 12.5},
		"name: e\n": {},
	} {
		s, err := Decode("e.yaml", []byte(text))
		require.NoError(t, err)
		tr := &trial{run: &run{spec: s, topo: fixtures.ThreeRegion(), rules: DefaultRules(), opt: Options{Target: fakeTarget{}}}}
		assert.Equal(t, want, tr.workload().Eventual)
	}
}

func TestRules(t *testing.T) {
	r := DefaultRules()
	assert.Equal(t, dur(time.Second), r.Deadline)
	assert.Equal(t, dur(5*time.Second), r.Hold)
	for _, name := range slo.Names() {
		assert.Contains(t, r.Defaults, name, "a default for every objective")
	}
	for replace, want := range map[string]string{
		"deadline: 1s":       "r.yaml:5: deadline: must be more than 0",
		"failover: < 10 s":   "defaults.failovr: ",
		"min_achieved: 95 %": `valid.min_achieved: "95" is not a percentage`,
	} {
		by := map[string]string{"deadline: 1s": "deadline: 0s", "failover: < 10 s": "failovr: < 10 s", "min_achieved: 95 %": "min_achieved: 95"}[replace]
		_, err := decodeRules("r.yaml", bytes.Replace(rulesYAML, []byte(replace), []byte(by), 1))
		require.ErrorContains(t, err, want)
	}
}

func TestSchemaIsWhatTheTypesSay(t *testing.T) {
	want, err := GenerateSchema()
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile("schema.json", want, 0o600))
		return
	}
	assert.JSONEq(t, string(want), string(Schema()), "run go test ./scenarios -run Schema -update")
}

// The schema takes what the decoder takes, and refuses what an editor should
// underline.
func TestSchemaJudgesFiles(t *testing.T) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource("scenario.json", doc))
	sch, err := c.Compile("scenario.json")
	require.NoError(t, err)
	judge := func(text []byte) error {
		var v any
		require.NoError(t, yaml.Unmarshal(text, &v), string(text))
		j, err := json.Marshal(v)
		require.NoError(t, err)
		inst, err := jsonschema.UnmarshalJSON(bytes.NewReader(j))
		require.NoError(t, err)
		return sch.Validate(inst)
	}
	files, err := catalogueFS.ReadDir("catalogue")
	require.NoError(t, err)
	for _, f := range files {
		b, err := catalogueFS.ReadFile("catalogue/" + f.Name())
		require.NoError(t, err)
		assert.NoError(t, judge(b), f.Name())
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		s := randomSpec(rng)
		b, err := s.YAML()
		require.NoError(t, err)
		assert.NoError(t, judge(b), string(b))
	}
	for _, c := range []struct{ replace, by string }{
		{"sessions: 1000", "sesions: 1000"},
		{"sessions: 1000", "sessions: many"},
		{"before: 5s", "before: 5"},
		{"until: readback", "until: later"},
		{"name: mine\n", ""},
		{"topology: three-region", "topology: {shard: 12}"},
	} {
		assert.Error(t, judge([]byte(strings.Replace(goodFile, c.replace, c.by, 1))), c.by)
	}
}

func TestPercent(t *testing.T) {
	var p Percent
	for text, want := range map[string]float64{"5 %": 5, "5%": 5, " 99.999 % ": 99.999, "0 %": 0, "100 %": 100} {
		require.NoError(t, p.UnmarshalText([]byte(text)))
		assert.InDelta(t, want, float64(p), 0)
	}
	for _, text := range []string{"5", "", "%", "-1 %", "101 %", "NaN %", "five %", "5 % %"} {
		assert.Error(t, p.UnmarshalText([]byte(text)), text)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(goodFile))
	for _, e := range Catalogue() {
		b, err := e.Spec.YAML()
		require.NoError(f, err)
		f.Add(b)
	}
	f.Add([]byte("name: &a [*a]\n<<: *a\n"))
	f.Add([]byte("name: !!binary x\nfaults: [{fault: \"a(b=c\"}]\n"))
	f.Add([]byte("name: 0\nobjectives: {}\nfaults: []\n"))
	f.Add([]byte("? [a, b]\n: c\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Decode("f.yaml", data)
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				require.True(t, strings.HasPrefix(line, "f.yaml"), "%q does not name the file", line)
			}
			return
		}
		// What was accepted is a scenario that can be written, read again and configured.
		b, err := s.YAML()
		require.NoError(t, err)
		back, err := Decode("again.yaml", b)
		require.NoError(t, err, string(b))
		require.Equal(t, s, back)
		_ = s.Config()
	})
}

// A stakeholder reads what a fault did, not how it was configured.
func TestEveryFaultHasAPhrase(t *testing.T) {
	for _, k := range faults.Kinds() {
		s := faults.Spec{Kind: k.Kind, Params: map[string]string{}}
		for _, p := range k.Params {
			s.Params[p.Name] = p.Default
		}
		assert.NotContains(t, slo.Phrase(s.String()), "=", "slo/phrase.go lacks it or its parameters")
		assert.NotEqual(t, s.String(), slo.Phrase(s.String()))
	}
}
