package node

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestNearlyFull(t *testing.T) {
	const mib = 1 << 20
	for _, tc := range []struct {
		total, free uint64
		was, want   bool
	}{
		{500 << 30, 100 * mib, false, true},
		{500 << 30, 128 * mib, false, false},
		{500 << 30, 200 * mib, true, true}, // not better yet
		{500 << 30, 256 * mib, true, false},
		{64 * mib, 40 * mib, false, false}, // a small disk needs an eighth
		{64 * mib, 7 * mib, false, true},
		{64 * mib, 0, true, true},
		{0, 0, false, false}, // a file system that does not say
	} {
		assert.Equal(t, tc.want, nearlyFull(tc.total, tc.free, tc.was), "%+v", tc)
	}
}
