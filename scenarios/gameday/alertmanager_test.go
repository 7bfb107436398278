package gameday

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/internal/needs"
	"github.com/fivenines/fivenines/reports/store"
	"github.com/fivenines/fivenines/slo"
)

// A real Alertmanager takes what is announced: alerts fire with a miss and a
// regression, and a run that is met takes both back.
func TestRealAlertmanager(t *testing.T) {
	bin := needs.Program(t, "prometheus-alertmanager", "apt-get install prometheus-alertmanager")
	dir := t.TempDir()
	config := filepath.Join(dir, "am.yml")
	require.NoError(t, os.WriteFile(config, []byte("route: {receiver: none}\nreceivers: [{name: none}]\n"), 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	cmd := exec.CommandContext(t.Context(), bin, "--config.file="+config, "--storage.path="+dir, "--web.listen-address="+addr, "--cluster.listen-address=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	get := func(path string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil)
		require.NoError(t, err)
		return http.DefaultClient.Do(req)
	}
	require.Eventually(t, func() bool {
		res, err := get("/-/ready")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	}, 20*time.Second, 50*time.Millisecond, "it is ready")
	firing := func() (names []string) {
		res, err := get("/api/v2/alerts?active=true")
		require.NoError(t, err)
		defer res.Body.Close()
		var as []struct {
			Labels map[string]string `json:"labels"`
		}
		require.NoError(t, json.NewDecoder(res.Body).Decode(&as))
		for _, a := range as {
			names = append(names, a.Labels["alertname"]+" "+a.Labels["scenario"])
		}
		return names
	}
	w := Webhook{Kind: "alertmanager", URL: "http://" + addr, On: []string{Started, Missed, Regressed}}
	tell := func(event string, run *store.Run) {
		for _, a := range told(t, w, message{event, "d", run, time.Now()}) {
			require.Empty(t, a.Error, "%s", event)
		}
	}
	shows := func(want ...string) {
		t.Helper()
		assert.EventuallyWithT(t, func(c *assert.CollectT) { assert.ElementsMatch(c, want, firing(), fmt.Sprint(want)) }, 20*time.Second, 50*time.Millisecond)
	}
	bad := endedRun(slo.Missed, "failover 9 s, before 2 s")
	bad.Started = time.Now().Add(-time.Minute)
	tell(Started, bad)
	shows("GameDayRunning node-crash")
	tell(Ended, bad)
	tell(Missed, bad)
	tell(Regressed, bad)
	shows("GameDayMissed node-crash", "GameDayRegression node-crash")
	good := endedRun(slo.Met, "")
	good.Started = time.Now().Add(-time.Second)
	tell(Ended, good)
	shows()
}
