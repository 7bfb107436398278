package history

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkRecord is the cost to the generator, in batches as its clients
// complete them. The disk is a real one, so ns/op includes its back pressure.
func BenchmarkRecord(b *testing.B) {
	for _, n := range []int{1, 32, 256} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			w, err := CreateDir(b.TempDir(), testManifest())
			require.NoError(b, err)
			require.NoError(b, w.StartTrial(1))
			ops := randomOps(newRand(1), n)
			b.ReportAllocs()
			b.SetBytes(recordSize)
			b.ResetTimer()
			for i := 0; i < b.N; i += n {
				w.Record(ops)
			}
			b.StopTimer()
			require.NoError(b, w.Close())
		})
	}
}

// BenchmarkRecordToMemory leaves the disk out.
func BenchmarkRecordToMemory(b *testing.B) {
	opt := defaults()
	real := opt.create
	opt.create = func(path string) (file, error) {
		if filepath.Ext(path) == ".seg" {
			return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		}
		return real(path)
	}
	w, err := create(b.TempDir(), testManifest(), opt)
	require.NoError(b, err)
	require.NoError(b, w.StartTrial(1))
	ops := randomOps(newRand(1), 32)
	b.ReportAllocs()
	b.SetBytes(recordSize)
	b.ResetTimer()
	for i := 0; i < b.N; i += len(ops) {
		w.Record(ops)
	}
	b.StopTimer()
	w.Close() // the null device can't be synced
}

const benchOps = 300_000

// BenchmarkOps and BenchmarkExportParquet are per run of 300,000 operations.
func BenchmarkOps(b *testing.B) {
	for _, from := range []string{"segments", "parquet"} {
		b.Run(from, func(b *testing.B) {
			dir := record(b, defaults(), loadLike(benchOps))
			r, err := Open(dir)
			require.NoError(b, err)
			if from == "parquet" {
				require.NoError(b, r.ExportParquet(context.Background(), filepath.Join(dir, OperationsFile)))
				require.NoError(b, os.RemoveAll(filepath.Join(dir, SegmentsDir)))
			}
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				require.NoError(b, r.Ops(1, func(*Op) error { n++; return nil }))
				require.Equal(b, benchOps, n)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchOps, "ns/operation")
		})
	}
}

func BenchmarkExportParquet(b *testing.B) {
	dir := record(b, defaults(), loadLike(benchOps))
	r, err := Open(dir)
	require.NoError(b, err)
	path := filepath.Join(dir, OperationsFile)
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, r.ExportParquet(context.Background(), path))
	}
	st, err := os.Stat(path)
	require.NoError(b, err)
	b.ReportMetric(float64(st.Size())/benchOps, "bytes/operation")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchOps, "ns/operation")
}
