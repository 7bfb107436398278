package main

import (
	"errors"
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

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/internal/closest"
	"github.com/fivenines/fivenines/reports"
	"github.com/fivenines/fivenines/scenarios"
	"github.com/fivenines/fivenines/slo"
	"github.com/fivenines/fivenines/slo/openslo"
)

func init() { commands = append(commands, runCommand) }

// runFlags are the flags of run.
type runFlags struct {
	backend, mutant, out string
	rules                string // file
	openSLO              string // file
	objectives           map[string]string
	judged               *scenarios.Rules // by these
	over                 scenarios.Overrides
	quiet, plain         bool
	metrics              metricsFlags
}

func runCommand() *cobra.Command {
	f := runFlags{judged: scenarios.DefaultRules()}
	cmd := &cobra.Command{
		Use:   "run NAME|FILE...",
		Short: "Run scenarios and judge what the clients saw",
		Long: `Brings the scenario's topology up, offers its load, injects its faults, reads every
session back, and judges the record. Exit status: 0 every declared objective met,
1 one missed, 2 bad usage or a bad file, 3 inconclusive or the run itself failed.`,
		Example: `  fivenines run region-loss
  fivenines run node-crash --rps 5000 --sessions 10000 --seed 7
  fivenines run my-scenario.yaml --out /tmp/my-run
  fivenines run region-loss --metrics 127.0.0.1:9464   # for Prometheus, while it goes on
  fivenines run region-loss --mutant no-failover   # broken on purpose: must be missed`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError("run needs a scenario: a name that fivenines list shows, or a file")
			}
			return f.runAll(cmd, args)
		},
	}
	f.register(cmd)
	return cmd
}

// register adds the flags that say how scenarios are run.
func (f *runFlags) register(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.backend, "backend", "process", "where the nodes run")
	fl.StringVar(&f.over.Target, "target", "", "the system under test (default the scenario's)")
	fl.StringVar(&f.over.Topology, "topology", "", "a topology by name or file (default the scenario's)")
	fl.Float64Var(&f.over.Rate, "rps", 0, "operations a second (default the scenario's)")
	fl.IntVar(&f.over.Sessions, "sessions", 0, "live sessions (default the scenario's)")
	fl.StringVar((*string)(&f.over.Through), "through", "", "how clients reach the nodes: nodes (they know all of them), balancers (they know one load balancer a region) or dns (they ask the platform's DNS) (default the scenario's)")
	fl.DurationVar(&f.over.Duration, "duration", 0, "of the load, before and after the fault together (default the scenario's)")
	fl.DurationVar(&f.over.Before, "before", 0, "load before the fault (default the scenario's)")
	fl.DurationVar(&f.over.After, "after", 0, "load after the fault (default the scenario's)")
	fl.IntVar(&f.over.Trials, "trials", 0, "how often everything is repeated (default the scenario's)")
	fl.IntVar(&f.over.MaxTrials, "max-trials", 0, "go on after --trials until each objective on a quantile is decided, up to so many")
	fl.StringToStringVar(&f.objectives, "objective", nil, "an objective in place of the scenario's: NAME=BOUND, such as failover='p90 < 5 s'")
	fl.StringVar(&f.rules, "objectives", "", "a file in place of the embedded objectives.yaml: deadline, hold, bounds of validity, error rates, defaults")
	fl.StringVar(&f.openSLO, "openslo", "", "OpenSLO v1 documents whose objectives go before the scenario's")
	fl.Int64Var(&f.over.Seed, "seed", 0, "what all random choices come from (default a random one, which is printed)")
	fl.StringVar(&f.out, "out", "", "the run's folder, new or empty (default runs/TIME-SCENARIO)")
	fl.StringVar(&f.mutant, "mutant", "", "start the target broken on purpose; the verdict must be missed")
	fl.BoolVar(&f.plain, "plain", false, "plain lines instead of a live display, as where nobody looks")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "print nothing but the verdict, as one line, and errors")
	f.metrics.register(cmd)
	cmd.MarkFlagsMutuallyExclusive("duration", "after")
}

// runAll runs the scenarios one after the other; the worst exit status counts,
// and an interrupt ends them all.
func (f *runFlags) runAll(cmd *cobra.Command, names []string) error {
	if err := f.check(cmd); err != nil {
		return err
	}
	specs, err := f.load(cmd.ErrOrStderr(), names)
	if err != nil {
		return err
	}
	raiseFileLimit()
	end, err := f.metrics.serve(cmd, f.quiet)
	if err != nil {
		return err
	}
	defer end()
	var worst error
	for i, s := range specs {
		out := f.out
		if out != "" && len(specs) > 1 {
			out = filepath.Join(f.out, fmt.Sprintf("%02d-%s", i+1, s.Name))
		}
		err := f.runOne(cmd, names[i], s, out)
		if worse(err, worst) {
			if worst != nil {
				complain(cmd.ErrOrStderr(), errors.Unwrap(worst))
			}
			worst = err
		} else if err != nil {
			complain(cmd.ErrOrStderr(), errors.Unwrap(err))
		}
		if cmd.Context().Err() != nil {
			break
		}
	}
	return worst
}

// load reads all scenarios, and what they are judged by, before the first one runs.
func (f *runFlags) load(w io.Writer, names []string) ([]*scenarios.Spec, error) {
	if f.rules != "" {
		r, err := scenarios.LoadRules(f.rules)
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		f.judged = r
	}
	if err := f.readOpenSLO(w); err != nil {
		return nil, &exitError{exitUsage, err}
	}
	var specs []*scenarios.Spec
	for _, name := range names {
		s, err := scenarioFor(name)
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		specs = append(specs, s)
	}
	return specs, nil
}

// readOpenSLO adds the objectives of OpenSLO documents to those that were asked for;
// what stands on the command line goes before them.
func (f *runFlags) readOpenSLO(w io.Writer) error {
	f.over.Objectives = f.objectives
	if f.openSLO == "" {
		return nil
	}
	o, err := openslo.LoadObjectives(f.openSLO)
	if err != nil {
		return err
	}
	for _, warning := range o.Warnings {
		fmt.Fprintln(w, "fivenines: warning:", warning)
	}
	maps.Copy(o.Declared, f.objectives)
	f.over.Objectives = o.Declared
	if o.Deadline > 0 {
		r := *f.judged
		r.Deadline = fixtures.Duration(o.Deadline)
		f.judged = &r
	}
	return nil
}

// check refuses flags that no scenario can be right with.
func (f *runFlags) check(cmd *cobra.Command) error {
	for _, name := range []string{"rps", "sessions", "duration", "before", "after", "trials", "max-trials", "seed"} {
		fl := cmd.Flags().Lookup(name)
		if v := fl.Value.String(); fl.Changed && (strings.HasPrefix(v, "-") || v == "0" || v == "0s") {
			return usageError("--%s must be more than 0, not %s", name, v)
		}
	}
	return nil
}

// worse says whether a is the worse exit: bad usage, then a failed or
// inconclusive run, then a missed objective.
func worse(a, b error) bool { return rank(a) > rank(b) }

func rank(err error) int {
	var e *exitError
	if err == nil || !errors.As(err, &e) {
		return 0
	}
	return slices.Index([]int{exitMet, exitMiss, exitRun, exitUsage}, e.code)
}

// scenarioFor finds a scenario by name, or reads its file.
func scenarioFor(name string) (*scenarios.Spec, error) {
	if looksLikeFile(name) {
		return scenarios.Load(name)
	}
	s, err := scenarios.Named(name)
	if err != nil {
		if _, serr := os.Stat(name); serr == nil {
			return scenarios.Load(name)
		}
	}
	return s, err
}

func looksLikeFile(name string) bool {
	ext := filepath.Ext(name)
	return ext == ".yaml" || ext == ".yml" || strings.ContainsRune(name, filepath.Separator)
}

// prepare applies the flags to a scenario and finds what it runs on.
func (f *runFlags) prepare(name string, spec *scenarios.Spec) (*scenarios.Spec, fixtures.Backend, fixtures.Target, error) {
	over := f.over
	if over.Seed == 0 && spec.Seed == 0 {
		over.Seed = scenarios.RandomSeed()
	}
	run, err := spec.With(over)
	if err != nil {
		return nil, nil, nil, &exitError{exitUsage, err}
	}
	if err := run.ValidateBy(name, f.judged); err != nil {
		return nil, nil, nil, &exitError{exitUsage, err}
	}
	backend, err := backendNamed(f.backend)
	if err != nil {
		return nil, nil, nil, err
	}
	target, err := targetNamed(run.Target)
	if err != nil {
		return nil, nil, nil, err
	}
	if ms := target.Mutants(); f.mutant != "" && !slices.Contains(ms, f.mutant) {
		return nil, nil, nil, usageError("target %s has no mutant called %q; %s", run.Target, f.mutant, closest.Meant(f.mutant, ms))
	}
	return run, backend, target, nil
}

// runOne runs one scenario and prints its verdict.
func (f *runFlags) runOne(cmd *cobra.Command, name string, spec *scenarios.Spec, out string) error {
	run, backend, target, err := f.prepare(name, spec)
	if err != nil {
		return err
	}
	if out == "" {
		out = defaultOut(run.Name, time.Now())
	}
	again := f.again(cmd, []string{"run", name}, run.Seed)
	w := cmd.ErrOrStderr()
	if !f.quiet {
		fmt.Fprintf(w, "fivenines %s: seed %d, %s backend, target %s, into %s\n", run.Name, run.Seed, f.backend, run.Target, out)
	}
	if f.mutant != "" && !f.quiet {
		shout(w, f.mutant)
	}
	progress, done := newProgress(w, f.quiet, f.plain)
	res, err := scenarios.Run(cmd.Context(), run, scenarios.Options{
		Reapers: reapers(),
		Backend: backend, Target: target, Out: out, Progress: progress,
		Mutant: f.mutant, Version: version(), Command: again, Rules: f.judged,
		Metrics: f.metrics.shown,
	})
	done()
	if res != nil {
		summarize(w, res)
		if perr := f.summary(cmd, res, out); perr != nil && err == nil {
			err = perr
		}
	}
	switch {
	case err != nil:
		if res != nil {
			fmt.Fprintln(w, "to run it again:", again)
		}
		return runError(err)
	case res.Verdict != slo.Met && !f.quiet:
		fmt.Fprintln(w, "to run it again:", again)
	}
	return verdictError(res.Verdict)
}

// summary is what a person wants to know at the end.
func (f *runFlags) summary(cmd *cobra.Command, res *slo.Result, out string) error {
	w := cmd.OutOrStdout()
	if f.quiet {
		_, err := fmt.Fprintf(w, "%s: %s%s\n", res.Scenario, res.Verdict, mutantNote(res.Mutant))
		return err
	}
	if err := reports.Terminal(w, res, colorful(w)); err != nil {
		return fmt.Errorf("print the summary: %w", err)
	}
	if res.Mutant != "" {
		shout(w, res.Mutant)
	}
	_, err := fmt.Fprintf(w, "report: %s\n", filepath.Join(out, "report.html"))
	return err
}

func mutantNote(mutant string) string {
	if mutant == "" {
		return ""
	}
	return " (MUTANT " + mutant + ": broken on purpose)"
}

// shout makes sure that nobody takes a system that is broken on purpose for
// the real one.
func shout(w interface{ Write([]byte) (int, error) }, mutant string) {
	line := fmt.Sprintf("!!! MUTANT %s: the system is broken on purpose, its verdict must be missed !!!", strings.ToUpper(mutant))
	bar := strings.Repeat("!", len(line))
	fmt.Fprintf(w, "%s\n%s\n%s\n", bar, line, bar)
}

// again is the command that runs the same once more.
func (f *runFlags) again(cmd *cobra.Command, what []string, seed int64) string {
	parts := append([]string{"fivenines"}, what...)
	for _, flag := range []string{"backend", "target", "topology", "through", "rps", "sessions", "duration", "before", "after", "trials", "max-trials", "objectives", "openslo", "mutant"} {
		if fl := cmd.Flags().Lookup(flag); fl.Changed {
			parts = append(parts, "--"+flag, fl.Value.String())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.objectives)) {
		parts = append(parts, "--objective", name+"="+f.objectives[name])
	}
	parts = append(parts, "--seed", strconv.FormatInt(seed, 10))
	for i, p := range parts {
		parts[i] = shellWord(p)
	}
	return strings.Join(parts, " ")
}

func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./=:,+", r)
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// defaultOut names a run's folder by time and scenario; two runs that start in
// the same second get different ones.
func defaultOut(scenario string, now time.Time) string {
	base := filepath.Join("runs", now.UTC().Format("20060102T150405Z")+"-"+scenario)
	out := base
	for i := 2; ; i++ {
		if _, err := os.Stat(out); err != nil {
			return out
		}
		out = fmt.Sprintf("%s-%d", base, i)
	}
}
