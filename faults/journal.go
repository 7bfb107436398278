package faults

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/internal/procfs"
)

// Journal is the undo journal of one run: what it broke and has not mended
// yet, on disk before it is broken, so that a later process can undo it if
// this one is killed. The file's lock says that its owner lives.
type Journal struct {
	mu   sync.Mutex
	f    *os.File
	name string
	last int
	open map[int]string // faults asked for and not undone
	err  error          // of the first write that failed
}

// entry is one line of a journal.
type entry struct {
	Op    string             `json:"op"` // open, deployed, asked, undone
	At    time.Time          `json:"at"`
	Boot  string             `json:"boot,omitempty"`
	PID   int                `json:"pid,omitempty"`
	ID    int                `json:"id,omitempty"`
	Fault string             `json:"fault,omitempty"`
	Undo  *fixtures.UndoInfo `json:"undo,omitempty"`
}

// JournalDir is where journals lie by default.
func JournalDir() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("fivenines-%d", os.Getuid()), "journal")
}

// OpenJournal begins the journal of this run. An empty dir is [JournalDir].
func OpenJournal(dir string) (*Journal, error) {
	if dir == "" {
		dir = JournalDir()
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("undo journal: %w", err)
	}
	// It is locked before it has the name under which Recover looks for it.
	f, err := os.CreateTemp(dir, "new-*")
	if err != nil {
		return nil, fmt.Errorf("undo journal: %w", err)
	}
	name := filepath.Join(dir, fmt.Sprintf("%d-%d.jsonl", os.Getpid(), time.Now().UnixNano()))
	if err := errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), os.Rename(f.Name(), name)); err != nil {
		f.Close()
		os.Remove(f.Name())
		return nil, fmt.Errorf("undo journal %s: %w", name, err)
	}
	j := &Journal{f: f, name: name, open: map[int]string{}}
	if err := j.append(entry{Op: "open", PID: os.Getpid(), Boot: procfs.BootID()}); err != nil {
		f.Close()
		os.Remove(name)
		return nil, err
	}
	return j, nil
}

// append writes a line and waits until it is on disk. j.mu is held, or j is new.
func (j *Journal) append(e entry) error {
	if j.err != nil {
		return j.err
	}
	e.At = time.Now()
	b, err := json.Marshal(e)
	if err == nil {
		_, err = j.f.Write(append(b, '\n'))
	}
	if err == nil {
		err = j.f.Sync()
	}
	if err != nil {
		// A line that may be torn must not be followed by another.
		j.err = fmt.Errorf("undo journal %s: %w", j.name, err)
	}
	return j.err
}

// Deployed notes what runs, and is called again whenever that has changed.
func (j *Journal) Deployed(d fixtures.Deployment) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	undo := d.Undo()
	return j.append(entry{Op: "deployed", Undo: &undo})
}

// Asked notes a fault before it is injected. The number is for Undone.
func (j *Journal) Asked(f Fault, d fixtures.Deployment) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	undo := d.Undo()
	j.last++
	if err := j.append(entry{Op: "asked", ID: j.last, Fault: f.String(), Undo: &undo}); err != nil {
		return 0, err
	}
	j.open[j.last] = f.String()
	return j.last, nil
}

// Undone notes that a fault is undone.
func (j *Journal) Undone(id int, d fixtures.Deployment) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, ok := j.open[id]; !ok {
		return fmt.Errorf("undo journal %s: fault %d was never asked for, or is undone already", j.name, id)
	}
	undo := d.Undo()
	if err := j.append(entry{Op: "undone", ID: id, Undo: &undo}); err != nil {
		return err
	}
	delete(j.open, id)
	return nil
}

// Close ends the journal once the deployment is down: nothing is left to undo
// then, so the file goes.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.f == nil {
		return nil
	}
	// Removed while it is locked: nobody can take it for one that was left.
	err := os.Remove(j.name)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	err = errors.Join(err, j.f.Close())
	j.f, j.err = nil, errors.New("undo journal: is closed")
	return err
}

// Recovered is what was found of a run that was killed.
type Recovered struct {
	Journal string
	Owner   int      // its process id
	Faults  []string // asked for and not undone
	Killed  []string // nodes whose process was still there, or what a backend removed
	Backend string   // on which it ran
}

func (r Recovered) String() string {
	s := fmt.Sprintf("run of process %d, which was killed", r.Owner)
	if len(r.Faults) > 0 {
		s += ", left " + strings.Join(r.Faults, ", ")
	}
	if len(r.Killed) > 0 {
		s += "; ended " + strings.Join(r.Killed, ", ")
	}
	return s
}

// Recover undoes what runs left whose process is gone. Journals whose owner
// lives are left alone. An empty dir is [JournalDir].
//
// Links live in the process that cut them and are gone with it; what can be
// left are processes, known by id and start time, of this boot, and what the
// backend that the run used can reap. reapers are those backends by name; a
// journal that needs one that is not among them is left as it is.
func Recover(ctx context.Context, dir string, reapers map[string]fixtures.Reaper) ([]Recovered, error) {
	if dir == "" {
		dir = JournalDir()
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return nil, err
	}
	var all []Recovered
	var errs []error
	for _, name := range files {
		r, err := recoverOne(ctx, name, reapers)
		if err != nil {
			errs = append(errs, fmt.Errorf("undo journal %s: %w", name, err))
		}
		if r != nil {
			all = append(all, *r)
		}
	}
	return all, errors.Join(errs...)
}

// recoverOne returns nil if the journal has an owner.
func recoverOne(ctx context.Context, name string, reapers map[string]fixtures.Reaper) (*Recovered, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // its owner ended meanwhile
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && (int(st.Uid) != os.Getuid() || info.Mode().Perm()&0o022 != 0) {
		return nil, errors.New("is not ours alone; look at it and remove it by hand")
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink == 0 {
		return nil, nil // its owner ended after we opened it
	}
	entries, err := readEntries(f)
	if err != nil {
		return nil, err
	}
	r := &Recovered{Journal: name}
	type proc struct {
		node  string
		pid   int
		start int64
	}
	procs := map[proc]bool{}
	pending := map[int]string{}
	boot := ""
	for _, e := range entries {
		switch e.Op {
		case "open":
			r.Owner, boot = e.PID, e.Boot
		case "asked":
			pending[e.ID] = e.Fault
		case "undone":
			delete(pending, e.ID)
		}
		if e.Undo != nil {
			r.Backend = e.Undo.Backend
		}
		if e.Undo != nil && processes(e.Undo.Backend) {
			for n, pid := range e.Undo.Procs {
				procs[proc{n, pid, e.Undo.Started[n]}] = true
			}
		}
	}
	for _, text := range pending {
		r.Faults = append(r.Faults, text)
	}
	slices.Sort(r.Faults)
	if boot == procfs.BootID() {
		var left []proc
		for p := range procs {
			if alive(p.pid, p.start) {
				if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
					return r, fmt.Errorf("node %s, process %d: %w", p.node, p.pid, err)
				}
				left = append(left, p)
				r.Killed = append(r.Killed, p.node)
			}
		}
		slices.Sort(r.Killed)
		for _, p := range left {
			for alive(p.pid, p.start) {
				select {
				case <-time.After(5 * time.Millisecond):
				case <-ctx.Done():
					return r, fmt.Errorf("node %s, process %d does not end: %w", p.node, p.pid, ctx.Err())
				}
			}
		}
	}
	if !processes(r.Backend) {
		reaper := reapers[r.Backend]
		if reaper == nil {
			return nil, nil // another program's, with a backend of its own
		}
		removed, err := reaper.Reap(ctx)
		r.Killed = append(r.Killed, removed...)
		if err != nil {
			return r, err
		}
	}
	return r, os.Remove(name)
}

// processes says whether a backend's nodes are processes of this machine that
// end by their id, or functions in the process that is gone.
func processes(backend string) bool {
	return backend == "" || backend == "process" || backend == "in-process"
}

// alive says whether the process with this id is the one that started then.
func alive(pid int, start int64) bool {
	if pid <= 1 || start == 0 {
		return false
	}
	s, err := procfs.Read(pid)
	return err == nil && !s.Gone() && s.Start == start
}

// readEntries reads what is whole: a journal ends where its owner was killed.
func readEntries(f *os.File) ([]entry, error) {
	var all []entry
	s := bufio.NewScanner(f)
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		var e entry
		d := json.NewDecoder(bytes.NewReader(s.Bytes()))
		if err := d.Decode(&e); err != nil {
			break
		}
		all = append(all, e)
	}
	return all, s.Err()
}
