// Package gameday runs scenarios by a schedule: a [Config] says what and when,
// [Config.Plan] is what that means for a span of time, and a [Runner] does it,
// keeps every run in a store, announces it, and draws the index page.
//
// The plan is a pure function of configuration, seed and time. Cron expressions
// are about the clock on the wall of the configuration's time zone: a time that
// the clock skips (the start of daylight saving) comes as much later as the clock
// was moved, and one that it repeats comes once, the first time.
//
// Nothing starts in a black-out, planned or not, and a run that one would reach
// is ended there, with everything undone.
package gameday
