package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/reports"
	"github.com/fivenines/fivenines/scenarios"
	"github.com/fivenines/fivenines/slo"
	"github.com/fivenines/fivenines/slo/projection"
)

func init() { commands = append(commands, verifyCommand) }

// verifyFlags are those of run, and the projection's.
type verifyFlags struct {
	runFlags
	from                             []string
	rates, availability, required    string
	years                            int
	printRates, asJSON, noMaintained bool
}

func verifyCommand() *cobra.Command {
	f := verifyFlags{runFlags: runFlags{judged: scenarios.DefaultRules()}}
	cmd := &cobra.Command{
		Use:   "verify [NAME|FILE...]",
		Short: "Run every scenario repeatedly and project the downtime of a year",
		Long: `Runs the scenarios (without a name: the whole catalogue) with several trials each, judges
them, and projects from the measured outages and from yearly rates of faults whether a
year stays inside the budget of 99.999 %. The folder gets a run's folder for each scenario, and
verify.json, verify.html and verify.md over all of them. Exit status: 0 all is met, 1
an objective or the projection is missed, 2 bad usage or a bad file, 3 inconclusive, or a run failed.

A trial takes about 80 seconds; the whole catalogue, 5 trials each, close to three hours.`,
		Example: `  fivenines verify                                  # the whole catalogue, 5 trials each
  fivenines verify node-crash region-loss --trials 30 --rps 2000 --sessions 5000
  fivenines verify --print-rates > rates.yaml       # then edit it, and:
  fivenines verify --rates rates.yaml --from runs/a,runs/b   # from stored runs`,
		RunE: func(cmd *cobra.Command, args []string) error { return f.verify(cmd, args) },
	}
	f.register(cmd)
	fl := cmd.Flags()
	fl.StringSliceVar(&f.from, "from", nil, "folders of stored runs to verify by, instead of running anything")
	fl.StringVar(&f.rates, "rates", "", "yearly rates of faults, with their sources (default those that --print-rates prints)")
	fl.StringVar(&f.availability, "availability", "99.999 %", "share of a year that the service must be up")
	fl.StringVar(&f.required, "required", "90 %", "of all years must stay inside the budget")
	fl.IntVar(&f.years, "years", 100_000, "years to simulate")
	fl.BoolVar(&f.noMaintained, "exclude-maintenance", false, "planned maintenance is no downtime")
	fl.BoolVar(&f.printRates, "print-rates", false, "print the default rates file and end")
	fl.BoolVar(&f.asJSON, "json", false, "print verify.json instead of the summary")
	return cmd
}

const defaultTrials = 5

func (f *verifyFlags) verify(cmd *cobra.Command, names []string) error {
	if f.printRates {
		_, err := cmd.OutOrStdout().Write(projection.DefaultYAML())
		return err
	}
	model, opt, err := f.project()
	if err != nil {
		return err
	}
	var v *slo.Verification
	out := f.out
	if fl := cmd.Flags().Lookup("from"); fl.Changed && (len(f.from) == 0 || slices.Contains(f.from, "")) {
		return usageError("--from names no run; name folders that fivenines run made, such as those in runs/")
	}
	if len(f.from) > 0 {
		if len(names) > 0 {
			return usageError("verify --from takes no scenarios: the runs say which they are of")
		}
		v, err = scenarios.VerifyRuns(f.from, model, opt)
		if err != nil {
			return fileError(err)
		}
		for i := range v.Scenarios {
			v.Scenarios[i].Folder = seenFrom(out, v.Scenarios[i].Folder)
		}
	} else {
		if v, out, err = f.run(cmd, names, model, opt); v == nil {
			return err
		}
	}
	if out != "" {
		if werr := writeVerification(out, v); err == nil && werr != nil {
			err = runError(werr)
		}
	}
	jobSummary(cmd.ErrOrStderr(), func(w io.Writer) error { return reports.VerifyMarkdown(w, v) })
	if perr := f.print(cmd, v, out); err == nil && perr != nil {
		err = runError(perr)
	}
	if err != nil {
		return err
	}
	return verdictError(v.Verdict)
}

// project reads what the projection is made with.
func (f *verifyFlags) project() (*projection.Model, projection.Options, error) {
	o := projection.Options{Years: f.years, ExcludeMaintenance: f.noMaintained, Seed: uint64(max(1, f.over.Seed))}
	for _, p := range []struct {
		flag, text string
		to         *float64
	}{{"availability", f.availability, &o.Objective}, {"required", f.required, &o.Required}} {
		var v scenarios.Percent
		if err := v.UnmarshalText([]byte(p.text)); err != nil || v <= 0 || v >= 100 {
			return nil, o, usageError("--%s: %q is not a percentage between 0 and 100 %%, such as 99.999 %%", p.flag, p.text)
		}
		*p.to = math.Round(v.Share()*1e12) / 1e12 // 99.999 % is no binary fraction
	}
	if f.years < 1000 {
		return nil, o, usageError("--years must be 1000 or more, not %d", f.years)
	}
	if f.rates == "" {
		return projection.Default(), o, nil
	}
	m, err := projection.Load(f.rates)
	if err != nil {
		return nil, o, &exitError{exitUsage, err}
	}
	return m, o, nil
}

// run runs the scenarios.
func (f *verifyFlags) run(cmd *cobra.Command, names []string, model *projection.Model, o projection.Options) (*slo.Verification, string, error) {
	if err := f.check(cmd); err != nil {
		return nil, "", err
	}
	if f.over.Trials == 0 {
		f.over.Trials = defaultTrials
	}
	if f.over.Seed == 0 {
		f.over.Seed = scenarios.RandomSeed()
		o.Seed = uint64(f.over.Seed)
	}
	what := slices.Clone(names)
	if len(names) == 0 {
		for _, e := range scenarios.Catalogue() {
			names = append(names, e.Name)
		}
	}
	specs, err := f.load(cmd.ErrOrStderr(), names)
	if err != nil {
		return nil, "", err
	}
	var backend fixtures.Backend
	var target fixtures.Target
	seen := map[string]bool{}
	for i := range specs {
		if specs[i], backend, target, err = f.prepare(names[i], specs[i]); err != nil {
			return nil, "", err
		}
		if seen[specs[i].Name] {
			return nil, "", usageError("scenario %s stands there twice", specs[i].Name)
		}
		seen[specs[i].Name] = true
	}
	raiseFileLimit()
	out := f.out
	if out == "" {
		out = defaultOut("verify", time.Now())
	}
	w := cmd.ErrOrStderr()
	if f.mutant != "" && !f.quiet {
		shout(w, f.mutant)
	}
	end, err := f.metrics.serve(cmd, f.quiet)
	if err != nil {
		return nil, "", err
	}
	defer end()
	progress, done := newProgress(w, f.quiet, f.plain)
	defer done()
	v, err := scenarios.Verify(cmd.Context(), specs, scenarios.VerifyOptions{
		Options: scenarios.Options{
			Reapers: reapers(),
			Backend: backend, Target: target, Out: out, Progress: progress, Mutant: f.mutant, Version: version(),
			Command: f.again(cmd, append([]string{"verify"}, what...), f.over.Seed), Rules: f.judged,
			Metrics: f.metrics.shown,
		},
		Model: model, Projection: o,
		Began: func(n, of int, s *scenarios.Spec) {
			tell(progress, scenarios.Phase{Text: fmt.Sprintf("scenario %d of %d: %s, %d trials", n, of, s.Name, s.Trials)})
		},
		Ran: func(s *scenarios.Spec, res *slo.Result, err error) {
			if errors.Is(err, fixtures.ErrNotHere) {
				fmt.Fprintf(cmd.ErrOrStderr(), "fivenines: %s is left out: %v\n", s.Name, err)
			}
			if res != nil {
				tell(progress, scenarios.Phase{Text: s.Name + ": " + res.Summary})
			}
		},
	})
	if err != nil {
		err = runError(err)
	}
	return v, out, err
}

// seenFrom is a folder as a link from another one.
func seenFrom(out, dir string) string {
	a, err := filepath.Abs(out)
	b, berr := filepath.Abs(dir)
	if err != nil || berr != nil {
		return dir
	}
	if rel, err := filepath.Rel(a, b); err == nil {
		return rel
	}
	return b
}

func writeVerification(dir string, v *slo.Verification) error {
	for _, r := range []struct {
		file  string
		write func(io.Writer, *slo.Verification) error
	}{{"verify.json", reports.VerifyJSON}, {"verify.html", reports.VerifyHTML}, {"verify.md", reports.VerifyMarkdown}} {
		var b bytes.Buffer
		if err := r.write(&b, v); err != nil {
			return fmt.Errorf("write %s: %w", r.file, err)
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, r.file), b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	// The reports of the runs were written before there was a projection.
	for _, s := range v.Scenarios {
		run := filepath.Join(dir, s.Folder)
		if _, err := os.Stat(filepath.Join(run, "result.json")); err != nil || filepath.Dir(s.Folder) != "." {
			continue
		}
		res, err := storedResult(run)
		if err == nil {
			err = writeReport(filepath.Join(run, formats["html"].file), res, func(w io.Writer, r *slo.Result) error { return reports.WriteHTMLProjected(w, r, v.Projection) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *verifyFlags) print(cmd *cobra.Command, v *slo.Verification, out string) error {
	w := cmd.OutOrStdout()
	switch {
	case f.asJSON:
		return reports.VerifyJSON(w, v)
	case f.quiet:
		_, err := fmt.Fprintf(w, "verify: %s%s\n", v.Verdict, mutantNote(f.mutant))
		return err
	}
	if err := reports.VerifyTerminal(w, v, colorful(w)); err != nil {
		return err
	}
	if out == "" {
		return nil
	}
	_, err := fmt.Fprintf(w, "report: %s\n", filepath.Join(out, "verify.html"))
	return err
}
