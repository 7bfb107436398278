package openslo

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fivenines/fivenines/slo"
)

// Annotations that carry what OpenSLO has no field for.
const (
	annotations = "fivenines.github.io/"
	// ObjectiveAnnotation of an SLO names the objective that it is; of a
	// Service, with a dot and the name behind it, it is an objective itself.
	ObjectiveAnnotation = annotations + "objective"
	// DeadlineAnnotation of a Service is after how long an operation is bad.
	DeadlineAnnotation = annotations + "deadline"
	// UnitAnnotation of an SLO is the unit of a threshold: ms, s, m or h.
	UnitAnnotation = annotations + "unit"
	// RunbookAnnotation of an SLO is the URL that its alerts name.
	RunbookAnnotation = annotations + "runbook"
)

// Objectives are what a set of documents asks of a run.
type Objectives struct {
	// Declared are objectives as a scenario declares them: "failover": "< 5 s".
	Declared map[string]string
	// Deadline after which an operation is bad, if the documents say one. A
	// run's deadline comes from its rules: where the two differ, the availability
	// of the documents is not the one that the run measures.
	Deadline time.Duration
	Warnings []*Warning
}

// declared is an objective and where it comes from.
type declared struct {
	text   string
	at     place
	target float64       // of a share
	within time.Duration // the deadline, for availability by a latency threshold
}

type mapper struct {
	problems
	set      *Set
	found    map[string]declared
	deadline declared
}

// Map turns documents into the objectives of a scenario. Two SLOs that are the
// same objective with different targets are an error; [Set.For] takes the SLOs
// of one service.
func (s *Set) Map() (*Objectives, error) {
	m := &mapper{set: s, found: map[string]declared{}}
	if err := s.Check(); err != nil {
		return nil, err
	}
	for i := range s.Services {
		m.service(&s.Services[i])
	}
	var latency []*SLO
	for i := range s.SLOs {
		if d := &s.SLOs[i]; m.isLatency(d) {
			latency = append(latency, d)
		} else {
			m.slo(d)
		}
	}
	for _, d := range latency { // once it is known what there is of availability
		m.latency(d)
	}
	if err := m.err(); err != nil {
		return nil, err
	}
	out := &Objectives{Declared: map[string]string{}, Deadline: m.deadline.within, Warnings: m.warns}
	for name, d := range m.found {
		out.Declared[name] = d.text
	}
	slices.SortStableFunc(out.Warnings, func(a, b *Warning) int { return a.Line - b.Line })
	return out, nil
}

// LoadObjectives reads a file and maps it.
func LoadObjectives(path string) (*Objectives, error) {
	s, err := Load(path)
	if err != nil {
		return nil, err
	}
	return s.Map()
}

// declare notes an objective.
func (m *mapper) declare(name string, d declared) {
	before, twice := m.found[name]
	if twice && before.text != d.text {
		m.fail(d.at, "is the objective %s with %q, which %s has with %q; keep one, or take one service", name, d.text, where(before.at), before.text)
		return
	}
	if !twice {
		m.found[name] = d
	}
}

func where(at place) string {
	if at.doc == nil {
		return at.field
	}
	return "line " + strconv.Itoa(at.doc.Line(at.field))
}

func (m *mapper) service(d *Service) {
	for _, key := range slices.Sorted(maps.Keys(d.Metadata.Annotations)) {
		text := d.Metadata.Annotations[key]
		at := d.at.in("metadata.annotations.%s", key)
		name, ours := strings.CutPrefix(key, annotations)
		if !ours {
			continue
		}
		if key == DeadlineAnnotation {
			m.setDeadline(at, text)
			continue
		}
		name, ok := strings.CutPrefix(name, "objective.")
		if !ok {
			m.fail(at, "no such annotation of a service; there are %s and %s.NAME", DeadlineAnnotation, ObjectiveAnnotation)
			continue
		}
		if t, err := slo.ParseTarget(name, text); err != nil {
			m.fail(at, "%v", err)
		} else {
			m.declare(name, declared{text: t.String(), at: at})
		}
	}
}

func (m *mapper) setDeadline(at place, text string) {
	within, err := time.ParseDuration(text)
	if err != nil || within <= 0 {
		m.fail(at, "%q is not a duration such as 500ms or 1s", text)
		return
	}
	m.within(at, within)
}

func (m *mapper) within(at place, d time.Duration) {
	if before := m.deadline; before.within != 0 && before.within != d {
		m.fail(at, "asks for a deadline of %v, and %s for %v; a run has one", d, where(before.at), before.within)
		return
	}
	m.deadline = declared{at: at, within: d}
}

// slo maps an SLO that is not one of latency.
func (m *mapper) slo(d *SLO) {
	name, named := d.Metadata.Annotations[ObjectiveAnnotation]
	spec := m.set.indicator(&d.Spec)
	at := d.at.in("spec")
	switch {
	case spec == nil && d.Spec.IndicatorRef != "":
		m.fail(at.in("indicatorRef"), "no SLI of this file is called %q", d.Spec.IndicatorRef)
		return
	case spec == nil:
		m.warn(at.in("objectives"), "a composite SLO has no effect on a run: it has no objective that is made of others")
		return
	case d.Spec.BudgetingMethod != Occurrences:
		m.warn(at.in("budgetingMethod"), "%s has no effect on a run: its availability counts operations, not time slices", d.Spec.BudgetingMethod)
		return
	case !named && spec.ThresholdMetric != nil:
		m.warn(at, "has no effect on a run: its threshold is not one of latency (with %s an SLO says which objective it is)", ObjectiveAnnotation)
		return
	case !named:
		name = slo.Availability
	}
	if !slices.Contains(slo.Names(), name) {
		m.fail(d.at.in("metadata.annotations.%s", ObjectiveAnnotation), "no objective is called %q; there are %s", name, strings.Join(slo.Names(), ", "))
		return
	}
	var best *declared
	for i := range d.Spec.Objectives {
		o := &d.Spec.Objectives[i]
		at := at.in("objectives[%d]", i)
		text := ">= " + o.percent() + " %"
		if spec.ThresholdMetric != nil {
			if o.Op != "lt" {
				m.fail(at.in("op"), "must be lt for an objective of fivenines, not %s", o.Op)
				return
			}
			u, ok := unitOf(d)
			if !ok {
				m.fail(d.at.in("metadata.annotations.%s", UnitAnnotation), "%q is none of ms, s, m, h", u)
				return
			}
			text = "p" + o.percent() + " < " + strconv.FormatFloat(*o.Value, 'f', -1, 64) + " " + u
		}
		t, err := slo.ParseTarget(name, text)
		if err != nil {
			m.fail(at, "%v", err)
			return
		}
		// All objectives of an SLO hold if the strictest does.
		if share := o.share(); best == nil || share > best.target {
			best = &declared{text: t.String(), at: at, target: share}
		}
	}
	m.declare(name, *best)
}

// unitOf is the unit of an SLO's threshold, s where it names none.
func unitOf(d *SLO) (string, bool) {
	u, ok := d.Metadata.Annotations[UnitAnnotation]
	if !ok {
		return "s", true
	}
	return u, slices.Contains([]string{"ms", "s", "m", "h"}, u)
}

// isLatency says whether an SLO bounds a latency: that what it measures is in
// seconds or milliseconds is said by its annotation or by the end of the name
// of a metric.
func (m *mapper) isLatency(d *SLO) bool {
	spec := m.set.indicator(&d.Spec)
	_, named := d.Metadata.Annotations[ObjectiveAnnotation]
	if named || spec == nil || spec.ThresholdMetric == nil || d.Spec.BudgetingMethod != Occurrences {
		return false
	}
	_, ok := latencyUnit(d, spec)
	return ok
}

var metricUnits = []struct {
	re   *regexp.Regexp
	unit time.Duration
}{
	{regexp.MustCompile(`_(milliseconds|ms)(_bucket|_sum|_count|_total)?\b`), time.Millisecond},
	{regexp.MustCompile(`_seconds(_bucket|_sum|_count|_total)?\b`), time.Second},
}

func latencyUnit(d *SLO, spec *SLISpec) (time.Duration, bool) {
	if u, ok := d.Metadata.Annotations[UnitAnnotation]; ok {
		v, err := time.ParseDuration("1" + u)
		return v, err == nil
	}
	query, ok := spec.ThresholdMetric.MetricSource.Spec["query"].(string)
	if !ok {
		return 0, false
	}
	for _, u := range metricUnits {
		if u.re.MatchString(query) {
			return u.unit, true
		}
	}
	return 0, false
}

// latency maps an SLO such as 99.9 % below 300 ms: the deadline after which an
// operation is bad, and the availability.
func (m *mapper) latency(d *SLO) {
	unit, _ := latencyUnit(d, m.set.indicator(&d.Spec))
	o := &d.Spec.Objectives[0]
	at := d.at.in("spec.objectives[0]")
	if o.Op != "lt" && o.Op != "lte" {
		m.fail(at.in("op"), "a latency is good below its threshold: lt or lte, not %s", o.Op)
		return
	}
	within := time.Duration(*o.Value * float64(unit))
	if within <= 0 {
		m.fail(at.in("value"), "%v is not a latency", *o.Value)
		return
	}
	t, err := slo.ParseTarget(slo.Availability, ">= "+o.percent()+" %")
	if err != nil {
		m.fail(at, "%v", err)
		return
	}
	if have, ok := m.found[slo.Availability]; ok && have.text != t.String() {
		m.warn(at, "has no effect on a run: it asks for %s %% within %v, and %s for an availability of %s; an operation of a run has one deadline and one share",
			o.percent(), within, where(have.at), have.text)
		return
	}
	m.within(at.in("value"), within)
	m.declare(slo.Availability, declared{text: t.String(), at: at, target: o.share()})
}

// percent is the target as the document writes it, in percent.
func (o *Objective) percent() string {
	if o.TargetPercent != nil {
		return strconv.FormatFloat(*o.TargetPercent, 'f', -1, 64)
	}
	return shifted(*o.Target, 2)
}

// share is the target from 0 to 1, as near as its decimals are.
func (o *Objective) share() float64 {
	if o.Target != nil {
		return *o.Target
	}
	f, err := strconv.ParseFloat(shifted(*o.TargetPercent, -2), 64)
	if err != nil {
		return *o.TargetPercent / 100
	}
	return f
}

// shifted is v * 10^by in decimals, without the noise of a multiplication.
func shifted(v float64, by int) string {
	f, err := strconv.ParseFloat(strconv.FormatFloat(v, 'f', -1, 64)+"e"+strconv.Itoa(by), 64)
	if err != nil {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}
