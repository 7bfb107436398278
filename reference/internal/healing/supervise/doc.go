// Package supervise keeps one process running: a parent that starts it, asks
// its health every 5 s, and starts it again when it ended or answers nothing,
// as [healing.Machine] decides. The process dies with its parent, and gets the
// signals that the parent gets. While there is no process, as it is left alone,
// the parent answers at its health address: what it decided, and that it is not
// well.
package supervise
