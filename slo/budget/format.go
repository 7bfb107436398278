package budget

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// ParseDuration reads a duration as Prometheus writes it: 30d, 1h30m, 5m.
// A day has 24 hours, a year 365 days.
func ParseDuration(s string) (time.Duration, error) {
	d, err := model.ParseDuration(strings.TrimSpace(s))
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is not a duration such as 30d, 6h or 5m", s)
	}
	return time.Duration(d), nil
}

// FormatDuration writes a duration as Prometheus does, to the millisecond.
func FormatDuration(d time.Duration) string { return model.Duration(d).String() }

// ParseShare reads a share from 0 to 1 that is written with its sign, "99.9 %".
func ParseShare(s string) (float64, error) {
	num, ok := strings.CutSuffix(strings.TrimSpace(s), "%")
	num = strings.TrimSpace(num)
	f, err := strconv.ParseFloat(num, 64)
	if !ok || err != nil || !(f >= 0 && f <= 100) {
		return 0, fmt.Errorf("%q is not a percentage such as 99.9 %%", s)
	}
	if !strings.ContainsAny(num, "eExXpP_") {
		// Not f/100: 0.999 is to be the number that is nearest to 0.999.
		return strconv.ParseFloat(num+"e-2", 64)
	}
	return f / 100, nil
}

// FormatPercent is a share as a percentage, without the noise of binary fractions.
func FormatPercent(share float64) string { return Number(share*100) + " %" }

// Number is v to ten decimals at most.
func Number(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(round(v, 1e10), 'f', -1, 64)
}
