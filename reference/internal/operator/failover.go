package operator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/fivenines/fivenines/reference/internal/node"
)

// Failover makes a region primary by an operator's choice, through the meta
// group, and returns once all shards are led there. Leaders are handed over one
// by one when their successors have caught up, so no request fails for it. The
// choice stays until the region is lost or somebody chooses another.
func Failover(ctx context.Context, all []Endpoint, region string) error {
	if rs := regionsOf(all); !slices.Contains(rs, region) {
		return fmt.Errorf("no region is called %q; there are %s", region, strings.Join(rs, ", "))
	}
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for asked := false; ; {
		rs, errs := reports(ctx, all, nil)
		i := metaLeader(rs)
		var err error
		switch {
		case i < 0 && !slices.ContainsFunc(rs, func(r *node.Report) bool { return r != nil }):
			return errors.Join(append([]error{errNobody}, errs...)...)
		case i < 0:
			err = errors.New("the meta group has no leader now")
		case rs[i].Primary == region && !slices.ContainsFunc(rs[i].Homes, func(home string) bool { return home != region }):
			if left := notLedIn(rs, all, region); left > 0 {
				err = fmt.Errorf("%d shards are not led in %s yet", left, region)
			} else {
				return nil
			}
		case !asked:
			if why := unfit(rs, all, region); why != "" {
				return fmt.Errorf("refused: %s", why)
			}
			if err = call(ctx, http.MethodPost, all[i], "/failover?"+url.Values{"region": {region}}.Encode(), nil, nil); err == nil {
				asked = true
				err = errors.New("the meta group has not decided yet")
			}
		default:
			err = errors.New("the meta group has not decided yet")
			asked = false
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("failover to %s: %w: %w", region, err, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// notLedIn counts the shards that no node of the region serves.
func notLedIn(rs []*node.Report, all []Endpoint, region string) int {
	shards, led := 0, map[uint32]bool{}
	for i, r := range rs {
		if r == nil {
			continue
		}
		shards = r.Shards
		for _, g := range r.Groups {
			if all[i].Region == region && g.Group != 0 && g.Serving {
				led[g.Group] = true
			}
		}
	}
	return shards - len(led)
}

// unfit says why a region cannot take over now, empty if it can: each shard
// must have a voter there that is close behind its leader.
func unfit(rs []*node.Report, all []Endpoint, region string) string {
	var shards []int
	for _, r := range rs {
		if r != nil {
			for s := len(shards); s < r.Shards; s++ {
				shards = append(shards, s)
			}
		}
	}
	return unfitFor(rs, all, region, shards)
}

// unfitFor is unfit for some shards.
func unfitFor(rs []*node.Report, all []Endpoint, region string, shards []int) string {
	last, have := map[uint32]uint64{}, map[uint32]uint64{}
	for i, r := range rs {
		if r == nil {
			continue
		}
		for _, g := range r.Groups {
			last[g.Group] = max(last[g.Group], g.Applied)
			if all[i].Region == region && g.Voter {
				have[g.Group] = max(have[g.Group], g.Last)
			}
		}
	}
	for _, s := range shards {
		g := uint32(s + 1)
		switch {
		case have[g] == 0:
			return fmt.Sprintf("%s has no replica of shard %d that votes", region, s)
		case last[g] > have[g]+1000:
			return fmt.Sprintf("the replica of shard %d in %s is %d entries behind", s, region, last[g]-have[g])
		}
	}
	return ""
}
