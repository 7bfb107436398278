package checker

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/fivenines/fivenines/loadgen/history"
)

// Linearizable is what is known about a history.
type Linearizable string

const (
	Yes     Linearizable = "yes"
	No      Linearizable = "no"
	Unknown Linearizable = "unknown" // the checker gave up
)

// Bounds of the check of one contested session. Those on steps and memory are
// reached first as a rule, and make the answer repeatable.
type Bounds struct {
	Ops    int           // 0: 20,000
	Steps  int64         // 0: 2,000,000
	Time   time.Duration // 0: 20 s
	Memory int64         // bytes that the search may keep; 0: 128 MiB
}

// stepBytes bounds what Porcupine keeps of a step that succeeded: a bit for
// each operation, the state, the cache entry and its share of a map that grows,
// and the entry on the stack of the search. Steps that fail keep nothing.
func stepBytes(ops int) int64 { return int64(ops/64+1)*8 + 384 }

func (b Bounds) orDefaults() Bounds {
	b.Ops = cmp.Or(b.Ops, 20_000)
	b.Steps = cmp.Or(b.Steps, 2_000_000)
	b.Time = cmp.Or(b.Time, 20*time.Second)
	b.Memory = cmp.Or(b.Memory, 128<<20)
	return b
}

// state of a session in the model: writer and sequence number, or none.
type state struct {
	present bool
	writer  uint16
	seq     uint32
}

// input of a step: what was asked and what came back.
type input struct {
	kind    stepKind
	state   state // written or found
	refused bool  // create that found one, update that found none
	open    bool  // unknown: any answer is possible
}

type stepKind uint8

const (
	create stepKind = iota
	update
	observe
	closing
	expire
)

// step is the sequential specification of a session: a register with a
// conditional create and update, and an end.
func step(s state, in input) (bool, state) {
	switch in.kind {
	case create:
		switch {
		case in.open && s.present:
			return true, s
		case in.open:
			return true, in.state
		case in.refused:
			return s.present, s
		}
		return !s.present, in.state
	case update:
		switch {
		case in.open && !s.present:
			return true, s
		case in.open:
			return true, in.state
		case in.refused:
			return !s.present, s
		}
		return s.present, in.state
	case observe:
		return s == in.state, s
	case closing:
		return in.open || s == in.state, state{}
	}
	return true, state{} // expire
}

// Contested checks the operations of one session with several writers,
// in any order, for linearizability. It returns how many operations took part.
func Contested(ops []history.Op, b Bounds) (Linearizable, int) {
	b = b.orDefaults()
	h := porcupineHistory(ops)
	if len(h) > b.Ops {
		return Unknown, len(h)
	}
	var steps, kept atomic.Int64
	var gaveUp atomic.Bool
	each := stepBytes(len(h))
	model := porcupine.Model{
		Init: func() any { return state{} },
		StepContext: func(_ context.Context, s, in, _ any) (bool, any) {
			if steps.Add(1) > b.Steps {
				gaveUp.Store(true)
				return false, s // every branch fails from here on: the search ends
			}
			ok, next := step(s.(state), in.(input))
			if ok && kept.Add(each) > b.Memory {
				gaveUp.Store(true)
				return false, s
			}
			return ok, next
		},
		Equal: func(a, b any) bool { return a.(state) == b.(state) },
		Hash: func(s any) uint64 {
			st := s.(state)
			return (uint64(st.writer)<<32 | uint64(st.seq)) * 0x9E3779B97F4A7C15
		},
	}
	switch res := porcupine.CheckOperationsTimeout(model, h, b.Time); {
	case res == porcupine.Ok:
		return Yes, len(h)
	case res == porcupine.Illegal && !gaveUp.Load():
		return No, len(h)
	}
	return Unknown, len(h)
}

// porcupineHistory leaves out what can't change the answer: an unknown
// operation that was never applied as far as anybody saw, unless it may have
// created or ended the session. An unknown write that was observed has taken
// effect by then.
func porcupineHistory(ops []history.Op) []porcupine.Operation {
	type id struct {
		writer uint16
		seq    uint32
	}
	seen := map[id]time.Duration{}
	for i := range ops {
		if o := &ops[i]; o.Outcome == history.OK && strong(o) && o.Kind.Observes() && !o.Absent && !o.Corrupt {
			k := id{o.Writer, o.Seq}
			if at, ok := seen[k]; !ok || o.End < at {
				seen[k] = o.End
			}
		}
	}
	const open = math.MaxInt64
	var h []porcupine.Operation
	add := func(o *history.Op, in input, end int64) {
		h = append(h, porcupine.Operation{ClientId: int(o.Client), Input: in, Call: int64(o.Start), Return: end})
	}
	for i := range ops {
		o := &ops[i]
		if !strong(o) {
			continue
		}
		end, in := int64(o.End), input{}
		if o.Outcome == history.Unknown {
			end, in.open = open, true
		} else if o.Outcome != history.OK || o.Corrupt {
			continue
		}
		switch o.Kind {
		case history.Create, history.Update:
			in.kind, in.state, in.refused = create, state{true, o.Writer, o.Seq}, o.Exists || o.Absent
			if o.Kind == history.Update {
				in.kind = update
			}
			if in.open {
				at, observed := seen[id{o.Writer, o.Seq}]
				if o.Kind == history.Update && !observed {
					continue
				}
				if observed && at >= o.Start {
					end = int64(at)
				}
			}
		case history.Close:
			in.kind = closing
			if !o.Absent && !in.open {
				in.state = state{true, o.Writer, o.Seq}
			}
		default:
			if in.open {
				continue
			}
			in.kind = observe
			if !o.Absent {
				in.state = state{true, o.Writer, o.Seq}
			}
		}
		add(o, in, end)
	}
	for _, at := range expiries(ops) {
		h = append(h, porcupine.Operation{Input: input{kind: expire, open: true}, Call: int64(at), Return: open})
	}
	return h
}

// expiries are the instants from which the session may have expired: a
// time-to-live after an acknowledged refresh, where no other one had begun.
func expiries(ops []history.Op) []time.Duration {
	var refs []*history.Op
	last := time.Duration(0)
	for i := range ops {
		last = max(last, ops[i].End)
		if refreshes(&ops[i]) == acked {
			refs = append(refs, &ops[i])
		}
	}
	slices.SortFunc(refs, func(a, b *history.Op) int { return cmp.Compare(a.Start, b.Start) })
	var at []time.Duration
	for i, o := range refs {
		end := last
		if i+1 < len(refs) {
			end = refs[i+1].End
		}
		if e := o.Start + ttlOf(o); o.TTL > 0 && e < end {
			at = append(at, e)
		}
	}
	return at
}
