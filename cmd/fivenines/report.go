package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
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
	"github.com/fivenines/fivenines/slo/projection"
)

func init() { commands = append(commands, reportCommand) }

var formats = map[string]struct {
	file  string
	write func(io.Writer, *slo.Result) error
}{
	"badge":    {"badge.svg", reports.WriteBadge},
	"baseline": {"baseline.json", reports.WriteBaseline},
	"html":     {"report.html", reports.WriteHTML},
	"json":     {"result.json", reports.WriteJSON},
	"junit":    {"junit.xml", reports.WriteJUnit},
	"markdown": {"report.md", reports.WriteMarkdown},
	"comment":  {"comment.md", func(w io.Writer, r *slo.Result) error { return reports.WriteComment(w, r, nil) }},
	"textfile": {"fivenines-SCENARIO.prom", reports.WriteTextfile},
}

// against is the writer of a comment that compares with a stored result.
func against(base string) (func(io.Writer, *slo.Result) error, error) {
	b, err := resultAt(base)
	if err != nil {
		return nil, err
	}
	return func(w io.Writer, r *slo.Result) error {
		c, err := compare.Results(b, r, compare.Options{})
		if err != nil {
			return err
		}
		return reports.WriteComment(w, r, c)
	}, nil
}

// fileOf is a report's name. Scenarios share the folder of a textfile collector.
func fileOf(format string, r *slo.Result) string {
	name := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' {
			return c
		}
		return '_'
	}, r.Scenario)
	return strings.ReplaceAll(formats[format].file, "SCENARIO", name)
}

func reportCommand() *cobra.Command {
	var want []string
	var out, baseline string
	cmd := &cobra.Command{
		Use:   "report RUN",
		Short: "Write a stored run's result as HTML, JSON, JUnit, Markdown, comment, textfile, badge or baseline",
		Example: `  fivenines report runs/20260102T150405Z-region-loss --format html,markdown
  fivenines report RUN --format markdown --out - >> "$GITHUB_STEP_SUMMARY"
  fivenines report RUN --format comment --baseline .github/baselines/node-crash.json --out - > comment.md
  fivenines report RUN --format textfile --out /var/lib/node_exporter/textfile
  fivenines report RUN --format baseline --out - > .github/baselines/node-crash.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(want) == 0 {
				return usageError("--format names no format; there are %s", strings.Join(slices.Sorted(maps.Keys(formats)), ", "))
			}
			for _, f := range want {
				if _, ok := formats[f]; !ok {
					return usageError("no format is called %q; %s", f, closest.Meant(f, slices.Sorted(maps.Keys(formats))))
				}
			}
			if out == "-" && len(want) != 1 {
				return usageError("--out - takes one format, not %d", len(want))
			}
			comment := formats["comment"].write
			if baseline != "" {
				if !slices.Contains(want, "comment") {
					return usageError("--baseline is what a comment compares with: add --format comment")
				}
				var err error
				if comment, err = against(baseline); err != nil {
					return fileError(err)
				}
			}
			write := func(f string) func(io.Writer, *slo.Result) error {
				switch f {
				case "comment":
					return comment
				case "html":
					return func(w io.Writer, r *slo.Result) error {
						return reports.WriteHTMLProjected(w, r, projectionBeside(args[0]))
					}
				}
				return formats[f].write
			}
			res, err := storedResult(args[0])
			if err != nil {
				return fileError(err)
			}
			dir := out
			if dir == "" {
				dir = args[0]
			}
			for _, f := range want {
				if out == "-" {
					if err := write(f)(cmd.OutOrStdout(), res); err != nil {
						return runError(err)
					}
					continue
				}
				path := filepath.Join(dir, fileOf(f, res))
				if err := writeReport(path, res, write(f)); err != nil {
					return runError(err)
				}
				fmt.Fprintln(cmd.OutOrStdout(), path)
			}
			return nil
		},
	}
	cmd.Flags().StringSliceVar(&want, "format", []string{"html"}, "badge, baseline (for fivenines compare), comment (for a pull request), html, json, junit, markdown, textfile (Prometheus)")
	cmd.Flags().StringVar(&baseline, "baseline", "", "a stored run or result.json that a comment compares with")
	cmd.Flags().StringVar(&out, "out", "", "folder to write to, or - for standard output (default the run's folder)")
	return cmd
}

// projectionBeside is the projection of the verification that a run's folder stands in;
// nil for a run of its own.
func projectionBeside(dir string) *projection.Projection {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil
	}
	b, err := os.ReadFile(filepath.Join(filepath.Dir(abs), "verify.json"))
	if err != nil {
		return nil
	}
	v := &slo.Verification{}
	if json.Unmarshal(b, v) != nil || !slices.ContainsFunc(v.Scenarios, func(s slo.Verified) bool { return filepath.Base(s.Folder) == filepath.Base(abs) }) {
		return nil
	}
	return v.Projection
}

// storedResult is the run's result.json, or, where the run did not get so far,
// what its record says.
func storedResult(dir string) (*slo.Result, error) {
	b, err := os.ReadFile(filepath.Join(dir, "result.json"))
	if err != nil {
		return scenarios.Analyze(dir)
	}
	res := &slo.Result{}
	if err := json.Unmarshal(b, res); err != nil {
		return nil, fmt.Errorf("%s is damaged (%w); fivenines analyze --write %s makes it anew", filepath.Join(dir, "result.json"), err, dir)
	}
	return res, nil
}

// writeReport writes the file whole or not at all: a collector may read it at any time.
func writeReport(path string, res *slo.Result, write func(io.Writer, *slo.Result) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp := path + ".tmp" // which collectors don't read
	f, err := os.Create(tmp)
	if err != nil {
		return err
	}
	err = write(f, res)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// jobSummary appends to the summary of a GitHub job, if this is one, the first of
// the texts that fits. What does not work there is told, and changes no verdict.
func jobSummary(w io.Writer, texts ...func(io.Writer) error) {
	file := os.Getenv("GITHUB_STEP_SUMMARY")
	if file == "" {
		return
	}
	if err := reports.AppendSummary(file, texts...); err != nil {
		fmt.Fprintln(w, "fivenines: warning: GITHUB_STEP_SUMMARY:", err)
	}
}

// summarize appends a result to it: in full, or as short as a comment.
func summarize(w io.Writer, res *slo.Result) {
	jobSummary(w, func(w io.Writer) error { return reports.WriteMarkdown(w, res) },
		func(w io.Writer) error { return reports.WriteComment(w, res, nil) })
}
