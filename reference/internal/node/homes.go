package node

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/fivenines/fivenines/reference/internal/cluster"
	"github.com/fivenines/fivenines/reference/internal/failover"
)

// homes are the home regions and their stand-ins as the failover machine counts regions.
func (n *Node) homes(st *cluster.State) (homes []int, stand map[int]int) {
	index := func(name string) int {
		return slices.IndexFunc(n.m.Regions, func(r cluster.Region) bool { return r.Name == name })
	}
	for _, r := range n.m.HomeRegions(st) {
		homes = append(homes, index(r))
	}
	for lost, in := range st.Stand {
		if stand == nil {
			stand = map[int]int{}
		}
		stand[index(lost)] = index(in)
	}
	return homes, stand
}

// decree is one command for what the failover machine decided, in the epoch that
// it saw: of two managers' at most one is applied.
func (n *Node) decree(out failover.Output) cluster.Command {
	c := cluster.Command{Kind: "homes"}
	if h := out.Homes; h != nil {
		c.Homes, c.Epoch, c.Reason, c.Stand = true, h.Epoch, h.Reason, map[string]string{}
		for lost, in := range h.Stand {
			c.Stand[n.m.Regions[lost].Name] = n.m.Regions[in].Name
		}
	}
	if p := out.Promote; p != nil {
		c.Kind, c.Region, c.Epoch, c.Reason = "promote", n.m.Regions[p.Region].Name, p.Epoch, p.Reason
	}
	return c
}

// rehomed tells what a command of this node did to homes.
func (m *manager) rehomed(o cluster.Outcome) {
	epoch := strconv.FormatUint(o.State.Epoch, 10)
	tell := func(region, home, detail string) {
		m.n.events.emit("promoted", []string{region}, fmt.Sprintf("%s in epoch %s: %s", detail, epoch, o.Command.Reason), map[string]string{"epoch": epoch, "home": home})
	}
	for _, h := range slices.Sorted(maps.Keys(o.State.Stand)) {
		if in := o.State.Stand[h]; m.stand[h] != in {
			tell(in, h, fmt.Sprintf("%s leads the shards at home in %s", in, h))
		}
	}
	for _, h := range slices.Sorted(maps.Keys(m.stand)) {
		if _, still := o.State.Stand[h]; !still {
			tell(h, h, h+" leads its shards again")
		}
	}
	if c := o.Command; c.Kind == "move" {
		which, to := "all shards", c.Region
		if len(c.Shards) > 0 {
			which = fmt.Sprint("shards ", c.Shards)
		}
		parts := []string{to}
		if to == "" {
			parts, to = nil, "where they began"
		}
		m.n.events.emit("moved", parts, fmt.Sprintf("the home of %s is %s in epoch %s: %s", which, to, epoch, c.Reason), map[string]string{"epoch": epoch})
	}
}

// rank is the order in which replicas campaign for the first time: at home first.
func (n *Node) rank(sh *shard, voters []int) int {
	if sh != nil {
		if home := n.m.HomeOf(sh.index); home != "" {
			voters = n.m.Prefer(voters, home)
		}
	}
	return max(0, slices.Index(voters, n.self.Index))
}

// moveHomes is POST /homes?region=R&shards=3,7: an empty region means where the
// shards began, and no shards means all.
func (n *Node) moveHomes(w http.ResponseWriter, r *http.Request) {
	refuse := func(format string, a ...any) { http.Error(w, fmt.Sprintf(format, a...), http.StatusBadRequest) }
	c := cluster.Command{Kind: "move", Region: r.URL.Query().Get("region"), Operator: true, Reason: "an operator asked for it"}
	if c.Region != "" && n.m.Region(c.Region) == nil {
		refuse("no region is called %q", c.Region)
		return
	}
	for _, text := range strings.Split(r.URL.Query().Get("shards"), ",") {
		if text == "" {
			continue
		}
		s, err := strconv.Atoi(text)
		if err != nil || s < 0 || s >= n.cfg.Shards {
			refuse("%q is no shard from 0 to %d", text, n.cfg.Shards-1)
			return
		}
		c.Shards = append(c.Shards, s)
	}
	if !n.started.Load() {
		http.Error(w, "starting", http.StatusServiceUnavailable)
		return
	}
	why := "the loop is busy"
	if n.inLoop(r, func() {
		meta := n.groups[metaGroup]
		if why = ""; meta == nil || !meta.g.Serving() {
			why = "this node does not lead the meta group"
			return
		}
		c.Epoch = n.meta.State().Epoch
		n.manager.propose(n.Now(), c)
	}); why != "" {
		http.Error(w, why, http.StatusConflict)
	}
}
