package disk

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// recordFS records what a loss of power would leave of the files under root.
// The record outlives SIGKILL, as the page cache does; it need not outlive more,
// since it is there to say what a machine that lost its power had lost.
//
// It knows files by inode number. In the folder root + ".synced" are
//
//	names    a journal: which names are durable, and every create, link, rename
//	         and remove since, until its directory is synced
//	lengths  a slot of 16 bytes a file: inode, bytes that were synced; one pwrite
//	         after each fsync or fdatasync
//	removed  files that were removed or replaced, under their inode number, until
//	         that is durable
//
// An action is recorded after it happened. What SIGKILL keeps from being recorded
// counts as not durable, and is found by looking at root.
type recordFS struct {
	vfs.FS
	root string

	mu      sync.Mutex // also held while a directory is synced
	rec     record
	journal *os.File
	lengths *os.File
	slots   map[uint64]int64
	free    []int64
	end     int64 // first slot never used
}

func recordDir(root string) string   { return filepath.Clean(root) + ".synced" }
func removedDir(root string) string  { return filepath.Join(recordDir(root), "removed") }
func namesPath(root string) string   { return filepath.Join(recordDir(root), "names") }
func lengthsPath(root string) string { return filepath.Join(recordDir(root), "lengths") }

// lockName is the store's lock: not data, and it has to stay where it is.
const lockName = "LOCK"

// op is a change of names that is not durable yet.
type op struct {
	kind byte // opCreate, opLink, opRemove, opRename
	name string
	to   string // of a rename
	ino  uint64 // of a create or link
}

const (
	opDir     = 'I' // inode of root
	opDurable = 'D' // name, inode
	opLength  = 'L' // inode, synced length
	opCreate  = 'C' // name, inode
	opLink    = 'K' // name, inode
	opRemove  = 'R' // name
	opRename  = 'M' // name, name
	opSync    = 'S' // directory
	opForget  = 'F' // inode: the file is gone, its number free
)

// record is the state that the journal describes. Names are slash-separated
// and relative to root.
type record struct {
	dir     uint64            // inode of root
	durable map[string]uint64 // what a loss of power leaves
	current map[string]uint64 // what is there
	pending []op              // from durable to current
	synced  map[uint64]int64  // lengths, by inode
}

func newRecord(dir uint64) record {
	return record{dir: dir, durable: map[string]uint64{}, current: map[string]uint64{}, synced: map[uint64]int64{}}
}

func (o op) apply(names map[string]uint64) {
	switch o.kind {
	case opCreate, opLink:
		names[o.name] = o.ino
	case opRemove:
		delete(names, o.name)
	case opRename:
		if ino, ok := names[o.name]; ok {
			names[o.to] = ino
			delete(names, o.name)
		}
	}
}

func (o op) dir() string {
	if o.kind == opRename {
		return path.Dir(o.to)
	}
	return path.Dir(o.name)
}

func (r *record) add(o op) {
	o.apply(r.current)
	r.pending = append(r.pending, o)
	if o.kind == opCreate {
		r.synced[o.ino] = 0
	}
}

// sync makes the pending changes in dir durable.
func (r *record) sync(dir string) {
	r.pending = slices.DeleteFunc(r.pending, func(o op) bool {
		if o.dir() != dir {
			return false
		}
		o.apply(r.durable)
		return true
	})
}

// needed says whether a loss of power could bring a removed file back.
func (r *record) needed(ino uint64) bool {
	for _, o := range r.pending {
		if o.ino == ino {
			return true
		}
	}
	return holds(r.durable, ino)
}

func holds(names map[string]uint64, ino uint64) bool {
	for _, i := range names {
		if i == ino {
			return true
		}
	}
	return false
}

// line is one line of the journal: checksum, kind, fields.
func line(kind byte, fields ...any) []byte {
	b := []byte{kind}
	for _, f := range fields {
		b = append(b, ' ')
		switch f := f.(type) {
		case string:
			b = strconv.AppendQuote(b, f)
		case uint64:
			b = strconv.AppendUint(b, f, 10)
		case int64:
			b = strconv.AppendInt(b, f, 10)
		}
	}
	return append(fmt.Appendf(nil, "%08x ", crc32.Checksum(b, castagnoli)), append(b, '\n')...)
}

func (o op) line() []byte {
	switch o.kind {
	case opRemove:
		return line(o.kind, o.name)
	case opRename:
		return line(o.kind, o.name, o.to)
	}
	return line(o.kind, o.name, o.ino)
}

// replay applies a line of the journal.
func (r *record) replay(text string) error {
	want, body, _ := strings.Cut(text, " ")
	if got := fmt.Sprintf("%08x", crc32.Checksum([]byte(body), castagnoli)); got != want {
		return fmt.Errorf("line %q has checksum %s", text, got)
	}
	var names []string
	var nums []uint64
	for rest := body[1:]; rest != ""; {
		rest = strings.TrimPrefix(rest, " ")
		if q, err := strconv.QuotedPrefix(rest); err == nil {
			s, err := strconv.Unquote(q)
			if err != nil {
				return err
			}
			names, rest = append(names, s), rest[len(q):]
			continue
		}
		word, more, _ := strings.Cut(rest, " ")
		n, err := strconv.ParseUint(word, 10, 64)
		if err != nil {
			return err
		}
		nums, rest = append(nums, n), more
	}
	shape := string(body[0]) + strconv.Itoa(len(names)) + strconv.Itoa(len(nums))
	switch shape {
	case "I01":
		r.dir = nums[0]
	case "D11":
		r.durable[names[0]], r.current[names[0]] = nums[0], nums[0]
	case "L02":
		r.synced[nums[0]] = int64(nums[1])
	case "F01":
		delete(r.synced, nums[0])
	case "C11", "K11":
		r.add(op{kind: body[0], name: names[0], ino: nums[0]})
	case "R10":
		r.add(op{kind: body[0], name: names[0]})
	case "M20":
		r.add(op{kind: body[0], name: names[0], to: names[1]})
	case "S10":
		r.sync(names[0])
	default:
		return fmt.Errorf("line %q is of no known kind", text)
	}
	return nil
}

// readRecord reads the record of root and brings it up to what root holds now.
// The second result maps inodes to where the file lies.
func readRecord(root string) (record, map[uint64]string, error) {
	dir, err := inode(root)
	if err != nil {
		return record{}, nil, err
	}
	r := newRecord(0)
	data, err := os.ReadFile(namesPath(root))
	if err != nil {
		return r, nil, err
	}
	sc := bufio.NewScanner(bytes.NewReader(data))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		if err := r.replay(sc.Text()); err != nil {
			if !sc.Scan() {
				break // the last line was cut off by SIGKILL: it was never acknowledged
			}
			return r, nil, fmt.Errorf("%s: %w", namesPath(root), err)
		}
	}
	if r.dir != dir {
		return r, nil, fmt.Errorf("%s describes another folder than %s, which was replaced: %w", recordDir(root), root, fs.ErrNotExist)
	}
	slots, err := os.ReadFile(lengthsPath(root))
	if err != nil {
		return r, nil, err
	}
	for ; len(slots) >= slotSize; slots = slots[slotSize:] {
		ino, n := binary.LittleEndian.Uint64(slots), int64(binary.LittleEndian.Uint64(slots[8:]))
		r.synced[ino] = max(r.synced[ino], n)
	}
	found, err := filesUnder(root)
	if err != nil {
		return r, nil, err
	}
	where := map[uint64]string{}
	there := map[string]uint64{}
	for _, name := range found {
		p := filepath.Join(root, filepath.FromSlash(name))
		ino, err := inode(p)
		if err != nil {
			return r, nil, err
		}
		there[name], where[ino] = ino, p
	}
	removed, err := filesUnder(removedDir(root))
	if err != nil {
		return r, nil, err
	}
	for _, name := range removed {
		if ino, err := strconv.ParseUint(name, 10, 64); err == nil && where[ino] == "" {
			where[ino] = filepath.Join(removedDir(root), name)
		}
	}
	for _, name := range sortedNames(r.current) {
		if _, ok := there[name]; !ok {
			r.add(op{kind: opRemove, name: name})
		}
	}
	for _, name := range found {
		if r.current[name] != there[name] {
			r.add(op{kind: opLink, name: name, ino: there[name]})
		}
	}
	return r, where, nil
}

func sortedNames(m map[string]uint64) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// filesUnder lists the files below dir, sorted; none if there is no dir.
func filesUnder(dir string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if p == dir && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if rel != lockName {
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	})
	return names, err
}

// writeRecord replaces the journal of root by one that says r.
func writeRecord(root string, r record) error {
	var b []byte
	b = append(b, line(opDir, r.dir)...)
	for _, name := range sortedNames(r.durable) {
		b = append(b, line(opDurable, name, r.durable[name])...)
	}
	for _, o := range r.pending {
		b = append(b, o.line()...)
	}
	// Last, since a create resets the length.
	for ino, n := range r.synced {
		if holds(r.current, ino) || r.needed(ino) {
			b = append(b, line(opLength, ino, n)...)
		}
	}
	tmp := namesPath(root) + ".tmp"
	if err := os.WriteFile(tmp, b, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, namesPath(root))
}

// everything is the record of a folder whose whole content is durable.
func everything(root string) (record, error) {
	dir, err := inode(root)
	if err != nil {
		return record{}, err
	}
	r := newRecord(dir)
	names, err := filesUnder(root)
	if err != nil {
		return r, err
	}
	for _, name := range names {
		p := filepath.Join(root, filepath.FromSlash(name))
		ino, err := inode(p)
		if err != nil {
			return r, err
		}
		fi, err := os.Lstat(p)
		if err != nil {
			return r, err
		}
		r.durable[name], r.current[name], r.synced[ino] = ino, ino, fi.Size()
	}
	return r, nil
}

const slotSize = 16

// newRecordFS goes on with the record of root, or begins one in which all that
// is there is durable.
func newRecordFS(base vfs.FS, root string) (*recordFS, error) {
	f := &recordFS{FS: base, root: filepath.Clean(root), slots: map[uint64]int64{}}
	rec, where, err := readRecord(root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.RemoveAll(recordDir(root)); err != nil {
			return nil, err
		}
		if rec, err = everything(root); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	}
	if err := os.MkdirAll(removedDir(root), 0o755); err != nil {
		return nil, err
	}
	f.rec = rec
	if err := writeRecord(root, rec); err != nil {
		return nil, err
	}
	if f.lengths, err = os.OpenFile(lengthsPath(root), os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return nil, err
	}
	if f.journal, err = os.OpenFile(namesPath(root), os.O_WRONLY|os.O_APPEND, 0o644); err != nil {
		return nil, errors.Join(err, f.lengths.Close())
	}
	if err := f.readSlots(); err != nil {
		return nil, errors.Join(err, f.close())
	}
	for ino, p := range where {
		if path.Dir(filepath.ToSlash(p)) == filepath.ToSlash(removedDir(root)) {
			if err := f.forget(ino); err != nil {
				return nil, errors.Join(err, f.close())
			}
		}
	}
	return f, nil
}

// readSlots learns which slots are in use, and frees those of files that are
// gone: their inode numbers will come back.
func (f *recordFS) readSlots() error {
	data, err := os.ReadFile(lengthsPath(f.root))
	if err != nil {
		return err
	}
	for off := int64(0); off+slotSize <= int64(len(data)); off += slotSize {
		f.end = off + slotSize
		ino := binary.LittleEndian.Uint64(data[off:])
		if ino != 0 && (holds(f.rec.current, ino) || f.rec.needed(ino)) {
			f.slots[ino] = off
			continue
		}
		if err := f.putSlot(off, 0, 0); err != nil {
			return err
		}
		f.free = append(f.free, off)
	}
	return nil
}

func (f *recordFS) putSlot(off int64, ino uint64, n int64) error {
	var b [slotSize]byte
	binary.LittleEndian.PutUint64(b[:], ino)
	binary.LittleEndian.PutUint64(b[8:], uint64(n))
	_, err := f.lengths.WriteAt(b[:], off)
	return err
}

func (f *recordFS) close() error { return errors.Join(f.journal.Close(), f.lengths.Close()) }

// rel is the name of a path under root.
func (f *recordFS) rel(p string) (string, bool) {
	rel, err := filepath.Rel(f.root, p)
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return "", false
	}
	return filepath.ToSlash(rel), rel != lockName
}

func (f *recordFS) log(o op) error {
	f.rec.add(o)
	_, err := f.journal.Write(o.line())
	return err
}

// Unwrap implements vfs.FS.
func (f *recordFS) Unwrap() vfs.FS { return f.FS }

func (f *recordFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	rel, ok := f.rel(name)
	if !ok {
		return f.FS.Create(name, c)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.create(name, rel, c)
}

func (f *recordFS) create(name, rel string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if _, ok := f.rec.current[rel]; ok {
		if err := f.remove(name, rel); err != nil {
			return nil, err
		}
	}
	file, err := f.FS.Create(name, c)
	if err != nil {
		return nil, err
	}
	rf, err := f.track(name, rel, file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return rf, nil
}

// track begins the record of a new file.
func (f *recordFS) track(name, rel string, file vfs.File) (*recordFile, error) {
	ino, err := inode(name)
	if err != nil {
		return nil, err
	}
	f.rec.synced[ino] = 0
	off, err := f.slot(ino)
	if err != nil {
		return nil, err
	}
	if err := f.log(op{kind: opCreate, name: rel, ino: ino}); err != nil {
		return nil, err
	}
	return &recordFile{File: file, fs: f, ino: ino, slot: off}, nil
}

// slot returns a file's slot; a new one says that nothing is synced.
func (f *recordFS) slot(ino uint64) (int64, error) {
	if off, ok := f.slots[ino]; ok {
		return off, nil
	}
	off := f.end
	if n := len(f.free); n > 0 {
		off, f.free = f.free[n-1], f.free[:n-1]
	} else {
		f.end += slotSize
	}
	if err := f.putSlot(off, ino, f.rec.synced[ino]); err != nil {
		return 0, err
	}
	f.slots[ino] = off
	return off, nil
}

func (f *recordFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	rel, ok := f.rel(name)
	if !ok {
		return f.FS.OpenReadWrite(name, c, opts...)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.rec.current[rel]; !ok {
		return f.create(name, rel, c)
	}
	file, err := f.FS.OpenReadWrite(name, c, opts...)
	if err != nil {
		return nil, err
	}
	fi, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	ino := f.rec.current[rel]
	off, err := f.slot(ino)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	rf := &recordFile{File: file, fs: f, ino: ino, slot: off}
	rf.size.Store(fi.Size())
	return rf, nil
}

// ReuseForWrite never writes over old bytes: what of them a loss of power would
// leave is beyond this record.
func (f *recordFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.Create(newname, c)
	if err != nil {
		return nil, err
	}
	if err := f.Remove(oldname); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func (f *recordFS) Link(oldname, newname string) error {
	rel, ok := f.rel(newname)
	if !ok {
		return f.FS.Link(oldname, newname)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.FS.Link(oldname, newname); err != nil {
		return err
	}
	ino, err := inode(newname)
	if err != nil {
		return err
	}
	return f.log(op{kind: opLink, name: rel, ino: ino})
}

func (f *recordFS) Remove(name string) error {
	rel, ok := f.rel(name)
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known := f.rec.current[rel]; !ok || !known {
		return f.FS.Remove(name)
	}
	return f.remove(name, rel)
}

func (f *recordFS) remove(name, rel string) error {
	if err := f.setAside(name, rel); err != nil {
		return err
	}
	return f.log(op{kind: opRemove, name: rel})
}

// setAside takes a file out of root and keeps it, unless it has another name.
func (f *recordFS) setAside(name, rel string) error {
	ino := f.rec.current[rel]
	links := 0
	for _, i := range f.rec.current {
		if i == ino {
			links++
		}
	}
	if links > 1 {
		return f.FS.Remove(name)
	}
	return os.Rename(name, filepath.Join(removedDir(f.root), strconv.FormatUint(ino, 10)))
}

// forget removes a file for good if no loss of power could bring it back.
func (f *recordFS) forget(ino uint64) error {
	if f.rec.needed(ino) || holds(f.rec.current, ino) {
		return nil
	}
	if off, ok := f.slots[ino]; ok { // first: its number may be another file's next
		if err := f.putSlot(off, 0, 0); err != nil {
			return err
		}
		delete(f.slots, ino)
		f.free = append(f.free, off)
	}
	delete(f.rec.synced, ino)
	if _, err := f.journal.Write(line(opForget, ino)); err != nil {
		return err
	}
	err := os.Remove(filepath.Join(removedDir(f.root), strconv.FormatUint(ino, 10)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (f *recordFS) RemoveAll(name string) error {
	rel, ok := f.rel(name)
	if !ok {
		return f.FS.RemoveAll(name)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range sortedNames(f.rec.current) {
		if n == rel || strings.HasPrefix(n, rel+"/") {
			if err := f.remove(filepath.Join(f.root, filepath.FromSlash(n)), n); err != nil {
				return err
			}
		}
	}
	return f.FS.RemoveAll(name)
}

func (f *recordFS) Rename(oldname, newname string) error {
	from, ok := f.rel(oldname)
	to, ok2 := f.rel(newname)
	if !ok || !ok2 {
		return f.FS.Rename(oldname, newname)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if ino, ok := f.rec.current[to]; ok && ino != f.rec.current[from] {
		if err := f.setAside(newname, to); err != nil {
			return err
		}
	}
	if err := f.FS.Rename(oldname, newname); err != nil {
		return err
	}
	return f.log(op{kind: opRename, name: from, to: to})
}

func (f *recordFS) OpenDir(name string) (vfs.File, error) {
	d, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	rel, ok := f.rel(name)
	if !ok {
		return d, nil
	}
	return &recordedDir{File: d, fs: f, rel: rel}, nil
}

// recordFile is a file that is written. Pebble writes and syncs it from one
// goroutine at a time.
type recordFile struct {
	vfs.File
	fs   *recordFS
	ino  uint64
	slot int64
	size atomic.Int64 // written so far
}

func (f *recordFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.size.Add(int64(n))
	return n, err
}

func (f *recordFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	for end := off + int64(n); ; {
		old := f.size.Load()
		if old >= end || f.size.CompareAndSwap(old, end) {
			return n, err
		}
	}
}

func (f *recordFile) Sync() error     { return f.synced(f.File.Sync) }
func (f *recordFile) SyncData() error { return f.synced(f.File.SyncData) }

func (f *recordFile) synced(sync func() error) error {
	n := f.size.Load()
	if err := sync(); err != nil {
		return err
	}
	return f.fs.putSlot(f.slot, f.ino, n)
}

// SyncTo promises nothing, unless it says that it synced everything.
func (f *recordFile) SyncTo(length int64) (bool, error) {
	n := f.size.Load()
	full, err := f.File.SyncTo(length)
	if err != nil || !full {
		return full, err
	}
	return full, f.fs.putSlot(f.slot, f.ino, n)
}

type recordedDir struct {
	vfs.File
	fs  *recordFS
	rel string
}

func (d *recordedDir) Sync() error     { return d.synced(d.File.Sync) }
func (d *recordedDir) SyncData() error { return d.synced(d.File.SyncData) }

func (d *recordedDir) synced(sync func() error) error {
	f := d.fs
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := sync(); err != nil {
		return err
	}
	f.rec.sync(d.rel)
	if _, err := f.journal.Write(line(opSync, d.rel)); err != nil {
		return err
	}
	gone, err := filesUnder(removedDir(f.root))
	if err != nil {
		return err
	}
	for _, name := range gone {
		ino, err := strconv.ParseUint(name, 10, 64)
		if err != nil {
			continue
		}
		if err := f.forget(ino); err != nil {
			return err
		}
	}
	return nil
}
