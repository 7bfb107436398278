package budget

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/fivenines/fivenines/slo/internal/yamlfile"
)

// File is objectives and alert policy as a YAML file writes them.
type File struct {
	Policy Policy // for objectives without one of their own
	SLOs   []SLO
}

// DefaultPeriod of an objective whose file names none.
const DefaultPeriod = 30 * 24 * time.Hour

// DefaultService is the service of an objective whose file names none.
const DefaultService = "fivenines"

// FileError is a mistake in a file: where it stands and what is wrong.
type FileError = yamlfile.Error

type fileText struct {
	Policy *filePolicy `yaml:"policy"`
	SLOs   []fileSLO   `yaml:"slos"`
}

type fileSLO struct {
	Name        string            `yaml:"name"`
	Service     string            `yaml:"service"`
	Description string            `yaml:"description"`
	Runbook     string            `yaml:"runbook"`
	Labels      map[string]string `yaml:"labels"`
	Target      string            `yaml:"target"` // "99.9 %"
	Period      string            `yaml:"period"` // "30d"
	Indicator   fileIndicator     `yaml:"indicator"`
	Policy      *filePolicy       `yaml:"policy"`
}

type fileIndicator struct {
	Good       string `yaml:"good"`
	Bad        string `yaml:"bad"`
	Total      string `yaml:"total"`
	ErrorRatio string `yaml:"error_ratio"`
}

type filePolicy struct {
	Interval  string      `yaml:"interval"`
	MinErrors *uint64     `yaml:"min_errors"`
	NoData    string      `yaml:"no_data"`
	Alerts    []fileAlert `yaml:"alerts"`
}

type fileAlert struct {
	Severity string `yaml:"severity"`
	Response string `yaml:"response"` // page for critical and high, else ticket
	Budget   string `yaml:"budget"`   // "2 %"
	Long     string `yaml:"long"`
	Short    string `yaml:"short"` // a twelfth of long
}

// Load reads a file of objectives and alert policy.
func Load(path string) (*File, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Decode(path, b)
}

// Decode reads objectives and alert policy; file is the name that errors, which
// have the line and the field, give it. A field that is left out has the value
// of [Workbook], of the file's own policy, or of the constants above.
func Decode(file string, data []byte) (*File, error) {
	docs, err := yamlfile.Parse(file, data)
	if err != nil {
		return nil, err
	}
	if len(docs) > 1 {
		return nil, docs[1].Errorf("", "starts a second document, one is allowed")
	}
	d := &decoder{Document: docs[0]}
	var text fileText
	if err := d.Document.Decode(&text); err != nil {
		return nil, err
	}
	f := &File{Policy: d.policy("policy", text.Policy, Workbook())}
	for i, t := range text.SLOs {
		f.SLOs = append(f.SLOs, d.slo(fmt.Sprintf("slos[%d]", i), t, f.Policy))
	}
	if len(f.SLOs) == 0 && text.Policy == nil {
		d.fail("", "has neither slos nor a policy")
	}
	if len(d.errs) == 0 {
		d.validate(f)
	}
	if len(d.errs) > 0 {
		slices.SortStableFunc(d.errs, func(a, b *FileError) int { return a.Line - b.Line })
		return nil, d.err()
	}
	return f, nil
}

type decoder struct {
	*yamlfile.Document
	errs []*FileError
}

func (d *decoder) fail(field, format string, args ...any) {
	d.errs = append(d.errs, d.Errorf(field, format, args...))
}

func (d *decoder) err() error {
	errs := make([]error, len(d.errs))
	for i, e := range d.errs {
		errs[i] = e
	}
	return errors.Join(errs...)
}

func (d *decoder) duration(field, text string, otherwise time.Duration) time.Duration {
	if text == "" {
		return otherwise
	}
	v, err := ParseDuration(text)
	if err != nil {
		d.fail(field, "%v", err)
	}
	return v
}

func (d *decoder) share(field, text string) float64 {
	if text == "" {
		d.fail(field, "is needed: a percentage such as 99.9 %%")
		return 0
	}
	v, err := ParseShare(text)
	if err != nil {
		d.fail(field, "%v", err)
	}
	return v
}

func (d *decoder) slo(at string, t fileSLO, p Policy) SLO {
	if t.Service == "" {
		t.Service = DefaultService
	}
	return SLO{
		Name: t.Name, Service: t.Service, Description: t.Description, Runbook: t.Runbook, Labels: t.Labels,
		Objective: Objective{
			Target: d.share(at+".target", t.Target),
			Period: d.duration(at+".period", t.Period, DefaultPeriod),
		},
		Indicator: Indicator(t.Indicator),
		Policy:    d.policy(at+".policy", t.Policy, p),
	}
}

// policy is the one of the text, over another one.
func (d *decoder) policy(at string, t *filePolicy, p Policy) Policy {
	p.Alerts = slices.Clone(p.Alerts)
	if t == nil {
		return p
	}
	p.Interval = d.duration(at+".interval", t.Interval, p.Interval)
	if t.MinErrors != nil {
		p.MinErrors = *t.MinErrors
	}
	if t.NoData != "" {
		p.NoData = t.NoData
	}
	if !d.Has(at + ".alerts") {
		return p
	}
	p.Alerts = nil
	for i, a := range t.Alerts {
		at := fmt.Sprintf("%s.alerts[%d]", at, i)
		long := d.duration(at+".long", a.Long, 0)
		p.Alerts = append(p.Alerts, Alert{
			Severity: a.Severity, Response: responseTo(a), Budget: d.share(at+".budget", a.Budget),
			Long: long, Short: d.duration(at+".short", a.Short, shortOf(long)),
		})
	}
	return p
}

func responseTo(a fileAlert) string {
	switch {
	case a.Response != "":
		return a.Response
	case a.Severity == "critical" || a.Severity == "high":
		return "page"
	default:
		return "ticket"
	}
}

// validate finds what only the whole can be wrong with.
func (d *decoder) validate(f *File) {
	if len(f.SLOs) == 0 {
		// Without an objective: what is wrong for the least demanding one that
		// every row can fire at.
		d.invalid("policy", f.Policy.Validate(Objective{Target: 0.99999, Period: MaxPeriod}))
		return
	}
	seen := map[string]int{}
	for i, s := range f.SLOs {
		at := fmt.Sprintf("slos[%d]", i)
		d.invalid(at, s.Validate())
		if j, twice := seen[s.Service+"/"+s.Name]; twice {
			d.fail(at+".name", "%s is the name of slos[%d] of the same service too", s.Name, j)
		}
		seen[s.Service+"/"+s.Name] = i
	}
}

// invalid notes an error where the file is to be changed: a policy that an
// objective has from the file's top stands there.
func (d *decoder) invalid(at string, err error) {
	if err == nil {
		return
	}
	var f *FieldError
	if !errors.As(err, &f) {
		d.fail(at, "%v", err)
		return
	}
	field := at + "." + f.Field
	if d.Has(field) || d.Has(at+".policy") || !d.Has(f.Field) {
		d.fail(field, "%s", f.Msg)
		return
	}
	d.fail(f.Field, "%s (for %s)", f.Msg, at)
}
