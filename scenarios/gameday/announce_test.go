package gameday

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/reports/store"
	"github.com/fivenines/fivenines/slo"
)

// listener is a webhook's other end.
type listener struct {
	*httptest.Server
	got chan string // path and body
}

func listen(t *testing.T, answer func(w http.ResponseWriter, n int)) *listener {
	l := &listener{got: make(chan string, 100)}
	var n atomic.Int32
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		assert.Equal(t, "application/json", r.Header.Get("Content-Type"))
		l.got <- r.URL.Path + " " + string(b)
		answer(w, int(n.Add(1)))
	}))
	t.Cleanup(l.Close)
	return l
}

func fine(w http.ResponseWriter, _ int) { w.WriteHeader(http.StatusOK) }

func (l *listener) all() (out []string) {
	for {
		select {
		case s := <-l.got:
			out = append(out, s)
		default:
			return out
		}
	}
}

func told(t *testing.T, w Webhook, m message) []store.Announcement {
	t.Helper()
	a, left := newAnnouncer([]Webhook{w}, func(string) string { return "" })
	require.Empty(t, left)
	return a.tell(t.Context(), m)
}

var theTime = time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)

func endedRun(v slo.Verdict, regression string) *store.Run {
	return &store.Run{ID: 1, Key: "nights/x/1", Schedule: "nights", Scenario: "node-crash", State: store.Finished, Verdict: v, Seed: 7,
		Started: theTime, Ended: theTime.Add(time.Minute), Summary: "Missed: failover 9 s & <more>", Regression: regression}
}

func TestSlack(t *testing.T) {
	l := listen(t, fine)
	w := Webhook{Kind: "slack", URL: l.URL + "/services/T/B", On: []string{Missed}}
	m := message{event: Missed, gameDay: "d", run: endedRun(slo.Missed, ""), now: theTime}
	assert.Equal(t, []store.Announcement{{Run: 1, At: theTime, Event: Missed, Hook: "announce[0] (slack)"}}, told(t, w, m))
	m.event = Ended
	assert.Empty(t, told(t, w, m), "nobody wants to know")
	got := l.all()
	require.Len(t, got, 1)
	path, body, _ := strings.Cut(got[0], " ")
	assert.Equal(t, "/services/T/B", path)
	var sent map[string]string
	require.NoError(t, json.Unmarshal([]byte(body), &sent))
	assert.Equal(t, map[string]string{"text": "*Game day d: node-crash missed its objectives*\nMissed: failover 9 s &amp; &lt;more&gt;"}, sent)
}

func TestAlertmanager(t *testing.T) {
	l := listen(t, fine)
	w := Webhook{Kind: "alertmanager", URL: l.URL + "/", On: []string{Started, Ended, Missed, Regressed}}
	end := theTime.Add(time.Minute)
	run := endedRun(slo.Missed, "failover 9 s, before 2 s")
	for _, m := range []message{
		{Started, "d", run, theTime}, {Ended, "d", run, end}, {Missed, "d", run, end}, {Regressed, "d", run, end},
		{Ended, "d", endedRun(slo.Met, ""), end.Add(24 * time.Hour)},
	} {
		for _, a := range told(t, w, m) {
			assert.Empty(t, a.Error)
		}
	}
	var firing []string
	var labels []map[string]string
	for _, text := range l.all() {
		path, body, _ := strings.Cut(text, " ")
		assert.Equal(t, "/api/v2/alerts", path)
		var as []alert
		require.NoError(t, json.Unmarshal([]byte(body), &as))
		for _, a := range as {
			assert.Equal(t, "node-crash", a.Labels["scenario"])
			state := " fires"
			if a.EndsAt.Equal(end) || a.EndsAt.Equal(end.Add(24*time.Hour)) {
				state = " is over"
			}
			firing = append(firing, a.Labels["alertname"]+state)
			labels = append(labels, a.Labels)
		}
	}
	assert.Equal(t, []string{
		"GameDayRunning fires", "GameDayRunning is over", "GameDayMissed fires", "GameDayRegression fires",
		"GameDayRunning is over", "GameDayMissed is over", "GameDayRegression is over",
	}, firing)
	assert.Equal(t, labels[2], labels[5], "an alert is over only under the labels that it fired with")
	assert.Equal(t, labels[3], labels[6])
}

// An alert that only a miss raises is also taken back, and nothing else is sent.
func TestAlertsAreTakenBack(t *testing.T) {
	l := listen(t, fine)
	w := Webhook{Kind: "alertmanager", URL: l.URL, On: []string{Missed}}
	assert.Empty(t, told(t, w, message{Ended, "d", endedRun(slo.Missed, ""), theTime}))
	assert.Empty(t, told(t, w, message{Ended, "d", endedRun(slo.Inconclusive, ""), theTime}), "that says nothing")
	assert.Len(t, told(t, w, message{Ended, "d", endedRun(slo.Met, ""), theTime}), 1)
	got := l.all()
	require.Len(t, got, 1)
	assert.Contains(t, got[0], "GameDayMissed")
}

// Webhooks that fail say how, never where: the URL is a secret.
func TestWebhooksThatFail(t *testing.T) {
	m := message{event: Missed, gameDay: "d", run: endedRun(slo.Missed, ""), now: theTime}
	hook := func(url string) Webhook { return Webhook{Kind: "slack", URL: url + "/secret", On: []string{Missed}} }

	refused := listen(t, func(w http.ResponseWriter, _ int) { http.Error(w, "no such\nchannel", http.StatusNotFound) })
	assert.Equal(t, "it answered 404 Not Found: no such channel", told(t, hook(refused.URL), m)[0].Error)
	assert.Len(t, refused.all(), 1, "it is not asked again")

	recovers := listen(t, func(w http.ResponseWriter, n int) {
		if n == 1 {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	assert.Empty(t, told(t, hook(recovers.URL), m)[0].Error)
	assert.Len(t, recovers.all(), 2)

	elsewhere := listen(t, fine)
	redirects := listen(t, func(w http.ResponseWriter, _ int) {
		w.Header().Set("Location", elsewhere.URL)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	assert.Contains(t, told(t, hook(redirects.URL), m)[0].Error, "it answered 307")
	assert.Empty(t, elsewhere.all(), "it is not followed")

	gone := listen(t, fine)
	gone.Close()
	failed := told(t, hook(gone.URL), m)[0].Error
	assert.Contains(t, failed, "connection refused")
	assert.NotContains(t, failed, "secret")
}

// One that hangs takes bounded time, and no other one waits for it.
func TestWebhookThatHangs(t *testing.T) {
	let := make(chan struct{})
	hangs := listen(t, func(http.ResponseWriter, int) { <-let })
	defer close(let)
	good := listen(t, fine)
	a, _ := newAnnouncer([]Webhook{
		{Kind: "slack", URL: hangs.URL + "/secret", On: []string{Missed}},
		{Kind: "slack", URLEnv: "GOOD", On: []string{Missed}},
	}, func(string) string { return good.URL })
	a.timeout = 50 * time.Millisecond
	start := time.Now()
	got := a.tell(t.Context(), message{event: Missed, gameDay: "d", run: endedRun(slo.Missed, ""), now: theTime})
	assert.Less(t, time.Since(start), 5*time.Second)
	require.Len(t, got, 2)
	assert.Equal(t, "no answer within 50ms", got[0].Error)
	assert.Empty(t, got[1].Error)
	assert.Len(t, hangs.all(), attempts)
	assert.Len(t, good.all(), 1)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.NotEmpty(t, a.tell(ctx, message{event: Missed, gameDay: "d", run: endedRun(slo.Missed, ""), now: theTime})[0].Error)
}

func TestURLsFromTheEnvironment(t *testing.T) {
	hooks := []Webhook{{Kind: "slack", URLEnv: "A", On: []string{Missed}}, {Kind: "slack", URLEnv: "B", On: []string{Missed}}, {Kind: "slack", URLEnv: "C", On: []string{Missed}}}
	a, left := newAnnouncer(hooks, func(name string) string {
		return map[string]string{"B": "file:///etc/passwd", "C": " https://hooks.example/secret\n"}[name]
	})
	assert.Equal(t, []string{
		"announce[0] (slack, $A): A is not set; nothing is announced there",
		"announce[1] (slack, $B): B is not an http or https URL; nothing is announced there",
	}, left)
	require.Len(t, a.hooks, 1)
	assert.Equal(t, "https://hooks.example/secret", a.hooks[0].url)
}
