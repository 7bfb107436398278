package slo

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/fivenines/fivenines/slo/stats"
)

// Statistics are what the trials of a run, as a sample of all possible ones,
// say of every measure. The unit is the trial: sessions, shards and operations
// of one trial fail together. Void trials are left out.
type Statistics struct {
	Trials     int     `json:"trials"`
	Void       int     `json:"void"`
	Confidence float64 `json:"confidence"` // of every interval and bound
	// Quantile is the highest one that so many trials can bound from above.
	Quantile float64 `json:"highest_quantile"`
	// Sequential: trials went on until they had decided.
	Sequential bool              `json:"sequential"`
	Measures   []TrialStatistics `json:"measures"`
}

// TrialStatistics are those of one measure, in the unit of its objective. What
// the number of trials does not support is null.
type TrialStatistics struct {
	Name   string    `json:"name"` // of the objective
	Unit   string    `json:"unit"`
	Values []Trialed `json:"values"` // one a trial, in their order
	// Median and Mean have intervals where there are enough trials. Durations
	// that were not seen to end make the median that of Kaplan and Meier, and
	// the mean null.
	Median *Value `json:"median"`
	Mean   *Value `json:"mean"`
	// UpperBound of the highest quantile.
	UpperBound *float64 `json:"highest_quantile_upper"`
	// Missing is the share of trials that break the declared target, with its
	// exact interval (or, of sequential trials, the confidence sequence); for
	// a count without a declared target, of those with any.
	Missing *Value `json:"missing"`
	Misses  int    `json:"misses"`
}

// Trialed is a measure in one trial.
type Trialed struct {
	Trial    int     `json:"trial"`
	Value    float64 `json:"value"`
	Censored bool    `json:"censored,omitempty"` // at least Value
}

// resamples of the bootstrap.
const resamples = 2000

// valueOf is what the trial says of a row; false if it says nothing.
func (t *trial) valueOf(name string) (Trialed, bool) {
	v := Trialed{Trial: t.n}
	of := func(m *Value) (Trialed, bool) {
		if m == nil {
			return v, false
		}
		v.Value = m.Value
		return v, true
	}
	counted := func(n int) (Trialed, bool) {
		v.Value = float64(n)
		return v, true
	}
	switch name {
	case Failover:
		if o := t.m.Failover; o != nil {
			v.Value, v.Censored = o.Value, o.Censored
			return v, true
		}
		return v, false
	case Restart:
		if c := t.m.Restart; c != nil {
			v.Value, v.Censored = c.Value, c.Censored
			return v, true
		}
		return v, false
	case RTO:
		for _, f := range t.faults {
			if f.recovered == nil && f.recoveredBy > f.asked {
				v.Value, v.Censored = max(v.Value, sec(f.recoveredBy-f.asked)), true
			}
		}
		if v.Censored {
			return v, true
		}
		return of(t.m.RTO)
	case RPO:
		return of(t.m.RPO)
	case MTTD:
		return of(t.m.TimeToDetect)
	case MTTR:
		return of(t.m.TimeToRecover)
	case Availability:
		return of(t.m.Availability)
	case Capacity:
		return of(t.m.Capacity)
	case SessionLoss:
		return counted(t.m.SessionsLost)
	case LostWrites:
		return counted(t.m.LostWrites)
	case Regressed:
		return counted(t.m.Regressed)
	case StaleReads:
		return counted(t.m.wrongReads())
	case Expiry:
		return counted(t.m.ExpiryViolations)
	case Linearizability:
		return counted(t.m.NotLinearizable)
	case MinorityAckWrite:
		return counted(t.m.MinorityAcks)
	case ReadYourWrites, MonotonicReads, ReplayGaps, CrossSession:
		return counted(t.m.broken(name))
	case Staleness:
		if t.m.Staleness != nil {
			return of(value(t.m.Staleness.Max))
		}
	}
	return v, false
}

// statistics of all rows; nil of less than two valid trials.
func (a *analysis) statistics() *Statistics {
	valid := a.judged()
	if len(valid) < 2 {
		return nil
	}
	confidence := 1 - a.cfg.Alpha
	s := &Statistics{
		Trials: len(valid), Void: len(a.trials) - len(valid), Confidence: confidence, Sequential: a.cfg.Sequential,
		Quantile: round(stats.HighestQuantile(len(valid), confidence)), Measures: []TrialStatistics{},
	}
	for _, r := range rows {
		m := TrialStatistics{Name: r.name, Unit: string(r.unit), Values: []Trialed{}}
		for _, t := range valid {
			if v, ok := t.valueOf(r.name); ok && len(t.lacksFor(r.name)) == 0 {
				m.Values = append(m.Values, v)
			}
		}
		if len(m.Values) == 0 {
			continue
		}
		a.describe(&m, r)
		s.Measures = append(s.Measures, m)
	}
	return s
}

// describe fills in what the values support.
func (a *analysis) describe(m *TrialStatistics, r row) {
	confidence := 1 - a.cfg.Alpha
	vs := make([]float64, len(m.Values))
	ds := make([]stats.Duration, len(m.Values))
	censored := false
	for i, v := range m.Values {
		vs[i] = v.Value
		ds[i] = stats.Duration{Seconds: v.Value, Censored: v.Censored}
		censored = censored || v.Censored
	}
	sorted := slices.Sorted(slices.Values(vs))
	switch {
	case censored:
		if q, in, ok := stats.KaplanMeier(ds).Quantile(0.5, confidence); ok {
			m.Median = bounded(q, in, true)
		}
	default:
		in, ok := stats.QuantileInterval(sorted, 0.5, confidence)
		m.Median = bounded(stats.Quantile(sorted, 0.5), in, ok)
		m.Mean = a.mean95(vs)
		if up, ok := stats.QuantileUpper(sorted, stats.HighestQuantile(len(sorted), confidence), confidence); ok && r.unit == seconds {
			m.UpperBound = ptr(round(up))
		}
	}
	target, declared := a.target(r.name)
	if !declared && r.unit != count {
		return
	}
	if !declared {
		target = Target{Name: r.name, Max: ptr(0.0)}
	}
	known := 0
	seq := a.sequential(target)
	for _, v := range m.Values {
		breaks, ok := target.breaks(v, r.unit)
		if !ok {
			continue
		}
		known++
		if breaks {
			m.Misses++
		}
		if seq != nil {
			seq.Observe(breaks)
		}
	}
	if known == 0 {
		return
	}
	in := stats.Proportion(m.Misses, known, confidence)
	if seq != nil {
		in = seq.Interval(confidence)
	}
	m.Missing = bounded(float64(m.Misses)/float64(known), in, true)
}

// mean95 is the mean with its BCa interval, where the values support one.
func (a *analysis) mean95(vs []float64) *Value {
	sum := 0.0
	for _, v := range vs {
		sum += v
	}
	mean := sum / float64(len(vs))
	rng := rand.New(rand.NewPCG(uint64(a.rec.manifest.Seed), 0x5EED))
	in, err := stats.BCa(vs, meanOf, 1-a.cfg.Alpha, resamples, rng)
	return bounded(mean, in, err == nil)
}

func meanOf(vs []float64) float64 {
	sum := 0.0
	for _, v := range vs {
		sum += v
	}
	return sum / float64(len(vs))
}

// bounded is a value with the finite ends of its interval.
func bounded(v float64, in stats.Interval, ok bool) *Value {
	out := value(round(v))
	if !ok {
		return out
	}
	if !math.IsInf(in.Lower, 0) {
		out.Lower = ptr(round(in.Lower))
	}
	if !math.IsInf(in.Upper, 0) {
		out.Upper = ptr(round(in.Upper))
	}
	return out
}

// breaks says whether a trial's value breaks the target; false, false of one
// that was not seen to end below the bound.
func (t Target) breaks(v Trialed, u unit) (breaks, known bool) {
	switch {
	case t.Min != nil:
		return v.Value < *t.Min, true
	case u == seconds:
		if v.Value >= *t.Max {
			return true, true
		}
		return false, !v.Censored
	}
	return v.Value > *t.Max, true
}

func (a *analysis) target(name string) (Target, bool) {
	i := slices.IndexFunc(a.cfg.Objectives, func(t Target) bool { return t.Name == name })
	if i < 0 {
		return Target{}, false
	}
	return a.cfg.Objectives[i], true
}

// sequential is the test of the share of trials that break the target, where
// trials were stopped by what they showed.
func (a *analysis) sequential(t Target) *stats.Sequential {
	if !a.cfg.Sequential || t.Quantile == 0 {
		return nil
	}
	s, err := stats.NewSequential(1-t.Quantile, a.cfg.Alpha, a.cfg.Beta)
	if err != nil {
		panic(fmt.Sprintf("objective %s: %v", t.Name, err)) // Config.validate
	}
	return s
}

// quantileVerdict judges the share of trials that break a target by the trials
// in their order.
func (a *analysis) quantileVerdict(target Target, r row) (Verdict, string) {
	n, misses, open := 0, 0, 0
	seq := a.sequential(target)
	decision := stats.Undecided
	for _, t := range a.judged() {
		v, ok := t.valueOf(r.name)
		breaks, known := false, false
		if ok {
			breaks, known = target.breaks(v, r.unit)
		}
		// What a trial lacks is no matter where it breaks the target for certain.
		if !known || !breaks && len(t.lacksFor(r.name)) > 0 {
			open++
			continue
		}
		n++
		if breaks {
			misses++
		}
		if seq != nil && decision == stats.Undecided {
			decision = seq.Observe(breaks)
		}
	}
	allowed := 1 - target.Quantile
	if seq == nil && n > 0 {
		switch {
		case stats.ProportionUpper(misses, n, 1-a.cfg.Alpha) <= allowed+1e-12:
			decision = stats.Below
		case stats.ProportionLower(misses, n, 1-a.cfg.Beta) > allowed:
			decision = stats.Above
		}
	}
	e := fmt.Sprintf("%d of %d trials were not below %s s; %s", misses, n, number(*target.Max), a.shareText(misses, n, seq))
	if open > 0 {
		e += fmt.Sprintf("; %d trials don't tell", open)
	}
	switch {
	case open > 0 && float64(open) > maxVoidShare*float64(n+open):
		return Inconclusive, "too many trials don't tell: " + e
	case decision == stats.Below:
		return Met, e
	case decision == stats.Above:
		return Missed, e
	case misses == 0 && seq == nil:
		return Inconclusive, fmt.Sprintf("%s needs %d trials without a miss: %s", target, stats.TrialsFor(target.Quantile, 1-a.cfg.Alpha), e)
	}
	return Inconclusive, "the trials don't decide: " + e
}

// quantileValue is the target's quantile over the trials, with its upper bound
// where there are enough of them, or its lower one where it is not seen to end.
func (a *analysis) quantileValue(target Target, r row) *Value {
	var vs []Trialed
	for _, t := range a.judged() {
		if v, ok := t.valueOf(r.name); ok {
			vs = append(vs, v)
		}
	}
	if len(vs) == 0 {
		return nil
	}
	slices.SortFunc(vs, func(x, y Trialed) int { return cmp.Compare(x.Value, y.Value) })
	sorted := make([]float64, len(vs))
	firstOpen := math.Inf(1)
	for i, v := range vs {
		sorted[i] = v.Value
		if v.Censored {
			firstOpen = min(firstOpen, v.Value)
		}
	}
	q := value(round(nearestRank(sorted, target.Quantile)))
	if q.Value >= firstOpen {
		q.Lower = ptr(q.Value)
		return q
	}
	if up, ok := stats.QuantileUpper(sorted, target.Quantile, 1-a.cfg.Alpha); ok && up < firstOpen && !a.cfg.Sequential {
		q.Upper = ptr(round(up))
	}
	return q
}

// shareText says in words what the misses tell of all possible trials.
func (a *analysis) shareText(misses, n int, seq *stats.Sequential) string {
	if n == 0 {
		return "nothing is known of others"
	}
	confidence := 1 - a.cfg.Alpha
	if seq != nil {
		in := seq.Interval(confidence)
		return fmt.Sprintf("of all trials %s to %s %% would not be, at %s %% confidence whenever one stops", percent(in.Lower), percent(in.Upper), number(100*confidence))
	}
	if misses == 0 {
		return fmt.Sprintf("of all trials at most %s %% would not be, at %s %% confidence", percent(stats.ProportionUpper(0, n, confidence)), number(100*confidence))
	}
	in := stats.Proportion(misses, n, confidence)
	return fmt.Sprintf("of all trials %s to %s %% would not be, at %s %% confidence", percent(in.Lower), percent(in.Upper), number(100*confidence))
}

// percent of a share, to three digits.
func percent(share float64) string {
	v := 100 * share
	switch {
	case v >= 10:
		v = math.Round(10*v) / 10
	case v >= 1:
		v = math.Round(100*v) / 100
	default:
		v = math.Round(1000*v) / 1000
	}
	return number(v)
}

// cleanText bounds what clean trials say of a count.
func (a *analysis) cleanText(n int) string {
	confidence := 1 - a.cfg.Alpha
	return fmt.Sprintf("none in %d trials: at %s %% confidence at most %s %% of all trials would have one",
		n, number(100*confidence), percent(stats.ProportionUpper(0, n, confidence)))
}

// decided says whether the trials so far decide: an objective is missed, or
// every one on a quantile is met.
func (r *Result) decided() bool {
	quantiles, open := 0, 0
	for _, o := range r.Objectives {
		if o.Verdict == Missed {
			return true
		}
		if o.Quantile > 0 {
			quantiles++
			if o.Verdict == Inconclusive {
				open++
			}
		}
	}
	return quantiles > 0 && open == 0
}
