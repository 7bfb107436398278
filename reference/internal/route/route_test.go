package route

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// world is what the paths really do: probes take their time, or are lost.
type world struct {
	t     *Table
	now   time.Duration
	ways  []way
	owed  []answer
	limit Limits
}

type way struct {
	name   string
	rtt    time.Duration
	extra  time.Duration
	jitter time.Duration
	lose   int // every so many-th probe; 1: all
	n      int
}

type answer struct {
	at   time.Duration
	path int
	seq  uint64
}

func newWorld(l Limits, ways ...way) *world {
	w := &world{ways: ways, limit: l, now: time.Hour}
	var ps []Path
	for _, x := range ways {
		ps = append(ps, Path{Name: x.name, RTT: x.rtt})
	}
	w.t = New(ps, l, w.now)
	return w
}

// run lets time pass, from one thing that happens to the next.
func (w *world) run(d time.Duration) (out []string) {
	end := w.now + d
	for {
		for _, i := range w.t.Due(w.now) {
			seq := w.t.Sent(w.now, i)
			x := &w.ways[i]
			x.n++
			if x.lose > 0 && x.n%x.lose == 0 {
				continue
			}
			took := x.rtt + x.extra
			if x.n%2 == 0 {
				took += x.jitter
			}
			w.owed = append(w.owed, answer{w.now + took, i, seq})
		}
		next := w.t.Next(w.now)
		for _, a := range w.owed {
			next = min(next, a.at)
		}
		if next > end {
			w.now = end
			return out
		}
		w.now = max(next, w.now+time.Microsecond)
		var left []answer
		for _, a := range w.owed {
			if a.at <= w.now {
				w.t.Answered(w.now, a.path, a.seq)
			} else {
				left = append(left, a)
			}
		}
		w.owed = left
		for _, e := range w.t.Tick(w.now) {
			out = append(out, fmt.Sprintf("%6d ms  %s", (w.now-time.Hour).Milliseconds(), w.show(e)))
		}
	}
}

func (w *world) show(e Event) string {
	s := e.Kind + " " + w.ways[e.Path].name
	if e.Kind == Moved {
		s = fmt.Sprintf("%s %s -> %s", e.Kind, w.ways[e.From].name, w.ways[e.Path].name)
	}
	if e.Lost {
		s += " (lost)"
	}
	return s + ": " + e.Why
}

func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, file string) {
		var w *world
		datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
			dur := func(arg string) time.Duration {
				x, err := time.ParseDuration(arg)
				require.NoError(t, err, d.Pos)
				return x
			}
			on := func() *way {
				for i := range w.ways {
					if w.ways[i].name == d.CmdArgs[0].Key {
						return &w.ways[i]
					}
				}
				t.Fatalf("%s: no path %s", d.Pos, d.CmdArgs[0].Key)
				return nil
			}
			switch d.Cmd {
			case "paths":
				var ws []way
				for _, a := range d.CmdArgs {
					ws = append(ws, way{name: a.Key, rtt: dur(a.Vals[0])})
				}
				w = newWorld(DefaultLimits(), ws...)
			case "path":
				x := on()
				x.extra, x.jitter, x.lose = 0, 0, 0
				for _, a := range d.CmdArgs[1:] {
					switch a.Key {
					case "cut":
						x.lose = 1
					case "lose":
						fmt.Sscan(a.Vals[0], &x.lose)
					case "latency":
						x.extra = dur(a.Vals[0])
					case "jitter":
						x.jitter = dur(a.Vals[0])
					}
				}
			case "run":
				return strings.Join(append(w.run(dur(d.CmdArgs[0].Key)), "in use: "+w.ways[w.t.Current()].name), "\n") + "\n"
			case "sleep": // the process does not run
				w.now += dur(d.CmdArgs[0].Key)
			case "forget":
				w.t.Forget()
			default:
				t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
			}
			return ""
		})
	})
}

// Whatever happens to the paths, the table ends up on one that works, within
// the time that its limits give, and on the best one after a while of calm.
func TestRandomTrouble(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(DefaultLimits(), way{name: "direct", rtt: 76 * time.Millisecond}, way{name: "internet", rtt: 114 * time.Millisecond}, way{name: "satellite", rtt: 600 * time.Millisecond})
		for range 8 {
			well := r.IntN(3) // one path stays well
			for i := range w.ways {
				x := &w.ways[i]
				x.extra, x.lose = 0, 0
				if i == well {
					continue
				}
				switch r.IntN(3) {
				case 0:
					x.lose = 1
				case 1:
					x.extra = 250 * time.Millisecond
				}
			}
			w.run(time.Duration(r.IntN(20)) * time.Second)
			w.run(4 * time.Second)
			require.NotEqual(t, 1, w.ways[w.t.Current()].lose, "seed %d: it is on a path on which nothing passes", seed)
		}
		for i := range w.ways {
			w.ways[i].extra, w.ways[i].lose = 0, 0
		}
		out := w.run(2 * time.Minute)
		require.Equal(t, 0, w.t.Current(), "seed %d: %v", seed, out)
		require.Empty(t, w.run(time.Minute), "seed %d: calm", seed)
	}
}

// Probes cost: a table in calm asks for no more than it says.
func TestProbesInCalm(t *testing.T) {
	w := newWorld(DefaultLimits(), way{name: "direct", rtt: 76 * time.Millisecond}, way{name: "internet", rtt: 114 * time.Millisecond}, way{name: "satellite", rtt: 600 * time.Millisecond})
	assert.Empty(t, w.run(100*time.Second))
	assert.InDelta(t, 500, w.ways[0].n, 5)
	assert.InDelta(t, 100, w.ways[1].n, 2)
	assert.InDelta(t, 100, w.ways[2].n, 2)
	s := w.t.Stats(0)
	assert.Equal(t, 76*time.Millisecond, s.RTT)
	assert.Zero(t, s.Latency)
	assert.Zero(t, s.Jitter)
	assert.Zero(t, s.Loss)
	assert.True(t, s.InUse && s.Announced)
}
