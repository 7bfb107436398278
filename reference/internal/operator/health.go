package operator

import (
	"context"
	"fmt"
	"slices"

	"github.com/fivenines/fivenines/reference/internal/node"
)

// Health of a deployment. Problems is empty if all is well.
type Health struct {
	Incarnation uint64         `json:"incarnation"`
	Primary     string         `json:"primary"`
	Regions     []RegionHealth `json:"regions"`
	Shards      []ShardHealth  `json:"shards"`
	Problems    []string       `json:"problems"`
}

// RegionHealth is one region.
type RegionHealth struct {
	Region string `json:"region"`
	Role   string `json:"role"`
	Nodes  int    `json:"nodes"`
	Up     int    `json:"up"` // nodes that answer
	Leads  int    `json:"shards_led"`
}

// ShardHealth is one shard; -1 is the meta group.
type ShardHealth struct {
	Shard       int      `json:"shard"`
	Home        string   `json:"home,omitempty"` // the region that should lead it now
	Leader      string   `json:"leader"`         // that serves, empty for none
	Replicas    []string `json:"replicas"`       // voters that answer
	Lag         uint64   `json:"lag"`            // entries by which the last of them is behind
	Sessions    int      `json:"sessions"`
	ArchiveLagS float64  `json:"archive_lag_s"` // -1: no archive
	SnapshotS   float64  `json:"snapshot_age_s"`
}

const (
	lagging     = 1000 // entries; some seconds of a shard under full load
	archiveLate = 10.0 // seconds
)

// CheckHealth asks every node, and says what is wrong.
func CheckHealth(ctx context.Context, all []Endpoint) *Health {
	rs, errs := reports(ctx, all, nil)
	h := &Health{Problems: []string{}}
	problem := func(format string, a ...any) { h.Problems = append(h.Problems, fmt.Sprintf(format, a...)) }
	i := slices.IndexFunc(rs, func(r *node.Report) bool { return r != nil })
	if i < 0 {
		problem("no node answers: %v", errs[0])
		return h
	}
	some := rs[i]
	byRegion := map[string]*RegionHealth{}
	for _, reg := range some.Regions {
		h.Regions = append(h.Regions, RegionHealth{Region: reg.Name, Role: reg.Role, Nodes: reg.Nodes})
	}
	for i := range h.Regions {
		byRegion[h.Regions[i].Region] = &h.Regions[i]
	}
	for s := -1; s < some.Shards; s++ {
		h.Shards = append(h.Shards, ShardHealth{Shard: s, Replicas: []string{}, ArchiveLagS: -1, SnapshotS: -1})
	}
	voters := make([]int, len(h.Shards))
	for i, r := range rs {
		if r == nil {
			problem("%v", errs[i])
			continue
		}
		h.Incarnation = max(h.Incarnation, r.Incarnation)
		if r.Frozen {
			problem("node %s is frozen for a recovery", r.Node)
		}
		reg := byRegion[r.Region]
		reg.Up++
		for _, g := range r.Groups {
			s := &h.Shards[g.Group]
			if g.Voter {
				s.Replicas = append(s.Replicas, r.Node)
			}
			if g.Bad != "" {
				problem("shard %d on %s: %s", s.Shard, r.Node, g.Bad)
			}
			if !g.Serving {
				continue
			}
			s.Leader, s.Lag, s.Sessions, s.ArchiveLagS, s.SnapshotS = r.Node, g.Lag, g.Sessions, g.ArchiveLagS, g.SnapshotAgeS
			voters[g.Group] = g.Voters
			if g.Group == 0 {
				h.Primary = r.Primary
				for i, home := range r.Homes {
					h.Shards[i+1].Home = home
				}
			} else {
				reg.Leads++
			}
		}
	}
	if h.Primary == "" {
		h.Primary = some.Primary
	}
	for i, s := range h.Shards {
		name := fmt.Sprintf("shard %d", s.Shard)
		if s.Shard < 0 {
			name = "meta"
		}
		switch {
		case s.Leader == "":
			problem("%s has no leader that serves", name)
		case len(s.Replicas) < voters[i]:
			problem("%s: %d of its %d voters answer", name, len(s.Replicas), voters[i])
		case s.Shard >= 0 && voters[i] < some.Replicas:
			problem("%s has %d voters instead of %d", name, voters[i], some.Replicas)
		case s.Lag > lagging:
			problem("%s: a replica is %d entries behind", name, s.Lag)
		}
		if s.ArchiveLagS > archiveLate {
			problem("%s: the archive is %.0f s behind", name, s.ArchiveLagS)
		}
	}
	return h
}
