package checker

import (
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
)

// absent judges the observations that did not find the session.
func (c *Checker) absent() {
	if len(c.absences) == 0 || c.born == never {
		return
	}
	lastPresent := time.Duration(-1)
	for _, i := range c.present {
		lastPresent = max(lastPresent, c.foundAt(i))
	}
	c.refreshes()
	early := false
	next, guard := 0, c.initial()
	for _, i := range c.absences {
		q := &c.ops[i]
		if q.Start <= c.born {
			continue // before it was created
		}
		for ; next < len(c.refs) && c.ops[c.refs[next]].End < q.Start; next++ {
			guard.refresh(&c.ops[c.refs[next]])
		}
		switch {
		case c.closeStart <= q.End:
			continue
		case q.End >= guard.until:
			c.f.Expired = true
			continue
		case lastPresent > q.End && !c.recreated(i):
			c.f.Stale++
			c.f.violate(StaleRead, i, "not found at %s, though it existed before and was found again", secs(q.Start))
		case c.firstLost < 0:
			c.firstLost = i
			ttl := guard.until - guard.at
			early = guard.until != never && lastPresent <= q.End && q.End-guard.at >= time.Duration(earlyShare*float64(ttl))
			c.f.Recreated = lastPresent > q.End
			if early {
				c.f.violate(EarlyExpiry, i, "not found at %s, %s after its last refresh began and %s before its time was over", secs(q.Start), secs(q.End-guard.at), secs(guard.until-q.End))
			} else {
				c.f.violate(LostSession, i, "not found at %s, though its last refresh began at %s, nobody closed it%s", secs(q.Start), secs(guard.at), ifStr(c.f.Recreated, ", and only states written afterwards are found later", ""))
			}
		}
	}
	if c.firstLost >= 0 {
		c.f.Early, c.f.Lost = early, !early
		c.f.Recreated = c.f.Recreated && c.f.Lost
	}
}

// foundAt is the earliest instant at which a present operation can have found
// the session: no sooner than the state found was written.
func (c *Checker) foundAt(op int) time.Duration {
	o := &c.ops[op]
	if n := c.find(o.Seq); n >= 0 {
		return max(o.Start, c.writes[n].start)
	}
	return o.Start
}

func ifStr(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

// guardian is the last acknowledged refresh: until then the session must exist.
type guardian struct{ at, until time.Duration }

func (g *guardian) refresh(o *history.Op) {
	if o.Start < g.at {
		return
	}
	g.at, g.until = o.Start, keeps(o)
}

// keeps is the instant from which on a session may be over, if nothing refreshes
// it after the operation; never where it does not expire.
func keeps(o *history.Op) time.Duration {
	if o.TTL == 0 {
		return never
	}
	return o.Start + ttlOf(o)
}

func ttlOf(o *history.Op) time.Duration { return time.Duration(o.TTL) * time.Millisecond }

// initial is what keeps a session that is known to exist, before any refresh of
// it was acknowledged: it may be as old as its first create.
func (c *Checker) initial() guardian {
	for i := range c.writes {
		if w := &c.writes[i]; w.kind == history.Create && w.fate != void {
			var g guardian
			g.refresh(&c.ops[w.op])
			return g
		}
	}
	return guardian{} // it was there before the record began: its age is not known
}

// refreshes lists the acknowledged refreshes by end.
func (c *Checker) refreshes() {
	if len(c.refs) > 0 {
		return
	}
	for i := range c.ops {
		if refreshes(&c.ops[i]) == acked {
			c.refs = append(c.refs, i)
		}
	}
	sortBy(c.refs, func(i int) time.Duration { return c.ops[i].End })
}

// refreshes says whether an operation restarted the idle clock.
func refreshes(o *history.Op) fate {
	switch o.Kind {
	case history.Create, history.Update, history.Touch:
		return fateOf(o)
	}
	return void
}

// recreated says whether, after the absence, only states that were written
// later are found: then the session was lost and made again in silence.
func (c *Checker) recreated(absence int) bool {
	q := &c.ops[absence]
	if q.Class == history.Witness {
		return false
	}
	writtenSince := false
	for _, i := range c.present {
		p := &c.ops[i]
		if c.foundAt(i) <= q.End {
			continue
		}
		n := c.find(p.Seq)
		if p.Exists || n < 0 || c.writes[n].start <= q.End {
			return false
		}
		writtenSince = true
	}
	return writtenSince
}

// expiry finds sessions that lived on after their time.
func (c *Checker) expiry() {
	var lastEnd, ttl time.Duration // of the refreshes so far, acknowledged or not
	any, open := false, false      // open: a create without an answer may take effect at any later time
	for i := range c.ops {
		o := &c.ops[i]
		found := o.Outcome == history.OK && strong(o) && !o.Absent && !o.Corrupt && o.Kind != history.Create
		if found && any && !open && ttl > 0 && o.Start > lastEnd+ttl {
			c.f.Expired = true
			over := lastEnd + ttl + c.rules.Grace
			if o.Start > over && !c.f.Late {
				if c.rules.Stopped != nil {
					over += c.rules.Stopped(o.Partition, lastEnd, o.Start)
				}
				if o.Start > over {
					c.f.Late = true
					c.f.violate(LateExpiry, i, "found at %s, %s after it should have been gone", secs(o.Start), secs(o.Start-over))
				}
			}
		}
		if fate := refreshes(o); fate != void {
			open = open || fate == unknown && o.Kind == history.Create
			if o.TTL == 0 {
				ttl = 0
			} else if !any || ttl > 0 {
				ttl = max(ttl, ttlOf(o))
			}
			lastEnd, any = max(lastEnd, o.End), true
		}
	}
}

// resurrection finds sessions that came back after their end.
func (c *Checker) resurrection() {
	gone, ending, why := c.closeAck, c.closeStart, -1
	c.refreshes()
	next, guard := 0, c.initial()
	for _, i := range c.absences {
		q := &c.ops[i]
		if q.Start <= c.born {
			continue
		}
		for ; next < len(c.refs) && c.ops[c.refs[next]].End < q.Start; next++ {
			guard.refresh(&c.ops[c.refs[next]])
		}
		if (c.closeStart <= q.End || q.End >= guard.until) && q.End < gone {
			gone, ending, why = q.End, q.Start, i
		}
	}
	if gone == never || c.mayComeBack(ending) {
		return
	}
	for _, i := range c.present {
		if c.foundAt(i) <= gone {
			continue
		}
		c.f.Resurrected = true
		if why >= 0 {
			c.f.violate(Resurrected, i, "found at %s, after it had ended and was seen to be gone at %s", secs(c.ops[i].Start), secs(c.ops[why].Start))
		} else {
			c.f.violate(Resurrected, i, "found at %s, after its close was acknowledged at %s", secs(c.ops[i].Start), secs(gone))
		}
		return
	}
}
