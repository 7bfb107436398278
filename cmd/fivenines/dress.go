package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fivenines/fivenines/internal/closest"
)

// dress gives every command what all have in common, whoever wrote it: what is
// said of wrong flags and arguments, defaults from the environment, completion.
func dress(root *cobra.Command) {
	root.SetFlagErrorFunc(flagError)
	root.PersistentPreRunE = fromEnvironment
	each(root, func(c *cobra.Command) {
		c.SuggestionsMinimumDistance = root.SuggestionsMinimumDistance
		if c.Args != nil {
			c.Args = explained(c.Args)
		}
		completed(c)
	})
}

// each calls f for the command and everything below it.
func each(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, sub := range c.Commands() {
		each(sub, f)
	}
}

// environment are the flags whose defaults FIVENINES_NAME sets.
var environment = []string{"backend", "topology", "rps", "sessions", "before", "after", "trials"}

func envName(flag string) string {
	return "FIVENINES_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// fromEnvironment sets flags that were not given. They count as given from then
// on, so that the command that repeats a run names them.
func fromEnvironment(cmd *cobra.Command, _ []string) error {
	for _, name := range environment {
		text := os.Getenv(envName(name))
		fl := cmd.Flags().Lookup(name)
		if text == "" || fl == nil || fl.Changed {
			continue
		}
		if name == "after" {
			if other := cmd.Flags().Lookup("duration"); other != nil && other.Changed {
				continue // the one flag decides in place of the other
			}
		}
		if err := cmd.Flags().Set(name, text); err != nil {
			return usageError("%s=%s in the environment: %s", envName(name), text, wants(fl))
		}
	}
	return nil
}

// wants says what a flag takes.
func wants(fl *pflag.Flag) string {
	switch fl.Value.Type() {
	case "float64":
		return "it wants a number, such as 2000"
	case "int", "int64", "uint64", "uint":
		return "it wants a whole number, such as 5"
	case "intSlice":
		return "it wants whole numbers, such as 3,7"
	case "duration":
		return "it wants a duration, such as 500ms, 30s or 5m"
	case "bool":
		return "it wants true or false"
	case "stringToString":
		return "it wants NAME=VALUE, such as failover='p90 < 5 s'"
	}
	return "it wants " + fl.Usage
}

// flagError says of a flag that is wrong what would be right.
func flagError(cmd *cobra.Command, err error) error {
	help := cmd.CommandPath() + " --help"
	var unknown *pflag.NotExistError
	var bad *pflag.InvalidValueError
	var lacks *pflag.ValueRequiredError
	switch {
	case errors.As(err, &unknown):
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := closest.To(unknown.GetSpecifiedName(), names); near != "" && unknown.GetSpecifiedShortnames() == "" {
			return usageError("%w; did you mean --%s?", err, near)
		}
		return usageError("%w; %s lists them", err, help)
	case errors.As(err, &bad):
		return usageError("--%s %q: %s", bad.GetFlag().Name, bad.GetValue(), wants(bad.GetFlag()))
	case errors.As(err, &lacks):
		return usageError("%w; %s", err, wants(lacks.GetFlag()))
	}
	return usageError("%w; %s lists them", err, help)
}

// explained makes a check of arguments name the form that would be right.
func explained(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		var told *exitError
		switch {
		case err == nil || errors.As(err, &told):
			return err
		case len(args) > 0 && strings.HasPrefix(err.Error(), "unknown command"):
			return usageError("%s takes no argument, and %q is one; it is used as: %s", cmd.Name(), args[0], cmd.UseLine())
		}
		return usageError("%s %w; it is used as: %s", cmd.Name(), err, cmd.UseLine())
	}
}

var allSet = regexp.MustCompile(`\[([^\]]*)\] were all set$`)

// refused is what cobra itself complains of, with what to do about it.
func refused(cmd *cobra.Command, err error) error {
	if m := allSet.FindStringSubmatch(err.Error()); m != nil {
		names := strings.Fields(m[1])
		slices.Sort(names)
		return fmt.Errorf("--%s exclude each other; leave one out", strings.Join(names, " and --"))
	}
	return fmt.Errorf("%w; %s --help shows how it is used", err, cmd.CommandPath())
}

// advice for what the operating system refuses, where the message has none.
var advice = []struct {
	is   error
	what string
}{
	{fs.ErrNotExist, "is the path right?"},
	{fs.ErrPermission, "name another path, or run as somebody who may"},
	{syscall.EROFS, "name a folder that can be written to"},
	{syscall.ENOSPC, "free some space, or name a folder on another disk"},
	{syscall.ENOTDIR, "name another folder"},
	{syscall.EISDIR, "name a file"},
	{syscall.EMFILE, "raise the limit of open files: ulimit -n 65536"},
	{syscall.ENFILE, "the machine has too many files open: end what else runs"},
	{syscall.EADDRINUSE, "end what listens there, or name another address"},
	{context.DeadlineExceeded, "fivenines doctor says whether this machine is fast enough"},
}

// advised adds to each line of an error what to do next, if it does not say so itself.
func advised(err error) error {
	if err == nil || strings.ContainsAny(err.Error(), ";\n") {
		return err
	}
	for _, a := range advice {
		if errors.Is(err, a.is) {
			return fmt.Errorf("%w; %s", err, a.what)
		}
	}
	return err
}
