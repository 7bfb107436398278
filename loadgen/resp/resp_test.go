package resp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Reply{
		"+OK\r\n":                       {Type: Simple, Bytes: []byte("OK")},
		"+\r\n":                         {Type: Simple, Bytes: []byte{}},
		"-ERR no\r\n":                   {Type: Error, Bytes: []byte("ERR no")},
		":-42\r\n":                      {Type: Integer, Int: -42},
		"$-1\r\n":                       {Type: Bulk, Null: true},
		"$0\r\n\r\n":                    {Type: Bulk, Bytes: []byte{}},
		"$5\r\na\r\nbc\r\n":             {Type: Bulk, Bytes: []byte("a\r\nbc")},
		"*-1\r\n":                       {Type: Array, Null: true},
		"*0\r\n":                        {Type: Array, Bytes: []byte{}},
		"*2\r\n:1\r\n*1\r\n$1\r\na\r\n": {Type: Array, Int: 2, Bytes: []byte(":1\r\n*1\r\n$1\r\na\r\n")},
	} {
		for i := range len(text) {
			_, n, err := Parse([]byte(text[:i]))
			require.NoError(t, err, "%q", text[:i])
			require.Zero(t, n, "%q is not complete", text[:i])
		}
		got, n, err := Parse([]byte(text + "+more"))
		require.NoError(t, err)
		require.Equal(t, len(text), n)
		require.Equal(t, want, got, "%q", text)
	}
}

func TestParseRefuses(t *testing.T) {
	deep := strings.Repeat("*1\r\n", MaxDepth+1)
	for _, text := range []string{
		"x", "\r\n", "+OK\n", ":\r\n", ":1x\r\n", ":1\n", "$x\r\n", "$-2\r\n", "*-2\r\n", ":9999999999999999999\r\n",
		"$1048577\r\n", "$1\r\nabc", "$1\r\na\n\n", "*9999999\r\n", deep, "*1\r\nx",
		"+" + strings.Repeat("a", MaxLine), "%1\r\n", "_\r\n",
		"*6\r\n" + strings.Repeat("$1000000\r\n"+strings.Repeat("x", 1000000)+"\r\n", 5),
	} {
		_, _, err := Parse([]byte(text))
		require.ErrorIs(t, err, ErrProtocol, "%.40q", text)
	}
	// A claim alone makes nobody wait for more than the bound.
	_, _, err := Parse([]byte("*2\r\n$1048576\r\n"))
	require.NoError(t, err)
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"+OK\r\n", "-E x\r\n", ":12\r\n", "$3\r\nabc\r\n", "$-1\r\n", "*2\r\n:1\r\n$1\r\na\r\n", "*1\r\n*1\r\n*0\r\n", "$1048576\r\n", "*1\r\n*3\r\n:0\r\n:5\r\n*3\r\n$1\r\nh\r\n:7\r\n$2\r\nid\r\n"} {
		f.Add([]byte(s), uint16(3))
	}
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) {
		r, n, err := Parse(b)
		if err != nil || n == 0 {
			// Once refused, more bytes do not make it good.
			if err != nil {
				if _, m, err := Parse(append(bytes.Clone(b), "\r\n"...)); err == nil && m > 0 {
					t.Fatalf("%q is refused and accepted with an end", b)
				}
			}
			return
		}
		if n > len(b) || len(r.Bytes) > n {
			t.Fatalf("used %d of %d bytes", n, len(b))
		}
		// A piece of it is incomplete, never something else.
		if k := int(cut) % n; k < n {
			if _, m, err := Parse(b[:k]); err != nil || m != 0 {
				t.Fatalf("%q: %d, %v for the first %d bytes", b, m, err, k)
			}
		}
		if r.Type == Array && !r.Null {
			es, err := Elements(r)
			if err != nil || int64(len(es)) != r.Int {
				t.Fatalf("%q: %d elements of %d, %v", b, len(es), r.Int, err)
			}
			_, _ = ParseSlots(r)
		}
	})
}

func TestSlot(t *testing.T) {
	// From the Redis Cluster specification and redis-server's CLUSTER KEYSLOT.
	for key, want := range map[string]int{
		"123456789": 0x31C3, "foo": 12182, "{user1000}.following": 3443, "{user1000}.followers": 3443,
		"foo{}{bar}": 8363, "foo{{bar}}zap": 4015, "foo{bar}{zap}": 5061, "": 0,
	} {
		require.Equal(t, want, Slot([]byte(key)), key)
	}
	require.Equal(t, Slot([]byte("17")), Slot([]byte("session:{17}")))
}

func TestParseSlots(t *testing.T) {
	text := "*2\r\n*4\r\n:0\r\n:99\r\n*3\r\n$8\r\n10.0.0.1\r\n:7000\r\n$2\r\nn1\r\n*3\r\n$8\r\n10.0.0.2\r\n:7000\r\n$2\r\nn2\r\n" +
		"*3\r\n:100\r\n:16383\r\n*2\r\n$8\r\n10.0.0.3\r\n:7001\r\n"
	r, _, err := Parse([]byte(text))
	require.NoError(t, err)
	got, err := ParseSlots(r)
	require.NoError(t, err)
	require.Equal(t, []SlotRange{{0, 99, "10.0.0.1", 7000, "n1"}, {100, 16383, "10.0.0.3", 7001, ""}}, got)
	for _, bad := range []string{"+OK\r\n", "-ERR no\r\n", "*1\r\n:1\r\n", "*1\r\n*2\r\n:5\r\n:4\r\n", "*1\r\n*2\r\n:0\r\n:16384\r\n", "*1\r\n*2\r\n:0\r\n$1\r\na\r\n", "*1\r\n*3\r\n:0\r\n:1\r\n:2\r\n", "*1\r\n*3\r\n:0\r\n:1\r\n*1\r\n$1\r\nh\r\n"} {
		r, _, err := Parse([]byte(bad))
		require.NoError(t, err)
		_, err = ParseSlots(r)
		require.Error(t, err, bad)
	}
}

// peer is the other end of one connection, by hand.
func peer(t *testing.T, serve func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		serve(c)
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

func pong(c net.Conn) {
	b := make([]byte, 14)
	if _, err := io.ReadFull(c, b); err == nil {
		c.Write([]byte("+PONG\r\n"))
	}
}

// pipe dials and detaches.
func pipe(t *testing.T, addr string) *Pipe {
	t.Helper()
	c, _, err := Dial(t.Context(), addr, 10*time.Second)
	require.NoError(t, err)
	p, err := c.Detach()
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

// begin lets the peer send, then polls until the connection ends or fn does.
func begin(t *testing.T, p *Pipe, fn func([]Reply) error) (err error) {
	t.Helper()
	p.Out = append(p.Out, 'x')
	require.NoError(t, p.Flush())
	require.Eventually(t, func() bool {
		err = p.Poll(fn)
		return err != nil
	}, 10*time.Second, 100*time.Microsecond)
	return err
}

func TestDialNeedsAPong(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	_, _, err := Dial(t.Context(), peer(t, func(net.Conn) { <-hold }), 50*time.Millisecond)
	require.Error(t, err, "a link that leads nowhere is no connection")
	_, _, err = Dial(t.Context(), peer(t, func(c net.Conn) { io.ReadFull(c, make([]byte, 14)); c.Write([]byte("-LOADING wait\r\n")) }), time.Second)
	require.ErrorContains(t, err, "LOADING")
	_, _, err = Dial(t.Context(), peer(t, func(c net.Conn) { io.ReadFull(c, make([]byte, 14)); c.Write([]byte("+PONG\r\n+PONG\r\n")) }), time.Second)
	require.ErrorIs(t, err, ErrProtocol)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = Dial(ctx, "127.0.0.1:1", time.Second)
	require.Error(t, err)
	c, rtt, err := Dial(t.Context(), peer(t, pong), 10*time.Second)
	require.NoError(t, err)
	require.Positive(t, rtt)
	require.NoError(t, c.Close())
	_, err = c.Detach()
	require.Error(t, err)
}

// A peer that does not read never makes Flush wait, and what left is counted.
func TestFlushNeverWaits(t *testing.T) {
	read := make(chan struct{})
	got := make(chan int, 1)
	addr := peer(t, func(c net.Conn) {
		pong(c)
		<-read
		n, _ := io.Copy(io.Discard, c)
		got <- int(n)
	})
	p := pipe(t, addr)
	const size = 64 << 20
	p.Out = append(p.Out, make([]byte, size)...)
	require.EqualValues(t, size, p.Queued())
	for range 10 {
		require.NoError(t, p.Flush())
	}
	require.NotEmpty(t, p.Out, "the kernel has not taken it all")
	require.EqualValues(t, size, p.Queued())
	require.EqualValues(t, size-len(p.Out), p.Left())
	require.NoError(t, p.Poll(func([]Reply) error { return errors.New("nothing has come") }))
	close(read)
	require.Eventually(t, func() bool { return p.Flush() == nil && len(p.Out) == 0 }, 10*time.Second, time.Millisecond)
	require.EqualValues(t, size, p.Left())
	p.Close()
	require.Equal(t, size, <-got)
	p.Out = append(p.Out, 'x')
	require.Error(t, p.Flush())
	require.Error(t, p.Poll(nil))
	p.Close()
}

// However the network cuts replies up, they come out whole and in order.
func TestRepliesOverCuts(t *testing.T) {
	big := strings.Repeat("y", 200_000)
	stream := "+one\r\n$3\r\ntwo\r\n$200000\r\n" + big + "\r\n*1\r\n:4\r\n+five\r\n"
	addr := peer(t, func(c net.Conn) {
		pong(c)
		io.ReadFull(c, make([]byte, 1))
		for i := 0; i < len(stream); {
			n := 1
			if i > 40 && i < 200_000 {
				n = 7000
			}
			n = min(n, len(stream)-i)
			c.Write([]byte(stream[i : i+n]))
			i += n
		}
	})
	var got []string
	err := begin(t, pipe(t, addr), func(rs []Reply) error {
		for _, r := range rs {
			got = append(got, string(r.Bytes))
		}
		return nil
	})
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, []string{"one", "two", big, ":4\r\n", "five"}, got)
}

func TestRepliesEnd(t *testing.T) {
	end := func(text string) error {
		p := pipe(t, peer(t, func(c net.Conn) {
			pong(c)
			io.ReadFull(c, make([]byte, 1))
			c.Write([]byte(text))
		}))
		return begin(t, p, func(rs []Reply) error {
			if string(rs[0].Bytes) == "stop" {
				return errors.New("stopped")
			}
			return nil
		})
	}
	require.ErrorIs(t, end("+a\r\n$9\r\nabc"), io.ErrUnexpectedEOF)
	require.ErrorIs(t, end("+a\r\nHTTP/1.1"), ErrProtocol)
	require.ErrorContains(t, end("+stop\r\n"), "stopped")
}

func BenchmarkParse(b *testing.B) {
	one := append(append([]byte("$256\r\n"), make([]byte, 256)...), "\r\n"...)
	buf := bytes.Repeat(one, 100)
	b.ReportAllocs()
	b.SetBytes(int64(len(one)))
	for i := 0; i < b.N; i += 100 {
		for rest := buf; len(rest) > 0; {
			_, n, err := Parse(rest)
			if err != nil || n == 0 {
				b.Fatal(err)
			}
			rest = rest[n:]
		}
	}
}
