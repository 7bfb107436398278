package session

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
	"sync"
)

// Result is what applying one operation did, as the client is told.
type Result struct {
	Applied   bool   // it changed something: the NX, XX or existence condition held
	Found     bool   // there was a session before
	Duplicate bool   // it had been applied before, or was overtaken by a later one of its gateway: certainly not applied now
	Old       []byte // the state found (WantOld, GetEx, GetDel); a copy
	TTL       int64  // GetEx: milliseconds that are left then, -1 for no end
}

type item struct {
	value    []byte
	deadline uint64 // shard clock in milliseconds; 0: never
	version  uint64 // rises with every change of the table; 0 is never used
	filed    bool   // stands in the wheel
}

// Table is the state of one shard. Apply and Restore are called by one
// goroutine; Get, Len and the other readers by any.
type Table struct {
	mu       sync.RWMutex
	items    map[string]*item
	clock    uint64 // the last committed stamp
	version  uint64
	gateways map[uint64]gateway
	wheel    map[uint64][]string // second on the shard clock -> keys that may be due
	bytes    int
}

type gateway struct{ seq, at uint64 } // last sequence applied; version when it was

// maxGateways bounds the deduplication table: the least recently seen is
// dropped, the same one on every replica.
const maxGateways = 256

// NewTable returns an empty table.
func NewTable() *Table {
	return &Table{items: map[string]*item{}, gateways: map[uint64]gateway{}, wheel: map[uint64][]string{}}
}

// Get appends the session's value to dst. It is a read of this replica's
// state, whatever its age: strong reads also need the lease.
func (t *Table) Get(dst, key []byte) (value []byte, found bool) {
	t.mu.RLock()
	it := t.items[string(key)]
	if it != nil {
		dst = append(dst, it.value...)
	}
	t.mu.RUnlock()
	return dst, it != nil
}

// View calls fn with the session's value and deadline, which fn must not keep.
func (t *Table) View(key []byte, fn func(value []byte, deadline uint64)) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	it := t.items[string(key)]
	if it == nil {
		return false
	}
	fn(it.value, it.deadline)
	return true
}

// Len is the number of sessions.
func (t *Table) Len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.items)
}

// Bytes is the size of all keys and values.
func (t *Table) Bytes() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.bytes
}

// Clock is the last committed stamp of the shard clock.
func (t *Table) Clock() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.clock
}

// Apply applies one committed entry. Results are appended to results only if
// the entry was proposed by self; batch tells which of its proposals it was.
func (t *Table) Apply(data []byte, self uint64, results []Result) (batch uint64, mine bool, _ []Result, err error) {
	e, n, rest, err := decodeHeader(data)
	if err != nil {
		return 0, false, results, err
	}
	mine = e.Proposer == self
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clock = max(t.clock, e.Clock)
	var op Op
	for range n {
		if rest, err = DecodeOp(rest, &op); err != nil {
			return 0, false, results, err
		}
		r := t.apply(&op, mine)
		if mine {
			results = append(results, r)
		}
	}
	return e.Batch, mine, results, nil
}

func (t *Table) apply(op *Op, wantOld bool) (r Result) {
	if op.Gateway != 0 {
		g := t.gateways[op.Gateway]
		if op.Seq <= g.seq {
			r.Duplicate = true
			return r
		}
		if g.seq == 0 && len(t.gateways) >= maxGateways {
			t.forgetGateway()
		}
		t.gateways[op.Gateway] = gateway{op.Seq, t.version}
	}
	it := t.items[string(op.Key)]
	r.Found = it != nil
	old := func() {
		if it != nil && wantOld {
			r.Old = append([]byte(nil), it.value...)
		}
	}
	switch op.Kind {
	case Set:
		if op.Flags&WantOld != 0 {
			old()
		}
		if op.Flags&NX != 0 && it != nil || op.Flags&XX != 0 && it == nil {
			return r
		}
		var k string
		if it == nil {
			it = &item{}
			k = string(op.Key)
			t.items[k] = it
			t.bytes += len(k)
		}
		t.bytes += len(op.Value) - len(it.value)
		it.value = append(it.value[:0], op.Value...)
		if op.Flags&KeepTTL == 0 {
			t.setDeadline(it, op.Key, op.TTL)
		}
	case GetEx:
		if it == nil {
			return r
		}
		old()
		switch {
		case op.Flags&SameTTL != 0:
		case op.Flags&NoTTL != 0:
			t.setDeadline(it, op.Key, 0)
		default:
			t.setDeadline(it, op.Key, op.TTL)
		}
		r.TTL = -1
		if it.deadline != 0 {
			r.TTL = max(1, int64(it.deadline)-int64(t.clock))
		}
	case Pexpire:
		if it == nil {
			return r
		}
		t.setDeadline(it, op.Key, op.TTL)
	case GetDel, Del:
		if it == nil {
			return r
		}
		if op.Kind == GetDel {
			old()
		}
		t.remove(op.Key, it)
	case Expire:
		if it == nil || it.version != op.Version || it.deadline == 0 || it.deadline > t.clock {
			return r
		}
		t.remove(op.Key, it)
	}
	t.version++
	it.version = t.version
	r.Applied = true
	return r
}

func (t *Table) remove(key []byte, it *item) {
	t.bytes -= len(key) + len(it.value)
	delete(t.items, string(key))
}

func (t *Table) setDeadline(it *item, key []byte, ttl uint64) {
	if ttl == 0 {
		it.deadline = 0
		return
	}
	it.deadline = t.clock + ttl
	if !it.filed {
		t.file(it, string(key))
	}
}

// file puts a key in the wheel's slot for its deadline. A key stands there at
// most once: a refresh moves only the deadline, and the slot is looked at
// again when it is due.
func (t *Table) file(it *item, key string) {
	slot := it.deadline/wheelMillis + 1
	t.wheel[slot] = append(t.wheel[slot], key)
	it.filed = true
}

const wheelMillis = 250

// Due calls propose for sessions whose deadline is not after now, at most
// limit of them. It changes nothing that is replicated. A key that stays due
// (its Expire may never commit) is offered again a second later.
func (t *Table) Due(now uint64, limit int, propose func(key []byte, version uint64)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var slots []uint64
	for s := range t.wheel {
		if s*wheelMillis <= now {
			slots = append(slots, s)
		}
	}
	slices.Sort(slots)
	for _, s := range slots {
		keys := t.wheel[s]
		delete(t.wheel, s)
		for _, k := range keys {
			it := t.items[k]
			if it == nil {
				continue
			}
			it.filed = false
			if it.deadline == 0 {
				continue
			}
			if it.deadline > now {
				t.file(it, k)
				continue
			}
			if limit > 0 {
				limit--
				if propose != nil {
					propose([]byte(k), it.version)
				}
			}
			again := (now + 1000) / wheelMillis
			t.wheel[again] = append(t.wheel[again], k)
			it.filed = true
		}
	}
}

func (t *Table) forgetGateway() {
	var victim uint64
	at := ^uint64(0)
	for id, g := range t.gateways {
		if g.at < at || g.at == at && id < victim {
			victim, at = id, g.at
		}
	}
	delete(t.gateways, victim)
}

// Digest is a checksum of the replicated state: equal on all replicas that
// have applied the same entries. It is the checksum in which the snapshot ends:
// one over that as well would be the same for all tables.
func (t *Table) Digest() uint32 {
	b := t.Snapshot()
	return binary.LittleEndian.Uint32(b[len(b)-4:])
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Snapshot encodes the whole replicated state, in key order.
func (t *Table) Snapshot() []byte {
	t.mu.RLock()
	defer t.mu.RUnlock()
	keys := make([]string, 0, len(t.items))
	for k := range t.items {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	ids := make([]uint64, 0, len(t.gateways))
	for id := range t.gateways {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	b := make([]byte, 0, 64+t.bytes+len(keys)*20)
	b = append(b, entryVersion)
	b = binary.AppendUvarint(b, t.clock)
	b = binary.AppendUvarint(b, t.version)
	b = binary.AppendUvarint(b, uint64(len(ids)))
	for _, id := range ids {
		b = binary.LittleEndian.AppendUint64(b, id)
		b = binary.AppendUvarint(b, t.gateways[id].seq)
		b = binary.AppendUvarint(b, t.gateways[id].at)
	}
	b = binary.AppendUvarint(b, uint64(len(keys)))
	for _, k := range keys {
		it := t.items[k]
		b = binary.AppendUvarint(b, uint64(len(k)))
		b = append(b, k...)
		b = binary.AppendUvarint(b, it.deadline)
		b = binary.AppendUvarint(b, it.version)
		b = binary.AppendUvarint(b, uint64(len(it.value)))
		b = append(b, it.value...)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// Restore replaces the table by a snapshot; on an error nothing is changed.
func (t *Table) Restore(b []byte) error {
	n := NewTable()
	if len(b) > 0 {
		if len(b) < 4 || crc32.Checksum(b[:len(b)-4], castagnoli) != binary.LittleEndian.Uint32(b[len(b)-4:]) {
			return ErrCorrupt
		}
		d := decoder{b: b[:len(b)-4]}
		if d.byte() != entryVersion {
			return ErrCorrupt
		}
		n.clock, n.version = d.uvarint(), d.uvarint()
		for i := d.uvarint(); i > 0 && !d.bad; i-- {
			id := d.u64()
			n.gateways[id] = gateway{d.uvarint(), d.uvarint()}
		}
		for i := d.uvarint(); i > 0 && !d.bad; i-- {
			k := string(d.bytes(MaxKey))
			it := &item{deadline: d.uvarint(), version: d.uvarint()}
			it.value = append([]byte(nil), d.bytes(MaxValue)...)
			n.items[k] = it
			n.bytes += len(k) + len(it.value)
			if it.deadline != 0 {
				n.file(it, k)
			}
		}
		if d.bad || len(d.b) != 0 {
			return ErrCorrupt
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.items, t.clock, t.version, t.gateways, t.wheel, t.bytes = n.items, n.clock, n.version, n.gateways, n.wheel, n.bytes
	return nil
}
