package slo

import (
	"slices"
	"strings"
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
)

// timeline cuts the load into seconds since the run's epoch.
func (t *trial) timeline() []Slice {
	if len(t.loads) == 0 {
		return nil
	}
	type cell struct {
		s           Slice
		read, write []uint32
	}
	first := int(t.loads[0].from / time.Second)
	cells := make([]cell, int(t.loads[len(t.loads)-1].to/time.Second)-first+1)
	t.ops.each(func(o *history.Op) {
		if o.Class != history.Follower || t.loadOf(o) < 0 {
			return
		}
		c := &cells[int(o.Intended/time.Second)-first]
		c.s.Intended++
		if t.bad(o) {
			c.s.Bad++
		} else {
			c.s.Good++
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
	})
	out := make([]Slice, 0, len(cells))
	for i := range cells {
		c := &cells[i]
		if c.s.Intended == 0 && !t.loadsIn(first+i) {
			continue
		}
		c.s.Second = first + i
		c.s.ReadP50, c.s.ReadP99 = quantiles(c.read)
		c.s.WriteP50, c.s.WriteP99 = quantiles(c.write)
		out = append(out, c.s)
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

// maxMarks bounds what a picture can show.
const maxMarks = 300

// marks are the events worth showing.
func marks(events []history.Event) []Mark {
	var out []Mark
	for i := range events {
		e := &events[i]
		if len(out) >= maxMarks {
			break
		}
		switch e.Kind {
		case history.GeneratorCPU, history.RunStarted:
			continue
		}
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
