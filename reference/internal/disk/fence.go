package disk

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
)

// fencedFS counts and times the syncs, and ends the store at the first write,
// sync or create that fails. From then on nobody comes through: Pebble would
// panic on some errors and try again on others, and what is left of its
// background must not touch files that a restarted store may own.
type fencedFS struct {
	vfs.FS
	fail   func(error)
	fenced atomic.Bool

	syncs, written atomic.Uint64
	latency        prometheus.Histogram
}

func newFencedFS(fs vfs.FS, fail func(error)) *fencedFS {
	return &fencedFS{FS: fs, fail: fail, latency: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "fivenines_disk_sync_seconds", Help: "Latency of fsync and fdatasync.",
		Buckets: prometheus.ExponentialBuckets(50e-6, 2, 18),
	})}
}

func (f *fencedFS) fence() { f.fenced.Store(true) }

// enter parks whoever wants to change something on a failed disk.
func (f *fencedFS) enter() {
	if f.fenced.Load() {
		park()
	}
}

// leave ends the store if the operation could not be done.
func (f *fencedFS) leave(op, name string, err error) {
	if err != nil {
		f.fail(fmt.Errorf("%s %s: %w", op, filepath.Base(name), err))
		park()
	}
}

// Unwrap implements vfs.FS.
func (f *fencedFS) Unwrap() vfs.FS { return f.FS }

// Lock grants the lock that the store itself holds.
func (f *fencedFS) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

func (f *fencedFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f.enter()
	file, err := f.FS.Create(name, c)
	f.leave("create", name, err)
	return f.wrap(name, file), nil
}

func (f *fencedFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f.enter()
	file, err := f.FS.OpenReadWrite(name, c, opts...)
	f.leave("open", name, err)
	return f.wrap(name, file), nil
}

func (f *fencedFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f.enter()
	file, err := f.FS.ReuseForWrite(oldname, newname, c)
	f.leave("create", newname, err)
	return f.wrap(newname, file), nil
}

func (f *fencedFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return f.wrap(name, file), nil
}

func (f *fencedFS) Link(oldname, newname string) error {
	f.enter()
	f.leave("link", newname, f.FS.Link(oldname, newname))
	return nil
}

func (f *fencedFS) Rename(oldname, newname string) error {
	f.enter()
	f.leave("rename", newname, f.FS.Rename(oldname, newname))
	return nil
}

func (f *fencedFS) MkdirAll(dir string, perm os.FileMode) error {
	f.enter()
	f.leave("create folder", dir, f.FS.MkdirAll(dir, perm))
	return nil
}

// Remove may fail: Pebble lives with it, and there may be nothing to remove.
func (f *fencedFS) Remove(name string) error {
	f.enter()
	return f.FS.Remove(name)
}

func (f *fencedFS) RemoveAll(name string) error {
	f.enter()
	return f.FS.RemoveAll(name)
}

func (f *fencedFS) wrap(name string, file vfs.File) vfs.File {
	return &fencedFile{File: file, fs: f, name: name}
}

type fencedFile struct {
	vfs.File
	fs   *fencedFS
	name string
}

func (f *fencedFile) Write(p []byte) (int, error) {
	f.fs.enter()
	n, err := f.File.Write(p)
	f.fs.written.Add(uint64(n))
	f.fs.leave("write", f.name, err)
	return n, nil
}

func (f *fencedFile) WriteAt(p []byte, off int64) (int, error) {
	f.fs.enter()
	n, err := f.File.WriteAt(p, off)
	f.fs.written.Add(uint64(n))
	f.fs.leave("write", f.name, err)
	return n, nil
}

func (f *fencedFile) Sync() error     { return f.sync(f.File.Sync) }
func (f *fencedFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *fencedFile) sync(fn func() error) error {
	f.fs.enter()
	start := time.Now()
	f.fs.leave("sync", f.name, fn())
	f.fs.latency.Observe(time.Since(start).Seconds())
	f.fs.syncs.Add(1)
	return nil
}

func (f *fencedFile) SyncTo(n int64) (bool, error) {
	f.fs.enter()
	full, err := f.File.SyncTo(n)
	f.fs.leave("sync", f.name, err)
	return full, nil
}

// Preallocate only helps: a disk without it or without room for it still works.
func (f *fencedFile) Preallocate(off, n int64) error {
	f.fs.enter()
	return f.File.Preallocate(off, n)
}
