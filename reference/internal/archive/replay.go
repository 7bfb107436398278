package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrNothing says that the archive has no snapshot to begin from.
var ErrNothing = errors.New("the archive has no readable snapshot from that time or before")

// Reached is how far a replay came.
type Reached struct {
	Base      uint64    // index of the snapshot that it began from
	Index     uint64    // of the last entry
	Term      uint64    // of the last entry
	Wall      time.Time // of the last entry: what was committed later is not in it
	Entries   int
	Objects   int
	Problems  []string // objects that could not be used, each named
	Truncated bool     // the archive has more for the time asked, behind what is damaged or missing
}

// firstOf says from when on there is something.
func firstOf(g *Group) string {
	if len(g.Snapshots) == 0 {
		return "none was written yet: ask again in some seconds"
	}
	return "the first one is of " + time.UnixMilli(g.Snapshots[0].Wall).UTC().Format(time.RFC3339Nano)
}

// Replay reads a group up to a time: the newest snapshot that is not later, and
// the entries behind it that are not. A damaged or missing object is named in
// Problems, and another way round it is taken where there is one: an older
// snapshot, an overlapping segment.
func (a *Bucket) Replay(ctx context.Context, incarnation uint64, group uint32, at time.Time, restore func(data []byte) error, apply func(e Entry) error) (Reached, error) {
	var r Reached
	g, err := a.List(ctx, incarnation, group)
	if err != nil {
		return r, err
	}
	until := at.UnixMilli()
	found := false
	for _, s := range slices.Backward(g.Snapshots) {
		if s.Wall > until {
			continue
		}
		o, err := a.Get(ctx, s)
		if err == nil {
			err = restore(o.Data)
		}
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
		if err != nil {
			r.Problems = append(r.Problems, err.Error())
			continue
		}
		r.Base, r.Index, r.Term, r.Wall = s.Last, s.Last, s.Term, time.UnixMilli(s.Wall).UTC()
		r.Objects++
		found = true
		break
	}
	if !found {
		return r, errors.Join(fmt.Errorf("archive %s: incarnation %d, group %d, %s: %w; %s", a.url, incarnation, group, at.UTC().Format(time.RFC3339Nano), ErrNothing, firstOf(g)), joined(r.Problems))
	}
	for {
		seg, later, err := a.next(ctx, g, r.Index+1, until, &r)
		if err != nil {
			return r, err
		}
		if seg == nil {
			r.Truncated = later
			return r, nil
		}
		r.Objects++
		for _, e := range seg.Entries {
			if e.Index <= r.Index {
				continue
			}
			if e.Wall > until {
				return r, nil
			}
			if e.Term < r.Term {
				return r, fmt.Errorf("archive %s: group %d: entry %d of term %d follows one of term %d: two histories are mixed", a.url, group, e.Index, e.Term, r.Term)
			}
			if err := apply(e); err != nil {
				return r, fmt.Errorf("archive %s: group %d: entry %d: %w", a.url, group, e.Index, err)
			}
			r.Index, r.Term, r.Wall = e.Index, e.Term, time.UnixMilli(e.Wall).UTC()
			r.Entries++
		}
	}
}

func joined(problems []string) error {
	var es []error
	for _, p := range problems {
		es = append(es, errors.New(p))
	}
	return errors.Join(es...)
}

// next reads the segment with the entry at index that goes farthest. later
// says, where there is none, that the archive has something behind.
func (a *Bucket) next(ctx context.Context, g *Group, index uint64, until int64, r *Reached) (seg *Object, later bool, err error) {
	var fit []Ref
	for _, s := range g.Segments {
		switch {
		case s.First <= index && index <= s.Last:
			fit = append(fit, s)
		case s.First > index && s.Wall <= until:
			later = true
		}
	}
	slices.SortFunc(fit, func(x, y Ref) int { return int(min(max(int64(y.Last)-int64(x.Last), -1), 1)) })
	for _, s := range fit {
		o, err := a.Get(ctx, s)
		if err == nil {
			return o, false, nil
		}
		if ctx.Err() != nil {
			return nil, false, ctx.Err()
		}
		later = true // what the name promises is gone
		if p := err.Error(); !slices.Contains(r.Problems, p) {
			r.Problems = append(r.Problems, p)
		}
	}
	if len(fit) == 0 && later {
		r.Problems = append(r.Problems, fmt.Sprintf("archive %s: no object has the entry at index %d, though there are later ones", a.url, index))
	}
	return nil, later, nil
}

// Verify reads every object of the cluster and returns how many are good, and
// what is wrong with the others, each named. Holes in a chain are found too.
func (a *Bucket) Verify(ctx context.Context) (good int, bytes int64, problems []string, err error) {
	refs, err := a.All(ctx)
	if err != nil {
		return 0, 0, nil, err
	}
	type key struct {
		inc   uint64
		group uint32
	}
	groups := map[key]*Group{}
	terms := map[key]map[uint64]uint64{} // term at the ends of objects: overlapping ones must agree
	for _, r := range refs {
		o, err := a.Get(ctx, r)
		if ctx.Err() != nil {
			return good, bytes, problems, ctx.Err()
		}
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		good++
		bytes += r.Size
		k := key{r.Incarnation, r.Group}
		if r.Kind == KindManifest {
			continue
		}
		g := groups[k]
		if g == nil {
			g = &Group{}
			groups[k], terms[k] = g, map[uint64]uint64{}
		}
		if r.Kind == KindSnapshot {
			g.Snapshots = append(g.Snapshots, r)
		} else {
			g.Segments = append(g.Segments, r)
			for _, e := range o.Entries {
				if e.Index == o.Last || e.Index == o.First {
					if t, ok := terms[k][e.Index]; ok && t != e.Term {
						problems = append(problems, fmt.Sprintf("archive %s: object %s: entry %d is of term %d here and of term %d elsewhere", a.url, r.Name, e.Index, e.Term, t))
					}
					terms[k][e.Index] = e.Term
				}
			}
		}
	}
	for k, g := range groups {
		if len(g.Snapshots) == 0 {
			problems = append(problems, fmt.Sprintf("archive %s: incarnation %d, group %d: segments and no snapshot", a.url, k.inc, k.group))
			continue
		}
		end := g.Snapshots[0].Last
		for _, s := range g.Segments {
			if s.First > end+1 && !slices.ContainsFunc(g.Snapshots, func(b Ref) bool { return b.Last >= s.First-1 && b.Last <= s.Last }) {
				problems = append(problems, fmt.Sprintf("archive %s: incarnation %d, group %d: entries %d to %d are missing before %s", a.url, k.inc, k.group, end+1, s.First-1, s.Name))
			}
			end = max(end, s.Last)
		}
	}
	slices.Sort(problems)
	return good, bytes, problems, nil
}
