package budget

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const shipped = "../../docker/prometheus/"

// The committed rules are what the committed objectives say
// (go test ./slo/budget -run Shipped -update writes them again).
func TestShippedRulesAreUpToDate(t *testing.T) {
	f, err := Load(shipped + "slo.yml")
	require.NoError(t, err)
	rules, err := Rules(f.SLOs...)
	require.NoError(t, err)
	want, err := rules.YAML()
	require.NoError(t, err)
	path := shipped + "rules/fivenines-slo.yml"
	if *update {
		require.NoError(t, os.WriteFile(path, want, 0o644))
	}
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got), "go test ./slo/budget -run Shipped -update")
	check(t, path)
}

// The queries name metrics that a node of the platform really has.
func TestShippedMetricsExist(t *testing.T) {
	var src []byte
	for _, file := range []string{"admin.go", "operations_metrics.go"} {
		b, err := os.ReadFile("../../reference/internal/node/" + file)
		require.NoError(t, err)
		src = append(src, b...)
	}
	rules, err := os.ReadFile(shipped + "slo.yml")
	require.NoError(t, err)
	n := 0
	for _, word := range strings.FieldsFunc(string(rules), func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }) {
		if name, ok := strings.CutPrefix(word, "fivenines_"); ok {
			n++
			assert.Regexp(t, `"(fivenines_)?`+name+`"`, string(src), "no such metric: %s", word)
		}
	}
	assert.Equal(t, 5, n)
}

// Unit tests of the shipped rules, which users can run too. A wrong factor,
// window or guard turns them red.
func TestShippedRulesFire(t *testing.T) {
	tool := promtool(t)
	rules, err := os.ReadFile(shipped + "rules/fivenines-slo.yml")
	require.NoError(t, err)
	test, err := os.ReadFile(shipped + "tests/fivenines-slo.yml")
	require.NoError(t, err)
	play := func(rules, test string) (string, error) {
		dir := t.TempDir()
		for _, d := range []string{"rules", "tests"} {
			require.NoError(t, os.Mkdir(filepath.Join(dir, d), 0o755))
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, "rules", "fivenines-slo.yml"), []byte(rules), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "tests", "fivenines-slo.yml"), []byte(test), 0o600))
		out, err := exec.Command(tool, "test", "rules", filepath.Join(dir, "tests", "fivenines-slo.yml")).CombinedOutput()
		return string(out), err
	}
	out, err := play(string(rules), string(test))
	require.NoError(t, err, "%s", out)

	// The tests stand in blocks; one is enough to notice.
	blocks := strings.Split(string(test), "\n\n")
	for name, c := range map[string]struct{ block, old, new string }{
		"factor too high": {"some writes fail", "> 14.4 * 0.001", "> 20 * 0.001"},
		"factor too low":  {"some writes fail", "> 14.4 * 0.001", "> 10 * 0.001"},
		"short window":    {"some writes fail", "writes_committed_total[5m]", "writes_committed_total[15m]"},
		"long window":     {"some writes fail", "writes_committed_total[1h]", "writes_committed_total[30m]"},
		"no guard":        {"little traffic", ">= 10", ">= 0"},
		"budget":          {"a shard without a leader", "* 0.00001", "* 0.001"},
		"errors as well":  {"some operations fail", `outcome!~"badrequest|gone"`, `outcome!~"badrequest|gone|unknown"`},
		"clients' errors": {"some operations fail", `,outcome!~"badrequest|gone"`, ``},
		"health checks":   {"some operations fail", `,command!="ping"`, ``},
		"another's":       {"some operations fail", `{job="fivenines",command`, `{command`},
		"served factor":   {"some operations fail", "> 14.4 * 0.0001\n", "> 20 * 0.0001\n"},
		"no zero":         {"all nodes gone", `or sum(up{job=\"fivenines\"}) * 0`, ""},
	} {
		broken := strings.ReplaceAll(string(rules), c.old, c.new)
		require.NotEqual(t, string(rules), broken, name)
		i := slices.IndexFunc(blocks, func(b string) bool { return strings.Contains(b, "name: "+c.block+"\n") })
		require.GreaterOrEqual(t, i, 0, name)
		one := blocks[i]
		if i > 0 {
			head, _, _ := strings.Cut(blocks[0], "tests:\n")
			one = head + "tests:\n" + one
		}
		out, err := play(broken, one)
		require.Error(t, err, name)
		assert.Contains(t, out, "FAILED", name)
	}
}
