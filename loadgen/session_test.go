package loadgen

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/quick"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/loadgen/history"
)

// The registry against a map.
func TestRegistry(t *testing.T) {
	var r registry
	known := map[uint64]bool{}
	rng := rand.New(rand.NewPCG(1, 2))
	var nums []uint64
	for range 50_000 {
		if rng.IntN(2) == 0 || len(nums) == 0 {
			n, s := r.create()
			s.fate = live
			require.False(t, known[n])
			known[n] = true
			nums = append(nums, n)
			continue
		}
		i := rng.IntN(len(nums))
		r.forget(nums[i])
		require.Nil(t, r.get(nums[i]))
		known[nums[i]] = false
		nums = slices.Delete(nums, i, i+1)
	}
	seen := 0
	r.each(func(n uint64, s *session) {
		require.True(t, known[n])
		require.Same(t, s, r.get(n))
		seen++
	})
	require.Equal(t, len(nums), seen)
	for _, n := range nums {
		r.forget(n)
	}
	kept := 0
	for _, c := range r.chunks {
		if c != nil {
			kept++
		}
	}
	require.LessOrEqual(t, kept, 1, "memory goes with the sessions")
	require.Nil(t, r.get(0))
	require.Nil(t, r.get(1<<40))
}

func TestTimeHeapSorts(t *testing.T) {
	err := quick.Check(func(ts []int32) bool {
		var h timeHeap[expiryItem]
		for _, v := range ts {
			h.push(expiryItem{at: time.Duration(v)})
		}
		last := time.Duration(-1 << 62)
		for range ts {
			it := h.pop()
			if it.at < last {
				return false
			}
			last = it.at
		}
		return len(h) == 0
	}, nil)
	require.NoError(t, err)
}

func TestFIFOKeepsOrder(t *testing.T) {
	err := quick.Check(func(steps []bool) bool {
		var q fifo[int]
		in, out := 0, 0
		for _, push := range steps {
			if push || q.len() == 0 {
				q.push(in)
				in++
			} else if q.pop() != out {
				return false
			} else {
				out++
			}
		}
		return q.len() == in-out && (q.len() == 0 || *q.at(0) == out && *q.at(q.len() - 1) == in-1)
	}, &quick.Config{Values: nil, MaxCount: 300})
	require.NoError(t, err)
}

// world runs the choice of operations alone, with completions of our own.
type world struct {
	*sessions
	now time.Duration
}

func newWorld(t *testing.T, w Workload) *world {
	t.Helper()
	w.Mix, w.Seed = mix(), 3
	if w.Clients == nil {
		w.Clients = []RegionShare{{0, 1}}
	}
	w.Entries = func(int) []Entry { return []Entry{{Address: "127.0.0.1:1"}} }
	require.NoError(t, w.complete())
	e := &engine{w: w}
	require.NoError(t, e.people())
	return &world{sessions: &e.s}
}

func (w *world) end(in intent, o history.Outcome, spoil func(*history.Op)) {
	op := history.Op{Kind: in.kind, Class: in.class, Session: in.n, Seq: in.seq, TTL: in.ttl, End: w.now, Outcome: o}
	if spoil != nil {
		spoil(&op)
	}
	w.settle(&op)
}

// Population, share of short sessions and the one write at a time hold while
// operations take their time and end in any way.
func TestPopulation(t *testing.T) {
	w := newWorld(t, Workload{Sessions: 2000, Rate: 2000, ShortShare: 0.05, ShortTTL: 6 * time.Second})
	rng := rand.New(rand.NewPCG(5, 5))
	type flight struct {
		in  intent
		end time.Duration
	}
	var air []flight
	for range 2000 {
		p := w.pops[0]
		n, s := w.born(p)
		w.end(w.write(p, history.Create, n, s), history.OK, nil)
	}
	busy := map[uint64]bool{}
	used := map[uint64]bool{}
	for i := range 60_000 {
		w.now += 500 * time.Microsecond
		w.expire(w.now)
		in := w.draw(w.now)
		if in.kind.IsWrite() {
			require.False(t, busy[in.n], "two writes of session %d at once", in.n)
			busy[in.n] = true
		}
		if in.kind == history.Create {
			require.False(t, used[in.n], "session %d is created twice", in.n)
			used[in.n] = true
		}
		air = append(air, flight{in, w.now + time.Duration(rng.IntN(100))*time.Millisecond})
		for j := 0; j < len(air); j++ {
			if air[j].end > w.now {
				continue
			}
			f := air[j]
			air[j] = air[len(air)-1]
			air = air[:len(air)-1]
			delete(busy, f.in.n)
			o := history.OK
			if i > 20_000 && rng.IntN(20) == 0 {
				o = []history.Outcome{history.Failed, history.Unknown, history.Unsent}[rng.IntN(3)]
			}
			w.end(f.in, o, nil)
		}
		if i > 20_000 && i%1000 == 0 {
			p := w.pops[0]
			require.InDelta(t, 2000, p.size(), 20)
			require.InDelta(t, 100, p.short, 60)
			for pos, n := range p.live {
				s := w.all.get(n)
				require.Equal(t, live, s.fate)
				require.EqualValues(t, pos, s.pos)
			}
		}
	}
}

func TestFates(t *testing.T) {
	w := newWorld(t, Workload{Sessions: 10, Rate: 10})
	p := w.pops[0]
	made := func() (uint64, *session) {
		n, s := w.born(p)
		w.end(w.write(p, history.Create, n, s), history.OK, nil)
		require.Equal(t, live, s.fate)
		return n, s
	}
	is := func(n uint64, f fate, read bool) {
		t.Helper()
		got := fate(0)
		if s := w.all.get(n); s != nil {
			got = s.fate
		}
		require.Equal(t, f, got)
		require.Equal(t, read, slices.Contains(w.worthReading(), n))
		require.Equal(t, f == live, slices.Contains(p.live, n))
	}
	n, s := w.born(p)
	w.end(w.write(p, history.Create, n, s), history.Unknown, nil)
	is(n, doubtful, true)
	n, s = w.born(p)
	w.end(w.write(p, history.Create, n, s), history.Failed, nil)
	is(n, 0, false)

	n, s = made()
	w.end(w.write(p, history.Update, n, s), history.Unknown, nil)
	is(n, live, true)
	in := w.write(p, history.Update, n, s)
	require.EqualValues(t, 3, in.seq, "goes on after an unknown write")
	w.end(in, history.OK, func(o *history.Op) { o.Absent = true })
	is(n, dead, true)

	n, s = made()
	in = w.write(p, history.Close, n, s)
	is(n, closing, true)
	w.end(in, history.Failed, nil)
	is(n, live, true)
	w.end(w.write(p, history.Close, n, s), history.Unknown, nil)
	is(n, doubtful, true)
	n, s = made()
	w.end(w.write(p, history.Close, n, s), history.OK, nil)
	is(n, 0, false)

	n, s = made()
	w.now = s.expiry - time.Millisecond
	w.expire(w.now)
	is(n, live, true)
	w.end(w.write(p, history.Touch, n, s), history.OK, nil)
	w.now += time.Minute
	w.expire(w.now)
	is(n, live, true)
	w.now = s.expiry
	w.expire(w.now)
	is(n, expired, true)
	w.now += goneKept
	w.expire(w.now)
	is(n, 0, false)
}
