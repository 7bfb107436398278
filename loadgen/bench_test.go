package loadgen

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/loadgen/internal/fakeresp"
	"github.com/fivenines/fivenines/loadgen/resp"
)

// serveEnv makes the test binary be the servers of a benchmark, so that the CPU
// of this process is the generator's own.
const serveEnv = "LOADGEN_BENCH_SERVERS"

// serveBench runs servers until its standard input ends.
func serveBench(n int) error {
	store := fakeresp.NewStore(false)
	var servers []*fakeresp.Server
	var addrs []string
	for i := range n {
		s, err := fakeresp.Start(strconv.Itoa(i), store)
		if err != nil {
			return err
		}
		s.Delay(0, 85*time.Millisecond)
		servers = append(servers, s)
		addrs = append(addrs, s.Addr)
	}
	for _, s := range servers {
		s.Lead(func() (rs []resp.SlotRange) {
			for i := range 12 { // shards, led by the first three servers
				rs = append(rs, resp.SlotRange{Start: i * resp.Slots / 12, End: (i+1)*resp.Slots/12 - 1, NodeID: strconv.Itoa(i % min(3, n))})
			}
			return rs
		})
	}
	if err := json.NewEncoder(os.Stdout).Encode(addrs); err != nil {
		return err
	}
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
	for _, s := range servers {
		s.Close()
	}
	return nil
}

type sink struct{ n int }

func (s *sink) Record(ops []history.Op) { s.n += len(ops) }

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkGenerator offers 100,000 operations a second to eight entries in
// another process and reports the generator's cores, of the operating system's
// count and of its own.
func BenchmarkGenerator(b *testing.B) {
	for _, rate := range []float64{20_000, 100_000} {
		b.Run(fmt.Sprintf("%.0f/s", rate), func(b *testing.B) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), serveEnv+"=8")
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			runtime.LockOSThread() // the signal comes when the thread that forked ends
			defer runtime.UnlockOSThread()
			in, err := cmd.StdinPipe()
			require.NoError(b, err)
			out, err := cmd.StdoutPipe()
			require.NoError(b, err)
			require.NoError(b, cmd.Start())
			defer cmd.Wait()
			defer in.Close()
			var addrs []string
			require.NoError(b, json.NewDecoder(out).Decode(&addrs))

			epoch := time.Now()
			rec := &sink{}
			g, err := New(Workload{
				Sessions: 50_000, Rate: rate, Mix: mix(), ShortShare: 0.05, ShortTTL: 10 * time.Second,
				Clients: []RegionShare{{0, 1}}, Seed: 1, Witness: Witness{Region: 1, Rate: 200}, Contested: ContestedLoad{Sessions: 20, Rate: 200},
				Partition: func(key string) int { return resp.Slot([]byte(key)) * 12 / resp.Slots },
				Entries: func(int) (es []Entry) {
					for i, a := range addrs {
						es = append(es, Entry{Node: i, NodeID: strconv.Itoa(i), Region: i / 3, Address: a})
					}
					return es
				},
			}, rec, func() time.Duration { return time.Since(epoch) })
			require.NoError(b, err)
			defer g.Close()
			require.NoError(b, g.Fill(b.Context()))
			for b.Loop() {
				before, own, wall, n := cpu(), g.Snapshot(), time.Now(), rec.n
				g.Interval()
				require.NoError(b, g.Run(b.Context(), 4*time.Second))
				s, iv := g.Snapshot(), g.Interval()
				secs := time.Since(wall).Seconds()
				ops := float64(rec.n - n)
				b.ReportMetric((cpu()-before).Seconds()/secs, "cores")
				b.ReportMetric((s.CPU-own.CPU).Seconds()/secs, "own-cores")
				b.ReportMetric(float64((cpu()-before).Nanoseconds())/ops, "cpu-ns/op")
				b.ReportMetric(ops/secs, "ops/s")
				b.ReportMetric(float64(iv.Bad), "bad")
				b.ReportMetric(float64(s.LagP999.Microseconds())/1000, "lag-ms-p99.9")
				b.ReportMetric(float64(iv.ReadP99.Microseconds())/1000, "read-ms-p99")
				b.ReportMetric(float64(iv.WriteP99.Microseconds())/1000, "write-ms-p99")
			}
		})
	}
}
