package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fivenines/fivenines/reference/internal/resp"
)

// Limits of a connection. Memory is bounded by them whatever a client sends.
const (
	maxConns   = 10_000
	maxPending = 16 << 10 // commands without an answer, after which nothing more is read
	maxOut     = 64 << 20 // bytes of answers not taken by the client, after which it is cut off
	readSize   = 64 << 10
)

// WriteBudget is how long a request may take before its client is told that
// the outcome is unknown; clients give up at one second.
const WriteBudget = 900 * time.Millisecond

// Server accepts RESP connections.
type Server struct {
	node  Node
	conns sync.Map
	count atomic.Int64
	wg    sync.WaitGroup
	ids   atomic.Uint64

	Commands atomic.Uint64
	Accepted atomic.Uint64
	Rejected atomic.Uint64
	Stalls   atomic.Uint64
}

// NewServer serves node's front door.
func NewServer(node Node) *Server { return &Server{node: node} }

// Conns is the number of open connections.
func (s *Server) Conns() int { return int(s.count.Load()) }

// Serve accepts until ctx ends, then closes every connection and waits.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() {
		l.Close()
		s.conns.Range(func(k, _ any) bool { k.(*conn).nc.Close(); return true })
	})
	defer stop()
	for {
		nc, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				s.wg.Wait()
				return nil
			}
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() {
				continue
			}
			return fmt.Errorf("accept on %s: %w", l.Addr(), err)
		}
		if s.count.Add(1) > maxConns {
			s.count.Add(-1)
			s.Rejected.Add(1)
			nc.SetWriteDeadline(time.Now().Add(time.Second))
			nc.Write([]byte("-ERR max number of clients reached\r\n"))
			nc.Close()
			continue
		}
		s.Accepted.Add(1)
		c := &conn{s: s, nc: nc, proto: 2, id: s.ids.Add(1), wake: make(chan struct{}, 1)}
		s.conns.Store(c, nil)
		if ctx.Err() != nil {
			nc.Close()
		}
		s.wg.Add(2)
		go c.read()
		go c.write()
	}
}

// slot is the place of one answer in the order of a connection's commands.
type slot struct {
	reply []byte
	done  bool
	parts int // outstanding
	reqs  []*Request
	form  func(c *conn, dst []byte, reqs []*Request) []byte
	next  *slot
}

type conn struct {
	s        *Server
	nc       net.Conn
	id       uint64
	name     string
	proto    int
	eventual bool // READONLY
	quit     bool

	wmu     sync.Mutex // held while writing to the socket; before mu
	spare   []byte     // under wmu
	mu      sync.Mutex
	out     []byte
	head    *slot // oldest command without an answer
	tail    *slot
	pending int
	closed  bool
	room    *sync.Cond
	wake    chan struct{} // to write; also closed state
}

// read owns the connection's input: it parses whole socket buffers, answers
// what can be answered here, and submits the rest in one batch.
func (c *conn) read() {
	defer c.s.wg.Done()
	defer c.shut()
	c.room = sync.NewCond(&c.mu)
	buf := make([]byte, 0, readSize)
	var args [][]byte
	var b batch
	var parser resp.Parser
	awake := c.s.node.Awake(c.s.node.Now())
	for {
		if len(buf) == cap(buf) {
			if cap(buf) >= resp.MaxQuery {
				c.fatal("Protocol error: too big query")
				return
			}
			buf = append(make([]byte, 0, 2*cap(buf)), buf...)
		}
		n, err := c.nc.Read(buf[len(buf):cap(buf)])
		if err != nil {
			return
		}
		buf = buf[:len(buf)+n]
		now := c.s.node.Now()
		if c.s.node.Awake(now) != awake {
			// This process slept (stopped, suspended) with these bytes in its
			// socket: their age is unknown, and the client has long given up on
			// them. To apply them now could undo what it wrote elsewhere since.
			c.s.Stalls.Add(1)
			return
		}
		rest := buf
		b.reset(c, now)
		for len(rest) > 0 && !c.quit {
			a, used, perr := parser.Next(rest, args[:0])
			if perr != nil {
				b.submit()
				c.fatal(perr.Error())
				return
			}
			if used == 0 {
				break
			}
			rest = rest[used:]
			args = a
			if len(a) == 0 {
				continue
			}
			b.command(a)
		}
		b.submit()
		if c.quit {
			c.flushAndClose()
			return
		}
		buf = buf[:copy(buf[:cap(buf)], rest)]
		if cap(buf) > 16*readSize && len(buf) < readSize {
			buf = append(make([]byte, 0, readSize), buf...)
		}
		if !c.await() {
			return
		}
	}
}

// await blocks while the client has too many unanswered commands.
func (c *conn) await() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.pending > maxPending && !c.closed {
		c.room.Wait()
	}
	return !c.closed && len(c.out) <= maxOut
}

func (c *conn) fatal(text string) {
	c.mu.Lock()
	c.append(resp.AppendError(nil, "ERR "+text))
	c.mu.Unlock()
	c.flushAndClose()
}

// append puts an answer behind all earlier ones. Callers hold mu.
func (c *conn) append(reply []byte) {
	if c.head == nil {
		c.out = append(c.out, reply...)
		return
	}
	c.push(&slot{reply: reply, done: true})
}

func (c *conn) push(s *slot) {
	if c.tail == nil {
		c.head = s
	} else {
		c.tail.next = s
	}
	c.tail = s
	c.pending++
}

// Complete implements Completer.
func (c *conn) Complete(r *Request) {
	c.mu.Lock()
	s := r.slot
	s.parts--
	if s.parts == 0 {
		s.reply = s.form(c, s.reply, s.reqs)
		s.done = true
		s.reqs = nil
		moved := false
		for c.head != nil && c.head.done {
			c.out = append(c.out, c.head.reply...)
			c.head = c.head.next
			c.pending--
			moved = true
		}
		if c.head == nil {
			c.tail = nil
		}
		if moved {
			if c.room != nil {
				c.room.Signal()
			}
			c.signal()
		}
	}
	c.mu.Unlock()
}

func (c *conn) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// write sends what the loop completed; what the reader itself answered it
// also sends itself, which saves a switch of goroutines for each read.
func (c *conn) write() {
	defer c.s.wg.Done()
	for range c.wake {
		if c.flush() {
			c.nc.Close()
			return
		}
	}
}

// flush writes the answers that are due and says whether the connection is done.
func (c *conn) flush() (closed bool) {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	c.mu.Lock()
	out := c.out
	c.out = c.spare[:0]
	closed = c.closed
	c.mu.Unlock()
	if len(out) > 0 {
		if _, err := c.nc.Write(out); err != nil {
			c.nc.Close()
		}
	}
	if cap(out) > 1<<20 {
		out = nil
	}
	c.spare = out
	return closed
}

func (c *conn) shut() {
	c.mu.Lock()
	was := c.closed
	c.closed = true
	c.mu.Unlock()
	if !was {
		c.nc.Close()
		c.signal()
	}
	c.s.conns.Delete(c)
	c.s.count.Add(-1)
}

// flushAndClose lets the writer send what is there, then close.
func (c *conn) flushAndClose() {
	c.nc.SetWriteDeadline(time.Now().Add(time.Second))
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.signal()
}
