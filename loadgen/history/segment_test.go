package history

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func segmentPath(dir string, id segmentID) string { return filepath.Join(dir, SegmentsDir, id.name()) }

// runOf makes the folder of a run from segments made by hand.
func runOf(t testing.TB, segments map[segmentID][]byte) string {
	t.Helper()
	dir := record(t, defaults())
	for id, b := range segments {
		require.NoError(t, os.WriteFile(segmentPath(dir, id), b, 0o644))
	}
	return dir
}

// readAll opens and reads every trial.
func readAll(dir string) (trials [][]Op, truncated bool, err error) {
	r, err := Open(dir)
	if err != nil {
		return nil, false, err
	}
	n, err := r.Trials()
	for trial := 1; trial <= n && err == nil; trial++ {
		var ops []Op
		err = r.Ops(trial, func(o *Op) error { ops = append(ops, *o); return nil })
		trials = append(trials, ops)
	}
	return trials, r.Truncated, err
}

// Whatever valid operations are recorded, in whatever pieces, trials and sizes of
// segments: they are read back, all, the same and in order.
func TestRoundTrip(t *testing.T) {
	for seed := range uint64(20) {
		rng := newRand(seed)
		opt := smallSegments()
		opt.segment = int64(1+rng.IntN(300)) << 10 // from less than a block on
		opt.batch = 1 + rng.IntN(200<<10)
		trials := make([][]Op, 1+rng.IntN(4))
		for i := range trials {
			n := rng.IntN(6000)
			if rng.IntN(4) == 0 {
				n = rng.IntN(2) * blockOps // empty, or exactly one block
			}
			trials[i] = randomOps(rng, n)
		}
		got, truncated, err := readAll(record(t, opt, trials...))
		require.NoError(t, err, "seed %d", seed)
		require.False(t, truncated, "seed %d", seed)
		require.Len(t, got, len(trials))
		for i := range trials {
			sameOps(t, trials[i], got[i], "seed %d trial %d", seed, i+1)
		}
	}
}

func TestSegmentsStaySmall(t *testing.T) {
	opt := smallSegments()
	dir := record(t, opt, randomOps(newRand(1), 30_000))
	files, err := filepath.Glob(filepath.Join(dir, SegmentsDir, "*.seg"))
	require.NoError(t, err)
	require.Greater(t, len(files), 5)
	for _, f := range files {
		st, err := os.Stat(f)
		require.NoError(t, err)
		require.LessOrEqual(t, st.Size(), opt.segment, f)
	}
}

// small is a file of three blocks, and where they begin and end.
func small(mark uint32) (blocks [][]Op, file []byte, ends []int) {
	rng := newRand(3)
	for _, n := range []int{3, 1, 4} {
		blocks = append(blocks, randomOps(rng, n))
	}
	end := headerSize
	ends = append(ends, end)
	for _, b := range blocks {
		end += blockHeaderSize + len(b)*recordSize
		ends = append(ends, end)
	}
	return blocks, segmentOf(segmentID{1, 1}, 0, mark, blocks...), ends
}

// A crash can leave any prefix of what was written: the blocks that are whole
// are read, nothing else is, and the run says that it was cut off.
func TestCrashAtEveryByte(t *testing.T) {
	blocks, whole, ends := small(tagEnd)
	dir := runOf(t, map[segmentID][]byte{{1, 1}: whole})
	for cut := range len(whole) + 1 {
		require.NoError(t, os.WriteFile(segmentPath(dir, segmentID{1, 1}), whole[:cut], 0o644))
		var want []Op
		for i, b := range blocks {
			if ends[i+1] <= cut {
				want = append(want, b...)
			}
		}
		got, truncated, err := readAll(dir)
		require.NoError(t, err, "cut at %d", cut)
		require.Equal(t, cut < len(whole), truncated, "cut at %d", cut)
		require.Equal(t, [][]Op{want}, got, "cut at %d", cut)
	}
}

// A crash may also leave garbage where the tail was to be written.
func TestGarbageAtTheTail(t *testing.T) {
	blocks, whole, ends := small(0)
	for name, tail := range map[string][]byte{
		"zeros":                make([]byte, 200_000),
		"noise":                noise(200_000),
		"half a block header":  []byte("5nbo\x38\x00"),
		"a header and no more": whole[headerSize : headerSize+blockHeaderSize],
		"old tags":             bytes.Repeat([]byte("5nbo"), 100),
	} {
		t.Run(name, func(t *testing.T) {
			b := append(bytes.Clone(whole[:ends[2]]), tail...)
			got, truncated, err := readAll(runOf(t, map[segmentID][]byte{{1, 1}: b}))
			require.NoError(t, err)
			require.True(t, truncated)
			require.Equal(t, [][]Op{append(slices.Clone(blocks[0]), blocks[1]...)}, got)
		})
	}
}

func noise(n int) []byte {
	rng := newRand(4)
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// Only the last segment of a run may end early.
func TestCutInAnEarlierSegment(t *testing.T) {
	blocks, first, _ := small(tagNext)
	_, firstTrial, _ := small(tagEnd)
	next := segmentOf(segmentID{1, 2}, 8, tagEnd, blocks[0])
	trial2 := segmentOf(segmentID{2, 1}, 0, tagEnd, blocks[0])
	for name, files := range map[string]map[segmentID][]byte{
		"next segment": {{1, 1}: first, {1, 2}: next},
		"next trial":   {{1, 1}: firstTrial, {2, 1}: trial2},
	} {
		t.Run(name, func(t *testing.T) {
			dir := runOf(t, files)
			_, truncated, err := readAll(dir)
			require.NoError(t, err)
			require.False(t, truncated)
			whole := files[segmentID{1, 1}]
			for cut := range len(whole) {
				require.NoError(t, os.WriteFile(segmentPath(dir, segmentID{1, 1}), whole[:cut], 0o644))
				_, _, err := readAll(dir)
				var damage *DamageError
				require.ErrorAs(t, err, &damage, "cut at %d", cut)
				require.Equal(t, segmentPath(dir, segmentID{1, 1}), damage.File)
				require.LessOrEqual(t, damage.Offset, int64(cut))
			}
		})
	}
}

// A flipped bit is found wherever it is. Only in the very last block can it be
// taken for a crash, and then the run says so.
func TestEveryFlippedBit(t *testing.T) {
	for _, closed := range []bool{true, false} {
		mark := uint32(0)
		if closed {
			mark = tagEnd
		}
		blocks, whole, ends := small(mark)
		lastBlock := ends[len(ends)-2]
		all := append(append(slices.Clone(blocks[0]), blocks[1]...), blocks[2]...)
		kept := all[:4]
		if closed {
			lastBlock, kept = ends[len(ends)-1], all
		}
		m := testManifest()
		for bit := range len(whole) * 8 {
			b := bytes.Clone(whole)
			b[bit/8] ^= 1 << (bit % 8)
			var ops []Op
			d := decoder{bounds: m.bounds(), fn: func(o *Op) error { ops = append(ops, *o); return nil }}
			got, err := newScanner(bytes.NewReader(b), int64(len(b)), "file").scan(segmentID{1, 1}, d.block)
			if bit/8 >= lastBlock {
				require.NoError(t, err, "bit %d", bit)
				require.Zero(t, got.mark, "bit %d", bit)
				require.Equal(t, kept, ops, "bit %d", bit)
				continue
			}
			var damage *DamageError
			require.ErrorAs(t, err, &damage, "bit %d", bit)
			require.Equal(t, "file", damage.File)
			begin := 0
			for _, e := range ends {
				if e <= bit/8 {
					begin = e
				}
			}
			require.EqualValues(t, begin, damage.Offset, "bit %d: the block that holds it is named", bit)
		}
	}
}

// Whole blocks and segments that are gone, doubled or swapped have right
// checksums: their numbers give them away.
func TestMissingAndMisplacedPieces(t *testing.T) {
	blocks, whole, ends := small(tagEnd)
	id, id2 := segmentID{1, 1}, segmentID{1, 2}
	first := segmentOf(id, 0, tagNext, blocks[0])
	second := segmentOf(id2, 3, tagEnd, blocks[1])
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for name, c := range map[string]struct {
		files map[segmentID][]byte
		want  string
	}{
		"block missing":          {map[segmentID][]byte{id: join(whole[:ends[1]], whole[ends[2]:])}, "operation 4 of the trial stands where 3 should"},
		"block doubled":          {map[segmentID][]byte{id: join(whole[:ends[1]], whole[ends[0]:])}, "operation 0 of the trial stands where 3 should"},
		"last block missing":     {map[segmentID][]byte{id: join(whole[:ends[2]], whole[ends[3]:])}, "operation 8 of the trial stands where 4 should"},
		"bytes after the end":    {map[segmentID][]byte{id: append(bytes.Clone(whole), 0)}, "1 bytes follow the end"},
		"segments swapped":       {map[segmentID][]byte{id: second, id2: first}, "under the name of another"},
		"first segment missing":  {map[segmentID][]byte{id2: second}, "ops-t001-000001.seg is missing"},
		"middle segment missing": {map[segmentID][]byte{id: first, {1, 3}: segmentOf(segmentID{1, 3}, 4, tagEnd)}, "ops-t001-000002.seg is missing"},
		"last of a trial is missing, the next trial is there": {
			map[segmentID][]byte{id: first, {2, 1}: segmentOf(segmentID{2, 1}, 0, tagEnd)}, "its end is missing",
		},
		"first trial missing":       {map[segmentID][]byte{{2, 1}: segmentOf(segmentID{2, 1}, 0, tagEnd)}, "ops-t001-000001.seg is missing"},
		"segment skips":             {map[segmentID][]byte{id: first, id2: segmentOf(id2, 4, tagEnd, blocks[1])}, "its first operation should be number 3"},
		"first does not begin at 0": {map[segmentID][]byte{id: segmentOf(id, 1, tagEnd, blocks[1])}, "its first operation should be number 0"},
		"a segment follows the end": {map[segmentID][]byte{id: segmentOf(id, 0, tagEnd, blocks[0]), id2: second}, "its end is missing"},
		"newer version":             {map[segmentID][]byte{id: newer(whole)}, "format version 2"},
		"unknown flag":              {map[segmentID][]byte{id: unknownFlag(whole, ends)}, "does not know"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := readAll(runOf(t, c.files))
			require.ErrorContains(t, err, c.want)
			require.Contains(t, err.Error(), SegmentsDir, "names the file")
			require.NotContains(t, err.Error(), "\n")
		})
	}
	t.Run("the last segment is missing", func(t *testing.T) { // as when the crash was between two
		got, truncated, err := readAll(runOf(t, map[segmentID][]byte{id: first}))
		require.NoError(t, err)
		require.True(t, truncated)
		require.Equal(t, [][]Op{blocks[0]}, got)
	})
	t.Run("other files beside them", func(t *testing.T) {
		dir := runOf(t, map[segmentID][]byte{id: whole})
		for _, n := range []string{"ops-t1-000001.seg", "ops-t001-000002.seg~", "ops-t001-+00002.seg", "README"} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, SegmentsDir, n), []byte("x"), 0o644))
		}
		_, truncated, err := readAll(dir)
		require.NoError(t, err)
		require.False(t, truncated)
	})
}

func newer(whole []byte) []byte {
	b := bytes.Clone(whole)
	b[8] = 2
	reseal(b[:headerSize])
	return b
}

func unknownFlag(whole []byte, ends []int) []byte {
	b := bytes.Clone(whole)
	b[ends[0]+blockHeaderSize+53] |= 0x80
	sealBlock(b[ends[0]:ends[1]], tagOps, 0)
	return b
}

// A file that is made of things that look like blocks does not take long, and
// a block never takes more memory than it may have.
func TestHostileSegment(t *testing.T) {
	fake := blankBlockHeader
	sealBlock(fake[:], tagOps, 0)
	copy(fake[4:], []byte{0, 0xe0, 0, 0}) // maxBlock bytes, as it says
	hostile := append(appendHeader(nil, segmentID{1, 1}, 0), bytes.Repeat(fake[:], 200_000)...)
	_, _, err := readAll(runOf(t, map[segmentID][]byte{{1, 1}: hostile}))
	require.ErrorContains(t, err, "not from a history")

	for _, length := range []uint32{recordSize - 1, maxBlock + recordSize, 1 << 31, 1<<32 - 1} {
		_, b, ends := small(0)
		copy(b[ends[0]+4:], []byte{byte(length), byte(length >> 8), byte(length >> 16), byte(length >> 24)})
		b = append(b[:ends[1]], make([]byte, 2*maxBlock)...) // the smaller ones would fit the file
		s := newScanner(bytes.NewReader(b), int64(len(b)), "x")
		got, err := s.scan(segmentID{1, 1}, nil)
		require.NoError(t, err)
		require.EqualValues(t, ends[0], got.end)
		require.LessOrEqual(t, cap(s.buf), blockHeaderSize+maxBlock)
	}
}

// The intact block behind damage is found wherever it lies against the reader's chunks.
func TestIntactBlockIsFoundFarBehindDamage(t *testing.T) {
	_, whole, ends := small(0)
	for _, gap := range []int{1, 64<<10 - 3, 64<<10 - 2, 64<<10 - 1, 64 << 10, 200_000} {
		b := append(bytes.Clone(whole[:ends[1]]), make([]byte, gap)...)
		b = append(b, whole[ends[1]:ends[2]]...)
		_, err := newScanner(bytes.NewReader(b), int64(len(b)), "x").scan(segmentID{1, 1}, nil)
		require.ErrorContains(t, err, "intact data follows", "gap %d", gap)
	}
}

func TestOpsReturnsTheCallersError(t *testing.T) {
	dir := record(t, defaults(), randomOps(newRand(1), 5))
	r, err := Open(dir)
	require.NoError(t, err)
	n := 0
	require.Equal(t, os.ErrDeadlineExceeded, r.Ops(1, func(*Op) error { n++; return os.ErrDeadlineExceeded }))
	require.Equal(t, 1, n)
	require.Empty(t, opsOf(t, r, 2), "a trial that was never started")
	require.Empty(t, opsOf(t, r, 0))
}

func FuzzSegment(f *testing.F) {
	_, whole, ends := small(tagEnd)
	f.Add(whole)
	f.Add(whole[:ends[2]+5])
	f.Add(newer(whole))
	f.Add(unknownFlag(whole, ends))
	f.Add(append(bytes.Clone(whole[:ends[1]]), bytes.Repeat([]byte("5nbo"), 50)...))
	f.Add([]byte{})
	m := testManifest()
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, fix := range []bool{false, true} {
			if fix { // so that what lies behind the checksums is reached too
				b = resealAll(b)
			}
			s := newScanner(bytes.NewReader(b), int64(len(b)), "x")
			d := decoder{bounds: m.bounds()}
			n := uint64(0)
			d.fn = func(o *Op) error {
				n++
				return m.bounds().check(o)
			}
			got, err := s.scan(segmentID{1, 1}, d.block)
			if cap(s.buf) > blockHeaderSize+maxBlock {
				t.Fatalf("the reader took %d bytes", cap(s.buf))
			}
			if err != nil {
				if strings.Contains(err.Error(), "\n") {
					t.Fatalf("more than a line: %q", err)
				}
				continue
			}
			if n != got.next-got.first || got.end > int64(len(b)) {
				t.Fatalf("%d operations of %+v in %d bytes", n, got, len(b))
			}
			// What was read writes the same bytes again.
			if got.header {
				again := appendHeader(nil, segmentID{1, 1}, got.first)
				first := got.first
				_, err := newScanner(bytes.NewReader(b), got.end, "x").scan(segmentID{1, 1}, func(s *scanner, off int64, blk block) error {
					var ops []Op
					d := decoder{bounds: m.bounds(), fn: func(o *Op) error { ops = append(ops, *o); return nil }}
					if err := d.block(s, off, blk); err != nil {
						return err
					}
					again = append(again, segmentOf(segmentID{1, 1}, first, 0, ops)[headerSize:]...)
					first += uint64(len(ops))
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if got.mark != 0 {
					again = append(again, segmentOf(segmentID{1, 1}, first, got.mark)[headerSize:]...)
				}
				if !bytes.Equal(again, b[:got.end]) {
					t.Fatalf("read %x\nwrote %x", b[:got.end], again)
				}
			}
		}
	})
}

// resealAll makes the checksums of what looks like a segment right.
func resealAll(b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) < headerSize {
		return b
	}
	reseal(b[:headerSize])
	for off := headerSize; off+blockHeaderSize <= len(b); {
		n := int(b[off+4]) | int(b[off+5])<<8 | int(b[off+6])<<16
		end := off + blockHeaderSize + n
		if end > len(b) {
			break
		}
		resealBlock(b[off:end])
		off = end
	}
	return b
}

func reseal(header []byte) {
	binary.LittleEndian.PutUint32(header[32:], crc32.Checksum(header[:32], castagnoli))
}

func resealBlock(b []byte) { binary.LittleEndian.PutUint32(b[16:], blockChecksum(b)) }
