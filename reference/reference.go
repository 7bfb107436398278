// Package reference is the HA session platform that fivenines validates:
// sharded, replicated by Raft over three regions, with a Redis front door. Its
// face is small: a node runs from a [Config]. The harness reaches it only
// through reference/target.
package reference

import (
	"context"
	"log/slog"

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
