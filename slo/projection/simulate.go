package projection

import "math/rand/v2"

// Year in seconds: 365.25 days.
const Year = 365.25 * 86400.0

const perSecond = 1 / Year

// warmUp is simulated before the first year of a block, so that it begins with
// what the time before it left broken.
const warmUp = 0.1 * Year

// change is what a sensitivity does to one class.
type change struct {
	class                          int // -1: none
	halfDown, halfRate, halfRepair bool
}

var unchanged = change{class: -1}

// tally is what a block of years brought.
type tally struct {
	years  []float64 // downtime of each, seconds
	rows   []float64 // downtime by source, then of overlaps; its sum is that of years
	undo   []float64 // the part of rows that undoing brought
	events []int     // by source, those that hit a part that was up; then overlap outages
}

// out is a part that is not there.
type out struct {
	until  float64
	source int
	part   int
	down   float64 // as drawn, for what follows an overlap
	undo   float64
}

// world simulates blocks of years; it is reused from block to block.
type world struct {
	plan   *plan
	params *params
	how    change

	cumulated []float64 // rates of the sources that come by chance
	chance    []int     // their numbers
	parts     []float64 // parts per rate
	planned   []plannedSource

	nodeOut, regionOut, linkOut []int
	serviceOut                  int
	up                          []int // replicas of each shard
	lost                        int   // shards without a quorum
	active                      []out
	soonest                     int // of active

	horizon, covered float64
	open             bool // some shard has no quorum
	since, pending   float64
	openRow          int
	t                tally
}

type plannedSource struct {
	source int
	gap    float64
	slot   float64 // when the next one is due by plan
	next   float64 // when it happens
	part   int
	r      *rand.Rand
}

func newWorld(p *plan) *world {
	return &world{
		plan: p, nodeOut: make([]int, p.topology.nodes()), regionOut: make([]int, len(p.topology.Regions)),
		linkOut: make([]int, p.topology.parts(Link)), up: make([]int, p.topology.Shards),
	}
}

// run simulates one block.
func (w *world) run(params *params, seed uint64, block, years int, how change) tally {
	w.reset(params, seed, block, years, how)
	total := 0.0
	if n := len(w.cumulated); n > 0 {
		total = w.cumulated[n-1]
	}
	r := stream(seed, block, streamFaults)
	thin := stream(seed, block, streamThinning)
	next := w.horizon + 1
	if total > 0 {
		next = r.ExpFloat64()/total - warmUp
	}
	for {
		at, plan := next, -1
		for i := range w.planned {
			if w.planned[i].next < at {
				at, plan = w.planned[i].next, i
			}
		}
		if at >= w.horizon {
			break
		}
		w.repairUntil(at)
		if plan >= 0 {
			w.maintain(plan, at, next)
			continue
		}
		// All random numbers of an event are taken whatever becomes of it, so
		// that a change in one class leaves the events of the others as they are.
		x := r.Float64() * total
		k := 0
		for x >= w.cumulated[k] && k < len(w.cumulated)-1 {
			k++
		}
		s := &w.plan.sources[w.chance[k]]
		from := 0.0
		if k > 0 {
			from = w.cumulated[k-1]
		}
		part := min(int((x-from)*w.parts[k]), s.count-1)
		e := out{source: w.chance[k], part: part}
		down, undo := two(r.Uint64())
		repair := s.repair.at(r.Float64())
		skip := false
		if w.how.halfRate {
			skip = thin.Float64() < 0.5 && w.how.class == s.class
		}
		next = at + r.ExpFloat64()/total
		if !skip && !w.isOut(s, part) {
			w.happen(&e, at, down, undo, repair, w.upcoming(next))
		}
	}
	w.repairUntil(w.horizon)
	if w.open {
		w.add(w.since, w.horizon, w.openRow)
	}
	return w.t
}

// two numbers in [0, 1) of 32 random bits each.
func two(bits uint64) (float64, float64) {
	const unit = 1.0 / (1 << 32)
	return float64(bits>>32) * unit, float64(bits&(1<<32-1)) * unit
}

func (w *world) reset(params *params, seed uint64, block, years int, how change) {
	p := w.plan
	w.params, w.how = params, how
	w.cumulated, w.chance, w.parts, w.planned = w.cumulated[:0], w.chance[:0], w.parts[:0], w.planned[:0]
	sum := 0.0
	for i := range p.sources {
		s := &p.sources[i]
		all := params.rates[s.class] * s.share * float64(s.count)
		if all <= 0 {
			continue
		}
		if s.planned {
			r := stream(seed, block, streamPlanned+i)
			q := plannedSource{source: i, gap: 1 / all, r: r}
			q.slot = -warmUp + r.Float64()*q.gap
			q.next = q.slot
			w.planned = append(w.planned, q)
			continue
		}
		sum += all
		w.cumulated, w.chance, w.parts = append(w.cumulated, sum), append(w.chance, i), append(w.parts, float64(s.count)/all)
	}
	clear(w.nodeOut)
	clear(w.regionOut)
	clear(w.linkOut)
	for i := range w.up {
		w.up[i] = p.topology.Replicas
	}
	w.serviceOut, w.lost, w.active = 0, 0, w.active[:0]
	w.horizon, w.covered, w.open = float64(years)*Year, -2*warmUp, false
	n := len(p.sources) + 1
	w.t = tally{years: make([]float64, years), rows: make([]float64, n), undo: make([]float64, n), events: make([]int, n)}
}

// upcoming is when something happens next at the latest.
func (w *world) upcoming(next float64) float64 {
	for i := range w.planned {
		next = min(next, w.planned[i].next)
	}
	return next
}

// maintain does what is planned, or puts it off until nothing is broken.
func (w *world) maintain(i int, at, next float64) {
	q := &w.planned[i]
	busy := 0.0
	for j := range w.active {
		if w.plan.sources[w.active[j].source].takes != Nothing {
			busy = max(busy, w.active[j].until)
		}
	}
	if busy > at {
		q.next = busy
		return
	}
	s := &w.plan.sources[q.source]
	down, undo := two(q.r.Uint64())
	u, thin := two(q.r.Uint64())
	repair := s.repair.at(u)
	skip := w.how.halfRate && w.how.class == s.class && thin < 0.5
	e := out{source: q.source, part: q.part}
	q.part = (q.part + 1) % s.count
	q.slot += q.gap
	q.next = max(q.slot, at)
	if !skip && !w.isOut(s, e.part) {
		w.happen(&e, at, down, undo, repair, w.upcoming(next))
	}
}

// isOut says whether the part is out already: what is down does not fail.
func (w *world) isOut(s *source, part int) bool {
	if w.serviceOut > 0 {
		return true
	}
	switch s.parts {
	case Node:
		return w.nodeOut[part] > 0
	case Region:
		return w.regionOut[part] > 0
	case Link:
		return w.linkOut[part] > 0
	}
	return false
}

// happen lets an event take its part.
func (w *world) happen(e *out, at, down, undo, repair, upcoming float64) {
	s := &w.plan.sources[e.source]
	w.t.events[e.source] += b2i(at >= 0)
	if s.down >= 0 {
		e.down = w.params.samplers[s.down].at(down)
	}
	if s.undo >= 0 {
		e.undo = w.params.samplers[s.undo].at(undo)
	}
	if w.how.class == s.class {
		if w.how.halfDown {
			e.down, e.undo = e.down/2, e.undo/2
		}
		if w.how.halfRepair {
			repair /= 2
		}
	}
	e.until = at + repair
	breaks := w.breaks(s, e.part)
	if len(w.active) == 0 && !breaks && e.until < upcoming {
		// Nothing else is going on before it is repaired.
		w.add(at, at+e.down, e.source)
		w.addUndo(e)
		return
	}
	w.take(s, e.part, 1)
	w.active = append(w.active, *e)
	if len(w.active) == 1 || e.until < w.active[w.soonest].until {
		w.soonest = len(w.active) - 1
	}
	switch {
	case w.lost == 0:
		w.add(at, at+e.down, e.source)
	case w.open:
		w.pending = max(w.pending, at+e.down)
	default:
		w.open, w.since, w.pending = true, at, at+e.down
		w.openRow = e.source
		if !breaks {
			w.openRow = len(w.plan.sources)
			w.t.events[w.openRow] += b2i(at >= 0)
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// breaks says whether the event alone takes a quorum.
func (w *world) breaks(s *source, part int) bool {
	if !w.plan.overlap {
		return false
	}
	switch s.takes {
	case Node:
		return w.params.nodeBreaks
	case Region:
		return w.params.regionBreaks[w.regionHit(s, part)]
	case WholeService:
		return w.params.serviceBreaks
	}
	return false
}

// regionHit is the region that an event on a part takes.
func (w *world) regionHit(s *source, part int) int {
	switch s.parts {
	case Node:
		return w.plan.regionOf[part]
	case Link:
		return w.plan.linkEnd[part]
	}
	return part
}

// repairUntil gives back what is repaired by then, in order.
func (w *world) repairUntil(at float64) {
	for len(w.active) > 0 && w.active[w.soonest].until <= at {
		e := w.active[w.soonest]
		n := len(w.active) - 1
		w.active[w.soonest] = w.active[n]
		w.active = w.active[:n]
		w.soonest = 0
		for i := range w.active {
			if w.active[i].until < w.active[w.soonest].until {
				w.soonest = i
			}
		}
		w.take(&w.plan.sources[e.source], e.part, -1)
		switch {
		case !w.open:
			w.addUndo(&e)
		case w.lost > 0:
			w.pending = max(w.pending, e.until+e.undo)
		default:
			// The quorum is back: the service finds itself again, as after the
			// fault or after the undoing, whichever takes longer.
			w.open = false
			w.add(w.since, max(w.pending, e.until+max(e.down, e.undo)), w.openRow)
		}
	}
}

// take removes (sign 1) or gives back (sign -1) what an event takes.
func (w *world) take(s *source, part, sign int) {
	switch s.parts {
	case Region:
		w.regionOut[part] += sign
	case Link:
		w.linkOut[part] += sign
	}
	switch s.takes {
	case Node:
		w.takeNode(part, sign)
	case Region:
		r := w.regionHit(s, part)
		if s.parts != Region {
			w.regionOut[r] += sign
		}
		for n := w.plan.first[r]; n < w.plan.first[r]+w.plan.topology.Regions[r].Nodes; n++ {
			w.takeNode(n, sign)
		}
	case WholeService:
		w.serviceOut += sign
		for n := range w.nodeOut {
			w.takeNode(n, sign)
		}
	}
}

func (w *world) takeNode(n, sign int) {
	was := w.nodeOut[n]
	w.nodeOut[n] += sign
	if !w.plan.overlap || (was == 0) == (w.nodeOut[n] == 0) {
		return
	}
	quorum := w.plan.topology.quorum()
	for _, s := range w.params.holds[n] {
		before := w.up[s] >= quorum
		w.up[s] -= sign
		switch after := w.up[s] >= quorum; {
		case before && !after:
			w.lost++
		case after && !before:
			w.lost--
		}
	}
}

func (w *world) addUndo(e *out) {
	before := w.t.rows[e.source]
	w.add(e.until, e.until+e.undo, e.source)
	w.t.undo[e.source] += w.t.rows[e.source] - before
}

// add is downtime from start to end, of which what is covered already does not
// count again. Calls come in the order of start, except that nothing is added
// while an outage is open.
func (w *world) add(start, end float64, row int) {
	start = max(start, w.covered)
	if end <= start {
		return
	}
	w.covered = end
	start, end = max(start, 0), min(end, w.horizon)
	if end <= start {
		return
	}
	w.t.rows[row] += end - start
	for y := int(start * perSecond); start < end && y < len(w.t.years); y++ {
		till := min(end, float64(y+1)*Year)
		w.t.years[y] += till - start
		start = till
	}
}
