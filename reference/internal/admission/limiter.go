package admission

import "time"

const (
	windowTurns = 4                      // turns of the loop that a window has at least
	awakeFor    = 800 * time.Millisecond // between two turns; who did not run for longer knows nothing of queues
	fallBy      = 0.9
	riseBy      = 1.1
)

// Limiter adapts how many operations may be in flight to how long requests
// stand before the loop. If even the least wait of a window (twice
// Config.QueueDelay, and some turns) was over Config.QueueDelay there is a
// standing queue: the limit falls by a tenth of what was in flight, or of
// itself where that is less. Else it rises by a tenth.
type Limiter struct {
	cfg         Config
	limit       float64
	began, last time.Duration // of the window; the last turn
	least       time.Duration
	turns, peak int
	delay       time.Duration // least wait of the last window
}

// NewLimiter begins at the highest limit.
func NewLimiter(cfg Config) *Limiter {
	cfg = cfg.Filled()
	return &Limiter{cfg: cfg, limit: float64(cfg.MaxInFlight)}
}

// Limit in force.
func (l *Limiter) Limit() int { return int(l.limit) }

// Delay is the least wait for the loop in the last window.
func (l *Limiter) Delay() time.Duration { return l.delay }

// Turn tells of a turn of the loop at now: for how long the first request of
// those that it takes has waited, and how many operations are in flight.
func (l *Limiter) Turn(now, waited time.Duration, inFlight int) {
	slept := l.last != 0 && now-l.last > awakeFor
	l.last = now
	if slept || l.turns == 0 {
		l.began, l.turns = now, 0
		if slept {
			return // what it finds waited for the sleeper, not for the loop
		}
	}
	if l.turns == 0 || waited < l.least {
		l.least = waited
	}
	if l.turns == 0 || inFlight > l.peak {
		l.peak = inFlight
	}
	l.turns++
	if d := time.Duration(l.cfg.QueueDelay); now-l.began >= 2*d && l.turns >= windowTurns {
		if l.delay = l.least; l.least > d {
			l.limit = max(fallBy*min(l.limit, float64(l.peak)), float64(l.cfg.MinInFlight))
		} else {
			l.limit = min(riseBy*l.limit, float64(l.cfg.MaxInFlight))
		}
		l.turns = 0
	}
}
