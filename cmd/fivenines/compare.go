package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fivenines/fivenines/internal/closest"
	"github.com/fivenines/fivenines/reports"
	"github.com/fivenines/fivenines/scenarios"
	"github.com/fivenines/fivenines/slo"
	"github.com/fivenines/fivenines/slo/compare"
)

func init() { commands = append(commands, compareCommand) }

func compareCommand() *cobra.Command {
	var o compare.Options
	var format string
	var margin string
	var strict bool
	cmd := &cobra.Command{
		Use:   "compare BASE NEW",
		Short: "Say whether the new run is better or worse than a stored one",
		Long: `Compares two runs of the same scenario measure by measure, trial against trial. BASE and
NEW are folders of runs or result.json files; a baseline is a result.json that is
kept in the repository. Exit status: 0 nothing is shown to be worse, 1 something is, 2 bad
usage, 3 the runs can't be compared, or, with --strict, nothing can be told of some measure.

A count of what must never happen is worse at the first one. Durations need trials:
with four on each side a complete separation can be told at 5 % (one measure), more for several.`,
		Example: `  fivenines compare .github/baselines/node-crash.json runs/20260102T150405Z-node-crash
  fivenines compare base.json RUN --measure failover,rto,lost-writes --margin '20 %'
  fivenines compare BASE NEW --format markdown >> "$GITHUB_STEP_SUMMARY"`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usageError("compare needs two runs, BASE and NEW, not %d; it is used as: fivenines compare BASE NEW", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			write, ok := map[string]func(io.Writer, *compare.Comparison) error{
				"text": func(w io.Writer, c *compare.Comparison) error { return reports.CompareTerminal(w, c, colorful(w)) },
				"json": reports.CompareJSON, "markdown": reports.CompareMarkdown,
			}[format]
			if !ok {
				return usageError("no format is called %q; %s", format, closest.Meant(format, []string{"json", "markdown", "text"}))
			}
			var p scenarios.Percent
			if err := p.UnmarshalText([]byte(margin)); err != nil {
				return usageError("--margin: %v", err)
			}
			o.Margin = p.Share()
			for _, m := range o.Measures {
				if !slices.Contains(compare.Names(), m) {
					return usageError("no measure is called %q; %s", m, closest.Meant(m, compare.Names()))
				}
			}
			if !(o.Alpha > 0 && o.Alpha < 0.5) || o.Margin <= 0 {
				return usageError("--alpha must be between 0 and 0.5, and --margin more than 0")
			}
			base, err := resultAt(args[0])
			if err != nil {
				return fileError(err)
			}
			next, err := resultAt(args[1])
			if err != nil {
				return fileError(err)
			}
			c, err := compare.Results(base, next, o)
			if err != nil {
				return runError(err)
			}
			c.Base.Path, c.New.Path = args[0], args[1]
			if err := write(cmd.OutOrStdout(), c); err != nil {
				return runError(fmt.Errorf("print the comparison: %w", err))
			}
			return compareError(c, strict)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&format, "format", "text", "text, json or markdown")
	fl.StringVar(&margin, "margin", "10 %", "of the base's median, within which a measure counts as the same")
	fl.Float64Var(&o.Alpha, "alpha", 0.05, "probability of finding a change, in any measure, where there is none")
	fl.StringSliceVar(&o.Measures, "measure", nil, "measures to compare (default all): "+strings.Join(compare.Names(), ", "))
	fl.BoolVar(&o.Anyway, "anyway", false, "compare runs of different scenarios, targets or loads")
	fl.BoolVar(&strict, "strict", false, "exit 3 if nothing can be told of some measure")
	return cmd
}

func compareError(c *compare.Comparison, strict bool) error {
	open := 0
	for _, m := range c.Measures {
		if m.Change == compare.CannotTell {
			open++
		}
	}
	switch {
	case c.Change == compare.Worse:
		return &exitError{exitMiss, nil}
	case c.New.Trials == 0:
		return runError(fmt.Errorf("the new run has no valid trial: nothing was compared"))
	case strict && open > 0:
		return &exitError{exitRun, fmt.Errorf("nothing can be told of %d measures (--strict); more trials would", open)}
	}
	return nil
}

// resultAt is the result in a run's folder, or in a file.
func resultAt(path string) (*slo.Result, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		if _, err := os.Stat(filepath.Join(path, "result.json")); err == nil || !os.IsNotExist(err) {
			path = filepath.Join(path, "result.json")
		} else {
			return scenarios.Analyze(path)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	res, err := slo.Decode(b)
	if err != nil {
		return nil, &fs.PathError{Op: "read the result", Path: path, Err: err}
	}
	return res, nil
}
