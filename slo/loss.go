package slo

import (
	"slices"
	"time"
)

// measureRPO bounds by the acknowledgements of lost writes how far back the
// state went: from the first lost one, or the fault if that came first, to the
// last lost one, or the fault if that came last. Each lost write counts for the
// fault that was asked nearest to its acknowledgement.
func (t *trial) measureRPO() {
	if t.safety.sessions == 0 {
		return
	}
	t.m.RPO = value(0)
	if len(t.faults) == 0 {
		if acks := t.safety.lostAcks; len(acks) > 0 {
			t.m.RPO = value(sec(slices.Max(acks) - slices.Min(acks)))
		}
		return
	}
	lost := make([][]time.Duration, len(t.faults))
	for _, ack := range t.safety.lostAcks {
		nearest := 0
		for i, f := range t.faults {
			if (f.asked - ack).Abs() < (t.faults[nearest].asked - ack).Abs() {
				nearest = i
			}
		}
		lost[nearest] = append(lost[nearest], ack)
	}
	for i, f := range t.faults {
		f.rpo = value(0)
		if len(lost[i]) > 0 {
			f.rpo = value(sec(max(f.asked, slices.Max(lost[i])) - min(f.asked, slices.Min(lost[i]))))
		}
		if f.rpo.Value > t.m.RPO.Value {
			t.m.RPO = f.rpo
		}
	}
}
