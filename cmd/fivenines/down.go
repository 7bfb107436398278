package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func init() { commands = append(commands, downCommand, statusCommand) }

func downCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "down",
		Short: "End what fivenines up holds",
		Example: `  fivenines down
  fivenines down --name small`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := readState(name)
			if errors.Is(err, errNotUp) {
				return runError(fmt.Errorf("%q %w; fivenines up starts it", name, errNotUp))
			}
			if err != nil {
				return runError(err)
			}
			// The lock that readState found held is the process's own, so the
			// id is not one that was given to somebody else since.
			if err := syscall.Kill(st.PID, syscall.SIGTERM); err != nil {
				return runError(fmt.Errorf("end process %d: %w", st.PID, err))
			}
			deadline := time.Now().Add(90 * time.Second)
			for time.Now().Before(deadline) && cmd.Context().Err() == nil {
				if now, err := readState(name); errors.Is(err, errNotUp) || (err == nil && now.PID != st.PID) {
					fmt.Fprintf(cmd.ErrOrStderr(), "fivenines: %q is down\n", name)
					return nil
				}
				time.Sleep(50 * time.Millisecond)
			}
			return runError(fmt.Errorf("process %d has not ended; look at it, then end it yourself", st.PID))
		},
	}
	cmd.Flags().StringVar(&name, "name", "default", "which one")
	return cmd
}

func statusCommand() *cobra.Command {
	var name string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the nodes of what fivenines up holds",
		Example: `  fivenines status
  fivenines status --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := readState(name)
			if errors.Is(err, errNotUp) {
				return runError(fmt.Errorf("%q %w; fivenines up starts it", name, errNotUp))
			}
			if err != nil {
				return runError(err)
			}
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(st)
			}
			if !st.Ready {
				return errComingUp(name)
			}
			if st.Mutant != "" {
				shout(cmd.OutOrStdout(), st.Mutant)
			}
			return st.print(cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&name, "name", "default", "which one")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
