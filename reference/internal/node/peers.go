package node

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fivenines/fivenines/reference/internal/gateway"
)

// hello opens a connection between nodes. A peer of another cluster, or of
// another incarnation (rule 7), is refused.
type hello struct {
	Cluster     string `json:"cluster"`
	Incarnation uint64 `json:"incarnation"`
	Node        string `json:"node"`
	Boot        uint64 `json:"boot"` // nonce of the process
	// Follows: the connection replaces one of the same process, which ends by
	// itself; what is on that comes first.
	Follows bool `json:"follows,omitempty"`
	// Probe: the connection carries nothing but probes of its path.
	Probe bool `json:"probe,omitempty"`
}

const (
	peerRead     = 256 << 10
	peerSilence  = 5 * time.Second // a connection on which nothing came for so long is closed
	dialTimeout  = 2 * time.Second
	helloTimeout = 10 * time.Second // for a connection to say who it is, or to be a canary's
	maxPeerQueue = 64 << 20
	maxInbound   = 2048            // connections
	followIn     = 2 * time.Second // for a connection that is replaced to end

	// clockDrift is by how much the clocks of two nodes may drift apart.
	clockDrift = 500e-6
)

// peer is the outgoing connection to another node: one a directed pair, for
// all groups. Frames are appended to a buffer that the writer swaps for an
// empty one, so that a burst is one system call.
type peer struct {
	n     *Node
	index int
	id    string
	addr  string  // where there is no choice of paths
	route *router // of its region; nil: there is no choice

	mu    sync.Mutex
	buf   []byte
	spare []byte
	up    bool
	wake  chan struct{}
	moved chan bool      // the route has changed; true: what the old path carries is lost
	old   sync.WaitGroup // connections that end behind their last frame

	heard    atomic.Int64  // node clock of the last bytes from it
	pinged   atomic.Int64  // and of its last ping; 0 when that was taken note of
	interval atomic.Int64  // between its last two pings; 0: not known
	late     atomic.Int64  // of its last ping, beyond the quickest frame
	phi      atomic.Uint64 // bits of a float64, for the metrics
	dropped  atomic.Uint64
	sent     atomic.Uint64
}

// send appends frames if the connection is up; false means that nothing was
// and will be sent.
func (p *peer) send(appendTo func([]byte) []byte) bool {
	p.mu.Lock()
	if !p.up || len(p.buf) > maxPeerQueue {
		p.mu.Unlock()
		p.dropped.Add(1)
		return false
	}
	p.buf = appendTo(p.buf)
	p.mu.Unlock()
	return true
}

func (p *peer) flush() {
	p.mu.Lock()
	some := p.up && len(p.buf) > 0
	p.mu.Unlock()
	if some {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

// run dials and writes until ctx ends.
func (p *peer) run(ctx context.Context) {
	defer p.old.Wait()
	backoff := 50 * time.Millisecond
	for ctx.Err() == nil {
		began := time.Now()
		err := p.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errMoved) {
			continue
		}
		if time.Since(began) > 3*time.Second {
			backoff = 50 * time.Millisecond
		}
		if err != nil {
			p.n.debugf("peer %s: %v", p.id, err)
		}
		select {
		case <-ctx.Done():
			return
		case <-p.moved:
			backoff = 50 * time.Millisecond
			continue
		case <-time.After(backoff):
		}
		backoff = min(backoff*2, 500*time.Millisecond)
	}
}

// move tells the connection that the route has changed. lost: nothing passes
// on the old path any more.
func (p *peer) move(lost bool) {
	select {
	case was := <-p.moved: // it has not seen that one yet
		lost = lost || was
	default:
	}
	p.moved <- lost
}

var errMoved = errors.New("the route has moved")

// open dials a peer over the path in use and returns the path's number.
func (p *peer) open(ctx context.Context, follows bool) (*net.TCPConn, int, error) {
	addr, path := p.addr, 0
	if p.route != nil {
		path = p.route.path()
		addr = p.route.addr(p.index, path)
	}
	h := p.n.hello()
	h.Follows = follows
	c, err := p.n.dialPeer(ctx, addr, h)
	return c, path, err
}

// dialPeer makes a connection to a peer and introduces this node. Of an address
// that is a name, those that it has are tried in turn until one welcomes us.
func (n *Node) dialPeer(ctx context.Context, addr string, h hello) (*net.TCPConn, error) {
	all, err := n.book.addresses(ctx, addr)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, at := range all {
		c, err := n.greet(ctx, at, h)
		if err != nil {
			errs = append(errs, fmt.Errorf("at %s: %w", at, err))
			continue
		}
		if err := n.book.reached(addr, at); err != nil {
			n.debugf("peer address %s: where it was reached is not kept: %v", addr, err)
		}
		return c, nil
	}
	return nil, errors.Join(errs...)
}

// greet dials an address and says who we are.
func (n *Node) greet(ctx context.Context, at string, h hello) (*net.TCPConn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	c, err := d.DialContext(ctx, "tcp", at)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	fail := func(err error) (*net.TCPConn, error) {
		c.Close()
		return nil, err
	}
	b, err := json.Marshal(h)
	if err != nil {
		return fail(err)
	}
	c.SetDeadline(time.Now().Add(dialTimeout))
	if _, err := c.Write(AppendFrame(nil, frameHello, b)); err != nil {
		return fail(err)
	}
	no, err := readWelcome(c)
	if err != nil {
		return fail(fmt.Errorf("no welcome: %w", err))
	}
	if no.Why != "" {
		if mine := n.incarnation.Load(); mine != 0 && no.Incarnation > mine {
			n.fence(no.Incarnation)
		}
		return fail(fmt.Errorf("refused: %s", no.Why))
	}
	c.SetDeadline(time.Time{})
	return c.(*net.TCPConn), nil
}

// session is connected until the connection breaks. A move to another path
// that loses nothing changes the connection below it.
func (p *peer) session(ctx context.Context) error {
	select {
	case <-p.moved: // it is dialled where the route leads now
	default:
	}
	c, path, err := p.open(ctx, false)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.up = true
	p.buf = p.buf[:0]
	p.mu.Unlock()
	p.n.peerUp(p)
	defer func() {
		p.mu.Lock()
		p.up = false
		p.mu.Unlock()
		p.n.peerDown(p)
	}()
	for {
		next, to, err := p.pump(ctx, c, path)
		if err != nil {
			return err
		}
		c, path = next, to
	}
}

// opened is a connection over the path that the route has moved to.
type opened struct {
	c    *net.TCPConn
	path int
	err  error
}

// pump writes what is sent until the connection breaks, or another one stands
// over the path that the route has moved to. Then it ends the old connection
// behind its last frame, and the other side reads that before the new one.
func (p *peer) pump(ctx context.Context, c *net.TCPConn, path int) (*net.TCPConn, int, error) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { c.Close() })
	gone := make(chan struct{})
	go func() { // the other side says nothing more: a read only ends when it closes
		defer close(gone)
		var b [1]byte
		c.Read(b[:])
	}()
	end := func() {
		cancel()
		stop()
		c.Close()
		<-gone
	}
	var opening chan opened
	begin := func() {
		if p.route.path() == path {
			return
		}
		ch := make(chan opened, 1)
		opening = ch
		go func() {
			c, path, err := p.open(ctx, true)
			ch <- opened{c, path, err}
		}()
	}
	kept := false
	defer func() {
		if !kept {
			end()
		}
		if opening != nil {
			cancel()
			if o := <-opening; o.err == nil {
				o.c.Close()
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		case <-gone:
			return nil, 0, io.EOF
		case lost := <-p.moved:
			if lost && p.route.path() != path {
				return nil, 0, errMoved
			}
			if opening == nil {
				begin()
			}
			continue
		case o := <-opening:
			opening = nil
			if o.err != nil {
				return nil, 0, fmt.Errorf("%w: %w", errMoved, o.err)
			}
			if o.path != p.route.path() || o.path == path { // moved again meanwhile
				o.c.Close()
				begin()
				continue
			}
			if err := p.write(c); err != nil {
				o.c.Close()
				return nil, 0, err
			}
			kept = true
			p.old.Go(func() {
				defer end()
				finish(ctx, c, gone)
			})
			return o.c, o.path, nil
		case <-p.wake:
		}
		if err := p.write(c); err != nil {
			return nil, 0, err
		}
	}
}

// finish ends a connection behind what was written to it, and waits until the
// other side has read that and closes it.
func finish(ctx context.Context, c *net.TCPConn, gone <-chan struct{}) {
	if c.CloseWrite() != nil {
		return
	}
	t := time.NewTimer(followIn)
	defer t.Stop()
	select {
	case <-gone:
	case <-t.C:
	case <-ctx.Done():
	}
}

// write sends what waits.
func (p *peer) write(c net.Conn) error {
	p.mu.Lock()
	out := p.buf
	p.buf = p.spare[:0]
	p.mu.Unlock()
	if len(out) > 0 {
		c.SetWriteDeadline(time.Now().Add(peerSilence))
		if _, err := c.Write(out); err != nil {
			return err
		}
		p.sent.Add(uint64(len(out)))
	}
	if cap(out) > 4<<20 {
		out = nil
	}
	p.spare = out
	return nil
}

// refusal is what a welcome holds that is none; an empty one is a welcome.
type refusal struct {
	Why string `json:"why"`
	// Incarnation is that of the cluster if the one of the caller is over (rule 7).
	Incarnation uint64 `json:"incarnation,omitempty"`
}

func readWelcome(c net.Conn) (no refusal, err error) {
	buf := make([]byte, 0, 512)
	for {
		typ, p, n, err := NextFrame(buf, maxHello)
		if err != nil {
			return no, err
		}
		if n > 0 {
			if typ != frameWelcome {
				return no, errFrame
			}
			if len(p) == 0 {
				return no, nil
			}
			if err := json.Unmarshal(p, &no); err != nil || no.Why == "" {
				return no, errFrame
			}
			return no, nil
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		k, err := c.Read(buf[len(buf):cap(buf)])
		if err != nil {
			return no, err
		}
		buf = buf[:len(buf)+k]
	}
}

// inbound reads frames from one connection of a peer (or answers canaries).
type inbound struct {
	n    *Node
	c    net.Conn
	from int
	boot uint64        // of the process at the other side
	done chan struct{} // closed when it has ended
	// probes: it carries nothing else.
	probes bool
	// least is the smallest difference seen between our clock on arrival and
	// the sender's on sending: what a frame took beyond it is its delay.
	least time.Duration
	timed time.Duration // our clock when least was last looked at; 0: never

	beat  time.Duration // our clock at the last ping
	awake uint64        // how often this process had slept then
}

// delay says how long a frame was under way beyond the quickest one of this
// connection. It needs no agreement of clocks; but they drift apart, and least
// follows, or a connection that lives for days would take that for delay.
func (in *inbound) delay(sent, now time.Duration) time.Duration {
	d := now - sent
	if in.timed == 0 {
		in.least = d
	}
	in.least = min(d, in.least+time.Duration(float64(now-in.timed)*clockDrift))
	in.timed = now
	return d - in.least
}

func (n *Node) serveP2P(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel() // also of an error: nobody is left behind
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	open := make(chan struct{}, maxInbound)
	for {
		c, err := gateway.Accept(ctx, l)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept on %s: %w", l.Addr(), err)
		}
		select {
		case open <- struct{}{}:
		default:
			c.Close()
			continue
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer func() { <-open }()
			defer c.Close()
			stop := context.AfterFunc(ctx, func() { c.Close() })
			defer stop()
			in := &inbound{n: n, c: c, from: -1, done: make(chan struct{})}
			defer close(in.done)
			defer func() {
				if p := recover(); p != nil {
					n.panicked("peers", p)
				}
			}()
			if err := in.run(); err != nil && ctx.Err() == nil {
				n.debugf("from %s: %v", in.name(), err)
			}
		}()
	}
}

func (in *inbound) name() string {
	if in.from < 0 {
		return in.c.RemoteAddr().String()
	}
	return in.n.m.Nodes[in.from].ID
}

// mail is what one socket buffer held, for the loop.
type mail struct {
	from     int
	raft     []raftMsg
	forwards []forward
	replies  []reply
	hints    []hint
	pinged   bool
	control  []control
}

func (in *inbound) run() error {
	buf := make([]byte, 0, maxHello)
	limit := maxHello // until it has said who it is
	began := time.Now()
	var gone func()
	defer func() {
		if gone != nil {
			gone()
		}
	}()
	for {
		if len(buf) == cap(buf) {
			if cap(buf) > maxFrame+1024 {
				return errFrame
			}
			buf = append(make([]byte, 0, 2*cap(buf)), buf...)
		}
		patience := time.Now().Add(2 * peerSilence)
		if in.from < 0 {
			patience = began.Add(helloTimeout)
		}
		in.c.SetDeadline(patience) // of what is written too: a peer need not read
		k, err := in.c.Read(buf[len(buf):cap(buf)])
		if err != nil {
			return err
		}
		buf = buf[:len(buf)+k]
		now := in.n.Now()
		if in.from >= 0 && !in.probes {
			in.n.peers[in.from].heard.Store(int64(now))
		}
		rest := buf
		m := mail{from: in.from}
		for {
			typ, p, used, err := NextFrame(rest, limit)
			if err != nil {
				return err
			}
			if used == 0 {
				break
			}
			rest = rest[used:]
			switch {
			case typ == FrameCanary:
				if _, err := in.c.Write(AppendFrame(nil, FrameCanary, p)); err != nil {
					return err
				}
			case in.from < 0 && typ == frameHello:
				h, no := in.hello(p)
				var b []byte
				if no.Why != "" {
					var err error
					if b, err = json.Marshal(no); err != nil {
						return err
					}
				}
				if _, err := in.c.Write(AppendFrame(nil, frameWelcome, b)); err != nil {
					return err
				}
				if no.Why != "" {
					return fmt.Errorf("refused: %s", no.Why)
				}
				if in.probes = h.Probe; in.probes {
					continue // and its limit stays
				}
				limit = maxFrame
				m.from = in.from
				gone = in.n.supersede(in, h.Follows)
				now = in.n.Now() // what came with the hello waited as well
			case in.probes && typ == frameProbe:
				if _, err := in.c.Write(AppendFrame(nil, frameProbe, p)); err != nil {
					return err
				}
			case in.probes:
				return fmt.Errorf("%w: type %d on a connection for probes", errFrame, typ)
			case in.from < 0:
				return fmt.Errorf("%w: type %d before hello", errFrame, typ)
			default:
				if err := m.add(in, now, typ, p); err != nil {
					return err
				}
			}
		}
		if in.from >= 0 && !in.probes {
			in.n.deliver(m)
		}
		// Forwarded operations and replies alias the buffer: it is theirs now.
		// And what a snapshot needed is not kept.
		if len(m.forwards) > 0 || len(m.replies) > 0 || in.from >= 0 && !in.probes && (cap(buf) < peerRead || cap(buf) > 16*peerRead && len(rest) < peerRead) {
			buf = append(make([]byte, 0, max(peerRead, 2*len(rest))), rest...)
		} else {
			buf = buf[:copy(buf[:cap(buf)], rest)]
		}
	}
}

func (m *mail) add(in *inbound, now time.Duration, typ byte, p []byte) error {
	var late time.Duration
	if typ == frameForward || typ == framePing {
		if len(p) < 8 {
			return errFrame
		}
		late = in.delay(time.Duration(binary.LittleEndian.Uint64(p)), now)
		p = p[8:]
	}
	switch typ {
	case frameRaft:
		r, err := decodeRaft(p)
		if err != nil {
			return err
		}
		m.raft = append(m.raft, r)
	case frameForward:
		for len(p) > 0 {
			f, rest, err := decodeForward(p)
			if err != nil {
				return err
			}
			f.left -= late
			m.forwards = append(m.forwards, f)
			p = rest
		}
	case frameReply:
		for len(p) > 0 {
			r, rest, err := decodeReply(p)
			if err != nil {
				return err
			}
			m.replies = append(m.replies, r)
			p = rest
		}
	case framePing:
		hs, err := decodeHints(p)
		if err != nil {
			return err
		}
		m.hints = append(m.hints, hs...)
		m.pinged = true
		in.pinged(now, late)
	case frameControl:
		var c control
		if err := json.Unmarshal(p, &c); err != nil {
			return fmt.Errorf("%w: %w", errFrame, err)
		}
		m.control = append(m.control, c)
	default:
		return fmt.Errorf("%w: unknown type %d", errFrame, typ)
	}
	return nil
}

// pinged notes a heartbeat and the interval before it, unless this process
// itself slept meanwhile.
func (in *inbound) pinged(now, late time.Duration) {
	p, awake := in.n.peers[in.from], in.n.Awake(now)
	if in.beat != 0 && awake == in.awake {
		p.interval.Store(int64(now - in.beat))
	} else {
		p.interval.Store(0)
	}
	in.beat, in.awake = now, awake
	p.late.Store(int64(late))
	p.pinged.Store(int64(now))
}

func (in *inbound) hello(p []byte) (h hello, no refusal) {
	if err := json.Unmarshal(p, &h); err != nil {
		return h, refusal{Why: "malformed hello"}
	}
	me := in.n.hello()
	if h.Cluster != me.Cluster {
		return h, refusal{Why: fmt.Sprintf("this is cluster %q, not %q", me.Cluster, h.Cluster)}
	}
	nd, ok := in.n.m.NodeByID(h.Node)
	if !ok || nd.Index == in.n.self.Index {
		return h, refusal{Why: fmt.Sprintf("no other node is called %q", h.Node)}
	}
	switch {
	case h.Incarnation == me.Incarnation || h.Incarnation == 0 || me.Incarnation == 0:
	case h.Incarnation < me.Incarnation:
		return h, refusal{fmt.Sprintf("this cluster is in incarnation %d, you are from %d, which is over: your data are of no use here", me.Incarnation, h.Incarnation), me.Incarnation}
	default:
		in.n.fence(h.Incarnation)
		return h, refusal{Why: fmt.Sprintf("this node was left in incarnation %d and has nothing more to say", me.Incarnation)}
	}
	in.from, in.boot = nd.Index, h.Boot
	return h, refusal{}
}

// supersede closes an older connection from the same peer: what may still be
// under way on it must not arrive behind what the new one carries. One that
// follows waits for what is on the older one, which its process ends.
func (n *Node) supersede(in *inbound, follows bool) (gone func()) {
	n.inMu.Lock()
	old := n.inbound[in.from]
	n.inbound[in.from] = in
	n.inMu.Unlock()
	if old != nil {
		if follows && old.boot == in.boot {
			t := time.NewTimer(followIn)
			select {
			case <-old.done:
			case <-t.C:
			}
			t.Stop()
		}
		old.c.Close()
		if old.boot == in.boot {
			// The quickest frame stays the measure of delay: those that waited
			// here, or for the new path, are late by that.
			<-old.done
			in.least, in.timed = old.least, old.timed
		}
	}
	return func() {
		n.inMu.Lock()
		if n.inbound[in.from] == in {
			delete(n.inbound, in.from)
		}
		n.inMu.Unlock()
	}
}
