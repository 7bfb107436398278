package openslo

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/fivenines/fivenines/slo/internal/yamlfile"
)

// Set is the documents of a file, by kind, in their order.
type Set struct {
	Services                 []Service
	SLOs                     []SLO
	SLIs                     []SLI
	DataSources              []DataSource
	AlertPolicies            []AlertPolicy
	AlertConditions          []AlertCondition
	AlertNotificationTargets []AlertNotificationTarget
}

// Error is a mistake in a document, with file, line and field.
type Error = yamlfile.Error

// Warning is something that a document says and that has no effect here.
type Warning = yamlfile.Error

// place is where a value stands; that of a document which no file holds is empty.
type place struct {
	doc   *yamlfile.Document
	field string
}

func (p place) in(field string, args ...any) place {
	return place{p.doc, yamlfile.Join(p.field, fmt.Sprintf(field, args...))}
}

func (p place) errorf(format string, args ...any) *Error {
	if p.doc == nil {
		return &Error{Field: p.field, Msg: fmt.Sprintf(format, args...)}
	}
	return p.doc.Errorf(p.field, format, args...)
}

// problems are mistakes and warnings in the making.
type problems struct {
	errs  []*Error
	warns []*Warning
}

func (p *problems) fail(at place, format string, args ...any) {
	p.errs = append(p.errs, at.errorf(format, args...))
}

func (p *problems) warn(at place, format string, args ...any) {
	p.warns = append(p.warns, at.errorf(format, args...))
}

func (p *problems) err() error {
	slices.SortStableFunc(p.errs, func(a, b *Error) int { return a.Line - b.Line })
	var errs []error
	said := map[Error]bool{}
	for _, e := range p.errs {
		if !said[*e] {
			errs = append(errs, e)
		}
		said[*e] = true
	}
	return errors.Join(errs...)
}

// Load reads a file.
func Load(path string) (*Set, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Read(path, b)
}

// Read reads documents and checks them against the specification; file is the
// name that errors give it. All mistakes are reported.
func Read(file string, data []byte) (*Set, error) {
	docs, err := yamlfile.Parse(file, data)
	if err != nil {
		return nil, err
	}
	s := &Set{}
	p := &problems{}
	for _, d := range docs {
		if err := s.add(d); err != nil {
			var e *Error
			if !errors.As(err, &e) {
				return nil, err
			}
			p.errs = append(p.errs, e)
		}
	}
	if len(p.errs) == 0 {
		s.check(p)
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return s, nil
}

// add decodes a document by its kind.
func (s *Set) add(d *yamlfile.Document) error {
	var head struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
	}
	if err := d.Peek(&head); err != nil {
		return err
	}
	if head.APIVersion != Version {
		return d.Errorf("apiVersion", "%q is not %s, which is what is read", head.APIVersion, Version)
	}
	switch head.Kind {
	case KindService:
		return decode(d, &s.Services)
	case KindSLO:
		return decode(d, &s.SLOs)
	case KindSLI:
		return decode(d, &s.SLIs)
	case KindDataSource:
		return decode(d, &s.DataSources)
	case KindAlertPolicy:
		return decode(d, &s.AlertPolicies)
	case KindAlertCondition:
		return decode(d, &s.AlertConditions)
	case KindAlertNotificationTarget:
		return decode(d, &s.AlertNotificationTargets)
	}
	return d.Errorf("kind", "%q is not a kind; there are %s", head.Kind, strings.Join([]string{
		KindService, KindSLO, KindSLI, KindDataSource, KindAlertPolicy, KindAlertCondition, KindAlertNotificationTarget,
	}, ", "))
}

func decode[S any](d *yamlfile.Document, into *[]Document[S]) error {
	doc := Document[S]{at: place{doc: d}}
	if err := d.Decode(&doc); err != nil {
		return err
	}
	*into = append(*into, doc)
	return nil
}

// named finds a document by its name.
func named[S any](docs []Document[S], name string) *Document[S] {
	for i := range docs {
		if docs[i].Metadata.Name == name {
			return &docs[i]
		}
	}
	return nil
}

// For is the set with the SLOs of one service only, and what belongs to them.
func (s *Set) For(service string) (*Set, error) {
	out := *s
	out.SLOs, out.Services = nil, nil
	var all []string
	for _, o := range s.SLOs {
		if o.Spec.Service == service {
			out.SLOs = append(out.SLOs, o)
		}
		all = append(all, o.Spec.Service)
	}
	for _, v := range s.Services {
		if v.Metadata.Name == service {
			out.Services = append(out.Services, v)
		}
		all = append(all, v.Metadata.Name)
	}
	if len(out.SLOs)+len(out.Services) == 0 {
		slices.Sort(all)
		return nil, fmt.Errorf("no service is called %q; there are %s", service, strings.Join(slices.Compact(all), ", "))
	}
	return &out, nil
}
