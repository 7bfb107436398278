package slo

import (
	"fmt"
	"slices"

	"github.com/fivenines/fivenines/loadgen/history"
)

// Judge weighs the trials of a run that goes on, to tell when they are enough.
// The verdict itself comes from [Analyze], once the run is over.
type Judge struct {
	cfg Config
	a   *analysis
}

// NewJudge returns a Judge without trials. It needs a Config that is
// Sequential: other tests are not valid for a number of trials that depends on
// what they showed.
func NewJudge(cfg Config) (*Judge, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if !cfg.Sequential {
		return nil, fmt.Errorf("the trials are not judged sequentially")
	}
	return &Judge{cfg: cfg}, nil
}

// Add takes a trial that has ended. run is the record as far as it goes.
func (j *Judge) Add(run *history.Run, trial int) error {
	rec := recordOfRun(run)
	rec.sortEvents()
	if j.a == nil {
		j.a = newAnalysis(rec, j.cfg)
	}
	j.a.rec = rec
	if err := j.a.trial(trial); err != nil {
		return fmt.Errorf("trial %d: %w", trial, err)
	}
	return nil
}

// Decided says whether further trials can't change the verdict: an objective is
// missed, or each one on a quantile is decided at the asked error rates.
func (j *Judge) Decided() bool {
	if j.a == nil {
		return false
	}
	a := *j.a
	a.problems = nil
	a.result = &Result{Trials: slices.Clone(j.a.result.Trials)}
	a.judge()
	return a.result.decided()
}
