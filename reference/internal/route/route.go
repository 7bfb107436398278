// Package route decides over which of the paths to another region a node's
// connections run. It is a deterministic machine: probes sent, answers and
// time come in; which path to use, and what changed, come out. The node does
// the probing and moves its connections.
//
// As BGP does, a path is announced or withdrawn. It is withdrawn
//
//   - for loss: a probe is unanswered for [Limits.Lost] beyond the path's
//     round trip, or the share of lost probes is too large;
//   - for latency or jitter over the path's own baseline for [Limits.Sustained].
//
// What hits every path alike is no reason to move: a far node that is paused,
// a process that did not run, a machine that stands still. So a path is
// withdrawn for loss only if another one answered something sent since, and
// for quality only if another one is better.
//
// A withdrawn path comes back once it was good, by half the limits, for
// [Limits.Return] without a break. Each withdrawal adds a penalty that decays
// by half in [Limits.HalfLife]; above [Limits.Suppress] the path stays away
// until it is below [Limits.Reuse] (route flap damping, RFC 2439).
package route

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Path is one way to the region, with what it should be like.
type Path struct {
	Name   string
	RTT    time.Duration // baseline
	Jitter time.Duration // baseline
}

// Limits say when a path is bad and when it is good again.
type Limits struct {
	Every     time.Duration // between probes of the path in use, and of those that are withdrawn
	IdleEvery time.Duration // between probes of the others
	Alarm     time.Duration // beyond the baseline without an answer: all paths are probed at Every
	Lost      time.Duration // beyond the baseline without an answer: lost
	LossShare float64       // of the last Window probes
	Latency   time.Duration // over the baseline, median of the last answers
	Jitter    time.Duration // over the baseline, as RFC 3550 estimates it
	Better    time.Duration // by which another path's round trip must be shorter
	Sustained time.Duration // for which latency or jitter must be over
	Return    time.Duration // for which a path must be good to be announced again
	Stall     time.Duration // between two ticks: this process did not run, its probes say nothing

	Penalty, Suppress, Reuse float64
	HalfLife                 time.Duration
}

// DefaultLimits move after 0.4 to 0.7 s of silence between two near regions.
func DefaultLimits() Limits {
	ms := time.Millisecond
	return Limits{
		Every: 200 * ms, IdleEvery: time.Second, Alarm: 150 * ms, Lost: 300 * ms, LossShare: 0.15,
		Latency: 200 * ms, Jitter: 40 * ms, Better: 50 * ms, Sustained: time.Second, Return: 5 * time.Second, Stall: 600 * ms,
		Penalty: 1000, Suppress: 2000, Reuse: 750, HalfLife: 15 * time.Second,
	}
}

const (
	window    = 32 // probes that the loss share counts
	leastSeen = 20 // of them, before it says anything
	clean     = 8  // probes in a row without a loss before a path is good
	median    = 5  // answers
)

// Kinds of events.
const (
	Withdrawn = "path-withdrawn"
	Announced = "path-announced"
	Moved     = "route-moved"
)

// Event is something that the table decided.
type Event struct {
	Kind string
	Path int // withdrawn, announced, or moved to
	From int // moved from
	Lost bool
	Why  string
}

// Stats are what was seen of a path.
type Stats struct {
	Announced  bool
	Suppressed bool
	InUse      bool
	RTT        time.Duration // median of the last answers; 0: none yet
	Latency    time.Duration // RTT over the baseline
	Jitter     time.Duration // over the baseline
	Loss       float64       // share of the last probes
	Sent, Lost uint64
}

type path struct {
	Path
	withdrawn  bool
	why        string
	suppressed bool
	penalty    float64 // at penalised
	penalised  time.Duration

	seq      uint64
	lastSent time.Duration // when
	waiting  []probe       // unanswered, oldest first
	answered time.Duration // send time of the newest probe that was answered
	heard    time.Duration // when the last answer came

	rtts     []time.Duration
	prev     time.Duration
	jitter   float64 // ns
	outcomes []bool  // lost
	sinceBad time.Duration
	bad      string // latency or jitter that is over, since sinceBad
	goodFrom time.Duration
	good     bool

	sent, lost uint64
}

type probe struct {
	seq  uint64
	at   time.Duration
	lost bool
}

// Table holds the paths to one region. It is not safe for concurrent use.
type Table struct {
	limits  Limits
	paths   []path
	current int
	ticked  time.Duration
}

// New makes a table in which every path is announced and the first is used.
// Paths are in order of preference.
func New(paths []Path, l Limits, now time.Duration) *Table {
	t := &Table{limits: l, ticked: now}
	for _, p := range paths {
		t.paths = append(t.paths, path{Path: p, lastSent: -1 << 62, answered: -1 << 62, heard: now})
	}
	return t
}

// Current is the path in use.
func (t *Table) Current() int { return t.current }

// every is the time between two probes of a path.
func (t *Table) every(i int, now time.Duration) time.Duration {
	if i == t.current || t.paths[i].withdrawn || t.alarmed(now) {
		return t.limits.Every
	}
	return t.limits.IdleEvery
}

// alarmed says that the path in use owes an answer.
func (t *Table) alarmed(now time.Duration) bool {
	p := &t.paths[t.current]
	return len(p.waiting) > 0 && now-p.waiting[0].at > p.RTT+t.limits.Alarm
}

// Alarmed says that an answer of any path may decide now.
func (t *Table) Alarmed(now time.Duration) bool { return t.alarmed(now) }

// Due lists the paths to probe now.
func (t *Table) Due(now time.Duration) (due []int) {
	for i := range t.paths {
		if now-t.paths[i].lastSent >= t.every(i, now) {
			due = append(due, i)
		}
	}
	return due
}

// Next is when the table has to be asked again.
func (t *Table) Next(now time.Duration) time.Duration {
	next := now + t.limits.IdleEvery
	for i := range t.paths {
		p := &t.paths[i]
		next = min(next, max(now, p.lastSent+t.every(i, now)))
		for _, w := range p.waiting {
			if w.lost {
				continue
			}
			if at := w.at + p.RTT + t.limits.Alarm; at > now && i == t.current {
				next = min(next, at+1)
			}
			next = min(next, max(now, w.at+p.RTT+t.limits.Lost)+1)
			break
		}
	}
	return next
}

// Sent notes a probe and returns its number.
func (t *Table) Sent(now time.Duration, i int) uint64 {
	p := &t.paths[i]
	p.seq++
	p.sent++
	p.lastSent = now
	if len(p.waiting) == window { // the oldest will not be answered any more
		p.waiting = slices.Delete(p.waiting, 0, 1)
	}
	p.waiting = append(p.waiting, probe{seq: p.seq, at: now})
	return p.seq
}

// Skip passes a probe over that could not be sent and says nothing.
func (t *Table) Skip(now time.Duration, i int) { t.paths[i].lastSent = now }

// Answered notes the answer to a probe. One to a probe that was given up
// still tells the round trip.
func (t *Table) Answered(now time.Duration, i int, seq uint64) {
	if now-t.ticked > t.limits.Stall { // it waited for this process, not for the path
		t.Forget()
	}
	p := &t.paths[i]
	at := slices.IndexFunc(p.waiting, func(w probe) bool { return w.seq == seq })
	if at < 0 {
		return
	}
	w := p.waiting[at]
	// A path keeps the order: what is older was lost.
	for _, old := range p.waiting[:at] {
		if !old.lost {
			p.outcome(true)
		}
	}
	p.waiting = slices.Delete(p.waiting, 0, at+1)
	if !w.lost {
		p.outcome(false)
	}
	p.answered, p.heard = max(p.answered, w.at), now
	rtt := now - w.at
	if len(p.rtts) > 0 {
		d := math.Abs(float64(rtt - p.prev))
		p.jitter += (d - p.jitter) / 16
	}
	p.prev = rtt
	if p.rtts = append(p.rtts, rtt); len(p.rtts) > median {
		p.rtts = slices.Delete(p.rtts, 0, 1)
	}
}

func (p *path) outcome(lost bool) {
	if lost {
		p.lost++
	}
	if p.outcomes = append(p.outcomes, lost); len(p.outcomes) > window {
		p.outcomes = slices.Delete(p.outcomes, 0, 1)
	}
}

// Forget voids the probes under way, and those that were lost: what they say
// is not about the paths.
func (t *Table) Forget() {
	for i := range t.paths {
		t.paths[i].waiting, t.paths[i].outcomes = t.paths[i].waiting[:0], nil
	}
}

// Silent is for how long no path has answered.
func (t *Table) Silent(now time.Duration) time.Duration {
	least := now
	for i := range t.paths {
		least = min(least, now-t.paths[i].heard)
	}
	return least
}

func (p *path) loss() float64 {
	if len(p.outcomes) == 0 {
		return 0
	}
	n := 0
	for _, lost := range p.outcomes {
		if lost {
			n++
		}
	}
	return float64(n) / float64(len(p.outcomes))
}

func (p *path) rtt() time.Duration {
	if len(p.rtts) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(p.rtts))
	return s[len(s)/2]
}

func (p *path) over() time.Duration    { return max(0, p.rtt()-p.RTT) }
func (p *path) jittery() time.Duration { return max(0, time.Duration(p.jitter)-p.Jitter) }
func (p *path) recentlyLost(n int) bool {
	return slices.Contains(p.outcomes[max(0, len(p.outcomes)-n):], true)
}

// Stats says what was seen of a path.
func (t *Table) Stats(i int) Stats {
	p := &t.paths[i]
	return Stats{
		Announced: !p.withdrawn, Suppressed: p.suppressed, InUse: i == t.current, RTT: p.rtt(), Latency: p.over(), Jitter: p.jittery(),
		Loss: p.loss(), Sent: p.sent, Lost: p.lost,
	}
}

// Tick decides. Answers that have come belong before it.
func (t *Table) Tick(now time.Duration) (out []Event) {
	stalled := now-t.ticked > t.limits.Stall
	t.ticked = now
	if stalled {
		t.Forget()
		return nil
	}
	for i := range t.paths {
		p := &t.paths[i]
		for j := range p.waiting {
			if w := &p.waiting[j]; !w.lost && now-w.at > p.RTT+t.limits.Lost {
				w.lost = true
				p.outcome(true)
			}
		}
	}
	for i := range t.paths {
		if p := &t.paths[i]; p.withdrawn {
			if t.returns(now, p) {
				p.withdrawn, p.bad = false, ""
				out = append(out, Event{Kind: Announced, Path: i, Why: fmt.Sprintf("%s is good for %v", p.Name, t.limits.Return)})
			}
		} else if why, lost := t.faulty(now, i); why != "" {
			t.withdraw(now, p, why)
			out = append(out, Event{Kind: Withdrawn, Path: i, Lost: lost, Why: why})
		}
	}
	if to, why := t.best(now); to != t.current {
		lost := t.silent(now, t.current)
		out = append(out, Event{Kind: Moved, Path: to, From: t.current, Lost: lost, Why: why})
		t.current = to
	}
	return out
}

// silent says that a path owes an answer for longer than it may, and says
// nothing. Where probes are rare, one is not enough to say so.
func (t *Table) silent(now time.Duration, i int) bool {
	p := &t.paths[i]
	owed := 0
	if i != t.current {
		owed = 1
	}
	return len(p.waiting) > owed && now-p.waiting[owed].at > p.RTT+t.limits.Lost && now-p.heard > t.limits.Lost
}

// faulty says why a path that is announced should not be.
func (t *Table) faulty(now time.Duration, i int) (why string, lost bool) {
	p := &t.paths[i]
	if t.silent(now, i) {
		began := p.waiting[0].at
		for j := range t.paths {
			if j != i && t.paths[j].answered >= began {
				return fmt.Sprintf("%s has not answered for %v", p.Name, (now - began).Round(time.Millisecond)), true
			}
		}
		return "", false // none does: it is not the path
	}
	if share := p.loss(); len(p.outcomes) >= leastSeen && share > t.limits.LossShare && t.other(i, func(q *path) bool { return q.loss() < share/2 }) {
		return fmt.Sprintf("%s loses %.0f %% of its probes", p.Name, 100*share), true
	}
	bad := ""
	switch {
	case p.over() > t.limits.Latency && t.other(i, func(q *path) bool { return q.rtt() > 0 && q.rtt() < p.rtt()-t.limits.Better }):
		bad = "latency"
	case p.jittery() > t.limits.Jitter && t.other(i, func(q *path) bool { return q.rtt() > 0 && q.jittery() < p.jittery()/2 && q.over() < t.limits.Latency }):
		bad = "jitter"
	}
	if bad == "" || bad != p.bad {
		p.bad, p.sinceBad = bad, now
		return "", false
	}
	if now-p.sinceBad < t.limits.Sustained {
		return "", false
	}
	if bad == "latency" {
		return fmt.Sprintf("%s takes %v longer than its %v", p.Name, p.over().Round(time.Millisecond), p.RTT), false
	}
	return fmt.Sprintf("%s has %v of jitter over its baseline", p.Name, p.jittery().Round(time.Millisecond)), false
}

// other says whether another path that is announced, and answers, is so.
func (t *Table) other(i int, is func(*path) bool) bool {
	for j := range t.paths {
		if q := &t.paths[j]; j != i && !q.withdrawn && !t.silent(t.ticked, j) && is(q) {
			return true
		}
	}
	return false
}

func (t *Table) withdraw(now time.Duration, p *path, why string) {
	p.withdrawn, p.why, p.good = true, why, false
	p.penalty = t.penalty(now, p) + t.limits.Penalty
	p.penalised = now
	p.suppressed = p.penalty > t.limits.Suppress
	p.jitter = max(0, min(p.jitter, float64(4*t.limits.Jitter))) // one bad second is not held against it for long
}

func (t *Table) penalty(now time.Duration, p *path) float64 {
	return p.penalty * math.Exp2(-float64(now-p.penalised)/float64(t.limits.HalfLife))
}

// returns says that a withdrawn path may be announced again.
func (t *Table) returns(now time.Duration, p *path) bool {
	good := now-p.heard < p.RTT+t.limits.Lost+t.limits.Every && len(p.outcomes) > 0 && !p.recentlyLost(clean) &&
		p.over() < t.limits.Latency/2 && p.jittery() < t.limits.Jitter/2
	if !good || !p.good {
		p.good, p.goodFrom = good, now
		return false
	}
	if p.suppressed && t.penalty(now, p) < t.limits.Reuse {
		p.suppressed = false
	}
	return !p.suppressed && now-p.goodFrom >= t.limits.Return
}

// best is the path to use: the first that is announced and not silent. If
// there is none, one that answers; if none does, the present one.
func (t *Table) best(now time.Duration) (int, string) {
	for i := range t.paths {
		p := &t.paths[i]
		if p.withdrawn || t.silent(now, i) && i != t.current {
			continue
		}
		if i < t.current {
			return i, p.Name + " is back"
		}
		if i == t.current {
			return i, ""
		}
		return i, t.paths[t.current].why
	}
	cur := &t.paths[t.current]
	if t.silent(now, t.current) {
		for i := range t.paths {
			if p := &t.paths[i]; i != t.current && p.answered >= cur.waiting[0].at {
				return i, cur.why
			}
		}
	}
	return t.current, ""
}
