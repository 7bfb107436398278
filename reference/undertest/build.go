package undertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	module  = "github.com/fivenines/fivenines"
	program = module + "/cmd/fivenines"
)

// unusedFor is after how long a program that no test has used is removed.
const unusedFor = 14 * 24 * time.Hour

// Build makes the fivenines program from the module graph of the tested
// package, and returns its path below os.UserCacheDir()/fivenines. The path is
// named after the content, so that a program in use never changes. A file lock
// lets test processes that run side by side build once; go's own cache sees
// whether there is anything to build.
func Build(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("build the fivenines program: %w; give its path with undertest.Program or $%s", err, ProgramEnv)
	}
	b := builder{cache: filepath.Join(cache, "fivenines"), compile: compile}
	path, err := b.once(ctx)
	if err != nil {
		return "", fmt.Errorf("build the fivenines program: %w; or give its path with undertest.Program or $%s", err, ProgramEnv)
	}
	return path, nil
}

// built is what this process has built: a package's tests run in one folder.
var built struct {
	sync.Mutex
	path string
}

type builder struct {
	cache   string
	compile func(ctx context.Context, out string) error
}

func (b builder) once(ctx context.Context) (string, error) {
	built.Lock()
	defer built.Unlock()
	if _, err := os.Stat(built.path); err == nil && strings.HasPrefix(built.path, b.cache+string(filepath.Separator)) {
		return built.path, nil
	}
	path, err := b.build(ctx)
	if err == nil {
		built.path = path
	}
	return path, err
}

// build compiles under the lock and puts the result where its content says.
func (b builder) build(ctx context.Context) (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Join(b.cache, "bin"), 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(ctx, filepath.Join(b.cache, "build.lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	// One work place for each folder that tests are in: go leaves alone what is
	// up to date there.
	place := filepath.Join(b.cache, "work", digest([]byte(wd)))
	if err := os.MkdirAll(place, 0o755); err != nil {
		return "", err
	}
	out := filepath.Join(place, "fivenines")
	if err := b.compile(ctx, out); err != nil {
		return "", err
	}
	path, err := b.keep(out)
	if err != nil {
		return "", err
	}
	b.prune(path)
	return path, nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// keep copies the program to the place of its content.
func (b builder) keep(out string) (string, error) {
	f, err := os.Open(out)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	path := filepath.Join(b.cache, "bin", hex.EncodeToString(h.Sum(nil)[:16]))
	now := time.Now()
	if err := os.Chtimes(path, now, now); err == nil {
		return path, nil // it is there, and used again
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "new-*")
	if err != nil {
		return "", err
	}
	defer os.Remove(tmp.Name())
	_, err = f.Seek(0, io.SeekStart)
	if err == nil {
		_, err = io.Copy(tmp, f)
	}
	if err := errors.Join(err, tmp.Chmod(0o755), tmp.Close()); err != nil {
		return "", err
	}
	return path, os.Rename(tmp.Name(), path)
}

// prune removes programs that nobody has used for long.
func (b builder) prune(but string) {
	old, err := filepath.Glob(filepath.Join(b.cache, "bin", "*"))
	if err != nil {
		return
	}
	for _, path := range old {
		if i, err := os.Stat(path); err == nil && path != but && time.Since(i.ModTime()) > unusedFor {
			os.Remove(path)
		}
	}
}

// lock waits for a file lock, which a process that ends gives back.
func lock(ctx context.Context, name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("another test builds it and holds %s: %w", name, context.Cause(ctx))
		}
	}
}

// compile builds from the module of the working folder. A module that only
// imports fivenines has no checksums for what its command needs beyond that:
// they are added to copies of go.mod and go.sum, not to the module's own.
func compile(ctx context.Context, out string) error {
	// Without the state of a repository, which may be unreadable and is another after each commit.
	_, err := run(ctx, "build", "-buildvcs=false", "-o", out, program)
	if err == nil || ctx.Err() != nil {
		return err
	}
	tmp, terr := os.MkdirTemp("", "fivenines-mod-*")
	if terr != nil {
		return errors.Join(err, terr)
	}
	defer os.RemoveAll(tmp)
	mod := filepath.Join(tmp, "go.mod")
	if copyModule(ctx, mod) != nil {
		return err // the first one says what is wrong
	}
	if _, err := run(ctx, "build", "-buildvcs=false", "-mod=mod", "-modfile="+mod, "-o", out, program); err != nil {
		return fmt.Errorf("%w (`go get -tool %s` in the tested module adds what it lacks)", err, program)
	}
	return nil
}

// copyModule copies go.mod of the working folder's module, and its checksums
// with those that come with fivenines.
func copyModule(ctx context.Context, to string) error {
	own, err := run(ctx, "env", "GOMOD")
	if err != nil {
		return err
	}
	dir, err := run(ctx, "list", "-m", "-f", "{{.Dir}}", module)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(own)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, b, 0o644); err != nil {
		return err
	}
	var sums []byte
	for _, file := range []string{strings.TrimSuffix(own, ".mod") + ".sum", filepath.Join(dir, "go.sum")} {
		if b, err := os.ReadFile(file); err == nil {
			sums = append(sums, b...)
		}
	}
	return os.WriteFile(strings.TrimSuffix(to, ".mod")+".sum", sums, 0o644)
}

// run runs the go command and returns what it prints.
func run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	var said, wrong bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &wrong
	if err := cmd.Run(); err != nil {
		text := strings.Join(strings.Fields(wrong.String()), " ")
		if len(text) > 600 {
			text = text[:600] + "…"
		}
		return "", fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, text)
	}
	return strings.TrimSpace(said.String()), nil
}
