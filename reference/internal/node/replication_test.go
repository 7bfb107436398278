package node

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/reference/internal/replica"
)

func TestReplicaLag(t *testing.T) {
	at := func(match, last uint64) replica.Follower { return replica.Follower{Match: match, Behind: last - match} }
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	var l replicaLag
	require.Zero(t, l.see(ms(0), at(5, 5)))
	require.Zero(t, l.see(ms(50), at(5, 9)), "entry 9 is timed from now on")
	require.Equal(t, ms(50), l.see(ms(100), at(8, 20)))
	require.Equal(t, ms(100), l.see(ms(150), at(9, 30)), "entry 9 took 100 ms, and 30 is timed")
	require.Equal(t, ms(100), l.see(ms(200), at(12, 40)), "30 is on its way for 50 ms only")
	require.Equal(t, ms(500), l.see(ms(650), at(12, 90)), "a follower that takes nothing any more")
	require.Zero(t, l.see(ms(700), at(90, 90)))
	require.Zero(t, l.see(ms(5000), at(90, 91)), "idle time is no lag")
}
