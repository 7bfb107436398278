package node

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/fivenines/fivenines/reference/internal/cluster"
)

// The scrubber. Replicas that applied the same entries hold the same bytes, so
// each computes a checksum of its table whenever the shard clock, which is part
// of the replicated state, passes a multiple of scrubEvery: all at the same
// index, without a word. They tell it each other. Where two agree and the third
// does not, the third is wrong: it answers no more, hands leadership over, and
// takes the table of a good replica.
const (
	scrubEvery = 30 * time.Second // of the shard clock
	keptSums   = 4
	pieceBytes = 1 << 20
	maxState   = 1 << 30
	reseedWait = 10 * time.Second
	maxColdSum = 16 << 20 // bytes on disk only, keys included
)

// digest is the checksum of a table at an index.
type digest struct {
	Index uint64 `json:"index"`
	Sum   uint32 `json:"sum"`
}

// scrub is what the loop knows of a replica's checksums.
type scrub struct {
	own   []digest
	heard map[uint64]map[int]uint32 // index -> node -> checksum
	asked time.Duration             // for the state of a good replica
	from  int                       // whom
	state []byte                    // its pieces so far
	at    uint64
}

// summed is called with every applied entry, by the loop.
func (m *tableMachine) summed(index, before, after uint64) {
	const every = uint64(scrubEvery / time.Millisecond)
	// Shards take turns, or a node would look at all of its tables at once.
	shift := every / 16 * uint64(m.shard%16)
	if index == 0 || (before+shift)/every == (after+shift)/every {
		return
	}
	// To read back from disk what left memory would hold the loop up. Those values
	// have checksums there; a table with many of them is left out.
	if m.t.Bytes()-m.t.Residency().HotBytes > maxColdSum {
		return
	}
	m.sums = append(m.sums, digest{index, m.t.Digest()})
	if len(m.sums) > keptSums {
		m.sums = m.sums[len(m.sums)-keptSums:]
	}
}

// scrub tells new checksums and judges those that are known. Once a tick.
func (n *Node) scrub(now time.Duration, g *group) {
	if g.machine == nil {
		return
	}
	s := &g.scrub
	for _, d := range g.machine.sums {
		if slices.Contains(s.own, d) {
			continue
		}
		s.own = append(s.own, d)
		n.hearSum(g, n.self.Index, d)
		for _, id := range g.g.Members() {
			if node, _ := cluster.NodeOf(id); node != n.self.Index && node >= 0 && node < len(n.peers) {
				n.sendControl(node, control{Kind: "sum", Group: g.id, Sum: d})
			}
		}
	}
	if len(s.own) > keptSums {
		s.own = s.own[len(s.own)-keptSums:]
	}
	if g.shard.bad.Load() {
		n.mend(now, g)
	}
}

func (n *Node) sendControl(node int, c control) {
	n.peers[node].send(func(b []byte) []byte { return AppendFrame(b, frameControl, mustJSON(c)) })
}

// hearSum notes a checksum and judges: the one that two others contradict is wrong.
func (n *Node) hearSum(g *group, from int, d digest) {
	s := &g.scrub
	if s.heard == nil {
		s.heard = map[uint64]map[int]uint32{}
	}
	if s.heard[d.Index] == nil {
		for len(s.heard) >= 2*keptSums {
			oldest := d.Index
			for i := range s.heard {
				oldest = min(oldest, i)
			}
			if oldest == d.Index {
				return
			}
			delete(s.heard, oldest)
		}
		s.heard[d.Index] = map[int]uint32{}
	}
	sums := s.heard[d.Index]
	sums[from] = d.Sum
	for node, sum := range sums {
		agree := map[uint32][]int{}
		for other, x := range sums {
			if x != sum {
				agree[x] = append(agree[x], other)
			}
		}
		for _, others := range agree {
			if len(others) < 2 || len(others) <= len(sums)/2 {
				continue
			}
			n.judged(g, d.Index, node, others)
			delete(sums, node)
		}
	}
}

// judged acts on a replica that differs: only the node itself can mend it.
func (n *Node) judged(g *group, index uint64, node int, others []int) {
	id := n.m.Nodes[node].ID
	fields := map[string]string{"shard": strconv.Itoa(g.shard.index), "index": strconv.FormatUint(index, 10)}
	n.events.emit("replica-differs", []string{id}, fmt.Sprintf("shard %d: the replica on %s differs from %d that are equal, at index %d", g.shard.index, id, len(others), index), fields)
	if node != n.self.Index {
		return
	}
	n.log.Error("a replica differs from the others: it answers no more until it is mended", "shard", g.shard.index, "index", index)
	slices.Sort(others)
	g.shard.bad.Store(true)
	g.scrub.from, g.scrub.asked = others[0], 0
	n.publish(n.Now(), g)
}

// mend takes the state of a good replica, once leadership has been given away.
func (n *Node) mend(now time.Duration, g *group) {
	s := &g.scrub
	if g.g.IsLeader() {
		for _, f := range g.g.Followers() {
			if node, _ := cluster.NodeOf(f.ID); f.Active && !f.Learner && node >= 0 && node < len(n.m.Nodes) && !n.manager.suspects(node) {
				if g.g.Transfer(now, f.ID) == nil {
					g.dirty = true
				}
				return
			}
		}
		return
	}
	if s.asked == 0 || now-s.asked > reseedWait {
		if s.asked != 0 { // the next one: this one does not answer
			places := n.nodesOf(g.g.Voters())
			if len(places) == 0 {
				return
			}
			// Not found: it has left since, and the first is asked.
			s.from = places[(slices.Index(places, s.from)+1)%len(places)]
			if s.from == n.self.Index {
				return
			}
		}
		s.asked, s.state, s.at = now, nil, 0
		n.sendControl(s.from, control{Kind: "want-state", Group: g.id})
		return
	}
	if s.at == 0 {
		return
	}
	snap, ok, err := g.g.Reseed(s.at, s.state)
	if err != nil {
		n.log.Error("cannot take the state of another replica", "shard", g.shard.index, "err", err)
		s.asked = now - reseedWait
		s.at = 0
		return
	}
	if !ok {
		return // not there yet; or, after reseedWait, a newer one is asked for
	}
	if snap.Meta != nil {
		n.writer.snapshot(g, snap, 0)
	}
	g.machine.sums, g.scrub = nil, scrub{}
	g.shard.bad.Store(false)
	n.events.emit("replica-mended", []string{n.cfg.ID}, fmt.Sprintf("shard %d: took the state of another replica", g.shard.index), map[string]string{"shard": strconv.Itoa(g.shard.index)})
}

// scrubControl takes what other nodes say about checksums and states.
func (n *Node) scrubControl(from int, c *control) {
	g := n.groups[c.Group]
	if g == nil || g.shard == nil || !slices.Contains(n.nodesOf(g.g.Members()), from) {
		return
	}
	s := &g.scrub
	switch c.Kind {
	case "sum":
		n.hearSum(g, from, c.Sum)
	case "want-state":
		if g.shard.bad.Load() {
			return
		}
		data := g.shard.table.Snapshot()
		for at := 0; at < len(data); at += pieceBytes {
			n.sendControl(from, control{Kind: "state-piece", Group: c.Group, Sum: digest{Index: g.g.Applied()}, Offset: at, Size: len(data), Data: data[at:min(len(data), at+pieceBytes)]})
		}
	case "state-piece":
		if !g.shard.bad.Load() || from != s.from || s.at != 0 || c.Offset != len(s.state) || c.Size > maxState {
			return
		}
		if s.state = append(s.state, c.Data...); len(s.state) >= c.Size {
			s.at = c.Sum.Index
		}
	}
}

// flip damages a replica's state for a test: one bit of one session.
func (n *Node) flip(shard int) bool {
	if shard < 0 || shard >= len(n.shards) {
		return false
	}
	sh := n.shards[shard].Load()
	return sh != nil && sh.table.Flip()
}

// nodesOf are the nodes that identities belong to, each once, in order.
func (n *Node) nodesOf(ids []uint64) (nodes []int) {
	for _, id := range ids {
		if node, _ := cluster.NodeOf(id); node >= 0 && node < len(n.m.Nodes) {
			nodes = append(nodes, node)
		}
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
}

// flipHandler exists only where a test asked for it in the environment.
func (n *Node) flipHandler(mux *http.ServeMux) {
	if os.Getenv("FIVENINES_TEST_FLIP") == "" {
		return
	}
	mux.HandleFunc("POST /test/flip", func(w http.ResponseWriter, r *http.Request) {
		shard, err := strconv.Atoi(r.URL.Query().Get("shard"))
		if ok := false; err != nil || !n.inLoop(r, func() { ok = n.flip(shard) }) || !ok {
			http.Error(w, "no session to flip a bit of", http.StatusConflict)
		}
	})
}
