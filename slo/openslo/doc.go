// Package openslo reads and writes OpenSLO v1 documents
// (github.com/OpenSLO/OpenSLO, the specification of apiVersion openslo/v1) and
// turns them into what fivenines works with: the objectives of a scenario
// ([Set.Map]) and objectives with Prometheus rules ([Set.BudgetSLOs]).
//
// What a document says and fivenines can't do is an error or a warning that
// names file, line and field; nothing is dropped in silence. Labels and other
// people's annotations are metadata, which mean nothing here.
//
// Objectives of a scenario that OpenSLO has no way to say (a duration that
// every trial must keep, a count of 0) are annotations of the Service:
//
//	fivenines.github.io/objective.session-loss: "0"
//
// and an SLO says with fivenines.github.io/objective which objective it is; one
// that does not is the availability. A target of OpenSLO is below 100 %.
//
// Durations: M is 30 days, Q 90 and Y 365.
package openslo
