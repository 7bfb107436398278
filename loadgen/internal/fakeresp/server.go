// Package fakeresp is an in-memory Redis server for tests of the load
// generator: the few commands that it sends, on loopback, and misbehaviour on
// demand. Several servers may share one [Store], as the nodes of a platform do.
package fakeresp

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fivenines/fivenines/loadgen/resp"
)

// Store is the data, and what was written how often.
type Store struct {
	mu     sync.Mutex
	data   map[string]item
	writes map[string]int // value -> how often a SET with it arrived
	keep   bool
	past   map[string][]version // from when a server began to lag
}

// version is what a key held from an instant on.
type version struct {
	at    time.Time
	item  item
	there bool
}

// note keeps what a key holds now, if that may be asked for later. The lock is held.
func (s *Store) note(key string) {
	if s.past == nil {
		return
	}
	it, ok := s.data[key]
	s.past[key] = append(s.past[key], version{time.Now(), it, ok})
}

// asOf is what a key held at an instant. The lock is held.
func (s *Store) asOf(key string, at time.Time) (item, bool) {
	vs := s.past[key]
	for i := len(vs) - 1; i >= 0; i-- {
		if v := &vs[i]; !v.at.After(at) {
			return v.item, v.there && (v.item.expiry.IsZero() || at.Before(v.item.expiry))
		}
	}
	return item{}, false
}

type item struct {
	value  []byte
	expiry time.Time
}

// NewStore makes an empty store. counting keeps every value that arrived.
func NewStore(counting bool) *Store {
	return &Store{data: map[string]item{}, writes: map[string]int{}, keep: counting}
}

// MostSent is the number of times that the most often sent state arrived at any
// of the store's servers, applied or not, refusals left out.
func (s *Store) MostSent() (times int, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for v, n := range s.writes {
		if n > times {
			times, value = n, v
		}
	}
	return times, value
}

// Len is the number of keys, those that have expired among them.
func (s *Store) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.data)
}

// Delete loses a key.
func (s *Store) Delete(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.data, key)
	s.note(key)
}

// Set changes a value and keeps its expiry.
func (s *Store) Set(key string, value []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it := s.data[key]
	it.value = value
	s.data[key] = it
	s.note(key)
}

// Keys lists all keys.
func (s *Store) Keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for k := range s.data {
		out = append(out, k)
	}
	return out
}

// reply is one that is held back.
type reply struct {
	text []byte
	at   time.Time
}

// Server is one front door.
type Server struct {
	Addr  string
	ID    string
	store *Store
	l     net.Listener
	wg    sync.WaitGroup

	mu                sync.Mutex
	conns             map[net.Conn]struct{}
	leader            func() []resp.SlotRange
	gate              chan struct{} // closed while not stalled
	closed            bool
	delay, writeDelay time.Duration

	// Refuse, if not nil, gives the error line with which a command on a key is
	// refused, "" if it is not.
	Refuse atomic.Pointer[func(cmd, key string) string]
	// DropWrites acknowledges writes without doing them.
	DropWrites atomic.Bool
	// Commands counts what arrived, PING, CLUSTER and READONLY left out; Eventual, of
	// it, the reads on connections that had sent READONLY.
	Commands, Eventual atomic.Int64

	// NoReadOnly makes READONLY an error, as on a server without a cluster.
	NoReadOnly atomic.Bool

	lag atomic.Int64 // of reads on such connections
}

// Start serves store on a loopback port of its own.
func Start(id string, store *Store) (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{Addr: l.Addr().String(), ID: id, store: store, l: l, conns: map[net.Conn]struct{}{}, gate: make(chan struct{})}
	close(s.gate)
	s.wg.Go(s.accept)
	return s, nil
}

// Lead sets what CLUSTER SLOTS answers; nil is a plain Redis, which knows no
// such command.
func (s *Server) Lead(fn func() []resp.SlotRange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leader = fn
}

// Delay holds all replies back, as a far link does, and those to writes for longer
// still. It is for connections that are made later.
func (s *Server) Delay(all, writes time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay, s.writeDelay = all, writes
}

// Lag makes reads on connections that sent READONLY find the data as it was that
// long ago, as a replica that is behind does.
func (s *Server) Lag(d time.Duration) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if s.store.past == nil {
		s.store.past = map[string][]version{}
		for key, it := range s.store.data {
			s.store.past[key] = []version{{item: it, there: true}}
		}
	}
	s.lag.Store(int64(d))
}

// Stall makes the server silent: it accepts, and neither reads nor answers,
// until Resume.
func (s *Server) Stall() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.gate:
		s.gate = make(chan struct{})
	default:
	}
}

// Resume ends a stall.
func (s *Server) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resume()
}

func (s *Server) resume() {
	select {
	case <-s.gate:
	default:
		close(s.gate)
	}
}

// Break closes every connection.
func (s *Server) Break() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// Conns is the number of open connections.
func (s *Server) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Close stops the server and waits.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.resume()
	s.mu.Unlock()
	s.l.Close()
	s.Break()
	s.wg.Wait()
}

func (s *Server) passage() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gate
}

func (s *Server) accept() {
	for {
		c, err := s.l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			c.Close()
			return
		}
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		s.wg.Go(func() {
			s.serve(c)
			c.Close()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
	}
}

func (s *Server) serve(c net.Conn) {
	var in, out []byte
	eventual := false
	buf := make([]byte, 64<<10)
	late := make(chan reply, 1<<14)
	s.mu.Lock()
	delay, writeDelay := s.delay, s.writeDelay
	s.mu.Unlock()
	if writeDelay > 0 || delay > 0 {
		s.wg.Go(func() {
			for r := range late {
				time.Sleep(time.Until(r.at))
				b := r.text
				for n := len(late); n > 0; n-- { // in one write what is due by now
					r = <-late
					if d := time.Until(r.at); d > 0 {
						c.Write(b)
						b = nil
						time.Sleep(d)
					}
					b = append(b, r.text...)
				}
				c.Write(b)
			}
		})
		defer close(late)
	}
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		<-s.passage()
		in = append(in, buf[:n]...)
		rest := in
		out = out[:0]
		wrote := false
		for {
			args, used := parse(rest)
			if used == 0 {
				break
			}
			if used < 0 {
				return
			}
			rest = rest[used:]
			var w bool
			out, w = s.command(out, args, &eventual)
			wrote = wrote || w
		}
		in = in[:copy(in, rest)]
		<-s.passage()
		if d := delay; d > 0 || wrote && writeDelay > 0 {
			if wrote {
				d += writeDelay
			}
			late <- reply{bytes.Clone(out), time.Now().Add(d)}
			continue
		}
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

// parse reads a command: an array of bulks. It gives -1 if it is none.
func parse(b []byte) (args [8][]byte, used int) {
	r, n, err := resp.Parse(b)
	if err != nil || n > 0 && (r.Type != resp.Array || r.Int > 8 || r.Int < 1) {
		return args, -1
	}
	if n == 0 {
		return args, 0
	}
	rest := r.Bytes
	for i := range r.Int {
		e, m, err := resp.Parse(rest)
		if err != nil || m == 0 || e.Type != resp.Bulk {
			return args, -1
		}
		args[i], rest = e.Bytes, rest[m:]
	}
	return args, n
}

func (s *Server) command(out []byte, a [8][]byte, eventual *bool) (_ []byte, write bool) {
	switch string(a[0]) {
	case "READONLY", "READWRITE":
		if s.NoReadOnly.Load() {
			return append(out, "-ERR This instance has cluster support disabled\r\n"...), false
		}
		*eventual = string(a[0]) == "READONLY"
		return append(out, "+OK\r\n"...), false
	case "PING":
		return append(out, "+PONG\r\n"...), false
	case "CLUSTER":
		return s.slots(out), false
	}
	s.Commands.Add(1)
	cmd := string(a[0])
	if f := s.Refuse.Load(); f != nil {
		if e := (*f)(cmd, string(a[1])); e != "" {
			return append(append(append(out, '-'), e...), "\r\n"...), cmd != "GET"
		}
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	st := s.store
	it, ok := st.data[string(a[1])]
	if ok && !it.expiry.IsZero() && time.Now().After(it.expiry) {
		delete(st.data, string(a[1]))
		st.note(string(a[1]))
		ok = false
	}
	bulk := func() {
		if ok {
			out = resp.AppendArg(out, it.value)
		} else {
			out = append(out, "$-1\r\n"...)
		}
	}
	drop := s.DropWrites.Load()
	switch cmd {
	case "GET":
		if *eventual {
			s.Eventual.Add(1)
			if lag := time.Duration(s.lag.Load()); lag > 0 {
				it, ok = st.asOf(string(a[1]), time.Now().Add(-lag))
			}
		}
		bulk()
		return out, false
	case "GETDEL":
		bulk()
		if !drop {
			delete(st.data, string(a[1]))
			st.note(string(a[1]))
		}
	case "GETEX":
		bulk()
		if ok && !drop {
			it.expiry = expiry(a[2], a[3])
			st.data[string(a[1])] = it
			st.note(string(a[1]))
		}
	case "SET":
		if st.keep {
			st.writes[string(a[2])]++
		}
		if ok == (string(a[3]) == "NX") {
			return append(out, "$-1\r\n"...), true
		}
		if !drop {
			st.data[string(a[1])] = item{bytes.Clone(a[2]), expiry(a[4], a[5])}
			st.note(string(a[1]))
		}
		out = append(out, "+OK\r\n"...)
	default:
		return append(out, fmt.Sprintf("-ERR unknown command '%s'\r\n", cmd)...), false
	}
	return out, true
}

func expiry(unit, n []byte) time.Time {
	v, _ := strconv.ParseInt(string(n), 10, 64)
	d := time.Duration(v) * time.Second
	if string(unit) == "PX" {
		d = time.Duration(v) * time.Millisecond
	}
	return time.Now().Add(d)
}

func (s *Server) slots(out []byte) []byte {
	s.mu.Lock()
	fn := s.leader
	s.mu.Unlock()
	if fn == nil {
		return append(out, "-ERR This instance has cluster support disabled\r\n"...)
	}
	rs := fn()
	out = resp.AppendHeader(out, len(rs))
	for _, r := range rs {
		out = fmt.Appendf(out, "*3\r\n:%d\r\n:%d\r\n*3\r\n", r.Start, r.End)
		out = resp.AppendArg(out, r.Host)
		out = fmt.Appendf(out, ":%d\r\n", r.Port)
		out = resp.AppendArg(out, r.NodeID)
	}
	return out
}
