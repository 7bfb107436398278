package recovery

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/reference/internal/archive"
	"github.com/fivenines/fivenines/reference/internal/cluster"
	"github.com/fivenines/fivenines/reference/internal/disk"
	"github.com/fivenines/fivenines/reference/internal/session"
)

var regions = []cluster.Region{{Name: "a", Role: "primary", Nodes: 1}, {Name: "b", Role: "secondary", Nodes: 1}, {Name: "c", Role: "tertiary", Nodes: 1}}

const shards = 3

// archived writes n sessions a shard, one an entry, one a 100 ms from wall time 1000 s on.
func archived(t *testing.T, dir string, n int) *archive.Bucket {
	t.Helper()
	b, err := archive.Open(t.Context(), dir, "c")
	require.NoError(t, err)
	t.Cleanup(func() { b.Close() })
	m, err := json.Marshal(Manifest{regions, shards, 3})
	require.NoError(t, err)
	require.NoError(t, b.Begin(t.Context(), 1, m))
	for s := range shards {
		h := archive.Head{Incarnation: 1, Group: uint32(s + 1)}
		base := archive.Object{Head: h, Data: session.NewTable().Snapshot()}
		base.Kind, base.First, base.Last, base.Term, base.Wall = archive.KindSnapshot, 5, 5, 2, 1_000_000
		_, err = b.Put(t.Context(), &base)
		require.NoError(t, err)
		for i := 0; i < n; i += 10 {
			o := archive.Object{Head: h}
			o.Kind = archive.KindSegment
			for j := i; j < i+10; j++ {
				data := session.AppendEntryHeader(nil, uint64(j*100), 7, uint64(j+1), 1)
				data = session.AppendOp(data, &session.Op{Kind: session.Set, Gateway: 7, Seq: uint64(j + 1), TTL: 300_000, Key: fmt.Appendf(nil, "session:%d-%d", s, j), Value: []byte("v")})
				o.Entries = append(o.Entries, archive.Entry{Index: uint64(6 + j), Term: 3, Wall: 1_000_100 + int64(j)*100, Data: data})
			}
			o.First, o.Last, o.Term, o.Wall = o.Entries[0].Index, o.Entries[9].Index, 3, o.Entries[9].Wall
			_, err = b.Put(t.Context(), &o)
			require.NoError(t, err)
		}
	}
	return b
}

func dirs(root string) map[string]string {
	return map[string]string{"a-1": root + "/a", "b-1": root + "/b", "c-1": root + "/c"}
}

func TestRestoreBuildsEveryNodesData(t *testing.T) {
	b := archived(t, t.TempDir(), 50)
	r, err := PrepareRestore(t.Context(), b, time.UnixMilli(1_000_100+2500))
	require.NoError(t, err)
	require.Equal(t, shards*26, r.Sessions)
	require.EqualValues(t, 2, r.Next)
	require.False(t, r.Truncated())
	root := t.TempDir()
	require.ErrorContains(t, r.Write(t.Context(), map[string]string{"a-1": root}), "node b-1")
	require.NoError(t, r.Write(t.Context(), dirs(root)))
	for id, dir := range dirs(root) {
		require.NoFileExists(t, filepath.Join(Data(dir), doneMarker))
		s, err := disk.Open(disk.Options{Dir: Data(dir)})
		require.NoError(t, err)
		who, known, err := s.Identity()
		require.NoError(t, err)
		require.True(t, known)
		require.Equal(t, disk.Identity{Node: id, Cluster: "c", Incarnation: 2}, who)
		for g := range uint32(shards + 1) {
			st, err := s.Load(g)
			require.NoError(t, err)
			require.NotNil(t, st.Snapshot)
			require.Len(t, st.Snapshot.Meta.GetConfState().GetVoters(), 3)
			if g == 0 {
				require.Contains(t, string(st.Snapshot.Data), `"incarnation":2`)
				var meta cluster.State
				require.NoError(t, json.Unmarshal(st.Snapshot.Data, &meta))
				require.Empty(t, meta.Places)
				require.True(t, meta.Joined(id), "or nothing would ever be placed anew")
				continue
			}
			tab := session.NewTable()
			require.NoError(t, tab.Restore(st.Snapshot.Data))
			require.Equal(t, 26, tab.Len())
			_, found, err := tab.Get(nil, fmt.Appendf(nil, "session:%d-25", g-1))
			require.NoError(t, err)
			require.True(t, found)
			_, found, _ = tab.Get(nil, fmt.Appendf(nil, "session:%d-26", g-1))
			require.False(t, found, "it was written later")
		}
		require.NoError(t, s.Close())
	}
	// What is there is never overwritten, and an incarnation begins once.
	require.ErrorContains(t, r.Write(t.Context(), dirs(root)), "holds data already")
	r.silence = 0
	require.ErrorContains(t, r.Write(t.Context(), dirs(t.TempDir())), "incarnation 2 has begun already")
	// The new incarnation is in the archive from its first moment on.
	r, err = PrepareRestore(t.Context(), b, time.Now())
	require.NoError(t, err)
	require.EqualValues(t, 2, r.From)
	require.EqualValues(t, 3, r.Next)
	require.Equal(t, shards*26, r.Sessions)
	// And times before it are still in the old one.
	r, err = PrepareRestore(t.Context(), b, time.UnixMilli(1_000_100+4900))
	require.NoError(t, err)
	require.EqualValues(t, 1, r.From)
	require.EqualValues(t, 3, r.Next)
	require.Equal(t, shards*50, r.Sessions)
}

// A new incarnation beside a cluster that goes on would hide what that archives
// from then on. Nothing is written before it is known.
func TestAClusterThatStillArchivesIsNotRestoredBeside(t *testing.T) {
	b := archived(t, t.TempDir(), 50)
	r, err := PrepareRestore(t.Context(), b, time.Now())
	require.NoError(t, err)
	put := func(i uint64) {
		_, err := b.Put(t.Context(), &archive.Object{Head: archive.Head{Kind: archive.KindSegment, Incarnation: 1, Group: 1, Node: "a-1", First: i, Last: i, Term: 9, Wall: time.Now().UnixMilli()},
			Entries: []archive.Entry{{Index: i, Term: 9, Wall: time.Now().UnixMilli()}}})
		require.NoError(t, err)
	}
	put(9000)
	ended := make(chan error, 1)
	to := dirs(t.TempDir())
	go func() { ended <- r.Write(t.Context(), to) }()
	for i := uint64(9001); ; i++ {
		select {
		case err = <-ended:
		case <-time.After(20 * time.Millisecond):
			put(i)
			continue
		}
		break
	}
	require.ErrorIs(t, err, ErrAlive)
	is, err := b.Incarnations(t.Context())
	require.NoError(t, err)
	require.Equal(t, []uint64{1}, is, "nothing has begun")
	for _, dir := range to {
		require.NoDirExists(t, Data(dir))
	}
	r.silence = 100 * time.Millisecond
	require.NoError(t, r.Write(t.Context(), to), "it has ended")
}

// A node's folder can't be made: the archive's old incarnation stays the one to restore.
func TestARestoreThatFailsIsNotRestoredFrom(t *testing.T) {
	b := archived(t, t.TempDir(), 50)
	r, err := PrepareRestore(t.Context(), b, time.UnixMilli(1_000_100+2500))
	require.NoError(t, err)
	to := dirs(t.TempDir())
	require.NoError(t, os.Symlink(filepath.Join(t.TempDir(), "unmounted"), to["c-1"]))
	require.Error(t, r.Write(t.Context(), to))
	r, err = PrepareRestore(t.Context(), b, time.Now())
	require.NoError(t, err)
	require.EqualValues(t, 1, r.From)
	require.Equal(t, shards*50, r.Sessions, "with what was written after the time that the failed one asked for")
	require.NoError(t, r.Write(t.Context(), dirs(t.TempDir())))
}

func TestRestoreNamesWhatIsDamaged(t *testing.T) {
	dir := t.TempDir()
	b := archived(t, dir, 50)
	m, err := filepath.Glob(filepath.Join(dir, "c/i00000001/g00002/segment-00000000000000000026-*"))
	require.NoError(t, err)
	require.Len(t, m, 1)
	require.NoError(t, os.Truncate(m[0], 100))
	r, err := PrepareRestore(t.Context(), b, time.Now())
	require.NoError(t, err)
	require.True(t, r.Truncated())
	require.Equal(t, 20, r.Shards[1].Sessions)
	require.Equal(t, 120, r.Sessions)
	require.Len(t, r.Problems, 1)
	require.Contains(t, r.Problems[0], "g00002/segment-00000000000000000026")
	_, err = PrepareRestore(t.Context(), b, time.UnixMilli(999_999))
	require.ErrorIs(t, err, archive.ErrNothing)
	other, err := archive.Open(context.Background(), dir, "other")
	require.NoError(t, err)
	defer other.Close()
	_, err = PrepareRestore(t.Context(), other, time.Now())
	require.ErrorContains(t, err, `nothing of cluster "other"`)
}

// TestInstallSurvivesACrash: at no point is a node without whole data, old or new.
func TestInstallSurvivesACrash(t *testing.T) {
	dir := t.TempDir()
	open := func() (inc uint64) {
		t.Helper()
		require.NoError(t, Finish(dir))
		s, err := disk.Open(disk.Options{Dir: Data(dir)})
		require.NoError(t, err)
		defer s.Close()
		id, _, err := s.Identity()
		require.NoError(t, err)
		return id.Incarnation
	}
	id := func(inc uint64) disk.Identity { return disk.Identity{Node: "a-1", Cluster: "c", Incarnation: inc} }
	require.NoError(t, Prepare(dir, id(1), nil))
	require.NoError(t, Install(dir, "data.none"))
	require.EqualValues(t, 1, open())
	require.NoError(t, Prepare(dir, id(2), nil))
	require.EqualValues(t, 1, open(), "prepared is not installed")
	require.NoError(t, SetAside(dir, "data.incarnation-1")) // and crash
	require.EqualValues(t, 2, open())
	require.DirExists(t, filepath.Join(dir, "data.incarnation-1"))
	// Half of a preparation is never installed.
	require.NoError(t, os.MkdirAll(filepath.Join(dir, nextFolder), 0o755))
	require.ErrorContains(t, Install(dir, "x"), "nothing complete is prepared")
	require.EqualValues(t, 2, open())
}
