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
	Statistics  *Statistics `json:"statistics,omitempty"` // not of less than two valid trials
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
	// Void says why nothing is concluded from the trial; its safety violations
	// count all the same.
	Void     []string      `json:"void,omitempty"`
	Faults   []FaultRecord `json:"faults"`
	Measures Measures      `json:"measures"`
	// Where it hurt. What regions and partitions count adds up to the whole
	// (Operations, and the counts of Measures).
	Operations *Operations      `json:"operations,omitempty"` // null without a load
	Sessions   *SessionSpread   `json:"session_availability,omitempty"`
	Regions    []RegionShare    `json:"regions,omitempty"`    // in order of preference; only those that clients stood in
	Partitions []PartitionShare `json:"partitions,omitempty"` // by number
}

// Operations are those of follower clients under load, by how they ended. All
// but the good ones are bad.
type Operations struct {
	Intended int `json:"intended"`
	Good     int `json:"good"` // ok within the deadline
	Late     int `json:"late"` // ok after it
	Failed   int `json:"failed"`
	Unknown  int `json:"unknown"`
	Unsent   int `json:"unsent"`
}

// SessionSpread is how the bad operations are spread over the sessions: a few
// that saw many, or many that saw a few. It is about sessions that follower
// clients used under load.
type SessionSpread struct {
	Sessions    int `json:"sessions"`
	Windows     int `json:"windows"`      // minutes of a load in which a session was used, over all sessions
	GoodWindows int `json:"good_windows"` // of them, without a bad operation
	// ByBadWindows[n] sessions had n windows with a bad operation; the last
	// entry also counts those with more.
	ByBadWindows []int `json:"by_bad_windows"`
	// Share of its operations that were good: the least of all sessions, and
	// what 1 %, 10 % and 50 % of the sessions do not exceed.
	Min float64 `json:"availability_min"`
	P1  float64 `json:"availability_p1"`
	P10 float64 `json:"availability_p10"`
	P50 float64 `json:"availability_p50"`
}

// RegionShare is what clients in one region saw. A session belongs to the
// region of its first operation.
type RegionShare struct {
	Region       string         `json:"region"`
	Operations   Operations     `json:"operations"`
	Availability *Value         `json:"availability"`
	SliceAvail   *Value         `json:"availability_slices"`
	Unavailable  *Value         `json:"unavailable_s"`
	Latency      *Latency       `json:"latency_ms"` // of what was sent, from the intended start
	Read         *Latency       `json:"latency_ms_read"`
	Write        *Latency       `json:"latency_ms_write"`
	Failover     *Outage        `json:"failover_s"` // of the change that cost most, without its partitions
	Outages      []RegionOutage `json:"outages,omitempty"`
	Fates        Fates          `json:"fates"`
}

// RegionOutage is what one change cost the clients of a region, over the
// partitions that they lost. Durations are seconds, as in [Outage].
type RegionOutage struct {
	Fault     int     `json:"fault"` // number of the fault in its trial, from 1
	Undo      bool    `json:"undo"`  // not the fault, but its undoing
	Value     float64 `json:"value"` // of the partition that was out for longest
	N         int     `json:"n"`     // partitions with an outage
	FromAsked float64 `json:"from_asked"`
	Censored  bool    `json:"censored"`
}

// PartitionShare is what clients saw of one shard or key range.
type PartitionShare struct {
	Partition int `json:"partition"`
	// Count is 1, but for the last entry of a long list: it sums up that many
	// partitions, of which Partition is the first, without their outages.
	Count        int            `json:"count"`
	Operations   Operations     `json:"operations"`
	Availability *Value         `json:"availability"`
	Outages      []ChangeOutage `json:"outages,omitempty"` // by time
	Fates        Fates          `json:"fates"`
}

// ChangeOutage is an outage and the change that answers for it. Instants are
// seconds since the run's epoch.
type ChangeOutage struct {
	Fault    int     `json:"fault"` // number of the fault in its trial, from 1
	Undo     bool    `json:"undo"`  // not the fault, but its undoing
	Start    float64 `json:"start_s"`
	End      float64 `json:"end_s"`
	Censored bool    `json:"censored"`
}

// Fates are counts of Measures, of the sessions that belong to a region or a
// partition.
type Fates struct {
	Sessions         int `json:"sessions"`
	SessionsLost     int `json:"sessions_lost,omitempty"`
	LostWrites       int `json:"lost_writes,omitempty"`
	Regressed        int `json:"regressed_sessions,omitempty"`
	Disrupted        int `json:"disrupted_sessions,omitempty"`
	StaleReads       int `json:"stale_reads,omitempty"`
	BackwardReads    int `json:"backward_reads,omitempty"`
	PhantomReads     int `json:"phantom_reads,omitempty"`
	CorruptReads     int `json:"corrupt_reads,omitempty"`
	LateWrites       int `json:"late_writes,omitempty"`
	ExpiryViolations int `json:"expiry_violations,omitempty"`
	ExpiredEarly     int `json:"expired_early,omitempty"`
	ExpiredLate      int `json:"expired_late,omitempty"`
	Resurrected      int `json:"resurrected,omitempty"`
	Recreated        int `json:"recreated_sessions,omitempty"`
	Unread           int `json:"unread_sessions,omitempty"`
	Histories        int `json:"linearizable_histories,omitempty"`
	LinearizableOps  int `json:"linearizable_ops,omitempty"`
	NotLinearizable  int `json:"linearizable_histories_no,omitempty"`
	Undecided        int `json:"linearizable_histories_unknown,omitempty"`
	MinorityAcks     int `json:"minority_acknowledged_writes,omitempty"`
	Duplicated       int `json:"duplicated_writes,omitempty"`
	EventualReads    int `json:"eventual_reads,omitempty"`
	ReadYourWrites   int `json:"read_your_writes_violations,omitempty"`
	NonMonotonic     int `json:"non_monotonic_reads,omitempty"`
	StreamEvents     int `json:"stream_events,omitempty"`
	ReplayGaps       int `json:"replay_gaps,omitempty"`
	DuplicateEvents  int `json:"duplicate_events,omitempty"`
	RepeatedEvents   int `json:"repeated_events,omitempty"`
	Misordered       int `json:"misordered_events,omitempty"`
	CrossSession     int `json:"cross_session_events,omitempty"`
	PhantomEvents    int `json:"phantom_events,omitempty"`
	CorruptEvents    int `json:"corrupt_events,omitempty"`
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
	// Restart is null where no node had to come back by itself, and not there
	// in results of before it was measured.
	Restart *Comeback `json:"restart_s"`
	Phases  *Phases   `json:"phases_s,omitempty"` // null without an outage
	// MinorityWrites are the writes that witnesses of a region that the fault
	// cut off tried after it had lost its quorum (plus the lease), and those
	// of them that were acknowledged.
	MinorityWrites *Acknowledged `json:"minority_writes,omitempty"`
}

// Phases are what the time of a fault's outage went into, in seconds. Those that
// are not null are in this order, none is negative, and they add up to
// Outage.FromAsked. A phase is null where the event that ends it was not
// reported; its time is then part of the next one.
//
// The rest of an outage that was not seen to end is in the first phase whose end
// was not seen, and all phases after that one are null.
type Phases struct {
	// Detect is from asked to the event that TimeToDetect counts to.
	Detect *float64 `json:"detect"`
	// Elect is to the last election that a partition with an outage had before
	// it was back.
	Elect *float64 `json:"elect"`
	// Route is to the promotion of a region; to the first good write on any of
	// the partitions that were out, where no promotion is reported.
	Route *float64 `json:"route"`
	// Reconnect is to the first good write on the last partition.
	Reconnect *float64 `json:"reconnect"`
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

// Comeback is how long nodes took that had to come back by themselves, from the
// instant asked until they served again, in seconds.
type Comeback struct {
	Value    float64  `json:"value"` // of the one that took longest
	Lower    float64  `json:"lower"` // when it was last seen not to serve
	Upper    *float64 `json:"upper"` // null when censored
	N        int      `json:"n"`     // nodes that had to come back
	Censored bool     `json:"censored"`
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
	Sessions         int    `json:"sessions"` // acknowledged as created at any time in the trial
	SessionsLost     int    `json:"sessions_lost"`
	LostWrites       int    `json:"lost_writes"`
	Regressed        int    `json:"regressed_sessions"`
	Disrupted        int    `json:"disrupted_sessions"`
	StaleReads       int    `json:"stale_reads"`
	BackwardReads    int    `json:"backward_reads"`
	PhantomReads     int    `json:"phantom_reads"`     // a state nobody wrote, or one promised not applied
	CorruptReads     int    `json:"corrupt_reads"`     // checksum or identity wrong
	LateWrites       int    `json:"late_writes"`       // unknown writes that took effect after a later acknowledged one: legal, shown
	ExpiryViolations int    `json:"expiry_violations"` // sessions that expired early, expired late or were resurrected
	ExpiredEarly     int    `json:"expired_early"`
	ExpiredLate      int    `json:"expired_late"`
	Resurrected      int    `json:"resurrected"`
	Recreated        int    `json:"recreated_sessions"` // of the lost: made again in silence
	Linearizable     string `json:"linearizable"`       // yes, no, unknown
	LinearizableOps  int    `json:"linearizable_ops"`
	Histories        int    `json:"linearizable_histories"`         // contested sessions checked
	NotLinearizable  int    `json:"linearizable_histories_no"`      // of them, not linearizable
	Undecided        int    `json:"linearizable_histories_unknown"` // of them, given up
	MinorityAcks     int    `json:"minority_acknowledged_writes"`
	Unread           int    `json:"unread_sessions"` // read-back got no answer: nothing is claimed of them
	// Duplicated are the writes whose state came back to stay after a later one
	// had been found. The reads that found it are stale or backward ones.
	Duplicated      int    `json:"duplicated_writes"`
	EventualReads   int    `json:"eventual_reads"` // that got an answer
	ReadYourWrites  int    `json:"read_your_writes_violations"`
	NonMonotonic    int    `json:"non_monotonic_reads"`
	Staleness       *Stale `json:"staleness_s"`   // null without eventual reads
	StreamEvents    int    `json:"stream_events"` // delivered
	ReplayGaps      int    `json:"replay_gaps"`
	DuplicateEvents int    `json:"duplicate_events"` // delivered again: over another connection legal
	RepeatedEvents  int    `json:"repeated_events"`  // of them, those over the same connection
	Misordered      int    `json:"misordered_events"`
	CrossSession    int    `json:"cross_session_events"`
	PhantomEvents   int    `json:"phantom_events"` // that nobody emitted, or were promised not to be
	CorruptEvents   int    `json:"corrupt_events"`
	// SessionFates add up to Sessions; null in results of before they were counted.
	SessionFates *SessionFates `json:"session_fates,omitempty"`

	Failover *Outage `json:"failover_s"`
	// Restart is null where no node had to come back by itself, and not there
	// in results of before it was measured.
	Restart       *Comeback `json:"restart_s"`
	TimeToDetect  *Value    `json:"time_to_detect_s"`
	RTO           *Value    `json:"rto_s"`
	TimeToRecover *Value    `json:"time_to_recover_s"` // from detection to the steady state (MTTR: its mean)
	RPO           *Value    `json:"rpo_s"`
	Unavailable   *Value    `json:"unavailable_s"`
	Availability  *Value    `json:"availability"` // good over intended operations
	SliceAvail    *Value    `json:"availability_slices"`
	SessionAvail  *Value    `json:"availability_sessions"`
	Capacity      *Value    `json:"capacity"`     // served in time over the target rate, before the fault
	ReadP99       *Value    `json:"read_ms_p99"`  // latency before the fault
	WriteP99      *Value    `json:"write_ms_p99"` // the same of all other operations
	// Phases splits the outage from the platform's events, seconds from asked:
	// detected, elected, promoted, first ok write, last partition back.
	Phases map[string]float64 `json:"phases,omitempty"`
}

// Stale is how long ago the states that eventual reads found had been replaced
// by an acknowledged write, at least; 0 for a read that found the last state.
type Stale struct {
	P99 float64 `json:"p99"` // nearest rank
	Max float64 `json:"max"`
}

// wrongReads are strong reads that no correct system gives.
func (m *Measures) wrongReads() int {
	return m.StaleReads + m.BackwardReads + m.PhantomReads + m.CorruptReads
}

// Objective is one row of the verdict.
type Objective struct {
	Name     string  `json:"name"`
	Target   string  `json:"target"`             // "< 10 s"
	Quantile float64 `json:"quantile,omitempty"` // of trials that the target bounds
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
	// Regions are the same by the region of the clients, in order of preference;
	// left out where all of them stood in one.
	Regions []RegionSlice `json:"regions,omitempty"`
}

// RegionSlice is one second as the follower clients of a region saw it.
type RegionSlice struct {
	Region   string  `json:"region"`
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

// Example is the operations behind a finding, in order, as data and as text.
type Example struct {
	Check     string `json:"check"`           // lost-write, stale-read, ...
	Session   uint64 `json:"session"`         // 0 where Scope is partition
	Scope     string `json:"scope,omitempty"` // what the operations have in common: session or partition
	Trial     int    `json:"trial,omitempty"` // from 1
	Partition int    `json:"partition,omitempty"`
	Why       string `json:"why"`
	// Ops are the operations as text, those that show it with "> " in front.
	Ops        []string    `json:"ops"`
	Operations []ExampleOp `json:"operations,omitempty"`
	Left       int         `json:"left,omitempty"` // operations after the last one shown
}

// ExampleOp is one operation of an example. Instants are seconds since the
// run's epoch; what is not known is left out.
type ExampleOp struct {
	// Skipped is how many operations between the one before and this one are not shown.
	Skipped  int     `json:"skipped,omitempty"`
	Marked   bool    `json:"marked"` // it shows what is wrong
	Intended float64 `json:"intended_s"`
	Start    float64 `json:"start_s"`
	End      float64 `json:"end_s"`
	Session  uint64  `json:"session"`
	Client   int     `json:"client"`
	Region   string  `json:"region,omitempty"` // of the client
	Node     string  `json:"node,omitempty"`   // that answered, or was asked last
	Class    string  `json:"class"`            // follower, witness, contested, audit
	Kind     string  `json:"kind"`             // create, read, update, touch, close, read-back
	Outcome  string  `json:"outcome"`          // ok, failed, unknown, unsent
	Cause    string  `json:"cause,omitempty"`  // why it is not ok
	// Seq is the state written, or found where an ok operation observes.
	Seq    int    `json:"seq,omitempty"`
	Writer int    `json:"writer,omitempty"` // of the state, in a session with several writers
	Found  string `json:"found,omitempty"`  // instead of a state: absent, exists, corrupt
	Bad    bool   `json:"bad"`              // not ok within the deadline
	Label  string `json:"label"`            // kind and state in a few characters, as "u9", for a picture
}
