package history

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Writer makes the record of one run. All its methods are safe for concurrent
// use. It owns one goroutine, which ends with Close.
type Writer struct {
	dir     string
	bounds  bounds
	epoch   time.Time
	opt     options
	wake    chan struct{} // the buffer is worth writing
	stop    chan struct{}
	stopped chan struct{}

	closing  sync.Once
	closeErr error

	// mu guards what Record touches; nothing waits for the disk under it.
	mu      sync.Mutex
	room    sync.Cond // the buffer was taken, or will not be needed any more
	buf     []byte    // blocks, the headers still blank
	ops     int       // in buf
	trial   int
	closed  bool
	late    uint64 // operations and events that came after Close
	err     error  // the first one; nothing is written after it
	dropped uint64 // operations and events not recorded because of err

	// io guards the segment. It is taken before mu.
	io      sync.Mutex
	spare   []byte // the buffer that is not in use
	file    file   // nil before the first trial
	id      segmentID
	size    int64
	written uint64 // operations of the trial

	evMu   sync.Mutex // taken before mu
	events file
}

// file is what a Writer needs of *os.File.
type file interface {
	Write([]byte) (int, error)
	Sync() error
	Close() error
}

// options are the sizes and the disk, for tests.
type options struct {
	create   func(path string) (file, error)
	segment  int64         // bytes at which a segment is ended
	interval time.Duration // at most this long in memory
	batch    int           // bytes in memory that are worth a write before the interval is over
	pending  int           // bytes in memory above which Record waits for the disk
}

func defaults() options {
	return options{
		create: func(path string) (file, error) {
			return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		},
		segment:  segmentBytes,
		interval: 100 * time.Millisecond,
		batch:    512 << 10,
		pending:  16 << 20,
	}
}

// CreateDir begins the record of a run in dir, which is made if it is missing
// and may hold anything but another record. The run's epoch is now.
func CreateDir(dir string, m Manifest) (*Writer, error) { return create(dir, m, defaults()) }

func create(dir string, m Manifest, opt options) (_ *Writer, err error) {
	w := &Writer{
		dir:     dir,
		bounds:  m.bounds(),
		epoch:   time.Now(),
		opt:     opt,
		wake:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
		buf:     make([]byte, 0, 2*opt.batch),
		spare:   make([]byte, 0, 2*opt.batch),
	}
	w.room.L = &w.mu
	if m.Schema == "" {
		m.Schema = manifestSchema
	}
	if m.Started.IsZero() {
		m.Started = w.epoch.UTC()
	}
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("record a run in %s: manifest: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("record a run: %w", err)
	}
	// Making this folder is what claims dir: of two writers one succeeds.
	segments := filepath.Join(dir, SegmentsDir)
	if err := os.Mkdir(segments, 0o755); err != nil {
		return nil, occupied(dir, err)
	}
	defer func() {
		if err != nil {
			os.Remove(segments)
		}
	}()
	for _, name := range []string{ManifestFile, OperationsFile} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return nil, occupied(dir, fs.ErrExist)
		}
	}
	events := filepath.Join(dir, EventsFile)
	if w.events, err = opt.create(events); err != nil {
		return nil, occupied(dir, err)
	}
	if err := writeManifest(dir, &m); err != nil {
		w.events.Close()
		os.Remove(events)
		return nil, fmt.Errorf("record a run in %s: %w", dir, err)
	}
	go w.flusher()
	return w, nil
}

func occupied(dir string, err error) error {
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("record a run in %s: it holds a record already; name another folder (--out)", dir)
	}
	return fmt.Errorf("record a run in %s: %w", dir, err)
}

// Now is the time since the run's epoch, on a clock that only goes forward.
func (w *Writer) Now() time.Duration { return time.Since(w.epoch) }

// StartTrial ends the record of the trial before, puts it on disk, and begins
// trial n; they are numbered from 1 without a gap. No operation can be recorded
// before the first.
func (w *Writer) StartTrial(n int) error {
	w.io.Lock()
	defer w.io.Unlock()
	w.mu.Lock()
	if w.closed || n != w.trial+1 {
		defer w.mu.Unlock()
		if w.closed {
			return fmt.Errorf("start trial %d in the record %s: it is closed", n, w.dir)
		}
		return fmt.Errorf("start trial %d in the record %s: the next one is %d", n, w.dir, w.trial+1)
	}
	full := w.take()
	w.trial = n // whoever records from here on finds the other buffer
	w.mu.Unlock()

	w.write(full)
	w.finish()
	w.check(w.begin(segmentID{n, 1}, 0), 0)
	return w.Err()
}

// Record keeps the operations, in their order. It copies them and does not
// wait for the disk, unless that is 16 MiB behind. It panics on an operation
// that breaks an invariant ([Op.Validate], and the manifest's indexes), and
// before the first StartTrial. What went wrong with the disk is in Err.
func (w *Writer) Record(ops []Op) {
	for i := range ops {
		if err := w.bounds.check(&ops[i]); err != nil {
			panic("history: recording " + invalid(&ops[i], err).Error())
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.trial == 0 {
		panic("history: recording an operation before the first trial was started")
	}
	for len(w.buf) >= w.opt.pending && w.err == nil && !w.closed {
		w.wakeFlusher()
		w.room.Wait()
	}
	switch {
	case w.err != nil:
		w.dropped += uint64(len(ops))
		return
	case w.closed:
		w.late += uint64(len(ops))
		return
	}
	before := len(w.buf)
	for i := range ops {
		if w.ops%blockOps == 0 {
			w.buf = append(w.buf, blankBlockHeader[:]...)
		}
		w.buf = appendRecord(w.buf, &ops[i])
		w.ops++
	}
	if before < w.opt.batch && len(w.buf) >= w.opt.batch {
		w.wakeFlusher()
	}
}

var blankBlockHeader [blockHeaderSize]byte

func (w *Writer) wakeFlusher() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Event keeps an event; At 0 is now, Trial 0 the one that was started last. The
// operating system has it when Event returns. An event of more than 1 MiB is
// cut. It panics on a negative At or Trial.
func (w *Writer) Event(e Event) {
	if err := e.validate(); err != nil {
		panic("history: recording " + err.Error())
	}
	w.evMu.Lock()
	defer w.evMu.Unlock()
	if !w.admit(&e) {
		return
	}
	if e.At == 0 {
		e.At = w.Now()
	}
	line, err := encodeEvent(&e)
	if err == nil {
		_, err = w.events.Write(line)
	}
	if err != nil {
		w.check(fmt.Errorf("write %s: %w", EventsFile, err), 1)
	}
}

// admit gives the event its trial and says whether it can be recorded.
func (w *Writer) admit(e *Event) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Trial == 0 {
		e.Trial = w.trial
	}
	switch {
	case w.err != nil:
		w.dropped++
		return false
	case w.closed:
		w.late++
		return false
	}
	return true
}

// Err is the first error of the Writer, with the number of operations and
// events that are missing because of it so far. Once there is one, nothing more
// is recorded: a reader sees a record that was cut off there, not one with a hole.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.err != nil && w.dropped > 0:
		return fmt.Errorf("record the run in %s: %w; %d operations and events are missing: mend that and run again", w.dir, w.err, w.dropped)
	case w.err != nil:
		return fmt.Errorf("record the run in %s: %w; mend that and run again", w.dir, w.err)
	case w.late > 0:
		return fmt.Errorf("record the run in %s: %d operations and events came after it was closed", w.dir, w.late)
	}
	return nil
}

// check makes err, if it is one, the Writer's, and counts what is lost with it.
func (w *Writer) check(err error, lost int) {
	if err == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	w.dropped += uint64(lost)
	w.room.Broadcast()
}

func (w *Writer) broken() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err != nil
}

// Sync returns once everything recorded before is on disk.
func (w *Writer) Sync() error {
	w.io.Lock()
	w.flush()
	if w.file != nil && !w.broken() {
		if err := w.file.Sync(); err != nil {
			w.check(fmt.Errorf("sync %s: %w", w.id.name(), err), 0)
		}
	}
	w.io.Unlock()
	w.evMu.Lock()
	defer w.evMu.Unlock()
	w.mu.Lock()
	skip := w.closed || w.err != nil
	w.mu.Unlock()
	if !skip {
		if err := w.events.Sync(); err != nil {
			w.check(fmt.Errorf("sync %s: %w", EventsFile, err), 0)
		}
	}
	return w.Err()
}

// Close completes the record and puts it on disk. Whoever records must have
// stopped: what comes later is not recorded, and Err says so. Close again
// returns the same.
func (w *Writer) Close() error {
	w.closing.Do(func() {
		close(w.stop)
		<-w.stopped
		w.io.Lock()
		w.mu.Lock()
		w.closed = true
		full := w.take()
		w.room.Broadcast()
		w.mu.Unlock()
		w.write(full)
		w.finish()
		w.io.Unlock()

		w.evMu.Lock()
		err := w.events.Sync()
		if cerr := w.events.Close(); err == nil {
			err = cerr
		}
		w.evMu.Unlock()
		if err != nil {
			w.check(fmt.Errorf("close %s: %w", EventsFile, err), 0)
		}
		w.closeErr = w.Err()
	})
	return w.closeErr
}

// flusher writes what was recorded, at the latest after the interval.
func (w *Writer) flusher() {
	defer close(w.stopped)
	tick := time.NewTicker(w.opt.interval)
	defer tick.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-tick.C:
		case <-w.wake:
		}
		w.io.Lock()
		w.flush()
		w.io.Unlock()
	}
}

// batch is a buffer that was taken from Record.
type batch struct {
	buf []byte
	ops int
}

// take swaps the buffers. It needs io and mu, and write after it.
func (w *Writer) take() batch {
	b := batch{w.buf, w.ops}
	if b.ops > 0 {
		w.buf, w.spare, w.ops = w.spare[:0], nil, 0
		w.room.Broadcast()
	}
	return b
}

// flush writes what is in memory. It needs io.
func (w *Writer) flush() {
	w.mu.Lock()
	b := w.take()
	w.mu.Unlock()
	w.write(b)
}

// write appends a batch to the trial's segments and keeps its buffer for the
// next. It needs io.
func (w *Writer) write(b batch) {
	if b.ops == 0 {
		return
	}
	w.spare = b.buf[:0]
	if w.broken() {
		w.check(errors.New("broken before"), b.ops)
		return
	}
	saved, err := w.writeBlocks(b)
	w.check(err, b.ops-saved)
}

func (w *Writer) writeBlocks(b batch) (saved int, err error) {
	for rest := b.buf; saved < b.ops; {
		// As many blocks as fit the segment go in one write.
		ops, size := 0, 0
		for saved+ops < b.ops {
			n := min(b.ops-saved-ops, blockOps)
			end := size + blockHeaderSize + n*recordSize
			full := w.size+int64(end) > w.opt.segment-blockHeaderSize
			if empty := w.size+int64(size) <= headerSize; full && !empty {
				break
			}
			sealBlock(rest[size:end], tagOps, w.written+uint64(ops))
			ops, size = ops+n, end
		}
		if ops == 0 {
			if err := w.rotate(); err != nil {
				return saved, err
			}
			continue
		}
		if n, err := w.append(rest[:size]); err != nil {
			// All blocks but the last are full: those that fit can be read.
			return saved + n/(blockHeaderSize+maxBlock)*blockOps, err
		}
		saved += ops
		w.written += uint64(ops)
		rest = rest[size:]
	}
	return saved, nil
}

func (w *Writer) append(b []byte) (int, error) {
	n, err := w.file.Write(b)
	w.size += int64(n)
	if err != nil {
		return n, fmt.Errorf("write %s: %w", w.id.name(), err)
	}
	return n, nil
}

func (w *Writer) begin(id segmentID, first uint64) error {
	if w.broken() {
		return nil
	}
	f, err := w.opt.create(filepath.Join(w.dir, SegmentsDir, id.name()))
	if err != nil {
		return fmt.Errorf("make %s: %w", id.name(), err)
	}
	w.file, w.id, w.size, w.written = f, id, 0, first
	_, err = w.append(appendHeader(nil, id, first))
	return err
}

// end marks the segment as complete and closes it.
func (w *Writer) end(tag uint32, sync bool) error {
	f := w.file
	w.file = nil
	b := make([]byte, blockHeaderSize)
	sealBlock(b, tag, w.written)
	_, err := f.Write(b)
	if err == nil && sync {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("complete %s: %w", w.id.name(), err)
	}
	return nil
}

// rotate goes on in the next segment. It does not sync: see the package's promise.
func (w *Writer) rotate() error {
	if err := w.end(tagNext, false); err != nil {
		return err
	}
	return w.begin(segmentID{w.id.trial, w.id.segment + 1}, w.written)
}

// finish ends the trial, if there is one. It needs io.
func (w *Writer) finish() {
	switch {
	case w.file == nil:
	case w.broken():
		w.file.Close() // without a mark: a reader must see that the rest is missing
		w.file = nil
	default:
		w.check(w.end(tagEnd, true), 0)
	}
}
