package gameday

import (
	"fmt"
	"strings"
	"time"
)

// Blackout is when nothing is to be broken: at a time of day (past midnight if
// To is not after From; the whole day without both), on some days of the week
// (on all, without Days), from one date to another (always, without both). A
// window belongs to the day on which it begins.
type Blackout struct {
	Name  string    `yaml:"name"`
	Days  []Days    `yaml:"days,omitempty"` // sat, or mon-fri
	From  TimeOfDay `yaml:"from,omitempty"` // 18:00
	To    TimeOfDay `yaml:"to,omitempty"`
	First Date      `yaml:"first,omitempty"` // 2026-12-20
	Last  Date      `yaml:"last,omitempty"`  // inclusive
}

// Days are consecutive days of the week.
type Days struct{ First, Last time.Weekday }

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// UnmarshalText reads sat or mon-fri; fri-mon goes over the weekend.
func (d *Days) UnmarshalText(b []byte) error {
	day := func(s string) (time.Weekday, bool) {
		s = strings.ToLower(strings.TrimSpace(s))
		for i, short := range weekdays {
			if s == short || s == strings.ToLower(time.Weekday(i).String()) {
				return time.Weekday(i), true
			}
		}
		return 0, false
	}
	first, last, span := strings.Cut(string(b), "-")
	if !span {
		last = first
	}
	var ok1, ok2 bool
	d.First, ok1 = day(first)
	d.Last, ok2 = day(last)
	if !ok1 || !ok2 {
		return fmt.Errorf("%q is not a day such as sat, or days such as mon-fri", b)
	}
	return nil
}

func (d Days) has(w time.Weekday) bool {
	if d.First <= d.Last {
		return d.First <= w && w <= d.Last
	}
	return w >= d.First || w <= d.Last
}

// TimeOfDay is minutes since midnight on the wall clock, plus one: 0 is none.
type TimeOfDay int

// UnmarshalText reads 18:00; 24:00 is the end of the day.
func (t *TimeOfDay) UnmarshalText(b []byte) error {
	var h, m int
	var rest string
	n, _ := fmt.Sscanf(string(b)+" .", "%d:%d %s", &h, &m, &rest)
	if n != 3 || rest != "." || len(b) > 5 || len(b) < 4 || b[len(b)-3] != ':' || h < 0 || m < 0 || m > 59 || 60*h+m > 24*60 {
		return fmt.Errorf("%q is not a time such as 18:00", b)
	}
	*t = TimeOfDay(60*h + m + 1)
	return nil
}

func (t TimeOfDay) minutes() time.Duration { return time.Duration(t-1) * time.Minute }

// Date is a day in the calendar; the zero value is none.
type Date struct{ wall time.Time } // midnight, as if in UTC

// UnmarshalText reads 2026-12-20.
func (d *Date) UnmarshalText(b []byte) (err error) {
	if d.wall, err = time.Parse(time.DateOnly, string(b)); err != nil {
		return fmt.Errorf("%q is not a date such as 2026-12-20", b)
	}
	return nil
}

func (v *validator) blackout(field string, b *Blackout) {
	if strings.TrimSpace(b.Name) == "" || len(b.Name) > 100 {
		v.fail(field+".name", "needs a name (at most 100 characters): it is the reason that is given for what did not run")
	}
	hours, dates := b.From > 0 || b.To > 0, !b.First.wall.IsZero() || !b.Last.wall.IsZero()
	switch {
	case hours && (b.From == 0 || b.To == 0):
		v.fail(field, "needs both from and to, or neither for the whole day")
	case hours && b.From == b.To:
		v.fail(field+".to", "is the same as from; leave both out for the whole day")
	case dates && (b.First.wall.IsZero() || b.Last.wall.IsZero()):
		v.fail(field, "needs both first and last, or neither for always")
	case dates && b.Last.wall.Before(b.First.wall):
		v.fail(field+".last", "is before first")
	case !hours && !dates && len(b.Days) == 0:
		v.fail(field, "says no days, no time of day and no dates: nothing would ever run")
	}
}

// window of the day that begins at a midnight of the wall clock; ok if the day has one.
func (b *Blackout) window(midnight time.Time, loc *time.Location) (start, end time.Time, ok bool) {
	on := len(b.Days) == 0
	for _, d := range b.Days {
		on = on || d.has(midnight.Weekday())
	}
	if !on || !b.First.wall.IsZero() && (midnight.Before(b.First.wall) || midnight.After(b.Last.wall)) {
		return start, end, false
	}
	from, to := midnight, midnight.AddDate(0, 0, 1)
	if b.From > 0 {
		from, to = midnight.Add(b.From.minutes()), midnight.Add(b.To.minutes())
		if !to.After(from) {
			to = to.AddDate(0, 0, 1)
		}
	}
	return instant(from, loc), instant(to, loc), true
}

// blackoutAt is the black-out that covers an instant, nil if none does.
func (c *Config) blackoutAt(t time.Time) *Blackout {
	today := midnight(wall(t, c.location))
	for i := range c.Blackouts {
		b := &c.Blackouts[i]
		for _, day := range []time.Time{today.AddDate(0, 0, -1), today} {
			if start, end, ok := b.window(day, c.location); ok && !t.Before(start) && t.Before(end) {
				return b
			}
		}
	}
	return nil
}

// nextBlackout is the first black-out that begins after an instant, within the
// days that a run could last; nil if none does.
func (c *Config) nextBlackout(t time.Time) (*Blackout, time.Time) {
	const days = 8
	var first *Blackout
	var at time.Time
	today := midnight(wall(t, c.location))
	for i := range c.Blackouts {
		b := &c.Blackouts[i]
		for n := range days {
			start, _, ok := b.window(today.AddDate(0, 0, n), c.location)
			if ok && start.After(t) && (first == nil || start.Before(at)) {
				first, at = b, start
			}
		}
	}
	return first, at
}
