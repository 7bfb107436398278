package budget

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const goodFile = `policy:
  interval: 1m
  min_errors: 0
slos:
  - name: requests
    service: shop
    target: 99.9 %
    runbook: https://example.org
    labels: {team: checkout}
    indicator:
      bad: sum(rate(bad[{{.window}}]))
      total: sum(rate(total[{{.window}}]))
  - name: latency
    target: 99 %
    period: 28d
    indicator: {error_ratio: up < bool 1}
    policy:
      no_data: low
      alerts:
        - {severity: critical, budget: 2 %, long: 1h}
        - {severity: low, budget: 50 %, long: 14d, short: 1d}
`

func TestDecode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slo.yml")
	require.NoError(t, os.WriteFile(path, []byte(goodFile), 0o600))
	f, err := Load(path)
	require.NoError(t, err)
	require.Len(t, f.SLOs, 2)
	w := Workbook()
	w.Interval, w.MinErrors = time.Minute, 0
	assert.Equal(t, w, f.Policy)
	assert.Equal(t, SLO{
		Name: "requests", Service: "shop", Runbook: "https://example.org", Labels: map[string]string{"team": "checkout"},
		Objective: Objective{Target: 0.999, Period: 30 * day},
		Indicator: Indicator{Bad: "sum(rate(bad[{{.window}}]))", Total: "sum(rate(total[{{.window}}]))"}, Policy: w,
	}, f.SLOs[0])
	assert.Equal(t, SLO{
		Name: "latency", Service: DefaultService, Objective: Objective{Target: 0.99, Period: 28 * day},
		Indicator: Indicator{ErrorRatio: "up < bool 1"},
		Policy: Policy{Interval: time.Minute, NoData: "low", Alerts: []Alert{
			{Severity: "critical", Response: "page", Budget: 0.02, Long: time.Hour, Short: 5 * time.Minute},
			{Severity: "low", Response: "ticket", Budget: 0.5, Long: 14 * day, Short: day},
		}},
	}, f.SLOs[1])
	rules, err := Rules(f.SLOs...)
	require.NoError(t, err)
	b, err := rules.YAML()
	require.NoError(t, err)
	assert.Contains(t, string(b), "team: checkout")
	assert.Contains(t, string(b), "record: slo:error_ratio:now\n        expr: (up < bool 1) > -Inf")
	path = filepath.Join(t.TempDir(), "rules.yml")
	require.NoError(t, os.WriteFile(path, b, 0o600))
	check(t, path)

	f, err = Decode("p.yml", []byte("policy: {min_errors: 3}"))
	require.NoError(t, err)
	assert.Equal(t, uint64(3), f.Policy.MinErrors)
	assert.Empty(t, f.SLOs)
}

func TestMistakesInFiles(t *testing.T) {
	for want, change := range map[string][2]string{
		"f.yml:6: slos[0].service: \"Shop\" is not a name of lower-case":              {"service: shop", "service: Shop"},
		"f.yml:7: slos[0].target: \"99.9\" is not a percentage such as 99.9 %":        {"99.9 %", "99.9"},
		"f.yml:7: slos[0].target: 100 % leaves no error budget":                       {"99.9 %", "100 %"},
		"f.yml:15: slos[1].period: \"a month\" is not a duration such as 30d":         {"28d", "a month"},
		"f.yml:2: policy.interval: \"often\" is not a duration":                       {"interval: 1m", "interval: often"},
		"f.yml:2: policy.interval: \"0s\" is not a duration":                          {"interval: 1m", "interval: 0s"},
		"f.yml:11: slos[0].indicator.bad: \"sum(rate(bad[{{.window}}])\" is not Prom": {"bad: sum(rate(bad[{{.window}}]))", "bad: sum(rate(bad[{{.window}}])"},
		"f.yml:12: slos[0].indicator.totl: no such field; allowed are good, bad, to":  {"total: sum", "totl: sum"},
		"f.yml:16: slos[1].indicator.error_ratio: \"up <\" is not PromQL":             {"up < bool 1", "up <"},
		"f.yml:20: slos[1].policy.alerts[0].severity: \"sev1\" is not a severity":     {"severity: critical", "severity: sev1"},
		"f.yml:21: slos[1].policy.alerts[1].long: 30d is not above 0 and up to the":   {"long: 14d", "long: 30d"},
		"f.yml:21: slos[1].policy.alerts[1].budget: is needed: a percentage":          {"budget: 50 %, ", ""},
		"f.yml:21: slos[1].policy.alerts[1].long: 0s is not above 0":                  {"long: 14d, ", ""},
		"f.yml:13: slos[1].name: requests is the name of slos[0] of the same":         {"name: latency", "name: requests\n    service: shop"},
		"f.yml:14: slos[1].target: is needed":                                         {"target: 99 %", "target: \"\""},
		"f.yml:3: policy.min_errors: needs a whole number":                            {"min_errors: 0", "min_errors: few"},
		"f.yml:20: slos[1].policy.alerts[0].budget: can never fire: a burn rate of 1": {"target: 99 %", "target: 90 %"},
	} {
		text := strings.Replace(goodFile, change[0], change[1], 1)
		require.NotEqual(t, goodFile, text)
		_, err := Decode("f.yml", []byte(text))
		require.Error(t, err, want)
		assert.Contains(t, err.Error(), want)
	}
	// The policy that is wrong for an objective stands at the top of the file.
	_, err := Decode("f.yml", []byte("policy:\n  alerts:\n    - {severity: low, budget: 50 %, long: 1h}\nslos:\n  - {name: a, target: 99 %, indicator: {error_ratio: up}}\n"))
	require.ErrorContains(t, err, "f.yml:3: policy.alerts[0].budget: can never fire")
	for _, text := range []string{"", "{}", "slos: []", "policy: {alerts: []}", "slos: 5", "a: 1\n---\nb: 2"} {
		_, err := Decode("f.yml", []byte(text))
		require.Error(t, err, text)
		assert.True(t, strings.HasPrefix(err.Error(), "f.yml"), "%v", err)
	}
	// All mistakes at once.
	_, err = Decode("f.yml", []byte(strings.NewReplacer("99.9 %", "9", "28d", "x").Replace(goodFile)))
	require.ErrorContains(t, err, "slos[0].target")
	require.ErrorContains(t, err, "slos[1].period")
	_, err = Load("none.yml")
	require.ErrorIs(t, err, os.ErrNotExist)
}
