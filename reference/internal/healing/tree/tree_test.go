package tree

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/reference/internal/healing"
)

// grove is a tree under test, quick and with what it told.
type grove struct {
	*Tree
	t    *testing.T
	stop context.CancelFunc

	mu   sync.Mutex
	told []string
	at   []time.Time
}

func plant(t *testing.T) *grove {
	ms := func(n int) healing.Duration { return healing.Duration(time.Duration(n) * time.Millisecond) }
	g := &grove{t: t}
	zero := time.Now()
	g.Tree = New(Options{
		Config: healing.Config{CheckEvery: ms(20), CheckTimeout: ms(100), Patience: ms(50), Backoff: ms(10), Cooldown: ms(600), StopIn: ms(200)},
		Now:    func() time.Duration { return time.Since(zero) + 1 }, Log: slog.New(slog.DiscardHandler),
		Tell: func(service string, e healing.Event) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.told, g.at = append(g.told, service+" "+e.Kind), append(g.at, time.Now())
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	g.stop = cancel
	g.Start(ctx)
	t.Cleanup(func() { cancel(); g.Wait() })
	return g
}

func (g *grove) heard() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.told...)
}

func (g *grove) await(event string) {
	g.t.Helper()
	require.Eventually(g.t, func() bool {
		for _, s := range g.heard() {
			if s == event {
				return true
			}
		}
		return false
	}, 10*time.Second, 2*time.Millisecond, "%s, only %v", event, g.heard())
}

func (g *grove) status(name string) Status {
	for _, s := range g.Status() {
		if s.Name == name {
			return s
		}
	}
	g.t.Fatalf("no service %s", name)
	return Status{}
}

// steady runs until it is asked to end, and counts its lives.
func steady(lives *atomic.Int64) func(context.Context) error {
	return func(ctx context.Context) error {
		lives.Add(1)
		<-ctx.Done()
		return nil
	}
}

func TestAServiceThatFailsIsStartedAgainAndTheOthersGoOn(t *testing.T) {
	for how, fail := range map[string]func() error{
		"error": func() error { return errors.New("out of luck") },
		"panic": func() error { panic("out of luck") },
		"end":   func() error { return nil },
	} {
		t.Run(how, func(t *testing.T) {
			g := plant(t)
			var other, lives atomic.Int64
			g.Add(Service{Name: "other", Branch: "a", Run: steady(&other)})
			g.Add(Service{Name: "weak", Branch: "a", Run: func(ctx context.Context) error {
				if lives.Add(1) == 1 {
					return fail()
				}
				<-ctx.Done()
				return nil
			}})
			g.await("weak healed")
			assert.Equal(t, []string{"weak failed", "weak restarted", "weak healed"}, g.heard())
			assert.EqualValues(t, 1, other.Load(), "the other one ran on")
			s := g.status("weak")
			assert.Equal(t, Status{Name: "weak", Restarts: 1, Running: true}, s)
			g.stop()
			require.NoError(t, g.Wait())
		})
	}
}

// Three restarts, the cooldown, and an operator's.
func TestAServiceThatKeepsFailingIsEscalated(t *testing.T) {
	g := plant(t)
	var lives, other atomic.Int64
	g.Add(Service{Name: "other", Branch: "b", Run: steady(&other)})
	g.Add(Service{Name: "weak", Branch: "a", Run: func(context.Context) error { panic(fmt.Sprint("again ", lives.Add(1))) }})
	g.await("weak cooldown")
	assert.EqualValues(t, 4, lives.Load())
	assert.False(t, g.status("weak").Running)
	g.await("weak escalated")
	assert.EqualValues(t, 4, lives.Load(), "left alone")
	told := g.heard()
	assert.Equal(t, []string{"weak failed", "weak restarted", "weak failed", "weak restarted", "weak failed", "weak restarted", "weak failed", "weak cooldown", "weak escalated"}, told)
	g.mu.Lock()
	assert.GreaterOrEqual(t, g.at[8].Sub(g.at[7]), 590*time.Millisecond)
	g.mu.Unlock()
	assert.True(t, g.status("weak").Escalated)
	assert.Contains(t, g.status("weak").Why, "panic: again 4")
	assert.EqualValues(t, 1, other.Load())
	require.Eventually(t, func() bool { return lives.Load() == 5 }, 10*time.Second, 5*time.Millisecond, "it is tried on, once in each cooldown")
}

func TestAnUnhealthyServiceIsStartedAgain(t *testing.T) {
	g := plant(t)
	var lives atomic.Int64
	g.Add(Service{Name: "mute", Branch: "a", Run: steady(&lives), Check: func(ctx context.Context) error {
		if lives.Load() < 2 {
			<-ctx.Done() // no answer
			return ctx.Err()
		}
		return nil
	}})
	g.await("mute healed")
	assert.EqualValues(t, 2, lives.Load())
	assert.Equal(t, []string{"mute failed", "mute restarted", "mute healed"}, g.heard())
}

// What does not end can't be started again: there would be two of it.
func TestAStuckServiceIsEscalated(t *testing.T) {
	g := plant(t)
	var lives, other atomic.Int64
	release := make(chan struct{})
	g.Add(Service{Name: "other", Branch: "a", Run: steady(&other)})
	g.Add(Service{Name: "stuck", Branch: "a", Run: func(context.Context) error { lives.Add(1); <-release; return nil },
		Check: func(context.Context) error { return errors.New("no answer") }})
	g.await("stuck escalated")
	assert.EqualValues(t, 1, lives.Load())
	assert.EqualValues(t, 1, other.Load())
	g.stop()
	require.ErrorContains(t, g.Wait(), "service stuck does not end")
	close(release)
}

func TestAPanickingCheckIsNoPass(t *testing.T) {
	g := plant(t)
	var lives atomic.Int64
	g.Add(Service{Name: "odd", Branch: "a", Run: steady(&lives), Check: func(context.Context) error { panic("odd") }})
	g.await("odd restarted")
	assert.Contains(t, g.status("odd").Why, "panic of its health check: odd")
}

func TestServicesEndWithTheTree(t *testing.T) {
	g := plant(t)
	var lives, ended atomic.Int64
	for i := range 20 {
		g.Add(Service{Name: fmt.Sprint("s", i), Branch: fmt.Sprint("b", i%3), Run: func(ctx context.Context) error {
			lives.Add(1)
			<-ctx.Done()
			ended.Add(1)
			return ctx.Err()
		}})
	}
	require.Eventually(t, func() bool { return lives.Load() == 20 }, 10*time.Second, time.Millisecond)
	g.stop()
	require.NoError(t, g.Wait())
	assert.EqualValues(t, 20, ended.Load())
	assert.Empty(t, g.heard(), "an end that was asked for is no failure")
}
