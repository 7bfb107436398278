package gateway

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/fivenines/fivenines/reference/internal/resp"
	"github.com/fivenines/fivenines/reference/internal/session"
)

// batch collects the requests of one socket buffer.
type batch struct {
	c     *conn
	now   time.Duration
	reqs  []*Request
	arena []byte
	block []Request // requests are cut from blocks: one allocation for many
	slots []slot
}

func (b *batch) reset(c *conn, now time.Duration) {
	b.c, b.now = c, now
	b.reqs = nil
	b.arena = nil
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

func (b *batch) submit() {
	if len(b.reqs) > 0 {
		b.c.s.node.Submit(b.reqs)
	}
	b.c.mu.Lock()
	some := len(b.c.out) > 0
	b.c.mu.Unlock()
	if some {
		b.c.flush()
	}
	b.reqs, b.arena = nil, nil
}

func (b *batch) reply(p []byte) {
	b.c.mu.Lock()
	b.c.append(p)
	b.c.mu.Unlock()
}

func (b *batch) err(format string, a ...any) {
	b.reply(resp.AppendError(nil, fmt.Sprintf(format, a...)))
}

// spec is one command: the number of arguments it takes (with its name;
// negative: at least), what it does, and the flags that COMMAND shows.
type spec struct {
	arity  int
	flags  []string
	keys   [3]int // first, last, step, as COMMAND reports them
	handle func(b *batch, args [][]byte)
}

var table map[string]spec

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
	table = map[string]spec{
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
		"INFO":      {-1, f, [3]int{}, func(b *batch, _ [][]byte) { b.reply(resp.AppendBulk(nil, []byte(b.c.s.node.Info()))) }},
		"COMMAND":   {-1, f, [3]int{}, command},
		"CONFIG":    {-2, f, [3]int{}, config},
		"CLIENT":    {-2, f, [3]int{}, client},
		"CLUSTER":   {-2, f, [3]int{}, clusterCmd},
		"READONLY":  {1, f, [3]int{}, func(b *batch, _ [][]byte) { b.c.eventual = true; b.reply(resp.AppendOK(nil)) }},
		"READWRITE": {1, f, [3]int{}, func(b *batch, _ [][]byte) { b.c.eventual = false; b.reply(resp.AppendOK(nil)) }},
		"QUIT":      {-1, f, [3]int{}, func(b *batch, _ [][]byte) { b.reply(resp.AppendOK(nil)); b.c.quit = true }},
	}
}

// command runs one parsed command. GET is looked at first: it is most of the load.
func (b *batch) command(a [][]byte) {
	b.c.s.Commands.Add(1)
	if len(a) == 2 && len(a[0]) == 3 && a[0][0]|0x20 == 'g' && a[0][1]|0x20 == 'e' && a[0][2]|0x20 == 't' {
		get(b, a)
		return
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
			if s.arity > 0 && len(a) != s.arity || s.arity < 0 && len(a) < -s.arity {
				b.err("ERR wrong number of arguments for '%s' command", strings.ToLower(string(name)))
				return
			}
			s.handle(b, a)
			return
		}
	}
	var args strings.Builder
	for _, x := range a[1:] {
		if args.Len() > 128 {
			break
		}
		fmt.Fprintf(&args, "'%.128s' ", x)
	}
	b.err("ERR unknown command '%.128s', with args beginning with: %s", name, args.String())
}

func (b *batch) keyOK(key []byte) bool {
	if len(key) > session.MaxKey {
		b.err("ERR key is longer than %d bytes", session.MaxKey)
		return false
	}
	return true
}

type former func(c *conn, dst []byte, rs []*Request) []byte

// ask queues n requests whose answers make one reply.
func (b *batch) ask(form former, rs ...*Request) {
	s := b.newSlot()
	s.parts, s.reqs, s.form = len(rs), rs, form
	for i, r := range rs {
		r.To, r.slot, r.part = b.c, s, i
		r.Deadline = b.now + WriteBudget
		r.Eventual = b.c.eventual && r.Kind != Write
	}
	b.c.mu.Lock()
	b.c.push(s)
	b.c.mu.Unlock()
	b.reqs = append(b.reqs, rs...)
}

// write1 queues one write whose request is known to succeed or fail as a whole.
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
	shard := c.s.node.ShardOf(key)
	c.mu.Lock()
	if c.head == nil {
		// Nothing is owed before this answer: read straight into the output.
		mark := len(c.out)
		out := appendBulkHole(c.out)
		start := len(out)
		val, found, ok := c.s.node.ReadHere(shard, out, key, c.eventual)
		if ok {
			if found {
				c.out = closeBulk(val, mark, start)
			} else {
				c.out = resp.AppendNull(c.out[:mark], c.proto)
			}
			c.mu.Unlock()
			return
		}
		c.out = c.out[:mark]
	}
	c.mu.Unlock()
	r := b.read(Get, key)
	b.ask(formValue, r)
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

func formValue(c *conn, dst []byte, rs []*Request) []byte {
	if d, bad := failed(dst, rs); bad {
		return d
	}
	if !rs[0].Found {
		return resp.AppendNull(dst, c.proto)
	}
	return resp.AppendBulk(dst, rs[0].Value)
}

func formOld(c *conn, dst []byte, rs []*Request) []byte {
	if d, bad := failed(dst, rs); bad {
		return d
	}
	if !rs[0].Result.Found {
		return resp.AppendNull(dst, c.proto)
	}
	return resp.AppendBulk(dst, rs[0].Result.Old)
}

func formSet(c *conn, dst []byte, rs []*Request) []byte {
	if d, bad := failed(dst, rs); bad {
		return d
	}
	if rs[0].Op.Flags&session.WantOld != 0 {
		return formOld(c, dst, rs)
	}
	if !rs[0].Result.Applied {
		return resp.AppendNull(dst, c.proto)
	}
	return resp.AppendOK(dst)
}

// formCount counts the writes that changed something.
func formCount(_ *conn, dst []byte, rs []*Request) []byte {
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

// millis reads a time-to-live; Redis refuses those that are not positive or overflow.
func (b *batch) millis(a []byte, unit int64, cmd string) (uint64, bool) {
	n, err := strconv.ParseInt(string(a), 10, 64)
	if err != nil {
		b.err("ERR value is not an integer or out of range")
		return 0, false
	}
	if n <= 0 || n > math.MaxInt64/unit/2 {
		b.err("ERR invalid expire time in '%s' command", cmd)
		return 0, false
	}
	return uint64(n * unit), true
}

func set(b *batch, a [][]byte) {
	if len(a[2]) > session.MaxValue {
		b.err("ERR string exceeds maximum allowed size (%d bytes)", session.MaxValue)
		return
	}
	op := session.Op{Kind: session.Set, Key: a[1], Value: a[2]}
	if op.Value == nil {
		op.Value = []byte{}
	}
	for i := 3; i < len(a); i++ {
		w := a[i]
		switch {
		case is(w, "NX") && op.Flags&session.XX == 0:
			op.Flags |= session.NX
		case is(w, "XX") && op.Flags&session.NX == 0:
			op.Flags |= session.XX
		case is(w, "GET"):
			op.Flags |= session.WantOld
		case is(w, "KEEPTTL") && op.TTL == 0:
			op.Flags |= session.KeepTTL
		case (is(w, "EX") || is(w, "PX")) && op.TTL == 0 && op.Flags&session.KeepTTL == 0 && i+1 < len(a):
			unit := int64(1000)
			if w[0]|0x20 == 'p' {
				unit = 1
			}
			i++
			n, ok := b.millis(a[i], unit, "set")
			if !ok {
				return
			}
			op.TTL = n
		default:
			b.err("ERR syntax error")
			return
		}
	}
	b.write(formSet, op)
}

func getex(b *batch, a [][]byte) {
	op := session.Op{Kind: session.GetEx, Key: a[1]}
	switch {
	case len(a) == 2:
		// Without an option GETEX is a read.
		if b.keyOK(a[1]) {
			b.ask(formValue, b.read(Get, a[1]))
		}
		return
	case len(a) == 3 && is(a[2], "PERSIST"):
		op.Flags = session.NoTTL
	case len(a) == 4 && (is(a[2], "EX") || is(a[2], "PX")):
		unit := int64(1000)
		if a[2][0]|0x20 == 'p' {
			unit = 1
		}
		n, ok := b.millis(a[3], unit, "getex")
		if !ok {
			return
		}
		op.TTL = n
	default:
		b.err("ERR syntax error")
		return
	}
	b.write(formOld, op)
}

func getdel(b *batch, a [][]byte) {
	b.write(formOld, session.Op{Kind: session.GetDel, Key: a[1]})
}

func del(b *batch, a [][]byte) {
	rs := make([]*Request, 0, len(a)-1)
	for _, k := range a[1:] {
		if !b.keyOK(k) {
			return
		}
		r := b.read(Write, k)
		r.Op.Kind = session.Del
		rs = append(rs, r)
	}
	b.ask(formCount, rs...)
}

func exists(b *batch, a [][]byte) {
	rs := make([]*Request, 0, len(a)-1)
	for _, k := range a[1:] {
		if !b.keyOK(k) {
			return
		}
		rs = append(rs, b.read(Exists, k))
	}
	b.ask(formCount, rs...)
}

func mget(b *batch, a [][]byte) {
	rs := make([]*Request, 0, len(a)-1)
	for _, k := range a[1:] {
		if !b.keyOK(k) {
			return
		}
		rs = append(rs, b.read(Get, k))
	}
	b.ask(func(c *conn, dst []byte, rs []*Request) []byte {
		if d, bad := failed(dst, rs); bad {
			return d
		}
		dst = resp.AppendArray(dst, len(rs))
		for _, r := range rs {
			if r.Found {
				dst = resp.AppendBulk(dst, r.Value)
			} else {
				dst = resp.AppendNull(dst, c.proto)
			}
		}
		return dst
	}, rs...)
}

func expire(b *batch, a [][]byte, unit int64) {
	if len(a) > 3 {
		b.err("ERR Unsupported option %s", a[3])
		return
	}
	n, err := strconv.ParseInt(string(a[2]), 10, 64)
	if err != nil {
		b.err("ERR value is not an integer or out of range")
		return
	}
	if n > math.MaxInt64/unit/2 {
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
	b.ask(func(_ *conn, dst []byte, rs []*Request) []byte {
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

func dbsize(b *batch, _ [][]byte) {
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
		b.err("WRONGPASS invalid username-password pair or user is disabled.")
		return
	}
	b.err("ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?")
}

func selectDB(b *batch, a [][]byte) {
	if string(a[1]) == "0" {
		b.reply(resp.AppendOK(nil))
		return
	}
	if _, err := strconv.Atoi(string(a[1])); err != nil {
		b.err("ERR value is not an integer or out of range")
		return
	}
	b.err("ERR SELECT is not allowed in cluster mode")
}

func hello(b *batch, a [][]byte) {
	proto := b.c.proto
	i := 1
	if len(a) > 1 {
		n, err := strconv.Atoi(string(a[1]))
		if err != nil {
			b.err("ERR Protocol version is not an integer or out of range")
			return
		}
		if n != 2 && n != 3 {
			b.err("NOPROTO unsupported protocol version")
			return
		}
		proto, i = n, 2
	}
	for i < len(a) {
		switch {
		case is(a[i], "AUTH") && i+2 < len(a):
			if string(a[i+1]) != "default" {
				b.err("WRONGPASS invalid username-password pair or user is disabled.")
				return
			}
			i += 3
		case is(a[i], "SETNAME") && i+1 < len(a):
			b.c.name = string(a[i+1])
			i += 2
		default:
			b.err("ERR Syntax error in HELLO option '%s'", a[i])
			return
		}
	}
	b.c.mu.Lock()
	b.c.proto = proto
	b.c.mu.Unlock()
	d := resp.AppendMap(nil, 7, proto)
	str := func(k, v string) { d = resp.AppendBulk(resp.AppendBulk(d, []byte(k)), []byte(v)) }
	str("server", "redis")
	str("version", "7.4.0")
	d = resp.AppendInt(resp.AppendBulk(d, []byte("proto")), int64(proto))
	d = resp.AppendInt(resp.AppendBulk(d, []byte("id")), int64(b.c.id))
	str("mode", "cluster")
	str("role", "master")
	d = resp.AppendArray(resp.AppendBulk(d, []byte("modules")), 0)
	b.reply(d)
}

func command(b *batch, a [][]byte) {
	if len(a) > 1 && is(a[1], "COUNT") {
		b.reply(resp.AppendInt(nil, int64(len(table))))
		return
	}
	if len(a) > 1 && is(a[1], "DOCS") {
		b.reply(resp.AppendMap(nil, 0, b.c.proto))
		return
	}
	var names []string
	if len(a) > 2 && is(a[1], "INFO") {
		for _, n := range a[2:] {
			names = append(names, strings.ToUpper(string(n)))
		}
	} else if len(a) > 1 {
		b.err("ERR unknown subcommand '%.128s'. Try COMMAND HELP.", a[1])
		return
	} else {
		names = Commands()
	}
	d := resp.AppendArray(nil, len(names))
	for _, n := range names {
		s, ok := table[n]
		if !ok {
			d = resp.AppendNull(d, b.c.proto)
			continue
		}
		d = resp.AppendArray(d, 6)
		d = resp.AppendBulk(d, []byte(strings.ToLower(n)))
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

// config answers what redis-benchmark asks before it starts.
func config(b *batch, a [][]byte) {
	if len(a) >= 3 && is(a[1], "GET") {
		switch {
		case is(a[2], "save"), is(a[2], "appendonly"):
			v := ""
			if is(a[2], "appendonly") {
				v = "yes"
			}
			d := resp.AppendMap(nil, 1, b.c.proto)
			b.reply(resp.AppendBulk(resp.AppendBulk(d, bytes.ToLower(a[2])), []byte(v)))
		default:
			b.reply(resp.AppendMap(nil, 0, b.c.proto))
		}
		return
	}
	b.err("ERR unknown subcommand '%.128s'. Try CONFIG HELP.", a[1])
}

func client(b *batch, a [][]byte) {
	switch {
	case is(a[1], "ID"):
		b.reply(resp.AppendInt(nil, int64(b.c.id)))
	case is(a[1], "GETNAME"):
		if b.c.name == "" {
			b.reply(resp.AppendNull(nil, b.c.proto))
		} else {
			b.reply(resp.AppendBulk(nil, []byte(b.c.name)))
		}
	case is(a[1], "SETNAME") && len(a) == 3:
		b.c.name = string(a[2])
		b.reply(resp.AppendOK(nil))
	case is(a[1], "SETINFO") && len(a) == 4, is(a[1], "NO-EVICT") && len(a) == 3, is(a[1], "NO-TOUCH") && len(a) == 3:
		b.reply(resp.AppendOK(nil))
	case is(a[1], "INFO"):
		b.reply(resp.AppendBulk(nil, fmt.Appendf(nil, "id=%d addr=%s name=%s resp=%d", b.c.id, b.c.nc.RemoteAddr(), b.c.name, b.c.proto)))
	default:
		b.err("ERR unknown subcommand '%.128s'. Try CLIENT HELP.", a[1])
	}
}

func clusterCmd(b *batch, a [][]byte) {
	node := b.c.s.node
	switch {
	case is(a[1], "MYID"):
		b.reply(resp.AppendBulk(nil, []byte(node.ID())))
	case is(a[1], "INFO"):
		b.reply(resp.AppendBulk(nil, []byte("cluster_enabled:1\r\ncluster_state:ok\r\ncluster_slots_assigned:16384\r\n")))
	case is(a[1], "KEYSLOT") && len(a) == 3:
		b.reply(resp.AppendInt(nil, int64(resp.Slot(a[2]))))
	case is(a[1], "SLOTS"):
		rs := node.Slots()
		d := resp.AppendArray(nil, len(rs))
		for _, r := range rs {
			d = resp.AppendArray(d, 2+len(r.Nodes))
			d = resp.AppendInt(resp.AppendInt(d, int64(r.Start)), int64(r.End))
			for _, n := range r.Nodes {
				d = resp.AppendArray(d, 3)
				d = resp.AppendBulk(d, []byte(n.Host))
				d = resp.AppendInt(d, int64(n.Port))
				d = resp.AppendBulk(d, []byte(n.ID))
			}
		}
		b.reply(d)
	default:
		b.err("ERR unknown subcommand '%.128s'. Try CLUSTER HELP.", a[1])
	}
}
