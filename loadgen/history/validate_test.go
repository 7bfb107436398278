package history

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// brokenOps is one operation for each invariant, each one change away from one
// that is valid.
func brokenOps() map[string]Op {
	base := Op{Intended: 10, Start: 20, End: 30, Session: 5, Seq: 3, Kind: Update, Outcome: OK, Class: Follower, Partition: 2, Region: 1, Node: 4}
	read := base
	read.Kind = Read
	create := base
	create.Kind = Create
	absent := read
	absent.Absent, absent.Seq = true, 0
	unknown := base
	unknown.Outcome, unknown.Cause = Unknown, Timeout
	failedRead := read
	failedRead.Outcome, failedRead.Cause, failedRead.Seq = Failed, Refused, 0
	unsent := base
	unsent.Outcome, unsent.Cause, unsent.End = Unsent, Backpressure, unsent.Start
	eventual := read
	eventual.Class = Eventual
	event := Op{Intended: 10, Start: 20, End: 20, Session: 5, Seq: 3, Kind: Deliver, Outcome: OK, Class: Stream, Partition: 2, Region: 1, Node: 4}
	emit := event
	emit.Kind = Emit
	resume := event
	resume.Kind = Resume
	with := func(o Op, f func(*Op)) Op { f(&o); return o }
	return map[string]Op{
		"kind zero":                     with(base, func(o *Op) { o.Kind = 0 }),
		"kind unknown":                  with(base, func(o *Op) { o.Kind = Resume + 1 }),
		"outcome zero":                  with(base, func(o *Op) { o.Outcome = 0 }),
		"outcome unknown":               with(base, func(o *Op) { o.Outcome = Unsent + 1 }),
		"class zero":                    with(base, func(o *Op) { o.Class = 0 }),
		"class unknown":                 with(base, func(o *Op) { o.Class = Stream + 1 }),
		"cause unknown":                 with(unknown, func(o *Op) { o.Cause = Backpressure + 1 }),
		"intended before the epoch":     with(base, func(o *Op) { o.Intended = -1 }),
		"all before the epoch":          with(base, func(o *Op) { o.Intended, o.Start, o.End = -3, -2, -1 }),
		"start before intended":         with(base, func(o *Op) { o.Start = 9 }),
		"end before start":              with(base, func(o *Op) { o.End = 19 }),
		"unsent before intended":        with(unsent, func(o *Op) { o.Start, o.End = 9, 9 }),
		"unsent that lasted":            with(unsent, func(o *Op) { o.End++ }),
		"read-back that is no audit":    with(read, func(o *Op) { o.Kind = ReadBack }),
		"audit that is no read-back":    with(read, func(o *Op) { o.Class = Audit }),
		"eventual write":                with(eventual, func(o *Op) { o.Kind = Update }),
		"eventual touch":                with(eventual, func(o *Op) { o.Kind = Touch }),
		"event that is no stream":       with(event, func(o *Op) { o.Class = Follower }),
		"emit that is no stream":        with(emit, func(o *Op) { o.Class = Follower }),
		"resume that is no stream":      with(resume, func(o *Op) { o.Class = Eventual }),
		"stream that is a read":         with(read, func(o *Op) { o.Class = Stream }),
		"event that failed":             with(event, func(o *Op) { o.Outcome = Failed }),
		"event that took time":          with(event, func(o *Op) { o.End++ }),
		"event without seq":             with(event, func(o *Op) { o.Seq = 0 }),
		"event of another without seq":  with(event, func(o *Op) { o.Seq, o.Exists = 0, true }),
		"event that is absent":          with(event, func(o *Op) { o.Absent = true }),
		"event corrupt and another's":   with(event, func(o *Op) { o.Corrupt, o.Exists = true, true }),
		"emit acknowledged without seq": with(emit, func(o *Op) { o.Seq = 0 }),
		"emit that exists":              with(emit, func(o *Op) { o.Exists = true }),
		"corrupt emit":                  with(emit, func(o *Op) { o.Corrupt = true }),
		"absent resume":                 with(resume, func(o *Op) { o.Absent = true }),
		"ok with a cause":               with(base, func(o *Op) { o.Cause = Timeout }),
		"unknown that was absent":       with(unknown, func(o *Op) { o.Absent = true }),
		"failed read that was absent":   with(failedRead, func(o *Op) { o.Absent = true }),
		"failed read that was corrupt":  with(failedRead, func(o *Op) { o.Corrupt = true }),
		"failed create that exists":     with(create, func(o *Op) { o.Outcome, o.Exists = Failed, true }),
		"absent create":                 with(create, func(o *Op) { o.Absent = true }),
		"exists on an update":           with(base, func(o *Op) { o.Exists = true }),
		"exists on a read":              with(absent, func(o *Op) { o.Exists = true }),
		"corrupt update":                with(base, func(o *Op) { o.Corrupt = true }),
		"corrupt and absent":            with(absent, func(o *Op) { o.Corrupt = true }),
		"absent and seq":                with(read, func(o *Op) { o.Absent = true }),
		"found without seq":             with(read, func(o *Op) { o.Seq = 0 }),
		"failed read with seq":          with(failedRead, func(o *Op) { o.Seq = 1 }),
		"ok update without seq":         with(base, func(o *Op) { o.Seq = 0 }),
		"ok create without seq":         with(create, func(o *Op) { o.Seq = 0 }),
		"unknown update without seq":    with(unknown, func(o *Op) { o.Seq = 0 }),
		"failed create without seq":     with(create, func(o *Op) { o.Outcome, o.Seq = Failed, 0 }),
		"region not in the manifest":    with(base, func(o *Op) { o.Region = 3 }),
		"node not in the manifest":      with(base, func(o *Op) { o.Node = 8 }),
		"partition not in the manifest": with(base, func(o *Op) { o.Partition = 12 }),
	}
}

// The recorder refuses a broken operation at the source, and takes none of a
// batch that has one.
func TestRecordPanicsOnEachBrokenInvariant(t *testing.T) {
	dir := t.TempDir()
	w, err := CreateDir(dir, testManifest())
	require.NoError(t, err)
	require.NoError(t, w.StartTrial(1))
	good := randomOp(newRand(1))
	for name, op := range brokenOps() {
		assert.Panics(t, func() { w.Record([]Op{good, op, good}) }, name)
	}
	w.Record([]Op{good})
	require.NoError(t, w.Close())
	r, err := Open(dir)
	require.NoError(t, err)
	require.Equal(t, []Op{good}, opsOf(t, r, 1))
}

// Who wrote the file may have had a bug: what the recorder refuses, the decoder
// finds again, though the checksum is right.
func TestReaderFindsEachBrokenInvariant(t *testing.T) {
	good := randomOp(newRand(1))
	for name, op := range brokenOps() {
		t.Run(name, func(t *testing.T) {
			dir := record(t, defaults(), nil)
			path := filepath.Join(dir, SegmentsDir, segmentID{1, 1}.name())
			require.NoError(t, os.WriteFile(path, segmentOf(segmentID{1, 1}, 0, tagEnd, []Op{good}, []Op{good, op}), 0o644))
			r, err := Open(dir)
			require.NoError(t, err)
			n := 0
			err = r.Ops(1, func(*Op) error { n++; return nil })
			var damage *DamageError
			require.ErrorAs(t, err, &damage)
			require.Equal(t, path, damage.File)
			require.EqualValues(t, headerSize+2*blockHeaderSize+2*recordSize, damage.Offset)
			require.Equal(t, 2, n, "what stands before it is passed on")
		})
	}
}

// segmentOf builds a segment by hand, unchecked.
func segmentOf(id segmentID, first uint64, mark uint32, blocks ...[]Op) []byte {
	b := appendHeader(nil, id, first)
	for _, ops := range blocks {
		n := len(b)
		b = append(b, blankBlockHeader[:]...)
		for i := range ops {
			b = appendRecord(b, &ops[i])
		}
		sealBlock(b[n:], tagOps, first)
		first += uint64(len(ops))
	}
	if mark != 0 {
		n := len(b)
		b = append(b, blankBlockHeader[:]...)
		sealBlock(b[n:], mark, first)
	}
	return b
}

func TestValidAtTheEdges(t *testing.T) {
	at := time.Second
	for name, op := range map[string]Op{
		"all at the epoch":              {Kind: Read, Outcome: OK, Class: Follower, Absent: true},
		"unsent, nothing chosen yet":    {Intended: at, Start: at, End: at, Kind: Update, Outcome: Unsent, Class: Follower, Cause: Backpressure},
		"unsent, given up later":        {Intended: at, Start: 2 * at, End: 2 * at, Kind: Create, Outcome: Unsent, Class: Follower},
		"refused by XX, what it tried":  {Kind: Update, Outcome: OK, Class: Follower, Absent: true, Seq: 9},
		"refused by XX, and no more":    {Kind: Update, Outcome: OK, Class: Follower, Absent: true},
		"refused by NX":                 {Kind: Create, Outcome: OK, Class: Contested, Exists: true, Seq: 1},
		"corrupt state of unknown seq":  {Kind: Touch, Outcome: OK, Class: Witness, Corrupt: true},
		"eventual, not there":           {Kind: Read, Outcome: OK, Class: Eventual, Absent: true},
		"eventual, corrupt":             {Kind: Read, Outcome: OK, Class: Eventual, Corrupt: true},
		"event of another session":      {Kind: Deliver, Outcome: OK, Class: Stream, Exists: true, Seq: 1},
		"corrupt event of unknown seq":  {Kind: Deliver, Outcome: OK, Class: Stream, Corrupt: true},
		"emit, number not known":        {Kind: Emit, Outcome: Unknown, Class: Stream, Cause: Timeout},
		"stream opened":                 {Kind: Resume, Outcome: OK, Class: Stream, Start: at, End: 2 * at},
		"stream given up":               {Kind: Resume, Outcome: Failed, Class: Stream, Seq: 9},
		"no answering node, all causes": {Kind: ReadBack, Outcome: Failed, Class: Audit, Cause: Backpressure, Node: NoNode},
	} {
		m := testManifest()
		assert.NoError(t, m.bounds().check(&op), name)
	}
	// A manifest that lists nothing bounds nothing.
	require.NoError(t, (&Manifest{}).bounds().check(&Op{Kind: Read, Outcome: OK, Class: Follower, Absent: true, Region: 200, Node: 200, Partition: 60000}))
}

func TestNamesReadBack(t *testing.T) {
	for what, names := range map[string][]string{"kind": kindNames, "outcome": outcomeNames, "class": classNames, "cause": causeNames} {
		for v, name := range names {
			if name == "" {
				continue
			}
			got, err := valueOf(what, names, name)
			require.NoError(t, err)
			require.EqualValues(t, v, got)
		}
		for _, bad := range []string{"", "nonsense"} {
			_, err := valueOf(what, names, bad)
			require.Error(t, err)
		}
	}
	require.Equal(t, "kind(99)", Kind(99).String())
	require.Equal(t, "outcome(0)", Outcome(0).String())
	require.Equal(t, int(Resume)+1, len(kindNames))
	require.Equal(t, int(Unsent)+1, len(outcomeNames))
	require.Equal(t, int(Stream)+1, len(classNames))
	require.Equal(t, int(Backpressure)+1, len(causeNames))
}

// The format is a contract with runs that are already stored: these bytes never change.
func TestFormatVersion1(t *testing.T) {
	op := Op{
		Intended: 0x0102, Start: 0x0304, End: 0x0506, Session: 0x0708090a0b0c0d0e, Seq: 0x11121314, TTL: 0x21222324,
		Writer: 0x3132, Client: 0x4142, Partition: 0x5152, Region: 0x61, Node: 0x62,
		Kind: Close, Outcome: OK, Class: Contested, Cause: NoCause, Retries: 0x71, Corrupt: true,
	}
	got := segmentOf(segmentID{2, 3}, 7, tagEnd, []Op{op})
	want := "5NINEOPS" + "\x01\x00\x00\x00" + "8\x00\x00\x00" + "\x02\x00\x00\x00" + "\x03\x00\x00\x00" + "\x07\x00\x00\x00\x00\x00\x00\x00" + "\xaf\x61\xc3\x24" +
		"5nbo" + "8\x00\x00\x00" + "\x07\x00\x00\x00\x00\x00\x00\x00" + "\x56\xf0\x27\x4b" +
		"\x02\x01\x00\x00\x00\x00\x00\x00" + "\x04\x03\x00\x00\x00\x00\x00\x00" + "\x06\x05\x00\x00\x00\x00\x00\x00" +
		"\x0e\x0d\x0c\x0b\x0a\x09\x08\x07" + "\x14\x13\x12\x11" + "\x24\x23\x22\x21" + "\x32\x31" + "\x42\x41" + "\x52\x51" + "\x61\x62" +
		"\x05\x01\x03\x00" + "\x71" + "\x04" + "\x00\x00" +
		"5nbe" + "\x00\x00\x00\x00" + "\x08\x00\x00\x00\x00\x00\x00\x00" + "\xb5\x32\xa2\x8e"
	require.True(t, bytes.Equal([]byte(want), got), "%q", got)
	require.Equal(t, "ops-t002-000003.seg", segmentID{2, 3}.name())

	// What came after, at its end: the layout is the same.
	got = appendRecord(nil, &Op{Kind: Deliver, Outcome: OK, Class: Stream, Seq: 1, Exists: true})
	require.Equal(t, []byte{8, 1, 6, 0, 0, flagExists}, got[48:54])
	got = appendRecord(nil, &Op{Kind: Read, Outcome: OK, Class: Eventual, Absent: true})
	require.Equal(t, []byte{2, 1, 5, 0, 0, flagAbsent}, got[48:54])
	require.Equal(t, []Kind{7, 8, 9}, []Kind{Emit, Deliver, Resume})
}
