// Package reference is the HA session platform that fivenines validates:
// sharded, replicated by Raft over three regions, with a Redis front door. Its
// face is small: a node runs from a [Config]. The harness reaches it only
// through reference/target.
package reference

import (
	"context"
	"log/slog"
	"os/exec"

	"github.com/fivenines/fivenines/reference/internal/healing/supervise"
	"github.com/fivenines/fivenines/reference/internal/node"
)

// Config of one node.
type Config = node.Config

// RunNode runs one node until ctx ends, or returns why it cannot go on: an
// address in use, a disk that belongs to another node, or data that it cannot
// trust and therefore does not serve.
func RunNode(ctx context.Context, cfg Config, log *slog.Logger) error {
	return node.Run(ctx, cfg, log)
}

// Supervise keeps a node running in a process of its own, which it starts again
// when it ends or answers no health check, until ctx ends or a signal asks for
// the end. It returns the process's exit code. command makes a start: after the
// first one the node must run with what [Restarted] makes of its configuration.
func Supervise(ctx context.Context, cfg Config, command func(restarts int, why string) *exec.Cmd, log *slog.Logger) (int, error) {
	region := ""
	for _, r := range cfg.Regions {
		if len(cfg.ID) > len(r.Name) && cfg.ID[:len(r.Name)+1] == r.Name+"-" {
			region = r.Name
		}
	}
	return supervise.Run(ctx, supervise.Options{Name: cfg.ID, Region: region, Command: command, Health: cfg.Admin, Config: cfg.Healing, NoRestart: cfg.Mutant == "no-restart"}, log)
}

// Restarted is the configuration of a node that its supervisor starts again: no
// first start any more, so that it waits out what it may have promised, and no
// power was lost.
func Restarted(cfg Config, restarts int, why string) Config {
	if restarts > 0 {
		cfg.First, cfg.DropUnsynced, cfg.Restarted = false, false, &node.Restart{Count: restarts, Why: why}
	}
	return cfg
}
