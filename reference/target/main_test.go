package target

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
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
		if err == nil {
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
			defer stop()
			err = reference.RunNode(ctx, cfg, slog.New(slog.NewTextHandler(os.Stderr, nil)))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
