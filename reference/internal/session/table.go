package session

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"
	"sync/atomic"
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
	key      string
	value    []byte
	deadline uint64 // shard clock in milliseconds; 0: never
	version  uint64 // rises with every change of the table; 0 is never used
	filed    bool   // stands in the wheel

	prev, next *item       // on the shelf; nil while the value is on disk only
	used       atomic.Bool // since the shelf's hand came by
	spilled    bool        // something stands on disk under the key
	serial     uint64      // under which the value is on disk; 0: it is not
	size       int         // of the value that is on disk only
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
	shelf    shelf
}

type gateway struct{ seq, at uint64 } // last sequence applied; version when it was

// maxGateways bounds the deduplication table: the least recently seen is
// dropped, the same one on every replica.
const maxGateways = 256

// NewTable returns an empty table.
func NewTable() *Table {
	t := &Table{items: map[string]*item{}, gateways: map[uint64]gateway{}, wheel: map[uint64][]string{}}
	t.shelf.init()
	return t
}

// Get appends the session's value to dst. It is a read of this replica's
// state, whatever its age: strong reads also need the lease. An error is a
// value that is on disk and can't be read: nothing is known of the session.
func (t *Table) Get(dst, key []byte) (value []byte, found bool, err error) {
	for {
		v, found, cold, serial, err := t.look(dst, key)
		if cold == nil || err != nil {
			return v, found, err
		}
		if v, ok := t.read(dst, cold.key, serial); ok {
			return v, true, nil
		}
	}
}

// look is Get for what is in memory; otherwise it says what is on disk. A panic
// here ends the connection that asked, and so must not leave the table locked.
func (t *Table) look(dst, key []byte) (value []byte, found bool, cold *item, serial uint64, err error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	it := t.items[string(key)]
	switch {
	case it == nil:
		return dst, false, nil, 0, nil
	case it.next == nil:
		return dst, false, it, it.serial, t.shelf.failure
	case t.shelf.cold != nil:
		it.used.Store(true)
	}
	return append(dst, it.value...), true, nil, 0, nil
}

// Deadline is a session's, on the shard clock; 0 is none.
func (t *Table) Deadline(key []byte) (deadline uint64, found bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	it := t.items[string(key)]
	if it == nil {
		return 0, false
	}
	return it.deadline, true
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
	if t.makeRoom(); t.shelf.failure != nil {
		return 0, false, results, t.shelf.failure
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
		if it != nil && wantOld && t.warm(it) == nil {
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
			k = string(op.Key)
			it = &item{key: k}
			t.items[k] = it
			t.bytes += len(k)
		}
		t.setValue(it, op.Value)
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
	t.setValue(it, nil)
	t.shelf.drop(it)
	t.bytes -= len(key)
	if it.spilled {
		if err := t.shelf.cold.Delete(it.key); err != nil && t.shelf.failure == nil {
			t.shelf.failure = err
		}
	}
	delete(t.items, string(key))
}

// setValue gives a session a value, which is in memory then.
func (t *Table) setValue(it *item, v []byte) {
	if it.next == nil {
		t.bytes -= it.size
		t.shelf.push(it)
	} else {
		t.bytes -= len(it.value)
		t.shelf.hotBytes -= len(it.value)
	}
	t.bytes += len(v)
	t.shelf.hotBytes += len(v)
	it.serial = 0
	it.value = append(it.value[:0], v...)
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

// Snapshot encodes the whole replicated state, in key order. It panics if a
// value can't be read back from disk: a snapshot without it would lose the
// session wherever it is restored, while a process that ends loses nothing.
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
	err := t.each(keys, func(it *item, value []byte) {
		b = binary.AppendUvarint(b, uint64(len(it.key)))
		b = append(b, it.key...)
		b = binary.AppendUvarint(b, it.deadline)
		b = binary.AppendUvarint(b, it.version)
		b = binary.AppendUvarint(b, uint64(len(value)))
		b = append(b, value...)
	})
	if err != nil {
		panic(fmt.Sprintf("session: snapshot: %v", err))
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
			it := &item{key: k, deadline: d.uvarint(), version: d.uvarint()}
			n.items[k] = it
			n.bytes += len(k)
			n.setValue(it, d.bytes(MaxValue))
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
	if err := t.shelf.replace(&n.shelf); err != nil {
		t.shelf.failure = err
		return err
	}
	t.items, t.clock, t.version, t.gateways, t.wheel, t.bytes = n.items, n.clock, n.version, n.gateways, n.wheel, n.bytes
	t.makeRoom()
	return t.shelf.failure
}
