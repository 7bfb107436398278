package target

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stood is a stall after which requests that failed say nothing of the platform:
// it may have kept a node or a client from its turn for as long.
const stood = 250 * time.Millisecond

// calm runs a test of which requests fail while the platform does something that
// no client should notice. On a machine that stood still meanwhile it is tried
// again, twice; what failed while nothing stood still fails the test at once.
func calm(t *testing.T, try func(t *testing.T) (bad []string)) {
	for n := 1; ; n++ {
		var bad []string
		worst := stalls()
		whole := t.Run(fmt.Sprintf("try %d", n), func(t *testing.T) { bad = try(t) })
		stall := worst()
		if !whole || len(bad) == 0 {
			return
		}
		if stall < stood || n == 3 {
			require.Empty(t, bad, "the machine stood still for at most %v", stall)
		}
		t.Logf("the machine stood still for %v, again: %v", stall.Round(time.Millisecond), bad)
	}
}

// stalls begins to watch how late a timer is; the result ends it and says the most.
func stalls() func() time.Duration {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan time.Duration)
	go func() {
		const every = 10 * time.Millisecond
		tick := time.NewTicker(every)
		defer tick.Stop()
		var worst time.Duration
		for last := time.Now(); ; {
			select {
			case <-ctx.Done():
				done <- worst
				return
			case <-tick.C:
				now := time.Now()
				worst = max(worst, now.Sub(last)-every)
				last = now
			}
		}
	}()
	return func() time.Duration { cancel(); return <-done }
}
