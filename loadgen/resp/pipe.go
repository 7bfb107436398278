package resp

import (
	"fmt"
	"io"
	"syscall"

	"golang.org/x/sys/unix"
)

// Pipe is a pipelined connection that never waits: its owner appends commands
// to Out, and asks it to send what the kernel takes and to hand over what has
// come. It is for one goroutine.
//
// It stands outside of Go's network poller on purpose. With a goroutine for each
// connection every reply wakes a thread, and these wake-ups cost a load generator
// more than all else it does; one goroutine that looks at all connections
// each millisecond has a thousand a second in all.
type Pipe struct {
	Out []byte

	fd   int
	left uint64
	in   []byte
	rs   []Reply
}

// Detach makes a pipe of the connection, which must not be used any more.
func (c *Conn) Detach() (*Pipe, error) {
	defer c.nc.Close()
	sc, ok := c.nc.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("a %T has no descriptor", c.nc)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	p := &Pipe{fd: -1}
	var derr error
	if err := raw.Control(func(fd uintptr) {
		p.fd, derr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) // it is non-blocking like the original
	}); err != nil {
		return nil, err
	}
	if derr != nil {
		return nil, fmt.Errorf("duplicate a connection's descriptor: %w", derr)
	}
	return p, nil
}

// Close gives the connection up.
func (p *Pipe) Close() {
	if p.fd >= 0 {
		_ = unix.Close(p.fd)
		p.fd = -1
	}
}

// Left is the number of bytes that the kernel has taken; Queued that of all
// that were appended to Out.
func (p *Pipe) Left() uint64   { return p.left }
func (p *Pipe) Queued() uint64 { return p.left + uint64(len(p.Out)) }

// Flush writes what the kernel takes now and keeps the rest. An error means
// that the connection is broken.
func (p *Pipe) Flush() error {
	if len(p.Out) == 0 {
		return nil
	}
	n, err := retry(func() (int, error) { return unix.Write(p.fd, p.Out) })
	if err != nil {
		if err == unix.EAGAIN {
			return nil
		}
		return fmt.Errorf("write: %w", err)
	}
	p.left += uint64(n)
	p.Out = p.Out[:copy(p.Out, p.Out[n:])]
	if len(p.Out) == 0 && cap(p.Out) > 16*readSize {
		p.Out = nil // a burst does not keep its memory
	}
	return nil
}

// Poll hands all complete replies that have come to fn, together for each read.
// An error means that the connection is broken, or is fn's own.
func (p *Pipe) Poll(fn func([]Reply) error) error {
	for {
		p.in = room(p.in)
		free := p.in[len(p.in):cap(p.in)]
		n, err := retry(func() (int, error) { return unix.Read(p.fd, free) })
		switch {
		case err == unix.EAGAIN:
			return nil
		case err != nil:
			return fmt.Errorf("read: %w", err)
		case n == 0 && len(p.in) > 0:
			return io.ErrUnexpectedEOF
		case n == 0:
			return io.EOF
		}
		p.in = p.in[:len(p.in)+n]
		if err := p.hand(fn); err != nil {
			return err
		}
		if n < len(free) {
			return nil // that was all
		}
	}
}

func (p *Pipe) hand(fn func([]Reply) error) error {
	p.rs = p.rs[:0]
	used := 0
	var bad error
	for used < len(p.in) {
		r, n, err := Parse(p.in[used:])
		if err != nil {
			bad = err
			break
		}
		if n == 0 {
			break
		}
		used += n
		p.rs = append(p.rs, r)
	}
	if len(p.rs) > 0 {
		if err := fn(p.rs); err != nil {
			return err
		}
		p.in = p.in[:copy(p.in, p.in[used:])]
		if cap(p.in) > 16*readSize && len(p.in) < readSize {
			p.in = append(make([]byte, 0, readSize), p.in...)
		}
	}
	return bad
}

func retry(f func() (int, error)) (int, error) {
	for {
		if n, err := f(); err != unix.EINTR {
			return n, err
		}
	}
}
