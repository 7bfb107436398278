package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures"
)

// command runs a program to its end. When it takes too long it is ended.
func command(t *testing.T, limit time.Duration, env []string, name string, args ...string) (string, error) {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), limit) // not the test's: cleanup needs it too
	defer stop()
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(os.Environ(), env...)
	c.WaitDelay = time.Second
	out, err := c.CombinedOutput()
	return string(out), err
}

// left lists what Docker still has of a compose project.
func left(t *testing.T, project string) (things []string) {
	t.Helper()
	for _, list := range [][]string{{"ps", "-aq"}, {"network", "ls", "-q"}, {"volume", "ls", "-q"}} {
		out, err := command(t, 20*time.Second, nil, "docker", append(list, "--filter", "label=com.docker.compose.project="+project)...)
		require.NoError(t, err, "docker %s: %s", list[0], out)
		for _, id := range strings.Fields(out) {
			things = append(things, list[0]+" "+id)
		}
	}
	return things
}

func get(url string) string {
	c := http.Client{Timeout: 3 * time.Second}
	res, err := c.Get(url)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return string(b)
}

// The whole stack but what needs a registry: it comes up, serves, and tells of
// a node that is gone.
func TestStack(t *testing.T) {
	if testing.Short() {
		t.Skip("brings containers up")
	}
	for _, probe := range [][]string{{"docker", "info"}, {"docker-compose", "version"}} {
		if out, err := command(t, 20*time.Second, nil, probe[0], probe[1:]...); err != nil {
			require.NotEqual(t, "true", os.Getenv("CI"), "CI needs %s: %v: %s", strings.Join(probe, " "), err, out)
			t.Skipf("%s: %v", strings.Join(probe, " "), err)
		}
	}
	for _, name := range []string{"haproxy", "prometheus", "prometheus-alertmanager"} {
		tool(t, name)
	}
	file, err := filepath.Abs(filepath.Join(docker, "compose.yaml"))
	require.NoError(t, err)
	project := fmt.Sprintf("fivenines-test-%d", os.Getpid())
	addr := map[string]string{}
	env := []string{"HAPROXY_IMAGE=fivenines/haproxy:debian", "PROMETHEUS_IMAGE=fivenines/prometheus:debian", "ALERTMANAGER_IMAGE=fivenines/alertmanager:debian"}
	for _, name := range []string{"US_EAST_1", "EU_WEST_1", "AP_SOUTHEAST_1", "HAPROXY_STATS", "PROMETHEUS", "ALERTMANAGER", "TOXIPROXY"} {
		addr[name] = free(t)
		_, port, _ := net.SplitHostPort(addr[name])
		env = append(env, name+"_PORT="+port)
	}
	compose := func(limit time.Duration, args ...string) (string, error) {
		return command(t, limit, env, "docker-compose", append([]string{"-p", project, "-f", file}, args...)...)
	}
	await := func(what string, limit time.Duration, ok func() bool) {
		t.Helper()
		began := time.Now()
		if !assert.Eventually(t, ok, limit, 250*time.Millisecond, what) {
			out, _ := compose(20*time.Second, "ps")
			logs, _ := compose(20*time.Second, "logs", "--tail=5")
			t.Fatalf("%s: not within %s\n%s\n%s", what, limit, out, logs)
		}
		t.Logf("%s after %s", what, time.Since(began).Round(100*time.Millisecond))
	}

	began := time.Now()
	out, err := command(t, 10*time.Minute, nil, filepath.Join(docker, "images.sh")) // a cold build cache compiles all
	require.NoError(t, err, "%s", out)
	t.Logf("images after %s", time.Since(began).Round(time.Second))

	t.Cleanup(func() {
		out, err := compose(90*time.Second, "down", "-v", "--remove-orphans", "-t", "3")
		assert.NoError(t, err, "%s", out)
		assert.Empty(t, left(t, project), "left behind by %s", project)
		t.Logf("all of it took %s", time.Since(began).Round(time.Second))
	})
	out, err = compose(90*time.Second, "up", "-d", "--no-build")
	require.NoError(t, err, "%s", out)
	require.NotEmpty(t, left(t, project), "what is left behind would be seen")
	require.NoError(t, Delay(addr["TOXIPROXY"], fixtures.ThreeRegion()))

	nodes := fixtures.ThreeRegion().Nodes()
	// A server whose name has just been resolved counts as up before its first check.
	healthy := func(n fixtures.Node) bool {
		metrics := get("http://" + addr["HAPROXY_STATS"] + "/metrics")
		return strings.Contains(metrics, fmt.Sprintf("haproxy_server_status{proxy=%q,server=%q,state=\"UP\"} 1\n", n.Region, n.ID)) &&
			strings.Contains(metrics, fmt.Sprintf("haproxy_server_check_status{proxy=%q,server=%q,state=\"L7OK\"} 1\n", n.Region, n.ID))
	}
	await("HAProxy sees all nodes up", 60*time.Second, func() bool {
		return !slices.ContainsFunc(nodes, func(n fixtures.Node) bool { return !healthy(n) })
	})
	query := func(q string) string {
		var r struct {
			Data struct {
				Result []struct{ Value [2]any }
			}
		}
		if json.Unmarshal([]byte(get("http://"+addr["PROMETHEUS"]+"/api/v1/query?query="+q)), &r) != nil || len(r.Data.Result) != 1 {
			return ""
		}
		return fmt.Sprint(r.Data.Result[0].Value[1])
	}
	await("Prometheus has all nodes up", 40*time.Second, func() bool {
		return query(`sum(up{job="fivenines"})`) == fmt.Sprint(len(nodes)) && query(`sum(up)`) == fmt.Sprint(len(nodes)+4)
	})

	ctx := t.Context()
	us := redis.NewClient(&redis.Options{Addr: addr["US_EAST_1"], Protocol: 2, DisableIdentity: true})
	defer us.Close()
	ap := redis.NewClient(&redis.Options{Addr: addr["AP_SOUTHEAST_1"], Protocol: 2, DisableIdentity: true})
	defer ap.Close()
	require.NoError(t, us.Set(ctx, "session", "written in us-east-1", time.Minute).Err())
	got, err := ap.Get(ctx, "session").Result()
	require.NoError(t, err)
	assert.Equal(t, "written in us-east-1", got)

	out, err = compose(30*time.Second, "stop", "-t", "3", "us-east-1-2")
	require.NoError(t, err, "%s", out)
	stopped := nodes[1]
	require.Equal(t, "us-east-1-2", stopped.ID)
	await("HAProxy sees the node down", 30*time.Second, func() bool { return !healthy(stopped) })
	await("Alertmanager has the alert", 60*time.Second, func() bool {
		var alerts []struct {
			Labels    map[string]string
			Receivers []struct{ Name string }
		}
		if json.Unmarshal([]byte(get("http://"+addr["ALERTMANAGER"]+"/api/v2/alerts")), &alerts) != nil {
			return false
		}
		for _, a := range alerts {
			if a.Labels["alertname"] == "NodeDown" && a.Labels["node"] == "us-east-1-2" {
				return len(a.Receivers) == 1 && a.Receivers[0].Name == "medium"
			}
		}
		return false
	})
	require.NoError(t, us.Set(ctx, "session", "without us-east-1-2", time.Minute).Err())

	// It starts again with the configuration of its first start, and catches up.
	out, err = compose(30*time.Second, "start", "us-east-1-2")
	require.NoError(t, err, "%s", out)
	await("HAProxy sees the node up again", 60*time.Second, func() bool { return healthy(stopped) })
}
