package loadgen

import "time"

// Pacer is a schedule of arrivals. It is a pure function of time: what is due
// does not depend on when, or how often, it is asked, so that a generator that
// was held up finds exactly the arrivals that it missed.
type Pacer interface {
	// Due appends the arrivals in [from, to) in ascending order, counted from the
	// start of the schedule.
	Due(dst []time.Duration, from, to time.Duration) []time.Duration
}
