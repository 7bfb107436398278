package openslo

import (
	"slices"
	"strings"

	"github.com/fivenines/fivenines/slo/budget"
)

// severities are those of fivenines by the words that people use.
var severities = map[string]string{
	"critical": "critical", "high": "high", "medium": "medium", "low": "low",
	"page": "critical", "ticket": "medium", "warning": "medium", "info": "low",
	"sev1": "critical", "sev2": "high", "sev3": "medium", "sev4": "low",
	"p1": "critical", "p2": "high", "p3": "medium", "p4": "low",
}

// NotifyLabel of alerts names whom the documents want notified, for
// Alertmanager to route by.
const NotifyLabel = "notify"

// policy turns the alert policies of an SLO into one.
func (c *converter) policy(d *SLO, o budget.Objective) (p budget.Policy, labels map[string]string) {
	p = budget.Workbook()
	if len(d.Spec.AlertPolicies) == 0 {
		return p, nil
	}
	p.Alerts = nil
	var notify []string
	for i := range d.Spec.AlertPolicies {
		use := d.at.in("spec.alertPolicies[%d]", i)
		a, at := d.Spec.AlertPolicies[i].Spec, use.in("spec")
		if ref := d.Spec.AlertPolicies[i].AlertPolicyRef; ref != "" {
			doc := named(c.set.AlertPolicies, ref)
			if doc == nil {
				c.fail(use.in("alertPolicyRef"), "no AlertPolicy of this file is called %q", ref)
				continue
			}
			a, at = &doc.Spec, doc.at.in("spec")
		}
		if alert, ok := c.alert(at, a, o, &p); ok {
			p.Alerts = append(p.Alerts, alert)
		}
		notify = append(notify, c.targets(at, a)...)
	}
	if len(notify) > 0 {
		slices.Sort(notify)
		labels = map[string]string{NotifyLabel: strings.Join(slices.Compact(notify), ",")}
	}
	return p, labels
}

// alert is the one of a policy, if it alerts when the condition is breached.
func (c *converter) alert(at place, v *AlertPolicySpec, o budget.Objective, p *budget.Policy) (a budget.Alert, ok bool) {
	use := at.in("conditions[0]")
	cond, condAt := v.Conditions[0].Spec, use.in("spec")
	if ref := v.Conditions[0].ConditionRef; ref != "" {
		doc := named(c.set.AlertConditions, ref)
		if doc == nil {
			c.fail(use.in("conditionRef"), "no AlertCondition of this file is called %q", ref)
			return a, false
		}
		cond, condAt = &doc.Spec, doc.at.in("spec")
	}
	severity, known := severities[strings.ToLower(cond.Severity)]
	if !known {
		c.fail(condAt.in("severity"), "%q is not a severity here; there are %s (and page, ticket, sev1 to sev4, p1 to p4)",
			cond.Severity, strings.Join(budget.Severities, ", "))
		return a, false
	}
	if v.AlertWhenResolved {
		c.warnOnce(at.in("alertWhenResolved"), "has no effect on rules: it is send_resolved of Alertmanager's receivers")
	}
	if v.AlertWhenNoData {
		if p.NoData == "" || slices.Index(budget.Severities, severity) < slices.Index(budget.Severities, p.NoData) {
			p.NoData = severity
		}
	}
	if !v.AlertWhenBreaching {
		c.warnOnce(at.in("alertWhenBreaching"), "is not true: no alert on the burn rate is made of this policy")
		return a, false
	}
	condAt = condAt.in("condition")
	if op := cond.Condition.Op; op != "" && op != "gt" {
		if op != "gte" {
			c.fail(condAt.in("op"), "must be gt: a burn rate that is too low is no alert")
			return a, false
		}
		c.warnOnce(condAt.in("op"), "is taken for gt")
	}
	if after := cond.Condition.AlertAfter; after != "" && after != "0m" {
		c.warnOnce(condAt.in("alertAfter"), "%s has no effect: a second, short window does what it is for, without delay", after)
	}
	long, err := ParseDuration(cond.Condition.LookbackWindow)
	if err != nil {
		c.fail(condAt.in("lookbackWindow"), "%v", err)
		return a, false
	}
	a = budget.Alert{
		Severity: severity, Response: "ticket", Long: long, Short: long / 12,
		Budget: o.Spent(*cond.Condition.Threshold, long),
	}
	if severity == "critical" || severity == "high" {
		a.Response = "page"
	}
	if a.Budget > 1 {
		c.fail(condAt.in("threshold"), "%v in %s is more than the whole budget of %s", *cond.Condition.Threshold, cond.Condition.LookbackWindow, budget.FormatDuration(o.Period))
		return a, false
	}
	return a, true
}

// targets are whom a policy notifies: kinds of targets, by name.
func (c *converter) targets(at place, v *AlertPolicySpec) []string {
	var out []string
	for i, n := range v.NotificationTargets {
		use := at.in("notificationTargets[%d]", i)
		switch doc := named(c.set.AlertNotificationTargets, n.TargetRef); {
		case n.Spec != nil:
			out = append(out, n.Metadata.Name)
		case doc == nil:
			c.warnOnce(use.in("targetRef"), "no AlertNotificationTarget of this file is called %q; alerts carry its name all the same", n.TargetRef)
			out = append(out, n.TargetRef)
		default:
			out = append(out, doc.Metadata.Name)
		}
	}
	return out
}
