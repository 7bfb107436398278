package slo

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/loadgen/history"
)

// ints are the whole numbers of a struct by their names in JSON.
func ints(v any) map[string]int {
	out := map[string]int{}
	s := reflect.ValueOf(v)
	for i := range s.NumField() {
		if s.Field(i).Kind() == reflect.Int {
			name, _, _ := strings.Cut(s.Type().Field(i).Tag.Get("json"), ",")
			out[name] = int(s.Field(i).Int())
		}
	}
	return out
}

func plus(a, b map[string]int) map[string]int {
	out := map[string]int{}
	for k := range b {
		out[k] = a[k] + b[k]
	}
	return out
}

// broken lists where the parts of a trial do not add up to the whole.
func broken(tr *Trial) []string {
	var out []string
	wrong := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }

	counted := ints(tr.Measures)
	var byRegion, byPart, opsByRegion, opsByPart map[string]int
	for _, r := range tr.Regions {
		byRegion, opsByRegion = plus(byRegion, ints(r.Fates)), plus(opsByRegion, ints(r.Operations))
	}
	for _, p := range tr.Partitions {
		byPart, opsByPart = plus(byPart, ints(p.Fates)), plus(opsByPart, ints(p.Operations))
	}
	for name, n := range counted {
		if byRegion[name] != n || byPart[name] != n {
			wrong("%s: %d, by region %d, by partition %d", name, n, byRegion[name], byPart[name])
		}
	}
	for name, n := range plus(byRegion, byPart) {
		if _, ok := counted[name]; !ok {
			wrong("%s: %d are no measure", name, n)
		}
	}
	var all Operations
	if tr.Operations != nil {
		all = *tr.Operations
	}
	for name, n := range ints(all) {
		if opsByRegion[name] != n || opsByPart[name] != n {
			wrong("operations %s: %d, by region %d, by partition %d", name, n, opsByRegion[name], opsByPart[name])
		}
	}
	if all.Intended != all.Good+all.Late+all.Failed+all.Unknown+all.Unsent {
		wrong("operations: %+v", all)
	}
	if a := tr.Measures.Availability; a != nil && a.Value != float64(all.Good)/float64(all.Intended) {
		wrong("availability: %v of %+v", a.Value, all)
	}

	type key struct {
		fault, part int
		undo        bool
		PartitionOutage
	}
	outages := map[key]int{}
	for i, f := range tr.Faults {
		for undo, o := range map[bool]*Outage{false: f.Failover, true: f.Undo} {
			if o == nil {
				continue
			}
			for _, p := range o.Partitions {
				outages[key{i + 1, p.Partition, undo, p}]++
			}
		}
	}
	for _, p := range tr.Partitions {
		for _, o := range p.Outages {
			outages[key{o.Fault, p.Partition, o.Undo, PartitionOutage{p.Partition, o.Start, o.End, o.Censored}}]--
		}
		if p.Count != 1 {
			outages = nil // of a long list not all are told
		}
	}
	for k, n := range outages {
		if n != 0 {
			wrong("outage %+v", k)
		}
	}

	if s := tr.Sessions; s != nil {
		n := 0
		for _, sessions := range s.ByBadWindows {
			n += sessions
		}
		if n != s.Sessions || tr.Measures.SessionAvail == nil || tr.Measures.SessionAvail.Value != float64(s.GoodWindows)/float64(s.Windows) {
			wrong("sessions by windows: %+v", s)
		}
		if s.Min > s.P1 || s.P1 > s.P10 || s.P10 > s.P50 || s.Min == 1 != (all.Good == all.Intended) {
			wrong("availability of sessions: %+v", s)
		}
	} else if tr.Measures.SessionAvail != nil {
		wrong("sessions by windows: none")
	}

	var used []RegionShare
	for _, r := range tr.Regions {
		if r.Operations.Intended > 0 {
			used = append(used, r)
		}
	}
	if len(used) == 1 {
		m := tr.Measures
		o := m.Failover
		if o != nil {
			o = ptr(*o)
			o.Partitions = nil
		}
		if !reflect.DeepEqual([]any{m.Availability, m.SliceAvail, m.Unavailable, o}, []any{used[0].Availability, used[0].SliceAvail, used[0].Unavailable, used[0].Failover}) {
			wrong("the only region: %+v", used[0])
		}
	}

	for _, f := range tr.Faults {
		if (f.Phases != nil) != (f.Failover != nil && f.Failover.N > 0) {
			wrong("phases: %+v", f.Phases)
		}
		if f.Phases == nil {
			continue
		}
		sum := 0.0
		for _, d := range []*float64{f.Phases.Detect, f.Phases.Elect, f.Phases.Route, f.Phases.Reconnect} {
			if d != nil {
				sum += *d
				if *d < 0 {
					wrong("phase of %v", *d)
				}
			}
		}
		if d := sum - f.Failover.FromAsked; d > 1e-8 || d < -1e-8 {
			wrong("phases of %v, the outage is over after %v", sum, f.Failover.FromAsked)
		}
	}
	return out
}

// A part that does not add up is seen.
func TestBrokenSums(t *testing.T) {
	trial := func() *Trial {
		rec, cfg := load(t, "lost-write-bad")
		r, err := analyze(rec, cfg)
		require.NoError(t, err)
		return &r.Trials[0]
	}
	require.Empty(t, broken(trial()))
	for name, change := range map[string]func(*Trial){
		"a session more in a partition": func(tr *Trial) { tr.Partitions[1].Fates.Sessions++ },
		"a lost write less in a region": func(tr *Trial) { tr.Regions[0].Fates.LostWrites-- },
		"a measure more":                func(tr *Trial) { tr.Measures.StaleReads++ },
		"an operation more":             func(tr *Trial) { tr.Operations.Late++ },
		"an operation moved":            func(tr *Trial) { tr.Partitions[0].Operations.Unknown--; tr.Partitions[0].Operations.Failed++ },
		"availability":                  func(tr *Trial) { tr.Measures.Availability.Value -= 1e-9 },
		"an outage of another partition": func(tr *Trial) {
			tr.Partitions[0].Outages, tr.Partitions[1].Outages = tr.Partitions[1].Outages, tr.Partitions[0].Outages
		},
		"an outage missing":                func(tr *Trial) { tr.Partitions[0].Outages = nil },
		"an outage of the undoing":         func(tr *Trial) { tr.Partitions[0].Outages[0].Undo = true },
		"windows":                          func(tr *Trial) { tr.Sessions.ByBadWindows[0]++ },
		"good windows":                     func(tr *Trial) { tr.Sessions.GoodWindows-- },
		"the worst session was a good one": func(tr *Trial) { tr.Sessions.Min = 1 },
		"seconds of the only region":       func(tr *Trial) { tr.Regions[0].Unavailable.Value++ },
		"failover of the only region":      func(tr *Trial) { tr.Regions[0].Failover.N-- },
		"a phase longer":                   func(tr *Trial) { *tr.Faults[0].Phases.Elect += 1e-3 },
		"no phases":                        func(tr *Trial) { tr.Faults[0].Phases = nil },
	} {
		tr := trial()
		change(tr)
		assert.NotEmpty(t, broken(tr), name)
	}
}

// random is a run with clients in three regions, over five partitions, through
// two faults that hit some of them, with some broken promises. Every region uses
// every partition in the last instant of the load.
func random(r *rand.Rand) *record {
	const regions, parts, sessions = 3, 5, 60
	ms := time.Millisecond
	from, to := 2*time.Second, 42*time.Second
	f1, u1, f2 := 12*time.Second, 20*time.Second, 30*time.Second
	hit := [parts]bool{}
	for p := range hit {
		hit[p] = r.IntN(3) > 0
	}
	var ops []history.Op
	add := func(o history.Op) {
		o.Node = history.NoNode
		if o.Class == 0 {
			o.Class = history.Follower
		}
		if o.Intended == 0 {
			o.Intended = o.Start
		}
		ops = append(ops, o)
	}
	for s := range sessions {
		o := history.Op{Session: uint64(s), Partition: uint16(r.IntN(parts)), Region: uint8(r.IntN(regions)), Client: uint16(s % 7)}
		if s < regions*parts {
			o.Region, o.Partition = uint8(s/parts), uint16(s%parts)
		}
		if r.IntN(12) == 0 {
			o.Class = history.Witness
		}
		c := o
		c.Kind, c.Outcome, c.Seq, c.TTL, c.Start, c.End = history.Create, history.OK, 1, 600_000, 500*ms, 510*ms
		add(c)
		tried, now := uint32(1), uint32(1)
		for at := from + time.Duration(r.IntN(1000))*ms; at < to-2*time.Second; at += time.Duration(100+r.IntN(600)) * ms {
			c := o
			c.Start, c.End, c.Outcome, c.Kind = at, at+time.Duration(1+r.IntN(40))*ms, history.OK, history.Read
			if r.IntN(3) == 0 {
				tried++
				c.Kind, c.Seq, c.TTL = history.Update, tried, 600_000
			} else if c.Seq = now; r.IntN(50) == 0 && now > 1 {
				c.Seq--
			}
			out := hit[o.Partition] && (at > f1 && at < f1+3*time.Second || at > u1 && at < u1+500*ms || at > f2 && at < f2+time.Second)
			if out && r.IntN(8) > 0 || r.IntN(200) == 0 {
				c.Outcome = []history.Outcome{history.Failed, history.Unknown, history.Unsent, history.OK}[r.IntN(4)]
				c.End = at + 1200*ms
				if c.Outcome == history.Unsent {
					c.End = at
				}
				if c.Outcome != history.OK && c.Kind == history.Read {
					c.Seq = 0
				}
			}
			if c.Kind == history.Update && c.Outcome == history.OK {
				now = tried
			}
			add(c)
			at = c.End
		}
		c = o
		c.Kind, c.Outcome, c.Seq, c.Start, c.End = history.Read, history.OK, now, to, to+5*ms
		add(c)
		b := o
		b.Class, b.Kind, b.Outcome, b.Seq, b.Start, b.End, b.Region = history.Audit, history.ReadBack, history.OK, now, to+3*time.Second, to+3*time.Second+ms, 0
		switch r.IntN(15) {
		case 0:
			b.Seq, b.Absent = 0, true
		case 1:
			b.Seq = 1
		}
		add(b)
	}
	for s := range 4 { // contested
		for c := range 3 {
			o := history.Op{Session: uint64(1000 + s), Partition: uint16(s), Region: uint8(s % regions), Class: history.Contested, Client: uint16(c), Writer: uint16(c), Kind: history.Update, Outcome: history.OK, Seq: 1, TTL: 600_000, Start: from + time.Duration(c+1)*time.Second}
			o.End = o.Start + ms
			if c == 2 {
				o.Kind, o.TTL, o.Writer = history.Read, 0, uint16(r.IntN(2))
			}
			add(o)
		}
		add(history.Op{Session: uint64(1000 + s), Partition: uint16(s), Region: uint8(s % regions), Class: history.Contested, Kind: history.Create, Outcome: history.OK, Seq: 9, TTL: 600_000, Start: 100 * ms, End: 110 * ms})
	}
	ev := func(at time.Duration, kind, subject string, parts ...string) history.Event {
		return history.Event{At: at, Kind: kind, Subject: subject, Trial: 1, Source: "harness", Parts: parts}
	}
	events := []history.Event{
		ev(from, history.LoadStarted, ""), ev(f1, history.FaultAsked, "cut(x)", "x"), ev(f1+50*ms, history.FaultProved, "cut(x)"), ev(u1, history.FaultUndone, "cut(x)"),
		ev(f2, history.FaultAsked, "kill(y)", "y"), ev(f2+50*ms, history.FaultProved, "kill(y)"), ev(to, history.LoadStopped, ""), ev(to+time.Second, history.FaultUndone, "kill(y)"),
		{At: to + 2*time.Second, Kind: history.ReadBackStart, Trial: 1, Source: "harness", Fields: map[string]string{"phase": "after-undo", "region": "a"}},
		{At: to + 4*time.Second, Kind: history.ReadBackEnd, Trial: 1, Source: "harness", Fields: map[string]string{"phase": "after-undo", "region": "a"}},
		ev(to+5*time.Second, history.RunFinished, ""),
	}
	for _, at := range []time.Duration{f1, f2} {
		for p := range parts {
			if r.IntN(4) > 0 {
				events = append(events, history.Event{At: at + time.Duration(r.IntN(3500))*ms, Kind: history.Elected, Trial: 1, Source: "n1", Fields: map[string]string{"shard": fmt.Sprint(p)}})
			}
		}
	}
	if r.IntN(2) == 0 {
		events = append(events, history.Event{At: f1 + time.Duration(r.IntN(3000))*ms, Kind: history.Detected, Trial: 1, Source: "n1", Parts: []string{"x"}})
	}
	if r.IntN(2) == 0 {
		events = append(events, history.Event{At: f1 + time.Duration(r.IntN(3000))*ms, Kind: history.Promoted, Trial: 1, Source: "n1", Parts: []string{"b"}})
	}
	return &record{
		manifest: history.Manifest{
			Partitions: parts, Trials: 1, TargetRPS: 100, Sessions: sessions, Deadline: time.Second,
			Regions: []history.RegionInfo{{Name: "a"}, {Name: "b"}, {Name: "c"}},
		},
		events: events,
		ops:    opsOf(ops),
	}
}

func opsOf(ops []history.Op) func(int, func(*history.Op) error) error {
	return func(_ int, fn func(*history.Op) error) error {
		for _, o := range ops {
			if err := fn(&o); err != nil {
				return err
			}
		}
		return nil
	}
}

// only is the record of the operations that f keeps, changed by it.
func (r *record) only(f func(*history.Op) bool) *record {
	var kept []history.Op
	_ = r.ops(1, func(o *history.Op) error { // never fails
		if f(o) {
			kept = append(kept, *o)
		}
		return nil
	})
	c := *r
	c.ops = opsOf(kept)
	return &c
}

func judged(t testing.TB, rec *record) *Trial {
	t.Helper()
	r, err := analyze(rec, Config{Hold: 2 * time.Second})
	require.NoError(t, err)
	require.Empty(t, broken(&r.Trials[0]))
	return &r.Trials[0]
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	require.NoError(t, err)
	return string(b)
}

// What the parts count adds up to the whole (broken), the clients of one
// region, or the users of one partition, would see the same if they were alone,
// and names and numbers do not matter.
func TestPartsAreTheWhole(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(10) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		rec := random(rnd)
		tr := judged(t, rec)
		require.Len(t, tr.Regions, 3)
		require.Len(t, tr.Partitions, 5)
		for name, n := range ints(tr.Measures) {
			seen[name] += n
		}
		for i, r := range tr.Regions {
			alone := judged(t, rec.only(func(o *history.Op) bool { return o.Region == uint8(i) && o.Class != history.Audit }))
			require.Len(t, alone.Regions, 1)
			alone.Regions[0].Fates, r.Fates = Fates{}, Fates{}
			require.Equal(t, asJSON(t, alone.Regions[0]), asJSON(t, r), "seed %d, region %d", seed, i)
			seen["region outages"] += len(r.Outages)
		}
		for i, p := range tr.Partitions {
			alone := judged(t, rec.only(func(o *history.Op) bool { return o.Partition == uint16(i) }))
			require.Equal(t, asJSON(t, alone.Partitions[i]), asJSON(t, p), "seed %d, partition %d", seed, i)
			seen["partition outages"] += len(p.Outages)
		}

		turned := rec.only(func(o *history.Op) bool {
			o.Region = (o.Region + 1) % 3
			return true
		})
		turned.manifest.Regions = []history.RegionInfo{{Name: "c"}, {Name: "a"}, {Name: "b"}}
		rs := judged(t, turned).Regions
		assert.Equal(t, asJSON(t, tr.Regions), asJSON(t, []RegionShare{rs[1], rs[2], rs[0]}), "regions in another order")

		turned = rec.only(func(o *history.Op) bool {
			o.Partition = 4 - o.Partition
			return true
		})
		turned.events = slices.Clone(rec.events)
		for i, e := range turned.events {
			if s := e.Fields["shard"]; s != "" {
				turned.events[i].Fields = map[string]string{"shard": string('4' - s[0] + '0')}
			}
		}
		back := judged(t, turned)
		slices.Reverse(back.Partitions)
		for i := range back.Partitions {
			back.Partitions[i].Partition = i
		}
		assert.Equal(t, asJSON(t, tr.Partitions), asJSON(t, back.Partitions), "partitions renumbered")
		for i := range tr.Faults {
			assert.Equal(t, tr.Faults[i].Phases, back.Faults[i].Phases)
		}
	}
	for _, name := range []string{"sessions_lost", "lost_writes", "regressed_sessions", "disrupted_sessions", "stale_reads", "linearizable_histories_no", "region outages", "partition outages"} {
		assert.Positive(t, seen[name], "the histories have some %s", name)
	}
}

// A long list is shortened, and still adds up.
func TestManyPartitions(t *testing.T) {
	rec := synthetic(20_000, 3_000)
	wide := rec.only(func(o *history.Op) bool {
		o.Partition = uint16(o.Session % 1500)
		return true
	})
	wide.manifest.Partitions = 1500
	n := 0
	wide = wide.only(func(o *history.Op) bool {
		if n++; o.Kind == history.ReadBack && o.Session == 1400 {
			o.Seq, o.Absent = 0, true
		}
		return true
	})
	r, err := analyze(wide, Config{})
	require.NoError(t, err)
	ps := r.Trials[0].Partitions
	require.Len(t, ps, maxPartitionShares)
	checkResult(t, r)
	assert.Equal(t, 1500-maxPartitionShares+1, ps[len(ps)-1].Count)
	lost := ps[slices.IndexFunc(ps, func(p PartitionShare) bool { return p.Partition == 1400 })]
	assert.Equal(t, 1, lost.Fates.SessionsLost, "what matters is not summed up")
	assert.Equal(t, 1, lost.Count)
	assert.True(t, slices.IsSortedFunc(ps[:len(ps)-1], func(a, b PartitionShare) int { return a.Partition - b.Partition }))
}

// A session that ten operations of a hundred failed for, and nine others.
func TestSessionSpread(t *testing.T) {
	s := spread{}
	s.add([]window{{n: 0, ops: 50, bad: 4}, {n: 1, ops: 50, bad: 6}})
	for range 8 {
		s.add([]window{{n: 0, ops: 3}})
	}
	other := spread{}
	other.add([]window{{n: 0, ops: 4, bad: 1}, {n: 1, ops: 4}, {n: 2, ops: 12}})
	other.add(nil)
	s.join(&other)
	assert.Equal(t, &SessionSpread{Sessions: 10, Windows: 13, GoodWindows: 10, ByBadWindows: []int{8, 1, 1}, Min: 0.9, P1: 0.9, P10: 0.9, P50: 1}, s.result())
	s = spread{}
	for range 70 {
		s.add(slices.Repeat([]window{{ops: 1, bad: 1}}, 65))
	}
	assert.Len(t, s.result().ByBadWindows, maxBadWindows+1)
	assert.Equal(t, 70, s.result().ByBadWindows[maxBadWindows])
	assert.Nil(t, (&spread{}).result())
}

func TestHome(t *testing.T) {
	audit, read := history.Op{Class: history.Audit, Region: 1, Partition: 4}, history.Op{Class: history.Follower, Region: 2, Partition: 3}
	assert.Equal(t, place{2, 3}, home([]history.Op{audit, read}), "who reads back owns nothing")
	assert.Equal(t, place{1, 4}, home([]history.Op{audit}))
}
