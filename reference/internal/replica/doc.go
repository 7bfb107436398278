// Package replica is one replica of one Raft group as a deterministic state
// machine: ticks, messages, proposals and finished disk writes go in with the
// time at which they happened; messages, disk writes, results and events come
// out of [Group.Ready]. It starts no goroutine, reads no clock and touches
// neither network nor disk, so that every rule below is tested by scripts
// (testdata) and runs in a simulation.
//
// What an acknowledged write survives: a [Result] for a proposal comes out only
// after the entry is on the disks (synced) of a majority of the group, this
// replica's own included, and has been applied here. It is there as long as no
// majority of the group loses its disks.
//
// The rules of DESIGN section 7 that are kept here:
//
//  1. Lease: [Group.LeaseUntil] starts at the send time of a round that a
//     quorum confirmed, see lease.go.
//  2. Clock: all times come from the caller, from a clock that counts
//     suspended time. [Group.Tick] counts one tick however much time passed.
//  3. Restart: within one election timeout and the margin after New with
//     Restarted, no vote is given and no campaign started.
//  4. Tertiary: see [Passive].
//  8. Membership: [Group.Replace] changes one replica at a time through a joint
//     configuration.
//
// Rule 5 (expiry) is in package session, rule 6 (forwarding) and rule 7
// (unsafe recovery) are in package node.
package replica
