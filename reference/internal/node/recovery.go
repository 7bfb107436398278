package node

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/fivenines/fivenines/reference/internal/cluster"
	"github.com/fivenines/fivenines/reference/internal/disk"
	"github.com/fivenines/fivenines/reference/internal/gateway"
	"github.com/fivenines/fivenines/reference/internal/recovery"
)

// Run starts the node and returns when ctx ends, or with the reason for which
// it can't go on. It refuses to serve what it can't trust. A node whose
// incarnation ends (rule 7) begins again in the next one: with what an operator
// made the authority, or empty and under a new identity.
func Run(ctx context.Context, cfg Config, log *slog.Logger) error {
	for {
		err := run(ctx, cfg, log)
		var end *incarnationEnded
		if !errors.As(err, &end) || ctx.Err() != nil {
			return err
		}
		log.Warn("the incarnation of this node ended", "node", cfg.ID, "why", end.why)
		if err := end.then(); err != nil {
			return fmt.Errorf("node %s: %w", cfg.ID, err)
		}
		cfg.First, cfg.DropUnsynced, cfg.began = false, false, end
	}
}

// incarnationEnded stops a node's life in one incarnation; then prepares its
// disk for the next.
type incarnationEnded struct {
	kind string // of the event that tells of it
	why  string
	then func() error
}

func (e *incarnationEnded) Error() string { return e.why }

// damagedDisk turns an error that comes from damaged data into the end of this
// identity: what it promised may be among what was damaged. Its data are set
// aside and its replicas come back empty, from the good ones of others.
func damagedDisk(cfg Config, err error) error {
	var end *incarnationEnded
	if !errors.Is(err, disk.ErrDamaged) || errors.As(err, &end) || cfg.First {
		return err
	}
	return &incarnationEnded{kind: "disk-damaged", why: err.Error() + "; the data are set aside and this node rejoins as a new replica",
		then: func() error { return recovery.SetAside(cfg.Dir, "data.damaged") }}
}

// fence is what a node does that hears of a later incarnation: it answers
// nobody any more, sets its data aside and comes back as a new replica.
func (n *Node) fence(later uint64) {
	mine := n.incarnation.Load()
	n.fenced.Store(true) // no turn of the loop answers anybody from now on
	n.nudge(true)
	o, ordered, err := recovery.LoadOrder(n.cfg.Dir, later)
	switch {
	case err != nil:
		n.end(err)
		return
	case ordered:
		n.obey(o)
		return
	}
	n.end(&incarnationEnded{kind: "fenced", why: fmt.Sprintf("the cluster is in incarnation %d, this node was left in incarnation %d: it is wiped and rejoins", later, mine),
		then: func() error { return recovery.Fence(n.cfg.Dir, mine, later) }})
}

// obey ends this life to begin the next one as an order says.
func (n *Node) obey(o recovery.Order) {
	n.end(&incarnationEnded{kind: "recovered", why: fmt.Sprintf("level 2: this node goes on in incarnation %d without %v, by an operator's order", o.Incarnation, o.Lost),
		then: func() error {
			if err := recovery.Reincarnate(n.cfg.Dir, n.m, n.cfg.ID, o); err != nil {
				return err
			}
			return recovery.DropOrder(n.cfg.Dir)
		}})
}

// thaw ends a freeze; an order that was not yet to be obeyed is void.
func (n *Node) thaw(why string) {
	if n.frozenAt == 0 {
		return
	}
	n.frozenAt, n.prepared = 0, false
	if err := recovery.DropOrder(n.cfg.Dir); err != nil {
		n.fatal = err
	}
	n.events.emit("thawed", []string{n.cfg.ID}, why, nil)
}

// thawAfter ends a freeze that nothing followed. One with an order on disk lasts
// until the order is obeyed or taken back: others may have obeyed.
const thawAfter = time.Minute

// frozen says whether the node waits for an order to begin a new incarnation:
// its replicas stand still, so that what was found of them stays true.
func (n *Node) frozen(now time.Duration) bool {
	if n.frozenAt != 0 && !n.prepared && now-n.frozenAt > thawAfter {
		n.thaw("no recovery followed")
	}
	return n.frozenAt != 0
}

// standStill is a turn of a frozen or fenced node: nothing is answered but that
// nothing is done. Finished disk writes are taken, since they have happened.
func (n *Node) standStill(now time.Duration, requests []*gateway.Request) {
	for _, r := range requests {
		r.Fail(gateway.NotApplied, "this node waits for a recovery")
	}
	for _, g := range n.order {
		for _, b := range g.pending {
			for _, r := range b.reqs {
				r.Fail(gateway.Unknown, "this node waits for a recovery")
			}
		}
		g.pending = nil
		if g.shard != nil {
			g.shard.lease.Store(0)
		}
	}
	for _, g := range n.order {
		for _, r := range g.early {
			r.Fail(gateway.NotApplied, "this node waits for a recovery")
		}
		g.early = nil
	}
	for s, h := range n.held {
		for _, r := range h.reqs {
			r.Fail(gateway.NotApplied, "this node waits for a recovery")
		}
		n.holding -= len(h.reqs)
		delete(n.held, s)
	}
	n.forwards.failAll(n, "this node waits for a recovery")
	n.lastTick = now
	n.ticked.Store(int64(now))
}

// Report is what GET /recovery tells of a node.
type Report struct {
	Node        string            `json:"node"`
	Region      string            `json:"region"`
	Incarnation uint64            `json:"incarnation"`
	Generation  uint32            `json:"generation"`
	Generations map[string]uint32 `json:"generations"` // of all nodes, as meta has them
	Primary     string            `json:"primary"`
	Homes       []string          `json:"homes"`  // shard -> the region that should lead it now
	Moved       []int             `json:"moved"`  // shards whose home an operator chose
	Chosen      string            `json:"chosen"` // the primary region, if an operator chose it
	Regions     []cluster.Region  `json:"regions"`
	Shards      int               `json:"shards"`
	Replicas    int               `json:"replicas"` // that each shard should have
	Frozen      bool              `json:"frozen"`
	Groups      []GroupReport     `json:"groups"`
	Peers       []PeerReport      `json:"peers"`
}

// GroupReport is one replica. Group 0 is meta, shard s is group s+1.
type GroupReport struct {
	Group        uint32   `json:"group"`
	Voters       int      `json:"voters"`
	Voter        bool     `json:"voter"` // this replica
	Last         uint64   `json:"last"`  // end of the log on this disk
	LastTerm     uint64   `json:"last_term"`
	Committed    uint64   `json:"committed"` // known to be
	Applied      uint64   `json:"applied"`
	Leader       string   `json:"leader,omitempty"`
	Serving      bool     `json:"serving"`
	Sessions     int      `json:"sessions"`
	HeardS       float64  `json:"heard_s"`        // seconds since the group was known to work
	Lag          uint64   `json:"lag"`            // of a leader: entries by which the last of its followers is behind
	Sums         []digest `json:"sums,omitempty"` // checksums of the state, newest last
	Bad          string   `json:"bad,omitempty"`  // why nothing is read from it
	ArchiveLagS  float64  `json:"archive_lag_s"`  // of a leader that archives, else -1
	SnapshotAgeS float64  `json:"snapshot_age_s"`
}

// PeerReport is another node as this one sees it.
type PeerReport struct {
	Node    string  `json:"node"`
	Region  string  `json:"region"`
	SilentS float64 `json:"silent_s"` // since it was last heard; -1: never
	Answers bool    `json:"answers"`  // a probe over its peer address; only with ?probe=REGION
}

func (n *Node) report(now time.Duration) Report {
	st := n.meta.State()
	r := Report{Node: n.cfg.ID, Region: n.self.Region, Incarnation: n.incarnation.Load(), Generation: n.generation, Generations: st.Generations, Primary: st.Primary, Chosen: st.Chosen, Moved: []int{},
		Regions: n.cfg.Regions, Shards: n.cfg.Shards, Replicas: n.cfg.Replicas, Frozen: n.frozen(now), Groups: []GroupReport{}, Peers: []PeerReport{}}
	for s := range n.cfg.Shards {
		r.Homes = append(r.Homes, n.m.Home(&st, s))
		if _, moved := st.Moved[s]; moved {
			r.Moved = append(r.Moved, s)
		}
	}
	for _, g := range n.order {
		gr := GroupReport{Group: g.id, Committed: g.g.Committed(), Applied: g.g.Applied(), Voters: len(g.g.Voters()), HeardS: (now - g.g.Heard()).Seconds(), ArchiveLagS: -1, SnapshotAgeS: -1,
			Voter: slices.Contains(g.g.Voters(), g.g.ID())}
		gr.Last, gr.LastTerm = g.g.Last()
		if node, _ := cluster.NodeOf(g.g.Leader()); node >= 0 && node < len(n.m.Nodes) {
			gr.Leader = n.m.Nodes[node].ID
		}
		gr.Serving = !r.Frozen && g.g.Serving() && g.g.LeaseUntil() > now
		for _, f := range g.g.Followers() {
			gr.Lag = max(gr.Lag, f.Behind)
		}
		if g.shard != nil {
			gr.Sessions, gr.Sums = g.shard.table.Len(), g.scrub.own
			if g.shard.bad.Load() {
				gr.Bad = "differs from the other replicas and is being mended"
			}
			if n.archive != nil {
				if lag, age, ok := n.archive.lagOf(g.shard.index, time.Now()); ok {
					gr.ArchiveLagS, gr.SnapshotAgeS = lag.Seconds(), age.Seconds()
				}
			}
		}
		r.Groups = append(r.Groups, gr)
	}
	for i, p := range n.peers {
		if p == nil {
			continue
		}
		pr := PeerReport{Node: p.id, Region: n.m.Nodes[i].Region, SilentS: -1}
		if h := p.heard.Load(); h != 0 {
			pr.SilentS = (now - time.Duration(h)).Seconds()
		}
		r.Peers = append(r.Peers, pr)
	}
	return r
}

// probePeriod is how long a node may take to answer a probe: several of the
// longest round trips.
const probePeriod = 2 * time.Second

// probe asks the nodes of regions over their peer addresses whether they live,
// and returns those that do.
func (n *Node) probe(ctx context.Context, regions []string) (alive []string) {
	ctx, cancel := context.WithTimeout(ctx, probePeriod)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i, p := range n.peers {
		if p == nil || !slices.Contains(regions, n.m.Nodes[i].Region) {
			continue
		}
		ways := []string{p.addr}
		if p.route != nil { // on every path: that one is cut proves nothing
			ways = append(ways, p.route.addrs[p.index]...)
		}
		answered := sync.OnceFunc(func() {
			mu.Lock()
			defer mu.Unlock()
			alive = append(alive, p.id)
		})
		for _, w := range ways {
			wg.Go(func() {
				for _, a := range n.addressesOf(ctx, w) {
					wg.Go(func() {
						if canary(ctx, a) == nil {
							answered()
						}
					})
				}
			})
		}
	}
	wg.Wait()
	slices.Sort(alive)
	return alive
}

// addressesOf lists every address that a peer's may stand for.
func (n *Node) addressesOf(ctx context.Context, addr string) []string {
	if n.book != nil {
		if found, err := n.book.addresses(ctx, addr); err == nil {
			return found
		}
	}
	return []string{addr}
}

// canary is one round trip with whoever listens at a peer address.
func canary(ctx context.Context, addr string) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	ask := AppendFrame(nil, FrameCanary, []byte("alive?"))
	if _, err := c.Write(ask); err != nil {
		return err
	}
	_, err = io.ReadFull(bufio.NewReader(c), make([]byte, len(ask)))
	return err
}

// heardLately is a time in which a node that runs says something, several times.
const heardLately = time.Second

// heardWithin lists the nodes of regions that were heard lately.
func (n *Node) heardWithin(now time.Duration, regions []string) (heard []string) {
	for i, p := range n.peers {
		if p == nil || !slices.Contains(regions, n.m.Nodes[i].Region) {
			continue
		}
		if h := p.heard.Load(); h != 0 && now-time.Duration(h) < heardLately {
			heard = append(heard, p.id)
		}
	}
	return heard
}

// begin obeys an order to begin a new incarnation, or says why not.
func (n *Node) begin(ctx context.Context, o recovery.Order) error {
	switch {
	case !o.Attested:
		return errors.New("refused: nobody attests that the missing regions are gone; if they still run, two sides would acknowledge")
	case slices.Contains(o.Lost, n.self.Region):
		return fmt.Errorf("refused: %s is said to be lost, and this is one of its nodes", n.self.Region)
	case o.Incarnation <= n.incarnation.Load():
		return fmt.Errorf("refused: incarnation %d is not after %d", o.Incarnation, n.incarnation.Load())
	case len(o.Lost) == 0 || o.Generations[n.cfg.ID] == 0 || n.m.Region(o.Primary) == nil || slices.Contains(o.Lost, o.Primary):
		return errors.New("refused: the order does not say which regions are lost, who goes on and under which identity")
	}
	for _, r := range o.Lost {
		if n.m.Region(r) == nil {
			return fmt.Errorf("refused: no region is called %q", r)
		}
	}
	for g := range n.cfg.Shards + 1 {
		if o.Authority[uint32(g)] == "" {
			return fmt.Errorf("refused: nobody is the authority of group %d", g)
		}
	}
	// The operator may be wrong: what this node can see for itself counts more.
	if alive := n.probe(ctx, o.Lost); len(alive) > 0 {
		return fmt.Errorf("refused: %v of the regions said to be lost answer this node", alive)
	}
	var err error
	if !n.inLoopOf(ctx, func() {
		now := n.Now()
		if heard := n.heardWithin(now, o.Lost); len(heard) > 0 {
			err = fmt.Errorf("refused: %v of the regions said to be lost are heard", heard)
		} else if !n.frozen(now) {
			err = errors.New("refused: this node is not frozen, what was found of it may no longer be true")
		}
	}) {
		return ctx.Err()
	}
	return err
}

func (n *Node) recoveryHandlers(mux *http.ServeMux) {
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /recovery", func(w http.ResponseWriter, r *http.Request) {
		var rep Report
		if !n.started.Load() || !n.inLoop(r, func() { rep = n.report(n.Now()) }) {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		if regions := r.URL.Query()["probe"]; len(regions) > 0 {
			alive := n.probe(r.Context(), regions)
			for i := range rep.Peers {
				rep.Peers[i].Answers = slices.Contains(alive, rep.Peers[i].Node)
			}
		}
		answer(w, rep)
	})
	mux.HandleFunc("POST /recovery/freeze", func(w http.ResponseWriter, r *http.Request) {
		if !n.started.Load() {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		lost := r.URL.Query()["lost"]
		if alive := n.probe(r.Context(), lost); len(alive) > 0 || len(lost) == 0 {
			http.Error(w, fmt.Sprintf("refused: %v of the regions said to be lost answer this node", alive), http.StatusConflict)
			return
		}
		var rep Report
		serving := -1
		if !n.inLoop(r, func() {
			for _, g := range n.order {
				if g.g.Serving() && g.g.LeaseUntil() > n.Now() {
					serving = int(g.id)
				}
			}
			if serving < 0 {
				n.frozenAt = n.Now()
				n.events.emit("frozen", []string{n.cfg.ID}, "its replicas stand still for a recovery", nil)
			}
			rep = n.report(n.Now())
		}) {
			http.Error(w, "the loop is busy", http.StatusServiceUnavailable)
			return
		}
		if serving >= 0 {
			http.Error(w, fmt.Sprintf("refused: group %d has its quorum and is led here: nothing has to be recovered by force", serving), http.StatusConflict)
			return
		}
		answer(w, rep)
	})
	mux.HandleFunc("POST /recovery/thaw", func(w http.ResponseWriter, r *http.Request) {
		n.inLoop(r, func() { n.thaw("by the operator") })
	})
	// Two steps: no node obeys before all have the order on their disks, or one
	// that obeyed would make the others believe that they were left behind.
	mux.HandleFunc("POST /recovery/prepare", func(w http.ResponseWriter, r *http.Request) {
		var o recovery.Order
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&o); err != nil {
			http.Error(w, "order: "+err.Error(), http.StatusBadRequest)
			return
		}
		if !n.started.Load() {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		if err := n.begin(r.Context(), o); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		err := recovery.SaveOrder(n.cfg.Dir, o)
		if err == nil && !n.inLoop(r, func() { n.prepared = true }) {
			err = errors.New("the loop is busy")
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("POST /recovery/begin", func(w http.ResponseWriter, r *http.Request) {
		inc, _ := strconv.ParseUint(r.URL.Query().Get("incarnation"), 10, 64)
		o, ok, err := recovery.LoadOrder(n.cfg.Dir, inc)
		if err != nil || !ok {
			http.Error(w, fmt.Sprintf("refused: there is no order for incarnation %d (%v)", inc, err), http.StatusConflict)
			return
		}
		w.WriteHeader(http.StatusOK)
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		n.obey(o)
	})
}

// addMissing gives groups of a later incarnation back the replicas that it
// began without, as their nodes join it (rule 7), one step at a time.
func (m *manager) addMissing() {
	n := m.n
	st := n.meta.State()
	if st.Incarnation <= 1 {
		return
	}
	for _, g := range n.order {
		if !g.g.IsLeader() {
			continue
		}
		voters := n.m.Placement(&st, g.place())
		wanted := slices.Clone(voters)
		if g.shard == nil {
			for node := range n.m.Nodes { // everybody learns
				if !slices.Contains(voters, node) {
					wanted = append(wanted, node)
				}
			}
		}
		// With as many voters as it should have it is left to place, which gives
		// nobody's place away before another takes it.
		short := len(g.g.Voters()) < len(voters)
		for _, node := range wanted {
			votes := slices.Contains(voters, node)
			next, mine := n.present(&st, g, node)
			if !st.Joined(n.m.Nodes[node].ID) || !mine || votes && !short {
				continue // not in this incarnation yet; or its disk was lost since, which replaceLost sees to
			}
			if _, err := g.g.Add(next, votes); err != nil {
				n.debugf("add %x to group %d: %v", next, g.id, err)
			}
			g.dirty = true // one that does not answer does not keep the others out
		}
	}
}

// present is the identity of a node's replica in a group: the one that is a
// member, if it is of the node's generation, else the one that it should have.
// mine is false if only older generations are members.
func (n *Node) present(st *cluster.State, g *group, node int) (id uint64, mine bool) {
	id = n.wanted(st, g, node)
	members := g.g.Members()
	if slices.Contains(members, id) {
		return id, true
	}
	mine = true
	for _, x := range slices.Concat(g.g.Voters(), members) {
		if i, _ := cluster.NodeOf(x); i != node {
			continue
		}
		if cluster.GenerationOf(x) == cluster.GenerationOf(id) {
			return x, true
		}
		mine = false
	}
	return id, mine
}

// join takes the identity and the replicas that meta gave this node.
func (n *Node) join(generation uint32, st *cluster.State) error {
	n.generation = generation
	n.incarnation.Store(st.Incarnation)
	n.replicas, n.dropped = n.placedHere(st), nil
	if err := n.setIdentity(); err != nil {
		return err
	}
	return n.addGroups(true)
}
