package supervise

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/fivenines/fivenines/reference/internal/healing"
)

// endIn is how long a process that is asked to end may take before it is killed.
const endIn = 15 * time.Second

// Options say what is kept running.
type Options struct {
	Name   string // of the node, for events
	Region string
	// Command makes a start. restarts is 0 for the first; why says how the last
	// life ended. Its SysProcAttr is the supervisor's.
	Command func(restarts int, why string) *exec.Cmd
	Health  string // address that serves GET /healthz
	Config  healing.Config
	// NoRestart is a mutant: what ended is not started again.
	NoRestart bool
}

// Run keeps the process running until ctx ends or a signal asks for the end,
// and returns the process's exit code, -1 if a signal ended it.
func Run(ctx context.Context, opt Options, log *slog.Logger) (int, error) {
	s := &supervisor{opt: opt, log: log.With("supervisor of", opt.Name), m: healing.New(opt.Config, "the process of "+opt.Name), zero: time.Now(),
		ended: make(chan end, 1), checks: make(chan check, 1), work: make(chan func()), window: newWindow(opt)}
	go func() {
		// The kernel sends the parent-death signal when the thread that started a
		// child ends: this one never does.
		runtime.LockOSThread()
		for f := range s.work {
			f()
		}
	}()
	defer close(s.work)
	defer s.window.close()
	return s.run(ctx)
}

type supervisor struct {
	opt    Options
	log    *slog.Logger
	m      *healing.Machine
	zero   time.Time
	window *window
	work   chan func()

	cmd      *exec.Cmd // nil: none runs
	why      string    // how the last one ended
	killed   time.Duration
	ended    chan end
	checks   chan check
	checking bool
	checked  time.Duration
	ending   bool
	patience <-chan time.Time
}

// end is that of a process.
type end struct {
	cmd *exec.Cmd
	how string
}

// check is the answer to one health check.
type check struct {
	cmd  *exec.Cmd
	why  string
	late bool // this process did not run meanwhile: it says nothing
}

func (s *supervisor) now() time.Duration { return time.Since(s.zero) + 1 }

func (s *supervisor) run(ctx context.Context) (int, error) {
	sigs := make(chan os.Signal, 8)
	signal.Notify(sigs, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(sigs)
	asked := ctx.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case e := <-s.ended:
			if e.cmd != s.cmd {
				continue
			}
			s.cmd, s.why = nil, e.how
			s.m.Ended(s.now(), e.how)
			if s.ending {
				return e.cmd.ProcessState.ExitCode(), nil
			}
		case c := <-s.checks:
			s.checking = false
			if c.cmd == s.cmd && !c.late {
				s.m.Checked(s.now(), c.why)
			}
		case sig := <-sigs:
			switch sig {
			case syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP:
				s.finish()
			}
			s.signal(sig)
		case <-asked:
			asked = nil
			s.finish()
			s.signal(syscall.SIGTERM)
		case <-s.patience:
			s.log.Warn("does not end, and is killed", "after", endIn)
			s.kill()
		case <-timer.C:
		}
		if s.ending && s.cmd == nil {
			return 0, nil
		}
		if !s.ending {
			if err := s.tick(); err != nil {
				return -1, err
			}
		}
		timer.Reset(s.next())
	}
}

// finish is the begin of the end.
func (s *supervisor) finish() {
	if !s.ending {
		s.ending, s.patience = true, time.After(endIn)
	}
}

// next is how long there is nothing to do.
func (s *supervisor) next() time.Duration {
	now := s.now()
	at := s.checked + time.Duration(s.m.Config().CheckEvery)
	if due := s.m.Next(); due > 0 && due < at {
		at = due
	}
	if s.killed > 0 {
		at = min(at, s.killed+time.Duration(s.m.Config().StopIn))
	}
	return max(at-now, time.Millisecond)
}

func (s *supervisor) tick() error {
	now := s.now()
	if s.killed > 0 && s.cmd != nil && now-s.killed >= time.Duration(s.m.Config().StopIn) {
		s.m.Stuck(now)
		s.killed = 0
	}
	if s.cmd != nil && !s.checking && now-s.checked >= time.Duration(s.m.Config().CheckEvery) {
		s.checked, s.checking = now, true
		go s.check(s.cmd)
	}
	out := s.m.Tick(now)
	for _, e := range out.Events {
		level := slog.LevelInfo
		if e.Priority != "P3" {
			level = slog.LevelWarn
		}
		s.log.Log(context.Background(), level, e.Detail, "event", e.Kind, "priority", e.Priority)
	}
	s.window.tell(out.Events, s.m)
	if out.Stop {
		s.killed = now
		s.kill()
	}
	if out.Start {
		if s.opt.NoRestart && s.m.Restarts() > 0 {
			s.log.Warn("is not started again: this supervisor is broken on purpose")
			return nil
		}
		s.killed = 0
		return s.start()
	}
	if s.cmd == nil {
		if err := s.window.open(); err != nil {
			s.log.Warn("cannot say so at the node's own address", "err", err)
		}
	}
	return nil
}

// start starts the process, which takes the health address over.
func (s *supervisor) start() error {
	s.window.close()
	cmd := s.opt.Command(s.m.Restarts(), s.why)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	s.work <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		if s.m.Restarts() == 0 {
			return fmt.Errorf("start %s: %w", cmd.Path, err)
		}
		s.m.Ended(s.now(), fmt.Sprintf("cannot be started: %v", err))
		return nil
	}
	s.cmd = cmd
	s.log.Info("started", "pid", cmd.Process.Pid, "restarts", s.m.Restarts())
	go func() {
		cmd.Wait()
		s.ended <- end{cmd, cmd.ProcessState.String()}
	}()
	return nil
}

func (s *supervisor) kill() {
	if s.cmd != nil {
		s.cmd.Process.Kill()
	}
}

func (s *supervisor) signal(sig os.Signal) {
	if s.cmd != nil {
		s.cmd.Process.Signal(sig)
	}
}

// check asks the process whether it is well.
func (s *supervisor) check(cmd *exec.Cmd) {
	patience := time.Duration(s.m.Config().CheckTimeout)
	began := time.Now()
	why := ask(s.opt.Health, patience)
	s.checks <- check{cmd, why, time.Since(began) > patience+time.Second}
}

// ask is empty if the answer is good.
func ask(addr string, patience time.Duration) string {
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + reachable(addr) + "/healthz")
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<10))
	switch {
	case err != nil:
		return err.Error()
	case res.StatusCode != http.StatusOK:
		return strings.TrimSpace(string(b))
	}
	return ""
}

// reachable is where to dial what listens at addr.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
