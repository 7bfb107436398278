package resp

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func words(s ...string) [][]byte {
	w := make([][]byte, len(s))
	for i := range s {
		w[i] = []byte(s[i])
	}
	return w
}

func encode(args [][]byte) []byte {
	b := AppendArray(nil, len(args))
	for _, a := range args {
		b = AppendBulk(b, a)
	}
	return b
}

func TestParseCommand(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string // nil: an empty command
		n    int      // 0: all of in; -1: incomplete
	}{
		{"", nil, -1},
		{"*1\r\n$4\r\nPING\r\n", []string{"PING"}, 0},
		{"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\n\r\n\x00$\r\n", []string{"SET", "k", "\r\n\x00$"}, 0},
		{"*2\r\n$3\r\nGET\r\n$0\r\n\r\n", []string{"GET", ""}, 0},
		{"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nQUIT\r\n", []string{"PING"}, 14},
		{"*0\r\n", nil, 0},
		{"*-1\r\n", nil, 0},
		{"*-12\r\nPING\r\n", nil, 6},
		{"*", nil, -1}, {"*1", nil, -1}, {"*1\r", nil, -1}, {"*1\r\n", nil, -1}, {"*1\r\n$", nil, -1}, {"*1\r\n$4\r\nPIN", nil, -1},
		{"*1\r\n$4\r\nPING", nil, -1}, {"*1\r\n$4\r\nPING\r", nil, -1},

		{"PING\r\n", []string{"PING"}, 0},
		{"PING\n", []string{"PING"}, 0},
		{"PING", nil, -1}, {"PING\r", nil, -1},
		{"\r\n", nil, 0}, {"\n", nil, 0}, {"  \t \r\n", nil, 0},
		{" set  k\tv \r\nGET k\r\n", []string{"set", "k", "v"}, 12},
		{`set k "a b" 'c d'` + "\n", []string{"set", "k", "a b", "c d"}, 0},
		{`set "" ''` + "\n", []string{"set", "", ""}, 0},
		{`set k "\x41\x00\xfF\n\r\t\b\a\\\"\q\xzz"` + "\n", []string{"set", "k", "A\x00\xff\n\r\t\b\a\\\"qxzz"}, 0},
		{`set k 'it\'s \n "so"'` + "\n", []string{"set", "k", `it's \n "so"`}, 0},
		{`fo"o b"` + "\n", []string{"foo b"}, 0},
		{`a"b"` + "\n", []string{"ab"}, 0},
		{"a\vb\n", []string{"a\vb"}, 0},
		{"\va\n", []string{"a"}, 0},
		{"$3\n", []string{"$3"}, 0},
	} {
		t.Run(fmt.Sprintf("%.40q", c.in), func(t *testing.T) {
			in := []byte(c.in)
			args, n, err := ParseCommand(in, nil)
			require.NoError(t, err)
			want := c.n
			switch want {
			case 0:
				want = len(c.in)
			case -1:
				want = 0
			}
			require.Equal(t, want, n)
			require.Equal(t, fmt.Sprintf("%q", c.want), fmt.Sprintf("%q", args))
			require.Equal(t, c.in, string(in), "the buffer was written to")
		})
	}
}

func TestProtocolErrors(t *testing.T) {
	for in, want := range map[string]string{
		"*x\r\n":                            "invalid multibulk length",
		"*\r\n":                             "invalid multibulk length",
		"*+1\r\n":                           "invalid multibulk length",
		"* 1\r\n":                           "invalid multibulk length",
		"*01\r\n":                           "invalid multibulk length",
		"*-0\r\n":                           "invalid multibulk length",
		"*1\n":                              "invalid multibulk length",
		"*1\rx":                             "invalid multibulk length",
		"*1048577\r\n":                      "invalid multibulk length",
		"*9223372036854775808\r\n":          "invalid multibulk length",
		"*" + strings.Repeat("1", 100):      "invalid multibulk length",
		"*700000\r\n":                       "too big query",
		"*1\r\nPING\r\n":                    "expected '$', got 'P'",
		"*1\r\n*":                           "expected '$', got '*'",
		"*2\r\n$1\r\na\r\n\r\n":             "expected '$', got '\r'",
		"*1\r\n\xff":                        "expected '$', got '\xff'",
		"*1\r\n$x\r\n":                      "invalid bulk length",
		"*1\r\n$-1\r\n":                     "invalid bulk length",
		"*1\r\n$-2\r\n":                     "invalid bulk length",
		"*1\r\n$\r\n":                       "invalid bulk length",
		"*1\r\n$1048577\r\n":                "invalid bulk length",
		"*1\r\n$9223372036854775807\r\n":    "invalid bulk length",
		"*1\r\n$99999999999999999999":       "invalid bulk length",
		"*1\r\n$4\r\nPINGS\r\n":             "invalid bulk length",
		"*1\r\n$4\r\nPING\rx":               "invalid bulk length",
		"\"a\n":                             "unbalanced quotes in request",
		"'a\n":                              "unbalanced quotes in request",
		"\"a\"b\n":                          "unbalanced quotes in request",
		"'a'b\n":                            "unbalanced quotes in request",
		"\"a\\\n":                           "unbalanced quotes in request",
		strings.Repeat("x", MaxInline+1):    "too big inline request",
		strings.Repeat("x", 1<<17) + "\r\n": "too big inline request",
	} {
		t.Run(fmt.Sprintf("%.40q", in), func(t *testing.T) {
			args, n, err := ParseCommand([]byte(in), nil)
			require.EqualError(t, err, "Protocol error: "+want)
			require.Zero(t, n)
			require.Empty(t, args)
		})
	}
}

func TestBounds(t *testing.T) {
	full := words("SET", "k", strings.Repeat("v", MaxBulk))
	args, n, err := ParseCommand(encode(full), nil)
	require.NoError(t, err)
	require.Positive(t, n)
	require.Equal(t, full, args)

	// The longest line that is taken, and the whole of it in one buffer.
	line := strings.Repeat("x", MaxInline-1) + "\r\n"
	args, n, err = ParseCommand([]byte(line), nil)
	require.NoError(t, err)
	require.Equal(t, MaxInline+1, n)
	require.Len(t, args, 1)

	// Four arguments of the greatest size are more than a query may have. That is
	// said at the fourth's head, before its data is waited for.
	big := encode(words(strings.Repeat("v", MaxBulk), strings.Repeat("v", MaxBulk), strings.Repeat("v", MaxBulk), strings.Repeat("v", MaxBulk)))
	_, _, err = ParseCommand(big[:3*MaxBulk+100], nil)
	require.Equal(t, ErrQueryTooBig, err)
	_, n, err = ParseCommand(big[:2*MaxBulk], nil)
	require.NoError(t, err)
	require.Zero(t, n)

	// As many empty arguments as fit; one more, and the first line is refused.
	many := encode(make([][]byte, (MaxQuery-9)/minBulk))
	require.LessOrEqual(t, len(many), MaxQuery)
	args, n, err = ParseCommand(many, nil)
	require.NoError(t, err)
	require.Equal(t, len(many), n)
	require.Len(t, args, (MaxQuery-9)/minBulk)
	_, _, err = ParseCommand(fmt.Appendf(nil, "*%d\r\n", len(args)+1), nil)
	require.Equal(t, ErrQueryTooBig, err)
}

// TestClaimsAllocateNothing: what is promised costs nothing until it is there.
func TestClaimsAllocateNothing(t *testing.T) {
	for _, in := range []string{
		"*699000\r\n", "*699000\r\n$0\r\n\r\n", "*1\r\n$1048576\r\n", "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048576\r\nv",
		"*-9223372036854775807\r\n", "\"", strings.Repeat("a ", 32000),
	} {
		buf := []byte(in)
		args := make([][]byte, 0, 4)
		var p Parser
		require.Zero(t, testing.AllocsPerRun(10, func() {
			if _, _, err := ParseCommand(buf, args); err != nil {
				t.Error(err)
			}
			if _, _, err := p.Next(buf, args); err != nil {
				t.Error(err)
			}
		}), "%.40q", in)
	}
}

func TestNothingIsAllocatedPerCommand(t *testing.T) {
	buf := encode(words("SET", "session:123", strings.Repeat("v", 256), "XX", "EX", "300"))
	buf = append(buf, "set k v\r\n"...)
	args := make([][]byte, 0, 8)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		a, n, _ := ParseCommand(buf, args)
		a, m, _ := ParseCommand(buf[n:], a)
		if n+m != len(buf) || len(a) != 3 {
			t.Error("not parsed")
		}
	}))
}

// collect parses a stream that arrives in pieces, as a connection does.
func collect(stream []byte, cut func(at int) int, next func(buf []byte, args [][]byte) ([][]byte, int, error)) (cmds []string, err error) {
	var buf []byte
	var args [][]byte
	for at := 0; at < len(stream); {
		n := min(max(1, cut(at)), len(stream)-at)
		buf = append(bytes.Clone(buf), stream[at:at+n]...) // moved: nothing may be kept of the old one
		at += n
		for len(buf) > 0 {
			a, used, err := next(buf, args)
			if err != nil {
				return append(cmds, err.Error()), err
			}
			if used == 0 {
				break
			}
			cmds = append(cmds, fmt.Sprintf("%q", a))
			args, buf = a, buf[used:]
		}
	}
	return append(cmds, fmt.Sprintf("rest %d", len(buf))), nil
}

func checkSplit(t *testing.T, stream []byte) {
	t.Helper()
	whole, werr := collect(stream, func(int) int { return len(stream) }, ParseCommand)
	for name, cut := range map[string]func(int) int{
		"bytes": func(int) int { return 1 }, "sevens": func(int) int { return 7 }, "growing": func(at int) int { return at },
	} {
		got, err := collect(stream, cut, ParseCommand)
		require.Equal(t, whole, got, name)
		require.Equal(t, werr, err, name)
		got, err = collect(stream, cut, new(Parser).Next)
		require.Equal(t, whole, got, "%s, with memory", name)
		require.Equal(t, werr, err, name)
	}
}

func TestSplitInvariance(t *testing.T) {
	for _, s := range streams {
		checkSplit(t, []byte(s))
	}
}

var streams = []string{
	"*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n\r\n*0\r\n*-1\r\nset k \"a\\x41 b\"\r\n",
	"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\nv\r\n*2\r\n", "*1\r\n$1\r\nab\r\n", "*1\r\n$01\r\na\r\n", "*2\r\n$1\r\na\r\nX", "*1048577\r\n", "*1\r\n$1048577\r\n",
	"*699050\r\n$0\r\n\r\n", "'\r\n", "\"\\\r\n", "*\r\n", "*1\r$", "\x00\xff\n", "*2\r\n$-2\r\n", "GET\x00k\r\n",
}

// TestParserIsLinear: a long command that comes byte by byte costs its length,
// where starting again each time would cost the square.
func TestParserIsLinear(t *testing.T) {
	buf := encode(make([][]byte, 50_000))
	var p Parser
	var args [][]byte
	for i := range len(buf) - 1 { // the square would be 10^10 arguments: minutes
		var n int
		var err error
		if args, n, err = p.Next(buf[:i+1], args); n != 0 || err != nil {
			t.Fatal(i, n, err)
		}
	}
	args, n, err := p.Next(buf, args)
	require.NoError(t, err)
	require.Equal(t, len(buf), n)
	require.Len(t, args, 50_000)
	// And the next command begins anew.
	args, n, err = p.Next([]byte("PING\r\n"), args)
	require.NoError(t, err)
	require.Equal(t, 6, n)
	require.Equal(t, words("PING"), args)
}

func FuzzParseCommand(f *testing.F) {
	for _, s := range streams {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		orig := bytes.Clone(in)
		args, n, err := ParseCommand(in, nil)
		require.Equal(t, orig, in, "the buffer was written to")
		require.LessOrEqual(t, n, min(len(in), MaxQuery))
		if err != nil || n == 0 {
			require.Zero(t, n)
			require.Empty(t, args)
		}
		total := 0
		for _, a := range args {
			total += len(a)
		}
		require.LessOrEqual(t, total, n)
		// What was taken is taken alone just the same, whatever follows.
		again, m, err2 := ParseCommand(in[:n:n], nil)
		if n > 0 {
			require.NoError(t, err2)
			require.Equal(t, n, m)
			require.Equal(t, args, again)
		}
		if len(in) < 300 {
			checkSplit(t, in)
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("GET"), []byte("k"), []byte("\r\n"), uint8(3))
	f.Add([]byte(""), []byte("$1\r\n"), []byte{0}, uint8(1))
	f.Fuzz(func(t *testing.T, a, b, c []byte, n uint8) {
		want := [][]byte{a, b, c}[:1+n%3]
		buf := encode(want)
		got, used, err := ParseCommand(append(buf, "tail"...), nil)
		require.NoError(t, err)
		require.Equal(t, len(buf), used)
		require.Len(t, got, len(want))
		for i := range want {
			require.True(t, bytes.Equal(want[i], got[i]))
		}
	})
}

func BenchmarkParseCommand(b *testing.B) {
	for name, cmd := range map[string][][]byte{
		"GET": words("GET", "session:0123456789"),
		"SET": words("SET", "session:0123456789", strings.Repeat("v", 256), "XX", "EX", "300"),
	} {
		one := encode(cmd)
		buf := bytes.Repeat(one, 64) // a pipeline of one socket buffer
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(one)))
			args := make([][]byte, 0, 8)
			rest := buf
			for b.Loop() {
				a, n, err := ParseCommand(rest, args)
				if err != nil || n == 0 {
					b.Fatal(n, err)
				}
				runtime.KeepAlive(a)
				if rest = rest[n:]; len(rest) == 0 {
					rest = buf
				}
			}
		})
	}
}
