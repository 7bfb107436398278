package budget

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// SLO is an objective with all that Prometheus rules need.
type SLO struct {
	Name        string // unique within the service; lower-case letters, digits, hyphens
	Service     string
	Description string
	Runbook     string            // URL, for the annotation of the alerts
	Labels      map[string]string // of the alerts, beside those that rules give them
	Objective   Objective
	Indicator   Indicator
	Policy      Policy
}

var (
	nameRE  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	labelRE = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	// ownLabels are given by the rules.
	ownLabels = []string{"slo", "service", "severity", "response", "long", "short", "alertname"}
)

// Validate says what is wrong with it.
func (s SLO) Validate() error {
	for _, f := range [][2]string{{"name", s.Name}, {"service", s.Service}} {
		if !nameRE.MatchString(f[1]) || len(f[1]) > 63 {
			return fieldErrorf(f[0], "%q is not a name of lower-case letters, digits and hyphens (at most 63)", f[1])
		}
	}
	for name := range s.Labels {
		if !labelRE.MatchString(name) || slices.Contains(ownLabels, name) {
			return fieldErrorf("labels", "%q is not a name that a label can have here", name)
		}
	}
	if err := s.Objective.Validate(); err != nil {
		return err
	}
	if err := s.Policy.Validate(s.Objective); err != nil {
		return prefixed("policy", err)
	}
	u, err := s.Indicator.Unit()
	if err != nil {
		return prefixed("indicator", err)
	}
	if u == Unknown && s.Indicator.ErrorRatio == "" && s.Policy.MinErrors > 0 {
		return fieldErrorf("policy.min_errors", "%d errors can't be told from these queries: use rate or increase in them, or set it to 0", s.Policy.MinErrors)
	}
	return nil
}

func prefixed(by string, err error) error {
	var f *FieldError
	if errors.As(err, &f) {
		return &FieldError{by + "." + f.Field, f.Msg}
	}
	return err
}

// RuleFile is a Prometheus rules file.
type RuleFile struct {
	Groups []RuleGroup `yaml:"groups"`
}

// RuleGroup is rules that are evaluated in their order at the same instant.
type RuleGroup struct {
	Name     string `yaml:"name"`
	Interval string `yaml:"interval,omitempty"`
	Rules    []Rule `yaml:"rules"`
}

// Rule is a recording rule or an alert.
type Rule struct {
	Record      string            `yaml:"record,omitempty"`
	Alert       string            `yaml:"alert,omitempty"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for,omitempty"`
	Labels      map[string]string `yaml:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
}

// Names of the alerts.
const (
	BurnAlert   = "ErrorBudgetBurn"
	NoDataAlert = "ErrorBudgetNoData"
)

// budgetInterval is how often the slow query over the whole period is run.
const budgetInterval = 5 * time.Minute

// Rules makes the recording rules and alerts of objectives: the error ratio of
// each window, an alert for each row of the policy, and how much of the budget
// is left. Burn rate alerts have no "for": it would make a long outage page
// late, and the short window resets them in time (Workbook, chapter 5).
func Rules(slos ...SLO) (*RuleFile, error) {
	if len(slos) == 0 {
		return nil, errors.New("no objective to make rules of")
	}
	f := &RuleFile{}
	seen := map[string]bool{}
	for _, s := range slos {
		if err := s.Validate(); err != nil {
			return nil, fmt.Errorf("objective %s: %w", s.Name, err)
		}
		id := s.Service + "-" + s.Name
		if seen[id] {
			return nil, fmt.Errorf("service %s has two objectives called %s", s.Service, s.Name)
		}
		seen[id] = true
		f.Groups = append(f.Groups, s.alertGroup(), s.budgetGroup())
	}
	for _, g := range f.Groups {
		for _, r := range g.Rules {
			if _, err := promQL.ParseExpr(r.Expr); err != nil {
				return nil, fmt.Errorf("rule %s%s of group %s: %q is not PromQL: %v", r.Record, r.Alert, g.Name, r.Expr, promQLError(err))
			}
		}
	}
	return f, nil
}

func (s SLO) labels() map[string]string {
	return map[string]string{"slo": s.Name, "service": s.Service}
}

// recorded is a recorded series of this objective. Names hold no quotes.
func (s SLO) recorded(name string) string {
	return fmt.Sprintf(`%s{slo="%s",service="%s"}`, name, s.Name, s.Service)
}

// nowName is the error ratio of an instant.
const nowName = "slo:error_ratio:now"

// Recorded names: level:metric:operations, as Prometheus' own best practices have them.
func ratioName(w time.Duration) string  { return "slo:error_ratio:rate" + FormatDuration(w) }
func errorsName(w time.Duration) string { return "slo:errors:increase" + FormatDuration(w) }

func (s SLO) alertGroup() RuleGroup {
	g := RuleGroup{Name: "slo-" + s.Service + "-" + s.Name, Interval: FormatDuration(s.Policy.Interval)}
	ws := s.Policy.Windows()
	if s.Indicator.atInstant() {
		// One NaN would spoil every average that holds it.
		g.Rules = append(g.Rules, Rule{Record: nowName, Expr: "(" + strings.TrimSpace(s.Indicator.ErrorRatio) + ") > -Inf", Labels: s.labels()})
	}
	for _, w := range ws {
		g.Rules = append(g.Rules, Rule{Record: ratioName(w), Expr: s.errorRatio(w), Labels: s.labels()})
	}
	unit, guarded := s.guard()
	var long []time.Duration
	for _, a := range s.Policy.Alerts {
		long = append(long, a.Long)
	}
	slices.Sort(long)
	for _, w := range slices.Compact(long) {
		if guarded {
			g.Rules = append(g.Rules, Rule{Record: errorsName(w), Expr: s.Indicator.errors(w, unit), Labels: s.labels()})
		}
	}
	for _, a := range s.Policy.Alerts {
		g.Rules = append(g.Rules, s.alert(a, guarded))
	}
	if s.Policy.NoData != "" {
		g.Rules = append(g.Rules, s.noData(ws[0]))
	}
	return g
}

// guard says whether alerts look at the number of bad events too.
func (s SLO) guard() (Unit, bool) {
	u, err := s.Indicator.Unit()
	return u, err == nil && u != Unknown && s.Policy.MinErrors > 0
}

func (s SLO) alert(a Alert, guarded bool) Rule {
	limit := fmt.Sprintf(" > %s * %s", Number(a.Factor(s.Objective.Period)), decimal(s.Objective.ErrorBudget()))
	expr := s.recorded(ratioName(a.Long)) + limit + "\nand\n" + s.recorded(ratioName(a.Short)) + limit
	if guarded {
		expr += fmt.Sprintf("\nand\n%s >= %d", s.recorded(errorsName(a.Long)), s.Policy.MinErrors)
	}
	labels := s.labels()
	for k, v := range s.Labels {
		labels[k] = v
	}
	labels["severity"], labels["response"] = a.Severity, a.Response
	labels["long"], labels["short"] = FormatDuration(a.Long), FormatDuration(a.Short)
	return Rule{Alert: BurnAlert, Expr: expr, Labels: labels, Annotations: s.annotations(
		fmt.Sprintf("%s of %s spends its error budget at over %s times the rate that lasts for %s", s.Name, s.Service, Number(a.Factor(s.Objective.Period)), FormatDuration(s.Objective.Period)),
		fmt.Sprintf("{{ $value | humanizePercentage }} of the last %s was bad, and the last %s were no better. The objective of %s in %s leaves %s; this alert fires when %s of that goes within %s.",
			FormatDuration(a.Long), FormatDuration(a.Short), FormatPercent(s.Objective.Target), FormatDuration(s.Objective.Period),
			FormatPercent(s.Objective.ErrorBudget()), FormatPercent(a.Budget), FormatDuration(a.Long)),
	)}
}

// noData needs a "for": right after a start of Prometheus nothing has a rate.
func (s SLO) noData(window time.Duration) Rule {
	labels := s.labels()
	for k, v := range s.Labels {
		labels[k] = v
	}
	labels["severity"] = s.Policy.NoData
	return Rule{
		Alert: NoDataAlert, Expr: "absent(" + s.recorded(ratioName(window)) + ")", For: FormatDuration(window), Labels: labels,
		Annotations: s.annotations(
			fmt.Sprintf("nothing is known of %s of %s", s.Name, s.Service),
			fmt.Sprintf("The indicator has had no value for %s. Its alerts are blind until it has.", FormatDuration(window)),
		),
	}
}

func (s SLO) annotations(summary, description string) map[string]string {
	m := map[string]string{"summary": summary, "description": description}
	if s.Runbook != "" {
		m["runbook_url"] = s.Runbook
	}
	return m
}

func (s SLO) budgetGroup() RuleGroup {
	o := s.Objective
	ratio := ratioName(o.Period)
	left := "1 - " + s.recorded(ratio) + " / " + decimal(o.ErrorBudget())
	g := RuleGroup{Name: "slo-" + s.Service + "-" + s.Name + "-budget", Interval: FormatDuration(max(s.Policy.Interval, budgetInterval))}
	g.Rules = []Rule{
		{Record: "slo:objective:ratio", Expr: "vector(" + decimal(o.Target) + ")", Labels: s.labels()},
	}
	if !slices.Contains(s.Policy.Windows(), o.Period) {
		g.Rules = append(g.Rules, Rule{Record: ratio, Expr: s.errorRatio(o.Period), Labels: s.labels()})
	}
	g.Rules = append(g.Rules, Rule{Record: "slo:error_budget_remaining:ratio", Expr: left, Labels: s.labels()})
	return g
}

// decimal is a share as PromQL reads it back to the same number.
func decimal(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// YAML is the file as Prometheus reads it.
func (f *RuleFile) YAML() ([]byte, error) {
	b, err := yaml.MarshalWithOptions(f, yaml.UseLiteralStyleIfMultiline(true), yaml.IndentSequence(true))
	if err != nil {
		return nil, fmt.Errorf("write the rules: %w", err)
	}
	// The encoder leaves some texts unquoted that parsers take for something else.
	back := &RuleFile{}
	if err := yaml.Unmarshal(b, back); err != nil || !reflect.DeepEqual(f, back) {
		return nil, errors.New("the rules hold a text that does not survive being written; take tabs and control characters out of the queries")
	}
	const head = "# Made by fivenines slo rules. Change its source, not this file.\n"
	return append([]byte(head), bytes.TrimLeft(b, "\n")...), nil
}
