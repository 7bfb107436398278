package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/fivenines/fivenines/reference"
)

func init() {
	commands = append(commands, healthCommand, failoverCommand, recoverCommand, verifyRecoveryCommand)
}

// running finds what fivenines up holds under a name, if it is the reference.
func running(name string) (*upState, []reference.Endpoint, error) {
	st, err := readState(name)
	if errors.Is(err, errNotUp) {
		return nil, nil, runError(fmt.Errorf("%q %w; fivenines up starts it", name, errNotUp))
	}
	if err != nil {
		return nil, nil, runError(err)
	}
	if st.Target != "reference" {
		return nil, nil, runError(fmt.Errorf("%q runs the target %s; this command is for the reference", name, st.Target))
	}
	if !st.Ready {
		return nil, nil, errComingUp(name)
	}
	var es []reference.Endpoint
	for _, n := range st.Nodes {
		es = append(es, reference.Endpoint{Node: n.ID, Region: n.Region, Admin: n.Admin, Client: n.RESP})
	}
	return st, es, nil
}

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func healthCommand() *cobra.Command {
	var name string
	var all, asJSON bool
	cmd := &cobra.Command{
		Use:   "health [--all-regions]",
		Short: "Say whether every region and shard of what fivenines up holds is well",
		Long:  "health asks every node. It exits 0 if all is well, 1 if something is not, and names it.",
		Example: `  fivenines health
  fivenines health --all-regions`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, es, err := running(name)
			if err != nil {
				return err
			}
			h := reference.CheckHealth(cmd.Context(), es)
			if asJSON {
				err = encode(cmd.OutOrStdout(), h)
			} else {
				err = printHealth(cmd.OutOrStdout(), h, all)
			}
			if err == nil && len(h.Problems) > 0 {
				err = &exitError{code: exitMiss}
			}
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "default", "which one")
	cmd.Flags().BoolVar(&all, "all-regions", false, "every shard of every region, not only the regions")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printHealth(w io.Writer, h *reference.Health, all bool) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "REGION\tROLE\tNODES UP\tSHARDS LED")
	for _, r := range h.Regions {
		role := r.Role
		if r.Region == h.Primary || slices.ContainsFunc(h.Shards, func(s reference.ShardHealth) bool { return s.Home == r.Region }) {
			role += " (leads now)"
		}
		fmt.Fprintf(tw, "%s\t%s\t%d of %d\t%d\n", r.Region, role, r.Up, r.Nodes, r.Leads)
	}
	if all {
		fmt.Fprintln(tw, "\nSHARD\tHOME\tLEADER\tREPLICAS\tLAG\tSESSIONS\tARCHIVE LAG\tSNAPSHOT AGE")
		for _, s := range h.Shards {
			name, sec := fmt.Sprint(s.Shard), func(v float64) string {
				if v < 0 {
					return "-"
				}
				return time.Duration(v * float64(time.Second)).Round(100 * time.Millisecond).String()
			}
			if s.Shard < 0 {
				name = "meta"
			}
			leader := s.Leader
			if leader == "" {
				leader = "none"
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", name, s.Home, leader, strings.Join(s.Replicas, " "), s.Lag, s.Sessions, sec(s.ArchiveLagS), sec(s.SnapshotS))
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, p := range h.Problems {
		fmt.Fprintln(w, "not well:", p)
	}
	if len(h.Problems) == 0 {
		fmt.Fprintf(w, "all is well (incarnation %d)\n", h.Incarnation)
	}
	return nil
}

func failoverCommand() *cobra.Command {
	var name, to string
	var mv moveFlags
	cmd := &cobra.Command{
		Use:   "failover --to REGION [--shards N,N...]",
		Short: "Make a region primary, or the home of some shards, in order and without a failed request",
		Long: "failover moves the primary role through the meta group and waits until the region leads every shard.\n" +
			"The choice stays until that region is lost or another is chosen. It is refused if the region's replicas are not up to date.\n\n" +
			"With --shards it moves the home of these shards alone, and with it their sessions: the region leads them from then on, and\n" +
			"again when it was lost and is back. --home undoes what an operator chose, for --shards or for all. Both say what would be\n" +
			"moved and change nothing without --yes.",
		Example: `  fivenines failover --to eu-west-1
  fivenines failover --shards 3,7 --to eu-west-1 --yes
  fivenines failover --home --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if mv.home == (to != "") {
				return usageError("say either --to REGION or --home")
			}
			_, es, err := running(name)
			if err != nil {
				return err
			}
			if mv.asked() {
				return mv.run(cmd, es, to)
			}
			began := time.Now()
			if err := reference.Failover(cmd.Context(), es, to); err != nil {
				return runError(err)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "fivenines: %s is primary and leads every shard, after %v\n", to, time.Since(began).Round(time.Millisecond))
			return nil
		},
	}
	cmd.Flags().StringVar(&name, "name", "default", "which one")
	cmd.Flags().StringVar(&to, "to", "", "the region")
	mv.add(cmd)
	return cmd
}

func recoverCommand() *cobra.Command {
	var name string
	var level int
	var lost []string
	var gone, yes, asJSON bool
	cmd := &cobra.Command{
		Use:   "recover --level N",
		Short: "Recover what fivenines up holds when regions are gone for good",
		Long: `Level 1 (one region gone) is automatic; recover --level 1 only says how it stands.

Level 2 (two of three gone): the replicas that are left become the authority, as a new
incarnation. What the lost regions acknowledged after the last contact is lost; without --yes
recover says what is known of it and changes nothing. It is refused while anybody of the lost
regions answers anywhere, and needs --regions-are-gone, by which you attest that they will not
acknowledge anything any more. Nodes that come back are fenced by the first handshake: their
data are set aside (data.incarnation-N) and they rejoin as new, empty replicas.

Level 3 (all gone) is fivenines restore; recover --level 3 shows what it would bring back.`,
		Example: `  fivenines recover --level 2
  fivenines recover --level 2 --regions-are-gone --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if level < 1 || level > 3 {
				return usageError("--level %d: there are 1, 2 and 3", level)
			}
			st, es, err := running(name)
			if err != nil {
				return err
			}
			switch level {
			case 1:
				h := reference.CheckHealth(cmd.Context(), es)
				fmt.Fprintln(cmd.ErrOrStderr(), "fivenines: level 1 is automatic; there is nothing to approve")
				if asJSON {
					err = encode(cmd.OutOrStdout(), h)
				} else {
					err = printHealth(cmd.OutOrStdout(), h, false)
				}
				if err != nil || len(h.Problems) == 0 {
					return err
				}
				return &exitError{code: exitMiss}
			case 3:
				if st.Archive == "" {
					return runError(fmt.Errorf("%q has no archive to restore from", name))
				}
				r, err := reference.PrepareRestore(cmd.Context(), st.Archive, "", time.Now())
				if err != nil {
					return runError(err)
				}
				defer r.Close()
				fmt.Fprintf(cmd.ErrOrStderr(), "fivenines: level 3 is fivenines restore --at now --archive %s --into DIR --yes; this is what it brings back:\n", st.Archive)
				if asJSON {
					return encode(cmd.OutOrStdout(), r)
				}
				return printRestore(cmd, r)
			}
			p, err := planSettled(cmd.Context(), es, lost)
			if err != nil {
				return runError(err)
			}
			if asJSON {
				err = encode(cmd.OutOrStdout(), p)
			} else {
				err = printLevel2(cmd.OutOrStdout(), p)
			}
			if err != nil {
				return err
			}
			if len(p.Refusals) > 0 {
				return runError(fmt.Errorf("refused: %s", strings.Join(p.Refusals, "\n")))
			}
			if !gone {
				return runError(errors.New("refused: attest with --regions-are-gone that the lost regions will never acknowledge anything again; nothing was changed"))
			}
			if !yes {
				fmt.Fprintln(cmd.ErrOrStderr(), "fivenines: nothing was changed; say --yes to recover")
				return nil
			}
			began := time.Now()
			ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Minute)
			defer cancel()
			if err := p.Act(ctx, gone); err != nil {
				return runError(err)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "fivenines: %s is the authority in incarnation %d and serves every shard, after %v\n", p.Primary, p.Incarnation, time.Since(began).Round(time.Millisecond))
			return nil
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&name, "name", "default", "which one")
	fl.IntVar(&level, "level", 0, "1, 2 or 3")
	fl.StringArrayVar(&lost, "lost", nil, "a region that is gone (default those of which nobody answers)")
	fl.BoolVar(&gone, "regions-are-gone", false, "I attest that the lost regions are gone")
	fl.BoolVar(&yes, "yes", false, "act; without it only say what would be")
	fl.BoolVar(&asJSON, "json", false, "print the plan as JSON")
	_ = cmd.MarkFlagRequired("level")
	return cmd
}

// planSettled plans again for some seconds while somebody was only just heard:
// an operator who is quicker than a heartbeat is not to be sent away.
func planSettled(ctx context.Context, es []reference.Endpoint, lost []string) (*reference.Level2, error) {
	for try := 0; ; try++ {
		p, err := reference.PlanLevel2(ctx, es, lost)
		if err != nil || len(p.Refusals) == 0 || try == 10 {
			return p, err
		}
		for _, r := range p.Refusals {
			if strings.Contains(r, " answers ") {
				return p, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
}

func printLevel2(w io.Writer, p *reference.Level2) error {
	fmt.Fprintf(w, "lost: %s; %s becomes the authority in incarnation %d\n", strings.Join(p.Lost, ", "), p.Primary, p.Incarnation)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SHARD\tAUTHORITY\tLAST ENTRY\tKNOWN COMMITTED\tSESSIONS\tLAST CONTACT\tMAY BE LOST SINCE")
	now := time.Now()
	for _, s := range p.Shards {
		name := fmt.Sprint(s.Shard)
		if s.Shard < 0 {
			name = "meta"
		}
		fmt.Fprintf(tw, "%s\t%s\t%d (term %d)\t%d\t%d\t%s\t%v ago\n", name, s.Authority, s.Last, s.LastTerm, s.Committed, s.Sessions, s.Contact.Format("15:04:05.000"), now.Sub(s.Contact).Round(time.Millisecond))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d sessions go on; what the lost regions acknowledged since %s, and what was on its way here then, is lost\n", p.Sessions(), p.Contact().Format(time.RFC3339Nano))
	return err
}

func verifyRecoveryCommand() *cobra.Command {
	var name, archive, cluster string
	var sessions, data, asJSON bool
	cmd := &cobra.Command{
		Use:   "verify-recovery --check-sessions --check-data",
		Short: "Check that all sessions and data are there after a recovery, or before one is needed",
		Long: `--check-data reads every object of the archive and verifies its checksum, and compares the replicas of
each shard. --check-sessions reads every archived session through the front doors by strong reads. Exit status: 0 all is
there, 1 something is lost or damaged, 3 it can't be told, as of replicas that have not been compared yet.`,
		Example: `  fivenines verify-recovery --check-data
  fivenines verify-recovery --check-sessions --check-data --archive /var/archive`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !sessions && !data {
				return usageError("say what to check: --check-sessions, --check-data or both")
			}
			ctx, out := cmd.Context(), cmd.OutOrStdout()
			st, es, err := running(name)
			if err == nil && archive == "" {
				archive = st.Archive
			}
			if err != nil && (sessions || archive == "") {
				return err
			}
			result := map[string]any{}
			bad := 0
			var untold []int
			say := func(format string, a ...any) {
				if !asJSON {
					fmt.Fprintf(out, format+"\n", a...)
				}
			}
			if data {
				if archive != "" {
					began := time.Now()
					good, bytes, problems, err := reference.VerifyArchive(ctx, archive, cluster)
					if err != nil {
						return runError(err)
					}
					result["archive"] = map[string]any{"objects": good, "bytes": bytes, "problems": problems}
					say("archive: %d objects (%d bytes) are as they were written, %d problems, read in %v", good, bytes, len(problems), time.Since(began).Round(time.Millisecond))
					for _, p := range problems {
						say("damaged: %s", p)
					}
					bad += len(problems)
				}
				if len(es) > 0 {
					c, err := reference.CompareReplicas(ctx, es)
					if err != nil {
						return runError(err)
					}
					result["replicas"] = c
					say("replicas: %d of %d shards have equal replicas (%d compared)", c.Equal, c.Shards, c.Replicas)
					for _, p := range c.Problems {
						say("differs: %s", p)
					}
					bad += len(c.Problems)
					untold = c.Untold
				}
			}
			if sessions {
				if archive == "" {
					return usageError("--check-sessions needs an archive to compare with: --archive, or fivenines up --archive")
				}
				c, err := reference.CheckSessions(ctx, es, archive, cluster)
				if err != nil {
					return runError(err)
				}
				result["sessions"] = c
				say("sessions: %d archived (to %s): %d found as archived, %d written since, %d ended since, %d lost, %d with a state that nobody wrote", c.Archived, c.Reached.Format(time.RFC3339Nano), c.Same, c.Newer, c.Ended, c.LostAll, len(c.Other))
				for _, k := range c.Lost {
					say("lost: %s", k)
				}
				bad += c.LostAll + len(c.Other)
			}
			if asJSON {
				if err := encode(out, result); err != nil {
					return err
				}
			}
			if bad > 0 {
				return &exitError{code: exitMiss}
			}
			if len(untold) > 0 {
				return runError(fmt.Errorf("the replicas of shards %s are not compared: they tell checksums every 30 s, and two are needed; ask again then", shardText(untold)))
			}
			return nil
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&name, "name", "default", "which one")
	fl.StringVar(&archive, "archive", "", "the archive (default that of the deployment)")
	fl.StringVar(&cluster, "cluster", "", "whose archive (default the only one there)")
	fl.BoolVar(&sessions, "check-sessions", false, "read every archived session")
	fl.BoolVar(&data, "check-data", false, "verify the archive's objects and compare replicas")
	fl.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
