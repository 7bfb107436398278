package main

import (
	"encoding/json"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/fivenines/fivenines/fixtures/balancer"
)

func init() { commands = append(commands, balancerCommand) }

// balancerCommand is the embedded load balancer of a region; the process backend starts it.
func balancerCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "balancer --config FILE",
		Short: "Run the load balancer of a region",
		Long: "Run the load balancer of a region in the foreground until it is told to stop (SIGTERM, SIGINT).\n" +
			"run and up start it themselves; the file is JSON as they write it to services/ of the data folder.",
		Example: `  fivenines balancer --config services/lb-us-east-1.json`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			b, err := os.ReadFile(file)
			if err != nil {
				return usageError("balancer: %w", err)
			}
			var cfg balancer.Config
			if err := json.Unmarshal(b, &cfg); err != nil {
				return usageError("balancer: %s: %w", file, err)
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			if err := balancer.Serve(ctx, cfg); err != nil {
				return runError(err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&file, "config", "", "configuration of the balancer (JSON)")
	_ = c.MarkFlagRequired("config")
	return c
}
