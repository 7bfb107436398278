package gateway

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fivenines/fivenines/reference/internal/admission"
	"github.com/fivenines/fivenines/reference/internal/resp"
)

// limits of a server and its connections. Memory is bounded by them whatever a
// client sends.
type limits struct {
	conns    int
	pending  int           // requests without an answer, after which nothing more is read (see also unanswered); also of one command
	out      int           // bytes of answers that the client has not taken, after which it is cut off
	patience time.Duration // with a client that takes nothing of what is written to it
	linger   time.Duration // for the client to read the last answer
}

var defaults = limits{conns: 10_000, pending: 16 << 10, out: 64 << 20, patience: 10 * time.Second, linger: 2 * time.Second}

const (
	readSize  = 64 << 10
	writeSize = 1 << 20 // bytes that have to go within limits.patience
	keptArgs  = 4096
)

// WriteBudget is how long a request may take before its client is told that
// the outcome is unknown; clients give up at one second.
const WriteBudget = 900 * time.Millisecond

// backlogAge is for how long after a sleep of this process the connections that
// it accepts may have been made, and written to, while it slept.
const backlogAge = 500 * time.Millisecond

// Server accepts RESP connections.
type Server struct {
	node  Node
	limit limits
	conns sync.Map
	count atomic.Int64
	wg    sync.WaitGroup
	ids   atomic.Uint64

	tallies []tally // by the number of the command

	// Admission says what is taken; it is set before Serve. Nil takes everything.
	Admission *admission.Controller
	// Panicked is told, while its stack is still there, of a panic in a connection's
	// own goroutines. It ends that connection alone; nil: it ends the process.
	Panicked func(p any)

	Commands atomic.Uint64
	Accepted atomic.Uint64
	Rejected atomic.Uint64
	Stalls   atomic.Uint64
	CutOff   atomic.Uint64
}

// NewServer serves node's front door.
func NewServer(node Node) *Server {
	return &Server{node: node, limit: defaults, tallies: make([]tally, len(labels))}
}

// Conns is the number of open connections.
func (s *Server) Conns() int { return int(s.count.Load()) }

// unanswered is how many requests of one connection may be without an answer
// before it is not read on: a noisy one waits for itself, and not the others for it.
func (s *Server) unanswered() int {
	if s.Admission == nil {
		return s.limit.pending
	}
	return min(s.limit.pending, s.Admission.PerConnection())
}

// Serve accepts until ctx ends, then closes every connection and waits.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() {
		l.Close()
		s.conns.Range(func(k, _ any) bool { k.(*conn).kill(); return true })
	})
	defer stop()
	for {
		nc, err := Accept(ctx, l)
		if err != nil {
			if ctx.Err() != nil {
				s.wg.Wait()
				return nil
			}
			return fmt.Errorf("accept on %s: %w", l.Addr(), err)
		}
		if now := s.node.Now(); now-s.node.Woke(now) < backlogAge {
			s.Stalls.Add(1)
			nc.Close()
			continue
		}
		if s.count.Add(1) > int64(s.limit.conns) {
			s.count.Add(-1)
			s.Rejected.Add(1)
			nc.SetWriteDeadline(time.Now().Add(time.Second))
			nc.Write([]byte("-ERR max number of clients reached\r\n"))
			nc.Close()
			continue
		}
		s.Accepted.Add(1)
		c := newConn(s, nc)
		s.conns.Store(c, nil)
		if ctx.Err() != nil {
			c.kill()
		}
		s.wg.Add(2)
		go c.read()
		go c.write()
	}
}

// slot is the place of one answer in the order of a connection's commands.
type slot struct {
	reply   []byte
	done    bool
	command uint8         // its number
	parsed  time.Duration // node clock
	proto   int           // of the command: a later HELLO changes nothing for it
	parts   int           // outstanding
	size    int           // bytes held for it
	reqs    []*Request
	form    former
	next    *slot
}

type conn struct {
	s    *Server
	nc   net.Conn
	id   uint64
	gone atomic.Int32 // goroutines that have ended

	// Of the reader.
	name     string
	eventual bool // READONLY
	quit     bool
	batch    batch
	parser   resp.Parser

	// Of whoever writes to the socket. wmu is taken before mu.
	wmu  sync.Mutex
	busy []byte // taken from out; what is behind sent has to be written yet
	sent int
	raw  syscall.RawConn // nil: not a socket
	try  func(fd uintptr) bool
	tryN int
	tryE error

	mu        sync.Mutex
	proto     int
	out       []byte // answers that are due
	writing   int    // bytes of busy
	held      int    // bytes of answers that wait for an earlier one
	head      *slot  // oldest command without an answer
	tail      *slot
	pending   int               // requests
	writes    map[uint64]uint32 // keys (hashed) with writes under way -> how many
	finishing bool              // nothing more is read; closed when all is answered
	dead      bool              // closed; answers go nowhere
	room      sync.Cond
	wake      chan struct{} // to write
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{s: s, nc: nc, proto: 2, id: s.ids.Add(1), writes: map[uint64]uint32{}, wake: make(chan struct{}, 1)}
	c.room.L = &c.mu
	c.batch.c = c
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			c.raw, c.try = raw, c.trySend
		}
	}
	return c
}

// read owns the connection's input: it parses whole socket buffers, answers
// what can be answered here, and submits the rest in one batch.
func (c *conn) read() {
	defer c.leave()
	defer func() {
		// What fails while requests are handed over may have left the node's mailbox
		// locked, or half full: the node can't go on, and its process has to end.
		if c.s.Panicked == nil || c.batch.handing {
			return
		}
		if p := recover(); p != nil {
			c.batch.drop()
			c.broke(p)
		}
	}()
	if c.serve() {
		c.finish()
		c.linger()
	} else {
		c.kill()
	}
}

// serve reads until the connection ends. orderly says that what is still owed
// is to be sent.
func (c *conn) serve() (orderly bool) {
	node := c.s.node
	buf := make([]byte, 0, readSize)
	var last time.Duration // of the read before
	behind := false        // what is read next may have been there since last
	awake := node.Awake(node.Now())
	for {
		if len(buf) == cap(buf) {
			if cap(buf) >= resp.MaxQuery {
				c.fail(resp.ErrQueryTooBig)
				return true
			}
			buf = append(make([]byte, 0, 2*cap(buf)), buf...)
		}
		n, err := c.nc.Read(buf[len(buf):cap(buf)])
		if err != nil {
			return false
		}
		buf = buf[:len(buf)+n]
		now := node.Now()
		if node.Awake(now) != awake {
			// This process slept (stopped, suspended) with these bytes in its
			// socket: their age is unknown, and the client has long given up on
			// them. To apply them now could undo what it wrote elsewhere since.
			c.s.Stalls.Add(1)
			return false
		}
		c.batch.parsed = now
		arrived := now
		if behind {
			arrived = last
		}
		last, behind = now, len(buf) == cap(buf)
		rest, waited, perr := c.take(buf, arrived)
		behind = behind || waited
		switch {
		case perr != nil:
			c.fail(perr)
			return true
		case c.quit:
			return true
		case c.isDead():
			return false
		}
		buf = buf[:copy(buf[:cap(buf)], rest)]
		if cap(buf) > 16*readSize && len(buf) < readSize {
			buf = append(make([]byte, 0, readSize), buf...)
		}
	}
}

// take runs the whole commands at the head of buf and returns what follows
// them. It waits where too much is unanswered.
func (c *conn) take(buf []byte, arrived time.Duration) (rest []byte, waited bool, err error) {
	b := &c.batch
	b.now = arrived
	for rest = buf; len(rest) > 0 && !c.quit; {
		args, used, err := c.parser.Next(rest, b.args[:0])
		if err != nil {
			b.submit()
			return rest, waited, err
		}
		if used == 0 {
			break
		}
		rest = rest[used:]
		b.args = args
		if len(args) == 0 {
			continue
		}
		if full, dead := b.command(args); dead {
			break
		} else if full {
			b.submit()
			if c.await(c.s.unanswered()) {
				waited = true
				b.parsed = c.s.node.Now()
			}
		}
		if cap(b.args) > keptArgs {
			b.args = nil
		}
	}
	b.submit()
	return rest, waited, nil
}

// await blocks while more than most requests, or too many bytes, are owed, and
// says whether it had to.
func (c *conn) await(most int) (waited bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.full(most) && !c.dead {
		waited = true
		c.room.Wait()
	}
	return waited
}

// full says that the client has to take some answers first. Callers hold mu.
func (c *conn) full(most int) bool {
	return c.pending > most || len(c.out)+c.writing+c.held > c.s.limit.out/2
}

func (c *conn) isDead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dead
}

func (c *conn) fail(err error) {
	b := &c.batch
	b.number = other
	b.err("ERR %v", err)
	b.settle()
}

// append puts an answer behind all earlier ones. Callers hold mu.
func (c *conn) append(reply []byte) {
	if c.head == nil {
		c.out = append(c.out, reply...)
	} else {
		c.push(&slot{reply: reply, done: true, size: len(reply)})
		c.held += len(reply)
	}
	c.bound()
}

func (c *conn) push(s *slot) {
	if c.tail == nil {
		c.head = s
	} else {
		c.tail.next = s
	}
	c.tail = s
}

// bound cuts off a client that takes its answers too slowly. Callers hold mu.
func (c *conn) bound() {
	if !c.dead && len(c.out)+c.writing+c.held > c.s.limit.out {
		c.s.CutOff.Add(1)
		c.end()
	}
}

// end closes the connection at once. Callers hold mu.
func (c *conn) end() {
	if c.dead {
		return
	}
	c.dead = true
	for s := c.head; s != nil; s = s.next {
		if !s.done {
			c.s.tallies[s.command].outcomes[gone].Add(1)
		}
		s.reply, s.reqs = nil, nil
	}
	c.out, c.held, c.head, c.tail = nil, 0, nil, nil
	c.nc.Close()
	c.room.Broadcast()
	c.signal()
}

func (c *conn) kill() {
	c.mu.Lock()
	c.end()
	c.mu.Unlock()
}

// broke ends the connection for a panic. What was submitted is the node's and is
// given back when the node completes it, as of any connection that ended.
func (c *conn) broke(p any) {
	defer c.kill()
	c.s.Panicked(p)
}

// Complete implements Completer.
func (c *conn) Complete(r *Request) {
	if r.Admitted {
		c.s.Admission.Release(r.Shard)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending--
	if r.Kind == Write {
		if n := c.writes[r.hash]; n > 1 {
			c.writes[r.hash] = n - 1
		} else {
			delete(c.writes, r.hash)
		}
	}
	c.room.Signal()
	s := r.slot
	s.parts--
	if c.dead {
		r.Value, r.Result.Old, s.reqs = nil, nil, nil
		return
	}
	r.asRead()
	n := len(r.Value) + len(r.Result.Old)
	s.size += n
	c.held += n
	if s.parts > 0 {
		c.bound()
		return
	}
	s.done = true
	var o outcome
	if s == c.head {
		mark := len(c.out)
		c.out = s.form(s.proto, c.out, s.reqs)
		o = outcomeOf(c.out[mark:])
		c.held -= s.size
		c.shift()
	} else {
		s.reply = s.form(s.proto, nil, s.reqs)
		o = outcomeOf(s.reply)
		c.held += len(s.reply) - s.size
		s.size = len(s.reply)
	}
	s.reqs = nil
	c.s.tallies[s.command].add(o, 1, c.s.node.Recent()-s.parsed)
	for c.head != nil && c.head.done {
		c.out = append(c.out, c.head.reply...)
		c.held -= c.head.size
		c.shift()
	}
	c.bound()
	if len(c.out) > 0 || c.head == nil {
		c.signal()
	}
}

func (c *conn) shift() {
	if c.head = c.head.next; c.head == nil {
		c.tail = nil
	}
}

func (c *conn) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// write sends what the loop completed; what the reader itself answered the
// reader also sends, which saves a switch of goroutines for each read.
func (c *conn) write() {
	defer c.leave()
	defer func() {
		if c.s.Panicked == nil {
			return
		}
		if p := recover(); p != nil {
			c.broke(p)
		}
	}()
	for range c.wake {
		if err := c.flush(true); err != nil {
			c.kill()
			return
		}
		c.mu.Lock()
		over := c.dead || c.finishing && c.head == nil && len(c.out) == 0
		c.mu.Unlock()
		if over {
			if h, ok := c.nc.(interface{ CloseWrite() error }); ok {
				h.CloseWrite()
			} else {
				c.nc.Close()
			}
			return
		}
	}
}

// flush writes the answers that are due. Without wait it leaves to the writer
// what the kernel does not take now: a reader that waited for a client which
// first writes all its commands would wait for ever.
func (c *conn) flush(wait bool) error {
	if wait {
		c.wmu.Lock()
	} else if c.raw == nil || !c.wmu.TryLock() {
		c.signal()
		return nil
	}
	defer c.wmu.Unlock()
	written := 0
	for {
		c.mu.Lock()
		c.writing -= written
		c.room.Signal()
		if c.sent == len(c.busy) {
			c.busy, c.out, c.sent = c.out, c.busy[:0], 0
			if cap(c.out) > writeSize {
				c.out = nil
			}
			c.writing = len(c.busy)
		}
		c.mu.Unlock()
		p := c.busy[c.sent:]
		if len(p) == 0 {
			return nil
		}
		var err error
		written, err = c.send(p[:min(len(p), writeSize)], wait)
		c.sent += written
		if err != nil {
			return err
		}
		if !wait && written < len(p) {
			c.mu.Lock()
			c.writing -= written
			c.mu.Unlock()
			c.signal()
			return nil
		}
	}
}

func (c *conn) send(p []byte, wait bool) (int, error) {
	if wait {
		c.nc.SetWriteDeadline(time.Now().Add(c.s.limit.patience))
		n, err := c.nc.Write(p)
		c.nc.SetWriteDeadline(time.Time{})
		return n, err
	}
	c.tryN, c.tryE = 0, nil
	if err := c.raw.Write(c.try); err != nil {
		return 0, err
	}
	if c.tryE == syscall.EAGAIN {
		return 0, nil
	}
	return max(0, c.tryN), c.tryE
}

func (c *conn) trySend(fd uintptr) bool {
	p := c.busy[c.sent:]
	for {
		c.tryN, c.tryE = syscall.Write(int(fd), p[:min(len(p), writeSize)])
		if c.tryE != syscall.EINTR {
			return true // also on EAGAIN: never wait here
		}
	}
}

// finish lets the writer send what is owed, then close its side.
func (c *conn) finish() {
	c.mu.Lock()
	c.finishing = true
	c.mu.Unlock()
	c.signal()
}

// linger throws away what the client goes on sending: to close with unread
// bytes would reset the connection and could take the last answer with it.
func (c *conn) linger() {
	c.nc.SetReadDeadline(time.Now().Add(c.s.limit.linger))
	var b [4096]byte
	for {
		if _, err := c.nc.Read(b[:]); err != nil {
			return
		}
	}
}

// leave is called by each of the two goroutines at its end.
func (c *conn) leave() {
	if c.gone.Add(1) == 2 {
		c.kill()
		c.s.conns.Delete(c)
		c.s.count.Add(-1)
	}
	c.s.wg.Done()
}
