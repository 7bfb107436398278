// Package failover is the failover manager's judgement as a deterministic state
// machine: heartbeats, reports and roles go in with the time at which they were
// seen; events and actions come out of [Machine.Tick]. It reads no clock and
// does nothing itself. Every node runs one; only that of the meta group's leader
// has [Machine.SetAuthority] and may act, and what it does becomes a command of
// the meta group that names the epoch it saw. So two managers never disagree:
// at most one of their commands is applied.
//
// Suspicion is phi-accrual (Hayashibara, Défago, Yared, Katayama: The φ Accrual
// Failure Detector, SRDS 2004): sub-second on a quiet link, later on a noisy one.
// A suspected node is down once it was silent for Config.ConfirmAfter; a region
// is out when all its nodes are down and most of those who can be heard elsewhere
// say so too, so that one broken link is no lost region.
//
// What comes back is trusted the later the more often it went: hold-downs double
// with every outage and are forgotten after Config.FlapMemory of calm. A process
// that did not run itself blames nobody for the silence.
//
// Incidents have priorities: P0 a region, P1 a node, P2 CPU or memory, P3 the
// latency of a link. The timeline of an outage is told as events: detected,
// alert-sent, manager-notified, region-activated, traffic-moved,
// sessions-restored, full-service (DESIGN section 6); what is not over in time is
// escalated.
package failover
