package target

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/fivenines/fivenines/reference"
)

// TestMain lets the test binary be the node program: real processes, sockets
// and disks.
func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == "node" {
		b, err := os.ReadFile(os.Args[3])
		var cfg reference.Config
		if err == nil {
			err = json.Unmarshal(b, &cfg)
		}
		log := slog.New(slog.NewTextHandler(os.Stderr, nil))
		if i := slices.Index(os.Args, "--supervised"); err == nil && i > 0 {
			code, err := reference.Supervise(context.Background(), cfg, func(restarts int, why string) *exec.Cmd {
				c := exec.Command(os.Args[0], append(slices.Delete(slices.Clone(os.Args[1:]), i-1, i), strconv.Itoa(restarts), why)...)
				c.Stdout, c.Stderr = os.Stdout, os.Stderr
				return c
			}, log)
			fmt.Fprintln(os.Stderr, err)
			os.Exit(code)
		}
		if n := len(os.Args); n > 5 {
			if restarts, err := strconv.Atoi(os.Args[n-2]); err == nil {
				cfg = reference.Restarted(cfg, restarts, os.Args[n-1])
			}
		}
		if err == nil {
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
			defer stop()
			err = reference.RunNode(ctx, cfg, log)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
