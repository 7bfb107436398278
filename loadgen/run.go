package loadgen

import (
	"context"
	"fmt"
	"time"
)

// Run implements [Generator].
func (e *engine) Run(ctx context.Context, d time.Duration) error {
	e.mu.Lock()
	e.runs++
	pacer := PoissonPacer{Rate: e.w.Rate, Seed: uint64(e.w.Seed) + e.runs<<48}
	e.mu.Unlock()
	var (
		start = time.Duration(-1)
		upTo  time.Duration // of the schedule, drawn so far
		due   []time.Duration
	)
	ph := &phase{emit: func(now time.Duration) bool {
		if start < 0 {
			start = now
			e.stats.lag.Reset()
		}
		to := min(now-start, d)
		due = pacer.Due(due[:0], upTo, to)
		upTo = max(upTo, to)
		for _, at := range due {
			intended := start + at
			_ = e.stats.lag.RecordValue((now - intended).Microseconds())
			e.issue(e.s.draw(now), intended, now)
		}
		return upTo >= d
	}}
	if err := e.begin(ph); err != nil {
		return err
	}
	e.finish(ctx, ph)
	switch {
	case upTo >= d:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("load ended after %v of %v: %w", upTo.Round(time.Millisecond), d, context.Cause(ctx))
	}
	return fmt.Errorf("load ended after %v of %v: the load generator was closed", upTo.Round(time.Millisecond), d)
}
