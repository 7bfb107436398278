package slo

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/slo/checker"
)

// maxPartitionShares bounds the partitions that a trial lists one by one.
const maxPartitionShares = 512

// breakdown is where in the deployment it hurt: what the clients of each region
// saw, and what was seen of each partition.
type breakdown struct {
	all     Operations
	regions []*regionTally // by index; nil where no client stood
	parts   []Operations
	fates   places
	spread  spread
}

// regionTally is what the follower clients of a region saw.
type regionTally struct {
	ops         Operations
	slots       slots
	read, write latencies
	outages     []*Outage // by change; nil without a load after it
}

// breakDown counts the operations of follower clients by region and partition.
func (t *trial) breakDown() {
	b := &t.places
	b.parts = make([]Operations, t.partitions())
	t.ops.each(func(o *history.Op) {
		load := t.loadOf(o)
		if o.Class != history.Follower || load < 0 {
			return
		}
		bad := t.bad(o)
		r := b.region(t, o.Region)
		b.all.add(o, bad)
		r.ops.add(o, bad)
		b.parts[o.Partition].add(o, bad)
		r.slots.add(load, o.Intended-t.loads[load].from, bad)
		if o.Outcome == history.Unsent {
			return
		}
		if o.Kind == history.Read {
			r.read.add(o.Latency())
		} else {
			r.write.add(o.Latency())
		}
	})
}

func (b *breakdown) region(t *trial, n uint8) *regionTally {
	if int(n) >= len(b.regions) {
		b.regions = append(b.regions, make([]*regionTally, int(n)+1-len(b.regions))...)
	}
	if b.regions[n] == nil {
		b.regions[n] = &regionTally{slots: t.newSlots()}
	}
	return b.regions[n]
}

// partitions is how many there are: as many as the manifest says, and at least
// as many as were used.
func (t *trial) partitions() int {
	n := max(1, t.manifest.Partitions)
	t.ops.each(func(o *history.Op) { n = max(n, int(o.Partition)+1) })
	return n
}

func (c *Operations) add(o *history.Op, bad bool) {
	c.Intended++
	switch {
	case !bad:
		c.Good++
	case o.Outcome == history.OK:
		c.Late++
	case o.Outcome == history.Failed:
		c.Failed++
	case o.Outcome == history.Unknown:
		c.Unknown++
	default:
		c.Unsent++
	}
}

func (c *Operations) join(o *Operations) {
	c.Intended += o.Intended
	c.Good += o.Good
	c.Late += o.Late
	c.Failed += o.Failed
	c.Unknown += o.Unknown
	c.Unsent += o.Unsent
}

func (c *Operations) bad() int { return c.Intended - c.Good }

func (c *Operations) availability() *Value {
	if c.Intended == 0 {
		return nil
	}
	return value(float64(c.Good) / float64(c.Intended))
}

// splitByRegion finds the outages of each region's clients, from the tracks of
// all of them.
func (t *trial) splitByRegion(tracks [][]track, ticks *cadences) {
	var used []uint8
	for n := range ticks {
		if ticks[n] != nil {
			used = append(used, uint8(n))
		}
	}
	for _, n := range used {
		own := tracks
		if len(used) > 1 {
			own = make([][]track, len(tracks))
			for load := range tracks {
				own[load] = make([]track, len(tracks[load]))
				for p := range own[load] {
					all := &tracks[load][p]
					own[load][p] = track{cadence: ticks[n][load*len(tracks[load])+p], bad: of(all.bad, n), good: of(all.good, n)}
				}
			}
		}
		t.places.region(t, n).outages = t.outagesOf(own, nil)
	}
}

// of are the operations of one region's clients.
func of(all []shot, region uint8) []shot {
	var out []shot
	for _, s := range all {
		if s.region == region {
			out = append(out, s)
		}
	}
	return out
}

// places are findings by region and by partition.
type places struct {
	regions, parts []findings
}

// place is where a session belongs.
type place struct {
	region    uint8
	partition uint16
}

// home of a session: the region and partition of its first operation that is no
// read-back. ops are sorted.
func home(ops []history.Op) place {
	for i := range ops {
		if ops[i].Class != history.Audit {
			return place{ops[i].Region, ops[i].Partition}
		}
	}
	return place{ops[0].Region, ops[0].Partition}
}

func (p *places) at(h place) [2]*findings {
	return [2]*findings{grow(&p.regions, int(h.region)), grow(&p.parts, int(h.partition))}
}

func grow[T any](s *[]T, n int) *T {
	if n >= len(*s) {
		*s = append(*s, make([]T, n+1-len(*s))...)
	}
	return &(*s)[n]
}

// add counts the findings of one session.
func (p *places) add(h place, f *findings) {
	for _, to := range p.at(h) {
		to.join(f)
		to.violations = nil // the trial has them
	}
}

func (p *places) join(o *places) {
	for _, both := range []struct {
		to   *[]findings
		from []findings
	}{{&p.regions, o.regions}, {&p.parts, o.parts}} {
		for i := range both.from {
			grow(both.to, i).join(&both.from[i])
		}
	}
}

// placeContested counts a session with several writers where it belongs.
func (t *trial) placeContested(session int, res checker.Linearizable, ops int) {
	one := contested{histories: 1, ops: ops}
	switch res {
	case checker.No:
		one.no++
	case checker.Unknown:
		one.unknown++
	}
	own := t.groups.opsOf(&t.ops, session, nil)
	checker.Sort(own)
	t.places.fates.add(home(own), &findings{several: one})
}

// fates are the counts of findings.
func (s *findings) fates() Fates {
	return Fates{
		Sessions: s.sessions, SessionsLost: s.lost, LostWrites: len(s.lostAcks), Regressed: s.regressed, Disrupted: s.disrupted,
		StaleReads: s.stale, BackwardReads: s.backward, PhantomReads: s.phantom, CorruptReads: s.corrupt, LateWrites: s.lateWrites,
		ExpiryViolations: s.violatedExpiry, ExpiredEarly: s.early, ExpiredLate: s.late, Resurrected: s.back, Recreated: s.recreated, Unread: s.unread,
		Histories: s.several.histories, LinearizableOps: s.several.ops, NotLinearizable: s.several.no, Undecided: s.several.unknown,
		MinorityAcks: s.minority, Duplicated: s.duplicated,
		EventualReads: s.eventual.Reads, ReadYourWrites: s.eventual.ReadYourWrites, NonMonotonic: s.eventual.NonMonotonic,
		StreamEvents: s.stream.Events, ReplayGaps: s.stream.Gaps, DuplicateEvents: s.stream.Duplicates, RepeatedEvents: s.stream.Repeated,
		Misordered: s.stream.Misordered, CrossSession: s.stream.CrossSession, PhantomEvents: s.stream.Phantom, CorruptEvents: s.stream.Corrupt,
	}
}

// regionShares are the regions of a trial as the result has them.
func (t *trial) regionShares() []RegionShare {
	var out []RegionShare
	b := &t.places
	for n := range max(len(b.regions), len(b.fates.regions)) {
		var fates Fates
		if n < len(b.fates.regions) {
			fates = b.fates.regions[n].fates()
		}
		if (n >= len(b.regions) || b.regions[n] == nil) && fates == (Fates{}) {
			continue
		}
		s := RegionShare{Region: t.regionName(uint8(n)), Fates: fates}
		if n < len(b.regions) && b.regions[n] != nil {
			r := b.regions[n]
			s.Operations, s.Availability = r.ops, r.ops.availability()
			s.SliceAvail, s.Unavailable = r.slots.measures(t.loads)
			s.Read, s.Write = r.read.summary(), r.write.summary()
			r.read.join(&r.write)
			s.Latency = r.read.summary()
			s.Failover, s.Outages = t.regionOutages(r.outages)
		}
		out = append(out, s)
	}
	return out
}

func (t *trial) regionName(n uint8) string {
	if int(n) < len(t.manifest.Regions) {
		return t.manifest.Regions[n].Name
	}
	return fmt.Sprintf("region %d", n)
}

// regionOutages are the worst outage and all of them; outages are by change.
func (t *trial) regionOutages(outages []*Outage) (*Outage, []RegionOutage) {
	var out []RegionOutage
	for n, o := range outages {
		if o == nil || o.N == 0 {
			continue
		}
		c := t.instants[n]
		out = append(out, RegionOutage{Fault: c.fault + 1, Undo: c.undo, Value: o.Value, N: o.N, FromAsked: o.FromAsked, Censored: o.Censored})
	}
	w := worstOutage(outages)
	if w != nil {
		short := *w
		short.Partitions = nil
		w = &short
	}
	return w, out
}

// worstOutage is the longest one; of equal ones, one that did not end.
func worstOutage(outages []*Outage) *Outage {
	var w *Outage
	for _, o := range outages {
		if o != nil && (w == nil || o.Value > w.Value || o.Value == w.Value && o.Censored && !w.Censored) {
			w = o
		}
	}
	return w
}

// partitionShares are the partitions of a trial as the result has them.
func (t *trial) partitionShares() []PartitionShare {
	b := &t.places
	out := make([]PartitionShare, max(len(b.parts), len(b.fates.parts)))
	for p := range out {
		out[p] = PartitionShare{Partition: p, Count: 1}
		if p < len(b.parts) {
			out[p].Operations = b.parts[p]
		}
		if p < len(b.fates.parts) {
			out[p].Fates = b.fates.parts[p].fates()
		}
	}
	for i, f := range t.faults {
		for _, c := range []struct {
			undo bool
			o    *Outage
		}{{false, f.failover}, {true, f.undo}} {
			if c.o == nil {
				continue
			}
			for _, p := range c.o.Partitions {
				s := &out[p.Partition]
				s.Outages = append(s.Outages, ChangeOutage{Fault: i + 1, Undo: c.undo, Start: p.Start, End: p.End, Censored: p.Censored})
			}
		}
	}
	out = shorten(out)
	for i := range out {
		slices.SortStableFunc(out[i].Outages, func(a, b ChangeOutage) int { return cmp.Compare(a.Start, b.Start) })
		out[i].Availability = out[i].Operations.availability()
	}
	return out
}

// shorten keeps the partitions of which there is most to say, and sums up the
// others.
func shorten(ps []PartitionShare) []PartitionShare {
	if len(ps) <= maxPartitionShares {
		return ps
	}
	quiet := func(p *PartitionShare) bool {
		f := p.Fates
		f.Sessions, f.Disrupted, f.Histories, f.LinearizableOps = 0, 0, 0, 0
		return f == (Fates{})
	}
	order := slices.Clone(ps)
	slices.SortStableFunc(order, func(a, b PartitionShare) int {
		if qa, qb := quiet(&a), quiet(&b); qa != qb {
			if qa {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(len(b.Outages), len(a.Outages)), cmp.Compare(b.Operations.bad(), a.Operations.bad()))
	})
	kept, others := order[:maxPartitionShares-1], order[maxPartitionShares-1:]
	byNumber := func(a, b PartitionShare) int { return cmp.Compare(a.Partition, b.Partition) }
	slices.SortFunc(kept, byNumber)
	slices.SortFunc(others, byNumber)
	rest := PartitionShare{Partition: others[0].Partition}
	for i := range others {
		o := &others[i]
		rest.Count += o.Count
		rest.Operations.join(&o.Operations)
		rest.Fates = rest.Fates.plus(&o.Fates)
	}
	return append(slices.Clone(kept), rest)
}

// plus is the sum of two counts.
func (f Fates) plus(o *Fates) Fates {
	return Fates{
		f.Sessions + o.Sessions, f.SessionsLost + o.SessionsLost, f.LostWrites + o.LostWrites, f.Regressed + o.Regressed, f.Disrupted + o.Disrupted,
		f.StaleReads + o.StaleReads, f.BackwardReads + o.BackwardReads, f.PhantomReads + o.PhantomReads, f.CorruptReads + o.CorruptReads, f.LateWrites + o.LateWrites,
		f.ExpiryViolations + o.ExpiryViolations, f.ExpiredEarly + o.ExpiredEarly, f.ExpiredLate + o.ExpiredLate, f.Resurrected + o.Resurrected, f.Recreated + o.Recreated, f.Unread + o.Unread,
		f.Histories + o.Histories, f.LinearizableOps + o.LinearizableOps, f.NotLinearizable + o.NotLinearizable, f.Undecided + o.Undecided, f.MinorityAcks + o.MinorityAcks,
		f.Duplicated + o.Duplicated, f.EventualReads + o.EventualReads, f.ReadYourWrites + o.ReadYourWrites, f.NonMonotonic + o.NonMonotonic,
		f.StreamEvents + o.StreamEvents, f.ReplayGaps + o.ReplayGaps, f.DuplicateEvents + o.DuplicateEvents, f.RepeatedEvents + o.RepeatedEvents,
		f.Misordered + o.Misordered, f.CrossSession + o.CrossSession, f.PhantomEvents + o.PhantomEvents, f.CorruptEvents + o.CorruptEvents,
	}
}
