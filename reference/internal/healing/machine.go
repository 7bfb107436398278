package healing

import (
	"fmt"
	"math"
	"time"
)

// Kinds of events.
const (
	Failed    = "failed"    // it ended, or is not healthy
	Restarted = "restarted" // an attempt to start it again
	Cooldown  = "cooldown"  // restarts did not help: it is left alone
	Escalated = "escalated" // nor did that: an operator has to look
	Healed    = "healed"    // it is well again
)

// Event is something that the machine decided.
type Event struct {
	Kind     string
	Priority string // P1 to P3
	Detail   string
	Restarts int // of this round so far
}

// String is its line in a script.
func (e Event) String() string { return e.Priority + " " + e.Kind + ": " + e.Detail }

// Out is what a tick asks for.
type Out struct {
	Start  bool // start it now
	Stop   bool // end what runs: it is not healthy
	Events []Event
}

type state int

const (
	fresh state = iota // was never started
	up
	waiting   // for the backoff, and for what is being stopped
	cooling   // left alone
	escalated // an operator's; tried once in each cooldown
)

// Machine decides for one subject. It starts nothing itself: Tick says when to,
// and whoever does so tells what came of it by Ended and Checked. Times are of
// one clock that never goes back. Not safe for concurrent use.
type Machine struct {
	cfg   Config
	name  string
	state state

	running  bool
	stopping bool
	answered bool // a check, since it began
	began    time.Duration
	due      time.Duration // of waiting, cooling, escalated: what comes next
	failed   time.Duration // when it failed last
	why      string        // and why
	hurt     bool          // it failed, and was not well since
	well     time.Duration // since when all checks passed; 0: they do not
	good     int           // checks in a row
	bad      int
	restarts int // of this round
	total    int // ever

	stop   bool
	events []Event
}

// New makes the machine of something that has to be started.
func New(cfg Config, name string) *Machine { return &Machine{cfg: cfg.Filled(), name: name} }

// Config is what is in force.
func (m *Machine) Config() Config { return m.cfg }

// Restarts is how often it was started again, ever.
func (m *Machine) Restarts() int { return m.total }

// Escalated says that it is an operator's.
func (m *Machine) Escalated() bool { return m.state == escalated }

// Running says that it was started and has not ended.
func (m *Machine) Running() bool { return m.running }

// Why is what was wrong last, empty once it is well again.
func (m *Machine) Why() string {
	if !m.hurt {
		return ""
	}
	return m.why
}

func (m *Machine) tell(kind, priority, format string, args ...any) {
	m.events = append(m.events, Event{Kind: kind, Priority: priority, Detail: m.name + " " + fmt.Sprintf(format, args...), Restarts: m.restarts})
}

// Ended takes note that what was started has ended.
func (m *Machine) Ended(now time.Duration, why string) {
	if !m.running {
		return
	}
	asked := m.stopping
	m.running, m.stopping = false, false
	if !asked { // else it was told when it was stopped
		m.fail(now, why)
	}
}

// Checked takes a health check's result; why is empty if it passed.
func (m *Machine) Checked(now time.Duration, why string) {
	if !m.running || m.stopping {
		return
	}
	if why != "" {
		if !m.answered && now-m.began < time.Duration(m.cfg.Patience) {
			return // it is starting
		}
		m.good, m.well = 0, 0
		if m.bad++; m.bad >= m.cfg.Failures {
			m.bad = 0
			m.fail(now, fmt.Sprintf("%d health checks in a row failed: %s", m.cfg.Failures, why))
		}
		return
	}
	m.answered, m.bad = true, 0
	m.good++
	if m.well == 0 {
		m.well = now
	}
	// What was given up has to show more than one that was just started again.
	if !m.hurt || m.good < m.cfg.Failures && m.state != up {
		return
	}
	if m.state != up {
		m.restarts = m.cfg.Restarts // on probation: the next failure ends in a cooldown
	}
	m.state, m.hurt = up, false
	m.tell(Healed, "P3", "is well again after %v", round(now-m.failed))
}

// Stuck takes note that what was to be stopped does not end: it can't be
// started again.
func (m *Machine) Stuck(now time.Duration) {
	if !m.running || !m.stopping || m.state == escalated {
		return
	}
	m.escalate(now, "does not end")
}

func (m *Machine) escalate(now time.Duration, what string) {
	m.state, m.due = escalated, now+time.Duration(m.cfg.Cooldown)
	m.tell(Escalated, "P1", "%s (%s): an operator has to look", what, m.why)
}

// fail is the end of what ran, or that it is not healthy.
func (m *Machine) fail(now time.Duration, why string) {
	if !m.hurt {
		m.failed = now
	}
	m.why, m.hurt, m.good, m.well = why, true, 0, 0
	if m.state != up {
		return // it is left alone, or an operator's
	}
	if m.restarts >= m.cfg.Restarts {
		m.state, m.due = cooling, now+time.Duration(m.cfg.Cooldown)
		m.tell(Failed, "P2", "failed: %s", why)
		m.tell(Cooldown, "P2", "is left alone for %v: %d restarts did not help", time.Duration(m.cfg.Cooldown), m.restarts)
		return
	}
	m.restarts++
	wait := m.backoff()
	m.state, m.due = waiting, now+wait
	m.tell(Failed, "P2", "failed: %s; restart %d of %d in %v", why, m.restarts, m.cfg.Restarts, wait)
	m.end()
}

// end asks for the end of what runs.
func (m *Machine) end() {
	if m.running && !m.stopping {
		m.stop, m.stopping = true, true
	}
}

func (m *Machine) backoff() time.Duration {
	b := float64(m.cfg.Backoff) * math.Pow(2, float64(m.restarts-1))
	return time.Duration(min(b, float64(m.cfg.BackoffMax)))
}

// Tick lets time pass.
func (m *Machine) Tick(now time.Duration) Out {
	start := false
	switch m.state {
	case fresh:
		start = true
	case up:
		if m.well != 0 && now-m.well >= time.Duration(m.cfg.Memory) {
			m.restarts = 0
		}
	case waiting:
		if !m.running && now >= m.due {
			start = true
			m.total++
			m.tell(Restarted, "P3", "is started again: restart %d of %d", m.restarts, m.cfg.Restarts)
		}
	case cooling:
		if now >= m.due {
			m.escalate(now, fmt.Sprintf("is not well after %d restarts and %v left alone", m.restarts, time.Duration(m.cfg.Cooldown)))
		}
	case escalated:
		switch {
		case now < m.due || m.running && m.well != 0:
		case m.running:
			m.end()
		default:
			start = true
			m.total++
			m.tell(Restarted, "P3", "is tried once more, although it is an operator's")
		}
	}
	if start {
		if m.state == escalated {
			m.due = now + time.Duration(m.cfg.Cooldown)
		} else {
			m.state = up
		}
		m.running, m.stopping, m.answered, m.began, m.good, m.bad, m.well = true, false, false, now, 0, 0, 0
	}
	out := Out{Start: start, Stop: m.stop, Events: m.events}
	m.stop, m.events = false, nil
	return out
}

// Next is when a tick will have something to do, 0 if only an input can.
func (m *Machine) Next() time.Duration {
	switch m.state {
	case waiting, cooling, escalated:
		return m.due
	}
	return 0
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
