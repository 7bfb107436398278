package openslo

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // the specification's time zones, wherever this runs
)

var (
	// Lower case is what every implementation takes; the specification's own
	// examples have capitals, too.
	objectNameRE = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9.|/\\-]*[a-zA-Z0-9])?$`)
	metaKeyRE    = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?$`)
	subdomainRE  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
	shorthandRE  = regexp.MustCompile(`^([1-9][0-9]{0,5})([mhdwMQY])$`)
)

const (
	maxName        = 255
	maxDescription = 1050
)

const day = 24 * time.Hour

var shorthandUnits = map[string]time.Duration{
	"m": time.Minute, "h": time.Hour, "d": day, "w": 7 * day, "M": 30 * day, "Q": 90 * day, "Y": 365 * day,
}

// ParseDuration reads a duration shorthand such as 5m, 4w or 1M.
func ParseDuration(s string) (time.Duration, error) {
	m := shorthandRE.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%q is not a duration such as 5m, 12h, 30d, 4w, 1M, 1Q or 1Y", s)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil || n > int(1<<62/shorthandUnits[m[2]]) {
		return 0, fmt.Errorf("%q is too long", s)
	}
	return time.Duration(n) * shorthandUnits[m[2]], nil
}

// FormatDuration writes whole minutes as a duration shorthand.
func FormatDuration(d time.Duration) (string, error) {
	for _, u := range []string{"d", "h", "m"} {
		if n := d / shorthandUnits[u]; d > 0 && d%shorthandUnits[u] == 0 && n < 1_000_000 {
			return strconv.Itoa(int(n)) + u, nil
		}
	}
	return "", fmt.Errorf("%v is not whole minutes, as the durations of OpenSLO are", d)
}

// Check says what is wrong with the documents, against the specification.
func (s *Set) Check() error {
	p := &problems{}
	s.check(p)
	return p.err()
}

func (s *Set) check(p *problems) {
	checkAll(p, KindService, s.Services, func(at place, v *ServiceSpec) { p.description(at, v.Description) })
	checkAll(p, KindSLO, s.SLOs, func(at place, v *SLOSpec) { s.checkSLO(p, at, v) })
	checkAll(p, KindSLI, s.SLIs, func(at place, v *SLISpec) { s.checkSLI(p, at, v) })
	checkAll(p, KindDataSource, s.DataSources, func(at place, v *DataSourceSpec) {
		p.description(at, v.Description)
		p.needed(at.in("type"), v.Type)
	})
	checkAll(p, KindAlertPolicy, s.AlertPolicies, func(at place, v *AlertPolicySpec) { s.checkPolicy(p, at, v) })
	checkAll(p, KindAlertCondition, s.AlertConditions, func(at place, v *AlertConditionSpec) { checkCondition(p, at, v) })
	checkAll(p, KindAlertNotificationTarget, s.AlertNotificationTargets, func(at place, v *NotificationTargetSpec) { checkTarget(p, at, v) })
}

func checkAll[S any](p *problems, kind string, docs []Document[S], spec func(place, *S)) {
	seen := map[string]bool{}
	for i := range docs {
		d := &docs[i]
		if d.APIVersion != Version {
			p.fail(d.at.in("apiVersion"), "%q is not %s", d.APIVersion, Version)
		}
		if d.Kind != kind {
			p.fail(d.at.in("kind"), "%q is not %s", d.Kind, kind)
		}
		p.metadata(d.at.in("metadata"), d.Metadata)
		if name := d.Metadata.Name; seen[name] {
			p.fail(d.at.in("metadata.name"), "another %s is called %q too", kind, name)
		} else {
			seen[name] = true
		}
		spec(d.at.in("spec"), &d.Spec)
	}
}

func (p *problems) description(at place, text string) {
	if n := len([]rune(text)); n > maxDescription {
		p.fail(at.in("description"), "has %d characters, at most %d are allowed", n, maxDescription)
	}
}

func (p *problems) needed(at place, text string) {
	if text == "" {
		p.fail(at, "is needed")
	}
}

func (p *problems) oneOf(at place, text string, words ...string) {
	if !slices.Contains(words, text) {
		p.fail(at, "%q is none of %s", text, strings.Join(words, ", "))
	}
}

func (p *problems) metadata(at place, m Metadata) {
	if !objectNameRE.MatchString(m.Name) || len(m.Name) > maxName {
		p.fail(at.in("name"), "%q is not a name of letters, digits and hyphens", m.Name)
	}
	for _, k := range slices.Sorted(maps.Keys(m.Labels)) {
		at := at.in("labels.%s", k)
		if !metaKeyRE.MatchString(k) {
			p.fail(at, "is not a key of letters, digits, dots, hyphens and underscores (at most 63)")
		}
		switch v := m.Labels[k].(type) {
		case string:
		case []any:
			for _, e := range v {
				if _, ok := e.(string); !ok {
					p.fail(at, "needs texts, not %v", e)
				}
			}
		default:
			p.fail(at, "needs a text or a list of texts, not %v", v)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(m.Annotations)) {
		prefix, name, ok := strings.Cut(k, "/")
		if !ok {
			prefix, name = "", k
		}
		if !metaKeyRE.MatchString(name) || ok && (!subdomainRE.MatchString(prefix) || len(prefix) > 253) {
			p.fail(at.in("annotations.%s", k), "is not a key such as example.com/key")
		}
	}
}

func (s *Set) checkSLO(p *problems, at place, v *SLOSpec) {
	p.description(at, v.Description)
	p.needed(at.in("service"), v.Service)
	composite := slices.ContainsFunc(v.Objectives, func(o Objective) bool { return o.Indicator != nil || o.IndicatorRef != "" })
	switch {
	case v.Indicator != nil && v.IndicatorRef != "":
		p.fail(at.in("indicatorRef"), "can't stand beside indicator")
	case composite && (v.Indicator != nil || v.IndicatorRef != ""):
		p.fail(at.in("objectives"), "can't have indicators of their own beside the one of the SLO")
	case v.Indicator != nil:
		p.metadata(at.in("indicator.metadata"), v.Indicator.Metadata)
		s.checkSLI(p, at.in("indicator.spec"), &v.Indicator.Spec)
	case !composite && v.IndicatorRef == "":
		p.fail(at.in("indicator"), "is needed: an indicator, or an indicatorRef")
	}
	p.oneOf(at.in("budgetingMethod"), v.BudgetingMethod, Occurrences, Timeslices, RatioTimeslices)
	if len(v.TimeWindow) > 1 {
		p.fail(at.in("timeWindow"), "has %d items, one is allowed", len(v.TimeWindow))
	}
	for i, w := range v.TimeWindow {
		checkWindow(p, at.in("timeWindow[%d]", i), w)
	}
	if len(v.Objectives) == 0 {
		p.fail(at.in("objectives"), "needs one objective at least")
	}
	for i := range v.Objectives {
		s.checkObjective(p, at.in("objectives[%d]", i), v, &v.Objectives[i])
	}
	if m := s.indicator(v); m != nil && m.ThresholdMetric != nil && len(v.Objectives) > 1 {
		p.fail(at.in("objectives"), "has %d items; of a thresholdMetric one is allowed", len(v.Objectives))
	}
	for i, a := range v.AlertPolicies {
		at := at.in("alertPolicies[%d]", i)
		switch {
		case (a.AlertPolicyRef == "") == (a.Spec == nil):
			p.fail(at, "needs either an alertPolicyRef or a kind with a spec")
		case a.Spec != nil:
			p.oneOf(at.in("kind"), a.Kind, KindAlertPolicy)
			p.inlineMetadata(at, a.Metadata)
			s.checkPolicy(p, at.in("spec"), a.Spec)
		}
	}
}

func (p *problems) inlineMetadata(at place, m *Metadata) {
	if m == nil {
		p.fail(at.in("metadata"), "is needed")
		return
	}
	p.metadata(at.in("metadata"), *m)
}

func checkWindow(p *problems, at place, w TimeWindow) {
	if _, err := ParseDuration(w.Duration); err != nil {
		p.fail(at.in("duration"), "%v", err)
	}
	switch {
	case w.IsRolling && w.Calendar != nil:
		p.fail(at.in("calendar"), "can't stand in a rolling window")
	case !w.IsRolling && w.Calendar == nil:
		p.fail(at, "needs isRolling: true or a calendar")
	case w.Calendar != nil:
		if _, err := time.Parse(time.DateTime, w.Calendar.StartTime); err != nil {
			p.fail(at.in("calendar.startTime"), "%q is not a time such as 2020-01-21 12:30:00", w.Calendar.StartTime)
		}
		if _, err := time.LoadLocation(w.Calendar.TimeZone); err != nil || w.Calendar.TimeZone == "" {
			p.fail(at.in("calendar.timeZone"), "%q is not a time zone such as America/New_York", w.Calendar.TimeZone)
		}
	}
}

var ops = []string{"lte", "gte", "lt", "gt"}

func (s *Set) checkObjective(p *problems, at place, v *SLOSpec, o *Objective) {
	if o.Op != "" {
		p.oneOf(at.in("op"), o.Op, ops...)
	}
	switch {
	case (o.Target == nil) == (o.TargetPercent == nil):
		p.fail(at, "needs either a target or a targetPercent")
	case o.Target != nil && !(*o.Target >= 0 && *o.Target < 1):
		p.fail(at.in("target"), "%v is not from 0 to below 1", *o.Target)
	case o.TargetPercent != nil && !(*o.TargetPercent >= 0 && *o.TargetPercent < 100):
		p.fail(at.in("targetPercent"), "%v is not from 0 to below 100", *o.TargetPercent)
	}
	if o.TimeSliceTarget != nil && !(*o.TimeSliceTarget > 0 && *o.TimeSliceTarget <= 1) {
		p.fail(at.in("timeSliceTarget"), "%v is not above 0 and up to 1", *o.TimeSliceTarget)
	} else if o.TimeSliceTarget == nil && v.BudgetingMethod == Timeslices {
		p.fail(at.in("timeSliceTarget"), "is needed for %s", v.BudgetingMethod)
	}
	if o.TimeSliceWindow != nil {
		if _, err := o.slice(); err != nil {
			p.fail(at.in("timeSliceWindow"), "%v", err)
		}
	} else if v.BudgetingMethod == Timeslices || v.BudgetingMethod == RatioTimeslices {
		p.fail(at.in("timeSliceWindow"), "is needed for %s", v.BudgetingMethod)
	}
	if o.CompositeWeight != nil && !(*o.CompositeWeight > 0) {
		p.fail(at.in("compositeWeight"), "%v is not above 0", *o.CompositeWeight)
	}
	if m := s.indicator(v); m != nil && m.ThresholdMetric != nil {
		p.needed(at.in("op"), o.Op)
		if o.Value == nil {
			p.fail(at.in("value"), "is needed for a thresholdMetric")
		}
	}
	if o.Indicator != nil {
		p.metadata(at.in("indicator.metadata"), o.Indicator.Metadata)
		s.checkSLI(p, at.in("indicator.spec"), &o.Indicator.Spec)
	}
}

// slice is the time slice window: a duration, or a number of minutes.
func (o *Objective) slice() (time.Duration, error) {
	switch v := o.TimeSliceWindow.(type) {
	case string:
		return ParseDuration(v)
	case uint64:
		return ParseDuration(fmt.Sprintf("%dm", v))
	case float64:
		return ParseDuration(strconv.FormatFloat(v, 'f', -1, 64) + "m")
	default:
		return 0, fmt.Errorf("%v is not a duration such as 1m and not a number of minutes", v)
	}
}

// indicator is the one of the SLO, if it is known.
func (s *Set) indicator(v *SLOSpec) *SLISpec {
	if v.Indicator != nil {
		return &v.Indicator.Spec
	}
	if d := named(s.SLIs, v.IndicatorRef); d != nil {
		return &d.Spec
	}
	return nil
}

func (s *Set) checkSLI(p *problems, at place, v *SLISpec) {
	p.description(at, v.Description)
	if (v.ThresholdMetric == nil) == (v.RatioMetric == nil) {
		p.fail(at, "needs either a thresholdMetric or a ratioMetric")
		return
	}
	if v.ThresholdMetric != nil {
		checkMetric(p, at.in("thresholdMetric"), v.ThresholdMetric)
		return
	}
	at = at.in("ratioMetric")
	r := v.RatioMetric
	switch {
	case r.Raw != nil && (r.Good != nil || r.Bad != nil || r.Total != nil):
		p.fail(at.in("raw"), "can't stand beside good, bad and total")
	case r.Raw != nil:
		p.oneOf(at.in("rawType"), r.RawType, "success", "failure")
	case r.Total == nil:
		p.fail(at, "needs total with good or bad, or raw")
	case (r.Good == nil) == (r.Bad == nil):
		p.fail(at, "needs either good or bad beside total")
	case r.RawType != "":
		p.fail(at.in("rawType"), "can't stand without raw")
	}
	for name, m := range r.metrics() {
		checkMetric(p, at.in("%s", name), m)
	}
}

// metrics are those that are there, by name.
func (r *RatioMetric) metrics() func(func(string, *Metric) bool) {
	return func(yield func(string, *Metric) bool) {
		for _, m := range []struct {
			name string
			*Metric
		}{{"good", r.Good}, {"bad", r.Bad}, {"total", r.Total}, {"raw", r.Raw}} {
			if m.Metric != nil && !yield(m.name, m.Metric) {
				return
			}
		}
	}
}

func checkMetric(p *problems, at place, m *Metric) {
	at = at.in("metricSource")
	if len(m.MetricSource.Spec) == 0 {
		p.fail(at.in("spec"), "is needed")
	}
	if m.MetricSource.Type == "" && m.MetricSource.MetricSourceRef == "" {
		p.fail(at, "needs a type or a metricSourceRef")
	}
}

func (s *Set) checkPolicy(p *problems, at place, v *AlertPolicySpec) {
	p.description(at, v.Description)
	if len(v.Conditions) != 1 {
		p.fail(at.in("conditions"), "has %d items, one is needed", len(v.Conditions))
	}
	for i, c := range v.Conditions {
		at := at.in("conditions[%d]", i)
		switch {
		case (c.ConditionRef == "") == (c.Spec == nil):
			p.fail(at, "needs either a conditionRef or a kind with a spec")
		case c.Spec != nil:
			p.oneOf(at.in("kind"), c.Kind, KindAlertCondition)
			p.inlineMetadata(at, c.Metadata)
			checkCondition(p, at.in("spec"), c.Spec)
		}
	}
	for i, n := range v.NotificationTargets {
		at := at.in("notificationTargets[%d]", i)
		switch {
		case (n.TargetRef == "") == (n.Spec == nil):
			p.fail(at, "needs either a targetRef or a kind with a spec")
		case n.Spec != nil:
			p.oneOf(at.in("kind"), n.Kind, KindAlertNotificationTarget)
			p.inlineMetadata(at, n.Metadata)
			checkTarget(p, at.in("spec"), n.Spec)
		}
	}
}

func checkCondition(p *problems, at place, v *AlertConditionSpec) {
	p.description(at, v.Description)
	p.needed(at.in("severity"), v.Severity)
	at = at.in("condition")
	c := v.Condition
	if c.Kind != "" {
		p.oneOf(at.in("kind"), c.Kind, "burnrate")
	}
	if c.Op != "" {
		p.oneOf(at.in("op"), c.Op, ops...)
	}
	if c.Threshold == nil || !(*c.Threshold > 0) {
		p.fail(at.in("threshold"), "is needed: a burn rate above 0")
	}
	if _, err := ParseDuration(c.LookbackWindow); err != nil {
		p.fail(at.in("lookbackWindow"), "%v", err)
	}
	if c.AlertAfter != "" && c.AlertAfter != "0m" {
		if _, err := ParseDuration(c.AlertAfter); err != nil {
			p.fail(at.in("alertAfter"), "%v", err)
		}
	}
}

func checkTarget(p *problems, at place, v *NotificationTargetSpec) {
	p.description(at, v.Description)
	p.needed(at.in("target"), v.Target)
}
