package slo

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures/histories"
)

// told analyzes a history written in the test, on top of a frame: load from 1 s
// to 30 s, a good write and read of s1 every second or so, a fault at 10 s.
func told(t *testing.T, objectives map[string]string, text string) *Result {
	t.Helper()
	const frame = `
		manifest partitions=1
		event 0.01 trial-started
		event 1 load-started
		event 30 load-stopped
		event 60 run-finished
		op 0.1 0.2 s1 create 1
	`
	h, err := histories.Parse(t.Name(), frame+text)
	require.NoError(t, err)
	cfg := declared(t, objectives)
	r, err := analyze(recordOf(h), cfg)
	require.NoError(t, err)
	checkResult(t, r)
	return r
}

const (
	cut  = "event 10 fault-asked cut(x) parts=x\nevent 10.1 fault-proved cut(x)\n"
	calm = "each 0.5 from 1 to 10 s1 update 2\n" // to 9.5 s, seq 19
)

func TestOutageOfOnePartition(t *testing.T) {
	for _, c := range []struct {
		name     string
		text     string
		value    float64
		n        int
		censored bool
		verdict  Verdict
	}{
		{"no bad operation", "each 0.5 from 10 to 30 s1 update 20\n", 0, 0, false, Met},
		{"one bad read, and the next write is good", `
			op 10.2 +0.1 s1 read failed cause=broken
			each 0.5 from 10.5 to 30 s1 update 20`, 10.51 - 10.2, 1, false, Met},
		{"in flight when the fault was asked", `
			op 9.9 10.9 s1 read failed cause=timeout
			each 0.5 from 10.5 to 30 s1 update 20`, 10.51 - 9.9, 1, false, Met},
		{"over before the fault was asked", `
			op 9.6 +0.1 s1 read failed cause=timeout
			each 0.5 from 10.5 to 30 s1 update 20`, 0, 0, false, Met},
		{"intended too long before", `
			op 4.9 +5.2 s1 read failed cause=timeout
			each 0.5 from 10.5 to 30 s1 update 20`, 0, 0, false, Met},
		{"too slow is bad", `
			op 10.2 +0.1 s1 read 19 intended=9.2
			each 0.5 from 10.5 to 30 s1 update 20`, 10.51 - 9.2, 1, false, Met},
		{"never sent is bad", `
			op 10.2 +0 s1 read unsent
			each 0.5 from 10.5 to 30 s1 update 20`, 10.51 - 10.2, 1, false, Met},
		{"a good read does not end it", `
			op 10.2 +0.1 s1 read failed
			each 0.1 from 10.5 to 14 s1 read 19
			each 0.5 from 14 to 30 s1 update 20`, 14.01 - 10.2, 1, false, Met},
		{"a slow write does not end it", `
			op 10.2 +0.1 s1 read failed
			op 11 +1.5 s1 update 20
			each 0.5 from 14 to 30 s1 update 21`, 14.01 - 10.2, 1, false, Met},
		{"a witness has no outage", `
			op 10.2 +0.1 s1 read failed witness
			each 0.5 from 10.5 to 30 s1 update 20`, 0, 0, false, Met},
		{"bad again within the hold", `
			op 10.2 +0.1 s1 read failed
			op 10.5 +0.01 s1 update 20
			op 15.5 +0.1 s1 read failed
			each 0.5 from 16 to 30 s1 update 21`, 16.01 - 10.2, 1, false, Missed},
		{"bad again after the hold", `
			op 10.2 +0.1 s1 read failed
			op 10.5 +0.01 s1 update 20
			op 15.52 +0.1 s1 read failed
			each 0.5 from 16 to 30 s1 update 21`, 10.51 - 10.2, 1, false, Met},
		{"the load stops before the hold is over", `
			op 26 +0.1 s1 read failed
			each 0.5 from 26.2 to 30 s1 update 21`, 26.21 - 26, 1, true, Inconclusive},
		{"no write after it", `
			op 26 +0.1 s1 read failed
			op 29.5 +0.1 s1 read 19`, 3.5, 1, true, Inconclusive},
		{"too long even so far", `
			op 10.2 +0.1 s1 read failed
			op 29.5 +0.1 s1 read 19`, 19.3, 1, true, Missed},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := told(t, map[string]string{Failover: "< 5 s"}, calm+cut+c.text)
			o := r.Trials[0].Measures.Failover
			require.NotNil(t, o)
			assert.InDelta(t, c.value, o.Value, 1e-9)
			assert.Equal(t, c.n, o.N)
			assert.Equal(t, c.censored, o.Censored)
			assert.Equal(t, c.censored, o.Upper == nil)
			assert.Equal(t, c.verdict, objective(r, Failover).Verdict, objective(r, Failover).Evidence)
		})
	}
}

// What giving the parts back breaks is an outage of its own, and the larger
// one counts.
func TestUndoingHasItsOwnOutage(t *testing.T) {
	text := calm + cut + `
		event 15 fault-undone cut(x)
		op 10.2 +0.1 s1 read failed
		op 10.5 +0.01 s1 update 20
		op 15.0 +0.01 s1 update 21
		op 15.3 +0.1 s1 read failed
		each 0.5 from 17 to 30 s1 update 22
	`
	r := told(t, map[string]string{Failover: "< 1 s"}, strings.Replace(text, "op 15.3", "op 16.3", 1))
	f := r.Trials[0].Faults[0]
	assert.InDelta(t, 0.31, f.Failover.Value, 1e-9)
	assert.InDelta(t, 0.71, f.Undo.Value, 1e-9)
	assert.InDelta(t, 0.71, r.Trials[0].Measures.Failover.Value, 1e-9)
	assert.InDelta(t, 2.01, f.Undo.FromAsked, 1e-9, "from the undoing")
	assert.Equal(t, Met, objective(r, Failover).Verdict)
	assert.Contains(t, objective(r, Failover).Evidence, "undoing")

	// Within the hold it is still the first one.
	r = told(t, map[string]string{Failover: "< 5 s"}, text)
	f = r.Trials[0].Faults[0]
	assert.InDelta(t, 17.01-10.2, f.Failover.Value, 1e-9)
	assert.Zero(t, f.Undo.N)
	assert.Equal(t, Missed, objective(r, Failover).Verdict)
}

// Each fault answers for what happened between it and the next change.
func TestTwoFaults(t *testing.T) {
	r := told(t, map[string]string{Failover: "< 5 s", MTTD: "< 1 s"}, calm+cut+`
		event 20 fault-asked kill(y) parts=y
		event 20.1 fault-proved kill(y)
		event 10.4 suspected source=n1 parts=x
		event 20.8 suspected source=n1 parts=y
		event 20.5 suspected source=n1 parts=x    # known since the first fault
		op 10.2 +0.1 s1 read failed
		each 0.5 from 10.5 to 20 s1 update 20
		op 20.2 +0.1 s1 read failed
		each 0.5 from 21.2 to 30 s1 update 60
	`)
	fs := r.Trials[0].Faults
	require.Len(t, fs, 2)
	assert.InDelta(t, 0.31, fs[0].Failover.Value, 1e-9)
	assert.InDelta(t, 1.01, fs[1].Failover.Value, 1e-9)
	assert.InDelta(t, 1.01, r.Trials[0].Measures.Failover.Value, 1e-9)
	assert.InDelta(t, 0.4, fs[0].TimeToDetect.Value, 1e-9)
	assert.InDelta(t, 0.8, fs[1].TimeToDetect.Value, 1e-9)
	assert.InDelta(t, 0.6, objective(r, MTTD).Measured.Value, 1e-9)
	assert.InDelta(t, 0.8, r.Trials[0].Measures.TimeToDetect.Value, 1e-9, "the trial's is its slowest")
}

func TestDetection(t *testing.T) {
	outage := "op 10.2 +0.3 s1 read failed\neach 0.5 from 10.6 to 30 s1 update 20\n"
	for _, c := range []struct {
		name, text string
		seconds    float64
		by         string
	}{
		{"the first event that names a part", "event 10.3 detected source=n1 parts=x\nevent 10.4 suspected source=n1 parts=x", 0.3, "detected by n1"},
		{"an event before it was asked is not it", "event 9.99 suspected source=n1 parts=z\nevent 10.4 suspected source=n1 parts=x", 0.4, "suspected by n1"},
		{"a node that sheds load names itself", "event 10.2 shedding source=x parts=x\nevent 10.4 suspected source=n1 parts=x", 0.2, "shedding by x"},
		{"one that shed load before is not found dead by that", "event 9 shedding source=x parts=x\nevent 10.2 shedding source=x parts=x\nevent 10.4 suspected source=n1 parts=x", 0.4, "suspected by n1"},
		{"an event about something else", "event 10.3 detected source=n1 parts=z", 0.5, "first bad operation"},
		{"an event of the harness", "event 10.3 detected source=harness parts=x", 0.5, "first bad operation"},
		{"the part was named before", "event 9 suspected source=n1 parts=x\nevent 10.3 detected source=n1 parts=x", 0.5, "first bad operation"},
		{"an alert", "event 10.35 alert-firing source=alertmanager parts=x", 0.35, "alert-firing by alertmanager"},
		{"a load balancer", "event 10.35 server-down source=balancer-r parts=x", 0.35, "server-down by balancer-r"},
		{"a load balancer whose nodes come and go says nothing, the platform does", "event 9 server-down source=balancer-r parts=x\nevent 9.5 server-up source=balancer-r parts=x\nevent 10.3 server-down source=balancer-r parts=x\nevent 10.4 suspected source=n1 parts=x", 0.4, "suspected by n1"},
		{"an alert that ends", "event 10.35 alert-resolved source=alertmanager parts=x", 0.5, "first bad operation"},
		{"no events", "", 0.5, "first bad operation"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := told(t, map[string]string{MTTD: "< 1 s"}, calm+cut+outage+c.text+"\n")
			f := r.Trials[0].Faults[0]
			require.NotNil(t, f.TimeToDetect)
			assert.InDelta(t, c.seconds, f.TimeToDetect.Value, 1e-9)
			assert.Contains(t, f.DetectedBy, c.by)
			assert.Equal(t, Met, objective(r, MTTD).Verdict, objective(r, MTTD).Evidence)
		})
	}
	r := told(t, map[string]string{MTTD: "< 1 s"}, calm+cut+"each 0.5 from 10 to 30 s1 update 20\n")
	assert.Equal(t, Inconclusive, objective(r, MTTD).Verdict, "nothing noticed the fault")
	assert.Nil(t, r.Trials[0].Measures.TimeToDetect)
}

// The steady state must come back and stay.
func TestRecoveryStays(t *testing.T) {
	steady := "each 0.1 from 10 to 12 s1 read failed\neach 0.1 from 12 to 30 s1 read 19\n"
	r := told(t, map[string]string{RTO: "< 3 s"}, calm+cut+steady)
	assert.InDelta(t, 2, r.Trials[0].Measures.RTO.Value, 1e-9)
	assert.Equal(t, Met, objective(r, RTO).Verdict)
	r = told(t, map[string]string{RTO: "< 3 s"}, calm+cut+steady+"op 20.5 +0.1 s1 read failed\n")
	assert.InDelta(t, 11, r.Trials[0].Measures.RTO.Value, 1e-9, "one bad operation of eleven breaks the hypothesis again")
	assert.Equal(t, Missed, objective(r, RTO).Verdict)
	// The last second is bad: it is not back, and more than 18 s is all that is known.
	never := steady + "op 28.95 +0.1 s1 read failed\n"
	r = told(t, map[string]string{RTO: "< 30 s"}, calm+cut+never)
	assert.Nil(t, r.Trials[0].Measures.RTO)
	assert.Equal(t, Inconclusive, objective(r, RTO).Verdict)
	r = told(t, map[string]string{RTO: "< 15 s"}, calm+cut+never)
	assert.Equal(t, Missed, objective(r, RTO).Verdict)
}

// A row whose preconditions are absent is never met by default.
func TestNothingIsMetByDefault(t *testing.T) {
	all := map[string]string{}
	for _, name := range Names() {
		for _, expr := range []string{"< 1000 s", "0", ">= 1 %"} {
			if _, err := ParseTarget(name, expr); err == nil {
				all[name] = expr
				break
			}
		}
	}
	require.Len(t, all, len(Names()))
	for name, text := range map[string]string{
		"nothing but a load": "",
		"no load":            "drop event load-started\ndrop event load-stopped\ndrop s1 create\n",
		"no operation":       "drop s1 create\n",
		"a fault alone":      cut,
	} {
		t.Run(name, func(t *testing.T) {
			r := told(t, all, text)
			for _, o := range r.Objectives {
				assert.Equal(t, Inconclusive, o.Verdict, "%s: %s", o.Name, o.Evidence)
			}
			assert.Equal(t, Inconclusive, r.Verdict)
		})
	}
	r := told(t, nil, calm)
	assert.Equal(t, Inconclusive, r.Verdict, "no objective is declared")
	for _, o := range r.Objectives {
		assert.Equal(t, NotEvaluated, o.Verdict)
	}
}

// A partition that nobody used says nothing about its failover.
func TestUnobservedPartition(t *testing.T) {
	r := told(t, map[string]string{Failover: "< 5 s"}, "manifest partitions=3\n"+calm+cut+"each 0.5 from 10 to 30 s1 update 20\n")
	o := objective(r, Failover)
	assert.Equal(t, Inconclusive, o.Verdict)
	assert.Contains(t, o.Evidence, "1, 2")
}

// So few operations can't show five nines.
func TestTooFewForTheShare(t *testing.T) {
	ops := "each 0.1 from 1 to 30 s1 read 1\n"
	r := told(t, map[string]string{Availability: ">= 99 %"}, ops)
	assert.Equal(t, Met, objective(r, Availability).Verdict)
	r = told(t, map[string]string{Availability: ">= 99.999 %"}, ops)
	assert.Equal(t, Inconclusive, objective(r, Availability).Verdict)
	r = told(t, map[string]string{Availability: ">= 99.999 %"}, ops+"op 3.05 +0.1 s1 read failed\n")
	assert.Equal(t, Missed, objective(r, Availability).Verdict)
}

// Trials are judged together: counts are summed, the longest outage counts.
func TestTrials(t *testing.T) {
	trial := func(n int, write float64) string {
		return fmt.Sprintf(`
			event 100 load-started trial=%[1]d
			event 130 load-stopped trial=%[1]d
			event 110 fault-asked cut(x) parts=x trial=%[1]d
			event 110.1 fault-proved cut(x) trial=%[1]d
			each 0.5 from 100 to 110 s1 update 2 trial=%[1]d
			op 110.2 +0.1 s1 read failed trial=%[1]d
			each 0.5 from %[2]g to 130 s1 update 40 trial=%[1]d
			op 120.25 +0.01 s1 read 3 trial=%[1]d
		`, n, write)
	}
	r := told(t, map[string]string{Failover: "< 3 s", StaleReads: "0"}, "manifest trials=2\ndrop event load-started\ndrop event load-stopped\ndrop s1 create\n"+trial(1, 111)+trial(2, 112.5))
	require.Len(t, r.Trials, 2)
	assert.InDelta(t, 0.81, r.Trials[0].Measures.Failover.Value, 1e-9)
	assert.InDelta(t, 2.31, r.Trials[1].Measures.Failover.Value, 1e-9)
	assert.InDelta(t, 2.31, objective(r, Failover).Measured.Value, 1e-9)
	assert.Equal(t, Met, objective(r, Failover).Verdict)
	assert.Equal(t, 2.0, objective(r, StaleReads).Measured.Value)
	assert.Contains(t, r.Examples[1].Why, "trial 2")
	r = told(t, map[string]string{Failover: "< 3 s"}, "manifest trials=3\ndrop event load-started\ndrop event load-stopped\n"+trial(1, 111)+trial(2, 112.5))
	assert.Equal(t, Inconclusive, r.Verdict, "the third trial is missing")
}
