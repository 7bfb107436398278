package node

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fivenines/fivenines/reference/internal/route"
)

// PeerPath is one way to a node of another region, in the configuration.
type PeerPath struct {
	Name     string  `json:"name"`
	Addr     string  `json:"addr"`
	RTTms    float64 `json:"rtt_ms"` // baseline
	JitterMs float64 `json:"jitter_ms,omitempty"`
}

const (
	silentTarget = time.Second // no path of a node answers: another node of its region is asked
	probeGrace   = 2 * time.Second
	probeWrite   = 50 * time.Millisecond
	redialProbe  = 300 * time.Millisecond
)

// router probes the paths to one region, asks its table which to use, and
// moves the connections to the region's nodes. One node of the region stands
// for the paths to all; another one does while it says nothing.
type router struct {
	n       *Node
	region  string
	names   []string
	targets []int            // nodes of the region
	addrs   map[int][]string // node -> its address on each path

	inUse atomic.Int32
	wake  chan struct{}

	mu    sync.Mutex
	table *route.Table
	lines []*line // by path
	asked int     // index in targets
	began time.Duration
	stats []route.Stats // as of the last decision, for metrics
	moves atomic.Uint64

	turned atomic.Int64 // node clock when it last decided
}

// line is the connection for probes on one path.
type line struct {
	mu   sync.Mutex
	c    net.Conn
	made bool // once since the target is asked
}

// newRouters makes one for each region to which there is more than one path.
func newRouters(n *Node) ([]*router, error) {
	var all []*router
	for _, r := range n.m.Regions {
		if r.Name == n.self.Region {
			continue
		}
		x := &router{n: n, region: r.Name, addrs: map[int][]string{}, wake: make(chan struct{}, 1)}
		var paths []route.Path
		for _, nd := range n.m.Nodes {
			ps := n.cfg.Paths[nd.ID]
			if nd.Region != r.Name || len(ps) < 2 {
				continue
			}
			if paths == nil {
				for _, p := range ps {
					paths = append(paths, route.Path{Name: p.Name, RTT: millis(p.RTTms), Jitter: millis(p.JitterMs)})
					x.names = append(x.names, p.Name)
				}
			}
			if len(ps) != len(paths) {
				return nil, fmt.Errorf("paths to %s: %d, but %d to %s: give the same to all nodes of a region", nd.ID, len(ps), len(paths), n.m.Nodes[x.targets[0]].ID)
			}
			for i, p := range ps {
				if p.Name != paths[i].Name {
					return nil, fmt.Errorf("paths to %s: the %d. is %s, not %s as to %s", nd.ID, i+1, p.Name, paths[i].Name, n.m.Nodes[x.targets[0]].ID)
				}
				x.addrs[nd.Index] = append(x.addrs[nd.Index], p.Addr)
			}
			x.targets = append(x.targets, nd.Index)
		}
		if paths == nil {
			continue
		}
		x.asked = n.self.Index % len(x.targets) // not all ask the same
		now := n.Now()
		x.table, x.began = route.New(paths, route.DefaultLimits(), now), now
		x.stats = make([]route.Stats, len(paths))
		for range paths {
			x.lines = append(x.lines, &line{})
		}
		all = append(all, x)
	}
	return all, nil
}

func millis(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// path is the number of the path in use.
func (r *router) path() int { return int(r.inUse.Load()) }

func (r *router) addr(node, path int) string { return r.addrs[node][path] }

// name names a path for events, as the harness does.
func (r *router) name(path int) string {
	return r.n.self.Region + ">" + r.region + "/" + r.names[path]
}

// run probes and decides until ctx ends.
func (r *router) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil) // also of a panic: its lines end with it
	for i := range r.lines {
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					r.n.panicked("paths to "+r.region, p)
					cancel(fmt.Errorf("panic: %v", p))
				}
			}()
			r.keep(ctx, i)
		})
	}
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-t.C:
		case <-r.wake:
		}
		events, next := r.turn()
		r.apply(events)
		t.Reset(max(time.Millisecond, next-r.n.Now()))
	}
}

// turn probes what is due, and returns what was decided and when the next is.
func (r *router) turn() ([]route.Event, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.n.Now()
	r.turned.Store(int64(now))
	events := r.table.Tick(now)
	if len(r.targets) > 1 && r.table.Silent(now) > silentTarget && now-r.began > probeGrace {
		r.next(now)
	}
	for _, i := range r.table.Due(now) {
		r.probe(now, i)
	}
	for i := range r.stats {
		r.stats[i] = r.table.Stats(i)
	}
	return events, r.table.Next(now)
}

// next asks another node of the region. mu is held.
func (r *router) next(now time.Duration) {
	r.asked = (r.asked + 1) % len(r.targets)
	r.began = now
	r.table.Forget()
	for _, l := range r.lines {
		l.mu.Lock()
		l.made = false
		if l.c != nil {
			l.c.Close()
		}
		l.mu.Unlock()
	}
}

// probe sends one. A path on which there is no connection yet is given some
// time; later, no connection is no answer. mu is held.
func (r *router) probe(now time.Duration, i int) {
	l := r.lines[i]
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.made && now-r.began < probeGrace {
		r.table.Skip(now, i)
		return
	}
	seq := r.table.Sent(now, i)
	if l.c == nil {
		return
	}
	l.c.SetWriteDeadline(time.Now().Add(probeWrite))
	if _, err := l.c.Write(AppendFrame(nil, frameProbe, binary.LittleEndian.AppendUint64(nil, seq))); err != nil {
		l.c.Close()
	}
}

// keep holds the connection for probes on one path.
func (r *router) keep(ctx context.Context, i int) {
	for ctx.Err() == nil {
		r.mu.Lock()
		asked := r.asked
		r.mu.Unlock()
		h := r.n.hello()
		h.Probe = true
		if c, err := r.n.dialPeer(ctx, r.addr(r.targets[asked], i), h); err == nil {
			r.read(ctx, i, asked, c)
		}
		select {
		case <-ctx.Done():
		case <-time.After(redialProbe):
		}
	}
}

// read takes the answers of one connection until it breaks.
func (r *router) read(ctx context.Context, i, asked int, c net.Conn) {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	l := r.lines[i]
	r.mu.Lock()
	current := r.asked == asked
	if current {
		l.mu.Lock()
		l.c, l.made = c, true
		l.mu.Unlock()
	}
	r.mu.Unlock()
	if !current {
		return
	}
	defer func() {
		l.mu.Lock()
		l.c = nil
		l.mu.Unlock()
	}()
	buf := make([]byte, 0, 256)
	for {
		k, err := c.Read(buf[len(buf):cap(buf)])
		if err != nil {
			return
		}
		buf = buf[:len(buf)+k]
		now := r.n.Now()
		rest := buf
		for {
			typ, p, used, err := NextFrame(rest, 64)
			if err != nil || used > 0 && (typ != frameProbe || len(p) != 8) {
				return
			}
			if used == 0 {
				break
			}
			rest = rest[used:]
			if r.answered(now, i, asked, binary.LittleEndian.Uint64(p)) {
				select {
				case r.wake <- struct{}{}:
				default:
				}
			}
		}
		buf = buf[:copy(buf[:cap(buf)], rest)]
	}
}

// answered takes one answer, and says whether there is something to decide.
func (r *router) answered(now time.Duration, i, asked int, seq uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock() // also if it panics: others wait for it
	if r.asked == asked {
		r.table.Answered(now, i, seq)
	}
	return r.table.Alarmed(now)
}

// apply tells what the table decided, and moves the connections.
func (r *router) apply(events []route.Event) {
	for _, e := range events {
		if e.Kind == route.Moved && r.n.cfg.Mutant == "no-reroute" {
			continue
		}
		parts := []string{r.name(e.Path)}
		fields := map[string]string{"region": r.region, "path": r.names[e.Path]}
		if e.Kind == route.Moved {
			parts = append(parts, r.name(e.From))
			fields["from"] = r.names[e.From]
			r.inUse.Store(int32(e.Path))
			r.moves.Add(1)
			for _, node := range r.targets {
				r.n.peers[node].move(e.Lost)
			}
		}
		r.n.events.emit(e.Kind, parts, e.Why, fields)
	}
}

// snapshot is what metrics show.
func (r *router) snapshot() []route.Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]route.Stats(nil), r.stats...)
}
