package slo

import (
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/fivenines/fivenines/loadgen/history"
)

// totals are the load of all trials.
type totals struct {
	intended, ok, failed, unknown, unsent uint64
	all, read, write                      latencies
	served                                float64 // operations answered in time before the first fault
	servedIn                              float64 // seconds
}

// before is what was seen of the load before the first fault.
type before struct {
	span     span
	intended int // all classes
	good     int
	unsent   int
	read     latencies
	write    latencies
	lag      *hdrhistogram.Histogram // computed from the operations, where the generator said nothing
}

// latencies in microseconds, to one part in a thousand; the maximum is exact.
type latencies struct {
	h   *hdrhistogram.Histogram
	max time.Duration
}

func (l *latencies) add(d time.Duration) {
	if l.h == nil {
		l.h = newHistogram()
	}
	l.max = max(l.max, d)
	tally(l.h, d)
}

func (l *latencies) join(o *latencies) {
	if o.h == nil {
		return
	}
	if l.h == nil {
		l.h = newHistogram()
	}
	l.h.Merge(o.h)
	l.max = max(l.max, o.max)
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(time.Hour/time.Microsecond), 3)
}

func tally(h *hdrhistogram.Histogram, d time.Duration) {
	// Beyond the hour at which the histogram ends, the hour is what is counted.
	_ = h.RecordValue(min(int64(d/time.Microsecond), int64(time.Hour/time.Microsecond)))
}

func (l *latencies) summary() *Latency {
	if l.h == nil {
		return nil
	}
	ms := func(q float64) float64 {
		return min(float64(l.h.ValueAtQuantile(q))/1e3, millis(l.max))
	}
	return &Latency{P50: ms(50), P99: ms(99), P999: ms(99.9), Max: millis(l.max)}
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// measureLoad counts what was offered and served.
func (t *trial) measureLoad(sum *totals) {
	b := &t.load
	b.span = t.beforeFault()
	ops := 0
	t.ops.each(func(o *history.Op) {
		if o.Class == history.Audit || o.Class == history.Stream || t.loadOf(o) < 0 {
			return
		}
		ops++
		sum.intended++
		switch o.Outcome {
		case history.OK:
			sum.ok++
		case history.Failed:
			sum.failed++
		case history.Unknown:
			sum.unknown++
		case history.Unsent:
			sum.unsent++
		}
		if o.Outcome != history.Unsent {
			l := o.Latency()
			sum.all.add(l)
			if o.Kind == history.Read {
				sum.read.add(l)
			} else {
				sum.write.add(l)
			}
		}
		if !b.span.has(o.Intended) {
			return
		}
		b.intended++
		if o.Outcome != history.Unsent {
			if o.Kind == history.Read {
				b.read.add(o.Latency())
			} else {
				b.write.add(o.Latency())
			}
		}
		if !t.bad(o) {
			b.good++
		}
		if o.Outcome == history.Unsent {
			b.unsent++
		} else if t.lag == nil {
			if b.lag == nil {
				b.lag = newHistogram()
			}
			tally(b.lag, o.Start-o.Intended)
		}
	})
	if t.lag == nil && b.lag != nil {
		t.lag = ptr(float64(b.lag.ValueAtQuantile(99.9)) / 1e3)
	}
	if l := b.read.summary(); l != nil {
		t.m.ReadP99 = value(round(l.P99))
	}
	if l := b.write.summary(); l != nil {
		t.m.WriteP99 = value(round(l.P99))
	}
	if d := b.span.len().Seconds(); d > 0 {
		sum.served += float64(b.good)
		sum.servedIn += d
		if asked := t.asked(d); asked > 0 {
			t.m.Capacity = value(round(float64(b.good) / asked))
		}
	}
}

// asked is how many operations were asked for in the d seconds before the fault:
// those that the schedule called for, as long as they are what chance makes of the
// target rate (four standard deviations of a Poisson process), else what the rate says.
func (t *trial) asked(d float64) float64 {
	want := t.manifest.TargetRPS * d
	if got := float64(t.load.intended); math.Abs(got-want) <= 4*math.Sqrt(want) {
		return got
	}
	return want
}

// beforeFault is the load before the first fault, less the deadline in which
// operations are in flight when it comes; all of the main load where there is
// no fault.
func (t *trial) beforeFault() span {
	if len(t.loads) == 0 {
		return span{0, -1}
	}
	s := t.loads[0]
	if asked, ok := t.firstAsked(); ok {
		s.to = min(s.to, asked)
		if s.len() > 2*t.cfg.Deadline {
			s.to -= t.cfg.Deadline
		}
	}
	return s
}

func (s *totals) fill(l *Load, trials []*trial) {
	l.Intended, l.OK, l.Failed, l.Unknown, l.Unsent = s.intended, s.ok, s.failed, s.unknown, s.unsent
	if s.servedIn > 0 {
		l.AchievedRPS = round(s.served / s.servedIn)
	}
	if all := s.all.summary(); all != nil {
		l.Latency = *all
	}
	l.Read, l.Write = s.read.summary(), s.write.summary()
	var cpu, load float64
	for _, t := range trials {
		if t.lag != nil {
			l.ScheduleLagMSP999 = max(l.ScheduleLagMSP999, *t.lag)
		}
		if len(t.loads) > 0 {
			cpu += t.cpu
			load += t.loads[0].len().Seconds()
		}
	}
	if load > 0 {
		l.GeneratorCPU = round(cpu / load)
	}
}
