package slo

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A process that is killed at 10 s, and what was seen of it; the hold is 5 s.
func TestRestart(t *testing.T) {
	const killed = `
		each 0.5 from 1 to 30 s1 update 2
		event 10 fault-asked crash(n1) parts=n1 comes_back=n1
		event 10.1 fault-proved crash(n1)
		event 25 fault-undone crash(n1)
	`
	for name, c := range map[string]struct {
		text     string
		want     *Comeback
		verdict  Verdict
		evidence string
	}{
		"it serves, and goes on": {`
			event 10.1 node-not-ready crash(n1)
			event 12 node-not-ready crash(n1)
			event 12.1 node-ready crash(n1)
			event 17.1 node-ready crash(n1)`, &Comeback{Value: 2.1, Lower: 2, Upper: ptr(2.1), N: 1}, Met, "n1 served again by itself 2.1 s"},
		"before anybody looked": {`
			event 10.2 node-ready crash(n1)
			event 15.2 node-ready crash(n1)`, &Comeback{Value: 0.2, Upper: ptr(0.2), N: 1}, Met, ""},
		"too late": {`
			event 13 node-not-ready crash(n1)
			event 14 node-ready crash(n1)
			event 19.1 node-ready crash(n1)`, &Comeback{Value: 4, Lower: 3, Upper: ptr(4.0), N: 1}, Missed, ""},
		"never": {`
			event 10.1 node-not-ready crash(n1) detail=gone
			event 24.9 node-not-ready crash(n1) detail=starting`, &Comeback{Value: 14.9, Lower: 14.9, N: 1, Censored: true}, Missed, "was not seen to serve again by itself for 5s, up to 14.9 s after the fault was asked: starting"},
		"only started by the undoing": {`
			event 24.9 node-not-ready crash(n1)
			event 25.5 node-ready crash(n1)
			event 31 node-ready crash(n1)`, &Comeback{Value: 14.9, Lower: 14.9, N: 1, Censored: true}, Missed, ""},
		"gone again within the hold": {`
			event 10.5 node-ready crash(n1)
			event 15.5 node-not-ready crash(n1)
			event 24.9 node-not-ready crash(n1)`, &Comeback{Value: 14.9, Lower: 14.9, N: 1, Censored: true}, Missed, ""},
		"gone again after the hold": {`
			event 10.5 node-ready crash(n1)
			event 15.6 node-not-ready crash(n1)`, &Comeback{Value: 0.5, Upper: ptr(0.5), N: 1}, Met, ""},
		"not looked at for the hold": {`
			event 10.5 node-ready crash(n1)
			event 15.4 node-ready crash(n1)`, &Comeback{Value: 0.5, Lower: 0.5, N: 1, Censored: true}, Inconclusive, "its time is a lower bound"},
		"not looked at for long enough to miss it": {`
			event 12 node-not-ready crash(n1)`, &Comeback{Value: 2, Lower: 2, N: 1, Censored: true}, Inconclusive, ""},
		"the node itself says so": {`
			event 11 node-ready crash(n1) source=n1
			event 17 node-ready crash(n1) source=n1`, nil, Inconclusive, "nobody looked whether n1 came back"},
		"another fault's node": {`
			event 11 node-ready crash(n2)
			event 17 node-ready crash(n2)`, nil, Inconclusive, "nobody looked"},
		"an earlier crash of it": {`
			event 5 node-ready crash(n1)
			event 9.9 node-ready crash(n1)`, nil, Inconclusive, "nobody looked"},
	} {
		t.Run(name, func(t *testing.T) {
			r := told(t, map[string]string{Restart: "< 3 s"}, killed+c.text)
			assert.Equal(t, c.want, r.Trials[0].Measures.Restart)
			assert.Equal(t, c.want, r.Trials[0].Faults[0].Restart)
			assert.Equal(t, c.verdict, r.Verdict, r.Summary)
			assert.Contains(t, objective(r, Restart).Evidence, c.evidence)
		})
	}

	r := told(t, map[string]string{Restart: "< 3 s"}, calm+cut)
	assert.Nil(t, r.Trials[0].Measures.Restart)
	assert.Equal(t, Inconclusive, r.Verdict)
	assert.Contains(t, objective(r, Restart).Evidence, "no fault took a node away that must come back by itself")
}

// Of several nodes the one counts that took longest, and the whole is not over
// before each is back.
func TestRestartOfSeveralNodes(t *testing.T) {
	const both = `
		each 0.5 from 1 to 30 s1 update 2
		event 10 fault-asked crash(n1) parts=n1 comes_back=n1
		event 10.1 fault-proved crash(n1)
		event 11 fault-asked crash(n2) parts=n2 comes_back=n2
		event 11.1 fault-proved crash(n2)
		event 14 node-ready crash(n1)
		event 19 node-ready crash(n1)
	`
	r := told(t, map[string]string{Restart: "< 5 s"}, both+`
		event 12 node-ready crash(n2)
		event 17 node-ready crash(n2)`)
	assert.Equal(t, &Comeback{Value: 4, Upper: ptr(4.0), N: 2}, r.Trials[0].Measures.Restart)
	assert.Equal(t, Met, r.Verdict)
	assert.Contains(t, objective(r, Restart).Evidence, "the longest of 2: n1 served again by itself 4 s")

	r = told(t, map[string]string{Restart: "< 5 s"}, both+`event 13 node-not-ready crash(n2)`)
	assert.Equal(t, &Comeback{Value: 4, Lower: 4, N: 2, Censored: true}, r.Trials[0].Measures.Restart, "n2 may take longer yet")
	assert.Equal(t, Inconclusive, r.Verdict)

	r = told(t, map[string]string{Restart: "< 5 s"}, both+`event 17 node-not-ready crash(n2)`)
	assert.Equal(t, &Comeback{Value: 6, Lower: 6, N: 2, Censored: true}, r.Trials[0].Measures.Restart)
	assert.Equal(t, Missed, r.Verdict)
	assert.Contains(t, r.Summary, "a node took at least 6 s to serve again by itself (< 5 s)")

	// The same process killed twice: each crash is seen by what came after it.
	r = told(t, map[string]string{Restart: "< 5 s"}, `
		each 0.5 from 1 to 30 s1 update 2
		event 10 fault-asked crash(n1) parts=n1 comes_back=n1
		event 10.1 fault-proved crash(n1)
		event 11 node-ready crash(n1)
		event 16 node-ready crash(n1)
		event 20 fault-asked crash(n1) parts=n1 comes_back=n1
		event 20.1 fault-proved crash(n1)
		event 21 node-not-ready crash(n1)
		event 22 node-ready crash(n1)
		event 27 node-ready crash(n1)`)
	assert.Equal(t, &Comeback{Value: 1, Upper: ptr(1.0), N: 1}, r.Trials[0].Faults[0].Restart)
	assert.Equal(t, &Comeback{Value: 2, Lower: 1, Upper: ptr(2.0), N: 1}, r.Trials[0].Faults[1].Restart)
	assert.Equal(t, Met, r.Verdict)
}

// Over trials, a time that was not seen to end is at least so long.
func TestRestartOverTrials(t *testing.T) {
	trial := func(seen string) string {
		return `
			event 1 load-started trial=N
			each 0.5 from 1 to 30 s1 update 2 trial=N
			event 10 fault-asked crash(n1) parts=n1 comes_back=n1 trial=N
			event 10.1 fault-proved crash(n1) trial=N
			event 30 load-stopped trial=N
		` + seen
	}
	back := "event 12 node-ready crash(n1) trial=N\nevent 17 node-ready crash(n1) trial=N\n"
	text := "manifest trials=2\ndrop event load-started\ndrop event load-stopped\ndrop s1 create\n" +
		strings.ReplaceAll(trial(back), "trial=N", "trial=1") +
		strings.ReplaceAll(trial("event 19 node-not-ready crash(n1) trial=N\n"), "trial=N", "trial=2")
	r := told(t, map[string]string{Restart: "< 5 s"}, text)
	assert.Equal(t, Missed, r.Verdict, r.Summary)
	require.NotNil(t, r.Statistics)
	var got []Trialed
	for _, m := range r.Statistics.Measures {
		if m.Name == Restart {
			got = m.Values
		}
	}
	assert.Equal(t, []Trialed{{Trial: 1, Value: 2}, {Trial: 2, Value: 9, Censored: true}}, got)
	_, err := ParseTarget(Restart, "p90 < 30 s")
	require.NoError(t, err)
}

// A result of before there was this measure can still be read and compared.
func TestResultsWithoutRestartAreRead(t *testing.T) {
	const field = `"restart_s":null,`
	good := string(goodResult(t))
	require.Contains(t, good, field, "null where no node had to come back")
	r, err := Decode([]byte(strings.ReplaceAll(good, field, "")))
	require.NoError(t, err)
	assert.Nil(t, r.Trials[0].Measures.Restart)
	again, err := json.Marshal(r)
	require.NoError(t, err)
	assert.JSONEq(t, good, string(again))
}
