package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/scenarios"
)

func TestVerifyBadInput(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	rates := filepath.Join(dir, "rates.yaml")
	require.NoError(t, os.WriteFile(rates, []byte("schema: fivenines/rates/v1\nname: x\nclases: []\n"), 0o600))
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"regon-loss"}, exitUsage, `no scenario is called "regon-loss"; did you mean region-loss?`},
		{[]string{"node-crash", "node-crash"}, exitUsage, "scenario node-crash stands there twice"},
		{[]string{"--rates", rates}, exitUsage, rates + ":3: "},
		{[]string{"--rates", filepath.Join(dir, "none.yaml")}, exitUsage, "none.yaml"},
		{[]string{"--availability", "five nines"}, exitUsage, `--availability: "five nines" is not a percentage between 0 and 100 %`},
		{[]string{"--required", "100 %"}, exitUsage, "--required"},
		{[]string{"--years", "5"}, exitUsage, "--years must be 1000 or more, not 5"},
		// An empty variable of a script is no wish to run every scenario.
		{[]string{"--from", ""}, exitUsage, "--from names no run; name folders that fivenines run made"},
		{[]string{"--from", dir + ","}, exitUsage, "--from names no run"},
		{[]string{"--from", dir}, exitUsage, "is not the folder of a run"},
		{[]string{"--from", dir, "node-crash"}, exitUsage, "verify --from takes no scenarios"},
		{[]string{"--trials", "-1"}, exitUsage, "--trials must be more than 0"},
	} {
		code, _, stderr := cli(t, append([]string{"verify"}, c.args...)...)
		assert.Equal(t, c.code, code, "%v: %s", c.args, stderr)
		assert.Contains(t, stderr, c.says, "%v", c.args)
	}
	code, out, stderr := cli(t, "verify", "--print-rates")
	require.Equal(t, exitMet, code, stderr)
	require.NoError(t, os.WriteFile(rates, []byte(out), 0o600))
	code, _, stderr = cli(t, "verify", "--rates", rates, "--from", dir)
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, stderr, "is not the folder of a run", "the rates that it prints are good")
}

func TestSeenFrom(t *testing.T) {
	assert.Equal(t, "../a", seenFrom("/x/out", "/x/a"))
	assert.Equal(t, "a", seenFrom("/x", "/x/a"))
}

// OpenSLO documents give objectives and the deadline; the command line goes before them.
func TestRunTakesOpenSLO(t *testing.T) {
	code, doc, stderr := cli(t, "slo", "openslo", "region-loss")
	require.Equal(t, exitMet, code, stderr)
	path := filepath.Join(t.TempDir(), "objectives.yaml")
	doc = strings.Replace(doc, "objective.failover: < 5 s", "objective.failover: < 4 s", 1)
	doc = strings.Replace(doc, "deadline: 1s", "deadline: 2s", 1)
	require.NoError(t, os.WriteFile(path, []byte(doc), 0o600))
	f := runFlags{judged: scenarios.DefaultRules(), openSLO: path, objectives: map[string]string{"rto": "< 9 s"}}
	_, err := f.load(io.Discard, []string{"region-loss"})
	require.NoError(t, err)
	assert.Equal(t, "< 4 s", f.over.Objectives["failover"])
	assert.Equal(t, "< 9 s", f.over.Objectives["rto"])
	assert.Equal(t, 2*time.Second, time.Duration(f.judged.Deadline))
	assert.Equal(t, time.Second, time.Duration(scenarios.DefaultRules().Deadline), "the defaults are nobody's to change")

	require.NoError(t, os.WriteFile(path, []byte("apiVersion: openslo/v1\nkind: SLO\nmetadata: {nme: x}\n"), 0o600))
	code, _, stderr = cli(t, "run", "baseline", "--openslo", path)
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, stderr, path+":3: ")
}
