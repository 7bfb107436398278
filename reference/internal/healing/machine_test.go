package healing

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

const step = 50 * time.Millisecond

// subject is what a script makes the machine heal.
type subject struct {
	m       *Machine
	now     time.Duration
	lasts   time.Duration // each life; 0: it does not end
	wedged  bool          // it answers no check
	stuck   bool          // it does not end when it is asked to
	runs    bool
	since   time.Duration
	asked   time.Duration // to end
	checked time.Duration
	starts  []time.Duration
	twice   bool // started while it ran
}

func (s *subject) run(d time.Duration) string {
	var b strings.Builder
	began := s.now
	for range int(d / step) {
		s.now += step
		at := s.now - began
		if s.runs && s.lasts > 0 && s.now-s.since >= s.lasts {
			s.runs = false
			s.m.Ended(s.now, "exit status 1")
		}
		if s.runs && s.asked > 0 && !s.stuck {
			s.runs, s.asked = false, 0
			s.m.Ended(s.now, "it was asked to")
		}
		if s.asked > 0 && s.now-s.asked >= time.Duration(s.m.cfg.StopIn) {
			s.m.Stuck(s.now)
		}
		if s.now-s.checked >= time.Duration(s.m.cfg.CheckEvery) {
			s.checked = s.now
			why := ""
			if s.wedged {
				why = "no answer"
			}
			s.m.Checked(s.now, why)
		}
		out := s.m.Tick(s.now)
		for _, e := range out.Events {
			fmt.Fprintf(&b, "%v %v\n", at, e)
		}
		if out.Stop {
			s.asked = s.now
			fmt.Fprintf(&b, "%v STOP\n", at)
		}
		if out.Start {
			s.twice = s.twice || s.runs
			s.runs, s.since, s.asked = true, s.now, 0
			s.starts = append(s.starts, s.now)
			fmt.Fprintf(&b, "%v START\n", at)
		}
	}
	return b.String()
}

// TestScripts runs testdata/*.txt. Commands:
//
//	subject [SETTING=VALUE...]
//	run D                 time passes; prints what was decided
//	lasts D | lasts 0     how long each life of it is from now on
//	wedged | answers      whether it answers health checks
//	stuck | ends          whether it ends when it is asked to
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var s *subject
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out := ""
			switch d.Cmd {
			case "subject":
				var cfg Config
				for _, a := range d.CmdArgs {
					require.NoError(t, cfg.Set(a.Key, a.Vals[0]), d.Pos)
				}
				s = &subject{m: New(cfg, "it"), now: time.Hour, checked: time.Hour}
			case "run":
				out = s.run(span(t, d))
			case "lasts":
				s.lasts = span(t, d)
			case "wedged", "answers":
				s.wedged = d.Cmd == "wedged"
			case "stuck", "ends":
				s.stuck = d.Cmd == "stuck"
			default:
				d.Fatalf(t, "no command %s", d.Cmd)
			}
			if out == "" {
				return "ok\n"
			}
			return out
		})
	})
}

func span(t *testing.T, d *datadriven.TestData) time.Duration {
	v, err := time.ParseDuration(d.CmdArgs[0].Key)
	require.NoError(t, err, d.Pos)
	return v
}

// Whatever happens: nothing that runs is started, and of five starts in a row
// at least one came after a cooldown.
func TestRestartsAreBounded(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 7))
		s := &subject{m: New(Config{}, "it"), now: time.Hour, checked: time.Hour}
		for range 40 {
			s.lasts = time.Duration(rng.IntN(3)) * time.Duration(rng.IntN(100_000)) * time.Millisecond
			s.wedged, s.stuck = rng.IntN(3) == 0, rng.IntN(8) == 0
			s.run(time.Duration(rng.IntN(60)) * time.Second)
		}
		require.False(t, s.twice, "seed %d: started although it ran", seed)
		for i := 4; i < len(s.starts); i++ {
			require.GreaterOrEqual(t, s.starts[i]-s.starts[i-4], time.Duration(s.m.cfg.Cooldown), "seed %d: %v", seed, s.starts)
		}
	}
}

func TestSettings(t *testing.T) {
	var c Config
	require.NoError(t, c.Set("restart_cooldown", "7s"))
	require.NoError(t, c.Set("max_restarts", "2"))
	f := c.Filled()
	assert.Equal(t, Duration(7*time.Second), f.Cooldown)
	assert.Equal(t, 2, f.Restarts)
	assert.Equal(t, Default().CheckEvery, f.CheckEvery)
	assert.ErrorContains(t, c.Set("restart_cooldown", "-7s"), "restart_cooldown")
	assert.ErrorContains(t, c.Set("max_restarts", "0"), "max_restarts")
	assert.ErrorContains(t, c.Set("cooldowns", "1s"), "restart_cooldown")
}
