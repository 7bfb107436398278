package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Code blocks of the documentation, and how they are run.
//
// A fenced block says by its info string what it is. "sh" is run as one script;
// "console" is run command by command ("$ "), and the lines below each must be in
// its output, where "..." stands for anything. Marks follow the language, or stand
// in a comment on the line before the block (<!-- test: exit=1 -->):
//
//	exit=1          the exit status that the block must have (default 0)
//	needs=docker    not run where that is missing, which the test says
//	background      started, and ended with Ctrl-C at the end of the document
//	until="text"    of a background block: go on once it has printed that
//	skip="reason"   not run, which the test says; its commands must exist all the same
//	file=PATH       the block is part of that file of the repository, word for word
//
// Blocks of one document run in order in one scratch folder, in which RUN is a
// link to the latest run. Other languages are not run.
type block struct {
	at   string // file:line
	lang string
	text string

	exit       int
	needs      []string
	background bool
	until      string
	skip       string
	file       string
}

var (
	fenceRE   = regexp.MustCompile("^( *)(```+)(.*)$")
	markRE    = regexp.MustCompile(`([a-z]+)(?:=("[^"]*"|\S+))?`)
	commentRE = regexp.MustCompile(`^<!-- test: (.*) -->$`)
)

// languages that a block may be in. A block without one could hide a command.
var languages = []string{"sh", "console", "go", "yaml", "json", "text", "xml", "promql"}

// blocksOf reads the fenced blocks of a document. loose documents may have blocks
// without a language, which are returned with the language "".
func blocksOf(file, text string, loose bool) ([]block, error) {
	var out []block
	var errs []error
	var open *block
	fence, indent, comment := "", "", ""
	for i, line := range strings.Split(text, "\n") {
		if open != nil {
			if strings.TrimSpace(line) == fence {
				out = append(out, *open)
				open = nil
				continue
			}
			open.text += strings.TrimPrefix(line, indent) + "\n"
			continue
		}
		if m := commentRE.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			comment = m[1]
			continue
		}
		m := fenceRE.FindStringSubmatch(line)
		if m == nil {
			comment = ""
			continue
		}
		indent, fence = m[1], m[2]
		lang, marks, _ := strings.Cut(strings.TrimSpace(m[3]), " ")
		open = &block{at: fmt.Sprintf("%s:%d", file, i+1), lang: lang}
		if err := open.mark(marks + " " + comment); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", open.at, err))
		}
		if !slices.Contains(languages, lang) && (!loose || lang != "") {
			errs = append(errs, fmt.Errorf("%s: a block in %q; there are %s", open.at, lang, strings.Join(languages, ", ")))
		}
		comment = ""
	}
	if open != nil {
		errs = append(errs, fmt.Errorf("%s: the block does not end", open.at))
	}
	return out, errors.Join(errs...)
}

func (b *block) mark(text string) error {
	rest := markRE.ReplaceAllString(text, "")
	if strings.TrimSpace(rest) != "" {
		return fmt.Errorf("mark %q is not understood", strings.TrimSpace(rest))
	}
	for _, m := range markRE.FindAllStringSubmatch(text, -1) {
		value := strings.Trim(m[2], `"`)
		switch m[1] {
		case "exit":
			n, err := strconv.Atoi(value)
			if err != nil {
				return fmt.Errorf("exit=%s is no exit status", value)
			}
			b.exit = n
		case "needs":
			for _, n := range strings.Split(value, ",") {
				if needs[n] == nil {
					return fmt.Errorf("needs=%s; there are %s", n, strings.Join(slices.Sorted(maps.Keys(needs)), ", "))
				}
				b.needs = append(b.needs, n)
			}
		case "background":
			b.background = true
		case "file":
			b.file = value
		case "until":
			b.until = value
		case "skip":
			if len(value) < 10 {
				return errors.New("skip needs a reason")
			}
			b.skip = value
		default:
			return fmt.Errorf("no mark is called %q", m[1])
		}
	}
	return nil
}

// needs are what blocks may depend on.
var needs = map[string]func() error{
	"docker": func() error { return exec.Command("docker", "info").Run() },
	"redis":  func() error { return onPath("redis-cli", "redis-benchmark") },
	"curl":   func() error { return onPath("curl") },
	"registry": func() error {
		return errors.New("no registry is asked in tests")
	},
}

func onPath(names ...string) error {
	for _, n := range names {
		if _, err := exec.LookPath(n); err != nil {
			return err
		}
	}
	return nil
}

// scratch is where the blocks of one document run.
type scratch struct {
	dir     string
	env     []string
	say     func(format string, args ...any)
	ended   []func() error // background blocks, to be ended
	retries int            // how often an inconclusive run is tried again
}

// run runs the block and says what is wrong.
func (s *scratch) run(ctx context.Context, b block) error {
	if b.lang != "sh" && b.lang != "console" {
		return nil
	}
	if b.skip != "" {
		s.say("%s: not run: %s", b.at, b.skip)
		return nil
	}
	for _, n := range b.needs {
		if err := needs[n](); err != nil {
			s.say("%s: NOT RUN: it needs %s: %v", b.at, n, err)
			return nil
		}
	}
	if err := s.linkRun(); err != nil {
		return err
	}
	var err error
	switch {
	case b.background:
		err = s.start(ctx, b)
	case b.lang == "console":
		err = s.console(ctx, b)
	default:
		_, err = s.shell(ctx, b.text, b.exit)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", b.at, err)
	}
	return nil
}

// shell runs a script and wants an exit status. A run that is inconclusive because
// the machine is busy says nothing of the document: it is tried again, from the
// same state of the folder.
func (s *scratch) shell(ctx context.Context, script string, exit int) (string, error) {
	before, err := s.files()
	if err != nil {
		return "", err
	}
	for try := 0; ; try++ {
		out, code, err := s.once(ctx, script)
		switch {
		case err != nil:
			return out, fmt.Errorf("%w\n%s\n%s", err, script, out)
		case code == exit:
			return out, nil
		case code == exitRun && try < s.retries:
			s.say("inconclusive, tried again: %s", script)
			if err := s.remove(before); err != nil {
				return out, err
			}
			continue
		}
		return out, fmt.Errorf("exit status %d, not %d:\n%s\n%s", code, exit, script, tail(out, 40))
	}
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// command is a shell in a process group of its own, which ends with this process.
func (s *scratch) command(ctx context.Context, script string) (*exec.Cmd, *bytes.Buffer) {
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir, cmd.Env = s.dir, s.env
	out := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	return cmd, out
}

func (s *scratch) once(ctx context.Context, script string) (string, int, error) {
	cmd, out := s.command(ctx, script)
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		return out.String(), exit.ExitCode(), nil
	}
	return out.String(), 0, err
}

// console runs each command and looks for the lines below it in its output.
func (s *scratch) console(ctx context.Context, b block) error {
	var script string
	var want []string
	finish := func() error {
		if script == "" {
			return nil
		}
		out, err := s.shell(ctx, script, b.exit)
		if err == nil {
			err = shows(out, want)
		}
		if err != nil {
			return fmt.Errorf("$ %s: %w", script, err)
		}
		return nil
	}
	for line := range strings.Lines(b.text) {
		line = strings.TrimRight(line, "\n")
		if cmd, ok := strings.CutPrefix(line, "$ "); ok {
			if err := finish(); err != nil {
				return err
			}
			script, want = cmd, nil
			continue
		}
		if script == "" {
			return errors.New("a console block begins with a command ($ ...)")
		}
		want = append(want, line)
	}
	return finish()
}

// shows says which line that should be in an output, in this order, is not.
func shows(out string, want []string) error {
	lines := strings.Split(out, "\n")
	at := 0
	for _, w := range want {
		if strings.TrimSpace(w) == "" || strings.TrimSpace(w) == "..." {
			continue
		}
		var parts []string
		for _, p := range strings.Split(strings.Join(strings.Fields(w), " "), "...") {
			parts = append(parts, regexp.QuoteMeta(p))
		}
		re := regexp.MustCompile("^" + strings.Join(parts, ".*") + "$")
		i := slices.IndexFunc(lines[at:], func(l string) bool { return re.MatchString(strings.Join(strings.Fields(l), " ")) })
		if i < 0 {
			return fmt.Errorf("its output does not show %q:\n%s", w, tail(out, 40))
		}
		at += i + 1
	}
	return nil
}

// start starts a background block.
func (s *scratch) start(ctx context.Context, b block) error {
	log := filepath.Join(s.dir, fmt.Sprintf(".background-%d", len(s.ended)))
	f, err := os.Create(log)
	if err != nil {
		return err
	}
	defer f.Close()
	cmd, _ := s.command(ctx, strings.TrimSuffix(strings.TrimSpace(b.text), "&"))
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	s.ended = append(s.ended, func() error {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
		select {
		case <-done:
			return nil
		case <-time.After(time.Minute):
			return errors.Join(fmt.Errorf("%s: it does not end on Ctrl-C", b.at), cmd.Cancel())
		}
	})
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		said, err := os.ReadFile(log)
		if err != nil {
			return err
		}
		if bytes.Contains(said, []byte(b.until)) {
			tick.Stop()
			return nil
		}
		select {
		case err := <-done:
			done <- err
			return fmt.Errorf("it ended: %v\n%s", err, tail(string(said), 20))
		case <-ctx.Done():
			return fmt.Errorf("it never said %q\n%s", b.until, tail(string(said), 20))
		case <-tick.C:
		}
	}
}

// end ends what runs in the background.
func (s *scratch) end() error {
	var errs []error
	for _, end := range slices.Backward(s.ended) {
		errs = append(errs, end())
	}
	s.ended = nil
	return errors.Join(errs...)
}

// files are the paths that a run may make: the folder's own entries and those of runs/.
func (s *scratch) files() (map[string]bool, error) {
	seen := map[string]bool{}
	for _, pattern := range []string{"*", "runs/*"} {
		found, err := filepath.Glob(filepath.Join(s.dir, pattern))
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			seen[f] = true
		}
	}
	return seen, nil
}

// remove removes what was not there before.
func (s *scratch) remove(before map[string]bool) error {
	now, err := s.files()
	if err != nil {
		return err
	}
	for f := range now {
		if !before[f] {
			if err := os.RemoveAll(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// linkRun makes RUN the latest run of the folder.
func (s *scratch) linkRun() error {
	var latest string
	var at time.Time
	for _, pattern := range []string{"*/result.json", "runs/*/result.json"} {
		found, err := filepath.Glob(filepath.Join(s.dir, pattern))
		if err != nil {
			return err
		}
		for _, f := range found {
			info, err := os.Stat(f)
			if err != nil {
				return err
			}
			if dir := filepath.Dir(f); filepath.Base(dir) != "RUN" && info.ModTime().After(at) {
				latest, at = dir, info.ModTime()
			}
		}
	}
	link := filepath.Join(s.dir, "RUN")
	_ = os.Remove(link)
	if latest == "" {
		return nil
	}
	return os.Symlink(latest, link)
}
