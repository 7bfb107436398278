package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/fivenines/fivenines/faults"
	"github.com/fivenines/fivenines/scenarios"
	"github.com/fivenines/fivenines/slo"
)

func init() { commands = append(commands, listCommand) }

// listing is what list --json prints.
type listing struct {
	Scenarios  []listedScenario  `json:"scenarios"`
	Faults     []listedFault     `json:"faults"`
	Topologies []string          `json:"topologies"`
	Backends   []string          `json:"backends"`
	Targets    []listedTarget    `json:"targets"`
	Objectives []listedObjective `json:"objectives"`
}

type listedScenario struct {
	Name        string            `json:"name"`
	Description string            `json:"description"`
	Faults      []string          `json:"faults"`
	Objectives  map[string]string `json:"objectives"`
}

type listedFault struct {
	Kind        string `json:"kind"`
	Description string `json:"description"`
}

type listedTarget struct {
	Name    string   `json:"name"`
	Mutants []string `json:"mutants"`
}

type listedObjective struct {
	Name   string `json:"name"`
	Target string `json:"platform_target"` // of the platform, which a scenario may tighten
}

func listCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List scenarios, faults, topologies, targets and objectives",
		Example: `  fivenines list
  fivenines list --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := everything()
			if err != nil {
				return runError(err)
			}
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(l)
			}
			return l.print(cmd)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func everything() (*listing, error) {
	l := &listing{Topologies: scenarios.TopologyNames(), Backends: slices.Sorted(maps.Keys(backends))}
	for _, e := range scenarios.Catalogue() {
		s := listedScenario{Name: e.Name, Description: e.Description, Faults: []string{}, Objectives: e.Spec.Objectives}
		for _, f := range e.Spec.Faults {
			s.Faults = append(s.Faults, f.String())
		}
		l.Scenarios = append(l.Scenarios, s)
	}
	for _, k := range faults.Kinds() {
		l.Faults = append(l.Faults, listedFault{Kind: k.Kind, Description: k.Summary})
	}
	for _, name := range slices.Sorted(maps.Keys(targets)) {
		t, err := targets[name]()
		if err != nil {
			return nil, err
		}
		l.Targets = append(l.Targets, listedTarget{Name: name, Mutants: t.Mutants()})
	}
	defaults := scenarios.DefaultRules().Defaults
	for _, name := range slo.Names() {
		l.Objectives = append(l.Objectives, listedObjective{Name: name, Target: defaults[name]})
	}
	return l, nil
}

func (l *listing) print(cmd *cobra.Command) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SCENARIOS (fivenines run NAME)")
	for _, s := range l.Scenarios {
		first, _, _ := strings.Cut(s.Description, ". ")
		fmt.Fprintf(w, "  %s\t%s\n", s.Name, strings.TrimSuffix(first, "."))
	}
	fmt.Fprintln(w, "\nFAULTS")
	for _, f := range l.Faults {
		fmt.Fprintf(w, "  %s\t%s\n", f.Kind, f.Description)
	}
	fmt.Fprintln(w, "\nOBJECTIVES (what the platform promises; a scenario declares its own)")
	for _, o := range l.Objectives {
		fmt.Fprintf(w, "  %s\t%s\n", o.Name, o.Target)
	}
	fmt.Fprintln(w, "\nTARGETS (mutants are broken on purpose: --mutant NAME)")
	for _, t := range l.Targets {
		fmt.Fprintf(w, "  %s\tmutants: %s\n", t.Name, strings.Join(t.Mutants, ", "))
	}
	fmt.Fprintf(w, "\nTOPOLOGIES\t%s\nBACKENDS\t%s\n", strings.Join(l.Topologies, ", "), strings.Join(l.Backends, ", "))
	return w.Flush()
}
