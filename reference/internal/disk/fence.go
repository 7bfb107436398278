package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
)

var errFenced = errors.New("the store has failed: nothing more is written")

// fencedFS reports the first write, sync or create that fails, counts and times the
// syncs, and, once fenced, changes nothing any more: the background work of a
// failed Pebble must not touch files that a restarted store may own.
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

// check turns an operation that could not be done into the store's end.
func (f *fencedFS) check(op, name string, err error) error {
	if err != nil && !f.fenced.Load() {
		f.fail(fmt.Errorf("%s %s: %w", op, filepath.Base(name), err))
	}
	return err
}

// Unwrap implements vfs.FS.
func (f *fencedFS) Unwrap() vfs.FS { return f.FS }

// change runs an operation that alters names.
func (f *fencedFS) change(op, name string, fn func() error) error {
	if f.fenced.Load() {
		return errFenced
	}
	return f.check(op, name, fn())
}

func (f *fencedFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	var file vfs.File
	err := f.change("create", name, func() (err error) { file, err = f.FS.Create(name, c); return err })
	return f.wrap(name, file), err
}

func (f *fencedFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	var file vfs.File
	err := f.change("open", name, func() (err error) { file, err = f.FS.OpenReadWrite(name, c, opts...); return err })
	return f.wrap(name, file), err
}

func (f *fencedFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	var file vfs.File
	err := f.change("reuse", newname, func() (err error) { file, err = f.FS.ReuseForWrite(oldname, newname, c); return err })
	return f.wrap(newname, file), err
}

func (f *fencedFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	return f.wrap(name, file), err
}

func (f *fencedFS) Link(oldname, newname string) error {
	return f.change("link", newname, func() error { return f.FS.Link(oldname, newname) })
}

func (f *fencedFS) Rename(oldname, newname string) error {
	return f.change("rename", newname, func() error { return f.FS.Rename(oldname, newname) })
}

func (f *fencedFS) MkdirAll(dir string, perm os.FileMode) error {
	return f.change("create folder", dir, func() error { return f.FS.MkdirAll(dir, perm) })
}

// Remove does not end the store where it fails: Pebble can live with it.
func (f *fencedFS) Remove(name string) error {
	if f.fenced.Load() {
		return errFenced
	}
	return f.FS.Remove(name)
}

func (f *fencedFS) RemoveAll(name string) error {
	if f.fenced.Load() {
		return errFenced
	}
	return f.FS.RemoveAll(name)
}

func (f *fencedFS) wrap(name string, file vfs.File) vfs.File {
	if file == nil {
		return nil
	}
	return &fencedFile{File: file, fs: f, name: name}
}

type fencedFile struct {
	vfs.File
	fs   *fencedFS
	name string
}

func (f *fencedFile) Write(p []byte) (int, error) {
	if f.fs.fenced.Load() {
		return 0, errFenced
	}
	n, err := f.File.Write(p)
	f.fs.written.Add(uint64(n))
	return n, f.fs.check("write", f.name, err)
}

func (f *fencedFile) WriteAt(p []byte, off int64) (int, error) {
	if f.fs.fenced.Load() {
		return 0, errFenced
	}
	n, err := f.File.WriteAt(p, off)
	f.fs.written.Add(uint64(n))
	return n, f.fs.check("write", f.name, err)
}

func (f *fencedFile) Sync() error     { return f.sync(f.File.Sync) }
func (f *fencedFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *fencedFile) sync(fn func() error) error {
	if f.fs.fenced.Load() {
		return errFenced
	}
	start := time.Now()
	err := f.fs.check("sync", f.name, fn())
	f.fs.latency.Observe(time.Since(start).Seconds())
	f.fs.syncs.Add(1)
	return err
}

func (f *fencedFile) SyncTo(n int64) (bool, error) {
	if f.fs.fenced.Load() {
		return false, errFenced
	}
	full, err := f.File.SyncTo(n)
	return full, f.fs.check("sync", f.name, err)
}

func (f *fencedFile) Preallocate(off, n int64) error {
	if f.fs.fenced.Load() {
		return errFenced
	}
	return f.File.Preallocate(off, n)
}
