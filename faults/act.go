package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fivenines/fivenines/fixtures"
)

const (
	// silence is how long beyond its round trip a canary waits for nothing.
	silence = 150 * time.Millisecond
	// slack is what a busy machine may add to the proof of a fault.
	slack = 600 * time.Millisecond
)

// bound is the time within which a fault that cuts these links must be proved.
func bound(links []fixtures.Link) time.Duration {
	if len(links) == 0 {
		return slack
	}
	return longestRTT(links) + silence + slack
}

// each runs do for every node at once and joins the errors.
func each(nodes []string, do func(node string) error) error {
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() { errs[i] = do(n) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// revive brings nodes back to running, whatever state they are in, and mends
// the links. It goes on after an error, so that as much as possible is undone.
//
// Nodes wake up before their links are mended: what they still had to say,
// under a lease or a term that ended while they were away, is lost on the cut
// links and its connections are closed by the mending, so that no client hears
// an answer from before the fault as if it were new.
func revive(ctx context.Context, d fixtures.Deployment, nodes []string, links []fixtures.Link, start fixtures.StartOptions) error {
	var mu sync.Mutex
	var started []string
	err := each(nodes, func(n string) error {
		s, err := d.State(n)
		if err != nil {
			return err
		}
		switch s {
		case fixtures.Paused:
			return d.Resume(ctx, n)
		case fixtures.Dead:
			mu.Lock()
			started = append(started, n)
			mu.Unlock()
			return d.Restart(ctx, n, start)
		}
		return nil
	})
	if len(links) > 0 {
		err = errors.Join(err, d.Mend(ctx, links...))
	}
	if err == nil && len(started) > 0 {
		err = d.AwaitReady(ctx, started...)
	}
	return err
}

// known says of every node whether the deployment has it.
func known(d fixtures.Deployment, nodes []string) error {
	have := map[string]bool{}
	for _, n := range d.Nodes() {
		have[n.ID] = true
	}
	for _, n := range nodes {
		if !have[n] {
			return fmt.Errorf("this deployment has no node %s", n)
		}
	}
	return nil
}
