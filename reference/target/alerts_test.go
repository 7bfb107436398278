package target

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures"
)

// alertmanager keeps the alerts that hold as API v2 has it: until their end.
type alertmanager struct {
	mu     sync.Mutex
	broken bool
	ends   map[string]time.Time // by "severity alertname node"
}

func (a *alertmanager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var posted []struct {
		Labels map[string]string
		EndsAt time.Time
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.broken || r.URL.Path != "/api/v2/alerts" || json.NewDecoder(r.Body).Decode(&posted) != nil {
		http.Error(w, "no", http.StatusServiceUnavailable)
		return
	}
	for _, p := range posted {
		a.ends[p.Labels["severity"]+" "+p.Labels["alertname"]+" "+p.Labels["region"]] = p.EndsAt
	}
}

func (a *alertmanager) firing(what string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ends[what].After(time.Now())
}

func (a *alertmanager) setBroken(yes bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.broken = yes
}

// Alertmanager is told of a lost region and of its return, by whoever manages
// failover then, also if it did not answer at first.
func TestAlertsReachAlertmanager(t *testing.T) {
	if testing.Short() {
		t.Skip("brings a topology up")
	}
	a := &alertmanager{ends: map[string]time.Time{}, broken: true}
	s := httptest.NewServer(a)
	defer s.Close()
	topo := oneNodeARegion()
	topo.Settings = map[string]string{"alertmanager": s.URL + "/"}
	d, log := up(t, topo, fixtures.UpOptions{})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	lost := d.Nodes()[0] // of the primary region
	require.NoError(t, d.Kill(ctx, lost.ID))
	require.Eventually(t, func() bool { return log.has("alerts-undelivered") }, 20*time.Second, 50*time.Millisecond)
	assert.False(t, log.has("alert-delivered"))
	a.setBroken(false)
	what := "critical RegionLost " + lost.Region
	require.Eventually(t, func() bool { return a.firing(what) }, 20*time.Second, 50*time.Millisecond)
	require.Eventually(t, func() bool { return log.has("alert-delivered") }, 20*time.Second, 50*time.Millisecond)
	require.NoError(t, d.Restart(ctx, lost.ID, fixtures.StartOptions{}))
	require.Eventually(t, func() bool { return !a.firing(what) }, 20*time.Second, 50*time.Millisecond)
}

func TestAlertmanagerSettingIsChecked(t *testing.T) {
	for _, bad := range []string{"", "localhost:9093", "ftp://x", "http://"} {
		topo := oneNodeARegion()
		topo.Settings = map[string]string{"alertmanager": bad}
		_, err := New("fivenines").Command(fixtures.NodeSpec{ID: topo.Nodes()[0].ID, Topology: topo, Dir: t.TempDir()}, fixtures.StartOptions{})
		assert.ErrorContains(t, err, "is not a URL", bad)
	}
}
