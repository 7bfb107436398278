package supervise

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/internal/procfs"
	"github.com/fivenines/fivenines/reference/internal/healing"
)

const (
	envChild      = "FIVENINES_TEST_CHILD"      // what the child does: serve, exit, exit0
	envHealth     = "FIVENINES_TEST_HEALTH"     // its address
	envLives      = "FIVENINES_TEST_LIVES"      // a file to which each life adds its pid
	envSupervisor = "FIVENINES_TEST_SUPERVISOR" // this process is a supervisor that the test may kill
)

func TestMain(m *testing.M) {
	if what := os.Getenv(envChild); what != "" {
		child(what)
	}
	if os.Getenv(envSupervisor) != "" {
		_, err := Run(context.Background(), options(os.Getenv(envHealth), os.Getenv(envLives), "serve"), slog.New(slog.DiscardHandler))
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// child is the supervised process.
func child(what string) {
	f, err := os.OpenFile(os.Getenv(envLives), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(f, os.Getpid())
	}
	if err != nil {
		os.Exit(9)
	}
	if code, ok := strings.CutPrefix(what, "exit"); ok {
		n, _ := strconv.Atoi(code)
		os.Exit(n)
	}
	sigs := make(chan os.Signal, 1)
	signal.Notify(sigs, syscall.SIGTERM, syscall.SIGUSR1)
	go http.ListenAndServe(os.Getenv(envHealth), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }))
	for sig := range sigs {
		if sig == syscall.SIGTERM {
			os.Exit(7)
		}
		f.WriteString("usr1\n")
	}
}

func quick() healing.Config {
	ms := func(n int) healing.Duration { return healing.Duration(time.Duration(n) * time.Millisecond) }
	return healing.Config{CheckEvery: ms(100), CheckTimeout: ms(200), Patience: ms(3000), Backoff: ms(20), Cooldown: ms(700), StopIn: ms(2000)}
}

func options(health, lives, what string) Options {
	self, _ := os.Executable()
	return Options{Name: "a-1", Region: "a", Health: health, Config: quick(), Command: func(int, string) *exec.Cmd {
		c := exec.Command(self)
		c.Env = []string{envChild + "=" + what, envHealth + "=" + health, envLives + "=" + lives}
		return c
	}}
}

// running is a supervisor in this process.
type running struct {
	t      *testing.T
	health string
	lives  string
	log    *syncBuffer
	stop   context.CancelFunc
	done   chan int
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func freeAddr(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

func begin(t *testing.T, what string, change func(*Options)) *running {
	r := &running{t: t, health: freeAddr(t), lives: filepath.Join(t.TempDir(), "lives"), log: &syncBuffer{}, done: make(chan int, 1)}
	opt := options(r.health, r.lives, what)
	if change != nil {
		change(&opt)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go func() {
		code, err := Run(ctx, opt, slog.New(slog.NewTextHandler(r.log, nil)))
		assert.NoError(t, err)
		r.done <- code
		close(r.done)
	}()
	t.Cleanup(func() { cancel(); <-r.done })
	return r
}

// pids are those of all lives so far.
func (r *running) pids() (pids []int) { return pidsIn(r.lives) }

func pidsIn(file string) (pids []int) {
	b, _ := os.ReadFile(file)
	for line := range strings.Lines(string(b)) {
		if n, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
			pids = append(pids, n)
		}
	}
	return pids
}

func alive(pid int) bool {
	st, err := procfs.Read(pid)
	return err == nil && !st.Gone()
}

// await waits until the nth life answers, and returns its pid.
func (r *running) await(n int) int {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return len(r.pids()) >= n && ask(r.health, time.Second) == "" }, 15*time.Second, 10*time.Millisecond, "life %d: %s", n, r.log)
	return r.pids()[n-1]
}

func TestAKilledProcessComesBack(t *testing.T) {
	r := begin(t, "serve", nil)
	pid := r.await(1)
	began := time.Now()
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	again := r.await(2)
	t.Logf("back after %v", time.Since(began))
	assert.NotEqual(t, pid, again)
	assert.Contains(t, r.log.String(), "signal: killed")
	r.stop()
	assert.Equal(t, 7, <-r.done, "asked to end, it says goodbye with its own exit code")
	assert.False(t, alive(again))
}

// A process that holds still answers nothing: it is killed, by its id, and
// started again.
func TestAWedgedProcessIsReplaced(t *testing.T) {
	r := begin(t, "serve", nil)
	pid := r.await(1)
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	r.await(2)
	assert.False(t, alive(pid))
	assert.Contains(t, r.log.String(), "health checks in a row failed")
}

// Exactly three restarts, the cooldown, and then an operator's; the node's own
// address says so all the while.
func TestACrashLoopEndsWithAnOperator(t *testing.T) {
	for _, what := range []string{"exit1", "exit0"} {
		r := begin(t, what, nil)
		events := r.follow("escalated")
		var kinds []string
		for _, e := range events {
			kinds = append(kinds, e.Kind)
		}
		assert.Equal(t, "P1", events[len(events)-1].Fields["priority"])
		assert.Equal(t, []string{"a-1", "a"}, events[len(events)-1].Parts)
		require.NotEmpty(t, kinds)
		assert.Equal(t, []string{"process-failed", "process-restarted", "process-failed", "process-restarted", "process-failed", "process-restarted",
			"process-failed", "process-cooldown", "escalated"}, kinds)
		assert.GreaterOrEqual(t, events[len(events)-1].Time.Sub(events[len(events)-2].Time), 700*time.Millisecond, "left alone")
		assert.Len(t, r.pids(), 4, "the first start and three restarts")
		assert.Contains(t, ask(r.health, time.Second), "given it to an operator")
		// It is tried on, once in each cooldown.
		require.Eventually(t, func() bool { return len(r.pids()) == 5 }, 10*time.Second, 10*time.Millisecond)
		r.stop()
		<-r.done
	}
}

// follow reads the event stream, as often as it has to be opened, until an event comes.
func (r *running) follow(kind string) (all []event) {
	require.Eventually(r.t, func() bool {
		res, err := http.Get("http://" + r.health + "/events")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		for dec := json.NewDecoder(res.Body); ; {
			var e event
			if dec.Decode(&e) != nil {
				return false // another attempt took the address
			}
			if len(all) == 0 || e.Seq > all[len(all)-1].Seq {
				all = append(all, e)
			}
			if e.Kind == kind {
				return true
			}
		}
	}, 15*time.Second, 5*time.Millisecond)
	return all
}

func TestTheMutantDoesNotRestart(t *testing.T) {
	r := begin(t, "serve", func(o *Options) { o.NoRestart = true })
	require.NoError(t, syscall.Kill(r.await(1), syscall.SIGKILL))
	require.Eventually(t, func() bool { return strings.Contains(r.log.String(), "broken on purpose") }, 10*time.Second, 10*time.Millisecond)
	assert.Len(t, r.pids(), 1)
}

func TestSignalsArePassedOn(t *testing.T) {
	health, lives := freeAddr(t), filepath.Join(t.TempDir(), "lives")
	sup := superviseInAProcess(t, health, lives)
	pid := pidsIn(lives)[0]
	require.NoError(t, sup.Process.Signal(syscall.SIGUSR1))
	require.Eventually(t, func() bool { b, _ := os.ReadFile(lives); return strings.Contains(string(b), "usr1") }, 10*time.Second, 10*time.Millisecond)
	require.NoError(t, sup.Process.Signal(syscall.SIGTERM))
	sup.Wait()
	assert.False(t, alive(pid))
}

// Nothing outlives a supervisor that is killed.
func TestTheProcessDiesWithItsSupervisor(t *testing.T) {
	health, lives := freeAddr(t), filepath.Join(t.TempDir(), "lives")
	sup := superviseInAProcess(t, health, lives)
	pid := pidsIn(lives)[0]
	require.NoError(t, sup.Process.Kill())
	sup.Wait()
	require.Eventually(t, func() bool { return !alive(pid) }, 10*time.Second, 5*time.Millisecond)
}

func superviseInAProcess(t *testing.T, health, lives string) *exec.Cmd {
	self, err := os.Executable()
	require.NoError(t, err)
	c := exec.Command(self)
	c.Env = []string{envSupervisor + "=1", envHealth + "=" + health, envLives + "=" + lives}
	c.Stderr = os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, c.Start())
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	require.Eventually(t, func() bool { return len(pidsIn(lives)) > 0 && ask(health, time.Second) == "" }, 15*time.Second, 10*time.Millisecond)
	return c
}
