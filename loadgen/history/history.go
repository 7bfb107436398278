package history

import "time"

// Kind is what an operation does to a session.
type Kind uint8

// The session operations of DESIGN section 4, and the read-back of section 5.
const (
	Create   Kind = iota + 1 // SET NX EX
	Read                     // GET, strong
	Update                   // SET XX EX
	Touch                    // GETEX EX: reads and refreshes
	Close                    // GETDEL: reads and ends the session
	ReadBack                 // GET, strong, after the load, in a given region
	Emit                     // makes the server emit an event on the session's stream
	Deliver                  // an event that a client's stream delivered
	Resume                   // opens a client's stream, or opens it again
)

// IsWrite says whether the operation may change the session or its expiry.
func (k Kind) IsWrite() bool { return k == Create || k == Update || k == Touch || k == Close }

// Observes says whether an ok operation returns the state it found.
func (k Kind) Observes() bool { return k == Read || k == Touch || k == Close || k == ReadBack }

// Outcome is what the client knows about an operation.
type Outcome uint8

const (
	// OK: the platform acknowledged it.
	OK Outcome = iota + 1
	// Failed: certainly not applied (refused with NOTAPPLIED, or not sent).
	Failed
	// Unknown: may have been applied, then or later.
	Unknown
	// Unsent: the schedule called for it and the generator never sent it.
	Unsent
)

// Class separates the operations that measures treat differently.
type Class uint8

const (
	// Follower clients follow the failover; availability and failover time
	// are theirs.
	Follower Class = iota + 1
	// Witness clients stay with one region whatever happens: their operations
	// count for safety (stale, lost, acknowledged without quorum) and not for
	// availability.
	Witness
	// Contested operations go to sessions with several writers, and are judged
	// for linearizability. They follow the failover.
	Contested
	// Audit operations are the read-back.
	Audit
	// Eventual operations are reads on connections that asked for eventual
	// consistency (READONLY): any replica may answer. They are recorded on behalf
	// of the session's one writer (Client), so that session guarantees can be
	// judged, and count neither as strong reads nor for availability.
	Eventual
	// Stream operations are a session's event stream, see [Op].
	Stream
)

// Cause says why an operation is not ok. It is for the reader of a report, no
// verdict depends on it.
type Cause uint8

const (
	NoCause      Cause = iota
	NotApplied         // the platform answered NOTAPPLIED until the deadline
	Timeout            // no answer before the deadline
	Broken             // the connection broke
	Refused            // no entry could be connected to
	ErrorReply         // any other error reply
	Backpressure       // not sent: the generator's queue was full
)

// Op is one operation. Durations are since the run's epoch.
//
// Seq is, for Create and Update, the sequence number of the state written; for
// an ok operation that observes, the sequence number of the state found, with
// Absent set where there was none. Create and Update that the platform refused
// because their condition did not hold (NX, XX) are OK with Absent for XX (the
// session was not there) or Exists for NX.
//
// Operations on a session's event stream are of the class Stream, and no others
// are. Events are numbered within their session, from 1, in the order in which
// the server emitted them.
//
//   - Emit, ok: the server acknowledged that it emitted event Seq. Not ok: Seq is
//     the number that the client chose for it, or 0 where the server chooses.
//   - Deliver: event Seq arrived at Client, which is attached to the stream of
//     Session; Start and End are both that instant, and differ between the events
//     of one connection. Exists says that the event is whole and another
//     session's (it exists, elsewhere; Seq is its number there), Corrupt that it
//     fails its checksum, so that nothing in it can be relied on.
//   - Resume: Client asks for the stream and says that Seq was the last event
//     that it got (Last-Event-ID), or 0 where it says nothing and is owed only
//     what is emitted from then on. Start is when it had no stream any more,
//     or none yet; from End on, if it is ok, the stream stands, until
//     the Start of the client's next Resume. A stream that a client sees end and
//     does not resume, or gives up, is a Resume that failed at that instant. A
//     client has at most one stream to a session.
type Op struct {
	Intended, Start, End time.Duration
	Session              uint64 // session number; the key is session:{n}
	Seq                  uint32
	TTL                  uint32 // milliseconds, for Create, Update and Touch
	Writer               uint16 // for an observation, the writer of the state found; else the client itself
	Client               uint16 // the client that invoked it
	Partition            uint16 // the target's shard or key range
	Region               uint8  // index of the client's region in Manifest.Regions
	Node                 uint8  // index in Manifest.Nodes of the entry that answered or was asked last; 255 unknown
	Kind                 Kind
	Outcome              Outcome
	Class                Class
	Cause                Cause
	Retries              uint8
	Absent               bool // observed: no such session
	Exists               bool // Create: the session was already there; Deliver: another session's event
	Corrupt              bool // observed a state that fails its checksum or names another session; Deliver: an event that fails its checksum
}

// Latency is the time from the intended start, so that a stalled system is
// charged for every operation that should have been sent (coordinated omission).
func (o *Op) Latency() time.Duration { return o.End - o.Intended }

// Event kinds. Those of the harness come from scenarios and faults; those of
// the platform arrive on the target's event stream and may be of any kind:
// the ones named here are the ones that measures know.
const (
	// Harness.
	RunStarted    = "run-started"     // Subject: the scenario
	TrialStarted  = "trial-started"   // Fields: "seed"
	TrialVoid     = "trial-void"      // Detail: why no fault was injected
	LoadStarted   = "load-started"    // Fields: "phase" (main, settle)
	LoadStopped   = "load-stopped"    // every operation of it has ended; Fields: "phase"
	FaultAsked    = "fault-asked"     // Subject: the fault as text; Parts: what it takes away; Fields: "comes_back", the node that must serve again by itself
	FaultProved   = "fault-proved"    // Proof in Fields: "took" and "spared"
	FaultUnproved = "fault-unproved"  // Detail: what was expected and not seen, or hit and not expected
	NodeReady     = "node-ready"      // the harness looked, and a node that must come back by itself serves: what it says of itself, and a client's way to it; Subject: the fault; Parts: the node
	NodeNotReady  = "node-not-ready"  // it does not, or not any more; Detail: what is missing
	FaultUndone   = "fault-undone"    // after it was undone
	ReadBackStart = "readback-start"  // Fields: "region", "phase" (before-undo, after-undo)
	ReadBackEnd   = "readback-end"    // Fields: "region", "phase"
	SteadyState   = "steady-state"    // Fields: "phase" (before, after), "holds" (true, false)
	Stopped       = "stopped"         // a stop condition or Ctrl-C ended the run early
	RunFinished   = "run-finished"    // absent in a run that did not finish
	GeneratorCPU  = "generator-stats" // Fields: "cpu_s", "lag_p999_ms", "unsent"

	// Platform.
	Suspected = "suspected" // Parts: the node or region that seems gone
	Detected  = "detected"  // Parts: the node or region declared gone
	Elected   = "elected"   // Fields: "shard", "term"; Node: the new leader
	Promoted  = "promoted"  // Parts: the region that is primary now
	Recovered = "recovered" // Parts: the node or region that is back

	PathWithdrawn = "path-withdrawn" // a path between regions is not used; Parts: "from>to/path"
	PathAnnounced = "path-announced" // and may be used again
	RouteMoved    = "route-moved"    // Parts: the path that connections run over now, and the one before

	Shedding = "shedding" // a node refuses operations of low priority, since it has more than it can carry; Parts: the node

	// Services beside the nodes.
	ServiceAbsent = "service-absent" // Subject: which; Detail: why
	ServerDown    = "server-down"    // a load balancer sends no more clients to a node; Parts: node, region
	ServerUp      = "server-up"      // it is sent clients again; Parts: node, region
	AlertFiring   = "alert-firing"   // Subject: the alert; Parts: what it is about; Detail: what it says, and to whom
	AlertResolved = "alert-resolved" // it does not hold any more; Subject: the alert
)

// Event is something that happened, as events.jsonl keeps it.
type Event struct {
	At       time.Duration     `json:"at_ns"`               // when the harness saw it
	NodeTime string            `json:"node_time,omitempty"` // the platform's own clock, RFC 3339, for the reader only
	Trial    int               `json:"trial"`
	Kind     string            `json:"kind"`
	Source   string            `json:"source"`            // "harness", or the node's id
	Subject  string            `json:"subject,omitempty"` // what it is about, for a person
	Parts    []string          `json:"parts,omitempty"`   // regions, nodes and links it names
	Detail   string            `json:"detail,omitempty"`
	Fields   map[string]string `json:"fields,omitempty"`
}

// Manifest describes the run to whoever analyses it: everything slo needs
// beside operations and events. It is manifest.json in the run's folder.
type Manifest struct {
	Schema     string        `json:"schema"` // fivenines-manifest/v1
	Scenario   string        `json:"scenario"`
	Seed       int64         `json:"seed"`
	Backend    string        `json:"backend"`
	Target     string        `json:"target"`
	Mutant     string        `json:"mutant"`
	Started    time.Time     `json:"started"` // wall clock of the epoch
	Regions    []RegionInfo  `json:"regions"` // in order of preference
	Nodes      []NodeInfo    `json:"nodes"`
	Partitions int           `json:"partitions"`
	Trials     int           `json:"trials"`
	MaxTrials  int           `json:"max_trials,omitempty"` // more than Trials: trials went on until they decided, up to here
	TargetRPS  float64       `json:"target_rps"`
	Sessions   int           `json:"sessions"`
	Deadline   time.Duration `json:"deadline_ns"` // an operation slower than this is bad
	Machine    string        `json:"machine"`     // cores, memory, kernel, for the report
	Version    string        `json:"version"`
	Command    string        `json:"command"` // how to run it again
}

// Several says whether there may be more than one trial.
func (m *Manifest) Several() bool { return max(m.Trials, m.MaxTrials) > 1 }

// RegionInfo is one region of the topology, by name and role.
type RegionInfo struct {
	Name string `json:"name"`
	Role string `json:"role"`
	// RTT is the round trip from this region to each other one, by name.
	RTT map[string]time.Duration `json:"rtt_ns"`
}

// NodeInfo is one node of the topology.
type NodeInfo struct {
	ID     string `json:"id"`
	Region string `json:"region"`
}
