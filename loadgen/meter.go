package loadgen

import (
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// meter estimates the processor time of pieces of work that share their process
// with others: of every few pieces one is measured on its thread's own clock,
// which stands still while the thread does not run, and counts for all.
type meter struct {
	n    atomic.Uint32
	busy atomic.Int64
}

// meterEvery has no common divisor with the loop's own periods.
const meterEvery = 7

// begin returns what end wants to have.
func (m *meter) begin() int64 {
	if m.n.Add(1)%meterEvery != 0 {
		return -1
	}
	runtime.LockOSThread()
	return threadTime()
}

func (m *meter) end(begun int64) {
	if begun < 0 {
		return
	}
	m.busy.Add(meterEvery * (threadTime() - begun))
	runtime.UnlockOSThread()
}

func (m *meter) total() time.Duration { return time.Duration(m.busy.Load()) }

func threadTime() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) != nil {
		return 0
	}
	return ts.Nano()
}
