package node

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// usage measures what share this process uses of the CPU and the memory that it
// may use. A container's limits are its cgroup's, which may change while it runs;
// of the CPU it is never more than the threads that run Go at one time.
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
		u.last = 100 * (used - u.cpu).Seconds() / wall.Seconds() / cpuLimit("/sys/fs/cgroup", float64(runtime.GOMAXPROCS(0)))
		u.cpu, u.at = used, now
	}
	return u.last, 100 * resident() / u.limit
}

// cpuLimit is how many CPUs a process may use: its cgroup's quota over the
// period, version 2 or 1, where that is less than most.
func cpuLimit(cgroup string, most float64) float64 {
	ratio := func(quota, period string) float64 {
		q, err := strconv.ParseFloat(quota, 64) // "max" or -1: none
		p, err2 := strconv.ParseFloat(period, 64)
		if err != nil || err2 != nil || q <= 0 || p <= 0 {
			return most
		}
		return min(most, q/p)
	}
	if b, err := os.ReadFile(filepath.Join(cgroup, "cpu.max")); err == nil {
		quota, period, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
		return ratio(quota, period)
	}
	quota, err := os.ReadFile(filepath.Join(cgroup, "cpu/cpu.cfs_quota_us"))
	if err != nil {
		return most
	}
	period, err := os.ReadFile(filepath.Join(cgroup, "cpu/cpu.cfs_period_us"))
	if err != nil {
		return most
	}
	return ratio(strings.TrimSpace(string(quota)), strings.TrimSpace(string(period)))
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
