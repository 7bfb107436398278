// Package checker looks for broken promises in the operations of one session.
//
// # Normal sessions: [Checker.Session]
//
// A session has one writer, which never has two writes in flight at once, and
// whose states carry rising sequence numbers; anybody may read it. That makes
// the check near-linear and exact, where linearizability in general is
// NP-hard. Each write takes effect somewhere between its start and its bound:
// the earliest of its acknowledgement and of the end of the first observation
// that saw it. A write that ended unknown has no acknowledgement, and may take
// effect arbitrarily late.
//
// What is found, and how it is told apart. All of it concerns strong
// observations: ok reads of any class but Eventual, and the states
// that touch and close return.
//
//   - Phantom: a state that no write had begun to write by the end of the
//     observation, or one that was promised not to be applied (failed, or
//     refused by its condition).
//   - Stale: a state although a write that certainly came after it was
//     acknowledged before the observation began. Backward: the same, where
//     that later write was not acknowledged but had been observed.
//   - Late write: an unknown write that took effect after later acknowledged
//     ones. Legal, and counted for the reader.
//   - Illegitimate absence: the session is not found, although it certainly
//     existed (acknowledged as created, or observed), no close had been
//     invoked, and less than its time-to-live had passed since the *start* of
//     the last acknowledged refresh. If the session is found again later, with
//     a state from before, each such answer was a stale read. If not, or if
//     only states written after the absence are found (a silent re-creation),
//     the session counts once: as early expiry where the absence was seen in
//     the last fifth of its time-to-live, else as lost.
//     An absence that a witness client saw is never proof of a re-creation,
//     since its region may have been the one that was behind.
//   - Expired late: found by an observation that began after the *end* of the
//     last refresh, acknowledged or unknown, by more than time-to-live, grace
//     and the time for which the partition's idle clocks stood still. Nothing is
//     claimed of a session whose create got no answer: it may begin at any time.
//   - Resurrected: found after an acknowledged close, or after an absence that
//     was legitimate.
//   - Lost write: an acknowledged write, where every observation of the last
//     read-back phase (of the last observation, where there is no read-back)
//     found a state that certainly came before it, and nothing was written
//     since. Each such write counts. The stale reads that lead up to that end are the
//     loss seen early and are not counted again. The session is regressed if
//     it was the read-back that found it so.
//     Of a lost session, the acknowledged writes that are newer than the last
//     state that was found count, and at least the last one.
//   - Unread: it must exist during a read-back phase, and no read of that
//     phase got an answer.
//   - Duplicated write: a state that came back after a state that certainly came
//     after it had been found, and stayed until something else was written. The
//     reads that found it are stale or backward, and counted as that; this is the
//     name of what explains them best. A client can't tell whether the old write
//     was applied again or the newer one undone. Where nothing was written since,
//     the newer write is lost, and that is what is counted.
//
// # Eventual reads
//
// A read that any replica may answer promises less, and is no strong observation.
// What is judged, for the reads of each client, are two of the session guarantees
// of Terry, Demers, Petersen, Spreitzer, Theimer and Welch, Session Guarantees for
// Weakly Consistent Replicated Data, 1994:
//
//   - Read your writes: a read shows the last write that its client had
//     acknowledged before it began, or a later one. Close counts as a write, and a
//     session that may have been closed or may have expired need not be there.
//   - Monotonic reads: a read shows no older state than any read of the same
//     client that had ended before it began. Only eventual reads are held against
//     each other; one that violates it is not held against later ones.
//
// A state is older than another if it certainly took effect before it: its write
// had been acknowledged, or somebody had found it, before the other write began.
// Unanswered writes may take effect late, so that their numbers say nothing. For
// reads that do not overlap this is exact: there is a violation if and only if no
// order of the writes explains what the client found.
//
// Phantom and corrupt states are wrong in every mode and count as the strong ones
// do. Staleness is the time from the acknowledgement of the write that replaced a
// state to the start of the read that still found it: a lower bound, since
// the write took effect before.
//
// # Event streams: [Stream]
//
// # Contested sessions: [Contested]
//
// Several writers make it the general problem, which goes to Porcupine, bounded
// in operations, in steps, in memory and in time: it says unknown when it gives
// up. The bound on memory is on what the search keeps, by an upper bound on what
// it keeps of each step that succeeds ([Bounds]); as many checks may run at once
// as the caller starts.
package checker
