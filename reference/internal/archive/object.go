package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
)

// Kinds of objects.
const (
	KindSnapshot = "snapshot"
	KindSegment  = "segment"
	KindManifest = "manifest"
)

// Head says what an object holds. Times are Unix milliseconds.
type Head struct {
	Kind        string `json:"kind"`
	Cluster     string `json:"cluster"`
	Incarnation uint64 `json:"incarnation"`
	Group       uint32 `json:"group,omitempty"`
	Node        string `json:"node,omitempty"`  // that wrote it
	First       uint64 `json:"first,omitempty"` // index of the first entry; of a snapshot as Last
	Last        uint64 `json:"last,omitempty"`
	Term        uint64 `json:"term,omitempty"`  // of the entry at Last
	Clock       uint64 `json:"clock,omitempty"` // shard clock at Last, milliseconds
	Wall        int64  `json:"wall"`            // of the entry at Last
}

// Entry is one committed entry.
type Entry struct {
	Index, Term uint64
	Wall        int64  // Unix milliseconds; see the package comment
	Data        []byte // nil where Raft's own: an election, a configuration
}

// Object is a decoded object.
type Object struct {
	Head
	Entries []Entry // of a segment
	Data    []byte  // of a snapshot or a manifest
}

const (
	magic      = "5nA1"
	maxHead    = 4 << 10
	maxEntry   = 64 << 20
	maxEntries = 1 << 22
)

// ErrCorrupt is an object that is not what was written.
var ErrCorrupt = errors.New("corrupt")

func corrupt(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, a...))
}

// Encode returns the bytes of an object.
func (o *Object) Encode() ([]byte, error) {
	h, err := json.Marshal(o.Head)
	if err != nil {
		return nil, err
	}
	size := 64 + len(h) + len(o.Data)
	for i := range o.Entries {
		size += 24 + len(o.Entries[i].Data)
	}
	b := append(make([]byte, 0, size), magic...)
	b = binary.AppendUvarint(b, uint64(len(h)))
	b = append(b, h...)
	if o.Kind != KindSegment {
		return seal(append(b, o.Data...)), nil
	}
	if n := uint64(len(o.Entries)); n == 0 || n != o.Last-o.First+1 {
		return nil, fmt.Errorf("archive: segment %d to %d with %d entries", o.First, o.Last, n)
	}
	term, wall := uint64(0), int64(0)
	for i, e := range o.Entries {
		if e.Index != o.First+uint64(i) || e.Term < term {
			return nil, fmt.Errorf("archive: segment from %d: entry %d of term %d at place %d", o.First, e.Index, e.Term, i)
		}
		b = binary.AppendUvarint(b, e.Term-term)
		b = binary.AppendVarint(b, e.Wall-wall)
		b = binary.AppendUvarint(b, uint64(len(e.Data)))
		b = append(b, e.Data...)
		term, wall = e.Term, e.Wall
	}
	return seal(b), nil
}

func seal(b []byte) []byte {
	s := sha256.Sum256(b)
	return append(b, s[:]...)
}

// Decode verifies the checksum and reads an object. Its data alias b.
func Decode(b []byte) (*Object, error) {
	if len(b) < len(magic)+sha256.Size {
		return nil, corrupt("%d bytes are no object", len(b))
	}
	body, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if s := sha256.Sum256(body); !bytes.Equal(s[:], sum) {
		return nil, corrupt("torn or damaged: its %d bytes have another checksum than it says", len(b))
	}
	if string(body[:len(magic)]) != magic {
		return nil, corrupt("it begins with %q, not %q", body[:len(magic)], magic)
	}
	d := reader{b: body[len(magic):]}
	o := &Object{}
	head := d.bytes(maxHead)
	if d.bad {
		return nil, corrupt("its head is cut short")
	}
	dec := json.NewDecoder(bytes.NewReader(head))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&o.Head); err != nil || dec.More() {
		return nil, corrupt("head: %v", err)
	}
	if o.Kind != KindSegment {
		if o.Kind != KindSnapshot && o.Kind != KindManifest {
			return nil, corrupt("unknown kind %q", o.Kind)
		}
		o.Data = d.b
		return o, nil
	}
	if o.First == 0 || o.Last < o.First || o.Last-o.First >= maxEntries {
		return nil, corrupt("a segment from %d to %d", o.First, o.Last)
	}
	n := o.Last - o.First + 1
	if n > uint64(len(d.b))/3 {
		return nil, corrupt("%d entries in %d bytes", n, len(d.b))
	}
	o.Entries = make([]Entry, n)
	term, wall := uint64(0), int64(0)
	for i := range o.Entries {
		term += d.uvarint()
		wall += d.varint()
		data := d.bytes(maxEntry)
		if d.bad {
			return nil, corrupt("entry %d is cut short", o.First+uint64(i))
		}
		if len(data) == 0 {
			data = nil
		}
		o.Entries[i] = Entry{Index: o.First + uint64(i), Term: term, Wall: wall, Data: data}
	}
	if len(d.b) != 0 {
		return nil, corrupt("%d bytes behind the last entry", len(d.b))
	}
	if term != o.Term {
		return nil, corrupt("its last entry is of term %d, the head says %d", term, o.Term)
	}
	return o, nil
}

type reader struct {
	b   []byte
	bad bool
}

func (d *reader) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *reader) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *reader) bytes(limit uint64) []byte {
	n := d.uvarint()
	if d.bad || n > limit || n > uint64(len(d.b)) {
		d.bad = true
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}
