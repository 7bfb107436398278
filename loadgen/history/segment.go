package history

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"
)

// A segment is a header and blocks, all integers little-endian:
//
//	header   magic "5NINEOPS" | version u32 | record size u32 | trial u32 | segment u32 | first u64 | crc32c u32
//	block    tag u32 | length u32 | first u64 | crc32c u32 | payload of length bytes
//
// A block's checksum covers its tag, length, first and payload. first counts
// the operations of the trial that stand before, so that a lost block or
// segment shows. The tag says what the block is: operations, the mark that the
// trial goes on in the next segment, or the mark that it was completely
// written. A segment without a mark belongs to a writer that was cut off.
//
// Kinds and classes are numbers that only ever get more: records of before read
// as they did, and a program that does not know one that is newer says so.
const (
	headerSize      = 36
	blockHeaderSize = 20
	recordSize      = 56
	version         = 1

	// blockOps bounds a block, and with it what a reader has to hold.
	blockOps = 1024
	maxBlock = blockOps * recordSize

	// segmentBytes is the size at which a segment is ended and a new one begun.
	segmentBytes = 64 << 20
)

var (
	fileMagic = []byte("5NINEOPS")
	tagPrefix = []byte("5nb")

	tagOps  = binary.LittleEndian.Uint32([]byte("5nbo"))
	tagNext = binary.LittleEndian.Uint32([]byte("5nbn"))
	tagEnd  = binary.LittleEndian.Uint32([]byte("5nbe"))

	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// flags of a record.
const (
	flagAbsent = 1 << iota
	flagExists
	flagCorrupt
	flagsAll = 1<<iota - 1
)

// appendRecord encodes o. The layout is that of Op's fields; the last two
// bytes are zero.
func appendRecord(b []byte, o *Op) []byte {
	n := len(b)
	var zero [recordSize]byte
	b = append(b, zero[:]...)
	r := (*[recordSize]byte)(b[n:])
	le := binary.LittleEndian
	le.PutUint64(r[0:], uint64(o.Intended))
	le.PutUint64(r[8:], uint64(o.Start))
	le.PutUint64(r[16:], uint64(o.End))
	le.PutUint64(r[24:], o.Session)
	le.PutUint32(r[32:], o.Seq)
	le.PutUint32(r[36:], o.TTL)
	le.PutUint16(r[40:], o.Writer)
	le.PutUint16(r[42:], o.Client)
	le.PutUint16(r[44:], o.Partition)
	r[46], r[47] = o.Region, o.Node
	r[48], r[49], r[50], r[51] = byte(o.Kind), byte(o.Outcome), byte(o.Class), byte(o.Cause)
	r[52] = o.Retries
	if o.Absent {
		r[53] |= flagAbsent
	}
	if o.Exists {
		r[53] |= flagExists
	}
	if o.Corrupt {
		r[53] |= flagCorrupt
	}
	return b
}

// decodeRecord is the inverse of appendRecord; it does not validate the operation.
func decodeRecord(r *[recordSize]byte, o *Op) error {
	le := binary.LittleEndian
	if r[53]&^flagsAll != 0 || r[54] != 0 || r[55] != 0 {
		return fmt.Errorf("flags %#x and padding %#x that this version does not know", r[53], r[54:56])
	}
	*o = Op{
		Intended:  time.Duration(le.Uint64(r[0:])),
		Start:     time.Duration(le.Uint64(r[8:])),
		End:       time.Duration(le.Uint64(r[16:])),
		Session:   le.Uint64(r[24:]),
		Seq:       le.Uint32(r[32:]),
		TTL:       le.Uint32(r[36:]),
		Writer:    le.Uint16(r[40:]),
		Client:    le.Uint16(r[42:]),
		Partition: le.Uint16(r[44:]),
		Region:    r[46],
		Node:      r[47],
		Kind:      Kind(r[48]),
		Outcome:   Outcome(r[49]),
		Class:     Class(r[50]),
		Cause:     Cause(r[51]),
		Retries:   r[52],
		Absent:    r[53]&flagAbsent != 0,
		Exists:    r[53]&flagExists != 0,
		Corrupt:   r[53]&flagCorrupt != 0,
	}
	return nil
}

// segmentID is where a segment stands in the run.
type segmentID struct {
	trial, segment int
}

func (id segmentID) name() string { return fmt.Sprintf("ops-t%03d-%06d.seg", id.trial, id.segment) }

func appendHeader(b []byte, id segmentID, first uint64) []byte {
	le, n := binary.LittleEndian, len(b)
	b = append(b, fileMagic...)
	b = le.AppendUint32(b, version)
	b = le.AppendUint32(b, recordSize)
	b = le.AppendUint32(b, uint32(id.trial))
	b = le.AppendUint32(b, uint32(id.segment))
	b = le.AppendUint64(b, first)
	return le.AppendUint32(b, crc32.Checksum(b[n:], castagnoli))
}

// sealBlock writes the header of a block whose payload stands behind it in b.
func sealBlock(b []byte, tag uint32, first uint64) {
	le := binary.LittleEndian
	le.PutUint32(b[0:], tag)
	le.PutUint32(b[4:], uint32(len(b)-blockHeaderSize))
	le.PutUint64(b[8:], first)
	le.PutUint32(b[16:], blockChecksum(b))
}

func blockChecksum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:16], castagnoli), castagnoli, b[blockHeaderSize:])
}

// DamageError says that a record is not what was written.
type DamageError struct {
	File   string
	Offset int64
	Reason string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s is damaged at offset %d: %s; restore the file from a copy or run again", e.File, e.Offset, e.Reason)
}

// scanner reads one segment. Its memory is one block, whatever the file says.
type scanner struct {
	r    io.ReaderAt
	size int64
	name string // for errors
	buf  []byte
}

func newScanner(r io.ReaderAt, size int64, name string) *scanner {
	return &scanner{r: r, size: size, name: name, buf: make([]byte, 0, min(blockHeaderSize+maxBlock, size))}
}

func (s *scanner) damage(off int64, format string, args ...any) error {
	return &DamageError{s.name, off, fmt.Sprintf(format, args...)}
}

// read returns n bytes at off, in s.buf. errShort means that the file ends before.
func (s *scanner) read(off int64, n int) ([]byte, error) {
	if off+int64(n) > s.size {
		return nil, errShort
	}
	b := s.buf[:n]
	if _, err := s.r.ReadAt(b, off); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read %s at offset %d: %w", s.name, off, err)
	} else if err == io.EOF && off+int64(n) != s.size {
		return nil, fmt.Errorf("read %s at offset %d: %w", s.name, off, io.ErrUnexpectedEOF)
	}
	return b, nil
}

// errShort and errBroken are a torn or damaged piece; whether that is a damaged
// tail is for scan to say.
var (
	errShort  = errors.New("a block is cut off")
	errBroken = errors.New("a block does not match its checksum")
)

// block is one that was read and whose checksum is right.
type block struct {
	tag     uint32
	first   uint64
	payload []byte // valid until the next read
	size    int64  // with header
}

func (s *scanner) block(off int64) (block, error) {
	h, err := s.read(off, blockHeaderSize)
	if err != nil {
		return block{}, err
	}
	le := binary.LittleEndian
	tag, length := le.Uint32(h), le.Uint32(h[4:])
	switch {
	case tag != tagOps && tag != tagNext && tag != tagEnd,
		tag == tagOps && (length == 0 || length > maxBlock || length%recordSize != 0),
		tag != tagOps && length != 0:
		return block{}, errBroken
	}
	b, err := s.read(off, blockHeaderSize+int(length))
	if err != nil {
		return block{}, err
	}
	if le.Uint32(b[16:]) != blockChecksum(b) {
		return block{}, errBroken
	}
	return block{tag, le.Uint64(b[8:]), b[blockHeaderSize:], int64(len(b))}, nil
}

// header checks the segment's header and returns the number of operations
// before the segment. errShort and errBroken as for block.
func (s *scanner) header(id segmentID) (uint64, error) {
	h, err := s.read(0, headerSize)
	if err != nil {
		return 0, err
	}
	le := binary.LittleEndian
	if le.Uint32(h[32:]) != crc32.Checksum(h[:32], castagnoli) {
		return 0, errBroken
	}
	if !bytes.Equal(h[:8], fileMagic) {
		return 0, errBroken
	}
	if v := le.Uint32(h[8:]); v != version {
		return 0, fmt.Errorf("%s has format version %d and this program reads version %d; use the fivenines that wrote it", s.name, v, version)
	}
	if n := le.Uint32(h[12:]); n != recordSize {
		return 0, s.damage(0, "its records have %d bytes, not %d", n, recordSize)
	}
	if t, n := int(le.Uint32(h[16:])), int(le.Uint32(h[20:])); (segmentID{t, n}) != id {
		return 0, s.damage(0, "it is segment %d of trial %d under the name of another", n, t)
	}
	return le.Uint64(h[24:]), nil
}

// scanned is what a segment turned out to hold.
type scanned struct {
	header      bool   // it is whole
	first, next uint64 // operations of the trial before the segment and up to its end
	mark        uint32 // tagNext, tagEnd, or 0 where it ends without one
	end         int64  // up to which it is intact
}

// scan reads the whole segment and calls each, if not nil, with every block of
// operations. A segment that just ends, or ends in damage with nothing intact
// behind it, has no mark: only the caller knows whether it may. Everything else
// that is wrong is an error.
func (s *scanner) scan(id segmentID, each func(s *scanner, off int64, b block) error) (scanned, error) {
	first, err := s.header(id)
	if err == errShort || err == errBroken {
		return scanned{}, s.tail(0, err)
	}
	if err != nil {
		return scanned{}, err
	}
	got := scanned{header: true, first: first, next: first, end: headerSize}
	for got.end < s.size {
		b, err := s.block(got.end)
		if err == errShort || err == errBroken {
			return got, s.tail(got.end, err)
		}
		if err != nil {
			return got, err
		}
		if b.first != got.next {
			return got, s.damage(got.end, "operation %d of the trial stands where %d should", b.first, got.next)
		}
		if b.tag != tagOps {
			got.mark = b.tag
			got.end += b.size
			if got.end != s.size {
				return got, s.damage(got.end, "%d bytes follow the end", s.size-got.end)
			}
			return got, nil
		}
		if each != nil {
			if err := each(s, got.end, b); err != nil {
				return got, err
			}
		}
		got.next += uint64(len(b.payload) / recordSize)
		got.end += b.size
	}
	return got, nil
}

// maxCandidates bounds the work of looking for intact blocks in a file that was
// made to look like many.
const maxCandidates = 1 << 14

// tail returns nil if what is damaged at off is the end of what was written:
// no intact block follows.
func (s *scanner) tail(off int64, cause error) error {
	chunk := make([]byte, max(1, min(64<<10, s.size-off)))
	candidates := 0
	for at := off + 1; at < s.size; {
		n := int(min(int64(len(chunk)), s.size-at))
		if _, err := s.r.ReadAt(chunk[:n], at); err != nil && err != io.EOF {
			return fmt.Errorf("read %s at offset %d: %w", s.name, at, err)
		}
		for i := 0; ; i++ {
			k := bytes.Index(chunk[i:n], tagPrefix)
			if k < 0 {
				break
			}
			i += k
			if candidates++; candidates > maxCandidates {
				return s.damage(off, "%v, and what follows is not from a history", cause)
			}
			if _, err := s.block(at + int64(i)); err == nil {
				return s.damage(off, "%v, and intact data follows at offset %d", cause, at+int64(i))
			} else if err != errShort && err != errBroken {
				return err
			}
		}
		if at+int64(n) == s.size {
			break
		}
		at += int64(n - len(tagPrefix) + 1)
	}
	return nil
}
