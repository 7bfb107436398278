package gameday

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fivenines/fivenines/reports/store"
	"github.com/fivenines/fivenines/scenarios"
	"github.com/fivenines/fivenines/slo"
)

// Runner does what a plan says. Whoever calls it holds the store's lock.
type Runner struct {
	Config *Config
	Store  *store.Store
	Clock  Clock
	// Execute does one run into a new folder, as scenarios.Run does.
	Execute func(ctx context.Context, p Planned, out string) (*slo.Result, error)
	// Undo undoes what killed runs left, and says what that was.
	Undo func(ctx context.Context) ([]string, error)
	// Salvage judges what a killed run recorded, and writes its reports.
	Salvage func(dir string) (*slo.Result, error)
	Getenv  func(string) string // where webhooks' URLs may be
	Log     func(format string, args ...any)
	// Again makes Once run also what ran today already.
	Again bool

	announcer *announcer
}

const (
	// tooLate is how long after its time an occasion still starts.
	tooLate = time.Hour
	// keepGoing is how long after its time the rest of an occasion is run whose
	// process was killed.
	keepGoing = 12 * time.Hour
)

// Once runs what is planned for today, whatever the time, one run after the
// other, and returns the worst verdict: missed, else inconclusive, else met.
// What ran today already counts and is not repeated; what a black-out covers,
// by the plan or now, is skipped and does not count. Where nothing counts the
// verdict is that nothing was evaluated.
func (r *Runner) Once(ctx context.Context) (slo.Verdict, error) {
	if _, err := r.start(ctx); err != nil {
		return slo.Inconclusive, err
	}
	worst := slo.NotEvaluated
	plan := r.Config.PlanToday(r.Clock.Now())
	if len(plan) == 0 {
		r.Log("nothing is planned for today")
	}
	for _, o := range plan {
		for _, p := range o.Runs {
			row, err := r.earlier(ctx, p.Key)
			if err != nil {
				return slo.Inconclusive, err
			}
			if row == nil || r.Again {
				if row, err = r.run(ctx, o, p); err != nil {
					return slo.Inconclusive, err
				}
			} else {
				r.Log("%s: ran today already and %s", p.Key, outcome(row))
			}
			worst = worseOf(worst, verdictOf(row))
			if ctx.Err() != nil {
				r.Log("stopped; what is left of today is run when the command is given again")
				return worseOf(worst, slo.Inconclusive), r.page(ctx)
			}
		}
	}
	return worst, r.page(ctx)
}

// Serve waits for each time that is planned and runs what is due, until the
// context ends, which is no error.
func (r *Runner) Serve(ctx context.Context) error {
	from := r.Clock.Now()
	cut, err := r.start(ctx)
	if err != nil {
		return err
	}
	for _, row := range cut {
		if err := r.goOn(ctx, row); err != nil || ctx.Err() != nil {
			return err
		}
	}
	for {
		next := r.Config.Next(from)
		if len(next) == 0 {
			return fmt.Errorf("nothing is planned any more after %s", from.Format(time.RFC3339))
		}
		if err := r.page(ctx); err != nil {
			return err
		}
		for _, o := range next {
			r.Log("next: %s", o)
		}
		if r.Clock.Until(ctx, next[0].At) != nil {
			return nil
		}
		for _, o := range next {
			if err := r.occasion(ctx, o); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return nil
			}
		}
		from = next[0].At.Add(1)
	}
}

// String is the occasion as a line.
func (o Occasion) String() string {
	var names []string
	for _, p := range o.Runs {
		names = append(names, p.Scenario)
	}
	s := fmt.Sprintf("%s  %s: %s", o.At.Format("Mon 2006-01-02 15:04 MST"), o.Schedule, strings.Join(names, ", "))
	if o.Blackout != "" {
		s += fmt.Sprintf(" (skipped: black-out %s)", o.Blackout)
	}
	return s
}

// occasion runs all runs of an occasion that have no row yet.
func (r *Runner) occasion(ctx context.Context, o Occasion) error {
	late := r.Clock.Now().Sub(o.At)
	for _, p := range o.Runs {
		if rows, err := r.Store.Attempts(ctx, p.Key); err != nil || len(rows) > 0 {
			if err != nil {
				return err
			}
			continue
		}
		var err error
		if late > tooLate {
			_, err = r.skip(ctx, o, p, fmt.Sprintf("its time was missed by %v: another run took that long, or the machine slept", late.Round(time.Second)))
		} else {
			_, err = r.run(ctx, o, p)
		}
		if err != nil || ctx.Err() != nil {
			return err
		}
	}
	return nil
}

// goOn runs what an occasion still had to run when the process was killed.
func (r *Runner) goOn(ctx context.Context, row store.Run) error {
	for _, o := range r.Config.Plan(row.Planned, row.Planned.Add(1)) {
		if o.Schedule != row.Schedule || r.Clock.Now().Sub(o.At) > keepGoing {
			continue
		}
		for _, p := range o.Runs {
			rows, err := r.Store.Attempts(ctx, p.Key)
			if err != nil {
				return err
			}
			if len(rows) > 0 {
				continue
			}
			if _, err := r.run(ctx, o, p); err != nil || ctx.Err() != nil {
				return err
			}
		}
	}
	return nil
}

// earlier is the latest attempt that was no skip, nil if there is none.
func (r *Runner) earlier(ctx context.Context, key string) (*store.Run, error) {
	rows, err := r.Store.Attempts(ctx, key)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		if rows[i].State != store.Skipped {
			return &rows[i], nil
		}
	}
	return nil, nil
}

// start undoes what a killed run left, and marks it as interrupted. It returns
// the runs that were.
func (r *Runner) start(ctx context.Context) ([]store.Run, error) {
	a, left := newAnnouncer(r.Config.Announce, r.Getenv)
	r.announcer = a
	for _, text := range left {
		r.Log("%s", text)
	}
	undone, err := r.Undo(ctx)
	for _, text := range undone {
		r.Log("undone: %s", text)
	}
	if err != nil {
		return nil, fmt.Errorf("undo what an earlier run left: %w", err)
	}
	cut, err := r.Store.Orphans(ctx)
	if err != nil {
		return nil, err
	}
	for i := range cut {
		row := &cut[i]
		row.State, row.Ended = store.Interrupted, r.Clock.Now()
		row.Note = "the program was killed; nothing was left to undo"
		if len(undone) > 0 {
			row.Note = "the program was killed; undone at the next start: " + strings.Join(undone, "; ")
		}
		var res *slo.Result
		if path := r.Store.Path(row); path != "" && r.Salvage != nil {
			if res, err = r.Salvage(path); err != nil {
				r.Log("%s: what it recorded can't be judged: %v", row.Key, err)
			}
		}
		if err := r.Store.Finish(ctx, row, res); err != nil {
			return nil, err
		}
		r.Log("%s: %s", row.Key, row.Note)
		r.tell(ctx, Ended, row)
	}
	return cut, nil
}

// skip keeps that a run did not start. What was skipped before is not kept twice.
func (r *Runner) skip(ctx context.Context, o Occasion, p Planned, why string) (*store.Run, error) {
	now := r.Clock.Now()
	row := r.row(o, p, now)
	row.State, row.Ended, row.Note = store.Skipped, now, why
	r.Log("%s: skipped: %s", p.Key, why)
	rows, err := r.Store.Attempts(ctx, p.Key)
	if err != nil {
		return nil, err
	}
	if len(rows) > 0 {
		return row, nil
	}
	return row, r.Store.Begin(ctx, row)
}

func (r *Runner) row(o Occasion, p Planned, now time.Time) *store.Run {
	return &store.Run{
		Key: p.Key, Schedule: o.Schedule, Scenario: p.Spec.Name, Planned: o.At, Started: now,
		Seed: p.Seed, Backend: p.Backend, Setup: setup(p),
	}
}

// blackoutError ends a run that a black-out reaches.
type blackoutError struct{ name string }

func (e *blackoutError) Error() string { return "black-out " + e.name + " began" }

// run does one run, from its row to its announcements. Its error is one of the
// store or the page: what a run itself runs into is in its row.
func (r *Runner) run(ctx context.Context, o Occasion, p Planned) (*store.Run, error) {
	now := r.Clock.Now()
	if o.Blackout != "" {
		return r.skip(ctx, o, p, "its time is in the black-out "+o.Blackout)
	}
	if b := r.Config.blackoutAt(now); b != nil {
		return r.skip(ctx, o, p, "the black-out "+b.Name+" is on")
	}
	row := r.row(o, p, now)
	row.State = store.Running
	var out string
	out, row.Folder = r.Store.NewFolder(p.Spec.Name, now)
	if err := r.Store.Begin(ctx, row); err != nil {
		return nil, err
	}
	if err := r.page(ctx); err != nil {
		return nil, err
	}
	r.Log("%s: %s, seed %d, %s backend, into %s", p.Key, p.Spec.Name, p.Seed, p.Backend, out)
	r.tell(ctx, Started, row)

	// From when no black-out was on: one may have begun since.
	res, err := r.execute(ctx, now, p, out)

	ctx = context.WithoutCancel(ctx) // what became of it is kept also when we are to stop
	row.Ended = r.Clock.Now()
	var dark *blackoutError
	switch {
	case errors.As(err, &dark):
		row.State, row.Note = store.Interrupted, err.Error()+"; everything was undone"
	case errors.Is(err, scenarios.ErrInterrupted):
		row.State, row.Note = store.Interrupted, err.Error()
	case err != nil:
		row.State, row.Note = store.Failed, err.Error()
	default:
		row.State = store.Finished
	}
	if row.State == store.Finished && (res.Verdict == slo.Met || res.Verdict == slo.Missed) {
		previous, err := r.Store.Previous(ctx, row, lookBack)
		if err != nil {
			return nil, err
		}
		if row.Regression, err = r.Config.Regression.worse(previous, res); err != nil {
			r.Log("%s: %v", p.Key, err)
		}
	}
	if err := r.Store.Finish(ctx, row, res); err != nil {
		return nil, err
	}
	r.Log("%s: %s", p.Key, outcome(row))
	if row.Note != "" {
		r.Log("%s: %s", p.Key, row.Note)
	}
	r.tell(ctx, Ended, row)
	if row.State == store.Finished && row.Verdict == slo.Missed {
		r.tell(ctx, Missed, row)
	}
	if row.Regression != "" {
		r.Log("%s: regression: %s", p.Key, row.Regression)
		r.tell(ctx, Regressed, row)
	}
	r.prune(ctx)
	return row, r.page(ctx)
}

// execute runs until the end, or until a black-out begins that was not on at an instant.
func (r *Runner) execute(ctx context.Context, from time.Time, p Planned, out string) (*slo.Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	watch, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b, at := r.Config.nextBlackout(from)
		if b != nil && r.Clock.Until(watch, at) == nil {
			cancel(&blackoutError{b.Name})
		}
	}()
	res, err := r.Execute(ctx, p, out)
	stop()
	<-done
	var dark *blackoutError
	if errors.As(context.Cause(ctx), &dark) && err != nil {
		err = dark
	}
	cancel(nil)
	if err == nil && res == nil {
		err = errors.New("the run gave no result")
	}
	return res, err
}

// tell announces an event. What fails is logged and kept, and changes nothing else.
func (r *Runner) tell(ctx context.Context, event string, row *store.Run) {
	m := message{event: event, gameDay: r.Config.Name, run: row, now: r.Clock.Now()}
	for _, a := range r.announcer.tell(ctx, m) {
		if a.Error != "" {
			r.Log("%s: not told of %s: %s", a.Hook, a.Event, a.Error)
		}
		if err := r.Store.Announced(ctx, a); err != nil {
			r.Log("%v", err)
		}
	}
}

// prune removes what is not to be kept. That it can't is no reason to stop.
func (r *Runner) prune(ctx context.Context) {
	keep := r.Config.Retention
	var before time.Time
	if keep.Days > 0 {
		before = r.Clock.Now().AddDate(0, 0, -keep.Days)
	}
	removed, err := r.Store.Prune(ctx, keep.Runs, before)
	if len(removed) > 0 {
		r.Log("removed by retention: %s", strings.Join(removed, ", "))
	}
	if err != nil {
		r.Log("%v", err)
	}
}

// setup stands for what two runs must have in common to be compared.
func setup(p Planned) string {
	s := p.Spec.Clone()
	s.Description, s.Seed, s.Trials, s.MaxTrials, s.Objectives = "", 0, 0, 0, nil
	text, err := s.YAML()
	if err != nil {
		return "" // a scenario that was run can be written
	}
	h := sha256.Sum256(append(text, p.Backend...))
	return fmt.Sprintf("%x", h[:6])
}

// verdictOf is what a row says of the day; one that did not run says nothing.
func verdictOf(row *store.Run) slo.Verdict {
	switch {
	case row.State == store.Skipped:
		return slo.NotEvaluated
	case row.State == store.Finished && (row.Verdict == slo.Met || row.Verdict == slo.Missed):
		return row.Verdict
	}
	return slo.Inconclusive
}

// worseOf is the worse of two verdicts: a miss is not hidden by what could not be told.
func worseOf(a, b slo.Verdict) slo.Verdict {
	order := []slo.Verdict{slo.NotEvaluated, slo.Met, slo.Inconclusive, slo.Missed}
	return order[max(slices.Index(order, a), slices.Index(order, b))]
}
