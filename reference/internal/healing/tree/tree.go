package tree

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"sync"
	"time"

	"github.com/thejerf/suture/v4"

	"github.com/fivenines/fivenines/reference/internal/healing"
)

// Service is something that runs until its context ends.
type Service struct {
	Name string
	// Branch groups services: each is a supervisor below the root.
	Branch string
	// Run returns soon after ctx has ended, with all its goroutines. It is called
	// again after it failed; what ends by itself has failed.
	Run func(ctx context.Context) error
	// Check returns why the service does not work; nil: it does while it runs.
	Check func(ctx context.Context) error
}

// Options of a tree.
type Options struct {
	Config healing.Config
	Now    func() time.Duration
	Log    *slog.Logger
	// Tell receives what is decided, from any goroutine.
	Tell func(service string, e healing.Event)
}

// Tree runs services. Make it with [New], begin with [Tree.Start].
type Tree struct {
	opt  Options
	cfg  healing.Config
	root *suture.Supervisor
	done chan struct{} // closed when the root has ended

	mu       sync.Mutex
	branches map[string]*suture.Supervisor
	all      []*entry
}

// New makes a tree without services.
func New(opt Options) *Tree {
	t := &Tree{opt: opt, cfg: opt.Config.Filled(), branches: map[string]*suture.Supervisor{}}
	t.root = t.supervisor("services")
	t.root.Add(named{"health checks", t.examine})
	return t
}

// supervisor never pauses by itself: when to start again is a machine's decision.
func (t *Tree) supervisor(name string) *suture.Supervisor {
	return suture.New(name, suture.Spec{FailureThreshold: math.Inf(1), Timeout: time.Duration(t.cfg.StopIn), EventHook: func(e suture.Event) {
		switch e := e.(type) {
		case suture.EventServicePanic:
			t.opt.Log.Error("a service panicked", "service", e.ServiceName, "panic", e.PanicMsg, "stack", e.Stacktrace)
		case suture.EventStopTimeout:
			t.opt.Log.Error("a service does not end", "service", e.ServiceName)
		}
	}})
}

// named is a function with a name.
type named struct {
	name string
	run  func(context.Context) error
}

func (n named) Serve(ctx context.Context) error { return n.run(ctx) }
func (n named) String() string                  { return n.name }

// Start begins to run what is and what will be added, until ctx ends.
func (t *Tree) Start(ctx context.Context) {
	ended := t.root.ServeBackground(ctx)
	t.done = make(chan struct{})
	go func() {
		<-ended
		close(t.done)
	}()
}

// Wait returns when everything has ended, or says what does not.
func (t *Tree) Wait() error {
	<-t.done
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for _, e := range t.all {
		e.mu.Lock()
		if e.inside {
			errs = append(errs, fmt.Errorf("service %s does not end", e.Name))
		}
		e.mu.Unlock()
	}
	return errors.Join(errs...)
}

// Add starts a service.
func (t *Tree) Add(s Service) {
	t.mu.Lock()
	b := t.branches[s.Branch]
	e := &entry{Service: s, t: t, m: healing.New(t.cfg, s.Name)}
	t.all = append(t.all, e)
	if b != nil {
		t.mu.Unlock()
		b.Add(e)
		return
	}
	b = t.supervisor(s.Branch)
	t.branches[s.Branch] = b
	b.Add(e) // it does not run yet
	t.mu.Unlock()
	t.root.Add(b)
}

// Status is one service as it is now.
type Status struct {
	Name      string `json:"name"`
	Restarts  int    `json:"restarts"`
	Running   bool   `json:"running"`
	Escalated bool   `json:"escalated,omitempty"`
	Why       string `json:"why,omitempty"` // it is not well
}

// Status lists all services in the order in which they were added.
func (t *Tree) Status() (all []Status) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.all {
		e.mu.Lock()
		all = append(all, Status{Name: e.Name, Restarts: e.m.Restarts(), Running: e.m.Running(), Escalated: e.m.Escalated(), Why: e.m.Why()})
		e.mu.Unlock()
	}
	return all
}

// entry is a service with what decides about it. Suture calls Serve again
// whenever it has ended.
type entry struct {
	Service
	t *Tree

	mu     sync.Mutex
	m      *healing.Machine
	life   int
	inside bool // Run has not returned
	cancel context.CancelCauseFunc
	asked  time.Duration // to end, as it is not healthy; 0: it is not
}

func (e *entry) String() string { return e.Name }

// Serve waits for the machine's word and runs the service once.
func (e *entry) Serve(ctx context.Context) error {
	life, err := e.await(ctx)
	if err != nil {
		return err
	}
	defer func() {
		p := recover()
		if p != nil {
			e.ended(ctx, fmt.Sprintf("panic: %v", p))
			panic(p) // suture's to log
		}
	}()
	err = e.Run(life)
	why := "it ended without being asked to"
	switch cause := context.Cause(life); {
	case cause != nil && ctx.Err() == nil:
		why = cause.Error()
	case err != nil:
		why = err.Error()
	}
	e.ended(ctx, why)
	return errors.New(why)
}

func (e *entry) ended(ctx context.Context, why string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cancel(nil)
	e.inside, e.asked = false, 0
	if ctx.Err() == nil {
		e.m.Ended(e.t.opt.Now(), why)
	}
}

// await returns the context of the next life once it may begin.
func (e *entry) await(ctx context.Context) (context.Context, error) {
	for {
		e.mu.Lock()
		now := e.t.opt.Now()
		out := e.m.Tick(now)
		next := e.m.Next()
		var life context.Context
		if out.Start && ctx.Err() == nil {
			life, e.cancel = context.WithCancelCause(ctx)
			e.life++
			e.inside = true
		}
		e.mu.Unlock()
		e.tell(out.Events)
		if life != nil {
			return life, nil
		}
		t := time.NewTimer(max(next-now, time.Millisecond))
		select {
		case <-ctx.Done():
			t.Stop()
			return nil, ctx.Err()
		case <-t.C:
		}
	}
}

func (e *entry) tell(events []healing.Event) {
	for _, ev := range events {
		e.t.opt.Log.Warn(ev.Detail, "event", ev.Kind, "priority", ev.Priority)
		e.t.opt.Tell(e.Name, ev)
	}
}

var errUnhealthy = errors.New("is not healthy")

// examine looks after the services that run.
func (t *Tree) examine(ctx context.Context) error {
	tick := time.NewTicker(time.Duration(t.cfg.CheckEvery))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		t.mu.Lock()
		all := append([]*entry(nil), t.all...)
		t.mu.Unlock()
		var wg sync.WaitGroup
		for _, e := range all {
			wg.Go(func() { e.examine(ctx) })
		}
		wg.Wait()
	}
}

// examine asks one service and does what follows.
func (e *entry) examine(ctx context.Context) {
	e.mu.Lock()
	life, runs := e.life, e.inside
	e.mu.Unlock()
	if !runs {
		return // Serve waits, and sees to it
	}
	patience := time.Duration(e.t.cfg.CheckTimeout)
	began := e.t.opt.Now()
	why := e.check(ctx, patience)
	now := e.t.opt.Now()
	e.mu.Lock()
	if ctx.Err() != nil || !e.inside || e.life != life {
		e.mu.Unlock()
		return
	}
	if now-began <= patience+time.Second { // else this process did not run meanwhile
		e.m.Checked(now, why)
	}
	if e.asked > 0 && now-e.asked >= time.Duration(e.t.cfg.StopIn) {
		e.m.Stuck(now)
	}
	out := e.m.Tick(now) // of what runs: it starts nothing
	if out.Stop {
		e.asked = now
		e.cancel(fmt.Errorf("%w: %s", errUnhealthy, e.m.Why()))
	}
	e.mu.Unlock()
	e.tell(out.Events)
}

func (e *entry) check(ctx context.Context, patience time.Duration) (why string) {
	if e.Check == nil {
		return ""
	}
	defer func() {
		if p := recover(); p != nil {
			e.t.opt.Log.Error("a health check panicked", "service", e.Name, "panic", p, "stack", string(debug.Stack()))
			why = fmt.Sprintf("panic of its health check: %v", p)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := e.Check(ctx); err != nil {
		return err.Error()
	}
	return ""
}
