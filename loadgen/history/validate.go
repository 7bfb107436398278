package history

import (
	"errors"
	"fmt"
)

// NoNode is the Node of an operation that no entry is known to have answered.
const NoNode = 255

// Validate says which invariant the operation breaks, or nil:
//
//   - 0 <= Intended <= Start <= End. An Unsent operation was never started:
//     Start and End are both the instant at which the generator gave it up,
//     its Intended at the earliest.
//   - Kind, Outcome, Class and Cause are known; an OK operation has no Cause;
//     a ReadBack is an Audit and nothing else is; an Eventual is a Read; Emit,
//     Deliver and Resume are of the class Stream and nothing else is.
//   - Absent, Exists and Corrupt are what an OK operation found: Absent for an
//     observation or an Update, Exists for a Create or a Deliver, Corrupt for an
//     observation or a Deliver, at most one of them.
//   - An observation has a Seq if and only if it found a state (a corrupt state
//     may have any).
//   - A Create or Update has the Seq that it wrote, may have written (Unknown)
//     or must not have written (Failed). One that was refused by its condition,
//     or never sent, may leave it out.
//   - A Deliver is OK, takes no time, and has a Seq unless it is corrupt. An OK
//     Emit has a Seq.
func (o *Op) Validate() error {
	// The one-line cases come before anything is formatted: this is on the hot path.
	switch {
	case o.Kind < Create || o.Kind > Resume:
		return fmt.Errorf("unknown %v", o.Kind)
	case o.Outcome < OK || o.Outcome > Unsent:
		return fmt.Errorf("unknown %v", o.Outcome)
	case o.Class < Follower || o.Class > Stream:
		return fmt.Errorf("unknown %v", o.Class)
	case o.Cause > Backpressure:
		return fmt.Errorf("unknown %v", o.Cause)
	case o.Intended < 0:
		return fmt.Errorf("intended %v is before the run's epoch", o.Intended)
	case o.Start < o.Intended:
		return fmt.Errorf("start %v is before intended %v", o.Start, o.Intended)
	case o.End < o.Start:
		return fmt.Errorf("end %v is before start %v", o.End, o.Start)
	case o.Outcome == Unsent && o.Start != o.End:
		return fmt.Errorf("it was never sent, yet start %v is not end %v", o.Start, o.End)
	case (o.Kind == ReadBack) != (o.Class == Audit), (o.Kind >= Emit) != (o.Class == Stream), o.Class == Eventual && o.Kind != Read:
		return fmt.Errorf("class %v does not go with this kind", o.Class)
	case o.Outcome == OK && o.Cause != NoCause:
		return fmt.Errorf("it is ok and has a cause, %v", o.Cause)
	case (o.Absent || o.Exists || o.Corrupt) && o.Outcome != OK:
		return fmt.Errorf("it is %v and yet found something (absent %t, exists %t, corrupt %t)", o.Outcome, o.Absent, o.Exists, o.Corrupt)
	case o.Absent && (o.Kind == Create || o.Class == Stream):
		return errors.New("absent does not go with this kind")
	case o.Exists && o.Kind != Create && o.Kind != Deliver:
		return errors.New("exists is set on something else than a create or an event")
	case o.Corrupt && !o.Kind.Observes() && o.Kind != Deliver:
		return errors.New("corrupt is set on an operation that observes nothing")
	case o.Corrupt && (o.Absent || o.Exists):
		return fmt.Errorf("corrupt is set, and absent (%t) or exists (%t)", o.Absent, o.Exists)
	}
	if o.Class == Stream {
		return o.validateStream()
	}
	if o.Kind.Observes() {
		found := o.Outcome == OK && !o.Absent
		switch {
		case !found && o.Seq != 0:
			return fmt.Errorf("seq %d is set and yet no state was found (%v, absent %t)", o.Seq, o.Outcome, o.Absent)
		case found && o.Seq == 0 && !o.Corrupt:
			return errors.New("a state was found and no seq is set")
		}
		return nil
	}
	if o.Seq == 0 && o.Outcome != Unsent && !o.Absent && !o.Exists {
		return fmt.Errorf("seq is not set on a write that is %v", o.Outcome)
	}
	return nil
}

func (o *Op) validateStream() error {
	switch {
	case o.Kind == Deliver && o.Outcome != OK:
		return fmt.Errorf("an event that was delivered is %v", o.Outcome)
	case o.Kind == Deliver && o.Start != o.End:
		return fmt.Errorf("an event arrives at an instant, and not from %v to %v", o.Start, o.End)
	case o.Kind != Resume && o.Outcome == OK && o.Seq == 0 && !o.Corrupt:
		return errors.New("the event has no seq")
	}
	return nil
}

// bounds are the indexes that a manifest gives a meaning to; zero is unbounded.
type bounds struct{ regions, nodes, partitions int }

func (m *Manifest) bounds() bounds {
	return bounds{len(m.Regions), len(m.Nodes), m.Partitions}
}

func (b bounds) check(o *Op) error {
	if err := o.Validate(); err != nil {
		return err
	}
	switch {
	case b.regions > 0 && int(o.Region) >= b.regions:
		return fmt.Errorf("region %d of %d in the manifest", o.Region, b.regions)
	case b.nodes > 0 && o.Node != NoNode && int(o.Node) >= b.nodes:
		return fmt.Errorf("node %d of %d in the manifest", o.Node, b.nodes)
	case b.partitions > 0 && int(o.Partition) >= b.partitions:
		return fmt.Errorf("partition %d of %d in the manifest", o.Partition, b.partitions)
	}
	return nil
}

// invalid names the operation that breaks an invariant.
func invalid(o *Op, err error) error {
	return fmt.Errorf("%v of session:{%d} by client %d intended at %v: %w", o.Kind, o.Session, o.Client, o.Intended, err)
}
