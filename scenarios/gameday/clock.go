package gameday

import (
	"context"
	"time"
)

// Clock is the time of day, so that tests need not wait for it.
type Clock interface {
	Now() time.Time
	// Until waits for an instant, and returns the context's error if that ends first.
	Until(ctx context.Context, t time.Time) error
}

// WallClock is the machine's clock. It looks at it every half a minute: a
// machine that slept, or whose clock was set, is not late by that.
type WallClock struct{}

// Now is without a monotonic reading, which stands still while a machine sleeps.
func (WallClock) Now() time.Time { return time.Now().Round(0) }

// Until waits.
func (c WallClock) Until(ctx context.Context, t time.Time) error {
	for {
		left := t.Sub(c.Now())
		if left <= 0 {
			return ctx.Err()
		}
		timer := time.NewTimer(min(left, 30*time.Second))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}
