package archive

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	_ "gocloud.dev/blob/memblob" // mem://, for tests
	"gocloud.dev/gcerrors"
)

// Bucket is the archive of one cluster. Safe for concurrent use.
type Bucket struct {
	cluster string
	url     string
	b       *blob.Bucket
	dir     string // of a directory: what is written is synced too
}

var clusterRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// Open opens the archive of a cluster at a URL of gocloud.dev/blob, or in a
// directory (a path, or file:///path), which is made if it is not there.
func Open(ctx context.Context, where, cluster string) (*Bucket, error) {
	if !clusterRE.MatchString(cluster) {
		return nil, fmt.Errorf("archive %s: the cluster's name %q must be letters, digits, dots, underscores and hyphens", where, cluster)
	}
	a := &Bucket{cluster: cluster, url: where}
	dir, err := directory(where)
	if err != nil {
		return nil, fmt.Errorf("archive %s: %w", where, err)
	}
	if dir == "" {
		if a.b, err = blob.OpenBucket(ctx, where); err != nil {
			return nil, fmt.Errorf("archive %s: %w", where, err)
		}
		return a, nil
	}
	if a.dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("archive %s: %w", where, err)
	}
	// Unfinished objects lie beside finished ones: a rename within a folder is
	// atomic, one from the system's temporary folder may not even be possible.
	if a.b, err = fileblob.OpenBucket(a.dir, &fileblob.Options{CreateDir: true, NoTempDir: true, Metadata: fileblob.MetadataDontWrite}); err != nil {
		return nil, fmt.Errorf("archive %s: %w", where, err)
	}
	return a, nil
}

// Find fails if where is a directory that is not there: Open makes it, which a
// reader must not.
func Find(where string) error {
	dir, err := directory(where)
	if err == nil && dir != "" {
		var info os.FileInfo
		if info, err = os.Stat(dir); err == nil && !info.IsDir() {
			err = syscall.ENOTDIR
		}
	}
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err // where names it already
	}
	if err != nil {
		return fmt.Errorf("archive %s: %w", where, err)
	}
	return nil
}

// directory is the folder that where means, empty if it is no folder.
func directory(where string) (string, error) {
	if where == "" {
		return "", errors.New("no place is named: give a directory or a URL")
	}
	if !strings.Contains(where, "://") {
		return where, nil
	}
	u, err := url.Parse(where)
	if err != nil {
		return "", err
	}
	if u.Scheme != fileblob.Scheme {
		return "", nil
	}
	if u.Host != "" && u.Host != "." || u.RawQuery != "" || u.Path == "" {
		return "", errors.New("want file:///absolute/path without a host and parameters")
	}
	return filepath.FromSlash(u.Path), nil
}

// Cluster is whose archive it is.
func (a *Bucket) Cluster() string { return a.cluster }

// Where is its place: a URL.
func (a *Bucket) Where() string { return a.url }

// Close releases the store.
func (a *Bucket) Close() error { return a.b.Close() }

// Ref names an object; its fields are what its name says.
type Ref struct {
	Name string
	Head
	Size int64
}

func (a *Bucket) folder(incarnation uint64) string {
	return fmt.Sprintf("%s/i%08d/", a.cluster, incarnation)
}

func (a *Bucket) name(h *Head) string {
	if h.Kind == KindManifest {
		return a.folder(h.Incarnation) + KindManifest
	}
	return fmt.Sprintf("%sg%05d/%s-%020d-%020d-%d-%013d", a.folder(h.Incarnation), h.Group, h.Kind, h.First, h.Last, h.Term, h.Wall)
}

var nameRE = regexp.MustCompile(`^i(\d{8,20})/(?:(manifest)|g(\d{5})/(snapshot|segment)-(\d{20})-(\d{20})-(\d+)-(\d{13,}))$`)

// ref reads a name; false if it is none of ours.
func (a *Bucket) ref(name string, size int64) (Ref, bool) {
	rest, ok := strings.CutPrefix(name, a.cluster+"/")
	m := nameRE.FindStringSubmatch(rest)
	if !ok || m == nil {
		return Ref{}, false
	}
	r := Ref{Name: name, Size: size}
	r.Cluster = a.cluster
	bad := false
	num := func(s string) uint64 {
		v, err := strconv.ParseUint(s, 10, 64)
		bad = bad || err != nil
		return v
	}
	r.Incarnation = num(m[1])
	if m[2] != "" {
		r.Kind = KindManifest
		return r, !bad
	}
	r.Group, r.Kind = uint32(num(m[3])), m[4]
	r.First, r.Last, r.Term, r.Wall = num(m[5]), num(m[6]), num(m[7]), int64(num(m[8]))
	return r, !bad && r.First <= r.Last
}

// Put writes an object and returns once the store has it.
func (a *Bucket) Put(ctx context.Context, o *Object) (Ref, error) {
	o.Cluster = a.cluster
	name := a.name(&o.Head)
	b, err := o.Encode()
	if err != nil {
		return Ref{}, fmt.Errorf("archive %s: %s: %w", a.url, name, err)
	}
	sum := md5.Sum(b)
	w, err := a.b.NewWriter(ctx, name, &blob.WriterOptions{ContentMD5: sum[:], ContentType: "application/octet-stream", DisableContentTypeDetection: true})
	if err == nil {
		_, err = w.Write(b)
		err = errors.Join(err, w.Close())
	}
	if err == nil {
		err = a.sync(name)
	}
	if err != nil {
		return Ref{}, fmt.Errorf("archive %s: write %s: %w", a.url, name, err)
	}
	return Ref{Name: name, Head: o.Head, Size: int64(len(b))}, nil
}

// sync makes an object in a directory survive a loss of power, its name too.
func (a *Bucket) sync(name string) error {
	if a.dir == "" {
		return nil
	}
	p := filepath.Join(a.dir, filepath.FromSlash(name))
	for _, p := range []string{p, filepath.Dir(p)} {
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Get reads an object and verifies it. The error names it.
func (a *Bucket) Get(ctx context.Context, r Ref) (*Object, error) {
	o, err := a.get(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("archive %s: object %s: %w", a.url, r.Name, err)
	}
	return o, nil
}

func (a *Bucket) get(ctx context.Context, r Ref) (*Object, error) {
	b, err := a.b.ReadAll(ctx, r.Name)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, fmt.Errorf("missing: %w", os.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	o, err := Decode(b)
	if err != nil {
		return nil, err
	}
	if got := a.name(&o.Head); got != r.Name || o.Cluster != a.cluster {
		return nil, corrupt("it holds what belongs to %s of cluster %s", got, o.Cluster)
	}
	return o, nil
}

// Group is what the archive has of one group in one incarnation, in order.
type Group struct {
	Snapshots []Ref // by index
	Segments  []Ref // by first index
}

// End is the last index that is archived, 0 for none, and its term.
func (g *Group) End() (index, term uint64) {
	for _, rs := range [][]Ref{g.Snapshots, g.Segments} {
		for _, r := range rs {
			if r.Last > index {
				index, term = r.Last, r.Term
			}
		}
	}
	return index, term
}

// List lists a group.
func (a *Bucket) List(ctx context.Context, incarnation uint64, group uint32) (*Group, error) {
	g := &Group{}
	err := a.each(ctx, fmt.Sprintf("%sg%05d/", a.folder(incarnation), group), func(r Ref) {
		if r.Kind == KindSnapshot {
			g.Snapshots = append(g.Snapshots, r)
		} else {
			g.Segments = append(g.Segments, r)
		}
	})
	return g, err
}

// each calls fn for every object below a prefix, by name.
func (a *Bucket) each(ctx context.Context, prefix string, fn func(Ref)) error {
	it := a.b.List(&blob.ListOptions{Prefix: prefix})
	for {
		o, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("archive %s: list %s: %w", a.url, prefix, err)
		}
		if r, ok := a.ref(o.Key, o.Size); ok {
			fn(r)
		}
	}
}

// All lists every object of the cluster, by name.
func (a *Bucket) All(ctx context.Context) ([]Ref, error) {
	var rs []Ref
	err := a.each(ctx, a.cluster+"/", func(r Ref) { rs = append(rs, r) })
	return rs, err
}

// Newest is when the newest entry that is archived was applied, by the clock of the
// node that did; zero for none.
func (a *Bucket) Newest(ctx context.Context) (time.Time, error) {
	newest := int64(0)
	err := a.each(ctx, a.cluster+"/", func(r Ref) { newest = max(newest, r.Wall) })
	if err != nil || newest == 0 {
		return time.Time{}, err
	}
	return time.UnixMilli(newest), nil
}

// Incarnations lists those that the archive knows, the newest first.
func (a *Bucket) Incarnations(ctx context.Context) ([]uint64, error) {
	var is []uint64
	it := a.b.List(&blob.ListOptions{Prefix: a.cluster + "/", Delimiter: "/"})
	for {
		o, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("archive %s: list: %w", a.url, err)
		}
		name := strings.TrimSuffix(strings.TrimPrefix(o.Key, a.cluster+"/"), "/")
		if v, err := strconv.ParseUint(strings.TrimPrefix(name, "i"), 10, 64); err == nil && o.IsDir && strings.HasPrefix(name, "i") {
			is = append(is, v)
		}
	}
	slices.Sort(is)
	slices.Reverse(is)
	return is, nil
}

// Merge replaces segments that follow each other by one. Reading them verifies
// them once more. It is safe to stop anywhere.
func (a *Bucket) Merge(ctx context.Context, refs []Ref) (Ref, error) {
	var m Object
	for i, r := range refs {
		o, err := a.Get(ctx, r)
		if err != nil {
			return Ref{}, err
		}
		if i == 0 {
			m.Head = o.Head
		} else if o.First != m.Last+1 {
			return Ref{}, fmt.Errorf("archive %s: cannot merge: %s does not follow index %d", a.url, r.Name, m.Last)
		}
		m.Last, m.Term, m.Clock, m.Wall, m.Node = o.Last, o.Term, o.Clock, o.Wall, o.Node
		m.Entries = append(m.Entries, o.Entries...)
	}
	merged, err := a.Put(ctx, &m)
	if err != nil {
		return Ref{}, err
	}
	if _, err := a.Get(ctx, merged); err != nil {
		return Ref{}, err
	}
	for _, r := range refs {
		if err := a.delete(ctx, r.Name); err != nil {
			return merged, err
		}
	}
	return merged, nil
}

func (a *Bucket) delete(ctx context.Context, name string) error {
	if err := a.b.Delete(ctx, name); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return fmt.Errorf("archive %s: delete %s: %w", a.url, name, err)
	}
	return nil
}

// Expire deletes what no restore to a time from cutoff on needs: of each group
// the newest snapshot before cutoff stays, and all behind it; an older
// incarnation goes once a newer one has such a snapshot.
func (a *Bucket) Expire(ctx context.Context, group uint32, cutoff time.Time) (deleted int, err error) {
	is, err := a.Incarnations(ctx)
	if err != nil {
		return 0, err
	}
	covered := false // by a newer incarnation
	for _, inc := range is {
		g, err := a.List(ctx, inc, group)
		if err != nil {
			return deleted, err
		}
		var base uint64
		for _, s := range g.Snapshots {
			if s.Wall <= cutoff.UnixMilli() {
				base = max(base, s.Last)
			}
		}
		for _, r := range slices.Concat(g.Segments, g.Snapshots) {
			if covered || r.Kind == KindSegment && r.Last <= base || r.Kind == KindSnapshot && r.Last < base {
				if err := a.delete(ctx, r.Name); err != nil {
					return deleted, err
				}
				deleted++
			}
		}
		covered = covered || base > 0
	}
	return deleted, nil
}

// Begin claims an incarnation by its manifest; one that is there is refused.
func (a *Bucket) Begin(ctx context.Context, incarnation uint64, manifest []byte) error {
	o := &Object{Head: Head{Kind: KindManifest, Cluster: a.cluster, Incarnation: incarnation, Wall: time.Now().UnixMilli()}, Data: manifest}
	b, err := o.Encode()
	if err != nil {
		return err
	}
	name := a.name(&o.Head)
	if err := a.b.WriteAll(ctx, name, b, &blob.WriterOptions{IfNotExist: true}); err != nil {
		if gcerrors.Code(err) == gcerrors.FailedPrecondition {
			return fmt.Errorf("archive %s: incarnation %d has begun already", a.url, incarnation)
		}
		return fmt.Errorf("archive %s: write %s: %w", a.url, name, err)
	}
	return a.sync(name)
}

// Manifest reads the manifest of an incarnation.
func (a *Bucket) Manifest(ctx context.Context, incarnation uint64) ([]byte, error) {
	h := Head{Kind: KindManifest, Cluster: a.cluster, Incarnation: incarnation}
	o, err := a.Get(ctx, Ref{Name: a.name(&h), Head: h})
	if err != nil {
		return nil, err
	}
	return o.Data, nil
}

// Clusters lists whose archives lie at a place.
func Clusters(ctx context.Context, where string) (names []string, err error) {
	a, err := Open(ctx, where, "x")
	if err != nil {
		return nil, err
	}
	defer a.Close()
	it := a.b.List(&blob.ListOptions{Delimiter: "/"})
	for {
		o, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, fmt.Errorf("archive %s: list: %w", where, err)
		}
		if o.IsDir {
			names = append(names, strings.TrimSuffix(o.Key, "/"))
		}
	}
}
