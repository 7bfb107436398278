package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/fivenines/fivenines/faults"
	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/internal/closest"
	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/scenarios"
)

func init() { commands = append(commands, upCommand) }

type upFlags struct {
	name, backend, target, topology, dir, mutant string
	archive                                      string
	seed                                         int64
	broken, detach                               bool
}

func upCommand() *cobra.Command {
	var f upFlags
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Bring a topology up and hold it until Ctrl-C",
		Example: `  fivenines up
  fivenines up --detach && fivenines status && fivenines down
  fivenines up --topology three-node --name small`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.name, "name", "default", "name of this topology, for status and down")
	fl.StringVar(&f.backend, "backend", "process", "where the nodes run")
	fl.StringVar(&f.target, "target", "reference", "the system to bring up")
	fl.StringVar(&f.topology, "topology", "three-region", "name of a topology, or a file")
	fl.StringVar(&f.dir, "dir", "", "folder for data and logs, kept (default a temporary one)")
	fl.Int64Var(&f.seed, "seed", 1, "what all random choices come from")
	fl.BoolVar(&f.detach, "detach", false, "return once all nodes are ready; fivenines down ends them")
	fl.StringVar(&f.mutant, "mutant", "", "start the target broken on purpose")
	fl.StringVar(&f.archive, "archive", "", "archive the committed log in this directory or blob store; \"dir\": below --dir")
	fl.BoolVar(&f.broken, "i-know-this-is-broken", false, "needed with --mutant: nothing judges what runs here")
	return cmd
}

var nameRE = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

func (f *upFlags) run(cmd *cobra.Command) (err error) {
	if !nameRE.MatchString(f.name) {
		return usageError("--name %q is not made of lower-case letters, digits and hyphens", f.name)
	}
	if f.mutant != "" && !f.broken {
		return usageError("--mutant %s starts a system that is broken on purpose; add --i-know-this-is-broken if that is what you want", f.mutant)
	}
	topo, err := topologyFor(f.topology)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	backend, err := backendNamed(f.backend)
	if err != nil {
		return err
	}
	target, err := targetNamed(f.target)
	if err != nil {
		return err
	}
	if ms := target.Mutants(); f.mutant != "" && !slices.Contains(ms, f.mutant) {
		return usageError("target %s has no mutant called %q; %s", f.target, f.mutant, closest.Meant(f.mutant, ms))
	}
	if f.detach {
		return f.detached(cmd)
	}
	raiseFileLimit()
	if f.mutant != "" {
		shout(cmd.ErrOrStderr(), f.mutant)
	}
	if err := f.hold(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), topo, backend, target); err != nil {
		return runError(err)
	}
	return nil
}

func topologyFor(name string) (*fixtures.Topology, error) {
	if looksLikeFile(name) {
		return scenarios.LoadTopology(name)
	}
	return scenarios.Topology(name)
}

// tempPrefix begins the names of temporary folders for data.
const tempPrefix = "fivenines-up-"

// hold brings everything up, keeps the state file true until ctx ends, and
// takes everything down.
func (f *upFlags) hold(ctx context.Context, out, notes io.Writer, topo *fixtures.Topology, backend fixtures.Backend, target fixtures.Target) (err error) {
	if _, err := faults.Recover(ctx, "", reapers()); err != nil {
		return fmt.Errorf("undo what an earlier run left: %w", err)
	}
	if err := clearAbandoned(); err != nil {
		return fmt.Errorf("remove what an earlier up left: %w", err)
	}
	state, err := claimState(f.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.release()) }()
	dir := f.dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", tempPrefix); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	where, err := f.archiveIn(dir, target)
	if err != nil {
		return err
	}
	st := &upState{
		Archive: where,
		PID:     os.Getpid(), Since: time.Now().UTC(), Backend: f.backend, Target: f.target, Mutant: f.mutant,
		Topology: topo.Name, Dir: dir, Nodes: []upNode{}, Regions: []upRegion{},
	}
	if err := state.write(st); err != nil {
		return err
	}
	fmt.Fprintf(notes, "fivenines: bringing %d nodes up\n", len(topo.Nodes()))
	leaders := &leaders{}
	d, err := backend.Up(ctx, topo, target, fixtures.UpOptions{Dir: dir, Seed: f.seed, Mutant: f.mutant, OnEvent: leaders.see})
	if ctx.Err() != nil && err != nil {
		return fmt.Errorf("interrupted before %s was up; everything was ended", topo.Name)
	}
	if err != nil {
		if f.dir == "" {
			err = fmt.Errorf("%w; its folder is gone with it: --dir DIR keeps one, with the logs", err)
		}
		return fmt.Errorf("bring %s up: %w", topo.Name, err)
	}
	defer func() {
		down, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		err = errors.Join(err, d.Down(down))
	}()
	journal, err := faults.OpenJournal("")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, journal.Close()) }()
	if err := journal.Deployed(d); err != nil {
		return err
	}
	st.Ready = true
	leaders.settle(ctx, target.Partitions())
	st.update(d, leaders)
	if err := state.write(st); err != nil {
		return err
	}
	if err := st.print(out); err != nil {
		return err
	}
	fmt.Fprintln(notes, "fivenines: up; Ctrl-C (or fivenines down) ends it")
	return f.keep(ctx, notes, state, st, d, leaders)
}

// keep writes the state again whenever it has changed, until ctx ends.
func (f *upFlags) keep(ctx context.Context, notes io.Writer, state *stateFile, st *upState, d fixtures.Deployment, l *leaders) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			fmt.Fprintln(notes, "fivenines: taking everything down")
			return nil
		case <-tick.C:
		}
		before, services := st.Nodes, st.Services
		st.update(d, l)
		for i, n := range st.Nodes {
			if n.State != before[i].State {
				fmt.Fprintf(notes, "fivenines: node %s is %s\n", n.ID, n.State)
			}
		}
		if slices.Equal(services, st.Services) && slices.EqualFunc(before, st.Nodes, func(a, b upNode) bool {
			return a.State == b.State && a.PID == b.PID && slices.Equal(a.Leads, b.Leads)
		}) {
			continue
		}
		if err := state.write(st); err != nil {
			return err
		}
	}
}

// update takes over what the deployment and the platform's events say.
func (st *upState) update(d fixtures.Deployment, l *leaders) {
	undo := d.Undo()
	led := l.byNode()
	var nodes []upNode
	for _, n := range d.Nodes() {
		s, err := d.State(n.ID)
		if err != nil {
			s = "unknown"
		}
		nodes = append(nodes, upNode{
			ID: n.ID, Region: n.Region, PID: undo.Procs[n.ID], State: string(s),
			RESP: n.Listen[fixtures.PortClient], Admin: n.Listen[fixtures.PortAdmin],
			Leads: append([]int{}, led[n.ID]...),
		})
	}
	st.Nodes = nodes
	st.Regions = nil
	for _, r := range d.Topology().Regions {
		u := upRegion{Name: r.Name, Role: r.Role}
		for _, n := range nodes {
			if n.Region == r.Name {
				u.Entries = append(u.Entries, d.ClientAddr(r.Name, n.ID))
			}
		}
		if s, ok := d.(fixtures.Serviced); ok {
			u.Balancer = s.EntryAddr(r.Name, r.Name)
		}
		st.Regions = append(st.Regions, u)
	}
	if r, ok := d.(fixtures.Resolver); ok && r.DNSAddr() != "" {
		st.DNS, st.Zone = r.DNSAddr(), d.Target().(fixtures.Resolved).Zone()
	}
	st.Services = nil
	if s, ok := d.(fixtures.Serviced); ok {
		for _, x := range s.Services() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			state, err := s.ServiceState(ctx, x.ID)
			cancel()
			if err != nil {
				state = "unknown"
			}
			st.Services = append(st.Services, upService{x.ID, x.Kind, x.Region, string(state)})
		}
	}
}

func (st *upState) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "NODE\tREGION\tSTATE\tPID\tRESP\tADMIN\tLEADS")
	for _, n := range st.Nodes {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", n.ID, n.Region, n.State, n.PID, n.RESP, n.Admin, shardText(n.Leads))
	}
	fmt.Fprintln(tw, "\nREGION\tROLE\tCLIENT ENTRY")
	for _, r := range st.Regions {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", r.Name, r.Role, strings.Join(r.Entries, " "))
	}
	if len(st.Services) > 0 {
		fmt.Fprintln(tw, "\nSERVICE\tSTATE\tCLIENT ENTRY")
	}
	for _, s := range st.Services {
		entry := "-"
		for _, r := range st.Regions {
			if s.Kind == fixtures.Balancer && r.Name == s.Region {
				entry = r.Balancer
			}
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\n", s.ID, s.State, entry)
	}
	if st.DNS != "" {
		fmt.Fprintf(tw, "\nDNS\tZONE\n%s\t%s\n", st.DNS, st.Zone)
	}
	return tw.Flush()
}

func shardText(shards []int) string {
	if len(shards) == 0 {
		return "-"
	}
	var s []string
	for _, n := range shards {
		s = append(s, strconv.Itoa(n))
	}
	return strings.Join(s, ",")
}

// leaders follows which node leads which shard, from the platform's events.
type leaders struct {
	mu   sync.Mutex
	node map[int]string
	term map[int]uint64
}

func (l *leaders) see(e history.Event) {
	if e.Kind != history.Elected {
		return
	}
	shard, err := strconv.Atoi(e.Fields["shard"])
	if err != nil {
		return // the meta group
	}
	term, _ := strconv.ParseUint(e.Fields["term"], 10, 64)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.node == nil {
		l.node, l.term = map[int]string{}, map[int]uint64{}
	}
	if term < l.term[shard] {
		return // late news
	}
	l.node[shard], l.term[shard] = e.Source, term
}

func (l *leaders) byNode() map[string][]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	led := map[string][]int{}
	for shard, node := range l.node {
		led[node] = append(led[node], shard)
	}
	for _, shards := range led {
		slices.Sort(shards)
	}
	return led
}

// settle gives the events of the first elections a moment to arrive.
func (l *leaders) settle(ctx context.Context, shards int) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		l.mu.Lock()
		known := len(l.node)
		l.mu.Unlock()
		if known >= shards {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// detached starts the same in a process of its own and returns once all nodes
// are ready.
func (f *upFlags) detached(cmd *cobra.Command) error {
	self, err := os.Executable()
	if err != nil {
		return runError(fmt.Errorf("find this program: %w", err))
	}
	if _, err := readState(f.name); err == nil {
		return runError(errAlreadyUp(f.name)) // its log is not ours to overwrite
	}
	path := strings.TrimSuffix(statePath(f.name), ".json") + ".log"
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return runError(fmt.Errorf("make the folder of the log: %w", err))
	}
	log, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return runError(fmt.Errorf("make the log: %w", err))
	}
	defer log.Close()
	args := []string{"up", "--name", f.name, "--backend", f.backend, "--target", f.target, "--topology", f.topology, "--seed", strconv.FormatInt(f.seed, 10)}
	if f.dir != "" {
		args = append(args, "--dir", f.dir)
	}
	if f.archive != "" {
		args = append(args, "--archive", f.archive)
	}
	if f.mutant != "" {
		args = append(args, "--mutant", f.mutant, "--i-know-this-is-broken")
	}
	child := exec.Command(self, args...)
	child.Stdout, child.Stderr = log, log
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := child.Start(); err != nil {
		return runError(fmt.Errorf("start in the background: %w", err))
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	st, err := f.awaitUp(cmd.Context(), child.Process.Pid, ended)
	if err != nil {
		_ = child.Process.Signal(syscall.SIGTERM)
		if why := lastLine(log.Name()); why != "" {
			err = errors.New(why)
		}
		return runError(err)
	}
	if err := st.print(cmd.OutOrStdout()); err != nil {
		return runError(err)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "fivenines: up in the background (process %d, log %s); fivenines down ends it\n", st.PID, log.Name())
	return nil
}

func (f *upFlags) awaitUp(ctx context.Context, pid int, ended <-chan error) (*upState, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if st, err := readState(f.name); err == nil && st.PID == pid && st.Ready && len(st.Nodes) > 0 {
			return st, nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case err := <-ended:
			return nil, fmt.Errorf("the process in the background ended: %v", err)
		case <-tick.C:
		}
	}
}

// lastLine is the last thing that the process in the background said.
func lastLine(path string) string {
	b, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.TrimPrefix(lines[len(lines)-1], "fivenines: ")
}
