package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/fivenines/fivenines/reference"
)

func init() { commands = append(commands, nodeCommand) }

// nodeCommand runs one node of the reference platform; fivenines itself starts it.
func nodeCommand() *cobra.Command {
	var file string
	var broken, verbose bool
	c := &cobra.Command{
		Use:   "node --config FILE",
		Short: "Run one node of the reference platform",
		Long: "Run one node of the reference platform in the foreground until it is told to stop (SIGTERM, SIGINT).\n" +
			"run and up start nodes themselves; the file is JSON as they write it to each node's folder.",
		Args: cobra.NoArgs,
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
			level := slog.LevelInfo
			if verbose {
				level = slog.LevelDebug
			}
			log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
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
	c.Flags().BoolVar(&broken, "i-know-this-is-broken", false, "allow a mutant")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "log decisions and connection errors")
	_ = c.MarkFlagRequired("config")
	return c
}
