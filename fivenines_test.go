package fivenines

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/fixtures/inprocess"
	"github.com/fivenines/fivenines/scenarios"
	"github.com/fivenines/fivenines/slo"
)

// recorder is a *testing.T that can fail without failing its own test.
type recorder struct {
	dir      string
	deadline time.Time
	ctx      context.Context

	mu      sync.Mutex
	logs    []string
	outcome string // pass, fail, skip
	said    string
}

func (*recorder) Helper()                       {}
func (*recorder) Name() string                  { return "TestIt/node-crash" }
func (r *recorder) Context() context.Context    { return r.ctx }
func (r *recorder) ArtifactDir() string         { return r.dir }
func (r *recorder) Deadline() (time.Time, bool) { return r.deadline, !r.deadline.IsZero() }

func (r *recorder) Logf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.logs = append(r.logs, fmt.Sprintf(format, args...))
}

func (r *recorder) end(outcome, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcome, r.said = outcome, fmt.Sprintf(format, args...)
}

func (r *recorder) Errorf(format string, args ...any) { r.end("fail", format, args...) }
func (r *recorder) Fatalf(format string, args ...any) {
	r.end("fail", format, args...)
	runtime.Goexit()
}
func (r *recorder) Skipf(format string, args ...any) {
	r.end("skip", format, args...)
	runtime.Goexit()
}

// try runs a scenario as a subtest does, and says what go test would be told.
func try(t *testing.T, r *recorder, short bool, opts ...Option) *slo.Result {
	t.Helper()
	if r.ctx == nil {
		r.ctx = t.Context()
	}
	r.dir, r.outcome = t.TempDir(), "pass"
	res := &slo.Result{Scenario: "node-crash", Verdict: slo.NotEvaluated}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s := &settings{short: short, res: res}
		s.apply(append([]Option{Artifacts(r.dir), Topology(inprocess.Topology(5*time.Millisecond, 1, 1))}, opts...))
		s.test(r, func() (*scenarios.Spec, error) { return scenarios.Named("node-crash") })
	}()
	<-done
	return res
}

// shared is a store that outlives the nodes before it.
type shared struct {
	mu    sync.Mutex
	state map[string]session
}

type session struct {
	state   string
	expires time.Time
}

func (s *shared) there(key string) (session, bool) {
	x, ok := s.state[key]
	return x, ok && (x.expires.IsZero() || time.Now().Before(x.expires))
}

func (s *shared) Read(_ context.Context, key string) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, ok := s.there(key)
	return []byte(x.state), ok, nil
}

func (s *shared) Write(_ context.Context, key string, state []byte, ttl time.Duration, when inprocess.Condition) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.there(key); when == inprocess.IfAbsent && ok || when == inprocess.IfPresent && !ok {
		return false, nil
	}
	s.state[key] = session{string(state), time.Now().Add(ttl)}
	return true, nil
}

func (s *shared) Touch(_ context.Context, key string, ttl time.Duration) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, ok := s.there(key)
	if ok {
		s.state[key] = session{x.state, time.Now().Add(ttl)}
	}
	return []byte(x.state), ok, nil
}

func (s *shared) Remove(_ context.Context, key string) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, ok := s.there(key)
	delete(s.state, key)
	return []byte(x.state), ok, nil
}

// gateways are nodes in front of a store. A mutant's store forgets everything
// whenever a node starts again.
func gateways() *inprocess.System {
	store := &shared{state: map[string]session{}}
	return &inprocess.System{Broken: []string{"forgetful"}, Node: func(ctx context.Context, n *inprocess.Node) error {
		if !n.Start.First && n.Start.Mutant == "forgetful" {
			store.mu.Lock()
			clear(store.state)
			store.mu.Unlock()
		}
		ln, err := n.Listen(fixtures.PortClient)
		if err != nil {
			return err
		}
		return inprocess.Serve(ctx, ln, store)
	}}
}

func promises() Option {
	return OnlyObjectives(map[string]string{"failover": "< 3 s", "session-loss": "0", "lost-writes": "0"})
}

// quick is as short as a run can be that decides something.
func quick() Option {
	return func(s *settings) {
		s.apply([]Option{Rate(300), Sessions(200), Before(2 * time.Second), After(6 * time.Second), Change(func(spec *scenarios.Spec) { spec.Timeline.Settle = 0 }), Seed(7)})
	}
}

// silent is a fault that clients surely notice: a crash may fall between two operations.
func silent() Option {
	return Change(func(spec *scenarios.Spec) {
		spec.Faults[0].Kind, spec.Faults[0].Params = "region-loss", map[string]string{"region": "primary", "mode": "silent"}
	})
}

func TestMetPassesAndLeavesNothing(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	res := try(t, r, false, InProcess(gateways()), promises(), quick())
	require.Equal(t, "pass", r.outcome, r.said)
	require.Equal(t, slo.Met, res.Verdict)
	require.Equal(t, "in-process", res.Backend)
	require.Equal(t, int64(7), res.Seed)
	left, err := os.ReadDir(r.dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestMissedFailsAndKeepsTheReport(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	res := try(t, r, false, InProcess(gateways()), OnlyObjectives(map[string]string{"failover": "< 1 ms", "lost-writes": "0"}), quick(), silent())
	require.Equal(t, "fail", r.outcome, r.said)
	require.Equal(t, slo.Missed, res.Verdict)
	assert.Contains(t, r.said, "node-crash: missed: failover took ")
	assert.Regexp(t, `failover missed: target < 0.001 s, measured [0-9.]+ s`, r.said)
	assert.NotContains(t, r.said, "lost-writes", "what is met is not complained of")
	assert.Contains(t, r.said, "FIVENINES_SEED=7 go test -count=1 -run '^TestIt$/^node-crash$' .")
	reports, err := filepath.Glob(filepath.Join(r.dir, "fivenines-TestIt-node-crash-*", "report.html"))
	require.NoError(t, err)
	require.Len(t, reports, 1)
	assert.Contains(t, r.said, "report: "+reports[0])
}

// A mutant that is caught passes; one that no objective sees, or not the one that
// should, fails.
func TestMutants(t *testing.T) {
	t.Parallel()
	settled := Change(func(spec *scenarios.Spec) {
		spec.Faults[0].Until, spec.Faults[0].For = nil, fixtures.Duration(2*time.Second)
	})
	r := &recorder{}
	res := try(t, r, false, InProcess(gateways()), promises(), quick(), settled, Mutant("forgetful", "session-loss"))
	require.Equal(t, "pass", r.outcome, r.said)
	require.Equal(t, slo.Missed, res.Verdict)

	r = &recorder{}
	try(t, r, false, InProcess(gateways()), OnlyObjectives(map[string]string{"failover": "< 5 s"}), quick(), settled, Mutant("forgetful", "session-loss"))
	require.Equal(t, "fail", r.outcome)
	require.Contains(t, r.said, "the mutant forgetful was not caught, the verdict is met")

	r = &recorder{}
	try(t, r, false, InProcess(gateways()), promises(), quick(), Mutant("wild"))
	require.Equal(t, "fail", r.outcome)
	require.Contains(t, r.said, `in-process has no mutant called "wild"; there are forgetful`)
}

func TestInconclusive(t *testing.T) {
	t.Parallel()
	sleeps := Change(func(spec *scenarios.Spec) { spec.Faults[0].Kind = "node-pause" })
	for _, allowed := range []bool{false, true} {
		opts := []Option{InProcess(gateways()), promises(), quick(), sleeps}
		want := "fail"
		if allowed {
			opts, want = append(opts, AllowInconclusive()), "skip"
		}
		r := &recorder{}
		res := try(t, r, false, opts...)
		require.Equal(t, want, r.outcome)
		require.Contains(t, r.said, "inconclusive: ")
		require.Contains(t, r.said, "not runnable here")
		require.NotEqual(t, slo.Met, res.Verdict)
	}
	// A missed objective is no skip, whatever is allowed.
	r := &recorder{}
	try(t, r, false, InProcess(gateways()), OnlyObjectives(map[string]string{"failover": "< 1 ms"}), quick(), silent(), AllowInconclusive())
	require.Equal(t, "fail", r.outcome)
	require.Contains(t, r.said, "missed")
}

func TestShort(t *testing.T) {
	r := &recorder{}
	try(t, r, true, InProcess(gateways()))
	require.Equal(t, "skip", r.outcome)
	require.Contains(t, r.said, "fivenines.InShort")
	var seen *scenarios.Spec
	s := &settings{short: true}
	s.apply([]Option{InProcess(gateways()), Rate(9000), InShort()})
	s.shorten()
	seen, err := s.spec(func() (*scenarios.Spec, error) { return scenarios.Named("node-crash") })
	require.NoError(t, err)
	require.Equal(t, 400.0, seen.Workload.Rate)
	s = &settings{}
	s.apply([]Option{InProcess(gateways()), Rate(9000), InShort()})
	s.shorten()
	seen, err = s.spec(func() (*scenarios.Spec, error) { return scenarios.Named("node-crash") })
	require.NoError(t, err)
	require.Equal(t, 9000.0, seen.Workload.Rate)
}

// What can't be over in time is refused at once; what is late is ended, undone and told.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	r := &recorder{deadline: time.Now().Add(20 * time.Second)}
	began := time.Now()
	try(t, r, false, InProcess(gateways()), promises())
	require.Equal(t, "fail", r.outcome)
	require.Contains(t, r.said, "run it with -timeout")
	require.Less(t, time.Since(began), 5*time.Second)

	for name, c := range map[string]struct {
		left time.Duration
		opt  Option
		want string
	}{
		"timeout":  {0, Timeout(3 * time.Second), "longer than fivenines.Timeout allows"},
		"deadline": {reserveMin + 9*time.Second, Trials(1), "the deadline of go test came near"},
	} {
		t.Run(name, func(t *testing.T) {
			stuck := gateways()
			node := stuck.Node
			stuck.Node = func(ctx context.Context, n *inprocess.Node) error {
				if n.ID == "west-1" {
					<-ctx.Done() // never ready
					return nil
				}
				return node(ctx, n)
			}
			began := time.Now()
			r := &recorder{}
			if c.left > 0 {
				r.deadline = began.Add(c.left)
			}
			try(t, r, false, InProcess(stuck), promises(), quick(), c.opt, AllowInconclusive())
			require.Equal(t, "fail", r.outcome, "AllowInconclusive does not hide a timeout")
			require.Contains(t, r.said, c.want)
			require.Less(t, time.Since(began), 20*time.Second)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r = &recorder{ctx: ctx}
	try(t, r, false, InProcess(gateways()), promises(), quick())
	require.Equal(t, "fail", r.outcome)
}

func TestBadOptions(t *testing.T) {
	for want, opts := range map[string][]Option{
		"the system under test: none is given": {},
		"it has no target or no backend":       {Target(nil, nil)},
		`no topology`:                          {InProcess(gateways()), Topology("nowhere")},
		"objectives.failover":                  {InProcess(gateways()), Objective("failover", "soon")},
		"no such file":                         {InProcess(gateways()), Rules("not-there.yaml")},
		"no program here":                      {Under(func(context.Context) (System, error) { return System{}, errors.New("no program here") })},
	} {
		r := &recorder{}
		try(t, r, false, opts...)
		assert.Equal(t, "fail", r.outcome)
		assert.Contains(t, r.said, want)
	}
	t.Setenv(seedEnv, "x")
	r := &recorder{}
	try(t, r, false, InProcess(gateways()))
	assert.Contains(t, r.said, `$FIVENINES_SEED is "x"`)
	t.Setenv(seedEnv, "12")
	s := &settings{}
	s.apply([]Option{Seed(5)})
	spec, err := s.spec(func() (*scenarios.Spec, error) { return scenarios.Named("node-crash") })
	require.NoError(t, err)
	require.Equal(t, int64(12), spec.Seed, "to repeat a failure of a test with a seed of its own")
}

func TestArtifactsFolder(t *testing.T) {
	t.Setenv(artifactsEnv, filepath.Join(t.TempDir(), "a", "b"))
	s := &settings{res: &slo.Result{Verdict: slo.Met}}
	one, err := s.folder(&recorder{})
	require.NoError(t, err)
	two, err := s.folder(&recorder{})
	require.NoError(t, err)
	require.NotEqual(t, one, two)
	require.True(t, strings.HasPrefix(one, os.Getenv(artifactsEnv)))
	r := &recorder{}
	s.keep = true
	s.drop(r, one)
	require.DirExists(t, one)
	require.Contains(t, strings.Join(r.logs, " "), one)
	s.keep = false
	s.drop(r, one)
	require.NoDirExists(t, one)

	// go test -artifacts keeps all.
	was := flag.Lookup("test.artifacts").Value.String()
	require.NoError(t, flag.Set("test.artifacts", "true"))
	defer flag.Set("test.artifacts", was)
	r.dir = t.TempDir()
	three, err := s.folder(r)
	require.NoError(t, err)
	require.Equal(t, r.dir, filepath.Dir(three))
	require.True(t, s.keep)
	s = &settings{artifacts: t.TempDir()}
	four, err := s.folder(r)
	require.NoError(t, err)
	require.Equal(t, s.artifacts, filepath.Dir(four), "an option goes before")
}

// What is said is short: problems once, and the rows that they leave open by name.
func TestToldIsShort(t *testing.T) {
	v := 2.5
	s := &settings{res: &slo.Result{
		Scenario: "node-crash", Verdict: slo.Inconclusive, Summary: "Inconclusive: the generator fell behind.",
		Problems: []string{"a", "b", "c", "d", strings.Repeat("long ", 200), "f", "g"},
		Objectives: []slo.Objective{
			{Name: "failover", Target: "< 3 s", Unit: "s", Measured: &slo.Value{Value: v}, Verdict: slo.Inconclusive, Evidence: "the generator fell behind"},
			{Name: "rto", Target: "< 3 s", Unit: "s", Verdict: slo.Inconclusive, Evidence: "the generator fell behind"},
			{Name: "lost-writes", Target: "0", Unit: "count", Measured: &slo.Value{Value: 3}, Verdict: slo.Missed, Evidence: "3 of 9"},
			{Name: "rpo", Verdict: slo.NotEvaluated}, {Name: "mttd", Verdict: slo.Met},
		},
	}}
	told := s.told(nil, nil)
	lines := strings.Split(told, "\n")
	require.Equal(t, "fivenines: node-crash: inconclusive: the generator fell behind.", lines[0])
	require.Equal(t, "  lost-writes missed: target 0, measured 3 (3 of 9)", lines[1])
	require.Equal(t, "  inconclusive: failover, rto", lines[2])
	require.Equal(t, "  and 2 more problems", lines[len(lines)-1])
	require.Less(t, len(told), 1000)
	s.res.Problems = nil
	require.Contains(t, s.told(nil, nil), "failover inconclusive: target < 3 s, measured 2.5 s (the generator fell behind)", "where nothing else says why")
}
