package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/fivenines/fivenines/reference/internal/admission"
	"github.com/fivenines/fivenines/reference/internal/gateway"
	"github.com/fivenines/fivenines/reference/internal/session"
)

// A frame is [length uint32][type byte][payload]; length counts type and payload.
const (
	frameHello   = 1 // JSON hello, first on a connection
	frameWelcome = 2 // answer to hello: empty, or why it is refused
	frameRaft    = 3 // [group uint32][raftpb.Message]
	frameForward = 4 // requests for a leader
	frameReply   = 5 // their answers
	framePing    = 6 // what a node tells everybody: liveness and what it leads
	frameControl = 7 // JSON control
	FrameCanary  = 8 // echoed: a probe of the link
	frameProbe   = 9 // echoed, on a connection for probes: [path's number of the probe uint64]
)

// Bounds of a frame. What is decoded takes some dozen times as much memory as
// its bytes if they are chosen for that, so the frames of many small parts have
// a lower one; their senders begin another frame long before it.
const (
	maxHello   = 4096      // before a peer has said who it is
	maxMail    = 8 << 20   // of all frames but those of Raft
	maxFrame   = 256 << 20 // a snapshot is the largest
	fullFrame  = 1 << 20   // of forwards and replies: then the next one begins
	maxEntries = 1 << 18   // of one Raft message: raft itself sends no more than 1 MiB of them
)

var errFrame = errors.New("malformed frame")

func beginFrame(b []byte, typ byte) ([]byte, int) {
	at := len(b)
	return append(b, 0, 0, 0, 0, typ), at
}

func endFrame(b []byte, at int) []byte {
	binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}

// AppendFrame appends a whole frame.
func AppendFrame(b []byte, typ byte, payload []byte) []byte {
	b, at := beginFrame(b, typ)
	return endFrame(append(b, payload...), at)
}

// NextFrame cuts the first frame off b. n is 0 while it is incomplete.
func NextFrame(b []byte, limit int) (typ byte, payload []byte, n int, err error) {
	if len(b) < 4 {
		return 0, nil, 0, nil
	}
	l := int64(binary.LittleEndian.Uint32(b))
	if l < 1 || l > int64(limit) {
		return 0, nil, 0, fmt.Errorf("%w: length %d", errFrame, l)
	}
	if len(b) > 4 && b[4] != frameRaft && l > maxMail {
		return 0, nil, 0, fmt.Errorf("%w: length %d of type %d", errFrame, l, b[4])
	}
	if int64(len(b)) < 4+l {
		return 0, nil, 0, nil
	}
	n = 4 + int(l)
	return b[4], b[5:n:n], n, nil
}

func appendRaft(b []byte, group uint32, m *raftpb.Message) ([]byte, error) {
	b, at := beginFrame(b, frameRaft)
	b = binary.LittleEndian.AppendUint32(b, group)
	b, err := proto.MarshalOptions{}.MarshalAppend(b, m)
	if err != nil {
		return b[:at], err
	}
	return endFrame(b, at), nil
}

type raftMsg struct {
	group uint32
	m     *raftpb.Message
}

func decodeRaft(p []byte) (raftMsg, error) {
	if len(p) < 4 {
		return raftMsg{}, errFrame
	}
	if err := countEntries(p[4:]); err != nil {
		return raftMsg{}, err
	}
	m := &raftpb.Message{}
	if err := proto.Unmarshal(p[4:], m); err != nil {
		return raftMsg{}, fmt.Errorf("%w: %w", errFrame, err)
	}
	switch {
	case m.Type == nil:
		return raftMsg{}, fmt.Errorf("%w: no type", errFrame)
	case len(m.Responses) > 0:
		return raftMsg{}, fmt.Errorf("%w: %v carries messages of a replica to itself", errFrame, m.GetType())
	}
	return raftMsg{binary.LittleEndian.Uint32(p), m}, nil
}

// countEntries refuses a message of so many entries that to decode it would
// take many times its size.
func countEntries(b []byte) error {
	if len(b) < maxEntries {
		return nil // an entry takes two bytes at least
	}
	const entries = 7 // raftpb.Message.Entries
	for count := 0; len(b) > 0; {
		field, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: %w", errFrame, protowire.ParseError(n))
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(field, typ, b); n < 0 {
			return fmt.Errorf("%w: %w", errFrame, protowire.ParseError(n))
		}
		b = b[n:]
		if field == entries {
			if count++; count > maxEntries {
				return fmt.Errorf("%w: more than %d entries in one message", errFrame, maxEntries)
			}
		}
	}
	return nil
}

// forward is a request on its way to the leader. Age is how much of its time
// is left, so that no two clocks have to agree.
type forward struct {
	id       uint64
	left     time.Duration
	kind     gateway.Kind
	priority admission.Priority
	shard    int
	op       session.Op
}

func appendForward(b []byte, f *forward) []byte {
	b = binary.AppendUvarint(b, f.id)
	b = binary.AppendUvarint(b, uint64(max(f.left, 0)/time.Microsecond))
	b = append(b, byte(f.kind)|byte(f.priority)<<4)
	b = binary.AppendUvarint(b, uint64(f.shard))
	op := f.op
	if f.kind != gateway.Write {
		op = session.Op{Kind: session.Del, Key: op.Key}
	}
	return session.AppendOp(b, &op)
}

func decodeForward(b []byte) (f forward, rest []byte, err error) {
	id, n := binary.Uvarint(b)
	if n <= 0 {
		return f, nil, errFrame
	}
	b = b[n:]
	left, n := binary.Uvarint(b)
	if n <= 0 || len(b) < n+1 || left > uint64(time.Hour/time.Microsecond) {
		return f, nil, errFrame
	}
	kind, priority := gateway.Kind(b[n]&0xf), admission.Priority(b[n]>>4)
	b = b[n+1:]
	shard, n := binary.Uvarint(b)
	if n <= 0 || kind < gateway.Write || kind > gateway.Count || priority > admission.Critical || shard > 1<<20 {
		return f, nil, errFrame
	}
	f = forward{id: id, left: time.Duration(left) * time.Microsecond, kind: kind, priority: priority, shard: int(shard)}
	if rest, err = session.DecodeOp(b[n:], &f.op); err != nil {
		return f, nil, fmt.Errorf("%w: %w", errFrame, err)
	}
	if f.op.Kind == session.Expire || kind != gateway.Write && f.op.Kind != session.Del {
		return f, nil, fmt.Errorf("%w: operation %d as a request of kind %d", errFrame, f.op.Kind, kind)
	}
	return f, rest, nil
}

// reply answers a forward.
type reply struct {
	id     uint64
	status gateway.Status
	flags  byte
	num    int64
	value  []byte
}

const (
	replyFound = 1 << iota
	replyApplied
	replyMoved      // not applied, and somebody else leads
	replyOverloaded // not applied, since it is of too low a priority now
)

func appendReply(b []byte, r *reply) []byte {
	b = binary.AppendUvarint(b, r.id)
	b = append(b, byte(r.status), r.flags)
	b = binary.AppendVarint(b, r.num)
	b = binary.AppendUvarint(b, uint64(len(r.value)))
	return append(b, r.value...)
}

func decodeReply(b []byte) (r reply, rest []byte, err error) {
	id, n := binary.Uvarint(b)
	if n <= 0 || len(b) < n+2 {
		return r, nil, errFrame
	}
	r.id, r.status, r.flags = id, gateway.Status(b[n]), b[n+1]
	b = b[n+2:]
	num, n := binary.Varint(b)
	if n <= 0 {
		return r, nil, errFrame
	}
	r.num = num
	b = b[n:]
	l, n := binary.Uvarint(b)
	if n <= 0 || l > uint64(len(b)-n) {
		return r, nil, errFrame
	}
	r.value = b[n : n+int(l) : n+int(l)]
	if r.status < gateway.OK || r.status > gateway.Unknown {
		return r, nil, errFrame
	}
	return r, b[n+int(l):], nil
}

// hint says who leads a shard, as far as its teller knows.
type hint struct {
	shard  uint32
	term   uint64
	leader int // node index, -1 none
}

func appendHints(b []byte, hs []hint) []byte {
	b = binary.AppendUvarint(b, uint64(len(hs)))
	for _, h := range hs {
		b = binary.AppendUvarint(b, uint64(h.shard))
		b = binary.AppendUvarint(b, h.term)
		b = binary.AppendVarint(b, int64(h.leader))
	}
	return b
}

func decodeHints(b []byte) ([]hint, error) {
	c, n := binary.Uvarint(b)
	if n <= 0 || c > uint64(len(b)-n)/3 {
		return nil, errFrame // a hint takes three bytes at least
	}
	b = b[n:]
	hs := make([]hint, 0, c)
	for range c {
		s, n := binary.Uvarint(b)
		if n <= 0 || s > 1<<20 {
			return nil, errFrame
		}
		b = b[n:]
		t, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errFrame
		}
		b = b[n:]
		l, n := binary.Varint(b)
		if n <= 0 || l < -1 || l > 1<<16 {
			return nil, errFrame
		}
		b = b[n:]
		hs = append(hs, hint{uint32(s), t, int(l)})
	}
	if len(b) > 0 {
		return nil, errFrame
	}
	return hs, nil
}
