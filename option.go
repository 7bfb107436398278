package fivenines

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/fixtures/inprocess"
	"github.com/fivenines/fivenines/scenarios"
	"github.com/fivenines/fivenines/slo"
)

// Option is one setting of a test; later ones go before earlier ones.
type Option func(*settings)

type settings struct {
	over      scenarios.Overrides
	changes   []func(*scenarios.Spec)
	topology  *fixtures.Topology
	only      map[string]string // objectives in place of all of the scenario's
	rules     *scenarios.Rules
	makes     func(context.Context) (System, error)
	mutant    string
	caught    []string // objectives that have to be missed with the mutant
	allow     bool     // inconclusive is a skip
	timeout   time.Duration
	artifacts string
	keep      bool
	verbose   bool

	short   bool
	inShort []Option // nil: skip

	res *slo.Result
	err error // of an option
}

func (s *settings) apply(opts []Option) {
	for _, o := range opts {
		o(s)
	}
}

// shorten applies what holds under -short alone.
func (s *settings) shorten() {
	if s.short {
		s.apply(s.inShort)
	}
}

// System is what is tested and what runs it.
type System struct {
	Target  fixtures.Target
	Backend fixtures.Backend
	// Reapers, by the name of a backend, remove what runs left that were killed.
	Reapers map[string]fixtures.Reaper
}

// Under says what is tested. It is made once the test is known to run.
func Under(system func(context.Context) (System, error)) Option {
	return func(s *settings) { s.makes = system }
}

// Target tests a target on a backend.
func Target(target fixtures.Target, backend fixtures.Backend) Option {
	return Under(func(context.Context) (System, error) { return System{Target: target, Backend: backend}, nil })
}

// InProcess tests a system whose nodes are functions in this process.
func InProcess(system inprocess.Target) Option { return Target(system, inprocess.New()) }

func (s *settings) system(ctx context.Context) (System, error) {
	if s.makes == nil {
		return System{}, errors.New("none is given: add fivenines.InProcess (nodes are functions), undertest.Reference (the platform that comes with fivenines) or fivenines.Target (any other)")
	}
	sys, err := s.makes(ctx)
	if err == nil && (sys.Target == nil || sys.Backend == nil) {
		err = errors.New("it has no target or no backend")
	}
	return sys, err
}

// Rate is how many operations a second are offered.
func Rate(perSecond float64) Option { return func(s *settings) { s.over.Rate = perSecond } }

// Sessions is how many live sessions there are.
func Sessions(n int) Option { return func(s *settings) { s.over.Sessions = n } }

// Before is how long load runs before the first fault.
func Before(d time.Duration) Option { return func(s *settings) { s.over.Before = d } }

// After is how long load runs after the first fault.
func After(d time.Duration) Option { return func(s *settings) { s.over.After = d } }

// Seed is what all random choices come from; without it a random one is drawn,
// which a failure names. $FIVENINES_SEED goes before it.
func Seed(seed int64) Option { return func(s *settings) { s.over.Seed = seed } }

// Trials is how often everything is repeated, and MaxTrials up to how often,
// until each objective on a quantile is decided.
func Trials(n int) Option { return func(s *settings) { s.over.Trials = n } }

// MaxTrials: see [Trials].
func MaxTrials(n int) Option { return func(s *settings) { s.over.MaxTrials = n } }

// ThroughBalancers makes clients know one load balancer a region.
func ThroughBalancers() Option {
	return func(s *settings) { s.over.Through = scenarios.ThroughBalancers }
}

// Topology is where nodes stand: a *fixtures.Topology, or by name or file.
func Topology[T string | *fixtures.Topology](t T) Option {
	return func(s *settings) {
		switch t := any(t).(type) {
		case string:
			s.over.Topology, s.topology = t, nil
		case *fixtures.Topology:
			s.over.Topology, s.topology = "", t
		}
	}
}

// Objective declares one in place of the scenario's: Objective("failover", "< 3 s").
func Objective(name, bound string) Option {
	return func(s *settings) {
		if s.over.Objectives == nil {
			s.over.Objectives = map[string]string{}
		}
		s.over.Objectives[name] = bound
	}
}

// OnlyObjectives declares these and none of the scenario's.
func OnlyObjectives(bounds map[string]string) Option {
	return func(s *settings) {
		s.only, s.over.Objectives = maps.Clone(bounds), nil
	}
}

// Rules is an objectives file in place of the one that comes with fivenines.
func Rules(file string) Option {
	return func(s *settings) {
		var err error
		if s.rules, err = scenarios.LoadRules(file); err != nil {
			s.err = errors.Join(s.err, err)
		}
	}
}

// Change changes anything of the scenario, after all other options.
func Change(change func(*scenarios.Spec)) Option {
	return func(s *settings) { s.changes = append(s.changes, change) }
}

// Mutant starts the system broken on purpose and turns the test around: it
// passes if the verdict is missed, on each of these objectives, and fails if the
// breakage was not found out. It shows that the test beside it can fail.
func Mutant(name string, missed ...string) Option {
	return func(s *settings) { s.mutant, s.caught = name, missed }
}

// AllowInconclusive skips the test where the run decides nothing, such as on a
// machine that can't do what the scenario needs. Without it, that is a failure.
func AllowInconclusive() Option { return func(s *settings) { s.allow = true } }

// InShort runs the scenario under -short as well, with these options after the
// others; without any, with a small load and short phases (about 20 s).
func InShort(opts ...Option) Option {
	if len(opts) == 0 {
		opts = []Option{Small()}
	}
	return func(s *settings) { s.inShort = opts }
}

// Small is a small load with short phases: 400 operations a second on 400
// sessions, 3 s before and 9 s after the fault, 6 s once it is undone.
func Small() Option {
	return func(s *settings) {
		s.apply([]Option{Rate(400), Sessions(400), Before(3 * time.Second), After(9 * time.Second), Change(func(spec *scenarios.Spec) {
			spec.Timeline.Settle = min(spec.Timeline.Settle, fixtures.Duration(6*time.Second))
		})})
	}
}

// Timeout ends the run after so long, with everything undone and reported.
func Timeout(d time.Duration) Option { return func(s *settings) { s.timeout = d } }

// Artifacts is the folder below which the run's folder is made and, if the test
// fails, kept.
func Artifacts(dir string) Option { return func(s *settings) { s.artifacts = dir } }

// KeepArtifacts keeps the run's folder also if the test passes.
func KeepArtifacts() Option { return func(s *settings) { s.keep = true } }

// Verbose logs the phases of the run.
func Verbose() Option { return func(s *settings) { s.verbose = true } }

// clip bounds what a log line quotes.
func clip(s string) string {
	const most = 300
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > most {
		return fmt.Sprint(string(r[:most]), "…")
	}
	return s
}
