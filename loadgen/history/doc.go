// Package history is the record of a run: every operation that a client
// intended, and every event that the harness or the platform saw. It is the
// only thing that slo and reports read, so a stored run can be judged again.
//
// A [Writer] makes the record, once, in a folder of its own; [Open] reads it,
// any number of times, also while it is being written.
//
// What a record promises:
//
//   - Every operation that the schedule called for is recorded exactly once,
//     also when it was never sent ([Unsent]); nothing is dropped under load. A
//     disk that can't keep up holds [Writer.Record] back, which shows as a
//     generator that fell behind; a disk that fails shows in [Writer.Err] with
//     the number of operations that are missing.
//   - Operations keep the order in which they were recorded: that of completion
//     within one generator goroutine, and no particular one between two.
//   - All times are durations since the run's epoch on the harness's monotonic
//     clock. One clock stamps everything; a platform's own clock is kept apart
//     ([Event.NodeTime]).
//   - An operation that timed out or whose connection broke after its bytes
//     left is [Unknown]: it may have been applied, at any later time. Its End
//     is when the client gave up, not when the effect stopped being possible.
//   - Every operation satisfies [Op.Validate] and names only regions, nodes and
//     partitions of its [Manifest] (where that lists any). Record panics on one
//     that does not, the reader returns an error.
//   - Segments are append-only blocks with a checksum each. After a crash all
//     blocks before the first damaged one are readable, and [Run].Truncated is
//     set: what the Writer still held in memory, at most 100 ms of it unless the
//     disk was behind, is lost. Damage anywhere else is an error that names the
//     file and the offset, never a shorter history. This holds for a harness
//     that is killed; a machine that loses its power keeps what was there at the
//     last [Writer.Sync], StartTrial or Close. While load runs nothing is synced
//     on purpose: the system under test syncs to the same disk.
//
// A run's folder holds, of this package:
//
//	manifest.json                   Manifest
//	events.jsonl                    one Event a line
//	history/ops-tTTT-NNNNNN.seg     operations of trial TTT, see segment.go
//	operations.parquet              the same for other tools, and a stand-in
//	                                for the segments once those were deleted
package history
