package loadgen

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/loadgen/resp"
)

func TestCommandsOnTheWire(t *testing.T) {
	state := string(AppendState(nil, State{Session: 42, Seq: 3, Writer: 2, Time: time.Second}, 64))
	for _, c := range []struct {
		kind history.Kind
		ttl  uint32
		want []string
	}{
		{history.Create, 300_000, []string{"SET", "session:{42}", state, "NX", "EX", "300"}},
		{history.Update, 1500, []string{"SET", "session:{42}", state, "XX", "PX", "1500"}},
		{history.Read, 0, []string{"GET", "session:{42}"}},
		{history.ReadBack, 0, []string{"GET", "session:{42}"}},
		{history.Touch, 10_000, []string{"GETEX", "session:{42}", "EX", "10"}},
		{history.Close, 0, []string{"GETDEL", "session:{42}"}},
	} {
		op := history.Op{Kind: c.kind, Session: 42, Seq: 3, Writer: 2, TTL: c.ttl, Intended: time.Second}
		require.Equal(t, string(resp.AppendCommand(nil, c.want...)), string(appendRequest(nil, &op, 64)))
	}
}

func TestRepliesAreInterpreted(t *testing.T) {
	state := string(AppendState(nil, State{Session: 1, Seq: 2}, 64))
	for text, want := range map[string]answerKind{
		"+OK\r\n":                        acknowledged,
		"$-1\r\n":                        nothing,
		"*-1\r\n":                        nothing,
		"$64\r\n" + state + "\r\n":       found,
		"$3\r\nabc\r\n":                  damaged,
		"-NOTAPPLIED x\r\n":              notApplied,
		"-NOTAPPLIED\r\n":                notApplied,
		"-NOTAPPLIEDNOT x\r\n":           otherError,
		"-CLUSTERDOWN The cluster\r\n":   notApplied,
		"-LOADING Redis is loading\r\n":  notApplied,
		"-READONLY You can't write\r\n":  notApplied,
		"-MASTERDOWN Link with\r\n":      notApplied,
		"-TRYAGAIN Multiple keys\r\n":    notApplied,
		"-MOVED 1 10.0.0.1:6379\r\n":     notApplied,
		"-ASK 1 10.0.0.1:6379\r\n":       notApplied,
		"-UNKNOWN gave up\r\n":           unknownYet,
		"-ERR " + strings.Repeat("x", 9): otherError,
		"+QUEUED\r\n":                    otherError,
		":1\r\n":                         otherError,
		"*0\r\n":                         otherError,
	} {
		if !strings.HasSuffix(text, "\r\n") {
			text += "\r\n"
		}
		r, n, err := resp.Parse([]byte(text))
		require.NoError(t, err)
		require.Equal(t, len(text), n)
		a := interpret(r)
		require.Equal(t, want, a.kind, "%q", text)
		if strings.HasPrefix(text, "-MOVED") {
			require.Equal(t, "10.0.0.1:6379", a.moved)
		}
	}
}
