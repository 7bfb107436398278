package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fivenines/fivenines/faults"
	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/reports/store"
	"github.com/fivenines/fivenines/scenarios"
	"github.com/fivenines/fivenines/scenarios/gameday"
	"github.com/fivenines/fivenines/slo"
	"github.com/fivenines/fivenines/slo/compare"
)

func init() { commands = append(commands, gamedayCommand) }

// gamedayFlags are the flags of gameday.
type gamedayFlags struct {
	config, store        string
	once, again, dry     bool
	plain, quiet, schema bool
	metrics              metricsFlags
	known                gameday.Known
}

func gamedayCommand() *cobra.Command {
	f := gamedayFlags{known: gamedayKnown()}
	cmd := &cobra.Command{
		Use:   "gameday --config FILE",
		Short: "Run scenarios by a schedule, and keep their history",
		Long: `Runs scenarios at the times that a game day file says, never in its black-outs, keeps
every run in a store, marks what got worse, announces it to webhooks, and draws an index
page (index.html in the store). It stays until it is interrupted; with --once it runs what is planned for today,
whatever the time is now, and ends. If it is killed during a run, the next start undoes
the fault, marks the run as interrupted, and goes on with the others of that day.

Exit status with --once: 0 every run of today is met, 1 one missed an objective, 2 bad usage or a bad file,
3 one is inconclusive, was interrupted, or could not be run (and none missed).
What a black-out skips does not count.`,
		Example: `  fivenines gameday --config gameday.yaml --dry-run    # what would run when, for a week
  fivenines gameday --config gameday.yaml --once       # today's, now
  fivenines gameday --config gameday.yaml              # stay, and run by the schedule`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.config, "config", "", "the game day file")
	fl.StringVar(&f.store, "store", "", "the folder that runs, index and page are kept in (default gamedays/NAME)")
	fl.BoolVar(&f.once, "once", false, "run what is planned for today, and end with its verdict")
	fl.BoolVar(&f.again, "again", false, "with --once: run also what ran today already")
	fl.BoolVar(&f.dry, "dry-run", false, "print what would run when in the next seven days, and end")
	fl.BoolVar(&f.plain, "plain", false, "plain lines instead of a live display")
	fl.BoolVar(&f.schema, "schema", false, "print the JSON Schema of game day files, for editors, and end")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "print what happens to runs only, not what happens in them")
	f.metrics.register(cmd)
	cmd.MarkFlagsMutuallyExclusive("once", "dry-run")
	return cmd
}

func gamedayKnown() gameday.Known {
	return gameday.Known{Backends: slices.Sorted(maps.Keys(backends)), Measures: compare.Names()}
}

func (f *gamedayFlags) run(cmd *cobra.Command) (err error) {
	if f.schema {
		b, err := gameday.Schema()
		if err == nil {
			_, err = cmd.OutOrStdout().Write(b)
		}
		return err
	}
	switch {
	case f.config == "":
		return usageError("gameday needs --config FILE, such as .github/gameday.yaml")
	case f.again && !f.once:
		return usageError("--again is for --once")
	}
	c, err := gameday.Load(f.config, f.known)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if f.dry {
		return printPlan(cmd.OutOrStdout(), c, time.Now())
	}
	dir := f.store
	if dir == "" {
		dir = filepath.Join("gamedays", c.Name)
	}
	lock, err := store.AcquireLock(dir)
	if err != nil {
		return runError(err)
	}
	defer func() { err = joinExit(err, lock.Release()) }()
	s, err := store.Open(cmd.Context(), dir)
	if err != nil {
		return runError(err)
	}
	defer func() { err = joinExit(err, s.Close()) }()
	end, err := f.metrics.serve(cmd, f.quiet)
	if err != nil {
		return err
	}
	defer end()
	raiseFileLimit()
	w := cmd.ErrOrStderr()
	r := &gameday.Runner{
		Config: c, Store: s, Clock: gameday.WallClock{}, Getenv: os.Getenv, Again: f.again,
		Execute: func(ctx context.Context, p gameday.Planned, out string) (*slo.Result, error) {
			return f.execute(ctx, w, p, out)
		},
		Undo:    undoStale,
		Salvage: scenarios.Salvage,
		Log: func(format string, args ...any) {
			fmt.Fprintf(w, "%s  %s\n", time.Now().In(c.Location()).Format(time.DateTime), fmt.Sprintf(format, args...))
		},
	}
	fmt.Fprintf(w, "fivenines gameday %s: the index page is %s\n", c.Name, filepath.Join(dir, gameday.IndexPage))
	if !f.once {
		if err := r.Serve(cmd.Context()); err != nil {
			return runError(err)
		}
		return nil
	}
	verdict, err := r.Once(cmd.Context())
	if err != nil {
		return runError(err)
	}
	text := string(verdict)
	if verdict == slo.NotEvaluated {
		text, verdict = "nothing ran today", slo.Met // as planned
	}
	if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", c.Name, text); err != nil {
		return runError(err)
	}
	return verdictError(verdict)
}

// joinExit adds what went wrong at the end to an exit that stands already.
func joinExit(err, end error) error {
	if end == nil {
		return err
	}
	if err == nil {
		return runError(end)
	}
	return err
}

// execute is a run of fivenines run.
func (f *gamedayFlags) execute(ctx context.Context, w io.Writer, p gameday.Planned, out string) (*slo.Result, error) {
	backend, err := backendNamed(p.Backend)
	if err != nil {
		return nil, err
	}
	target, err := targetNamed(p.Spec.Target)
	if err != nil {
		return nil, err
	}
	progress, done := newProgress(w, f.quiet, f.plain)
	defer done()
	return scenarios.Run(ctx, p.Spec, scenarios.Options{
		Reapers: reapers(), Backend: backend, Target: target, Out: out, Progress: progress,
		Version: version(), Command: f.runAgain(p), Metrics: f.metrics.shown,
	})
}

// runAgain is the command that does the same run by itself.
func (f *gamedayFlags) runAgain(p gameday.Planned) string {
	own := func(ref string) string {
		if looksLikeFile(ref) && !filepath.IsAbs(ref) {
			return filepath.Join(filepath.Dir(f.config), ref)
		}
		return ref
	}
	parts := []string{"fivenines", "run", own(p.Scenario), "--backend", p.Backend}
	add := func(flag, value string, given bool) {
		if given {
			parts = append(parts, "--"+flag, value)
		}
	}
	g := p.Flags
	add("topology", own(g.Topology), g.Topology != "")
	add("through", string(g.Through), g.Through != "")
	add("rps", strconv.FormatFloat(g.RPS, 'f', -1, 64), g.RPS != 0)
	add("sessions", strconv.Itoa(g.Sessions), g.Sessions != 0)
	add("before", g.Before.String(), g.Before != 0)
	add("after", g.After.String(), g.After != 0)
	add("trials", strconv.Itoa(g.Trials), g.Trials != 0)
	add("max-trials", strconv.Itoa(g.MaxTrials), g.MaxTrials != 0)
	for _, name := range slices.Sorted(maps.Keys(g.Objectives)) {
		add("objective", name+"="+g.Objectives[name], true)
	}
	add("seed", strconv.FormatInt(p.Seed, 10), true)
	for i := range parts {
		parts[i] = shellWord(parts[i])
	}
	return strings.Join(parts, " ")
}

// undoStale undoes what killed runs left.
func undoStale(ctx context.Context) ([]string, error) {
	found, err := faults.Recover(ctx, "", reapers())
	var texts []string
	for _, r := range found {
		texts = append(texts, r.String())
	}
	return texts, err
}

// printPlan says what comes in the next seven days.
func printPlan(w io.Writer, c *gameday.Config, now time.Time) error {
	var b strings.Builder
	plan := c.Plan(now, now.AddDate(0, 0, 7))
	for _, o := range plan {
		fmt.Fprintf(&b, "%s  %s", o.At.Format("Mon 2006-01-02 15:04 MST"), o.Schedule)
		if o.Blackout != "" {
			fmt.Fprintf(&b, "  skipped: black-out %s", o.Blackout)
		}
		b.WriteString("\n")
		for _, p := range o.Runs {
			fmt.Fprintf(&b, "    %s, seed %d, %s, %.0f/s, at least %v\n", p.Scenario, p.Seed, countTrials(p.Spec), p.Spec.Workload.Rate, fixtures.Duration(p.AtLeast()))
		}
	}
	if len(plan) == 0 {
		b.WriteString("nothing in the next seven days")
		if next := c.Next(now); len(next) > 0 {
			fmt.Fprintf(&b, "; next: %s", next[0])
		}
		b.WriteString("\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func countTrials(s *scenarios.Spec) string {
	if s.Trials == 1 {
		return "1 trial"
	}
	return fmt.Sprintf("%d trials", s.Trials)
}
