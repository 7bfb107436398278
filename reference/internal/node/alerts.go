package node

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fivenines/fivenines/reference/internal/alerting"
	"github.com/fivenines/fivenines/reference/internal/failover"
)

// Events of the alerts of this node's failover manager.
const (
	alertDelivered    = "alert-delivered"
	alertsUndelivered = "alerts-undelivered" // the first failure after a success
)

// alertsNow is what the loop last found worth telling.
type alertsNow struct {
	authority bool
	alerts    []failover.Alert
}

func newAlertsCounter() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "fivenines", Name: "alertmanager_posts_total", Help: "Posts to Alertmanager by their result."}, []string{"result"})
}

// tellAlerts brings alerts to Alertmanager until the node ends.
func (n *Node) tellAlerts(ctx context.Context) error {
	var (
		tracker alerting.Tracker
		failing bool
		client  = alerting.Client{URL: n.cfg.Alertmanager, HTTP: &http.Client{Timeout: 2 * time.Second}}
		posts   = newAlertsCounter()
	)
	n.metrics.reg.MustRegister(posts)
	defer n.metrics.reg.Unregister(posts)
	every := time.NewTicker(100 * time.Millisecond)
	defer every.Stop()
	var quiet time.Time // until then, since it does not answer
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-every.C:
			at := n.alerts.Load()
			if at == nil {
				continue
			}
			tracker.Set(now, at.authority, at.alerts)
			due := tracker.Due(now)
			if len(due) == 0 || now.Before(quiet) {
				continue
			}
			if err := client.Post(ctx, due); err != nil {
				posts.WithLabelValues("failed").Inc()
				if ctx.Err() == nil && !failing {
					n.events.emit(alertsUndelivered, []string{n.self.ID}, fmt.Sprintf("%d alerts wait: %v", len(due), err), nil)
				}
				failing, quiet = true, time.Now().Add(time.Second)
				continue
			}
			posts.WithLabelValues("ok").Inc()
			tracker.Told(now)
			failing = false
			for _, a := range due {
				if a.Fresh {
					n.events.emit(alertDelivered, parts(a), a.Labels["alertname"]+": "+a.Annotations["summary"], map[string]string{"severity": a.Labels["severity"]})
				}
			}
		}
	}
}

// parts are what an alert names, the node first.
func parts(a alerting.Alert) []string {
	if node := a.Labels["node"]; node != "" {
		return []string{node, a.Labels["region"]}
	}
	return []string{a.Labels["region"]}
}
