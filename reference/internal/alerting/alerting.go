// Package alerting tells Alertmanager what the failover manager wants a person
// to know (API v2, https://github.com/prometheus/alertmanager, api/v2/openapi.yaml).
//
// Alertmanager forgets an alert that is not told again, and routes it by its
// severity; what is over is told once more with its end.
package alerting

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/fivenines/fivenines/reference/internal/failover"
)

// Alert is one of Alertmanager's API v2.
type Alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
	Fresh       bool              `json:"-"` // it was never told before
}

// Resend is how often an alert that holds is told again. One that nobody told
// again for four times as long is over, as Prometheus has it.
const Resend = 10 * time.Second

// Tracker decides what has to be told. It is not safe for concurrent use.
type Tracker struct {
	firing []tracked
	over   []tracked // to be told that they are
}

type tracked struct {
	failover.Alert
	began time.Time
	sent  time.Time // zero: never
}

// Set says which alerts hold now. Authority that is lost leaves them to whoever
// has it next: they are neither told again nor called over.
func (t *Tracker) Set(now time.Time, authority bool, alerts []failover.Alert) {
	if !authority {
		t.firing, t.over = nil, nil
		return
	}
	t.firing = slices.DeleteFunc(t.firing, func(f tracked) bool {
		gone := !slices.Contains(alerts, f.Alert)
		if gone && !f.sent.IsZero() {
			t.over = append(t.over, f)
		}
		return gone
	})
	for _, a := range alerts {
		t.over = slices.DeleteFunc(t.over, func(o tracked) bool { return o.Alert == a })
		if !slices.ContainsFunc(t.firing, func(f tracked) bool { return f.Alert == a }) {
			t.firing = append(t.firing, tracked{Alert: a, began: now})
		}
	}
}

// Due is what has to be told now.
func (t *Tracker) Due(now time.Time) (out []Alert) {
	for _, f := range t.firing {
		if now.Sub(f.sent) >= Resend {
			out = append(out, f.wire(now.Add(4*Resend)))
		}
	}
	for _, o := range t.over {
		out = append(out, o.wire(now))
	}
	return out
}

// Told records that what was due then has arrived.
func (t *Tracker) Told(now time.Time) {
	for i := range t.firing {
		if now.Sub(t.firing[i].sent) >= Resend {
			t.firing[i].sent = now
		}
	}
	t.over = nil
}

func (f tracked) wire(end time.Time) Alert {
	l := map[string]string{"alertname": f.Name, "severity": f.Severity, "region": f.Region, "source": "failover-manager"}
	if f.Node != "" {
		l["node"] = f.Node
	}
	return Alert{Labels: l, Annotations: map[string]string{"summary": f.Summary}, StartsAt: f.began.UTC(), EndsAt: end.UTC(), Fresh: f.sent.IsZero()}
}

// Client posts alerts to one Alertmanager.
type Client struct {
	URL  string // such as http://127.0.0.1:9093
	HTTP *http.Client
}

// Post sends alerts; an error means that none of them may have arrived.
func (c Client) Post(ctx context.Context, alerts []Alert) error {
	b, err := json.Marshal(alerts)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+"/api/v2/alerts", bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("alertmanager %s: %w", c.URL, err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.HTTP.Do(req)
	if err != nil {
		return fmt.Errorf("alertmanager: %w", err)
	}
	defer res.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(res.Body, 200))
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("alertmanager %s: %s: %s", c.URL, res.Status, bytes.TrimSpace(said))
	}
	return nil
}
