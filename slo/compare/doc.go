// Package compare says whether a system got better or worse between two runs
// of the same scenario: a stored baseline and a new one. [Results] is a pure
// function of two results.
//
// The unit is the trial, and no normal distribution is assumed:
//
//   - A duration, a latency or a share is compared by the Mann-Whitney test; the
//     difference is that of Hodges and Lehmann, with its interval. It is worse
//     (or better) if the test says so at the asked error rate and the interval
//     goes beyond the margin; the same if the whole interval lies within the margin
//     (equivalence by two one-sided tests: Schuirmann 1987); else nothing can be
//     told. All tests of a comparison together keep the error rate (Holm 1979).
//   - A duration that was not seen to end counts as longer than every other one,
//     where it is; else nothing is told.
//   - A count of things that must never happen (lost writes, stale reads) is
//     worse as soon as there is one where there was none: that needs no statistics.
//     That there is none any more is better only if the test says so.
//   - An objective that was met and is missed is worse, whatever the reason.
package compare
