package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/fivenines/fivenines/reference"
)

// moveFlags are those of failover that move the home of shards.
type moveFlags struct {
	shards            []int
	home, yes, asJSON bool
}

func (f *moveFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.IntSliceVar(&f.shards, "shards", nil, "move the home of these shards only, such as 3,7")
	fl.BoolVar(&f.home, "home", false, "back to where they began, instead of --to")
	fl.BoolVar(&f.yes, "yes", false, "with --shards or --home: act; without it only say what would be")
	fl.BoolVar(&f.asJSON, "json", false, "with --shards or --home: print the plan as JSON")
}

func (f *moveFlags) asked() bool { return len(f.shards) > 0 || f.home }

func (f *moveFlags) run(cmd *cobra.Command, es []reference.Endpoint, to string) error {
	p, err := reference.PlanMove(cmd.Context(), es, to, f.shards)
	if err != nil {
		return runError(err)
	}
	if f.asJSON {
		err = encode(cmd.OutOrStdout(), p)
	} else {
		err = printMove(cmd.OutOrStdout(), p)
	}
	if err != nil {
		return err
	}
	if len(p.Refusals) > 0 {
		return runError(fmt.Errorf("refused: %s", strings.Join(p.Refusals, "\n")))
	}
	if !f.yes {
		fmt.Fprintln(cmd.ErrOrStderr(), "fivenines: nothing was changed; say --yes to move them")
		return nil
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Minute)
	defer cancel()
	if err := p.Act(ctx); err != nil {
		return runError(err)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "fivenines: %d shards are led at their home, after %v\n", len(p.Shards), time.Since(began).Round(time.Millisecond))
	return nil
}

func printMove(w io.Writer, p *reference.Move) error {
	to := p.Region
	if to == "" {
		to = "where it began"
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SHARD\tHOME NOW\tLED BY\tSESSIONS\tNEW HOME")
	for _, s := range p.Shards {
		leader := s.Leader
		if leader == "" {
			leader = "none"
		}
		fmt.Fprintf(tw, "%d\t%s\t%s\t%d\t%s\n", s.Shard, s.Home, leader, s.Sessions, to)
	}
	return tw.Flush()
}
