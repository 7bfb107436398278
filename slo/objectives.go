package slo

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fivenines/fivenines/internal/closest"
)

// Names of the objectives that a scenario may declare, with the measure that
// each one bounds (strictly below the maximum for durations, at most for counts).
const (
	Failover         = "failover"             // seconds: the longest outage of any partition (Measures.Failover.Value)
	Restart          = "restart"              // seconds from the fault until a node that must come back by itself serves again, and stays
	SessionLoss      = "session-loss"         // count: sessions acknowledged and neither closed nor expired that strong reads do not find
	LostWrites       = "lost-writes"          // count: acknowledged writes that no later state has
	Regressed        = "regressed"            // count: sessions found in a state older than the last acknowledged one
	StaleReads       = "stale-reads"          // count: stale, backward, phantom and corrupt reads
	Expiry           = "expiry"               // count: sessions that expired early, lived on after their time and the grace, or came back
	Linearizability  = "linearizability"      // count of histories that are not linearizable
	RPO              = "rpo"                  // seconds: how far back acknowledged writes were lost; 0 if none was
	RTO              = "rto"                  // seconds from the fault until the steady state holds again and stays
	MTTD             = "mttd"                 // seconds from the fault to its detection, mean over trials
	MTTR             = "mttr"                 // seconds from the detection to the steady state, mean over trials
	Availability     = "availability"         // share of good operations in the run, minimum
	Capacity         = "capacity"             // achieved over target rate before the fault, minimum
	ReadYourWrites   = "read-your-writes"     // count: eventual reads that lack a write of their own session's writer
	MonotonicReads   = "monotonic-reads"      // count: eventual reads older than an earlier one of the same session's writer
	Staleness        = "staleness"            // seconds, Measures.Staleness.Max: the state of every eventual read is replaced for less
	ReplayGaps       = "replay-gaps"          // count: events that a stream passed over, misordered, or delivered twice over one connection
	CrossSession     = "cross-session-events" // count: events of another session, that nobody emitted, or corrupt ones
	MinorityAckWrite = "minority-ack-write"   // count: writes that a cut-off side acknowledged after it lost its quorum (plus the lease)
)

// unit of an objective's measure.
type unit string

const (
	seconds unit = "s"
	count   unit = "count"
	share   unit = "share"
)

// group of an objective: it decides which problems of a run take its value away.
type group uint8

const (
	safety  group = iota // a violation is one, however the run went
	timing               // means nothing without a proved fault in a healthy system
	service              // means nothing if the generator was late
)

type row struct {
	name  string
	unit  unit
	group group
}

// rows are all objectives, in the order of the verdict's table.
var rows = []row{
	{Failover, seconds, timing},
	{Restart, seconds, timing},
	{SessionLoss, count, safety},
	{LostWrites, count, safety},
	{Regressed, count, safety},
	{StaleReads, count, safety},
	{Expiry, count, safety},
	{Linearizability, count, safety},
	{MinorityAckWrite, count, safety},
	{ReadYourWrites, count, safety},
	{MonotonicReads, count, safety},
	{Staleness, seconds, safety},
	{ReplayGaps, count, safety},
	{CrossSession, count, safety},
	{RPO, seconds, safety},
	{RTO, seconds, timing},
	{MTTD, seconds, timing},
	{MTTR, seconds, timing},
	{Availability, share, service},
	{Capacity, share, service},
}

// Names lists all objectives, in the order of the verdict's table.
func Names() []string {
	var ns []string
	for _, r := range rows {
		ns = append(ns, r.name)
	}
	return ns
}

// Target is one declared objective: the measure must stay below Max (durations,
// in seconds), at most at Max (counts), or at least at Min (shares).
type Target struct {
	Name string
	Max  *float64
	Min  *float64
	// Quantile, if it is more than 0, is the share of all possible trials whose
	// measure must stay below Max; the trials of the run are a sample of them.
	// Otherwise every trial of the run must.
	Quantile float64
}

var targetText = regexp.MustCompile(`^(?:p([0-9]{1,2}(?:\.[0-9]+)?)\s+)?(<=|<|>=|>|=)?\s*([0-9]*\.?[0-9]+)\s*(%|[a-z]+)?$`)

// byTrial are the objectives that may bound a quantile over trials.
var byTrial = []string{Failover, Restart, RPO, RTO}

var timeUnits = map[string]float64{"ms": 1e-3, "s": 1, "m": 60, "min": 60, "h": 3600}

// ParseTarget reads an objective as scenario files write it: "< 5 s" for a
// duration in every trial, "p90 < 5 s" for one in 90 % of all possible trials,
// "0" or "<= 3" for a count, ">= 99.9 %" for a share.
func ParseTarget(name, expr string) (Target, error) {
	i := slices.IndexFunc(rows, func(r row) bool { return r.name == name })
	if i < 0 {
		return Target{}, fmt.Errorf("no objective is called %q; %s", name, closest.Meant(name, Names()))
	}
	want := map[unit]string{
		seconds: `a bound on a duration, such as "< 5 s"`,
		count:   `a bound on a count, such as "0" or "<= 3"`,
		share:   `a least share, such as ">= 99.9 %"`,
	}[rows[i].unit]
	bad := fmt.Errorf("objective %s: %q is not %s", name, expr, want)
	m := targetText.FindStringSubmatch(strings.TrimSpace(expr))
	if m == nil {
		return Target{}, bad
	}
	v, err := strconv.ParseFloat(m[3], 64)
	if err != nil || math.IsInf(v, 0) {
		return Target{}, bad
	}
	op, suffix := m[2], m[4]
	t := Target{Name: name}
	if m[1] != "" {
		if t.Quantile, err = strconv.ParseFloat(m[1], 64); err != nil || t.Quantile <= 0 {
			return Target{}, bad
		}
		t.Quantile /= 100
		if !slices.Contains(byTrial, name) {
			return Target{}, fmt.Errorf("objective %s: %q bounds a quantile over trials, which only %s can", name, expr, strings.Join(byTrial, ", "))
		}
	}
	switch rows[i].unit {
	case seconds:
		scale, ok := timeUnits[suffix]
		if op != "<" && op != "" || !ok || v <= 0 {
			return Target{}, bad
		}
		v *= scale
		t.Max = &v
	case count:
		if op != "<=" && op != "=" && op != "" || suffix != "" || v != math.Trunc(v) || op == "=" && v != 0 {
			return Target{}, bad
		}
		t.Max = &v
	case share:
		if suffix == "%" {
			v /= 100
		} else if suffix != "" {
			return Target{}, bad
		}
		if op != ">=" && op != "" || v > 1 {
			return Target{}, bad
		}
		t.Min = &v
	}
	return t, nil
}

// String is the target as a person reads it; ParseTarget reads it back.
func (t Target) String() string {
	i := slices.IndexFunc(rows, func(r row) bool { return r.name == t.Name })
	switch {
	case i >= 0 && rows[i].unit == seconds && t.Max != nil && t.Quantile > 0:
		return "p" + number(100*t.Quantile) + " < " + number(*t.Max) + " s"
	case i >= 0 && rows[i].unit == seconds && t.Max != nil:
		return "< " + number(*t.Max) + " s"
	case t.Max != nil && *t.Max == 0:
		return "0"
	case t.Max != nil:
		return "<= " + number(*t.Max)
	case t.Min != nil:
		return ">= " + number(*t.Min*100) + " %"
	}
	return ""
}

// number is v without the noise of binary fractions.
func number(v float64) string {
	return strconv.FormatFloat(math.Round(v*1e9)/1e9, 'f', -1, 64)
}

// Config is everything beside the history that decides a verdict. It comes
// from the run's spec.yaml.
type Config struct {
	Objectives []Target
	// Deadline after which an operation is bad.
	Deadline time.Duration // 0: the manifest's, else 1 s
	// Hold without a bad operation after which an outage is over, and for which
	// a node that came back must stay ready.
	Hold time.Duration // 0: 5 s
	// ExpiryGrace after a session's time within which it must be gone.
	ExpiryGrace time.Duration
	// Steady is the hypothesis whose return ends the recovery (RTO).
	Steady Steady
	// Valid bounds what makes a run inconclusive.
	Valid Validity
	// LinearizableTimeout bounds the check of all contested sessions of a trial.
	LinearizableTimeout time.Duration // 0: 20 s
	// Alpha bounds the probability that a quantile's objective is met although
	// it does not hold, Beta that it is missed although it does. Intervals are
	// for a confidence of 1 - Alpha.
	Alpha, Beta float64 // 0: 5 %
	// Sequential says that the trials were stopped when they had decided, so
	// that only a test that is valid at every trial may judge them.
	Sequential bool
}

// Steady is the steady-state hypothesis over windows of Window.
type Steady struct {
	Window   time.Duration // 0: 1 s
	Success  float64       // share of good operations; 0: 0.999
	ReadP99  time.Duration // 0: not bounded
	WriteP99 time.Duration // 0: not bounded; of the surviving quorum's round trip
}

// Validity bounds outside of which nothing is concluded.
type Validity struct {
	MaxLagP999  time.Duration // the generator's schedule lag; 0: 100 ms
	MinAchieved float64       // share of the target rate served before the fault; 0: 0.95
	MaxUnsent   float64       // share of intended operations never sent before the fault; 0: 0.01
}

// withDefaults fills in what the caller left open.
func (c Config) withDefaults(manifestDeadline time.Duration) Config {
	def := func(d *time.Duration, or ...time.Duration) {
		for _, v := range or {
			if *d <= 0 {
				*d = v
			}
		}
	}
	deff := func(f *float64, or float64) {
		if *f <= 0 {
			*f = or
		}
	}
	def(&c.Deadline, manifestDeadline, time.Second)
	def(&c.Hold, 5*time.Second)
	def(&c.Steady.Window, time.Second)
	deff(&c.Steady.Success, 0.999)
	def(&c.Valid.MaxLagP999, 100*time.Millisecond)
	deff(&c.Valid.MinAchieved, 0.95)
	deff(&c.Valid.MaxUnsent, 0.01)
	def(&c.LinearizableTimeout, 20*time.Second)
	deff(&c.Alpha, 0.05)
	deff(&c.Beta, 0.05)
	return c
}

func (c Config) validate() error {
	seen := map[string]bool{}
	for _, t := range c.Objectives {
		i := slices.IndexFunc(rows, func(r row) bool { return r.name == t.Name })
		switch {
		case i < 0:
			return fmt.Errorf("no objective is called %q; there are %s", t.Name, strings.Join(Names(), ", "))
		case seen[t.Name]:
			return fmt.Errorf("objective %s is declared twice", t.Name)
		case rows[i].unit == share && t.Min == nil:
			return fmt.Errorf("objective %s has no least share", t.Name)
		case rows[i].unit != share && t.Max == nil:
			return fmt.Errorf("objective %s has no bound", t.Name)
		case t.Quantile != 0 && (!slices.Contains(byTrial, t.Name) || t.Quantile < 0 || t.Quantile >= 1):
			return fmt.Errorf("objective %s has no quantile %v", t.Name, t.Quantile)
		}
		seen[t.Name] = true
	}
	if !(c.Alpha >= 0 && c.Alpha < 0.5 && c.Beta >= 0 && c.Beta < 0.5) {
		return fmt.Errorf("error rates of %v and %v are not below a half", c.Alpha, c.Beta)
	}
	return nil
}
