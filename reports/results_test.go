package reports

import (
	"fmt"
	"math"
	"time"

	"github.com/fivenines/fivenines/slo"
)

// The results that the formats are tested on, one for each kind of ending.

func ptr[T any](v T) *T { return &v }

func val(v float64) *slo.Value { return &slo.Value{Value: v} }

var results = map[string]func() *slo.Result{
	"met": met, "missed": missed, "inconclusive": inconclusive, "mutant": mutant, "nofault": noFault, "trials": trials,
}

func objectives(change map[string]slo.Objective) []slo.Objective {
	all := []slo.Objective{
		{Name: slo.Failover, Target: "< 5 s", Measured: &slo.Value{Value: 3.412, Lower: ptr(3.396), Upper: ptr(3.412)}, Unit: "s", Verdict: slo.Met, Evidence: "12 of 12 partitions had an outage: median 2.7 s, at most 3.41 s, give or take 0.0167 s; over 3.43 s after the change"},
		{Name: slo.SessionLoss, Target: "0", Measured: val(0), Unit: "count", Verdict: slo.Met, Evidence: "50813 sessions, 0 not found"},
		{Name: slo.LostWrites, Target: "0", Measured: val(0), Unit: "count", Verdict: slo.Met, Evidence: "0 acknowledged writes are gone, of 50813 sessions"},
		{Name: slo.Regressed, Target: "0", Measured: val(0), Unit: "count", Verdict: slo.Met, Evidence: "0 of 50813 sessions read back older than acknowledged"},
		{Name: slo.StaleReads, Target: "0", Measured: val(0), Unit: "count", Verdict: slo.Met, Evidence: "561022 strong reads: 0 stale, 0 backward, 0 phantom, 0 corrupt; 2 unknown writes took effect late, which is legal"},
		{Name: slo.Expiry, Target: "0", Measured: val(0), Unit: "count", Verdict: slo.Met, Evidence: "4214 sessions looked at after their time: 0 expired early, 0 late, 0 came back"},
		{Name: slo.Linearizability, Target: "0", Measured: val(0), Unit: "count", Verdict: slo.Met, Evidence: "64 histories of contested sessions with 15360 operations: 0 not linearizable, 0 not decided"},
		{Name: slo.MinorityAckWrite, Unit: "count", Verdict: slo.NotEvaluated},
		{Name: slo.RPO, Target: "< 1 s", Measured: val(0), Unit: "s", Verdict: slo.Met, Evidence: "0 acknowledged writes lost"},
		{Name: slo.RTO, Target: "< 30 s", Measured: &slo.Value{Value: 5, Lower: ptr(4.0), Upper: ptr(5.0)}, Unit: "s", Verdict: slo.Met, Evidence: "to the first window from which on the whole steady state held"},
		{Name: slo.MTTD, Target: "< 60 s", Measured: val(0.842), Unit: "s", Verdict: slo.Met, Evidence: "suspected by eu-west-1-2"},
		{Name: slo.MTTR, Target: "< 300 s", Measured: val(4.158), Unit: "s", Verdict: slo.Met, Evidence: "from detection to the steady state"},
		{Name: slo.Availability, Unit: "share", Measured: val(0.91853), Verdict: slo.NotEvaluated, Evidence: "734824 of 800000 operations good"},
		{Name: slo.Capacity, Target: ">= 99 %", Measured: val(0.99987), Unit: "share", Verdict: slo.Met, Evidence: "19997 of 20000 operations a second served in time before the fault"},
	}
	for i := range all {
		if c, ok := change[all[i].Name]; ok {
			c.Name = all[i].Name
			all[i] = c
		}
	}
	return all
}

// timeline is a load of n seconds from a second on, with an outage from a fault on.
func timeline(from, n, fault, outage int) []slo.Slice {
	var out []slo.Slice
	for s := from; s < from+n; s++ {
		wave := math.Sin(float64(s) * 1.7)
		c := slo.Slice{Second: s, Intended: 20000 + int(120*wave), ReadP50: 0.62 + 0.05*wave, ReadP99: 2.4 + 0.8*wave, WriteP50: 77.4 + 0.5*wave, WriteP99: 84 + 4*wave}
		if since := s - fault; fault >= 0 && since >= 0 {
			c.WriteP50, c.WriteP99 = 161+wave, 175+3*wave
			if since < outage {
				c.Bad = c.Intended * (outage - since) / (outage + 1)
				c.ReadP50, c.ReadP99, c.WriteP99 = 310, 1000, 1000
			}
		}
		c.Good = c.Intended - c.Bad
		for i, region := range []string{"us-east-1", "eu-west-1"} {
			g := slo.RegionSlice{Region: region, Intended: c.Intended * (4 - 3*i) / 5, Bad: c.Bad * (4 - 3*i) / 5, ReadP50: c.ReadP50 + 76*float64(i), ReadP99: c.ReadP99 + 76*float64(i), WriteP50: c.WriteP50, WriteP99: c.WriteP99}
			g.Good = g.Intended - g.Bad
			c.Regions = append(c.Regions, g)
		}
		out = append(out, c)
	}
	return out
}

func outage(asked float64, n int, longest float64) *slo.Outage {
	o := &slo.Outage{Value: longest, Lower: longest - 0.0167, Upper: ptr(longest), N: n, P50: longest * 0.8, P99: longest, Resolution: 0.0167, FromAsked: longest + 0.02}
	for p := range n {
		o.Partitions = append(o.Partitions, slo.PartitionOutage{Partition: p, Start: asked - 0.03 + 0.004*float64(p%5), End: asked + longest*(0.62+0.38*float64((p*5+1)%n)/float64(max(1, n-1))) - 0.02})
	}
	return o
}

func fault(asked float64) slo.FaultRecord {
	return slo.FaultRecord{
		Kind: "region-loss", Text: "region-loss(region=us-east-1, mode=silent)",
		Asked: "2026-03-14T09:27:11.402Z", Proved: "2026-03-14T09:27:11.533Z", Undone: "2026-03-14T09:27:43.9Z",
		AskedS: asked, ProvedS: val(asked + 0.131), UndoneS: val(asked + 32.5),
		Evidence: "took: 3 nodes held, 9 links silent; spared: 5 nodes, 10 links", Failover: outage(asked, 12, 3.412),
		Phases: &slo.Phases{Detect: ptr(0.842), Elect: ptr(1.069), Route: ptr(0.309), Reconnect: ptr(1.212)},
		Undo:   &slo.Outage{Resolution: 0.0167}, TimeToDetect: val(0.842), DetectedBy: "suspected by eu-west-1-2", RTO: &slo.Value{Value: 5, Lower: ptr(4.0), Upper: ptr(5.0)}, RPO: val(0),
	}
}

// places are what two regions' clients saw, and of twelve shards, in an outage.
func places(t *slo.Trial) {
	o := t.Faults[0].Failover
	t.Operations = &slo.Operations{Intended: 800000, Good: 734824, Failed: 1204, Unknown: 63972}
	t.Sessions = &slo.SessionSpread{Sessions: 49200, Windows: 98400, GoodWindows: 78918, ByBadWindows: []int{29800, 19318, 82}, Min: 0.25, P1: 0.5, P10: 0.8, P50: 1}
	t.Regions = []slo.RegionShare{
		{
			Region: "us-east-1", Operations: slo.Operations{Intended: 640000, Good: 587124, Failed: 904, Unknown: 51972}, Availability: val(0.91738), SliceAvail: val(0.9), Unavailable: val(4),
			Latency: &slo.Latency{P50: 0.9, P99: 1000, P999: 1000.4, Max: 1012.3}, Read: &slo.Latency{P50: 0.7, P99: 990, P999: 1000.1, Max: 1009}, Write: &slo.Latency{P50: 142.2, P99: 1000, P999: 1000.6, Max: 1012.3},
			Failover: o, Outages: []slo.RegionOutage{{Fault: 1, Value: o.Value, N: 12, FromAsked: o.FromAsked, Censored: o.Censored}}, Fates: slo.Fates{Sessions: 40650, Disrupted: 15585},
		},
		{
			Region: "eu-west-1", Operations: slo.Operations{Intended: 160000, Good: 147700, Failed: 300, Unknown: 12000}, Availability: val(0.923125), SliceAvail: val(0.925), Unavailable: val(3),
			Latency: &slo.Latency{P50: 77, P99: 1000, P999: 1000.4, Max: 1010}, Read: &slo.Latency{P50: 76.7, P99: 990, P999: 1000.1, Max: 1009}, Write: &slo.Latency{P50: 160.2, P99: 1000, P999: 1000.6, Max: 1010},
			Failover: o, Outages: []slo.RegionOutage{{Fault: 1, Value: o.Value - 0.2, N: 12, FromAsked: o.FromAsked}}, Fates: slo.Fates{Sessions: 10163, Disrupted: 3897},
		},
	}
	t.Partitions = nil
	for _, p := range o.Partitions {
		s := slo.PartitionShare{Partition: p.Partition, Count: 1, Operations: slo.Operations{Intended: 66667, Good: 61235, Failed: 100, Unknown: 5332}, Availability: val(0.91852), Fates: slo.Fates{Sessions: 4234, Disrupted: 1623}}
		s.Outages = []slo.ChangeOutage{{Fault: 1, Start: p.Start, End: p.End, Censored: p.Censored}}
		t.Partitions = append(t.Partitions, s)
	}
}

func met() *slo.Result {
	asked := 26.402
	r := &slo.Result{
		Schema: "fivenines/v1", Scenario: "region-loss", Description: "The primary region goes silent, as after a power cut or a dead uplink. Nothing answers, nothing is closed.",
		Seed: 42, Backend: "process", Target: "reference", Verdict: slo.Met,
		Summary: "Met: losing us-east-1 cost 3.41 s of failover; no session and no acknowledged write was lost.",
		Started: time.Date(2026, 3, 14, 9, 26, 45, 0, time.UTC), Machine: "2 cores, 8 GB, Linux 6.1", Version: "v0.1.0 (go1.26)", Command: "fivenines run region-loss --seed 42",
		Load: slo.Load{
			TargetRPS: 20000, AchievedRPS: 19997.4, Sessions: 50000, Intended: 800000, OK: 734824, Failed: 1204, Unknown: 63972, Unsent: 0,
			ScheduleLagMSP999: 1.84, GeneratorCPU: 0.41, Latency: slo.Latency{P50: 0.9, P99: 1000, P999: 1000.4, Max: 1012.3},
			Read: &slo.Latency{P50: 0.7, P99: 990, P999: 1000.1, Max: 1009}, Write: &slo.Latency{P50: 142.2, P99: 1000, P999: 1000.6, Max: 1012.3},
		},
		Trials: []slo.Trial{{Faults: []slo.FaultRecord{fault(asked)}, Measures: slo.Measures{
			Sessions: 50813, Disrupted: 19482, LateWrites: 2, Linearizable: "yes", LinearizableOps: 15360, Histories: 64,
			Failover: outage(asked, 12, 3.412), TimeToDetect: val(0.842), RTO: &slo.Value{Value: 5, Lower: ptr(4.0), Upper: ptr(5.0)}, TimeToRecover: val(4.158), RPO: val(0),
			SessionFates: &slo.SessionFates{Disrupted: 19310, Closed: 4101, Expired: 4214, Kept: 23188},
			Unavailable:  val(4), Availability: val(0.91853), SliceAvail: val(0.9), SessionAvail: val(0.8972), Capacity: val(0.99987),
			Phases: map[string]float64{"suspected": 0.842, "detected": 1.304, "elected": 1.911, "promoted": 2.22, "first_write": 2.11, "last_partition": 3.392},
		}}},
		Objectives: objectives(nil),
		Timeline:   timeline(16, 40, 26, 4),
		Marks: []slo.Mark{
			{AtS: 0.01, Kind: "trial-started", Source: "harness"}, {AtS: 15.9, Kind: "load-started", Source: "harness"},
			{AtS: asked, Kind: "fault-asked", Source: "harness", Text: "region-loss(region=us-east-1, mode=silent)"},
			{AtS: asked + 0.131, Kind: "fault-proved", Source: "harness", Text: "region-loss(region=us-east-1, mode=silent)"},
			{AtS: asked + 0.842, Kind: "suspected", Source: "eu-west-1-2", Text: "us-east-1-1"}, {AtS: asked + 0.87, Kind: "suspected", Source: "eu-west-1-1", Text: "us-east-1-3"},
			{AtS: asked + 1.304, Kind: "detected", Source: "eu-west-1-1", Text: "us-east-1"},
		},
	}
	places(&r.Trials[0])
	for i := range 12 {
		r.Marks = append(r.Marks, slo.Mark{AtS: asked + 1.911 + 0.11*float64(i), Kind: "elected", Source: fmt.Sprintf("eu-west-1-%d", 1+i%3), Text: fmt.Sprintf("shard %d term 3", i)})
	}
	r.Marks = append(r.Marks, slo.Mark{AtS: asked + 2.22, Kind: "promoted", Source: "eu-west-1-1", Text: "eu-west-1"},
		slo.Mark{AtS: asked + 32.5, Kind: "fault-undone", Source: "harness", Text: "region-loss(region=us-east-1, mode=silent)"},
		slo.Mark{AtS: asked + 34.1, Kind: "run-finished", Source: "harness"})
	return r
}

func missed() *slo.Result {
	r := met()
	r.Seed, r.Verdict = 7, slo.Missed
	r.Command = "fivenines run region-loss --seed 7"
	r.Summary = "Missed: failover took at least 29.6 s (< 5 s), 3 sessions were lost and 41 acknowledged writes were lost."
	r.Objectives = objectives(map[string]slo.Objective{
		slo.Failover:    {Target: "< 5 s", Measured: &slo.Value{Value: 29.614, Lower: ptr(29.6)}, Unit: "s", Verdict: slo.Missed, Evidence: "12 of 12 partitions had an outage: median 3.1 s, at most at least 29.6 s, give or take 0.0167 s; over 29.6 s after the change"},
		slo.SessionLoss: {Target: "0", Measured: val(3), Unit: "count", Verdict: slo.Missed, Evidence: "50813 sessions, 3 not found"},
		slo.LostWrites:  {Target: "0", Measured: val(41), Unit: "count", Verdict: slo.Missed, Evidence: "41 acknowledged writes are gone, of 50813 sessions"},
		slo.RPO:         {Target: "< 1 s", Measured: val(0.312), Unit: "s", Verdict: slo.Met, Evidence: "41 acknowledged writes lost"},
		slo.RTO:         {Target: "< 30 s", Measured: &slo.Value{Value: 29.6, Lower: ptr(29.6)}, Unit: "s", Verdict: slo.Inconclusive, Evidence: "the steady state was not back when the load stopped (not back when the load stopped, 29.6 s after the fault was asked)"},
	})
	m := &r.Trials[0].Measures
	m.SessionsLost, m.LostWrites, m.RPO, m.RTO = 3, 41, val(0.312), nil
	m.SessionFates = &slo.SessionFates{Lost: 3, Disrupted: 19310, Closed: 4101, Expired: 4214, Kept: 23185}
	for _, o := range []*slo.Outage{m.Failover, r.Trials[0].Faults[0].Failover} {
		o.Value, o.Lower, o.Upper, o.Censored, o.FromAsked = 29.614, 29.6, nil, true, 29.598
		o.Partitions[7].End, o.Partitions[7].Censored = 56, true
	}
	r.Trials[0].Faults[0].RTO = nil
	r.Trials[0].Faults[0].RPO = val(0.312)
	r.Trials[0].Faults[0].Phases = &slo.Phases{Detect: ptr(0.842), Elect: ptr(28.756)}
	places(&r.Trials[0])
	r.Trials[0].Regions[0].Fates.SessionsLost, r.Trials[0].Regions[0].Fates.LostWrites = 3, 41
	r.Trials[0].Partitions[7].Fates.SessionsLost, r.Trials[0].Partitions[7].Fates.LostWrites = 3, 41
	for i := range r.Timeline {
		if s := &r.Timeline[i]; s.Second >= 30 {
			s.Bad = s.Intended / 12
			s.Good = s.Intended - s.Bad
			s.WriteP99 = 1000
		}
	}
	op := func(start, end float64, client int, region, node, class, kind, outcome, label string) slo.ExampleOp {
		return slo.ExampleOp{Intended: start, Start: start, End: end, Client: client, Region: region, Node: node, Class: class, Kind: kind, Outcome: outcome, Bad: outcome != "ok", Label: label}
	}
	lost := slo.Example{Check: "lost-session", Session: 48112, Scope: "session", Trial: 1, Partition: 7, Why: "created at 19.312004 s, neither closed nor expired, and the read-back in eu-west-1 finds no such session", Ops: []string{
		"   19.300120 s to    19.312004 s  client 3 in us-east-1 at us-east-1-2: create to 1: ok",
		"   21.514400 s to    21.515012 s  client 3 in us-east-1 at us-east-1-2: read, found 1: ok",
		"   26.380512 s to    26.391120 s  client 3 in us-east-1 at us-east-1-2: update to 2: ok",
		"   27.400000 s to    28.400000 s  client 3 in us-east-1: read: unknown (timeout)",
		">  57.102221 s to    57.180034 s  client 900 in eu-west-1 (audit) at eu-west-1-1: read-back, no such session: ok",
	}, Operations: []slo.ExampleOp{
		op(19.30012, 19.312004, 3, "us-east-1", "us-east-1-2", "follower", "create", "ok", "c1"),
		op(21.5144, 21.515012, 3, "us-east-1", "us-east-1-2", "follower", "read", "ok", "r1"),
		op(26.380512, 26.39112, 3, "us-east-1", "us-east-1-2", "follower", "update", "ok", "u2"),
		op(27.4, 28.4, 3, "us-east-1", "", "follower", "read", "unknown", "r"),
		op(57.102221, 57.180034, 900, "eu-west-1", "eu-west-1-1", "audit", "read-back", "ok", "b∅"),
	}}
	lost.Operations[0].Seq, lost.Operations[1].Seq, lost.Operations[2].Seq = 1, 1, 2
	lost.Operations[3].Cause = "timeout"
	lost.Operations[4].Found, lost.Operations[4].Marked = "absent", true
	write := slo.Example{Check: "lost-write", Session: 1207, Scope: "session", Trial: 1, Partition: 3, Why: "the write of 9, acknowledged at 26.398211 s, is in no later read", Ops: []string{
		"  ... 21 earlier operations",
		"   25.812000 s to    25.902133 s  client 1 in us-east-1 at us-east-1-1: update to 8: ok",
		">  26.301022 s to    26.398211 s  client 1 in us-east-1 at us-east-1-1: update to 9: ok",
		"   57.003110 s to    57.080410 s  client 900 in eu-west-1 (audit) at eu-west-1-3: read-back, found 8: ok",
	}} // from before operations were data: no picture
	gone := slo.Example{Check: "outage", Scope: "partition", Trial: 1, Partition: 7, Why: "partition 7 could not be relied on for at least 29.6 s, from 26.386000 s to 56.000000 s; its first bad operation and its last one are marked", Ops: []string{
		"   26.301000 s to    26.302000 s  client 1 in us-east-1 at us-east-1-1: session 7, read, found 3: ok",
		">  26.386000 s to    27.386000 s  client 2 in us-east-1: session 19, update to 4: unknown (timeout)",
		"   26.500000 s to    26.510000 s  client 4 in eu-west-1 at eu-west-1-1: session 31, read: failed (not-applied)",
		"   26.600000 s to    26.600000 s  client 1 in us-east-1: session 7, update to 4: unsent (backpressure)",
		"   26.700000 s to    28.100000 s  client 4 in eu-west-1 at eu-west-1-1: session 31, read, found 2: ok",
		"  ... 1830 operations",
		">  55.900000 s to    56.900000 s  client 2 in us-east-1: session 55, read: unknown (timeout)",
	}, Operations: []slo.ExampleOp{
		op(26.301, 26.302, 1, "us-east-1", "us-east-1-1", "follower", "read", "ok", "r3"),
		op(26.386, 27.386, 2, "us-east-1", "", "follower", "update", "unknown", "u4"),
		op(26.5, 26.51, 4, "eu-west-1", "eu-west-1-1", "follower", "read", "failed", "r"),
		op(26.6, 26.6, 1, "us-east-1", "", "follower", "update", "unsent", "u4"),
		op(26.7, 28.1, 4, "eu-west-1", "eu-west-1-1", "follower", "read", "ok", "r2"),
		op(55.9, 56.9, 2, "us-east-1", "", "follower", "read", "unknown", "r"),
	}}
	gone.Operations[1].Marked, gone.Operations[5].Marked, gone.Operations[4].Bad, gone.Operations[5].Skipped = true, true, true, 1830
	r.Examples = []slo.Example{lost, write, gone}
	return r
}

func inconclusive() *slo.Result {
	r := met()
	r.Verdict = slo.Inconclusive
	r.Summary = "Inconclusive: the generator fell behind its schedule by 412.6 ms (99.9th percentile), more than 100ms (and 1 more)."
	r.Problems = []string{
		"the generator fell behind its schedule by 412.6 ms (99.9th percentile), more than 100ms",
		"region-loss(region=us-east-1, mode=silent) is not proved: nothing was seen of it",
	}
	for i := range r.Objectives {
		if o := &r.Objectives[i]; o.Verdict == slo.Met {
			o.Verdict = slo.Inconclusive
			o.Evidence = r.Problems[0] + "; " + r.Problems[1] + " (" + o.Evidence + ")"
		}
	}
	r.Load.ScheduleLagMSP999 = 412.6
	f := &r.Trials[0].Faults[0]
	f.Proved, f.ProvedS, f.Undone, f.UndoneS = "", nil, "", nil
	return r
}

func mutant() *slo.Result {
	r := missed()
	r.Mutant = "ack-before-quorum"
	r.Command = "fivenines run region-loss --mutant ack-before-quorum --seed 7"
	return r
}

func noFault() *slo.Result {
	r := met()
	r.Scenario, r.Description = "baseline", "Load without a fault."
	r.Summary = "Met: 19997 operations a second were served for 50000 sessions without a fault; no read was stale."
	r.Command = "fivenines run baseline --seed 42"
	r.Trials[0].Faults = nil
	for i := range r.Trials[0].Regions {
		s := &r.Trials[0].Regions[i]
		s.Operations.Good, s.Operations.Failed, s.Operations.Unknown, s.Outages, s.Fates.Disrupted, s.Unavailable = s.Operations.Intended, 0, 0, nil, 0, val(0)
	}
	r.Trials[0].Partitions = nil
	r.Trials[0].Sessions = &slo.SessionSpread{Sessions: 49200, Windows: 98400, GoodWindows: 98400, ByBadWindows: []int{49200}, Min: 1, P1: 1, P10: 1, P50: 1}
	m := &r.Trials[0].Measures
	m.Failover, m.TimeToDetect, m.RTO, m.TimeToRecover, m.RPO, m.Phases, m.Disrupted = nil, nil, nil, nil, nil, nil, 0
	m.SessionFates = &slo.SessionFates{Closed: 4101, Expired: 4214, Kept: 42498}
	m.Availability, m.SliceAvail, m.SessionAvail, m.Unavailable = val(0.99999871), val(1), val(0.9999), val(0)
	for i := range r.Objectives {
		switch o := &r.Objectives[i]; o.Name {
		case slo.StaleReads, slo.Capacity:
		case slo.Availability:
			o.Target, o.Verdict, o.Measured = ">= 99.999 %", slo.Met, val(0.99999871)
		default:
			o.Target, o.Measured, o.Verdict, o.Evidence = "", nil, slo.NotEvaluated, ""
		}
	}
	r.Timeline = timeline(8, 60, -1, 0)
	r.Marks = r.Marks[:2]
	return r
}

// trials is a run of 30 trials; the 17th is the worst.
func trials() *slo.Result {
	r := met()
	one := r.Trials[0]
	r.Summary = "Met: losing us-east-1 cost 4.72 s of failover at most, in 30 trials; no session and no acknowledged write was lost."
	r.Trials, r.Timeline, r.Marks = nil, nil, nil
	for i := range 30 {
		t := one
		long := 2.6 + 1.1*float64((i*7)%11)/11
		if i == 16 {
			long = 4.72
		}
		start := 60 * i
		asked := float64(start) + 20.4
		t.Measures.Failover = outage(asked, 12, long)
		t.Measures.Phases = map[string]float64{"suspected": long * 0.25, "detected": long * 0.38, "elected": long * 0.55, "promoted": long * 0.65, "first_write": long * 0.62, "last_partition": long - 0.02}
		t.Faults = []slo.FaultRecord{fault(asked)}
		t.Faults[0].Failover = t.Measures.Failover
		t.Faults[0].Phases = &slo.Phases{Detect: ptr(long * 0.25), Elect: ptr(long * 0.3), Route: ptr(long * 0.1), Reconnect: ptr(long*0.35 + 0.02)}
		places(&t)
		r.Trials = append(r.Trials, t)
		r.Timeline = append(r.Timeline, timeline(start+10, 40, start+20, int(long)+1)...)
		r.Marks = append(r.Marks, slo.Mark{AtS: asked + long*0.25, Kind: "suspected", Source: "eu-west-1-2", Text: "us-east-1"}, slo.Mark{AtS: asked + long*0.65, Kind: "promoted", Source: "eu-west-1-1", Text: "eu-west-1"})
	}
	return r
}
