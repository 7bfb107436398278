package compare

import (
	"math"
	"slices"
	"strconv"

	"github.com/fivenines/fivenines/slo"
	"github.com/fivenines/fivenines/slo/stats"
)

const unitCount = "count"

// kind is a measure that can be compared.
type kind struct {
	name, unit   string
	higherBetter bool
	value        func(m *slo.Measures) *slo.Value
}

func whole(of func(m *slo.Measures) int) func(m *slo.Measures) *slo.Value {
	return func(m *slo.Measures) *slo.Value { return &slo.Value{Value: float64(of(m))} }
}

// kinds in the order of the table: first what must never happen.
var kinds = []kind{
	{slo.SessionLoss, unitCount, false, whole(func(m *slo.Measures) int { return m.SessionsLost })},
	{slo.LostWrites, unitCount, false, whole(func(m *slo.Measures) int { return m.LostWrites })},
	{slo.Regressed, unitCount, false, whole(func(m *slo.Measures) int { return m.Regressed })},
	{slo.StaleReads, unitCount, false, whole(func(m *slo.Measures) int {
		return m.StaleReads + m.BackwardReads + m.PhantomReads + m.CorruptReads
	})},
	{slo.Expiry, unitCount, false, whole(func(m *slo.Measures) int { return m.ExpiryViolations })},
	{slo.Linearizability, unitCount, false, whole(func(m *slo.Measures) int { return m.NotLinearizable })},
	{slo.MinorityAckWrite, unitCount, false, whole(func(m *slo.Measures) int { return m.MinorityAcks })},
	{slo.Failover, "s", false, func(m *slo.Measures) *slo.Value {
		if m.Failover == nil {
			return nil
		}
		return &slo.Value{Value: m.Failover.Value}
	}},
	{slo.Restart, "s", false, func(m *slo.Measures) *slo.Value {
		if m.Restart == nil {
			return nil
		}
		return &slo.Value{Value: m.Restart.Value}
	}},
	{"time-to-detect", "s", false, func(m *slo.Measures) *slo.Value { return m.TimeToDetect }},
	{slo.RTO, "s", false, func(m *slo.Measures) *slo.Value { return m.RTO }},
	{slo.RPO, "s", false, func(m *slo.Measures) *slo.Value { return m.RPO }},
	{"unavailable", "s", false, func(m *slo.Measures) *slo.Value { return m.Unavailable }},
	{slo.Availability, "share", true, func(m *slo.Measures) *slo.Value { return m.Availability }},
	{slo.Capacity, "share", true, func(m *slo.Measures) *slo.Value { return m.Capacity }},
	{"read-p99", "ms", false, func(m *slo.Measures) *slo.Value { return m.ReadP99 }},
	{"write-p99", "ms", false, func(m *slo.Measures) *slo.Value { return m.WriteP99 }},
}

// Names lists what can be compared.
func Names() []string {
	var ns []string
	for _, k := range kinds {
		ns = append(ns, k.name)
	}
	return ns
}

func higherIsBetter(name string) bool {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
	return i >= 0 && kinds[i].higherBetter
}

// validTrials are the numbers of those from which something is concluded.
func validTrials(r *slo.Result) []int {
	var ns []int
	for i := range r.Trials {
		if len(r.Trials[i].Void) == 0 {
			ns = append(ns, i+1)
		}
	}
	return ns
}

// values of the valid trials; of a count, those of all: what was lost is lost.
func (k kind) values(r *slo.Result) []slo.Trialed {
	if r.Statistics != nil && k.unit == "s" {
		// They know which durations were not seen to end.
		for _, m := range r.Statistics.Measures {
			if m.Name == k.name {
				return m.Values
			}
		}
	}
	var out []slo.Trialed
	for i := range r.Trials {
		t := &r.Trials[i]
		if len(t.Void) > 0 && k.unit != unitCount {
			continue
		}
		v := k.value(&t.Measures)
		if v == nil {
			continue
		}
		out = append(out, slo.Trialed{
			Trial: i + 1, Value: v.Value,
			Censored: k.name == slo.Failover && t.Measures.Failover.Censored || k.name == slo.Restart && t.Measures.Restart.Censored,
		})
	}
	return out
}

// numbers are the values, and the least of those that were not seen to end,
// which are infinite among the numbers.
func numbers(vs []slo.Trialed) (out []float64, open float64) {
	open = math.Inf(1)
	for _, v := range vs {
		if v.Censored {
			open = min(open, v.Value)
			out = append(out, math.Inf(1))
		} else {
			out = append(out, v.Value)
		}
	}
	return out, open
}

// isLongest says whether durations of at least open are longer than all that
// were seen to end.
func isLongest(open float64, samples ...[]float64) bool {
	for _, s := range samples {
		for _, v := range s {
			if !math.IsInf(v, 1) && v > open {
				return false
			}
		}
	}
	return true
}

// median of the values; nil where it is not known.
func median(vs []float64) *float64 {
	if len(vs) == 0 {
		return nil
	}
	s := slices.Sorted(slices.Values(vs))
	if math.IsInf(s[len(s)/2], 1) {
		return nil
	}
	v := stats.Quantile(s, 0.5)
	return &v
}

func sum(vs []float64) float64 {
	t := 0.0
	for _, v := range vs {
		t += v
	}
	return t
}

func trim(v float64) string { return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64) }
