// Package operator is what a person does to a deployment: look at its health,
// move the primary role, and begin a new incarnation when a majority is gone.
// It talks to the nodes' admin addresses; every decision is checked again by the
// nodes themselves.
package operator
