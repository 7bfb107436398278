package resp

import (
	"context"
	"fmt"
	"net"
	"time"
)

// Conn is a connection for one command at a time, and what a [Pipe] is made of.
type Conn struct {
	nc net.Conn
	in []byte
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
	c := &Conn{nc: nc}
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

// Ping asks and waits for the answer.
func (c *Conn) Ping(timeout time.Duration) (time.Duration, error) {
	begin := time.Now()
	err := c.Ask(timeout, func(r Reply) error {
		if r.Type != Simple || string(r.Bytes) != "PONG" {
			return fmt.Errorf("PING: answered with %.64q", r.Bytes)
		}
		return nil
	}, "PING")
	return time.Since(begin), err
}

// Ask does one command and waits for its reply, which is valid during the call
// of fn. After an error the connection is of no use.
func (c *Conn) Ask(timeout time.Duration, fn func(Reply) error, args ...string) error {
	if err := c.nc.SetDeadline(time.Now().Add(timeout)); err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	if _, err := c.nc.Write(AppendCommand(nil, args...)); err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	c.in = c.in[:0]
	for {
		c.in = room(c.in)
		n, err := c.nc.Read(c.in[len(c.in):cap(c.in)])
		c.in = c.in[:len(c.in)+n]
		r, used, perr := Parse(c.in)
		switch {
		case perr != nil:
			return fmt.Errorf("%s: %w", args[0], perr)
		case used > 0 && used < len(c.in):
			return fmt.Errorf("%s: %w: more than one reply", args[0], ErrProtocol)
		case used > 0:
			return fn(r)
		case err != nil:
			return fmt.Errorf("%s: %w", args[0], err)
		}
	}
}

const readSize = 64 << 10

// room makes space in a read buffer, whose content stays.
func room(b []byte) []byte {
	if cap(b)-len(b) >= readSize/2 {
		return b
	}
	return append(make([]byte, 0, max(readSize, 2*cap(b))), b...)
}
