package checker

import (
	"cmp"
	"slices"
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
)

// Eventual is what reads that any replica may answer show of one session: the
// session guarantees of Terry et al., Session Guarantees for Weakly Consistent
// Replicated Data, 1994, and how old the states were.
type Eventual struct {
	Reads    int // that got an answer
	AfterOwn int // of them, begun after a write of the same client was acknowledged
	Again    int // of them, begun after a read of the same client had found a state

	// ReadYourWrites counts the reads that lack a write that their client had
	// acknowledged before they began; NonMonotonic those that found a state older
	// than one that a read of the same client had found before they began.
	ReadYourWrites, NonMonotonic int

	// Staleness is, of each read that found a state that was not the last, how
	// long ago at least an acknowledged write had replaced that. Other reads
	// have none.
	Staleness []time.Duration
	Worst     int // the operation that was most stale, if one was
}

// replica is what the check of eventual reads keeps between sessions.
type replica struct {
	reads   []replicaRead // by client and start
	byEnd   []int         // indexes into reads, of one client at a time
	applied []time.Duration
	nextAck []time.Duration
	found   []time.Duration // end of the first read of the client that found the write's state
	acks    []int           // acknowledged writes by client and acknowledgement

	single bool          // the session can't have been made twice, and so not after its end
	alive  time.Duration // it certainly existed then, or later
}

// replicaRead is one eventual read.
type replicaRead struct {
	op     int
	client uint16
	write  int           // the state found; absent where there was none
	until  time.Duration // what its client knows of keeps the session until then
	seen   bool          // it takes part in what later reads are held against
}

const absent = -1

// eventual judges the reads that any replica may answer. They say nothing about
// the one state that the session has, but for the states that nobody wrote.
func (c *Checker) eventual() {
	if len(c.replicaReads) == 0 {
		return
	}
	e := &c.replica
	c.f.Eventual.Reads = len(c.replicaReads)
	c.findReplicaReads()
	c.orderApplied()
	most := time.Duration(0)
	for i := range e.reads {
		if d := c.staleness(&e.reads[i]); d > 0 {
			if d > most {
				most, c.f.Eventual.Worst = d, e.reads[i].op
			}
			c.f.Eventual.Staleness = append(c.f.Eventual.Staleness, d)
		}
	}
	slices.SortStableFunc(e.reads, func(a, b replicaRead) int { return cmp.Compare(a.client, b.client) })
	ack := 0
	for from := 0; from < len(e.reads); {
		to := from
		for to < len(e.reads) && e.reads[to].client == e.reads[from].client {
			to++
		}
		c.readYourWrites(e.reads[from:to], &ack)
		c.monotonicReads(e.reads[from:to])
		from = to
	}
}

// findReplicaReads finds the state behind each read, and what must keep the
// session alive at that time.
func (c *Checker) findReplicaReads() {
	e := &c.replica
	e.reads = e.reads[:0]
	c.refreshes()
	next, guard := 0, c.initial()
	for _, i := range c.replicaReads {
		o := &c.ops[i]
		for ; next < len(c.refs) && c.ops[c.refs[next]].End < o.Start; next++ {
			guard.refresh(&c.ops[c.refs[next]])
		}
		r := replicaRead{op: i, client: o.Client, write: absent, until: guard.until}
		if o.Corrupt {
			c.corrupt(i)
			continue
		}
		if !o.Absent {
			if r.write = c.source(i); r.write < 0 {
				continue
			}
		}
		e.reads = append(e.reads, r)
	}
}

// orderApplied says by when each write has certainly taken effect, by what
// anybody knows, and what follows from that.
func (c *Checker) orderApplied() {
	e := &c.replica
	e.applied = slices.Grow(e.applied[:0], len(c.writes))
	only, creates := -1, 0
	e.alive = first
	for i := range c.writes {
		w := &c.writes[i]
		e.applied = append(e.applied, w.bound())
		if w.kind == history.Create && w.fate != void {
			only = i
			creates++
		}
	}
	exists := c.born != never
	for i := range e.reads {
		if r := &e.reads[i]; r.write != absent {
			e.applied[r.write] = min(e.applied[r.write], c.ops[r.op].End)
			exists = true
		}
	}
	if creates == 1 && exists {
		e.applied[only] = first // see firstCreate
	}
	for i := range c.writes {
		if e.applied[i] != never {
			e.alive = max(e.alive, c.writes[i].start)
		}
	}
	for _, i := range c.present {
		e.alive = max(e.alive, c.ops[i].Start)
	}
	e.single = creates <= 1
	e.nextAck = slices.Grow(e.nextAck[:0], len(c.writes)+1)[:len(c.writes)+1]
	e.nextAck[len(c.writes)] = never
	for i := len(c.writes) - 1; i >= 0; i-- {
		e.nextAck[i] = min(e.nextAck[i+1], c.writes[i].ack)
	}
	e.acks = e.acks[:0]
	for i := range c.writes {
		if c.writes[i].fate == acked {
			e.acks = append(e.acks, i)
		}
	}
	slices.SortFunc(e.acks, func(a, b int) int {
		return cmp.Or(cmp.Compare(c.ops[c.writes[a].op].Client, c.ops[c.writes[b].op].Client), cmp.Compare(c.writes[a].ack, c.writes[b].ack), a-b)
	})
	e.found = slices.Grow(e.found[:0], len(c.writes))[:len(c.writes)]
	for i := range e.found {
		e.found[i] = never
	}
}

// mayHaveEnded says whether the session may have been closed, or have expired,
// by the time a read ended, if nothing kept it longer than until.
func (c *Checker) mayHaveEnded(r *replicaRead, until time.Duration) bool {
	end := c.ops[r.op].End
	return !c.replica.single || c.replica.alive <= end && (c.closeStart <= end || until <= end)
}

// older says whether a state was certainly there before another (-1: none).
func (c *Checker) older(write, than int) bool {
	return than >= 0 && than != write && c.writes[than].start > c.replica.applied[write]
}

// staleness is how long before the read a state was certainly replaced.
func (c *Checker) staleness(r *replicaRead) time.Duration {
	e := &c.replica
	at := never
	switch {
	case r.write != absent:
		at = e.nextAck[max(c.begunAfter(e.applied[r.write]), r.write+1)]
		if e.single {
			at = min(at, c.closeAck)
		}
	case !c.mayHaveEnded(r, r.until):
		at = e.nextAck[0] // as the session was before it was created
	}
	return max(0, c.ops[r.op].Start-at)
}

// readYourWrites judges the reads of one client. ack is the first of the
// acknowledged writes that does not belong to a client before.
func (c *Checker) readYourWrites(reads []replicaRead, ack *int) {
	e := &c.replica
	client := reads[0].client
	for ; *ack < len(e.acks) && c.ops[c.writes[e.acks[*ack]].op].Client < client; *ack++ {
	}
	own := -1 // the write that began last, of those that were acknowledged
	for i := range reads {
		r := &reads[i]
		o := &c.ops[r.op]
		for ; *ack < len(e.acks); *ack++ {
			w := e.acks[*ack]
			if c.ops[c.writes[w].op].Client != client || c.writes[w].ack >= o.Start {
				break
			}
			own = c.laterStart(own, w)
		}
		if own >= 0 {
			c.f.Eventual.AfterOwn++
		}
		switch {
		case r.write == absent:
			if own >= 0 && !c.mayHaveEnded(r, r.until) {
				c.lacks(r, "not found at %s by its own writer, whose sequence %d had been acknowledged at %s", secs(o.Start), c.writes[own].seq, secs(c.writes[own].ack))
			}
		case c.older(r.write, own):
			c.lacks(r, "sequence %d was found at %s by its own writer, whose sequence %d had been acknowledged at %s", o.Seq, secs(o.Start), c.writes[own].seq, secs(c.writes[own].ack))
		case c.closeAck < o.Start && c.closer == client && e.single:
			c.lacks(r, "sequence %d was found at %s by its own writer, whose close had been acknowledged at %s", o.Seq, secs(o.Start), secs(c.closeAck))
		}
	}
}

func (c *Checker) lacks(r *replicaRead, format string, args ...any) {
	c.f.Eventual.ReadYourWrites++
	c.f.violate(ReadYourWrites, r.op, format, args...)
}

// lastTwo are, of the reads that count, the one that began last and the one that
// began last among those that found another state than that.
type lastTwo struct {
	write [2]int
	start [2]time.Duration
}

func (l *lastTwo) add(write int, start time.Duration) {
	switch {
	case write == l.write[0]:
		l.start[0] = max(l.start[0], start)
	case start >= l.start[0]:
		l.write[1], l.start[1] = l.write[0], l.start[0]
		l.write[0], l.start[0] = write, start
	case start >= l.start[1]:
		l.write[1], l.start[1] = write, start
	}
}

// other is the latest start of a read that found another state.
func (l *lastTwo) other(write int) time.Duration {
	if l.write[0] == write {
		return l.start[1]
	}
	return l.start[0]
}

// monotonicReads judges the reads of one client against those that had ended
// before. A state is older than another that certainly took effect after it, and
// than one that a read has found between two that found it, whatever the order of
// the writes. A session that is gone is in its last state.
func (c *Checker) monotonicReads(reads []replicaRead) {
	e := &c.replica
	e.byEnd = e.byEnd[:0]
	for i := range reads {
		e.byEnd = append(e.byEnd, i)
	}
	slices.SortFunc(e.byEnd, func(a, b int) int { return cmp.Or(cmp.Compare(c.ops[reads[a].op].End, c.ops[reads[b].op].End), a-b) })
	var (
		newest = -1 // of the states found, the one that was written last
		until  time.Duration
		gone   = -1 // the first read that found that the session had ended
		last   = lastTwo{write: [2]int{absent, absent}, start: [2]time.Duration{first, first}}
		next   int
	)
	for i := range reads {
		r := &reads[i]
		o := &c.ops[r.op]
		for ; next < len(e.byEnd) && c.ops[reads[e.byEnd[next]].op].End < o.Start; next++ {
			p := &reads[e.byEnd[next]]
			switch {
			case !p.seen:
			case p.write == absent:
				if gone < 0 {
					gone = p.op
				}
			default:
				w := &c.writes[p.write]
				newest = c.laterStart(newest, p.write)
				until = max(until, keeps(&c.ops[w.op]))
				e.found[p.write] = min(e.found[p.write], c.ops[p.op].End)
				last.add(p.write, c.ops[p.op].Start)
			}
		}
		if newest >= 0 {
			c.f.Eventual.Again++
		}
		switch {
		case r.write == absent && newest < 0: // perhaps it is not created yet, where this was read
		case r.write == absent && !c.mayHaveEnded(r, until):
			c.goesBack(r, "not found at %s, after the same client had found sequence %d, and nobody closed it", secs(o.Start), c.writes[newest].seq)
		case r.write == absent:
			r.seen = true
		case gone >= 0 && e.single:
			c.goesBack(r, "sequence %d was found at %s, after the same client had found at %s that the session was over", o.Seq, secs(o.Start), secs(c.ops[gone].Start))
		case c.older(r.write, newest):
			c.goesBack(r, "sequence %d was found at %s, after the same client had found sequence %d", o.Seq, secs(o.Start), c.writes[newest].seq)
		case last.other(r.write) > e.found[r.write]:
			c.goesBack(r, "sequence %d was found at %s, and before that, but with another state in between: no order of the writes explains it", o.Seq, secs(o.Start))
		default:
			r.seen = true
		}
	}
	for i := range reads {
		if w := reads[i].write; w != absent {
			e.found[w] = never // for the next client
		}
	}
}

func (c *Checker) goesBack(r *replicaRead, format string, args ...any) {
	c.f.Eventual.NonMonotonic++
	c.f.violate(MonotonicReads, r.op, format, args...)
}
