// Package budget is what an SRE does with an objective once it is declared:
// the error budget that it leaves, how fast that is burnt, alerts on the burn
// rate, and the Prometheus rules that raise them.
//
// Source: B. Beyer et al. (eds), The Site Reliability Workbook, O'Reilly 2018,
// chapter 2 (error budgets), chapter 5, section "Alerting on SLOs", approach 6
// (multiwindow, multi-burn-rate alerts) and "Low-Traffic Services and Error
// Budget Alerting".
//
// Words: an objective asks that a share (the target) of all events in a period
// is good. The rest is the error budget. A burn rate of 1 spends exactly the
// budget in exactly the period. A burn rate b over a window w spends
// b * w / period of it.
//
// [Simulate] fires and resets alerts by the same arithmetic as the rules that
// [Rules] writes, so that a recorded run can be asked whether it would have
// paged anybody. A test plays both on the same series.
//
// The package takes plain series of counts and knows nothing of runs.
package budget
