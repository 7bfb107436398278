package loadgen

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/loadgen/history"
)

// localWorld has clients in regions 0 and 1, and partitions at home by turns in
// regions 0, 1 and 2.
func localWorld(t *testing.T, home bool) *world {
	w := Workload{Sessions: 400, Rate: 1000, Clients: []RegionShare{{0, 0.5}, {1, 0.5}}, ShortShare: 0.05, ShortTTL: 2 * time.Second}
	w.Contested = ContestedLoad{Sessions: 30, Rate: 10}
	w.Partition = func(key string) int {
		return int(rand.New(rand.NewPCG(uint64(len(key)), uint64(key[len(key)-2])*7)).IntN(12))
	}
	if home {
		w.Home = func(p int) int { return p % 3 }
	}
	return newWorld(t, w)
}

// drive fills the world and draws operations; it returns them in order, and how
// many of those of followers go to a session that is at home elsewhere.
func (w *world) drive(n int) (all []intent, astray int) {
	for _, p := range w.pops {
		for range p.target {
			num, s := w.born(p)
			w.end(w.write(p, history.Create, num, s), history.OK, nil)
		}
	}
	for range n {
		w.now += time.Millisecond
		w.expire(w.now)
		in := w.draw(w.now)
		if in.class == history.Follower && int(w.all.get(in.n).part)%3 != int(in.region) {
			astray++
		}
		all = append(all, in)
		w.end(in, history.OK, nil)
	}
	return all, astray
}

// Clients with local homes create their sessions at home and read no others; what
// they do follows from the seed; numbers are used once, and few in vain.
func TestSessionsAreAtHomeWhereTheyWereCreated(t *testing.T) {
	w := localWorld(t, true)
	all, astray := w.drive(20_000)
	require.Zero(t, astray)
	again, _ := localWorld(t, true).drive(20_000)
	require.Equal(t, all, again, "the seed decides")
	created := map[uint64]bool{}
	regions := map[uint8]int{}
	for _, in := range all {
		if in.class == history.Follower {
			regions[in.region]++
		}
		if in.kind == history.Create && in.class == history.Follower {
			require.False(t, created[in.n], "session %d is created twice", in.n)
			created[in.n] = true
		}
	}
	require.InDelta(t, 1, float64(regions[0])/float64(regions[1]), 0.1)
	require.Less(t, w.all.next, uint64(4*(430+len(created))), "numbers")

	_, astray = localWorld(t, false).drive(20_000)
	require.Greater(t, astray, 10_000, "without homes two thirds are elsewhere: the check finds it")
}

// Where nothing is at home nobody waits for ever.
func TestNoHomeAnywhere(t *testing.T) {
	w := localWorld(t, true)
	w.w.Home = func(int) int { return 7 }
	n, s := w.born(w.pops[0])
	require.NotZero(t, n)
	require.Equal(t, creating, s.fate)
}
