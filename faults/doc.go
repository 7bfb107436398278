// Package faults takes things away from a deployment, proves that they are
// gone, and gives them back: one file a kind of fault.
//
// The order is always the same: [Baseline] (everything works, so silence will
// mean the fault), [Journal.Asked] (a later process can undo it),
// [Fault.Inject], [Prove] (it took hold, and nothing else did), [Fault.Heal],
// [Journal.Undone]. Victims are chosen by pure functions of the topology, and
// can only be what the deployment itself started.
package faults
