package admission

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func one(shard int) func(int) int { return func(int) int { return shard } }

// fill takes operations of a priority over all shards in turn until one is refused.
func fill(c *Controller, p Priority, shards int) (taken int, why Reason) {
	for i := 0; ; i++ {
		if why = c.Admit(p, 1, one(i%shards)); why != Taken {
			return taken, why
		}
		taken++
	}
}

// Each priority has its share of what may be in flight; the last part is there
// for what is critical.
func TestPrioritiesShareTheLimit(t *testing.T) {
	c := NewController(Config{MaxInFlight: 1000}, 10, false)
	total := 0
	for _, step := range []struct {
		p     Priority
		taken int
	}{{Low, 500}, {Normal, 250}, {High, 150}, {Critical, 100}} {
		n, why := fill(c, step.p, 10)
		require.Equal(t, step.taken, n, step.p)
		require.Equal(t, Full, why)
		total += n
		require.Equal(t, total, c.InFlight())
		require.EqualValues(t, step.taken, c.Taken(step.p))
		require.EqualValues(t, 1, c.Refused(step.p, Full))
	}
	// One that ends makes room for a critical one alone.
	c.Release(3)
	require.Equal(t, Full, c.Admit(High, 1, one(3)))
	require.Equal(t, Taken, c.Admit(Critical, 1, one(3)))

	c.SetLimit(100)
	require.Equal(t, Full, c.Admit(Critical, 1, one(3)))
	for i := range 1000 {
		c.Release(i % 10)
	}
	require.Zero(t, c.InFlight())
	n, _ := fill(c, Low, 10)
	require.Equal(t, 50, n)
}

// One shard takes a quarter, whatever its priority, and leaves the rest to others.
func TestAShardIsABulkhead(t *testing.T) {
	c := NewController(Config{MaxInFlight: 1000}, 4, false)
	n, why := fill(c, Critical, 1)
	require.Equal(t, 250, n)
	require.Equal(t, ShardFull, why)
	require.Equal(t, Taken, c.Admit(Critical, 1, one(1)))
	// Of one command all is taken or nothing.
	require.Equal(t, ShardFull, c.Admit(Critical, 2, func(i int) int { return 2 - 2*i }))
	require.Equal(t, 251, c.InFlight())
	require.Zero(t, c.OfShard(2))
	require.Equal(t, 250, c.PerConnection())
}

// A level refuses what is below it at once, and never what is critical or a
// strong read.
func TestLevels(t *testing.T) {
	c := NewController(Config{}, 1, false)
	for level, refused := range []int{0, 1, 2} {
		c.SetLevel(Level(level))
		for p := range Critical + 1 {
			want := Taken
			if int(p) < refused {
				want = Shed
			}
			require.Equal(t, want, c.Admit(p, 1, one(0)), "%v at level %v", p, Level(level))
			require.Equal(t, want == Shed, c.Sheds(p, 1))
			require.Equal(t, want, c.Refuses(p, 1))
		}
	}
	require.EqualValues(t, 6, c.Refused(Low, Shed))
	require.EqualValues(t, 3, c.Refused(Normal, Shed))
}

// The mutant knows no priorities; no controller at all takes everything.
func TestBrokenAndNone(t *testing.T) {
	c := NewController(Config{MaxInFlight: 1000}, 10, true)
	c.SetLevel(LowAndNormal)
	n, _ := fill(c, Low, 10)
	require.Equal(t, 1000, n)
	require.Equal(t, Full, c.Admit(Critical, 1, one(0)))

	var none *Controller
	require.Equal(t, Taken, none.Admit(Low, 1, one(7)))
	require.Equal(t, Taken, none.Refuses(Low, 1))
	require.False(t, none.Sheds(Low, 1))
	none.Release(7)
}

// What is taken and given back by many at once adds up, and the bound is passed
// by no more than ask at one instant.
func TestManyAtOnce(t *testing.T) {
	const askers = 8
	c := NewController(Config{MaxInFlight: 400}, 4, false)
	var wg sync.WaitGroup
	for a := range askers {
		wg.Go(func() {
			for i := range 5000 {
				s := (a + i) % 4
				if c.Admit(Critical, 1, one(s)) == Taken {
					if n := c.InFlight(); n > 400+askers {
						t.Errorf("%d are in flight", n)
					}
					c.Release(s)
				}
			}
		})
	}
	wg.Wait()
	require.Zero(t, c.InFlight())
	for s := range 4 {
		require.Zero(t, c.OfShard(s))
	}
}

func BenchmarkAdmitAndRelease(b *testing.B) {
	c := NewController(Config{}, 12, false)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if c.Admit(Critical, 1, one(i%12)) != Taken {
			b.Fatal("refused")
		}
		c.Release(i % 12)
	}
}
