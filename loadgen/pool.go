package loadgen

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/loadgen/resp"
)

const (
	dialTimeout    = time.Second
	redialMin      = 50 * time.Millisecond
	redialMax      = time.Second
	silence        = 400 * time.Millisecond // without a byte, while something is owed
	probeEvery     = time.Second
	slotsEvery     = time.Second
	slotsAtMost    = 100 * time.Millisecond  // between two that were asked for early
	maxPending     = 12 << 10                // replies owed by one connection
	maxOut         = 4 << 20                 // bytes not taken by the kernel
	stayElsewhere  = 1500 * time.Millisecond // with an entry in another region, after the leader kept refusing
	releaseSpeedup = 2                       // what waited is let out at this many times the rate
)

// What connections carry. Writes take the round trip of a quorum, and replies
// come in order: reads must not wait behind them.
const (
	reads = iota
	writes
	lanes
)

func lane(k history.Kind) int {
	if k.IsWrite() {
		return writes
	}
	return reads
}

// both is as many connections for reads as for writes.
func both(n int) [lanes]int { return [lanes]int{n, n} }

// pool is how the clients of one class in one region reach the system: a few
// connections to each entry, what is known of each entry's health, and where
// slots are led.
type pool struct {
	e       *engine
	index   uint8
	entries []*entry
	regions []int // of the entries, in order of preference, each once
	// anyReplica pools ask for eventual consistency, and for no leader.
	anyReplica bool

	// Guarded by the engine's lock.
	leaders  [resp.Slots]int16 // index in entries, -1 unknown
	fallback [lanes]*link      // the first that can be used in this tick
	wait     [lanes]fifo[ref]  // no connection can be used
	gates    []gate            // partition*lanes + lane
	busy     []uint32          // gates with something to do
	oracle   int               // the entry that is asked for slots
	move     bool              // ask another region's next
	turn     int               // of the entries of a region that any of may answer
	tick     int               // of the loop

	// Of clients that find their entries by DNS; they know no leaders.
	dns      *DNS // nil: these are not
	region   int  // where they stand
	askNames chan struct{}
	doors    []*entry // that the last answer named, in its order; guarded by the engine's lock

	askSlots chan struct{}
}

// entry is one front door.
type entry struct {
	Entry
	p       *pool
	links   [lanes][]*link
	cur     [lanes]*link  // to be used in this tick, nil if there is none
	healthy bool          // guarded by the engine's lock
	unnamed bool          // DNS sends nobody here; guarded by the engine's lock, as is wanted
	wanted  chan struct{} // closed when DNS names it
	rtt     atomic.Int64  // of the last PING
	probe   chan struct{}
	slots   chan struct{}
}

// link is one connection, over its reconnects. Guarded by the engine's lock.
type link struct {
	en       *entry
	lane     int
	rc       *resp.Pipe // nil while there is none
	owed     fifo[owed]
	heard    time.Duration // when bytes came last
	suspect  bool
	dirty    bool
	released chan struct{} // the loop let go of a broken connection
}

// owed is a reply that a connection owes.
type owed struct {
	ref
	sent time.Duration
	at   uint64 // where in the connection's stream the request begins
	part uint16 // the partition, of which the answer tells even when the request has ended
}

func newPool(e *engine, entries []Entry, links [lanes]int) *pool {
	p := &pool{e: e, index: uint8(len(e.pools)), askSlots: make(chan struct{}, 1)}
	for i := range p.leaders {
		p.leaders[i] = -1
	}
	for _, en := range entries {
		x := &entry{Entry: en, p: p, probe: make(chan struct{}, 1), slots: make(chan struct{}, 1)}
		for l := range x.links {
			for range links[l] {
				x.links[l] = append(x.links[l], &link{en: x, lane: l, released: make(chan struct{}, 1)})
			}
		}
		p.entries = append(p.entries, x)
		if !slices.Contains(p.regions, en.Region) {
			p.regions = append(p.regions, en.Region)
		}
	}
	return p
}

// start begins the goroutines of the pool; they end with ctx.
func (p *pool) start(ctx context.Context) {
	for _, en := range p.entries {
		p.e.wg.Go(func() { en.watch(ctx) })
		for _, ls := range en.links {
			for _, l := range ls {
				p.e.wg.Go(func() { l.keep(ctx) })
			}
		}
	}
	switch {
	case p.dns != nil:
		p.e.wg.Go(func() { p.keepNames(ctx) })
	case !p.anyReplica:
		p.e.wg.Go(func() { p.keepSlots(ctx) })
	}
}

func kick(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (l *link) full() bool { return l.owed.len() >= maxPending || len(l.rc.Out) >= maxOut }

func (l *link) usable() bool { return l.rc != nil && !l.full() }

// choose picks the link of each entry for this tick. They take turns, so that
// all that is sent to an entry in one tick goes out in one write.
func (p *pool) choose(tick int) {
	p.tick = tick
	for ln := range lanes {
		for _, en := range p.entries {
			en.choose(ln, tick)
		}
		p.fallback[ln] = p.last(ln)
	}
}

func (en *entry) choose(ln, tick int) {
	en.cur[ln] = nil
	if !en.healthy || en.unnamed {
		return
	}
	ls := en.links[ln]
	for i := range ls {
		if l := ls[(tick+i)%len(ls)]; l.usable() && !l.suspect {
			en.cur[ln] = l
			return
		}
	}
}

// last is the first entry's link that can be used, in order of preference; where
// all are silent, one whose entry at least still answers a PING.
func (p *pool) last(ln int) *link {
	es := p.inTurn()
	for _, en := range es {
		if en.cur[ln] != nil {
			return en.cur[ln]
		}
	}
	for _, en := range es {
		if !en.healthy || en.unnamed {
			continue
		}
		for _, l := range en.links[ln] {
			if l.usable() {
				return l
			}
		}
	}
	return nil
}

// route says where a request goes: to the leader of its slot, else to the first
// entry that can be used, else nowhere.
func (p *pool) route(slot uint16, g *gate, ln int) *link {
	lead := int(p.leaders[slot])
	if p.anyReplica {
		return p.replica(lead, g, ln)
	}
	if n := g.shift % max(len(p.regions), 2); n != 0 {
		if l := p.elsewhere(lead, n, g.shift, ln); l != nil {
			return l
		}
	}
	if lead >= 0 {
		if l := p.entries[lead].cur[ln]; l != nil {
			return l
		}
	}
	return p.fallback[ln]
}

// replica is the next entry of the region that is preferred of those that can be
// used; after refusals, of the region after that. Only an entry that has no replica
// of a slot redirects to its leader (MOVED), which is then asked for good.
func (p *pool) replica(lead int, g *gate, ln int) *link {
	if lead >= 0 && p.entries[lead].cur[ln] != nil {
		return p.entries[lead].cur[ln]
	}
	p.turn++
	for i := range p.regions {
		region := p.regions[(i+g.shift)%len(p.regions)]
		var there []*link
		for _, en := range p.entries {
			if en.Region == region && en.cur[ln] != nil {
				there = append(there, en.cur[ln])
			}
		}
		if len(there) > 0 {
			return there[p.turn%len(there)]
		}
	}
	return p.fallback[ln]
}

// elsewhere is an entry of another region than the leader's, the n-th in order of
// preference; where there is only one region, another entry.
func (p *pool) elsewhere(lead, n, shift, ln int) *link {
	lead = max(lead, 0)
	if len(p.regions) < 2 {
		n := len(p.entries)
		return p.entries[(lead+1+shift/2%max(n-1, 1))%n].cur[ln]
	}
	home := p.entries[lead].Region
	for _, region := range p.regions {
		if region == home {
			continue
		}
		if n--; n > 0 {
			continue
		}
		for _, en := range p.entries {
			if en.Region == region && en.cur[ln] != nil {
				return en.cur[ln]
			}
		}
		break
	}
	return nil
}

func (p *pool) gate(part uint16, ln int) (*gate, uint32) {
	i := uint32(part)*lanes + uint32(ln)
	for uint32(len(p.gates)) <= i {
		p.gates = append(p.gates, gate{})
	}
	return &p.gates[i], i
}

// list makes the loop look at a gate in each tick.
func (p *pool) list(g *gate, i uint32) {
	if !g.listed {
		g.listed = true
		p.busy = append(p.busy, i)
	}
}

func (p *pool) each(fn func(*link)) {
	for _, en := range p.entries {
		for _, ls := range en.links {
			for _, l := range ls {
				fn(l)
			}
		}
	}
}

// hangUp closes the connections of a pool whose context has ended.
func (p *pool) hangUp() {
	p.each(func(l *link) {
		if l.rc != nil {
			l.rc.Close()
			l.rc = nil
		}
		kick(l.released)
	})
}

// check looks at the silence of connections: one that owes something and says
// nothing is avoided and its entry probed, and given up when its oldest answer is
// overdue by the deadline. One that still answers others is left alone however late
// it is: giving it up would lose what it is about to answer.
func (p *pool) check(now time.Duration) {
	if p.anyReplica {
		p.comeBack(now, false)
	}
	p.leave(now)
	for _, en := range p.entries {
		patience := silence + 2*time.Duration(en.rtt.Load())
		for _, ls := range en.links {
			for _, l := range ls {
				if l.rc == nil {
					continue
				}
				if l.owed.len() == 0 {
					l.suspect = false
					continue
				}
				oldest := l.owed.at(0).sent
				l.suspect = now-max(l.heard, oldest) >= patience
				if !l.suspect {
					continue // slow, perhaps, but it moves
				}
				kick(en.probe)
				if now-oldest >= p.e.w.Deadline {
					p.e.drop(l, now)
				}
			}
		}
	}
}

// watch keeps the health of the entry: healthy is what answered the last PING
// in time, through the link.
func (en *entry) watch(ctx context.Context) {
	e := en.p.e
	back := newBackoff(e, uint64(en.Node)<<16|uint64(en.p.index)<<8)
	for en.await(ctx) {
		c, rtt, err := resp.Dial(ctx, en.Address, dialTimeout)
		if err != nil {
			en.failed()
			back.sleep(ctx)
			continue
		}
		stop := context.AfterFunc(ctx, func() { c.Close() })
		en.rtt.Store(int64(rtt))
		en.setHealthy(true)
		kick(en.p.askSlots)
		began := time.Now()
		en.converse(ctx, c)
		en.setHealthy(false)
		stop()
		c.Close()
		back.lived(time.Since(began))
		back.sleep(ctx)
	}
}

func (en *entry) converse(ctx context.Context, c *resp.Conn) {
	t := time.NewTimer(probeEvery)
	defer t.Stop()
	for {
		patience := silence + 2*time.Duration(en.rtt.Load())
		var err error
		select {
		case <-ctx.Done():
			return
		case <-en.slots:
			err = en.p.learnSlots(c, patience)
		case <-en.probe:
			err = en.ping(c, patience)
		case <-t.C:
			err = en.ping(c, patience)
			t.Reset(probeEvery)
		}
		if err != nil || en.gone() {
			return
		}
	}
}

func (en *entry) ping(c *resp.Conn, patience time.Duration) error {
	rtt, err := c.Ping(patience)
	if err == nil {
		en.rtt.Store(int64(rtt))
	}
	return err
}

func (en *entry) setHealthy(h bool) {
	e := en.p.e
	e.mu.Lock()
	en.healthy = h
	e.mu.Unlock()
	if !h {
		kick(en.p.askSlots)
		en.failed()
	}
}

// keepSlots has one healthy entry tell where slots are led, every second and
// whenever there is a reason to think that it changed.
func (p *pool) keepSlots(ctx context.Context) {
	t := time.NewTimer(slotsEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-p.askSlots:
		}
		if en := p.chooseOracle(); en != nil {
			kick(en.slots)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(slotsAtMost):
		}
		t.Reset(slotsEvery)
	}
}

// chooseOracle keeps to one entry while that serves: two sides of a partition
// may hold different views. It moves on, to another region if it can, when the
// entry is gone or operations were refused for a while.
func (p *pool) chooseOracle() *entry {
	p.e.mu.Lock()
	defer p.e.mu.Unlock()
	cur := p.entries[p.oracle]
	if cur.healthy && !p.move {
		return cur
	}
	p.move = false
	best := -1
	for i := 1; i <= len(p.entries); i++ {
		j := (p.oracle + i) % len(p.entries)
		if !p.entries[j].healthy {
			continue
		}
		if best < 0 {
			best = j
		}
		if p.entries[j].Region != cur.Region {
			best = j
			break
		}
	}
	if best < 0 {
		return nil
	}
	p.oracle = best
	return p.entries[best]
}

// learnSlots asks over the entry's own connection. A server that knows no
// CLUSTER leads nothing: keys go to the first healthy entry.
func (p *pool) learnSlots(c *resp.Conn, patience time.Duration) error {
	var ranges []resp.SlotRange
	cluster := false
	err := c.Ask(max(patience, dialTimeout), func(r resp.Reply) (err error) {
		if r.Type == resp.Error {
			return nil
		}
		cluster = true
		ranges, err = resp.ParseSlots(r)
		return err
	}, "CLUSTER", "SLOTS")
	if err != nil {
		return err
	}
	var leaders []int16 // by range, found before the lock is taken
	for _, r := range ranges {
		leaders = append(leaders, int16(p.find(r)))
	}
	p.e.mu.Lock()
	defer p.e.mu.Unlock()
	changed, told := false, 0
	for i, r := range ranges {
		told += r.End - r.Start + 1
		if leaders[i] < 0 {
			continue // led by none of ours: what was known before is as good
		}
		for s := r.Start; s <= r.End; s++ {
			changed = changed || p.leaders[s] != leaders[i]
			p.leaders[s] = leaders[i]
		}
	}
	if cluster && told < resp.Slots {
		p.move = true // it doesn't know them all, as who is cut off: ask another next time
	}
	p.comeBack(p.e.clock(), changed)
	return nil
}

// comeBack ends staying elsewhere after refusals: if the leader is another one, or
// after a while.
func (p *pool) comeBack(now time.Duration, changed bool) {
	for i := range p.gates {
		if g := &p.gates[i]; !g.shut && (changed || now-g.shifted > stayElsewhere) {
			g.shift = 0
		}
	}
}

func (p *pool) find(r resp.SlotRange) int {
	addr := net.JoinHostPort(r.Host, strconv.Itoa(r.Port))
	return slices.IndexFunc(p.entries, func(en *entry) bool {
		return r.NodeID != "" && en.NodeID == r.NodeID || en.Address == addr
	})
}

// moved takes a redirection as a hint, if it names an entry of ours. It says
// whether that is news.
func (p *pool) moved(slot uint16, addr string) bool {
	if p.dns != nil {
		return false
	}
	i := slices.IndexFunc(p.entries, func(en *entry) bool { return en.Address == addr })
	if i < 0 || int(p.leaders[slot]) == i {
		return false
	}
	p.leaders[slot] = int16(i)
	return true
}

// keep holds the connection: dials, hands it to the loop until that lets go of
// it, and dials again.
func (l *link) keep(ctx context.Context) {
	e := l.en.p.e
	back := newBackoff(e, uint64(l.en.Node)<<16|uint64(l.en.p.index)<<8|uint64(l.lane)+1)
	for l.en.await(ctx) {
		c, _, err := resp.Dial(ctx, l.en.Address, dialTimeout)
		if err == nil && l.en.p.anyReplica {
			err = readOnly(ctx, c)
		}
		var rc *resp.Pipe
		if err == nil {
			rc, err = c.Detach()
		}
		if err != nil {
			l.en.failed()
			back.sleep(ctx)
			continue
		}
		began := time.Now()
		if !e.adopt(ctx, l, rc) {
			rc.Close()
			return
		}
		select {
		case <-l.released:
		case <-e.loopDone:
			return
		}
		kick(l.en.p.askSlots)
		l.en.failed()
		back.lived(time.Since(began))
		back.sleep(ctx)
	}
}

// readOnly lets any replica answer on a connection. A server that knows no such
// thing says so, and answers as it always does.
func readOnly(ctx context.Context, c *resp.Conn) error {
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	err := c.Ask(dialTimeout, func(r resp.Reply) error {
		if r.Type != resp.Error && (r.Type != resp.Simple || string(r.Bytes) != "OK") {
			return fmt.Errorf("READONLY: answered with %.64q", r.Bytes)
		}
		return nil
	}, "READONLY")
	if err != nil {
		c.Close()
	}
	return err
}

// adopt gives the loop a connection, unless the pool has ended.
func (e *engine) adopt(ctx context.Context, l *link, rc *resp.Pipe) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	l.rc, l.suspect, l.dirty = rc, false, false
	l.heard = e.clock()
	return true
}
