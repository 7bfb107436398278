package gameday

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fivenines/fivenines/reports/store"
	"github.com/fivenines/fivenines/slo"
)

// Events that are announced.
const (
	Started   = "start"
	Ended     = "end"
	Missed    = "missed"
	Regressed = "regression"
)

// What an announcement may take: a webhook that hangs delays a game day by no more.
const (
	attempts    = 2
	attemptTime = 5 * time.Second
	maxAnswer   = 4 << 10 // bytes of an answer that are read
)

// alertLasts is until when an alert fires by itself, if no run resolves it.
const alertLasts = 26 * time.Hour

// message is what is announced of a run.
type message struct {
	event   string
	gameDay string
	run     *store.Run
	now     time.Time
}

// hook is a webhook that is ready to be told.
type hook struct {
	Webhook
	name string // without the URL
	url  string
}

// announcer tells webhooks.
type announcer struct {
	hooks   []hook
	client  *http.Client
	timeout time.Duration // of one attempt
}

// newAnnouncer looks the URLs up. Webhooks without one are left out, and told of.
func newAnnouncer(hooks []Webhook, getenv func(string) string) (a *announcer, left []string) {
	a = &announcer{
		timeout: attemptTime,
		client: &http.Client{
			// A webhook that sends us elsewhere is told about, not followed.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	for i, w := range hooks {
		h := hook{Webhook: w, name: fmt.Sprintf("announce[%d] (%s)", i, w.Kind), url: w.URL}
		if w.URLEnv != "" {
			h.name = fmt.Sprintf("announce[%d] (%s, $%s)", i, w.Kind, w.URLEnv)
			if h.url = strings.TrimSpace(getenv(w.URLEnv)); h.url == "" {
				left = append(left, fmt.Sprintf("%s: %s is not set; nothing is announced there", h.name, w.URLEnv))
				continue
			}
			if err := checkURL(h.url); err != nil {
				left = append(left, fmt.Sprintf("%s: %s %v; nothing is announced there", h.name, w.URLEnv, err))
				continue
			}
		}
		a.hooks = append(a.hooks, h)
	}
	return a, left
}

// tell tells every webhook that wants to know, all at once, and returns what
// became of it.
func (a *announcer) tell(ctx context.Context, m message) []store.Announcement {
	var wanted []hook
	for _, h := range a.hooks {
		if h.wants(m) {
			wanted = append(wanted, h)
		}
	}
	out := make([]store.Announcement, len(wanted))
	var all sync.WaitGroup
	for i, h := range wanted {
		all.Go(func() {
			out[i] = store.Announcement{Run: m.run.ID, At: m.now, Event: m.event, Hook: h.name}
			if err := a.send(ctx, h, m); err != nil {
				out[i].Error = err.Error()
			}
		})
	}
	all.Wait()
	return out
}

// wants says whether the webhook is told. An alert also has to be told that it
// is over.
func (h *hook) wants(m message) bool {
	return h.has(m.event) || h.Kind == "alertmanager" && m.event == Ended && len(h.alerts(m)) > 0
}

func (h *hook) has(event string) bool { return slices.Contains(h.On, event) }

func (a *announcer) send(ctx context.Context, h hook, m message) error {
	var body any
	to := h.url
	switch h.Kind {
	case "slack":
		body = map[string]string{"text": slackText(m)}
	default:
		alerts := h.alerts(m)
		if len(alerts) == 0 {
			return nil
		}
		body, to = alerts, strings.TrimSuffix(to, "/")+"/api/v2/alerts"
	}
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	for n := 1; ; n++ {
		again, err := a.post(ctx, to, b)
		if err == nil || !again || n == attempts || ctx.Err() != nil {
			return err
		}
	}
}

// post sends a body once. Its errors never hold the URL, which may be a secret.
func (a *announcer) post(ctx context.Context, to string, body []byte) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return false, errors.New("the URL is not one that can be asked")
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := a.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		if ctx.Err() != nil {
			err = fmt.Errorf("no answer within %v", a.timeout)
		}
		return true, err
	}
	defer res.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if res.StatusCode/100 == 2 {
		return false, nil
	}
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(answer), "?")), " ")
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	return res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests, fmt.Errorf("it answered %s: %s", res.Status, text)
}

// headline is the event in a line.
func (m message) headline() string {
	r := m.run
	switch m.event {
	case Started:
		return fmt.Sprintf("Game day %s: %s started (schedule %s, seed %d)", m.gameDay, r.Scenario, r.Schedule, r.Seed)
	case Missed:
		return fmt.Sprintf("Game day %s: %s missed its objectives", m.gameDay, r.Scenario)
	case Regressed:
		return fmt.Sprintf("Game day %s: %s got worse", m.gameDay, r.Scenario)
	}
	return fmt.Sprintf("Game day %s: %s %s", m.gameDay, r.Scenario, outcome(r))
}

// outcome is how a run ended, as the verb of a sentence.
func outcome(r *store.Run) string {
	switch {
	case r.State == store.Interrupted:
		return "was interrupted"
	case r.State == store.Failed:
		return "could not be run"
	case r.Verdict == slo.Met:
		return "is met"
	case r.Verdict == slo.Missed:
		return "is missed"
	}
	return "is inconclusive"
}

// detail is what else there is to say.
func (m message) detail() string {
	r := m.run
	switch {
	case m.event == Started:
		return ""
	case m.event == Regressed:
		return r.Regression
	case r.State != store.Finished && r.Note != "":
		return r.Note
	}
	return r.Summary
}

// slackText is Slack's markup, in which three characters must be escaped.
func slackText(m message) string {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace
	text := "*" + escape(m.headline()) + "*"
	if d := m.detail(); d != "" {
		text += "\n" + escape(d)
	}
	return text
}

// alert is one of Alertmanager's API v2.
type alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

// alerts of an event: GameDayRunning while a run lasts, GameDayMissed until a
// run of the scenario is met, GameDayRegression until one is none.
func (h *hook) alerts(m message) []alert {
	r := m.run
	until := func(name, severity string, start, end time.Time) alert {
		return alert{
			Labels:      map[string]string{"alertname": name, "gameday": m.gameDay, "scenario": r.Scenario, "severity": severity},
			Annotations: map[string]string{"summary": m.headline(), "description": m.detail(), "run": r.Key, "seed": fmt.Sprint(r.Seed)},
			StartsAt:    start, EndsAt: end,
		}
	}
	const running, missed, worse = "GameDayRunning", "GameDayMissed", "GameDayRegression"
	var out []alert
	switch m.event {
	case Started:
		out = append(out, until(running, "info", r.Started, m.now.Add(alertLasts)))
	case Missed:
		out = append(out, until(missed, "critical", m.now, m.now.Add(alertLasts)))
	case Regressed:
		out = append(out, until(worse, "warning", m.now, m.now.Add(alertLasts)))
	case Ended:
		if h.has(Started) || h.has(Ended) {
			out = append(out, until(running, "info", r.Started, m.now))
		}
		if r.State != store.Finished {
			break
		}
		if h.has(Missed) && r.Verdict == slo.Met {
			out = append(out, until(missed, "critical", r.Started, m.now))
		}
		if h.has(Regressed) && r.Regression == "" && r.Verdict != slo.Inconclusive {
			out = append(out, until(worse, "warning", r.Started, m.now))
		}
	}
	return out
}
