package scenarios

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Percent is a share that files write with its sign, "5 %", so that nobody
// has to guess whether 0.05 means a twentieth.
type Percent float64

// Share is the same from 0 to 1.
func (p Percent) Share() float64 { return float64(p) / 100 }

func (p Percent) String() string { return strconv.FormatFloat(float64(p), 'f', -1, 64) + " %" }

// MarshalText writes "5 %".
func (p Percent) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads "5 %" or "5%", from 0 to 100.
func (p *Percent) UnmarshalText(b []byte) error {
	num, ok := strings.CutSuffix(strings.TrimSpace(string(b)), "%")
	f, err := strconv.ParseFloat(strings.TrimSpace(num), 64)
	if !ok || err != nil || math.IsNaN(f) || f < 0 || f > 100 {
		return fmt.Errorf("%q is not a percentage such as 5 %%", b)
	}
	*p = Percent(f)
	return nil
}
