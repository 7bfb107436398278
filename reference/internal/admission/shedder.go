package admission

import (
	"fmt"
	"time"
)

const (
	calmBelow   = 0.9 // of a bound; between that and the bound nothing changes
	mostDoubled = 8
	// blindFor is how old the last look may be. Who did not look for longer does
	// not know whether it was over the bound all the time.
	blindFor = 2 * time.Second
)

// Shedder decides which priorities are refused by how much of its CPU and its
// memory a node uses. Going up a level takes Config.ShedAfter over a bound,
// going down Config.ShedFor below nine tenths of both. If shedding is what
// brought the use down, the load is back as soon as it ends; so the time until
// it does doubles with each return within it.
type Shedder struct {
	cfg         Config
	cpu, memory float64 // percent
	level       Level
	seen        time.Duration
	over, calm  time.Duration // since when; 0: it is not
	ended       time.Duration // when nothing was shed any more; 0: never
	doubled     time.Duration // times Config.ShedFor
}

// NewShedder takes the bounds of CPU and memory in percent.
func NewShedder(cfg Config, cpu, memory float64) *Shedder {
	return &Shedder{cfg: cfg.Filled(), cpu: cpu, memory: memory, doubled: 1}
}

// Level in force.
func (s *Shedder) Level() Level { return s.level }

func (s *Shedder) hold() time.Duration { return s.doubled * time.Duration(s.cfg.ShedFor) }

// Look takes what the node uses, in percent of what it may, and says whether the level
// changed and what of. It is called a few times a second.
func (s *Shedder) Look(now time.Duration, cpu, memory float64) (why string, changed bool) {
	if s.seen != 0 && now-s.seen > blindFor {
		s.over, s.calm = 0, 0
	}
	s.seen = now
	switch {
	case cpu > s.cpu || memory > s.memory:
		s.calm = 0
		if s.over == 0 {
			s.over = now
		}
		if s.level == LowAndNormal || now-s.over < time.Duration(s.cfg.ShedAfter) {
			return "", false
		}
		if s.level == Nothing {
			if s.ended != 0 && now-s.ended < s.hold() {
				s.doubled = min(2*s.doubled, mostDoubled)
			} else {
				s.doubled = 1
			}
		}
		s.level++
		s.over = now
	case s.level > Nothing && cpu < calmBelow*s.cpu && memory < calmBelow*s.memory:
		s.over = 0
		if s.calm == 0 {
			s.calm = now
		}
		if now-s.calm < s.hold() {
			return "", false
		}
		s.level--
		s.calm = now
		if s.level == Nothing {
			s.ended = now
		}
	default:
		s.over, s.calm = 0, 0
		return "", false
	}
	return fmt.Sprintf("%.0f %% of its CPU and %.0f %% of its memory are in use", cpu, memory), true
}
