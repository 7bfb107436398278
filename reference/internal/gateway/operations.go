package gateway

import (
	"bytes"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// outcome of a command, as the first word of its reply tells it.
type outcome uint8

const (
	served outcome = iota
	refused
	notApplied
	unknown
	badRequest
	gone // its connection ended before the reply
	outcomes
)

// Outcomes names what may become of a command, in the order of
// [Operation.Outcomes].
var Outcomes = [outcomes]string{"ok", "overloaded", "notapplied", "unknown", "badrequest", "gone"}

// outcomeOf reads it off a whole reply: what is counted is what the client is told.
func outcomeOf(reply []byte) outcome {
	if len(reply) == 0 || reply[0] != '-' {
		return served
	}
	switch word := reply[1:]; {
	case bytes.HasPrefix(word, []byte("NOTAPPLIED overloaded")):
		return refused
	case bytes.HasPrefix(word, []byte("NOTAPPLIED ")):
		return notApplied
	case bytes.HasPrefix(word, []byte("UNKNOWN ")):
		return unknown
	}
	return badRequest
}

// bounds of the histogram's buckets. They are close where round trips between
// regions and the write budget are.
var bounds = [...]time.Duration{
	200 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	75 * time.Millisecond, 100 * time.Millisecond, 150 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond, 500 * time.Millisecond,
	750 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second,
}

// tally is what was counted of one command. Readers and the node's loop add to it
// with plain atomics, a reader once for a run of equal commands.
type tally struct {
	outcomes [outcomes]atomic.Uint64
	buckets  [len(bounds) + 1]atomic.Uint64
	nanos    atomic.Int64
}

// add counts n commands that took d each.
func (t *tally) add(o outcome, n int, d time.Duration) {
	d = max(d, 0) // the loop's clock may be older than the command
	i := 0
	for i < len(bounds) && d > bounds[i] {
		i++
	}
	t.outcomes[o].Add(uint64(n))
	t.buckets[i].Add(uint64(n))
	t.nanos.Add(int64(d) * int64(n))
}

// Operation is what was counted of one command.
type Operation struct {
	Command  string // in lower case; "other" for what is no command
	Outcomes [outcomes]uint64
	Count    uint64 // of replies
	Sum      float64
	Buckets  map[float64]uint64 // replies within so many seconds
}

// other stands for every name that is no command, and for input that is none.
const other = 0

// labels are the commands' names by their number in the tables of tallies.
var labels = []string{other: "other"}

// number gives every command of the table its place among the tallies.
func number() {
	names := Commands()
	slices.Sort(names)
	for _, name := range names {
		table[name].number = uint8(len(labels))
		labels = append(labels, strings.ToLower(name))
	}
	numberOfGet = table["GET"].number
}

var numberOfGet uint8

// Operations are the commands on sessions, and what else was asked for: that
// the first failure of one on sessions is an increase, its counters begin at zero.
func (s *Server) Operations() (all []Operation) {
	for i := range s.tallies {
		t := &s.tallies[i]
		op := Operation{Command: labels[i], Buckets: map[float64]uint64{}, Sum: time.Duration(t.nanos.Load()).Seconds()}
		seen := i == other || table[strings.ToUpper(labels[i])].keys[0] > 0
		for o := range t.outcomes {
			op.Outcomes[o] = t.outcomes[o].Load()
			seen = seen || op.Outcomes[o] > 0
		}
		if !seen {
			continue
		}
		for b := range t.buckets {
			op.Count += t.buckets[b].Load()
			if b < len(bounds) {
				op.Buckets[bounds[b].Seconds()] = op.Count
			}
		}
		all = append(all, op)
	}
	return all
}

// run is how many commands in a row were answered alike by a reader.
type run struct {
	command uint8
	outcome outcome
	n       int
}

// answered notes that the command which runs has its reply. How long that took is
// known when the batch is settled, by which time it is sent.
func (b *batch) answered(o outcome) {
	b.running = false
	if r := &b.runs[b.last]; r.command == b.number && r.outcome == o {
		r.n++
		return
	}
	b.another(o)
}

func (b *batch) another(o outcome) {
	if b.last == len(b.runs)-1 {
		b.settle()
	}
	if b.runs[b.last].n > 0 {
		b.last++
	}
	b.runs[b.last] = run{b.number, o, 1}
}

// settle counts what came, and what the reader answered since it last did.
func (b *batch) settle() {
	b.c.s.Commands.Add(b.came)
	b.came = 0
	if b.runs[0].n == 0 {
		return
	}
	at := b.looked
	if at == 0 {
		at = b.c.s.node.Now()
	}
	for i := range b.runs[:b.last+1] {
		r := &b.runs[i]
		b.c.s.tallies[r.command].add(r.outcome, r.n, at-b.parsed)
		r.n = 0
	}
	b.last, b.looked = 0, 0
}
