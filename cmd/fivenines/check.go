package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/fivenines/fivenines/scenarios"
	"github.com/fivenines/fivenines/scenarios/gameday"
)

func init() { commands = append(commands, checkCommand) }

func checkCommand() *cobra.Command {
	var schema bool
	cmd := &cobra.Command{
		Use:   "check FILE...",
		Short: "Validate scenario, topology and game day files",
		Example: `  fivenines check my-scenario.yaml my-topology.yaml
  fivenines check --schema > scenario.schema.json`,
		RunE: func(cmd *cobra.Command, files []string) error {
			if schema {
				_, err := cmd.OutOrStdout().Write(scenarios.Schema())
				return err
			}
			if len(files) == 0 {
				return usageError("check needs at least one file; fivenines check --help shows examples")
			}
			var errs []error
			for _, f := range files {
				what, err := check(f)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: ok, %s\n", f, what)
			}
			if len(errs) > 0 {
				return &exitError{exitUsage, errors.Join(errs...)}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&schema, "schema", false, "print the JSON Schema of scenario files, for editors")
	return cmd
}

// check says what a good file is, or what is wrong with a bad one.
func check(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	if scenarios.IsTopology(data) {
		t, err := scenarios.LoadTopology(file)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("topology %s: %d regions, %d nodes, %d shards", t.Name, len(t.Regions), len(t.Nodes()), t.Shards), nil
	}
	if gameday.IsGameDay(data) {
		c, err := gameday.Load(file, gamedayKnown())
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("game day %s: %d schedules, %d black-outs", c.Name, len(c.Schedules), len(c.Blackouts)), nil
	}
	s, err := scenarios.Load(file)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("scenario %s: %d faults, %d objectives", s.Name, len(s.Faults), len(s.Objectives)), nil
}
