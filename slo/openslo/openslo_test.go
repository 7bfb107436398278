package openslo

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/internal/needs"
	"github.com/fivenines/fivenines/slo"
	"github.com/fivenines/fivenines/slo/budget"
)

func shop(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("testdata/shop.yaml")
	require.NoError(t, err)
	return string(b)
}

func texts(ws []*Warning) string {
	var lines []string
	for _, w := range ws {
		lines = append(lines, w.Error())
	}
	return strings.Join(lines, "\n")
}

func TestRulesOfAWholeFile(t *testing.T) {
	s, err := Load("testdata/shop.yaml")
	require.NoError(t, err)
	slos, warnings, err := s.BudgetSLOs()
	require.NoError(t, err)
	require.Len(t, slos, 3)

	policy := budget.Policy{
		Interval: 30 * time.Second, MinErrors: 10, NoData: "critical",
		Alerts: []budget.Alert{
			{Severity: "critical", Response: "page", Budget: 14.4 / 672, Long: time.Hour, Short: 5 * time.Minute},
			{Severity: "medium", Response: "ticket", Budget: 3.0 / 28, Long: 3 * day, Short: 6 * time.Hour},
		},
	}
	assert.Equal(t, budget.SLO{
		Name: "requests-at-least", Service: "shop", Description: "Requests are answered.", Runbook: "https://example.org/runbook",
		Objective: budget.Objective{Target: 0.995, Period: 28 * day},
		Indicator: budget.Indicator{
			Good:  `sum(rate(http_requests_total{code!~"5.."}[{{.window}}]))`,
			Total: `sum(rate(http_requests_total[{{.window}}]))`,
		},
		Policy: policy, Labels: map[string]string{"notify": "on-call,team-chat"},
	}, slos[0])
	assert.Equal(t, 14.4, slos[0].Policy.Alerts[0].Factor(28*day), "the threshold of the document")
	assert.Equal(t, "requests-aimed-at", slos[1].Name)
	assert.Equal(t, 0.999, slos[1].Objective.Target)
	assert.Equal(t, budget.Indicator{ErrorRatio: `avg_over_time(((histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))) > bool 0.25)[5m:30s]) > bool 0.1`}, slos[2].Indicator)
	assert.Equal(t, 30*day, slos[2].Objective.Period)
	assert.Equal(t, budget.Workbook().Alerts, slos[2].Policy.Alerts)

	assert.Equal(t, strings.TrimSpace(`
testdata/shop.yaml:18: spec.connectionDetails: have no effect: rules run inside Prometheus
testdata/shop.yaml:39: spec.ratioMetric.total.metricSource.spec.step: has no effect: of a Prometheus source only the query is read
testdata/shop.yaml:79: spec.alertPolicies[1].spec.notificationTargets[0].targetRef: no AlertNotificationTarget of this file is called "team-chat"; alerts carry its name all the same
testdata/shop.yaml:98: spec.timeWindow[0].calendar: has no effect on rules: Prometheus has no calendar, the last 30d are taken
testdata/shop.yaml:115: spec.alertWhenResolved: has no effect on rules: it is send_resolved of Alertmanager's receivers
testdata/shop.yaml:132: spec.condition.alertAfter: 5m has no effect: a second, short window does what it is for, without delay`),
		texts(warnings))

	rules, err := budget.Rules(slos...)
	require.NoError(t, err)
	b, err := rules.YAML()
	require.NoError(t, err)
	promtool(t, "check", "rules", write(t, "rules.yml", string(b)))
}

// promtool must be there in CI; elsewhere what needs it is skipped, and says so.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	path := needs.Program(t, "promtool", "apt-get install prometheus")
	out, err := exec.Command(path, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// Good documents with one thing changed, and what is said of it.
func TestMistakes(t *testing.T) {
	good := shop(t)
	for want, change := range map[string][2]string{
		"f:1: apiVersion: \"openslo/v2alpha\" is not openslo/v1":                               {"apiVersion: openslo/v1", "apiVersion: openslo/v2alpha"},
		"f:2: kind: \"Servise\" is not a kind; there are Service, SLO":                         {"kind: Service", "kind: Servise"},
		"f:4: metadata.name: \"the shop\" is not a name of letters, digits and":                {"name: shop", "name: the shop"},
		"f:8: metadata.labels.tags: needs texts, not 5":                                        {"[web, money]", "[web, 5]"},
		"f:10: spec.descripton: no such field; allowed are description":                        {"description: Where", "descripton: Where"},
		"f:7: metadata.labels.-team: is not a key of letters":                                  {"team: checkout", "-team: checkout"},
		"f:17: spec.type: is needed":                                                           {"type: Prometheus", "type: \"\""},
		"spec.ratioMetric: needs total with good or bad, or raw":                               {"    total:\n", "    bad:\n"},
		"spec.ratioMetric: needs either good or bad beside total":                              {"    good:\n      metricSource:\n        metricSourceRef: main-prometheus\n        spec:\n          query: sum(http_requests_total{code!~\"5..\"})\n", ""},
		"f:27: spec.ratioMetric.counter: needs true or false":                                  {"counter: true", "counter: perhaps"},
		"spec.ratioMetric.good.metricSource.spec: is needed":                                   {"        spec:\n          query: sum(http_requests_total{code!~\"5..\"})\n", "        spec: {}\n"},
		"f:46: metadata.annotations.a b: is not a key such as example.com/key":                 {"fivenines.github.io/runbook", "a b"},
		"f:54: spec.budgetingMethod: \"Occurences\" is none of Occurrences, Timeslices, Ratio": {"budgetingMethod: Occurrences", "budgetingMethod: Occurences"},
		"f:52: spec.timeWindow[0].duration: \"4 weeks\" is not a duration such as 5m":          {"duration: 4w", "duration: 4 weeks"},
		"f:52: spec.timeWindow[0]: needs isRolling: true or a calendar":                        {"isRolling: true", "isRolling: false"},
		"f:57: spec.objectives[0].targetPercent: 100 is not from 0 to below 100":               {"targetPercent: 99.5", "targetPercent: 100"},
		"f:59: spec.objectives[1].target: 99.9 is not from 0 to below 1":                       {"target: 0.999", "target: 99.9"},
		"f:58: spec.objectives[1]: needs either a target or a targetPercent":                   {"      target: 0.999\n", ""},
		"f:61: spec.alertPolicies[0]: needs either an alertPolicyRef or a kind with a spec":    {"alertPolicyRef: fast", "kind: AlertPolicy"},
		"f:72: spec.alertPolicies[1].spec.conditions[0].spec.severity: is needed":              {"severity: ticket", "severity: \"\""},
		"spec.alertPolicies[1].spec.conditions[0].spec.condition.threshold: is needed":         {"threshold: 1\n", "threshold: 0\n"},
		"condition.kind: \"latency\" is none of burnrate":                                      {"kind: burnrate", "kind: latency"},
		"f:100: spec.timeWindow[0].calendar.timeZone: \"Europe/Munich\" is not a time zone":    {"Europe/Berlin", "Europe/Munich"},
		"f:99: spec.timeWindow[0].calendar: can't stand in a rolling window":                   {"duration: 1M\n", "duration: 1M\n      isRolling: true\n"},
		"f:102: spec.objectives: has 2 items; of a thresholdMetric one is allowed":             {"      timeSliceWindow: 5\n", "      timeSliceWindow: 5\n    - {op: lt, value: 1, target: 0.5, timeSliceTarget: 0.5, timeSliceWindow: 5}\n"},
		"f:117: spec.conditions: has 2 items, one is needed":                                   {"    - conditionRef: fast-burn\n", "    - conditionRef: fast-burn\n    - conditionRef: other\n"},
		"f:99: spec.timeWindow[0].calendar.startTime: \"2026-01-01\" is not a time such":       {"2026-01-01 00:00:00", "2026-01-01"},
		"f:103: spec.objectives[0].op: \"below\" is none of lte, gte, lt, gt":                  {"op: lte", "op: below"},
		"f:103: spec.objectives[0].value: is needed for a thresholdMetric":                     {"      value: 0.25\n", ""},
		"f:106: spec.objectives[0].timeSliceTarget: 9 is not above 0 and up to 1":              {"timeSliceTarget: 0.9", "timeSliceTarget: 9"},
		"f:107: spec.objectives[0].timeSliceWindow: \"0m\" is not a duration":                  {"timeSliceWindow: 5", "timeSliceWindow: 0"},
		"f:103: spec.objectives[0].timeSliceWindow: is needed for Timeslices":                  {"      timeSliceWindow: 5\n", ""},
		"f:139: spec.target: is needed":                                                        {"target: pager", "target: \"\""},
		"f:124: metadata.name: another AlertPolicy is called \"fast\" too":                     {"kind: AlertCondition\nmetadata:\n  name: fast-burn\nspec:\n", "kind: AlertPolicy\nmetadata: {name: fast}\nspec: {conditions: [{conditionRef: x}]}\n---\napiVersion: openslo/v1\nkind: AlertCondition\nmetadata:\n  name: fast-burn\nspec:\n"},
	} {
		text := strings.Replace(good, change[0], change[1], 1)
		require.NotEqual(t, good, text, want)
		_, err := Read("f", []byte(text))
		require.Error(t, err, want)
		assert.Contains(t, err.Error(), want)
	}
	_, err := Read("f", []byte(strings.NewReplacer("target: 0.999", "target: 9", "op: lte", "op: x").Replace(good)))
	require.Error(t, err)
	assert.Equal(t, 2, len(strings.Split(err.Error(), "\n")), "all mistakes at once, a line each")
}

// What rules can't be made of, or only with a warning.
func TestWhatRulesCanNotBeMadeOf(t *testing.T) {
	good := shop(t)
	for want, change := range map[string][2]string{
		"f:50: spec.indicatorRef: no SLI of this file is called \"good-reqs\"":                        {"indicatorRef: good-requests", "indicatorRef: good-reqs"},
		"spec.ratioMetric.good.metricSource.metricSourceRef: no DataSource of this file is called":    {"metricSourceRef: main-prometheus\n        spec", "metricSourceRef: other\n        spec"},
		"f:36: spec.ratioMetric.total.metricSource.type: is Datadog, and that of DataSource main-pro": {"        type: Prometheus", "        type: Datadog"},
		"f:93: spec.indicator.spec.thresholdMetric.metricSource.type: Redshift: rules can be made":    {"type: prometheus", "type: Redshift"},
		"metricSource.spec.query: is needed: PromQL":                                                  {"query: histogram", "sql: histogram"},
		"metricSource.spec.query: can't have a {{.window}}":                                           {"[5m]", "[{{.window}}]"},
		"metricSource.spec.query: \"max(http_requests_total{code!~\\\"5..\\\"})\": no rate can be":    {"sum(http_requests_total{", "max(http_requests_total{"},
		"f:25: spec: \"sum(rate(http_requests_total[{{.window}}])\" is not PromQL":                    {"total[{{.window}}]))", "total[{{.window}}])"},
		"f:61: spec.alertPolicies[0].alertPolicyRef: no AlertPolicy of this file is called \"quick\"": {"alertPolicyRef: fast", "alertPolicyRef: quick"},
		"f:118: spec.conditions[0].conditionRef: no AlertCondition of this file is called":            {"conditionRef: fast-burn", "conditionRef: x"},
		"f:127: spec.severity: \"loud\" is not a severity here; there are critical, high, medium":     {"severity: sev1", "severity: loud"},
		"f:130: spec.condition.threshold: 1000 in 1h is more than the whole budget of 4w":             {"threshold: 14.4", "threshold: 1000"},
		"f:61: spec.alertPolicies[0]: can never fire: a burn rate of 250 needs 125 %":                 {"threshold: 14.4", "threshold: 250"},
		"f:44: metadata.name: \"re.quests-at-least\" is not a name of lower-case letters":             {"name: requests\n", "name: re.quests\n"},
		"f:60: spec.alertPolicies: needs one alert at least":                                          {"alertWhenBreaching: true", "alertWhenBreaching: false"},
	} {
		text := strings.Replace(good, change[0], change[1], 1)
		if strings.Contains(want, "needs one alert") {
			text = strings.ReplaceAll(good, change[0], change[1])
		}
		require.NotEqual(t, good, text, want)
		s, err := Read("f", []byte(text))
		require.NoError(t, err, want)
		_, _, err = s.BudgetSLOs()
		require.Error(t, err, want)
		assert.Contains(t, err.Error(), want)
		lines := strings.Split(err.Error(), "\n")
		slices.Sort(lines)
		assert.Len(t, slices.Compact(slices.Clone(lines)), len(lines), "what two objectives share is wrong once: %v", lines)
	}
	_, _, err := (&Set{}).BudgetSLOs()
	require.ErrorContains(t, err, "no SLO")
}

// small is an SLO in a file of its own.
func small(indicator, method, objective string) string {
	return fmt.Sprintf(`apiVersion: openslo/v1
kind: SLO
metadata: {name: x}
spec:
  service: shop
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: %s
  objectives: [{%s}]
  indicator: {metadata: {name: i}, spec: {%s}}
`, method, objective, indicator)
}

const (
	goodTotal = `ratioMetric: {counter: true, good: {metricSource: {type: Prometheus, spec: {query: good_total}}}, total: {metricSource: {type: Prometheus, spec: {query: all_total}}}}`
	badTotal  = `ratioMetric: {counter: true, bad: {metricSource: {type: Prometheus, spec: {query: bad_total}}}, total: {metricSource: {type: Prometheus, spec: {query: all_total}}}}`
	gauges    = `ratioMetric: {counter: false, bad: {metricSource: {type: Prometheus, spec: {query: bad}}}, total: {metricSource: {type: Prometheus, spec: {query: all}}}}`
	raw       = `ratioMetric: {counter: false, rawType: %s, raw: {metricSource: {type: Prometheus, spec: {query: ratio}}}}`
	value     = `thresholdMetric: {metricSource: {type: Prometheus, spec: {query: queue_length}}}`
)

func TestIndicators(t *testing.T) {
	const sliced = "target: 0.99, timeSliceTarget: 0.95, timeSliceWindow: 1m"
	for _, c := range []struct {
		indicator, method, objective string
		want                         budget.Indicator
	}{
		{goodTotal, Occurrences, "target: 0.99", budget.Indicator{Good: "sum(rate(good_total[{{.window}}]))", Total: "sum(rate(all_total[{{.window}}]))"}},
		{badTotal, Occurrences, "target: 0.99", budget.Indicator{Bad: "sum(rate(bad_total[{{.window}}]))", Total: "sum(rate(all_total[{{.window}}]))"}},
		{gauges, Occurrences, "target: 0.99", budget.Indicator{Bad: "avg_over_time((bad)[{{.window}}:1m])", Total: "avg_over_time((all)[{{.window}}:1m])"}},
		{fmt.Sprintf(raw, "failure"), Occurrences, "target: 0.99", budget.Indicator{ErrorRatio: "ratio"}},
		{fmt.Sprintf(raw, "success"), Occurrences, "target: 0.99", budget.Indicator{ErrorRatio: "1 - (ratio)"}},
		{fmt.Sprintf(raw, "success"), Timeslices, sliced, budget.Indicator{ErrorRatio: "(1 - (ratio)) > bool 0.05"}},
		{goodTotal, Timeslices, sliced, budget.Indicator{ErrorRatio: "(1 - (sum(rate(good_total[1m])) or vector(0)) / (sum(rate(all_total[1m])))) > bool 0.05"}},
		{badTotal, RatioTimeslices, sliced, budget.Indicator{ErrorRatio: "(sum(rate(bad_total[1m])) or vector(0)) / (sum(rate(all_total[1m])))"}},
		{value, Occurrences, "target: 0.99, op: lt, value: 7.5", budget.Indicator{ErrorRatio: "(queue_length) >= bool 7.5"}},
		{value, Occurrences, "target: 0.99, op: gte, value: 0", budget.Indicator{ErrorRatio: "(queue_length) < bool 0"}},
		{value, Timeslices, sliced + ", op: gt, value: 1", budget.Indicator{ErrorRatio: "avg_over_time(((queue_length) <= bool 1)[1m:30s]) > bool 0.05"}},
		{value, RatioTimeslices, sliced + ", op: lte, value: 1", budget.Indicator{ErrorRatio: "avg_over_time(((queue_length) > bool 1)[1m:30s])"}},
	} {
		s, err := Read("f", []byte(small(c.indicator, c.method, c.objective)))
		require.NoError(t, err)
		slos, warnings, err := s.BudgetSLOs()
		require.NoError(t, err, "%+v", c)
		require.Len(t, slos, 1)
		assert.Equal(t, c.want, slos[0].Indicator)
		_, err = budget.Rules(slos...)
		require.NoError(t, err)
		if c.indicator == gauges {
			assert.Contains(t, texts(warnings), "f:9: spec.indicator.spec: its queries count neither in rate nor in increase: alerts can't wait for 10 errors")
			assert.Zero(t, slos[0].Policy.MinErrors)
		} else {
			assert.Empty(t, warnings)
		}
	}
	s, err := Read("f", []byte(strings.Replace(small(badTotal, Occurrences, "target: 0.9995, op: lt, value: 5"), "timeWindow: [{duration: 30d, isRolling: true}]", "description: x", 1)))
	require.NoError(t, err)
	_, warnings, err := s.BudgetSLOs()
	require.NoError(t, err)
	assert.Equal(t, "f:4: spec.timeWindow: is not there: 30d is taken\nf:8: spec.objectives[0].op: has no effect: the indicator is a ratio\nf:8: spec.objectives[0].value: has no effect: the indicator is a ratio", texts(warnings))
}

// Played by promtool: time slices and thresholds count bad time, and moments
// without a value are not bad.
func TestTimeSlicesInPrometheus(t *testing.T) {
	s, err := Read("f", []byte(strings.Replace(small(badTotal, Timeslices, "target: 0.99, timeSliceTarget: 0.95, timeSliceWindow: 2m"), "name: x", "name: slices", 1)+
		"---\n"+strings.Replace(small(value, Occurrences, "target: 0.99, op: lt, value: 10"), "name: x", "name: queue", 1)))
	require.NoError(t, err)
	slos, _, err := s.BudgetSLOs()
	require.NoError(t, err)
	f, err := budget.Rules(slos...)
	require.NoError(t, err)
	b, err := f.YAML()
	require.NoError(t, err)
	rules := write(t, "rules.yml", string(b))
	// Of 60 minutes: no request until 30, all good until 40, 10 % bad from 41 to
	// 46, then 1 %, which is good enough. Slices of two minutes end in 5 % (good
	// enough) at 41, 10 % from 42 to 46, 5.5 % at 47. The queue: nothing known until 30, too long
	// from 41 to 46.
	test := write(t, "test.yml", fmt.Sprintf(`rule_files: [%q]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: all_total, values: "0+0x29 0+1000x30"}
      - {series: bad_total, values: "0+0x40 100+100x5 610+10x12"}
      - {series: queue_length, values: "NaN+0x29 5+0x10 10+0x5 9.9+0x12"}
    promql_expr_test:
      - expr: sum_over_time(slo:error_ratio:now{slo="slices"}[58m])
        eval_time: 59m
        exp_samples: [{labels: '{slo="slices",service="shop"}', value: 6}]
      - expr: slo:error_ratio:rate1h{slo="queue"} * 60
        eval_time: 59m
        exp_samples: [{labels: '{slo="queue",service="shop"}', value: 6}]
`, rules))
	promtool(t, "test", "rules", test)
}

func mapped(t *testing.T, text string) *Objectives {
	t.Helper()
	s, err := Read("f", []byte(text))
	require.NoError(t, err)
	o, err := s.Map()
	require.NoError(t, err)
	return o
}

func TestObjectivesOfARun(t *testing.T) {
	// The strictest of one SLO; what is counted in time slices is said to be nothing.
	o, err := LoadObjectives("testdata/shop.yaml")
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"availability": ">= 99.9 %"}, o.Declared)
	assert.Equal(t, "testdata/shop.yaml:101: spec.budgetingMethod: Timeslices has no effect on a run: its availability counts operations, not time slices", texts(o.Warnings))
	assert.Zero(t, o.Deadline)

	latency := strings.Replace(value, "queue_length", "request_duration_seconds", 1)
	o = mapped(t, small(latency, Occurrences, "targetPercent: 99.99, op: lte, value: 0.3"))
	assert.Equal(t, map[string]string{"availability": ">= 99.99 %"}, o.Declared)
	assert.Equal(t, 300*time.Millisecond, o.Deadline)
	assert.Empty(t, o.Warnings)

	// The unit can be said; the same availability twice is one.
	text := strings.Replace(small(value, Occurrences, "targetPercent: 99.99, op: lt, value: 250"), "name: x", "name: x, annotations: {fivenines.github.io/unit: ms}", 1)
	o = mapped(t, text+"---\n"+strings.Replace(small(goodTotal, Occurrences, "target: 0.9999"), "name: x", "name: y", 1))
	assert.Equal(t, map[string]string{"availability": ">= 99.99 %"}, o.Declared)
	assert.Equal(t, 250*time.Millisecond, o.Deadline)
	assert.Empty(t, o.Warnings)

	// Beside another availability a latency can't be asked for.
	o = mapped(t, text+"---\n"+strings.Replace(small(goodTotal, Occurrences, "target: 0.999"), "name: x", "name: y", 1))
	assert.Equal(t, map[string]string{"availability": ">= 99.9 %"}, o.Declared)
	assert.Zero(t, o.Deadline)
	assert.Contains(t, texts(o.Warnings), "f:8: spec.objectives[0]: has no effect on a run: it asks for 99.99 % within 250ms, and line 18 for an availability of >= 99.9 %")

	o = mapped(t, small(value, Occurrences, "target: 0.99, op: lt, value: 250"))
	assert.Empty(t, o.Declared)
	assert.Contains(t, texts(o.Warnings), "its threshold is not one of latency")
}

func TestObjectivesThatDoNotFit(t *testing.T) {
	two := small(goodTotal, Occurrences, "target: 0.999") + "---\n" + strings.NewReplacer("name: x", "name: y", "service: shop", "service: till").Replace(small(badTotal, Occurrences, "target: 0.99"))
	s, err := Read("f", []byte(two))
	require.NoError(t, err)
	_, err = s.Map()
	require.ErrorContains(t, err, `f:18: spec.objectives[0]: is the objective availability with ">= 99 %", which line 8 has with ">= 99.9 %"; keep one, or take one service`)
	till, err := s.For("till")
	require.NoError(t, err)
	o, err := till.Map()
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"availability": ">= 99 %"}, o.Declared)
	_, err = s.For("bank")
	require.EqualError(t, err, `no service is called "bank"; there are shop, till`)

	latency := strings.Replace(value, "queue_length", "request_duration_ms", 1)
	for want, text := range map[string]string{
		"f:3: metadata.annotations.fivenines.github.io/objective: no objective is called \"speed\"": strings.Replace(small(goodTotal, Occurrences, "target: 0.9"), "name: x", "name: x, annotations: {fivenines.github.io/objective: speed}", 1),
		"f:8: spec.objectives[0]: objective failover: \">= 90 %\" is not a bound on a duration":     strings.Replace(small(goodTotal, Occurrences, "target: 0.9"), "name: x", "name: x, annotations: {fivenines.github.io/objective: failover}", 1),
		"f:8: spec.objectives[0].op: must be lt for an objective of fivenines, not gt":              strings.Replace(small(value, Occurrences, "target: 0.9, op: gt, value: 5"), "name: x", "name: x, annotations: {fivenines.github.io/objective: failover}", 1),
		"is none of ms, s, m, h": strings.Replace(small(value, Occurrences, "target: 0.9, op: lt, value: 5"), "name: x", "name: x, annotations: {fivenines.github.io/objective: failover, fivenines.github.io/unit: y}", 1),
		"f:8: spec.objectives[0].op: a latency is good below its threshold":                        small(latency, Occurrences, "target: 0.9, op: gt, value: 5"),
		"f:8: spec.objectives[0].value: -5 is not a latency":                                       small(latency, Occurrences, "target: 0.9, op: lt, value: -5"),
		"asks for a deadline of 6ms, and line 8 for 5ms; a run has one":                            small(latency, Occurrences, "target: 0.9, op: lt, value: 5") + "---\n" + strings.Replace(small(latency, Occurrences, "target: 0.9, op: lt, value: 6"), "name: x", "name: y", 1),
		"f:1: metadata.annotations.fivenines.github.io/objective.rpo: objective rpo: \"0\" is not": "{apiVersion: openslo/v1, kind: Service, metadata: {name: a, annotations: {fivenines.github.io/objective.rpo: \"0\"}}, spec: {}}",
		"f:1: metadata.annotations.fivenines.github.io/goal: no such annotation of a service":      "{apiVersion: openslo/v1, kind: Service, metadata: {name: a, annotations: {fivenines.github.io/goal: x}}, spec: {}}",
		"f:1: metadata.annotations.fivenines.github.io/deadline: \"soon\" is not a duration":       "{apiVersion: openslo/v1, kind: Service, metadata: {name: a, annotations: {fivenines.github.io/deadline: soon}}, spec: {}}",
	} {
		s, err := Read("f", []byte(text))
		require.NoError(t, err, want)
		_, err = s.Map()
		require.Error(t, err, want)
		assert.Contains(t, err.Error(), want)
	}
	_, err = LoadObjectives("none.yaml")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// What is written of any objectives reads as the same objectives, and is legal
// OpenSLO.
func TestObjectivesSurvive(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 5))
	for range 300 {
		in := map[string]string{}
		for _, name := range slo.Names() {
			if rng.IntN(2) == 0 {
				continue
			}
			for _, text := range []string{
				fmt.Sprintf("< %d ms", 1+rng.IntN(100_000)), fmt.Sprintf("<= %d", rng.IntN(50)), fmt.Sprintf(">= %v %%", float64(rng.IntN(100_001))/1000),
			} {
				if strings.HasPrefix(text, "<") && rng.IntN(2) == 0 {
					text = fmt.Sprintf("p%d %s", 1+rng.IntN(99), text)
				}
				if target, err := slo.ParseTarget(name, text); err == nil {
					in[name] = target.String()
				}
			}
		}
		src := Source{Service: "platform", Description: "A: b # c", Deadline: time.Duration(1+rng.IntN(5000)) * time.Millisecond}
		if rng.IntN(2) == 0 {
			src.Availability = budget.Indicator{Good: "sum(rate(good[{{.window}}]))", Total: "sum(rate(all[{{.window}}]))"}
			src.Deadline = 0
		}
		set, err := FromObjectives(src, in)
		require.NoError(t, err, "%v", in)
		var b bytes.Buffer
		require.NoError(t, set.Write(&b), "%v", in)
		o := mapped(t, b.String())
		require.Equal(t, in, o.Declared, "%s", b.String())
		require.Equal(t, src.Deadline, o.Deadline)
		require.Empty(t, o.Warnings)
	}
}

func TestWrittenDocuments(t *testing.T) {
	set, err := FromObjectives(Source{Service: "fivenines", Deadline: time.Second}, map[string]string{
		"availability": ">= 99.999 %", "capacity": ">= 100 %", "session-loss": "0", "failover": "< 5 s",
	})
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, set.Write(&b))
	assert.Equal(t, `apiVersion: openslo/v1
kind: Service
metadata:
  name: fivenines
  annotations:
    fivenines.github.io/deadline: 1s
    fivenines.github.io/objective.capacity: ">= 100 %"
    fivenines.github.io/objective.failover: < 5 s
    fivenines.github.io/objective.session-loss: "0"
spec: {}
---
apiVersion: openslo/v1
kind: SLO
metadata:
  name: fivenines-availability
  annotations:
    fivenines.github.io/objective: availability
spec:
  service: fivenines
  indicator:
    metadata:
      name: fivenines-availability
    spec:
      ratioMetric:
        counter: true
        good:
          metricSource:
            type: fivenines
            spec:
              count: good
              measure: availability
        total:
          metricSource:
            type: fivenines
            spec:
              count: total
              measure: availability
  timeWindow:
    - duration: 30d
      isRolling: true
  budgetingMethod: Occurrences
  objectives:
    - targetPercent: 99.999
`, b.String())
	_, _, err = set.BudgetSLOs()
	require.ErrorContains(t, err, "spec.indicator.spec.ratioMetric.total.metricSource.type: fivenines: rules can be made for Prometheus only; give the indicator its queries")

	for _, bad := range []struct {
		src Source
		obj map[string]string
	}{
		{Source{Service: "a"}, map[string]string{"speed": "high"}},
		{Source{Service: "a b"}, map[string]string{}},
		{Source{Service: "a", Period: time.Second}, map[string]string{"availability": ">= 99 %"}},
		{Source{Service: "a", Description: strings.Repeat("x", 2000)}, nil},
	} {
		_, err := FromObjectives(bad.src, bad.obj)
		require.Error(t, err, "%+v", bad)
	}
}

// A whole file reads, writes and reads as the same.
func TestDocumentsSurvive(t *testing.T) {
	s, err := Load("testdata/shop.yaml")
	require.NoError(t, err)
	var b, again bytes.Buffer
	require.NoError(t, s.Write(&b))
	back, err := Read("f", b.Bytes())
	require.NoError(t, err)
	require.NoError(t, back.Write(&again))
	assert.Equal(t, b.String(), again.String())
	one, _, err := s.BudgetSLOs()
	require.NoError(t, err)
	two, _, err := back.BudgetSLOs()
	require.NoError(t, err)
	assert.Equal(t, one, two)

	// What would not survive is refused, not written otherwise.
	for _, text := range []string{"a\tb", "x: y", "# x", "a\nb", "true", "5", "'", `"`, "\u2028", "a\r\nb", "- x", "a\x00b", " lead", "trail ", "\t", "a\n\n", "é", "@x", "%y", "{", "*z", "&z", "!z", "|", ">", "~", "null"} {
		set, err := FromObjectives(Source{Service: "a", Description: text}, nil)
		require.NoError(t, err)
		b.Reset()
		if err := set.Write(&b); err != nil {
			assert.Zero(t, b.Len())
			continue
		}
		back, err := Read("f", b.Bytes())
		require.NoError(t, err)
		assert.Equal(t, text, back.Services[0].Spec.Description)
	}
}

func TestDurations(t *testing.T) {
	for s, d := range map[string]time.Duration{"5m": 5 * time.Minute, "12h": 12 * time.Hour, "1d": day, "4w": 28 * day, "1M": 30 * day, "1Q": 90 * day, "1Y": 365 * day} {
		got, err := ParseDuration(s)
		require.NoError(t, err)
		assert.Equal(t, d, got, s)
	}
	for _, s := range []string{"", "5", "0m", "-5m", "5s", "5 m", "1.5h", "99999999d", "999999Y"} {
		_, err := ParseDuration(s)
		require.Error(t, err, s)
	}
	for d, want := range map[time.Duration]string{30 * day: "30d", 90 * time.Minute: "90m", 5 * time.Hour: "5h"} {
		got, err := FormatDuration(d)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	for _, d := range []time.Duration{0, time.Second, -day, time.Minute + 1} {
		_, err := FormatDuration(d)
		require.Error(t, err)
	}
}

// Whatever the text, the program goes on; what is read can be written.
func FuzzRead(f *testing.F) {
	b, err := os.ReadFile("testdata/shop.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(small(value, Timeslices, "target: 0.99, timeSliceTarget: 0.95, timeSliceWindow: 1m, op: lt, value: 5")))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Read("f", data)
		if err != nil {
			return
		}
		_, _ = s.Map()
		if slos, _, err := s.BudgetSLOs(); err == nil {
			_, _ = budget.Rules(slos...)
		}
		_ = s.Write(&bytes.Buffer{})
	})
}
