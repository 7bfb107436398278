package recovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/fivenines/fivenines/reference/internal/archive"
	"github.com/fivenines/fivenines/reference/internal/cluster"
	"github.com/fivenines/fivenines/reference/internal/disk"
	"github.com/fivenines/fivenines/reference/internal/session"
)

// Manifest says whose log an archive has: the topology that it is of.
type Manifest struct {
	Regions  []cluster.Region `json:"regions"`
	Shards   int              `json:"shards"`
	Replicas int              `json:"replicas"`
}

// Restore is a restore of everything to a point in time, prepared and held in
// memory; it has changed nothing yet.
type Restore struct {
	Cluster  string         `json:"cluster"`
	At       time.Time      `json:"at"`
	Reached  time.Time      `json:"reached"` // the earliest that a shard reached: what was committed there later is lost
	From     uint64         `json:"from_incarnation"`
	Next     uint64         `json:"incarnation"` // that begins
	Sessions int            `json:"sessions"`
	Bytes    int            `json:"bytes"`
	Shards   []RestoreShard `json:"shards"`
	Problems []string       `json:"problems"` // objects that are damaged or missing

	manifest Manifest
	m        *cluster.Map
	bucket   *archive.Bucket
	tables   []*session.Table
	took     time.Duration
	silence  time.Duration // of the archive before Write
}

// RestoreShard is one shard of a restore.
type RestoreShard struct {
	Shard     int       `json:"shard"`
	Base      uint64    `json:"base"`  // index of the snapshot
	Index     uint64    `json:"index"` // of the last entry
	Term      uint64    `json:"term"`
	Reached   time.Time `json:"reached"`
	Entries   int       `json:"entries"`
	Sessions  int       `json:"sessions"`
	Truncated bool      `json:"truncated,omitempty"` // damaged objects cut it short
}

// Truncated says whether damaged or missing objects cut a shard short.
func (r *Restore) Truncated() bool {
	return slices.ContainsFunc(r.Shards, func(s RestoreShard) bool { return s.Truncated })
}

// Nodes lists the nodes that get data.
func (r *Restore) Nodes() (ids []string) {
	for _, n := range r.m.Nodes {
		ids = append(ids, n.ID)
	}
	return ids
}

// Took is how long the reading took.
func (r *Restore) Took() time.Duration { return r.took }

// PrepareRestore reads the archive up to a time: of the newest incarnation that had
// begun by then on all shards.
func PrepareRestore(ctx context.Context, b *archive.Bucket, at time.Time) (*Restore, error) {
	began := time.Now()
	is, err := b.Incarnations(ctx)
	if err != nil {
		return nil, err
	}
	if len(is) == 0 {
		return nil, fmt.Errorf("recovery: the archive has nothing of cluster %q", b.Cluster())
	}
	var tried error
	for _, inc := range is {
		r, err := prepareFrom(ctx, b, inc, at)
		if err == nil {
			r.Next, r.silence = is[0]+1, silence
			r.took = time.Since(began)
			return r, nil
		}
		if !errors.Is(err, archive.ErrNothing) && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		tried = errors.Join(tried, err)
	}
	return nil, tried
}

func prepareFrom(ctx context.Context, b *archive.Bucket, inc uint64, at time.Time) (*Restore, error) {
	r := &Restore{Cluster: b.Cluster(), At: at.UTC(), From: inc, bucket: b, Problems: []string{}}
	data, err := b.Manifest(ctx, inc)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &r.manifest); err != nil {
		return nil, fmt.Errorf("recovery: manifest of incarnation %d: %w", inc, err)
	}
	if r.m, err = cluster.NewMap(r.manifest.Regions, r.manifest.Shards, r.manifest.Replicas); err != nil {
		return nil, fmt.Errorf("recovery: manifest of incarnation %d: %w", inc, err)
	}
	for s := range r.m.Shards {
		t := session.NewTable()
		got, err := b.Replay(ctx, inc, uint32(s+1), at, t.Restore, func(e archive.Entry) error {
			if len(e.Data) == 0 {
				return nil
			}
			_, _, _, err := t.Apply(e.Data, 0, nil)
			return err
		})
		if err != nil {
			return nil, err
		}
		r.tables = append(r.tables, t)
		r.Shards = append(r.Shards, RestoreShard{Shard: s, Base: got.Base, Index: got.Index, Term: got.Term, Reached: got.Wall, Entries: got.Entries, Sessions: t.Len(), Truncated: got.Truncated})
		r.Problems = append(r.Problems, got.Problems...)
		r.Sessions += t.Len()
		r.Bytes += t.Bytes()
		if s == 0 || got.Wall.Before(r.Reached) {
			r.Reached = got.Wall
		}
	}
	return r, nil
}

// ErrAlive is of an archive that somebody still writes to.
var ErrAlive = errors.New("the cluster still archives")

// silence is how long nothing may have been archived before a new incarnation
// begins: a cluster that lives archives every second, also without a client.
const silence = 5 * time.Second

// alive waits until the archive has been silent for long enough, or fails with
// ErrAlive: a new incarnation beside a cluster that goes on would hide from later
// restores what that archives, and in the end have it expire.
func (r *Restore) alive(ctx context.Context) error {
	was, err := r.bucket.Newest(ctx)
	if err != nil {
		return err
	}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; {
		// The age tells as well, unless the clock of who wrote it is ahead.
		if time.Since(was) >= r.silence || time.Since(began) >= r.silence {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		now, err := r.bucket.Newest(ctx)
		if err != nil {
			return err
		}
		if now.After(was) {
			return fmt.Errorf("recovery: %w into %s (at %s): end it first, or restore into a copy of the archive", ErrAlive, r.bucket.Where(), now.UTC().Format(time.RFC3339))
		}
	}
}

// Write begins the new incarnation: base snapshots in the archive, and the data of each node
// below dirs (node -> its folder). Folders that hold data are refused, and so
// are an incarnation that somebody else has begun meanwhile and an archive that
// somebody still writes to (ErrAlive).
func (r *Restore) Write(ctx context.Context, dirs map[string]string) error {
	for _, n := range r.m.Nodes {
		dir, ok := dirs[n.ID]
		if !ok {
			return fmt.Errorf("recovery: no folder is named for node %s", n.ID)
		}
		if names, err := os.ReadDir(Data(dir)); err == nil && len(names) > 0 {
			return fmt.Errorf("recovery: %s holds data already: wipe it, or restore into another folder", Data(dir))
		} else if err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("recovery: %w", err)
		}
	}
	if err := r.alive(ctx); err != nil {
		return err
	}
	manifest, err := json.Marshal(r.manifest)
	if err != nil {
		return err
	}
	if err := r.bucket.Begin(ctx, r.Next, manifest); err != nil {
		return err
	}
	snaps := make([][]byte, len(r.tables))
	for s, t := range r.tables {
		snaps[s] = t.Snapshot()
	}
	joined := map[string]uint64{} // everybody is there from the start, on the map's own placement
	for _, n := range r.m.Nodes {
		joined[n.ID] = r.Next
	}
	meta, err := json.Marshal(cluster.State{Incarnation: r.Next, Epoch: 1, Primary: r.m.Regions[0].Name, Generations: map[string]uint32{}, Nonces: joined})
	if err != nil {
		return err
	}
	voters, learners := r.m.MetaVoters()
	for _, n := range r.m.Nodes {
		seeds := []Seed{{Group: 0, Index: 1, Term: 1, Voters: ids(voters), Learners: ids(learners), Data: meta}}
		for s := range r.m.Shards {
			if places := r.m.Replicas(s); slices.Contains(places, n.Index) {
				seeds = append(seeds, Seed{Group: uint32(s + 1), Index: r.Shards[s].Index, Term: r.Shards[s].Term, Voters: ids(places), Data: snaps[s]})
			}
		}
		if err := Prepare(dirs[n.ID], disk.Identity{Node: n.ID, Cluster: r.Cluster, Incarnation: r.Next}, seeds); err != nil {
			return err
		}
	}
	// The archive gets it once every node's data are made: after a restore that failed, the
	// next one reads what the nodes went on with, not what was to become of them.
	for s, t := range r.tables {
		sh := r.Shards[s]
		_, err := r.bucket.Put(ctx, &archive.Object{Data: snaps[s], Head: archive.Head{Kind: archive.KindSnapshot, Incarnation: r.Next, Group: uint32(s + 1), Node: "restore",
			First: sh.Index, Last: sh.Index, Term: sh.Term, Clock: t.Clock(), Wall: time.Now().UnixMilli()}})
		if err != nil {
			return err
		}
	}
	// All are made before the first is in place: half a cluster would be worse than none.
	for _, n := range r.m.Nodes {
		if err := Install(dirs[n.ID], "data.before-restore"); err != nil {
			return err
		}
	}
	return nil
}

func ids(nodes []int) (out []uint64) {
	for _, x := range nodes {
		out = append(out, cluster.RaftID(x, 0))
	}
	return out
}

// Each calls fn for every session of the restore.
func (r *Restore) Each(fn func(shard int, key, value []byte)) {
	for s, t := range r.tables {
		t.Each(func(key, value []byte) { fn(s, key, value) })
	}
}
