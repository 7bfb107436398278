// Package slo turns the record of a run into measures and a verdict: history
// in, verdict out. [Analyze] is a pure function of the recorded run and a
// [Config]; the same run gives the same bytes. It reads nothing else, so that
// a stored run can be judged again.
//
// DESIGN section 5 defines the measures. Where it leaves a choice, this is
// what was chosen:
//
//   - Load phases are the spans between load-started and load-stopped. Only
//     operations intended inside one count as load: filling and read-back do
//     not. Availability, failover and recovery are follower clients' alone.
//   - An outage begins at the intended start of the first bad operation that
//     ended after the fault was asked and was intended at most 5 s before, and
//     ends with the completion of the first good write after which no bad
//     operation is intended for the hold. It is censored, and its value a lower
//     bound, if there was no such write, or if the load stopped before the hold
//     was over. An outage never spans a pause of the load.
//   - The undoing of a fault is a second instant of its own: an outage that
//     begins after it is attributed to it. The larger one of all counts for
//     the objective, and each is shown.
//   - A partition without a bad operation had no outage. With a proved fault
//     and operations on every partition, no outage at all is a failover time of 0.
//   - The resolution of an outage is the mean gap between follower operations
//     of its partition: what lies between two operations nobody saw.
//   - The clients of a region have outages of their own, found in the same way from
//     their operations alone; they may last longer than the partition's, which is
//     over as soon as somebody's write works and nobody's operation is bad.
//   - A session belongs to the partition and region of its first operation that is
//     no read-back, so that regions and partitions add up to the service.
//   - Phases of an outage are measured for each fault and add up to its length from
//     asked; [Phases] says what happens where an event is missing.
//   - RTO is counted in windows of the hypothesis' length that begin at the
//     instant asked, to the end of the load phase; its lower bound is one window less.
//   - Time to detect ends with the first event that names a part of the fault:
//     the platform suspects or declares it gone, it sheds load, a load balancer takes it out, or
//     an alert fires; if none of that detector named it in the 30 s before. Else
//     with the end of the first bad operation: when a client knew.
//   - Restart is of nodes that a fault took away and that must come back by
//     themselves, as the fault's own event names them. It ends at the first look of
//     the harness that finds such a node serving with none in the hold after it that
//     doesn't, before the fault was undone: what undoing starts did not come back by
//     itself. What the platform reports of a start does not count. It is censored
//     where there was no such look, at the last one that found the node not serving,
//     or at the first good one if nobody looked for the whole hold.
//   - RPO follows DESIGN; where a trial has several faults, each lost write
//     counts for the fault that was asked nearest to its acknowledgement.
//   - Capacity is what was served in time of what the schedule called for, which
//     at low rates differs from rate times time by chance alone; a schedule that
//     chance does not explain is not believed.
//   - Capacity and the validity bounds look at the load before the first fault,
//     less its last deadline, in which operations are still in flight.
//   - Lost, regressed, stale, expired: see [github.com/fivenines/fivenines/slo/checker].
//
// A row is never met by default. What a row needs and did not get (read-backs,
// reads, a proved fault, witnesses, enough operations) makes it inconclusive,
// and its evidence says so. Problems of the whole run (generator behind, not
// finished, cut-off record) take every met row away; they leave a missed row
// of safety missed, since a lost write is a lost write, and make missed rows of
// timing inconclusive where they could have caused them.
package slo
