package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/fivenines/fivenines/reference"
)

func init() { commands = append(commands, nodeCommand) }

// nodeCommand runs one node of the reference platform; fivenines itself starts it.
func nodeCommand() *cobra.Command {
	var file, once string
	var broken, verbose, supervised bool
	var restarts int
	var why string
	c := &cobra.Command{
		Use:   "node --config FILE",
		Short: "Run one node of the reference platform",
		Long: "Run one node of the reference platform in the foreground until it is told to stop (SIGTERM, SIGINT).\n" +
			"run and up start nodes themselves; the file is JSON as they write it to each node's folder.",
		Example: `  fivenines node --config us-east-1-a/node.json`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			b, err := os.ReadFile(file)
			if err != nil {
				return usageError("node: %w", err)
			}
			var cfg reference.Config
			if err := json.Unmarshal(b, &cfg); err != nil {
				return usageError("node: %s: %w", file, err)
			}
			if cfg.Mutant != "" && !broken {
				return usageError("node: the configuration asks for the mutant %s, which loses data on purpose: say --i-know-this-is-broken if you mean it", cfg.Mutant)
			}
			log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level(verbose)}))
			if supervised {
				return supervise(c.Context(), cfg, log)
			}
			cfg = reference.Restarted(cfg, restarts, why)
			if once != "" && cfg.First {
				if cfg.First, err = firstOnce(once); err != nil {
					return runError(fmt.Errorf("node %s: --first-once: %w", cfg.ID, err))
				}
			}
			if cfg.Mutant != "" {
				log.Warn("THIS NODE IS BROKEN ON PURPOSE", "mutant", cfg.Mutant)
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			if err := reference.RunNode(ctx, cfg, log); err != nil {
				return runError(err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&file, "config", "", "configuration of the node (JSON)")
	c.Flags().StringVar(&once, "first-once", "", "a file kept apart from the node's data: \"first\" in the configuration holds only until it exists")
	c.Flags().BoolVar(&broken, "i-know-this-is-broken", false, "allow a mutant")
	c.Flags().BoolVar(&supervised, "supervised", false, "run the node in a process of its own, and start it again when it ends or answers no health check")
	c.Flags().IntVar(&restarts, "restarts", 0, "how often its supervisor has started it again")
	c.Flags().StringVar(&why, "restarted-since", "", "why it did so last")
	_, _ = c.Flags().MarkHidden("restarts"), c.Flags().MarkHidden("restarted-since")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "log decisions and connection errors")
	_ = c.MarkFlagRequired("config")
	return c
}

func level(verbose bool) slog.Level {
	if verbose {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// supervise runs this command again, as a child that is kept running.
func supervise(ctx context.Context, cfg reference.Config, log *slog.Logger) error {
	self, err := os.Executable()
	if err != nil {
		return runError(err)
	}
	code, err := reference.Supervise(ctx, cfg, func(restarts int, why string) *exec.Cmd {
		cmd := exec.Command(self, supervisedArgs(os.Args[1:], restarts, why)...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		return cmd
	}, log)
	if err != nil {
		return runError(err)
	}
	if code != 0 {
		return &exitError{code: code}
	}
	return nil
}

// supervisedArgs are those of the child, from those of its supervisor.
func supervisedArgs(own []string, restarts int, why string) []string {
	args := slices.DeleteFunc(slices.Clone(own), func(a string) bool { return strings.HasPrefix(a, "--supervised") })
	if restarts > 0 {
		args = append(args, "--restarts="+strconv.Itoa(restarts), "--restarted-since="+why)
	}
	return args
}

// firstOnce says whether the marker was not there yet, and makes it durable
// before the node starts: a container starts again with the configuration of
// its first start, but then a node must wait out the promises it may have
// forgotten, and an empty disk is a lost one. After a crash between marker and
// first write the node rejoins, which is safe.
func firstOnce(marker string) (bool, error) {
	f, err := os.OpenFile(marker, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return false, err
	}
	dir, err := os.Open(filepath.Dir(marker))
	if err != nil {
		return false, err
	}
	return true, errors.Join(dir.Sync(), dir.Close())
}
