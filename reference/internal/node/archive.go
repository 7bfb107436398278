package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/raft/v3"

	"github.com/fivenines/fivenines/reference/internal/archive"
	"github.com/fivenines/fivenines/reference/internal/recovery"
	"github.com/fivenines/fivenines/reference/internal/session"
)

// Duration is a time.Duration that JSON writes as "1h30m".
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err == nil && v < 0 {
		err = fmt.Errorf("duration %s is negative", b)
	}
	*d = Duration(v)
	return err
}

const (
	archiveEvery            = time.Second      // what was applied is looked at so often
	archivePatience         = 15 * time.Second // for one operation of the blob store
	archiveBytes            = 8 << 20          // of entries in one segment
	mergeSegments           = 60               // so many segments of a second become one
	keptSamples             = 64
	archiveDefaultSnapshots = time.Hour
	archiveDefaultKeep      = 24 * time.Hour
)

// archiver copies what the shards led here have applied to the blob store. It
// pulls: once a second it asks the loop how far each shard is, and takes the
// entries from Raft's own log, which keeps them for it up to a bound. So the
// loop waits for nothing, nothing queues up, and a slow store costs no memory;
// if it falls too far behind there is a gap, and a new base snapshot ends it.
type archiver struct {
	n               *Node
	b               *archive.Bucket
	snapshots, keep time.Duration
	shards          map[int]*archived // owned by run
	led             sync.Map          // shard -> *archiveLag, for the metrics
	failing         bool
	turned          atomic.Int64 // node clock when it last began something
}

// archived is what is known of a shard's archive.
type archived struct {
	shard   int
	samples []sample // when what was applied, also while another leads
	led     bool
	term    uint64 // of the leadership in which end was looked up
	end     uint64 // last archived index
	wall    int64  // of the entry at end
	snapAt  time.Time
	small   []archive.Ref // segments in a row, to be merged
	lag     *archiveLag
}

type sample struct {
	applied uint64
	at      time.Time
}

// archiveLag is what the metrics read. Unix nanoseconds.
type archiveLag struct{ caught, snapshot atomic.Int64 }

// seen is a shard as the loop saw it.
type seen struct {
	g             *group
	applied, term uint64
	serving       bool
	clock         uint64
	at            time.Time
}

func newArchiver(ctx context.Context, n *Node) (*archiver, error) {
	a := &archiver{n: n, shards: map[int]*archived{}, snapshots: time.Duration(n.cfg.ArchiveSnapshots), keep: time.Duration(n.cfg.ArchiveKeep)}
	if a.snapshots == 0 {
		a.snapshots = archiveDefaultSnapshots
	}
	if a.keep == 0 {
		a.keep = archiveDefaultKeep
	}
	var err error
	if a.b, err = archive.Open(ctx, n.cfg.Archive, n.cfg.Cluster); err != nil {
		return nil, err
	}
	gauge := func(name, help string, v func() float64) {
		n.metrics.reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "fivenines", Name: name, Help: help}, v))
	}
	gauge("archive_lag_seconds", "By how much the archive is behind what the shards led here have applied; the worst of them.",
		func() float64 { lag, _ := a.lags(time.Now()); return lag.Seconds() })
	gauge("archive_snapshot_age_seconds", "Age of the newest base snapshot of the shards led here; the oldest of them.",
		func() float64 { _, age := a.lags(time.Now()); return age.Seconds() })
	return a, nil
}

// lags returns the worst lag and the greatest age of a snapshot.
func (a *archiver) lags(now time.Time) (lag, age time.Duration) {
	a.led.Range(func(_, v any) bool {
		l := v.(*archiveLag)
		lag = max(lag, now.Sub(time.Unix(0, l.caught.Load())))
		age = max(age, now.Sub(time.Unix(0, l.snapshot.Load())))
		return true
	})
	return lag, age
}

// lagOf is the lag of one shard, false if it is not led here.
func (a *archiver) lagOf(shard int, now time.Time) (lag, age time.Duration, ok bool) {
	v, ok := a.led.Load(shard)
	if !ok {
		return 0, 0, false
	}
	l := v.(*archiveLag)
	return now.Sub(time.Unix(0, l.caught.Load())), now.Sub(time.Unix(0, l.snapshot.Load())), true
}

func (a *archiver) run(ctx context.Context) error {
	if a.b == nil { // not its first life: what it knew may be half of something
		a.shards = map[int]*archived{}
		var err error
		if a.b, err = archive.Open(ctx, a.n.cfg.Archive, a.n.cfg.Cluster); err != nil {
			return err
		}
	}
	defer func() {
		a.b.Close()
		a.b = nil
	}()
	a.turned.Store(int64(a.n.Now()))
	tick := time.NewTicker(archiveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		a.turned.Store(int64(a.n.Now()))
		var failed error
		for _, s := range a.look(ctx) {
			st := a.shards[s.g.shard.index]
			if err := a.advance(ctx, st, s); err != nil && ctx.Err() == nil {
				st.led = false // look the end up again
				failed = errors.Join(failed, fmt.Errorf("shard %d: %w", st.shard, err))
			}
		}
		if failed != nil != a.failing && ctx.Err() == nil {
			a.failing = failed != nil
			if a.failing {
				a.n.log.Warn("cannot archive, trying again", "err", failed)
				a.n.events.emit("archive-failed", []string{a.n.cfg.ID}, failed.Error(), nil)
			} else {
				a.n.events.emit("archive-recovered", []string{a.n.cfg.ID}, "the archive takes entries again", nil)
			}
		}
	}
}

// inLoopOf runs fn in the loop and waits for it.
func (n *Node) inLoopOf(ctx context.Context, fn func()) bool {
	done := make(chan struct{})
	n.do(func() { fn(); close(done) })
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// look asks the loop for all shards that are here, and tells it what of the log
// is still needed.
func (a *archiver) look(ctx context.Context) (all []seen) {
	holds := map[int]uint64{}
	for i, st := range a.shards {
		if st.led {
			holds[i] = st.end
		}
	}
	var found []seen
	if !a.n.inLoopOf(ctx, func() {
		now, at := a.n.Now(), time.Now()
		for _, g := range a.n.order {
			if g.shard == nil {
				continue
			}
			g.g.Hold(holds[g.shard.index])
			found = append(found, seen{g, g.g.Applied(), g.g.Term(), g.g.Serving() && !g.shard.bad.Load(), g.shard.clock(now), at})
		}
	}) {
		return nil
	}
	a.forget(found)
	for _, s := range found {
		st := a.shards[s.g.shard.index]
		if st == nil {
			st = &archived{shard: s.g.shard.index, lag: &archiveLag{}}
			a.shards[st.shard] = st
		}
		if k := len(st.samples); k > 0 && s.applied < st.samples[k-1].applied {
			st.samples = nil // a replica that began anew
		}
		st.samples = append(st.samples, sample{s.applied, s.at})
		if len(st.samples) > keptSamples {
			st.samples = append(st.samples[:0:0], st.samples[len(st.samples)-keptSamples:]...)
		}
	}
	return found
}

// forget closes the archives of shards that are no longer here.
func (a *archiver) forget(found []seen) {
	for i := range a.shards {
		if !slices.ContainsFunc(found, func(s seen) bool { return s.g.shard.index == i }) {
			delete(a.shards, i)
			a.led.Delete(i)
		}
	}
}

func (a *archiver) head(kind string, s seen) archive.Head {
	return archive.Head{Kind: kind, Incarnation: a.n.incarnation.Load(), Group: s.g.id, Node: a.n.cfg.ID}
}

// advance archives what a shard that is led here has applied since.
func (a *archiver) advance(ctx context.Context, st *archived, s seen) error {
	if !s.serving {
		st.led = false
		a.led.Delete(st.shard)
		return nil
	}
	call := func(fn func(context.Context) error) error {
		a.turned.Store(int64(a.n.Now()))
		ctx, cancel := context.WithTimeout(ctx, archivePatience)
		defer cancel()
		return fn(ctx)
	}
	if !st.led || st.term != s.term {
		if err := call(func(ctx context.Context) error { return a.find(ctx, st, s) }); err != nil {
			return err
		}
	}
	for st.end < s.applied {
		ents, err := s.g.g.Entries(st.end+1, s.applied, archiveBytes)
		if st.end == 0 || errors.Is(err, raft.ErrCompacted) {
			if st.end != 0 {
				a.n.events.emit("archive-gap", []string{a.n.cfg.ID}, fmt.Sprintf("shard %d: entries from %d on are no longer in the log, a new base snapshot follows", st.shard, st.end+1), nil)
			}
			if err := call(func(ctx context.Context) error { return a.snapshot(ctx, st, s, true) }); err != nil {
				return err
			}
			break
		}
		if err != nil {
			return fmt.Errorf("log from %d to %d: %w", st.end+1, s.applied, err)
		}
		o := &archive.Object{Head: a.head(archive.KindSegment, s)}
		wall := st.wall
		for _, e := range ents {
			wall = max(wall, st.wallOf(s, e.GetIndex(), e.GetData()))
			data := e.GetData()
			if e.GetType() != 0 { // a configuration: whoever restores has another one
				data = nil
			} else if c, err := session.ClockOf(data); err == nil {
				o.Clock = c
			}
			o.Entries = append(o.Entries, archive.Entry{Index: e.GetIndex(), Term: e.GetTerm(), Wall: wall, Data: data})
		}
		first, last := o.Entries[0], o.Entries[len(o.Entries)-1]
		o.First, o.Last, o.Term, o.Wall = first.Index, last.Index, last.Term, wall
		var ref archive.Ref
		if err := call(func(ctx context.Context) error { ref, err = a.b.Put(ctx, o); return err }); err != nil {
			return err
		}
		st.end, st.wall = o.Last, o.Wall
		st.small = append(st.small, ref)
	}
	st.lag.caught.Store(s.at.UnixNano())
	a.led.Store(st.shard, st.lag)
	if len(st.small) >= mergeSegments {
		small := st.small
		st.small = nil
		if err := call(func(ctx context.Context) error { _, err := a.b.Merge(ctx, small); return err }); err != nil {
			return err
		}
	}
	// Shards take turns, or all of them would hold the loop up at once.
	if due := st.snapAt.Add(a.snapshots + a.snapshots/8*time.Duration(st.shard)/time.Duration(a.n.cfg.Shards)); !s.at.Before(due) {
		if err := call(func(ctx context.Context) error { return a.snapshot(ctx, st, s, false) }); err != nil {
			return err
		}
		if err := call(func(ctx context.Context) error { _, err := a.b.Expire(ctx, s.g.id, s.at.Add(-a.keep)); return err }); err != nil {
			return err
		}
	}
	return nil
}

// find looks up where the archive of a shard ends.
func (a *archiver) find(ctx context.Context, st *archived, s seen) error {
	g, err := a.b.List(ctx, a.n.incarnation.Load(), s.g.id)
	if err != nil {
		return err
	}
	end, term := g.End()
	if t, ok := s.g.g.TermAt(end); end > s.applied || ok && end > 0 && t != term {
		return fmt.Errorf("the archive has entry %d of term %d, which is none of this log (at index %d in incarnation %d): another cluster of the same name writes to the same place, or this one was put back without restore",
			end, term, s.applied, a.n.incarnation.Load())
	}
	st.led, st.term, st.end, st.wall, st.small, st.snapAt = true, s.term, end, 0, nil, time.Time{}
	for _, r := range g.Segments {
		st.wall = max(st.wall, r.Wall)
	}
	for _, r := range g.Snapshots {
		st.wall = max(st.wall, r.Wall)
		st.snapAt = time.UnixMilli(r.Wall)
	}
	st.lag.caught.Store(s.at.UnixNano())
	if st.wall > 0 {
		st.lag.caught.Store(min(s.at.UnixNano(), time.UnixMilli(st.wall).UnixNano()))
	}
	st.lag.snapshot.Store(st.snapAt.UnixNano())
	if st.shard == 0 {
		b, err := json.Marshal(recovery.Manifest{Regions: a.n.cfg.Regions, Shards: a.n.cfg.Shards, Replicas: a.n.cfg.Replicas})
		if err != nil {
			return err
		}
		h := a.head(archive.KindManifest, s)
		h.Group = 0
		if _, err := a.b.Put(ctx, &archive.Object{Head: h, Data: b}); err != nil {
			return err
		}
	}
	return nil
}

// snapshot archives the table as it is now. After a gap the archive goes on
// behind it.
func (a *archiver) snapshot(ctx context.Context, st *archived, s seen, gap bool) error {
	o := &archive.Object{Head: a.head(archive.KindSnapshot, s)}
	serving := false
	if !a.n.inLoopOf(ctx, func() {
		if serving = s.g.g.Serving() && s.g.g.Term() == s.term; serving {
			o.First, o.Last, o.Term = s.g.g.Applied(), s.g.g.Applied(), s.g.g.AppliedTerm()
			o.Clock, o.Wall = s.g.shard.table.Clock(), time.Now().UnixMilli()
			o.Data = s.g.shard.table.Snapshot()
		}
	}) {
		return ctx.Err()
	}
	if !serving {
		return nil // another leader by now: it will see to it
	}
	if _, err := a.b.Put(ctx, o); err != nil {
		return err
	}
	st.snapAt = time.UnixMilli(o.Wall)
	st.lag.snapshot.Store(st.snapAt.UnixNano())
	if gap {
		st.end, st.wall, st.small = o.Last, o.Wall, nil
	}
	return nil
}

// wallOf is when an entry was proposed, by the shard clock of the leader that
// runs now, or when it was first seen applied here, whichever is earlier: the
// shard clock stood still before this leader came.
func (st *archived) wallOf(s seen, index uint64, data []byte) int64 {
	wall := s.at.UnixMilli()
	for i := len(st.samples) - 1; i >= 0 && st.samples[i].applied >= index; i-- {
		wall = st.samples[i].at.UnixMilli()
	}
	if c, err := session.ClockOf(data); err == nil && c <= s.clock {
		wall = min(wall, s.at.UnixMilli()-int64(s.clock-c))
	}
	return wall
}
