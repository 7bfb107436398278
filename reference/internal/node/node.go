package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/fivenines/fivenines/reference/internal/admission"
	"github.com/fivenines/fivenines/reference/internal/cluster"
	"github.com/fivenines/fivenines/reference/internal/cold"
	"github.com/fivenines/fivenines/reference/internal/disk"
	"github.com/fivenines/fivenines/reference/internal/failover"
	"github.com/fivenines/fivenines/reference/internal/gateway"
	"github.com/fivenines/fivenines/reference/internal/healing"
	"github.com/fivenines/fivenines/reference/internal/healing/tree"
	"github.com/fivenines/fivenines/reference/internal/recovery"
	"github.com/fivenines/fivenines/reference/internal/replica"
	"github.com/fivenines/fivenines/reference/internal/session"
)

// Config of one node, as `fivenines node --config FILE` reads it.
type Config struct {
	Cluster string            `json:"cluster"`
	ID      string            `json:"id"`
	Dir     string            `json:"dir"`
	Client  string            `json:"client"` // listen address of the RESP front door
	Peer    string            `json:"peer"`
	Admin   string            `json:"admin"`
	DNS     string            `json:"dns,omitempty"`  // listen address of the DNS server, UDP and TCP; empty: none
	Zone    string            `json:"zone,omitempty"` // that it is authoritative for; empty: [traffic.DefaultZone]
	Peers   map[string]string `json:"peers"`          // other node -> address to dial, or name and port
	// Paths lists the ways to nodes of other regions in order of preference,
	// where there is more than one; the first is the one in Peers.
	Paths    map[string][]PeerPath `json:"paths,omitempty"`
	Clients  map[string]string     `json:"clients"` // node -> its front door, as CLUSTER SLOTS tells it
	Regions  []cluster.Region      `json:"regions"`
	Shards   int                   `json:"shards"`
	Replicas int                   `json:"replicas"`
	Seed     int64                 `json:"seed"`

	First        bool   `json:"first"`         // a new cluster: an empty disk is right
	RecordSync   bool   `json:"record_sync"`   // keep the record that DropUnsynced needs
	DropUnsynced bool   `json:"drop_unsynced"` // begin as after a power loss
	Mutant       string `json:"mutant,omitempty"`

	Alertmanager  string `json:"alertmanager,omitempty"`   // its URL; empty: alerts are events only
	SessionMemory int64  `json:"session_memory,omitempty"` // bytes of values held in memory; the rest is on disk. 0: 1 GiB

	// Archive is the blob store (a directory or a URL) that the committed log is
	// archived in; empty: none. The durations' zero is their default.
	Archive          string   `json:"archive,omitempty"`
	ArchiveSnapshots Duration `json:"archive_snapshots,omitempty"` // between base snapshots of a shard, 1h
	ArchiveKeep      Duration `json:"archive_keep,omitempty"`      // how far back a restore can go, 24h

	began *incarnationEnded // why the life before this one ended
	watch func(*Node)       // of a test: it is shown the node before clients are

	Failover failover.Config `json:"failover,omitzero"` // intervals and bounds of the failover manager

	Admission admission.Config `json:"admission,omitzero"` // what a node takes on at most
	Healing   healing.Config   `json:"healing,omitzero"`   // of health checks and restarts

	Restarted *Restart `json:"-"` // set by a supervisor's restart
}

// Mutants are the ways in which a node can be started broken on purpose.
func Mutants() []string {
	return []string{"ack-before-quorum", "no-failover", "stale-lease", "no-fencing", "no-fsync", "lost-disk", "no-hysteresis", "no-handover", "no-reroute", "no-shedding", "no-restart"}
}

const (
	metaGroup = 0 // group ids: 0 is meta, shard s is s+1
	// A turn of the loop takes all that has arrived. Against round trips of 76 ms
	// between regions some milliseconds are nothing, and wake-ups are what costs.
	turnInterval   = 8 * time.Millisecond
	urgentInterval = time.Millisecond
	sleptFor       = 800 * time.Millisecond // a process that did not run for so long drops its clients
	compactBytes   = 16 << 20
)

// Node is a running node.
type Node struct {
	cfg  Config
	m    *cluster.Map
	self cluster.Node
	log  *slog.Logger
	boot uint64

	store  *disk.Store
	cold   *cold.Store // values of sessions that are not in memory
	meta   *cluster.Meta
	timing replica.Timing

	incarnation atomic.Uint64     // 0: not known yet
	replicas    map[uint32]uint32 // as disk.Identity.Replicas
	dropped     map[uint32]uint32 // as disk.Identity.Dropped
	dropping    map[uint32]bool   // groups whose data are being deleted
	generation  uint32

	peers   []*peer // by node index; nil at our own
	book    *book   // of their addresses
	routers []*router
	inMu    sync.Mutex
	inbound map[int]*inbound

	// The mailbox.
	mu       sync.Mutex
	mails    []mail
	requests []*gateway.Request
	since    time.Duration // when the first of requests came
	stored   []storedBatch
	funcs    []func()
	stopped  bool
	wake     chan struct{} // something urgent
	calm     chan struct{} // something

	// Owned by the loop.
	groups   map[uint32]*group
	order    []*group
	forwards forwards
	held     map[int]*handover // by shard
	holding  int               // requests in held
	seq      uint64
	lastTick time.Duration
	manager  manager
	alerts   atomic.Pointer[alertsNow] // what tellAlerts tells
	guard    guard
	fatal    error
	frozenAt time.Duration // 0: not frozen; see recovery.go
	prepared bool          // frozen, with an order on disk

	shards  []atomic.Pointer[shard] // by shard; nil where no replica that counts is here
	leaders []atomic.Int64
	terms   []atomic.Uint64
	vouched []atomic.Int64 // node clock when the leader last said that it leads
	ticked  atomic.Int64
	recent  atomic.Int64 // node clock as the loop last looked at it
	slept   atomic.Uint64
	woke    atomic.Int64 // node clock when it was last found to have slept

	writer  *writer
	server  *gateway.Server
	events  *events
	metrics *metrics
	archive *archiver // nil: off
	started atomic.Bool
	joined  atomic.Bool
	fenced  atomic.Bool
	end     context.CancelCauseFunc // ends run

	tree     *tree.Tree // of the services that may be restarted in place
	doors    map[string]*door
	unfitFor map[string]string // why it must not lead, by what says so; owned by the loop
	panics   *prometheus.CounterVec
}

// group is one replica and those who wait for it.
type group struct {
	id      uint32
	g       *replica.Group
	shard   *shard // nil: meta
	placed  uint32 // the placement that brought it here
	moving  bool   // this leader is changing its members
	dirty   bool
	batch   []*gateway.Request // to be proposed at the end of this turn
	pending []pendingBatch     // proposed, in order
	nextID  uint64
	machine *tableMachine // nil: meta
	scrub   scrub
	early   []*gateway.Request // came before this new leader may serve
	handed  time.Duration      // when this node last began to hand it over; 0: never
}

type pendingBatch struct {
	id   uint64
	at   time.Duration
	reqs []*gateway.Request
}

// shard is what connection goroutines see of a replica.
type shard struct {
	index int
	table *session.Table
	lease atomic.Int64 // node clock until which strong reads may be served; 0: not
	// The shard clock of the leader: base + (now - since), milliseconds.
	base, since atomic.Int64
	bad         atomic.Bool // its state is wrong (scrub.go): nothing is read from it
}

// Now is CLOCK_BOOTTIME: it also counts while the machine is suspended (rule 2).
func (n *Node) Now() time.Duration { return bootTime() }

func bootTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(err) // every Linux since 2.6.39 has it
	}
	return time.Duration(ts.Nano())
}

// ID is the node's name.
func (n *Node) ID() string { return n.cfg.ID }

// Shards is their number.
func (n *Node) Shards() int { return n.cfg.Shards }

// ShardOf maps a key.
func (n *Node) ShardOf(key []byte) int { return n.m.ShardOf(key) }

func (n *Node) hello() hello {
	return hello{Cluster: n.cfg.Cluster, Incarnation: n.incarnation.Load(), Node: n.cfg.ID, Boot: n.boot}
}

func (n *Node) debugf(format string, a ...any) { n.log.Debug(fmt.Sprintf(format, a...)) }

// run is a node's life in one incarnation.
func run(ctx context.Context, cfg Config, log *slog.Logger) (err error) {
	m, err := cluster.NewMap(cfg.Regions, cfg.Shards, cfg.Replicas)
	if err != nil {
		return err
	}
	self, ok := m.NodeByID(cfg.ID)
	if !ok {
		return fmt.Errorf("node: no node of the topology is called %q", cfg.ID)
	}
	n := &Node{cfg: cfg, m: m, self: self, log: log.With("node", cfg.ID), boot: nonce(), meta: cluster.NewMeta(m),
		timing: replica.DefaultTiming(), inbound: map[int]*inbound{}, held: map[int]*handover{}, dropping: map[uint32]bool{}, doors: map[string]*door{}, unfitFor: map[string]string{}, wake: make(chan struct{}, 1), calm: make(chan struct{}, 1), groups: map[uint32]*group{},
		shards: make([]atomic.Pointer[shard], cfg.Shards), leaders: make([]atomic.Int64, cfg.Shards), terms: make([]atomic.Uint64, cfg.Shards),
		vouched: make([]atomic.Int64, cfg.Shards)}
	for i := range n.leaders {
		n.leaders[i].Store(-1)
	}
	n.events = newEvents(cfg.ID, self.Region)
	n.forwards.init()
	n.manager.init(n)
	n.server = gateway.NewServer(n)
	n.metrics = newMetrics(n)
	n.guard.init(n)

	listeners := map[string]net.Listener{}
	for name, addr := range map[string]string{"client": cfg.Client, "peer": cfg.Peer, "admin": cfg.Admin} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return fmt.Errorf("node %s: %s address %s: %w", cfg.ID, name, addr, err)
		}
		defer l.Close()
		listeners[name] = l
	}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return fmt.Errorf("node %s: %w", cfg.ID, err)
	}
	if err := recovery.Finish(cfg.Dir); err != nil {
		return fmt.Errorf("node %s: %w", cfg.ID, err)
	}
	n.store, err = disk.Open(disk.Options{Dir: recovery.Data(cfg.Dir), RecordSync: cfg.RecordSync, DropUnsynced: cfg.DropUnsynced,
		Seed: cfg.Seed + int64(self.Index), NoSync: cfg.Mutant == "no-fsync", Logf: n.debugf})
	if err != nil {
		return damagedDisk(cfg, fmt.Errorf("node %s: %w", cfg.ID, err))
	}
	defer n.store.Close()
	if n.cold, err = cold.Open(filepath.Join(cfg.Dir, "cold"), n.log); err != nil {
		return fmt.Errorf("node %s: %w", cfg.ID, err)
	}
	defer n.cold.Close()

	asked := ctx // to end: what is led here is handed over first
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	n.end = cancel
	if e := cfg.began; e != nil {
		n.events.emit(e.kind, []string{cfg.ID}, e.why, nil)
	}
	n.restarted()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	spawn := func(what string, fn func(context.Context) error) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := fn(ctx); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("node %s: %s: %w", cfg.ID, what, err))
			}
		}()
	}
	n.book = newBook(filepath.Join(cfg.Dir, "peers.json"))
	if n.routers, err = newRouters(n); err != nil {
		return fmt.Errorf("node %s: %w", cfg.ID, err)
	}
	n.peers = make([]*peer, len(m.Nodes))
	for _, o := range m.Nodes {
		if o.Index == self.Index {
			continue
		}
		addr, ok := cfg.Peers[o.ID]
		if !ok {
			return fmt.Errorf("node %s: no address for peer %s in the configuration", cfg.ID, o.ID)
		}
		n.peers[o.Index] = &peer{n: n, index: o.Index, id: o.ID, addr: addr, wake: make(chan struct{}, 1), moved: make(chan bool, 1)}
	}
	for _, r := range n.routers {
		for _, node := range r.targets {
			n.peers[node].route = r
		}
	}
	n.metrics.registerPaths(n)
	n.tree = newTree(n)
	n.tree.Start(ctx)
	defer func() {
		cancel(nil)
		if left := n.tree.Wait(); left != nil { // then nothing may begin anew in this process
			err = errors.Join(left, ended(err))
		}
	}()
	n.addAdmin(listeners["admin"])
	if err := n.openGroups(); err != nil {
		return damagedDisk(cfg, fmt.Errorf("node %s: refuses to serve: %w", cfg.ID, err))
	}
	if cfg.Archive != "" {
		if n.archive, err = newArchiver(ctx, n); err != nil {
			return fmt.Errorf("node %s: %w", cfg.ID, err)
		}
	}
	n.writer = newWriter(n)
	spawn("disk", n.writer.run)
	if err := n.addServices(listeners["peer"]); err != nil {
		return fmt.Errorf("node %s: %w", cfg.ID, err)
	}
	n.ticked.Store(int64(n.Now())) // the first client must not take the start for a sleep
	spawn("loop", n.loop)
	if cfg.watch != nil {
		cfg.watch(n)
	}
	n.addClients(listeners["client"])
	n.started.Store(true)
	n.log.Info("started", "region", self.Region, "generation", n.generation, "client", cfg.Client, "mutant", cfg.Mutant)
	select {
	case <-asked.Done():
		n.handOver(ctx)
		cancel(nil)
	case <-ctx.Done():
	}
	cause := context.Cause(ctx)
	if errors.Is(cause, context.Canceled) {
		return nil
	}
	return damagedDisk(cfg, cause)
}

func nonce() uint64 {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err)
	}
	return binary.LittleEndian.Uint64(b[:]) | 1
}

// openGroups decides who this node is and loads what it holds.
func (n *Node) openGroups() error {
	id, known, err := n.store.Identity()
	if err != nil {
		return err
	}
	switch {
	case known:
		if id.Node != n.cfg.ID || id.Cluster != n.cfg.Cluster {
			return fmt.Errorf("the disk at %s belongs to node %q of cluster %q: start it there, or wipe it", n.cfg.Dir, id.Node, id.Cluster)
		}
		if n.cfg.Mutant == "lost-disk" && !n.cfg.First {
			// The mutant: everything but the old identity is forgotten.
			for g := range uint32(n.cfg.Shards + 1) {
				if err := n.store.DeleteGroup(g); err != nil {
					return err
				}
			}
		}
		n.generation, n.replicas, n.dropped = id.Generation, id.Replicas, id.Dropped
		n.incarnation.Store(id.Incarnation)
	case n.cfg.First, n.cfg.Mutant == "lost-disk":
		n.incarnation.Store(1)
		if err := n.store.SetIdentity(disk.Identity{Node: n.cfg.ID, Cluster: n.cfg.Cluster, Incarnation: 1}); err != nil {
			return err
		}
	default:
		// The disk was lost: what this node promised under its old identity is
		// forgotten, so it must not use it again. It asks for a new one.
		n.manager.rejoining = true
		floor, err := recovery.Floor(n.cfg.Dir)
		if err != nil {
			return err
		}
		n.incarnation.Store(floor)
		n.log.Warn("the disk is empty but this is no first start: rejoining under a new Raft identity")
		return nil
	}
	return n.addGroups(false)
}

// addGroups creates the replicas that are placed here.
func (n *Node) addGroups(joining bool) error {
	// Only the first incarnation begins from a made-up configuration: a replica
	// of a later one is there from the start, or joins.
	joining = joining || n.incarnation.Load() > 1
	now := n.Now()
	voters, learners := n.m.MetaVoters()
	if err := n.addGroup(metaGroup, nil, 0, voters, learners, n.meta, joining, now); err != nil {
		return err
	}
	for s := range n.cfg.Shards {
		if placed, here := n.hosted(s); here {
			if err := n.addShard(now, s, placed, joining || placed != 0); err != nil {
				return err
			}
		}
	}
	n.joined.Store(true)
	return nil
}

func (n *Node) addGroup(id uint32, sh *shard, placed uint32, voters, learners []int, machine replica.Machine, joining bool, now time.Duration) error {
	st, err := n.store.Load(id)
	if err != nil {
		return err
	}
	ids := func(nodes []int) (out []uint64) {
		for _, x := range nodes {
			out = append(out, cluster.RaftID(x, 0))
		}
		return out
	}
	mu := replica.Mutants{AckBeforeQuorum: n.cfg.Mutant == "ack-before-quorum", StaleLease: n.cfg.Mutant == "stale-lease",
		NoFailover: n.cfg.Mutant == "no-failover", NoFencing: n.cfg.Mutant == "no-fencing"}
	if sh == nil {
		mu = replica.Mutants{NoFailover: mu.NoFailover}
	}
	g, err := replica.New(replica.Config{Group: id, ID: cluster.ReplicaID(n.self.Index, n.generation, placed), Voters: ids(voters), Learners: ids(learners),
		Mode: n.modeFor(sh), Rank: n.rank(sh, voters), Timing: n.timing, Machine: machine, Restarted: !n.cfg.First, Joining: joining && st.Snapshot == nil && len(st.Entries) == 0,
		Mutants: mu, Seed: n.cfg.Seed, Logf: n.debugf}, st, now)
	if err != nil {
		return err
	}
	gr := &group{id: id, g: g, shard: sh, placed: placed, dirty: true}
	gr.machine, _ = machine.(*tableMachine)
	n.groups[id] = gr
	n.order = append(n.order, gr)
	return nil
}

// modeFor is rule 4: replicas in a tertiary region vote and do not campaign,
// unless their region has been made primary, or home of the shard.
func (n *Node) modeFor(sh *shard) replica.Mode {
	r := n.m.Region(n.self.Region)
	if sh != nil && r.Role == "tertiary" {
		if st := n.meta.State(); st.Primary != r.Name && n.m.Home(&st, sh.index) != r.Name {
			return replica.Passive
		}
	}
	return replica.Active
}

// tableMachine adapts a table to replica.Machine.
type tableMachine struct {
	t     *session.Table
	self  uint64
	shard int
	sums  []digest // the last ones; see scrub.go
}

// applied are the results of an entry that this process proposed.
type applied struct {
	batch   uint64
	results []session.Result
}

func (m *tableMachine) Apply(index uint64, data []byte) (any, error) {
	before := m.t.Clock()
	batch, mine, res, err := m.t.Apply(data, m.self, nil)
	m.summed(index, before, m.t.Clock())
	if err != nil || !mine {
		return nil, err
	}
	return &applied{batch, res}, nil
}

func (m *tableMachine) Snapshot() []byte          { return m.t.Snapshot() }
func (m *tableMachine) Restore(data []byte) error { return m.t.Restore(data) }
