package fivenines_test

import (
	"context"
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fivenines/fivenines"
	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/fixtures/inprocess"
)

// sessions is the store of the application: here one that no fault touches.
type sessions struct {
	mu    sync.Mutex
	state map[string][]byte
}

func (s *sessions) Read(_ context.Context, key string) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.state[key]
	return v, ok, nil
}

func (s *sessions) Write(_ context.Context, key string, state []byte, _ time.Duration, when inprocess.Condition) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.state[key]; when == inprocess.IfAbsent && ok || when == inprocess.IfPresent && !ok {
		return false, nil
	}
	s.state[key] = state
	return true, nil
}

func (s *sessions) Touch(ctx context.Context, key string, _ time.Duration) ([]byte, bool, error) {
	return s.Read(ctx, key)
}

func (s *sessions) Remove(ctx context.Context, key string) ([]byte, bool, error) {
	v, ok, err := s.Read(ctx, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.state, key)
	return v, ok, err
}

// system is two nodes in front of the store.
func system() *inprocess.System {
	store := &sessions{state: map[string][]byte{}}
	return &inprocess.System{Node: func(ctx context.Context, n *inprocess.Node) error {
		ln, err := n.Listen(fixtures.PortClient)
		if err != nil {
			return err
		}
		return inprocess.Serve(ctx, ln, store)
	}}
}

// A scenario as a test: the region of the clients crashes, and all sessions are
// still there.
func Example() {
	fmt.Println(passes(func(t *testing.T) {
		fivenines.Test(t, "region-crash",
			fivenines.InProcess(system()),
			fivenines.Topology(inprocess.Topology(20*time.Millisecond, 1, 1)),
			fivenines.OnlyObjectives(map[string]string{"failover": "< 3 s", "session-loss": "0"}),
			fivenines.Small(), fivenines.InShort())
	}))
	// Output: true
}

// passes runs a test function inside of an example, without what go test -v prints.
func passes(test func(*testing.T)) bool {
	v := flag.Lookup("test.v").Value
	was := v.String()
	defer func() { _ = v.Set(was) }()
	_ = v.Set("false")
	return testing.RunTests(func(_, _ string) (bool, error) { return true, nil }, []testing.InternalTest{{Name: "TestRegionCrash", F: test}})
}
