package checker

import (
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
)

// final looks at what is left of the session at the end: which acknowledged
// writes are gone, and so which stale reads were the loss seen early.
func (c *Checker) final() {
	switch {
	case c.f.Lost:
		c.lostWithSession()
		c.countReads(len(c.obs))
	case c.f.Early:
		c.countReads(len(c.obs))
	default:
		explained := c.lostWrites()
		c.duplicated(explained)
		c.countReads(explained)
	}
}

// lostWithSession counts the acknowledged writes that went with a lost session.
func (c *Checker) lostWithSession() {
	q := &c.ops[c.firstLost]
	found := time.Duration(-1) // start of the newest write that was found before
	for i := range c.obs {
		if c.ops[c.obs[i].op].Start < q.End {
			found = max(found, c.writes[c.obs[i].write].start)
		}
	}
	last := -1
	for i := range c.writes {
		w := &c.writes[i]
		if w.fate != acked || w.ack > q.End {
			continue
		}
		last = i
		if w.start > found {
			c.f.LostWrites = append(c.f.LostWrites, w.ack)
		}
	}
	if len(c.f.LostWrites) == 0 && last >= 0 {
		c.f.LostWrites = append(c.f.LostWrites, c.writes[last].ack)
	}
	if last >= 0 {
		c.f.violate(LostWrite, c.firstLost, "sequence %d, acknowledged at %s, went with the session", c.writes[last].seq, secs(c.writes[last].ack))
	}
}

// lostWrites counts the acknowledged writes that the final observations show
// to be gone, and returns the first of the observations that this explains.
func (c *Checker) lostWrites() int {
	n := len(c.obs)
	if n == 0 {
		return n
	}
	from, readBack := n-1, false
	if p := c.phaseOf(&c.ops[c.obs[n-1].op]); p >= 0 {
		readBack = true
		for from > 0 && c.phaseOf(&c.ops[c.obs[from-1].op]) == p {
			from--
		}
	}
	best := from // the newest state that is left
	for i := from; i < n; i++ {
		if c.obs[i].over < 0 {
			return n
		}
		if c.writes[c.obs[i].write].start > c.writes[c.obs[best].write].start {
			best = i
		}
	}
	at := c.ops[c.obs[from].op].Start
	left := &c.writes[c.obs[best].write]
	lastLost := -1
	for i := range c.writes {
		w := &c.writes[i]
		switch {
		case w.fate == acked && w.start > at:
			c.f.LostWrites = nil
			return n // written over since: nothing is left to tell a loss by
		case w.fate == acked && w != left && w.start > left.bound() && w.ack < c.ops[c.obs[best].op].Start:
			c.f.LostWrites = append(c.f.LostWrites, w.ack)
			lastLost = i
		}
	}
	if lastLost < 0 {
		return n
	}
	c.f.Regressed = readBack
	k := &c.writes[lastLost]
	c.f.violate(LostWrite, c.obs[best].op, "sequence %d is what is left at %s, though sequence %d was acknowledged at %s", left.seq, secs(c.ops[c.obs[best].op].Start), k.seq, secs(k.ack))
	for from > 0 && (c.obs[from-1].over >= 0 || c.obs[from-1].back >= 0) {
		from--
	}
	return from
}

// phaseOf is the read-back phase that an operation belongs to: -1 if it is not
// a read-back, len(Phases) if it lies outside of all.
func (c *Checker) phaseOf(o *history.Op) int {
	if o.Kind != history.ReadBack {
		return -1
	}
	for i, p := range c.rules.Phases {
		if o.Start >= p.From && o.Start <= p.To {
			return i
		}
	}
	return len(c.rules.Phases)
}

// unread says whether a read-back phase left the fate of the session open.
func (c *Checker) unread() {
	if !c.f.Created || c.closeStart != never || c.f.Lost || c.f.Early || len(c.rules.Phases) == 0 {
		return
	}
	c.refreshes()
	for _, p := range c.rules.Phases {
		if c.born >= p.From {
			continue
		}
		guard := c.initial()
		for _, i := range c.refs {
			if c.ops[i].End < p.From {
				guard.refresh(&c.ops[i])
			}
		}
		if guard.until <= p.To {
			continue // it may have expired
		}
		answered := false
		for i := len(c.ops) - 1; i >= 0 && c.ops[i].Start >= p.From; i-- {
			o := &c.ops[i]
			answered = answered || o.Kind == history.ReadBack && o.Outcome == history.OK && o.Start <= p.To
		}
		if !answered {
			c.f.Unread = true
			return
		}
	}
}
