package gateway

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/internal/needs"
)

// program returns the path of one of Redis's programs, or skips.
func program(t *testing.T, name string) string {
	t.Helper()
	return needs.Program(t, name, "apt-get install redis-server redis-tools")
}

// startRedis starts a real Redis that keeps nothing, for as long as the test.
func startRedis(t *testing.T) (addr string) {
	t.Helper()
	bin := program(t, "redis-server")
	for range 20 {
		port := fmt.Sprint(20000 + rand.IntN(10000)) // below the ephemeral ones
		addr = "127.0.0.1:" + port
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			continue
		}
		dir := t.TempDir()
		cmd := exec.Command(bin, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", dir, "--logfile", dir+"/log")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		require.NoError(t, cmd.Start())
		gone := make(chan struct{})
		go func() { cmd.Wait(); close(gone) }()
		t.Cleanup(func() { cmd.Process.Kill(); <-gone })
		for began := time.Now(); time.Since(began) < 10*time.Second; {
			select {
			case <-gone:
				began = time.Time{} // the port was taken: the next one
				continue
			default:
			}
			c, err := net.Dial("tcp", addr)
			if err == nil {
				c.Close()
				return addr
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	t.Fatal("redis-server did not start")
	return ""
}

// script is what both servers are asked. A line is a command; fields with
// spaces or bytes outside ASCII are quoted as in Go. "!N" before it repeats
// its last field N times over. {k} is a key that is new for each block; blocks
// are separated by empty lines.
const script = `
PING
PING hello
PING a b
ECHO x
ECHO
ECHO a b
ping
pInG UPPER

SET {k} v
GET {k}
get {k}
GET
GET a b
GET {k}none
SET
SET {k}
SET {k} ""
GET {k}
SET {k} "\r\n\x00\xff"
GET {k}
!1000 SET {k} 0123456789
GET {k}

SET {k} v EX 100
TTL {k}
SET {k} v PX 100000
TTL {k}
SET {k} v ex 100
SET {k} v EX
SET {k} v PX
SET {k} v EX 0
SET {k} v EX -1
SET {k} v PX 0
SET {k} v PX -9223372036854775808
SET {k} v EX abc
SET {k} v EX ""
SET {k} v EX 1.5
SET {k} v EX " 1"
SET {k} v EX +1
SET {k} v EX 01
SET {k} v EX -0
SET {k} v EX 1e3
SET {k} v EX 9223372036854775807
SET {k} v PX 9223372036854775807
SET {k} v EX 9223372036854775
SET {k} v EX 9223372036854774
SET {k} v PX 9223372036854775808
SET {k} v EX 9223372036854775807000
SET {k} v EX 10 PX 10
SET {k} v PX 10 EX 10
SET {k} v EX 10 EX 200
TTL {k}
SET {k} v EX 10 KEEPTTL
SET {k} v KEEPTTL EX 10
SET {k} v KEEPTTL KEEPTTL
TTL {k}
SET {k} v
TTL {k}
SET {k} v KEEPTTL
TTL {k}
SET {k} v EX abc FOO
SET {k} v FOO
SET {k} v EX 0 FOO
SET {k} v PERSIST
SET {k} v NX XX
SET {k} v XX NX
SET {k} v "N\x00"
SET {k} v KEEPTT
SET {k} v GE T

SET {k} a NX
SET {k} b NX
GET {k}
SET {k} c XX
GET {k}
SET {k}none d XX
GET {k}none
SET {k} e NX NX
SET {k} e XX XX
SET {k} f GET
SET {k}none f GET
GET {k}none
SET {k} g NX GET
GET {k}
SET {k}no2 g NX GET
GET {k}no2
SET {k} h XX GET
GET {k}
SET {k}no3 h XX GET
GET {k}no3
SET {k} i GET EX 100 XX
TTL {k}
SET {k} j XX KEEPTTL GET
TTL {k}
SET {k} k EX 0 GET
GET {k}

SET {k} v EX 100
GETEX {k}
TTL {k}
GETEX {k} EX 200
TTL {k}
GETEX {k} PX 300000
TTL {k}
GETEX {k} PERSIST
TTL {k}
GETEX {k} PERSIST PERSIST
GETEX {k} persist
GETEX {k} EX 100 EX 50
TTL {k}
GETEX {k} EX 100 PX 50
GETEX {k} EX 100 PERSIST
GETEX {k} PERSIST EX 100
GETEX {k} EX
GETEX {k} EX 0
GETEX {k} EX -5
GETEX {k} EX abc
GETEX {k} PX 9223372036854775807
GETEX {k} KEEPTTL
GETEX {k} NX
GETEX {k} GET
GETEX {k} FOO
GETEX {k} FOO BAR
GETEX {k}none
GETEX {k}none EX 10
GETEX {k}none PERSIST
GETEX {k}none EX abc
GETEX {k}none EX -1
GETEX {k}none EX
GETEX
TTL {k}
EXISTS {k}none

SET {k} v
GETDEL {k}
GETDEL {k}
GETDEL
GETDEL {k} {k}
EXISTS {k}

SET {k} v
SET {k}2 w
EXISTS {k}
EXISTS {k} {k} {k}2 {k}none
EXISTS
MGET {k} {k}none {k}2 {k}
MGET
MGET {k}
DEL {k} {k} {k}2 {k}none
DEL {k}
DEL
MGET {k} {k}2

SET {k} v
EXPIRE {k} 100
TTL {k}
PEXPIRE {k} 200000
TTL {k}
EXPIRE {k} abc
EXPIRE {k} 1.5
EXPIRE {k} " 5"
EXPIRE {k} +5
EXPIRE {k} 9223372036854775807
EXPIRE {k} 9223372036854775
EXPIRE {k} -9223372036854775808
EXPIRE {k} -9223372036854776
PEXPIRE {k} 9223372036854775807
PEXPIRE {k} 9223372036854775808
EXPIRE {k} 5 FOO
EXPIRE
EXPIRE {k}
EXPIRE {k}none 100
EXPIRE {k}none -1
EXPIRE {k}none abc
PEXPIRE {k}none 1
TTL {k}
EXPIRE {k} 0
EXISTS {k}
SET {k} v
EXPIRE {k} -1
GET {k}
SET {k} v
PEXPIRE {k} -9223372036854775808
GET {k}
SET {k} v
EXPIRE {k} -9223372036854775
GET {k}

TTL {k}
PTTL {k}
SET {k} v
TTL {k}
PTTL {k}
TTL
TTL a b
PTTL
SET {k} v EX 9223372036854
TTL {k}
SET {k} v PX 1400
TTL {k}
SET {k} v PX 1900
TTL {k}

DBSIZE x
NOSUCH
NOSUCH a b c
nosuch "a\r\nb"
NOSUCH "a\x00b" c
!30 NOSUCH 0123456789
!30 NOSUCH a b 0123456789
!30 0123456789
"NO\r\nSUCH" x
"\x00" a
"" a
"é" "日本語"

AUTH
AUTH foo
AUTH default foo
AUTH nobody foo
AUTH a b c
SELECT 0
SELECT abc
SELECT ""
SELECT
SELECT 00
HELLO abc
HELLO 1
HELLO 4
HELLO 2 AUTH
HELLO 2 AUTH a
HELLO 2 AUTH nobody x
HELLO 2 SETNAME
HELLO 2 FOO
HELLO 2 SETNAME "a b"
HELLO 2 SETNAME "a\nb"
HELLO 3 FOO

CLIENT
CLIENT GETNAME
CLIENT SETNAME "a b"
CLIENT SETNAME
CLIENT SETNAME me
CLIENT GETNAME
CLIENT GETNAME x
client setname ""
CLIENT GETNAME
CLIENT ID x
CLIENT FOO
CLIENT NO-EVICT
CLIENT NO-EVICT on
CLIENT NO-EVICT maybe
CONFIG
CONFIG FOO
CONFIG GET
CONFIG GET save
CONFIG GET nosuchsetting
COMMAND FOO
COMMAND COUNT x
COMMAND INFO nosuch
COMMAND INFO nosuch nosuch2
CLUSTER
CLUSTER FOO
CLUSTER KEYSLOT
READONLY x
READWRITE x
INFO nosuchsection nosuchsection
`

// differences are the replies that may differ from a real Redis, each with the
// reason. Everything else is compared byte for byte.
var differences = []struct{ command, reason string }{
	// A node is a member of a cluster, always; the Redis beside it is not.
	{`^CLUSTER (FOO|KEYSLOT)$`, "this Redis has cluster support disabled"},
	// An INFO of this platform is short and has no sections to choose from.
	{`^INFO`, "sections are not chosen"},
}

func fields(t *testing.T, line, key string) []string {
	t.Helper()
	repeat := 1
	if line[0] == '!' {
		head, rest, _ := strings.Cut(line[1:], " ")
		_, err := fmt.Sscan(head, &repeat)
		require.NoError(t, err)
		line = rest
	}
	var out []string
	for _, f := range regexp.MustCompile(`"(\\.|[^"])*"|\S+`).FindAllString(line, -1) {
		if f[0] == '"' {
			var s string
			_, err := fmt.Sscanf(f, "%q", &s)
			require.NoError(t, err, "field %s", f)
			f = s
		}
		out = append(out, strings.ReplaceAll(f, "{k}", key))
	}
	out[len(out)-1] = strings.Repeat(out[len(out)-1], repeat)
	return out
}

// The front door answers as Redis does, byte for byte, in both protocol versions.
func TestSameAnswersAsRedis(t *testing.T) {
	redis := startRedis(t)
	d := serve(t)
	for _, proto := range []string{"2", "3"} {
		compared := 0
		for i, block := range strings.Split(strings.TrimSpace(script), "\n\n") {
			var unlike []string
			for try := range 4 { // a time-to-live changes while a busy machine waits
				unlike = nil
				theirs, ours := dialRaw(t, redis), dialRaw(t, d.addr)
				for _, c := range []*raw{theirs, ours} {
					c.cmd("HELLO", proto)
					c.reply()
				}
				for line := range strings.Lines(block) {
					line = strings.TrimSpace(line)
					args := fields(t, line, fmt.Sprintf("k%s-%d-%d", proto, i, try))
					theirs.cmd(args...)
					ours.cmd(args...)
					want, got := theirs.reply(), ours.reply()
					if differs(line) != "" {
						continue
					}
					compared++
					if want != got {
						unlike = append(unlike, fmt.Sprintf("RESP%s: %s\n  Redis %q\n  ours  %q", proto, line, want, got))
					}
				}
				if len(unlike) == 0 {
					break
				}
			}
			assert.Empty(t, strings.Join(unlike, "\n"))
		}
		require.Greater(t, compared, 200)
	}
}

func differs(line string) string {
	for _, x := range differences {
		if regexp.MustCompile(x.command).MatchString(line) {
			return x.reason
		}
	}
	return ""
}

// What a broken client sends gets Redis's own error, and the connection ends.
func TestSameProtocolErrorsAsRedis(t *testing.T) {
	redis := startRedis(t)
	d := serve(t)
	for _, in := range []string{
		"*1\r\n$x\r\n", "*x\r\n", "*1\r\n:1\r\n", "*1\r\nx\r\n", "*2\r\n$4\r\nPING\r\n$-1\r\n", "*1\r\n$ 4\r\nPING\r\n",
		"*2147483648\r\n", "GET \"a\r\n", "GET 'a\r\n", "GET \"a\"b\r\n", "*1\r\n$99999999999\r\n",
		"*-5\r\nPING\r\nQUIT\r\n", "*0\r\nPING\r\nQUIT\r\n", "\r\n\r\nPING\r\nQUIT\r\n", "PING \"a\\x41\\n\" \r\nQUIT\r\n",
		"ping 'it\\'s'\r\nquit\r\n", "  PING\t x \r\nQUIT\r\n", "PING\nQUIT\n", "QUIT now\r\nPING\r\n",
	} {
		theirs, ours := dialRaw(t, redis), dialRaw(t, d.addr)
		theirs.send(in)
		ours.send(in)
		want, got := theirs.all(), ours.all()
		assert.Equal(t, want, got, "%q", in)
	}
}

func (c *raw) all() string {
	var b strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := c.in.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				c.t.Errorf("the connection was not closed after %q", b.String())
			}
			return b.String() // a reset counts as closed
		}
	}
}

// The pipelined script gets the same answers as the script one by one, however
// its bytes are cut into packets.
func TestPipeliningChangesNoAnswer(t *testing.T) {
	for _, here := range []bool{true, false} {
		d := serve(t)
		d.node.here.Store(here)
		one := dialRaw(t, d.addr)
		rng := rand.New(rand.NewPCG(1, 2))
		for i, block := range strings.Split(strings.TrimSpace(script), "\n\n") {
			var sent, want strings.Builder
			for line := range strings.Lines(block) {
				line = strings.TrimSpace(line)
				if strings.HasPrefix(line, "CLIENT ID") {
					continue
				}
				one.cmd(fields(t, line, fmt.Sprint("a", i))...)
				want.WriteString(strings.ReplaceAll(one.reply(), fmt.Sprint("a", i), fmt.Sprint("b", i)))
				sent.WriteString(wire(fields(t, line, fmt.Sprint("b", i))...))
			}
			c := dialRaw(t, d.addr)
			for rest := sent.String(); rest != ""; {
				n := min(len(rest), 1+rng.IntN(300))
				c.send(rest[:n])
				rest = rest[n:]
			}
			c.expect(want.String())
			c.Close()
		}
	}
}

func TestRedisCli(t *testing.T) {
	cli := program(t, "redis-cli")
	d := serve(t)
	host, port, err := net.SplitHostPort(d.addr)
	require.NoError(t, err)
	run := func(args ...string) string {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, cli, append([]string{"-h", host, "-p", port}, args...)...)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%v: %s", args, out)
		return strings.TrimSpace(string(out))
	}
	require.Equal(t, "OK", run("SET", "session:{1}", "state", "EX", "300"))
	require.Equal(t, "state", run("GET", "session:{1}"))
	require.Equal(t, "state", run("-3", "GETEX", "session:{1}", "EX", "10"))
	require.Equal(t, "1", run("DBSIZE"))
	require.Contains(t, run("INFO"), "redis_version")
	require.Equal(t, "state", run("-c", "GET", "session:{1}"))
	require.Contains(t, run("CLUSTER", "SLOTS"), "16383")
	require.Contains(t, run("NOSUCH", "x"), "ERR unknown command 'NOSUCH'")
	require.Equal(t, "1", run("DEL", "session:{1}"))
	require.Equal(t, "0", run("EXISTS", "session:{1}"))
}

func TestRedisBenchmark(t *testing.T) {
	bench := program(t, "redis-benchmark")
	d := serve(t)
	host, port, err := net.SplitHostPort(d.addr)
	require.NoError(t, err)
	for _, extra := range [][]string{{"-t", "ping,set,get"}, {"-t", "set,get", "-P", "16", "-r", "1000"}, {"-r", "1000", "SET", "k:__rand_int__", "v", "EX", "300"}} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		args := append([]string{"-h", host, "-p", port, "-n", "2000", "-c", "20", "-q"}, extra...)
		out, err := exec.CommandContext(ctx, bench, args...).CombinedOutput()
		require.NoError(t, err, "%v: %s", args, out)
		require.Contains(t, string(out), "requests per second", "%v", args)
		require.NotRegexp(t, `(?i)error|warning`, string(out), "%v", args)
	}
	require.Greater(t, d.Commands.Load(), uint64(6000))
}
