package target

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/reference"
)

var (
	_ fixtures.Archiver  = (*Reference)(nil)
	_ fixtures.Recoverer = (*Reference)(nil)
)

// UseArchive implements fixtures.Archiver.
func (r *Reference) UseArchive(where string) {
	r.mu.Lock()
	r.archive = where
	r.mu.Unlock()
}

func (r *Reference) archiveOf() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.archive
}

// Recover implements fixtures.Recoverer. Like an operator it asks again while the
// lost regions were heard only just now.
func (r *Reference) Recover(ctx context.Context, d fixtures.Deployment, lost []string) error {
	var es []reference.Endpoint
	for _, n := range d.Nodes() {
		es = append(es, reference.Endpoint{Node: n.ID, Region: n.Region, Admin: n.Listen[fixtures.PortAdmin], Client: n.Listen[fixtures.PortClient]})
	}
	for {
		p, err := reference.PlanLevel2(ctx, es, lost)
		if err != nil {
			return err
		}
		if len(p.Refusals) == 0 {
			return p.Act(ctx, true)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("refused: %s", strings.Join(p.Refusals, "; "))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Restore implements fixtures.Recoverer.
func (r *Reference) Restore(ctx context.Context, d fixtures.Deployment, at time.Time) error {
	where := r.archiveOf()
	if where == "" {
		return errors.New("this deployment has no archive")
	}
	res, err := reference.PrepareRestore(ctx, where, d.Topology().Name, at)
	if err != nil {
		return err
	}
	defer res.Close()
	if res.Truncated() {
		return fmt.Errorf("the archive is damaged: %s", strings.Join(res.Problems, "; "))
	}
	dirs := map[string]string{}
	for _, n := range d.Nodes() {
		dirs[n.ID] = filepath.Join(n.Dir, "store")
	}
	return res.Write(ctx, dirs)
}
