package disk

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

func entry(index, term uint64, data string) *raftpb.Entry {
	e := &raftpb.Entry{Type: raftpb.EntryNormal.Enum(), Index: new(index), Term: new(term)}
	if data != "" {
		e.Data = []byte(data)
	}
	return e
}

func entries(from, to, term uint64) []*raftpb.Entry {
	var es []*raftpb.Entry
	for i := from; i <= to; i++ {
		es = append(es, entry(i, term, fmt.Sprintf("t%d-i%d", term, i)))
	}
	return es
}

func hard(term, vote, commit uint64) *raftpb.HardState {
	return &raftpb.HardState{Term: new(term), Vote: new(vote), Commit: new(commit)}
}

func snapshot(index, term uint64, data []byte) *Snapshot {
	return &Snapshot{Data: data, Meta: &raftpb.SnapshotMetadata{
		Index: new(index), Term: new(term), ConfState: &raftpb.ConfState{Voters: []uint64{1, 2, 3}},
	}}
}

func open(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Logf == nil {
		o.Logf = t.Logf
	}
	s, err := Open(o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func reopen(t testing.TB, s *Store) *Store {
	t.Helper()
	require.NoError(t, s.Close())
	return open(t, Options{Dir: s.dir, FS: s.fs.FS})
}

// inMemory is a store whose syncs cost nothing; reopen finds it again.
func inMemory(t testing.TB) *Store {
	t.Helper()
	return open(t, Options{Dir: "data", FS: vfs.NewMem(), memTable: 1 << 20})
}

func commit(t testing.TB, s *Store, as ...Append) {
	t.Helper()
	require.NoError(t, s.Commit(&Batch{Appends: as}))
}

// requireLog checks a group's log in memory and after a restart.
func requireLog(t *testing.T, s *Store, group uint32, want ...*raftpb.Entry) *Store {
	t.Helper()
	check := func(s *Store) {
		gs, err := s.Load(group)
		require.NoError(t, err)
		require.Len(t, gs.Entries, len(want))
		for i := range want {
			require.True(t, proto.Equal(want[i], gs.Entries[i]), "entry %v, want %v", gs.Entries[i], want[i])
		}
	}
	check(s)
	s = reopen(t, s)
	check(s)
	return s
}

func TestNewDiskIsEmpty(t *testing.T) {
	s := inMemory(t)
	_, ok, err := s.Identity()
	require.NoError(t, err)
	require.False(t, ok)
	gs, err := s.Load(3)
	require.NoError(t, err)
	require.Equal(t, GroupState{}, gs)
}

func TestIdentity(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	want := Identity{Node: "us-east-1-a", Generation: 3, Cluster: "c", Incarnation: 7}
	require.NoError(t, s.SetIdentity(want))
	s = reopen(t, s)
	got, ok, err := s.Identity()
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, want, got)
}

func TestLogWithoutIdentityIsRefused(t *testing.T) {
	s := inMemory(t)
	commit(t, s, Append{Group: 1, Entries: entries(1, 1, 1), HardState: hard(1, 1, 0)})
	_, _, err := s.Identity()
	require.ErrorContains(t, err, "no identity")
}

func TestAppendAndHardState(t *testing.T) {
	s := inMemory(t)
	// The first index is the caller's choice: replicas begin from a made-up snapshot at 1.
	commit(t, s, Append{Group: 1, Entries: entries(2, 4, 1), HardState: hard(1, 2, 1)})
	commit(t, s, Append{Group: 1, Entries: entries(5, 5, 2), HardState: hard(2, 3, 4)},
		Append{Group: 0, Entries: []*raftpb.Entry{entry(1, 1, "")}, HardState: hard(1, 0, 0)})
	commit(t, s, Append{Group: 1, Entries: entries(6, 6, 2)}) // hard state unchanged
	s = requireLog(t, s, 1, append(entries(2, 4, 1), entries(5, 6, 2)...)...)
	gs, err := s.Load(1)
	require.NoError(t, err)
	require.True(t, proto.Equal(hard(2, 3, 4), gs.HardState))
	requireLog(t, s, 0, entry(1, 1, ""))
}

func TestConflictDeletesWhatIsBehind(t *testing.T) {
	s := inMemory(t)
	commit(t, s, Append{Group: 1, Entries: entries(1, 9, 1), HardState: hard(1, 1, 3)})
	commit(t, s, Append{Group: 1, Entries: entries(4, 5, 2), HardState: hard(2, 1, 3)})
	s = requireLog(t, s, 1, append(entries(1, 3, 1), entries(4, 5, 2)...)...)
	commit(t, s, Append{Group: 1, Entries: entries(6, 7, 2)})
	s = requireLog(t, s, 1, append(entries(1, 3, 1), entries(4, 7, 2)...)...)
	// Twice in one batch, the second conflicting with the first.
	commit(t, s, Append{Group: 1, Entries: entries(8, 12, 2)}, Append{Group: 1, Entries: entries(9, 9, 3), HardState: hard(3, 1, 3)})
	requireLog(t, s, 1, append(append(entries(1, 3, 1), entries(4, 8, 2)...), entry(9, 3, "t3-i9"))...)
}

func TestSnapshotAndTruncation(t *testing.T) {
	s := inMemory(t)
	data := bytes.Repeat([]byte("state "), chunkSize) // six chunks
	commit(t, s, Append{Group: 1, Entries: entries(1, 20, 1), HardState: hard(1, 1, 15)})
	require.NoError(t, s.SaveSnapshot(1, *snapshot(15, 1, data), 10))
	s = requireLog(t, s, 1, entries(16, 20, 1)...)
	gs, err := s.Load(1)
	require.NoError(t, err)
	require.Equal(t, data, gs.Snapshot.Data)
	require.True(t, proto.Equal(snapshot(15, 1, nil).Meta, gs.Snapshot.Meta))
	require.Equal(t, keys(t, s, keyEntry, 1), 10) // 11 to 20: a follower may still want 11 to 15

	// No entry goes that no snapshot covers.
	commit(t, s, Append{Group: 1, Entries: entries(21, 22, 1), TruncateTo: 22})
	require.Equal(t, keys(t, s, keyEntry, 1), 7) // 16 to 22
	s = requireLog(t, s, 1, entries(16, 22, 1)...)

	// A newer snapshot replaces the old one's data, an older one changes nothing.
	require.NoError(t, s.SaveSnapshot(1, *snapshot(22, 1, []byte("new")), 22))
	require.Equal(t, 1, keys(t, s, keyChunk, 1))
	require.NoError(t, s.SaveSnapshot(1, *snapshot(18, 1, data), 18))
	require.Equal(t, 1, keys(t, s, keyChunk, 1))
	s = requireLog(t, s, 1)
	gs, err = s.Load(1)
	require.NoError(t, err)
	require.Equal(t, "new", string(gs.Snapshot.Data))
	commit(t, s, Append{Group: 1, Entries: entries(23, 23, 1)})
	requireLog(t, s, 1, entries(23, 23, 1)...)
}

func TestSnapshotFromLeaderReplacesTheLog(t *testing.T) {
	for _, c := range []struct {
		name  string
		index uint64
		after []*raftpb.Entry
	}{
		{"ahead of the log", 50, nil},
		{"ahead, with entries", 50, entries(51, 53, 3)},
		{"inside the log", 10, nil},
		{"inside, with entries", 10, entries(11, 12, 3)},
		{"at its end", 20, entries(21, 21, 3)},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := inMemory(t)
			commit(t, s, Append{Group: 2, Entries: entries(1, 20, 1), HardState: hard(1, 1, 5)})
			commit(t, s, Append{Group: 2, Snapshot: snapshot(c.index, 2, []byte("x")), Entries: c.after, HardState: hard(3, 0, c.index)})
			s = requireLog(t, s, 2, c.after...)
			require.Equal(t, len(c.after), keys(t, s, keyEntry, 2))
			next := c.index + uint64(len(c.after)) + 1
			commit(t, s, Append{Group: 2, Entries: entries(next, next, 3)})
			requireLog(t, s, 2, append(c.after, entries(next, next, 3)...)...)
		})
	}
}

// An own snapshot may be ahead of what is on disk: a leader applies what a
// quorum of others has before its own disk does.
func TestOwnSnapshotAheadOfTheLog(t *testing.T) {
	s := inMemory(t)
	commit(t, s, Append{Group: 1, Entries: entries(1, 5, 1), HardState: hard(1, 1, 5)})
	require.NoError(t, s.SaveSnapshot(1, *snapshot(8, 1, nil), 8))
	s = requireLog(t, s, 1)
	commit(t, s, Append{Group: 1, Entries: entries(9, 10, 1)})
	requireLog(t, s, 1, entries(9, 10, 1)...)
}

func TestDeleteGroup(t *testing.T) {
	s := inMemory(t)
	for g := range uint32(2) {
		commit(t, s, Append{Group: g, Snapshot: snapshot(3, 1, []byte("x")), Entries: entries(4, 5, 1), HardState: hard(1, 1, 3)})
	}
	require.NoError(t, s.DeleteGroup(0))
	s = reopen(t, s)
	gs, err := s.Load(0)
	require.NoError(t, err)
	require.Equal(t, GroupState{}, gs)
	require.Zero(t, keys(t, s, keyChunk, 0))
	requireLog(t, s, 1, entries(4, 5, 1)...)
}

// A batch that would leave a log that cannot be trusted is refused whole, and
// the store goes on.
func TestImpossibleAppendsAreRefused(t *testing.T) {
	s := inMemory(t)
	commit(t, s, Append{Group: 1, Entries: entries(5, 8, 2), HardState: hard(2, 1, 5)})
	for want, a := range map[string]Append{
		"gap behind 8":         {Entries: entries(10, 10, 2)},
		"before the log":       {Entries: entries(4, 9, 2)},
		"entry 11 follows":     {Entries: []*raftpb.Entry{entry(9, 2, ""), entry(11, 2, "")}},
		"term 1 follows":       {Entries: []*raftpb.Entry{entry(9, 2, ""), entry(10, 1, "")}},
		"index 0":              {Entries: []*raftpb.Entry{entry(0, 2, "")}},
		"hard state of term 1": {HardState: hard(1, 1, 1)},
	} {
		a.Group = 1
		err := s.Commit(&Batch{Appends: []Append{{Group: 0, Entries: entries(1, 1, 1)}, a}})
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "group 1")
	}
	require.NoError(t, s.Err())
	gs, err := s.Load(0)
	require.NoError(t, err)
	require.Empty(t, gs.Entries)
	requireLog(t, s, 1, entries(5, 8, 2)...)
}

// Unfinished snapshots cost no space for longer than a restart.
func TestUnfinishedSnapshotIsDropped(t *testing.T) {
	s := inMemory(t)
	require.NoError(t, s.SaveSnapshot(1, *snapshot(3, 1, []byte("kept")), 3))
	for _, g := range []uint32{1, 9} {
		_, err := s.writeChunks(g, snapshot(4, 1, make([]byte, 3*chunkSize)))
		require.NoError(t, err)
	}
	commit(t, s, Append{Group: 5, HardState: hard(1, 0, 0)}) // syncs the chunks too
	s = reopen(t, s)
	require.Equal(t, 1, keys(t, s, keyChunk, 1))
	require.Zero(t, keys(t, s, keyChunk, 9))
	gs, err := s.Load(1)
	require.NoError(t, err)
	require.Equal(t, "kept", string(gs.Snapshot.Data))
	// And the next one takes no serial number twice.
	require.NoError(t, s.SaveSnapshot(1, *snapshot(7, 1, []byte("next")), 7))
	s = reopen(t, s)
	gs, err = s.Load(1)
	require.NoError(t, err)
	require.Equal(t, "next", string(gs.Snapshot.Data))
}

func keys(t testing.TB, s *Store, kind byte, group uint32) int {
	t.Helper()
	n := 0
	require.NoError(t, s.scan(groupKey(kind, group), groupKey(kind, group+1), func(_, _ []byte) error { n++; return nil }))
	return n
}

// model is a second, dumber store.
type model struct {
	snap uint64
	log  map[uint64]*raftpb.Entry
	last uint64
}

// TestRandomHistories compares thirteen groups, written at once, with models.
func TestRandomHistories(t *testing.T) {
	s := inMemory(t)
	const groups = 13
	models := make([]*model, groups)
	run := func(seed uint64) {
		var wg sync.WaitGroup
		for g := range uint32(groups) {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(seed, uint64(g)))
				m := models[g]
				if m == nil {
					m = &model{log: map[uint64]*raftpb.Entry{}, last: 1}
					models[g] = m
				}
				for range 40 {
					if err := m.step(s, g, seed, rng); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	for seed := range uint64(3) {
		run(seed + 1)
		require.False(t, t.Failed())
		m := s.Metrics()
		require.Less(t, m.Batches, m.Commits+m.Commits/2) // group commit
		s = reopen(t, s)
		for g, m := range models {
			gs, err := s.Load(uint32(g))
			require.NoError(t, err)
			require.Equal(t, m.snap, gs.Snapshot.index())
			require.Len(t, gs.Entries, int(m.last-max(m.snap, 1)), "group %d", g)
			for _, e := range gs.Entries {
				require.True(t, proto.Equal(m.log[e.GetIndex()], e))
			}
		}
	}
}

func (s *Snapshot) index() uint64 {
	if s == nil {
		return 0
	}
	return s.Meta.GetIndex()
}

func (m *model) step(s *Store, g uint32, term uint64, rng *rand.Rand) error {
	switch rng.IntN(10) {
	case 0:
		if m.last <= max(m.snap, 1) {
			return nil
		}
		m.snap = max(m.snap, 1) + rng.Uint64N(m.last-max(m.snap, 1)+1)
		return s.SaveSnapshot(g, *snapshot(m.snap, m.term(), make([]byte, rng.IntN(4096)<<(rng.IntN(30)/29*9))), m.snap-rng.Uint64N(3))
	case 1:
		m.snap = m.last + rng.Uint64N(20)
		m.last = m.snap
		return s.Commit(&Batch{Appends: []Append{{Group: g, Snapshot: snapshot(m.snap, term, []byte("x")), HardState: hard(term, 0, m.snap)}}})
	}
	from := m.last + 1
	if low := max(m.snap, 1) + 1; rng.IntN(4) == 0 && from > low {
		from = low + rng.Uint64N(from-low)
	}
	es := entries(from, from+rng.Uint64N(8), term)
	for _, e := range es {
		m.log[e.GetIndex()] = e
	}
	m.last = es[len(es)-1].GetIndex()
	return s.Commit(&Batch{Appends: []Append{{Group: g, Entries: es, HardState: hard(term, 1, m.snap)}}})
}

func (m *model) term() uint64 {
	if e := m.log[m.snap]; e != nil {
		return e.GetTerm()
	}
	return 1
}
