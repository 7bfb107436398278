package node

import (
	"time"

	"github.com/fivenines/fivenines/reference/internal/gateway"
)

// handoverPatience bounds how long a request waits for the end of a handover:
// it takes a round trip or two between regions.
const handoverPatience = time.Second

// handingOver says whether a request should wait, since the shard's leadership
// is being given to somebody else right now, or was won a moment ago. It has not been proposed, so that
// the new leader may have it; refused it would be a failed request for nothing.
func (n *Node) handingOver(now time.Duration, g *group, r *gateway.Request) bool {
	if g == nil || r.Deadline != 0 && now > r.Deadline {
		return false
	}
	if g.g.Transferring() {
		if g.handed == 0 || now-g.handed > 2*handoverPatience {
			g.handed = now
		}
		return true
	}
	if g.handed == 0 || now-g.handed > handoverPatience {
		return false
	}
	if g.g.IsLeader() && !g.g.Serving() {
		return true // just elected: it serves once an entry of its own is committed
	}
	if r.Hops > 0 {
		return false
	}
	l := n.leaderOf(r.Shard, now)
	return l < 0 || l == n.self.Index // until the new leader has said that it is
}
