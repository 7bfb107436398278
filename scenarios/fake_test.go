package scenarios

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/loadgen/history"
)

// fakeSystem is a session platform of three nodes inside the test: RESP
// servers that share one table. What it does when its leader's region is lost
// is chosen by its fields, so that each verdict can be provoked.
type fakeSystem struct {
	takeover   time.Duration // until the next region serves; < 0: never
	loseEvery  int           // forget every n-th session at the takeover
	staleEvery int           // set every n-th session back to the state before its last
	cutsFail   bool          // links that were cut go on working
	dies       string        // this node ends by itself, dieAfter it is up
	dieAfter   time.Duration
	lastWords  string        // of the one that dies, reported by the backend; empty: it does not report it
	loses      time.Duration // the backend says then that its way to the nodes broke; 0: never
	unwell     int           // in this trial reads are refused
	upErr      error
	healErr    error
	supervised string        // this node's process is started again when it is killed alone
	comesBack  time.Duration // after so long; < 0: never
	pretends   bool          // what is started again says that it is ready and serves nobody
}

func (s *fakeSystem) Name() string { return "fake" }

const fakePartitions = 4

// Target.

type fakeTarget struct{}

func (fakeTarget) Name() string { return "fake" }
func (fakeTarget) Command(fixtures.NodeSpec, fixtures.StartOptions) (fixtures.Command, error) {
	return fixtures.Command{}, errors.New("a fake node is no process")
}
func (fakeTarget) Ready(context.Context, fixtures.NodeSpec) error { return nil }
func (fakeTarget) Probe(ctx context.Context, conn net.Conn, _ fixtures.Port) error {
	if d, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(d); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && line != "+PONG\r\n" {
		err = fmt.Errorf("answered %q", line)
	}
	return err
}
func (fakeTarget) Events(context.Context, fixtures.NodeSpec, func(history.Event)) error {
	return fixtures.ErrNoEvents
}
func (fakeTarget) Driver() string  { return "resp" }
func (fakeTarget) Partitions() int { return fakePartitions }
func (fakeTarget) PartitionOf(key string) int {
	h := fnv.New32a()
	_, _ = io.WriteString(h, key)
	return int(h.Sum32() % fakePartitions)
}
func (fakeTarget) Mutants() []string { return []string{"forgetful"} }

// Backend and deployment.

func (s *fakeSystem) Up(ctx context.Context, topo *fixtures.Topology, target fixtures.Target, opt fixtures.UpOptions) (fixtures.Deployment, error) {
	if s.upErr != nil {
		return nil, s.upErr
	}
	d := &fakeDeployment{
		fakeSystem: s, loseEvery: s.loseEvery, topo: topo, target: target, opt: opt,
		states: map[string]fixtures.NodeState{}, cut: map[string]bool{},
		ports: map[string]net.Listener{}, sessions: map[string]*fakeSession{},
		changed: make(chan struct{}), serving: true, well: make([]bool, len(topo.Regions)), conns: map[net.Conn]bool{},
	}
	d.refuses = filepath.Base(opt.Dir) == fmt.Sprintf("t%03d", s.unwell)
	if opt.Mutant == "forgetful" {
		d.loseEvery = 10
	}
	for r := range d.well {
		d.well[r] = true
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	for _, n := range topo.Nodes() {
		d.states[n.ID] = fixtures.Running
		for _, r := range topo.Regions {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return nil, errors.Join(err, d.Down(ctx))
			}
			d.ports[r.Name+">"+n.ID] = l
			link := fixtures.Link{Kind: fixtures.ClientLink, From: r.Name, FromRegion: r.Name, To: n.ID, ToRegion: n.Region}
			d.wg.Go(func() { d.accept(l, link) })
		}
	}
	if s.loses > 0 {
		d.losing = time.AfterFunc(s.loses, func() { opt.OnEvent(history.Event{Kind: WayLost, Source: "harness", Subject: "the tunnel broke"}) })
	}
	if s.dies != "" {
		d.dying = time.AfterFunc(s.dieAfter, func() {
			_ = d.set(s.dies, fixtures.Dead)
			if s.lastWords != "" {
				opt.OnEvent(history.Event{Kind: NodeDied, Source: "harness", Parts: []string{s.dies}, Detail: s.lastWords})
			}
		})
	}
	fakes.Lock()
	fakes.up[d] = true
	fakes.Unlock()
	return d, nil
}

// fakes is what is up, so that tests see that nothing is left.
var fakes = struct {
	sync.Mutex
	up map[*fakeDeployment]bool
}{up: map[*fakeDeployment]bool{}}

type fakeSession struct {
	value, before string
	ends          time.Time
}

type fakeDeployment struct {
	*fakeSystem
	loseEvery int // the system's, or the mutant's
	refuses   bool
	topo      *fixtures.Topology
	target    fixtures.Target
	opt       fixtures.UpOptions
	ctx       context.Context
	cancel    context.CancelFunc
	wg        sync.WaitGroup
	ports     map[string]net.Listener

	mu       sync.Mutex
	states   map[string]fixtures.NodeState
	cut      map[string]bool
	changed  chan struct{} // closed and made anew when a state or link changes
	leader   int           // region
	serving  bool
	well     []bool // regions that could lead
	sessions map[string]*fakeSession
	conns    map[net.Conn]bool
	dying    *time.Timer
	losing   *time.Timer
	pid      int // of the supervised node's process
	deaf     string
}

func (d *fakeDeployment) Topology() *fixtures.Topology { return d.topo }
func (d *fakeDeployment) Target() fixtures.Target      { return d.target }
func (d *fakeDeployment) Undo() fixtures.UndoInfo      { return fixtures.UndoInfo{Backend: "fake"} }
func (d *fakeDeployment) Wipe(context.Context, string) error {
	return errors.New("a fake node has no disk")
}

func (d *fakeDeployment) Nodes() []fixtures.NodeSpec {
	var ns []fixtures.NodeSpec
	for _, n := range d.topo.Nodes() {
		ns = append(ns, fixtures.NodeSpec{ID: n.ID, Region: n.Region, Topology: d.topo})
	}
	return ns
}

func (d *fakeDeployment) Links() []fixtures.Link {
	var ls []fixtures.Link
	for _, to := range d.topo.Nodes() {
		for _, r := range d.topo.Regions {
			ls = append(ls, fixtures.Link{Kind: fixtures.ClientLink, From: r.Name, FromRegion: r.Name, To: to.ID, ToRegion: to.Region})
		}
		for _, from := range d.topo.Nodes() {
			if from.ID != to.ID {
				ls = append(ls, fixtures.Link{Kind: fixtures.PeerLink, From: from.ID, FromRegion: from.Region, To: to.ID, ToRegion: to.Region})
			}
		}
	}
	return ls
}

func (d *fakeDeployment) ClientAddr(region, node string) string {
	return d.ports[region+">"+node].Addr().String()
}

func (d *fakeDeployment) State(node string) (fixtures.NodeState, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, ok := d.states[node]
	if !ok {
		return "", &fixtures.NodeError{Node: node, Op: "state", Err: errors.New("unknown")}
	}
	return s, nil
}

// change applies a change and lets the system react to it.
func (d *fakeDeployment) change(do func()) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	do()
	close(d.changed)
	d.changed = make(chan struct{})
	for r := range d.topo.Regions {
		d.well[r] = d.whole(r)
	}
	switch whole := d.well[d.leader]; {
	case d.serving && !whole:
		d.serving = false
		if d.takeover >= 0 {
			time.AfterFunc(d.takeover, d.takeOver)
		}
	case !d.serving && whole && d.takeover < 0:
		d.serving = true
	}
	return nil
}

// whole says whether a region could lead. d.mu is held.
func (d *fakeDeployment) whole(region int) bool {
	name := d.topo.Regions[region].Name
	for _, n := range d.topo.Nodes() {
		if n.Region == name && d.states[n.ID] != fixtures.Running {
			return false
		}
	}
	for _, l := range d.Links() {
		if l.Kind == fixtures.PeerLink && (l.FromRegion == name) != (l.ToRegion == name) && !d.cut[l.ID()] {
			return true
		}
	}
	return false
}

func (d *fakeDeployment) takeOver() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for r := range d.topo.Regions {
		if !d.well[r] {
			continue
		}
		d.leader, d.serving = r, true
		i := 0
		for _, key := range slices.Sorted(mapKeys(d.sessions)) {
			i++
			if d.loseEvery > 0 && i%d.loseEvery == 0 {
				delete(d.sessions, key)
			} else if s := d.sessions[key]; d.staleEvery > 0 && i%d.staleEvery == 0 && s.before != "" {
				s.value = s.before
			}
		}
		d.opt.OnEvent(history.Event{Kind: history.Promoted, Source: d.topo.Regions[r].Name + "-1", Parts: []string{d.topo.Regions[r].Name}})
		return
	}
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (d *fakeDeployment) set(node string, s fixtures.NodeState) error {
	return d.change(func() {
		d.states[node] = s
		if s == fixtures.Dead {
			for c := range d.conns {
				_ = c.Close()
			}
		}
	})
}

func (d *fakeDeployment) Kill(_ context.Context, n string) error   { return d.set(n, fixtures.Dead) }
func (d *fakeDeployment) Pause(_ context.Context, n string) error  { return d.set(n, fixtures.Paused) }
func (d *fakeDeployment) Resume(_ context.Context, n string) error { return d.set(n, fixtures.Running) }
func (d *fakeDeployment) Restart(_ context.Context, n string, _ fixtures.StartOptions) error {
	d.mu.Lock()
	d.pid++
	d.mu.Unlock()
	return d.set(n, fixtures.Running)
}

var _ fixtures.Crasher = (*fakeDeployment)(nil)

func (d *fakeDeployment) Supervised(node string) bool { return node == d.supervised }

func (d *fakeDeployment) Worker(node string) (int, error) {
	s, err := d.State(node)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil || s == fixtures.Dead {
		return 0, err
	}
	return 100 + d.pid, nil
}

func (d *fakeDeployment) Crash(_ context.Context, node string) (int, error) {
	was, err := d.Worker(node)
	if err != nil {
		return 0, err
	}
	if d.comesBack >= 0 {
		time.AfterFunc(d.comesBack, func() {
			d.mu.Lock()
			d.pid++
			if d.pretends {
				d.deaf = node
			}
			d.mu.Unlock()
			_ = d.set(node, fixtures.Running)
		})
	}
	return was, d.set(node, fixtures.Dead)
}

func (d *fakeDeployment) AwaitReady(ctx context.Context, _ ...string) error { return ctx.Err() }

func (d *fakeDeployment) Cut(_ context.Context, links ...fixtures.Link) error {
	return d.change(func() {
		for _, l := range links {
			d.cut[l.ID()] = !d.cutsFail
		}
	})
}

func (d *fakeDeployment) Mend(_ context.Context, links ...fixtures.Link) error {
	if d.healErr != nil && d.ctx.Err() == nil {
		return d.healErr
	}
	return d.change(func() {
		for _, l := range links {
			delete(d.cut, l.ID())
		}
	})
}

func (d *fakeDeployment) Canary(ctx context.Context, l fixtures.Link) error {
	d.mu.Lock()
	cut, to, deaf := d.cut[l.ID()], d.states[l.To], d.deaf == l.To
	d.mu.Unlock()
	switch {
	case deaf:
		return errors.New("reset")
	case cut || to == fixtures.Paused:
		<-ctx.Done()
		return ctx.Err()
	case to == fixtures.Dead:
		return errors.New("refused")
	}
	return nil
}

func (d *fakeDeployment) Down(context.Context) error {
	d.cancel()
	if d.losing != nil {
		d.losing.Stop()
	}
	if d.dying != nil {
		d.dying.Stop()
	}
	for _, l := range d.ports {
		_ = l.Close()
	}
	d.mu.Lock()
	for c := range d.conns {
		_ = c.Close()
	}
	d.mu.Unlock()
	d.wg.Wait()
	fakes.Lock()
	delete(fakes.up, d)
	fakes.Unlock()
	return nil
}

// The nodes.

func (d *fakeDeployment) accept(l net.Listener, link fixtures.Link) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		d.mu.Lock()
		d.conns[c] = true
		d.mu.Unlock()
		d.wg.Go(func() {
			d.serve(c, link)
			d.mu.Lock()
			delete(d.conns, c)
			d.mu.Unlock()
			_ = c.Close()
		})
	}
}

func (d *fakeDeployment) serve(c net.Conn, link fixtures.Link) {
	region := slices.IndexFunc(d.topo.Regions, func(r fixtures.Region) bool { return r.Name == link.ToRegion })
	r, w := bufio.NewReader(c), bufio.NewWriter(c)
	for {
		args, err := readCommand(r)
		if err != nil {
			return
		}
		if !d.pass(link) {
			return
		}
		_, _ = w.WriteString(d.answer(region, args))
		if r.Buffered() == 0 {
			if w.Flush() != nil {
				return
			}
		}
	}
}

// pass waits while the link or its node is silent, and says whether the
// connection still stands.
func (d *fakeDeployment) pass(link fixtures.Link) bool {
	waited, id := false, link.ID()
	for {
		d.mu.Lock()
		blocked, dead, changed := d.cut[id] || d.states[link.To] == fixtures.Paused, d.states[link.To] == fixtures.Dead || d.deaf == link.To, d.changed
		d.mu.Unlock()
		if dead {
			return false
		}
		if !blocked {
			return !waited // bytes were lost: it is closed, not resumed
		}
		waited = true
		select {
		case <-changed:
		case <-d.ctx.Done():
			return false
		}
	}
}

func readCommand(r *bufio.Reader) ([]string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimRight(line, "\r\n")
	if !strings.HasPrefix(line, "*") {
		return strings.Fields(line), nil
	}
	n, err := strconv.Atoi(line[1:])
	if err != nil || n > 64 {
		return nil, fmt.Errorf("bad frame %q", line)
	}
	args := make([]string, n)
	for i := range args {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		size, err := strconv.Atoi(strings.TrimRight(line, "\r\n")[1:])
		if err != nil || size < 0 || size > 1<<20 {
			return nil, fmt.Errorf("bad frame %q", line)
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		args[i] = string(b[:size])
	}
	return args, nil
}

func bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

const null = "$-1\r\n"

// answer does a command.
func (d *fakeDeployment) answer(region int, args []string) string {
	if len(args) == 0 {
		return "-ERR empty\r\n"
	}
	switch strings.ToUpper(args[0]) {
	case "PING":
		return "+PONG\r\n"
	case "HELLO", "CLUSTER", "COMMAND", "INFO":
		return "-ERR unknown command\r\n"
	case "CLIENT", "READONLY", "READWRITE", "AUTH", "SELECT":
		return "+OK\r\n"
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.serving || !d.well[region] {
		return "-NOTAPPLIED no leader\r\n"
	}
	if len(args) < 2 {
		return "-ERR wrong number of arguments\r\n"
	}
	key := args[1]
	if d.refuses && strings.EqualFold(args[0], "GET") {
		return "-ERR not well\r\n"
	}
	s := d.sessions[key]
	if s != nil && time.Now().After(s.ends) {
		delete(d.sessions, key)
		s = nil
	}
	opts := ""
	var ttl time.Duration
	for i := 2; i < len(args); i++ {
		switch o := strings.ToUpper(args[i]); {
		case o == "NX" || o == "XX":
			opts = o
		case (o == "EX" || o == "PX") && i+1 < len(args):
			n, _ := strconv.Atoi(args[i+1])
			ttl = time.Duration(n) * map[string]time.Duration{"EX": time.Second, "PX": time.Millisecond}[o]
			i++
		}
	}
	switch strings.ToUpper(args[0]) {
	case "SET":
		if opts == "NX" && s != nil || opts == "XX" && s == nil {
			return null
		}
		now := &fakeSession{value: args[2], ends: time.Now().Add(ttl)}
		if s != nil {
			now.before = s.value
		}
		d.sessions[key] = now
		return "+OK\r\n"
	case "GET", "GETEX", "GETDEL":
		if s == nil {
			return null
		}
		if ttl > 0 {
			s.ends = time.Now().Add(ttl)
		}
		if strings.EqualFold(args[0], "GETDEL") {
			delete(d.sessions, key)
		}
		return bulk(s.value)
	}
	return "-ERR unknown command\r\n"
}

// requireNothingUp fails if a deployment outlived its run.
func requireNothingUp(t *testing.T, s *fakeSystem) {
	t.Helper()
	fakes.Lock()
	defer fakes.Unlock()
	for d := range fakes.up {
		if d.fakeSystem == s {
			t.Errorf("the system on %s is still up", d.opt.Dir)
		}
	}
}
