package scenarios

import (
	"time"

	"github.com/fivenines/fivenines/loadgen"
	"github.com/fivenines/fivenines/loadgen/history"
)

// Progress is told what a run does while it does it. Calls may come from
// several goroutines, and must not block.
type Progress interface {
	Phase(Phase)
	Sample(Sample)
	Event(history.Event)
}

// Phase is a part of a trial that began.
type Phase struct {
	Trial, Trials int
	Text          string
	Lasts         time.Duration // 0: until it is done
}

// Sample is one window of the load.
type Sample struct {
	Trial int
	Rate  float64 // asked for, operations a second
	loadgen.Interval
	Steady bool     // the steady-state hypothesis holds in it
	Faults []string // in force
}

type silent struct{}

func (silent) Phase(Phase)         {}
func (silent) Sample(Sample)       {}
func (silent) Event(history.Event) {}
