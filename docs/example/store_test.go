package example

import (
	"os"
	"testing"
	"time"

	"github.com/fivenines/fivenines"
	"github.com/fivenines/fivenines/fixtures/inprocess"
)

// What is promised of the store, on three nodes in three regions.
func keeps() []fivenines.Option {
	return []fivenines.Option{
		fivenines.InProcess(System()), fivenines.Topology(inprocess.Topology(10*time.Millisecond, 1, 1, 1)), fivenines.Small(), fivenines.InShort(),
		fivenines.OnlyObjectives(map[string]string{"failover": "< 3 s", "session-loss": "0", "lost-writes": "0", "stale-reads": "0", "linearizability": "0"}),
	}
}

func TestNodeCrash(t *testing.T) {
	t.Parallel()
	fivenines.Test(t, "node-crash", keeps()...)
}

// The same test finds a leader that keeps the sessions to itself.
func TestNodeCrashWithoutCopies(t *testing.T) {
	t.Parallel()
	fivenines.Test(t, "node-crash", append(keeps(), fivenines.Mutant(Unreplicated, "session-loss"))...)
}

// A region that falls silent closes no connection: whoever waits for it waits for long.
func TestRegionLoss(t *testing.T) {
	t.Parallel()
	fivenines.Test(t, "region-loss", keeps()...)
}

// What a failure looks like: SHOW_A_MISS=1 go test -run TestNobodyIsThatQuick
func TestNobodyIsThatQuick(t *testing.T) {
	if os.Getenv("SHOW_A_MISS") == "" {
		t.Skip("fails on purpose, with SHOW_A_MISS=1 only")
	}
	t.Parallel()
	fivenines.Test(t, "node-crash", append(keeps(), fivenines.Objective("failover", "< 1 ms"))...)
}
