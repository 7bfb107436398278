package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"time"

	"github.com/fivenines/fivenines/slo"
)

const columns = `id, key, schedule, scenario, planned, started, ended, state, verdict, summary, note, seed, backend, setup, folder,
	failover, censored, rpo, lost_sessions, lost_writes, trials, valid, regression`

// Begin adds a run that starts, or one that was skipped, and gives it its ID.
func (s *Store) Begin(ctx context.Context, r *Run) error {
	res, err := s.db.ExecContext(ctx, `INSERT INTO runs (key, schedule, scenario, planned, started, ended, state, note, seed, backend, setup, folder)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.Key, r.Schedule, r.Scenario, millis(r.Planned), millis(r.Started), millis(r.Ended), string(r.State), r.Note, r.Seed, r.Backend, r.Setup, r.Folder)
	if err != nil {
		return fmt.Errorf("keep the run %s in the store: %w", r.Key, err)
	}
	r.ID, err = res.LastInsertId()
	return err
}

// Finish takes what became of a run: its state, note, regression, and what its
// result says, if there is one.
func (s *Store) Finish(ctx context.Context, r *Run, res *slo.Result) error {
	var blob []byte
	if res != nil {
		r.measure(res)
		var err error
		if blob, err = pack(res); err != nil {
			return fmt.Errorf("keep the result of %s in the store: %w", r.Key, err)
		}
	}
	_, err := s.db.ExecContext(ctx, `UPDATE runs SET ended = ?, state = ?, verdict = ?, summary = ?, note = ?, folder = ?, failover = ?, censored = ?, rpo = ?,
		lost_sessions = ?, lost_writes = ?, trials = ?, valid = ?, regression = ?, result = ? WHERE id = ?`,
		millis(r.Ended), string(r.State), string(r.Verdict), r.Summary, r.Note, r.Folder, r.Failover, r.Censored, r.RPO,
		r.LostSessions, r.LostWrites, r.Trials, r.Valid, r.Regression, blob, r.ID)
	if err != nil {
		return fmt.Errorf("keep what became of %s in the store: %w", r.Key, err)
	}
	return nil
}

// measure takes what the index shows of a result.
func (r *Run) measure(res *slo.Result) {
	r.Verdict, r.Summary, r.Trials = res.Verdict, res.Summary, len(res.Trials)
	r.Failover, r.RPO, r.Censored, r.Valid = nil, nil, false, 0
	sessions, writes := 0, 0
	for i := range res.Trials {
		t := &res.Trials[i]
		sessions += t.Measures.SessionsLost
		writes += t.Measures.LostWrites
		if len(t.Void) > 0 {
			continue
		}
		r.Valid++
		if o := t.Measures.Failover; o != nil {
			larger(&r.Failover, o.Value)
			r.Censored = r.Censored || o.Censored && *r.Failover == o.Value
		}
		if v := t.Measures.RPO; v != nil {
			larger(&r.RPO, v.Value)
		}
	}
	if len(res.Trials) > 0 {
		r.LostSessions, r.LostWrites = &sessions, &writes
	}
}

func larger(p **float64, v float64) {
	if !math.IsNaN(v) && (*p == nil || v > **p) {
		*p = &v
	}
}

// Runs are the newest runs, newest first; at most that many, all for 0.
func (s *Store) Runs(ctx context.Context, most int) ([]Run, error) {
	if most <= 0 {
		most = -1
	}
	return s.runs(ctx, "1 = 1 ORDER BY id DESC LIMIT ?", most)
}

// Attempts are all runs with a key, newest first.
func (s *Store) Attempts(ctx context.Context, key string) ([]Run, error) {
	return s.runs(ctx, "key = ? ORDER BY id DESC", key)
}

// Orphans are the runs that are running by the index, oldest first: for who
// holds the lock, those that were killed.
func (s *Store) Orphans(ctx context.Context) ([]Run, error) {
	return s.runs(ctx, "state = ? ORDER BY id", string(Running))
}

func (s *Store) runs(ctx context.Context, where string, args ...any) ([]Run, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT "+columns+" FROM runs WHERE "+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read the store's runs: %w", err)
	}
	defer rows.Close()
	var out []Run
	for rows.Next() {
		var r Run
		var planned, started, ended int64
		if err := rows.Scan(&r.ID, &r.Key, &r.Schedule, &r.Scenario, &planned, &started, &ended, &r.State, &r.Verdict, &r.Summary, &r.Note, &r.Seed,
			&r.Backend, &r.Setup, &r.Folder, &r.Failover, &r.Censored, &r.RPO, &r.LostSessions, &r.LostWrites, &r.Trials, &r.Valid, &r.Regression); err != nil {
			return nil, fmt.Errorf("read the store's runs: %w", err)
		}
		r.Planned, r.Started, r.Ended = instant(planned), instant(started), instant(ended)
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the store's runs: %w", err)
	}
	return out, nil
}

// Previous are the results of finished runs of the same scenario and setup that
// were met or missed before this one, newest first.
func (s *Store) Previous(ctx context.Context, r *Run, most int) ([]*slo.Result, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT result FROM runs WHERE scenario = ? AND setup = ? AND id < ? AND state = ? AND verdict IN (?, ?) AND result IS NOT NULL
		ORDER BY id DESC LIMIT ?`, r.Scenario, r.Setup, r.ID, string(Finished), string(slo.Met), string(slo.Missed), most)
	if err != nil {
		return nil, fmt.Errorf("read the runs before %s: %w", r.Key, err)
	}
	defer rows.Close()
	var out []*slo.Result
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			return nil, fmt.Errorf("read the runs before %s: %w", r.Key, err)
		}
		res, err := unpack(b)
		if err != nil {
			return nil, fmt.Errorf("read the runs before %s: %w", r.Key, err)
		}
		out = append(out, res)
	}
	return out, rows.Err()
}

// maxResult bounds a result in the index, in bytes.
const maxResult = 64 << 20

// pack keeps of a result what a comparison needs.
func pack(res *slo.Result) ([]byte, error) {
	c := *res
	c.Timeline, c.Marks, c.Examples, c.Statistics = nil, nil, nil, nil
	c.Trials = slices.Clone(res.Trials)
	for i := range c.Trials {
		t := &c.Trials[i]
		t.Regions, t.Partitions, t.Sessions, t.Faults = nil, nil, nil, nil
		if o := t.Measures.Failover; o != nil {
			short := *o
			short.Partitions = nil
			t.Measures.Failover = &short
		}
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := errors.Join(json.NewEncoder(z).Encode(&c), z.Close()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func unpack(b []byte) (*slo.Result, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	// Not as strict as slo.Decode: the row may be of an older version of this program.
	res := &slo.Result{}
	return res, json.NewDecoder(io.LimitReader(z, maxResult)).Decode(res)
}

// Announcement is a webhook that was told of an event, or could not be.
type Announcement struct {
	Run   int64
	At    time.Time
	Event string
	Hook  string // which one, without its URL
	Error string // empty if it was told
}

// Announced keeps an announcement.
func (s *Store) Announced(ctx context.Context, a Announcement) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO announcements (run, at, event, hook, error) VALUES (?, ?, ?, ?, ?)`, a.Run, millis(a.At), a.Event, a.Hook, a.Error)
	if err != nil {
		return fmt.Errorf("keep an announcement in the store: %w", err)
	}
	return nil
}

// Announcements are the newest ones, newest first.
func (s *Store) Announcements(ctx context.Context, most int) ([]Announcement, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT run, at, event, hook, error FROM announcements ORDER BY id DESC LIMIT ?", most)
	if err != nil {
		return nil, fmt.Errorf("read the store's announcements: %w", err)
	}
	defer rows.Close()
	var out []Announcement
	for rows.Next() {
		var a Announcement
		var at int64
		if err := rows.Scan(&a.Run, &at, &a.Event, &a.Hook, &a.Error); err != nil {
			return nil, fmt.Errorf("read the store's announcements: %w", err)
		}
		a.At = instant(at)
		out = append(out, a)
	}
	return out, rows.Err()
}

// Prune removes the folders of runs that are over: all but the newest keep (0:
// no bound) and those that ended before (zero: no bound). Their rows stay.
func (s *Store) Prune(ctx context.Context, keep int, before time.Time) (removed []string, err error) {
	runs, err := s.runs(ctx, "folder <> '' AND state <> ? ORDER BY id DESC", string(Running))
	if err != nil {
		return nil, err
	}
	for i := range runs {
		r := &runs[i]
		old := !before.IsZero() && !r.Ended.IsZero() && r.Ended.Before(before)
		if !old && (keep <= 0 || i < keep) {
			continue
		}
		path := s.Path(r)
		if path == "" {
			return removed, fmt.Errorf("remove the folder of run %d: %q is no name of a folder in %s", r.ID, r.Folder, RunsDir)
		}
		if err := os.RemoveAll(path); err != nil {
			return removed, fmt.Errorf("remove the folder of run %d: %w", r.ID, err)
		}
		if _, err := s.db.ExecContext(ctx, "UPDATE runs SET folder = '' WHERE id = ?", r.ID); err != nil {
			return removed, fmt.Errorf("note that the folder of run %d is gone: %w", r.ID, err)
		}
		removed = append(removed, r.Folder)
	}
	return removed, nil
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
