package reference

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fivenines/fivenines/reference/internal/archive"
	"github.com/fivenines/fivenines/reference/internal/recovery"
)

// Restore is a restore of all sessions to a point in time, read and verified
// and not yet written anywhere.
type Restore struct {
	*recovery.Restore
	bucket *archive.Bucket
}

// openArchive opens the archive of a cluster; with an empty name, of the only one there.
func openArchive(ctx context.Context, where, name string) (*archive.Bucket, error) {
	if name == "" {
		names, err := archive.Clusters(ctx, where)
		if err != nil {
			return nil, err
		}
		if len(names) != 1 {
			return nil, fmt.Errorf("archive %s has %d clusters (%s): name one", where, len(names), strings.Join(names, ", "))
		}
		name = names[0]
	}
	return archive.Open(ctx, where, name)
}

// PrepareRestore reads the archive at a directory or URL up to a time. Close it.
func PrepareRestore(ctx context.Context, where, cluster string, at time.Time) (*Restore, error) {
	b, err := openArchive(ctx, where, cluster)
	if err != nil {
		return nil, err
	}
	r, err := recovery.PrepareRestore(ctx, b, at)
	if err != nil {
		b.Close()
		return nil, err
	}
	return &Restore{r, b}, nil
}

// Close releases the archive.
func (r *Restore) Close() error { return r.bucket.Close() }

// VerifyArchive reads every object and returns how many are good and what is wrong with the others.
func VerifyArchive(ctx context.Context, where, cluster string) (good int, bytes int64, problems []string, err error) {
	b, err := openArchive(ctx, where, cluster)
	if err != nil {
		return 0, 0, nil, err
	}
	defer b.Close()
	return b.Verify(ctx)
}
