// Package target lets the harness run the reference platform: it implements
// fixtures.Target. Only cmd/fivenines, reference/undertest and tests import it.
package target

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/reference/internal/cluster"
	"github.com/fivenines/fivenines/reference/internal/node"
	"github.com/fivenines/fivenines/reference/internal/traffic"
)

// Reference is the platform of this repository as a system under test.
type Reference struct {
	binary string

	mu      sync.Mutex
	m       *cluster.Map
	archive string
}

// New returns the target. binary is the fivenines program whose `node` command
// is a node; the default topology's shards are assumed until one is started.
func New(binary string) *Reference {
	r := &Reference{binary: binary}
	r.use(fixtures.ThreeRegion())
	return r
}

var _ fixtures.Target = (*Reference)(nil)

// Name implements fixtures.Target.
func (r *Reference) Name() string { return "reference" }

// Driver implements fixtures.Target.
func (r *Reference) Driver() string { return "resp" }

// Mutants implements fixtures.Target.
func (r *Reference) Mutants() []string { return node.Mutants() }

func regions(t *fixtures.Topology) (out []cluster.Region) {
	for _, x := range t.Regions {
		out = append(out, cluster.Region{Name: x.Name, Role: x.Role, Nodes: x.Nodes})
	}
	return out
}

func (r *Reference) use(t *fixtures.Topology) error {
	m, err := cluster.NewMap(regions(t), t.Shards, t.Replicas)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.m = m
	r.mu.Unlock()
	return nil
}

func (r *Reference) current() *cluster.Map {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.m
}

// Partitions implements fixtures.Target: the number of shards.
func (r *Reference) Partitions() int { return r.current().Shards }

// PartitionOf implements fixtures.Target.
func (r *Reference) PartitionOf(key string) int { return r.current().ShardOf([]byte(key)) }

// HomeOf implements fixtures.Homed.
func (r *Reference) HomeOf(partition int) string { return r.current().HomeOf(partition) }

// Command implements fixtures.Target: it writes the node's configuration
// beside its data.
func (r *Reference) Command(s fixtures.NodeSpec, o fixtures.StartOptions) (fixtures.Command, error) {
	if o.Mutant != "" && !slices.Contains(r.Mutants(), o.Mutant) {
		return fixtures.Command{}, fmt.Errorf("the reference has no mutant %q: choose one of %s", o.Mutant, strings.Join(r.Mutants(), ", "))
	}
	if err := r.use(s.Topology); err != nil {
		return fixtures.Command{}, err
	}
	clients := map[string]string{}
	for id, admin := range s.Admins {
		// All nodes use the same ports; CLUSTER SLOTS tells the nodes' own
		// addresses, and clients know them by the node's id.
		host, _, err := net.SplitHostPort(admin)
		if err != nil {
			return fixtures.Command{}, fmt.Errorf("node %s: admin address %q: %w", id, admin, err)
		}
		_, port, err := net.SplitHostPort(s.Listen[fixtures.PortClient])
		if err != nil {
			return fixtures.Command{}, fmt.Errorf("node %s: client address: %w", s.ID, err)
		}
		clients[id] = net.JoinHostPort(host, port)
	}
	set, err := settingsOf(s.Topology)
	if err != nil {
		return fixtures.Command{}, err
	}
	if set.alertmanager == "" {
		set.alertmanager = s.Alerting
	}
	c := node.Config{Cluster: s.Topology.Name, ID: s.ID, Dir: filepath.Join(s.Dir, "store"), Client: s.Listen[fixtures.PortClient],
		Peer: s.Listen[fixtures.PortPeer], Admin: s.Listen[fixtures.PortAdmin], Peers: s.Peers, Clients: clients,
		Regions: regions(s.Topology), Shards: s.Topology.Shards, Replicas: s.Topology.Replicas, Seed: s.Seed,
		DNS: s.Listen[fixtures.PortDNS], First: o.First, RecordSync: o.RecordSync, DropUnsynced: o.PowerLoss, Mutant: o.Mutant, Archive: r.archiveOf(),
		Failover: set.failover, Healing: set.healing, Admission: set.admission, SessionMemory: set.memory, Alertmanager: set.alertmanager}
	for id, ps := range s.Paths {
		if len(ps) < 2 {
			continue
		}
		if c.Paths == nil {
			c.Paths = map[string][]node.PeerPath{}
		}
		for _, p := range ps {
			c.Paths[id] = append(c.Paths[id], node.PeerPath{Name: p.Name, Addr: p.Addr, RTTms: ms(p.RTT), JitterMs: ms(p.Jitter)})
		}
	}
	b, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return fixtures.Command{}, err
	}
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return fixtures.Command{}, fmt.Errorf("node %s: %w", s.ID, err)
	}
	file := filepath.Join(s.Dir, "node.json")
	if err := os.WriteFile(file, b, 0o644); err != nil {
		return fixtures.Command{}, fmt.Errorf("node %s: %w", s.ID, err)
	}
	cmd := fixtures.Command{Path: r.binary, Args: []string{"node", "--config", file}, Env: environment(len(s.Admins))}
	if o.Mutant != "" {
		cmd.Args = append(cmd.Args, "--i-know-this-is-broken")
	}
	if set.supervised {
		cmd.Args, cmd.Supervised = append(cmd.Args, "--supervised"), true
	}
	return cmd, nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// environment keeps the runtimes of many nodes on few cores from getting in
// each other's way: idle threads of one that look for work cost the others
// more than a second thread would win.
func environment(nodes int) []string {
	if nodes < runtime.NumCPU() {
		return nil
	}
	return []string{"GOMAXPROCS=1", "GOGC=400"}
}

var client = &http.Client{Timeout: 3 * time.Second}

// Ready implements fixtures.Target.
func (r *Reference) Ready(ctx context.Context, s fixtures.NodeSpec) error {
	_, err := get(ctx, client, "http://"+s.Listen[fixtures.PortAdmin]+"/readyz")
	return err
}

func get(ctx context.Context, c *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, errors.New(strings.TrimSpace(string(b)))
	}
	return b, nil
}

// MetricsPath implements fixtures.Metered.
func (r *Reference) MetricsPath() string { return "/metrics" }

// Zone implements fixtures.Resolved.
func (r *Reference) Zone() string { return traffic.DefaultZone }

// Probe implements fixtures.Target: PING on the front door, a canary frame
// between nodes, a health check on the admin port.
func (r *Reference) Probe(ctx context.Context, c net.Conn, port fixtures.Port) error {
	if d, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(d); err != nil {
			return err
		}
	}
	var ask, want []byte
	switch port {
	case fixtures.PortClient:
		ask, want = []byte("PING\r\n"), []byte("+PONG\r\n")
	case fixtures.PortPeer:
		ask = node.AppendFrame(nil, node.FrameCanary, []byte("canary"))
		want = ask
	case fixtures.PortAdmin:
		ask, want = []byte("GET /healthz HTTP/1.0\r\n\r\n"), []byte("HTTP/1.0 200 OK")
	default:
		return fmt.Errorf("no probe for port %q", port)
	}
	if _, err := c.Write(ask); err != nil {
		return err
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != string(want) {
		return fmt.Errorf("%q answered a probe of port %s", got, port)
	}
	return nil
}

// Events implements fixtures.Target.
func (r *Reference) Events(ctx context.Context, s fixtures.NodeSpec, sink func(history.Event)) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Listen[fixtures.PortAdmin]+"/events", nil)
	if err != nil {
		return err
	}
	res, err := (&http.Client{}).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	dec := json.NewDecoder(res.Body)
	for {
		var e node.Event
		if err := dec.Decode(&e); err != nil {
			return err
		}
		sink(history.Event{NodeTime: e.Time.Format(time.RFC3339Nano), Kind: e.Kind, Source: e.Node, Subject: strings.Join(e.Parts, " "), Parts: e.Parts, Detail: e.Detail, Fields: e.Fields})
	}
}
