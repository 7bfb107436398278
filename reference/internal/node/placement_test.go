package node

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/fivenines/fivenines/reference/internal/cluster"
	"github.com/fivenines/fivenines/reference/internal/cold"
	"github.com/fivenines/fivenines/reference/internal/disk"
	"github.com/fivenines/fivenines/reference/internal/failover"
	"github.com/fivenines/fivenines/reference/internal/gateway"
	"github.com/fivenines/fivenines/reference/internal/recovery"
	"github.com/fivenines/fivenines/reference/internal/replica"
	"github.com/fivenines/fivenines/reference/internal/session"
)

// alone is node a-1 with a disk and a loop, whose peers never answer. Its turns
// are taken by the test, at times that the test says.
type alone struct {
	*Node
	t   *testing.T
	now time.Duration
}

func begin(t *testing.T, id disk.Identity, seeds []recovery.Seed) *alone {
	regions := []cluster.Region{{Name: "a", Role: "primary", Nodes: 2}, {Name: "b", Role: "secondary", Nodes: 2}, {Name: "c", Role: "tertiary", Nodes: 1}}
	m, err := cluster.NewMap(regions, 4, 3)
	require.NoError(t, err)
	n := &Node{cfg: Config{Cluster: "test", ID: "a-1", Dir: t.TempDir(), Shards: 4, Replicas: 3, Regions: regions, SessionMemory: 1000,
		Failover: failover.Config{ReplaceAfter: failover.Duration(2 * time.Second), ReplaceRegionAfter: failover.Duration(2 * time.Second)}},
		m: m, self: m.Nodes[0], log: slog.New(slog.DiscardHandler), boot: 9, meta: cluster.NewMeta(m), timing: replica.DefaultTiming(),
		inbound: map[int]*inbound{}, held: map[int]*handover{}, dropping: map[uint32]bool{}, groups: map[uint32]*group{},
		wake: make(chan struct{}, 1), calm: make(chan struct{}, 1), shards: make([]atomic.Pointer[shard], 4),
		leaders: make([]atomic.Int64, 4), terms: make([]atomic.Uint64, 4), vouched: make([]atomic.Int64, 4), events: newEvents("a-1", "a")}
	n.forwards.init()
	n.manager.init(n)
	n.server = gateway.NewServer(n)
	n.metrics = newMetrics(n)
	n.peers = make([]*peer, len(m.Nodes))
	for _, o := range m.Nodes[1:] {
		n.peers[o.Index] = &peer{n: n, index: o.Index, id: o.ID, wake: make(chan struct{}, 1), moved: make(chan bool, 1)}
	}
	id.Node, id.Cluster = "a-1", "test"
	require.NoError(t, recovery.Prepare(n.cfg.Dir, id, seeds))
	require.NoError(t, recovery.Install(n.cfg.Dir, "before"))
	n.store, err = disk.Open(disk.Options{Dir: recovery.Data(n.cfg.Dir)})
	require.NoError(t, err)
	n.cold, err = cold.Open(filepath.Join(n.cfg.Dir, "cold"), n.log)
	require.NoError(t, err)
	require.NoError(t, n.openGroups())
	n.writer = newWriter(n)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.writer.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, n.cold.Close())
		require.NoError(t, n.store.Close())
	})
	return &alone{n, t, n.Now()}
}

// until takes turns until something holds.
func (a *alone) until(what string, ok func() bool) {
	a.t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); {
		require.True(a.t, time.Now().Before(end), what)
		a.turns(1)
	}
}

// turns lets the loop run, with the writer at most one batch behind.
func (a *alone) turns(k int) {
	a.t.Helper()
	for range k {
		a.now += a.timing.Tick
		a.turn(a.now)
		require.NoError(a.t, a.fatal)
		for busy := true; busy; runtime.Gosched() {
			a.writer.mu.Lock()
			busy = len(a.writer.todo) > 0
			a.writer.mu.Unlock()
		}
	}
}

func metaSeed(t *testing.T, s cluster.State, voters ...uint64) recovery.Seed {
	b, err := json.Marshal(s)
	require.NoError(t, err)
	return recovery.Seed{Group: 0, Index: 5, Term: 2, Voters: voters, Data: b}
}

// table has more than a node that keeps 1000 bytes has room for.
func table(t *testing.T) []byte {
	tb := session.NewTable()
	e := session.AppendEntryHeader(nil, 1, 1, 1, 20)
	for i := range 20 {
		e = session.AppendOp(e, &session.Op{Kind: session.Set, Key: fmt.Appendf(nil, "s%d", i), Value: []byte(strings.Repeat("v", 100)), TTL: 3600_000})
	}
	_, _, _, err := tb.Apply(e, 1, nil)
	require.NoError(t, err)
	return tb.Snapshot()
}

// After an unsafe recovery the groups have one replica each. Those that join are
// added first; nothing is placed anew before somebody of every region is there.
func TestPlacementWaitsForTheReplicasOfANewIncarnation(t *testing.T) {
	me := cluster.RaftID(0, 1)
	st := cluster.State{Incarnation: 2, Epoch: 2, Primary: "a", Placed: 3, Generations: map[string]uint32{"a-1": 1}, Nonces: map[string]uint64{"a-1": 2}}
	seeds := []recovery.Seed{metaSeed(t, st, me)}
	held := map[uint32]uint32{}
	for g := range uint32(4) {
		seeds = append(seeds, recovery.Seed{Group: g + 1, Index: 5, Term: 2, Voters: []uint64{me}, Data: table(t)})
		held[g+1] = 0
	}
	a := begin(t, disk.Identity{Generation: 1, Incarnation: 2, Replicas: held}, seeds)
	require.Len(t, a.order, 5, "it is the authority of all, also of those that it stood in for")
	lead := func() bool {
		return !slices.ContainsFunc(a.order, func(g *group) bool { return !g.g.Serving() })
	}
	a.until("it leads everything alone", lead)
	a.turns(200) // ten seconds; a node counts as lost after two
	for _, g := range a.order {
		require.Equal(t, []uint64{me}, g.g.Members(), "group %d waits for nodes that are not there", g.id)
	}
	require.EqualValues(t, 3, a.meta.State().Placed)

	join := func(node string, nonce uint64) {
		a.manager.propose(a.now, cluster.Command{Kind: "rejoin", Node: node, Nonce: nonce})
		a.until(node+" joins", func() bool { return a.meta.State().Nonces[node] == nonce })
	}
	join("b-1", 77)
	b := cluster.RaftID(2, 1)
	a.turns(200)
	for _, g := range a.order {
		want := []uint64{me}
		if s := g.place(); slices.Contains(a.m.Placement(&st, s), 2) {
			want = append(want, b)
			slices.Sort(want)
		}
		require.Equal(t, want, g.g.Members(), "group %d", g.id)
		require.Equal(t, []uint64{me}, g.g.Voters())
	}
	require.EqualValues(t, 3, a.meta.State().Placed, "c is still missing")

	// A node that says that it is unfit is given nothing, not even if nobody else is left.
	a.manager.unfit = "its disk is nearly full"
	join("c-1", 78)
	a.turns(200)
	require.EqualValues(t, 3, a.meta.State().Placed)
	// The other case: with somebody of each region there it is known who is lost.
	a.manager.unfit = ""
	a.until("what is lost is placed anew", func() bool { return a.meta.State().Placed > 3 })
	for shard, nodes := range a.meta.State().Places {
		require.Contains(t, nodes, 0, "nobody else lives: placement %d", shard)
	}
	for _, g := range a.order { // and still addMissing goes first
		require.Equal(t, []uint64{me}, g.g.Voters())
	}
}

// Who may be moved, by what the group is and who has joined.
func TestWholeGroupsAreMoved(t *testing.T) {
	st := cluster.State{Incarnation: 2, Epoch: 2, Primary: "a", Placed: 1, Generations: map[string]uint32{"a-1": 1}, Nonces: map[string]uint64{"a-1": 2, "b-1": 3}}
	a := begin(t, disk.Identity{Generation: 1, Incarnation: 2}, []recovery.Seed{metaSeed(t, st, cluster.RaftID(0, 1), cluster.RaftID(2, 1))})
	id := func(node int) uint64 { return cluster.RaftID(node, 1) }
	for _, tc := range []struct {
		voters []uint64
		nodes  []int
		inc    uint64
		whole  bool
	}{
		{[]uint64{id(0)}, []int{0, 2, 4}, 1, true}, // the first incarnation lacks nobody
		{[]uint64{id(0)}, []int{0, 2, 4}, 2, false},
		{[]uint64{id(0), id(2)}, []int{0, 2, 4}, 2, false},
		{[]uint64{id(0), id(2), id(4)}, []int{0, 2, 4}, 2, true},
		{[]uint64{id(1), id(2), id(4)}, []int{0, 2, 4}, 2, true},  // 1 stood in for 0, who has joined
		{[]uint64{id(0), id(1), id(2)}, []int{0, 2, 4}, 2, false}, // 4 has not joined
	} {
		g, err := replica.New(replica.Config{Group: 1, ID: id(0), Timing: a.timing, Machine: &tableMachine{t: session.NewTable()}},
			disk.GroupState{Snapshot: &disk.Snapshot{Meta: &raftpb.SnapshotMetadata{Index: new(uint64(5)), Term: new(uint64(2)), ConfState: &raftpb.ConfState{Voters: tc.voters}}}}, a.now)
		require.NoError(t, err)
		st.Incarnation = tc.inc
		require.Equal(t, tc.whole, a.manager.whole(&st, &group{id: 1, g: g, shard: &shard{}}, tc.nodes), "%+v", tc)
	}
}

// A replica that was taken away leaves nothing: no session on disk, no archive,
// no identity that could come back.
func TestAReplicaThatWasTakenAwayLeavesNothing(t *testing.T) {
	m, err := cluster.NewMap([]cluster.Region{{Name: "a", Role: "primary", Nodes: 2}, {Name: "b", Role: "secondary", Nodes: 2}, {Name: "c", Role: "tertiary", Nodes: 1}}, 4, 3)
	require.NoError(t, err)
	gone := slices.IndexFunc([]int{0, 1, 2, 3}, func(s int) bool { return !slices.Contains(m.Replicas(s), 0) })
	kept := slices.IndexFunc([]int{0, 1, 2, 3}, func(s int) bool { return slices.Contains(m.Replicas(s), 0) })
	id := func(s int) uint32 { return uint32(s + 1) }
	// It stood in for a-2, by placement 5; placement 6 took that back.
	st := cluster.State{Incarnation: 1, Epoch: 1, Primary: "a", Placed: 6, Joins: map[int]map[int]uint32{gone: {0: 5, 1: 6}}}
	mine, others := cluster.ReplicaID(0, 0, 5), []uint64{cluster.RaftID(2, 0), cluster.RaftID(4, 0)}
	a := begin(t, disk.Identity{Incarnation: 1, Replicas: map[uint32]uint32{id(gone): 5, id(kept): 0}}, []recovery.Seed{
		metaSeed(t, st, cluster.RaftID(0, 0), cluster.RaftID(2, 0), cluster.RaftID(4, 0)),
		{Group: id(gone), Index: 5, Term: 2, Voters: append([]uint64{mine}, others...), Data: table(t)},
		{Group: id(kept), Index: 5, Term: 2, Voters: append([]uint64{cluster.RaftID(0, 0)}, others...), Data: table(t)},
	})
	a.turns(1)
	onDisk := func(s int) (c int) {
		require.NoError(t, a.cold.Group(id(s)).Each(func([]byte, uint64, []byte) error { c++; return nil }))
		return c
	}
	ar := &archiver{n: a.Node, shards: map[int]*archived{}}
	look := func() {
		done := make(chan []seen, 1)
		go func() { done <- ar.look(t.Context()) }()
		for found := []seen(nil); found == nil; {
			select {
			case found = <-done:
			default:
				a.turns(1)
			}
		}
	}
	look()
	for s := range ar.shards { // as if they were led here
		ar.led.Store(s, &archiveLag{})
	}
	archives := func() (ss []int) {
		ar.led.Range(func(s, _ any) bool { ss = append(ss, s.(int)); require.Contains(t, ar.shards, s); return true })
		slices.Sort(ss)
		return ss
	}
	keeps := a.kept()
	was := a.groups[id(gone)]
	require.NotNil(t, was)
	require.Equal(t, mine, was.g.ID())
	require.NotZero(t, onDisk(gone))
	require.NotZero(t, onDisk(kept))
	require.Subset(t, archives(), []int{gone, kept})
	said := func(s int, index uint64, ids ...uint64) {
		a.manager.control(a.now, 2, &control{Kind: "members", Group: id(s), IDs: ids, Index: index})
		require.NoError(t, a.fatal)
	}

	// What does not end it: one of before it was added, one with it among them, and
	// that of a group that it is to be in.
	said(gone, 4, others...)
	said(gone, 9, append(others, mine)...)
	said(gone, 9)
	said(kept, 9, others...)
	require.NotNil(t, a.groups[id(gone)])
	require.NotNil(t, a.groups[id(kept)])
	require.NotZero(t, onDisk(gone))

	// The scrubber listens to those who are in the group now.
	a.scrubControl(1, &control{Kind: "sum", Group: id(gone), Sum: digest{9, 1}})
	require.Empty(t, was.scrub.heard, "the map's own place for it is not in force")
	a.scrubControl(4, &control{Kind: "sum", Group: id(gone), Sum: digest{9, 1}})
	require.Contains(t, was.scrub.heard, uint64(9))

	left := onDisk(kept)
	said(gone, 9, others...)
	require.Nil(t, a.groups[id(gone)])
	require.Nil(t, a.shards[gone].Load())
	require.Zero(t, onDisk(gone), "its sessions are still on disk")
	require.Equal(t, left, onDisk(kept), "those of another shard went too")
	look()
	require.NotContains(t, archives(), gone, "its archive is still open")
	require.Contains(t, archives(), kept)
	for i := range 20 { // readers that still have the table get no other's values
		_, found, err := was.shard.table.Get(nil, fmt.Appendf(nil, "s%d", i))
		require.True(t, found || err == session.ErrDropped)
	}
	a.until("its log is deleted", func() bool { return !a.dropping[id(gone)] })
	gs, err := a.store.Load(id(gone))
	require.NoError(t, err)
	require.Nil(t, gs.Snapshot)
	who, _, err := a.store.Identity()
	require.NoError(t, err)
	require.NotContains(t, who.Replicas, id(gone))
	require.Contains(t, who.Replicas, id(kept))
	require.Equal(t, map[uint32]uint32{id(gone): 5}, who.Dropped)

	// A meta state of before a restart would have it begin the same identity again.
	old := cluster.State{Incarnation: 1, Placed: 5, Places: map[int][]int{gone: {0, 2, 4}}, Joins: map[int]map[int]uint32{gone: {0: 5}}}
	require.False(t, a.mayBegin(&old, gone))
	old.Joins[gone][0] = 7
	require.True(t, a.mayBegin(&old, gone), "given to it again")
	old.Incarnation = 2
	require.False(t, a.mayBegin(&old, gone))
	a.beginReplica(a.now, gone, 7)
	require.NoError(t, a.fatal)
	require.Equal(t, cluster.ReplicaID(0, 0, 7), a.groups[id(gone)].g.ID())
	require.Nil(t, a.shards[gone].Load(), "it has caught up with nobody yet")
	require.Equal(t, keeps-1, a.kept(), "a replica without a vote keeps nobody waiting")
}

// A node whose last replica was taken away holds none after a restart either: it
// does not begin the map's own anew, under identities that it had.
func TestANodeWithoutReplicasStaysWithout(t *testing.T) {
	st := cluster.State{Incarnation: 1, Epoch: 1, Primary: "a"}
	a := begin(t, disk.Identity{Incarnation: 1, Replicas: map[uint32]uint32{}}, []recovery.Seed{metaSeed(t, st, cluster.RaftID(0, 0))})
	require.Len(t, a.order, 1, "meta alone")
	b := begin(t, disk.Identity{Incarnation: 1}, []recovery.Seed{metaSeed(t, st, cluster.RaftID(0, 0))})
	require.Greater(t, len(b.order), 1, "the map's own")
}
