package slo

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPhasesOfAFault(t *testing.T) {
	const (
		out  = "op 10.2 +0.1 s1 read failed\n"
		back = "each 0.5 from 14 to 30 s1 update 20\n" // the first ends 4.01 s after the fault
		gone = "op 29.5 +0.1 s1 read failed\n"         // censored at 29.5 s, 19.5 s after it
		seen = "event 10.8 detected source=n1 parts=x\n"
		led  = "event 12.3 elected source=n1 shard=0\n"
		made = "event 13.1 promoted source=n1 parts=y\n"
	)
	const none = -1
	for _, c := range []struct {
		name                            string
		text                            string
		detect, elect, route, reconnect float64
	}{
		{"all reported", out + back + seen + led + made, 0.8, 1.5, 0.8, 0.91},
		{"no promotion: the first write", out + back + seen + led, 0.8, 1.5, 1.71, 0},
		{"moved to another path", out + back + "event 10.5 path-withdrawn source=n1 parts=x\nevent 10.9 route-moved source=n1 parts=z,x\nevent 11.4 route-moved source=n2 parts=z,x\n", 0.5, none, 0.9, 2.61},
		{"moves elsewhere do not count", out + back + "event 10.5 route-moved source=n1 parts=z\n", none, none, 4.01, 0},
		{"no election", out + back + seen + made, 0.8, none, 2.3, 0.91},
		{"no detection", out + back + led + made, none, 2.3, 0.8, 0.91},
		{"nothing reported", out + back, none, none, 4.01, 0},
		{"the last election that it had", out + back + seen + led + made + "event 12.9 elected source=n2 shard=0\nevent 15 elected source=n2 shard=0\n", 0.8, 2.1, 0.2, 0.91},
		{"elections of others are not needed", out + back + seen + led + made + "event 13 elected source=n2 shard=1\nevent 13 elected source=n2 shard=meta\n", 0.8, 1.5, 0.8, 0.91},
		{"an election that names no shard", out + back + seen + "event 11 elected source=n1\n" + made, 0.8, 0.2, 2.1, 0.91},
		{"elected before it was detected", out + back + "event 12.5 detected source=n1 parts=x\n" + led + made, 2.5, 0, 0.6, 0.91},
		{"promoted before the last election", out + back + seen + "event 11 promoted source=n1 parts=y\n" + led, 0.8, 1.5, 0, 1.71},
		{"detected when all was over", out + back + "event 15 detected source=n1 parts=x\n" + led + made, none, 2.3, 0.8, 0.91},
		{"what the harness says does not count", out + back + "event 11 elected shard=0\nevent 12 promoted parts=y\n", none, none, 4.01, 0},

		{"never elected", out + gone + seen + "event 12 elected source=n1 shard=1\n", 0.8, 18.7, none, none},
		{"never detected, others elected", out + gone + "event 12 elected source=n1 shard=1\n", 19.5, none, none, none},
		{"elected, never reached", out + gone + seen + led, 0.8, 1.5, 17.2, none},
		{"promoted, never reached", out + gone + seen + led + made, 0.8, 1.5, 0.8, 16.4},
		{"never back, nothing reported", out + gone, none, none, 19.5, none},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := told(t, nil, calm+cut+c.text)
			ph := r.Trials[0].Faults[0].Phases
			require.NotNil(t, ph)
			for name, d := range map[string]struct {
				want float64
				got  *float64
			}{"detect": {c.detect, ph.Detect}, "elect": {c.elect, ph.Elect}, "route": {c.route, ph.Route}, "reconnect": {c.reconnect, ph.Reconnect}} {
				if d.want == none {
					assert.Nil(t, d.got, name)
				} else if assert.NotNil(t, d.got, name) {
					assert.InDelta(t, d.want, *d.got, 1e-9, name)
				}
			}
		})
	}
	r := told(t, nil, calm+cut+"each 0.5 from 10 to 30 s1 update 20\n"+seen+led)
	assert.Nil(t, r.Trials[0].Faults[0].Phases, "no outage has no phases")
}

// Each fault has phases of its own, and a partition that was back early does not
// hide one that waits.
func TestPhasesOfEachFault(t *testing.T) {
	r := told(t, nil, "manifest partitions=2\nop 0.1 0.2 s2 create 1 part=1\n"+calm+cut+`
		event 18 fault-asked kill(y) parts=y
		event 18.1 fault-proved kill(y)
		event 10.4 suspected source=n1 parts=x
		event 10.9 elected source=n1 shard=0
		event 18.3 suspected source=n1 parts=y
		event 18.7 elected source=n1 shard=1
		op 10.2 +0.1 s1 read failed
		each 0.5 from 11.2 to 18 s1 update 20
		op 18.1 +0.1 s1 read failed
		op 18.1 +0.1 s2 read failed part=1
		each 0.5 from 19 to 24 s2 update 2 part=1
		each 0.5 from 18.2 to 24 s1 read failed
	`)
	fs := r.Trials[0].Faults
	require.Len(t, fs, 2)
	assert.Equal(t, &Phases{ptr(0.4), ptr(0.5), ptr(0.31), ptr(0.0)}, fs[0].Phases)
	// Partition 0 is still out at the last operation, 5.7 s after the fault, and had no election.
	assert.InDelta(t, 5.7, fs[1].Failover.FromAsked, 1e-9)
	assert.Equal(t, &Phases{ptr(0.3), ptr(5.4), nil, nil}, fs[1].Phases)
}
