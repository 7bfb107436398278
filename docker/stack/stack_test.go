package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/goccy/go-yaml"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/internal/needs"
	"github.com/fivenines/fivenines/reference"
)

const docker = ".."

func load(t *testing.T, file string) (*types.Project, error) {
	t.Helper()
	o, err := cli.NewProjectOptions([]string{file}, cli.WithName("check"), cli.WithProfiles([]string{"*"}), cli.WithResolvedPaths(true))
	require.NoError(t, err)
	return o.LoadProject(t.Context())
}

// faultsOf lists what is wrong with the stack as compose.yaml describes it.
func faultsOf(p *types.Project, top *fixtures.Topology) (bad []string) {
	say := func(format string, a ...any) { bad = append(bad, fmt.Sprintf(format, a...)) }
	labelled := func(what string, l map[string]string) {
		if l["fivenines.stack"] == "" {
			say("%s has no label fivenines.stack", what)
		}
	}
	nodes := map[string]string{} // name -> region
	for _, n := range top.Nodes() {
		nodes[n.ID] = n.Region
	}
	seen := map[string]int{}
	for _, s := range p.Services {
		labelled("service "+s.Name, s.Labels)
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				say("service %s publishes %d on %q, not on 127.0.0.1", s.Name, port.Target, port.HostIP)
			}
		}
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil {
				say("service %s mounts %s, which is not there", s.Name, v.Source)
			}
			if filepath.Base(v.Target) == "node.json" {
				seen[strings.TrimSuffix(filepath.Base(v.Source), ".json")]++
				if filepath.Base(v.Source) != s.Name+".json" {
					say("service %s runs the configuration %s", s.Name, filepath.Base(v.Source))
				}
			}
		}
		// A node that reaches another region directly would pass the links by.
		if region, ok := nodes[s.Name]; ok && (len(s.Networks) != 1 || !slices.Contains(s.NetworksByPriority(), region)) {
			say("node %s is on the networks %v, not only on %s", s.Name, s.NetworksByPriority(), region)
		}
	}
	for _, n := range top.Nodes() {
		if seen[n.ID] != 1 {
			say("node %s is there %d times, not once", n.ID, seen[n.ID])
		}
		delete(seen, n.ID)
	}
	for id := range seen {
		say("the topology has no node %s", id)
	}
	for name, n := range p.Networks {
		labelled("network "+name, n.Labels)
	}
	for name, v := range p.Volumes {
		labelled("volume "+name, v.Labels)
	}
	return bad
}

func TestComposeIsTheTopology(t *testing.T) {
	p, err := load(t, filepath.Join(docker, "compose.yaml"))
	require.NoError(t, err)
	assert.Empty(t, faultsOf(p, fixtures.ThreeRegion()))

	text, err := os.ReadFile(filepath.Join(docker, "compose.yaml"))
	require.NoError(t, err)
	abs, err := filepath.Abs(docker)
	require.NoError(t, err)
	for _, c := range []struct{ old, new, want string }{
		{"127.0.0.1:${PROMETHEUS_PORT", "${PROMETHEUS_PORT", "service prometheus publishes 9090"},
		{"127.0.0.1:${EU_WEST_1_PORT", "0.0.0.0:${EU_WEST_1_PORT", "service haproxy publishes 6380"},
		{"/nodes/eu-west-1-2.json", "/nodes/eu-west-1-1.json", "node eu-west-1-2 is there 0 times"},
		{"/nodes/eu-west-1-2.json", "/nodes/eu-west-1-9.json", "which is not there"},
		{"/otel/collector.yaml", "/otel/gone.yaml", "service collector mounts"},
		{"networks: [ap-southeast-1]", "networks: [ap-southeast-1, observability]", "node ap-southeast-1-1 is on the networks"},
		{"  prometheus: {labels: *labels}", "  prometheus: {}", "volume prometheus has no label"},
	} {
		broken := strings.Replace(string(text), c.old, c.new, 1)
		require.NotEqual(t, string(text), broken, "%q is not in compose.yaml", c.old)
		file := filepath.Join(t.TempDir(), "compose.yaml")
		require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(broken, "./", abs+"/")), 0o644))
		p, err := load(t, file)
		require.NoError(t, err)
		assert.Contains(t, strings.Join(faultsOf(p, fixtures.ThreeRegion()), "\n"), c.want, "%q for %q", c.new, c.old)
	}
	file := filepath.Join(t.TempDir(), "compose.yaml")
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(string(text), "services:", "servces:", 1)), 0o644))
	_, err = load(t, file)
	require.Error(t, err, "compose.yaml with a mistyped key loads")
}

// stale lists the generated files below dir that are not what the topology yields.
func stale(dir string, top *fixtures.Topology) (bad []string, err error) {
	want, err := Files(top)
	if err != nil {
		return nil, err
	}
	for name, b := range want {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, b) {
			bad = append(bad, name)
		}
	}
	there, err := filepath.Glob(filepath.Join(dir, "nodes", "*"))
	for _, path := range there {
		if name := "nodes/" + filepath.Base(path); want[name] == nil {
			bad = append(bad, name)
		}
	}
	return bad, err
}

func TestGeneratedFilesAreUpToDate(t *testing.T) {
	bad, err := stale(docker, fixtures.ThreeRegion())
	require.NoError(t, err)
	assert.Empty(t, bad, "go generate ./docker/stack")

	dir := t.TempDir()
	require.NoError(t, Write(dir, fixtures.ThreeRegion()))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "nodes/us-east-1-1.json"), []byte("{}\n"), 0o644))
	require.NoError(t, os.Remove(filepath.Join(dir, "haproxy/haproxy.cfg")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "nodes/mars-1.json"), nil, 0o644))
	bad, err = stale(dir, fixtures.ThreeRegion())
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"nodes/us-east-1-1.json", "haproxy/haproxy.cfg", "nodes/mars-1.json"}, bad)
}

func tool(t *testing.T, name string) string {
	t.Helper()
	return needs.Program(t, name, "apt-get install -y --no-install-recommends haproxy prometheus prometheus-alertmanager")
}

// Each program accepts its committed files, and notices when they are broken.
func TestProgramsAcceptTheirFiles(t *testing.T) {
	for _, c := range []struct {
		tool     string
		args     []string
		file     string // the last argument, below docker/
		old, new string
	}{
		{"haproxy", []string{"-c", "-f"}, "haproxy/haproxy.cfg", "track eu-west-1/eu-west-1-1", "track eu-west-1/gone"},
		{"promtool", []string{"check", "config"}, "prometheus/prometheus.yml", "rules/*.yml", "gone.yml"},
		{"promtool", []string{"test", "rules"}, "prometheus/tests/stack.yml", "value: 2}", "value: 3}"},
		{"promtool", []string{"check", "rules"}, "prometheus/rules/stack.yml", "== 0", "== == 0"},
		{"amtool", []string{"check-config"}, "alertmanager/alertmanager.yml", "receiver: critical", "receiver: gone"},
	} {
		t.Run(c.tool+" "+c.args[0]+" "+filepath.Base(c.file), func(t *testing.T) {
			path := tool(t, c.tool)
			out, err := exec.Command(path, append(c.args, filepath.Join(docker, c.file))...).CombinedOutput()
			require.NoError(t, err, "%s", out)

			dir := t.TempDir()
			require.NoError(t, os.CopyFS(dir, os.DirFS(docker)))
			b, err := os.ReadFile(filepath.Join(docker, c.file))
			require.NoError(t, err)
			broken := strings.Replace(string(b), c.old, c.new, 1)
			require.NotEqual(t, string(b), broken)
			require.NoError(t, os.WriteFile(filepath.Join(dir, c.file), []byte(broken), 0o644))
			out, err = exec.Command(path, append(c.args, filepath.Join(dir, c.file))...).CombinedOutput()
			assert.Error(t, err, "%s accepts %q: %s", c.tool, c.new, out)
		})
	}
}

// unknown lists the metrics of an expression that nobody has.
func unknown(t *testing.T, known map[string]bool, expr string) (names []string) {
	t.Helper()
	e, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	require.NoError(t, err, expr)
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok && !known[s.Name] {
			names = append(names, s.Name)
		}
		return nil
	})
	return names
}

type ruleFile struct {
	Groups []struct {
		Rules []struct{ Record, Alert, Expr string }
	}
}

func rules(t *testing.T) (all ruleFile) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(docker, "prometheus/rules/*.yml"))
	require.NoError(t, err)
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		var r ruleFile
		require.NoError(t, yaml.Unmarshal(b, &r), f)
		all.Groups = append(all.Groups, r.Groups...)
	}
	return all
}

// exposed are the metrics of a node that runs, and those that Prometheus and the rules make.
func exposed(t *testing.T) map[string]bool {
	t.Helper()
	var addr [3]string
	for i := range addr {
		addr[i] = free(t)
	}
	var c reference.Config
	require.NoError(t, json.Unmarshal([]byte(`{"cluster":"metrics","id":"a-1","regions":[{"name":"a","role":"primary","nodes":1}],"shards":1,"replicas":1,"first":true}`), &c))
	c.Dir, c.Client, c.Peer, c.Admin = t.TempDir(), addr[0], addr[1], addr[2]
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- reference.RunNode(ctx, c, slog.New(slog.DiscardHandler)) }()
	defer func() { stop(); <-done }()
	var body []byte
	require.Eventually(t, func() bool {
		res, err := http.Get("http://" + c.Admin + "/metrics")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		body, err = io.ReadAll(res.Body)
		return err == nil && res.StatusCode == http.StatusOK
	}, 20*time.Second, 50*time.Millisecond, "the node answers on /metrics")
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(bytes.NewReader(body))
	require.NoError(t, err)
	known := map[string]bool{"up": true}
	for name, f := range families {
		known[name] = true
		if f.GetType() == dto.MetricType_HISTOGRAM {
			known[name+"_bucket"], known[name+"_count"], known[name+"_sum"] = true, true, true
		}
	}
	require.True(t, known["fivenines_shards_led"])
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			if r.Record != "" {
				known[r.Record] = true
			}
		}
	}
	return known
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

func TestDashboardsAndRulesUseMetricsThatExist(t *testing.T) {
	known := exposed(t)
	files, err := filepath.Glob(filepath.Join(docker, "grafana/dashboards/*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		var d struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		require.NoError(t, json.Unmarshal(b, &d), f)
		require.NotEmpty(t, d.Panels, f)
		for _, p := range d.Panels {
			require.NotEmpty(t, p.Targets, p.Title)
			for _, x := range p.Targets {
				assert.Empty(t, unknown(t, known, x.Expr), "%s, panel %q", f, p.Title)
			}
		}
	}
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			assert.Empty(t, unknown(t, known, r.Expr), "rule %s%s", r.Record, r.Alert)
		}
	}
	assert.Equal(t, []string{"fivenines_wishes"}, unknown(t, known, "sum(rate(fivenines_wishes[1m])) / sum(fivenines_shards_led)"))
}
