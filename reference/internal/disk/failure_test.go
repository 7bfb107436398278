package disk

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"
)

var errBroken = errors.New("the disk is on fire")

func big(index uint64) []*raftpb.Entry {
	e := entry(index, 1, "")
	e.Data = make([]byte, 8<<10)
	return []*raftpb.Entry{e}
}

// fill commits until the store fails, and returns the last acknowledged index.
func fill(t *testing.T, s *Store, from uint64) (uint64, error) {
	t.Helper()
	for i := from; ; i++ {
		done := make(chan error, 1)
		go func() {
			done <- s.Commit(&Batch{Appends: []Append{{Group: 1, Entries: big(i), HardState: hard(1, 1, i)}}})
		}()
		select {
		case err := <-done:
			if err != nil {
				return i - 1, err
			}
		case <-time.After(20 * time.Second):
			t.Fatal("a commit hangs on a broken disk")
		}
		require.Less(t, i, from+20000, "the disk never broke")
	}
}

// TestBrokenDiskIsFinal: whatever breaks, wherever Pebble notices, the store
// says so, goes on saying so, and has lost nothing that it acknowledged.
func TestBrokenDiskIsFinal(t *testing.T) {
	for name, breaks := range map[string]func(op errorfs.Op) bool{
		"sync of the log":      func(op errorfs.Op) bool { return isSync(op) && strings.HasSuffix(op.Path, ".log") },
		"write to the log":     func(op errorfs.Op) bool { return op.Kind == errorfs.OpFileWrite && strings.HasSuffix(op.Path, ".log") },
		"creation of the log":  func(op errorfs.Op) bool { return op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".log") },
		"write to a table":     func(op errorfs.Op) bool { return op.Kind == errorfs.OpFileWrite && strings.HasSuffix(op.Path, ".sst") },
		"sync of a table":      func(op errorfs.Op) bool { return isSync(op) && strings.HasSuffix(op.Path, ".sst") },
		"creation of a table":  func(op errorfs.Op) bool { return op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") },
		"sync of the manifest": func(op errorfs.Op) bool { return isSync(op) && strings.Contains(op.Path, "MANIFEST") },
		"write to the manifest": func(op errorfs.Op) bool {
			return op.Kind == errorfs.OpFileWrite && strings.Contains(op.Path, "MANIFEST")
		},
		"sync of the folder": func(op errorfs.Op) bool { return isSync(op) && filepath.Base(op.Path) == "data" },
		"everything that changes": func(op errorfs.Op) bool {
			return op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFileClose
		},
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			var broken atomic.Bool
			fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if broken.Load() && breaks(op) {
					return errBroken
				}
				return nil
			}))
			var log atomic.Int64
			s := open(t, Options{Dir: "data", FS: fs, memTable: 256 << 10, Logf: func(f string, a ...any) { t.Logf(f, a...); log.Add(1) }})
			for i := uint64(1); i <= 5; i++ {
				commit(t, s, Append{Group: 1, Entries: big(i), HardState: hard(1, 1, i)})
			}
			broken.Store(true)
			last, err := fill(t, s, 6)
			require.ErrorIs(t, err, errBroken)
			<-s.Failed()
			broken.Store(false) // a disk that recovers is not believed
			for range 3 {
				again := s.Commit(&Batch{Appends: []Append{{Group: 2, Entries: big(1)}}})
				require.Equal(t, s.Err(), again)
			}
			_, err = s.Load(1)
			require.ErrorIs(t, err, errBroken)
			require.ErrorIs(t, s.SetIdentity(Identity{}), errBroken)
			require.ErrorIs(t, s.SaveSnapshot(1, *snapshot(1, 1, nil), 1), errBroken)
			require.NotZero(t, s.Metrics().Commits)
			require.ErrorIs(t, s.Close(), errBroken)
			require.Positive(t, log.Load())

			s = open(t, Options{Dir: "data", FS: mem})
			gs, err := s.Load(1)
			require.NoError(t, err)
			require.GreaterOrEqual(t, len(gs.Entries), int(last), "acknowledged entries lost")
			gs, err = s.Load(2)
			require.NoError(t, err)
			require.Empty(t, gs.Entries, "a failed store went on writing")
		})
	}
}

func isSync(op errorfs.Op) bool {
	return op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData
}

// fullFS is a disk with so many bytes left.
type fullFS struct {
	vfs.FS
	left *atomic.Int64
}

func (f fullFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	return fullFile{file, f.left}, err
}

func (f fullFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.Create(newname, c)
	return file, errors.Join(err, f.Remove(oldname))
}

type fullFile struct {
	vfs.File
	left *atomic.Int64
}

func (f fullFile) Write(p []byte) (int, error) {
	if left := f.left.Add(-int64(len(p))); left < 0 { // the last bytes that fit do get written
		n, err := f.File.Write(p[:max(0, int64(len(p))+left)])
		return n, errors.Join(err, syscall.ENOSPC)
	}
	return f.File.Write(p)
}

func TestFullDisk(t *testing.T) {
	for _, room := range []int64{100 << 10, 300<<10 + 1, 700 << 10, 3 << 20} {
		mem := vfs.NewMem()
		left := &atomic.Int64{}
		left.Store(room)
		s := open(t, Options{Dir: "data", FS: fullFS{mem, left}})
		last, err := fill(t, s, 1)
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.ErrorContains(t, err, "no space left")
		require.NotContains(t, err.Error(), "\n")
		require.ErrorIs(t, s.Close(), syscall.ENOSPC)
		s = open(t, Options{Dir: "data", FS: mem})
		gs, err := s.Load(1)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(gs.Entries), int(last))
		require.Positive(t, last)
	}
}

// TestFullDiskAtOpen: nothing hangs or panics when there is not even room to start.
func TestFullDiskAtOpen(t *testing.T) {
	for room := int64(0); room < 400; room += 20 {
		left := &atomic.Int64{}
		left.Store(room)
		s, err := Open(Options{Dir: "data", FS: fullFS{vfs.NewMem(), left}})
		if err == nil {
			require.NoError(t, s.Close())
			continue
		}
		require.ErrorIs(t, err, syscall.ENOSPC)
	}
}

func TestSecondOwnerIsRefused(t *testing.T) {
	dir := t.TempDir()
	open(t, Options{Dir: dir})
	_, err := Open(Options{Dir: dir})
	require.ErrorContains(t, err, "in use")
}

func TestClosedStore(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Commit(&Batch{}), ErrClosed)
	_, err := s.Load(1)
	require.ErrorIs(t, err, ErrClosed)
}

// TestCrashClones is the power loss of Pebble's own tests, a second opinion on
// ours: any part of what was not synced may be there, in any order.
func TestCrashClones(t *testing.T) {
	for _, noSync := range []bool{false, true} {
		lost := 0
		for seed := range int64(25) {
			rng := rand.New(rand.NewPCG(uint64(seed), 0))
			mem := vfs.NewCrashableMem()
			s := open(t, Options{Dir: "data", FS: mem, NoSync: noSync, memTable: 128 << 10})
			require.NoError(t, s.SetIdentity(Identity{Node: "n"}))
			n := uint64(rng.IntN(100))
			for i := uint64(1); i <= n; i++ {
				commit(t, s, Append{Group: 1, Entries: big(i), HardState: hard(1, 1, i)})
				if i%30 == 0 {
					require.NoError(t, s.SaveSnapshot(1, *snapshot(i-5, 1, make([]byte, 1000)), i-5))
				}
			}
			clone := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
			require.NoError(t, s.Close())
			s = open(t, Options{Dir: "data", FS: clone})
			gs, err := s.Load(1)
			require.NoError(t, err, "seed %d", seed)
			last := gs.Snapshot.index() + uint64(len(gs.Entries))
			if !noSync {
				require.Equal(t, n, last, "seed %d", seed)
			}
			lost += int(n - last)
			require.NoError(t, s.Close())
		}
		if noSync {
			require.Positive(t, lost)
		}
	}
}
