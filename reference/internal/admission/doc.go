// Package admission decides what a node takes on when there is more than it can
// carry. It has four parts, each of them a small machine of its own:
//
//   - A [Limiter] adapts how many operations a node has taken and not answered
//     yet. What it goes by is how long requests stand before the node's loop, and
//     not how long they take: most of that is the way between regions, and a
//     limit on it would take a failover for an overload. (The queue as the signal:
//     Zhou et al., Overload Control for Scaling WeChat Microservices, SoCC 2018; its
//     least over a window, so that a burst is none: Nichols and Jacobson, Controlling
//     Queue Delay, 2012.)
//   - A [Shedder] refuses whole priorities while the node uses more of its CPU or
//     its memory than it should: low first, then normal, never high or critical.
//   - Bulkheads: a shard may hold a part of what is in flight, so that one without
//     a leader leaves room for the others. A connection may have a part of it without
//     an answer; then it is not read on, and waits for itself alone.
//   - [Breakers], one a peer, on failsafe-go: a peer that lets most requests time
//     out is asked nothing more but a probe from time to time.
//
// Priorities decide who goes first, see [Priority]. Each may use a share of every
// bound, so that the last part of it is there for what is critical.
//
// Limiter and Shedder are deterministic, with time as their input, and not safe for
// concurrent use; the node's loop owns them and tells the [Controller] what they
// decided. That one is asked by connections, and takes no lock. Of failsafe-go only
// the circuit breaker is used. Its adaptive limiter goes by the time that operations take, reads the
// wall clock, has those wait that do not fit, moves by a logarithm of the limit a second
// (fit for tens in flight, here they are thousands), and allocates for every
// operation; its bulkhead takes one permit at a time, whatever the priority.
package admission
