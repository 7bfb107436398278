package loadgen

import (
	"context"
	"fmt"
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
)

// ReadBack implements [Generator]. Sessions whose time was over less than a
// minute ago are read as well: they must not be there any more. The reads come
// from clients that stand with the first share of followers.
func (e *engine) ReadBack(ctx context.Context, region int, perSecond float64) error {
	if perSecond <= 0 {
		return fmt.Errorf("read back at %g sessions a second", perSecond)
	}
	home := e.w.Clients[0].Region
	var entries []Entry
	for _, en := range e.w.Entries(home) {
		if en.Region == region {
			entries = append(entries, en)
		}
	}
	if len(entries) == 0 {
		return fmt.Errorf("read back: no entry stands in region %d", region)
	}
	pctx, stop := context.WithCancel(e.ctx)
	defer stop()
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return fmt.Errorf("read back: the load generator is closed")
	}
	p := newPool(e, entries, both(auditLinks))
	e.pools = append(e.pools, p)
	sessions := e.s.worthReading()
	e.mu.Unlock()
	p.start(pctx)

	pacer := ConstantPacer{Rate: perSecond}
	var (
		start   = time.Duration(-1)
		upTo    time.Duration
		due     fifo[time.Duration]
		buf     []time.Duration
		next    int
		silent  int
		ordinal = e.s.pops[0].client0
	)
	issue := func(intended, now time.Duration) {
		n := sessions[next]
		next++
		if e.s.all.get(n) == nil {
			return // over for more than a minute by now
		}
		e.issue(intent{kind: history.ReadBack, class: history.Audit, n: n, client: ordinal, region: uint8(home), pool: p.index}, intended, now)
	}
	var ph *phase
	ph = &phase{
		emit: func(now time.Duration) bool {
			if start < 0 {
				start = now
			}
			buf = pacer.Due(buf[:0], upTo, now-start)
			upTo = max(upTo, now-start)
			for _, at := range buf {
				due.push(start + at)
			}
			for due.len() > 0 && next < len(sessions) && e.slab.used < ph.window.open() {
				issue(due.pop(), now)
			}
			return next == len(sessions)
		},
		ended: func(op *history.Op) {
			if op.Outcome != history.OK {
				silent++
			}
		},
	}
	if err := e.begin(ph); err != nil {
		return err
	}
	e.finish(ctx, ph)

	// What was not reached is recorded as that.
	e.mu.Lock()
	now := e.clock()
	var rest []history.Op
	for _, n := range sessions[next:] {
		ses := e.s.all.get(n)
		if ses == nil {
			continue
		}
		op := history.Op{
			Intended: now, Start: now, End: now, Session: n, Kind: history.ReadBack, Class: history.Audit,
			Outcome: history.Unsent, Cause: history.Refused, Client: ordinal, Writer: ordinal,
			Partition: ses.part, Region: uint8(home), Node: history.NoNode,
		}
		e.stats.intended(&op)
		e.stats.ended(&op, e.w.Deadline)
		rest = append(rest, op)
	}
	e.mu.Unlock()
	if len(rest) > 0 {
		e.rec.Record(rest)
	}
	stop()
	e.retire(p)
	if silent += len(rest); silent > 0 {
		return fmt.Errorf("read back: %d of %d sessions got no answer from region %d: %w", silent, len(sessions), region, context.Cause(ctx))
	}
	return nil
}

// retire takes a pool, whose context has ended, out of the loop. It was the last
// to be added.
func (e *engine) retire(p *pool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p.hangUp()
	e.pools = e.pools[:len(e.pools)-1]
}
