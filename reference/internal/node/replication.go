package node

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fivenines/fivenines/reference/internal/cluster"
	"github.com/fivenines/fivenines/reference/internal/replica"
)

// replicaKey is a follower of a group that is led here.
type replicaKey struct {
	group uint32
	id    uint64
}

// replicaLag times one entry of the log after the other until the follower has
// it on disk; an entry that is under way counts with its age.
type replicaLag struct {
	mark uint64 // the entry that is timed; 0: none
	at   time.Duration
	last time.Duration // of the entry timed before
	seen time.Duration // when the follower was last looked at
}

// see takes how far a log and its follower are, and returns the lag.
func (l *replicaLag) see(now time.Duration, f replica.Follower) time.Duration {
	l.seen = now
	if l.mark != 0 && f.Match >= l.mark {
		l.last, l.mark = now-l.at, 0
	}
	if f.Behind == 0 {
		l.last, l.mark = 0, 0
		return 0
	}
	if l.mark == 0 {
		l.mark, l.at = f.Match+f.Behind, now
	}
	return max(l.last, now-l.at)
}

// replication is how far followers are behind the leaders on this node; the loop's.
type replication struct {
	of     map[replicaKey]*replicaLag
	told   map[int]time.Duration // by node
	lag    *prometheus.GaugeVec
	behind *prometheus.GaugeVec
}

func newReplication(reg *prometheus.Registry) *replication {
	r := &replication{
		of: map[replicaKey]*replicaLag{},
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "fivenines", Name: "replication_lag_seconds",
			Help: "How long a follower took to have an entry of a shard that is led here on its disk; the worst shard. Its resolution is a tick of the node."}, []string{"follower"}),
		behind: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "fivenines", Name: "replication_lag_entries",
			Help: "By how many log entries a follower is behind a shard that is led here; the worst shard."}, []string{"follower"}),
	}
	reg.MustRegister(r.lag, r.behind)
	return r
}

// watch looks at the followers of all that is led here.
func (r *replication) watch(now time.Duration, n *Node) {
	lags, behind := map[int]time.Duration{}, map[int]uint64{}
	for _, g := range n.order {
		if g.shard == nil || !g.g.Serving() {
			continue
		}
		for _, f := range g.g.Followers() {
			node, _ := cluster.NodeOf(f.ID)
			if node < 0 || node >= len(n.m.Nodes) {
				continue
			}
			k := replicaKey{g.id, f.ID}
			if r.of[k] == nil {
				r.of[k] = &replicaLag{}
			}
			lags[node] = max(lags[node], r.of[k].see(now, f))
			behind[node] = max(behind[node], f.Behind)
		}
	}
	for k, l := range r.of {
		if l.seen != now {
			delete(r.of, k)
		}
	}
	for node := range r.told {
		if _, ok := lags[node]; !ok {
			r.lag.DeleteLabelValues(n.m.Nodes[node].ID)
			r.behind.DeleteLabelValues(n.m.Nodes[node].ID)
		}
	}
	r.told = lags
	for node, lag := range lags {
		r.lag.WithLabelValues(n.m.Nodes[node].ID).Set(lag.Seconds())
		r.behind.WithLabelValues(n.m.Nodes[node].ID).Set(float64(behind[node]))
	}
}
