package scenarios

import (
	"context"
	"fmt"

	"github.com/fivenines/fivenines/faults"
)

// recoverStale undoes what runs left that were killed.
func recoverStale(ctx context.Context, opt Options) error {
	found, err := faults.Recover(ctx, opt.JournalDir, opt.Reapers)
	for _, r := range found {
		if opt.Progress != nil {
			opt.Progress.Phase(Phase{Text: "undone: " + r.String()})
		}
	}
	if err != nil {
		return fmt.Errorf("undo what an earlier run left: %w", err)
	}
	return nil
}

// openJournal begins the undo journal of the trial's deployment.
func (t *trial) openJournal() (err error) {
	if t.journal, err = faults.OpenJournal(t.opt.JournalDir); err != nil {
		return err
	}
	return t.journal.Deployed(t.d)
}

// asked notes a fault before it is injected.
func (t *trial) asked(f *timedFault) (err error) {
	f.id, err = t.journal.Asked(f.Fault, t.d)
	return err
}

// undone notes that a fault is undone.
func (t *trial) undone(f *timedFault) error { return t.journal.Undone(f.id, t.d) }
