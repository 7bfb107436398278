package history

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func writeEvents(t testing.TB, events ...Event) (dir string, file []byte) {
	t.Helper()
	dir = t.TempDir()
	w, err := CreateDir(dir, testManifest())
	require.NoError(t, err)
	for _, e := range events {
		w.Event(e)
	}
	require.NoError(t, w.Close())
	file, err = os.ReadFile(filepath.Join(dir, EventsFile))
	require.NoError(t, err)
	return dir, file
}

func someEvents() []Event {
	return []Event{
		{At: 1, Trial: 1, Kind: FaultAsked, Source: "harness", Subject: "region-loss(region=us-east-1)", Parts: []string{"us-east-1", "us-east-1-1"}},
		{At: 2 * time.Second, Trial: 1, Kind: Elected, Source: "eu-west-1-1", NodeTime: "2026-03-01T12:00:00Z", Fields: map[string]string{"shard": "3", "term": "2"}},
		{At: 3 * time.Second, Trial: 2, Kind: "of the platform's own \u2028 \x00 kind\n", Source: "ap-southeast-1-2", Detail: "\"quoted\""},
	}
}

func TestEventsRoundTrip(t *testing.T) {
	dir, file := writeEvents(t, someEvents()...)
	r, err := Open(dir)
	require.NoError(t, err)
	require.False(t, r.Truncated)
	require.Equal(t, someEvents(), r.Events)
	require.Equal(t, 3, bytes.Count(file, []byte("\n")))
	require.Contains(t, string(file), `"at_ns":2000000000`)
}

func TestEventsAreStampedAndFlushedAtOnce(t *testing.T) {
	dir := t.TempDir()
	w, err := CreateDir(dir, testManifest())
	require.NoError(t, err)
	defer w.Close()
	before := w.Now()
	w.Event(Event{Kind: RunStarted})
	require.NoError(t, w.StartTrial(1))
	w.Event(Event{Kind: TrialStarted})
	require.NoError(t, w.StartTrial(2))
	w.Event(Event{Kind: TrialStarted})
	w.Event(Event{Kind: "other", Trial: 1})
	after := w.Now()
	r, err := Open(dir)
	require.NoError(t, err)
	var trials []int
	for i, e := range r.Events {
		trials = append(trials, e.Trial)
		require.GreaterOrEqual(t, e.At, before)
		require.LessOrEqual(t, e.At, after)
		if i > 0 {
			require.GreaterOrEqual(t, e.At, r.Events[i-1].At)
		}
	}
	require.Equal(t, []int{0, 1, 2, 1}, trials)
	require.Panics(t, func() { w.Event(Event{Kind: "x", At: -1}) })
	require.Panics(t, func() { w.Event(Event{Kind: "x", Trial: -1}) })
}

func TestEventsAreReadByTime(t *testing.T) {
	dir, _ := writeEvents(t, Event{At: 30, Kind: "c"}, Event{At: 10, Kind: "a"}, Event{At: 20, Kind: "b1"}, Event{At: 20, Kind: "b2"})
	r, err := Open(dir)
	require.NoError(t, err)
	var kinds []string
	for _, e := range r.Events {
		kinds = append(kinds, e.Kind)
	}
	require.Equal(t, []string{"a", "b1", "b2", "c"}, kinds)
}

// A crash can cut the last line anywhere.
func TestTornEventLine(t *testing.T) {
	dir, file := writeEvents(t, someEvents()...)
	lines := bytes.SplitAfter(file, []byte("\n"))
	first, second := len(lines[0]), len(lines[0])+len(lines[1])
	for cut := range len(file) + 1 {
		require.NoError(t, os.WriteFile(filepath.Join(dir, EventsFile), file[:cut], 0o644))
		r, err := Open(dir)
		require.NoError(t, err, "cut at %d", cut)
		want := 0
		for _, end := range []int{first, second, len(file)} {
			if cut >= end-1 { // all but the line feed is enough
				want++
			}
		}
		require.Equal(t, someEvents()[:want], append([]Event{}, r.Events...), "cut at %d", cut)
		whole := cut == 0 || cut == first || cut == second || cut == len(file)
		require.Equal(t, !whole, r.Truncated, "cut at %d", cut)
	}
}

func TestDamagedEventLine(t *testing.T) {
	dir, file := writeEvents(t, someEvents()...)
	lines := bytes.SplitAfter(file, []byte("\n"))
	for name, line := range map[string]string{
		"no JSON":           "garbage\n",
		"empty":             "\n",
		"half":              string(lines[1][:20]) + "\n",
		"not an object":     "[]\n",
		"before the epoch":  `{"at_ns":-5,"trial":1,"kind":"x","source":"y"}` + "\n",
		"time in text":      `{"at_ns":"5s","trial":1,"kind":"x","source":"y"}` + "\n",
		"negative trial":    `{"at_ns":5,"trial":-1,"kind":"x","source":"y"}` + "\n",
		"trial too high":    `{"at_ns":5,"trial":1048577,"kind":"x","source":"y"}` + "\n",
		"longer than a MiB": `{"at_ns":5,"kind":"` + strings.Repeat("x", maxEvent) + `"}` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			bad := append(append(bytes.Clone(lines[0]), line...), lines[2]...)
			require.NoError(t, os.WriteFile(filepath.Join(dir, EventsFile), bad, 0o644))
			_, err := Open(dir)
			var damage *DamageError
			require.ErrorAs(t, err, &damage)
			require.Equal(t, filepath.Join(dir, EventsFile), damage.File)
			require.EqualValues(t, len(lines[0]), damage.Offset)
			require.ErrorContains(t, err, "line 2")
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

// What a platform says can't make the record unreadable.
func TestHostileEvents(t *testing.T) {
	huge := strings.Repeat("\x01ü", 60_000)
	big := Event{At: 5, Trial: 1, Kind: huge, Source: huge, Subject: huge, NodeTime: huge, Detail: huge, Parts: []string{huge}, Fields: map[string]string{huge: huge}}
	dir, file := writeEvents(t, Event{At: 1, Kind: "a"}, big, Event{At: 6, Kind: "bad \xff utf-8"}, Event{At: 7})
	require.Less(t, len(file), 1<<20)
	r, err := Open(dir)
	require.NoError(t, err)
	require.Len(t, r.Events, 4)
	require.True(t, strings.HasPrefix(huge, r.Events[1].Kind))
	require.NotEmpty(t, r.Events[1].Kind)
	require.Contains(t, r.Events[1].Detail, "cut: the event had")
	require.Equal(t, "bad \ufffd utf-8", r.Events[2].Kind)

	// The longest that is not cut is read.
	fits := Event{At: 1, Trial: 1, Kind: "x", Detail: strings.Repeat("d", maxEvent-200)}
	dir, _ = writeEvents(t, fits)
	r, err = Open(dir)
	require.NoError(t, err)
	require.Equal(t, []Event{fits}, r.Events)
}

func TestOpenWhatIsNoRun(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "nothing")
	_, err := Open(missing)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, missing)
	require.ErrorContains(t, err, "fivenines run")

	empty := t.TempDir()
	_, err = Open(empty)
	require.ErrorContains(t, err, empty+" holds no run")
	require.ErrorContains(t, err, "fivenines run")

	runs := filepath.Join(t.TempDir(), "odd [name]*")
	for _, n := range []string{"1", "2"} {
		w, err := CreateDir(filepath.Join(runs, n), testManifest())
		require.NoError(t, err)
		require.NoError(t, w.Close())
	}
	_, err = Open(runs)
	require.ErrorContains(t, err, "name one of the 2 in it, such as "+filepath.Join(runs, "2"))

	run := filepath.Join(runs, "1")
	require.NoError(t, os.Remove(filepath.Join(run, EventsFile)))
	_, err = Open(run)
	require.ErrorContains(t, err, EventsFile)
	require.NoError(t, os.WriteFile(filepath.Join(run, ManifestFile), []byte(`{"schema":"fivenines-manifest/v9"}`), 0o644))
	_, err = Open(run)
	require.ErrorContains(t, err, `"fivenines-manifest/v9" is not fivenines-manifest/v1`)
	for _, bad := range []string{"", "{", "[]", `{"schema":5}`} {
		require.NoError(t, os.WriteFile(filepath.Join(run, ManifestFile), []byte(bad), 0o644))
		_, err = Open(run)
		require.ErrorContains(t, err, filepath.Join(run, ManifestFile))
		require.NotContains(t, err.Error(), "\n")
	}
	require.NoError(t, os.WriteFile(filepath.Join(run, ManifestFile), bytes.Repeat([]byte(" "), maxManifest+1), 0o644))
	_, err = Open(run)
	require.ErrorContains(t, err, "more than 16 MiB")
}

func FuzzEvents(f *testing.F) {
	_, file := writeEvents(f, someEvents()...)
	f.Add(file)
	f.Add(file[:len(file)-5])
	f.Add([]byte("{}\n{}"))
	f.Add([]byte(`{"at_ns":9223372036854775807}` + "\n" + `{"at_ns":0}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		events, torn, err := decodeEvents(bytes.NewReader(b), "x")
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("more than a line: %q", err)
			}
			return
		}
		if whole := len(b) == 0 || b[len(b)-1] == '\n'; torn == whole {
			t.Fatalf("torn %t of %q", torn, b)
		}
		// What was read is written and read the same.
		var again []byte
		for i := range events {
			if i > 0 && events[i].At < events[i-1].At {
				t.Fatal("not by time")
			}
			line, err := encodeEvent(&events[i])
			if err != nil || bytes.IndexByte(line, '\n') != len(line)-1 {
				t.Fatalf("%v %q", err, line)
			}
			again = append(again, line...)
		}
		second, torn, err := decodeEvents(bytes.NewReader(again), "x")
		if err != nil || torn || fmt.Sprintf("%+v", second) != fmt.Sprintf("%+v", events) {
			t.Fatalf("%v %t\n%+v\n%+v", err, torn, events, second)
		}
	})
}

func FuzzManifest(f *testing.F) {
	m := testManifest()
	m.Schema = manifestSchema
	b, err := json.Marshal(m)
	require.NoError(f, err)
	f.Add(b)
	f.Add([]byte(`{"schema":"fivenines-manifest/v1"}`))
	f.Add([]byte(`{"schema":"fivenines-manifest/v1","deadline_ns":1e3,"regions":[{"rtt_ns":{"a":1}}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeManifest(bytes.NewReader(b))
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("more than a line: %q", err)
			}
			return
		}
		if len(m.Regions) > 256 || len(m.Nodes) > 255 || m.Partitions < 0 || m.Partitions > 1<<16 {
			t.Fatalf("indexes of a history do not fit %+v", m)
		}
		b, err = json.Marshal(m)
		if err != nil {
			return // a time that was read and can't be written
		}
		again, err := decodeManifest(bytes.NewReader(b))
		if err != nil || !again.Started.Equal(m.Started) {
			t.Fatalf("%v\n%+v\n%+v", err, m, again)
		}
	})
}
