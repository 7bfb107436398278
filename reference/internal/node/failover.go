package node

import (
	"fmt"
	"net/http"

	"github.com/fivenines/fivenines/reference/internal/cluster"
)

// failoverHandler lets an operator make a region primary, or the home of some
// shards. Only the leader of meta takes it; whether it was applied shows in the
// state.
func (n *Node) failoverHandler(mux *http.ServeMux) {
	mux.HandleFunc("POST /homes", n.moveHomes)
	mux.HandleFunc("POST /failover", func(w http.ResponseWriter, r *http.Request) {
		region := r.URL.Query().Get("region")
		if n.m.Region(region) == nil {
			http.Error(w, fmt.Sprintf("no region is called %q", region), http.StatusBadRequest)
			return
		}
		if n.m.Region(region).Role == cluster.Edge {
			http.Error(w, fmt.Sprintf("%s is an edge: its nodes hold no replicas", region), http.StatusBadRequest)
			return
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
			n.manager.propose(n.Now(), cluster.Command{Kind: "promote", Region: region, Epoch: n.meta.State().Epoch, Operator: true, Reason: "an operator asked for it"})
		}); why != "" {
			http.Error(w, why, http.StatusConflict)
		}
	})
}
