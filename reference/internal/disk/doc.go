// Package disk is the durable store of one platform node: the Raft logs, hard
// states and snapshots of all its groups, and who the node is, in one Pebble
// instance.
//
// Contract:
//   - What Commit, SaveSnapshot, DeleteGroup and SetIdentity returned nil for
//     survives a loss of power. Commits that arrive together are one Pebble
//     batch and one fdatasync (group commit).
//   - The calls of one group come from one goroutine at a time; groups are
//     independent of each other.
//   - A write or sync that failed, a full disk and every error in Pebble's
//     background end the store for good: a page that could not be written may be
//     marked clean by the kernel, so a second try would prove nothing. All later
//     calls return the first error, and nothing more reaches the disk.
//   - Load verifies everything that it returns. What it cannot trust it
//     reports, naming the group and what it found; the node must not serve it.
//
// Pebble answers some errors with a panic and others through a logger that may
// not return, in the middle of its locks. So Pebble runs on goroutines of the
// store's own, never on a caller's, and does not even see a write that failed:
// the file system under it reports the error to the store, every caller gets it
// at once, and the goroutine is parked for the rest of the process's life.
//
// Power loss. SIGKILL proves nothing about fsync, since the page cache lives
// on. With RecordSync the store keeps, in a folder beside its own, a record of
// which bytes and which names were synced (see syncfs.go); with DropUnsynced
// it first throws away what was not, as a machine that lost its power would.
package disk
