package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fivenines/fivenines/fixtures/network/control"
)

func init() { commands = append(commands, linksCommand) }

// linksCommand holds the links between regions; the container backend starts it.
func linksCommand() *cobra.Command {
	var addr string
	c := &cobra.Command{
		Use:   "links",
		Short: "Hold the links between regions (Toxiproxy), steered over HTTP",
		Long: "Hold the links between regions until it is told to stop (SIGTERM, SIGINT). run and up start it themselves, in\n" +
			"the container between the regions. Whoever steers it must know the token in " + control.TokenEnv + ".",
		Example: `  fivenines links --listen 127.0.0.1:8474`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := control.Serve(c.Context(), addr); err != nil {
				return runError(err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&addr, "listen", fmt.Sprintf("0.0.0.0:%d", control.Port), "address of the control interface")
	return c
}
