package operator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fivenines/fivenines/reference/internal/node"
)

// Move is a plan to change the home of shards, and with it of the sessions in
// them: the region that leads them. Sessions of one shard move together.
type Move struct {
	Region   string      `json:"region"` // empty: each to where it began
	Shards   []MoveShard `json:"shards"`
	Refusals []string    `json:"refusals"`

	all  bool // every shard: an operator's choice of a primary region ends with it
	ends []Endpoint
}

// MoveShard is one shard as it is before the move.
type MoveShard struct {
	Shard    int    `json:"shard"`
	Home     string `json:"home"`   // the region that should lead it now
	Leader   string `json:"leader"` // the node that does; empty for none
	Sessions int    `json:"sessions"`
}

// PlanMove looks at how shards are led now and whether their replicas in the
// region could lead them; it changes nothing. No shards stands for all.
func PlanMove(ctx context.Context, all []Endpoint, region string, shards []int) (*Move, error) {
	if rs := regionsOf(all); region != "" && !slices.Contains(rs, region) {
		return nil, fmt.Errorf("no region is called %q; there are %s", region, strings.Join(rs, ", "))
	}
	rs, errs := reports(ctx, all, nil)
	i := metaLeader(rs)
	switch {
	case !slices.ContainsFunc(rs, func(r *node.Report) bool { return r != nil }):
		return nil, errors.Join(append([]error{errNobody}, errs...)...)
	case i < 0:
		return nil, errors.New("the meta group has no leader now; ask again when it has")
	}
	p := &Move{Region: region, Shards: []MoveShard{}, Refusals: []string{}, all: len(shards) == 0, ends: all}
	if p.all {
		for s := range rs[i].Shards {
			shards = append(shards, s)
		}
	}
	for _, s := range slices.Compact(slices.Sorted(slices.Values(shards))) {
		if s < 0 || s >= rs[i].Shards {
			return nil, fmt.Errorf("there is no shard %d; they are 0 to %d", s, rs[i].Shards-1)
		}
		ms := MoveShard{Shard: s, Home: rs[i].Homes[s]}
		for _, r := range rs {
			if g := groupOf(r, s); g != nil && g.Serving {
				ms.Leader, ms.Sessions = r.Node, g.Sessions
			}
		}
		p.Shards = append(p.Shards, ms)
	}
	if region != "" {
		if why := unfitFor(rs, all, region, shards); why != "" {
			p.Refusals = append(p.Refusals, why)
		}
	}
	return p, nil
}

// Act carries the plan out and returns once every shard is led at its new home.
// Leaders are handed over when their successors have caught up: no request fails for it.
func (p *Move) Act(ctx context.Context) error {
	if len(p.Refusals) > 0 {
		return fmt.Errorf("refused: %s", strings.Join(p.Refusals, "; "))
	}
	q := url.Values{"region": {p.Region}}
	if !p.all {
		var names []string
		for _, s := range p.Shards {
			names = append(names, strconv.Itoa(s.Shard))
		}
		q.Set("shards", strings.Join(names, ","))
	}
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	asked := time.Time{}
	for {
		rs, _ := reports(ctx, p.ends, nil)
		i := metaLeader(rs)
		var err error
		switch {
		case i < 0:
			err = errors.New("the meta group has no leader now")
		case !p.decided(rs[i]):
			err = errors.New("the meta group has not decided yet")
			if time.Since(asked) > 2*time.Second { // again: an epoch that was over is refused
				asked = time.Now()
				if e := call(ctx, http.MethodPost, p.ends[i], "/homes?"+q.Encode(), nil, nil); e != nil {
					err = e
				}
			}
		default:
			away := p.away(rs, rs[i].Homes)
			if away == 0 {
				return nil
			}
			err = fmt.Errorf("%d shards are not led at their home yet", away)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("move homes: %w: %w", err, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// decided says that the meta group has the plan's homes.
func (p *Move) decided(meta *node.Report) bool {
	if p.Region == "" && p.all && meta.Chosen != "" {
		return false
	}
	return !slices.ContainsFunc(p.Shards, func(s MoveShard) bool {
		if p.Region == "" {
			return slices.Contains(meta.Moved, s.Shard)
		}
		return meta.Homes[s.Shard] != p.Region
	})
}

// away counts the shards of the plan that are not led at home.
func (p *Move) away(rs []*node.Report, homes []string) (n int) {
	for _, s := range p.Shards {
		if !slices.ContainsFunc(rs, func(r *node.Report) bool {
			g := groupOf(r, s.Shard)
			return g != nil && g.Serving && r.Region == homes[s.Shard]
		}) {
			n++
		}
	}
	return n
}

// metaLeader is who leads the meta group, -1 for nobody.
func metaLeader(rs []*node.Report) int {
	return slices.IndexFunc(rs, func(r *node.Report) bool {
		return r != nil && slices.ContainsFunc(r.Groups, func(g node.GroupReport) bool { return g.Group == 0 && g.Serving })
	})
}

func groupOf(r *node.Report, shard int) *node.GroupReport {
	if r == nil {
		return nil
	}
	for i := range r.Groups {
		if r.Groups[i].Group == uint32(shard+1) {
			return &r.Groups[i]
		}
	}
	return nil
}
