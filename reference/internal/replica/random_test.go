package replica

import (
	"flag"
	"fmt"
	"math/rand"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// schedule runs one seeded random schedule of partitions, one-way cuts, pauses,
// crashes and transfers with writes everywhere, and returns what was broken.
func schedule(seed int64, mu Mutants) (broken []string, acked int, elected int) {
	r := rand.New(rand.NewSource(seed))
	s := newSim(seed, 3, []uint64{3}, mu)
	s.jitter = true
	delays := [4][4]time.Duration{1: {2: 38, 3: 110}, 2: {1: 38, 3: 80}, 3: {1: 110, 2: 80}}
	s.delay = func(a, b uint64) time.Duration { return delays[a][b] * time.Millisecond }
	s.run(2 * time.Second)
	n := 0
	for range 40 {
		id := uint64(1 + r.Intn(3))
		switch r.Intn(9) {
		case 0:
			s.isolate(id, true)
		case 1, 2:
			for _, o := range s.ids {
				s.isolate(o, false)
			}
		case 3:
			s.cut[[2]uint64{id, uint64(1 + r.Intn(3))}] = true
		case 4:
			if !s.nodes[id].down {
				s.pause(id)
			}
		case 5:
			if !s.nodes[id].down {
				s.crash(id)
			}
		case 6:
			if l := s.leader(); l != 0 && !s.nodes[l].paused {
				_ = s.nodes[l].g.Transfer(s.now, id)
				s.drain(s.nodes[l])
			}
		default:
			for _, o := range s.ids {
				if s.nodes[o].down {
					s.restart(o)
				} else if s.nodes[o].paused {
					s.resume(o)
				}
			}
		}
		for range 1 + r.Intn(4) {
			for _, o := range s.ids {
				n++
				_ = s.write(o, fmt.Sprintf("k%d=%06d", r.Intn(3), n))
			}
			s.run(time.Duration(50+r.Intn(500)) * time.Millisecond)
			s.handOver()
		}
	}
	// In the end, everything healed: it must serve again, with everything.
	for _, o := range s.ids {
		s.isolate(o, false)
		if s.nodes[o].down {
			s.restart(o)
		} else if s.nodes[o].paused {
			s.resume(o)
		}
	}
	for range 20 {
		s.run(500 * time.Millisecond)
		s.handOver()
	}
	if l := s.leader(); l == 0 {
		s.fail("nobody serves ten seconds after everything was healed:\n%s", s.status())
	}
	return s.broken, len(s.acked), n
}

var seeds = flag.Int64("seeds", 60, "random schedules to run")

func TestRandomSchedules(t *testing.T) {
	total := 0
	for seed := range *seeds {
		broken, acked, _ := schedule(seed, Mutants{})
		require.Empty(t, broken, "seed %d", seed)
		total += acked
	}
	require.Greater(t, total, 100, "schedules in which nothing is acknowledged prove nothing")
}

// The same schedules must find each mutant: else they prove nothing.
func TestRandomSchedulesFindMutants(t *testing.T) {
	for name, mu := range map[string]Mutants{
		"ack-before-quorum": {AckBeforeQuorum: true},
		"stale-lease":       {StaleLease: true},
		"no-fencing":        {NoFencing: true},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range int64(20) {
				if broken, _, _ := schedule(seed, mu); len(broken) > 0 {
					t.Logf("seed %d: %s", seed, broken[0])
					return
				}
			}
			t.Fatal("not found in 20 schedules")
		})
	}
}

// handOver is the node's part of rule 4: a passive leader gives way to an
// active replica that has caught up.
func (s *sim) handOver() {
	for _, id := range s.ids {
		n := s.nodes[id]
		if n.down || n.paused || n.cfg.Mode != Passive {
			continue
		}
		for _, f := range n.g.Followers() {
			if f.Active && f.Behind == 0 {
				_ = n.g.Transfer(s.now, f.ID)
				s.drain(n)
				break
			}
		}
	}
}
