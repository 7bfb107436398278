package disk

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/cockroachdb/pebble/v2"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

const (
	chunkSize = 1 << 20
	// chunksPerWrite bounds how long the other groups' commits wait.
	chunksPerWrite = 4
)

// description of a snapshot whose data lies in chunks.
type description struct {
	Serial uint64 `json:"serial"`
	Size   int    `json:"size"`
	CRC    uint32 `json:"crc32c"` // of all data
	Meta   []byte `json:"meta"`   // protobuf
	meta   *raftpb.SnapshotMetadata
}

func (d *description) index() uint64 { return d.meta.GetIndex() }
func (d *description) term() uint64  { return d.meta.GetTerm() }

// writeChunks writes a snapshot's data under a serial number of its own. It
// need not be durable and counts for nothing until its description is
// committed: the write-ahead log keeps the order.
func (s *Store) writeChunks(group uint32, snap *Snapshot) (*description, error) {
	if snap.Meta.GetIndex() == 0 {
		return nil, fmt.Errorf("disk %s: group %d: a snapshot needs an index", s.dir, group)
	}
	meta, err := proto.Marshal(snap.Meta)
	if err != nil {
		return nil, fmt.Errorf("disk %s: group %d: snapshot: %w", s.dir, group, err)
	}
	d := &description{
		Serial: s.serial.Add(1), Size: len(snap.Data), CRC: crc32.Checksum(snap.Data, castagnoli), Meta: meta, meta: snap.Meta,
	}
	n := uint32(0)
	for rest := snap.Data; len(rest) > 0; {
		err := s.submit(&request{write: func(b *pebble.Batch) error {
			for range chunksPerWrite {
				piece := rest[:min(len(rest), chunkSize)]
				if len(piece) == 0 {
					break
				}
				key := chunkKey(group, d.Serial, n)
				if err := b.Set(key, seal(key, piece), nil); err != nil {
					return err
				}
				rest, n = rest[len(piece):], n+1
			}
			return nil
		}})
		if err != nil {
			return nil, err
		}
	}
	return d, nil
}

// put makes d the group's snapshot and drops the data of the one before.
func (d *description) put(b *pebble.Batch, group uint32) error {
	v, err := json.Marshal(d)
	if err != nil {
		return err
	}
	key := groupKey(keySnapshot, group)
	if err := b.Set(key, seal(key, v), nil); err != nil {
		return err
	}
	return deleteChunks(b, group, 0, d.Serial-1)
}

// SaveSnapshot stores the group's own snapshot and deletes the entries up to
// truncateTo, as far as the snapshot covers them. One that is older than what
// the disk holds is ignored.
func (s *Store) SaveSnapshot(group uint32, snap Snapshot, truncateTo uint64) error {
	d, err := s.writeChunks(group, &snap)
	if err != nil {
		return err
	}
	return s.submit(&request{sync: true, write: func(b *pebble.Batch) error {
		if err := s.broken[group]; err != nil {
			return fmt.Errorf("disk %s: %w", s.dir, err)
		}
		var cur state
		if p := s.groups[group]; p != nil {
			cur = *p
		}
		if d.Serial < cur.snapSerial {
			return fmt.Errorf("disk %s: group %d: two snapshots were stored at once", s.dir, group)
		}
		if d.index() < cur.snapIndex || d.index() == cur.snapIndex && d.term() != cur.snapTerm {
			return deleteChunks(b, group, d.Serial, d.Serial)
		}
		next := cur
		next.snapIndex, next.snapTerm, next.snapSerial = d.index(), d.term(), d.Serial
		if next.first == 0 {
			next.first, next.last = d.index()+1, d.index()
		}
		next.truncate(truncateTo)
		if next.first > cur.first && cur.first != 0 {
			if err := b.DeleteRange(entryKey(group, cur.first), entryKey(group, next.first), nil); err != nil {
				return err
			}
		}
		if err := d.put(b, group); err != nil {
			return err
		}
		if err := b.Set(groupKey(keyState, group), next.encode(group), nil); err != nil {
			return err
		}
		s.set(group, next)
		return nil
	}})
}

// loadSnapshot reads and verifies the group's snapshot.
func (s *Store) loadSnapshot(group uint32, st state) (*Snapshot, error) {
	key := groupKey(keySnapshot, group)
	v, c, err := s.db.Get(key)
	if err != nil {
		return nil, fmt.Errorf("description of the snapshot at index %d: %w", st.snapIndex, err)
	}
	defer c.Close()
	if v, err = unseal(key, v); err != nil {
		return nil, fmt.Errorf("description of the snapshot at index %d: %w", st.snapIndex, err)
	}
	var d description
	if err := json.Unmarshal(v, &d); err != nil {
		return nil, fmt.Errorf("description of the snapshot at index %d: %w", st.snapIndex, err)
	}
	d.meta = &raftpb.SnapshotMetadata{}
	if err := proto.Unmarshal(d.Meta, d.meta); err != nil {
		return nil, fmt.Errorf("description of the snapshot at index %d: %w", st.snapIndex, err)
	}
	if d.index() != st.snapIndex || d.term() != st.snapTerm || d.Serial != st.snapSerial {
		return nil, fmt.Errorf("snapshot at index %d of term %d, the state record says index %d of term %d", d.index(), d.term(), st.snapIndex, st.snapTerm)
	}
	snap := &Snapshot{Meta: d.meta, Data: make([]byte, 0, d.Size)}
	n := uint32(0)
	err = s.scan(chunkKey(group, d.Serial, 0), chunkKey(group, d.Serial, math.MaxUint32), func(k, v []byte) error {
		if want := chunkKey(group, d.Serial, n); string(k) != string(want) {
			return fmt.Errorf("piece %d of the snapshot at index %d is missing", n, st.snapIndex)
		}
		piece, err := unseal(k, v)
		if err != nil {
			return fmt.Errorf("piece %d of the snapshot at index %d: %w", n, st.snapIndex, err)
		}
		snap.Data = append(snap.Data, piece...)
		n++
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(snap.Data) != d.Size || crc32.Checksum(snap.Data, castagnoli) != d.CRC {
		return nil, fmt.Errorf("snapshot at index %d has %d of its %d bytes, or others than were written", st.snapIndex, len(snap.Data), d.Size)
	}
	return snap, nil
}
