package loadgen

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/loadgen/resp"
)

// Connections to each entry, for each of reads and writes ([both]).
const (
	followerLinks = 2
	sampleLinks   = 1 // of the witness and the contested clients
	auditLinks    = 2
)

const (
	idleTick  = 10 * time.Millisecond
	checkTick = 10 * time.Millisecond
	idlePoll  = 100 // ticks between two looks at connections that owe nothing
)

// engine implements [Generator].
type engine struct {
	w     Workload
	rec   Recorder
	clock func() time.Duration
	tick  time.Duration // while a phase is on
	every int           // ticks between two that send

	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup // everything but the loop
	loopDone chan struct{}
	retick   chan struct{} // the phase changed
	homePool *pool         // of the first region's followers

	// mu guards everything below, and what pools, entries and links say it does.
	mu        sync.Mutex
	s         sessions
	slab      slab
	pools     []*pool
	deadlines fifo[overdue]
	delays    timeHeap[later]
	jitter    *rand.Rand
	phase     *phase
	done      []history.Op // to be recorded after the tick
	spare     []history.Op // of the loop alone
	dirty     []*link      // of the loop alone: to be flushed
	ticks     int
	checked   time.Duration
	acted     time.Duration
	maxOpen   int // operations outstanding, above which new ones are not sent
	closed    bool
	runs      uint64
	lastError string // text of the last error reply that is no refusal
	stats     stats
}

// phase is what Fill, Run and ReadBack make the loop do.
type phase struct {
	// emit draws what is due, and says whether nothing will ever be due again.
	emit func(now time.Duration) bool
	// ended, if it is set, is told of each operation that ended.
	ended   func(op *history.Op)
	window  window // of Fill and ReadBack
	emitted bool   // emit said so
	stop    bool   // end everything that is outstanding
	done    chan struct{}
}

// New makes a generator and begins to connect; Close stops it. clock is the time
// since the run's epoch, monotonic and never negative.
func New(w Workload, rec Recorder, clock func() time.Duration) (Generator, error) {
	if err := w.complete(); err != nil {
		return nil, fmt.Errorf("workload: %w", err)
	}
	e := &engine{
		w: w, rec: rec, clock: clock,
		tick:     time.Millisecond,
		every:    1,
		loopDone: make(chan struct{}),
		retick:   make(chan struct{}, 1),
		jitter:   rand.New(rand.NewPCG(uint64(w.Seed), 0x717E)),
		maxOpen:  int(1.5*w.Rate*w.Deadline.Seconds()) + 8192,
	}
	// Few and large packets are what keeps everybody's processor time low at high
	// rates: the clients', the links' and the system's own.
	switch {
	case w.Rate >= 50_000:
		e.tick = 2 * time.Millisecond
	case w.Rate >= 10_000:
		e.every = 2
	}
	e.stats.init()
	e.ctx, e.cancel = context.WithCancel(context.Background())
	if err := e.people(); err != nil {
		e.cancel()
		return nil, fmt.Errorf("workload: %w", err)
	}
	for _, p := range e.pools {
		p.start(e.ctx)
	}
	go e.loop()
	return e, nil
}

// complete fills in defaults and says what is wrong.
func (w *Workload) complete() error {
	if w.StateBytes == 0 {
		w.StateBytes = 256
	}
	if w.Deadline == 0 {
		w.Deadline = time.Second
	}
	if w.TTL == 0 {
		w.TTL = 5 * time.Minute
	}
	m := w.Mix
	switch {
	case w.Entries == nil:
		return errors.New("no Entries are given")
	case w.Sessions < 1 || w.Sessions > 1<<30:
		return fmt.Errorf("%d sessions, from 1 to 2^30 are possible", w.Sessions)
	case !(w.Rate > 0) || w.Rate > 1e8:
		return fmt.Errorf("a rate of %g operations a second", w.Rate)
	case w.StateBytes < MinStateBytes || w.StateBytes > MaxStateBytes:
		return fmt.Errorf("a state of %d bytes, from %d to %d are possible", w.StateBytes, MinStateBytes, MaxStateBytes)
	case w.TTL < time.Millisecond || w.TTL > 24*time.Hour || w.ShortTTL < 0 || w.ShortTTL > 24*time.Hour:
		return fmt.Errorf("a time-to-live of %v and %v, from 1ms to 24h are possible", w.TTL, w.ShortTTL)
	case w.ShortShare < 0 || w.ShortShare > 1 || w.ShortShare > 0 && w.ShortTTL < time.Millisecond:
		return fmt.Errorf("a share of %g sessions with a time-to-live of %v", w.ShortShare, w.ShortTTL)
	case m.Read < 0 || m.Update < 0 || m.Create < 0 || m.Touch < 0 || m.Close < 0 || math.Abs(m.Read+m.Update+m.Create+m.Touch+m.Close-1) > 0.001:
		return fmt.Errorf("the mix %+v does not sum to 1", m)
	case w.Zipf != 0 && w.Zipf <= 1:
		return fmt.Errorf("a Zipf exponent of %g, it must be over 1, or 0 for uniform keys", w.Zipf)
	case w.Deadline < 10*time.Millisecond:
		return fmt.Errorf("a deadline of %v", w.Deadline)
	case w.Witness.Rate < 0 || w.Contested.Rate < 0 || w.Eventual.Rate < 0 || w.Witness.Rate+w.Contested.Rate+w.Eventual.Rate > w.Rate:
		return fmt.Errorf("witness, contested and eventual rates of %g, %g and %g do not fit into %g", w.Witness.Rate, w.Contested.Rate, w.Eventual.Rate, w.Rate)
	case w.Eventual.Region < 0 || w.Eventual.Region > 255:
		return fmt.Errorf("eventual reads in region %d", w.Eventual.Region)
	case w.DNS != nil && (w.DNS.Server == "" || w.DNS.Names == nil):
		return errors.New("DNS without a server or names")
	case w.Home != nil && w.Partition == nil:
		return errors.New("homes of partitions are given, and no Partition")
	case w.Contested.Sessions < 0:
		return fmt.Errorf("%d contested sessions", w.Contested.Sessions)
	case len(w.Clients) == 0:
		return errors.New("no Clients are given")
	}
	sum := 0.0
	for _, c := range w.Clients {
		if c.Share <= 0 || c.Region < 0 || c.Region > 255 {
			return fmt.Errorf("a share of %g for the clients in region %d", c.Share, c.Region)
		}
		sum += c.Share
	}
	cs := make([]RegionShare, len(w.Clients))
	for i, c := range w.Clients {
		cs[i] = RegionShare{c.Region, c.Share / sum}
	}
	w.Clients = cs
	return nil
}

// people makes the populations, the clients and their pools.
func (e *engine) people() error {
	w := &e.w
	src := rand.NewPCG(uint64(w.Seed), 0x5E55)
	e.s = sessions{w: *w, rng: rand.New(src)}
	next := uint16(1)
	hire := func(n int) uint16 {
		c := next
		next += uint16(n)
		return c
	}
	add := func(p *population) *population {
		p.index = uint8(len(e.s.pops))
		e.s.pops = append(e.s.pops, p)
		return p
	}
	connect := func(region int, links [lanes]int, keep func(Entry) bool) (*pool, error) {
		var es []Entry
		for _, en := range w.Entries(region) {
			if keep == nil || keep(en) {
				es = append(es, en)
			}
		}
		if len(es) == 0 {
			return nil, fmt.Errorf("clients in region %d have no entry", region)
		}
		for _, en := range es {
			if en.Node < 0 || en.Node > history.NoNode {
				return nil, fmt.Errorf("entry %s is node %d, at most %d fit a history", en.Address, en.Node, history.NoNode)
			}
		}
		p := newPool(e, es, links)
		if w.DNS != nil && keep == nil {
			p.byName(w.DNS, region)
		}
		e.pools = append(e.pools, p)
		return p, nil
	}

	left := w.Sessions
	for i, c := range w.Clients {
		p, err := connect(c.Region, both(followerLinks), nil)
		if err != nil {
			return err
		}
		n := int(math.Round(float64(w.Sessions) * c.Share))
		if i == len(w.Clients)-1 {
			n = left
		}
		n = max(min(n, left), 0)
		left -= n
		pop := add(&population{
			class: history.Follower, region: uint8(c.Region), pool: p.index, share: c.Share,
			target: n, client0: hire(clientsPerRegion), clients: clientsPerRegion,
		})
		if w.Zipf > 1 && n > 1 {
			pop.zipf = rand.NewZipf(e.s.rng, w.Zipf, 1, uint64(n-1))
		}
		if i == 0 {
			e.homePool = p
		}
	}
	e.s.followers = len(e.s.pops)

	if w.Witness.Rate > 0 {
		r := w.Witness.Region
		p, err := connect(r, both(sampleLinks), func(en Entry) bool { return en.Region == r })
		if err != nil {
			return fmt.Errorf("witness: %w that stands there", err)
		}
		e.s.witness = add(&population{
			class: history.Witness, region: uint8(r), pool: p.index,
			target: witnessSessions, client0: hire(clientsPerRegion), clients: clientsPerRegion,
		})
	}
	if w.Contested.Rate > 0 && w.Contested.Sessions > 0 {
		first := hire(contestedWriters)
		regions := []int{w.Clients[0].Region}
		for _, r := range e.homePool.regions {
			if r != regions[0] {
				regions = append(regions, r)
			}
		}
		pools := map[int]*pool{}
		for i := range contestedWriters {
			r := regions[i%len(regions)]
			if pools[r] == nil {
				p, err := connect(r, both(sampleLinks), nil)
				if err != nil {
					return fmt.Errorf("contested: %w", err)
				}
				pools[r] = p
			}
			e.s.writers = append(e.s.writers, population{
				class: history.Contested, region: uint8(r), pool: pools[r].index, client0: first + uint16(i), clients: 1,
			})
		}
		// Client ids follow from the session's number, see born.
		add(&population{
			class: history.Contested, region: e.s.writers[0].region, pool: e.s.writers[0].pool,
			target: w.Contested.Sessions, client0: first, clients: contestedWriters,
		})
	}
	if w.Eventual.Rate > 0 {
		p, err := connect(w.Eventual.Region, [lanes]int{reads: sampleLinks}, func(Entry) bool { return true })
		if err != nil {
			return fmt.Errorf("eventual: %w", err)
		}
		p.anyReplica = true
		e.s.eventual = &population{class: history.Eventual, region: uint8(w.Eventual.Region), pool: p.index}
	}
	return nil
}

// begin makes the loop run a phase.
func (e *engine) begin(ph *phase) error {
	ph.done = make(chan struct{})
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errors.New("the load generator is closed")
	}
	if e.phase != nil {
		return errors.New("the load generator is busy with another phase")
	}
	e.phase = ph
	kick(e.retick)
	return nil
}

// finish waits for the phase, and ends it at once when ctx ends.
func (e *engine) finish(ctx context.Context, ph *phase) {
	select {
	case <-ph.done:
	case <-ctx.Done():
		e.mu.Lock()
		ph.stop = true
		e.mu.Unlock()
		<-ph.done
	}
}

// Close implements [Generator].
func (e *engine) Close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.cancel()
	<-e.loopDone
	e.wg.Wait()
	return nil
}

func (e *engine) loop() {
	t := time.NewTicker(idleTick)
	defer t.Stop()
	defer close(e.loopDone)
	idle := true
	for {
		select {
		case <-e.ctx.Done():
			e.mu.Lock()
			if e.phase != nil {
				e.phase.stop = true
			}
			e.mu.Unlock()
			e.step()
			e.mu.Lock()
			for _, p := range e.pools {
				p.hangUp()
			}
			e.mu.Unlock()
			return
		case <-e.retick:
		case <-t.C:
		}
		active := e.step()
		if active == idle {
			idle = !active
			if active {
				t.Reset(e.tick)
			} else {
				t.Reset(idleTick)
			}
		}
	}
}

// step is one tick. It says whether a phase is on.
func (e *engine) step() (active bool) {
	begun := e.stats.work.begin()
	defer func() { e.stats.work.end(begun) }()
	e.mu.Lock()
	e.ticks++
	for _, p := range e.pools {
		for _, en := range p.entries {
			for _, ls := range en.links {
				for _, l := range ls {
					if l.rc != nil && (l.owed.len() > 0 || e.ticks%idlePoll == 0) {
						e.listen(l)
					}
				}
			}
		}
	}
	now := e.clock() // not before any completion
	if now-e.checked >= checkTick {
		e.checked = now
		for _, p := range e.pools {
			p.check(now)
		}
		e.s.expire(now)
	}
	e.overdue(now)
	ph := e.phase
	switch {
	case ph != nil && ph.stop:
		e.abort(now)
	case ph == nil || e.ticks%e.every == 0:
		e.act(now)
	}
	finished := ph != nil && (ph.emitted || ph.stop) && e.slab.used == 0
	if finished {
		e.phase = nil
	}
	done := e.done
	e.done = e.spare[:0]
	e.mu.Unlock()

	if len(done) > 0 {
		e.rec.Record(done)
	}
	e.spare = done[:0]
	if finished {
		close(ph.done)
	}
	return ph != nil && !finished
}

// act sends what is due: retries, what waited, and what the phase draws.
func (e *engine) act(now time.Duration) {
	for _, p := range e.pools {
		p.choose(e.ticks / e.every)
	}
	for len(e.delays) > 0 && e.delays[0].at <= now {
		if f := e.delays.pop().ref; e.slab.get(f) != nil {
			e.submit(f, now)
		}
	}
	since := min(now-e.acted, 100*time.Millisecond)
	e.acted = now
	for _, p := range e.pools {
		p.letOut(now, since)
	}
	if ph := e.phase; ph != nil && !ph.emitted {
		ph.emitted = ph.emit(now)
	}
	for _, l := range e.dirty {
		l.dirty = false
		if l.rc == nil {
			continue
		}
		if l.rc.Flush() != nil {
			e.drop(l, now)
		}
	}
	e.dirty = e.dirty[:0]
	for _, p := range e.pools {
		p.each(func(l *link) {
			if l.rc != nil && len(l.rc.Out) > 0 {
				e.soil(l) // the kernel did not take it all: again in the next tick
			}
		})
	}
}

// soil notes that a connection has something to flush.
func (e *engine) soil(l *link) {
	if !l.dirty {
		l.dirty = true
		e.dirty = append(e.dirty, l)
	}
}

// listen takes the replies that have come on a connection.
func (e *engine) listen(l *link) {
	if err := l.rc.Poll(func(rs []resp.Reply) error { return e.answered(l, rs) }); err != nil {
		e.drop(l, e.clock())
	}
}

// issue makes a request of an intent. It is not sent if that is pointless.
func (e *engine) issue(in intent, intended, now time.Duration) {
	f, r := e.slab.take()
	ses := e.s.all.get(in.n)
	r.op = history.Op{
		Intended: intended, Start: now, Session: in.n, Seq: in.seq, TTL: in.ttl,
		Writer: in.client, Client: in.client, Region: in.region, Node: history.NoNode,
		Kind: in.kind, Class: in.class,
	}
	r.op.Partition, r.slot = ses.part, ses.slot
	r.pool = in.pool
	due := intended + e.w.Deadline
	if in.class == history.Audit {
		due = now + e.w.Deadline // of the first attempt
	}
	e.stats.intended(&r.op)
	if due <= now || e.slab.used > e.maxOpen {
		e.end(f, now, history.Unsent, history.Backpressure)
		return
	}
	e.deadlines.push(overdue{f, due})
	e.submit(f, now)
}

// submit sends a request, or parks it behind its gate.
func (e *engine) submit(f ref, now time.Duration) {
	r := &e.slab.rs[f.i]
	p := e.pools[r.pool]
	g, i := p.gate(r.op.Partition, lane(r.op.Kind))
	if g.shut {
		r.place = parked
		g.queue.push(f)
		p.list(g, i)
		return
	}
	e.send(f, r, p, g, now)
}

// send appends a request to a connection; without one it waits. It says whether
// it was sent.
func (e *engine) send(f ref, r *request, p *pool, g *gate, now time.Duration) bool {
	ln := lane(r.op.Kind)
	l := p.route(r.slot, g, ln)
	if l == nil {
		r.place = waiting
		p.wait[ln].push(f)
		return false
	}
	if r.sent {
		if r.op.Retries < math.MaxUint8 {
			r.op.Retries++
		}
	} else {
		r.sent, r.op.Start = true, max(now, r.op.Intended)
	}
	r.op.Node = uint8(l.en.Node)
	r.place = inflight
	l.owed.push(owed{f, now, l.rc.Queued(), r.op.Partition})
	l.rc.Out = appendRequest(l.rc.Out, &r.op, e.w.StateBytes)
	e.soil(l)
	if l.full() {
		l.en.choose(ln, e.ticks/e.every)
		p.fallback[ln] = p.last(ln)
	}
	return true
}

// letOut sends probes through shut gates, and what waited through open ones.
// since is how long ago it did so last: a loop that is short of time must not let
// out less.
func (p *pool) letOut(now, since time.Duration) {
	e := p.e
	quota := int(releaseSpeedup*e.w.Rate*since.Seconds()) + 16
	for ln := range lanes {
		q := &p.wait[ln]
		e.trim(q)
		for n := min(quota, q.len()); n > 0 && p.fallback[ln] != nil; n-- {
			if f := q.pop(); e.slab.get(f) != nil {
				e.submit(f, now)
			}
		}
	}
	keep := p.busy[:0]
	quota = quota/max(len(p.busy), 1) + 4
	for _, i := range p.busy {
		g := &p.gates[i]
		e.trim(&g.queue)
		n := quota
		if g.shut {
			n = 0
			if now >= g.probeAt && g.queue.len() > 0 && p.fallback[i%lanes] != nil {
				n = probesAtOnce
				if g.round(now, e.pause()) {
					p.move = true
					kick(p.askSlots)
				}
			}
		}
		for n > 0 && g.queue.len() > 0 {
			// A probe needs time for its answer: the newest has most of it left.
			var f ref
			if g.shut {
				f = g.queue.popBack()
			} else {
				f = g.queue.pop()
			}
			if r := e.slab.get(f); r != nil {
				e.send(f, r, p, g, now)
				n--
			}
		}
		if g.queue.len() > 0 {
			keep = append(keep, i)
		} else {
			g.listed = false
		}
	}
	p.busy = keep
}

// trim drops what has ended from the front of a queue.
func (e *engine) trim(q *fifo[ref]) {
	for q.len() > 0 && e.slab.get(*q.at(0)) == nil {
		q.pop()
	}
}

func (e *engine) pause() time.Duration {
	return backoffMin + time.Duration(e.jitter.Int64N(int64(backoffMax-backoffMin)))
}

// answered completes what a socket buffer full of replies answers.
func (e *engine) answered(l *link, rs []resp.Reply) error {
	now := e.clock()
	l.heard, l.suspect = now, false
	for _, reply := range rs {
		if l.owed.len() == 0 {
			return errors.New("a reply that nobody asked for")
		}
		o := l.owed.pop()
		a := interpret(reply)
		g, _ := l.en.p.gate(o.part, l.lane)
		switch {
		case a.kind == unknownYet:
		case a.kind != notApplied:
			g.served()
		case a.moved == "":
			g.refused(now, e.pause())
		}
		if r := e.slab.get(o.ref); r != nil {
			e.answer(o.ref, r, &a, now)
		}
	}
	return nil
}

// answer completes a request, or sees to it that it is sent again. The gate knows
// of it already.

func (e *engine) answer(f ref, r *request, a *answer, now time.Duration) {
	op := &r.op
	p := e.pools[r.pool]
	g, _ := p.gate(op.Partition, lane(op.Kind))
	switch a.kind {
	case notApplied:
		if a.moved != "" {
			if p.moved(r.slot, a.moved) {
				r.last = history.NotApplied
				e.requeue(f, r)
				return
			}
			g.refused(now, e.pause())
		}
		if g.shut {
			kick(p.askSlots)
		}
		e.again(f, r, g, history.NotApplied, now)
		return
	case unknownYet:
		if op.Kind.IsWrite() {
			e.end(f, now, history.Unknown, history.Timeout)
		} else {
			e.again(f, r, g, history.Timeout, now)
		}
		return
	}
	switch {
	case a.kind == acknowledged && (op.Kind == history.Create || op.Kind == history.Update):
	case a.kind == nothing && op.Kind == history.Create:
		op.Exists = true
	case a.kind == nothing:
		op.Absent = true
	case a.kind == otherError:
		e.lastError = a.text
		e.refusedWith(f, r, g, now)
		return
	case a.kind == found && op.Kind.Observes():
		op.Seq, op.Writer = a.state.Seq, a.state.Writer
		op.Corrupt = a.state.Session != op.Session
	case a.kind == damaged && op.Kind.Observes():
		op.Corrupt = true
	default:
		e.lastError = "a reply of the wrong type"
		e.refusedWith(f, r, g, now)
		return
	}
	e.end(f, now, history.OK, history.NoCause)
}

// refusedWith takes an answer that promises nothing: a read failed, a write may
// have been applied.
func (e *engine) refusedWith(f ref, r *request, g *gate, now time.Duration) {
	switch {
	case r.op.Kind == history.ReadBack:
		e.again(f, r, g, history.ErrorReply, now)
	case r.op.Kind.IsWrite():
		e.end(f, now, history.Unknown, history.ErrorReply)
	default:
		e.end(f, now, history.Failed, history.ErrorReply)
	}
}

// again retries a request after a pause; behind a shut gate, whose probes have
// their own pause, it joins the queue.
func (e *engine) again(f ref, r *request, g *gate, why history.Cause, now time.Duration) {
	r.last = why
	if g.shut {
		r.place = parked
		g.queue.push(f)
		e.pools[r.pool].list(g, uint32(r.op.Partition)*lanes+uint32(lane(r.op.Kind)))
		return
	}
	r.place = delayed
	e.delays.push(later{f, now + e.pause()})
}

// drop gives a connection up and decides what becomes of what it owed.
func (e *engine) drop(l *link, now time.Duration) {
	rc := l.rc
	rc.Close()
	l.rc, l.suspect = nil, false
	kick(l.released)
	left := rc.Left()
	for l.owed.len() > 0 {
		o := l.owed.pop()
		r := e.slab.get(o.ref)
		if r == nil {
			continue
		}
		switch {
		case o.at >= left:
			// None of its bytes left: it was never sent.
			r.last = history.Broken
			e.requeue(o.ref, r)
		case r.op.Kind.IsWrite():
			e.end(o.ref, now, history.Unknown, history.Broken)
		default:
			r.last = history.Broken
			e.requeue(o.ref, r)
		}
	}
}

// requeue makes a request wait for another connection.
func (e *engine) requeue(f ref, r *request) {
	r.place = waiting
	e.pools[r.pool].wait[lane(r.op.Kind)].push(f)
}

// overdue ends what is past its deadline. A read-back only gives up the attempt.
func (e *engine) overdue(now time.Duration) {
	for e.deadlines.len() > 0 && e.deadlines.at(0).at <= now {
		f := e.deadlines.pop().ref
		r := e.slab.get(f)
		if r == nil {
			continue
		}
		if r.op.Kind != history.ReadBack {
			o, c := r.given()
			e.end(f, now, o, c)
			continue
		}
		if r.place == inflight {
			// The answer no longer matters: give the request another name.
			r.gen++
			f.gen = r.gen
			r.last = history.Timeout
			e.requeue(f, r)
			e.phase.window.shrink(now)
		}
		e.deadlines.push(overdue{f, now + e.w.Deadline})
	}
}

// given is what is known of a request that is given up.
func (r *request) given() (history.Outcome, history.Cause) {
	switch {
	case r.place == inflight:
		return history.Unknown, history.Timeout
	case r.last == history.NotApplied || r.last == history.NoCause && r.place == parked:
		return history.Failed, history.NotApplied
	case !r.sent || r.op.Kind.IsWrite():
		return history.Failed, history.Refused // nothing of it ever left
	}
	return history.Unknown, r.last
}

// abort ends everything that is outstanding.
func (e *engine) abort(now time.Duration) {
	for i := range e.slab.rs {
		if r := &e.slab.rs[i]; r.place != free {
			o, c := r.given()
			e.end(ref{uint32(i), r.gen}, now, o, c)
		}
	}
	for _, p := range e.pools {
		for ln := range lanes {
			p.wait[ln].n = 0
		}
	}
	e.delays = e.delays[:0]
	e.deadlines.n = 0
}

// end completes a request: once, and for ever.
func (e *engine) end(f ref, now time.Duration, o history.Outcome, c history.Cause) {
	r := &e.slab.rs[f.i]
	op := &r.op
	op.End, op.Outcome, op.Cause = now, o, c
	if !r.sent {
		op.Start = now
	}
	if o == history.Unsent {
		op.Node = history.NoNode
	}
	if o != history.OK && op.Kind.Observes() {
		op.Seq = 0
	}
	e.s.settle(op)
	e.stats.ended(op, e.w.Deadline)
	if ph := e.phase; ph != nil && ph.ended != nil {
		if o == history.OK {
			ph.window.grow()
		} else {
			ph.window.shrink(now)
		}
		ph.ended(op)
	}
	e.done = append(e.done, *op)
	e.slab.release(f)
}
