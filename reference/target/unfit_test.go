package target

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures"
)

// A node that is asked to end hands over what it leads first: others serve its
// shards long before anybody could have noticed its absence.
func TestANodeThatIsAskedToEndHandsOver(t *testing.T) {
	if testing.Short() {
		t.Skip("brings a topology up")
	}
	d, log := up(t, oneNodeARegion(), fixtures.UpOptions{})
	leader := d.Nodes()[0] // in the primary region
	other := dial(t, d, d.Nodes()[1].Region, d.Nodes()[1].ID)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for i := range 20 {
		require.NoError(t, other.Set(ctx, fmt.Sprint("k", i), "v", time.Minute).Err())
	}
	began := time.Now()
	byItself, err := d.(fixtures.Stopper).Stop(ctx, leader.ID, 10*time.Second)
	require.NoError(t, err)
	assert.True(t, byItself)
	t.Logf("ended in %v", time.Since(began))
	assert.True(t, log.has("unfit"))
	// Without it nobody would lead for the time of an election, 1 s and more.
	gone := time.Now()
	for i := range 20 {
		// A new leader that has no lease yet says so, and is asked again.
		retried(t, 5*time.Second, func() error {
			v, err := other.Get(ctx, fmt.Sprint("k", i)).Result()
			if err == nil && v != "v" {
				t.Fatalf("k%d is %q", i, v)
			}
			return err
		})
	}
	took := time.Since(gone)
	t.Logf("all served %v after its end", took)
	assert.Less(t, took, 800*time.Millisecond)
	b, err := os.ReadFile(leader.Log)
	require.NoError(t, err)
	assert.NotContains(t, string(b), "nobody took over", filepath.Base(leader.Log))
}
