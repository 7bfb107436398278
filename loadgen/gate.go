package loadgen

import "time"

// A gate stands before each partition, one for reads and one for writes, as
// clients of one pool see it. While a partition has no leader it refuses every
// operation with NOTAPPLIED. If each operation then retried for itself every
// 20 to 40 ms until its deadline, a rate of 100,000 a second would become three
// million requests a second, and the retries would be what keeps the platform
// from recovering. So after a few refusals in a row the gate shuts: operations
// queue behind it, and only a few probes go out every 20 to 40 ms. The first
// answer that is no refusal opens it, be it in time for its operation or not. The queue is then let out at a bounded rate, oldest
// first, beside new operations.
//
// Nothing of this changes what an operation is charged: its intended start and
// its deadline stay, and one whose deadline passes behind a gate is Failed.
type gate struct {
	strikes int // refusals in a row
	shut    bool
	probeAt time.Duration // when the next probes go
	rounds  int           // rounds of probes without success
	shift   int           // ask another region than the leader's: how many further
	shifted time.Duration // when that changed
	queue   fifo[ref]
	listed  bool // in the pool's list of gates with something to do
}

const (
	shutAfter    = 3 // refusals in a row
	probesAtOnce = 2
	backoffMin   = 20 * time.Millisecond
	backoffMax   = 40 * time.Millisecond
)

func (g *gate) refused(now, backoff time.Duration) {
	g.strikes++
	if g.strikes >= shutAfter && !g.shut {
		g.shut, g.rounds, g.probeAt = true, 0, now+backoff
	}
}

func (g *gate) served() {
	g.strikes, g.shut, g.rounds = 0, false, 0
}

// round begins a round of probes: after three in vain another region is asked.
func (g *gate) round(now, backoff time.Duration) (elsewhere bool) {
	g.probeAt = now + backoff
	g.rounds++
	if g.rounds%3 == 0 {
		g.shift++
		g.shifted = now
		return true
	}
	return false
}
