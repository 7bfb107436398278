package main

import (
	"net/netip"
	"os"

	"github.com/spf13/cobra"

	"github.com/fivenines/fivenines/fixtures/container/netfault"
	"github.com/fivenines/fivenines/fixtures/network/tunnel"
)

func init() { commands = append(commands, tunnelCommand, netfaultCommand) }

// tunnelCommand carries connections to the networks of an engine elsewhere, and
// netfaultCommand disturbs the packets of a container: the container backend
// starts both, in containers of their own.
func tunnelCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "tunnel NETWORK...",
		Short:   "Carry connections to networks, over standard input and output",
		Example: `  fivenines tunnel 198.18.0.0/24`,
		Hidden:  true,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var within []netip.Prefix
			for _, a := range args {
				p, err := netip.ParsePrefix(a)
				if err != nil {
					return usageError("network %q: %w", a, err)
				}
				within = append(within, p)
			}
			if err := tunnel.Serve(c.Context(), os.Stdin, os.Stdout, within); err != nil {
				return runError(err)
			}
			return nil
		},
	}
}

func netfaultCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "netfault COMMAND",
		Short:   "Disturb the packets of the network namespace that it runs in",
		Example: `  fivenines netfault serve`,
		Hidden:  true,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := netfault.Main(args, os.Stdin, c.OutOrStdout()); err != nil {
				return runError(err)
			}
			return nil
		},
	}
}
