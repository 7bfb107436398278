package loadgen

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The meter counts work and does not count waiting.
func TestMeterCountsWorkOnly(t *testing.T) {
	var m meter
	for range 7 * meterEvery {
		b := m.begin()
		<-time.After(time.Millisecond)
		m.end(b)
	}
	waited := m.total()
	require.Less(t, waited, 25*time.Millisecond)
	x := uint64(1)
	for range 7 * meterEvery {
		b := m.begin()
		for range 2_000_000 {
			x = x*6364136223846793005 + 1
		}
		m.end(b)
	}
	require.NotZero(t, x)
	require.Greater(t, m.total()-waited, waited+20*time.Millisecond)
}
