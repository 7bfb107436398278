package loadgen

import (
	"bytes"
	"math"
	"testing"
	"testing/quick"
	"time"

	"github.com/stretchr/testify/require"
)

func TestStateRoundTrip(t *testing.T) {
	err := quick.Check(func(session uint64, seq uint32, writer uint16, at int64, size uint16, before []byte) bool {
		s := State{Session: session, Seq: max(seq, 1), Writer: writer, Time: time.Duration(at & math.MaxInt64)}
		b := AppendState(bytes.Clone(before), s, int(size))
		if !bytes.Equal(b[:len(before)], before) {
			return false
		}
		b = b[len(before):]
		got, err := DecodeState(b)
		return err == nil && got == s && len(b) == max(int(size), MinStateBytes)
	}, nil)
	require.NoError(t, err)
}

// Whatever byte is changed, it is found.
func TestStateDamageIsFound(t *testing.T) {
	b := AppendState(nil, State{Session: 5, Seq: 9, Writer: 3, Time: time.Second}, 256)
	for i := range b {
		for _, flip := range []byte{1, 0x80, 0xff} {
			c := bytes.Clone(b)
			c[i] ^= flip
			_, err := DecodeState(c)
			require.Error(t, err, "byte %d", i)
		}
	}
	for n := range b {
		_, err := DecodeState(b[:n])
		require.Error(t, err)
	}
	_, err := DecodeState(append(bytes.Clone(b), 0))
	require.Error(t, err)
	// Two states never look alike beyond their heads.
	other := AppendState(nil, State{Session: 5, Seq: 10, Writer: 3, Time: time.Second}, 256)
	require.False(t, bytes.Equal(b[stateFiller:], other[stateFiller:]))
}

func FuzzDecodeState(f *testing.F) {
	f.Add(AppendState(nil, State{Session: 1, Seq: 1}, MinStateBytes))
	f.Add(AppendState(nil, State{Session: 1 << 60, Seq: 7, Writer: 9, Time: time.Hour}, 256))
	f.Add([]byte("5n9s"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeState(b)
		if err != nil {
			return
		}
		if s.Seq == 0 {
			t.Fatal("a state without a sequence number")
		}
		again, err := DecodeState(AppendState(nil, s, len(b)))
		if err != nil || again != s {
			t.Fatalf("%+v became %+v, %v", s, again, err)
		}
	})
}

func BenchmarkState(b *testing.B) {
	b.ReportAllocs()
	var buf []byte
	for i := range b.N {
		buf = AppendState(buf[:0], State{Session: uint64(i), Seq: 1}, 256)
		if _, err := DecodeState(buf); err != nil {
			b.Fatal(err)
		}
	}
}
