package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"modernc.org/sqlite" // the driver, without cgo
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/fivenines/fivenines/slo"
)

// Names in the store's folder.
const (
	IndexFile = "index.db"
	LockFile  = "lock"
	RunsDir   = "runs"
)

// State of a run.
type State string

const (
	Running     State = "running"
	Finished    State = "finished"    // there is a result, and with it a verdict
	Interrupted State = "interrupted" // killed or stopped; everything was undone
	Failed      State = "failed"      // the run itself did not work
	Skipped     State = "skipped"     // it was due, and did not start
)

// Run is a row of the index.
type Run struct {
	ID       int64
	Key      string // of the plan: the same for every attempt at the same planned run
	Schedule string
	Scenario string
	Planned  time.Time
	Started  time.Time
	Ended    time.Time // zero while it runs
	State    State
	Verdict  slo.Verdict // empty without a result
	Summary  string      // the verdict in a sentence
	Note     string      // why it was skipped, interrupted, or failed
	Seed     int64
	Backend  string
	// Setup stands for all that two runs must have in common to be compared:
	// topology, load, timeline, faults.
	Setup  string
	Folder string // below RunsDir; empty if there is none (any more)

	// Over the valid trials: the longest failover and the largest RPO, in seconds;
	// over all: what was lost. Nil where there is no value.
	Failover     *float64
	Censored     bool // the longest failover was not seen to end
	RPO          *float64
	LostSessions *int
	LostWrites   *int
	Trials       int
	Valid        int
	Regression   string // what got worse, empty if nothing did
}

// Store is an open store.
type Store struct {
	dir string
	db  *sql.DB
}

// patience is how long one who opens or writes waits for another.
const patience = 20 * time.Second

func busy(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_BUSY
}

// Open opens the store in a folder, which is made if there is none.
func Open(ctx context.Context, dir string) (*Store, error) { return open(ctx, dir, migrations) }

func open(ctx context.Context, dir string, steps []string) (*Store, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(abs, RunsDir), 0o755); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	path := filepath.Join(abs, IndexFile)
	// A writer waits for another one; a transaction takes its lock when it begins.
	q := url.Values{"_pragma": {fmt.Sprintf("busy_timeout(%d)", patience.Milliseconds()), "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"}, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("open the store's index %s: %w", path, err)
	}
	db.SetMaxOpenConns(1) // writes of one process in order
	// SQLite does not wait for another opener while it turns a new index to WAL mode.
	patient := retrypolicy.NewBuilder[any]().HandleIf(func(_ any, err error) bool { return busy(err) }).
		WithBackoff(5*time.Millisecond, 200*time.Millisecond).WithMaxRetries(-1).WithMaxDuration(patience).ReturnLastFailure().Build()
	if err := failsafe.With(patient).WithContext(ctx).Run(func() error { return migrate(ctx, db, steps) }); err != nil {
		db.Close()
		return nil, fmt.Errorf("open the store's index %s: %w", path, err)
	}
	return &Store{dir: abs, db: db}, nil
}

// Close closes the index.
func (s *Store) Close() error { return s.db.Close() }

// Dir is the store's folder.
func (s *Store) Dir() string { return s.dir }

// NewFolder is a folder for a run that starts now and the name that its row
// gives it. Nobody has it yet.
func (s *Store) NewFolder(scenario string, now time.Time) (path, name string) {
	base := now.UTC().Format("20060102T150405Z") + "-" + scenario
	name = base
	for i := 2; ; i++ {
		path = filepath.Join(s.dir, RunsDir, name)
		if _, err := os.Lstat(path); err != nil {
			return path, name
		}
		name = fmt.Sprintf("%s-%d", base, i)
	}
}

// Path of a run's folder; empty if it has none, or a name that leads elsewhere.
func (s *Store) Path(r *Run) string {
	if r.Folder == "" || r.Folder != filepath.Base(r.Folder) || !filepath.IsLocal(r.Folder) || r.Folder == "." {
		return ""
	}
	return filepath.Join(s.dir, RunsDir, r.Folder)
}

// ErrLocked says that another process runs game days on the store.
var ErrLocked = errors.New("another game day uses this store")

// Lock is held by whoever runs something; it goes with the process.
type Lock struct{ f *os.File }

// AcquireLock locks a store's folder, which is made if there is none.
func AcquireLock(dir string) (*Lock, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("lock the store: %w", err)
	}
	path := filepath.Join(dir, LockFile)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the store: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		owner := make([]byte, 20)
		n, _ := f.ReadAt(owner, 0)
		f.Close()
		return nil, fmt.Errorf("%w (process %s holds %s); stop it, or name another --store", ErrLocked, owner[:n], path)
	}
	if err == nil {
		err = errors.Join(f.Truncate(0), write(f, fmt.Sprint(os.Getpid())))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock the store %s: %w", path, err)
	}
	return &Lock{f}, nil
}

func write(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}

// Release gives the lock back. The file stays: one that is removed could be
// locked twice.
func (l *Lock) Release() error { return l.f.Close() }
