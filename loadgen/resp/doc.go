// Package resp is the client's side of the Redis protocol (RESP2) as a load
// generator needs it: commands appended to a buffer, replies parsed from whole
// socket buffers without an allocation each, and a pipelined connection whose
// writes never block.
//
// Contract:
//   - A [Reply] points into the buffer that it was parsed from and is valid
//     until that changes.
//   - What a server can make a client keep is bounded: a bulk string by
//     [MaxBulk], an array by [MaxArray] bytes and [MaxDepth] levels, a line by
//     [MaxLine]. A stream that breaks the protocol or a bound is an error, after
//     which it has no meaning: close the connection.
//   - Replies come in the order of the commands; who owns a [Pipe] keeps the
//     list of what is owed, and uses it from one goroutine at a time.
//   - A connection that was opened has answered a PING: a link that accepts and
//     leads nowhere does not count as connected.
package resp
