package resp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

const readSize = 64 << 10

// Conn is a pipelined connection.
//
// Out is where its owner appends commands; Flush hands to the kernel what it
// takes, without ever waiting for it, and keeps the rest for the next Flush.
type Conn struct {
	Out []byte

	nc    net.Conn
	raw   syscall.RawConn
	write func(fd uintptr) bool // made once: a Flush allocates nothing
	n     int
	err   error
	left  uint64
	in    []byte
}

// Dial connects and waits for the answer to a PING. It returns the round trip
// of that.
func Dial(ctx context.Context, address string, timeout time.Duration) (*Conn, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	d := net.Dialer{KeepAlive: -1}
	nc, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, 0, fmt.Errorf("connect to %s: %w", address, err)
	}
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	raw, err := nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		nc.Close()
		return nil, 0, fmt.Errorf("connect to %s: %w", address, err)
	}
	c := &Conn{nc: nc, raw: raw}
	c.write = c.writeSome
	rtt, err := c.Ping(timeout)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		nc.Close()
		return nil, 0, fmt.Errorf("connect to %s: %w", address, err)
	}
	return c, rtt, nil
}

// Close may be called at any time and more than once.
func (c *Conn) Close() error { return c.nc.Close() }

// Left is the number of bytes that the kernel has taken since the connection
// was made.
func (c *Conn) Left() uint64 { return c.left }

// Queued is the number of bytes ever appended to Out.
func (c *Conn) Queued() uint64 { return c.left + uint64(len(c.Out)) }

func (c *Conn) writeSome(fd uintptr) bool {
	for {
		c.n, c.err = syscall.Write(int(fd), c.Out)
		if c.err != syscall.EINTR {
			return true // also on EAGAIN: never wait here
		}
	}
}

// Flush writes what the kernel takes now. An error means that the connection
// is broken; what had left before is in Left.
func (c *Conn) Flush() error {
	if len(c.Out) == 0 {
		return nil
	}
	if err := c.raw.Write(c.write); err != nil {
		return err
	}
	if c.err != nil {
		if c.err == syscall.EAGAIN {
			return nil
		}
		return c.err
	}
	c.left += uint64(c.n)
	rest := copy(c.Out, c.Out[c.n:])
	c.Out = c.Out[:rest]
	if rest == 0 && cap(c.Out) > 16*readSize {
		c.Out = nil // a burst does not keep its memory
	}
	return nil
}

// Ping asks and waits for the answer; nothing else may be owed.
func (c *Conn) Ping(timeout time.Duration) (time.Duration, error) {
	begin := time.Now()
	err := c.Ask(timeout, func(r Reply) error {
		if r.Type != Simple || string(r.Bytes) != "PONG" {
			return fmt.Errorf("PING: answered with %q", clip(r.Bytes))
		}
		return nil
	}, "PING")
	return time.Since(begin), err
}

// Ask does one command and waits for its reply; nothing else may be owed. The
// reply is valid during the call of fn.
func (c *Conn) Ask(timeout time.Duration, fn func(Reply) error, args ...string) error {
	if err := c.nc.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if _, err := c.nc.Write(AppendCommand(nil, args...)); err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	var got error
	errDone := errors.New("done")
	err := c.Replies(func(rs []Reply) error {
		if len(rs) > 1 {
			return fmt.Errorf("%w: %d replies to one command", ErrProtocol, len(rs))
		}
		got = fn(rs[0])
		return errDone
	})
	if err != errDone {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	if got != nil {
		return got
	}
	return c.nc.SetDeadline(time.Time{})
}

// Replies reads until the connection breaks or fn returns an error, which it
// returns. fn gets all complete replies of each socket buffer together.
func (c *Conn) Replies(fn func([]Reply) error) error {
	var rs []Reply
	for {
		if cap(c.in)-len(c.in) < readSize/2 {
			c.in = append(make([]byte, 0, max(readSize, 2*cap(c.in))), c.in...)
		}
		n, err := c.nc.Read(c.in[len(c.in):cap(c.in)])
		c.in = c.in[:len(c.in)+n]
		rs = rs[:0]
		used := 0
		var bad error
		for used < len(c.in) {
			r, m, perr := Parse(c.in[used:])
			if perr != nil {
				bad = perr
				break
			}
			if m == 0 {
				break
			}
			used += m
			rs = append(rs, r)
		}
		if len(rs) > 0 {
			ferr := fn(rs)
			c.in = c.in[:copy(c.in, c.in[used:])]
			if ferr != nil {
				return ferr
			}
			if cap(c.in) > 16*readSize && len(c.in) < readSize {
				c.in = append(make([]byte, 0, readSize), c.in...)
			}
		}
		switch {
		case bad != nil:
			return bad
		case err == io.EOF && len(c.in) > 0:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
}

func clip(b []byte) []byte { return b[:min(len(b), 64)] }
