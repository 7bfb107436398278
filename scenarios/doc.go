// Package scenarios says what a run does and does it: [Spec] is a scenario,
// the same as a YAML file and as a Go value; [Catalogue] holds the ones that
// come with fivenines; [Run] is the whole story of a run in reading order, and
// the place to start reading this repository.
//
// What Run promises:
//
//   - Whatever it started and whatever it broke is stopped and undone when it
//     returns, on every path, cancelled or not.
//   - The verdict comes from the recorded run alone: Run ends by calling
//     [Analyze] on its own folder, as fivenines analyze does later.
//   - A run that did not go as the scenario says (a fault that did not take
//     hold, a generator that fell behind, a node that died by itself, a stop
//     condition) is never met.
package scenarios
