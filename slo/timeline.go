package slo

import (
	"slices"
	"strings"
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
)

// second is what is counted in one second, of everybody or of one region.
type second struct {
	intended, bad int
	read, write   []uint32 // latencies, microseconds
}

func (c *second) add(o *history.Op, bad bool) {
	c.intended++
	if bad {
		c.bad++
	}
	if o.Outcome == history.Unsent {
		return
	}
	us := uint32(min(o.Latency()/time.Microsecond, 1<<32-1))
	if o.Kind == history.Read {
		c.read = append(c.read, us)
	} else {
		c.write = append(c.write, us)
	}
}

// timeline cuts the load into seconds since the run's epoch.
func (t *trial) timeline() []Slice {
	if len(t.loads) == 0 {
		return nil
	}
	first := int(t.loads[0].from / time.Second)
	n := int(t.loads[len(t.loads)-1].to/time.Second) - first + 1
	all := make([]second, n)
	var byRegion [][]second // by index; nil where no client stood
	t.ops.each(func(o *history.Op) {
		if o.Class != history.Follower || t.loadOf(o) < 0 {
			return
		}
		at, bad := int(o.Intended/time.Second)-first, t.bad(o)
		all[at].add(o, bad)
		r := grow(&byRegion, int(o.Region))
		if *r == nil {
			*r = make([]second, n)
		}
		(*r)[at].add(o, bad)
	})
	stood := 0
	for _, r := range byRegion {
		if r != nil {
			stood++
		}
	}
	out := make([]Slice, 0, n)
	for i := range all {
		c := &all[i]
		if c.intended == 0 && !t.loadsIn(first+i) {
			continue
		}
		s := Slice{Second: first + i, Intended: c.intended, Good: c.intended - c.bad, Bad: c.bad}
		s.ReadP50, s.ReadP99 = quantiles(c.read)
		s.WriteP50, s.WriteP99 = quantiles(c.write)
		for n, r := range byRegion {
			if r == nil || stood < 2 {
				continue
			}
			c := &r[i]
			rs := RegionSlice{Region: t.regionName(uint8(n)), Intended: c.intended, Good: c.intended - c.bad, Bad: c.bad}
			rs.ReadP50, rs.ReadP99 = quantiles(c.read)
			rs.WriteP50, rs.WriteP99 = quantiles(c.write)
			s.Regions = append(s.Regions, rs)
		}
		out = append(out, s)
	}
	return out
}

func (t *trial) loadsIn(second int) bool {
	from := time.Duration(second) * time.Second
	return slices.ContainsFunc(t.loads, func(s span) bool { return s.from < from+time.Second && s.to >= from })
}

// quantiles in milliseconds.
func quantiles(us []uint32) (p50, p99 float64) {
	slices.Sort(us)
	return float64(nearestRank(us, 0.5)) / 1e3, float64(nearestRank(us, 0.99)) / 1e3
}

// maxMarks bounds what a picture can show, and maxMilestones what every trial adds to it.
const (
	maxMarks      = 300
	maxMilestones = 3000
)

// marks are the events worth showing: the first ones, and of every trial the first of
// each kind, so that a later trial's failover can be told as well.
func marks(events []history.Event) []Mark {
	type kind struct {
		trial int
		name  string
	}
	var out []Mark
	seen := map[kind]bool{}
	for i := range events {
		e := &events[i]
		switch e.Kind {
		case history.GeneratorCPU, history.RunStarted:
			continue
		}
		k := kind{e.Trial, e.Kind}
		if len(out) >= maxMarks && (seen[k] || len(out) >= maxMilestones) {
			continue
		}
		seen[k] = true
		text := e.Subject
		if text == "" {
			text = strings.Join(e.Parts, ", ")
		}
		if e.Detail != "" {
			text = strings.TrimPrefix(text+": "+e.Detail, ": ")
		}
		if p := e.Fields["phase"]; p != "" {
			text = strings.TrimSpace(p + " " + text)
		}
		if s := e.Fields["shard"]; s != "" {
			text = strings.TrimSpace("shard " + s + " " + text)
		}
		out = append(out, Mark{AtS: sec(e.At), Kind: e.Kind, Source: e.Source, Text: text})
	}
	return out
}
