package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fivenines/fivenines/reports"
	"github.com/fivenines/fivenines/scenarios"
)

func init() { commands = append(commands, analyzeCommand) }

func analyzeCommand() *cobra.Command {
	var write, asJSON bool
	cmd := &cobra.Command{
		Use:   "analyze RUN",
		Short: "Recompute measures and verdict from a stored run",
		Long: `Reads nothing but the run's folder (scenario, rules, operations, events) and
comes to the same verdict as the run itself. The exit status is the verdict's.`,
		Example: `  fivenines analyze runs/20260102T150405Z-region-loss`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			res, err := scenarios.Analyze(args[0])
			if err != nil {
				return fileError(err)
			}
			if write {
				if err := scenarios.WriteReports(args[0], res); err != nil {
					return runError(err)
				}
			}
			if asJSON {
				if err := reports.WriteJSON(cmd.OutOrStdout(), res); err != nil {
					return runError(err)
				}
				return verdictError(res.Verdict)
			}
			if err := reports.Terminal(cmd.OutOrStdout(), res, colorful(cmd.OutOrStdout())); err != nil {
				return runError(fmt.Errorf("print the summary: %w", err))
			}
			return verdictError(res.Verdict)
		},
	}
	cmd.Flags().BoolVar(&write, "write", false, "write result.json, report.html and junit.xml into the run's folder again")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print result.json instead of the summary")
	return cmd
}
