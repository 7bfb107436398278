package disk

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"
)

const childEnv = "FIVENINES_DISK_TEST_CHILD" // folder; the child is a node that writes until it is killed

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := child(dir, os.Getenv("NOSYNC") != ""); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const childGroups = 4

// child commits to a few groups for as long as its standard input is open, and
// says on standard output, after each commit, what was acknowledged.
func child(dir string, noSync bool) error {
	s, err := Open(Options{Dir: dir, RecordSync: true, NoSync: noSync, memTable: 512 << 10})
	if err != nil {
		return err
	}
	if err := s.SetIdentity(Identity{Node: "n"}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // the parent holds it open
		cancel()
	}()
	var mu sync.Mutex
	out := bufio.NewWriter(os.Stdout)
	ack := func(g uint32, index, snap uint64) error {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(out, "%d %d %d\n", g, index, snap)
		return out.Flush()
	}
	errs := make([]error, childGroups)
	var wg sync.WaitGroup
	for g := range uint32(childGroups) {
		wg.Go(func() { errs[g] = childGroup(ctx, s, g, ack) })
	}
	wg.Wait()
	return errors.Join(append(errs, s.Close())...)
}

func childGroup(ctx context.Context, s *Store, g uint32, ack func(g uint32, index, snap uint64) error) error {
	gs, err := s.Load(g)
	if err != nil {
		return err
	}
	snap := gs.Snapshot.index()
	last := snap
	if n := len(gs.Entries); n > 0 {
		last = gs.Entries[n-1].GetIndex()
	}
	for ctx.Err() == nil {
		var es []*raftpb.Entry
		for range 1 + last%3 {
			last++
			e := entry(last, 1, "")
			e.Data = make([]byte, 4000)
			binary.LittleEndian.PutUint64(e.Data, last)
			es = append(es, e)
		}
		if err := s.Commit(&Batch{Appends: []Append{{Group: g, Entries: es, HardState: hard(1, 1, last)}}}); err != nil {
			return err
		}
		if last-snap > 40 {
			snap = last - 5
			data := binary.LittleEndian.AppendUint64(make([]byte, 0, 5000), snap)
			if err := s.SaveSnapshot(g, *snapshot(snap, 1, data[:5000]), snap); err != nil {
				return err
			}
		}
		if err := ack(g, last, snap); err != nil {
			return err
		}
	}
	return nil
}

type acked struct{ index, snap [childGroups]uint64 }

// crash runs a child and kills it after it acknowledged at least n commits.
func crash(t *testing.T, dir string, noSync bool, n int, a *acked) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	if noSync {
		cmd.Env = append(cmd.Env, "NOSYNC=1")
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	sc := bufio.NewScanner(stdout)
	for got := 0; sc.Scan(); got++ {
		var g uint32
		var index, snap uint64
		if k, _ := fmt.Sscan(sc.Text(), &g, &index, &snap); k != 3 {
			break // cut off by the kill
		}
		a.index[g], a.snap[g] = index, snap
		if got == n {
			require.NoError(t, cmd.Process.Kill())
		}
	}
	err = cmd.Wait()
	require.ErrorContains(t, err, "killed", "the child ended by itself: %s", stderr.String())
	require.NoError(t, ctx.Err(), "the child hung: %s", stderr.String())
}

// missing counts the acknowledged entries that a store does not have.
func missing(t *testing.T, s *Store, a *acked) (n int) {
	t.Helper()
	id, ok, err := s.Identity()
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "n", id.Node)
	for g := range uint32(childGroups) {
		gs, err := s.Load(g)
		require.NoError(t, err)
		last := gs.Snapshot.index()
		if last != 0 {
			require.Equal(t, last, binary.LittleEndian.Uint64(gs.Snapshot.Data))
		}
		for _, e := range gs.Entries {
			last = e.GetIndex()
			require.Equal(t, last, binary.LittleEndian.Uint64(e.Data))
		}
		if last < a.index[g] {
			n += int(a.index[g] - last)
		}
	}
	return n
}

// TestPowerLoss: what was acknowledged is there after every loss of power; and
// the same treatment shows that a store that does not sync loses some.
func TestPowerLoss(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	for _, noSync := range []bool{false, true} {
		t.Run(fmt.Sprintf("noSync=%v", noSync), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			var a acked
			lost, snapped := 0, false
			for round := range 5 {
				if round == 2 {
					// A restart without a loss of power keeps the record going.
					crash(t, dir, noSync, rng.IntN(50), &a)
				}
				n := rng.IntN(200)
				if round == 0 {
					n = 250 // enough for snapshots
				}
				crash(t, dir, noSync, n, &a)
				seed := rng.Int64()
				s, err := Open(Options{Dir: dir, DropUnsynced: true, RecordSync: round%2 == 0, Seed: seed, NoSync: noSync, Logf: t.Logf})
				require.NoError(t, err, "seed %d", seed)
				n = missing(t, s, &a)
				snapped = snapped || a.snap != [childGroups]uint64{}
				if !noSync {
					require.Zero(t, n, "acknowledged entries lost, seed %d", seed)
				}
				lost += n
				if n > 0 {
					a = acked{}
				}
				require.NoError(t, s.Close())
			}
			if noSync {
				require.Positive(t, lost, "dropping what was not synced dropped nothing: the test of power loss proves nothing")
			}
			require.True(t, snapped, "no snapshot was taken")
		})
	}
}

// TestKillAloneProvesNothing: the page cache survives SIGKILL, which is why
// the record is there at all.
func TestKillAloneProvesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var a acked
	crash(t, dir, false, 200, &a)
	s := open(t, Options{Dir: dir})
	require.Zero(t, missing(t, s, &a))
}

// lazyFS does not really sync; the record is kept all the same.
type lazyFS struct{ vfs.FS }

type lazyFile struct{ vfs.File }

func (lazyFile) Sync() error     { return nil }
func (lazyFile) SyncData() error { return nil }

func (f lazyFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	return lazyFile{file}, err
}

func (f lazyFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	return lazyFile{file}, err
}

// TestRecordOfNamesAndBytes acts on a recorded folder and then looks at what a
// loss of power may leave of it.
func TestRecordOfNamesAndBytes(t *testing.T) {
	type world struct {
		t    *testing.T
		root string
		fs   *recordFS
	}
	p := func(w *world, name string) string { return filepath.Join(w.root, name) }
	write := func(w *world, f vfs.File, s string) {
		_, err := f.Write([]byte(s))
		require.NoError(w.t, err)
	}
	create := func(w *world, name, synced, unsynced string) {
		f, err := w.fs.Create(p(w, name), "t")
		require.NoError(w.t, err)
		write(w, f, synced)
		require.NoError(w.t, f.Sync())
		write(w, f, unsynced)
		require.NoError(w.t, f.Close())
	}
	syncDir := func(w *world) {
		d, err := w.fs.OpenDir(w.root)
		require.NoError(w.t, err)
		require.NoError(w.t, d.Sync())
		require.NoError(w.t, d.Close())
	}
	// Of each file: the states that a loss of power may leave, each of which some
	// seed has to. "" is absence, "=" an empty file; a "*" at the end
	// stands for any tail. The first that fits counts.
	for name, c := range map[string]struct {
		run  func(*world)
		want map[string][]string
	}{
		"synced bytes of a synced name stay": {func(w *world) { create(w, "a", "keep", "maybe"); syncDir(w) }, map[string][]string{"a": {"keep", "keep*"}}},
		"a name that was not synced may go":  {func(w *world) { create(w, "a", "keep", "") }, map[string][]string{"a": {"", "keep"}}},
		"a removal that was not synced may not have been": {func(w *world) {
			create(w, "a", "keep", "")
			syncDir(w)
			require.NoError(w.t, w.fs.Remove(p(w, "a")))
		}, map[string][]string{"a": {"", "keep"}}},
		"a synced removal stays": {func(w *world) {
			create(w, "a", "keep", "")
			syncDir(w)
			require.NoError(w.t, w.fs.Remove(p(w, "a")))
			syncDir(w)
			kept, err := filesUnder(removedDir(w.root))
			require.NoError(w.t, err)
			require.Empty(w.t, kept, "its space is not freed")
		}, map[string][]string{"a": {""}}},
		"a rename over a file is one step": {func(w *world) {
			create(w, "a", "old", "")
			create(w, "b", "new", "")
			syncDir(w)
			require.NoError(w.t, w.fs.Rename(p(w, "b"), p(w, "a")))
		}, map[string][]string{"a": {"old", "new"}, "b": {"", "new"}}},
		"a synced rename stays": {func(w *world) {
			create(w, "a", "old", "")
			create(w, "b", "new", "")
			require.NoError(w.t, w.fs.Rename(p(w, "b"), p(w, "a")))
			syncDir(w)
		}, map[string][]string{"a": {"new"}, "b": {""}}},
		"sync_file_range is no sync": {func(w *world) {
			f, err := w.fs.Create(p(w, "a"), "t")
			require.NoError(w.t, err)
			write(w, f, "gone")
			full, err := f.SyncTo(4)
			require.NoError(w.t, err)
			if full {
				w.t.Skip("this file system syncs everything")
			}
			require.NoError(w.t, f.Close())
			syncDir(w)
		}, map[string][]string{"a": {"=", "*"}}},
		"a file created anew does not inherit": {func(w *world) {
			create(w, "a", "first and long", "")
			syncDir(w)
			require.NoError(w.t, w.fs.Remove(p(w, "a")))
			syncDir(w)
			create(w, "a", "", "second") // most likely the same inode
			syncDir(w)
		}, map[string][]string{"a": {"=", "*"}}},
		"reuse never writes over old bytes": {func(w *world) {
			create(w, "a", "old", "")
			syncDir(w)
			f, err := w.fs.ReuseForWrite(p(w, "a"), p(w, "b"), "t")
			require.NoError(w.t, err)
			write(w, f, "new")
			require.NoError(w.t, f.Sync())
			require.NoError(w.t, f.Close())
		}, map[string][]string{"a": {"", "old"}, "b": {"", "new"}}},
		"a link is another name": {func(w *world) {
			create(w, "a", "x", "")
			syncDir(w)
			require.NoError(w.t, w.fs.Link(p(w, "a"), p(w, "b")))
			require.NoError(w.t, w.fs.Remove(p(w, "a")))
			syncDir(w)
		}, map[string][]string{"a": {""}, "b": {"x"}}},
		"a killed process goes on with its record": {func(w *world) {
			create(w, "a", "keep", "maybe")
			syncDir(w)
			create(w, "b", "", "maybe")
			require.NoError(w.t, os.WriteFile(p(w, "c"), []byte("never recorded"), 0o644))
			require.NoError(w.t, os.Remove(p(w, "b")))
			fs, err := newRecordFS(lazyFS{vfs.Default}, w.root)
			require.NoError(w.t, err)
			require.NoError(w.t, fs.close())
		}, map[string][]string{"a": {"keep*"}, "b": {""}, "c": {"", "*"}}},
	} {
		t.Run(name, func(t *testing.T) {
			seen := map[string]bool{}
			for seed := range int64(20) {
				w := &world{t: t, root: filepath.Join(t.TempDir(), "data")}
				require.NoError(t, os.Mkdir(w.root, 0o755))
				fs, err := newRecordFS(lazyFS{vfs.Default}, w.root)
				require.NoError(t, err)
				w.fs = fs
				c.run(w)
				require.NoError(t, fs.close())
				_, err = dropUnsynced(w.root, seed)
				require.NoError(t, err)
				again := seed%8 == 0 // a second loss finds nothing more to take
				for file, states := range c.want {
					got, err := os.ReadFile(filepath.Join(w.root, file))
					if err != nil {
						require.ErrorIs(t, err, os.ErrNotExist)
					}
					match := -1
					for i, st := range states {
						prefix, any := strings.CutSuffix(st, "*")
						fits := err == nil && (string(got) == st || st == "=" && len(got) == 0 || any && strings.HasPrefix(string(got), prefix))
						if st == "" {
							fits = err != nil
						}
						if fits {
							match = i
							break
						}
					}
					require.GreaterOrEqual(t, match, 0, "seed %d left %s %q, exists: %v", seed, file, got, err == nil)
					seen[fmt.Sprint(file, match)] = true
					if again {
						_, err2 := dropUnsynced(w.root, seed+1)
						require.NoError(t, err2)
						after, _ := os.ReadFile(filepath.Join(w.root, file))
						require.Equal(t, string(got), string(after))
					}
				}
			}
			for file, states := range c.want {
				for i, st := range states {
					require.True(t, seen[fmt.Sprint(file, i)], "no seed left %s as %q", file, st)
				}
			}
		})
	}
}

// Torn tails come in every shape that a disk can leave.
func TestTearLeavesSyncedBytesAndAllKindsOfTails(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	kinds := map[string]bool{}
	for seed := range uint64(200) {
		data := []byte(strings.Repeat("s", 100) + strings.Repeat("u", 5000))
		require.NoError(t, os.WriteFile(name, data, 0o644))
		n, err := tear(name, 100, rand.New(rand.NewPCG(seed, 0)))
		require.NoError(t, err)
		got, err := os.ReadFile(name)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(got), 100)
		require.Equal(t, string(data[:100]), string(got[:100]))
		kept := strings.TrimLeft(string(got[100:]), "u")
		require.Positive(t, n)
		switch {
		case len(got) == 100:
			kinds["cut at the sync"] = true
		case kept == "":
			kinds["cut later"] = true
		case strings.Trim(kept, "\x00") == "":
			kinds["zeroes"] = true
		default:
			kinds["garbage"] = true
		}
	}
	require.Len(t, kinds, 4)
}

func TestDropUnsyncedNeedsARecord(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	commit(t, s, Append{Group: 1, Entries: entries(1, 3, 1), HardState: hard(1, 1, 1)})
	require.NoError(t, s.Close())
	_, err := Open(Options{Dir: s.dir, DropUnsynced: true})
	require.ErrorContains(t, err, "not known")
	requireLog(t, open(t, Options{Dir: s.dir}), 1, entries(1, 3, 1)...)
}

// A wiped disk does not come back from what the record kept of it.
func TestWipedDiskStaysEmpty(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, Options{Dir: dir, RecordSync: true})
	require.NoError(t, s.SetIdentity(Identity{Node: "n"}))
	require.NoError(t, s.Close())
	names, err := os.ReadDir(dir) // the folder itself stays, and with it its inode
	require.NoError(t, err)
	for _, n := range names {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, n.Name())))
	}
	for _, o := range []Options{{DropUnsynced: true, RecordSync: true}, {RecordSync: true}, {}} {
		o.Dir = dir
		s := open(t, o)
		_, ok, err := s.Identity()
		require.NoError(t, err)
		require.False(t, ok)
		require.NoError(t, s.Close())
	}
}
