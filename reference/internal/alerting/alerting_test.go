package alerting

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/reference/internal/failover"
)

var (
	lost = failover.Alert{Name: "NodeLost", Severity: "high", Region: "us", Node: "us-1", Summary: "us-1 is lost"}
	slow = failover.Alert{Name: "LinkSlow", Severity: "low", Region: "eu", Node: "eu-1", Summary: "late"}
	t0   = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
)

func names(as []Alert) (out []string) {
	for _, a := range as {
		out = append(out, a.Labels["alertname"])
	}
	return out
}

func TestTrackerTellsUntilItArrives(t *testing.T) {
	var k Tracker
	k.Set(t0, true, []failover.Alert{lost})
	due := k.Due(t0)
	require.Equal(t, []string{"NodeLost"}, names(due))
	require.True(t, due[0].Fresh)
	require.Equal(t, t0.Add(4*Resend), due[0].EndsAt, "who dies does not keep its alerts alive")

	due = k.Due(t0.Add(time.Second))
	require.Len(t, due, 1, "it did not arrive")
	k.Told(t0.Add(time.Second))
	due = k.Due(t0.Add(2 * time.Second))
	require.Empty(t, due)

	k.Set(t0.Add(3*time.Second), true, []failover.Alert{lost, slow})
	due = k.Due(t0.Add(3 * time.Second))
	require.Equal(t, []string{"LinkSlow"}, names(due))
	require.True(t, due[0].Fresh)
	k.Told(t0.Add(3 * time.Second))

	due = k.Due(t0.Add(time.Second + Resend))
	require.Equal(t, []string{"NodeLost"}, names(due), "told again in time")
	require.False(t, due[0].Fresh)
	require.Equal(t, t0, due[0].StartsAt)
}

func TestTrackerTellsTheEndOnce(t *testing.T) {
	var k Tracker
	k.Set(t0, true, []failover.Alert{lost, slow})
	k.Told(t0)
	end := t0.Add(time.Second)
	k.Set(end, true, []failover.Alert{slow})
	due := k.Due(end)
	require.Equal(t, []string{"NodeLost"}, names(due))
	require.Equal(t, end, due[0].EndsAt)
	k.Told(end)
	due = k.Due(end)
	require.Empty(t, due)
}

func TestTrackerForgetsWhatNobodyHeard(t *testing.T) {
	var k Tracker
	k.Set(t0, true, []failover.Alert{lost})
	k.Set(t0, true, nil)
	due := k.Due(t0)
	require.Empty(t, due, "an alert that never arrived has no end to tell")
}

func TestTrackerLeavesAlertsToTheNextManager(t *testing.T) {
	var k Tracker
	k.Set(t0, true, []failover.Alert{lost})
	k.Told(t0)
	k.Set(t0.Add(time.Second), false, nil)
	due := k.Due(t0.Add(time.Hour))
	require.Empty(t, due, "an end would resolve what still holds")
}

func TestClient(t *testing.T) {
	var got []Alert
	status := http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "/api/v2/alerts", r.URL.Path)
		b, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(b, &got))
		w.WriteHeader(status)
		_, _ = w.Write([]byte("start time must be before end time"))
	}))
	defer s.Close()
	var k Tracker
	k.Set(t0, true, []failover.Alert{lost})
	due := k.Due(t0)
	c := Client{URL: s.URL, HTTP: s.Client()}
	require.NoError(t, c.Post(t.Context(), due))
	require.Equal(t, map[string]string{"alertname": "NodeLost", "severity": "high", "region": "us", "node": "us-1", "source": "failover-manager"}, got[0].Labels)
	status = http.StatusBadRequest
	require.ErrorContains(t, c.Post(t.Context(), due), "start time must be before")
	s.Close()
	require.Error(t, c.Post(t.Context(), due))
}
