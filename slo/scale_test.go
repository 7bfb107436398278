package slo

import (
	"context"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/loadgen/history"
)

// BenchmarkTenMillion judges a run of ten million operations whose record is
// its Parquet file. Run it alone (-bench TenMillion -benchtime 1x): peak-MB is the
// process's own, VmHWM after the record was made and forgotten.
func BenchmarkTenMillion(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "run")
	n := storedRun(b, dir, 10_000_000)
	debug.FreeOSMemory()
	require.NoError(b, os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)) // begin a new peak
	cfg := declared(b, map[string]string{Failover: "< 5 s", SessionLoss: "0", LostWrites: "0", Regressed: "0", StaleReads: "0", Expiry: "0", RPO: "< 1 s", RTO: "< 30 s"})
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		run, err := history.Open(dir)
		require.NoError(b, err)
		r, err := Analyze(run, cfg)
		require.NoError(b, err)
		require.Equal(b, uint64(n), r.Load.Intended)
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "ops/s")
	b.ReportMetric(peakMB(b), "peak-MB")
}

// storedRun writes a run of n operations of load as Parquet alone, and says how
// many there are.
func storedRun(b *testing.B, dir string, n int) int {
	rec := synthetic(n, 50_000)
	w, err := history.CreateDir(dir, rec.manifest)
	require.NoError(b, err)
	require.NoError(b, w.StartTrial(1))
	batch := make([]history.Op, 0, 4096)
	loaded := 0
	require.NoError(b, rec.ops(1, func(o *history.Op) error {
		if o.Kind != history.ReadBack && o.Kind != history.Create {
			loaded++
		}
		if batch = append(batch, *o); len(batch) == cap(batch) {
			w.Record(batch)
			batch = batch[:0]
		}
		return nil
	}))
	w.Record(batch)
	for _, e := range rec.events {
		w.Event(e)
	}
	require.NoError(b, w.Close())
	run, err := history.Open(dir)
	require.NoError(b, err)
	require.NoError(b, run.ExportParquet(context.Background(), filepath.Join(dir, "operations.parquet")))
	require.NoError(b, os.RemoveAll(filepath.Join(dir, "history")))
	return loaded
}

func peakMB(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(b, err)
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 64)
			require.NoError(b, err)
			return kb / 1024
		}
	}
	return 0
}
