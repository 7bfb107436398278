package slo

import "time"

// Verdict of an objective or a run. Missed outranks Inconclusive outranks Met.
type Verdict string

const (
	Met          Verdict = "met"
	Missed       Verdict = "missed"
	Inconclusive Verdict = "inconclusive"
	NotEvaluated Verdict = "not evaluated"
)

// Result is result.json, schema fivenines/v1 (see schema.json).
// A measure without a value is null.
type Result struct {
	Schema      string      `json:"schema"`
	Scenario    string      `json:"scenario"`
	Description string      `json:"description,omitempty"`
	Seed        int64       `json:"seed"`
	Backend     string      `json:"backend"`
	Target      string      `json:"target"`
	Mutant      string      `json:"mutant"`
	Verdict     Verdict     `json:"verdict"`
	Summary     string      `json:"summary"` // the verdict in one plain sentence
	Started     time.Time   `json:"started"`
	Machine     string      `json:"machine,omitempty"`
	Version     string      `json:"version,omitempty"`
	Command     string      `json:"command,omitempty"`
	Load        Load        `json:"load"`
	Trials      []Trial     `json:"trials"`
	Objectives  []Objective `json:"objectives"`
	// Problems are what made rows inconclusive: generator behind, fault unproved, ...
	Problems []string  `json:"problems,omitempty"`
	Timeline []Slice   `json:"timeline,omitempty"` // one-second slices over the run
	Marks    []Mark    `json:"marks,omitempty"`    // events for the picture
	Examples []Example `json:"examples,omitempty"` // operations of the sessions behind a violation
}

// Load is what was offered and served, over all trials.
type Load struct {
	TargetRPS         float64  `json:"target_rps"`
	AchievedRPS       float64  `json:"achieved_rps"` // answered in time, before the first fault
	Sessions          int      `json:"sessions"`
	Intended          uint64   `json:"intended"`
	OK                uint64   `json:"ok"`
	Failed            uint64   `json:"failed"`
	Unknown           uint64   `json:"unknown"`
	Unsent            uint64   `json:"unsent"`
	ScheduleLagMSP999 float64  `json:"schedule_lag_ms_p999"`
	GeneratorCPU      float64  `json:"generator_cpu_cores"`
	Latency           Latency  `json:"latency_ms"` // all operations, from the intended start
	Read              *Latency `json:"latency_ms_read,omitempty"`
	Write             *Latency `json:"latency_ms_write,omitempty"`
}

// Latency quantiles in milliseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Trial is one bring-up, load, fault and read-back.
type Trial struct {
	Faults   []FaultRecord `json:"faults"`
	Measures Measures      `json:"measures"`
}

// FaultRecord says when a fault was asked for, proved and undone (RFC 3339, "" where it was not).
type FaultRecord struct {
	Kind     string  `json:"kind"`
	Text     string  `json:"text"`
	Asked    string  `json:"asked"`
	Proved   string  `json:"proved"`
	Undone   string  `json:"undone"`
	AskedS   float64 `json:"asked_s"` // seconds since the run's epoch
	ProvedS  *Value  `json:"proved_s"`
	UndoneS  *Value  `json:"undone_s"`
	Evidence string  `json:"evidence,omitempty"`

	// What this fault cost, where a trial has several. Undo is the outage that
	// giving the parts back caused.
	Failover     *Outage `json:"failover_s"`
	Undo         *Outage `json:"undo_failover_s"`
	TimeToDetect *Value  `json:"time_to_detect_s"`
	DetectedBy   string  `json:"detected_by,omitempty"` // the event, or the first bad operation
	RTO          *Value  `json:"rto_s"`
	RPO          *Value  `json:"rpo_s"`
	// MinorityWrites are the writes that witnesses of a region that the fault
	// cut off tried after it had lost its quorum (plus the lease), and those
	// of them that were acknowledged.
	MinorityWrites *Acknowledged `json:"minority_writes,omitempty"`
}

// Acknowledged is how many of the attempts were acknowledged.
type Acknowledged struct {
	Attempts     int `json:"attempts"`
	Acknowledged int `json:"acknowledged"`
}

// Value is a measured number with its bounds where they are known.
type Value struct {
	Value float64  `json:"value"`
	Lower *float64 `json:"lower,omitempty"`
	Upper *float64 `json:"upper,omitempty"`
}

// Outage is failover time over the partitions that had one.
type Outage struct {
	Value      float64  `json:"value"` // the maximum over partitions, seconds
	Lower      float64  `json:"lower"` // value less the resolution
	Upper      *float64 `json:"upper"` // null when censored
	N          int      `json:"n"`     // partitions with an outage
	Censored   bool     `json:"censored"`
	P50        float64  `json:"p50"`
	P99        float64  `json:"p99"`
	Resolution float64  `json:"resolution"` // gap between operations on a partition
	FromAsked  float64  `json:"from_asked"` // the latest end, counted from the instant asked
	// Partitions holds each partition's outage, for the report.
	Partitions []PartitionOutage `json:"partitions,omitempty"`
}

// PartitionOutage is one shard's outage; Start and End since the run's epoch, seconds.
type PartitionOutage struct {
	Partition int     `json:"partition"`
	Start     float64 `json:"start_s"`
	End       float64 `json:"end_s"`
	Censored  bool    `json:"censored"`
}

// Measures of one trial, defined in DESIGN section 5.
type Measures struct {
	Sessions         int     `json:"sessions"` // acknowledged as created at any time in the trial
	SessionsLost     int     `json:"sessions_lost"`
	LostWrites       int     `json:"lost_writes"`
	Regressed        int     `json:"regressed_sessions"`
	Disrupted        int     `json:"disrupted_sessions"`
	StaleReads       int     `json:"stale_reads"`
	BackwardReads    int     `json:"backward_reads"`
	PhantomReads     int     `json:"phantom_reads"`     // a state nobody wrote, or one promised not applied
	CorruptReads     int     `json:"corrupt_reads"`     // checksum or identity wrong
	LateWrites       int     `json:"late_writes"`       // unknown writes that took effect after a later acknowledged one: legal, shown
	ExpiryViolations int     `json:"expiry_violations"` // sessions that expired early, expired late or were resurrected
	ExpiredEarly     int     `json:"expired_early"`
	ExpiredLate      int     `json:"expired_late"`
	Resurrected      int     `json:"resurrected"`
	Recreated        int     `json:"recreated_sessions"` // of the lost: made again in silence
	Linearizable     string  `json:"linearizable"`       // yes, no, unknown
	LinearizableOps  int     `json:"linearizable_ops"`
	Histories        int     `json:"linearizable_histories"`         // contested sessions checked
	NotLinearizable  int     `json:"linearizable_histories_no"`      // of them, not linearizable
	Undecided        int     `json:"linearizable_histories_unknown"` // of them, given up
	MinorityAcks     int     `json:"minority_acknowledged_writes"`
	Unread           int     `json:"unread_sessions"` // read-back got no answer: nothing is claimed of them
	Failover         *Outage `json:"failover_s"`
	TimeToDetect     *Value  `json:"time_to_detect_s"`
	RTO              *Value  `json:"rto_s"`
	TimeToRecover    *Value  `json:"time_to_recover_s"` // from detection to the steady state (MTTR: its mean)
	RPO              *Value  `json:"rpo_s"`
	Unavailable      *Value  `json:"unavailable_s"`
	Availability     *Value  `json:"availability"` // good over intended operations
	SliceAvail       *Value  `json:"availability_slices"`
	SessionAvail     *Value  `json:"availability_sessions"`
	Capacity         *Value  `json:"capacity"` // served in time over the target rate, before the fault
	// Phases splits the outage from the platform's events, seconds from asked:
	// detected, elected, promoted, first ok write, last partition back.
	Phases map[string]float64 `json:"phases,omitempty"`
}

// Objective is one row of the verdict.
type Objective struct {
	Name     string  `json:"name"`
	Target   string  `json:"target"` // "< 10 s"
	Measured *Value  `json:"measured"`
	Unit     string  `json:"unit"`
	Verdict  Verdict `json:"verdict"`
	Evidence string  `json:"evidence"`
}

// Slice is one second of the run as follower clients saw it.
type Slice struct {
	Second   int     `json:"s"`
	Intended int     `json:"intended"`
	Good     int     `json:"good"`
	Bad      int     `json:"bad"`
	ReadP50  float64 `json:"read_ms_p50"`
	ReadP99  float64 `json:"read_ms_p99"`
	WriteP50 float64 `json:"write_ms_p50"`
	WriteP99 float64 `json:"write_ms_p99"`
}

// Mark is an event worth showing on the timeline.
type Mark struct {
	AtS    float64 `json:"at_s"`
	Kind   string  `json:"kind"`
	Source string  `json:"source"`
	Text   string  `json:"text"`
}

// Example is the operations of one session that break a promise, in order, as text.
type Example struct {
	Check   string   `json:"check"` // lost-write, stale-read, ...
	Session uint64   `json:"session"`
	Why     string   `json:"why"`
	Ops     []string `json:"ops"`
}
