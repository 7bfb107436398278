// Package loadgen is the clients: an open-loop session workload over the Redis
// protocol, and the record of what each operation came to.
//
// What a [Generator] promises:
//
//   - The schedule of arrivals (a [Pacer]) does not depend on completions. Each
//     intended operation is recorded exactly once, with its intended start; one
//     that could not be sent is recorded too.
//   - A write goes out at most once: it is sent again only if none of its bytes
//     had left, or if the server promised that it was not applied (NOTAPPLIED
//     and its like). Else its outcome is unknown, and stays so.
//   - A session has one writer, and at most one write in flight. Numbers of
//     sessions are never used twice. Contested sessions are the exception: they
//     have several writers with true concurrency, each counting for itself.
//   - Clients follow the failover as a cluster client does: they ask where slots
//     are led, avoid entries that went silent, and prefer their own region.
//     Witness clients stay with their region whatever happens. Eventual reads go
//     to any entry of theirs, in turn, while one can be used.
//   - While a partition refuses operations, its clients queue behind a few
//     probes instead of each retrying for itself (see gate.go). This bounds
//     what a failover costs the system; deadlines and intended starts stay.
//   - With the same seed and the same completions the sequence of operations is
//     the same.
//
// One goroutine, the loop, does all the work: each millisecond or two it takes the
// replies that have come, ends what is overdue, draws what is due and hands it to
// the kernel, with one system call for each connection. So a completion is seen up
// to that much late, and it is in its latency. Other goroutines connect, and look
// after the health of entries.
package loadgen
