package session

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Kind of an operation on a session.
type Kind uint8

const (
	Set     Kind = iota + 1 // SET
	GetEx                   // GETEX: observe, and change the time-to-live
	GetDel                  // GETDEL: observe and remove
	Del                     // DEL
	Pexpire                 // PEXPIRE: change the time-to-live
	Expire                  // by the leader: the session's time is over
	maxKind
)

// Flags of an operation.
type Flags uint8

const (
	NX      Flags = 1 << iota // Set only if absent
	XX                        // Set only if present
	KeepTTL                   // Set keeps the deadline
	WantOld                   // Set returns the old value
	NoTTL                     // GetEx removes the deadline (PERSIST)
	SameTTL                   // GetEx leaves the deadline alone
)

// Op is one replicated operation. Key and Value may alias the buffer that they
// were decoded from.
type Op struct {
	Kind    Kind
	Flags   Flags
	Gateway uint64 // of the process that took it from a client; 0: the leader itself
	Seq     uint64 // rises within a gateway
	TTL     uint64 // milliseconds; 0: none
	Version uint64 // Expire: only if the session still has this version
	Key     []byte
	Value   []byte
}

// Entry is what one Raft log entry holds: operations proposed together.
type Entry struct {
	Clock    uint64 // shard clock when it was proposed, milliseconds
	Proposer uint64 // process that proposed it, to find those who wait
	Batch    uint64 // rises within a proposer
	Ops      []Op
}

const entryVersion = 1

// Limits of what a decoder accepts.
const (
	MaxKey   = 64 << 10
	MaxValue = 1 << 20
)

// ErrCorrupt is an entry that is not one.
var ErrCorrupt = errors.New("corrupt session entry")

// AppendEntryHeader starts an entry for n operations, to be followed by
// exactly n AppendOp.
func AppendEntryHeader(b []byte, clock, proposer, batch uint64, n int) []byte {
	b = append(b, entryVersion)
	b = binary.AppendUvarint(b, clock)
	b = binary.LittleEndian.AppendUint64(b, proposer)
	b = binary.AppendUvarint(b, batch)
	return binary.AppendUvarint(b, uint64(n))
}

// AppendOp appends one encoded operation.
func AppendOp(b []byte, op *Op) []byte {
	b = append(b, byte(op.Kind), byte(op.Flags))
	b = binary.LittleEndian.AppendUint64(b, op.Gateway)
	b = binary.AppendUvarint(b, op.Seq)
	b = binary.AppendUvarint(b, op.TTL)
	if op.Kind == Expire {
		b = binary.AppendUvarint(b, op.Version)
	}
	b = binary.AppendUvarint(b, uint64(len(op.Key)))
	b = append(b, op.Key...)
	if op.Kind == Set {
		b = binary.AppendUvarint(b, uint64(len(op.Value)))
		b = append(b, op.Value...)
	}
	return b
}

type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) u64() uint64 {
	if len(d.b) < 8 {
		d.bad = true
		return 0
	}
	v := binary.LittleEndian.Uint64(d.b)
	d.b = d.b[8:]
	return v
}

func (d *decoder) bytes(limit uint64) []byte {
	n := d.uvarint()
	if d.bad || n > limit || n > uint64(len(d.b)) {
		d.bad = true
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

// DecodeOp reads one operation and returns what follows it.
func DecodeOp(b []byte, op *Op) ([]byte, error) {
	d := decoder{b: b}
	op.Kind, op.Flags = Kind(d.byte()), Flags(d.byte())
	op.Gateway, op.Seq, op.TTL = d.u64(), d.uvarint(), d.uvarint()
	op.Version, op.Value = 0, nil
	if op.Kind == Expire {
		op.Version = d.uvarint()
	}
	op.Key = d.bytes(MaxKey)
	if op.Kind == Set {
		op.Value = d.bytes(MaxValue)
	}
	if d.bad || op.Kind == 0 || op.Kind >= maxKind {
		return nil, ErrCorrupt
	}
	return d.b, nil
}

// decodeHeader reads the head of an entry and how many operations follow.
func decodeHeader(b []byte) (e Entry, n uint64, rest []byte, err error) {
	d := decoder{b: b}
	if v := d.byte(); !d.bad && v != entryVersion {
		return e, 0, nil, fmt.Errorf("%w: version %d, this build reads %d", ErrCorrupt, v, entryVersion)
	}
	e.Clock, e.Proposer, e.Batch = d.uvarint(), d.u64(), d.uvarint()
	n = d.uvarint()
	// An encoded operation takes at least 13 bytes, so a claimed count is bounded by what is there.
	if d.bad || n > uint64(len(d.b))/13 {
		return e, 0, nil, ErrCorrupt
	}
	return e, n, d.b, nil
}

// DecodeEntry reads a whole entry; its operations alias b.
func DecodeEntry(b []byte) (Entry, error) {
	e, n, rest, err := decodeHeader(b)
	if err != nil {
		return e, err
	}
	e.Ops = make([]Op, n)
	for i := range e.Ops {
		if rest, err = DecodeOp(rest, &e.Ops[i]); err != nil {
			return e, err
		}
	}
	if len(rest) != 0 {
		return e, ErrCorrupt
	}
	return e, nil
}
