// Package resp is the server's side of the Redis protocol, RESP2 and RESP3:
// commands in, replies out, and the key slots of Redis Cluster.
//
// Contract:
//   - Arguments are slices of the caller's buffer, valid until it changes.
//     Only an inline command with quotes is copied. The buffer is never written.
//   - A command is complete or it is not there: it takes the same bytes, gives
//     the same arguments and the same error however the network cut it up.
//   - A claimed length allocates nothing. What a connection can make a server
//     keep is bounded by MaxQuery, and a claim that could never fit is refused
//     at once. After an error the stream has no meaning: answer and close.
//   - Error texts are redis-server's own; answer them with the prefix "ERR ".
//
// Two places are stricter than redis-server: the line end of a length and the
// two bytes behind an argument must be CR LF (Redis skips them unseen), so that
// a peer that lost count is found out at once instead of being answered with
// somebody else's data.
//
// The parser of github.com/tidwall/redcon was tried first (v1.6.4). It panics on
// "*1\r\n$-2\r\n" and on lengths near 2^63, has no bound on a command, an
// argument or a line, knows no \xHH and no quote inside a word, and starts at
// the first byte again for each packet of a long command.
package resp
