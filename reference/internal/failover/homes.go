package failover

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Homes is the action of giving the shards at home in some regions to others,
// if the epoch still holds. Stand replaces what was in force before.
type Homes struct {
	Stand  map[int]int // home region -> region that leads its shards meanwhile
	Epoch  uint64
	Reason string
}

// SetHomes tells which regions are home of shards, and who stands in for which
// of them, as the meta group has it. A system in which the primary region leads
// alone has none, and then nothing is decided here.
func (m *Machine) SetHomes(homes []int, stand map[int]int) {
	m.homes, m.stand = append(m.homes[:0], homes...), stand
}

// activated says that nothing is to be led in a region.
func (m *Machine) activated(region int) bool {
	if m.primary == region {
		return false
	}
	_, away := m.stand[region]
	return away || !slices.Contains(m.homes, region)
}

// decideHomes is who should lead the shards of home regions that are lost, by
// the rules for the primary role: at once to a region that is there, preferably
// one that does not flap, and back only after its hold-down and when no replica
// lags.
func (m *Machine) decideHomes(now time.Duration) {
	failed := func(r int) bool { return m.regions[r].failed }
	away := map[int]bool{}
	for _, h := range m.homes {
		_, was := m.stand[h]
		if away[h] = failed(h) || was && !m.ready(now, h, m.regionHold(h), false); was && away[h] && !failed(h) {
			m.heldDown(h, "leads its shards")
		}
	}
	next := map[int]int{}
	for _, h := range m.homes {
		if !away[h] {
			continue
		}
		cur, was := m.stand[h]
		if was && !failed(cur) && !away[cur] {
			next[h] = cur
			continue
		}
		in := m.standIn(now, h, away)
		switch {
		case in < 0 && !failed(h):
			away[h] = false // nobody else is there: it may as well lead itself
		case in < 0:
			return // nobody is left to lead anything
		default:
			// Who was away and is needed is trusted at once.
			away[in] = false
			delete(next, in)
			next[h] = in
		}
	}
	for h, in := range next { // who was found to be needed after others had been given to somebody else
		if !away[h] || away[in] {
			return
		}
	}
	if maps.Equal(next, m.stand) {
		return
	}
	var why []string
	for _, h := range m.homes {
		was, before := m.stand[h]
		is, after := next[h]
		switch name := m.topo.Regions[h].Name; {
		case after && (!before || was != is):
			why = append(why, name+" is gone")
		case before && !after:
			why = append(why, name+" is back")
		}
	}
	if len(why) == 0 {
		why = []string{"what they stood in for is no home now"}
	}
	m.changedAt, m.asked = now, true
	m.out.Homes = &Homes{next, m.epoch, strings.Join(why, ", ")}
}

// standIn chooses who leads the shards of a home region: the next home region in
// order, round the end, then the next of the others; -1 for nobody. Tertiary
// regions lead only by an operator's choice.
func (m *Machine) standIn(now time.Duration, home int, away map[int]bool) int {
	var order []int
	at := slices.Index(m.homes, home)
	for i := 1; i < len(m.homes); i++ {
		order = append(order, m.homes[(at+i)%len(m.homes)])
	}
	for r := range m.topo.Regions {
		if r != home && !slices.Contains(m.homes, r) {
			order = append(order, r)
		}
	}
	for _, fits := range []func(r int) bool{
		func(r int) bool { return !away[r] && m.regions[r].flaps.n <= 1 },
		func(r int) bool { return !away[r] },
		func(int) bool { return true },
	} {
		for _, r := range order {
			if !m.topo.Regions[r].Tertiary && !m.regions[r].failed && fits(r) && m.ready(now, r, 0, true) {
				return r
			}
		}
	}
	return -1
}
