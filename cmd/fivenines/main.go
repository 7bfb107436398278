// Command fivenines validates that a multi-region session platform stays up
// and loses nothing when parts of it are taken away. It parses, calls and
// prints; the work is in the packages that it joins. It knows both the harness
// and the platform that comes with it, as only reference/undertest does beside it.
package main

//go:generate go test -run TestReferenceIsCurrent -update .

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/fivenines/fivenines/slo"
)

// Exit codes (DESIGN section 8).
const (
	exitMet   = 0
	exitMiss  = 1 // a declared objective was missed
	exitUsage = 2 // bad usage or a bad file
	exitRun   = 3 // inconclusive, or the run itself failed
)

// commands make the subcommands; each file adds its own.
var commands []func() *cobra.Command

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		stop() // a second Ctrl-C ends the program at once; the next start undoes what is left
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program as a function.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRootCmd()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitMet
	}
	var exit *exitError
	if errors.As(err, &exit) {
		complain(stderr, exit.err)
		return exit.code
	}
	// What cobra itself refuses (commands, flags, arguments) is bad usage.
	complain(stderr, refused(cmd, err))
	return exitUsage
}

// complain prints one line for each thing that is wrong.
func complain(w io.Writer, err error) {
	if err == nil {
		return
	}
	for line := range strings.SplitSeq(strings.TrimSpace(advised(err).Error()), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			fmt.Fprintln(w, "fivenines:", line)
		}
	}
}

// exitError carries the exit code of a command; err may be nil where all was
// said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

func runError(err error) error { return &exitError{exitRun, err} }

// fileError is of a file or run folder that was named and can't be used: a typo
// must not look like a verdict that is inconclusive.
func fileError(err error) error { return &exitError{exitUsage, err} }

// verdictError is the exit of a verdict, nil for met.
func verdictError(v slo.Verdict) error {
	switch v {
	case slo.Met:
		return nil
	case slo.Missed:
		return &exitError{code: exitMiss}
	default:
		return &exitError{code: exitRun}
	}
}

func newRootCmd() *cobra.Command {
	root := &cobra.Command{
		Use:   "fivenines",
		Short: "Does this multi-region session platform really keep 99.999 %?",
		Long: `fivenines brings a multi-region session platform up, loads it, takes parts of it
away, and says from what the clients saw how long the failover took, what was
lost, and whether each objective was met.

Begin with fivenines doctor and fivenines run region-loss; docs/tutorial.md goes on from there.
FIVENINES_RPS, _SESSIONS, _TRIALS, _BEFORE, _AFTER, _TOPOLOGY and _BACKEND in the environment
set the defaults of the flags of those names, wherever a command has them. NO_COLOR is respected.`,
		Example: `  fivenines run region-loss
  fivenines list
  fivenines check my-scenario.yaml`,
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		Args:                       cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("%s", unknownCommand(cmd, args[0]))
			}
			return cmd.Help()
		},
	}
	for _, c := range commands {
		root.AddCommand(c())
	}
	dress(root)
	return root
}

func unknownCommand(cmd *cobra.Command, name string) string {
	msg := fmt.Sprintf("no command is called %q", name)
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		return msg + "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return msg + "; fivenines --help lists them"
}
