package loadgen

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/fivenines/fivenines/loadgen/history"
)

// stats is guarded by the engine's lock, but for the meter.
type stats struct {
	total Stats
	lag   *hdrhistogram.Histogram // of the current or last Run, microseconds
	work  meter

	// Since the last call of Interval.
	since                time.Duration
	interval             Interval
	readTimes, writeTime *hdrhistogram.Histogram // microseconds
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, (10 * time.Minute).Microseconds(), 3)
}

func (s *stats) init() {
	s.lag, s.readTimes, s.writeTime = newHistogram(), newHistogram(), newHistogram()
}

// follows says whether the operation counts for availability; the witness is
// where it is to see things go wrong.
func follows(op *history.Op) bool {
	return op.Class == history.Follower || op.Class == history.Contested
}

func (s *stats) intended(op *history.Op) {
	s.total.Intended++
	if follows(op) {
		s.interval.Intended++
	}
}

func (s *stats) ended(op *history.Op, deadline time.Duration) {
	switch op.Outcome {
	case history.OK:
		s.total.OK++
	case history.Failed:
		s.total.Failed++
	case history.Unknown:
		s.total.Unknown++
	case history.Unsent:
		s.total.Unsent++
	}
	if !follows(op) {
		return
	}
	took := op.Latency()
	if op.Outcome == history.OK && took <= deadline {
		s.interval.OK++
	} else {
		s.interval.Bad++
	}
	h := s.readTimes
	if op.Kind.IsWrite() {
		h = s.writeTime
	}
	_ = h.RecordValue(took.Microseconds()) // out of range only after ten minutes
}

// Snapshot implements [Generator]. CPU is an estimate from a sample (see meter):
// everything that the loop does, system calls included; what Go's scheduler spends
// to wake it is not in it.
func (e *engine) Snapshot() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.stats.total
	s.LagP999 = time.Duration(e.stats.lag.ValueAtQuantile(99.9)) * time.Microsecond
	s.CPU = e.stats.work.total()
	for _, p := range e.s.pops {
		s.Live += len(p.live)
	}
	s.Live += len(e.s.contested)
	return s
}

// Interval implements [Generator]. It leaves out the witness and the read-back.
func (e *engine) Interval() Interval {
	fresh := [2]*hdrhistogram.Histogram{newHistogram(), newHistogram()}
	e.mu.Lock()
	s := &e.stats
	iv, rt, wt := s.interval, s.readTimes, s.writeTime
	now := e.clock()
	iv.Span = now - s.since
	s.since, s.interval, s.readTimes, s.writeTime = now, Interval{}, fresh[0], fresh[1]
	e.mu.Unlock()
	us := func(v int64) time.Duration { return time.Duration(v) * time.Microsecond }
	iv.ReadP99, iv.WriteP99 = us(rt.ValueAtQuantile(99)), us(wt.ValueAtQuantile(99))
	iv.Max = max(us(rt.Max()), us(wt.Max()))
	return iv
}
