package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fivenines/fivenines/reports"
	"github.com/fivenines/fivenines/scenarios"
	"github.com/fivenines/fivenines/slo"
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
}

func reportCommand() *cobra.Command {
	var want []string
	var out string
	cmd := &cobra.Command{
		Use:   "report RUN",
		Short: "Write a stored run's result as HTML, JSON, JUnit, Markdown, badge or baseline",
		Example: `  fivenines report runs/20260102T150405Z-region-loss --format html,markdown
  fivenines report RUN --format markdown --out - >> "$GITHUB_STEP_SUMMARY"
  fivenines report RUN --format baseline --out - > .github/baselines/node-crash.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, f := range want {
				if _, ok := formats[f]; !ok {
					return usageError("no format is called %q; there are %s", f, strings.Join(slices.Sorted(maps.Keys(formats)), ", "))
				}
			}
			if out == "-" && len(want) != 1 {
				return usageError("--out - takes one format, not %d", len(want))
			}
			res, err := storedResult(args[0])
			if err != nil {
				return runError(err)
			}
			dir := out
			if dir == "" {
				dir = args[0]
			}
			html := formats["html"]
			html.write = func(w io.Writer, r *slo.Result) error {
				return reports.WriteHTMLProjected(w, r, projectionBeside(args[0]))
			}
			for _, f := range want {
				format := formats[f]
				if f == "html" {
					format = html
				}
				if out == "-" {
					if err := format.write(cmd.OutOrStdout(), res); err != nil {
						return runError(err)
					}
					continue
				}
				path := filepath.Join(dir, format.file)
				if err := writeReport(path, res, format.write); err != nil {
					return runError(err)
				}
				fmt.Fprintln(cmd.OutOrStdout(), path)
			}
			return nil
		},
	}
	cmd.Flags().StringSliceVar(&want, "format", []string{"html"}, "badge, baseline (for fivenines compare), html, json, junit, markdown")
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

func writeReport(path string, res *slo.Result, write func(io.Writer, *slo.Result) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := write(f, res); err != nil {
		_ = f.Close()
		return fmt.Errorf("write %s: %w", path, err)
	}
	return f.Close()
}
