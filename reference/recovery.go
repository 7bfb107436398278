package reference

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fivenines/fivenines/reference/internal/archive"
	"github.com/fivenines/fivenines/reference/internal/operator"
	"github.com/fivenines/fivenines/reference/internal/recovery"
)

// Restore is a restore of all sessions to a point in time, read and verified
// and not yet written anywhere.
type Restore struct {
	*recovery.Restore
	bucket *archive.Bucket
}

// openArchive opens the archive of a cluster to read it; with an empty name, of the only one there.
func openArchive(ctx context.Context, where, name string) (*archive.Bucket, error) {
	if err := archive.Find(where); err != nil {
		return nil, err
	}
	if name == "" {
		names, err := archive.Clusters(ctx, where)
		if err != nil {
			return nil, err
		}
		if len(names) == 0 {
			return nil, fmt.Errorf("archive %s has nothing of any cluster; name the one that fivenines up --archive wrote", where)
		}
		if len(names) != 1 {
			return nil, fmt.Errorf("archive %s has %d clusters (%s); name one with --cluster", where, len(names), strings.Join(names, ", "))
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
	good, bytes, problems, err = b.Verify(ctx)
	if err == nil && good == 0 && len(problems) == 0 {
		// Nothing was damaged because nothing is there, which proves nothing.
		err = fmt.Errorf("archive %s has nothing of cluster %q; --archive and --cluster name what is verified", where, b.Cluster())
	}
	return good, bytes, problems, err
}

// Endpoint is how a node of a running deployment is reached.
type Endpoint = operator.Endpoint

// Level2 is a plan to go on with what is left when a majority is gone.
type Level2 = operator.Level2

// PlanLevel2 looks at who is left; it changes nothing.
func PlanLevel2(ctx context.Context, nodes []Endpoint, lost []string) (*Level2, error) {
	return operator.PlanLevel2(ctx, nodes, lost)
}

// Failover makes a region primary and returns once it leads every shard.
func Failover(ctx context.Context, nodes []Endpoint, region string) error {
	return operator.Failover(ctx, nodes, region)
}

// Move is a plan to change the home of shards.
type Move = operator.Move

// PlanMove looks at what moving the home of shards (all where none is named) to a
// region (to where they began where it is empty) would do; it changes nothing.
func PlanMove(ctx context.Context, nodes []Endpoint, region string, shards []int) (*Move, error) {
	return operator.PlanMove(ctx, nodes, region, shards)
}

// Health is the state of a deployment, region by region and shard by shard.
type Health = operator.Health

// ShardHealth is one shard of it.
type ShardHealth = operator.ShardHealth

// CheckHealth asks every node.
func CheckHealth(ctx context.Context, nodes []Endpoint) *Health {
	return operator.CheckHealth(ctx, nodes)
}

// SessionCheck compares the sessions of an archive with those that a deployment serves.
type SessionCheck = operator.SessionCheck

// CheckSessions reads every archived session by strong reads.
func CheckSessions(ctx context.Context, nodes []Endpoint, where, cluster string) (*SessionCheck, error) {
	b, err := openArchive(ctx, where, cluster)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	return operator.CheckSessions(ctx, nodes, b)
}

// ReplicaCheck compares the replicas of each shard.
type ReplicaCheck = operator.ReplicaCheck

// CompareReplicas compares the checksums of the replicas' states.
func CompareReplicas(ctx context.Context, nodes []Endpoint) (*ReplicaCheck, error) {
	return operator.CompareReplicas(ctx, nodes)
}
