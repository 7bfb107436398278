// Package gateway is the RESP front door of a node: a documented subset of
// Redis's commands (see [Commands]), RESP2 and RESP3, pipelined. Any node takes
// any key; what it does not lead it hands to the [Node], which forwards once.
//
// Error replies tell a client what it may do (DESIGN section 4):
//
//	-NOTAPPLIED ...  certainly not applied, may be sent again
//	-UNKNOWN ...     may have been applied, then or later
package gateway

import (
	"time"

	"github.com/fivenines/fivenines/reference/internal/admission"
	"github.com/fivenines/fivenines/reference/internal/session"
)

// Kind of a request.
type Kind uint8

const (
	Write  Kind = iota + 1 // Request.Op
	Get                    // value
	Exists                 // found
	PTTL                   // Num: milliseconds, -1 no time-to-live, -2 absent
	Count                  // Num: sessions in the shard
)

// Status of a completed request.
type Status uint8

const (
	OK Status = iota + 1
	NotApplied
	Unknown
)

// Completer takes a request back. It is called once, by the node's loop, and
// must not block.
type Completer interface{ Complete(*Request) }

// Request is one operation on one shard.
type Request struct {
	Kind     Kind
	Eventual bool // any replica may answer
	Shard    int
	Op       session.Op    // Write; reads use Op.Key. Owned by the request.
	Deadline time.Duration // on the node's clock: after it a write is refused by the leader
	Hops     uint8         // 1: forwarded to here, not forwarded again
	Priority admission.Priority
	Admitted bool // it counts as in flight here until it is completed

	Status Status
	Reason string // of a Status that is not OK
	Moved  bool   // NotApplied: another node leads now
	// Overloaded: NotApplied, since this node has no room for its priority.
	Overloaded bool
	Result     session.Result
	Value      []byte
	Found      bool
	Num        int64

	To   Completer
	ID   uint64 // for To's use
	slot *slot
	hash uint64 // of the key of a write
	as   Kind   // of a read that goes through the log
}

// throughLog makes a read of one key an entry of its shard's log. A connection's
// commands take effect in their order, so what reads a key that the connection
// is still writing has to stand behind that write.
func (r *Request) throughLog() {
	r.as, r.Kind = r.Kind, Write
	r.Op = session.Op{Kind: session.GetEx, Flags: session.SameTTL, Key: r.Op.Key}
}

// asRead undoes throughLog when the answer is there.
func (r *Request) asRead() {
	if r.as == 0 {
		return
	}
	r.Kind, r.as = r.as, 0
	r.Found, r.Value, r.Num = r.Result.Found, r.Result.Old, -2
	if r.Found {
		r.Num = r.Result.TTL
	}
	r.Result = session.Result{}
	if r.Status == Unknown {
		r.Status = NotApplied // it changed nothing in any case
	}
}

// Fail completes the request without effect.
func (r *Request) Fail(s Status, reason string) {
	r.Status, r.Reason = s, reason
	r.To.Complete(r)
}

// SlotRange is a run of hash slots and who serves it.
type SlotRange struct {
	Start, End int
	Nodes      []NodeAddr // the leader first, where one is known
}

// NodeAddr is a node as clients see it.
type NodeAddr struct {
	ID   string
	Host string
	Port int
}

// Node is what the front door needs of the node.
type Node interface {
	ID() string
	ShardOf(key []byte) int
	Shards() int
	// ReadHere answers a Get from this node if it may: as the leader under its
	// lease, or as any replica if eventual. ok is false if it may not. at is the
	// clock, if that was looked at behind the read, else 0.
	ReadHere(shard int, dst, key []byte, eventual bool) (value []byte, found bool, at time.Duration, ok bool)
	// Submit takes requests; each is completed exactly once, also after Close.
	Submit(rs []*Request)
	Now() time.Duration
	// Recent is Now as whoever completes requests last looked at it: a moment ago,
	// while it does. It costs nothing.
	Recent() time.Duration
	// Awake changes whenever this process is found to have slept for so long
	// that what then waits in its sockets is older than its clients' patience.
	Awake(now time.Duration) uint64
	// Woke is when that was last found, 0 for never.
	Woke(now time.Duration) time.Duration
	Slots() []SlotRange
	Info() string
}
