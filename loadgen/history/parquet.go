package history

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// row is an operation as other tools see it: names with units, indexes spelled
// out. Region and node names are for those tools; reading back goes by index.
type row struct {
	Trial       int32  `parquet:"trial"`
	Intended    int64  `parquet:"intended_ns,delta"`
	Start       int64  `parquet:"start_ns,delta"`
	End         int64  `parquet:"end_ns,delta"`
	Session     uint64 `parquet:"session"`
	Kind        string `parquet:"kind,enum,dict"`
	Outcome     string `parquet:"outcome,enum,dict"`
	Class       string `parquet:"class,enum,dict"`
	Cause       string `parquet:"cause,enum,dict"`
	Seq         uint32 `parquet:"seq"`
	TTL         uint32 `parquet:"ttl_ms,dict"`
	Writer      uint32 `parquet:"writer,dict"`
	Client      uint32 `parquet:"client,dict"`
	Partition   uint32 `parquet:"partition,dict"`
	Region      string `parquet:"region,dict"`
	Node        string `parquet:"node,dict"` // empty: unknown
	RegionIndex uint32 `parquet:"region_index,dict"`
	NodeIndex   uint32 `parquet:"node_index,dict"`
	Retries     uint32 `parquet:"retries,dict"`
	Absent      bool   `parquet:"absent"`
	Exists      bool   `parquet:"exists"`
	Corrupt     bool   `parquet:"corrupt"`
}

func (m *Manifest) row(trial int, o *Op, r *row) {
	*r = row{
		Trial:       int32(trial),
		Intended:    int64(o.Intended),
		Start:       int64(o.Start),
		End:         int64(o.End),
		Session:     o.Session,
		Kind:        o.Kind.String(),
		Outcome:     o.Outcome.String(),
		Class:       o.Class.String(),
		Cause:       o.Cause.String(),
		Seq:         o.Seq,
		TTL:         o.TTL,
		Writer:      uint32(o.Writer),
		Client:      uint32(o.Client),
		Partition:   uint32(o.Partition),
		RegionIndex: uint32(o.Region),
		NodeIndex:   uint32(o.Node),
		Retries:     uint32(o.Retries),
		Absent:      o.Absent,
		Exists:      o.Exists,
		Corrupt:     o.Corrupt,
	}
	if int(o.Region) < len(m.Regions) {
		r.Region = m.Regions[o.Region].Name
	}
	if int(o.Node) < len(m.Nodes) {
		r.Node = m.Nodes[o.Node].ID
	}
}

func (r *row) op(b bounds) (Op, error) {
	kind, err1 := valueOf("kind", kindNames, r.Kind)
	outcome, err2 := valueOf("outcome", outcomeNames, r.Outcome)
	class, err3 := valueOf("class", classNames, r.Class)
	cause, err4 := valueOf("cause", causeNames, r.Cause)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return Op{}, err
	}
	if max(r.Writer, r.Client, r.Partition) > 1<<16-1 || max(r.RegionIndex, r.NodeIndex, r.Retries) > 1<<8-1 {
		return Op{}, errors.New("a number is out of its range")
	}
	o := Op{
		Intended:  time.Duration(r.Intended),
		Start:     time.Duration(r.Start),
		End:       time.Duration(r.End),
		Session:   r.Session,
		Seq:       r.Seq,
		TTL:       r.TTL,
		Writer:    uint16(r.Writer),
		Client:    uint16(r.Client),
		Partition: uint16(r.Partition),
		Region:    uint8(r.RegionIndex),
		Node:      uint8(r.NodeIndex),
		Kind:      Kind(kind),
		Outcome:   Outcome(outcome),
		Class:     Class(class),
		Cause:     Cause(cause),
		Retries:   uint8(r.Retries),
		Absent:    r.Absent,
		Exists:    r.Exists,
		Corrupt:   r.Corrupt,
	}
	if err := b.check(&o); err != nil {
		return Op{}, invalid(&o, err)
	}
	return o, nil
}

// Keys of the file's metadata, and its schema.
const (
	parquetSchema = "fivenines-operations/v1"
	keySchema     = "fivenines.schema"
	keyTrials     = "fivenines.trials"
	keyTruncated  = "fivenines.truncated"
)

const (
	rowBatch    = 1024
	rowGroupMax = 128 << 10 // rows; this much is in memory
)

// ExportParquet writes the operations of all trials to path, for other tools;
// at the name operations.parquet in the run's folder it can stand in for the
// segments. Memory is bounded by one row group. path is replaced once the file
// is complete, and not touched before.
func (r *Run) ExportParquet(ctx context.Context, path string) error {
	err := writeWhole(path, func(f *os.File) error { return r.exportParquet(ctx, f) })
	if err != nil {
		return fmt.Errorf("export the operations to %s: %w", path, err)
	}
	return nil
}

func (r *Run) exportParquet(ctx context.Context, w io.Writer) error {
	trials, err := r.Trials()
	if err != nil {
		return err
	}
	pw := parquet.NewGenericWriter[row](w,
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest, Concurrency: 1}),
		parquet.MaxRowsPerRowGroup(rowGroupMax),
		parquet.KeyValueMetadata(keySchema, parquetSchema),
		parquet.KeyValueMetadata(keyTrials, strconv.Itoa(trials)),
		parquet.KeyValueMetadata(keyTruncated, strconv.FormatBool(r.Truncated)),
		parquet.CreatedBy("fivenines", r.Manifest.Version, ""))
	rows := make([]row, 0, rowBatch)
	flush := func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, err := pw.Write(rows)
		rows = rows[:0]
		return err
	}
	for trial := 1; trial <= trials; trial++ {
		err := r.Ops(trial, func(o *Op) error {
			rows = rows[:len(rows)+1]
			r.Manifest.row(trial, o, &rows[len(rows)-1])
			if len(rows) == cap(rows) {
				return flush()
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := flush(); err != nil {
			return err
		}
		// A row group holds one trial, so that a reader can skip the others.
		if err := pw.Flush(); err != nil {
			return err
		}
	}
	return pw.Close()
}

// parquetFile opens operations.parquet, which stands in for the segments. It is
// nil in a run that ended before its first trial and so has neither.
func (r *Run) parquetFile() (*os.File, *parquet.File, error) {
	path := filepath.Join(r.Dir, OperationsFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(r.Dir, SegmentsDir)); err == nil {
			return nil, nil, nil
		}
		return nil, nil, fmt.Errorf("%s has neither %s nor %s: the operations are gone; restore one from a copy or run again", r.Dir, SegmentsDir, OperationsFile)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open the run's operations: %w", err)
	}
	pf, err := openParquet(f)
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("%s: %w; restore the file from a copy or run again", path, err)
	}
	return f, pf, nil
}

func openParquet(f *os.File) (pf *parquet.File, err error) {
	defer parquetPanic(&err)
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	pf, err = parquet.OpenFile(f, st.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("it is no parquet file: %w", err)
	}
	if s, _ := pf.Lookup(keySchema); s != parquetSchema {
		return nil, fmt.Errorf("its schema %q is not %s", s, parquetSchema)
	}
	if want := parquet.SchemaOf(row{}); !parquet.EqualNodes(pf.Schema(), want) {
		return nil, fmt.Errorf("its columns are not those of %s", parquetSchema)
	}
	return pf, nil
}

// parquetPanic makes an error of a panic: the library panics on some damaged files.
func parquetPanic(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the file is damaged: %v", p)
	}
}

func (r *Run) parquetTrials() (int, error) {
	f, pf, err := r.parquetFile()
	if f == nil {
		return 0, err
	}
	defer f.Close()
	s, _ := pf.Lookup(keyTrials)
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s: %s is %q and no number of trials", f.Name(), keyTrials, s)
	}
	return n, nil
}

// parquetCutOff says whether the segments were cut off when they were exported.
func (r *Run) parquetCutOff() (bool, error) {
	f, pf, err := r.parquetFile()
	if f == nil {
		return false, err
	}
	defer f.Close()
	s, _ := pf.Lookup(keyTruncated)
	return s != "false", nil
}

func (r *Run) parquetOps(trial int, fn func(*Op) error) error {
	f, pf, err := r.parquetFile()
	if f == nil {
		return err
	}
	defer f.Close()
	rows := make([]row, rowBatch)
	for i, g := range pf.RowGroups() {
		done, err := readGroup(g, trial, r.Manifest.bounds(), rows, fn)
		var stop *stopped
		if errors.As(err, &stop) {
			return stop.err
		}
		if err != nil {
			return fmt.Errorf("%s: row group %d: %w; restore the file from a copy or run again", f.Name(), i, err)
		}
		if done {
			return nil
		}
	}
	return nil
}

// stopped carries the error of the caller's function past our own wrapping.
type stopped struct{ err error }

func (s *stopped) Error() string { return s.err.Error() }

// readGroup passes a row group of the trial to fn; done means that it is of a later one.
func readGroup(g parquet.RowGroup, trial int, b bounds, rows []row, fn func(*Op) error) (done bool, err error) {
	// fn's panics are its own.
	guarded := func(pr *parquet.GenericReader[row]) (n int, err error) {
		defer parquetPanic(&err)
		return pr.Read(rows)
	}
	pr := parquet.NewGenericRowGroupReader[row](g)
	defer pr.Close()
	left := g.NumRows()
	for left > 0 {
		n, err := guarded(pr)
		for i := range rows[:n] {
			if rows[i].Trial != int32(trial) {
				return int(rows[i].Trial) > trial, nil
			}
			o, err := rows[i].op(b)
			if err != nil {
				return false, err
			}
			if err := fn(&o); err != nil {
				return false, &stopped{err}
			}
		}
		left -= int64(n)
		if err == io.EOF || err == nil && n == 0 {
			break
		}
		if err != nil {
			return false, err
		}
	}
	if left != 0 {
		return false, fmt.Errorf("%d rows are missing", left)
	}
	return false, nil
}
