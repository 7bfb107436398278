//go:build unix

package disk

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkCommit commits one entry of 8 KB to each of four groups: what a node
// writes in a turn of some hundred operations. It reports CPU beside time.
func BenchmarkCommit(b *testing.B) {
	for name, o := range map[string]Options{"plain": {}, "recorded": {RecordSync: true}, "nosync": {NoSync: true}} {
		b.Run(name, func(b *testing.B) {
			o.Dir = b.TempDir() + "/data"
			s := open(b, o)
			var batch Batch
			for g := range uint32(4) {
				batch.Appends = append(batch.Appends, Append{Group: g, Entries: big(1), HardState: hard(1, 1, 0)})
			}
			var before, after syscall.Rusage
			b.ReportAllocs()
			require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &before))
			i := uint64(0)
			for b.Loop() {
				i++
				for g := range batch.Appends {
					*batch.Appends[g].Entries[0].Index = i
					*batch.Appends[g].HardState.Commit = i - 1
				}
				require.NoError(b, s.Commit(&batch))
				if i%1000 == 0 {
					for g := range batch.Appends {
						require.NoError(b, s.SaveSnapshot(uint32(g), *snapshot(i, 1, make([]byte, 64<<10)), i))
					}
				}
			}
			require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &after))
			cpu := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
			b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-us/op")
			b.ReportMetric(float64(s.Metrics().WrittenBytes)/float64(b.N), "written-B/op")
		})
	}
}
