package gameday

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// at is an instant in UTC.
func at(t *testing.T, text string) time.Time {
	t.Helper()
	v, err := time.Parse("2006-01-02 15:04", text)
	require.NoError(t, err)
	return v
}

func lines(os []Occasion) []string {
	var out []string
	for _, o := range os {
		out = append(out, o.String())
	}
	return out
}

const daily = `name: d
timezone: Europe/Berlin
schedules:
  - {name: early, cron: "30 2 * * *", scenarios: [node-crash]}
`

// A time that the clock skips comes an hour later, one that it repeats comes once.
func TestDaylightSaving(t *testing.T) {
	c := load(t, daily)
	assert.Equal(t, []string{
		"Sat 2026-03-28 02:30 CET  early: node-crash",
		"Sun 2026-03-29 03:30 CEST  early: node-crash",
		"Mon 2026-03-30 02:30 CEST  early: node-crash",
	}, lines(c.Plan(at(t, "2026-03-27 23:00"), at(t, "2026-03-30 22:00"))))
	assert.Equal(t, []string{
		"Sat 2026-10-24 02:30 CEST  early: node-crash",
		"Sun 2026-10-25 02:30 CEST  early: node-crash",
		"Mon 2026-10-26 02:30 CET  early: node-crash",
	}, lines(c.Plan(at(t, "2026-10-23 22:00"), at(t, "2026-10-26 23:00"))))
	assert.Len(t, c.PlanToday(at(t, "2026-03-29 12:00")), 1, "a day of 23 hours")
	assert.Len(t, c.PlanToday(at(t, "2026-10-25 12:00")), 1, "a day of 25 hours")
	assert.Empty(t, c.Plan(at(t, "2026-03-29 01:00"), at(t, "2026-03-29 01:30")))
	assert.Len(t, c.Plan(at(t, "2026-03-29 01:30"), at(t, "2026-03-29 01:31")), 1)
}

// However a span is cut, its parts have the plan of the whole, and every day
// has its run: over two years of a zone with daylight saving, and in others.
func TestPlansAddUp(t *testing.T) {
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia", "UTC"} {
		c := load(t, strings.Replace(daily, "Europe/Berlin", zone, 1))
		from := at(t, "2026-01-01 00:00")
		to := from.AddDate(2, 0, 0)
		var parts []string
		for d := from; d.Before(to); d = d.Add(7 * time.Hour) {
			end := d.Add(7 * time.Hour)
			if end.After(to) {
				end = to
			}
			parts = append(parts, lines(c.Plan(d, end))...)
		}
		whole := lines(c.Plan(from, to))
		assert.Equal(t, whole, parts, zone)
		assert.Len(t, whole, 730, zone)
		days := 0
		for d := from; d.Before(to); d = d.AddDate(0, 0, 1) {
			days += len(c.PlanToday(d))
		}
		assert.Equal(t, 730, days, zone)
	}
}

func TestNextFindsTheRare(t *testing.T) {
	c := load(t, strings.Replace(daily, "30 2 * * *", "0 12 29 2 *", 1))
	assert.Equal(t, []string{"Tue 2028-02-29 12:00 CET  early: node-crash"}, lines(c.Next(at(t, "2026-11-30 00:00"))))
	now := at(t, "2028-02-29 11:00")
	assert.Equal(t, now, c.Next(now)[0].At.UTC(), "what is due now is next")
	assert.Equal(t, 2032, c.Next(now.Add(1))[0].At.Year())
}

func TestBlackouts(t *testing.T) {
	c := load(t, goodFile)
	week := lines(c.Plan(at(t, "2026-12-13 23:00"), at(t, "2026-12-20 23:00")))
	assert.Equal(t, []string{
		"Mon 2026-12-14 02:30 CET  nights: node-crash, region-loss",
		"Tue 2026-12-15 02:30 CET  nights: node-crash, region-loss",
		"Wed 2026-12-16 02:30 CET  nights: node-crash, region-loss",
		"Thu 2026-12-17 02:30 CET  nights: node-crash, region-loss",
		"Fri 2026-12-18 02:30 CET  nights: node-crash, region-loss",
	}, week[:5])
	assert.Regexp(t, `^Sat 2026-12-19 05:00 CET  lottery: [a-z-]+, [a-z-]+ \(skipped: black-out weekend trading\)$`, week[5], "it began on Friday")
	for _, o := range c.Plan(at(t, "2026-12-20 23:00"), at(t, "2027-01-03 23:00")) {
		assert.NotEmpty(t, o.Blackout, "%s", o)
	}
	assert.Empty(t, c.Plan(at(t, "2027-01-03 23:00"), at(t, "2027-01-04 23:00"))[0].Blackout)

	name := func(text string) string {
		if b := c.blackoutAt(at(t, text)); b != nil {
			return b.Name
		}
		return ""
	}
	// In winter Berlin is an hour ahead.
	assert.Empty(t, name("2026-12-18 16:59"))
	assert.Equal(t, "weekend trading", name("2026-12-18 17:00"))
	assert.Equal(t, "weekend trading", name("2026-12-19 04:59"))
	assert.Empty(t, name("2026-12-19 05:00"))
	assert.Equal(t, "weekend trading", name("2026-12-19 23:00"), "and it is the first day of Christmas: the first one is named")
	assert.Equal(t, "Christmas", name("2026-12-20 05:00"))
	assert.Equal(t, "Christmas", name("2027-01-03 22:59"))
	assert.Empty(t, name("2027-01-03 23:00"))

	b, when := c.nextBlackout(at(t, "2026-12-16 12:00"))
	require.NotNil(t, b)
	assert.Equal(t, "weekend trading", b.Name)
	assert.Equal(t, at(t, "2026-12-18 17:00"), when.UTC())
	b, when = c.nextBlackout(at(t, "2026-12-19 22:00"))
	require.NotNil(t, b)
	assert.Equal(t, "Christmas", b.Name)
	assert.Equal(t, at(t, "2026-12-19 23:00"), when.UTC())
}

// A black-out over the hour that the clock skips or repeats covers what the
// clock on the wall says.
func TestBlackoutAcrossDaylightSaving(t *testing.T) {
	c := load(t, daily+"blackouts:\n  - {name: night, from: 02:00, to: 03:00}\n")
	on := func(text string) bool { return c.blackoutAt(at(t, text)) != nil }
	assert.True(t, on("2026-03-28 01:30"))
	assert.False(t, on("2026-03-28 02:00"))
	assert.False(t, on("2026-03-29 00:59"), "01:59, and then it is 03:00")
	assert.True(t, on("2026-10-25 00:30"), "02:30 for the first time")
	assert.True(t, on("2026-10-25 01:30"), "02:30 for the second time")
	assert.False(t, on("2026-10-25 02:00"), "03:00")
}

// Draws come from seed, schedule and time alone, are without repetition, and in
// the long run take every scenario as often.
func TestDraws(t *testing.T) {
	text := strings.Replace(goodFile, "0 5 * * sat", "0 5,17 * * *", 1)
	from, to := at(t, "2026-01-01 00:00"), at(t, "2027-01-01 00:00")
	drawn := func(text string) (all []string) {
		for _, o := range load(t, text).Plan(from, to) {
			if o.Schedule != "lottery" {
				continue
			}
			require.Len(t, o.Runs, 2)
			assert.NotEqual(t, o.Runs[0].Scenario, o.Runs[1].Scenario)
			all = append(all, fmt.Sprint(o.Runs[0].Scenario, o.Runs[0].Seed, o.Runs[1].Scenario, o.Runs[1].Seed))
		}
		return all
	}
	one := drawn(text)
	assert.Len(t, one, 2*365)
	assert.Equal(t, one, drawn(text), "the same again")
	assert.Equal(t, one, drawn(strings.Replace(text, "[node-crash, node-pause, region-loss, power-loss]", "[power-loss, region-loss, node-pause, node-crash]", 1)), "whatever the order of the list")
	other := drawn(strings.Replace(text, "seed: 7", "seed: 8", 1))
	same := 0
	for i := range one {
		if one[i] == other[i] {
			same++
		}
	}
	assert.Zero(t, same, "another seed: other runs")

	times := map[string]int{}
	first := map[string]int{}
	for _, o := range load(t, text).Plan(from, to) {
		if o.Schedule == "lottery" {
			first[o.Runs[0].Scenario]++
			for _, r := range o.Runs {
				times[r.Scenario]++
			}
		}
	}
	require.Len(t, times, 4)
	for s, n := range times {
		assert.InDelta(t, 365, n, 60, s) // binomial, 730 times 1/2: sigma 13.5
		assert.InDelta(t, 182, first[s], 55, s)
	}
}

// A run's seed is its own, and the file's or the scenario's goes before it.
func TestSeeds(t *testing.T) {
	c := load(t, goodFile)
	plan := c.Plan(at(t, "2026-12-14 00:00"), at(t, "2026-12-16 00:00"))
	seen := map[int64]bool{}
	for _, o := range plan {
		for _, r := range o.Runs {
			assert.Positive(t, r.Seed)
			assert.Equal(t, r.Seed, r.Spec.Seed)
			seen[r.Seed] = true
		}
	}
	assert.Len(t, seen, 4)
	assert.Equal(t, "nights/2026-12-14T02:30/2", plan[0].Runs[1].Key)
	fixed := load(t, strings.Replace(goodFile, "rps: 300", "seed: 5, rps: 300", 1))
	assert.EqualValues(t, 5, fixed.Plan(at(t, "2026-12-14 00:00"), at(t, "2026-12-16 00:00"))[1].Runs[0].Seed)
}
