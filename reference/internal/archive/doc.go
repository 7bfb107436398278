// Package archive keeps the committed log of every shard outside the platform:
// base snapshots and the entries behind them, in a blob store (a directory by
// default), so that the sessions of all regions can be built again as they
// were at any time within the retention.
//
// What an archived entry promises: it was committed and applied by the leader
// that archived it, so every later leader has it too. Objects are written once
// and never changed. Each ends in the SHA-256 of all that is before it and says
// in its head what its name says; both are verified whenever it is read, and an
// object that does not fit is an error that names it, never data.
//
// Names sort by time and log position:
//
//	CLUSTER/i00000001/manifest
//	CLUSTER/i00000001/g00004/snapshot-INDEX-INDEX-TERM-WALL
//	CLUSTER/i00000001/g00004/segment-FIRST-LAST-TERM-WALL
//
// with the incarnation (rule 7: another one has another log), the Raft group,
// and the wall clock in Unix milliseconds. The clock of a session's end is the
// shard clock, which is in the entries; wall time is only what a restore is
// asked for. An entry's wall time is that of its proposal or a little later, never earlier and
// at most a second after it was applied: all that was acknowledged before a time
// is restored to that time, and some of what was being written then.
//
// Segments may overlap (a new leader, or a merge that was cut short): what
// lies at one index is the same entry everywhere, and [Bucket.Replay] refuses an archive in
// which it is not.
package archive
