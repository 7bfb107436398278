// Package node is one process of the platform: it owns the replicas that are
// placed here and joins them to clock, network, disk and clients.
//
// One goroutine, the loop, owns every replica. What arrives (socket buffers,
// client requests, finished disk writes, ticks) is put into its mailbox and
// taken out whole, once in some milliseconds under load: proposals that arrived
// together become one Raft entry a shard, and what all groups have to write
// becomes one synced disk write. Wake-ups and system calls dominate the cost,
// not operations. Strong reads of keys that are led here do not pass through
// the loop: the connection's goroutine reads the table and then checks the lease.
//
// Rule 6 of DESIGN section 7 is kept in forward.go: one hop, nothing is sent
// again once its bytes left, writes carry (gateway, sequence) and are refused
// after their deadline.
//
// What a node takes on is bounded by its guard (guard.go and package admission): at
// the front door, and again at the leader for what others forward, which carries
// its priority. Nothing is refused once it may have been proposed.
package node
