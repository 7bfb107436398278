package history

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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

// op decodes and checks.
func (r *row) op(b bounds, o *Op) error {
	kind, err1 := valueOf("kind", kindNames, r.Kind)
	outcome, err2 := valueOf("outcome", outcomeNames, r.Outcome)
	class, err3 := valueOf("class", classNames, r.Class)
	cause, err4 := valueOf("cause", causeNames, r.Cause)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	if max(r.Writer, r.Client, r.Partition) > 1<<16-1 || max(r.RegionIndex, r.NodeIndex, r.Retries) > 1<<8-1 {
		return errors.New("a number is out of its range")
	}
	*o = Op{
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
	if err := b.check(o); err != nil {
		return invalid(o, err)
	}
	return nil
}

// Keys of the file's metadata.
const (
	parquetSchema = "fivenines-operations/v1"
	keyRecord     = "fivenines.record"
	keyCheck      = "fivenines.check"
)

// parquetRecord says what the file holds.
type parquetRecord struct {
	Schema    string   `json:"schema"`
	Truncated bool     `json:"truncated"`
	Trials    []uint64 `json:"trials"` // operations of each
}

// Parquet has checksums for its pages and none for its footer, and a damaged
// footer can send a reader anywhere. So the file carries a checksum of itself:
// of all its bytes, with checkBlank in the place of the eight digits.
const (
	checkMark  = "fivenines-crc32c:"
	checkBlank = "00000000"
	maxFooter  = 64 << 20
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
	trials, err := r.Trials()
	if err == nil {
		err = r.writeParquet(ctx, path, trials, r.Ops)
	}
	if err != nil {
		return fmt.Errorf("export the operations to %s: %w", path, err)
	}
	return nil
}

// opsFunc is Run.Ops.
type opsFunc func(trial int, fn func(*Op) error) error

func (r *Run) writeParquet(ctx context.Context, path string, trials int, ops opsFunc) error {
	return writeWhole(path, func(f *os.File) error {
		sum := crc32.New(castagnoli)
		if err := r.writeRows(ctx, io.MultiWriter(f, sum), trials, ops); err != nil {
			return err
		}
		size, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		at, err := findCheck(f, size)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(fmt.Appendf(nil, "%08x", sum.Sum32()), at)
		return err
	})
}

func (r *Run) writeRows(ctx context.Context, w io.Writer, trials int, ops opsFunc) error {
	pw := parquet.NewGenericWriter[row](w,
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest, Concurrency: 1}),
		parquet.MaxRowsPerRowGroup(rowGroupMax),
		parquet.CreatedBy("fivenines", r.Manifest.Version, ""))
	about := parquetRecord{Schema: parquetSchema, Truncated: r.Truncated, Trials: make([]uint64, trials)}
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
		err := ops(trial, func(o *Op) error {
			about.Trials[trial-1]++
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
	text, err := json.Marshal(about)
	if err != nil {
		return err
	}
	pw.SetKeyValueMetadata(keyRecord, string(text))
	pw.SetKeyValueMetadata(keyCheck, checkMark+checkBlank)
	return pw.Close()
}

// parquetRun is operations.parquet standing in for the segments.
type parquetRun struct {
	parquetRecord
	f *os.File
	p *parquet.File
}

func (p *parquetRun) Close() error { return p.f.Close() }

// openParquet returns nil for a run that ended before its first trial and so
// has neither segments nor an export.
func (r *Run) openParquet() (*parquetRun, error) {
	path := filepath.Join(r.Dir, OperationsFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(r.Dir, SegmentsDir)); err == nil {
			return nil, nil
		}
		return nil, fmt.Errorf("%s has neither %s nor %s: the operations are gone; restore one from a copy or run again", r.Dir, SegmentsDir, OperationsFile)
	}
	if err != nil {
		return nil, fmt.Errorf("open the run's operations: %w", err)
	}
	p := &parquetRun{f: f}
	if err := p.open(); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w; restore the file from a copy or run again", path, err)
	}
	return p, nil
}

func (p *parquetRun) open() (err error) {
	defer parquetPanic(&err)
	st, err := p.f.Stat()
	if err != nil {
		return err
	}
	if err := verifyCheck(p.f, st.Size()); err != nil {
		return err
	}
	p.p, err = parquet.OpenFile(p.f, st.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return err
	}
	text, _ := p.p.Lookup(keyRecord)
	if err := json.Unmarshal([]byte(text), &p.parquetRecord); err != nil {
		return fmt.Errorf("metadata %s: %w", keyRecord, err)
	}
	if p.Schema != parquetSchema {
		return fmt.Errorf("its schema %q is not %s, which this program reads", p.Schema, parquetSchema)
	}
	if !parquet.EqualNodes(p.p.Schema(), parquet.SchemaOf(row{})) {
		return fmt.Errorf("its columns are not those of %s", parquetSchema)
	}
	return nil
}

// verifyCheck says whether the file is the one that was exported.
func verifyCheck(f io.ReaderAt, size int64) error {
	at, err := findCheck(f, size)
	if err != nil {
		return err
	}
	said := make([]byte, len(checkBlank))
	if _, err := f.ReadAt(said, at); err != nil {
		return err
	}
	sum := crc32.New(castagnoli)
	rest := at + int64(len(said))
	for _, part := range []io.Reader{
		io.NewSectionReader(f, 0, at),
		strings.NewReader(checkBlank),
		io.NewSectionReader(f, rest, size-rest),
	} {
		if _, err := io.Copy(sum, part); err != nil {
			return err
		}
	}
	if got := fmt.Sprintf("%08x", sum.Sum32()); got != string(said) {
		return fmt.Errorf("it is damaged: its checksum is %s and not %s", got, said)
	}
	return nil
}

// findCheck returns where the digits of the file's checksum stand.
func findCheck(f io.ReaderAt, size int64) (int64, error) {
	tail := make([]byte, 8) // the footer's length and Parquet's magic
	end := size - int64(len(tail))
	if end < 4 {
		return 0, fmt.Errorf("it has %d bytes and is no parquet file", size)
	}
	if _, err := f.ReadAt(tail, end); err != nil {
		return 0, err
	}
	length := int64(binary.LittleEndian.Uint32(tail))
	if string(tail[4:]) != "PAR1" || length > min(maxFooter, end-4) {
		return 0, errors.New("it is no parquet file, or its end is damaged")
	}
	footer := make([]byte, length)
	if _, err := f.ReadAt(footer, end-length); err != nil {
		return 0, err
	}
	i := bytes.Index(footer, []byte(checkMark))
	if i < 0 || i != bytes.LastIndex(footer, []byte(checkMark)) || i+len(checkMark)+len(checkBlank) > len(footer) {
		return 0, errors.New("fivenines did not write it, or its end is damaged (no checksum)")
	}
	return end - length + int64(i+len(checkMark)), nil
}

// parquetPanic makes an error of a panic: the library panics on some damaged files.
func parquetPanic(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("it is damaged: %v", p)
	}
}

func (r *Run) parquetTrials() (int, error) {
	p, err := r.openParquet()
	if p == nil {
		return 0, err
	}
	defer p.Close()
	return len(p.Trials), nil
}

// parquetCutOff says whether the segments were cut off when they were exported.
func (r *Run) parquetCutOff() (bool, error) {
	p, err := r.openParquet()
	if p == nil {
		return false, err
	}
	defer p.Close()
	return p.Truncated, nil
}

func (r *Run) parquetOps(trial int, fn func(*Op) error) error {
	p, err := r.openParquet()
	if p == nil {
		return err
	}
	defer p.Close()
	if trial < 1 || trial > len(p.Trials) {
		return nil
	}
	var stop error // fn's, which is not wrapped
	var got uint64
	rows := make([]row, rowBatch)
	for _, g := range p.p.RowGroups() {
		err = readGroup(g, trial, rows, func(row *row, o *Op) error {
			if err := row.op(r.Manifest.bounds(), o); err != nil {
				return err
			}
			got++
			stop = fn(o)
			return stop
		})
		if stop != nil {
			return stop
		}
		if err != nil {
			break
		}
	}
	if want := p.Trials[trial-1]; err == nil && got != want {
		err = fmt.Errorf("trial %d has %d operations and not %d", trial, got, want)
	}
	if err != nil {
		return fmt.Errorf("%s: %w; restore the file from a copy or run again", p.f.Name(), err)
	}
	return nil
}

// readGroup passes the rows of a row group to fn, if it is of the trial.
func readGroup(g parquet.RowGroup, trial int, rows []row, fn func(*row, *Op) error) error {
	pr := parquet.NewGenericRowGroupReader[row](g)
	defer pr.Close()
	read := func() (n int, err error) { // fn's panics are its own
		defer parquetPanic(&err)
		return pr.Read(rows)
	}
	var o Op
	for {
		n, err := read()
		for i := range rows[:n] {
			if rows[i].Trial != int32(trial) {
				return nil
			}
			if err := fn(&rows[i], &o); err != nil {
				return err
			}
		}
		if err == io.EOF || err == nil && n == 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
