package slo

import (
	"slices"
	"strconv"

	"github.com/fivenines/fivenines/loadgen/history"
)

// phasesOf splits the outage of a fault by what the platform reported; nil
// where there was none.
func (t *trial) phasesOf(f *fault) *Phases {
	o := f.failover
	if o == nil || o.N == 0 {
		return nil
	}
	since := func(e *history.Event) float64 { return sec(e.At - f.asked) }
	within := func(e *history.Event) bool {
		return platformEvent(e) && e.At >= f.asked && since(e) <= o.FromAsked
	}

	var detected, elected, promoted, rerouted, written *float64
	if e := t.detection(f, thePlatform); e != nil && within(e) {
		detected = ptr(since(e))
	}
	reported, waiting := false, false // waiting: a partition that is still out had no election
	last := map[int]float64{}         // election of each partition
	for i := range t.events {
		e := &t.events[i]
		reported = reported || platformEvent(e)
		if !within(e) {
			continue
		}
		switch e.Kind {
		case history.Promoted:
			if promoted == nil {
				promoted = ptr(since(e))
			}
		case history.RouteMoved:
			if slices.ContainsFunc(e.Parts, func(p string) bool { return slices.Contains(f.parts, p) }) {
				rerouted = ptr(since(e)) // the last one
			}
		case history.Elected:
			n, err := strconv.Atoi(e.Fields["shard"])
			for _, p := range o.Partitions {
				if e.Fields["shard"] != "" && (err != nil || n != p.Partition) {
					continue // meta data, or a shard that nobody missed
				}
				if sec(e.At) <= p.End {
					last[p.Partition] = max(last[p.Partition], since(e))
				}
			}
		}
	}
	for _, p := range o.Partitions {
		if at, ok := last[p.Partition]; ok && (elected == nil || at > *elected) {
			elected = ptr(at)
		} else if !ok && p.Censored {
			waiting = true
		}
		if at := p.End - sec(f.asked); !p.Censored && (written == nil || at < *written) {
			written = ptr(at)
		}
	}
	routed := promoted
	if routed == nil {
		routed = rerouted
	}
	if routed == nil {
		routed = written
	}
	if o.Censored && waiting && slices.ContainsFunc(t.events, func(e history.Event) bool { return platformEvent(&e) && e.Kind == history.Elected }) {
		elected, routed = nil, nil // the others' elections are not the last one needed
	}

	ends := []*float64{detected, elected, routed, &o.FromAsked}
	if o.Censored {
		ends = stuck(ends[:3], o.FromAsked, reported)
	}
	var took [4]*float64
	at := 0.0
	for i, end := range ends {
		if end != nil {
			to := min(max(*end, at), o.FromAsked)
			took[i] = ptr(round(to - at))
			at = to
		}
	}
	return &Phases{Detect: took[0], Elect: took[1], Route: took[2], Reconnect: took[3]}
}

// stuck ends the first phase after the last one that was seen to end with the
// whole. Who reports nothing can't be stuck before routing.
func stuck(seen []*float64, end float64, reported bool) []*float64 {
	out := make([]*float64, len(seen)+1)
	next := copy(out, seen)
	for next > 0 && seen[next-1] == nil {
		next--
	}
	if next == 0 && !reported {
		next = 2
	}
	out[next] = &end
	return out
}
