package scenarios

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/fivenines/fivenines/faults"
	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/internal/closest"
	"github.com/fivenines/fivenines/loadgen"
	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/loadgen/livemetrics"
	"github.com/fivenines/fivenines/slo"
)

// Phases of the load, as the events' field says.
const (
	mainLoad   = "main"
	settleLoad = "settle"
)

// cleanUpIn bounds undoing and stopping, which also happens when the run was
// cancelled and so has a context of its own.
const cleanUpIn = 60 * time.Second

var errLoadDone = errors.New("the load is done")

// stopError is a stop condition of the scenario: the run was valid as a
// program, and what it recorded is judged.
type stopError struct {
	why  string
	void bool // nothing was injected: the trial says nothing, and others may
}

func (e *stopError) Error() string { return e.why }

func stopped(format string, args ...any) *stopError {
	return &stopError{why: fmt.Sprintf(format, args...)}
}

// notInjected is a trial in which the system was not fit for its first fault.
func notInjected(format string, args ...any) *stopError {
	return &stopError{why: fmt.Sprintf(format, args...), void: true}
}

// uncleanError is a trial, failed or not, that did not undo or stop everything.
type uncleanError struct{ why, left error }

func (e *uncleanError) Error() string { return errors.Join(e.why, e.left).Error() }

func unclean(why, left error) error {
	if left == nil {
		return why
	}
	return &uncleanError{why, left}
}

// uncleaned takes apart what unclean joined.
func uncleaned(err error) (why, left error) {
	var u *uncleanError
	if errors.As(err, &u) {
		return u.why, u.left
	}
	return err, nil
}

// group runs functions and waits for them.
type group = sync.WaitGroup

// run is what all trials of a run share.
type run struct {
	spec    *Spec
	opt     Options
	topo    *fixtures.Topology
	rules   *Rules
	history *history.Writer
	loaded  bool // load was offered at least once
	judge   *slo.Judge
	decided bool             // by the trials so far
	live    *livemetrics.Run // nil: nobody looks
}

// trial is one trial's state.
type trial struct {
	*run
	n       int
	seed    int64
	offset  time.Duration // the seeded part of a second that is added to each fault's time
	workDir string

	d       fixtures.Deployment
	gen     loadgen.Generator
	journal *faults.Journal
	faults  []*timedFault
	bus     bus
	steady  steadyTracker
	before  loadgen.Stats // when the main load began

	// acting is held while a fault is injected, proved or undone: nodes may
	// look any way then.
	acting  sync.Mutex
	mu      sync.Mutex
	active  []*timedFault                  // in force, under mu
	returns map[*timedFault]*watchedReturn // of nodes that have to come back by themselves; under mu
	lost    string                         // the harness's way to the system broke, and how; under mu
	dead    map[string]string              // nodes that died by themselves, and why once the record has it; under mu
}

// prepare checks all that can be checked before anything is started, and opens
// the record.
func prepare(spec *Spec, opt Options) (*run, error) {
	spec, err := spec.With(opt.Overrides)
	if err != nil {
		return nil, err
	}
	if spec.Seed == 0 {
		spec.Seed = RandomSeed()
	}
	if opt.Rules == nil {
		opt.Rules = DefaultRules()
	}
	if err := spec.validate("scenario "+spec.Name, nil, opt.Rules); err != nil {
		return nil, err
	}
	if opt.Target.Name() != spec.Target {
		return nil, fmt.Errorf("scenario %s is for the target %s, not %s", spec.Name, spec.Target, opt.Target.Name())
	}
	if ms := opt.Target.Mutants(); opt.Mutant != "" && !slices.Contains(ms, opt.Mutant) {
		return nil, fmt.Errorf("target %s has no mutant called %q; %s", opt.Target.Name(), opt.Mutant, closest.Meant(opt.Mutant, ms))
	}
	if _, ok := opt.Target.(fixtures.Resolved); spec.Workload.Through == ThroughDNS && !ok {
		return nil, fmt.Errorf("workload.through: %s: the target %s has no DNS that clients could ask; use %s or %s", ThroughDNS, opt.Target.Name(), ThroughNodes, ThroughBalancers)
	}
	topo, err := spec.Topo()
	if err != nil {
		return nil, err
	}
	if opt.Progress == nil {
		opt.Progress = silent{}
	}
	r := &run{spec: spec, opt: opt, topo: topo, rules: opt.Rules}
	if err := emptyFolder(opt.Out); err != nil {
		return nil, err
	}
	if err := spec.Write(filepath.Join(opt.Out, specFile)); err != nil {
		return nil, fmt.Errorf("write the run's folder: %w", err)
	}
	if err := r.rules.write(filepath.Join(opt.Out, rulesFile)); err != nil {
		return nil, fmt.Errorf("write the run's folder: %w", err)
	}
	if r.history, err = history.CreateDir(opt.Out, r.manifest()); err != nil {
		return nil, fmt.Errorf("write the run's folder: %w", err)
	}
	r.live = opt.Metrics.Begin(r.shown())
	return r, nil
}

// RandomSeed draws a seed for a run that was given none.
func RandomSeed() int64 { return rand.Int64N(1<<31-1) + 1 }

// emptyFolder makes the folder; one that holds something is refused, since a
// record must not be mixed with another.
func emptyFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the run's folder: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read the run's folder: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("the run's folder %s is not empty; name a new one", dir)
	}
	return nil
}

func (r *run) event(e history.Event) {
	e.Source = "harness"
	r.record(e)
}

func (r *run) record(e history.Event) {
	if e.At == 0 {
		e.At = r.history.Now()
	}
	r.history.Event(e)
	r.opt.Progress.Event(e)
	r.live.Event(e)
}

// close ends the record and exports it for other tools.
func (r *run) close() error {
	if err := r.history.Close(); err != nil {
		return err
	}
	if !r.loaded {
		return nil
	}
	h, err := history.Open(r.opt.Out)
	if err != nil {
		return err
	}
	if err := h.ExportParquet(context.Background(), filepath.Join(r.opt.Out, "operations.parquet")); err != nil {
		return fmt.Errorf("export the operations: %w", err)
	}
	return nil
}

func (r *run) newTrial(n int) (*trial, error) {
	rng := rand.New(rand.NewPCG(uint64(r.spec.Seed), uint64(n)))
	t := &trial{
		run:     r,
		n:       n,
		seed:    rng.Int64N(1<<62) + 1,
		dead:    map[string]string{},
		workDir: filepath.Join(r.opt.Out, "work", fmt.Sprintf("t%03d", n)),
	}
	if len(r.spec.Faults) > 0 {
		t.offset = time.Duration(rng.Int64N(int64(time.Second)))
	}
	t.steady.hypothesis = r.spec.Steady
	if err := r.history.StartTrial(n); err != nil {
		return nil, fmt.Errorf("record trial %d: %w", n, err)
	}
	r.event(history.Event{Kind: history.TrialStarted, Trial: n, Fields: map[string]string{"seed": strconv.FormatInt(t.seed, 10)}})
	return t, nil
}

// close undoes and stops everything of the trial. It needs no part of it to
// have worked.
func (t *trial) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanUpIn)
	defer cancel()
	var errs []error
	if t.gen != nil {
		t.live.Generator(nil)
		errs = append(errs, t.gen.Close())
	}
	down := true
	if t.d != nil {
		t.endReturns() // nobody waits for them any more
		errs = append(errs, t.undoAll(ctx))
		t.phase("stopping the nodes")
		if err := t.d.Down(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop the system: %w", err))
			down = false
		}
	}
	if t.journal != nil && down { // else it stays, for the next start
		errs = append(errs, t.journal.Close())
	}
	errs = append(errs, t.keepLogs())
	return errors.Join(errs...)
}

// keepLogs moves the nodes' logs into the run's folder and drops their data.
func (t *trial) keepLogs() error {
	if t.d != nil {
		dir := filepath.Join(t.opt.Out, "logs", fmt.Sprintf("t%03d", t.n))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("keep the nodes' logs: %w", err)
		}
		logs := map[string]string{}
		for _, n := range t.d.Nodes() {
			logs[n.ID] = n.Log
		}
		if s, ok := t.d.(fixtures.Serviced); ok {
			for _, s := range s.Services() {
				logs[s.ID] = s.Log
			}
		}
		for id, log := range logs {
			if log == "" {
				continue
			}
			if err := os.Rename(log, filepath.Join(dir, id+".log")); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("keep the log of %s: %w", id, err)
			}
		}
	}
	if err := os.RemoveAll(t.workDir); err != nil {
		return fmt.Errorf("remove the nodes' data: %w", err)
	}
	_ = os.Remove(filepath.Dir(t.workDir)) // of the last trial that is there: empty now
	return nil
}

func (t *trial) phase(format string, args ...any) { t.phaseFor(0, format, args...) }

func (t *trial) phaseFor(d time.Duration, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	t.opt.Progress.Phase(Phase{Trial: t.n, Trials: max(t.spec.Trials, t.spec.MaxTrials), Text: text, Lasts: d})
	t.live.Phase(t.n, text)
}

// because prefers the reason for which the context ended to what broke when it did.
func (t *trial) because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// loadFor is how long the main load lasts: the seeded offset of the faults
// does not shorten what is seen after them.
func (t *trial) loadFor() time.Duration {
	return time.Duration(t.spec.Timeline.Before+t.spec.Timeline.After) + t.offset
}

func (t *trial) loadStarted(phase string) {
	if phase == mainLoad {
		t.before = t.gen.Snapshot()
	}
	t.loaded = true
	t.gen.Interval() // what happened before is nobody's window
	t.event(history.Event{Kind: history.LoadStarted, Fields: map[string]string{"phase": phase}})
}

func (t *trial) loadStopped(phase string) {
	t.event(history.Event{Kind: history.LoadStopped, Fields: map[string]string{"phase": phase}})
	if phase != mainLoad {
		return
	}
	s := t.gen.Snapshot()
	t.event(history.Event{Kind: history.GeneratorCPU, Fields: map[string]string{
		"cpu_s":       strconv.FormatFloat((s.CPU - t.before.CPU).Seconds(), 'f', 3, 64),
		"lag_p999_ms": strconv.FormatFloat(float64(s.LagP999)/float64(time.Millisecond), 'f', 3, 64),
		"unsent":      strconv.FormatUint(s.Unsent-t.before.Unsent, 10),
	}})
}

// platformEvent takes what a node says happened.
func (t *trial) platformEvent(e history.Event) {
	e.At = t.history.Now()
	t.record(e)
	// A node that may end under a fault in force is no death that nobody asked for.
	if e.Kind == NodeDied && len(e.Parts) > 0 && !t.effect().Unsure[e.Parts[0]] {
		t.reported(e.Parts[0], e.Detail)
	}
	if e.Kind == WayLost {
		t.mu.Lock()
		t.lost = e.Subject
		t.mu.Unlock()
	}
	t.bus.publish(e)
}

// workload is what the generator needs to know.
func (t *trial) workload() loadgen.Workload {
	w := t.spec.Workload
	return loadgen.Workload{
		Sessions:   w.Sessions,
		Rate:       w.Rate,
		StateBytes: w.StateBytes,
		TTL:        time.Duration(w.TTL),
		ShortShare: w.Short.Share.Share(),
		ShortTTL:   time.Duration(w.Short.TTL),
		Mix: loadgen.Mix{
			Read: w.Mix.Read.Share(), Update: w.Mix.Update.Share(), Create: w.Mix.Create.Share(),
			Touch: w.Mix.Touch.Share(), Close: w.Mix.Close.Share(),
		},
		Zipf:      w.Zipf,
		Deadline:  time.Duration(t.rules.Deadline),
		Clients:   t.clients(),
		Witness:   loadgen.Witness{Region: max(0, t.regionIndex(w.Witness.Region)), Rate: w.Witness.Rate},
		Contested: loadgen.ContestedLoad{Sessions: w.Contested.Sessions, Rate: w.Contested.Rate},
		Eventual:  loadgen.Eventual{Region: max(0, t.regionIndex(w.Eventual.Region)), Rate: w.Eventual.Rate},
		Seed:      t.seed,
		Partition: t.opt.Target.PartitionOf,
		Home:      t.home(),
		DNS:       t.names(),
		Entries:   t.entries,
	}
}

// names is how clients find their entry, if it is by DNS. Where several regions
// lead, and clients care for where their sessions are at home, they ask for the
// front doors of their own region, and for any while that has none.
func (t *trial) names() *loadgen.DNS {
	if t.spec.Workload.Through != ThroughDNS {
		return nil
	}
	zone := t.opt.Target.(fixtures.Resolved).Zone() // see prepare and entrance
	var mu sync.Mutex
	last := map[int][]string{}
	return &loadgen.DNS{
		Server: t.d.(fixtures.Resolver).DNSAddr(),
		Names: func(region int) []string {
			if r := t.topo.Regions[region]; r.Role == fixtures.Active && t.spec.Workload.Homes == HomesLocal {
				return []string{r.Name + "." + zone, zone}
			}
			return []string{zone}
		},
		Told: func(region int, nodes []string) {
			mu.Lock()
			defer mu.Unlock()
			if slices.Equal(last[region], nodes) {
				return // said by other clients of the region
			}
			last[region] = nodes
			name := t.topo.Regions[region].Name
			t.event(history.Event{Kind: EntriesNamed, Subject: name, Parts: nodes, Detail: fmt.Sprintf("DNS sends the clients in %s to %v", name, nodes)})
		},
	}
}

// hosts are the nodes' own addresses, by which DNS names them.
func (t *trial) hosts() map[string]string {
	all := map[string]string{}
	for _, s := range t.d.Nodes() {
		if host, _, err := net.SplitHostPort(s.Admins[s.ID]); err == nil {
			all[s.ID] = host
		}
	}
	return all
}

// home says where partitions are at home, for clients who care.
func (t *trial) home() func(partition int) int {
	if t.spec.Workload.Homes != HomesLocal {
		return nil
	}
	target := t.opt.Target.(fixtures.Homed) // see entrance
	return func(p int) int { return t.regionIndex(target.HomeOf(p)) }
}

// clients are the shares of the load per region; beside the primary if the
// scenario does not say.
func (t *trial) clients() []loadgen.RegionShare {
	var cs []loadgen.RegionShare
	for i, r := range t.topo.Regions {
		if p := t.spec.Workload.Clients[r.Name]; p > 0 {
			cs = append(cs, loadgen.RegionShare{Region: i, Share: p.Share()})
		}
	}
	if cs == nil {
		cs = []loadgen.RegionShare{{Region: t.primary(), Share: 1}}
	}
	return cs
}

func (r *run) primary() int {
	return max(0, slices.IndexFunc(r.topo.Regions, func(g fixtures.Region) bool { return g.Role == fixtures.Primary }))
}

func (r *run) regionIndex(name string) int {
	return slices.IndexFunc(r.topo.Regions, func(g fixtures.Region) bool { return g.Name == name })
}

// entrance says whether clients can go the way that the scenario wants.
func (t *trial) entrance() error {
	if t.spec.Workload.Homes == HomesLocal {
		h, ok := t.opt.Target.(fixtures.Homed)
		if !ok {
			return fmt.Errorf("clients with local homes: %w: the target %s does not say where its partitions are at home", fixtures.ErrNotHere, t.opt.Target.Name())
		}
		for _, c := range t.clients() {
			name, some := t.topo.Regions[c.Region].Name, false
			for p := range t.opt.Target.Partitions() {
				some = some || h.HomeOf(p) == name
			}
			if !some {
				return fmt.Errorf("clients with local homes: no partition is at home in %s", name)
			}
		}
	}
	if r, ok := t.d.(fixtures.Resolver); t.spec.Workload.Through == ThroughDNS && (!ok || r.DNSAddr() == "") {
		return fmt.Errorf("clients through DNS: %w: the %s backend has no address for the DNS of %s", fixtures.ErrNotHere, t.opt.Backend.Name(), t.opt.Target.Name())
	}
	if t.spec.Workload.Through != ThroughBalancers {
		return nil
	}
	s, ok := t.d.(fixtures.Serviced)
	for _, r := range t.topo.Regions {
		if !ok || s.EntryAddr(r.Name, r.Name) == "" {
			return fmt.Errorf("clients through balancers: %w: the %s backend has no load balancer in %s; the process backend brings its own, --backend container one where it finds an image of HAProxy (events.jsonl says if not)", fixtures.ErrNotHere, t.opt.Backend.Name(), r.Name)
		}
	}
	return nil
}

// entries lists the front doors for clients of a region: their own region's
// first, then by the topology's order of preference, which is the order in
// which regions take over.
func (t *trial) entries(region int) []loadgen.Entry {
	own := t.topo.Regions[region].Name
	var near, far []loadgen.Entry
	if t.spec.Workload.Through == ThroughBalancers {
		for i, r := range t.topo.Regions {
			e := loadgen.Entry{Node: history.NoNode, Region: i, Address: t.d.(fixtures.Serviced).EntryAddr(own, r.Name)}
			if r.Name == own {
				near = append(near, e)
			} else {
				far = append(far, e)
			}
		}
		return append(near, far...)
	}
	hosts := t.hosts()
	for _, n := range t.topo.Nodes() {
		e := loadgen.Entry{Node: n.Index, NodeID: n.ID, Region: t.regionIndex(n.Region), Address: t.d.ClientAddr(own, n.ID), Host: hosts[n.ID]}
		if n.Region == own {
			near = append(near, e)
		} else {
			far = append(far, e)
		}
	}
	return append(near, far...)
}
