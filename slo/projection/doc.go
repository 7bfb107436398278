// Package projection says what short tests can't show: how much downtime a year
// brings, and with what probability it stays inside the budget of 99.9 to
// 99.9999 %. It multiplies how often faults happen (a [Model], read from a file
// with a source for every rate) with how long their outages are (the durations
// that repeated trials [Measured]), by Monte Carlo.
//
// # The model of a year
//
// Faults of a class arrive as a Poisson process on every part that is up; planned
// maintenance comes at regular intervals, and waits while something is broken.
// Each event brings an outage as long as one drawn from the trials of its
// scenario, takes its part out until it is repaired, and brings one more outage,
// drawn from the trials' undoing, when the part comes back. Downtime is the union
// of these intervals: what happens at the same time counts once.
//
// The topology says which nodes hold replicas of which shards. When faults together take
// the quorum of some shard, that is not what the trials measured: the service counts
// as down until the first repair that gives every shard its quorum back, and for
// the longer of the two drawn outages after it. Downtime of one shard counts as
// downtime of the service.
//
// # What is not known
//
// Years are simulated in blocks. Each block draws the rates from their
// uncertainty and the distribution of durations from what the trials leave open,
// then simulates its years under those. The spread over blocks, less what so few
// years a block add by chance, is the interval of a probability. For the
// durations that is the Bayesian bootstrap (Rubin, Annals of Statistics 9, 1981) of the
// Kaplan-Meier estimate (Lo, Annals of Statistics 21, 1993) with one weight more than there are trials: the next
// outage is worse than n others with probability 1/(n+1) whatever their
// distribution, and is then drawn from a Pareto tail that begins at the worst. That
// tail can't be measured, so the good end of each interval does without it. Mass beyond a censored
// duration that is the longest one lasts until a person ends it, a
// distribution in the file, and never less than was seen. A trial with several
// faults is one draw: its durations share its weight.
//
// A class that was not measured and has no assumption in the file makes the
// verdict inconclusive, and is named: its downtime is not taken to be 0.
//
// The same model, measurements and options give the same projection, whatever
// the number of workers.
package projection
