// Package tree runs the services of a process under supervision: a tree of
// suture's supervisors, which catch panics and run what ended again, with a
// [healing.Machine] for each service that says when. Suture's own backoff is one
// pause, the same for all services of a supervisor; the machine's doubles with
// each restart, is the service's own, and ends in a cooldown and an operator.
//
// A service must be one that may begin again in the middle of a process: it keeps
// nothing that others rely on having been promised.
package tree
