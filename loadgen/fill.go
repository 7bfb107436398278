package loadgen

import (
	"context"
	"fmt"
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
)

// Fill implements [Generator]. A create that ended unknown is replaced by one of
// a new session. It takes at most 30 s and a millisecond a session.
func (e *engine) Fill(ctx context.Context) error {
	limit := 30*time.Second + time.Duration(e.w.Sessions)*time.Millisecond
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%v were not enough", limit))
	defer cancel()
	wanted, failed, errorReplies, last := e.wanted(), 0, 0, history.NoCause
	var ph *phase
	ph = &phase{
		emit: func(now time.Duration) bool {
			if failed > 3*wanted+10_000 || errorReplies > wanted+100 || e.missing() == 0 && e.slab.used == 0 {
				return true
			}
			for _, p := range e.s.pops {
				for p.size()+e.contestedOf(p) < p.target && e.slab.used < ph.window.open() {
					n, ses := e.s.born(p)
					e.issue(e.s.write(p, history.Create, n, ses), now, now)
				}
			}
			return false
		},
		ended: func(op *history.Op) {
			if op.Outcome != history.OK {
				failed++
				last = op.Cause
				if last == history.ErrorReply {
					errorReplies++
				}
			}
		},
	}
	if err := e.begin(ph); err != nil {
		return err
	}
	e.finish(ctx, ph)
	e.mu.Lock()
	missing, text := e.missing(), e.lastError
	e.mu.Unlock()
	switch {
	case missing == 0:
		return nil
	case last == history.ErrorReply:
		return fmt.Errorf("%d of %d sessions could not be created: the server answers %q", missing, wanted, text)
	case ctx.Err() != nil:
		return fmt.Errorf("%d of %d sessions could not be created: %w (%v); look at the entries' health", missing, wanted, context.Cause(ctx), last)
	}
	return fmt.Errorf("%d of %d sessions could not be created, the last for the reason %v; look at the entries' health", missing, wanted, last)
}

// contestedOf is the number of sessions of the contested population, which has
// no list of its own.
func (e *engine) contestedOf(p *population) int {
	if p.class == history.Contested {
		return len(e.s.contested)
	}
	return 0
}

func (e *engine) wanted() (n int) {
	for _, p := range e.s.pops {
		n += p.target
	}
	return n
}

// missing is the number of sessions that are not acknowledged yet.
func (e *engine) missing() (n int) {
	for _, p := range e.s.pops {
		n += max(0, p.target-len(p.live)-e.contestedOf(p))
	}
	return n
}
