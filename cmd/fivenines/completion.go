package main

import (
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fivenines/fivenines/internal/closest"
	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/scenarios"
	"github.com/fivenines/fivenines/slo"
	"github.com/fivenines/fivenines/slo/compare"
)

func init() { commands = append(commands, completionCommand) }

func completionCommand() *cobra.Command {
	shells := map[string]func(*cobra.Command, io.Writer) error{
		"bash": func(root *cobra.Command, w io.Writer) error { return root.GenBashCompletionV2(w, true) },
		"fish": func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) },
		"zsh":  func(root *cobra.Command, w io.Writer) error { return root.GenZshCompletion(w) },
	}
	names := slices.Sorted(maps.Keys(shells))
	return &cobra.Command{
		Use:   "completion bash|fish|zsh",
		Short: "Print what makes a shell complete commands, flags, scenarios, mutants and runs",
		Example: `  source <(fivenines completion bash)                                    # in this shell
  fivenines completion bash > /etc/bash_completion.d/fivenines           # for everybody
  fivenines completion zsh > "${fpath[1]}/_fivenines"
  fivenines completion fish > ~/.config/fish/completions/fivenines.fish`,
		ValidArgs: names,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError("completion needs the name of a shell; there are %s", strings.Join(names, ", "))
			}
			if shells[args[0]] == nil {
				return usageError("no completion for a shell called %q; %s", args[0], closest.Meant(args[0], names))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := shells[args[0]](cmd.Root(), cmd.OutOrStdout()); err != nil {
				return runError(err)
			}
			return nil
		},
	}
}

// completed makes a shell complete the values of the command's flags, by their
// names, and its arguments, by the words of its form.
func completed(c *cobra.Command) {
	for name, values := range completions {
		if c.Flags().Lookup(name) == nil {
			continue
		}
		_ = c.RegisterFlagCompletionFunc(name, values) // refused only where the command has its own
	}
	if c.ValidArgsFunction == nil && len(c.ValidArgs) == 0 && c.Runnable() && !c.HasSubCommands() {
		c.ValidArgsFunction = arguments(c.Use)
	}
}

// arguments completes by the words that stand for them: NAME, RUN, FILE.
func arguments(use string) cobra.CompletionFunc {
	_, form, _ := strings.Cut(use, " ")
	switch {
	case strings.Contains(form, "NAME"), strings.Contains(form, "SCENARIO"):
		return func(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
			if looksLikeFile(begun) {
				return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
			}
			var out []string
			for _, e := range scenarios.Catalogue() {
				first, _, _ := strings.Cut(e.Description, ". ")
				out = append(out, cobra.CompletionWithDesc(e.Name, first))
			}
			return out, cobra.ShellCompDirectiveDefault // files as well
		}
	case strings.Contains(form, "RUN"), strings.Contains(form, "BASE"):
		return runFolders
	case strings.Contains(form, "FILE"):
		return cobra.FixedCompletions([]string{"yaml", "yml", "json"}, cobra.ShellCompDirectiveFilterFileExt)
	}
	return cobra.NoFileCompletions
}

// completions are the values of flags, by name.
var completions = map[string]cobra.CompletionFunc{
	"backend":  fixed(slices.Sorted(maps.Keys(backends))...),
	"target":   fixed(slices.Sorted(maps.Keys(targets))...),
	"through":  fixed("balancers", "dns", "nodes"),
	"topology": fixedOrFile(scenarios.TopologyNames()...),
	"measure":  fixed(compare.Names()...),
	"mutant": func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return mutantsOf(cmd), cobra.ShellCompDirectiveNoFileComp
	},
	"objective": func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var out []string
		defaults := scenarios.DefaultRules().Defaults
		for _, n := range slo.Names() {
			out = append(out, cobra.CompletionWithDesc(n+"=", "such as "+defaults[n]))
		}
		return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	},
	"format": func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		if cmd.Name() == "report" {
			return slices.Sorted(maps.Keys(formats)), cobra.ShellCompDirectiveNoFileComp
		}
		return []string{"json", "markdown", "text"}, cobra.ShellCompDirectiveNoFileComp
	},
	"to":         regionsHeld,
	"lost":       regionsHeld,
	"level":      fixed("1", "2", "3"),
	"from":       runFolders,
	"objectives": fixedOrFile(),
	"openslo":    fixedOrFile(),
	"rates":      fixedOrFile(),
	"policy":     fixedOrFile(),
	"out":        folders,
	"dir":        folders,
	"archive":    folders,
}

func fixed(values ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
}

func fixedOrFile(values ...string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		if len(values) > 0 {
			return values, cobra.ShellCompDirectiveDefault
		}
		return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
	}
}

func folders(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// regionsHeld are those of what up holds under the command's --name.
func regionsHeld(cmd *cobra.Command, _ []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	if st, err := readState(cmd.Flag("name").Value.String()); err == nil {
		for _, r := range st.Regions {
			names = append(names, r.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// mutantsOf are those of the command's target, or of all targets.
func mutantsOf(cmd *cobra.Command) []string {
	chosen := ""
	if fl := cmd.Flags().Lookup("target"); fl != nil {
		chosen = fl.Value.String()
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(targets)) {
		if chosen != "" && chosen != name {
			continue
		}
		if t, err := targets[name](); err == nil {
			out = append(out, t.Mutants()...)
		}
	}
	return out
}

// runFolders are the stored runs below runs/, the latest first, or whatever folder
// was begun.
func runFolders(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	found, err := filepath.Glob(filepath.Join("runs", "*", history.ManifestFile))
	if err != nil || len(found) == 0 || begun != "" && !strings.HasPrefix("runs"+string(filepath.Separator), begun) && !strings.HasPrefix(begun, "runs") {
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
	when := func(path string) int64 {
		if info, err := os.Stat(path); err == nil {
			return info.ModTime().UnixNano()
		}
		return 0
	}
	slices.SortStableFunc(found, func(a, b string) int { return int(max(-1, min(1, when(b)-when(a)))) })
	for i := range found {
		found[i] = filepath.Dir(found[i])
	}
	return found, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}
