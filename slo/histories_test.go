package slo

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures/histories"
)

func recordOf(h *histories.History) *record {
	return &record{manifest: h.Manifest, events: h.Events, ops: h.Ops}
}

// configOf reads the rules of a history: settings in seconds, and objectives
// with _ for spaces.
func configOf(t testing.TB, h *histories.History) Config {
	t.Helper()
	c := Config{}
	for _, name := range Names() {
		if expr, ok := h.Rules[name]; ok {
			target, err := ParseTarget(name, strings.ReplaceAll(expr, "_", " "))
			require.NoError(t, err)
			c.Objectives = append(c.Objectives, target)
		}
	}
	secs := func(name string) time.Duration {
		if h.Rules[name] == "" {
			return 0
		}
		f, err := strconv.ParseFloat(h.Rules[name], 64)
		require.NoError(t, err)
		return time.Duration(f * float64(time.Second))
	}
	c.Hold, c.ExpiryGrace, c.Steady.Window = secs("hold"), secs("grace"), secs("window")
	if s := h.Rules["success"]; s != "" {
		var err error
		c.Steady.Success, err = strconv.ParseFloat(s, 64)
		require.NoError(t, err)
	}
	return c
}

func load(t testing.TB, name string) (*record, Config) {
	t.Helper()
	h, err := histories.Load(name)
	require.NoError(t, err)
	return recordOf(h), configOf(t, h)
}

// facts are what a history may say is wanted of its result, by name.
func facts(r *Result) map[string]string {
	f := map[string]string{"verdict": string(r.Verdict)}
	var missed, open []string
	for _, o := range r.Objectives {
		switch o.Verdict {
		case Missed:
			missed = append(missed, o.Name)
		case Inconclusive:
			open = append(open, o.Name)
		}
	}
	f["missed"], f["inconclusive"] = strings.Join(missed, ","), strings.Join(open, ",")
	f["intended"], f["ok"] = fmt.Sprint(r.Load.Intended), fmt.Sprint(r.Load.OK)
	f["failed"], f["unknown"], f["unsent"] = fmt.Sprint(r.Load.Failed), fmt.Sprint(r.Load.Unknown), fmt.Sprint(r.Load.Unsent)

	m := r.Trials[0].Measures
	b, _ := json.Marshal(m)
	var fields map[string]any
	_ = json.Unmarshal(b, &fields)
	for k, v := range fields {
		if o, ok := v.(map[string]any); ok {
			v = o["value"]
		}
		switch v := v.(type) {
		case nil:
			f[k] = "null"
		case float64:
			f[k] = number(v)
		default:
			f[k] = fmt.Sprint(v)
		}
	}
	if o := m.Failover; o != nil {
		f["failover_n"], f["failover_from_asked"], f["failover_p50"] = fmt.Sprint(o.N), number(o.FromAsked), number(o.P50)
		f["failover_censored"] = fmt.Sprint(o.Censored)
	}
	if fs := r.Trials[0].Faults; len(fs) > 0 && fs[0].Undo != nil {
		f["undo_n"], f["undo_s"] = fmt.Sprint(fs[0].Undo.N), number(fs[0].Undo.Value)
	}
	return f
}

// Every recorded history gives what was worked out for it by hand: good ones
// are met, and each bad twin is caught, on the right row.
func TestHistories(t *testing.T) {
	names := histories.Names()
	require.NotEmpty(t, names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			h, err := histories.Load(name)
			require.NoError(t, err)
			r, err := analyze(recordOf(h), configOf(t, h))
			require.NoError(t, err)
			got := facts(r)
			for path, v := range flat(&r.Trials[0]) {
				got[path] = v
			}
			require.NotEmpty(t, h.Want["verdict"], "a history says which verdict it wants")
			if strings.HasSuffix(name, "-bad") {
				require.NotEqual(t, "met", h.Want["verdict"])
			}
			for k, want := range wants(t, h) {
				if strings.HasSuffix(k, "*") {
					continue // see TestEveryMeasureIsWorkedOut
				}
				switch k {
				case "good":
					n := strings.Split(objective(r, Availability).Evidence, " ")
					assert.Equal(t, []string{want, h.Want["follower"]}, []string{n[0], n[2]}, "good and follower operations")
				case "follower", "sessions_windows":
				case "sessions_good":
					good, _ := strconv.ParseFloat(want, 64)
					all, _ := strconv.ParseFloat(h.Want["sessions_windows"], 64)
					assert.Equal(t, good/all, r.Trials[0].Measures.SessionAvail.Value)
				default:
					assert.True(t, agrees(want, got[k]), "%s is %s, not %s", k, got[k], want)
				}
			}
			if _, ok := h.Want["missed"]; !ok {
				assert.Empty(t, got["missed"], "rows missed")
			}
			if t.Failed() {
				b, _ := json.MarshalIndent(r, "", " ")
				t.Log(string(b))
			}
			checkResult(t, r)
		})
	}
}

func objective(r *Result, name string) Objective {
	return r.Objectives[slices.IndexFunc(r.Objectives, func(o Objective) bool { return o.Name == name })]
}

// checkResult holds for every result.
func checkResult(t testing.TB, r *Result) {
	t.Helper()
	assert.NotEmpty(t, r.Summary)
	assert.Len(t, r.Objectives, len(Names()))
	for _, o := range r.Objectives {
		if o.Verdict != NotEvaluated {
			assert.NotEmpty(t, o.Evidence, o.Name)
			assert.NotEmpty(t, o.Target, o.Name)
		}
	}
	for i := range r.Trials {
		assert.Empty(t, broken(&r.Trials[i]), "trial %d adds up", i+1)
	}
	for _, wrong := range unshown(r) {
		t.Error(wrong)
	}
	b, err := json.Marshal(r)
	require.NoError(t, err)
	require.NoError(t, ValidateJSON(b))
	back, err := Decode(b)
	require.NoError(t, err)
	again, err := json.Marshal(back)
	require.NoError(t, err)
	assert.JSONEq(t, string(b), string(again))
}
