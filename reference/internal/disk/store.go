package disk

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
)

// Options of a store.
type Options struct {
	Dir string
	// RecordSync keeps the record that DropUnsynced needs, in Dir + ".synced".
	RecordSync bool
	// DropUnsynced throws away, before the store is opened, what was not synced
	// when its last owner died. Seed decides how much of it a kind disk would
	// have kept, and what a cruel one would have left in its place.
	DropUnsynced bool
	Seed         int64
	// NoSync is the mutant "no-fsync": commits return before they are durable.
	NoSync bool
	// FS replaces the operating system's files; not together with RecordSync.
	FS   vfs.FS
	Logf func(string, ...any)

	memTable uint64 // tests make it small, to see tables and the manifest written
}

// Identity says who the node is. It is lost with the disk.
type Identity struct {
	Node        string `json:"node"`
	Generation  uint32 `json:"generation"`
	Cluster     string `json:"cluster"`
	Incarnation uint64 `json:"incarnation"`
	// Replicas that this node holds, where they are not those of the first
	// placement: group -> the number in its identity. None at all is not nil.
	Replicas map[uint32]uint32 `json:"replicas"`
	// Dropped replicas of this generation: group -> the number in the last one's
	// identity. That one and those before it never come back.
	Dropped map[uint32]uint32 `json:"dropped,omitempty"`
}

// ErrClosed is returned by a store after Close.
var ErrClosed = errors.New("disk: store is closed")

// ErrDamaged marks errors of Open, Load and all later calls that come from data
// which are not what was written. What the node promised may be among them, so
// it must not go on under its identity.
var ErrDamaged = errors.New("damaged data")

// Damaged marks an error as one that comes from damaged data.
func Damaged(err error) error { return damaged{err} }

// damaged marks an error without changing what it says.
type damaged struct{ error }

func (d damaged) Unwrap() error        { return d.error }
func (d damaged) Is(target error) bool { return target == ErrDamaged }

// Store is safe for concurrent use; see the package comment for its contract.
type Store struct {
	dir    string
	db     *pebble.DB
	lock   io.Closer
	fs     *fencedFS
	rec    *recordFS // nil: not recording
	noSync bool
	logf   func(string, ...any)

	requests chan *request
	stop     chan struct{} // closed by Close
	stopped  chan struct{} // the committer has ended
	failed   chan struct{} // closed on the first fatal error
	failOnce sync.Once
	failure  error
	serial   atomic.Uint64 // of the newest snapshot's chunks

	mu     sync.Mutex // guards groups and broken; the committer alone writes to them
	groups map[uint32]*state
	broken map[uint32]error // state records that cannot be read
	closed bool

	counts counts
}

type counts struct {
	commits, batches, bytes atomic.Uint64
}

// Metrics are figures since Open.
type Metrics struct {
	Commits      uint64               // calls that became durable
	Batches      uint64               // Pebble batches: below Commits by group commit
	Bytes        uint64               // in those batches
	Syncs        uint64               // fsync and fdatasync calls
	WrittenBytes uint64               // to all files: log, tables, manifest
	DiskBytes    uint64               // in use now
	Compactions  int64                // tables merged in the background
	SyncSeconds  prometheus.Histogram // fivenines_disk_sync_seconds: latency of those calls
}

// Open opens or creates the store in o.Dir.
func Open(o Options) (*Store, error) {
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	s := &Store{
		dir: o.Dir, noSync: o.NoSync, logf: o.Logf, groups: map[uint32]*state{}, broken: map[uint32]error{},
		requests: make(chan *request, 64), stop: make(chan struct{}), stopped: make(chan struct{}), failed: make(chan struct{}),
	}
	fs := o.FS
	if fs == nil {
		fs = vfs.Default
	}
	if (o.RecordSync || o.DropUnsynced) && o.FS != nil {
		return nil, fmt.Errorf("disk %s: synced bytes can be recorded on the operating system's files only", o.Dir)
	}
	if o.FS == nil {
		// A disk that was wiped has no lock file either; its record died with it.
		if names, err := os.ReadDir(o.Dir); len(names) == 0 && (err == nil || os.IsNotExist(err)) {
			if err := os.RemoveAll(recordDir(o.Dir)); err != nil {
				return nil, fmt.Errorf("disk %s: cannot remove the record of the disk before: %w", o.Dir, err)
			}
		}
	}
	if err := fs.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("disk %s: cannot create the folder: %w", o.Dir, err)
	}
	// The lock comes first: dropping what another process still writes would be
	// worse than any power loss.
	lock, err := lockDir(o.Dir, fs)
	if err != nil {
		return nil, err
	}
	s.lock = lock
	if o.FS == nil {
		if o.DropUnsynced {
			lost, err := dropUnsynced(o.Dir, o.Seed)
			if err != nil {
				return nil, errors.Join(fmt.Errorf("disk %s: cannot drop what was not synced: %w", o.Dir, err), lock.Close())
			}
			o.Logf("disk %s: power loss dropped %d unsynced bytes and %d unsynced names", o.Dir, lost.bytes, lost.names)
		}
		if o.RecordSync {
			if s.rec, err = newRecordFS(fs, o.Dir); err != nil {
				return nil, errors.Join(fmt.Errorf("disk %s: cannot record what is synced: %w", o.Dir, err), lock.Close())
			}
			fs = s.rec
		} else if err := os.RemoveAll(recordDir(o.Dir)); err != nil { // it would be out of date from here on
			return nil, errors.Join(fmt.Errorf("disk %s: cannot remove the old record of synced bytes: %w", o.Dir, err), lock.Close())
		}
	}
	s.fs = newFencedFS(fs, s.fail)
	if o.memTable == 0 {
		o.memTable = 64 << 20
	}
	if err := s.open(o.memTable); err != nil {
		s.fail(err)
		return nil, errors.Join(s.Err(), s.release())
	}
	go s.commitLoop()
	return s, nil
}

// lockDir takes the lock that Pebble would: it must be free again after a failure, when
// Pebble cannot be closed any more.
func lockDir(dir string, fs vfs.FS) (io.Closer, error) {
	l, err := fs.Lock(fs.PathJoin(dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("disk %s: in use by another process, or not writable: %w", dir, err)
	}
	return l, nil
}

func (s *Store) open(memTable uint64) error {
	return s.guard(func() error {
		cache := pebble.NewCache(8 << 20)
		defer cache.Unref()
		o := &pebble.Options{
			FS: s.fs, Cache: cache, Logger: pebbleLog{s}, EventListener: s.listener(),
			FormatMajorVersion: pebble.FormatNewest,
			// A log is written, and soon deleted by range: with a large memtable most
			// entries die before they ever reach a table.
			MemTableSize: memTable, MemTableStopWritesThreshold: 4,
			L0CompactionThreshold: 4, L0CompactionFileThreshold: 16, L0StopWritesThreshold: 1000,
			LBaseMaxBytes: 256 << 20, MaxOpenFiles: 256, MaxManifestFileSize: 4 << 20,
			CompactionConcurrencyRange: func() (int, int) { return 1, 1 },
		}
		o.TargetFileSizes[0] = 32 << 20
		o.Experimental.ReadSamplingMultiplier = -1 // nobody reads but Load
		o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
		db, err := pebble.Open(s.dir, o)
		if err != nil {
			if err = fmt.Errorf("cannot open: %w", err); pebble.IsCorruptionError(err) {
				err = damaged{err}
			}
			return err
		}
		s.db = db
		if err := s.readStates(); err != nil {
			return err
		}
		return s.dropOrphans()
	})
}

// readStates learns which groups there are.
func (s *Store) readStates() error {
	return s.scan([]byte{keyState}, []byte{keyState + 1}, func(k, v []byte) error {
		group := binary.BigEndian.Uint32(k[1:])
		st, err := decodeState(group, v)
		if err != nil {
			s.broken[group] = fmt.Errorf("group %d: state record: %w", group, err)
			return nil
		}
		s.groups[group] = &st
		s.serial.Store(max(s.serial.Load(), st.snapSerial))
		return nil
	})
}

// dropOrphans deletes the chunks of snapshots that were never finished.
func (s *Store) dropOrphans() error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyChunk}, UpperBound: []byte{keyChunk + 1}})
	if err != nil {
		return fmt.Errorf("cannot read: %w", err)
	}
	for ok := it.First(); ok; {
		group := binary.BigEndian.Uint32(it.Key()[1:])
		serial := binary.BigEndian.Uint64(it.Key()[5:])
		s.serial.Store(max(s.serial.Load(), serial))
		next := chunkKey(group, serial+1, 0)
		if st := s.groups[group]; s.broken[group] == nil && (st == nil || st.snapSerial != serial) {
			if err := s.db.DeleteRange(chunkKey(group, serial, 0), next, pebble.NoSync); err != nil {
				return errors.Join(fmt.Errorf("cannot delete an unfinished snapshot: %w", err), it.Close())
			}
		}
		ok = it.SeekGE(next)
	}
	if err := it.Close(); err != nil {
		return fmt.Errorf("cannot read: %w", err)
	}
	return nil
}

// Identity returns what SetIdentity stored; false if the disk is empty.
func (s *Store) Identity() (Identity, bool, error) {
	var id Identity
	var found bool
	err := s.read(func() error {
		s.mu.Lock()
		used := len(s.groups)+len(s.broken) > 0
		s.mu.Unlock()
		key := []byte{keyIdentity}
		v, c, err := s.db.Get(key)
		switch {
		case errors.Is(err, pebble.ErrNotFound) && used:
			return errors.New("there are groups but no identity: wipe the disk to rejoin under a new one")
		case errors.Is(err, pebble.ErrNotFound):
			return nil
		case err != nil:
			return err
		}
		defer c.Close()
		if v, err = unseal(key, v); err != nil {
			return err
		}
		found = true
		return json.Unmarshal(v, &id)
	})
	if err != nil {
		return Identity{}, false, fmt.Errorf("disk %s: identity: %w", s.dir, err)
	}
	return id, found, nil
}

// SetIdentity makes id durable.
func (s *Store) SetIdentity(id Identity) error {
	v, err := json.Marshal(id)
	if err != nil {
		return fmt.Errorf("disk %s: identity: %w", s.dir, err)
	}
	key := []byte{keyIdentity}
	return s.submit(&request{sync: true, always: true, write: func(b *pebble.Batch) error { return b.Set(key, seal(key, v), nil) }})
}

// DeleteGroup forgets everything about a group, durably.
func (s *Store) DeleteGroup(group uint32) error {
	return s.submit(&request{sync: true, always: true, write: func(b *pebble.Batch) error {
		s.mu.Lock()
		delete(s.groups, group)
		delete(s.broken, group)
		s.mu.Unlock()
		err := errors.Join(b.Delete(groupKey(keyState, group), nil), b.Delete(groupKey(keySnapshot, group), nil),
			b.DeleteRange(entryKey(group, 0), entryKey(group, math.MaxUint64), nil))
		return errors.Join(err, deleteChunks(b, group, 0, math.MaxUint64))
	}})
}

// Metrics returns figures since Open.
func (s *Store) Metrics() Metrics {
	m := Metrics{
		Commits: s.counts.commits.Load(), Batches: s.counts.batches.Load(), Bytes: s.counts.bytes.Load(),
		Syncs: s.fs.syncs.Load(), WrittenBytes: s.fs.written.Load(), SyncSeconds: s.fs.latency,
	}
	// Pebble cannot be asked once it has failed or closed.
	_ = s.read(func() error {
		p := s.db.Metrics()
		m.DiskBytes, m.Compactions = p.DiskSpaceUsage(), p.Compact.Count
		return nil
	})
	return m
}

// Failed is closed when the store has failed for good; Err then says why.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// Err is the error that ended the store, nil while it works.
func (s *Store) Err() error {
	select {
	case <-s.failed:
		return s.failure
	default:
		return nil
	}
}

// Close ends the store. The calls in progress finish first.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	close(s.stop)
	select {
	case <-s.stopped:
	case <-s.failed:
	}
	if err := s.Err(); err != nil {
		return errors.Join(err, s.release()) // Pebble itself may hang by now: leave it fenced off
	}
	err := s.guard(s.db.Close)
	s.fail(ErrClosed)
	if err != nil {
		err = fmt.Errorf("disk %s: close: %w", s.dir, err)
	}
	return errors.Join(err, s.release())
}

func (s *Store) release() error {
	var err error
	if s.rec != nil {
		err = s.rec.close()
	}
	if e := s.lock.Close(); e != nil {
		err = errors.Join(err, fmt.Errorf("disk %s: unlock: %w", s.dir, e))
	}
	return err
}

// fail ends the store with its first error. It may be called with locks of
// Pebble's held.
func (s *Store) fail(err error) {
	s.failOnce.Do(func() {
		if !errors.Is(err, ErrClosed) {
			err = fmt.Errorf("disk %s has failed, restart the node when it is repaired: %w", s.dir, err)
			s.logf("%v", err)
		}
		s.failure = err
		close(s.failed)
		s.fs.fence()
	})
}

// guard runs fn, which calls Pebble, on a goroutine that Pebble's fatal errors
// may end.
func (s *Store) guard(fn func() error) error {
	done := make(chan error, 1)
	go func() { done <- fn() }()
	select {
	case err := <-done:
		return err
	case <-s.failed:
		return s.failure
	}
}

// read guards a call that only reads.
func (s *Store) read(fn func() error) error {
	if err := s.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return ErrClosed
	}
	return s.guard(fn)
}

// scan calls fn for the keys from lower to before upper.
func (s *Store) scan(lower, upper []byte, fn func(k, v []byte) error) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return fmt.Errorf("cannot read: %w", err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return errors.Join(fmt.Errorf("cannot read: %w", err), it.Close())
		}
		if err := fn(it.Key(), v); err != nil {
			return errors.Join(err, it.Close())
		}
	}
	if err := it.Close(); err != nil {
		return fmt.Errorf("cannot read: %w", err)
	}
	return nil
}

// pebbleLog passes on what matters; Pebble's chatter is dropped.
type pebbleLog struct{ s *Store }

func (l pebbleLog) Infof(string, ...any) {}

func (l pebbleLog) Errorf(format string, args ...any) {
	l.s.logf("disk %s: %s", l.s.dir, fmt.Sprintf(format, args...))
}

// Fatalf must not return. It runs on a goroutine of Pebble's or the store's.
func (l pebbleLog) Fatalf(format string, args ...any) { l.s.die(fmt.Errorf(format, args...)) }

// die parks a goroutine in which Pebble cannot go on. To end it would run its
// deferred calls, and Pebble's unlock what is not locked.
func (s *Store) die(err error) {
	s.fail(err)
	park()
}

func park() { select {} }

func (s *Store) listener() *pebble.EventListener {
	return &pebble.EventListener{
		// Pebble would try a failed flush again and again, at full speed.
		BackgroundError: func(err error) {
			if !errors.Is(err, pebble.ErrCancelledCompaction) && !errors.Is(err, pebble.ErrClosed) {
				s.die(fmt.Errorf("in the background: %w", err))
			}
		},
		DataCorruption: func(i pebble.DataCorruptionInfo) {
			s.fail(damaged{fmt.Errorf("%s is damaged: %w", filepath.Base(i.Path), i.Details)})
		},
	}
}
