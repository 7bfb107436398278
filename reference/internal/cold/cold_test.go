package cold

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"

	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/reference/internal/session"
)

func store(t testing.TB) *Store {
	s, err := Open(filepath.Join(t.TempDir(), "cold"), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

func TestValuesAreFoundUnderTheirSerialOnly(t *testing.T) {
	s := store(t)
	g, other := s.Group(1), s.Group(2)
	_, err := g.Get(nil, "k", 1)
	require.ErrorIs(t, err, session.ErrMoved, "nothing was put")
	require.NoDirExists(t, s.dir, "nothing is opened for nothing")
	require.NoError(t, g.Put("k", 1, []byte("one")))
	require.NoError(t, other.Put("k", 1, []byte("other")))
	require.NoError(t, g.Put("k", 2, []byte("two")))
	v, err := g.Get([]byte("> "), "k", 2)
	require.NoError(t, err)
	require.Equal(t, "> two", string(v))
	_, err = g.Get(nil, "k", 1)
	require.ErrorIs(t, err, session.ErrMoved)
	require.NoError(t, g.Reset())
	_, err = g.Get(nil, "k", 2)
	require.ErrorIs(t, err, session.ErrMoved)
	v, err = other.Get(nil, "k", 1)
	require.NoError(t, err)
	require.Equal(t, "other", string(v), "of another group")

	again, err := Open(s.dir+"2", s.log)
	require.NoError(t, err)
	require.NoError(t, again.Close())
	require.ErrorContains(t, again.Group(1).Put("k", 1, nil), "closed")
}

func TestAGarbledValueIsReported(t *testing.T) {
	s := store(t)
	g := s.Group(1).(*group)
	require.NoError(t, g.Put("k", 1, []byte("value")))
	b, c, err := s.db.Get(g.key("k"))
	require.NoError(t, err)
	bad := append([]byte(nil), b...)
	require.NoError(t, c.Close())
	bad[len(bad)-1] ^= 1
	require.NoError(t, s.db.Set(g.key("k"), bad, pebble.NoSync))
	_, err = g.Get(nil, "k", 1)
	require.ErrorContains(t, err, `the value of "k" is not what was written`)
	require.ErrorContains(t, g.Each(func([]byte, uint64, []byte) error { return nil }), "not what was written")
	require.NoError(t, s.db.Set(g.key("k"), bad[:5], pebble.NoSync))
	_, err = g.Get(nil, "k", 1)
	require.ErrorContains(t, err, "not what was written")
}

// table is one that keeps only so many bytes in memory.
func table(t testing.TB, c session.Cold, limit int) *session.Table {
	tb := session.NewTable()
	tb.SetCold(c, limit)
	return tb
}

func apply(t testing.TB, tb *session.Table, clock uint64, ops ...session.Op) []session.Result {
	e := session.AppendEntryHeader(nil, clock, 1, 1, len(ops))
	for i := range ops {
		e = session.AppendOp(e, &ops[i])
	}
	_, _, res, err := tb.Apply(e, 1, nil)
	require.NoError(t, err)
	return res
}

// A table that keeps little in memory says and becomes, byte for byte, what one
// does that keeps everything.
func TestEvictionChangesNothingThatIsSeen(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		full, small := session.NewTable(), table(t, store(t).Group(1), 500)
		clock := uint64(1000)
		for range 600 {
			clock += rng.Uint64N(50)
			var ops []session.Op
			for range 1 + rng.IntN(4) {
				op := session.Op{
					Kind:  []session.Kind{session.Set, session.Set, session.GetEx, session.Pexpire, session.GetDel, session.Del}[rng.IntN(6)],
					Key:   fmt.Appendf(nil, "s%d", rng.IntN(60)),
					Value: []byte(strings.Repeat(string(rune('a'+rng.IntN(26))), rng.IntN(80))), TTL: rng.Uint64N(3) * 5000,
				}
				if rng.IntN(3) == 0 {
					op.Flags |= session.WantOld
				}
				ops = append(ops, op)
			}
			require.Equal(t, apply(t, full, clock, ops...), apply(t, small, clock, ops...))
			for range 3 {
				k := fmt.Appendf(nil, "s%d", rng.IntN(60))
				want, found, err := full.Get(nil, k)
				require.NoError(t, err)
				got, there, err := small.Get(nil, k)
				require.NoError(t, err)
				require.Equal(t, found, there)
				require.Equal(t, string(want), string(got))
			}
			if rng.IntN(20) == 0 {
				require.Equal(t, full.Digest(), small.Digest())
			}
			if rng.IntN(100) == 0 {
				require.NoError(t, small.Restore(full.Snapshot()))
			}
			require.Equal(t, full.Bytes(), small.Bytes())
			require.Equal(t, full.Len(), small.Len())
			r := small.Residency()
			require.LessOrEqual(t, r.HotBytes, 500+80, "one value may be alone")
			require.Equal(t, small.Len(), r.Hot+r.Cold)
		}
		r := small.Residency()
		require.NotZero(t, r.Evicted)
		require.NotZero(t, r.Restored)
	}
}

// What is used stays, what is not goes.
func TestWhatIsReadStays(t *testing.T) {
	tb := table(t, store(t).Group(1), 10*100)
	value := []byte(strings.Repeat("v", 100))
	for i := range 200 {
		apply(t, tb, 1, session.Op{Kind: session.Set, Key: fmt.Appendf(nil, "s%d", i), Value: value})
		_, found, err := tb.Get(nil, []byte("s0"))
		require.NoError(t, err)
		require.True(t, found)
	}
	r := tb.Residency()
	assert.Equal(t, 10, r.Hot)
	assert.EqualValues(t, 190, r.Evicted)
	assert.Zero(t, r.Restored, "what was read all the time never left")
}

// A value that is gone or garbled is an error, never an absent session, and
// nothing is made of it.
func TestALostValueIsNeverAnAbsentSession(t *testing.T) {
	for name, harm := range map[string]func(*group) error{
		"gone":    func(g *group) error { return g.Delete("s0") },
		"garbled": func(g *group) error { return g.s.db.Set(g.key("s0"), []byte("x"), pebble.NoSync) },
	} {
		t.Run(name, func(t *testing.T) {
			g := store(t).Group(1).(*group)
			tb := table(t, g, 100)
			for i := range 3 {
				apply(t, tb, 1, session.Op{Kind: session.Set, Key: fmt.Appendf(nil, "s%d", i), Value: []byte(strings.Repeat("v", 100))})
			}
			require.NoError(t, harm(g))
			_, found, err := tb.Get(nil, []byte("s0"))
			assert.False(t, found)
			require.Error(t, err)
			assert.Error(t, tb.Err())
			assert.Panics(t, func() { tb.Snapshot() })
			e := session.AppendOp(session.AppendEntryHeader(nil, 2, 1, 1, 1), &session.Op{Kind: session.GetDel, Key: []byte("s0"), Flags: session.WantOld})
			_, _, _, err = tb.Apply(e, 1, nil)
			assert.Error(t, err)
		})
	}
	broken := table(t, refusing{}, 100)
	e := session.AppendEntryHeader(nil, 2, 1, 1, 2)
	for _, k := range []string{"a", "b"} {
		e = session.AppendOp(e, &session.Op{Kind: session.Set, Key: []byte(k), Value: make([]byte, 90)})
	}
	_, _, _, err := broken.Apply(e, 1, nil)
	require.ErrorContains(t, err, "no space", "a disk that takes no more")
}

type refusing struct{ session.Cold }

func (refusing) Put(string, uint64, []byte) error { return errors.New("no space left on device") }

// Readers and the loop at once, under the race detector.
func TestReadersBesideTheLoop(t *testing.T) {
	tb := table(t, store(t).Group(1), 2000)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for r := range 4 {
		readers.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(r)))
			for {
				select {
				case <-stop:
					return
				default:
				}
				k := fmt.Sprintf("s%d", rng.IntN(100))
				v, found, err := tb.Get(nil, []byte(k))
				if err != nil || found && !strings.HasPrefix(string(v), k+" ") {
					t.Errorf("%s: %.20q %v", k, v, err)
					return
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(2, 2))
	for range 4000 {
		k := fmt.Sprintf("s%d", rng.IntN(100))
		op := session.Op{Kind: session.Set, Key: []byte(k), Value: []byte(k + " " + strings.Repeat("v", rng.IntN(100)))}
		if rng.IntN(5) == 0 {
			op = session.Op{Kind: session.Del, Key: []byte(k)}
		}
		apply(t, tb, 1, op)
	}
	close(stop)
	readers.Wait()
}

// BenchmarkMemory states the memory of a session of 256 bytes and a key of 24,
// in memory and evicted: bytes of heap a session.
func BenchmarkMemory(b *testing.B) {
	const sessions = 200_000
	for _, c := range []struct {
		name  string
		limit int
	}{{"resident", 1 << 40}, {"evicted", 1 << 20}} {
		b.Run(c.name, func(b *testing.B) {
			for range b.N {
				s := store(b)
				heap := func() uint64 {
					runtime.GC()
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					return m.HeapAlloc
				}
				before := heap()
				tb := table(b, s.Group(1), c.limit)
				value := make([]byte, 256)
				for i := range sessions {
					apply(b, tb, uint64(i), session.Op{Kind: session.Set, Key: fmt.Appendf(nil, "session:%016d", i), Value: value, TTL: 300_000})
				}
				b.ReportMetric(float64(heap()-before)/sessions, "B/session")
				runtime.KeepAlive(tb)
			}
		})
	}
}

func BenchmarkReadBack(b *testing.B) {
	tb := table(b, store(b).Group(1), 1<<20)
	for i := range 100_000 {
		apply(b, tb, 1, session.Op{Kind: session.Set, Key: fmt.Appendf(nil, "s%d", i), Value: make([]byte, 256)})
	}
	b.ResetTimer()
	var dst []byte
	for i := range b.N {
		dst, _, _ = tb.Get(dst[:0], fmt.Appendf(nil, "s%d", i*7919%100_000))
	}
}

// A table that is dropped leaves its part of the store to the next one, and
// nobody who still reads it is told what that has there.
func TestADroppedTableLeavesNothing(t *testing.T) {
	s := store(t)
	old := table(t, s.Group(1), 100)
	set := func(tb *session.Table, value string) {
		for i := range 5 {
			apply(t, tb, 1, session.Op{Kind: session.Set, Key: fmt.Appendf(nil, "s%d", i), Value: []byte(strings.Repeat(value, 100))})
		}
	}
	set(old, "o")
	require.NotZero(t, old.Residency().Cold)
	require.NoError(t, old.Drop())
	n := 0
	require.NoError(t, s.Group(1).Each(func([]byte, uint64, []byte) error { n++; return nil }))
	require.Zero(t, n)
	next := table(t, s.Group(1), 100)
	set(next, "n")
	for i := range 5 {
		k := fmt.Appendf(nil, "s%d", i)
		v, found, err := old.Get(nil, k)
		if found {
			require.Equal(t, strings.Repeat("o", 100), string(v))
		} else {
			require.ErrorIs(t, err, session.ErrDropped)
		}
		v, found, err = next.Get(nil, k)
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, strings.Repeat("n", 100), string(v))
	}
}

// Less memory is reached in steps, more at once.
func TestTheLimitFollows(t *testing.T) {
	tb := table(t, store(t).Group(1), 4<<20)
	value := []byte(strings.Repeat("v", 64<<10))
	for i := range 64 {
		apply(t, tb, 1, session.Op{Kind: session.Set, Key: fmt.Appendf(nil, "s%d", i), Value: value})
	}
	require.Equal(t, 4<<20, tb.Residency().HotBytes)
	tb.SetLimit(1 << 20)
	least := 4 << 20
	for range 30 {
		apply(t, tb, 1, session.Op{Kind: session.Pexpire, Key: []byte("s1"), TTL: 1000})
		hot := tb.Residency().HotBytes
		require.LessOrEqual(t, least-hot, 512<<10, "too much at once")
		least = hot
	}
	require.LessOrEqual(t, least, 1<<20)
	tb.SetLimit(4 << 20)
	for i := range 64 {
		_, found, err := tb.Get(nil, fmt.Appendf(nil, "s%d", i))
		require.NoError(t, err)
		require.True(t, found)
	}
	require.Equal(t, 4<<20, tb.Residency().HotBytes)
}
