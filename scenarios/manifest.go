package scenarios

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
)

// manifest is what the record says of the run beside operations and events.
func (r *run) manifest() history.Manifest {
	m := history.Manifest{
		Schema:   "fivenines-manifest/v1",
		Scenario: r.spec.Name,
		Seed:     r.spec.Seed,
		Backend:  r.opt.Backend.Name(),
		Target:   r.opt.Target.Name(),
		Mutant:   r.opt.Mutant,
		Started:  time.Now(),
		// Some targets know their partitions only once they run.
		Partitions: max(r.opt.Target.Partitions(), r.topo.Shards),
		Trials:     r.spec.Trials,
		MaxTrials:  r.spec.MaxTrials,
		TargetRPS:  r.spec.Workload.Rate,
		Sessions:   r.spec.Workload.Sessions,
		Deadline:   time.Duration(r.rules.Deadline),
		Machine:    Machine(),
		Version:    r.opt.Version,
		Command:    r.opt.Command,
	}
	for _, a := range r.topo.Regions {
		info := history.RegionInfo{Name: a.Name, Role: a.Role, RTT: map[string]time.Duration{}}
		for _, b := range r.topo.Regions {
			info.RTT[b.Name] = time.Duration(r.topo.Path(a.Name, b.Name).RTT)
		}
		m.Regions = append(m.Regions, info)
	}
	for _, n := range r.topo.Nodes() {
		m.Nodes = append(m.Nodes, history.NodeInfo{ID: n.ID, Region: n.Region})
	}
	return m
}

// Machine describes where this runs: cores, memory, kernel, as far as the
// system tells.
func Machine() string {
	parts := []string{fmt.Sprintf("%d cores", runtime.NumCPU())}
	if kb := memTotalKB(); kb > 0 {
		parts = append(parts, fmt.Sprintf("%.0f GB memory", float64(kb)/1e6))
	}
	os := runtime.GOOS + "/" + runtime.GOARCH
	if release := readWord("/proc/sys/kernel/osrelease"); release != "" {
		os += " " + release
	}
	return strings.Join(append(parts, os, runtime.Version()), ", ")
}

func memTotalKB() int64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kb
		}
	}
	return 0
}

func readWord(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
