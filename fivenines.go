// Package fivenines runs availability scenarios as Go tests: a topology comes
// up, load runs over links that can be cut, a part is taken away, and what the
// clients saw decides whether the test passes.
//
// For a system whose nodes are functions of the tested program:
//
//	func TestRegionCrash(t *testing.T) {
//		fivenines.Test(t, "region-crash",
//			fivenines.InProcess(&inprocess.System{Node: store.Run}),
//			fivenines.Objective("failover", "< 3 s"), fivenines.InShort())
//	}
//
// The system that comes with fivenines is [undertest.Reference] of the package
// reference/undertest; any other is handed over with [Under] as a
// fixtures.Target and the backend that runs it.
//
// # Verdicts
//
// A test passes if every objective that the scenario declares is met. It fails
// if one is missed, and also if the run is inconclusive (the generator fell
// behind, a fault was not proved, this machine can't do it): [AllowInconclusive]
// turns only that into a skip. With [Mutant] the system is started broken on
// purpose, and the test passes if that is found out.
//
// # Time
//
// Without [InShort] a scenario is skipped under -short. The run ends, with
// everything undone and its report written, before the deadline of go test; a
// timeline that can't be over by then is refused at once.
//
// # Artifacts
//
// The run's folder (record, report.html, logs of the nodes) is kept if the test
// fails, and its path is logged: below go test -artifacts if that is given, else
// below $FIVENINES_ARTIFACTS, else in the temporary folder.
package fivenines

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/scenarios"
	"github.com/fivenines/fivenines/slo"
)

// Test runs a scenario, by its name in the catalogue or the path of its file,
// as a subtest of that name. The result is for further assertions; it is never
// nil, and its verdict is slo.NotEvaluated if nothing was run (a skip, or
// another -run pattern). Tests may run in parallel: call t.Parallel before.
func Test(t *testing.T, scenario string, opts ...Option) *slo.Result {
	t.Helper()
	name := scenario
	if looksLikeFile(scenario) {
		name = strings.TrimSuffix(filepath.Base(scenario), filepath.Ext(scenario))
	}
	return subtest(t, name, func() (*scenarios.Spec, error) {
		if looksLikeFile(scenario) {
			return scenarios.Load(scenario)
		}
		return scenarios.Named(scenario)
	}, opts)
}

// TestSpec is [Test] for a scenario that is a Go value.
func TestSpec(t *testing.T, spec *scenarios.Spec, opts ...Option) *slo.Result {
	t.Helper()
	return subtest(t, spec.Name, func() (*scenarios.Spec, error) { return spec.Clone(), nil }, opts)
}

func looksLikeFile(name string) bool {
	ext := filepath.Ext(name)
	return ext == ".yaml" || ext == ".yml" || strings.ContainsRune(name, filepath.Separator)
}

func subtest(t *testing.T, name string, load func() (*scenarios.Spec, error), opts []Option) *slo.Result {
	t.Helper()
	res := &slo.Result{Scenario: name, Verdict: slo.NotEvaluated}
	t.Run(name, func(t *testing.T) {
		t.Helper()
		s := &settings{short: testing.Short(), res: res}
		s.apply(opts)
		s.test(t, load)
	})
	return res
}

// host is what is needed of a *testing.T.
type host interface {
	Helper()
	Name() string
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any) // does not return
	Skipf(format string, args ...any)  // does not return
	Context() context.Context
	Deadline() (time.Time, bool)
	ArtifactDir() string
}

// test is one scenario from its options to what is said of it.
func (s *settings) test(t host, load func() (*scenarios.Spec, error)) {
	t.Helper()
	if s.short && s.inShort == nil {
		t.Skipf("a scenario takes a minute or so: not with -short (fivenines.InShort runs a small one)")
	}
	s.shorten()
	if s.err != nil {
		t.Fatalf("fivenines: %v", s.err)
	}
	spec, err := s.spec(load)
	if err != nil {
		t.Fatalf("fivenines: %v", err)
	}
	ctx, cancel, err := s.within(t, spec)
	if err != nil {
		t.Fatalf("fivenines: %v", err)
	}
	defer cancel()
	sys, err := s.system(ctx)
	if err != nil {
		s.refuse(t, fmt.Errorf("the system under test: %w", err))
	}
	spec.Target = sys.Target.Name()
	if !slices.Contains(sys.Target.Mutants(), s.mutant) && s.mutant != "" {
		t.Fatalf("fivenines: %s has no mutant called %q; there are %s", spec.Target, s.mutant, strings.Join(sys.Target.Mutants(), ", "))
	}
	out, err := s.folder(t)
	if err != nil {
		t.Fatalf("fivenines: %v", err)
	}
	again := s.again(t, spec.Seed)
	res, err := scenarios.Run(ctx, spec, scenarios.Options{
		Backend: sys.Backend, Target: sys.Target, Reapers: sys.Reapers, Out: out, Rules: s.rules,
		Mutant: s.mutant, Version: version(), Command: again, Progress: progress{t, s.verbose},
	})
	if res != nil {
		*s.res = *res
	}
	s.say(t, out, again, err, context.Cause(ctx))
}

// spec is the scenario with all options applied.
func (s *settings) spec(load func() (*scenarios.Spec, error)) (*scenarios.Spec, error) {
	spec, err := load()
	if err != nil {
		return nil, err
	}
	if s.topology != nil {
		spec.Topology = scenarios.TopologyRef{Inline: s.topology}
	}
	if s.only != nil {
		spec.Objectives = s.only
	}
	if spec, err = spec.With(s.over); err != nil {
		return nil, err
	}
	for _, change := range s.changes {
		change(spec)
	}
	if spec.Seed == 0 {
		spec.Seed = scenarios.RandomSeed()
	}
	if env := os.Getenv(seedEnv); env != "" {
		if spec.Seed, err = strconv.ParseInt(env, 10, 64); err != nil || spec.Seed < 1 {
			return nil, fmt.Errorf("$%s is %q, not a number above 0", seedEnv, env)
		}
	}
	if s.rules == nil {
		s.rules = scenarios.DefaultRules()
	}
	return spec, spec.ValidateBy("scenario "+spec.Name, s.rules)
}

const seedEnv = "FIVENINES_SEED"

// Time that is kept for undoing, stopping the nodes, judging and reporting.
const (
	reserveMin = 15 * time.Second
	reserveMax = 2 * time.Minute
)

// errDeadline is why a run ended that go test would have ended otherwise.
var errDeadline = errors.New("the deadline of go test came near (-timeout); give it more time, or the scenario less (fivenines.Before, After, Trials)")

// errTimeout is why a run ended that had a timeout of its own.
var errTimeout = errors.New("the run took longer than fivenines.Timeout allows")

// within ends a run early enough for everything to be undone and reported.
func (s *settings) within(t host, spec *scenarios.Spec) (context.Context, context.CancelFunc, error) {
	ctx, cancel := context.WithCancel(t.Context())
	least := time.Duration(spec.Trials) * time.Duration(spec.Timeline.Before+spec.Timeline.After+spec.Timeline.Settle)
	if end, ok := t.Deadline(); ok {
		left := time.Until(end)
		reserve := min(max(left/10, reserveMin), reserveMax)
		if left-reserve < least {
			cancel()
			return nil, nil, fmt.Errorf("%s takes more than %v and go test ends in %v, of which %v are for undoing and reporting: run it with -timeout %v, or shorten it (fivenines.Before, After, Trials)",
				spec.Name, least, left.Round(time.Second), reserve.Round(time.Second), (least + 2*reserveMax).Round(time.Minute))
		}
		ctx, cancel = chain(cancel)(context.WithDeadlineCause(ctx, end.Add(-reserve), errDeadline))
	}
	if s.timeout > 0 {
		ctx, cancel = chain(cancel)(context.WithTimeoutCause(ctx, s.timeout, errTimeout))
	}
	return ctx, cancel, nil
}

func chain(before context.CancelFunc) func(context.Context, context.CancelFunc) (context.Context, context.CancelFunc) {
	return func(ctx context.Context, cancel context.CancelFunc) (context.Context, context.CancelFunc) {
		return ctx, func() { cancel(); before() }
	}
}

// refuse ends a test whose run could not begin.
func (s *settings) refuse(t host, err error) {
	t.Helper()
	if errors.Is(err, fixtures.ErrNotHere) && s.allow {
		t.Skipf("fivenines: inconclusive: %v", err)
	}
	t.Fatalf("fivenines: %v", err)
}

// say tells the verdict to go test.
func (s *settings) say(t host, out, again string, err, cause error) {
	t.Helper()
	res := s.res
	good := err == nil && res.Verdict == slo.Met
	if s.mutant != "" {
		good = err == nil && res.Verdict == slo.Missed && len(s.survived()) == 0
	}
	if good {
		s.drop(t, out)
		return
	}
	text := s.told(err, cause) + "\n" + s.kept(out) + "\nrun it again: " + again
	ended := errors.Is(cause, errDeadline) || errors.Is(cause, errTimeout)
	inconclusive := !ended && (res.Verdict == slo.Inconclusive && err == nil || errors.Is(err, fixtures.ErrNotHere))
	if inconclusive && s.allow {
		t.Skipf("%s", text)
	}
	t.Errorf("%s", text)
}

// survived are the objectives that a mutant should have missed and did not.
func (s *settings) survived() []string {
	var left []string
	for _, want := range s.caught {
		if !slices.ContainsFunc(s.res.Objectives, func(o slo.Objective) bool { return o.Name == want && o.Verdict == slo.Missed }) {
			left = append(left, want)
		}
	}
	return left
}

// sentence is the summary without the verdict, where it begins with that.
func sentence(r *slo.Result) string {
	if v, rest, ok := strings.Cut(r.Summary, ": "); ok && strings.EqualFold(v, string(r.Verdict)) {
		return rest
	}
	return r.Summary
}

// told is the verdict in a sentence, and what lies behind it.
func (s *settings) told(err, cause error) string {
	res := s.res
	var b strings.Builder
	fmt.Fprintf(&b, "fivenines: %s: ", res.Scenario)
	ended := errors.Is(cause, errDeadline) || errors.Is(cause, errTimeout)
	switch {
	case ended:
		fmt.Fprintf(&b, "inconclusive: %v; everything was undone", cause)
	case errors.Is(err, fixtures.ErrNotHere):
		fmt.Fprintf(&b, "inconclusive: %v", err)
	case err != nil:
		fmt.Fprintf(&b, "the run itself failed: %v", err)
	case s.mutant != "" && res.Verdict != slo.Missed:
		fmt.Fprintf(&b, "the mutant %s was not caught, the verdict is %s: %s", s.mutant, res.Verdict, res.Summary)
	case s.mutant != "":
		fmt.Fprintf(&b, "the mutant %s was caught, but not by %s: %s", s.mutant, strings.Join(s.survived(), ", "), res.Summary)
	default:
		fmt.Fprintf(&b, "%s: %s", res.Verdict, sentence(res))
	}
	var open []string // that nothing can be said of; the problems say why
	for _, o := range res.Objectives {
		switch {
		case o.Verdict == slo.Inconclusive && len(res.Problems) > 0:
			open = append(open, o.Name)
		case o.Verdict == slo.Missed || o.Verdict == slo.Inconclusive || slices.Contains(s.caught, o.Name):
			fmt.Fprintf(&b, "\n  %s %s: target %s, measured %s", o.Name, o.Verdict, orDash(o.Target), measured(o))
			if o.Evidence != "" {
				fmt.Fprintf(&b, " (%s)", clip(o.Evidence))
			}
		}
	}
	if len(open) > 0 {
		fmt.Fprintf(&b, "\n  inconclusive: %s", strings.Join(open, ", "))
	}
	for i, p := range res.Problems {
		if i == 5 {
			fmt.Fprintf(&b, "\n  and %d more problems", len(res.Problems)-i)
			break
		}
		fmt.Fprintf(&b, "\n  problem: %s", clip(p))
	}
	return b.String()
}
