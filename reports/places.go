package reports

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/fivenines/fivenines/slo"
)

// harm are the counts of a region or a shard that are shown where there is
// anything to count.
var harm = []struct {
	text string
	of   func(*slo.Fates) int
}{
	{"Lost", func(f *slo.Fates) int { return f.SessionsLost }},
	{"Lost writes", func(f *slo.Fates) int { return f.LostWrites }},
	{"Regressed", func(f *slo.Fates) int { return f.Regressed }},
	{"Wrong reads", func(f *slo.Fates) int { return f.StaleReads + f.BackwardReads + f.PhantomReads + f.CorruptReads }},
	{"Duplicated writes", func(f *slo.Fates) int { return f.Duplicated }},
	{"Eventual reads that broke a guarantee", func(f *slo.Fates) int { return f.ReadYourWrites + f.NonMonotonic }},
	{"Wrong events", func(f *slo.Fates) int {
		return f.ReplayGaps + f.Misordered + f.RepeatedEvents + f.CrossSession + f.PhantomEvents + f.CorruptEvents
	}},
	{"Wrong expiry", func(f *slo.Fates) int { return f.ExpiryViolations }},
	{"Not linearizable", func(f *slo.Fates) int { return f.NotLinearizable }},
	{"Writes without a quorum", func(f *slo.Fates) int { return f.MinorityAcks }},
	{"Not read back", func(f *slo.Fates) int { return f.Unread }},
}

// corner is a place: a region's clients or a shard, over all trials.
type corner struct {
	name                string
	intended, good      int
	sessions, disrupted int
	harm                []int
	outage              float64 // the longest; 0: none
	open                bool    // it was not seen to end
	outages, trial      int     // how many, and the trial of the longest
	down                float64 // unavailable seconds
	read, write         slo.Latency
	order               int
}

func (c *corner) add(o *slo.Operations, f *slo.Fates) {
	c.intended += o.Intended
	c.good += o.Good
	c.sessions += f.Sessions
	c.disrupted += f.Disrupted
	if c.harm == nil {
		c.harm = make([]int, len(harm))
	}
	for i, h := range harm {
		c.harm[i] += h.of(f)
	}
}

func (c *corner) out(d float64, open bool, trial int) {
	if !finite(d) || d < 0 {
		return
	}
	c.outages++
	if c.outages == 1 || d > c.outage || d == c.outage && open {
		c.outage, c.open, c.trial = d, open, trial
	}
}

// corners collects by name, in the order in which they are first seen.
type corners struct {
	all []*corner
	by  map[string]*corner
}

func (cs *corners) of(name string) *corner {
	if c, ok := cs.by[name]; ok {
		return c
	}
	c := &corner{name: name, order: len(cs.all)}
	if cs.by == nil {
		cs.by = map[string]*corner{}
	}
	cs.by[name] = c
	cs.all = append(cs.all, c)
	return c
}

func worse(a *slo.Latency, b *slo.Latency) slo.Latency {
	if b == nil {
		return *a
	}
	most := func(x, y float64) float64 {
		if finite(y) {
			return max(x, y)
		}
		return x
	}
	return slo.Latency{P50: most(a.P50, b.P50), P99: most(a.P99, b.P99), P999: most(a.P999, b.P999), Max: most(a.Max, b.Max)}
}

// regionsTable is what the clients of each region saw, over all trials; nil
// where nothing is known of regions.
func regionsTable(r *slo.Result) *table {
	var cs corners
	for n := range r.Trials {
		for i := range r.Trials[n].Regions {
			s := &r.Trials[n].Regions[i]
			c := cs.of(s.Region)
			c.add(&s.Operations, &s.Fates)
			for _, o := range s.Outages {
				c.out(o.Value, o.Censored, n+1)
			}
			if s.Unavailable != nil && finite(s.Unavailable.Value) {
				c.down += s.Unavailable.Value
			}
			c.read, c.write = worse(&c.read, s.Read), worse(&c.write, s.Write)
		}
	}
	if len(cs.all) == 0 {
		return nil
	}
	t := &table{Caption: "What the clients of each region saw" + overTrials(r) + ". A session belongs to the region of its first operation."}
	if len(r.Trials) > 1 {
		t.Note = "Latencies are those of the worst trial."
	}
	if len(cs.all) > maxRegions {
		t.Note += fmt.Sprintf(" The first %d of %d.", maxRegions, len(cs.all))
		cs.all = cs.all[:maxRegions]
	}
	t.Head = heads("Clients in", "#Operations", "#Good", "#Unavailable", "#Longest outage", "#Reads, median", "#Reads, 99th", "#Writes, median", "#Writes, 99th", "#Sessions", "#Disrupted")
	t.addHarm(cs.all, func(c *corner) []cell {
		ms := func(v float64) cell {
			if v <= 0 {
				return num("")
			}
			return num(millisText(v))
		}
		row := []cell{{Text: clip(c.name, 60)}, num(grouped(float64(c.intended))), c.share()}
		if c.intended > 0 {
			row = append(row, num(secondsText(c.down)))
		} else {
			row = append(row, num(""))
		}
		return append(row, num(c.outageText(r)), ms(c.read.P50), ms(c.read.P99), ms(c.write.P50), ms(c.write.P99), num(grouped(float64(c.sessions))), num(grouped(float64(c.disrupted))))
	})
	up := t.upright()
	return &up
}

// Bounds of the tables.
const (
	maxRegions = 64
	maxShards  = 96
)

// shardsTable is what was seen of each shard, over all trials.
func shardsTable(r *slo.Result) *table {
	var cs corners
	all := 0
	for n := range r.Trials {
		count := 0
		for i := range r.Trials[n].Partitions {
			s := &r.Trials[n].Partitions[i]
			count += max(1, s.Count)
			name := fmt.Sprintf("shard %d", s.Partition)
			if s.Count > 1 {
				name = fmt.Sprintf("%d others", s.Count)
			}
			c := cs.of(name)
			c.order = s.Partition
			if s.Count > 1 {
				c.order = 1 << 30
			}
			c.add(&s.Operations, &s.Fates)
			for _, o := range s.Outages {
				c.out(o.End-o.Start, o.Censored, n+1)
			}
		}
		all = max(all, count)
	}
	if len(cs.all) == 0 {
		return nil
	}
	t := &table{Caption: fmt.Sprintf("What was seen of %s%s.", countOf(all, "shard", "shards"), overTrials(r))}
	if len(cs.all) > maxShards {
		slices.SortStableFunc(cs.all, func(a, b *corner) int {
			return cmp.Or(cmp.Compare(sum(b.harm), sum(a.harm)), cmp.Compare(b.outage, a.outage), cmp.Compare(b.intended-b.good, a.intended-a.good), cmp.Compare(a.order, b.order))
		})
		cs.all = cs.all[:maxShards]
		t.Note = fmt.Sprintf("The worst %d.", maxShards)
	}
	slices.SortStableFunc(cs.all, func(a, b *corner) int { return cmp.Compare(a.order, b.order) })
	t.Head = heads("Shard", "#Operations", "#Good", "#Bad", "#Outages", "#Longest outage", "#Sessions", "#Disrupted")
	t.addHarm(cs.all, func(c *corner) []cell {
		return []cell{{Text: c.name}, num(grouped(float64(c.intended))), c.share(), num(grouped(float64(c.intended - c.good))), num(grouped(float64(c.outages))), num(c.outageText(r)),
			num(grouped(float64(c.sessions))), num(grouped(float64(c.disrupted)))}
	})
	return t
}

func sum(ns []int) int {
	n := 0
	for _, v := range ns {
		n += v
	}
	return n
}

// addHarm adds a row for each, and columns for what was counted anywhere.
func (t *table) addHarm(cs []*corner, row func(*corner) []cell) {
	var cols []int
	for i, h := range harm {
		if slices.ContainsFunc(cs, func(c *corner) bool { return c.harm[i] > 0 }) {
			cols = append(cols, i)
			t.Head = append(t.Head, cell{Text: h.text, Num: true})
		}
	}
	for _, c := range cs {
		cells := row(c)
		for _, i := range cols {
			x := num(grouped(float64(c.harm[i])))
			if c.harm[i] > 0 {
				x.Class += " bad"
			}
			cells = append(cells, x)
		}
		t.Rows = append(t.Rows, cells)
	}
}

func (c *corner) share() cell {
	if c.intended <= 0 {
		return num("")
	}
	return num(percent(float64(c.good) / float64(c.intended)))
}

func (c *corner) outageText(r *slo.Result) string {
	switch {
	case c.outages == 0 && c.intended <= 0:
		return ""
	case c.outages == 0:
		return "none"
	}
	s := secondsText(c.outage)
	if c.open {
		s = "at least " + s
	}
	if len(r.Trials) > 1 {
		s += fmt.Sprintf(" (trial %d)", c.trial)
	}
	return s
}

// spreadTable is how the bad operations are spread over the sessions, over all
// trials; nil where no session was used.
func spreadTable(r *slo.Result) *table {
	var by []int
	sessions, least := 0, 1.0
	for i := range r.Trials {
		s := r.Trials[i].Sessions
		if s == nil {
			continue
		}
		sessions += s.Sessions
		for n, k := range s.ByBadWindows {
			if n > maxWindows {
				n = maxWindows
			}
			for len(by) <= n {
				by = append(by, 0)
			}
			by[n] += k
		}
		if finite(s.Min) {
			least = min(least, s.Min)
		}
	}
	if sessions <= 0 {
		return nil
	}
	t := &table{
		Caption: fmt.Sprintf("How the bad operations are spread over the sessions that were used%s. Of the worst one %s were good.", overTrials(r), percent(least)),
		Head:    heads("Minutes of a session with a bad operation", "#Sessions", "#Share"),
	}
	for n, k := range by {
		name := fmt.Sprint(n)
		switch {
		case n == 0:
			name = "none"
		case n == maxWindows:
			name = fmt.Sprintf("%d or more", n)
		}
		if k > 0 || n == 0 {
			t.Rows = append(t.Rows, []cell{{Text: name}, num(grouped(float64(k))), num(shareText(k, sessions))})
		}
	}
	return t
}

// maxWindows is the last row of spreadTable.
const maxWindows = 10
