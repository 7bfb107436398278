package archive

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func at(ms int64) time.Time { return time.UnixMilli(ms) }

// adder is a machine whose state is the sum and count of its entries.
type adder struct{ sum, n uint64 }

func (m *adder) restore(b []byte) error {
	if len(b) != 16 {
		return fmt.Errorf("%d bytes", len(b))
	}
	m.sum, m.n = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	return nil
}

func (m *adder) apply(e Entry) error {
	m.sum += uint64(e.Data[0])
	m.n++
	return nil
}

func (m *adder) encode() []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, m.sum), m.n)
}

func entries(first, last uint64) (es []Entry) {
	for i := first; i <= last; i++ {
		es = append(es, Entry{Index: i, Term: 2 + i/50, Wall: int64(i) * 100, Data: []byte{byte(i)}})
	}
	return es
}

func segment(first, last uint64) *Object {
	es := entries(first, last)
	e := es[len(es)-1]
	return &Object{Head: Head{Kind: KindSegment, Incarnation: 1, Group: 3, First: first, Last: last, Term: e.Term, Wall: e.Wall}, Entries: es}
}

func snapshot(index uint64) *Object {
	var m adder
	for _, e := range entries(1, index) {
		_ = m.apply(e)
	}
	return &Object{Head: Head{Kind: KindSnapshot, Incarnation: 1, Group: 3, First: index, Last: index, Term: 2 + index/50, Wall: int64(index) * 100}, Data: m.encode()}
}

// filled is an archive in a directory: snapshots at 10 and 40, segments 11-20 ... 91-100.
func filled(t *testing.T) (*Bucket, string) {
	dir := t.TempDir()
	a, err := Open(t.Context(), dir, "c")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	put := func(o *Object) {
		_, err := a.Put(t.Context(), o)
		require.NoError(t, err)
	}
	put(snapshot(10))
	for i := uint64(11); i < 100; i += 10 {
		put(segment(i, i+9))
	}
	put(snapshot(40))
	return a, filepath.Join(dir, "c", "i00000001", "g00003")
}

func replay(t *testing.T, a *Bucket, ms int64) (adder, Reached, error) {
	var m adder
	r, err := a.Replay(context.Background(), 1, 3, at(ms), m.restore, m.apply)
	return m, r, err
}

func TestReplayToAPointInTime(t *testing.T) {
	a, _ := filled(t)
	for ms, index := range map[int64]uint64{1000: 10, 1099: 10, 1100: 11, 3999: 39, 4000: 40, 4550: 45, 9999: 99, 1e9: 100} {
		m, r, err := replay(t, a, ms)
		require.NoError(t, err)
		require.Equal(t, index, r.Index, ms)
		require.Equal(t, index, m.n)
		var want adder
		for _, e := range entries(1, index) {
			_ = want.apply(e)
		}
		require.Equal(t, want.sum, m.sum)
		require.Empty(t, r.Problems)
		require.False(t, r.Truncated)
		require.Equal(t, int64(index)*100, r.Wall.UnixMilli())
	}
	_, _, err := replay(t, a, 999)
	require.ErrorIs(t, err, ErrNothing)
	require.ErrorContains(t, err, "; the first one is of 1970-01-01T00:00:01Z", "from when on a restore can be asked for")
	_, err = a.Replay(t.Context(), 1, 77, at(1e9), nil, nil)
	require.ErrorIs(t, err, ErrNothing)
	require.ErrorContains(t, err, "; none was written yet: ask again")
}

func TestOverlappingSegmentsAndMerge(t *testing.T) {
	a, _ := filled(t)
	_, err := a.Put(t.Context(), segment(35, 62)) // by another leader
	require.NoError(t, err)
	m, r, err := replay(t, a, 1e9)
	require.NoError(t, err)
	require.EqualValues(t, 100, m.n)
	require.Empty(t, r.Problems)

	g, err := a.List(t.Context(), 1, 3)
	require.NoError(t, err)
	_, err = a.Merge(t.Context(), g.Segments[:4])
	require.ErrorContains(t, err, "cannot merge") // 35-62 does not follow 30
	var run []Ref
	for _, s := range g.Segments {
		if s.First%10 == 1 && s.Last <= 50 {
			run = append(run, s)
		}
	}
	merged, err := a.Merge(t.Context(), run)
	require.NoError(t, err)
	require.EqualValues(t, 11, merged.First)
	require.EqualValues(t, 50, merged.Last)
	m, r, err = replay(t, a, 2050)
	require.NoError(t, err)
	require.EqualValues(t, 20, m.n)
	require.Empty(t, r.Problems)
	_, _, problems, err := a.Verify(t.Context())
	require.NoError(t, err)
	require.Empty(t, problems)
}

// TestDamage: every kind of damage is found and named, and never replayed.
func TestDamage(t *testing.T) {
	seg := func(dir, kind string, first int) string {
		m, err := filepath.Glob(filepath.Join(dir, fmt.Sprintf("%s-%020d-*", kind, first)))
		require.NoError(t, err)
		require.Len(t, m, 1)
		return m[0]
	}
	flip := func(p string) {
		b, err := os.ReadFile(p)
		require.NoError(t, err)
		b[len(b)/2] ^= 1
		require.NoError(t, os.WriteFile(p, b, 0o644))
	}
	for name, c := range map[string]struct {
		damage func(dir string)
		reach  uint64
		says   string
	}{
		"flipped bit":         {func(d string) { flip(seg(d, "segment", 61)) }, 60, "segment-00000000000000000061"},
		"torn":                {func(d string) { require.NoError(t, os.Truncate(seg(d, "segment", 61), 40)) }, 60, "torn or damaged"},
		"empty":               {func(d string) { require.NoError(t, os.Truncate(seg(d, "segment", 61), 0)) }, 60, "segment-00000000000000000061"},
		"missing":             {func(d string) { require.NoError(t, os.Remove(seg(d, "segment", 61))) }, 60, "no object has the entry at index 61"},
		"another's content":   {func(d string) { require.NoError(t, os.Rename(seg(d, "segment", 71), seg(d, "segment", 61))) }, 60, "it holds what belongs to"},
		"the newest snapshot": {func(d string) { flip(seg(d, "snapshot", 40)) }, 100, "snapshot-00000000000000000040"},
	} {
		t.Run(name, func(t *testing.T) {
			a, dir := filled(t)
			c.damage(dir)
			m, r, err := replay(t, a, 1e9)
			require.NoError(t, err)
			require.Equal(t, c.reach, r.Index)
			require.Equal(t, c.reach, m.n)
			require.Equal(t, c.reach < 100, r.Truncated)
			require.NotEmpty(t, r.Problems)
			require.Contains(t, r.Problems[0], c.says)
			_, _, problems, err := a.Verify(t.Context())
			require.NoError(t, err)
			require.NotEmpty(t, problems)
		})
	}
	a, dir := filled(t)
	flip(seg(dir, "snapshot", 40))
	flip(seg(dir, "snapshot", 10))
	_, _, err := replay(t, a, 1e9)
	require.ErrorIs(t, err, ErrNothing)
	require.ErrorContains(t, err, "snapshot-00000000000000000010")
}

func TestMixedHistoriesAreRefused(t *testing.T) {
	a, _ := filled(t)
	o := segment(101, 102)
	for i := range o.Entries {
		o.Entries[i].Term = 1
	}
	o.Term = 1
	_, err := a.Put(t.Context(), o)
	require.NoError(t, err)
	_, _, err = replay(t, a, 1e9)
	require.ErrorContains(t, err, "two histories are mixed")
}

func TestRetention(t *testing.T) {
	a, _ := filled(t)
	n, err := a.Expire(t.Context(), 3, at(3000)) // before the second snapshot: the first is the base
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = a.Expire(t.Context(), 3, at(5000))
	require.NoError(t, err)
	require.Equal(t, 4, n) // snapshot 10, segments 11-40
	_, r, err := replay(t, a, 5000)
	require.NoError(t, err)
	require.EqualValues(t, 50, r.Index)
	_, r, err = replay(t, a, 1e9)
	require.NoError(t, err)
	require.EqualValues(t, 100, r.Index)
	require.Empty(t, r.Problems)

	// A newer incarnation with a base that old makes the older one superfluous.
	o := snapshot(45)
	o.Incarnation = 2
	_, err = a.Put(t.Context(), o)
	require.NoError(t, err)
	is, err := a.Incarnations(t.Context())
	require.NoError(t, err)
	require.Equal(t, []uint64{2, 1}, is)
	_, err = a.Expire(t.Context(), 3, at(4400))
	require.NoError(t, err)
	_, _, err = replay(t, a, 1e9)
	require.NoError(t, err)
	_, err = a.Expire(t.Context(), 3, at(4500))
	require.NoError(t, err)
	_, _, err = replay(t, a, 1e9)
	require.ErrorIs(t, err, ErrNothing)
}

func TestPlaces(t *testing.T) {
	a, err := Open(t.Context(), "mem://", "c")
	require.NoError(t, err)
	r, err := a.Put(t.Context(), segment(1, 5))
	require.NoError(t, err)
	_, err = a.Get(t.Context(), r)
	require.NoError(t, err)
	require.NoError(t, a.Close())
	dir := t.TempDir()
	a, err = Open(t.Context(), "file://"+dir+"/new", "c")
	require.NoError(t, err)
	_, err = a.Put(t.Context(), segment(1, 5))
	require.NoError(t, err)
	require.NoError(t, a.Close())
	require.DirExists(t, dir+"/new/c/i00000001/g00003")
	for _, bad := range []string{"", "s9://x", "file://host/x", "file:///x?metadata=skip"} {
		_, err := Open(t.Context(), bad, "c")
		require.ErrorContains(t, err, "archive "+bad, bad)
	}
	_, err = Open(t.Context(), dir, "../c")
	require.ErrorContains(t, err, "name")
}

func FuzzDecode(f *testing.F) {
	for _, o := range []*Object{snapshot(10), segment(11, 20), {Head: Head{Kind: KindManifest, Cluster: "c", Incarnation: 1}, Data: []byte("{}")}} {
		b, err := o.Encode()
		require.NoError(f, err)
		f.Add(b[:len(b)-32])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		_, _ = Decode(body)
		o, err := Decode(seal(append([]byte(nil), body...)))
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			return
		}
		for i, e := range o.Entries {
			if i > 0 && e.Term < o.Entries[i-1].Term {
				return // overflow: Encode refuses it
			}
		}
		b, err := o.Encode()
		require.NoError(t, err)
		again, err := Decode(b)
		require.NoError(t, err)
		require.Equal(t, o, again)
	})
}
