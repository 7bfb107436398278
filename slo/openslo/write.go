package openslo

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/fivenines/fivenines/slo"
	"github.com/fivenines/fivenines/slo/budget"
)

// Source says what [FromObjectives] can't tell from objectives.
type Source struct {
	Service     string // name of the service
	Description string
	Period      time.Duration // of the availability; 0: 30 days
	Deadline    time.Duration // after which an operation is bad; 0: not said
	// Availability is how Prometheus measures the availability; empty: as
	// fivenines does, from what its clients saw.
	Availability budget.Indicator
}

// FromObjectives makes documents of a scenario's objectives: an SLO for each
// that OpenSLO can say (shares below 100 %, and durations that a share of all
// trials must keep), and annotations of the Service for the others. Map gives
// the same objectives back.
func FromObjectives(src Source, objectives map[string]string) (*Set, error) {
	meta := Metadata{Name: src.Service, Annotations: map[string]string{}}
	s := &Set{}
	for _, name := range slices.Sorted(maps.Keys(objectives)) {
		t, err := slo.ParseTarget(name, objectives[name])
		if err != nil {
			return nil, err
		}
		d, ok, err := src.slo(name, t.String())
		switch {
		case err != nil:
			return nil, err
		case ok:
			s.SLOs = append(s.SLOs, *d)
		default:
			meta.Annotations[ObjectiveAnnotation+"."+name] = t.String()
		}
	}
	if src.Deadline != 0 {
		meta.Annotations[DeadlineAnnotation] = src.Deadline.String()
	}
	if len(meta.Annotations) == 0 {
		meta.Annotations = nil
	}
	s.Services = []Service{{APIVersion: Version, Kind: KindService, Metadata: meta, Spec: ServiceSpec{Description: src.Description}}}
	return s, s.Check()
}

var (
	shareRE    = regexp.MustCompile(`^>= ([0-9.]+) %$`)
	quantileRE = regexp.MustCompile(`^p([0-9.]+) < ([0-9.]+) s$`)
)

// slo is the objective as an SLO, if OpenSLO can say it.
func (src Source) slo(name, text string) (*SLO, bool, error) {
	d := &SLO{
		APIVersion: Version, Kind: KindSLO,
		Metadata: Metadata{Name: src.Service + "-" + name, Annotations: map[string]string{ObjectiveAnnotation: name}},
		Spec:     SLOSpec{Service: src.Service, BudgetingMethod: Occurrences},
	}
	var percent string
	var o Objective
	switch share, quantile := shareRE.FindStringSubmatch(text), quantileRE.FindStringSubmatch(text); {
	case share != nil:
		percent = share[1]
	case quantile != nil:
		percent = quantile[1]
		v, err := strconv.ParseFloat(quantile[2], 64)
		if err != nil {
			return nil, false, fmt.Errorf("objective %s: %q: %w", name, text, err)
		}
		o.Op, o.Value = "lt", &v
		d.Metadata.Annotations[UnitAnnotation] = "s"
		d.Spec.Description = "Of all possible trials, the share in which it stays below the value in seconds."
	default:
		return nil, false, nil
	}
	target, err := strconv.ParseFloat(percent, 64)
	if err != nil {
		return nil, false, fmt.Errorf("objective %s: %q: %w", name, text, err)
	}
	if target >= 100 { // not a target in OpenSLO
		return nil, false, nil
	}
	o.TargetPercent = &target
	d.Spec.Objectives = []Objective{o}
	d.Spec.Indicator = &InlineSLI{Metadata: Metadata{Name: d.Metadata.Name}, Spec: src.indicator(name, o.Value != nil)}
	if name == slo.Availability {
		period, err := FormatDuration(cmp.Or(src.Period, budget.DefaultPeriod))
		if err != nil {
			return nil, false, fmt.Errorf("period: %w", err)
		}
		d.Spec.TimeWindow = []TimeWindow{{Duration: period, IsRolling: true}}
	}
	return d, true, nil
}

// indicator is where an objective's numbers come from.
func (src Source) indicator(name string, threshold bool) SLISpec {
	measured := func(what string) *Metric {
		spec := map[string]any{"measure": name}
		if what != "" {
			spec["count"] = what
		}
		return &Metric{MetricSource{Type: "fivenines", Spec: spec}}
	}
	query := func(q string) *Metric {
		if q == "" {
			return nil
		}
		return &Metric{MetricSource{Type: prometheus, Spec: map[string]any{"query": q}}}
	}
	a := src.Availability
	switch {
	case threshold:
		return SLISpec{ThresholdMetric: measured("")}
	case name == slo.Availability && a.ErrorRatio != "":
		return SLISpec{RatioMetric: &RatioMetric{RawType: "failure", Raw: query(a.ErrorRatio)}}
	case name == slo.Availability && a.Total != "":
		return SLISpec{RatioMetric: &RatioMetric{Counter: true, Good: query(a.Good), Bad: query(a.Bad), Total: query(a.Total)}}
	}
	return SLISpec{RatioMetric: &RatioMetric{Counter: true, Good: measured("good"), Total: measured("total")}}
}

// Write writes all documents to w, with lines of --- between them: services
// and data sources, then what measures, then what promises, then what alerts.
func (s *Set) Write(w io.Writer) error {
	if err := s.Check(); err != nil {
		return err
	}
	b, err := s.yaml()
	if err != nil {
		return err
	}
	// The encoder leaves some texts unquoted that its own parser takes for
	// something else: what can't be read back is not written.
	back, err := Read("what was written", b)
	if err != nil {
		return err
	}
	again, err := back.yaml()
	if err != nil {
		return err
	}
	if !bytes.Equal(b, again) {
		return errors.New("the documents hold a text that does not survive being written; take control characters out of it")
	}
	_, err = w.Write(b)
	return err
}

func (s *Set) yaml() ([]byte, error) {
	var b bytes.Buffer
	for _, err := range []error{
		encode(&b, s.Services), encode(&b, s.DataSources), encode(&b, s.SLIs), encode(&b, s.SLOs),
		encode(&b, s.AlertConditions), encode(&b, s.AlertNotificationTargets), encode(&b, s.AlertPolicies),
	} {
		if err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

func encode[S any](b *bytes.Buffer, docs []Document[S]) error {
	for i := range docs {
		if b.Len() > 0 {
			b.WriteString("---\n")
		}
		out, err := yaml.MarshalWithOptions(&docs[i], yaml.UseLiteralStyleIfMultiline(true), yaml.IndentSequence(true))
		if err != nil {
			return fmt.Errorf("write %s %s: %w", docs[i].Kind, docs[i].Metadata.Name, err)
		}
		b.Write(out)
	}
	return nil
}
