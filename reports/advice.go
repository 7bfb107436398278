package reports

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/fivenines/fivenines/slo"
)

// guide says what an objective asks and where to look when it is missed.
type guide struct {
	asks   string
	missed string
}

var guides = map[string]guide{
	slo.Failover: {
		asks:   "How long could a part of the sessions not be written after the fault?",
		missed: "See which phase of the outage took the time, and shorten the timeout that governs it.",
	},
	slo.Restart: {
		asks:   "How long until a node whose process was killed served again, by itself?",
		missed: "The last node-not-ready in events.jsonl says what the node lacked. See in its log whether it was started again, how often, and what it waited for.",
	},
	slo.SessionLoss: {
		asks:   "Are all live sessions still there?",
		missed: "Look at the operations of a lost session: where was its last write acknowledged, and which replicas had it then? A write must be on a quorum's disks before it is acknowledged.",
	},
	slo.LostWrites: {
		asks:   "Did every acknowledged write survive?",
		missed: "Find out who acknowledged the lost writes and when: before the fault it is a write acknowledged without a quorum or without fsync, after it an old leader that was not fenced.",
	},
	slo.Regressed: {
		asks:   "Did any session go back to an older state?",
		missed: "The new leader did not have the last acknowledged entry. Check that only a replica with the longest log can be elected, and what a restarted node remembers.",
	},
	slo.StaleReads: {
		asks:   "Did every strong read return the latest acknowledged state?",
		missed: "Look at which node answered: a leader that was replaced must stop reading from its memory when its lease ends. Check lease start, length and clock margin.",
	},
	slo.Expiry: {
		asks:   "Did sessions expire when they should, and stay gone?",
		missed: "Check what the idle clock does while a shard has no leader, that expiry is a committed entry, and the grace for clock skew.",
	},
	slo.Linearizability: {
		asks:   "Do sessions with several writers behave like a single copy?",
		missed: "Read the operations shown in order of time. The first one that no order explains is marked: see which node answered it, and in which term.",
	},
	slo.MinorityAckWrite: {
		asks:   "Did a side that was cut off from its quorum stop acknowledging writes?",
		missed: "An acknowledgement without a quorum is a split brain. Check check-quorum, the lease, and that the old leader is fenced by its term.",
	},
	slo.RPO: {
		asks:   "Over how long a time were acknowledged writes lost?",
		missed: "See the lost writes: the recovery point is the span of their acknowledgements.",
	},
	slo.RTO: {
		asks:   "How long until the whole service was as good as before?",
		missed: "Failover may be over while latency or a part of the clients is not back: compare with the failover time, and look at the latency after it in the timeline.",
	},
	slo.MTTD: {
		asks:   "How long until the platform noticed the fault?",
		missed: "Shorten the heartbeat interval or the suspicion timeout, or report the first suspicion as an event.",
	},
	slo.MTTR: {
		asks:   "How long from noticing the fault to full service?",
		missed: "Detection is not the bottleneck: look at election, routing and the clients' reconnection.",
	},
	slo.Availability: {
		asks:   "Which share of the operations was answered well and in time?",
		missed: "See in the timeline when operations were bad: in the failover they count against its length, outside of it against the steady state.",
	},
	slo.ReadYourWrites: {
		asks:   "Did eventual reads show a client its own writes?",
		missed: "The read went to a replica that did not have the write yet. Send a client's eventual reads to the replica it wrote to, or have a replica wait until it has applied what the client wrote.",
	},
	slo.MonotonicReads: {
		asks:   "Did eventual reads never go back in time for a client?",
		missed: "Two reads of a client went to replicas of different age. Keep a client on one replica, or have it say which state it saw last.",
	},
	slo.Staleness: {
		asks:   "How old was the oldest state that an eventual read returned?",
		missed: "Look at how far the replica that answered was behind: a replica that hears nothing from its leader must stop answering eventual reads after the bound.",
	},
	slo.ReplayGaps: {
		asks:   "Did a resumed event stream deliver every event, in order?",
		missed: "An event was passed over, misordered or repeated. Check that the event log is replicated with the session's state, and from which event a resumed stream begins.",
	},
	slo.CrossSession: {
		asks:   "Did streams deliver their own session's events and nothing else?",
		missed: "An event of another session, or one that nobody emitted, was delivered: look at what ties a stream to its session after a failover.",
	},
	slo.Capacity: {
		asks:   "Was the target load served in time before the fault?",
		missed: "Compare the generator's CPU and schedule lag with the system's: a smaller --rps tells whether the machine or the system is the limit.",
	},
}

func about(name string) guide { return guides[name] }

// advice is what to do about a row that is not met.
func advice(r *slo.Result, o *slo.Objective) string {
	switch known(o.Verdict) {
	case slo.Missed:
		s := about(o.Name).missed
		if s == "" {
			s = "See the evidence and the timeline."
		}
		if o.Name == slo.Failover {
			if longest := longestPhase(r); longest != "" {
				s += " " + longest
			}
		}
		if n := examplesOf(r, o.Name); n > 0 {
			s += fmt.Sprintf(" %s with its operations below.", countOf(n, "example is given", "examples are given, each"))
		}
		return s
	case slo.Inconclusive:
		switch {
		case len(r.Problems) > 0:
			return "Solve the problems of the run first, then run it again: neither met nor missed is claimed."
		default:
			return "What the evidence names was not measured: give the run more load, more time or more trials, then run it again."
		}
	}
	return ""
}

func examplesOf(r *slo.Result, objective string) int {
	n := 0
	for i := range r.Examples {
		if slices.Contains(slo.Checks(objective), r.Examples[i].Check) {
			n++
		}
	}
	return n
}

// phaseNames are the milestones of an outage that are known.
var phaseNames = map[string]struct {
	text, ends string // the milestone, and the time that it ends
}{
	"suspected":      {text: "a node was suspected", ends: "suspicion"},
	"detected":       {text: "the failure was detected", ends: "detection"},
	"elected":        {text: "the first new leader was elected", ends: "election"},
	"promoted":       {text: "the new region was made active", ends: "promotion"},
	"first_write":    {text: "the first shard took writes again", ends: "routing and reconnection"},
	"last_partition": {text: "the last shard took writes again", ends: "the wait for the remaining shards"},
}

// milestone is an instant of an outage, seconds from the fault.
type milestone struct {
	Key, Text, Ends string
	At, Took        float64
}

// milestones are a trial's phases in order of time.
func milestones(t *slo.Trial) []milestone {
	ms := make([]milestone, 0, len(t.Measures.Phases))
	for k, at := range t.Measures.Phases {
		if !finite(at) {
			continue
		}
		m := milestone{Key: k, Text: clean(k), Ends: clean(k), At: at}
		if p, ok := phaseNames[k]; ok {
			m.Text, m.Ends = p.text, p.ends
		}
		ms = append(ms, m)
	}
	slices.SortFunc(ms, func(a, b milestone) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Key, b.Key))
	})
	prev := 0.0
	for i := range ms {
		ms[i].Took = ms[i].At - prev
		prev = ms[i].At
	}
	return ms
}

// longestPhase says which phase of the worst trial's outage took the most, or
// which shards did not come back at all.
func longestPhase(r *slo.Result) string {
	w := worst(r)
	if w < 0 {
		return ""
	}
	if o := r.Trials[w].Measures.Failover; o != nil && o.Censored {
		var open []string
		for _, p := range o.Partitions {
			if p.Censored {
				open = append(open, fmt.Sprint(p.Partition))
			}
		}
		if len(open) == 0 {
			return ""
		}
		noun := "shard"
		if len(open) > 1 {
			noun = "shards"
		}
		return fmt.Sprintf("Here %s %s had not come back when the load stopped: look for why there was no leader, or none that clients reached.", noun, listText(open, 12))
	}
	ms := milestones(&r.Trials[w])
	if len(ms) < 2 {
		return ""
	}
	long := slices.MaxFunc(ms, func(a, b milestone) int { return cmp.Compare(a.Took, b.Took) })
	return fmt.Sprintf("Here %s took the most: %s of %s.", long.Ends, secondsText(long.Took), secondsText(ms[len(ms)-1].At))
}
