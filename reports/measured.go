package reports

import "github.com/fivenines/fivenines/slo"

// Measured is what an objective's measure came to, for a person: "2.48 s",
// "at least 12 s", or "-" without a value.
func Measured(o *slo.Objective) string { return orDash(measured(o)) }
