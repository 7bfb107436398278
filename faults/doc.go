// Package faults takes things away from a deployment, proves that they are
// gone, and gives them back: one file a kind of fault. The journal is written
// before anything is injected. Victims can only be what the deployment itself
// started.
package faults
