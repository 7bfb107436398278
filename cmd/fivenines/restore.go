package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/fivenines/fivenines/reference"
)

func init() { commands = append(commands, restoreCommand) }

type restoreFlags struct {
	at, archive, cluster string
	into                 []string
	yes, damaged, asJSON bool
}

func restoreCommand() *cobra.Command {
	var f restoreFlags
	cmd := &cobra.Command{
		Use:   "restore --at TIME --archive DIR|URL --into DIR|NODE=DIR...",
		Short: "Build the data of a new cluster from the archive (level 3: all regions are gone)",
		Long: `restore reads the archive up to a point in time, verifies every object that it uses, and
builds the nodes' data from it, as a new incarnation: nodes of the old one that still run
somewhere are refused by it and rejoin empty. Without --yes nothing is written: it says how
many sessions there are, which time was reached, and what is lost. With --yes it waits
until nothing has been archived for 5 s, and refuses while the cluster still does: a drill
beside one that runs restores from a copy of the archive.

--into DIR is a folder for fivenines up --dir DIR; NODE=DIR names the folder of one node
("dir" in its configuration) and is repeated for each. Folders that hold data are refused.`,
		Example: `  fivenines restore --at now --archive /var/archive --into /tmp/again
  fivenines restore --at 2026-11-25T09:30:00Z --archive /var/archive --into /tmp/again --yes
  fivenines up --dir /tmp/again --archive /var/archive`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.at, "at", "", "the time to restore to: RFC 3339, \"now\", or so long ago, as -10m")
	fl.StringVar(&f.archive, "archive", "", "the archive: a directory, or the URL of a blob store")
	fl.StringVar(&f.cluster, "cluster", "", "whose archive (default the only one there)")
	fl.StringArrayVar(&f.into, "into", nil, "where the data go (repeat as NODE=DIR)")
	fl.BoolVar(&f.yes, "yes", false, "write; without it only say what would be")
	fl.BoolVar(&f.damaged, "allow-damaged", false, "restore as far as it goes although objects of the archive are damaged or missing")
	fl.BoolVar(&f.asJSON, "json", false, "print JSON")
	_ = cmd.MarkFlagRequired("at")
	_ = cmd.MarkFlagRequired("archive")
	return cmd
}

// timeArg reads a time as people give it.
func timeArg(s string, now time.Time) (time.Time, error) {
	if s == "now" {
		return now, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d <= 0 {
		return now.Add(d), nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return t, fmt.Errorf("%q is no time: give RFC 3339 as 2026-11-25T09:30:00Z, now, or a duration as -10m", s)
	}
	if t.After(now.Add(time.Minute)) {
		return t, fmt.Errorf("%s lies in the future", s)
	}
	return t, nil
}

func (f *restoreFlags) run(cmd *cobra.Command) error {
	at, err := timeArg(f.at, time.Now())
	if err != nil {
		return usageError("--at: %w", err)
	}
	if f.yes && len(f.into) == 0 {
		return usageError("--yes needs --into: where the data go")
	}
	r, err := reference.PrepareRestore(cmd.Context(), f.archive, f.cluster, at)
	if err != nil {
		return runError(err)
	}
	defer r.Close()
	dirs, err := f.dirs(r.Nodes())
	if err != nil {
		return err
	}
	if f.asJSON {
		e := json.NewEncoder(cmd.OutOrStdout())
		e.SetIndent("", "  ")
		if err := e.Encode(r); err != nil {
			return err
		}
	} else if err := printRestore(cmd, r); err != nil {
		return err
	}
	if r.Truncated() && !f.damaged {
		return runError(fmt.Errorf("objects of the archive are damaged or missing, and what is behind them would be lost: mend the archive, choose an earlier --at, or say --allow-damaged"))
	}
	if !f.yes {
		fmt.Fprintln(cmd.ErrOrStderr(), "fivenines: nothing was written; say --yes to restore")
		return nil
	}
	began := time.Now()
	if err := r.Write(cmd.Context(), dirs); err != nil {
		return runError(err)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "fivenines: %d sessions restored into %d nodes as incarnation %d; read in %v, written in %v; start the nodes (fivenines up --dir DIR)\n",
		r.Sessions, len(dirs), r.Next, r.Took().Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	return nil
}

// dirs says which folder each node's data go to.
func (f *restoreFlags) dirs(nodes []string) (map[string]string, error) {
	dirs := map[string]string{}
	for _, in := range f.into {
		node, dir, named := strings.Cut(in, "=")
		if named {
			dirs[node] = dir
			continue
		}
		for _, n := range nodes {
			if dirs[n] == "" {
				dirs[n] = filepath.Join(in, "nodes", n, "store")
			}
		}
	}
	if len(f.into) == 0 {
		return dirs, nil
	}
	for _, n := range nodes {
		if dirs[n] == "" {
			return nil, usageError("--into names no folder for node %s", n)
		}
	}
	if len(dirs) > len(nodes) {
		return nil, usageError("--into names nodes that the archived cluster does not have; it has %s", strings.Join(nodes, ", "))
	}
	return dirs, nil
}

func printRestore(cmd *cobra.Command, r *reference.Restore) error {
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "cluster %s, incarnation %d, to %s\n", r.Cluster, r.From, r.At.Format(time.RFC3339Nano))
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SHARD\tSESSIONS\tBASE\tENTRIES\tREACHED\tLOST AT MOST")
	for _, s := range r.Shards {
		fmt.Fprintf(tw, "%d\t%d\t%d\t%d\t%s\t%v\n", s.Shard, s.Sessions, s.Base, s.Entries, s.Reached.Format("15:04:05.000"), r.At.Sub(s.Reached).Round(time.Millisecond))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, p := range r.Problems {
		fmt.Fprintln(out, "damaged:", p)
	}
	fmt.Fprintf(out, "%d sessions, %d bytes, read in %v; begins incarnation %d\n", r.Sessions, r.Bytes, r.Took().Round(time.Millisecond), r.Next)
	fmt.Fprintf(out, "lost: whatever was committed later than %s, the earliest that a shard reached (%v before the time asked)\n",
		r.Reached.Format(time.RFC3339Nano), r.At.Sub(r.Reached).Round(time.Millisecond))
	return nil
}
