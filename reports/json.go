package reports

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/fivenines/fivenines/slo"
)

// WriteBaseline writes the result as [WriteJSON] does, without what a comparison does not
// need (pictures, regions, partitions, examples, evidence), small enough for a repository.
func WriteBaseline(w io.Writer, r *slo.Result) error {
	b := *r
	b.Timeline, b.Marks, b.Examples, b.Problems = nil, nil, nil, nil
	b.Objectives = slices.Clone(r.Objectives)
	for i := range b.Objectives {
		b.Objectives[i].Evidence = ""
	}
	b.Trials = slices.Clone(r.Trials)
	for i := range b.Trials {
		t := &b.Trials[i]
		t.Regions, t.Partitions, t.Sessions = nil, nil, nil
		t.Faults = slices.Clone(t.Faults)
		for j := range t.Faults {
			f := &t.Faults[j]
			f.Evidence, f.Failover, f.Undo = "", whole(f.Failover), whole(f.Undo)
		}
		t.Measures.Failover = whole(t.Measures.Failover)
	}
	text, err := json.Marshal(&b)
	if err != nil {
		return fmt.Errorf("baseline of %s: %w", r.Scenario, err)
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// whole is an outage without its partitions.
func whole(o *slo.Outage) *slo.Outage {
	if o == nil {
		return nil
	}
	c := *o
	c.Partitions = nil
	return &c
}

// WriteJSON writes result.json: indented, fields in the order of the schema.
func WriteJSON(w io.Writer, r *slo.Result) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("result of %s as JSON: %w", r.Scenario, err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}
