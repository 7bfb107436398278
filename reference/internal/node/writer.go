package node

import (
	"context"
	"fmt"
	"sync"

	"github.com/fivenines/fivenines/reference/internal/disk"
)

// writer makes what the loop decided durable: everything that has been added
// since it last looked is one batch and one sync (group commit).
type writer struct {
	n    *Node
	mu   sync.Mutex
	todo []storedBatch
	wake chan struct{}
}

func newWriter(n *Node) *writer { return &writer{n: n, wake: make(chan struct{}, 1)} }

func (w *writer) add(b storedBatch) {
	w.mu.Lock()
	w.todo = append(w.todo, b)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *writer) snapshot(g *group, s disk.Snapshot, to uint64) {
	w.add(storedBatch{snaps: []snapItem{{g.id, s, to}}})
}

func (w *writer) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
		}
		w.mu.Lock()
		todo := w.todo
		w.todo = nil
		w.mu.Unlock()
		var b disk.Batch
		done := todo[:0]
		flush := func() error {
			if len(b.Appends) == 0 {
				return nil
			}
			if err := w.n.store.Commit(&b); err != nil {
				return fmt.Errorf("cannot store, so nothing more is acknowledged: %w", err)
			}
			w.n.metrics.commits.Add(1)
			b = disk.Batch{}
			w.n.mu.Lock()
			w.n.stored = append(w.n.stored, done...)
			w.n.mu.Unlock()
			done = nil
			w.n.nudge(false)
			return nil
		}
		for _, t := range todo {
			for _, s := range t.snaps {
				if err := flush(); err != nil {
					return err
				}
				if err := w.n.store.SaveSnapshot(s.group, s.snap, s.to); err != nil {
					return fmt.Errorf("cannot store a snapshot: %w", err)
				}
			}
			if t.drop != nil {
				if err := flush(); err != nil {
					return err
				}
				if err := w.n.store.DeleteGroup(t.drop.id); err != nil {
					return fmt.Errorf("cannot delete a replica that was taken away: %w", err)
				}
				w.n.do(func() { delete(w.n.dropping, t.drop.id) })
			}
			for _, it := range t.items {
				b.Appends = append(b.Appends, it.Append)
			}
			if len(t.items) > 0 {
				done = append(done, t)
			}
		}
		if err := flush(); err != nil {
			return err
		}
	}
}
