package resp

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReplies(t *testing.T) {
	for _, c := range []struct {
		got  []byte
		want string
	}{
		{AppendOK(nil), "+OK\r\n"},
		{AppendSimple(nil, "PONG"), "+PONG\r\n"},
		{AppendSimple([]byte("a\r\n"), "x\r\ny"), "a\r\n+x  y\r\n"},
		{AppendError(nil, "ERR Protocol error: expected '$', got '\r'"), "-ERR Protocol error: expected '$', got ' '\r\n"},
		{AppendInt(nil, math.MinInt64), ":-9223372036854775808\r\n"},
		{AppendBulk(nil, []byte("a\r\nb")), "$4\r\na\r\nb\r\n"},
		{AppendBulk(nil, nil), "$0\r\n\r\n"},
		{AppendBulkString(nil, "ab"), "$2\r\nab\r\n"},
		{AppendNull(nil, 2), "$-1\r\n"},
		{AppendNull(nil, 3), "_\r\n"},
		{AppendArray(nil, 3), "*3\r\n"},
		{AppendMap(nil, 3, 2), "*6\r\n"},
		{AppendMap(nil, 3, 3), "%3\r\n"},
		{AppendBool(nil, true, 2), ":1\r\n"},
		{AppendBool(nil, false, 2), ":0\r\n"},
		{AppendBool(nil, true, 3), "#t\r\n"},
		{AppendBool(nil, false, 3), "#f\r\n"},
		{AppendDouble(nil, 1.5, 2), "$3\r\n1.5\r\n"},
		{AppendDouble(nil, 1.5, 3), ",1.5\r\n"},
		{AppendDouble(nil, math.Inf(-1), 3), ",-inf\r\n"},
		{AppendDouble(nil, math.Inf(1), 2), "$3\r\ninf\r\n"},
		{AppendDouble(nil, math.NaN(), 3), ",nan\r\n"},
		{AppendVerbatim(nil, "a\nb", 2), "$3\r\na\nb\r\n"},
		{AppendVerbatim(nil, "a\nb", 3), "=7\r\ntxt:a\nb\r\n"},
	} {
		require.Equal(t, c.want, string(c.got))
	}
}

func TestSlot(t *testing.T) {
	require.Equal(t, uint16(0x31c3), crc16([]byte("123456789"))) // the specification's own vector
	for key, want := range map[string]int{                       // from redis-server's CLUSTER KEYSLOT
		"": 0, "foo": 12182, "bar": 5061, "hello": 866, "session:1": 9436, "somekey": 11058, "foo{hash_tag}": 2515,
	} {
		require.Equal(t, want, Slot([]byte(key)), key)
	}
	same := func(a, b string) { require.Equal(t, Slot([]byte(a)), Slot([]byte(b)), "%s and %s", a, b) }
	same("{user1000}.following", "user1000")
	same("foo{{bar}}zap", "{bar")
	same("foo{bar}{zap}", "bar")
	require.NotEqual(t, Slot([]byte("foo{}{bar}")), Slot([]byte("bar"))) // an empty tag is none
	require.NotEqual(t, Slot([]byte("foo{bar")), Slot([]byte("bar")))
	require.Equal(t, int(crc16([]byte("foo{}{bar}")))%Slots, Slot([]byte("foo{}{bar}")))
	require.Equal(t, int(crc16([]byte("}foo{")))%Slots, Slot([]byte("}foo{")))
}

func BenchmarkSlot(b *testing.B) {
	key := []byte("session:0123456789")
	b.ReportAllocs()
	for b.Loop() {
		Slot(key)
	}
}
