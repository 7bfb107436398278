package scenarios

import (
	"context"
	"math"
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
)

// Phases of the read-back, as the events' field says.
const (
	beforeUndo = "before-undo"
	afterUndo  = "after-undo"
)

// readBack reads every session with strong reads from each of the regions. A
// read that got no answer is recorded as such: nothing is claimed of that
// session.
func (t *trial) readBack(ctx context.Context, phase string, regions []int) {
	rate := math.Min(math.Max(t.spec.Workload.Rate, 2_000), 40_000)
	for _, region := range regions {
		if ctx.Err() != nil {
			return
		}
		name := t.topo.Regions[region].Name
		fields := map[string]string{"region": name, "phase": phase}
		t.phase("reading every session back from %s, %s", name, map[string]string{
			beforeUndo: "with the fault in force", afterUndo: "with everything undone",
		}[phase])
		t.event(history.Event{Kind: history.ReadBackStart, Subject: name, Fields: fields})
		end := history.Event{Kind: history.ReadBackEnd, Subject: name, Fields: fields}
		if err := t.readBackFrom(ctx, region, rate); err != nil {
			end.Detail = err.Error()
		}
		t.event(end)
	}
}

// readBackFrom allows each region three times what the reads need at their
// rate, and as long as the load had after the fault, up to ten seconds, for a
// system that does not answer.
func (t *trial) readBackFrom(ctx context.Context, region int, rate float64) error {
	sessions := float64(t.spec.Workload.Sessions) * 2 // and those created during the load
	limit := time.Duration(3*sessions/rate*float64(time.Second)) + min(10*time.Second, time.Duration(t.spec.Timeline.After))
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return t.gen.ReadBack(ctx, region, rate)
}
