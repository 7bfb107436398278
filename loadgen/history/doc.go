// Package history is the record of a run: every operation that a client
// intended, and every event that the harness or the platform saw. It is the
// only thing that slo and reports read, so a stored run can be judged again.
//
// What a record promises:
//
//   - Every operation that the schedule called for is recorded exactly once,
//     also when it was never sent ([Unsent]); nothing is dropped under load.
//   - All times are durations since the run's epoch on the harness's monotonic
//     clock. One clock stamps everything; a platform's own clock is kept apart
//     ([Event.NodeTime]).
//   - An operation that timed out or whose connection broke after its bytes
//     left is [Unknown]: it may have been applied, at any later time. Its End
//     is when the client gave up, not when the effect stopped being possible.
//   - Segments are append-only blocks with a checksum each. After a crash all
//     blocks before the first damaged one are readable.
package history
