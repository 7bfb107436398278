package recovery

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/fivenines/fivenines/reference/internal/cluster"
	"github.com/fivenines/fivenines/reference/internal/disk"
	"github.com/fivenines/fivenines/reference/internal/session"
)

// Order begins a new incarnation on the nodes that are left. All of them get
// the same.
type Order struct {
	Incarnation uint64            `json:"incarnation"`
	Lost        []string          `json:"lost"`        // regions
	Primary     string            `json:"primary"`     // the region that is authority from now on
	Attested    bool              `json:"attested"`    // an operator says that the lost regions are gone
	Authority   map[uint32]string `json:"authority"`   // group -> the node whose replica becomes all that there is
	Generations map[string]uint32 `json:"generations"` // of the surviving nodes, from now on
}

// Reincarnate makes the data of a node that is left for the new incarnation:
// the groups whose authority it is, cut to a snapshot with all that its log
// holds, in a configuration of this replica alone. Entries that were not yet known
// to be committed are kept: their writers may have been answered by the lost side.
// The node must not run. What was there is set aside.
func Reincarnate(dir string, m *cluster.Map, node string, o Order) (err error) {
	self, ok := m.NodeByID(node)
	if !ok {
		return fmt.Errorf("recovery: no node is called %q", node)
	}
	s, err := disk.Open(disk.Options{Dir: Data(dir)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	id, known, err := s.Identity()
	if err != nil {
		return err
	}
	if !known || id.Node != node || id.Incarnation >= o.Incarnation {
		return fmt.Errorf("recovery: the disk at %s is of node %q in incarnation %d, which does not go on as %s in incarnation %d", dir, id.Node, id.Incarnation, node, o.Incarnation)
	}
	gen, ok := o.Generations[node]
	if !ok || gen <= id.Generation {
		return fmt.Errorf("recovery: node %s is of generation %d and would get %d: it must have a new identity", node, id.Generation, gen)
	}
	me := cluster.RaftID(self.Index, gen)
	var seeds []Seed
	for group, who := range o.Authority {
		if who != node {
			continue
		}
		st, err := s.Load(group)
		if err != nil {
			return fmt.Errorf("recovery: %w", err)
		}
		seed, err := cut(m, group, st, o)
		if err != nil {
			return fmt.Errorf("recovery: group %d: %w", group, err)
		}
		seed.Voters = []uint64{me}
		seeds = append(seeds, seed)
	}
	slices.SortFunc(seeds, func(a, b Seed) int { return int(a.Group) - int(b.Group) })
	next := disk.Identity{Node: node, Cluster: id.Cluster, Generation: gen, Incarnation: o.Incarnation, Replicas: held(m, self.Index, seeds)}
	if err := Prepare(dir, next, seeds); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	return Install(dir, AsideName(id.Incarnation))
}

// held is what a node holds as the new incarnation begins: its part of the map's
// own placement, and what it is the authority of although it stood in for
// another node. nil: nothing but the former.
func held(m *cluster.Map, node int, seeds []Seed) map[uint32]uint32 {
	out, differs := map[uint32]uint32{}, false
	for s := range m.Shards {
		if slices.Contains(m.Replicas(s), node) {
			out[uint32(s+1)] = 0
		}
	}
	for _, s := range seeds {
		if _, ok := out[s.Group]; !ok && s.Group != 0 {
			out[s.Group], differs = 0, true
		}
	}
	if !differs {
		return nil
	}
	return out
}

// AsideName is the folder for the data of an incarnation that ended.
func AsideName(incarnation uint64) string { return fmt.Sprintf("data.incarnation-%d", incarnation) }

// cut turns a replica's snapshot and log into one snapshot at the log's end.
func cut(m *cluster.Map, group uint32, st disk.GroupState, o Order) (Seed, error) {
	seed := Seed{Group: group, Index: 1, Term: 1}
	var snap []byte
	if st.Snapshot != nil {
		snap = st.Snapshot.Data
		seed.Index, seed.Term = st.Snapshot.Meta.GetIndex(), st.Snapshot.Meta.GetTerm()
	}
	table, meta := session.NewTable(), cluster.NewMeta(m)
	restore, apply := table.Restore, func(e *raftpb.Entry) error {
		_, _, _, err := table.Apply(e.GetData(), 0, nil)
		return err
	}
	if group == 0 {
		restore, apply = meta.Restore, func(e *raftpb.Entry) error {
			_, err := meta.Apply(e.GetIndex(), e.GetData())
			return err
		}
	}
	if err := restore(snap); err != nil {
		return seed, err
	}
	for _, e := range st.Entries {
		if e.GetType() == raftpb.EntryNormal && len(e.GetData()) > 0 {
			if err := apply(e); err != nil {
				return seed, fmt.Errorf("entry %d: %w", e.GetIndex(), err)
			}
		}
		seed.Index, seed.Term = e.GetIndex(), e.GetTerm()
	}
	// Above every term that this replica has heard of.
	seed.Term = max(seed.Term, st.HardState.GetTerm()) + 1
	if group != 0 {
		seed.Data = table.Snapshot()
		return seed, nil
	}
	s := meta.State()
	s.Incarnation, s.Epoch, s.Primary, s.Chosen = o.Incarnation, s.Epoch+1, o.Primary, o.Primary
	// The shards at home in what is lost are led where all is led now.
	if homes := m.HomeRegions(&s); len(homes) > 0 {
		s.Stand = map[string]string{}
		for _, r := range homes {
			if slices.Contains(o.Lost, r) {
				s.Stand[r] = o.Primary
			}
		}
	}
	// Whoever has no nonce has not joined this incarnation: the lost side, until
	// it comes back wiped.
	s.Nonces = map[string]uint64{}
	for node, gen := range o.Generations {
		s.Generations[node], s.Nonces[node] = gen, o.Incarnation
	}
	m.Reincarnate(&s)
	var err error
	seed.Data, err = json.Marshal(s)
	return seed, err
}

// orderFile holds an order that all surviving nodes were given and that some
// may obey already. A node that then hears of its incarnation obeys too, and
// does not take itself for one that was left behind.
const orderFile = "order.json"

// SaveOrder makes an order durable before any node obeys it.
func SaveOrder(dir string, o Order) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(dir, orderFile), b)
}

// LoadOrder returns the order that begins an incarnation, if there is one.
func LoadOrder(dir string, incarnation uint64) (o Order, ok bool, err error) {
	b, err := os.ReadFile(filepath.Join(dir, orderFile))
	if errors.Is(err, os.ErrNotExist) {
		return o, false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &o)
	}
	if err != nil {
		return o, false, fmt.Errorf("recovery: order: %w", err)
	}
	return o, o.Incarnation == incarnation, nil
}

// DropOrder forgets an order.
func DropOrder(dir string) error {
	if err := os.Remove(filepath.Join(dir, orderFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("recovery: order: %w", err)
	}
	return syncDir(dir)
}

func replaceFile(path string, b []byte) error {
	f, err := os.Create(path + ".new")
	if err != nil {
		return fmt.Errorf("recovery: %w", err)
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("recovery: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("recovery: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

// The floor is the lowest incarnation that a node may still belong to; it
// outlives the data that were set aside.
const floorFile = "incarnation"

// Floor reads it, 0 for none.
func Floor(dir string) (uint64, error) {
	b, err := os.ReadFile(filepath.Join(dir, floorFile))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("recovery: %w", err)
	}
	v, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("recovery: %s: %w", filepath.Join(dir, floorFile), err)
	}
	return v, nil
}

// Fence ends a node's part in an old incarnation for good: its data are set
// aside, and it may only join incarnations from floor on.
func Fence(dir string, old, floor uint64) error {
	if err := replaceFile(filepath.Join(dir, floorFile), fmt.Appendln(nil, floor)); err != nil {
		return err
	}
	return SetAside(dir, AsideName(old))
}
