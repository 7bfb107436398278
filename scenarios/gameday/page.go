package gameday

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/fivenines/fivenines/reports"
	"github.com/fivenines/fivenines/reports/store"
)

// IndexPage is the name of the page in the store's folder.
const IndexPage = "index.html"

// What the page shows of a store.
const (
	shownRuns    = 1000
	shownPlanned = 10
	shownHooks   = 200
)

// page writes the index page anew.
func (r *Runner) page(ctx context.Context) error {
	return WritePage(context.WithoutCancel(ctx), r.Config, r.Store, r.Clock.Now())
}

// WritePage writes the index page of a store, whole or not at all.
func WritePage(ctx context.Context, c *Config, s *store.Store, now time.Time) error {
	runs, err := s.Runs(ctx, shownRuns)
	if err != nil {
		return err
	}
	told, err := s.Announcements(ctx, shownHooks)
	if err != nil {
		return err
	}
	x := reports.Index{Name: c.Name, Made: now.In(c.location), Regression: c.Regression.Means()}
	for i := range runs {
		x.Runs = append(x.Runs, indexRun(s, &runs[i], c.location))
	}
	for _, o := range c.Plan(now, now.AddDate(0, 0, 7)) {
		if len(x.Planned) == shownPlanned {
			break
		}
		p := reports.IndexPlan{At: o.At, Schedule: o.Schedule, Blackout: o.Blackout}
		for _, run := range o.Runs {
			p.Scenarios = append(p.Scenarios, run.Scenario)
		}
		x.Planned = append(x.Planned, p)
	}
	for _, a := range told {
		if a.Error != "" {
			x.Untold = append(x.Untold, reports.IndexUntold{At: a.At.In(c.location), Event: a.Event, Hook: a.Hook, Why: a.Error})
		}
	}
	var b bytes.Buffer
	if err := reports.WriteIndex(&b, &x); err != nil {
		return fmt.Errorf("draw the index page: %w", err)
	}
	name := filepath.Join(s.Dir(), IndexPage)
	if err := os.WriteFile(name+".tmp", b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the index page: %w", err)
	}
	if err := os.Rename(name+".tmp", name); err != nil {
		return fmt.Errorf("write the index page: %w", err)
	}
	return nil
}

func indexRun(s *store.Store, r *store.Run, loc *time.Location) reports.IndexRun {
	x := reports.IndexRun{
		Started: r.Started.In(loc), Schedule: r.Schedule, Scenario: r.Scenario, Setup: r.Setup, State: string(r.State), Verdict: r.Verdict,
		Summary: r.Summary, Note: r.Note, Regression: r.Regression, Failover: r.Failover, Censored: r.Censored, RPO: r.RPO,
		LostSessions: r.LostSessions, LostWrites: r.LostWrites, Trials: r.Trials, Valid: r.Valid, Seed: r.Seed, Backend: r.Backend,
	}
	if !r.Ended.IsZero() {
		x.Took = r.Ended.Sub(r.Started)
	}
	if dir := s.Path(r); dir != "" {
		if _, err := os.Stat(filepath.Join(dir, "report.html")); err == nil {
			x.Report = path.Join(store.RunsDir, r.Folder, "report.html")
		}
	}
	return x
}
