package gameday

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/fivenines/fivenines/scenarios"
)

// Occasion is one time at which a schedule comes.
type Occasion struct {
	At       time.Time // in the file's time zone
	Schedule string
	Runs     []Planned // in this order
	Blackout string    // the name of the black-out that it falls into, empty if none
}

// Planned is a run that is to come.
type Planned struct {
	// Key names it for good: schedule, time on the wall clock, number.
	Key      string
	Scenario string // as the file calls it
	Backend  string
	Seed     int64
	Spec     *scenarios.Spec // as it will be run, with flags and seed
	Flags    Flags           // that were applied
}

// AtLeast is how long the run's loads take; bringing up, reading back and
// judging come on top.
func (p *Planned) AtLeast() time.Duration {
	t := p.Spec.Timeline
	return time.Duration(p.Spec.Trials) * time.Duration(t.Before+t.After+t.Settle)
}

// Plan is what comes at or after from and before to, by time and then in the
// order of the file.
func (c *Config) Plan(from, to time.Time) []Occasion {
	// The wall clock may have been moved by some hours in between; what is
	// outside is left out below.
	const moved = 26 * time.Hour
	var plan []Occasion
	for i := range c.Schedules {
		s := &c.Schedules[i]
		end := wall(to, c.location).Add(moved)
		for w := s.cron.Next(wall(from, c.location).Add(-moved)); !w.IsZero() && w.Before(end); w = s.cron.Next(w) {
			at := instant(w, c.location)
			if at.Before(from) || !at.Before(to) {
				continue
			}
			plan = append(plan, c.occasion(s, at, w))
		}
	}
	slices.SortStableFunc(plan, func(a, b Occasion) int { return a.At.Compare(b.At) })
	return plan
}

// PlanToday is the plan of the calendar day that an instant is in.
func (c *Config) PlanToday(now time.Time) []Occasion {
	day := midnight(wall(now, c.location))
	return c.Plan(instant(day, c.location), instant(day.AddDate(0, 0, 1), c.location))
}

// Next is what comes first at or after an instant, several where schedules
// come at the same time. It looks ahead for five years.
func (c *Config) Next(from time.Time) []Occasion {
	const day = 24 * time.Hour
	for _, span := range []time.Duration{day, 8 * day, 64 * day, 5 * 366 * day} {
		if plan := c.Plan(from, from.Add(span)); len(plan) > 0 {
			n := 1
			for n < len(plan) && plan[n].At.Equal(plan[0].At) {
				n++
			}
			return plan[:n]
		}
	}
	return nil
}

func (c *Config) occasion(s *Schedule, at, w time.Time) Occasion {
	o := Occasion{At: at, Schedule: s.Name}
	if b := c.blackoutAt(at); b != nil {
		o.Blackout = b.Name
	}
	stamp := s.Name + "/" + w.Format("2006-01-02T15:04")
	refs := s.Scenarios
	if s.Draw != nil {
		refs = draw(c.Seed, stamp, s.Draw)
	}
	for i, ref := range refs {
		p := Planned{Key: fmt.Sprintf("%s/%d", stamp, i+1), Scenario: ref, Backend: s.Run.Backend, Spec: s.specs[ref].Clone(), Flags: s.Run}
		if p.Spec.Seed == 0 {
			p.Spec.Seed = int64(hashed(c.Seed, p.Key)%(1<<31-1)) + 1
		}
		p.Seed = p.Spec.Seed
		o.Runs = append(o.Runs, p)
	}
	return o
}

// draw takes the scenarios whose hashes are least: every choice is as likely,
// and it needs no generator whose numbers a later version of Go may change.
func draw(seed int64, stamp string, d *Draw) []string {
	sum := func(ref string) []byte {
		h := sha256.Sum256(fmt.Appendf(nil, "draw\x00%d\x00%s\x00%s", seed, stamp, ref))
		return h[:]
	}
	from := slices.Clone(d.From)
	slices.SortFunc(from, func(a, b string) int {
		return cmp.Or(bytes.Compare(sum(a), sum(b)), cmp.Compare(a, b))
	})
	return from[:d.Count]
}

func hashed(seed int64, key string) uint64 {
	h := sha256.Sum256(fmt.Appendf(nil, "seed\x00%d\x00%s", seed, key))
	return binary.BigEndian.Uint64(h[:8]) >> 1
}

// wall is what the clock on the wall shows, as if it were in UTC: arithmetic on
// it knows no daylight saving.
func wall(t time.Time, loc *time.Location) time.Time {
	l := t.In(loc)
	return time.Date(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), l.Second(), l.Nanosecond(), time.UTC)
}

func midnight(w time.Time) time.Time {
	return time.Date(w.Year(), w.Month(), w.Day(), 0, 0, 0, 0, time.UTC)
}

// instant at which the wall clock shows w: the first of two where the clock is
// moved back, and as much later as it is moved forward where it skips w.
func instant(w time.Time, loc *time.Location) time.Time {
	offset := func(t time.Time) time.Duration {
		_, s := t.In(loc).Zone()
		return time.Duration(s) * time.Second
	}
	// No two moves of a clock are as close to each other as these days.
	before, after := offset(w.Add(-26*time.Hour)), offset(w.Add(26*time.Hour))
	if first := w.Add(-before); offset(first) == before {
		return first.In(loc)
	}
	if second := w.Add(-after); offset(second) == after {
		return second.In(loc)
	}
	return w.Add(-before).In(loc)
}
