package slo

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
)

// inFlight is how long before a change an operation that it broke may have
// been intended.
const inFlight = 5 * time.Second

// shot is an operation by its intended start and its end.
type shot struct {
	intended, end time.Duration
	region        uint8 // of its client
}

// cadence is how often something was used.
type cadence struct {
	ops         int
	first, last time.Duration // intended
}

func (c *cadence) add(at time.Duration) {
	if c.ops == 0 || at < c.first {
		c.first = at
	}
	c.last = max(c.last, at)
	c.ops++
}

// cadences are by region, and in it by load phase and partition; nil where no
// client stood.
type cadences [256][]cadence

// track is what outages of one partition in one load phase are found from.
type track struct {
	cadence
	bad  []shot        // by intended start
	good []shot        // good writes, by end
	tail time.Duration // last operation intended after the first fault was asked
}

// outages of a trial, and what they were found from.
type outages struct {
	all        []Outage // of every fault and undoing
	unobserved []int    // partitions without an operation after a fault
	spans      [][]span // per partition, for the idle clocks: outages, with the fault's time where there was one
}

// measureFailover finds, per change (fault or undoing) and partition, how long
// no write could be relied on.
func (t *trial) measureFailover() {
	tracks, ticks := t.tracks()
	t.outages.spans = make([][]span, len(tracks[0]))
	byChange := t.outagesOf(tracks, func(f *fault, p int, o outage) {
		t.outages.spans[p] = append(t.outages.spans[p], span{o.start, o.end}, span{f.asked, t.over(f)})
	})
	for n, o := range byChange {
		if o == nil {
			continue
		}
		if f := t.faults[t.instants[n].fault]; t.instants[n].undo {
			f.undo = o
		} else {
			f.failover = o
		}
		t.outages.all = append(t.outages.all, *o)
	}
	t.splitByRegion(tracks, ticks)
	for p := range t.outages.spans {
		t.outages.spans[p] = merge(t.outages.spans[p])
	}
	if at, ok := t.firstAsked(); ok && len(t.loads) > 0 {
		if load := t.loadAfter(at); load >= 0 {
			for p := range tracks[load] {
				if tr := &tracks[load][p]; tr.ops == 0 || tr.tail < at {
					t.outages.unobserved = append(t.outages.unobserved, p)
				}
			}
		}
	}
	t.m.Failover = worstOutage(byChange)
	t.m.Phases = t.outagePhases()
	for _, f := range t.faults {
		f.phases = t.phasesOf(f)
	}
}

// outagesOf finds the outage of each change, fault or undoing, over the
// partitions of the tracks; nil where no load followed it. seen is told of each
// partition's.
func (t *trial) outagesOf(tracks [][]track, seen func(f *fault, partition int, o outage)) []*Outage {
	parts := len(tracks[0])
	prevEnd := make([]time.Duration, parts) // of the last outage of each partition
	for i := range prevEnd {
		prevEnd[i] = -1
	}
	all := make([]*Outage, len(t.instants))
	for n, c := range t.instants {
		load := t.loadAfter(c.at)
		if load < 0 {
			continue
		}
		until := time.Duration(math.MaxInt64)
		if n+1 < len(t.instants) {
			until = t.instants[n+1].at
		}
		out := &Outage{}
		for p := range parts {
			tr := &tracks[load][p]
			o, ok := t.outage(tr, t.loads[load], c.at, until, prevEnd[p])
			if !ok {
				continue
			}
			prevEnd[p] = o.end
			t.addOutage(out, p, o, tr, c.at)
			if seen != nil {
				seen(t.faults[c.fault], p, o)
			}
		}
		t.closeOutage(out)
		all[n] = out
	}
	return all
}

// tracks sorts the follower operations by load phase and partition.
func (t *trial) tracks() ([][]track, *cadences) {
	parts := t.partitions()
	out := make([][]track, max(1, len(t.loads)))
	ticks := &cadences{}
	for i := range out {
		out[i] = make([]track, parts)
	}
	asked, any := t.firstAsked()
	t.ops.each(func(o *history.Op) {
		load := t.loadOf(o)
		if o.Class != history.Follower || load < 0 {
			return
		}
		tr := &out[load][o.Partition]
		tr.add(o.Intended)
		if ticks[o.Region] == nil {
			ticks[o.Region] = make([]cadence, len(out)*parts)
		}
		ticks[o.Region][load*parts+int(o.Partition)].add(o.Intended)
		if !any {
			return
		}
		if o.Intended >= asked {
			tr.tail = max(tr.tail, o.Intended)
		}
		switch {
		case o.End < asked:
		case t.bad(o):
			tr.bad = append(tr.bad, shot{o.Intended, o.End, o.Region})
		case o.Kind.IsWrite():
			tr.good = append(tr.good, shot{o.Intended, o.End, o.Region})
		}
	})
	for _, ts := range out {
		for i := range ts {
			slices.SortFunc(ts[i].bad, func(a, b shot) int {
				return cmp.Or(cmp.Compare(a.intended, b.intended), cmp.Compare(a.end, b.end))
			})
			slices.SortFunc(ts[i].good, func(a, b shot) int {
				return cmp.Or(cmp.Compare(a.end, b.end), cmp.Compare(a.intended, b.intended))
			})
		}
	}
	return out, ticks
}

// loadAfter is the load phase in which a change is felt: the one that it falls
// into, else the next one; -1 if there is none.
func (t *trial) loadAfter(at time.Duration) int {
	for i, s := range t.loads {
		if at <= s.to {
			return i
		}
	}
	return -1
}

// over is when a fault was undone, or the trial's last load ended.
func (t *trial) over(f *fault) time.Duration {
	if f.undone != nil {
		return *f.undone
	}
	return t.loads[len(t.loads)-1].to
}

type outage struct {
	start, end time.Duration
	censored   bool
}

// outage finds the outage of a change at `at`, which is answerable for bad
// operations up to `until`, and after `after`, the end of an earlier one.
func (t *trial) outage(tr *track, load span, at, until, after time.Duration) (outage, bool) {
	i := sort.Search(len(tr.bad), func(i int) bool { return tr.bad[i].intended >= at-inFlight })
	for ; i < len(tr.bad); i++ {
		b := tr.bad[i]
		if b.intended >= until {
			return outage{}, false
		}
		if b.intended > after && (b.intended >= at || b.end >= at) {
			break
		}
	}
	if i == len(tr.bad) {
		return outage{}, false
	}
	o := outage{start: tr.bad[i].intended, end: load.to, censored: true}
	from := o.start
	for {
		w := sort.Search(len(tr.good), func(i int) bool { return tr.good[i].end >= from })
		for w < len(tr.good) && tr.good[w].intended < o.start {
			w++ // on its way before anything was wrong
		}
		if w == len(tr.good) {
			return o, true // it never ended, as far as was seen
		}
		end := tr.good[w].end
		next := sort.Search(len(tr.bad), func(i int) bool { return tr.bad[i].intended > end })
		if next < len(tr.bad) && tr.bad[next].intended <= end+t.cfg.Hold {
			from = tr.bad[next].intended
			continue
		}
		o.end = end
		o.censored = end+t.cfg.Hold > load.to // the load stopped before the hold was over
		return o, true
	}
}

func (t *trial) addOutage(out *Outage, p int, o outage, tr *track, changed time.Duration) {
	out.N++
	out.Censored = out.Censored || o.censored
	out.Value = max(out.Value, sec(o.end-o.start))
	out.FromAsked = max(out.FromAsked, sec(o.end-changed))
	if tr.ops > 1 {
		out.Resolution = max(out.Resolution, sec((tr.last-tr.first)/time.Duration(tr.ops-1)))
	}
	out.Partitions = append(out.Partitions, PartitionOutage{Partition: p, Start: sec(o.start), End: sec(o.end), Censored: o.censored})
}

func (t *trial) closeOutage(out *Outage) {
	var lengths []float64
	for _, p := range out.Partitions {
		lengths = append(lengths, round(p.End-p.Start))
	}
	slices.Sort(lengths)
	out.P50, out.P99 = nearestRank(lengths, 0.5), nearestRank(lengths, 0.99)
	out.Lower = round(max(0, out.Value-out.Resolution))
	if !out.Censored {
		out.Upper = ptr(round(out.Value + out.Resolution))
	}
}

// nearestRank is the smallest value that at least q of the sorted values do
// not exceed; 0 of none.
func nearestRank[T cmp.Ordered](sorted []T, q float64) T {
	if len(sorted) == 0 {
		var zero T
		return zero
	}
	i := int(math.Ceil(q*float64(len(sorted))-1e-9)) - 1
	return sorted[max(0, min(len(sorted)-1, i))]
}

// merge joins spans that overlap.
func merge(ss []span) []span {
	slices.SortFunc(ss, func(a, b span) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
	var out []span
	for _, s := range ss {
		if n := len(out); n > 0 && s.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, s.to)
		} else {
			out = append(out, s)
		}
	}
	return out
}

// stopped is for how much of [from, to] a partition's idle clocks may have
// stood still.
func (t *trial) stopped(partition uint16, from, to time.Duration) time.Duration {
	if int(partition) >= len(t.outages.spans) {
		return 0
	}
	var d time.Duration
	for _, s := range t.outages.spans[partition] {
		d += max(0, min(to, s.to)-max(from, s.from))
	}
	return d
}

// outagePhases splits the first fault's outage by the platform's events,
// seconds from asked.
func (t *trial) outagePhases() map[string]float64 {
	if len(t.faults) == 0 {
		return nil
	}
	f := t.faults[0]
	end := time.Duration(math.MaxInt64)
	if len(t.instants) > 1 {
		end = t.instants[1].at
	}
	ph := map[string]float64{}
	first := func(name string, at time.Duration) {
		if _, ok := ph[name]; !ok {
			ph[name] = sec(at - f.asked)
		}
	}
	for i := range t.events {
		e := &t.events[i]
		if !platformEvent(e) || e.At < f.asked || e.At >= end {
			continue
		}
		switch e.Kind {
		case history.Suspected, history.Detected:
			if intersects(e.Parts, f.parts) {
				first(e.Kind, e.At)
			}
		case history.Elected, history.Promoted:
			first(e.Kind, e.At)
		}
	}
	if f.failover != nil {
		for _, p := range f.failover.Partitions {
			if p.Censored {
				continue
			}
			at := round(p.End - sec(f.asked))
			if v, ok := ph["first_write"]; !ok || at < v {
				ph["first_write"] = at
			}
			ph["last_partition"] = max(ph["last_partition"], at)
		}
	}
	if len(ph) == 0 {
		return nil
	}
	return ph
}
