package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fivenines/fivenines/reference/internal/cluster"
)

// askedToEnd is the reason that stays.
const askedToEnd = "it is asked to end"

const (
	// handOverIn is how long a node that is asked to end tries to hand over
	// what it leads.
	handOverIn = 2 * time.Second
	// longestRound is the longest round trip between nodes that the timing of
	// replicas suits.
	longestRound = 300 * time.Millisecond
	// lowRoom is when a disk is nearly full: what a log and a table take. A
	// node that leads on until a write fails would end in the middle of what
	// its clients wait for.
	lowRoom   = 128 << 20
	roomEvery = 250 * time.Millisecond
)

// setUnfit says why this node must not lead shards any more, or that it may
// again (""). It runs in the loop.
func (m *manager) setUnfit(now time.Duration, why string) {
	if m.unfit == why || m.unfit == askedToEnd {
		return
	}
	was := m.unfit
	m.unfit = why
	n := m.n
	switch {
	case why == "":
		n.events.emit("fit", []string{n.cfg.ID}, n.cfg.ID+" may lead again; no longer so: "+was, nil)
		n.log.Info("may lead again", "was", was)
		return
	case was == "":
		n.events.emit("unfit", []string{n.cfg.ID, n.self.Region}, n.cfg.ID+" hands over what it leads: "+why, nil)
		n.log.Warn("hands over what it leads", "why", why)
	}
	m.stepBack()
	m.balance(now)
	m.balanced = now
}

// stepBack tells everybody that this node is unfit, while it is. Where all say
// so, nobody can take over and the leaders lead on.
func (m *manager) stepBack() {
	if m.unfit != "" {
		m.broadcast(control{Kind: "unfit", Node: m.n.cfg.ID})
	}
}

// kept counts the shards with a replica here that nobody else is known to
// lead: whoever takes one over needs our vote first, and then says so. One
// that has no vote, as it was just placed here or is going, waits for nobody.
func (n *Node) kept() (c int) {
	for _, g := range n.order {
		if g.shard != nil && !slices.Contains(g.g.Voters(), g.g.ID()) {
			continue
		}
		if leader, _ := cluster.NodeOf(g.g.Leader()); g.shard != nil && (g.g.Leader() == 0 || leader == n.self.Index) {
			c++
		}
	}
	return c
}

// handOver gives the leadership of every shard away, as far as there is
// somebody to take it within handOverIn.
func (n *Node) handOver(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, handOverIn)
	defer cancel()
	ask := func(fn func() int) (int, bool) {
		got := make(chan int, 1)
		n.do(func() { got <- fn() })
		select {
		case c := <-got:
			return c, true
		case <-ctx.Done():
			return 0, false
		}
	}
	left, ok := ask(func() int { n.manager.setUnfit(n.Now(), askedToEnd); return n.kept() })
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ok && left > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			n.log.Warn("ends although nobody took over", "shards", left)
			return
		}
		left, ok = ask(n.kept)
	}
	if !ok {
		return
	}
	// The new leaders' first entries and leases are confirmed sooner with us.
	select {
	case <-time.After(longestRound):
	case <-ctx.Done():
	}
}

// nearlyFull says whether a disk with so many bytes, of which some are free,
// leaves too little room. One that was nearly full needs twice as much to be
// taken for better.
func nearlyFull(total, free uint64, was bool) bool {
	low := min(lowRoom, total/8)
	if was {
		low *= 2
	}
	return total > 0 && free < low
}

// watchRoom looks after the room on the disk.
func (n *Node) watchRoom(ctx context.Context) error {
	tick := time.NewTicker(roomEvery)
	defer tick.Stop()
	full := false
	for {
		var st unix.Statfs_t
		if err := unix.Statfs(n.cfg.Dir, &st); err == nil {
			size := uint64(st.Bsize)
			free := st.Bavail * size
			if now := nearlyFull(st.Blocks*size, free, full); now != full {
				full = now
				why := ""
				if now {
					why = fmt.Sprintf("its disk is nearly full: %d bytes are left in %s", free, n.cfg.Dir)
				}
				n.setUnfitFor("room", why)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
