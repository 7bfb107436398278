package resp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/internal/needs"
)

// redisServer starts a real redis-server on a socket file; it dies with the test.
func redisServer(t *testing.T) string {
	t.Helper()
	bin := needs.Program(t, "redis-server", "apt-get install redis-server redis-tools")
	dir := t.TempDir()
	sock := filepath.Join(dir, "s")
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, bin, "--port", "0", "--unixsocket", sock, "--save", "", "--dir", dir, "--cluster-enabled", "yes")
	cmd.WaitDelay = 5 * time.Second
	dieWithUs(cmd)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
	})
	sc := bufio.NewScanner(stdout)
	for sc.Scan() {
		if strings.Contains(sc.Text(), "ready to accept connections") || strings.Contains(sc.Text(), "server is now ready") {
			go func() { _, _ = io.Copy(io.Discard, stdout) }() // ends with the process
			return sock
		}
	}
	needs.Missing(t, "redis-server did not start")
	return ""
}

// ask sends raw bytes and returns what the server answers, or "(waits)".
func ask(t *testing.T, sock, raw string) string {
	t.Helper()
	c, err := net.Dial("unix", sock)
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Write([]byte(raw))
	require.NoError(t, err)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
	r := bufio.NewReader(c)
	line, err := r.ReadString('\n')
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return "(waits)"
	}
	require.NoError(t, err, "%q", raw)
	line = strings.TrimRight(line, "\r\n")
	if n, err := strconv.Atoi(strings.TrimPrefix(line, "$")); strings.HasPrefix(line, "$") && err == nil {
		b := make([]byte, n+2)
		_, err := io.ReadFull(r, b)
		require.NoError(t, err)
		return string(b[:n])
	}
	return line
}

// TestLikeRedis compares with the real server: error texts, what is an inline
// command's last word (ECHO gives it back), and key slots.
func TestLikeRedis(t *testing.T) {
	sock := redisServer(t)
	for _, raw := range []string{
		"*x\r\n", "*\r\n", "*+1\r\n", "*01\r\n", "*-0\r\n", "*9223372036854775808\r\n", "*1\r\nPING\r\n", "*2\r\n$1\r\na\r\n\r\n", "*1\r\n$x\r\n",
		"*1\r\n$-1\r\n", "*1\r\n$-2\r\n", "*1\r\n$\r\n", "*1\r\n$9223372036854775807\r\n", "\"a\n", "'a\n", "\"a\"b\n", "'a'b\n", "\"a\\\n",
		strings.Repeat("x", 2*MaxInline),
		`ECHO "\x41\n\r\t\b\a\\\"\q\xzz"` + "\n", `ECHO 'it\'s \n "so"'` + "\n", `ECHO fo"o b"` + "\n", "ECHO a\vb\n", " ECHO\t\vx \r\n", `ECHO ""` + "\n", "ECHO $3\n",
		"*2\r\n$4\r\nECHO\r\n$4\r\n\r\n\x00$\r\n", "*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", "*-1\r\nECHO a\r\n", "*0\r\nECHO a\r\n", "\r\nECHO a\r\n", "*2\r\n$4\r\nECHO\r\n$5\r\nab",
	} {
		want := ask(t, sock, raw)
		got := "(waits)"
		for rest := []byte(raw); len(rest) > 0; {
			args, n, err := ParseCommand(rest, nil)
			if err != nil {
				got = strings.TrimSpace(string(AppendError(nil, "ERR "+err.Error())))
				break
			}
			if n == 0 {
				break
			}
			rest = rest[n:]
			if len(args) == 2 {
				got = string(args[1])
			}
		}
		if strings.HasPrefix(want, "-") {
			want = strings.TrimSpace(want)
		}
		require.Equal(t, want, got, "%.60q", raw)
	}
	for i, key := range []string{"foo", "bar", "session:1", "hello", "somekey", "foo{hash_tag}", "{user1000}.following", "foo{}{bar}", "foo{{bar}}zap", "foo{bar}{zap}", "foo{bar", "}a{", "{}", "\xff\x00"} {
		raw := string(encode(words("CLUSTER", "KEYSLOT", key)))
		require.Equal(t, fmt.Sprintf(":%d", Slot([]byte(key))), ask(t, sock, raw), "key %d %q", i, key)
	}
}
