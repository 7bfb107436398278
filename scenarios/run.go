package scenarios

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/loadgen"
	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/loadgen/livemetrics"
	"github.com/fivenines/fivenines/slo"
)

// Options say where and against what a scenario runs.
type Options struct {
	Backend   fixtures.Backend
	Target    fixtures.Target
	Out       string   // the run's folder: new, or empty
	Progress  Progress // nil: none
	Overrides Overrides
	Mutant    string // start the target broken on purpose
	Version   string // of the program, for the report
	Command   string // how to run it again, for the report
	// JournalDir is where undo journals lie; empty is the default, where a
	// later run of anything looks for what this one left.
	JournalDir string
	// Reapers are the backends, by name, that can remove what killed runs left.
	Reapers map[string]fixtures.Reaper

	// Rules are what is judged by; nil is DefaultRules.
	Rules *Rules

	// Metrics show the run while it goes on; nil: nobody looks.
	Metrics *livemetrics.Metrics
}

// ErrInterrupted says that the caller's context ended the run. Everything was
// undone, and what was recorded is kept and judged.
var ErrInterrupted = errors.New("interrupted; everything was undone, and what was recorded is kept")

// Run does what the scenario says and judges what was recorded of it.
//
// An error means that the run itself did not work; where enough was recorded,
// there is a result beside it, whose verdict is never met. A system that fails
// its objectives is no error.
func Run(ctx context.Context, spec *Spec, opt Options) (*slo.Result, error) {
	// What an earlier run left broken, because it was killed, is undone first.
	if err := recoverStale(ctx, opt); err != nil {
		return nil, err
	}
	r, err := prepare(spec, opt)
	if err != nil {
		return nil, err
	}
	r.event(history.Event{Kind: history.RunStarted, Subject: r.spec.Name})
	for n := 1; err == nil && r.another(n); n++ {
		err = r.void(ctx, n, r.trial(ctx, n))
		if err == nil {
			err = r.weigh(n)
		}
	}
	return r.finish(ctx, err)
}

// trial is one bring-up, load, fault and read-back.
func (r *run) trial(ctx context.Context, n int) (err error) {
	t, err := r.newTrial(n)
	if err != nil {
		return err
	}
	defer func() {
		if lost := t.wayLost(); lost != nil {
			err = lost // whatever else came of it
		}
		err = unclean(err, t.close()) // all undone, all stopped, whatever happens below
	}()
	ctx, stop := context.WithTimeoutCause(ctx, time.Duration(r.spec.Stop.MaxDuration),
		stopped("the trial took longer than stop.max_duration (%v)", r.spec.Stop.MaxDuration))
	defer stop()

	// The system comes up, and every session that the load will use is created.
	if err := t.bringUp(ctx); err != nil {
		return err
	}
	if err := t.fill(ctx); err != nil {
		return err
	}

	// Load runs by its schedule, whatever the system does. Beside it, faults
	// come and go as the timeline says, each one proved to have taken hold,
	// and a watch looks for what the scenario says must stop the trial.
	early := t.underLoad(ctx, mainLoad, t.loadFor(), t.followTimeline)
	if !mayGoOn(ctx, early) {
		return early
	}

	// While a fault is still in force: is every session there for those who
	// are left? (A trial that a stop condition ended goes on with the undoing.)
	if early == nil && len(t.inForce()) > 0 {
		t.readBack(ctx, beforeUndo, t.regionsUp())
	}

	// Everything is given back, and load shows that the system is well again.
	if err := t.undoAll(ctx); err != nil {
		return err
	}
	if early == nil {
		early = t.awaitWhole(ctx)
	}
	if early == nil && r.spec.Timeline.Settle > 0 {
		early = t.underLoad(ctx, settleLoad, time.Duration(r.spec.Timeline.Settle), nil)
	}

	// Is every session there for everybody?
	if !mayGoOn(ctx, early) {
		return early
	}
	t.readBack(ctx, afterUndo, t.allRegions())
	return t.because(ctx, early)
}

// bringUp starts the system under test and the generator that will load it.
func (t *trial) bringUp(ctx context.Context) (err error) {
	t.phase("bringing %d nodes up on the %s backend", len(t.topo.Nodes()), t.opt.Backend.Name())
	t.useArchive()
	up := fixtures.UpOptions{
		Dir:        t.workDir,
		Seed:       t.seed,
		Mutant:     t.opt.Mutant,
		RecordSync: t.spec.RecordSync,
		OnEvent:    t.platformEvent,
	}
	if err := t.prepareFaults(&up); err != nil {
		return err
	}
	t.d, err = t.opt.Backend.Up(ctx, t.topo, t.opt.Target, up)
	if err != nil {
		return t.because(ctx, fmt.Errorf("bring the system up: %w", err))
	}
	if err := t.entrance(); err != nil {
		return err
	}
	if err := t.openJournal(); err != nil {
		return err
	}
	if t.faults, err = t.makeFaults(); err != nil {
		return err
	}
	t.gen, err = loadgen.New(t.workload(), t.live.Recorder(t.history), t.history.Now)
	if err != nil {
		return fmt.Errorf("make the load: %w", err)
	}
	t.live.Generator(t.gen.Snapshot)
	return nil
}

// fill creates the sessions. It ends early if a node dies.
func (t *trial) fill(ctx context.Context) (err error) {
	t.phase("creating %d sessions", t.spec.Workload.Sessions)
	ctx, cancel := context.WithCancelCause(ctx)
	var together group
	together.Go(func() {
		if err := t.watchNodes(ctx); err != nil {
			cancel(err)
		}
	})
	if err = t.gen.Fill(ctx); err != nil {
		err = t.because(ctx, fmt.Errorf("create the sessions before the load: %w", err))
	}
	cancel(nil)
	together.Wait()
	return err
}

// underLoad offers load for d and does something beside it, watched. It
// returns why it ended early, or nil.
func (t *trial) underLoad(ctx context.Context, phase string, d time.Duration, beside func(context.Context) error) error {
	t.phaseFor(d, "load: %s, %.0f operations a second", phase, t.spec.Workload.Rate)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	t.loadStarted(phase)
	var together group
	together.Go(func() {
		if err := t.gen.Run(ctx, d); err != nil && ctx.Err() == nil {
			cancel(fmt.Errorf("offer load: %w", err))
		}
		cancel(errLoadDone)
	})
	together.Go(func() {
		if err := t.watch(ctx, phase, d); err != nil {
			cancel(err)
		}
	})
	if beside != nil {
		together.Go(func() {
			if err := beside(ctx); err != nil {
				cancel(err)
			}
		})
	}
	together.Wait()
	t.loadStopped(phase)

	if cause := context.Cause(ctx); !errors.Is(cause, errLoadDone) {
		return cause
	}
	return nil
}

// finish closes the record, judges it and writes the reports.
func (r *run) finish(ctx context.Context, err error) (*slo.Result, error) {
	err, left := uncleaned(err)
	var stop *stopError
	switch {
	case err == nil && left == nil:
		r.event(history.Event{Kind: history.RunFinished})
	case err == nil:
		r.event(history.Event{Kind: history.Stopped, Detail: left.Error()})
	case ctx.Err() != nil:
		err = ErrInterrupted
		r.event(history.Event{Kind: history.Stopped, Detail: "interrupted"})
	case errors.As(err, &stop):
		if r.loaded {
			err = nil // the scenario's own condition: no failure of the run
		}
		r.event(history.Event{Kind: history.Stopped, Detail: stop.why})
	default:
		r.event(history.Event{Kind: history.Stopped, Detail: err.Error()})
	}
	err = errors.Join(err, left)
	if cerr := r.close(); err == nil {
		err = cerr
	}
	if !r.loaded {
		return nil, err // nothing was asked of the system: nothing to judge
	}
	res, jerr := Analyze(r.opt.Out)
	r.showVerdict(res)
	if jerr == nil {
		jerr = WriteReports(r.opt.Out, res)
	}
	if err == nil { // else that is what has to be told
		err = jerr
	}
	return res, err
}
