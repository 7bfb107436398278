package disk

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"go.etcd.io/raft/v3/raftpb"
)

// Key space. Numbers are big-endian, so that keys sort by group and index.
const (
	keyIdentity = 1 // JSON document
	keyState    = 2 // group: the group's state record
	keyEntry    = 3 // group, index: one log entry
	keySnapshot = 4 // group: description of the snapshot
	keyChunk    = 5 // group, serial, number: a piece of the snapshot's data
)

func groupKey(kind byte, group uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{kind}, group)
}

const entryKeyLen = 13

func putEntryKey(dst []byte, group uint32, index uint64) {
	dst[0] = keyEntry
	binary.BigEndian.PutUint32(dst[1:], group)
	binary.BigEndian.PutUint64(dst[5:], index)
}

func entryKey(group uint32, index uint64) []byte {
	k := make([]byte, entryKeyLen)
	putEntryKey(k, group, index)
	return k
}

func chunkKey(group uint32, serial uint64, n uint32) []byte {
	k := binary.BigEndian.AppendUint64(groupKey(keyChunk, group), serial)
	return binary.BigEndian.AppendUint32(k, n)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sum covers the key too: a value that turns up under another key is found out.
func sum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

// seal prefixes a value with its checksum.
func seal(key, value []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(value)), sum(key, value)), value...)
}

// unseal returns the value behind its checksum, sharing the memory.
func unseal(key, sealed []byte) ([]byte, error) {
	if len(sealed) < 4 {
		return nil, fmt.Errorf("record of %d bytes is torn", len(sealed))
	}
	if want, got := binary.LittleEndian.Uint32(sealed), sum(key, sealed[4:]); want != got {
		return nil, fmt.Errorf("checksum is %08x, its data gives %08x", want, got)
	}
	return sealed[4:], nil
}

// Entry values: checksum, type, term, data.
const entryHead = 4 + 1 + 8

func putEntry(key, dst []byte, e *raftpb.Entry) {
	dst[4] = byte(e.GetType())
	binary.LittleEndian.PutUint64(dst[5:], e.GetTerm())
	copy(dst[entryHead:], e.GetData())
	binary.LittleEndian.PutUint32(dst, sum(key, dst[4:]))
}

func getEntry(key, value []byte) (*raftpb.Entry, error) {
	v, err := unseal(key, value)
	if err != nil {
		return nil, err
	}
	if len(v) < entryHead-4 {
		return nil, fmt.Errorf("record of %d bytes is torn", len(value))
	}
	e := &raftpb.Entry{
		Type: raftpb.EntryType(v[0]).Enum(), Term: new(binary.LittleEndian.Uint64(v[1:])),
		Index: new(binary.BigEndian.Uint64(key[5:])),
	}
	if data := v[9:]; len(data) > 0 {
		e.Data = append([]byte(nil), data...)
	}
	return e, nil
}

// state is what is known of a group without reading its log. It is written
// with every append, so that entries missing at either end of the log are
// noticed.
type state struct {
	term, vote, commit uint64 // hard state
	first, last        uint64 // entries in the log; last = first-1 if there are none
	snapIndex          uint64 // 0: no snapshot
	snapTerm           uint64
	snapSerial         uint64 // of its chunks
}

const stateVersion = 1

func (s *state) fields() [8]*uint64 {
	return [8]*uint64{&s.term, &s.vote, &s.commit, &s.first, &s.last, &s.snapIndex, &s.snapTerm, &s.snapSerial}
}

func (s *state) encode(group uint32) []byte {
	v := append(make([]byte, 0, 1+8*8), stateVersion)
	for _, f := range s.fields() {
		v = binary.LittleEndian.AppendUint64(v, *f)
	}
	return seal(groupKey(keyState, group), v)
}

func decodeState(group uint32, value []byte) (state, error) {
	var s state
	v, err := unseal(groupKey(keyState, group), value)
	if err != nil {
		return s, err
	}
	if len(v) != 1+8*8 || v[0] != stateVersion {
		return s, fmt.Errorf("state record of %d bytes has version %d, want %d", len(v), v[:1], stateVersion)
	}
	for i, f := range s.fields() {
		*f = binary.LittleEndian.Uint64(v[1+8*i:])
	}
	return s, nil
}
