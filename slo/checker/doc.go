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
// observations: ok reads of any class, and the states that touch and close
// return.
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
//
// # Contested sessions: [Contested]
//
// Several writers make it the general problem, which goes to Porcupine, bounded
// in operations, in steps and in time: it says unknown when it gives up.
package checker
