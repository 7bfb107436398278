package admission

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/reference/internal/failover"
)

func config(t *testing.T, d *datadriven.TestData) (c Config) {
	for _, a := range d.CmdArgs {
		if a.Key != "cpu" && a.Key != "memory" {
			require.NoError(t, c.Set(a.Key, a.Vals[0]))
		}
	}
	return c
}

func span(t *testing.T, d *datadriven.TestData, key string, otherwise time.Duration) time.Duration {
	for _, a := range d.CmdArgs {
		if a.Key == key {
			v, err := time.ParseDuration(a.Vals[0])
			require.NoError(t, err)
			return v
		}
	}
	return otherwise
}

func number(t *testing.T, d *datadriven.TestData, key string, otherwise int) int {
	if d.HasArg(key) {
		d.ScanArgs(t, key, &otherwise)
	}
	return otherwise
}

// The verbs: new, with settings; run, turns for some time that each find a wait
// and so many operations in flight; sleep, no turn for some time.
func TestLimiter(t *testing.T) {
	now := time.Hour
	var l *Limiter
	datadriven.RunTest(t, "testdata/limiter.txt", func(t *testing.T, d *datadriven.TestData) string {
		switch d.Cmd {
		case "new":
			l = NewLimiter(config(t, d))
		case "sleep":
			now += span(t, d, "for", 0)
			return ""
		case "run":
			var b strings.Builder
			every, began, was := span(t, d, "every", 8*time.Millisecond), now, l.Limit()
			long := number(t, d, "burst-every", 0)
			for i := 1; now-began < span(t, d, "for", time.Second); i++ {
				now += every
				wait := span(t, d, "wait", 0)
				if long > 0 && i%long == 0 {
					wait = time.Millisecond
				}
				l.Turn(now, wait, number(t, d, "in-flight", 0))
				if l.Limit() != was && !d.HasArg("quiet") {
					fmt.Fprintf(&b, "%v: ", (now - began).Round(10*time.Millisecond))
					fmt.Fprintf(&b, "%d -> %d\n", was, l.Limit())
				}
				was = l.Limit()
			}
			fmt.Fprintf(&b, "limit %d, delay %v\n", l.Limit(), l.Delay())
			return b.String()
		default:
			d.Fatalf(t, "unknown verb %s", d.Cmd)
		}
		return fmt.Sprintf("limit %d\n", l.Limit())
	})
}

// The verbs: new, with settings and the bounds; run, looks for some time that see a
// use of CPU and memory; sleep, no look for some time. With feedback, what is shed
// takes its part of the CPU away with it.
func TestShedder(t *testing.T) {
	now := time.Hour
	var s *Shedder
	datadriven.RunTest(t, "testdata/shedder.txt", func(t *testing.T, d *datadriven.TestData) string {
		switch d.Cmd {
		case "new":
			s = NewShedder(config(t, d), float64(number(t, d, "cpu", 90)), float64(number(t, d, "memory", 85)))
		case "sleep":
			now += span(t, d, "for", 0)
			return ""
		case "run":
			var b strings.Builder
			const every = 250 * time.Millisecond
			for began := now; now-began < span(t, d, "for", time.Second); {
				now += every
				cpu := number(t, d, "cpu", 10)
				if d.HasArg("feedback") {
					cpu -= number(t, d, "feedback", 0) * int(s.Level())
				}
				if why, changed := s.Look(now, float64(cpu), float64(number(t, d, "memory", 10))); changed {
					fmt.Fprintf(&b, "%v: sheds %v (%s)\n", now-began, s.Level(), why)
				}
			}
			fmt.Fprintf(&b, "sheds %v\n", s.Level())
			return b.String()
		default:
			d.Fatalf(t, "unknown verb %s", d.Cmd)
		}
		return ""
	})
}

func TestSettings(t *testing.T) {
	var c Config
	require.NoError(t, c.Set("max_in_flight", "512"))
	require.NoError(t, c.Set("queue_delay", "1s"))
	require.Equal(t, Config{MaxInFlight: 512, QueueDelay: failover.Duration(time.Second)}, c)
	f := c.Filled()
	require.Equal(t, 512, f.MinInFlight, "the least is not over the most")
	require.Equal(t, Default().ShedFor, f.ShedFor)
	require.Equal(t, f, f.Filled())
	for name, value := range map[string]string{"max_in_flight": "0", "min_in_flight": "many", "queue_delay": "-1s", "no_such": "1"} {
		require.ErrorContains(t, c.Set(name, value), name)
	}
	require.Contains(t, Names(), "breaker_delay")
}
