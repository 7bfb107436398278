package node

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/pprof"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fivenines/fivenines/reference/internal/cluster"
	"github.com/fivenines/fivenines/reference/internal/healing/tree"
)

// Status is what /status tells.
type Status struct {
	ID         string        `json:"id"`
	Region     string        `json:"region"`
	Generation uint32        `json:"generation"`
	Mutant     string        `json:"mutant,omitempty"`
	Meta       cluster.State `json:"meta"`
	Leads      []int         `json:"leads"` // shards
	Shards     []ShardStatus `json:"shards"`
	Suspected  []string      `json:"suspected"`
	Unfit      string        `json:"unfit,omitempty"` // why it leads no shards
	Services   []tree.Status `json:"services"`
}

// ShardStatus is one replica.
type ShardStatus struct {
	Shard    int    `json:"shard"`
	Leader   string `json:"leader"`
	Term     uint64 `json:"term"`
	Applied  uint64 `json:"applied"`
	Sessions int    `json:"sessions"`
	Bytes    int    `json:"bytes"`
	Serving  bool   `json:"serving"`
}

// inLoop runs fn in the loop and waits for it.
func (n *Node) inLoop(r *http.Request, fn func()) bool {
	done := make(chan struct{})
	n.do(func() { fn(); close(done) })
	select {
	case <-done:
		return true
	case <-r.Context().Done():
	case <-time.After(2 * time.Second):
	}
	return false
}

func (n *Node) status(now time.Duration) Status {
	s := Status{ID: n.cfg.ID, Region: n.self.Region, Generation: n.generation, Mutant: n.cfg.Mutant, Meta: n.meta.State(), Leads: []int{}, Suspected: []string{}, Unfit: n.manager.unfit, Services: n.tree.Status()}
	for _, g := range n.order {
		if g.shard == nil {
			continue
		}
		st := ShardStatus{Shard: g.shard.index, Term: g.g.Term(), Applied: g.g.Applied(), Sessions: g.shard.table.Len(), Bytes: g.shard.table.Bytes(),
			Serving: g.g.Serving() && g.g.LeaseUntil() > now}
		if node, _ := cluster.NodeOf(g.g.Leader()); node >= 0 && node < len(n.m.Nodes) {
			st.Leader = n.m.Nodes[node].ID
		}
		if st.Serving {
			s.Leads = append(s.Leads, st.Shard)
		}
		s.Shards = append(s.Shards, st)
	}
	for i := range n.m.Nodes {
		if n.manager.fo.Suspects(i) {
			s.Suspected = append(s.Suspected, n.m.Nodes[i].ID)
		}
	}
	slices.Sort(s.Leads)
	return s
}

// notReady says what is missing until every shard has a leader that this node
// knows, and its own replicas have caught up with theirs.
func (n *Node) notReady(now time.Duration) string {
	if !n.started.Load() {
		return "starting"
	}
	if n.manager.rejoining {
		return "waiting for a new Raft identity"
	}
	var missing []string
	for s := range n.leaders {
		if l := n.leaderOf(s, now); l < 0 || l != n.self.Index && n.manager.suspects(l) {
			missing = append(missing, strconv.Itoa(s))
		}
	}
	if len(missing) > 0 {
		return "no known leader for shards " + strings.Join(missing, ",")
	}
	for _, g := range n.order {
		if g.g.Leader() == 0 {
			return fmt.Sprintf("group %d has no leader", g.id)
		}
		if g.shard != nil && g.g.IsLeader() && (!g.g.Serving() || g.g.LeaseUntil() <= now) {
			return fmt.Sprintf("shard %d is led here without a lease yet", g.shard.index)
		}
		if g.shard != nil && !slices.Contains(n.m.Replicas(g.shard.index), n.self.Index) {
			continue // stands in for another node
		}
		members := g.g.Members()
		if g.shard != nil {
			members = g.g.Voters()
		}
		if !slices.Contains(members, g.g.ID()) {
			return fmt.Sprintf("not yet a member of group %d", g.id)
		}
		for _, id := range g.g.Members() {
			// In the joint configuration the lost identity still counts: to lose
			// another replica now would cost the quorum.
			if node, _ := cluster.NodeOf(id); node == n.self.Index && id != g.g.ID() {
				return fmt.Sprintf("its old identity has not left group %d yet", g.id)
			}
		}
	}
	return ""
}

func (n *Node) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		if d := n.Now() - time.Duration(n.ticked.Load()); n.started.Load() && d > 5*time.Second {
			http.Error(w, "the loop has not run for "+d.String(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		why := "starting"
		if n.started.Load() && !n.inLoop(r, func() { why = n.notReady(n.Now()) }) {
			why = "the loop is busy"
		}
		if why != "" {
			http.Error(w, why, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		var s Status
		if !n.started.Load() || !n.inLoop(r, func() { s = n.status(n.Now()) }) {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(s)
	})
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		seq, _ := strconv.ParseUint(r.URL.Query().Get("since"), 10, 64)
		w.Header().Set("Content-Type", "application/x-ndjson")
		fl, _ := w.(http.Flusher)
		enc := json.NewEncoder(w)
		w.WriteHeader(http.StatusOK)
		if fl != nil {
			fl.Flush()
		}
		for {
			evs, err := n.events.after(r.Context(), seq)
			if err != nil {
				return
			}
			for _, e := range evs {
				if enc.Encode(e) != nil {
					return
				}
				seq = e.Seq
			}
			if fl != nil {
				fl.Flush()
			}
		}
	})
	n.recoveryHandlers(mux)
	n.failoverHandler(mux)
	n.flipHandler(mux)
	n.panicHandler(mux)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.Handle("GET /metrics", promhttp.HandlerFor(n.metrics.reg, promhttp.HandlerOpts{}))
	return mux
}

// Info implements gateway.Node: the INFO command.
func (n *Node) Info() string {
	leads, keys := 0, 0
	for i := range n.shards {
		s := n.shards[i].Load()
		if s == nil {
			continue
		}
		keys += s.table.Len()
		if int64(n.Now()) < s.lease.Load() {
			leads++
		}
	}
	return fmt.Sprintf("# Server\r\nredis_version:7.4.0\r\nredis_mode:cluster\r\nserver_name:fivenines\r\nnode:%s\r\nregion:%s\r\n"+
		"# Clients\r\nconnected_clients:%d\r\n# Replication\r\nrole:master\r\nshards_led:%d\r\nprimary_region:%s\r\nepoch:%d\r\n# Keyspace\r\ndb0:keys=%d,expires=%d,avg_ttl=0\r\n",
		n.cfg.ID, n.self.Region, n.server.Conns(), leads, n.meta.State().Primary, n.meta.State().Epoch, keys, keys)
}

type metrics struct {
	reg                                                                            *prometheus.Registry
	entries, proposed, committed, commits, forwarded, elections, held, heldTooLong atomic.Uint64
	decisions                                                                      *prometheus.CounterVec
}

func newMetrics(n *Node) *metrics {
	m := &metrics{reg: prometheus.NewRegistry()}
	counter := func(name, help string, v func() uint64) {
		m.reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "fivenines", Name: name, Help: help}, func() float64 { return float64(v()) }))
	}
	gauge := func(name, help string, v func() float64) {
		m.reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "fivenines", Name: name, Help: help}, v))
	}
	counter("entries_proposed_total", "Raft entries proposed by this node.", m.entries.Load)
	counter("writes_proposed_total", "Client writes proposed by this node.", m.proposed.Load)
	counter("writes_committed_total", "Client writes committed and applied here.", m.committed.Load)
	counter("disk_commits_total", "Synced disk writes (group commits).", m.commits.Load)
	counter("requests_forwarded_total", "Requests handed to another node.", m.forwarded.Load)
	counter("requests_held_total", "Requests that waited for a shard between two leaders.", m.held.Load)
	counter("requests_held_too_long_total", "Requests that waited for a new leader in vain.", m.heldTooLong.Load)
	counter("elections_won_total", "Shard elections won by this node.", m.elections.Load)
	counter("commands_total", "RESP commands.", n.server.Commands.Load)
	counter("connections_accepted_total", "Client connections accepted.", n.server.Accepted.Load)
	counter("connections_dropped_after_sleep_total", "Client connections dropped because this process did not run for a while.", n.server.Stalls.Load)
	counter("connections_cut_off_total", "Client connections closed because their client did not take its answers.", n.server.CutOff.Load)
	gauge("connections", "Open client connections.", func() float64 { return float64(n.server.Conns()) })
	gauge("shards_led", "Shards that this node serves under a lease.", func() float64 {
		c := 0
		for i := range n.shards {
			if s := n.shards[i].Load(); s != nil && int64(n.Now()) < s.lease.Load() {
				c++
			}
		}
		return float64(c)
	})
	gauge("sessions", "Sessions held in the replicas of this node.", func() float64 {
		c := 0
		for i := range n.shards {
			if s := n.shards[i].Load(); s != nil {
				c += s.table.Len()
			}
		}
		return float64(c)
	})
	gauge("session_bytes", "Bytes of keys and values in the replicas of this node.", func() float64 {
		c := 0
		for i := range n.shards {
			if s := n.shards[i].Load(); s != nil {
				c += s.table.Bytes()
			}
		}
		return float64(c)
	})
	m.reg.MustRegister(operationsCollector{n.server})
	m.sessions(n)
	m.manager(n)
	gauge("epoch", "Epoch of the roles as this node knows it.", func() float64 { return float64(n.meta.State().Epoch) })
	return m
}
