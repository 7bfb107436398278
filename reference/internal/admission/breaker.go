package admission

import (
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

// breakerPeriod is over how long the share of requests that timed out is taken.
const breakerPeriod = time.Second

// State of a breaker.
type State uint8

const (
	// Closed: requests go.
	Closed State = iota
	// HalfOpen: one probe goes, and decides.
	HalfOpen
	// Open: nothing goes.
	Open
)

func (s State) String() string { return [...]string{"closed", "half-open", "open"}[s] }

// Breakers are the circuit breakers of a node, one a peer. One opens when at
// least half of the requests of a second timed out, lets a probe through after
// Config.BreakerDelay, and closes when that is answered. It opens only for a
// peer that takes requests and answers most of them in no time at all: of one whose
// connection broke, or that is silent, others know sooner. That a peer is back they
// know sooner as well, so Back closes its breaker.
//
// They go by the wall clock of failsafe-go, which after a suspension makes an
// open one stay so for a little longer. The methods that change something are for
// one goroutine; a nil one lets everything through.
type Breakers struct {
	list    []circuitbreaker.CircuitBreaker[any]
	opened  []atomic.Uint64
	changed func(peer int, to State)
}

// NewBreakers makes n. changed is told of every change, in the call that brings
// it about.
func NewBreakers(cfg Config, n int, changed func(peer int, to State)) *Breakers {
	cfg = cfg.Filled()
	b := &Breakers{opened: make([]atomic.Uint64, n), changed: changed}
	for peer := range n {
		b.list = append(b.list, circuitbreaker.NewBuilder[any]().
			WithFailureRateThreshold(0.5, uint(cfg.BreakerCalls), breakerPeriod).
			WithSuccessThreshold(1).
			WithDelay(time.Duration(cfg.BreakerDelay)).
			OnStateChanged(func(e circuitbreaker.StateChangedEvent) {
				if e.NewState == circuitbreaker.OpenState {
					b.opened[peer].Add(1)
				}
				b.changed(peer, stateOf(e.NewState))
			}).Build())
	}
	return b
}

func stateOf(s circuitbreaker.State) State {
	switch s {
	case circuitbreaker.OpenState:
		return Open
	case circuitbreaker.HalfOpenState:
		return HalfOpen
	}
	return Closed
}

// Allow says whether a request may be sent to a peer. Each that is allowed ends
// by Answered, TimedOut or Lost.
func (b *Breakers) Allow(peer int) bool { return b == nil || b.list[peer].TryAcquirePermit() }

// Answered: the peer answered a request, whatever it said.
func (b *Breakers) Answered(peer int) {
	if b != nil {
		b.list[peer].RecordSuccess()
	}
}

// TimedOut: a request had no answer in its time.
func (b *Breakers) TimedOut(peer int) {
	if b != nil {
		b.list[peer].RecordFailure()
	}
}

// Lost: a request ended in a way that says nothing of the next one, as with its
// connection. A probe has failed then.
func (b *Breakers) Lost(peer int) {
	if b != nil && b.list[peer].IsHalfOpen() {
		b.list[peer].RecordFailure()
	}
}

// Late: an answer came for which nobody waits any more. The peer is worth a probe.
func (b *Breakers) Late(peer int) {
	if b != nil && b.list[peer].IsOpen() {
		b.list[peer].HalfOpen()
	}
}

// Back: there is news of the peer, as that it was elected, or a new connection.
func (b *Breakers) Back(peer int) {
	if b != nil && !b.list[peer].IsClosed() {
		b.list[peer].Close()
	}
}

// State of a peer's breaker.
func (b *Breakers) State(peer int) State { return stateOf(b.list[peer].State()) }

// Opened is how often it opened. Both are safe for concurrent use.
func (b *Breakers) Opened(peer int) uint64 { return b.opened[peer].Load() }
