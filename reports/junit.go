package reports

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/fivenines/fivenines/slo"
)

type junitSuites struct {
	XMLName  xml.Name   `xml:"testsuites"`
	Name     string     `xml:"name,attr"`
	Tests    int        `xml:"tests,attr"`
	Failures int        `xml:"failures,attr"`
	Errors   int        `xml:"errors,attr"`
	Skipped  int        `xml:"skipped,attr"`
	Time     string     `xml:"time,attr"`
	Suite    junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Errors     int             `xml:"errors,attr"`
	Skipped    int             `xml:"skipped,attr"`
	Time       string          `xml:"time,attr"`
	Timestamp  string          `xml:"timestamp,attr,omitempty"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`
	Out        string          `xml:"system-out,omitempty"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Time    string        `xml:"time,attr"`
	Skipped *junitMessage `xml:"skipped"`
	Failure *junitMessage `xml:"failure"`
	Error   *junitMessage `xml:"error"`
	Out     string        `xml:"system-out,omitempty"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes the run as a test suite with a test case for each
// objective: missed is a failure, inconclusive an error (it must not look green),
// not evaluated is skipped. A verdict that no row explains, such as that of a
// run without objectives, becomes a case of its own, so that the suite fails
// whenever the run does. A mutant that is not caught fails it as well.
func WriteJUnit(w io.Writer, r *slo.Result) error {
	s := junitSuite{Name: suiteName(r), Time: junitTime(r)}
	if !r.Started.IsZero() {
		s.Timestamp = r.Started.UTC().Format("2006-01-02T15:04:05")
	}
	for _, f := range append(facts(r), [2]string{"verdict", string(overall(r))}, [2]string{"command", clean(r.Command)}) {
		s.Properties = append(s.Properties, junitProperty{f[0], f[1]})
	}
	class := "fivenines." + strings.ReplaceAll(clean(r.Scenario), ".", "_")
	seen := map[slo.Verdict]bool{}
	for i := range r.Objectives {
		o := &r.Objectives[i]
		c := junitCase{Name: clean(o.Name), Class: class, Time: "0"}
		v := known(o.Verdict)
		seen[v] = true
		switch v {
		case slo.Missed:
			c.Failure = &junitMessage{
				Message: fmt.Sprintf("%s missed: target %s, measured %s", c.Name, orDash(clean(o.Target)), orDash(measured(o))),
				Type:    string(v), Text: failureText(r, o),
			}
		case slo.Inconclusive:
			c.Error = &junitMessage{
				Message: fmt.Sprintf("%s inconclusive: target %s, measured %s", c.Name, orDash(clean(o.Target)), orDash(measured(o))),
				Type:    string(v), Text: failureText(r, o),
			}
		case slo.NotEvaluated:
			c.Skipped = &junitMessage{Message: "not evaluated: the scenario declares no target"}
		default:
			c.Out = lines("target: "+clean(o.Target), "measured: "+measured(o), "margin: "+margin(o), "evidence: "+clean(o.Evidence))
		}
		s.Cases = append(s.Cases, c)
	}
	verdict := junitCase{Name: "verdict", Class: class, Time: "0"}
	whole := &junitMessage{Message: string(overall(r)) + ": " + sentence(r), Type: string(overall(r)), Text: lines(problemLines(r)...)}
	switch v := overall(r); {
	case r.Mutant != "" && v != slo.Missed:
		whole.Message, whole.Type = mutantText(r), "mutant not caught"
		verdict.Failure = whole
		s.Cases = append(s.Cases, verdict)
	case v == slo.Missed && !seen[v]:
		verdict.Failure = whole
		s.Cases = append(s.Cases, verdict)
	case v == slo.Inconclusive && !seen[v]:
		verdict.Error = whole
		s.Cases = append(s.Cases, verdict)
	}
	s.Tests = len(s.Cases)
	for _, c := range s.Cases {
		switch {
		case c.Failure != nil:
			s.Failures++
		case c.Error != nil:
			s.Errors++
		case c.Skipped != nil:
			s.Skipped++
		}
	}
	out := []string{string(overall(r)) + ": " + sentence(r)}
	if m := mutantText(r); m != "" {
		out = append(out, m)
	}
	out = append(out, problemLines(r)...)
	if r.Command != "" {
		out = append(out, "run again: "+clean(r.Command))
	}
	s.Out = lines(out...)

	b, err := xml.MarshalIndent(junitSuites{
		Name: "fivenines", Tests: s.Tests, Failures: s.Failures, Errors: s.Errors, Skipped: s.Skipped, Time: s.Time, Suite: s,
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("result of %s as JUnit: %w", r.Scenario, err)
	}
	_, err = io.WriteString(w, xml.Header+string(b)+"\n")
	return err
}

func suiteName(r *slo.Result) string {
	s := clean(r.Scenario)
	if r.Mutant != "" {
		s += " [mutant " + clean(r.Mutant) + "]"
	}
	return s
}

// junitTime is how long the load took, in seconds.
func junitTime(r *slo.Result) string {
	if len(r.Timeline) == 0 {
		return "0"
	}
	return strconv.Itoa(max(0, r.Timeline[len(r.Timeline)-1].Second+1-r.Timeline[0].Second))
}

// maxJUnitExamples bounds what a failure quotes; the report has the others.
const maxJUnitExamples = 2

func failureText(r *slo.Result, o *slo.Objective) string {
	text := []string{
		"target:   " + orDash(clean(o.Target)),
		"measured: " + orDash(measured(o)),
	}
	if m := margin(o); m != "" {
		text = append(text, "margin:   "+m)
	}
	text = append(text, "evidence: "+orDash(clean(o.Evidence)))
	if a := advice(r, o); a != "" {
		text = append(text, "what to do: "+a)
	}
	shown := 0
	for i := range r.Examples {
		e := &r.Examples[i]
		if o.Verdict != slo.Missed || shown == maxJUnitExamples || !slices.Contains(slo.Checks(o.Name), e.Check) {
			continue
		}
		shown++
		text = append(text, "", exampleTitle(e)+": "+clean(e.Why))
		text = append(text, exampleLines(e)...)
	}
	return lines(text...)
}

func problemLines(r *slo.Result) []string {
	var out []string
	for i, p := range r.Problems {
		if i == maxProblems {
			return append(out, fmt.Sprintf("and %d more problems", len(r.Problems)-i))
		}
		out = append(out, "problem: "+clean(p))
	}
	return out
}

func lines(s ...string) string {
	if len(s) == 0 {
		return ""
	}
	return "\n" + strings.Join(s, "\n") + "\n"
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// Bounds of what is listed, in every format.
const (
	maxProblems   = 50
	maxExamples   = 20
	maxExampleOps = 60
	maxTrials     = 200
	maxMarks      = 300
)

// exampleLines are the operations of an example, cut to what fits.
func exampleLines(e *slo.Example) []string {
	var out []string
	for i, o := range e.Ops {
		if i == maxExampleOps {
			return append(out, fmt.Sprintf("  ... %d more lines", len(e.Ops)-i))
		}
		out = append(out, cleanLine(o))
	}
	return out
}
