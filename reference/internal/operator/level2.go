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
	"github.com/fivenines/fivenines/reference/internal/recovery"
)

// Level2 is a plan to go on with what is left when a majority of the regions
// is gone. Nothing has been changed yet.
type Level2 struct {
	Lost        []string      `json:"lost"`
	Primary     string        `json:"primary"` // that becomes the authority
	Incarnation uint64        `json:"incarnation"`
	Shards      []Level2Shard `json:"shards"`
	Refusals    []string      `json:"refusals"` // why it must not be done; none of them can be overruled
	order       recovery.Order
	survivors   []Endpoint
}

// Level2Shard says what is known of a shard, and so what may be lost.
type Level2Shard struct {
	Shard     int       `json:"shard"` // -1: meta
	Authority string    `json:"authority"`
	Last      uint64    `json:"last"`
	LastTerm  uint64    `json:"last_term"`
	Committed uint64    `json:"committed"` // what is between it and Last is kept too
	Sessions  int       `json:"sessions"`
	Contact   time.Time `json:"last_contact"` // when the shard was last known to have its quorum: what others acknowledged later is lost
}

// PlanLevel2 looks at who is left. lost names the regions that are gone; empty:
// those of which nobody answers.
func PlanLevel2(ctx context.Context, all []Endpoint, lost []string) (*Level2, error) {
	known := regionsOf(all)
	for _, r := range lost {
		if !slices.Contains(known, r) {
			return nil, fmt.Errorf("no region is called %q; there are %s", r, strings.Join(known, ", "))
		}
	}
	alive := make([]string, len(all))
	each(all, func(i int, e Endpoint) error { alive[i] = answers(ctx, e); return nil })
	if len(lost) == 0 {
		for _, r := range known {
			if !slices.ContainsFunc(all, func(e Endpoint) bool { return e.Region == r && alive[slices.Index(all, e)] != "" }) {
				lost = append(lost, r)
			}
		}
		if len(lost) == 0 {
			return nil, errors.New("every region answers: nothing has to be recovered")
		}
	}
	// A number that no earlier attempt has: a node that was away when one was
	// taken back has its order still, and would obey it on hearing its number.
	p := &Level2{Lost: lost, Refusals: []string{}, Incarnation: uint64(time.Now().UnixMilli())}
	for i, e := range all {
		switch {
		case !slices.Contains(lost, e.Region):
			p.survivors = append(p.survivors, e)
		case alive[i] != "":
			p.refuse("%s of the region %s, said to be lost, answers at its %s", e.Node, e.Region, alive[i])
		}
	}
	if len(p.survivors) == 0 {
		return nil, errors.New("no region is left: restore everything from the archive (level 3)")
	}
	if err := p.look(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Level2) refuse(format string, a ...any) {
	if s := fmt.Sprintf(format, a...); !slices.Contains(p.Refusals, s) {
		p.Refusals = append(p.Refusals, s)
	}
}

// look asks the survivors what they have, and chooses for each group the
// replica whose log goes farthest.
func (p *Level2) look(ctx context.Context) error {
	rs, errs := reports(ctx, p.survivors, p.Lost)
	o := recovery.Order{Incarnation: p.Incarnation, Lost: p.Lost, Authority: map[uint32]string{}, Generations: map[string]uint32{}}
	best := map[uint32]node.GroupReport{}
	inc := map[uint32]uint64{}
	primary, shards := "", 0
	for i, r := range rs {
		if r == nil {
			return fmt.Errorf("every node that is left is needed: %w", errs[i])
		}
		o.Incarnation = max(o.Incarnation, r.Incarnation+1)
		shards = r.Shards
		for _, reg := range r.Regions { // in order of preference
			if primary == "" && !slices.Contains(p.Lost, reg.Name) {
				primary = reg.Name
			}
		}
		gen := r.Generation
		for _, g := range rs {
			if g != nil {
				gen = max(gen, g.Generations[r.Node])
			}
		}
		o.Generations[r.Node] = gen + 1
		for _, pe := range r.Peers {
			if !slices.Contains(p.Lost, pe.Region) {
				continue
			}
			if pe.Answers {
				p.refuse("%s of the region %s, said to be lost, answers %s", pe.Node, pe.Region, r.Node)
			} else if pe.SilentS >= 0 && pe.SilentS < 1 {
				p.refuse("%s of the region %s, said to be lost, was heard by %s %.1f s ago", pe.Node, pe.Region, r.Node, pe.SilentS)
			}
		}
		for _, g := range r.Groups {
			if g.Serving {
				p.refuse("group %d has a leader (%s) with its quorum: what is lost is no majority, and the platform sees to it by itself (level 1)", g.Group, r.Node)
			}
			b, ok := best[g.Group]
			newer := r.Incarnation != inc[g.Group] && r.Incarnation > inc[g.Group] ||
				r.Incarnation == inc[g.Group] && (g.LastTerm > b.LastTerm || g.LastTerm == b.LastTerm && g.Last > b.Last)
			if !ok || newer {
				best[g.Group], inc[g.Group] = g, r.Incarnation
				o.Authority[g.Group] = r.Node
			}
		}
	}
	o.Primary = primary
	p.Primary, p.Incarnation, p.order, p.Shards = primary, o.Incarnation, o, nil
	for g := range uint32(shards + 1) {
		b, ok := best[g]
		if !ok {
			p.refuse("no replica of shard %d is left: restore it from the archive (level 3)", int(g)-1)
			continue
		}
		p.Shards = append(p.Shards, Level2Shard{Shard: int(g) - 1, Authority: o.Authority[g], Last: b.Last, LastTerm: b.LastTerm, Committed: b.Committed, Sessions: b.Sessions,
			Contact: time.Now().Add(-time.Duration(b.HeardS * float64(time.Second))).UTC()})
	}
	return nil
}

// Sessions is how many are left.
func (p *Level2) Sessions() (n int) {
	for _, s := range p.Shards {
		n += s.Sessions
	}
	return n
}

// Contact is the earliest last contact of a shard with its quorum.
func (p *Level2) Contact() (at time.Time) {
	for _, s := range p.Shards {
		if at.IsZero() || s.Contact.Before(at) {
			at = s.Contact
		}
	}
	return at
}

// Act begins the new incarnation and returns once every shard serves.
// attested: an operator says that the lost regions are gone.
func (p *Level2) Act(ctx context.Context, attested bool) (err error) {
	if len(p.Refusals) > 0 {
		return fmt.Errorf("refused: %s", strings.Join(p.Refusals, "; "))
	}
	if !attested {
		return errors.New("refused: nobody attests that the missing regions are gone (--regions-are-gone); if they still run, two sides would acknowledge")
	}
	begun := false
	defer func() {
		if !begun {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
			defer cancel()
			each(p.survivors, func(_ int, e Endpoint) error { return call(ctx, http.MethodPost, e, "/recovery/thaw", nil, nil) })
		}
	}()
	q := url.Values{"lost": p.Lost}.Encode()
	if err := errors.Join(each(p.survivors, func(_ int, e Endpoint) error {
		return call(ctx, http.MethodPost, e, "/recovery/freeze?"+q, nil, nil)
	})...); err != nil {
		return err
	}
	// What they have cannot change any more: choose again.
	if err := p.look(ctx); err != nil {
		return err
	}
	if len(p.Refusals) > 0 {
		return fmt.Errorf("refused: %s", strings.Join(p.Refusals, "; "))
	}
	p.order.Attested = true
	if err := errors.Join(each(p.survivors, func(_ int, e Endpoint) error {
		return call(ctx, http.MethodPost, e, "/recovery/prepare", p.order, nil)
	})...); err != nil {
		return err
	}
	// From the first node that obeys there is no way back: one that is not
	// reached now obeys when it hears of the new incarnation.
	begun = true
	if err := errors.Join(each(p.survivors, func(_ int, e Endpoint) error {
		return call(ctx, http.MethodPost, e, fmt.Sprintf("/recovery/begin?incarnation=%d", p.Incarnation), nil, nil)
	})...); err != nil {
		return err
	}
	return p.await(ctx)
}

// await waits until all shards are served in the new incarnation.
func (p *Level2) await(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		rs, _ := reports(ctx, p.survivors, nil)
		served := map[uint32]bool{}
		for _, r := range rs {
			if r == nil || r.Incarnation != p.Incarnation {
				continue
			}
			for _, g := range r.Groups {
				if g.Serving {
					served[g.Group] = true
				}
			}
		}
		if len(served) == len(p.Shards) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d groups are served in incarnation %d: %w", len(served), len(p.Shards), p.Incarnation, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
