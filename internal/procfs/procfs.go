// Package procfs reads from /proc what the harness has to know of a process
// that it must be sure about: its state, and when it started, so that a
// process id that was given out again is never taken for the old process.
package procfs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Stat is a part of /proc/PID/stat.
type Stat struct {
	State  byte  // R, S, D, T (stopped), t (traced), Z (zombie), X
	Parent int   // process id
	Start  int64 // clock ticks after boot
}

// Gone says that the process has ended, reaped or not.
func (s Stat) Gone() bool { return s.State == 'Z' || s.State == 'X' || s.State == 'x' }

// Stopped says that the task was stopped by a signal.
func (s Stat) Stopped() bool { return s.State == 'T' || s.State == 't' }

// Read returns the stat of a process; fs.ErrNotExist if there is none.
func Read(pid int) (Stat, error) { return read(fmt.Sprintf("/proc/%d/stat", pid)) }

// Tasks returns the stat of each thread of a process.
func Tasks(pid int) ([]Stat, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		return nil, err
	}
	var all []Stat
	for _, f := range files {
		s, err := read(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a thread that ended meanwhile
		}
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("process %d: %w", pid, fs.ErrNotExist)
	}
	return all, nil
}

// Children returns the ids of the processes that a process has started and not
// reaped; none if it is gone.
func Children(pid int) ([]int, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return childrenByParent(pid)
	}
	var all []int
	for _, f := range files {
		b, err := os.ReadFile(f)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // a thread that ended meanwhile
		}
		if err != nil {
			return nil, err
		}
		for _, w := range strings.Fields(string(b)) {
			n, err := strconv.Atoi(w)
			if err != nil {
				return nil, fmt.Errorf("%s: %q is no process id", f, w)
			}
			all = append(all, n)
		}
	}
	return all, nil
}

// childrenByParent is for kernels without lists of children.
func childrenByParent(pid int) ([]int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var all []int
	for _, f := range files {
		if s, err := read(f); err == nil && s.Parent == pid {
			n, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			all = append(all, n)
		}
	}
	return all, nil
}

func read(file string) (Stat, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, syscall.ESRCH) {
		err = fmt.Errorf("%s: %w", file, fs.ErrNotExist)
	}
	if err != nil {
		return Stat{}, err
	}
	return parse(b)
}

// parse reads "PID (COMM) STATE ... " where COMM may hold anything.
func parse(b []byte) (Stat, error) {
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return Stat{}, fmt.Errorf("stat %q: no command", b)
	}
	f := strings.Fields(string(b[i+1:]))
	const state, parent, start = 0, 1, 19 // fields 3, 4 and 22 of proc(5)
	if len(f) <= start || len(f[state]) != 1 {
		return Stat{}, fmt.Errorf("stat %q: too few fields", b)
	}
	ticks, err := strconv.ParseInt(f[start], 10, 64)
	if err != nil {
		return Stat{}, fmt.Errorf("stat %q: start time: %w", b, err)
	}
	ppid, err := strconv.Atoi(f[parent])
	if err != nil {
		return Stat{}, fmt.Errorf("stat %q: parent: %w", b, err)
	}
	return Stat{State: f[state][0], Parent: ppid, Start: ticks}, nil
}

// BootID tells one boot of the machine from another; "" where it is unknown.
func BootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
