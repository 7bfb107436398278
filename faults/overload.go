package faults

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fivenines/fivenines/fixtures"
)

func init() {
	catalogue(KindInfo{
		Kind:    "overload",
		Summary: "Bulk work of others at the front door of one node: multi-key deletes of keys that nobody has, over connections of its own, beside the clients and in no record.",
		Params: []ParamInfo{
			{Name: "node", Default: "primary:1", Help: helpNode},
			{Name: "rate", Default: "100000", Help: "keys a second over all connections, 1000 to 1000000"},
			{Name: "connections", Default: "16", Help: "1 to 256"},
		},
	}, newOverload)
}

const (
	overloadKeys  = 128              // of one command: enough for any system to tell bulk work from a client's
	overloadDepth = 64               // commands of a connection without an answer, at which it waits
	overloadMost  = 10 * time.Minute // it ends by itself, whatever becomes of who injected it
	overloadProof = 2 * time.Second
)

type overload struct {
	Spec
	node  string
	rate  int
	conns int

	cancel context.CancelFunc // nil: not injected
	done   *sync.WaitGroup
	lines  []*bulkLine
}

func newOverload(s Spec, topo *fixtures.Topology) (Fault, error) {
	node, err := chooseNode(topo, s.Params["node"])
	if err != nil {
		return nil, err
	}
	s.Params["node"] = node
	f := &overload{Spec: s, node: node}
	for _, p := range []struct {
		name        string
		to          *int
		least, most int
	}{{"rate", &f.rate, 1000, 1_000_000}, {"connections", &f.conns, 1, 256}} {
		if *p.to, err = strconv.Atoi(s.Params[p.name]); err != nil || *p.to < p.least || *p.to > p.most {
			return nil, fmt.Errorf("%s=%s is not a number from %d to %d", p.name, s.Params[p.name], p.least, p.most)
		}
	}
	return f, nil
}

func (f *overload) Kind() string { return f.Spec.Kind }

func (f *overload) Available(d fixtures.Deployment) error {
	if d.Target().Driver() != "resp" {
		return fmt.Errorf("%w: its clients do not speak RESP", fixtures.ErrNotHere)
	}
	return known(d, []string{f.node})
}

func (f *overload) Parts(fixtures.Deployment) []string { return []string{f.node} }

// Effect: nothing is taken away. A system that is brought to a standstill by
// it is seen by its clients.
func (f *overload) Effect(fixtures.Deployment) Effect {
	return Effect{Nodes: map[string]fixtures.NodeState{}, Cut: map[string]bool{}, Bound: overloadProof + answerIn + slack}
}

// Inject begins to send and returns.
func (f *overload) Inject(ctx context.Context, d fixtures.Deployment) error {
	addr := ""
	for _, n := range d.Nodes() {
		if n.ID == f.node {
			addr = d.ClientAddr(n.Region, n.ID)
		}
	}
	if addr == "" {
		return fmt.Errorf("%s has no address for clients", f.node)
	}
	ctx, f.cancel = context.WithTimeout(context.WithoutCancel(ctx), overloadMost)
	f.done = new(sync.WaitGroup)
	every := time.Duration(f.conns) * overloadKeys * time.Second / time.Duration(f.rate)
	for i := range f.conns {
		l := &bulkLine{addr: addr, every: every, command: bulkDelete(i)}
		f.lines = append(f.lines, l)
		f.done.Go(func() { l.run(ctx) })
	}
	return nil
}

// Heal ends it and waits until its connections are closed.
func (f *overload) Heal(context.Context, fixtures.Deployment) error {
	if f.cancel != nil {
		f.cancel()
		f.done.Wait()
	}
	return nil
}

// Confirm waits until every connection has had an answer, be it that its command
// is not served now.
func (f *overload) Confirm(ctx context.Context, _ fixtures.Deployment) (took, wrong []string) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		silent, answered, refused := 0, int64(0), int64(0)
		for _, l := range f.lines {
			if l.answered.Load() == 0 {
				silent++
			}
			answered += l.answered.Load()
			refused += l.refused.Load()
		}
		if len(f.lines) > 0 && silent == 0 {
			return []string{fmt.Sprintf("%s: bulk deletes on %d connections, %d answered, %d of them refused", f.node, f.conns, answered, refused)}, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, []string{fmt.Sprintf("%s: %d of %d connections for bulk deletes had an answer", f.node, len(f.lines)-silent, f.conns)}
		}
	}
}

// bulkDelete is one command of a connection, always the same.
func bulkDelete(conn int) []byte {
	b := fmt.Appendf(nil, "*%d\r\n$3\r\nDEL\r\n", overloadKeys+1)
	for k := range overloadKeys {
		key := fmt.Sprintf("overload:%d:%d", conn, k)
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(key), key)
	}
	return b
}

// bulkLine is one connection, made again when it breaks.
type bulkLine struct {
	addr    string
	every   time.Duration
	command []byte

	answered, refused atomic.Int64
}

func (l *bulkLine) run(ctx context.Context) {
	for ctx.Err() == nil {
		if l.connection(ctx) == nil {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// connection sends at its rate until the connection breaks or ctx ends. What it
// can't send in time it leaves out: this is load, and no queue.
func (l *bulkLine) connection(ctx context.Context) error {
	var d net.Dialer
	dialing, stopDialing := context.WithTimeout(ctx, answerIn)
	defer stopDialing()
	c, err := d.DialContext(dialing, "tcp", l.addr)
	if err != nil {
		return err
	}
	var reader sync.WaitGroup
	defer reader.Wait()
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	var owed atomic.Int64
	broken := make(chan error, 1)
	reader.Go(func() { broken <- l.read(c, &owed) })
	t := time.NewTicker(max(l.every, time.Millisecond))
	defer t.Stop()
	next := time.Now()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-broken:
			return err
		case now := <-t.C:
			for ; !next.After(now); next = next.Add(l.every) {
				if owed.Load() >= overloadDepth {
					continue
				}
				owed.Add(1)
				c.SetWriteDeadline(now.Add(answerIn))
				if _, err := c.Write(l.command); err != nil {
					return err
				}
			}
		}
	}
}

// read counts answers: a number or an error, a line each.
func (l *bulkLine) read(c net.Conn, owed *atomic.Int64) error {
	in := bufio.NewScanner(c)
	for in.Scan() {
		owed.Add(-1)
		if b := in.Bytes(); len(b) > 0 && b[0] == '-' {
			l.refused.Add(1)
		}
		l.answered.Add(1)
	}
	if err := in.Err(); err != nil {
		return err
	}
	return errors.New("the connection ended")
}
