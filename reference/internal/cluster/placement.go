// Package cluster says who is where: which shard a key belongs to, which nodes
// hold its replicas, and the state of the meta group (roles, epochs,
// membership, placement), which alone may change that.
package cluster

import (
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/cespare/xxhash/v2"

	"github.com/fivenines/fivenines/reference/internal/resp"
)

// Slots is the number of hash slots, as in Redis Cluster.
const Slots = 16384

// Region is one region of the platform, in order of preference.
type Region struct {
	Name  string `json:"name"`
	Role  string `json:"role"` // primary, secondary, tertiary, active, edge
	Nodes int    `json:"nodes"`
}

// Edge is the role of regions whose nodes are gateways: they hold no replicas
// and learn what the meta group decides. They come behind all others.
const Edge = "edge"

// Node is one node; Index is its place over all regions.
type Node struct {
	ID     string `json:"id"`
	Region string `json:"region"`
	Index  int    `json:"index"`
}

// Map is the static part of the placement: a pure function of the regions and
// the number of shards and replicas, so every node computes the same.
type Map struct {
	Regions []Region
	Nodes   []Node
	Shards  int
	slots   [Slots]uint16
	runs    []Run
	places  [][]int  // shard -> node indexes, one a region in order of preference
	homes   []string // shard -> region, where several are active; else nil
}

const (
	vnodes     = 128
	slotPoints = 8
	loadFactor = 1.25 // bound of consistent hashing with bounded loads
)

func hash(parts ...any) uint64 { return xxhash.Sum64String(fmt.Sprint(parts...)) }

// Run is a range of slots, both ends included, of one shard.
type Run struct{ Start, End, Shard int }

type point struct {
	at    uint64
	owner int
}

func ring(owners int, name func(int) string) []point {
	var ps []point
	for o := range owners {
		for v := range vnodes {
			ps = append(ps, point{hash(name(o), "#", v), o})
		}
	}
	sortRing(ps)
	return ps
}

func sortRing(ps []point) {
	sort.Slice(ps, func(i, j int) bool {
		return ps[i].at < ps[j].at || ps[i].at == ps[j].at && ps[i].owner < ps[j].owner
	})
}

func walk(ps []point, h uint64, take func(owner int) bool) {
	start := sort.Search(len(ps), func(i int) bool { return ps[i].at >= h })
	for i := range ps {
		if take(ps[(start+i)%len(ps)].owner) {
			return
		}
	}
}

// NewMap places shards. Slots go to shards, and shards to the nodes of each
// region, by consistent hashing with bounded loads (Mirrokni, Thorup,
// Zadimoghaddam 2016): all shards have the same number of slots, and no node
// holds more than 1.25 times its share of shards.
// With more replicas than regions the rest goes round the regions again, never
// two of one shard to one node.
func NewMap(regions []Region, shards, replicas int) (*Map, error) {
	m := &Map{Regions: regions, Shards: shards}
	for _, r := range regions {
		for i := range r.Nodes {
			m.Nodes = append(m.Nodes, Node{ID: fmt.Sprintf("%s-%d", r.Name, i+1), Region: r.Name, Index: len(m.Nodes)})
		}
	}
	if shards < 1 || shards > Slots || replicas < 1 || replicas > len(m.Nodes) {
		return nil, fmt.Errorf("cluster: %d shards with %d replicas do not fit %d nodes", shards, replicas, len(m.Nodes))
	}
	// The slots are the ring: a shard's points cut it into arcs, so that a shard
	// has a few runs of slots and not thousands of single ones, which every answer
	// to CLUSTER SLOTS would have to list.
	var points []point
	for o := range shards {
		for v := range slotPoints {
			points = append(points, point{hash("shard-", o, "#", v) % Slots, o})
		}
	}
	sortRing(points)
	load := make([]int, shards)
	more := Slots % shards // as many shards have one slot more than the others
	for s := range m.slots {
		walk(points, uint64(s), func(o int) bool {
			switch share := Slots / shards; {
			case load[o] > share, load[o] == share && more == 0:
				return false
			case load[o] == share:
				more--
			}
			load[o]++
			m.slots[s] = uint16(o)
			return true
		})
	}
	for s, o := range m.slots {
		if n := len(m.runs); n > 0 && m.runs[n-1].Shard == int(o) {
			m.runs[n-1].End = s
			continue
		}
		m.runs = append(m.runs, Run{s, s, int(o)})
	}
	m.places = make([][]int, shards)
	for round := 0; len(m.places[0]) < replicas; round++ {
		before := len(m.places[0])
		for _, r := range regions {
			if len(m.places[0]) == replicas {
				break
			}
			if r.Nodes <= round || r.Role == Edge {
				continue
			}
			m.placeRegion(r, round)
		}
		if len(m.places[0]) == before {
			return nil, fmt.Errorf("cluster: no nodes left for %d replicas", replicas)
		}
	}
	m.settle()
	return m, nil
}

func (m *Map) placeRegion(r Region, round int) {
	var nodes []Node
	for _, n := range m.Nodes {
		if n.Region == r.Name {
			nodes = append(nodes, n)
		}
	}
	// By ordinal, not by name: regions of the same size share replica sets (as in
	// Copysets, Cidon et al. 2013), so that fewer pairs of nodes have to talk and
	// fewer combinations of lost nodes cost a quorum.
	nr := ring(len(nodes), func(i int) string { return fmt.Sprint("node-", i) })
	load := make([]int, len(nodes))
	limit := int(math.Ceil(float64(m.Shards) / float64(len(nodes)) * loadFactor))
	if m.Shards%len(nodes) == 0 {
		limit = m.Shards / len(nodes) // an even split is possible: take it
	}
	for s := range m.places {
		placed := false
		for bound := limit; !placed; bound++ {
			walk(nr, hash("replica-", s, "/", round), func(o int) bool {
				if load[o] >= bound || slices.Contains(m.places[s], nodes[o].Index) {
					return false
				}
				load[o]++
				m.places[s] = append(m.places[s], nodes[o].Index)
				placed = true
				return true
			})
			if bound > m.Shards+1 {
				break
			}
		}
	}
}

// ShardOf maps a key, with Redis's hash tags.
func (m *Map) ShardOf(key []byte) int { return int(m.slots[resp.Slot(key)]) }

// Runs lists which slots belong to which shard, in order.
func (m *Map) Runs() []Run { return m.runs }

// Replicas lists the nodes that hold a shard, in order of preference.
func (m *Map) Replicas(shard int) []int { return m.places[shard] }

// Region returns the region by name.
func (m *Map) Region(name string) *Region {
	for i := range m.Regions {
		if m.Regions[i].Name == name {
			return &m.Regions[i]
		}
	}
	return nil
}

// NodeByID returns the node by name.
func (m *Map) NodeByID(id string) (Node, bool) {
	for _, n := range m.Nodes {
		if n.ID == id {
			return n, true
		}
	}
	return Node{}, false
}

// MetaVoters places the meta group: two voters in each of the first two regions
// and one in the third, so that neither the loss of a region nor that of a node
// beside it costs the quorum, where there are nodes enough; their number is
// always odd. Everybody else learns.
func (m *Map) MetaVoters() (voters, learners []int) {
	for i, want := range metaVoters(m.Regions) {
		for _, n := range m.Nodes {
			if n.Region != m.Regions[i].Name {
				continue
			}
			if want > 0 {
				voters = append(voters, n.Index)
				want--
			} else {
				learners = append(learners, n.Index)
			}
		}
	}
	return voters, learners
}

// metaVoters is how many voters each region has.
func metaVoters(regions []Region) []int {
	out := make([]int, len(regions))
	if i := slices.IndexFunc(regions, func(r Region) bool { return r.Role == Edge }); i >= 0 {
		regions = regions[:i]
	}
	var want []int
	has := func(i, nodes int) bool { return i < len(regions) && regions[i].Nodes >= nodes }
	switch {
	case has(2, 1) && has(0, 2) && has(1, 2):
		want = []int{2, 2, 1}
	case has(2, 1): // two in one region and one in each of the others would be four
		want = []int{1, 1, 1}
	case has(1, 1) && has(0, 2):
		want = []int{2, 1}
	case has(1, 2):
		want = []int{1, 2}
	case has(0, 3):
		want = []int{3}
	default:
		want = []int{1}
	}
	copy(out, want)
	return out
}

// RaftID is a replica's Raft identity: a node that lost its disk comes back
// with the next generation, never with the identity whose promises it forgot.
func RaftID(node int, generation uint32) uint64 { return uint64(generation)<<16 | uint64(node+1) }

// NodeOf is the inverse of RaftID.
func NodeOf(id uint64) (node int, generation uint32) {
	return int(id&0xffff) - 1, uint32(id >> 16)
}
