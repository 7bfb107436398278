// Package session is the replicated state of one shard: a table of sessions
// that changes only by applying committed entries, so that every replica that
// has applied the same entries holds the same table, byte for byte.
//
// Time is part of that state. Each entry carries the shard clock, in
// milliseconds, stamped by the leader that proposed it; deadlines are on that
// clock. It stands still while the shard has no leader, and a new leader goes
// on from the last committed stamp: an election never expires a session early
// (DESIGN section 7, rule 5). A session ends by a committed Expire entry that
// is conditional on the version which the leader saw.
//
// Writes carry (gateway, sequence) and are deduplicated here, so that no write
// is applied twice whatever the network does (rule 6).
package session
