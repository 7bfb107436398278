// Package healing decides when something that fails is started again and when
// it is left alone: health checks every 5 s, up to 3 restarts with a backoff
// that doubles, a cooldown of 2 min in which it is left alone, then escalation
// to an operator.
//
// [Machine] is a deterministic state machine with time as an input; its scripts
// are testdata/*.txt. It serves two levels: the services inside a node's process
// (node/services.go, supervision trees of suture), and the process itself
// (package supervise, a parent that starts it again). What may not be restarted
// inside a process, since it would forget what it promised, is the Raft loop and
// the writer to disk: their failure ends the process, and a restarted process
// waits its promises out (rule 3 of DESIGN section 7).
package healing
