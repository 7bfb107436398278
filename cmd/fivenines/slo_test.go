package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/scenarios"
	"github.com/fivenines/fivenines/slo"
	"github.com/fivenines/fivenines/slo/openslo"
)

// savedRun is a run's folder: 100 operations a second from second 5 to 64, all
// of them bad in seconds 20 to 22.
func savedRun(t *testing.T, change func(*slo.Result)) string {
	t.Helper()
	res := &slo.Result{Schema: slo.Schema, Scenario: "region-loss", Verdict: slo.Met, Trials: []slo.Trial{{Faults: []slo.FaultRecord{
		{Kind: "region-loss", Asked: "2026-01-02T15:04:05Z", AskedS: 20.25, UndoneS: &slo.Value{Value: 21.5}},
	}}}}
	for s := 5; s < 65; s++ {
		at := slo.Slice{Second: s, Intended: 100, Good: 100}
		if s >= 20 && s < 23 {
			at.Good, at.Bad = 0, 100
		}
		res.Timeline = append(res.Timeline, at)
	}
	if change != nil {
		change(res)
	}
	dir := t.TempDir()
	b, err := json.Marshal(res)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "result.json"), b, 0o600))
	return dir
}

// The numbers are computed by hand in slo/budget's TestExamine.
func TestSLOBudget(t *testing.T) {
	run := savedRun(t, nil)
	code, out, stderr := cli(t, "slo", "budget", run)
	require.Equal(t, exitMet, code, stderr)
	assert.Equal(t, strings.ReplaceAll(`region-loss (RUN)
  objective  99.999 % in 30d leaves 25.92s of total outage, or 2592 bad operations at this rate
  this run   6000 operations, 300 of them bad: 5 %
  spent      11.57 % of the budget, as 3s of total outage would
  left       88.43 %
  burn rate  at most 1000 in 5m, 166.7 in 30m, 83.33 in 1h, 13.89 in 6h, 1.157 in 3d
  alerts that would have fired (Prometheus notices at an evaluation, up to 30s later):
    critical (page)  2 % of the budget in 1h, burn rate over 14.4  0.8 s after region-loss             for 5m2s
    high (page)      5 % of the budget in 6h, burn rate over 6     0.5 s after the end of region-loss  for 30m1s
    medium (ticket)  10 % of the budget in 3d, burn rate over 1    1.5 s after the end of region-loss  for 6h0m0s
`, "RUN", run), out)

	// The run's own objective goes before the platform's, and the flags before both.
	declared := savedRun(t, func(r *slo.Result) {
		r.Objectives = []slo.Objective{{Name: slo.Availability, Target: ">= 99.9 %"}}
		r.Mutant = "no-failover"
		r.Trials = nil
	})
	code, out, _ = cli(t, "slo", "budget", filepath.Join(declared, "result.json"))
	require.Equal(t, exitMet, code)
	assert.Contains(t, out, "99.9 % in 30d leaves 43m12s of total outage, or 259200 bad")
	assert.Contains(t, out, "no alert would have fired")
	assert.Contains(t, out, "MUTANT no-failover")
	code, out, _ = cli(t, "slo", "budget", declared, run, "--target", "99.99%", "--period", "28d")
	require.Equal(t, exitMet, code)
	assert.Equal(t, 2, strings.Count(out, "99.99 % in 4w leaves 4m2s of total outage"))
	assert.Contains(t, out, "all 2 runs, in one period: 2.48 % of the budget")

	// As a gate.
	code, _, stderr = cli(t, "slo", "budget", run, "--max-spend", "11.5%")
	assert.Equal(t, exitMiss, code)
	assert.Equal(t, "fivenines: 11.57 % of the error budget is spent, more than 11.5 %\n", stderr)
	code, _, _ = cli(t, "slo", "budget", run, "--max-spend", "11.6%")
	assert.Equal(t, exitMet, code)

	code, out, _ = cli(t, "slo", "budget", run, "--json")
	require.Equal(t, exitMet, code)
	var js []jsonBudget
	require.NoError(t, json.Unmarshal([]byte(out), &js))
	require.Len(t, js, 1)
	assert.Equal(t, uint64(300), js[0].Bad)
	assert.InDelta(t, 3/25.92, js[0].Spent, 1e-9)
	require.Len(t, js[0].Alerts, 3)
	assert.Equal(t, jsonAlert{Severity: "critical", Response: "page", LongS: 3600, ShortS: 300, Factor: 14.4, FiresS: 21, ResetsS: 23 + 300}, js[0].Alerts[0], "seconds as in result.json")
}

func TestSLORules(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "rules.yml")
	code, out, stderr := cli(t, "slo", "rules", "--target", "99.9%", "--name", "checkout", "--service", "shop",
		"--bad", `http_requests_total{code=~"5.."}`, "--total", "sum(rate(http_requests_total[{{.window}}]))", "--out", file)
	require.Equal(t, exitMet, code, stderr)
	assert.Equal(t, file+"\n", out)
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Contains(t, string(b), `sum(rate(http_requests_total{code=~"5.."}[5m]))`)
	assert.Contains(t, string(b), "> 14.4 * 0.001")
	assert.Contains(t, string(b), "service: shop\n          slo: checkout")
	if tool, err := exec.LookPath("promtool"); err == nil {
		out, err := exec.Command(tool, "check", "rules", file).CombinedOutput()
		require.NoError(t, err, "%s", out)
	} else {
		require.NotEqual(t, "true", os.Getenv("CI"), "CI needs promtool: apt-get install prometheus")
		t.Log("promtool is not installed (Debian: prometheus): the rules were not checked with it")
	}

	// The platform's promise is the default; a ratio has no errors to count.
	code, out, stderr = cli(t, "slo", "rules", "--error-ratio", "up < bool 1")
	require.Equal(t, exitMet, code, stderr)
	assert.Contains(t, out, "> 14.4 * 0.00001")
	assert.NotContains(t, out, "slo:errors")

	// The committed rules come from this command.
	code, out, stderr = cli(t, "slo", "rules", "../../docker/prometheus/slo.yml")
	require.Equal(t, exitMet, code, stderr)
	b, err = os.ReadFile("../../docker/prometheus/rules/fivenines-slo.yml")
	require.NoError(t, err)
	assert.Equal(t, string(b), out)

	code, out, stderr = cli(t, "slo", "rules", "--openslo", "../../slo/openslo/testdata/shop.yaml", "--service", "shop")
	require.Equal(t, exitMet, code, stderr)
	assert.Contains(t, out, "slo: requests-aimed-at")
	assert.Contains(t, stderr, "fivenines: warning: ../../slo/openslo/testdata/shop.yaml:18: spec.connectionDetails: have no effect")
}

func TestSLOOpenSLO(t *testing.T) {
	dir := t.TempDir()
	for _, e := range scenarios.Catalogue() {
		file := filepath.Join(dir, e.Name+".yaml")
		code, _, stderr := cli(t, "slo", "openslo", e.Name, "--out", file)
		require.Equal(t, exitMet, code, stderr)
		o, err := openslo.LoadObjectives(file)
		require.NoError(t, err)
		assert.Empty(t, o.Warnings)
		want, got := scenarios.DefaultRules().Config(e.Spec).Objectives, e.Spec.Clone()
		got.Objectives = o.Declared
		assert.Equal(t, want, scenarios.DefaultRules().Config(got).Objectives, e.Name)
	}
	// The platform's, with queries: rules can be made of them again.
	file := filepath.Join(dir, "platform.yaml")
	code, _, stderr := cli(t, "slo", "openslo", "--good", "good_total", "--total", "all_total", "--period", "28d", "--out", file)
	require.Equal(t, exitMet, code, stderr)
	// Its capacity has no query: that is said, and not left out.
	code, _, stderr = cli(t, "slo", "rules", "--openslo", file)
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, stderr, "metricSource.type: fivenines: rules can be made for Prometheus only")
}

func TestBadSLOInput(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	run := savedRun(t, nil)
	badSLO := put("slo.yml", "slos:\n  - name: a\n    target: 99 %\n    indicator: {error_ratio: up}\n    priod: 5d\n")
	badOpen := put("open.yaml", "apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: a}\nspec: {service: x, budgetingMethod: Weekly, indicatorRef: y, objectives: [{target: 0.9}]}\n")
	notJSON := put("x.json", "{")
	other := put("y.json", `{"schema":"other/v1"}`)
	noTimeline := savedRun(t, func(r *slo.Result) { r.Timeline = nil })
	backwards := savedRun(t, func(r *slo.Result) { r.Timeline[3].Second = 5 })
	idle := savedRun(t, func(r *slo.Result) { r.Timeline = []slo.Slice{{Second: 1}} })
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"bugdet"}, exitUsage, `fivenines: no command is called "bugdet"`},
		{[]string{"rules"}, exitUsage, "fivenines: rules needs one of"},
		{[]string{"rules", badSLO, "--total", "x"}, exitUsage, "fivenines: rules needs one of"},
		{[]string{"rules", badSLO, "--target", "99%"}, exitUsage, "fivenines: --target, --period and --name go with queries"},
		{[]string{"rules", badSLO}, exitUsage, "fivenines: " + badSLO + ":5: slos[0].priod: no such field; allowed are name, "},
		{[]string{"rules", filepath.Join(dir, "none.yml")}, exitUsage, "none.yml: no such file"},
		{[]string{"rules", "--openslo", badOpen}, exitUsage, "fivenines: " + badOpen + `:4: spec.budgetingMethod: "Weekly" is none of`},
		{[]string{"rules", "--openslo", "../../slo/openslo/testdata/shop.yaml", "--service", "bank"}, exitUsage, `no service is called "bank"; there are shop`},
		{[]string{"rules", "--total", "x"}, exitUsage, "fivenines: --good: an indicator needs total and one of good and bad"},
		{[]string{"rules", "--total", "sum(x", "--good", "y"}, exitUsage, `fivenines: --total: "sum(x" is not PromQL`},
		{[]string{"rules", "--error-ratio", "up[5m]"}, exitUsage, `fivenines: --error-ratio: "up[5m]" is a range vector`},
		{[]string{"rules", "--total", "x", "--good", "y", "--target", "99.9"}, exitUsage, `fivenines: --target: "99.9" is not a percentage such as 99.9 %`},
		{[]string{"rules", "--total", "x", "--good", "y", "--target", "100%"}, exitUsage, "fivenines: --target: 100 % leaves no error budget"},
		{[]string{"rules", "--total", "x", "--good", "y", "--period", "month"}, exitUsage, `fivenines: --period: "month" is not a duration`},
		{[]string{"rules", "--total", "x", "--good", "y", "--target", "90%"}, exitUsage, "can never fire"},
		{[]string{"rules", "--total", "x", "--good", "y", "--name", "A b"}, exitUsage, `"A b" is not a name`},
		{[]string{"rules", "--total", "x", "--good", "y", "--out", filepath.Join(dir, "no", "x")}, exitRun, "no such file"},
		{[]string{"openslo", "regon-loss"}, exitUsage, `no scenario is called "regon-loss"; did you mean region-loss?`},
		{[]string{"openslo", "region-loss", "--good", "x", "--total", "y"}, exitUsage, "the availability, which region-loss does not declare"},
		{[]string{"openslo", "--service", "a b"}, exitUsage, `"a b" is not a name`},
		{[]string{"openslo", "--period", "90s"}, exitUsage, "is not whole minutes"},
		{[]string{"openslo", "a", "b"}, exitUsage, "accepts at most 1 arg"},
		{[]string{"budget"}, exitUsage, "fivenines: slo budget needs a run"},
		{[]string{"budget", dir}, exitUsage, "is not the folder of a run"},
		{[]string{"budget", notJSON}, exitUsage, notJSON + " is not a result.json"},
		{[]string{"budget", other}, exitUsage, `its schema is "other/v1"`},
		{[]string{"budget", noTimeline}, exitRun, "has no timeline of what its clients saw"},
		{[]string{"budget", backwards}, exitUsage, "second 5 comes after second 7"},
		{[]string{"budget", idle}, exitRun, "the series has no event"},
		{[]string{"budget", run, "--target", "high"}, exitUsage, "fivenines: --target: "},
		{[]string{"budget", run, "--target", "90%"}, exitUsage, "fivenines: alerts for 90 %: alerts[0].budget: can never fire"},
		{[]string{"budget", run, "--policy", badSLO}, exitUsage, "fivenines: " + badSLO + ":5: "},
		{[]string{"budget", run, "--max-spend", "some"}, exitUsage, "fivenines: --max-spend: "},
		{[]string{"budget", run, "--scale", "0.5"}, exitUsage, "fivenines: --scale must be 1 or more"},
		{[]string{"budget", run, "--scale", "1000"}, exitRun, "below the series' steps"},
	} {
		code, _, stderr := cli(t, append([]string{"slo"}, c.args...)...)
		assert.Equal(t, c.code, code, "%v: %s", c.args, stderr)
		assert.Contains(t, stderr, c.want, "%v", c.args)
		for line := range strings.Lines(stderr) {
			assert.True(t, strings.HasPrefix(line, "fivenines: "), "%v: %q", c.args, line)
		}
	}
}

func TestSLOHelpHasExamples(t *testing.T) {
	for _, sub := range [][]string{{"slo"}, {"slo", "rules"}, {"slo", "openslo"}, {"slo", "budget"}} {
		code, out, _ := cli(t, append(sub, "--help")...)
		require.Equal(t, exitMet, code)
		assert.Contains(t, out, "Examples:\n  fivenines slo ")
	}
}
