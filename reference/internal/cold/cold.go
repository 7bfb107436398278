// Package cold keeps the values of sessions that had to leave a node's memory,
// in a Pebble instance of its own.
//
// Contract:
//   - It is a cache of the replicated state: Open begins with nothing, whatever
//     is in the folder, and nothing is synced. What it loses or garbles it
//     reports; the node then ends, and a restart builds its tables from the log.
//   - A value is found only under the serial number that it was put under, and
//     only with the checksum that it had.
//   - Nothing is opened until the first value is put.
package cold

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/fivenines/fivenines/reference/internal/session"
)

// Store is safe for concurrent use.
type Store struct {
	dir string
	log *slog.Logger

	mu     sync.RWMutex // held for writing to open and close
	db     *pebble.DB   // nil: nothing was put yet
	closed bool
}

// Open removes what an earlier process left in the folder.
func Open(dir string, log *slog.Logger) (*Store, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("cold %s: remove what an earlier process left: %w", dir, err)
	}
	return &Store{dir: dir, log: log}, nil
}

var errClosed = errors.New("the store is closed")

// use calls do with the database; without one, if create is false, nothing is there.
func (s *Store) use(create bool, do func(db *pebble.DB) error) error {
	s.mu.RLock()
	if s.db == nil && !s.closed && create {
		s.mu.RUnlock()
		if err := s.open(); err != nil {
			return fmt.Errorf("cold %s: %w", s.dir, err)
		}
		s.mu.RLock()
	}
	defer s.mu.RUnlock()
	if s.closed {
		return fmt.Errorf("cold %s: %w", s.dir, errClosed)
	}
	if s.db == nil {
		return nil
	}
	if err := do(s.db); err != nil {
		return fmt.Errorf("cold %s: %w", s.dir, err)
	}
	return nil
}

func (s *Store) open() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db != nil || s.closed {
		return nil
	}
	cache := pebble.NewCache(4 << 20)
	defer cache.Unref()
	o := &pebble.Options{
		Cache: cache, Logger: pebbleLog{s.log}, DisableWAL: true, FormatMajorVersion: pebble.FormatNewest,
		MemTableSize: 4 << 20, MemTableStopWritesThreshold: 8, L0StopWritesThreshold: 1000, MaxOpenFiles: 128,
		CompactionConcurrencyRange: func() (int, int) { return 1, 1 },
	}
	db, err := pebble.Open(s.dir, o)
	if err != nil {
		return fmt.Errorf("cannot open: %w", err)
	}
	s.db = db
	return nil
}

// Close removes everything.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var err error
	if s.db != nil {
		err = s.db.Close()
		s.db = nil
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// Bytes is what the store takes on disk now.
func (s *Store) Bytes() (n uint64) {
	_ = s.use(false, func(db *pebble.DB) error { n = db.Metrics().DiskSpaceUsage(); return nil })
	return n
}

// Group is the part of the store that belongs to one table.
func (s *Store) Group(id uint32) session.Cold { return &group{s, id} }

type group struct {
	s  *Store
	id uint32
}

func (g *group) key(k string) []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(k)), g.id), k...)
}

const head = 8 + 4 // serial, checksum

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Put implements session.Cold.
func (g *group) Put(key string, serial uint64, value []byte) error {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, head+len(value)), serial)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(value, castagnoli))
	b = append(b, value...)
	return g.s.use(true, func(db *pebble.DB) error { return db.Set(g.key(key), b, pebble.NoSync) })
}

// open checks a record and takes it apart.
func open(key, b []byte) (serial uint64, value []byte, err error) {
	if len(b) < head || crc32.Checksum(b[head:], castagnoli) != binary.BigEndian.Uint32(b[8:]) {
		return 0, nil, fmt.Errorf("the value of %q is not what was written", key)
	}
	return binary.BigEndian.Uint64(b), b[head:], nil
}

// Get implements session.Cold.
func (g *group) Get(dst []byte, key string, serial uint64) ([]byte, error) {
	found := false
	err := g.s.use(false, func(db *pebble.DB) error {
		k := g.key(key)
		b, c, err := db.Get(k)
		if errors.Is(err, pebble.ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %q: %w", key, err)
		}
		defer c.Close()
		is, v, err := open(k[4:], b)
		if err == nil && is == serial {
			dst, found = append(dst, v...), true
		}
		return err
	})
	if err == nil && !found {
		err = session.ErrMoved
	}
	return dst, err
}

// Delete implements session.Cold.
func (g *group) Delete(key string) error {
	return g.s.use(false, func(db *pebble.DB) error { return db.Delete(g.key(key), pebble.NoSync) })
}

func (g *group) bounds() (lower, upper []byte) {
	return binary.BigEndian.AppendUint32(nil, g.id), binary.BigEndian.AppendUint32(nil, g.id+1)
}

// Each implements session.Cold.
func (g *group) Each(fn func(key []byte, serial uint64, value []byte) error) error {
	return g.s.use(false, func(db *pebble.DB) error {
		lower, upper := g.bounds()
		it, err := db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
		if err != nil {
			return err
		}
		for it.First(); it.Valid(); it.Next() {
			serial, v, err := open(it.Key()[4:], it.Value())
			if err == nil {
				err = fn(it.Key()[4:], serial, v)
			}
			if err != nil {
				return errors.Join(err, it.Close())
			}
		}
		return it.Close()
	})
}

// Reset implements session.Cold.
func (g *group) Reset() error {
	return g.s.use(false, func(db *pebble.DB) error {
		lower, upper := g.bounds()
		return db.DeleteRange(lower, upper, pebble.NoSync)
	})
}

// pebbleLog ends the process on what Pebble can't go on after: everything that
// was acknowledged is in the log.
type pebbleLog struct{ log *slog.Logger }

func (pebbleLog) Infof(string, ...any)           {}
func (l pebbleLog) Errorf(f string, args ...any) { l.log.Error("cold: " + fmt.Sprintf(f, args...)) }
func (l pebbleLog) Fatalf(f string, args ...any) {
	l.log.Error("cold: the disk of evicted sessions failed, the node ends: " + fmt.Sprintf(f, args...))
	os.Exit(1)
}
