package history

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"
)

// exported records, exports, and deletes the segments.
func exported(t testing.TB, trials ...[]Op) (dir string) {
	t.Helper()
	dir = record(t, smallSegments(), trials...)
	export(t, dir)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, SegmentsDir)))
	return dir
}

func export(t testing.TB, dir string) {
	t.Helper()
	r, err := Open(dir)
	require.NoError(t, err)
	require.NoError(t, r.ExportParquet(context.Background(), filepath.Join(dir, OperationsFile)))
}

func TestParquetStandsInForTheSegments(t *testing.T) {
	rng := newRand(1)
	for _, trials := range [][][]Op{
		{},
		{nil},
		{randomOps(rng, 1)},
		{randomOps(rng, rowBatch), nil, randomOps(rng, rowBatch+1), randomOps(rng, 10_000)},
		{randomOps(rng, rowGroupMax+3), randomOps(rng, 5)},
	} {
		dir := exported(t, trials...)
		if len(trials) == 0 {
			require.NoError(t, os.RemoveAll(filepath.Join(dir, SegmentsDir)))
		}
		got, truncated, err := readAll(dir)
		require.NoError(t, err)
		require.False(t, truncated)
		require.Len(t, got, len(trials))
		for i := range trials {
			sameOps(t, trials[i], got[i], "trial %d of %d", i+1, len(trials))
		}
		r, err := Open(dir)
		require.NoError(t, err)
		require.Empty(t, opsOf(t, r, len(trials)+1))
		require.Empty(t, opsOf(t, r, 0))
	}
}

// Other tools see names and units, and rows in the order of the record.
func TestParquetForOtherTools(t *testing.T) {
	ops := []Op{
		{Intended: 1, Start: 2, End: 3, Session: 4, Seq: 5, TTL: 300_000, Writer: 6, Client: 6, Partition: 7, Region: 1, Node: 3, Kind: Update, Outcome: OK, Class: Follower},
		{Intended: 10, Start: 20, End: 30, Kind: Read, Outcome: Unknown, Class: Witness, Cause: Broken, Node: NoNode, Retries: 2},
	}
	dir := exported(t, nil, ops)
	f, err := os.Open(filepath.Join(dir, OperationsFile))
	require.NoError(t, err)
	defer f.Close()
	st, err := f.Stat()
	require.NoError(t, err)
	p, err := parquet.OpenFile(f, st.Size())
	require.NoError(t, err)
	require.EqualValues(t, 2, p.NumRows())
	var names []string
	for _, c := range p.Schema().Columns() {
		names = append(names, c[0])
	}
	require.Equal(t, []string{
		"trial", "intended_ns", "start_ns", "end_ns", "session", "kind", "outcome", "class", "cause", "seq", "ttl_ms", "writer", "client",
		"partition", "region", "node", "region_index", "node_index", "retries", "absent", "exists", "corrupt",
	}, names)
	typed, err := parquet.ReadFile[struct {
		Trial   int32  `parquet:"trial"`
		End     int64  `parquet:"end_ns"`
		Kind    string `parquet:"kind"`
		Outcome string `parquet:"outcome"`
		Class   string `parquet:"class"`
		Cause   string `parquet:"cause"`
		Region  string `parquet:"region"`
		Node    string `parquet:"node"`
	}](f.Name())
	require.NoError(t, err)
	require.EqualValues(t, 2, typed[0].Trial)
	require.EqualValues(t, 3, typed[0].End)
	require.Equal(t, "update ok follower none eu-west-1 eu-west-1-1",
		typed[0].Kind+" "+typed[0].Outcome+" "+typed[0].Class+" "+typed[0].Cause+" "+typed[0].Region+" "+typed[0].Node)
	require.Equal(t, "read unknown witness broken us-east-1 ",
		typed[1].Kind+" "+typed[1].Outcome+" "+typed[1].Class+" "+typed[1].Cause+" "+typed[1].Region+" "+typed[1].Node)
}

// A run that was cut off stays one, whichever file it is read from; where both
// are there the segments count.
func TestParquetOfATruncatedRun(t *testing.T) {
	ops := randomOps(newRand(1), 3000)
	dir := record(t, defaults(), ops)
	path := segmentPath(dir, segmentID{1, 1})
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, whole[:len(whole)-100], 0o644))
	export(t, dir)
	for _, from := range []string{"segments", "parquet"} {
		got, truncated, err := readAll(dir)
		require.NoError(t, err, from)
		require.True(t, truncated, from)
		require.Equal(t, [][]Op{ops[:2*blockOps]}, got, from)
		require.NoError(t, os.RemoveAll(filepath.Join(dir, SegmentsDir)))
	}
}

func TestNeitherSegmentsNorParquet(t *testing.T) {
	dir := record(t, defaults(), randomOps(newRand(1), 10))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, SegmentsDir)))
	_, err := Open(dir)
	require.ErrorContains(t, err, "the operations are gone; restore one from a copy or run again")
}

// An export that does not succeed leaves nothing behind, and what was there as it was.
func TestExportIsAllOrNothing(t *testing.T) {
	dir := record(t, smallSegments(), randomOps(newRand(1), 5000))
	path := filepath.Join(dir, OperationsFile)
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o644))
	r, err := Open(dir)
	require.NoError(t, err)
	before := tree(t, dir)

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err = r.ExportParquet(ctx, path)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, path)
	require.Equal(t, before, tree(t, dir))

	seg := segmentPath(dir, segmentID{1, 1})
	b, err := os.ReadFile(seg)
	require.NoError(t, err)
	b[headerSize+100] ^= 1
	require.NoError(t, os.WriteFile(seg, b, 0o644))
	var damage *DamageError
	require.ErrorAs(t, r.ExportParquet(context.Background(), path), &damage)
	require.Equal(t, before, tree(t, dir))
	old, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "old", string(old))

	require.ErrorIs(t, r.ExportParquet(context.Background(), filepath.Join(dir, "no", "folder.parquet")), os.ErrNotExist)

	b[headerSize+100] ^= 1
	require.NoError(t, os.WriteFile(seg, b, 0o644))
	require.NoError(t, r.ExportParquet(context.Background(), path))
	require.Equal(t, before, tree(t, dir))
	st, err := os.Stat(path)
	require.NoError(t, err)
	require.EqualValues(t, 0o644, st.Mode().Perm())
}

func TestParquetThatIsNotOurs(t *testing.T) {
	dir := exported(t, randomOps(newRand(1), 10))
	path := filepath.Join(dir, OperationsFile)
	var foreign bytes.Buffer
	require.NoError(t, parquet.Write(&foreign, []struct{ A int }{{1}}))
	for _, b := range [][]byte{nil, []byte("PAR1"), []byte("no parquet at all, of some length"), foreign.Bytes()} {
		require.NoError(t, os.WriteFile(path, b, 0o644))
		_, err := Open(dir)
		require.ErrorContains(t, err, path)
		require.NotContains(t, err.Error(), "\n")
	}
}

// Whatever is flipped or cut off, anywhere, is found before anything is read.
func TestDamagedParquet(t *testing.T) {
	rng := newRand(2)
	trials := [][]Op{randomOps(rng, 40), randomOps(rng, 30)}
	dir := exported(t, trials...)
	path := filepath.Join(dir, OperationsFile)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	got, _, err := readAll(dir)
	require.NoError(t, err)
	require.Equal(t, trials, got)

	try := func(b []byte) error {
		require.NoError(t, os.WriteFile(path, b, 0o644))
		_, err := Open(dir)
		return err
	}
	b := bytes.Clone(whole)
	for at := range whole { // one bit of each byte
		bit := byte(1) << rng.IntN(8)
		b[at] ^= bit
		require.Error(t, verifyCheck(bytes.NewReader(b), int64(len(b))), "byte %d", at)
		if at%100 == 0 {
			require.ErrorContains(t, try(b), path)
			require.NotContains(t, try(b).Error(), "\n")
		}
		b[at] ^= bit
	}
	for range 100 {
		require.ErrorContains(t, try(whole[:rng.IntN(len(whole))]), path)
	}
	require.ErrorContains(t, try(append(bytes.Clone(whole), 0)), path)
	require.ErrorContains(t, try(append([]byte{0}, whole...)), path)
	require.NoError(t, try(whole))
}

// Whoever wrote the export may have had a bug, or changed it afterwards.
func TestParquetRowsAreCheckedAgain(t *testing.T) {
	good := randomOp(newRand(1))
	broken := brokenOps()
	missing := map[string][]Op{"operation missing": {good}}
	for name, op := range broken {
		missing[name] = []Op{good, op}
	}
	dir := exported(t, []Op{good, good})
	path := filepath.Join(dir, OperationsFile)
	r, err := Open(dir)
	require.NoError(t, err)
	for name, ops := range missing {
		forge := func(_ int, fn func(*Op) error) error {
			for i := range ops {
				if err := fn(&ops[i]); err != nil {
					return err
				}
			}
			return nil
		}
		require.NoError(t, r.writeParquet(context.Background(), path, 1, forge))
		if name == "operation missing" {
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			b = bytes.Replace(b, []byte(`"trials":[1]`), []byte(`"trials":[2]`), 1)
			require.NoError(t, os.WriteFile(path, recheck(t, b), 0o644))
		}
		n := 0
		err = r.Ops(1, func(*Op) error { n++; return nil })
		require.ErrorContains(t, err, path, name)
		require.Equal(t, 1, n, name)
		require.NotContains(t, err.Error(), "\n", name)
	}
}

// recheck makes the checksum of a changed export right.
func recheck(t *testing.T, b []byte) []byte {
	t.Helper()
	at, err := findCheck(bytes.NewReader(b), int64(len(b)))
	require.NoError(t, err)
	copy(b[at:], checkBlank)
	copy(b[at:], fmt.Sprintf("%08x", crc32.Checksum(b, castagnoli)))
	return b
}
