package traffic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/fivenines/fivenines/internal/udptcp"
)

// fresh is how old a view may be: a node whose loop stands still knows nothing.
const fresh = 2 * time.Second

// Server answers for a zone over UDP and TCP. Make it with [Listen].
type Server struct {
	zone *Zone
	udp  net.PacketConn
	tcp  net.Listener
	now  func() time.Duration

	mu   sync.Mutex
	view View
	at   time.Duration
	turn int

	// Panicked is told of a panic that a query led to, which ends that query
	// alone; nil: it ends the process.
	Panicked func(p any)

	Queries  atomic.Uint64
	Failures atomic.Uint64 // answered SERVFAIL
}

// Listen opens both ports. now is the node's clock.
func Listen(addr string, z *Zone, now func() time.Duration) (*Server, error) {
	udp, tcp, err := udptcp.Listen(addr)
	if err != nil {
		return nil, fmt.Errorf("dns address %s: %w", addr, err)
	}
	return &Server{zone: z, udp: udp, tcp: tcp, now: now}, nil
}

// Addr is where it listens.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.udp.LocalAddr().String()
}

// Set replaces what the node knows.
func (s *Server) Set(v View, at time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view, s.at = v, at
}

// Close closes the ports of a server that does not run.
func (s *Server) Close() {
	s.udp.Close()
	s.tcp.Close()
}

// Reopen opens the ports again after Run has returned.
func (s *Server) Reopen() error {
	addr := s.Addr()
	udp, tcp, err := udptcp.Listen(addr)
	if err != nil {
		return fmt.Errorf("dns address %s: %w", addr, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.udp, s.tcp = udp, tcp
	return nil
}

// Run answers until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, x := range []*dns.Server{
		{PacketConn: s.udp, Handler: s, UDPSize: 1232},
		{Listener: s.tcp, Handler: s, ReadTimeout: 2 * time.Second, WriteTimeout: 2 * time.Second, IdleTimeout: func() time.Duration { return 5 * time.Second }, MaxTCPQueries: 128},
	} {
		up := make(chan struct{})
		x.NotifyStartedFunc = func() { close(up) }
		ended := make(chan struct{})
		wg.Go(func() {
			defer close(ended)
			if err := x.ActivateAndServe(); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("dns: %w", err))
			}
		})
		wg.Go(func() {
			<-ctx.Done()
			select {
			case <-up:
			case <-ended:
			}
			stop, end := context.WithTimeout(context.Background(), time.Second)
			defer end()
			x.ShutdownContext(stop)
		})
	}
	<-ctx.Done()
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// ServeDNS implements dns.Handler.
func (s *Server) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	s.Queries.Add(1)
	defer func() {
		if s.Panicked == nil {
			return
		}
		if p := recover(); p != nil {
			s.Failures.Add(1)
			s.Panicked(p)
		}
	}()
	now := s.now()
	s.mu.Lock()
	v := s.view
	if now-s.at > fresh {
		v.Fit = false
	}
	s.turn++
	turn := s.turn
	s.mu.Unlock()
	m := s.zone.Answer(q, v, turn)
	if m.Rcode == dns.RcodeServerFailure {
		s.Failures.Add(1)
	}
	size := dns.MaxMsgSize
	if _, ok := w.RemoteAddr().(*net.UDPAddr); ok {
		size = dns.MinMsgSize
		if o := q.IsEdns0(); o != nil {
			size = max(size, min(1232, int(o.UDPSize())))
			m.SetEdns0(1232, false)
		}
	}
	m.Truncate(size)
	w.WriteMsg(m)
}
