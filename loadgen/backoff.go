package loadgen

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is the pause before a reconnect, with jitter from the run's seed.
type backoff struct {
	next time.Duration
	rng  *rand.Rand
}

func newBackoff(e *engine, stream uint64) *backoff {
	return &backoff{next: redialMin, rng: rand.New(rand.NewPCG(uint64(e.w.Seed)^0xB0FF, stream))}
}

func (b *backoff) lived(d time.Duration) {
	if d > redialMax {
		b.next = redialMin
	}
}

func (b *backoff) sleep(ctx context.Context) {
	d := b.next/2 + time.Duration(b.rng.Int64N(int64(b.next/2)))
	b.next = min(2*b.next, redialMax)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
