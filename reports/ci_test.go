package reports

import (
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/internal/needs"
	"github.com/fivenines/fivenines/slo"
	"github.com/fivenines/fivenines/slo/compare"
)

func families(t testing.TB, text string) map[string]*dto.MetricFamily {
	t.Helper()
	p := expfmt.NewTextParser(model.UTF8Validation)
	fs, err := p.TextToMetricFamilies(strings.NewReader(text))
	require.NoError(t, err, text)
	return fs
}

// gauge is the value of the one series with these labels.
func gauge(t testing.TB, fs map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	t.Helper()
	require.Contains(t, fs, name)
next:
	for _, m := range fs[name].Metric {
		for _, l := range labels {
			k, v, _ := strings.Cut(l, "=")
			found := false
			for _, have := range m.Label {
				found = found || have.GetName() == k && have.GetValue() == v
			}
			if !found {
				continue next
			}
		}
		return m.Gauge.GetValue()
	}
	t.Fatalf("%s has no series %v", name, labels)
	return 0
}

// What a dashboard and an alert read agrees with the result, row by row.
func TestTextfileSaysWhatTheResultSays(t *testing.T) {
	for name, make := range results {
		r := make()
		fs := families(t, render(t, "prom", r))
		for _, v := range []slo.Verdict{slo.Met, slo.Missed, slo.Inconclusive} {
			want := 0.0
			if v == overall(r) {
				want = 1
			}
			assert.Equal(t, want, gauge(t, fs, "fivenines_run_verdict", "verdict="+string(v), "scenario="+clip(r.Scenario, 200)), "%s %s", name, v)
		}
		assert.Equal(t, float64(r.Load.OK), gauge(t, fs, "fivenines_run_operations", "outcome=ok"))
		for i := range r.Objectives {
			o := &r.Objectives[i]
			if v := known(o.Verdict); v != slo.NotEvaluated {
				assert.Equal(t, 1.0, gauge(t, fs, "fivenines_objective_verdict", "objective="+o.Name, "verdict="+string(v)), name)
			}
			if o.Measured != nil && finite(o.Measured.Value) {
				assert.InDelta(t, o.Measured.Value, gauge(t, fs, "fivenines_objective_measured_"+units[o.Unit][0], "objective="+o.Name), 1e-9, "%s %s", name, o.Name)
			}
		}
		for _, f := range fs {
			assert.NotEmpty(t, f.GetHelp(), f.GetName())
			assert.Equal(t, dto.MetricType_GAUGE, f.GetType(), f.GetName())
		}
	}
}

func TestTextfileHasNoNumberThatIsNone(t *testing.T) {
	r := missed()
	for i := range r.Objectives {
		if r.Objectives[i].Name == "failover" {
			r.Objectives[i].Measured = &slo.Value{Value: math.NaN()}
		}
	}
	r.Load.Latency.P99 = math.Inf(1)
	text := render(t, "prom", r)
	families(t, text)
	assert.NotContains(t, text, "NaN")
	assert.NotContains(t, text, "+Inf")
	assert.NotContains(t, text, `fivenines_objective_measured_seconds{backend="process",mutant="",objective="failover"`)
}

func promtool(t testing.TB, text string) (string, error) {
	t.Helper()
	path := needs.Program(t, "promtool", "apt-get install prometheus")
	cmd := exec.CommandContext(t.Context(), path, "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Prometheus' own linter has nothing to say; it does of a file that is wrong.
func TestTextfilePassesPromtool(t *testing.T) {
	for name, make := range results {
		out, err := promtool(t, render(t, "prom", poison(make(), `a"b\c`+"\n")))
		assert.NoError(t, err, "%s: %s", name, out)
		assert.Empty(t, out, name)
	}
	for _, wrong := range []string{
		"fivenines_run_trials{state=\"valid\" 1\n",
		"# HELP fivenines_failover_milliseconds x\n# TYPE fivenines_failover_milliseconds gauge\nfivenines_failover_milliseconds 3\n",
		"fivenines_without_help 1\n",
	} {
		_, err := promtool(t, wrong)
		assert.Error(t, err, wrong)
	}
}

// A comment begins with the line that the next one replaces it by, stays short,
// and hostile text stays text in it.
func TestComment(t *testing.T) {
	for name, make := range results {
		r := make()
		text := render(t, "comment", r)
		assert.True(t, strings.HasPrefix(text, "<!-- fivenines:"+r.Scenario+" -->\n"), name)
		assert.Less(t, len(text), 8000, name)
		assert.Equal(t, 1, strings.Count(text, "<!-- fivenines:"), name)
		bad := make()
		bad.Scenario = "x --> <!-- fivenines:other --> @somebody"
		assert.Equal(t, "<!-- fivenines:x-fiveninesother-somebody -->", CommentMarker(bad))
		for line := range strings.SplitSeq(escaped.ReplaceAllString(render(t, "comment", poison(make(), hostile)), ""), "\n") {
			if strings.HasPrefix(line, "| ") {
				assert.Equal(t, 5, strings.Count(line, "|"), "cells of %q", line)
				assert.NotContains(t, line, "<zz9")
				assert.NotContains(t, line, "@somebody")
			}
		}
	}
}

func TestCommentComparesWithTheBase(t *testing.T) {
	base, next := trials(), trials()
	for i := range next.Trials {
		next.Trials[i].Measures.LostWrites += 3
	}
	c, err := compare.Results(base, next, compare.Options{})
	require.NoError(t, err)
	var b strings.Builder
	require.NoError(t, WriteComment(&b, next, c))
	assert.Contains(t, b.String(), "**Against the base:**")
	assert.Regexp(t, `\| lost-writes \| .* \| ❌ \*\*worse\*\* \|`, b.String())
	golden(t, "compared.comment", b.String())

	same, err := compare.Results(base, base, compare.Options{})
	require.NoError(t, err)
	b.Reset()
	require.NoError(t, WriteComment(&b, base, same))
	assert.NotContains(t, b.String(), "worse**")
}

// A summary that would not fit is shortened, then left out: GitHub drops all of
// a step's summary that is larger than 1 MiB.
func TestJobSummaryIsBounded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "summary.md")
	require.NoError(t, summarize(file))
	require.NoError(t, summarize(file))
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, 2, strings.Count(string(text), "## ❌ missed: region-loss"), "appended, not replaced")
	assert.NotContains(t, string(text), "fivenines:region-loss")

	var full strings.Builder
	require.NoError(t, WriteMarkdown(&full, missed()))
	require.NoError(t, os.WriteFile(file, make([]byte, maxSummary-full.Len()), 0o644))
	require.NoError(t, summarize(file))
	text, err = os.ReadFile(file)
	require.NoError(t, err)
	assert.LessOrEqual(t, len(text), maxSummary)
	assert.Contains(t, string(text), "fivenines:region-loss", "the short one")

	require.NoError(t, os.WriteFile(file, make([]byte, maxSummary-100), 0o644))
	require.ErrorIs(t, summarize(file), ErrSummaryFull)
	i, err := os.Stat(file)
	require.NoError(t, err)
	assert.EqualValues(t, maxSummary-100, i.Size())
	require.ErrorContains(t, summarize(filepath.Join(file, "x")), "job summary")
}

// summarize appends a result in full or, where that has no room, as a comment.
func summarize(file string) error {
	return AppendSummary(file, func(w io.Writer) error { return WriteMarkdown(w, missed()) },
		func(w io.Writer) error { return WriteComment(w, missed(), nil) })
}

// JUnit as the readers of CI systems know it: only their elements and
// attributes, in their order, numbers that are numbers.
func TestJUnitKeepsToTheUsualSchema(t *testing.T) {
	for name, make := range results {
		require.NoError(t, junitShape(render(t, "xml", make())), name)
		require.NoError(t, junitShape(render(t, "xml", poison(make(), hostile))), name)
	}
	good := render(t, "xml", missed())
	for what, bad := range map[string]string{
		"an element":      strings.Replace(good, "<properties>", "<verdict></verdict><properties>", 1),
		"an attribute":    strings.Replace(good, "<testcase ", `<testcase colour="red" `, 1),
		"no name":         strings.Replace(good, `<testcase name="failover"`, "<testcase", 1),
		"time":            strings.Replace(good, ` time="0"`, ` time="soon"`, 1),
		"number of tests": strings.Replace(good, ` failures="`, ` failures="x`, 1),
		"order":           strings.Replace(good, "<properties>", "<system-out>x</system-out><properties>", 1),
	} {
		require.NotEqual(t, good, bad, what)
		assert.Error(t, junitShape(bad), what)
	}
}

func junitShape(text string) error {
	type element struct {
		children []string // in their order; each may come more than once
		must     []string
		may      []string
	}
	known := map[string]element{
		"testsuites": {[]string{"testsuite"}, []string{"name", "tests", "failures", "errors", "time"}, []string{"skipped"}},
		"testsuite":  {[]string{"properties", "testcase", "system-out", "system-err"}, []string{"name", "tests", "failures", "errors", "time"}, []string{"skipped", "timestamp", "hostname"}},
		"properties": {[]string{"property"}, nil, nil},
		"property":   {nil, []string{"name", "value"}, nil},
		"testcase":   {[]string{"skipped", "failure", "error", "system-out", "system-err"}, []string{"name", "classname", "time"}, nil},
		"skipped":    {nil, nil, []string{"message", "type"}},
		"failure":    {nil, []string{"message"}, []string{"type"}},
		"error":      {nil, []string{"message"}, []string{"type"}},
		"system-out": {},
		"system-err": {},
	}
	root, err := tree(text)
	if err != nil {
		return err
	}
	var walk func(n *xmlNode) error
	walk = func(n *xmlNode) error {
		k, ok := known[n.name]
		if !ok {
			return fmt.Errorf("no element is called %s", n.name)
		}
		for _, m := range k.must {
			if _, ok := n.attrs[m]; !ok {
				return fmt.Errorf("%s has no %s", n.name, m)
			}
		}
		for a, v := range n.attrs {
			switch {
			case !contains(k.must, a) && !contains(k.may, a):
				return fmt.Errorf("%s has no attribute %s", n.name, a)
			case contains([]string{"tests", "failures", "errors", "skipped", "time"}, a) && !plainNumber(v):
				return fmt.Errorf("%s of %s is %q", a, n.name, v)
			}
		}
		at := 0
		for _, c := range n.children {
			i := position(k.children, c.name)
			if i < at {
				return fmt.Errorf("%s in %s, out of order", c.name, n.name)
			}
			at = i
			if err := walk(c); err != nil {
				return err
			}
		}
		return nil
	}
	if root.name != "testsuites" {
		return fmt.Errorf("the root is %s", root.name)
	}
	return walk(root)
}
