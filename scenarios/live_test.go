package scenarios

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/loadgen/livemetrics"
	"github.com/fivenines/fivenines/slo"
)

// scraped is what an endpoint says: metric and labels, in Prometheus' own text, to value.
type scraped map[string]map[string]float64

func scrape(t *testing.T, url string) scraped {
	t.Helper()
	res, err := http.Get(url)
	require.NoError(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(strings.NewReader(string(b)))
	require.NoError(t, err, "%s", b)
	out := scraped{}
	for name, f := range families {
		out[name] = map[string]float64{}
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			value := m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			out[name][strings.Join(labels, ",")] = value
		}
	}
	return out
}

// sum adds up what has all the labels.
func (s scraped) sum(name string, labels ...string) (n float64) {
	for at, v := range s[name] {
		all := true
		for _, l := range labels {
			all = all && strings.Contains(","+at+",", ","+l+",")
		}
		if all {
			n += v
		}
	}
	return n
}

// What is scraped while a run goes on is what the record says of it in the end.
func TestLiveMetricsAgreeWithTheResult(t *testing.T) {
	t.Parallel()
	m := livemetrics.New()
	s, err := livemetrics.Serve(m, "127.0.0.1:0", false)
	require.NoError(t, err)
	var during scraped
	var once sync.Once
	spec := quick()
	spec.Objectives[slo.Availability] = ">= 10 %"
	o := runOnce(t.Context(), t, spec, &fakeSystem{takeover: 300 * time.Millisecond}, func(opt *Options) {
		opt.Metrics = m
		opt.Progress = &recorder{onEvent: func(e history.Event) {
			if e.Kind == history.SteadyState && e.Fields["phase"] == "during" {
				once.Do(func() { during = scrape(t, s.URL()) })
			}
		}}
	})
	require.NoError(t, o.err)
	require.NotNil(t, o.res)

	fault := "region-loss(region=us-east-1, mode=silent)"
	assert.Equal(t, 1.0, during.sum("fivenines_run_info", "running=true", "scenario=quick", "target=fake", "backend=fake"))
	assert.Equal(t, 1.0, during.sum("fivenines_run_phase", "phase=load-main"))
	assert.Equal(t, 1.0, during.sum("fivenines_fault_state", "kind=region-loss", "state=proved"), "%s: %v", fault, during["fivenines_fault_state"])
	assert.Equal(t, 1.0, during.sum("fivenines_objective_info", "objective=failover", "bound=< 1 s"))
	assert.Positive(t, during.sum("fivenines_operations_total", "during=load", "kind=read", "region=us-east-1", "outcome=ok"))
	assert.Equal(t, 204.0, during.sum("fivenines_operations_total", "during=fill", "kind=create", "outcome=ok"), "200 sessions and 4 contested ones")
	assert.Positive(t, during.sum("fivenines_operations_bad_total"), "a region was lost")
	assert.Positive(t, during.sum("fivenines_outage_seconds"))
	assert.Contains(t, during, "fivenines_schedule_lag_seconds")
	assert.Positive(t, during.sum("fivenines_sessions_live"))
	assert.Zero(t, during.sum("fivenines_objective_verdict"), "nothing is judged yet")

	// Every part of a trial has a name that is documented.
	var documented string
	for _, m := range livemetrics.All() {
		if m.Name == "fivenines_run_phase" {
			documented = m.Help
		}
	}
	require.NotEmpty(t, o.rec.phases)
	for _, p := range o.rec.phases {
		first, _, _ := strings.Cut(strings.ReplaceAll(p.Text, ": ", "-"), " ")
		assert.Contains(t, documented, strings.TrimSuffix(first, ","), "%s", p.Text)
	}

	after := scrape(t, s.URL())
	load := o.res.Load
	for outcome, want := range map[string]uint64{"ok": load.OK, "failed": load.Failed, "unknown": load.Unknown, "unsent": load.Unsent} {
		assert.Equal(t, float64(want), after.sum("fivenines_operations_total", "during=load", "outcome="+outcome), outcome)
	}
	assert.Equal(t, float64(load.Intended), after.sum("fivenines_operations_offered_total", "during=load"))
	ops := o.res.Trials[0].Operations
	require.NotNil(t, ops)
	assert.Zero(t, after.sum("fivenines_operations_uncounted_total"))
	assert.Equal(t, 1.0, after.sum("fivenines_fault_state", "state=undone"))
	assert.Equal(t, 1.0, after.sum("fivenines_faults_total", "state=proved"))
	assert.Zero(t, after.sum("fivenines_run_phase"))
	assert.Equal(t, 1.0, after.sum("fivenines_run_info", "running=false"))
	available := row(t, o.res, slo.Availability)
	require.NotNil(t, available.Measured)
	assert.InDelta(t, available.Measured.Value, after.sum("fivenines_availability_ratio"), 0.02, "the estimate is over the whole load, the measure over its window")
	for _, want := range o.res.Objectives {
		assert.Equal(t, 1.0, after.sum("fivenines_objective_verdict", "objective="+want.Name, "verdict="+string(want.Verdict)), want.Name)
	}
	failover := o.res.Trials[0].Measures.Failover
	require.NotNil(t, failover)
	assert.GreaterOrEqual(t, after.sum("fivenines_outage_seconds")+0.05, failover.Value, "no partition's took longer")

	// It ends with whoever holds it.
	require.NoError(t, s.Close())
	_, err = http.Get(s.URL())
	assert.Error(t, err)
}
