package budget

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// Window is what queries write where a rule puts its window:
// sum(rate(requests_total[{{.window}}])).
const Window = "{{.window}}"

var windowRE = regexp.MustCompile(`\{\{\s*\.window\s*\}\}`)

// Indicator is how Prometheus counts good and bad events: Total and one of Good
// and Bad, which are queries of rate or increase with [Window] in them, or
// ErrorRatio alone.
type Indicator struct {
	Good, Bad, Total string
	// ErrorRatio is the share of bad events, or of what is bad at a time. With
	// Window in it, it is one over the window. Without, it is one at an instant:
	// it is recorded, and windows average it, so that every moment counts the
	// same. Moments in which it has no value or is NaN don't count.
	ErrorRatio string
}

// atInstant says that windows average a ratio at an instant.
func (i Indicator) atInstant() bool { return i.ErrorRatio != "" && !windowRE.MatchString(i.ErrorRatio) }

// Unit of what a query counts, which decides whether bad events can be counted.
type Unit string

const (
	PerSecond Unit = "per second" // rate
	Events    Unit = "events"     // increase
	Unknown   Unit = "unknown"    // something else: good for a ratio only
)

// Validate says what is wrong with the queries.
func (i Indicator) Validate() error {
	_, err := i.Unit()
	return err
}

// Unit says in what the queries count. Events that are counted in different
// units have no ratio, which is an error.
func (i Indicator) Unit() (Unit, error) {
	set := func(qs ...string) (n int) {
		for _, q := range qs {
			if q != "" {
				n++
			}
		}
		return n
	}
	switch {
	case i.ErrorRatio != "" && set(i.Good, i.Bad, i.Total) > 0:
		return "", fieldErrorf("error_ratio", "can't stand beside good, bad or total")
	case i.atInstant():
		return Unknown, parseInstant("error_ratio", i.ErrorRatio)
	case i.ErrorRatio != "":
		_, err := parseQuery("error_ratio", i.ErrorRatio)
		return Unknown, err
	case set(i.Good, i.Bad) != 1:
		return "", fieldErrorf("good", "an indicator needs total and one of good and bad, or error_ratio alone")
	case i.Total == "":
		return "", fieldErrorf("total", "an indicator needs total and one of good and bad, or error_ratio alone")
	}
	total, err := parseQuery("total", i.Total)
	if err != nil {
		return "", err
	}
	field, q := "good", i.Good
	if i.Bad != "" {
		field, q = "bad", i.Bad
	}
	part, err := parseQuery(field, q)
	if err != nil {
		return "", err
	}
	if total != part && total != Unknown && part != Unknown {
		return "", fieldErrorf(field, "counts in %s, but total in %s; use rate or increase in both", part, total)
	}
	if total != part {
		return Unknown, nil
	}
	return total, nil
}

// sentinel is a window that stands for the placeholder while a query is parsed.
const sentinel = 9*time.Hour + 8*time.Minute + 7*time.Second + 653*time.Millisecond

var promQL = parser.NewParser(parser.Options{})

// parseQuery checks a query with a placeholder and says in what it counts.
func parseQuery(field, q string) (Unit, error) {
	n := len(windowRE.FindAllString(q, -1))
	if n == 0 {
		return "", fieldErrorf(field, "%q has no [%s], which is where the rules put their windows", q, Window)
	}
	expr, err := parseVector(field, q)
	if err != nil {
		return "", err
	}
	units := map[Unit]int{}
	parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
		switch v := node.(type) {
		case *parser.SubqueryExpr:
			if v.Range == sentinel {
				units[Unknown]++
			}
		case *parser.MatrixSelector:
			if v.Range != sentinel {
				return nil
			}
			u := Unknown
			if call, ok := path[len(path)-1].(*parser.Call); ok {
				switch call.Func.Name {
				case "rate":
					u = PerSecond
				case "increase":
					u = Events
				}
			}
			units[u]++
		}
		return nil
	})
	found := 0
	for _, k := range units {
		found += k
	}
	switch {
	case found != n:
		return "", fieldErrorf(field, "%q: %s can only stand for the range of a selector, as in rate(x[%s])", q, Window, Window)
	case len(units) == 1:
		for u := range units {
			return u, nil
		}
	}
	return Unknown, nil
}

// parseInstant checks a query without a placeholder.
func parseInstant(field, q string) error {
	_, err := parseVector(field, q)
	return err
}

func parseVector(field, q string) (parser.Expr, error) {
	expr, err := promQL.ParseExpr(windowRE.ReplaceAllLiteralString(q, FormatDuration(sentinel)))
	if err != nil {
		return nil, fieldErrorf(field, "%q is not PromQL: %v", q, promQLError(err))
	}
	if expr.Type() != parser.ValueTypeVector {
		return nil, fieldErrorf(field, "%q is a %s, not an instant vector", q, parser.DocumentedType(expr.Type()))
	}
	return expr, nil
}

// promQLError is the first mistake, in one line and without its position,
// which counts in the text that was parsed.
func promQLError(err error) string {
	var list parser.ParseErrors
	if errors.As(err, &list) && len(list) > 0 {
		err = list[0].Err
	}
	return strings.ReplaceAll(err.Error(), "\n", " ")
}

// Counters turns a query of counters without a window, such as
// sum(requests_total), into one of their rates. A query that has a placeholder
// stays as it is.
func Counters(q string) (string, error) {
	if windowRE.MatchString(q) {
		return q, nil
	}
	expr, err := promQL.ParseExpr(q)
	if err != nil {
		return "", fmt.Errorf("%q is not PromQL: %v", q, promQLError(err))
	}
	e, err := rates(expr)
	if err != nil {
		return "", fmt.Errorf("%q: %w; write rate(...[%s]) where it belongs", q, err, Window)
	}
	if _, bare := expr.(*parser.VectorSelector); bare {
		e = &parser.AggregateExpr{Op: parser.SUM, Expr: e}
	}
	return strings.ReplaceAll(e.String(), FormatDuration(sentinel), Window), nil
}

// rates puts a rate around each selector. It goes through what rates may be
// taken before: sums and the like.
func rates(e parser.Expr) (parser.Expr, error) {
	switch v := e.(type) {
	case *parser.VectorSelector:
		return &parser.Call{Func: parser.Functions["rate"], Args: parser.Expressions{&parser.MatrixSelector{VectorSelector: v, Range: sentinel}}}, nil
	case *parser.ParenExpr:
		in, err := rates(v.Expr)
		return &parser.ParenExpr{Expr: in}, err
	case *parser.AggregateExpr:
		if v.Op != parser.SUM {
			return nil, fmt.Errorf("no rate can be put into %s", v.Op)
		}
		in, err := rates(v.Expr)
		c := *v
		c.Expr = in
		return &c, err
	case *parser.BinaryExpr:
		if v.Op != parser.ADD && v.Op != parser.SUB {
			return nil, fmt.Errorf("no rate can be put beside %s", v.Op)
		}
		l, err := rates(v.LHS)
		if err != nil {
			return nil, err
		}
		r, err := rates(v.RHS)
		c := *v
		c.LHS, c.RHS = l, r
		return &c, err
	}
	return nil, fmt.Errorf("%s has no counter that a rate could be taken of", e)
}

// at is a query over a window.
func at(q string, window time.Duration) string {
	return "(" + windowRE.ReplaceAllLiteralString(strings.TrimSpace(q), FormatDuration(window)) + ")"
}

// orZero is a query over a window in which nothing counted is 0: a counter of
// errors, say, that has no series before the first one.
func orZero(q string, window time.Duration) string { return "(" + at(q, window) + " or vector(0))" }

// errorRatio is the expression of the share of bad events in a window.
func (s SLO) errorRatio(window time.Duration) string {
	switch i := s.Indicator; {
	case i.atInstant():
		return fmt.Sprintf("avg_over_time(%s[%s])", s.recorded(nowName), FormatDuration(window))
	case i.ErrorRatio != "":
		return at(i.ErrorRatio, window)
	case i.Bad != "":
		return orZero(i.Bad, window) + "\n/\n" + at(i.Total, window)
	default:
		return "1 - (\n  " + orZero(i.Good, window) + "\n/\n  " + at(i.Total, window) + "\n)"
	}
}

// errors is the expression of the number of bad events in a window.
func (i Indicator) errors(window time.Duration, u Unit) string {
	e := at(i.Total, window) + " - " + orZero(i.Good, window)
	if i.Bad != "" {
		e = orZero(i.Bad, window)
	}
	if u == PerSecond {
		e = "(" + e + ") * " + Number(window.Seconds())
	}
	return e
}
