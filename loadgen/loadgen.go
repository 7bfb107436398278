package loadgen

import (
	"context"
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
)

// Entry is one front door as clients of one region reach it.
type Entry struct {
	Node    int    // index in Manifest.Nodes; history.NoNode: a load balancer, behind which any may answer
	NodeID  string // the platform's own name for it, as in CLUSTER SLOTS
	Region  int    // where the node stands, index in Manifest.Regions
	Address string // host:port, through the link
	Host    string // the IP address that DNS tells of it; only of use with Workload.DNS
}

// Recorder receives every operation exactly once; history.Writer is one.
// Record is safe for concurrent use and does not keep the slice.
type Recorder interface {
	Record(ops []history.Op)
}

// Workload is what clients do. See DESIGN section 4.
type Workload struct {
	Sessions   int           // live sessions held
	Rate       float64       // operations a second, over all clients
	StateBytes int           // size of a stored state
	TTL        time.Duration // idle time-to-live
	ShortShare float64       // share of sessions, 0..1, with ShortTTL
	ShortTTL   time.Duration
	Mix        Mix
	Zipf       float64 // 0: uniform keys; else the exponent (> 1)
	Deadline   time.Duration
	Clients    []RegionShare // shares of follower clients per region
	Witness    Witness
	Contested  ContestedLoad
	Eventual   Eventual
	Seed       int64
	// Partition maps a key to the target's shard, for the record.
	Partition func(key string) int
	// Home, if it is set, is the region (by index) in which a partition is led while
	// all is well. The clients of a region then create their sessions under keys of
	// partitions that are at home there, and read no others: a session's home is
	// where it was created.
	Home func(partition int) (region int)
	// Entries lists the front doors as clients of a region (by index) reach
	// them, in the order in which they prefer them.
	Entries func(region int) []Entry
	// DNS, if it is set, is how the followers and the contested clients find which
	// of their entries to use. Those who have to be in a certain region (witness,
	// eventual reads, read-backs) know the nodes.
	DNS *DNS
}

// Mix is the share of each operation, summing to 1.
type Mix struct{ Read, Update, Create, Touch, Close float64 }

// RegionShare is the share of the load that comes from clients in one region.
type RegionShare struct {
	Region int
	Share  float64
}

// Witness clients stand in Region and only ever use the entries there.
// Rate counts within Workload.Rate; they have sessions of their own to write
// and read everybody's.
type Witness struct {
	Region int
	Rate   float64 // 0: none
}

// ContestedLoad is a sample of sessions with several writers and readers in
// several regions.
type ContestedLoad struct {
	Sessions int
	Rate     float64 // operations a second over all of them, within Workload.Rate
}

// Eventual reads are GETs on connections that asked for eventual consistency
// (READONLY), so that any replica may answer. They go to the entries in Region, or
// to the next ones while none of those can be used, and are made on behalf of the
// owners of the followers' sessions. Rate counts within Workload.Rate.
type Eventual struct {
	Region int
	Rate   float64 // 0: none
}

// Stats is what the generator says of itself.
type Stats struct {
	Intended, OK, Failed, Unknown, Unsent uint64
	LagP999                               time.Duration // actual minus intended send time of the schedule
	CPU                                   time.Duration // of the generator alone, as far as it can be told apart
	Live                                  int           // sessions believed live
}

// Generator drives a workload. One Generator keeps its sessions over several
// phases: Fill, Run, ReadBack, Run again. Methods are not called concurrently,
// except Snapshot and Interval.
type Generator interface {
	// Fill creates the sessions, bounded in time, before the clock of the run
	// matters. Every session must be acknowledged or the error says how many are not.
	Fill(ctx context.Context) error
	// Run keeps the schedule for d (or until ctx ends) and returns when every
	// operation has completed or timed out.
	Run(ctx context.Context, d time.Duration) error
	// ReadBack reads every session ever acknowledged as created and not closed,
	// with strong reads, through the entries of a node region, at most
	// perSecond a second, each retried until it has an answer or the context ends.
	ReadBack(ctx context.Context, region int, perSecond float64) error
	Snapshot() Stats
	// Interval returns the numbers since its last call, for live progress.
	Interval() Interval
	Close() error
}

// Interval is what happened between two calls, for live progress.
type Interval struct {
	Span                   time.Duration
	Intended, OK, Bad      uint64
	ReadP99, WriteP99, Max time.Duration
}
