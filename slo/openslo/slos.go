package openslo

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fivenines/fivenines/slo/budget"
)

// prometheus is the type of data source that rules can be made for.
const prometheus = "Prometheus"

// BudgetSLOs turns documents into objectives that Prometheus rules can be made
// of ([budget.Rules]): one for each objective of each SLO. SLOs without alert
// policies get those of the Workbook. Data sources must be Prometheus, with
// the PromQL under spec.query; that of a counter may leave its rate out.
func (s *Set) BudgetSLOs() ([]budget.SLO, []*Warning, error) {
	if err := s.Check(); err != nil {
		return nil, nil, err
	}
	c := &converter{set: s}
	var out []budget.SLO
	for i := range s.SLOs {
		out = append(out, c.slo(&s.SLOs[i])...)
	}
	if len(s.SLOs) == 0 {
		return nil, nil, errors.New("the documents hold no SLO, and so nothing to make rules of")
	}
	if err := c.err(); err != nil {
		return nil, nil, err
	}
	slices.SortStableFunc(c.warns, func(a, b *Warning) int { return a.Line - b.Line })
	return out, c.warns, nil
}

type converter struct {
	problems
	set *Set
}

func (c *converter) slo(d *SLO) []budget.SLO {
	at := d.at.in("spec")
	spec, specAt := c.set.indicatorAt(d)
	switch {
	case spec == nil && d.Spec.IndicatorRef != "":
		c.fail(at.in("indicatorRef"), "no SLI of this file is called %q", d.Spec.IndicatorRef)
		return nil
	case spec == nil:
		c.fail(at.in("objectives"), "no rules can be made of a composite SLO")
		return nil
	}
	period := budget.DefaultPeriod
	if len(d.Spec.TimeWindow) == 0 {
		c.warn(at.in("timeWindow"), "is not there: %s is taken", budget.FormatDuration(period))
	} else {
		w := d.Spec.TimeWindow[0]
		at := at.in("timeWindow[0]")
		p, err := ParseDuration(w.Duration)
		if err != nil {
			c.fail(at.in("duration"), "%v", err)
			return nil
		}
		period = p
		if w.Calendar != nil {
			c.warn(at.in("calendar"), "has no effect on rules: Prometheus has no calendar, the last %s are taken", budget.FormatDuration(period))
		}
	}
	var out []budget.SLO
	for i := range d.Spec.Objectives {
		o := &d.Spec.Objectives[i]
		at := at.in("objectives[%d]", i)
		b := budget.SLO{
			Name: d.Metadata.Name, Service: d.Spec.Service, Description: d.Spec.Description,
			Runbook:   d.Metadata.Annotations[RunbookAnnotation],
			Objective: budget.Objective{Target: o.share(), Period: period},
		}
		if len(d.Spec.Objectives) > 1 {
			b.Name += "-" + suffix(o.DisplayName, i)
		}
		before := len(c.errs)
		b.Indicator = c.indicator(specAt, spec, at, d.Spec.BudgetingMethod, o)
		b.Policy, b.Labels = c.policy(d, b.Objective)
		if len(c.errs) > before {
			continue
		}
		if u, err := b.Indicator.Unit(); err == nil && u == budget.Unknown {
			if b.Indicator.ErrorRatio == "" {
				c.warn(specAt, "its queries count neither in rate nor in increase: alerts can't wait for %d errors", b.Policy.MinErrors)
			}
			b.Policy.MinErrors = 0
		}
		if err := b.Validate(); err != nil {
			c.invalid(d, at, specAt, err)
			continue
		}
		out = append(out, b)
	}
	return out
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// suffix tells the objectives of an SLO apart.
func suffix(displayName string, i int) string {
	if s := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(displayName), "-"), "-"); s != "" {
		return s
	}
	return strconv.Itoa(i + 1)
}

// invalid notes what package budget finds wrong at the field that it comes from.
func (c *converter) invalid(d *SLO, objective, indicator place, err error) {
	var f *budget.FieldError
	if !errors.As(err, &f) {
		c.fail(d.at, "%v", err)
		return
	}
	at := d.at
	switch {
	case f.Field == "name":
		at = d.at.in("metadata.name")
	case f.Field == "service":
		at = d.at.in("spec.service")
	case f.Field == "period":
		at = d.at.in("spec.timeWindow[0].duration")
	case f.Field == "target":
		at = objective.in("target")
	case strings.HasPrefix(f.Field, "indicator."):
		at = indicator
	case strings.HasPrefix(f.Field, "policy."):
		at = d.at.in("spec.alertPolicies")
		if i := regexp.MustCompile(`alerts\[(\d+)\]`).FindStringSubmatch(f.Field); i != nil && len(d.Spec.AlertPolicies) > 0 {
			at = d.at.in("spec.alertPolicies[%s]", i[1])
		}
	}
	c.fail(at, "%s", f.Msg)
}

// indicatorAt is the SLO's indicator and where it stands.
func (s *Set) indicatorAt(d *SLO) (*SLISpec, place) {
	if d.Spec.Indicator != nil {
		return &d.Spec.Indicator.Spec, d.at.in("spec.indicator.spec")
	}
	if sli := named(s.SLIs, d.Spec.IndicatorRef); sli != nil {
		return &sli.Spec, sli.at.in("spec")
	}
	return nil, place{}
}

// indicator writes the queries of an indicator for rules.
func (c *converter) indicator(at place, spec *SLISpec, objective place, method string, o *Objective) (i budget.Indicator) {
	var slice time.Duration
	if method != Occurrences {
		var err error
		if slice, err = o.slice(); err != nil {
			c.fail(objective.in("timeSliceWindow"), "%v", err)
			return i
		}
	}
	if spec.ThresholdMetric != nil {
		return budget.Indicator{ErrorRatio: c.threshold(at.in("thresholdMetric"), spec.ThresholdMetric, objective, method, o, slice)}
	}
	c.idle(objective, o)
	at = at.in("ratioMetric")
	r := spec.RatioMetric
	if r.Raw != nil {
		q := c.query(at.in("raw"), r.Raw)
		if r.RawType == "success" {
			q = "1 - (" + q + ")"
		}
		switch method {
		case Timeslices:
			q = "(" + overSlice(q, slice) + ") > bool " + complement(*o.TimeSliceTarget)
		case RatioTimeslices:
			q = overSlice(q, slice)
		}
		return budget.Indicator{ErrorRatio: q}
	}
	i.Total = c.counted(at.in("total"), r.Total, r.Counter)
	part := "1 - (" // of good ones
	if r.Good != nil {
		i.Good = c.counted(at.in("good"), r.Good, r.Counter)
		part += i.Good + " or vector(0)) / (" + i.Total + ")"
	} else {
		i.Bad = c.counted(at.in("bad"), r.Bad, r.Counter)
		part = "(" + i.Bad + " or vector(0)) / (" + i.Total + ")"
	}
	switch method {
	case Timeslices:
		// Not >=: a slice without events has a ratio of NaN, and is good.
		return budget.Indicator{ErrorRatio: "(" + overSlice(part, slice) + ") > bool " + complement(*o.TimeSliceTarget)}
	case RatioTimeslices:
		return budget.Indicator{ErrorRatio: overSlice(part, slice)}
	}
	return i
}

// idle warns of fields of an objective that only a threshold gives a meaning.
func (c *converter) idle(at place, o *Objective) {
	if o.Op != "" {
		c.warn(at.in("op"), "has no effect: the indicator is a ratio")
	}
	if o.Value != nil {
		c.warn(at.in("value"), "has no effect: the indicator is a ratio")
	}
}

// complement is 1 - share in decimals.
func complement(share float64) string {
	return budget.Number(budget.Objective{Target: share}.ErrorBudget())
}

func overSlice(q string, slice time.Duration) string {
	return strings.ReplaceAll(q, budget.Window, budget.FormatDuration(slice))
}

// opposite of an op, as PromQL writes it: NaN, which is no value, is not bad.
var opposite = map[string]string{"lt": ">=", "lte": ">", "gt": "<=", "gte": "<"}

// threshold is 1 where the metric is on the wrong side of its threshold.
func (c *converter) threshold(at place, m *Metric, objective place, method string, o *Objective, slice time.Duration) string {
	q := c.query(at, m)
	bad := fmt.Sprintf("(%s) %s bool %s", q, opposite[o.Op], strconv.FormatFloat(*o.Value, 'f', -1, 64))
	if strings.Contains(q, budget.Window) {
		c.fail(at.in("metricSource.spec.query"), "can't have a %s: its value at each moment is compared with the threshold", budget.Window)
	}
	switch method {
	case Timeslices:
		return fmt.Sprintf("avg_over_time((%s)[%s:30s]) > bool %s", bad, budget.FormatDuration(slice), complement(*o.TimeSliceTarget))
	case RatioTimeslices:
		return fmt.Sprintf("avg_over_time((%s)[%s:30s])", bad, budget.FormatDuration(slice))
	}
	return bad
}

// counted is the query of a part of a ratio, over a window.
func (c *converter) counted(at place, m *Metric, counter bool) string {
	q := c.query(at, m)
	if q == "" {
		return ""
	}
	if !counter && !strings.Contains(q, budget.Window) {
		return "avg_over_time((" + q + ")[" + budget.Window + ":1m])"
	}
	rated, err := budget.Counters(q)
	if err != nil {
		c.fail(at.in("metricSource.spec.query"), "%v", err)
	}
	return rated
}

// query is the PromQL of a metric.
func (c *converter) query(at place, m *Metric) string {
	at = at.in("metricSource")
	src := m.MetricSource
	kind := src.Type
	if src.MetricSourceRef != "" {
		ds := named(c.set.DataSources, src.MetricSourceRef)
		switch {
		case ds == nil && kind == "":
			c.fail(at.in("metricSourceRef"), "no DataSource of this file is called %q", src.MetricSourceRef)
			return ""
		case ds != nil && kind == "":
			kind = ds.Spec.Type
		case ds != nil && !strings.EqualFold(kind, ds.Spec.Type):
			c.fail(at.in("type"), "is %s, and that of DataSource %s is %s", kind, src.MetricSourceRef, ds.Spec.Type)
			return ""
		}
		if ds != nil && len(ds.Spec.ConnectionDetails) > 0 {
			c.warnOnce(ds.at.in("spec.connectionDetails"), "have no effect: rules run inside Prometheus")
		}
	}
	if !strings.EqualFold(kind, prometheus) {
		c.fail(at.in("type"), "%s: rules can be made for %s only; give the indicator its queries", kind, prometheus)
		return ""
	}
	for _, k := range slices.Sorted(maps.Keys(src.Spec)) {
		if k != "query" {
			c.warnOnce(at.in("spec.%s", k), "has no effect: of a %s source only the query is read", prometheus)
		}
	}
	q, ok := src.Spec["query"].(string)
	if !ok || strings.TrimSpace(q) == "" {
		c.fail(at.in("spec.query"), "is needed: PromQL")
		return ""
	}
	return strings.TrimSpace(q)
}

// warnOnce warns unless it was said already, of something that several use.
func (c *converter) warnOnce(at place, format string, args ...any) {
	w := at.errorf(format, args...)
	for _, x := range c.warns {
		if *x == *w {
			return
		}
	}
	c.warns = append(c.warns, w)
}
