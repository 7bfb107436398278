package gateway

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/fivenines/fivenines/reference/internal/admission"
	"github.com/fivenines/fivenines/reference/internal/resp"
	"github.com/fivenines/fivenines/reference/internal/session"
)

// batch collects the requests of one socket buffer. It lives as long as its
// connection and belongs to the reader.
type batch struct {
	c     *conn
	now   time.Duration // when its commands arrived, at the earliest
	args  [][]byte
	reqs  []*Request
	arena []byte
	block []Request // requests are cut from blocks: one allocation for many
	slots []slot
	full  bool // too much is unanswered: wait before the next command
	dead  bool

	handing bool // requests to the node

	number  uint8         // of the command that runs
	running bool          // it has no reply yet, and nobody owes it one
	parsed  time.Duration // node clock when commands were first read off what was received
	looked  time.Duration // node clock at the last reply, 0 if nobody looked
	runs    [8]run        // replies of the reader that are not counted yet
	last    int           // of runs
	came    uint64        // commands that are not counted yet
}

// own copies bytes that outlive the read buffer.
func (b *batch) own(p []byte) []byte {
	if cap(b.arena)-len(b.arena) < len(p) {
		b.arena = make([]byte, 0, max(16<<10, len(p)))
	}
	n := len(b.arena)
	b.arena = append(b.arena, p...)
	return b.arena[n:len(b.arena):len(b.arena)]
}

func (b *batch) request() *Request {
	if len(b.block) == 0 {
		b.block = make([]Request, 32)
	}
	r := &b.block[0]
	b.block = b.block[1:]
	return r
}

func (b *batch) newSlot() *slot {
	if len(b.slots) == 0 {
		b.slots = make([]slot, 32)
	}
	s := &b.slots[0]
	b.slots = b.slots[1:]
	return s
}

// submit hands over what was collected and sends what could be answered here.
func (b *batch) submit() {
	if len(b.reqs) > 0 {
		b.handing = true
		b.c.s.node.Submit(b.reqs)
		b.handing = false
	}
	b.reqs, b.arena = nil, nil
	b.settle()
	b.c.mu.Lock()
	some := len(b.c.out) > 0
	b.c.mu.Unlock()
	if some && b.c.flush(false) != nil {
		b.c.kill()
	}
}

// drop gives back what was taken on and never reached the node.
func (b *batch) drop() {
	b.settle()
	if b.running {
		b.c.s.tallies[b.number].outcomes[gone].Add(1)
	}
	for _, r := range b.reqs {
		if r.Admitted {
			b.c.s.Admission.Release(r.Shard)
		}
	}
	b.reqs = nil
}

// note looks at what the connection owes. Callers hold its mu.
func (b *batch) note() {
	c := b.c
	b.dead = c.dead
	b.full = c.full(c.s.unanswered())
}

func (b *batch) reply(p []byte) {
	b.answered(outcomeOf(p))
	b.looked = 0
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	b.c.append(p)
	b.note()
}

func (b *batch) err(format string, a ...any) {
	b.reply(resp.AppendError(nil, fmt.Sprintf(format, a...)))
}

// wrongArity is Redis's own text.
func (b *batch) wrongArity(name string) {
	b.err("ERR wrong number of arguments for '%s' command", strings.ToLower(name))
}

// spec is one command: the number of arguments it takes (with its name;
// negative: at least), what it does, and the flags that COMMAND shows.
type spec struct {
	arity  int
	flags  []string
	keys   [3]int // first, last, step, as COMMAND reports them
	handle func(b *batch, args [][]byte)
}

// entry is a command of the table.
type entry struct {
	spec
	number uint8 // among the tallies
}

var table = map[string]*entry{}

// Commands lists the commands of the front door.
func Commands() []string {
	var out []string
	for n := range table {
		out = append(out, n)
	}
	return out
}

func init() {
	w, r, f := []string{"write", "denyoom", "fast"}, []string{"readonly", "fast"}, []string{"fast", "loading", "stale"}
	one := [3]int{1, 1, 1}
	for name, s := range map[string]spec{
		"PING":      {-1, f, [3]int{}, ping},
		"ECHO":      {2, f, [3]int{}, func(b *batch, a [][]byte) { b.reply(resp.AppendBulk(nil, a[1])) }},
		"HELLO":     {-1, f, [3]int{}, hello},
		"AUTH":      {-2, f, [3]int{}, auth},
		"SELECT":    {2, f, [3]int{}, selectDB},
		"SET":       {-3, w, one, set},
		"GET":       {2, r, one, get},
		"GETEX":     {-2, w, one, getex},
		"GETDEL":    {2, w, one, getdel},
		"DEL":       {-2, w, [3]int{1, -1, 1}, del},
		"EXISTS":    {-2, r, [3]int{1, -1, 1}, exists},
		"EXPIRE":    {-3, w, one, func(b *batch, a [][]byte) { expire(b, a, 1000) }},
		"PEXPIRE":   {-3, w, one, func(b *batch, a [][]byte) { expire(b, a, 1) }},
		"TTL":       {2, r, one, func(b *batch, a [][]byte) { ttl(b, a, 1000) }},
		"PTTL":      {2, r, one, func(b *batch, a [][]byte) { ttl(b, a, 1) }},
		"MGET":      {-2, r, [3]int{1, -1, 1}, mget},
		"DBSIZE":    {1, r, [3]int{}, dbsize},
		"INFO":      {-1, f, [3]int{}, low(func(b *batch, _ [][]byte) { b.reply(resp.AppendVerbatim(nil, b.c.s.node.Info(), b.c.proto)) })},
		"COMMAND":   {-1, f, [3]int{}, low(command)},
		"CONFIG":    {-2, f, [3]int{}, low(config)},
		"CLIENT":    {-2, f, [3]int{}, client},
		"CLUSTER":   {-2, f, [3]int{}, clusterCmd},
		"READONLY":  {1, f, [3]int{}, func(b *batch, _ [][]byte) { b.c.eventual = true; b.reply(resp.AppendOK(nil)) }},
		"READWRITE": {1, f, [3]int{}, func(b *batch, _ [][]byte) { b.c.eventual = false; b.reply(resp.AppendOK(nil)) }},
		"QUIT":      {-1, f, [3]int{}, func(b *batch, _ [][]byte) { b.reply(resp.AppendOK(nil)); b.c.quit = true }},
	} {
		table[name] = &entry{spec: s}
	}
	number()
}

// command runs one parsed command. GET is looked at first: it is most of the load.
func (b *batch) command(a [][]byte) (full, dead bool) {
	b.came++
	b.running = true
	if len(a) == 2 && len(a[0]) == 3 && a[0][0]|0x20 == 'g' && a[0][1]|0x20 == 'e' && a[0][2]|0x20 == 't' {
		b.number = numberOfGet
		get(b, a)
		return b.full, b.dead
	}
	var up [16]byte
	name := a[0]
	if len(name) <= len(up) {
		for i, ch := range name {
			if 'a' <= ch && ch <= 'z' {
				ch -= 32
			}
			up[i] = ch
		}
		if s, ok := table[string(up[:len(name)])]; ok {
			b.number = s.number
			if fits(s.arity, len(a)) {
				s.handle(b, a)
			} else {
				b.wrongArity(string(name))
			}
			return b.full, b.dead
		}
	}
	b.number = other
	var args []byte
	for _, x := range a[1:] {
		if len(args) >= 128 {
			break
		}
		args = fmt.Appendf(args, "'%s' ", cut(x, 128-len(args)))
	}
	b.err("ERR unknown command '%s', with args beginning with: %s", cut(name, 128), args)
	return b.full, b.dead
}

// fits checks a number of arguments: exactly arity, or at least -arity.
func fits(arity, n int) bool { return n == arity || arity < 0 && n >= -arity }

// cut shortens what a client sent for an error text, as C's %.*s does.
func cut(p []byte, n int) []byte {
	if i := bytes.IndexByte(p, 0); i >= 0 {
		p = p[:i]
	}
	return p[:min(len(p), n)]
}

func (b *batch) keyOK(key []byte) bool {
	if len(key) > session.MaxKey {
		b.err("ERR key is longer than %d bytes", session.MaxKey)
		return false
	}
	return true
}

// former makes one reply of completed requests.
type former func(proto int, dst []byte, rs []*Request) []byte

// seed of the hashes by which a connection finds its writes under way.
var seed = maphash.MakeSeed()

// ask queues requests whose answers make one reply.
func (b *batch) ask(form former, rs ...*Request) {
	if !b.admit(rs) {
		return
	}
	b.reqs = append(b.reqs, rs...) // at once: a panic from here on gives them back
	c := b.c
	s := b.newSlot()
	s.parts, s.reqs, s.form = len(rs), rs, form
	s.command, s.parsed = b.number, b.parsed
	c.mu.Lock()
	defer c.mu.Unlock()
	s.proto = c.proto
	for _, r := range rs {
		r.To, r.slot = c, s
		r.Deadline = b.now + WriteBudget
		r.Eventual = c.eventual && r.Kind != Write
		if r.Kind != Write && (len(c.writes) == 0 || r.Kind == Count || r.Eventual) {
			continue
		}
		h := maphash.Bytes(seed, r.Op.Key)
		if r.Kind != Write {
			if c.writes[h] == 0 {
				continue
			}
			r.throughLog()
		}
		r.hash = h
		c.writes[h]++
	}
	c.push(s)
	b.running = false
	if c.dead { // its end did not see this one
		c.s.tallies[s.command].outcomes[gone].Add(1)
	}
	c.pending += len(rs)
	b.note()
}

// write queues one write.
func (b *batch) write(form former, op session.Op) {
	if !b.keyOK(op.Key) {
		return
	}
	r := b.request()
	r.Kind = Write
	r.Shard = b.c.s.node.ShardOf(op.Key)
	op.Key = b.own(op.Key)
	if op.Value != nil {
		op.Value = b.own(op.Value)
	}
	r.Op = op
	b.ask(form, r)
}

func (b *batch) read(kind Kind, key []byte) *Request {
	r := b.request()
	r.Kind = kind
	r.Shard = b.c.s.node.ShardOf(key)
	r.Op.Key = b.own(key)
	return r
}

// failed forms the error of the first request that did not succeed.
func failed(dst []byte, rs []*Request) ([]byte, bool) {
	worst := -1
	for i, r := range rs {
		if r.Status == Unknown || r.Status == NotApplied && worst < 0 {
			worst = i
		}
		if r.Status == Unknown {
			break
		}
	}
	if worst < 0 {
		return dst, false
	}
	r := rs[worst]
	word := "NOTAPPLIED "
	if r.Status == Unknown && r.Kind == Write {
		word = "UNKNOWN "
	} else if len(rs) > 1 && anyWriteOK(rs) {
		word = "UNKNOWN " // part of a multi-key write was applied
	}
	return resp.AppendError(dst, word+r.Reason), true
}

func anyWriteOK(rs []*Request) bool {
	for _, r := range rs {
		if r.Kind == Write && r.Status == OK {
			return true
		}
	}
	return false
}

func get(b *batch, a [][]byte) {
	key := a[1]
	if !b.keyOK(key) {
		return
	}
	c := b.c
	if c.eventual && b.shed(admission.Low, 1) {
		return
	}
	shard := c.s.node.ShardOf(key)
	if !b.readHere(shard, key) {
		b.ask(formValue, b.read(Get, key))
	}
}

// readHere answers a GET from this node, if nothing is owed before its answer
// and the node may: the value is read straight into the output.
func (b *batch) readHere(shard int, key []byte) bool {
	c := b.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.head != nil {
		return false
	}
	mark := len(c.out)
	out := appendBulkHole(c.out)
	start := len(out)
	val, found, at, ok := c.s.node.ReadHere(shard, out, key, c.eventual)
	if !ok {
		return false
	}
	b.answered(served)
	b.looked = at
	if found {
		c.out = closeBulk(val, mark, start)
	} else {
		c.out = resp.AppendNull(c.out[:mark], c.proto)
	}
	c.bound()
	b.note()
	return true
}

// hole is room for the head of a bulk reply of up to 9,999,999 bytes; it is
// filled in, and closed up, when the length is known.
const hole = 1 + 7 + 2

func appendBulkHole(dst []byte) []byte { return append(dst, "$0000000\r\n"...) }

func closeBulk(dst []byte, mark, start int) []byte {
	n := len(dst) - start
	var head [hole]byte
	h := append(head[:0], '$')
	h = strconv.AppendInt(h, int64(n), 10)
	h = append(h, '\r', '\n')
	if gap := hole - len(h); gap > 0 {
		copy(dst[mark+len(h):], dst[start:])
		dst = dst[:len(dst)-gap]
	}
	copy(dst[mark:], h)
	return append(dst, '\r', '\n')
}

func formValue(proto int, dst []byte, rs []*Request) []byte {
	if d, bad := failed(dst, rs); bad {
		return d
	}
	if !rs[0].Found {
		return resp.AppendNull(dst, proto)
	}
	return resp.AppendBulk(dst, rs[0].Value)
}

func formOld(proto int, dst []byte, rs []*Request) []byte {
	if d, bad := failed(dst, rs); bad {
		return d
	}
	if !rs[0].Result.Found {
		return resp.AppendNull(dst, proto)
	}
	return resp.AppendBulk(dst, rs[0].Result.Old)
}

func formSet(proto int, dst []byte, rs []*Request) []byte {
	if d, bad := failed(dst, rs); bad {
		return d
	}
	if rs[0].Op.Flags&session.WantOld != 0 {
		return formOld(proto, dst, rs)
	}
	if !rs[0].Result.Applied {
		return resp.AppendNull(dst, proto)
	}
	return resp.AppendOK(dst)
}

// formCount counts the writes that changed something.
func formCount(_ int, dst []byte, rs []*Request) []byte {
	if d, bad := failed(dst, rs); bad {
		return d
	}
	n := int64(0)
	for _, r := range rs {
		switch {
		case r.Kind == Write && r.Result.Applied, r.Kind == Exists && r.Found:
			n++
		case r.Kind == Count:
			n += r.Num
		}
	}
	return resp.AppendInt(dst, n)
}

func ping(b *batch, a [][]byte) {
	switch len(a) {
	case 1:
		b.reply(resp.AppendSimple(nil, "PONG"))
	case 2:
		b.reply(resp.AppendBulk(nil, a[1]))
	default:
		b.err("ERR wrong number of arguments for 'ping' command")
	}
}

func is(a []byte, word string) bool { return len(a) == len(word) && strings.EqualFold(string(a), word) }

// integer reads a number as Redis does: in its one canonical spelling.
func integer(a []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(a), 10, 64)
	if err != nil || len(a) > 20 || !bytes.Equal(strconv.AppendInt(nil, n, 10), a) {
		return 0, false
	}
	return n, true
}

const notInteger = "ERR value is not an integer or out of range"

// millis reads a time-to-live. bad is Redis's text for one that is not
// positive, or does not fit its clock, which counts from 1970.
func millis(a []byte, unit int64, cmd string) (ms uint64, bad string) {
	n, ok := integer(a)
	switch {
	case !ok:
		return 0, notInteger
	case n <= 0 || n > math.MaxInt64/unit || n*unit > math.MaxInt64-time.Now().UnixMilli():
		return 0, "ERR invalid expire time in '" + cmd + "' command"
	}
	return uint64(n * unit), ""
}

// options of SET and GETEX.
type options struct {
	flags session.Flags
	ttl   []byte // nil: none
	unit  int64  // of ttl, in milliseconds
}

// parse reads options in any order; the last of its kind counts, as in Redis.
func (o *options) parse(a [][]byte, isSet bool) bool {
	for i := 0; i < len(a); i++ {
		unit := int64(0)
		switch w := a[i]; {
		case isSet && is(w, "NX") && o.flags&session.XX == 0:
			o.flags |= session.NX
		case isSet && is(w, "XX") && o.flags&session.NX == 0:
			o.flags |= session.XX
		case isSet && is(w, "GET"):
			o.flags |= session.WantOld
		case isSet && is(w, "KEEPTTL") && o.ttl == nil:
			o.flags |= session.KeepTTL
		case !isSet && is(w, "PERSIST") && o.ttl == nil:
			o.flags |= session.NoTTL
		case is(w, "EX"):
			unit = 1000
		case is(w, "PX"):
			unit = 1
		default:
			return false
		}
		if unit == 0 {
			continue
		}
		i++
		if i == len(a) || o.flags&(session.KeepTTL|session.NoTTL) != 0 || o.ttl != nil && o.unit != unit {
			return false
		}
		o.ttl, o.unit = a[i], unit
	}
	return true
}

func set(b *batch, a [][]byte) {
	if len(a[2]) > session.MaxValue {
		b.err("ERR string exceeds maximum allowed size (%d bytes)", session.MaxValue)
		return
	}
	var o options
	if !o.parse(a[3:], true) {
		b.err("ERR syntax error")
		return
	}
	op := session.Op{Kind: session.Set, Flags: o.flags, Key: a[1], Value: a[2]}
	if o.ttl != nil {
		var bad string
		if op.TTL, bad = millis(o.ttl, o.unit, "set"); bad != "" {
			b.err("%s", bad)
			return
		}
	}
	b.write(formSet, op)
}

func getex(b *batch, a [][]byte) {
	var o options
	if !o.parse(a[2:], false) {
		b.err("ERR syntax error")
		return
	}
	op := session.Op{Kind: session.GetEx, Flags: o.flags, Key: a[1]}
	bad := ""
	if o.ttl != nil {
		op.TTL, bad = millis(o.ttl, o.unit, "getex")
	}
	if bad == "" && len(a) > 2 {
		b.write(formOld, op)
		return
	}
	// Without an option GETEX is a read; and with a bad one Redis first looks
	// whether there is anything to get.
	if b.keyOK(a[1]) {
		b.ask(func(proto int, dst []byte, rs []*Request) []byte {
			if bad != "" && rs[0].Status == OK && rs[0].Found {
				return resp.AppendError(dst, bad)
			}
			return formValue(proto, dst, rs)
		}, b.read(Get, a[1]))
	}
}

func getdel(b *batch, a [][]byte) {
	b.write(formOld, session.Op{Kind: session.GetDel, Key: a[1]})
}

// each asks the same of many keys.
func (b *batch) each(keys [][]byte, kind Kind, form former) {
	if most := b.c.s.limit.pending; len(keys) > most {
		b.err("ERR %d keys in one command: at most %d are allowed", len(keys), most)
		return
	}
	if b.bulk(len(keys)) {
		return
	}
	rs := make([]*Request, len(keys))
	for i, k := range keys {
		if !b.keyOK(k) {
			return
		}
		rs[i] = b.read(kind, k)
		if kind == Write {
			rs[i].Op.Kind = session.Del
		}
	}
	b.ask(form, rs...)
}

func del(b *batch, a [][]byte)    { b.each(a[1:], Write, formCount) }
func exists(b *batch, a [][]byte) { b.each(a[1:], Exists, formCount) }
func mget(b *batch, a [][]byte)   { b.each(a[1:], Get, formValues) }

func formValues(proto int, dst []byte, rs []*Request) []byte {
	if d, bad := failed(dst, rs); bad {
		return d
	}
	dst = resp.AppendArray(dst, len(rs))
	for _, r := range rs {
		if r.Found {
			dst = resp.AppendBulk(dst, r.Value)
		} else {
			dst = resp.AppendNull(dst, proto)
		}
	}
	return dst
}

func expire(b *batch, a [][]byte, unit int64) {
	if len(a) > 3 {
		b.err("ERR Unsupported option %s", cut(a[3], len(a[3])))
		return
	}
	n, ok := integer(a[2])
	if !ok {
		b.err(notInteger)
		return
	}
	if n > math.MaxInt64/unit || n < math.MinInt64/unit || n*unit > math.MaxInt64-time.Now().UnixMilli() {
		b.err("ERR invalid expire time in '%s' command", strings.ToLower(string(a[0])))
		return
	}
	op := session.Op{Kind: session.Pexpire, Key: a[1], TTL: uint64(max(n, 0) * unit)}
	if n <= 0 {
		op.Kind = session.Del // as Redis: a time in the past deletes
	}
	b.write(formCount, op)
}

func ttl(b *batch, a [][]byte, unit int64) {
	if !b.keyOK(a[1]) {
		return
	}
	b.ask(func(_ int, dst []byte, rs []*Request) []byte {
		if d, bad := failed(dst, rs); bad {
			return d
		}
		n := rs[0].Num
		if n > 0 {
			n = (n + unit/2) / unit
		}
		return resp.AppendInt(dst, n)
	}, b.read(PTTL, a[1]))
}

// dbsize waits for the connection's own writes: what counts is not ordered by
// any one shard's log.
func dbsize(b *batch, _ [][]byte) {
	if why := b.c.s.Admission.Refuses(admission.Low, b.c.s.node.Shards()); why != admission.Taken {
		b.overloaded(why)
		return
	}
	b.submit()
	b.c.await(0)
	rs := make([]*Request, b.c.s.node.Shards())
	for i := range rs {
		rs[i] = b.request()
		rs[i].Kind, rs[i].Shard = Count, i
	}
	b.ask(formCount, rs...)
}

func auth(b *batch, a [][]byte) {
	if len(a) > 3 {
		b.err("ERR syntax error")
		return
	}
	if len(a) == 3 && string(a[1]) == "default" {
		b.reply(resp.AppendOK(nil)) // the default user has no password
		return
	}
	if len(a) == 3 {
		b.err(wrongPass)
		return
	}
	b.err("ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?")
}

func selectDB(b *batch, a [][]byte) {
	switch n, ok := integer(a[1]); {
	case !ok:
		b.err(notInteger)
	case n == 0:
		b.reply(resp.AppendOK(nil))
	default:
		b.err("ERR SELECT is not allowed in cluster mode")
	}
}

func hello(b *batch, a [][]byte) {
	c := b.c
	proto := c.proto
	i := 1
	if len(a) > 1 {
		n, ok := integer(a[1])
		if !ok {
			b.err("ERR Protocol version is not an integer or out of range")
			return
		}
		if n != 2 && n != 3 {
			b.err("NOPROTO unsupported protocol version")
			return
		}
		proto, i = int(n), 2
	}
	name, named := "", false
	for i < len(a) {
		switch {
		case is(a[i], "AUTH") && i+2 < len(a):
			if string(a[i+1]) != "default" {
				b.err(wrongPass)
				return
			}
			i += 3
		case is(a[i], "SETNAME") && i+1 < len(a):
			name, named = string(a[i+1]), true
			if !printable(name) {
				b.err(badName)
				return
			}
			i += 2
		default:
			b.err("ERR Syntax error in HELLO option '%s'", cut(a[i], len(a[i])))
			return
		}
	}
	if named {
		c.name = name
	}
	c.mu.Lock()
	c.proto = proto
	c.mu.Unlock()
	d := resp.AppendMap(nil, 7, proto)
	str := func(k, v string) { d = resp.AppendBulkString(resp.AppendBulkString(d, k), v) }
	str("server", "redis")
	str("version", "7.4.0")
	d = resp.AppendInt(resp.AppendBulkString(d, "proto"), int64(proto))
	d = resp.AppendInt(resp.AppendBulkString(d, "id"), int64(c.id))
	str("mode", "cluster")
	str("role", "master")
	d = resp.AppendArray(resp.AppendBulkString(d, "modules"), 0)
	b.reply(d)
}

const (
	wrongPass = "WRONGPASS invalid username-password pair or user is disabled."
	badName   = "ERR Client names cannot contain spaces, newlines or special characters."
)

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < '!' || s[i] > '~' {
			return false
		}
	}
	return true
}

// sub is a command of two words: the number of arguments that it takes (both
// words included; negative: at least) and what it does.
type sub struct {
	arity  int
	handle func(b *batch, a [][]byte)
}

// subcommand runs one of subs.
func subcommand(b *batch, a [][]byte, subs map[string]sub) {
	s, ok := subs[strings.ToUpper(string(a[1]))]
	switch {
	case !ok:
		b.err("ERR unknown subcommand '%s'. Try %s HELP.", cut(a[1], 128), strings.ToUpper(string(a[0])))
	case !fits(s.arity, len(a)):
		b.wrongArity(string(a[0]) + "|" + string(a[1]))
	default:
		s.handle(b, a)
	}
}

func command(b *batch, a [][]byte) {
	if len(a) == 1 {
		describe(b, Commands())
		return
	}
	subcommand(b, a, commandSubs)
}

var commandSubs = map[string]sub{
	"COUNT": {2, func(b *batch, _ [][]byte) { b.reply(resp.AppendInt(nil, int64(len(table)))) }},
	"DOCS":  {-2, func(b *batch, _ [][]byte) { b.reply(resp.AppendMap(nil, 0, b.c.proto)) }},
	"INFO": {-2, func(b *batch, a [][]byte) {
		var names []string
		for _, n := range a[2:] {
			names = append(names, strings.ToUpper(string(n)))
		}
		if len(names) == 0 {
			names = Commands()
		}
		describe(b, names)
	}},
}

// describe is COMMAND INFO. It needs the table, which needs it: so the table
// is filled by init.
func describe(b *batch, names []string) {
	d := resp.AppendArray(nil, len(names))
	for _, n := range names {
		s, ok := table[n]
		if !ok {
			d = resp.AppendNull(d, b.c.proto)
			continue
		}
		d = resp.AppendArray(d, 6)
		d = resp.AppendBulkString(d, strings.ToLower(n))
		d = resp.AppendInt(d, int64(s.arity))
		d = resp.AppendArray(d, len(s.flags))
		for _, f := range s.flags {
			d = resp.AppendSimple(d, f)
		}
		for _, k := range s.keys {
			d = resp.AppendInt(d, int64(k))
		}
	}
	b.reply(d)
}

func config(b *batch, a [][]byte) { subcommand(b, a, configSubs) }

// configSubs answer what redis-benchmark asks before it starts.
var configSubs = map[string]sub{
	"GET": {-3, func(b *batch, a [][]byte) {
		var d []byte
		n := 0
		for _, k := range a[2:] {
			if v, ok := settings[strings.ToLower(string(k))]; ok {
				d = resp.AppendBulkString(resp.AppendBulk(d, bytes.ToLower(k)), v)
				n++
			}
		}
		b.reply(append(resp.AppendMap(nil, n, b.c.proto), d...))
	}},
}

var settings = map[string]string{"save": "", "appendonly": "yes"}

func client(b *batch, a [][]byte) { subcommand(b, a, clientSubs) }

var clientSubs = map[string]sub{
	"ID": {2, func(b *batch, _ [][]byte) { b.reply(resp.AppendInt(nil, int64(b.c.id))) }},
	"GETNAME": {2, func(b *batch, _ [][]byte) {
		if b.c.name == "" {
			b.reply(resp.AppendNull(nil, b.c.proto))
			return
		}
		b.reply(resp.AppendBulkString(nil, b.c.name))
	}},
	"SETNAME": {3, func(b *batch, a [][]byte) {
		if !printable(string(a[2])) {
			b.err(badName)
			return
		}
		b.c.name = string(a[2])
		b.reply(resp.AppendOK(nil))
	}},
	"SETINFO":  {4, func(b *batch, _ [][]byte) { b.reply(resp.AppendOK(nil)) }},
	"NO-EVICT": {3, onOff},
	"NO-TOUCH": {3, onOff},
	"INFO": {2, func(b *batch, _ [][]byte) {
		c := b.c
		b.reply(resp.AppendVerbatim(nil, fmt.Sprintf("id=%d addr=%s laddr=%s name=%s db=0 resp=%d\n", c.id, c.nc.RemoteAddr(), c.nc.LocalAddr(), c.name, c.proto), c.proto))
	}},
}

func onOff(b *batch, a [][]byte) {
	if !is(a[2], "ON") && !is(a[2], "OFF") {
		b.err("ERR syntax error")
		return
	}
	b.reply(resp.AppendOK(nil))
}

func clusterCmd(b *batch, a [][]byte) { subcommand(b, a, clusterSubs) }

var clusterSubs = map[string]sub{
	"MYID": {2, func(b *batch, _ [][]byte) { b.reply(resp.AppendBulkString(nil, b.c.s.node.ID())) }},
	"INFO": {2, func(b *batch, _ [][]byte) {
		b.reply(resp.AppendVerbatim(nil, "cluster_enabled:1\r\ncluster_state:ok\r\ncluster_slots_assigned:16384\r\n", b.c.proto))
	}},
	"KEYSLOT": {3, func(b *batch, a [][]byte) { b.reply(resp.AppendInt(nil, int64(resp.Slot(a[2])))) }},
	"NODES": {2, func(b *batch, _ [][]byte) {
		b.reply(resp.AppendVerbatim(nil, nodesText(b.c.s.node), b.c.proto))
	}},
	"SLOTS": {2, func(b *batch, _ [][]byte) {
		rs := b.c.s.node.Slots()
		d := resp.AppendArray(nil, len(rs))
		for _, r := range rs {
			d = resp.AppendArray(d, 2+len(r.Nodes))
			d = resp.AppendInt(resp.AppendInt(d, int64(r.Start)), int64(r.End))
			for _, n := range r.Nodes {
				d = resp.AppendArray(d, 3)
				d = resp.AppendBulkString(d, n.Host)
				d = resp.AppendInt(d, int64(n.Port))
				d = resp.AppendBulkString(d, n.ID)
			}
		}
		b.reply(d)
	}},
}

// nodesText is CLUSTER NODES: a line a node, with the slots that it leads.
// redis-benchmark --cluster wants it.
func nodesText(n Node) string {
	var order []NodeAddr
	leads := map[string]string{}
	for _, r := range n.Slots() {
		for i, a := range r.Nodes {
			if _, known := leads[a.ID]; !known {
				order = append(order, a)
				leads[a.ID] = ""
			}
			if i == 0 {
				leads[a.ID] += fmt.Sprintf(" %d-%d", r.Start, r.End)
			}
		}
	}
	var text strings.Builder
	for _, a := range order {
		flags := "master"
		if a.ID == n.ID() {
			flags = "myself,master"
		}
		fmt.Fprintf(&text, "%s %s:%d@%d %s - 0 0 1 connected%s\n", a.ID, a.Host, a.Port, a.Port, flags, leads[a.ID])
	}
	return text.String()
}
