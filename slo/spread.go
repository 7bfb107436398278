package slo

import "slices"

// maxBadWindows is the last entry of SessionSpread.ByBadWindows.
const maxBadWindows = 60

// spread collects how bad operations are spread over sessions.
type spread struct {
	windows, good int
	byBad         []int
	shares        []float64 // of good operations, by session
}

// add counts the windows of one session.
func (s *spread) add(ws []window) {
	if len(ws) == 0 {
		return
	}
	bad, ops, badOps := 0, 0, 0
	for _, w := range ws {
		if w.bad > 0 {
			bad++
		}
		ops += w.ops
		badOps += w.bad
	}
	s.windows += len(ws)
	s.good += len(ws) - bad
	bad = min(bad, maxBadWindows)
	for len(s.byBad) <= bad {
		s.byBad = append(s.byBad, 0)
	}
	s.byBad[bad]++
	s.shares = append(s.shares, float64(ops-badOps)/float64(ops))
}

func (s *spread) join(o *spread) {
	s.windows += o.windows
	s.good += o.good
	for i, n := range o.byBad {
		for len(s.byBad) <= i {
			s.byBad = append(s.byBad, 0)
		}
		s.byBad[i] += n
	}
	s.shares = append(s.shares, o.shares...)
}

// result is the spread as result.json has it; nil where no session was used.
func (s *spread) result() *SessionSpread {
	if len(s.shares) == 0 {
		return nil
	}
	slices.Sort(s.shares)
	return &SessionSpread{
		Sessions: len(s.shares), Windows: s.windows, GoodWindows: s.good, ByBadWindows: s.byBad,
		Min: s.shares[0], P1: nearestRank(s.shares, 0.01), P10: nearestRank(s.shares, 0.1), P50: nearestRank(s.shares, 0.5),
	}
}
