package slo

import "time"

// Names of the objectives that a scenario may declare, with the measure that
// each one bounds (strictly below the maximum for durations, at most for counts).
const (
	Failover         = "failover"           // seconds, Measures.Failover.Value
	SessionLoss      = "session-loss"       // count
	LostWrites       = "lost-writes"        // count
	Regressed        = "regressed"          // count
	StaleReads       = "stale-reads"        // count: stale, backward, phantom and corrupt reads
	Expiry           = "expiry"             // count
	Linearizability  = "linearizability"    // count of histories that are not linearizable
	RPO              = "rpo"                // seconds
	RTO              = "rto"                // seconds
	MTTD             = "mttd"               // seconds, mean over trials
	MTTR             = "mttr"               // seconds, mean over trials
	Availability     = "availability"       // share of good operations in the run, minimum
	Capacity         = "capacity"           // achieved over target rate before the fault, minimum
	MinorityAckWrite = "minority-ack-write" // count: writes that a cut-off side acknowledged after it lost its quorum (plus the lease)
)

// Target is one declared objective: the measure must stay below Max (durations,
// in seconds), at most at Max (counts), or at least at Min (shares).
type Target struct {
	Name string
	Max  *float64
	Min  *float64
}

// Config is everything beside the history that decides a verdict. It comes
// from the run's spec.yaml.
type Config struct {
	Objectives []Target
	// Deadline after which an operation is bad.
	Deadline time.Duration
	// Hold without a bad operation after which an outage is over.
	Hold time.Duration // 5 s
	// ExpiryGrace after a session's time within which it must be gone.
	ExpiryGrace time.Duration
	// Steady is the hypothesis whose return ends the recovery (RTO).
	Steady Steady
	// Valid bounds what makes a run inconclusive.
	Valid Validity
	// Checker bounds.
	LinearizableTimeout time.Duration
}

// Steady is the steady-state hypothesis over windows of Window.
type Steady struct {
	Window   time.Duration
	Success  float64       // share of good operations
	ReadP99  time.Duration // 0: not bounded
	WriteP99 time.Duration // 0: not bounded; of the surviving quorum's round trip
}

// Validity bounds outside of which nothing is concluded.
type Validity struct {
	MaxLagP999  time.Duration // the generator's schedule lag
	MinAchieved float64       // share of the target rate served before the fault
	MaxUnsent   float64       // share of intended operations never sent
}
