package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/fivenines/fivenines/fixtures/container"
	"github.com/fivenines/fivenines/scenarios"
)

func init() { commands = append(commands, doctorCommand) }

// finding is one thing that doctor looked at.
type finding struct {
	What   string `json:"what"`
	OK     bool   `json:"ok"`
	Needed bool   `json:"needed"` // by the process backend; else for later or for others
	Found  string `json:"found"`
	Advice string `json:"advice,omitempty"`
}

func doctorCommand() *cobra.Command {
	var asJSON bool
	var dir string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine can run, and what is missing",
		Long: `Looks at what runs need and says of what is missing what that costs. Exit status: 0 if
fivenines run region-loss can work here, 3 if not (what it lacks is marked MISSING; what is marked no
only takes away what its line says).`,
		Example: `  fivenines doctor
  fivenines doctor --dir /var/lib/fivenines --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			raiseFileLimit()
			fs := examine(cmd.Context(), dir)
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				if err := e.Encode(fs); err != nil {
					return runError(err)
				}
			} else if err := printFindings(cmd, fs); err != nil {
				return runError(err)
			}
			if slices.ContainsFunc(fs, func(f finding) bool { return f.Needed && !f.OK }) {
				return runError(fmt.Errorf("this machine lacks what the process backend needs; the lines with MISSING say what to do"))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&dir, "dir", ".", "folder whose disk is looked at: where runs will lie")
	return cmd
}

func printFindings(cmd *cobra.Command, fs []finding) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "machine\t\t%s\n", scenarios.Machine())
	for _, f := range fs {
		mark := "ok"
		switch {
		case !f.OK && f.Needed:
			mark = "MISSING"
		case !f.OK:
			mark = "no"
		}
		text := f.Found
		if !f.OK && f.Advice != "" {
			text += "; " + f.Advice
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.What, mark, text)
	}
	return w.Flush()
}

// examine looks at everything.
func examine(ctx context.Context, dir string) []finding {
	return append([]finding{
		cores(),
		memory(),
		loopback(),
		openFiles(),
		diskSpace(dir),
		syncTime(dir),
		ports(),
		timers(),
		clock(),
	}, append(toolFindings(ctx), containerFindings(ctx)...)...)
}

func cores() finding {
	n := runtime.NumCPU()
	return finding{
		What: "cores", OK: n >= 2, Needed: true, Found: fmt.Sprint(n),
		Advice: "nodes and load share them; two carry the default load",
	}
}

func memory() finding {
	var kb int64
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if n, _ := fmt.Sscanf(line, "MemAvailable: %d kB", &kb); n == 1 {
				break
			}
		}
	}
	return finding{
		What: "memory available", OK: kb == 0 || kb > 3e6, Needed: true, Found: fmt.Sprintf("%.1f GB", float64(kb)/1e6),
		Advice: "eight nodes with 50,000 sessions want 3 GB; --sessions asks for fewer",
	}
}

// loopback says whether addresses beside 127.0.0.1 can be listened on: nodes
// have one each.
func loopback() finding {
	f := finding{What: "loopback 127.0.0.0/8", Needed: true, Advice: "on macOS: sudo ifconfig lo0 alias 127.1.2.3"}
	l, err := net.Listen("tcp", "127.1.2.3:0")
	if err != nil {
		f.Found = err.Error()
		return f
	}
	_ = l.Close()
	f.OK, f.Found = true, "every address can be listened on"
	return f
}

func openFiles() finding {
	n := fileLimit()
	return finding{
		What: "open files", OK: n == 0 || n >= 8192, Needed: true, Found: fmt.Sprint(n),
		Advice: "raise it with ulimit -n 65536",
	}
}

func diskSpace(dir string) finding {
	f := finding{What: "disk space", Needed: true, Advice: "a run with the default load takes up to 2 GB while it lasts"}
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		f.Found = fmt.Sprintf("%s: %v", dir, err)
		return f
	}
	free := float64(st.Bavail) * float64(st.Bsize)
	f.OK, f.Found = free > 4e9, fmt.Sprintf("%.1f GB free in %s", free/1e9, dir)
	return f
}

// syncTime measures what an acknowledged write waits for.
func syncTime(dir string) finding {
	f := finding{What: "disk sync", Needed: true, Advice: "writes wait for it; use a folder on a faster disk"}
	file, err := os.CreateTemp(dir, ".fivenines-doctor-*")
	if err != nil {
		f.Found = err.Error()
		return f
	}
	defer os.Remove(file.Name())
	defer file.Close()
	var took []time.Duration
	for range 20 {
		start := time.Now()
		if _, err = file.Write(make([]byte, 4096)); err == nil {
			err = file.Sync()
		}
		if err != nil {
			f.Found = err.Error()
			return f
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	median, worst := took[len(took)/2], took[len(took)-1]
	f.OK = median < 20*time.Millisecond
	f.Found = fmt.Sprintf("%v median, %v worst of %d, in %s", median.Round(10*time.Microsecond), worst.Round(10*time.Microsecond), len(took), filepath.Clean(dir))
	return f
}

// containerFindings are what the container backend needs, and what its faults do.
func containerFindings(ctx context.Context) []finding {
	f := finding{What: "docker", Advice: "only the container backend needs it; Engine 20.10 or newer"}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	e, err := container.Examine(ctx)
	if err != nil {
		f.Found = strings.ReplaceAll(err.Error(), "\n", "; ")
		return []finding{f}
	}
	f.OK, f.Found = true, fmt.Sprintf("Engine %s, API %s, at %s", e.Version, e.API, e.Host)
	fs := []finding{f}
	for _, kind := range slices.Sorted(maps.Keys(e.Images)) {
		image := e.Images[kind]
		fs = append(fs, finding{
			What: "image: " + kind, OK: image != "", Found: orElse(image, "the engine has none"),
			Advice: "runs in containers pull it, and go without where no registry answers; docker/images.sh makes it",
		})
	}
	for _, c := range e.Packets {
		fs = append(fs, finding{
			What: "packets: " + c.Name, OK: c.OK, Found: orElse(strings.ReplaceAll(c.Why, "\n", "; "), "works"),
			Advice: "scenarios that need it are inconclusive here",
		})
	}
	disk := finding{What: "disks that break", OK: true, Found: "works", Advice: "disk-full and disk-readonly need root, loop devices, ext4 and mkfs.ext4; scenarios that have them are inconclusive here"}
	if err := container.DiskSupport(); err != nil {
		disk.OK, disk.Found = false, strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	fs = append(fs, disk)
	if len(e.Left) > 0 {
		fs = append(fs, finding{
			What: "left by killed runs", Found: strings.Join(e.Left, ", "), Advice: "the next run in containers removes them; a network that stays goes when the engine is restarted",
		})
	}
	return fs
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
