package history

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Run is a recorded run. Its methods are safe for concurrent use.
type Run struct {
	Dir      string
	Manifest Manifest
	Events   []Event // by At
	// Truncated: the record was cut off, as by a crash, and its damaged end
	// dropped. What was read is what was written before.
	Truncated bool
}

// Open reads manifest and events of the run in dir, and looks whether its
// operations were cut off. Damage anywhere but at the end is a *[DamageError].
func Open(dir string) (*Run, error) {
	m, err := readManifest(dir)
	if err != nil {
		return nil, err
	}
	r := &Run{Dir: dir, Manifest: m}
	if r.Events, r.Truncated, err = readEvents(dir); err != nil {
		return nil, err
	}
	ids, err := r.segments()
	if err != nil {
		return nil, err
	}
	cut := false
	if len(ids) > 0 {
		cut, err = r.cutOff(ids[len(ids)-1])
	} else {
		cut, err = r.parquetCutOff()
	}
	if err != nil {
		return nil, err
	}
	r.Truncated = r.Truncated || cut
	return r, nil
}

// Trials is the number of trials that were started.
func (r *Run) Trials() (int, error) {
	ids, err := r.segments()
	if err != nil {
		return 0, err
	}
	if len(ids) == 0 {
		return r.parquetTrials()
	}
	return ids[len(ids)-1].trial, nil
}

// Ops calls fn with every operation of a trial in the order in which they were
// recorded, until fn returns an error, which it returns. The Op is valid during
// the call only: copy what is kept. Where the segments were deleted the
// operations come from operations.parquet. A trial that was never started has
// no operations.
func (r *Run) Ops(trial int, fn func(*Op) error) error {
	ids, err := r.segments()
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		return r.parquetOps(trial, fn)
	}
	d := decoder{bounds: r.Manifest.bounds(), fn: fn}
	var next uint64
	for i, id := range ids {
		if id.trial != trial {
			continue
		}
		got, err := r.scan(id, d.block)
		if err != nil {
			return err
		}
		last := i == len(ids)-1 // the only one that may be cut off
		if got.header && got.first != next || !got.header && !last {
			return &DamageError{r.path(id), 0, fmt.Sprintf("its first operation should be number %d of the trial", next)}
		}
		next = got.next
		if want := following(ids[i:]); !last && got.mark != want {
			return &DamageError{r.path(id), got.end, "its end is missing, and later segments are there"}
		}
	}
	return nil
}

// following is the mark with which the first of ids must end, given the next.
func following(ids []segmentID) uint32 {
	if len(ids) > 1 && ids[1].trial == ids[0].trial {
		return tagNext
	}
	return tagEnd
}

// cutOff reads the last segment and says whether the record ends in it as it should.
func (r *Run) cutOff(id segmentID) (bool, error) {
	got, err := r.scan(id, nil)
	return got.mark != tagEnd, err
}

// decoder turns blocks into operations, checked again.
type decoder struct {
	bounds bounds
	fn     func(*Op) error
	op     Op
}

func (d *decoder) block(s *scanner, off int64, b block) error {
	for i := 0; i < len(b.payload); i += recordSize {
		op := &d.op
		err := decodeRecord((*[recordSize]byte)(b.payload[i:]), op)
		if err == nil {
			err = d.bounds.check(op)
		}
		if err != nil {
			return s.damage(off+blockHeaderSize+int64(i), "%v", invalid(op, err))
		}
		if err := d.fn(op); err != nil {
			return err
		}
	}
	return nil
}

func (r *Run) path(id segmentID) string { return filepath.Join(r.Dir, SegmentsDir, id.name()) }

// segments lists the segments in order and checks that none is missing.
func (r *Run) segments() ([]segmentID, error) {
	entries, err := os.ReadDir(filepath.Join(r.Dir, SegmentsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the run's segments: %w", err)
	}
	var ids []segmentID
	for _, e := range entries {
		if id, ok := parseSegment(e.Name()); ok {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b segmentID) int {
		if a.trial != b.trial {
			return a.trial - b.trial
		}
		return a.segment - b.segment
	})
	want := []segmentID{{1, 1}}
	for _, id := range ids {
		if !slices.Contains(want, id) {
			return nil, fmt.Errorf("%s is missing and later segments are there: restore it from a copy or run again", r.path(want[0]))
		}
		want = []segmentID{{id.trial, id.segment + 1}, {id.trial + 1, 1}}
	}
	return ids, nil
}

func parseSegment(name string) (segmentID, bool) {
	s, ok1 := strings.CutPrefix(name, "ops-t")
	s, ok2 := strings.CutSuffix(s, ".seg")
	t, n, ok3 := strings.Cut(s, "-")
	trial, err1 := strconv.ParseUint(t, 10, 31)
	segment, err2 := strconv.ParseUint(n, 10, 31)
	id := segmentID{int(trial), int(segment)}
	return id, ok1 && ok2 && ok3 && err1 == nil && err2 == nil && id.name() == name
}

// scan reads one segment. each may be nil.
func (r *Run) scan(id segmentID, each func(s *scanner, off int64, b block) error) (scanned, error) {
	f, err := os.Open(r.path(id))
	if err != nil {
		return scanned{}, fmt.Errorf("open the run's operations: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return scanned{}, fmt.Errorf("open the run's operations: %w", err)
	}
	return newScanner(f, st.Size(), r.path(id)).scan(id, each)
}
