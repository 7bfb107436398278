package gameday

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/scenarios"
	"github.com/fivenines/fivenines/slo/compare"
)

var known = Known{Backends: []string{"container", "process"}, Measures: compare.Names()}

const goodFile = `name: nightly
timezone: Europe/Berlin
seed: 7
schedules:
  - name: nights
    cron: "30 2 * * mon-fri"
    scenarios: [node-crash, region-loss]
    run: {topology: three-node, rps: 300, sessions: 400, before: 4s, after: 12s, objectives: {failover: < 8 s}}
  - name: lottery
    cron: "0 5 * * sat"
    draw: {count: 2, from: [node-crash, node-pause, region-loss, power-loss]}
blackouts:
  - {name: weekend trading, days: [fri-sat], from: 18:00, to: 06:00}
  - {name: Christmas, first: 2026-12-20, last: 2027-01-03}
announce:
  - {kind: slack, url_env: SLACK_URL, on: [start, end, missed, regression]}
  - {kind: alertmanager, url: "http://127.0.0.1:9093"}
retention: {runs: 50, days: 90}
regression: {margin: 30 %, measures: [failover, lost-writes]}
`

func load(t *testing.T, text string) *Config {
	t.Helper()
	c, err := decode("x.yaml", []byte(text), known)
	require.NoError(t, err)
	return c
}

func TestGoodFile(t *testing.T) {
	c := load(t, goodFile)
	assert.Equal(t, "Europe/Berlin", c.Location().String())
	assert.Equal(t, "process", c.Schedules[0].Run.Backend)
	spec := c.Schedules[0].specs["node-crash"]
	assert.Equal(t, "three-node", spec.Topology.Name)
	assert.Equal(t, "< 8 s", spec.Objectives["failover"])
	assert.Equal(t, "0", spec.Objectives["lost-writes"], "the others stay")
	assert.Equal(t, []string{Missed, Regressed}, c.Announce[1].On, "what is told if the file does not say")
	assert.True(t, IsGameDay([]byte(goodFile)))
	assert.False(t, IsGameDay([]byte("name: x\nfaults: []\n")))
}

// Each mistake is found, in its line, in its field, and the message says what
// would be right.
func TestMistakesNameLineAndField(t *testing.T) {
	for _, c := range []struct{ replace, by, want string }{
		{"name: nightly", "name: Nightly!", `x.yaml:1: name: "Nightly!" is not a name`},
		{"timezone: Europe/Berlin", "timezone: Europe/Bern", `x.yaml:2: timezone: "Europe/Bern" is not a time zone such as`},
		{"timezone: Europe/Berlin", "timezone: Local", `x.yaml:2: timezone: "Local" is not a time zone`},
		{"seed: 7", "seed: -7", "x.yaml:3: seed: -7 is not more than 0"},
		{"schedules:", "schedule:", "x.yaml:4: schedule: no such field; did you mean schedules?"},
		{"30 2 * * mon-fri", "30 25 * * *", `x.yaml:6: schedules[0].cron: "30 25 * * *" is not a cron expression such as`},
		{"30 2 * * mon-fri", "30 2 30 2 *", `x.yaml:6: schedules[0].cron: "30 2 30 2 *" never comes`},
		{"30 2 * * mon-fri", "* 2 * * *", `x.yaml:6: schedules[0].cron: "* 2 * * *" comes 60 times a day, at most 24 are allowed`},
		{"30 2 * * mon-fri", "@every 1h", `x.yaml:6: schedules[0].cron: "@every 1h" counts from when the program was started`},
		{"30 2 * * mon-fri", "TZ=UTC 30 2 * * *", `x.yaml:6: schedules[0].cron: "TZ=UTC 30 2 * * *" names a time zone; set timezone`},
		{"[node-crash, region-loss]", "[node-crush]", `x.yaml:7: schedules[0].scenarios[0]: node-crush: no scenario is called "node-crush"; did you mean node-crash?`},
		{"[node-crash, region-loss]", "[]", "x.yaml:5: schedules[0]: needs scenarios, or a draw such as"},
		{"[node-crash, region-loss]", "[./none.yaml]", "x.yaml:7: schedules[0].scenarios[0]: ./none.yaml: none.yaml: no such file"},
		{"[node-crash, region-loss]", "[node-crash]\n    draw: {count: 1}", "x.yaml:8: schedules[0].draw: scenarios and draw can't both"},
		{"rps: 300", "rsp: 300", "x.yaml:8: schedules[0].run.rsp: no such field; did you mean rps?"},
		{"rps: 300", "rps: -300", "x.yaml:8: schedules[0].run.rps: must be more than 0"},
		{"rps: 300", "rps: 3000000", "x.yaml:7: schedules[0].scenarios[0]: node-crash: workload.rate: 3e+06 is not from 1 to 2e+06"},
		{"after: 12s", "after: 1s", "x.yaml:7: schedules[0].scenarios[0]: node-crash: timeline.after: 1s is too short"},
		{"rps: 300", "backend: cloud, rps: 300", `x.yaml:8: schedules[0].run.backend: no backend is called "cloud"; there are container, process`},
		{"failover: < 8 s", "failovr: < 8 s", `no objective is called "failovr"`},
		{"name: lottery", "name: nights", `x.yaml:9: schedules[1].name: another schedule is called "nights" too`},
		{"count: 2", "count: 5", "x.yaml:11: schedules[1].draw.count: 5 is not from 1 to the 4 scenarios to draw from"},
		{"[node-crash, node-pause, ", "[node-pause, node-pause, ", "x.yaml:11: schedules[1].draw.from[1]: node-pause is there twice"},
		{"days: [fri-sat]", "days: [frei]", `x.yaml:13: blackouts[0].days[0]: "frei" is not a day such as sat`},
		{"from: 18:00, ", "", "x.yaml:13: blackouts[0]: needs both from and to"},
		{"from: 18:00", "from: 25:00", `x.yaml:13: blackouts[0].from: "25:00" is not a time such as 18:00`},
		{"to: 06:00", "to: 18:00", "x.yaml:13: blackouts[0].to: is the same as from"},
		{"name: weekend trading, days: [fri-sat], from: 18:00, to: 06:00", "name: ever", "x.yaml:13: blackouts[0]: says no days, no time of day and no dates"},
		{"name: Christmas, ", "", "x.yaml:14: blackouts[1].name: needs a name"},
		{"last: 2027-01-03", "last: 2026-01-03", "x.yaml:14: blackouts[1].last: is before first"},
		{"last: 2027-01-03", "last: 3.1.2027", `x.yaml:14: blackouts[1].last: "3.1.2027" is not a date such as 2026-12-20`},
		{"kind: slack", "kind: slak", `x.yaml:16: announce[0].kind: no kind of webhook is called "slak"; did you mean slack?`},
		{"regression]}", "regresion]}", `x.yaml:16: announce[0].on[3]: no event is called "regresion"; did you mean regression?`},
		{"url_env: SLACK_URL", "url_env: https://hooks/secret", "x.yaml:16: announce[0].url_env: is not the name of an environment variable"},
		{"url_env: SLACK_URL", "url_env: A, url: http://x", "x.yaml:16: announce[0].url_env: url and url_env can't both"},
		{`url: "http://127.0.0.1:9093"`, `url: "file:///etc/passwd"`, "x.yaml:17: announce[1].url: is not an http or https URL"},
		{`, url: "http://127.0.0.1:9093"`, "", "x.yaml:17: announce[1]: needs url, or url_env"},
		{"runs: 50", "runs: -1", "x.yaml:18: retention.runs: -1 is not from 0"},
		{"measures: [failover", "measures: [failver", `x.yaml:19: regression.measures[0]: no measure is called "failver"; did you mean failover?`},
	} {
		text := strings.Replace(goodFile, c.replace, c.by, 1)
		require.NotEqual(t, goodFile, text, c.replace)
		_, err := decode("x.yaml", []byte(text), known)
		if assert.Error(t, err, c.by) {
			assert.Contains(t, err.Error(), c.want)
			assert.NotContains(t, err.Error(), "secret")
			var fe *scenarios.FieldError
			assert.ErrorAs(t, err, &fe)
		}
	}
}

// A scenario of one's own is found beside the game day file, wherever the
// program was started.
func TestScenarioFilesAreRelativeToTheFile(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "mine.yaml"), []byte("name: mine\ntopology: three-node\n"), 0o600))
	path := filepath.Join(dir, "day.yaml")
	require.NoError(t, os.WriteFile(path, []byte("name: d\nschedules:\n  - {name: s, cron: \"@daily\", scenarios: [./mine.yaml]}\n"), 0o600))
	c, err := Load(path, known)
	require.NoError(t, err)
	assert.Equal(t, "mine", c.Schedules[0].specs["./mine.yaml"].Name)
}

// The game day that this repository itself runs.
func TestOwnGameDayLoads(t *testing.T) {
	c, err := Load("../../.github/gameday.yaml", known)
	require.NoError(t, err)
	for _, day := range []string{"2026-12-01", "2026-12-05", "2026-12-06"} {
		var d Date
		require.NoError(t, d.UnmarshalText([]byte(day)))
		assert.NotEmpty(t, c.PlanToday(d.wall.Add(12*60*60*1e9)), "%s: the workflow comes every day", day)
	}
}
