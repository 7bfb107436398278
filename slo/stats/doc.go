// Package stats is the statistics of repeated trials: bounds on a probability,
// on a quantile, on a mean and on a difference, for few trials, and none that
// the number of trials can't support. The unit is the trial: what one trial
// has many of (sessions, shards, operations) fails together, and counting it
// would make every interval too narrow.
//
//   - [Proportion], [ProportionUpper], [ProportionLower]: exact binomial bounds.
//   - [Quantile], [QuantileUpper], [QuantileLower], [QuantileInterval], [TrialsFor],
//     [HighestQuantile]: order statistics, of any distribution.
//   - [BCa], [BCaDifference]: bootstrap intervals of any smooth statistic.
//   - [KaplanMeier]: durations of which some were still running when the trial ended.
//   - [MannWhitney], [HodgesLehmann]: whether two sets of trials differ, and by how much.
//   - [Sequential]: trials until a probability is decided, valid wherever one stops.
//
// All functions are pure; randomness comes from the *rand.Rand passed in. An
// argument that no data can explain (a confidence outside (0, 1), more
// successes than trials, a sample with NaN, one that should be sorted and is
// not) is the caller's mistake and panics. What data can bring about (too few
// trials, no spread, an infinite value where a difference is taken) is an error or a false ok. Samples
// may hold +Inf, "longer than was looked", except where it says otherwise.
package stats
