package loadgen

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"
)

// MinStateBytes is the size of the smallest state; MaxStateBytes of the largest.
const (
	MinStateBytes = 40
	MaxStateBytes = 1 << 20
)

// State is what a session's value says of itself.
type State struct {
	Session uint64
	Seq     uint32
	Writer  uint16
	Time    time.Duration // intended start of the write, since the run's epoch
}

// Layout, little endian: magic, checksum of everything else, length, sequence
// number, session, time, writer, then filler that follows from session,
// sequence number and writer.
const (
	stateMagic    = "5n9s"
	stateChecksum = 4
	stateLength   = 8
	stateSeq      = 12
	stateSession  = 16
	stateTime     = 24
	stateWriter   = 32
	stateFiller   = MinStateBytes
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func stateSum(b []byte) uint32 { return crc32.Update(0, castagnoli, b[stateLength:]) }

// AppendState appends a state of size bytes, at least MinStateBytes.
func AppendState(dst []byte, s State, size int) []byte {
	from := len(dst)
	size = max(size, MinStateBytes)
	if cap(dst)-from < size {
		dst = append(make([]byte, 0, max(2*cap(dst), from+size)), dst...)
	}
	dst = dst[:from+size]
	b := dst[from:]
	copy(b, stateMagic)
	binary.LittleEndian.PutUint32(b[stateLength:], uint32(size))
	binary.LittleEndian.PutUint32(b[stateSeq:], s.Seq)
	binary.LittleEndian.PutUint64(b[stateSession:], s.Session)
	binary.LittleEndian.PutUint64(b[stateTime:], uint64(s.Time))
	binary.LittleEndian.PutUint64(b[stateWriter:], uint64(s.Writer))
	fill(b[stateFiller:], s)
	binary.LittleEndian.PutUint32(b[stateChecksum:], stateSum(b))
	return dst
}

// fill is not compressible, and differs between any two states.
func fill(b []byte, s State) {
	x := s.Session*0x9E3779B97F4A7C15 ^ uint64(s.Seq)<<16 ^ uint64(s.Writer) | 1
	for ; len(b) >= 8; b = b[8:] {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		binary.LittleEndian.PutUint64(b, x)
	}
	for i := range b {
		b[i] = byte(x >> (8 * i))
	}
}

// What DecodeState finds wrong.
var (
	ErrStateShape    = errors.New("not a session state: its length or magic is wrong")
	ErrStateChecksum = errors.New("a session state with a wrong checksum")
)

// DecodeState reads a state and checks its checksum. Whether it belongs to the
// session that was asked for is the caller's to check.
func DecodeState(b []byte) (State, error) {
	if len(b) < MinStateBytes || string(b[:4]) != stateMagic || uint64(binary.LittleEndian.Uint32(b[stateLength:])) != uint64(len(b)) {
		return State{}, ErrStateShape
	}
	if stateSum(b) != binary.LittleEndian.Uint32(b[stateChecksum:]) {
		return State{}, ErrStateChecksum
	}
	w := binary.LittleEndian.Uint64(b[stateWriter:])
	s := State{
		Session: binary.LittleEndian.Uint64(b[stateSession:]),
		Seq:     binary.LittleEndian.Uint32(b[stateSeq:]),
		Writer:  uint16(w),
		Time:    time.Duration(binary.LittleEndian.Uint64(b[stateTime:])),
	}
	if w > 1<<16-1 || s.Seq == 0 || s.Time < 0 {
		return State{}, ErrStateShape
	}
	return s, nil
}
