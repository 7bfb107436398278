package scenarios

import (
	"context"
	"errors"
	"fmt"

	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/slo"
)

// another says whether a trial of that number is run: the ones that were asked
// for, then more until they have decided or the budget ends.
func (r *run) another(n int) bool {
	return n <= r.spec.Trials || n <= r.spec.MaxTrials && !r.decided
}

// weigh judges the trials so far, where they decide whether there are more.
func (r *run) weigh(n int) error {
	if r.spec.MaxTrials <= r.spec.Trials {
		return nil
	}
	if err := r.history.Sync(); err != nil {
		return err
	}
	h, err := history.Open(r.opt.Out)
	if err != nil {
		return fmt.Errorf("weigh trial %d: %w", n, err)
	}
	if r.judge == nil {
		if r.judge, err = slo.NewJudge(r.rules.Config(r.spec)); err != nil {
			return err
		}
	}
	if err := r.judge.Add(h, n); err != nil {
		return fmt.Errorf("weigh: %w", err)
	}
	r.decided = r.judge.Decided()
	return nil
}

// void lets a run of several trials go on after one whose fault was not
// injected, because the system was not well before it.
func (r *run) void(ctx context.Context, n int, err error) error {
	var stop *stopError
	var left *uncleanError
	if max(r.spec.Trials, r.spec.MaxTrials) == 1 || ctx.Err() != nil || errors.As(err, &left) || !errors.As(err, &stop) || !stop.void {
		return err
	}
	r.event(history.Event{Kind: history.TrialVoid, Trial: n, Detail: stop.why})
	return nil
}
