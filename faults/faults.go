package faults

import (
	"context"
	"time"

	"github.com/fivenines/fivenines/fixtures"
)

// Fault is one kind of fault with its victims chosen. It is injected and
// healed at most once.
type Fault interface {
	// String is text that can be pasted into a scenario file's fault line:
	// "region-loss(region=us-east-1, mode=silent)".
	String() string
	Kind() string
	// Available says why the deployment can't suffer this fault, or nil.
	Available(d fixtures.Deployment) error
	// Parts names the regions, nodes and links that it takes away, for the
	// measure of detection.
	Parts(d fixtures.Deployment) []string
	// Effect is what must be seen once it has taken hold.
	Effect(d fixtures.Deployment) Effect
	Inject(ctx context.Context, d fixtures.Deployment) error
	// Heal undoes it and returns when the parts run again (not when the
	// platform has healed). It is safe after a failed or partial Inject.
	Heal(ctx context.Context, d fixtures.Deployment) error
}

// Confirmer is a fault that links and states don't show, or not enough: it
// looks itself whether it took hold.
type Confirmer interface {
	Confirm(ctx context.Context, d fixtures.Deployment) (took, wrong []string)
}

// Returner is a fault that the system has to mend by itself: it takes away a node
// that is to serve again without anybody's help.
type Returner interface {
	// Returns is the node, and how long after the fault was asked for it may take:
	// so long whoever undoes the fault waits first, since Heal starts the node.
	Returns() (node string, within time.Duration)
}

// Preparer is a fault that needs something when its deployment is brought up.
type Preparer interface {
	Prepare(opt *fixtures.UpOptions)
}

// Effect is what a fault hits; everything that it does not name must be spared.
type Effect struct {
	Nodes map[string]fixtures.NodeState // expected state; others must be Running
	Cut   map[string]bool               // ids of links that must be silent or dead; others must answer
	// Unsure are ids of links that may answer or not, such as those that lose
	// packets, and of nodes that may run or have ended: nothing is expected of them.
	Unsure map[string]bool
	// Silent: the cut links must be silent. Without it, a link on which
	// connections end is cut as well.
	Silent bool
	// Bound is how long after it was asked it must be proved.
	Bound time.Duration
	// Momentary faults (a power loss that restarts at once) are proved by what
	// Inject saw, not by what is still so.
	Momentary bool
}
