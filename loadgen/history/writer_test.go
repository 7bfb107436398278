package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const soon = 10 * time.Second

// Many record, some sync, one reads, one begins trials: nothing is lost or
// doubled, and each recorder's order is kept. For -race.
func TestConcurrentUse(t *testing.T) {
	dir := t.TempDir()
	opt := smallSegments()
	opt.pending = 128 << 10 // so that recorders wait for the disk
	opt.interval = time.Millisecond
	w, err := create(dir, testManifest(), opt)
	require.NoError(t, err)
	require.NoError(t, w.StartTrial(1))

	const recorders, size = 8, 50
	var all, readers sync.WaitGroup
	var recorded, batches atomic.Int64
	var stop atomic.Bool
	var sent [recorders]uint64 // by its recorder, until all are done
	for c := range recorders {
		all.Go(func() {
			ops := make([]Op, size)
			for !stop.Load() {
				for i := range ops {
					ops[i] = Op{Session: sent[c], Client: uint16(c), Kind: Read, Outcome: OK, Class: Follower, Absent: true}
					sent[c]++
				}
				w.Record(ops)
				clear(ops) // the slice is the caller's again
				recorded.Add(size)
				w.Event(Event{Kind: "batch", Source: fmt.Sprint(c)})
				batches.Add(1)
			}
		})
	}
	done := make(chan struct{})
	readers.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			assert.NoError(t, w.Sync())
			assert.NoError(t, w.Err())
			_, _, err := readAll(dir) // as `fivenines analyze` on a run that goes on
			assert.NoError(t, err)
		}
	})
	// More than all that can still be on its way to the trial before.
	someMore := func() {
		from := recorded.Load()
		require.Eventually(t, func() bool { return recorded.Load() > from+10*recorders*size }, soon, time.Millisecond)
	}
	someMore()
	for n := 2; n <= 4; n++ {
		require.NoError(t, w.StartTrial(n))
		someMore()
	}
	stop.Store(true)
	all.Wait()
	close(done)
	readers.Wait()
	require.NoError(t, w.Close())

	trials, truncated, err := readAll(dir)
	require.NoError(t, err)
	require.False(t, truncated)
	require.Len(t, trials, 4)
	var next [recorders]uint64
	for i, ops := range trials {
		require.NotEmpty(t, ops, "trial %d", i+1)
		for _, o := range ops {
			if o.Session != next[o.Client] {
				t.Fatalf("client %d: operation %d stands where %d should", o.Client, o.Session, next[o.Client])
			}
			next[o.Client]++
		}
	}
	for c := range next {
		require.Equal(t, sent[c], next[c], "client %d", c)
	}
	r, err := Open(dir)
	require.NoError(t, err)
	require.Len(t, r.Events, int(batches.Load()))
}

// Synced operations are readable at once, others within the interval.
func TestReadableWhileItIsWritten(t *testing.T) {
	dir := t.TempDir()
	opt := defaults()
	opt.interval = time.Hour
	w, err := create(dir, testManifest(), opt)
	require.NoError(t, err)
	defer w.Close()
	require.NoError(t, w.StartTrial(1))
	ops := randomOps(newRand(1), 10)
	w.Record(ops)
	got, truncated, err := readAll(dir)
	require.NoError(t, err)
	require.True(t, truncated)
	require.Empty(t, got[0], "still in memory")
	require.NoError(t, w.Sync())
	got, truncated, err = readAll(dir)
	require.NoError(t, err)
	require.True(t, truncated, "it goes on")
	require.Equal(t, [][]Op{ops}, got)
}

func TestTheIntervalAndTheBatchFlush(t *testing.T) {
	for name, opt := range map[string]options{
		"interval": {interval: 2 * time.Millisecond, batch: 1 << 20},
		"batch":    {interval: time.Hour, batch: 2 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			o := defaults()
			o.interval, o.batch = opt.interval, opt.batch
			w, err := create(dir, testManifest(), o)
			require.NoError(t, err)
			defer w.Close()
			require.NoError(t, w.StartTrial(1))
			ops := randomOps(newRand(1), 60)
			for i := range ops {
				w.Record(ops[i : i+1])
			}
			require.Eventually(t, func() bool {
				got, _, err := readAll(dir)
				return err == nil && len(got) == 1 && len(got[0]) >= 36
			}, soon, time.Millisecond)
		})
	}
}

// disk is a file that fails or blocks.
type disk struct {
	file
	left    *atomic.Int64 // bytes until it is full
	blocked chan struct{} // nil: does not block
	inside  *atomic.Int64 // writers that are blocked
}

func (d *disk) Write(b []byte) (int, error) {
	if d.blocked != nil {
		d.inside.Add(1)
		<-d.blocked
	}
	n := len(b)
	if d.left != nil {
		if room := d.left.Add(-int64(n)); room < 0 {
			n = max(0, n+int(room))
			n, _ = d.file.Write(b[:n])
			return n, syscall.ENOSPC
		}
	}
	return d.file.Write(b)
}

// onDisk puts the segments, or also the events, on a disk.
func onDisk(opt options, events bool, d disk) options {
	real := opt.create
	opt.create = func(path string) (file, error) {
		f, err := real(path)
		if err != nil || filepath.Base(path) == EventsFile && !events {
			return f, err
		}
		own := d
		own.file = f
		return &own, nil
	}
	return opt
}

// Whatever the size at which the disk is full: the error stays, says how many
// are missing, and the reader finds exactly the others, in order.
func TestFullDisk(t *testing.T) {
	ops := randomOps(newRand(1), 5000)
	for _, size := range []int64{0, headerSize - 1, headerSize, headerSize + 10, 30_000, 100_000, 200_000, 256 << 10, 258 << 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			left := new(atomic.Int64)
			left.Store(size)
			dir := t.TempDir()
			w, err := create(dir, testManifest(), onDisk(smallSegments(), false, disk{left: left}))
			require.NoError(t, err)
			err = w.StartTrial(1)
			require.Equal(t, size < headerSize, err != nil)
			w.Record(ops[:1000])
			w.Record(ops[1000:4900])
			require.ErrorIs(t, w.Sync(), syscall.ENOSPC)
			left.Store(1 << 30) // room again does not make a hole in the record
			w.Record(ops[4900:])
			w.Event(Event{Kind: "late"})
			require.ErrorIs(t, w.StartTrial(2), syscall.ENOSPC)
			err = w.Close()
			require.ErrorIs(t, err, syscall.ENOSPC)
			require.ErrorIs(t, w.Err(), syscall.ENOSPC)
			require.Equal(t, err, w.Close())
			require.Contains(t, err.Error(), dir)
			require.Contains(t, err.Error(), ".seg")

			r, err2 := Open(dir)
			require.NoError(t, err2)
			require.True(t, r.Truncated)
			require.Empty(t, r.Events)
			got := opsOf(t, r, 1)
			sameOps(t, ops[:len(got)], got, "full at %d", size)
			require.Contains(t, err.Error(), fmt.Sprintf("%d operations and events are missing", len(ops)-len(got)+1))
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

// What was recorded while the failing write was under way is not written behind
// the torn block once there is room again: that would be a hole.
func TestFullDiskWhileMoreIsRecorded(t *testing.T) {
	left, inside, gate := new(atomic.Int64), new(atomic.Int64), make(chan struct{})
	left.Store(headerSize + 100)
	opt := defaults()
	opt.interval = time.Hour
	dir := t.TempDir()
	w, err := create(dir, testManifest(), onDisk(opt, false, disk{left: left, blocked: gate, inside: inside}))
	require.NoError(t, err)
	started := make(chan error, 1)
	go func() { started <- w.StartTrial(1) }()
	gate <- struct{}{} // the header
	require.NoError(t, <-started)

	ops := randomOps(newRand(1), 100)
	w.Record(ops[:60])
	synced := make(chan error, 1)
	go func() { synced <- w.Sync() }()
	require.Eventually(t, func() bool { return inside.Load() == 2 }, soon, time.Millisecond)
	w.Record(ops[60:]) // into the other buffer: the error is not known yet
	require.NoError(t, w.Err())
	gate <- struct{}{}
	require.ErrorIs(t, <-synced, syscall.ENOSPC)
	left.Store(1 << 30)
	close(gate)
	require.ErrorContains(t, w.Close(), "100 operations and events are missing")
	got, truncated, err := readAll(dir)
	require.NoError(t, err)
	require.True(t, truncated)
	require.Equal(t, [][]Op{nil}, got)
}

func TestFullDiskForEvents(t *testing.T) {
	left := new(atomic.Int64)
	left.Store(100)
	dir := t.TempDir()
	w, err := create(dir, testManifest(), onDisk(defaults(), true, disk{left: left}))
	require.NoError(t, err)
	w.Event(Event{Kind: "kept"})
	w.Event(Event{Kind: "torn", Detail: strings.Repeat("x", 100)})
	require.ErrorIs(t, w.Err(), syscall.ENOSPC)
	require.ErrorContains(t, w.Close(), "1 operations and events are missing")
	r, err := Open(dir)
	require.NoError(t, err)
	require.True(t, r.Truncated)
	require.Len(t, r.Events, 1)
}

// /dev/full is a disk without room that the kernel itself offers.
func TestDevFull(t *testing.T) {
	opt := defaults()
	real := opt.create
	opt.create = func(path string) (file, error) {
		if filepath.Ext(path) == ".seg" {
			return os.OpenFile("/dev/full", os.O_WRONLY, 0)
		}
		return real(path)
	}
	w, err := create(t.TempDir(), testManifest(), opt)
	require.NoError(t, err)
	require.ErrorIs(t, w.StartTrial(1), syscall.ENOSPC)
	require.ErrorIs(t, w.Close(), syscall.ENOSPC)
}

// A disk that is behind holds the recorder back; it drops nothing, and Close
// and a new trial do not leave the recorder waiting.
func TestSlowDiskHoldsTheRecorderBack(t *testing.T) {
	gate := make(chan struct{})
	inside := new(atomic.Int64)
	opt := smallSegments()
	opt.pending = 64 << 10
	dir := t.TempDir()
	d := disk{blocked: gate, inside: inside}
	w, err := create(dir, testManifest(), onDisk(opt, false, d))
	require.NoError(t, err)
	started := make(chan error, 1)
	go func() { started <- w.StartTrial(1) }()
	gate <- struct{}{} // the header
	require.NoError(t, <-started)

	ops := randomOps(newRand(1), 20_000)
	recorded := new(atomic.Int64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; i < len(ops); i += 100 {
			w.Record(ops[i : i+100])
			recorded.Add(100)
		}
	}()
	// One buffer is being written and the other is full.
	require.Eventually(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return inside.Load() == 2 && len(w.buf) >= opt.pending
	}, soon, time.Millisecond)
	held := recorded.Load()
	require.LessOrEqual(t, held, int64(2*(opt.pending/recordSize+200)), "memory is bounded")
	select {
	case <-done:
		t.Fatal("the recorder did not wait")
	default:
	}
	require.NoError(t, w.Err())
	close(gate)
	<-done
	require.NoError(t, w.Close())
	got, truncated, err := readAll(dir)
	require.NoError(t, err)
	require.False(t, truncated)
	require.Len(t, got, 1)
	sameOps(t, ops, got[0], "after the disk was back")
}

func TestAfterClose(t *testing.T) {
	dir := t.TempDir()
	w, err := CreateDir(dir, testManifest())
	require.NoError(t, err)
	require.NoError(t, w.StartTrial(1))
	ops := randomOps(newRand(1), 3)
	w.Record(ops)
	require.NoError(t, w.Close())
	require.NoError(t, w.Close())
	require.NoError(t, w.Sync())
	w.Record(ops[:2])
	w.Event(Event{Kind: "late"})
	require.ErrorContains(t, w.Err(), "3 operations and events came after it was closed")
	require.ErrorContains(t, w.StartTrial(2), "closed")
	got, truncated, err := readAll(dir)
	require.NoError(t, err)
	require.False(t, truncated)
	require.Equal(t, [][]Op{ops}, got)
}

func TestTrialsAreNumberedFromOne(t *testing.T) {
	w, err := CreateDir(t.TempDir(), testManifest())
	require.NoError(t, err)
	defer w.Close()
	require.PanicsWithValue(t, "history: recording an operation before the first trial was started", func() { w.Record(randomOps(newRand(1), 1)) })
	require.ErrorContains(t, w.StartTrial(2), "the next one is 1")
	require.ErrorContains(t, w.StartTrial(0), "the next one is 1")
	require.NoError(t, w.StartTrial(1))
	require.ErrorContains(t, w.StartTrial(1), "the next one is 2")
	require.NoError(t, w.Err())
}

func TestNowGoesForwardFromTheEpoch(t *testing.T) {
	before := time.Now()
	dir := t.TempDir()
	w, err := CreateDir(dir, testManifest())
	require.NoError(t, err)
	defer w.Close()
	a := w.Now()
	b := w.Now()
	require.Positive(t, a)
	require.GreaterOrEqual(t, b, a)
	require.LessOrEqual(t, b, time.Since(before))
	r, err := Open(dir)
	require.NoError(t, err)
	require.WithinRange(t, r.Manifest.Started, before.Round(0), time.Now())
}

// One folder, one record.
func TestCreateRefusesAFolderWithARecord(t *testing.T) {
	closed := record(t, defaults(), randomOps(newRand(1), 3))
	open := t.TempDir()
	w, err := CreateDir(open, testManifest())
	require.NoError(t, err)
	defer w.Close()
	exported := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(exported, OperationsFile), nil, 0o644))
	events := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(events, EventsFile), nil, 0o644))
	for _, dir := range []string{closed, open, exported, events} {
		before := tree(t, dir)
		_, err := CreateDir(dir, testManifest())
		require.ErrorContains(t, err, "holds a record already; name another folder")
		require.Contains(t, err.Error(), dir)
		require.Equal(t, before, tree(t, dir), "it is left as it was")
	}
	// Other files of a run are no record.
	spec := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(spec, "spec.yaml"), nil, 0o644))
	w2, err := CreateDir(spec, testManifest())
	require.NoError(t, err)
	require.NoError(t, w2.Close())
	file := filepath.Join(spec, "spec.yaml")
	_, err = CreateDir(filepath.Join(file, "run"), testManifest())
	require.ErrorContains(t, err, file)
}

func TestOfTwoWritersOneGetsTheFolder(t *testing.T) {
	for range 20 {
		dir := filepath.Join(t.TempDir(), "run")
		var won atomic.Int64
		var g sync.WaitGroup
		for range 4 {
			g.Go(func() {
				if w, err := CreateDir(dir, testManifest()); err == nil {
					won.Add(1)
					assert.NoError(t, w.Close())
				}
			})
		}
		g.Wait()
		require.EqualValues(t, 1, won.Load())
		_, err := Open(dir)
		require.NoError(t, err)
	}
}

func TestCreateRefusesABadManifest(t *testing.T) {
	for name, f := range map[string]func(*Manifest){
		"schema":      func(m *Manifest) { m.Schema = "other/v1" },
		"regions":     func(m *Manifest) { m.Regions = make([]RegionInfo, 257) },
		"nodes":       func(m *Manifest) { m.Nodes = make([]NodeInfo, 256) },
		"partitions":  func(m *Manifest) { m.Partitions = 1<<16 + 1 },
		"trials":      func(m *Manifest) { m.Trials = -1 },
		"sessions":    func(m *Manifest) { m.Sessions = -1 },
		"deadline_ns": func(m *Manifest) { m.Deadline = -1 },
	} {
		m := testManifest()
		f(&m)
		dir := filepath.Join(t.TempDir(), "run")
		_, err := CreateDir(dir, m)
		require.ErrorContains(t, err, name+": ")
		require.NoDirExists(t, dir)
	}
}

func tree(t *testing.T, dir string) (names []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		names = append(names, path)
		return err
	}))
	return names
}

// A harness that is killed leaves all that was synced, and no hole. The test
// binary is its own victim.
func TestKilledWriterLeavesAReadableRun(t *testing.T) {
	if dir := os.Getenv("FIVENINES_TEST_RECORD_UNTIL_KILLED"); dir != "" {
		recordUntilKilled(dir)
		return
	}
	for i := range 3 {
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledWriterLeavesAReadableRun$")
		cmd.Env = append(os.Environ(), "FIVENINES_TEST_RECORD_UNTIL_KILLED="+dir)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		synced := 0
		for lines := bufio.NewScanner(out); synced < 20_000*(i+1) && lines.Scan(); {
			synced, err = strconv.Atoi(lines.Text())
			require.NoError(t, err)
		}
		require.NoError(t, cmd.Process.Kill())
		var exit *exec.ExitError
		require.True(t, errors.As(cmd.Wait(), &exit))
		require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal())

		got, truncated, err := readAll(dir)
		require.NoError(t, err)
		require.True(t, truncated)
		require.GreaterOrEqual(t, len(got[0]), synced)
		for j, o := range got[0] {
			if o.Session != uint64(j) {
				t.Fatalf("operation %d stands where %d should", o.Session, j)
			}
		}
	}
}

func recordUntilKilled(dir string) {
	opt := smallSegments()
	opt.interval = time.Millisecond
	w, err := create(dir, testManifest(), opt)
	if err == nil {
		err = w.StartTrial(1)
	}
	ops := make([]Op, 100)
	for n := 0; err == nil && n < 100_000_000; n += len(ops) {
		for i := range ops {
			ops[i] = Op{Session: uint64(n + i), Kind: Read, Outcome: OK, Class: Follower, Absent: true}
		}
		w.Record(ops)
		w.Event(Event{Kind: "beat", Detail: strings.Repeat("x", 100)})
		if n%5000 == 0 {
			err = w.Sync()
			if _, perr := fmt.Println(n + len(ops)); perr != nil {
				return // the parent is gone
			}
		}
	}
	panic(err)
}

func TestManifestIsWhatWasGiven(t *testing.T) {
	dir := t.TempDir()
	m := testManifest()
	m.Started = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w, err := CreateDir(dir, m)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	r, err := Open(dir)
	require.NoError(t, err)
	m.Schema = manifestSchema
	require.Equal(t, m, r.Manifest)
	require.False(t, r.Truncated)
	b, err := os.ReadFile(filepath.Join(dir, ManifestFile))
	require.NoError(t, err)
	require.True(t, json.Valid(b))
	left, err := filepath.Glob(filepath.Join(dir, "*.partial"))
	require.NoError(t, err)
	require.Empty(t, left)
}
