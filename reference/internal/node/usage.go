package node

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// usage measures what share this process uses of the CPU and the memory that it
// may use. A container's limit is its cgroup's; Go's runtime has set the number
// of threads to the CPU limit.
type usage struct {
	cpu, at time.Duration
	limit   float64 // bytes
	last    float64
}

func (u *usage) init() {
	u.limit = memoryLimit()
	u.cpu, u.at = cpuTime(), bootTime()
}

// sample returns percentages; of the CPU since the last sample. Samples that
// follow each other too quickly repeat the last.
func (u *usage) sample(now time.Duration) (cpu, memory float64) {
	if wall := now - u.at; wall >= 200*time.Millisecond {
		used := cpuTime()
		u.last = 100 * (used - u.cpu).Seconds() / wall.Seconds() / float64(runtime.GOMAXPROCS(0))
		u.cpu, u.at = used, now
	}
	return u.last, 100 * resident() / u.limit
}

func cpuTime() time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func resident() float64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	f := bytes.Fields(b)
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.ParseFloat(string(f[1]), 64)
	return pages * float64(os.Getpagesize())
}

func memoryLimit() float64 {
	var si unix.Sysinfo_t
	total := 1e18
	if unix.Sysinfo(&si) == nil {
		total = float64(si.Totalram) * float64(si.Unit)
	}
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if b, err := os.ReadFile(file); err == nil {
			if v, err := strconv.ParseFloat(string(bytes.TrimSpace(b)), 64); err == nil {
				total = min(total, v)
			}
		}
	}
	return total
}
