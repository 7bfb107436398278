package node

import (
	"bytes"
	"encoding/binary"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/fivenines/fivenines/reference/internal/admission"
	"github.com/fivenines/fivenines/reference/internal/gateway"
	"github.com/fivenines/fivenines/reference/internal/session"
)

func TestFramesRoundTrip(t *testing.T) {
	var b []byte
	want := map[byte][]byte{frameHello: []byte("{}"), frameReply: nil, FrameCanary: bytes.Repeat([]byte("x"), maxHello)}
	order := []byte{frameHello, frameReply, FrameCanary}
	for _, typ := range order {
		b = AppendFrame(b, typ, want[typ])
	}
	for cut := range len(b) {
		rest := b[:cut:cut]
		for _, typ := range order {
			got, p, n, err := NextFrame(rest, maxFrame)
			require.NoError(t, err)
			if n == 0 {
				break
			}
			require.Equal(t, typ, got)
			require.Equal(t, string(want[typ]), string(p))
			rest = rest[n:]
		}
	}
}

func TestFrameLimits(t *testing.T) {
	head := func(length uint32, typ byte) []byte {
		return append(binary.LittleEndian.AppendUint32(nil, length), typ)
	}
	for _, tc := range []struct {
		name  string
		in    []byte
		limit int
		ok    bool
	}{
		{"empty", head(0, frameHello), maxFrame, false},
		{"hello that is too long", head(maxHello+1, frameHello), maxHello, false},
		{"snapshot", head(maxFrame, frameRaft), maxFrame, true},
		{"more than a snapshot", head(maxFrame+1, frameRaft), maxFrame, false},
		{"largest length", head(math.MaxUint32, frameRaft), maxFrame, false},
		{"forwards", head(maxMail, frameForward), maxFrame, true},
		{"too many forwards", head(maxMail+1, frameForward), maxFrame, false},
		{"too many hints", head(maxMail+1, framePing), maxFrame, false},
		{"too long before its type is known", head(maxMail+1, framePing)[:4], maxFrame, true},
	} {
		_, _, n, err := NextFrame(tc.in, tc.limit)
		require.Zero(t, n, tc.name)
		require.Equal(t, tc.ok, err == nil, "%s: %v", tc.name, err)
	}
}

func raftMessage() *raftpb.Message {
	return &raftpb.Message{Type: raftpb.MsgApp.Enum(), To: new(uint64(1)), From: new(uint64(2)), Term: new(uint64(3)), Index: new(uint64(4)),
		Entries: []*raftpb.Entry{{Term: new(uint64(3)), Index: new(uint64(5)), Data: []byte("entry")}}}
}

func TestRaftMessagesRoundTrip(t *testing.T) {
	m := raftMessage()
	b, err := appendRaft(nil, 7, m)
	require.NoError(t, err)
	typ, p, n, err := NextFrame(b, maxFrame)
	require.NoError(t, err)
	require.Equal(t, len(b), n)
	require.EqualValues(t, frameRaft, typ)
	got, err := decodeRaft(p)
	require.NoError(t, err)
	require.EqualValues(t, 7, got.group)
	require.True(t, proto.Equal(m, got.m))

	_, err = decodeRaft(p[:3])
	require.ErrorIs(t, err, errFrame)
	_, err = decodeRaft(p[:len(p)-1])
	require.ErrorIs(t, err, errFrame)
	_, err = decodeRaft(p[:4])
	require.ErrorIs(t, err, errFrame, "a message without a type")
	m.Responses = []*raftpb.Message{raftMessage()}
	b, err = appendRaft(nil, 7, m)
	require.NoError(t, err)
	_, err = decodeRaft(b[5:])
	require.ErrorIs(t, err, errFrame, "only a replica itself sends those")
}

// A small frame must not cost much more memory than it has bytes.
func TestDecodersAreBounded(t *testing.T) {
	many := []byte{0, 0, 0, 0}
	many = protowire.AppendTag(many, 1, protowire.VarintType)
	many = protowire.AppendVarint(many, uint64(raftpb.MsgApp))
	for range 4 << 20 { // entries without anything: 2 bytes each, a hundred in memory
		many = protowire.AppendBytes(protowire.AppendTag(many, 7, protowire.BytesType), nil)
	}
	grown := allocated(func() {
		_, err := decodeRaft(many)
		require.ErrorIs(t, err, errFrame)
	})
	require.Less(t, grown, uint64(1<<20))

	hints := binary.AppendUvarint(nil, 4<<20)
	hints = append(hints, make([]byte, 4<<20)...)
	grown = allocated(func() {
		_, err := decodeHints(hints)
		require.ErrorIs(t, err, errFrame)
	})
	require.Less(t, grown, uint64(1<<20))
}

func allocated(fn func()) uint64 {
	var a, b runtime.MemStats
	runtime.ReadMemStats(&a)
	fn()
	runtime.ReadMemStats(&b)
	return b.TotalAlloc - a.TotalAlloc
}

func forwardsUnderTest() []forward {
	return []forward{
		{id: 1, left: 900 * time.Millisecond, kind: gateway.Write, shard: 3, op: session.Op{Kind: session.Set, Flags: session.NX, Gateway: 9, Seq: 8, TTL: 7, Key: []byte("k"), Value: []byte("v")}},
		{id: 1 << 60, left: 0, kind: gateway.Get, shard: 1 << 20, op: session.Op{Kind: session.Del, Key: []byte("session:{1}")}},
		{id: 3, left: time.Hour, kind: gateway.Count, priority: admission.Low, op: session.Op{Kind: session.Del, Key: []byte{}}},
		{id: 4, left: time.Microsecond, kind: gateway.Write, priority: admission.High, op: session.Op{Kind: session.GetEx, Flags: session.SameTTL, Key: []byte("k")}},
	}
}

func TestForwardsRoundTrip(t *testing.T) {
	for _, f := range forwardsUnderTest() {
		b := appendForward(nil, &f)
		got, rest, err := decodeForward(b)
		require.NoError(t, err)
		require.Empty(t, rest)
		require.Equal(t, f, got)
		for cut := range len(b) {
			_, _, err := decodeForward(b[:cut:cut])
			require.ErrorIs(t, err, errFrame, "cut to %d bytes", cut)
		}
	}
	for _, f := range []forward{
		{kind: 0, op: session.Op{Kind: session.Del}},
		{kind: gateway.Count + 1, op: session.Op{Kind: session.Del}},
		{kind: gateway.Write, op: session.Op{Kind: session.Expire}}, // only a leader ends sessions
		{kind: gateway.Write, shard: 1<<20 + 1, op: session.Op{Kind: session.Del}},
		{kind: gateway.Write, left: 2 * time.Hour, op: session.Op{Kind: session.Del}},
		{kind: gateway.Write, priority: admission.Priorities, op: session.Op{Kind: session.Del}},
	} {
		_, _, err := decodeForward(appendForward(nil, &f))
		require.ErrorIs(t, err, errFrame, "%+v", f)
	}
}

func TestRepliesRoundTrip(t *testing.T) {
	for _, r := range []reply{
		{id: 1, status: gateway.OK, flags: replyFound | replyApplied, num: -2, value: []byte("value")},
		{id: 1 << 63, status: gateway.Unknown, num: math.MinInt64, value: []byte{}},
		{status: gateway.NotApplied, num: math.MaxInt64, value: []byte{}},
	} {
		b := appendReply(nil, &r)
		got, rest, err := decodeReply(b)
		require.NoError(t, err)
		require.Empty(t, rest)
		require.Equal(t, r, got)
		for cut := range len(b) {
			_, _, err := decodeReply(b[:cut:cut])
			require.ErrorIs(t, err, errFrame, "cut to %d bytes", cut)
		}
	}
	for _, r := range []reply{{status: 0}, {status: gateway.Unknown + 1}} {
		_, _, err := decodeReply(appendReply(nil, &r))
		require.ErrorIs(t, err, errFrame)
	}
}

func TestHintsRoundTrip(t *testing.T) {
	hs := []hint{{0, 1, -1}, {1 << 20, math.MaxUint64, 1 << 16}, {3, 0, 0}}
	b := appendHints(nil, hs)
	got, err := decodeHints(b)
	require.NoError(t, err)
	require.Equal(t, hs, got)
	for cut := range len(b) {
		_, err := decodeHints(b[:cut:cut])
		require.ErrorIs(t, err, errFrame, "cut to %d bytes", cut)
	}
	_, err = decodeHints(append(b, 0))
	require.ErrorIs(t, err, errFrame, "bytes behind the last")
	for _, h := range []hint{{1<<20 + 1, 1, 1}, {1, 1, -2}, {1, 1, 1<<16 + 1}} {
		_, err := decodeHints(appendHints(nil, []hint{h}))
		require.ErrorIs(t, err, errFrame)
	}
}

func FuzzNextFrame(f *testing.F) {
	f.Add(AppendFrame(nil, frameHello, []byte("{}")))
	f.Add(AppendFrame(AppendFrame(nil, framePing, make([]byte, 9)), FrameCanary, nil))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, frameRaft})
	f.Fuzz(func(t *testing.T, b []byte) {
		rest := b
		var again []byte
		for {
			typ, p, n, err := NextFrame(rest, maxFrame)
			if err != nil || n == 0 {
				break
			}
			if n < 5 || n > len(rest) || len(p) != n-5 {
				t.Fatalf("%d bytes taken of %d for a payload of %d", n, len(rest), len(p))
			}
			again = AppendFrame(again, typ, p)
			rest = rest[n:]
		}
		if !bytes.Equal(again, b[:len(b)-len(rest)]) {
			t.Fatalf("%x was encoded again as %x", b, again)
		}
	})
}

func FuzzDecodeRaft(f *testing.F) {
	b, err := appendRaft(nil, 7, raftMessage())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[5:])
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRaft(b)
		if err != nil {
			return
		}
		again, err := appendRaft(nil, r.group, r.m)
		if err != nil {
			t.Fatal(err)
		}
		r2, err := decodeRaft(again[5:])
		if err != nil || r2.group != r.group || !proto.Equal(r.m, r2.m) {
			t.Fatalf("%v was encoded again as %v (%v)", r, r2, err)
		}
	})
}

func FuzzDecodeForward(f *testing.F) {
	for _, fw := range forwardsUnderTest() {
		f.Add(appendForward(nil, &fw))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fw, rest, err := decodeForward(b)
		if err != nil {
			return
		}
		if len(rest) >= len(b) {
			t.Fatal("nothing was taken: a frame of these would never end")
		}
		if fw.kind != gateway.Write {
			fw.op = session.Op{Kind: session.Del, Key: fw.op.Key}
		}
		got, rest, err := decodeForward(appendForward(nil, &fw))
		if err != nil || len(rest) != 0 || !same(fw, got) {
			t.Fatalf("%+v was encoded again as %+v (%v)", fw, got, err)
		}
	})
}

func same(a, b forward) bool {
	x, y := a.op, b.op
	eq := x.Kind == y.Kind && x.Flags == y.Flags && x.Gateway == y.Gateway && x.Seq == y.Seq && x.TTL == y.TTL &&
		bytes.Equal(x.Key, y.Key) && bytes.Equal(x.Value, y.Value)
	return eq && a.id == b.id && a.left == b.left && a.kind == b.kind && a.shard == b.shard
}

func FuzzDecodeReply(f *testing.F) {
	f.Add(appendReply(nil, &reply{id: 1, status: gateway.OK, flags: 3, num: -2, value: []byte("v")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, rest, err := decodeReply(b)
		if err != nil {
			return
		}
		if len(rest) >= len(b) {
			t.Fatal("nothing was taken: a frame of these would never end")
		}
		got, rest, err := decodeReply(appendReply(nil, &r))
		if err != nil || len(rest) != 0 || got.id != r.id || got.status != r.status || got.flags != r.flags || got.num != r.num || !bytes.Equal(got.value, r.value) {
			t.Fatalf("%+v was encoded again as %+v (%v)", r, got, err)
		}
	})
}

func FuzzDecodeHints(f *testing.F) {
	f.Add(appendHints(nil, []hint{{1, 2, 3}, {4, 5, -1}}))
	f.Add([]byte{0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, b []byte) {
		hs, err := decodeHints(b)
		if err != nil {
			return
		}
		got, err := decodeHints(appendHints(nil, hs))
		if err != nil || len(got) != len(hs) {
			t.Fatalf("%v was encoded again as %v (%v)", hs, got, err)
		}
		for i := range hs {
			if got[i] != hs[i] {
				t.Fatalf("%v was encoded again as %v", hs[i], got[i])
			}
		}
	})
}
