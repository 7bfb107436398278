package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/scenarios"
	"github.com/fivenines/fivenines/slo"
)

// lacking lists what a person would miss in the help of a command and of
// everything below it.
func lacking(root *cobra.Command) []string {
	var out []string
	each(root, func(c *cobra.Command) {
		if c.Name() == "help" {
			return
		}
		path := c.CommandPath()
		if !strings.Contains(c.Example, path) {
			out = append(out, path+" has no example of itself")
		}
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			out = append(out, path+" says what it does in no line, or in a sentence")
		}
		for line := range strings.Lines(c.Example) {
			if err := wellFormed(root, strings.TrimSpace(line)); err != nil {
				out = append(out, fmt.Sprintf("%s: example %q: %v", path, strings.TrimSpace(line), err))
			}
		}
	})
	return out
}

func TestHelpOfEveryCommandHasExamples(t *testing.T) {
	root := newRootCmd()
	assert.Empty(t, lacking(root))
	each(root, func(c *cobra.Command) {
		if c.Name() == "help" {
			return
		}
		code, out, _ := cli(t, append(strings.Fields(c.CommandPath())[1:], "--help")...)
		assert.Equal(t, exitMet, code, c.CommandPath())
		assert.Contains(t, out, "Examples:\n", c.CommandPath())
	})
}

// The walk finds what is planted.
func TestMissingExamplesAreFound(t *testing.T) {
	root := newRootCmd()
	root.AddCommand(
		&cobra.Command{Use: "bare", Short: "Do nothing", Run: func(*cobra.Command, []string) {}},
		&cobra.Command{Use: "stale", Short: "Do something", Example: "  fivenines stale\n  fivenines run region-loss --rsp 5", Run: func(*cobra.Command, []string) {}},
		&cobra.Command{Use: "mute", Example: "  fivenines mute", Run: func(*cobra.Command, []string) {}},
	)
	assert.ElementsMatch(t, []string{
		"fivenines bare has no example of itself",
		`fivenines stale: example "fivenines run region-loss --rsp 5": fivenines run has no flag --rsp`,
		"fivenines mute says what it does in no line, or in a sentence",
	}, lacking(root))
}

// What is wrong with an input, and what to do next, in one line.
func TestErrorsSayWhatToDoNext(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Chdir(dir)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	write := func(name, text string) string {
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
		return name
	}
	fault := write("fault.yaml", "name: x\nfaults:\n  - {kind: node-carsh}\n")
	param := write("param.yaml", "name: x\nfaults:\n  - {kind: region-loss, params: {regon: us-east-1}}\n")
	value := write("value.yaml", "name: x\nfaults:\n  - {kind: region-loss, params: {mode: sielnt}}\n")
	for _, c := range []struct {
		args       []string
		code       int
		what, next string
	}{
		// Typos, of everything that has a name.
		{[]string{"veryfy"}, exitUsage, `no command is called "veryfy"`, "did you mean verify?"},
		{[]string{"slo", "bugdet"}, exitUsage, `no command is called "bugdet"`, "did you mean budget?"},
		{[]string{"run", "baseline", "--sesions", "5"}, exitUsage, "unknown flag: --sesions", "did you mean --sessions?"},
		{[]string{"run", "baseline", "--xyzzy"}, exitUsage, "unknown flag: --xyzzy", "fivenines run --help lists them"},
		{[]string{"run", "baseline", "-z"}, exitUsage, "unknown shorthand flag: 'z'", "fivenines run --help lists them"},
		{[]string{"run", "node-carsh"}, exitUsage, `no scenario is called "node-carsh"`, "did you mean node-crash?"},
		{[]string{"verify", "node-carsh"}, exitUsage, `no scenario is called "node-carsh"`, "did you mean node-crash?"},
		{[]string{"run", "baseline", "--mutant", "no-fail-over"}, exitUsage, `no mutant called "no-fail-over"`, "did you mean no-failover?"},
		{[]string{"up", "--mutant", "no-fsyn", "--i-know-this-is-broken"}, exitUsage, `no mutant called "no-fsyn"`, "did you mean no-fsync?"},
		{[]string{"run", "baseline", "--target", "refrence"}, exitUsage, `no target is called "refrence"`, "did you mean reference?"},
		{[]string{"run", "baseline", "--backend", "proces"}, exitUsage, `no backend is called "proces"`, "did you mean process?"},
		{[]string{"run", "baseline", "--topology", "three-noed"}, exitUsage, `no topology is called "three-noed"`, "did you mean three-node"},
		{[]string{"run", "baseline", "--objective", "failvoer=< 5 s"}, exitUsage, `no objective is called "failvoer"`, "did you mean failover?"},
		{[]string{"run", fault}, exitUsage, fault + ":3: faults[0].kind: no fault is called \"node-carsh\"", "did you mean node-crash?"},
		{[]string{"run", param}, exitUsage, `has no parameter "regon"`, "it has region, mode"},
		{[]string{"run", value}, exitUsage, "mode=sielnt is not one of silent, crash", "did you mean silent?"},
		{[]string{"report", ".", "--format", "htlm"}, exitUsage, `no format is called "htlm"`, "did you mean html?"},
		{[]string{"compare", ".", ".", "--format", "markdwon"}, exitUsage, `no format is called "markdwon"`, "did you mean markdown?"},
		{[]string{"compare", ".", ".", "--measure", "failovr"}, exitUsage, `no measure is called "failovr"`, "did you mean failover?"},
		{[]string{"completion", "zhs"}, exitUsage, `a shell called "zhs"`, "did you mean zsh?"},
		// Values and arguments of the wrong form.
		{[]string{"run", "baseline", "--rps", "fast"}, exitUsage, `--rps "fast"`, "it wants a number, such as 2000"},
		{[]string{"run", "baseline", "--trials", "1.5"}, exitUsage, `--trials "1.5"`, "it wants a whole number, such as 5"},
		{[]string{"run", "baseline", "--after", "soon"}, exitUsage, `--after "soon"`, "it wants a duration, such as 500ms"},
		{[]string{"run", "baseline", "--plain=maybe"}, exitUsage, `--plain "maybe"`, "it wants true or false"},
		{[]string{"run", "baseline", "--objective", "failover"}, exitUsage, `--objective "failover"`, "it wants NAME=VALUE"},
		{[]string{"run", "baseline", "--rps"}, exitUsage, "flag needs an argument: --rps", "it wants a number, such as 2000"},
		{[]string{"run", "baseline", "--after", "10s", "--duration", "20s"}, exitUsage, "--after and --duration exclude each other", "leave one out"},
		{[]string{"run", "baseline", "--metrics", ":9464"}, exitUsage, "is not an address of this machine alone", "name 127.0.0.1, or add --metrics-anywhere"},
		{[]string{"verify", "baseline", "--metrics", "9464"}, exitUsage, `--metrics: address "9464"`, "it wants HOST:PORT"},
		{[]string{"run", "baseline", "--metrics", taken.Addr().String()}, exitUsage, "address already in use", "end what listens there"},
		{[]string{"run"}, exitUsage, "run needs a scenario", "a name that fivenines list shows, or a file"},
		{[]string{"analyze"}, exitUsage, "accepts 1 arg(s), received 0", "it is used as: fivenines analyze RUN"},
		{[]string{"report", "a", "b"}, exitUsage, "accepts 1 arg(s), received 2", "it is used as: fivenines report RUN"},
		{[]string{"compare", "a"}, exitUsage, "needs two runs, BASE and NEW, not 1", "it is used as: fivenines compare BASE NEW"},
		{[]string{"list", "faults"}, exitUsage, `list takes no argument, and "faults" is one`, "it is used as: fivenines list"},
		{[]string{"check"}, exitUsage, "needs at least one file", "fivenines check --help"},
		{[]string{"completion"}, exitUsage, "needs the name of a shell", "there are bash, fish, zsh"},
		{[]string{"failover"}, exitUsage, "say either --to REGION", "or --home"},
		{[]string{"slo", "budget"}, exitUsage, "needs a run", "fivenines run makes one"},
		{[]string{"verify-recovery"}, exitUsage, "say what to check", "--check-sessions, --check-data"},
		// Files and folders.
		{[]string{"run", "none.yaml"}, exitUsage, "none.yaml: no such file or directory", "is the path right?"},
		{[]string{"check", "none.yaml"}, exitUsage, "none.yaml: no such file or directory", "is the path right?"},
		{[]string{"verify", "baseline", "--rates", "none.yaml"}, exitUsage, "none.yaml: no such file or directory", "is the path right?"},
		{[]string{"run", "baseline", "--out", "."}, exitRun, "is not empty", "name a new one"},
		{[]string{"run", "baseline", "--out", fault + "/x"}, exitRun, "not a directory", "name another folder"},
		{[]string{"analyze", "."}, exitUsage, "is not the folder of a run", "name one that fivenines run made"},
		{[]string{"compare", "none", "."}, exitUsage, "no such file or directory", "is the path right?"},
		{[]string{"down", "--name", "nobody"}, exitRun, `"nobody" is not up`, "fivenines up starts it"},
		{[]string{"status", "--name", "nobody"}, exitRun, `"nobody" is not up`, "fivenines up starts it"},
		{[]string{"doctor", "--dir", "/nowhere"}, exitRun, "lacks what the process backend needs", "the lines with MISSING say what to do"},
	} {
		code, _, stderr := cli(t, c.args...)
		assert.Equal(t, c.code, code, "%v: %s", c.args, stderr)
		found := false
		for line := range strings.Lines(stderr) {
			if strings.Contains(line, c.what) {
				found = true
				assert.True(t, strings.HasPrefix(line, "fivenines: "), "%v: %q", c.args, line)
				assert.Contains(t, line, c.next, "%v", c.args)
			}
		}
		assert.True(t, found, "%v: %q is not in %q", c.args, c.what, stderr)
	}
}

func TestEnvironmentSetsDefaults(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	parsed := func(args ...string) (*cobra.Command, error) {
		cmd := runCommand()
		require.NoError(t, cmd.ParseFlags(args))
		return cmd, fromEnvironment(cmd, nil)
	}
	t.Setenv("FIVENINES_RPS", "300")
	t.Setenv("FIVENINES_SESSIONS", "40")
	t.Setenv("FIVENINES_AFTER", "12s")
	t.Setenv("FIVENINES_TOPOLOGY", "three-node")
	cmd, err := parsed("--sessions", "50")
	require.NoError(t, err)
	f := &runFlags{}
	assert.Equal(t, "fivenines run x --topology three-node --rps 300 --sessions 50 --after 12s --seed 3", f.again(cmd, []string{"run", "x"}, 3),
		"what repeats the run says what the environment said; a flag goes before it")
	cmd, err = parsed("--duration", "30s")
	require.NoError(t, err)
	assert.False(t, cmd.Flags().Lookup("after").Changed, "one flag decides what another was the default of")

	t.Setenv("FIVENINES_RPS", "fast")
	_, err = parsed()
	require.EqualError(t, err, "FIVENINES_RPS=fast in the environment: it wants a number, such as 2000")
	code, _, stderr := cli(t, "run", "baseline")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, stderr, "fivenines: FIVENINES_RPS=fast in the environment: it wants a number")
	code, _, _ = cli(t, "list")
	assert.Equal(t, exitMet, code, "where it is no flag it is nothing")
}

func TestCompletion(t *testing.T) {
	for shell, mark := range map[string]string{"bash": "__start_fivenines", "zsh": "#compdef fivenines", "fish": "complete -c fivenines"} {
		code, out, stderr := cli(t, "completion", shell)
		require.Equal(t, exitMet, code, stderr)
		assert.Contains(t, out, mark)
	}

	dir := t.TempDir()
	t.Chdir(dir)
	at := time.Now()
	for _, run := range []string{"old", "new"} {
		require.NoError(t, os.MkdirAll(filepath.Join("runs", run), 0o755))
		file := filepath.Join("runs", run, history.ManifestFile)
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		require.NoError(t, os.Chtimes(file, at, at))
		at = at.Add(time.Second)
	}
	require.NoError(t, os.MkdirAll(filepath.Join("runs", "no-run"), 0o755))
	var names []string
	for _, e := range scenarios.Catalogue() {
		names = append(names, e.Name)
	}
	var objectives []string
	for _, n := range slo.Names() {
		objectives = append(objectives, n+"=")
	}
	t.Setenv("TMPDIR", t.TempDir())
	held, err := claimState("mine")
	require.NoError(t, err)
	defer held.release()
	require.NoError(t, held.write(&upState{PID: os.Getpid(), Regions: []upRegion{{Name: "a"}, {Name: "b"}}}))
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"run", ""}, names},
		{[]string{"run", "--through", ""}, []string{"balancers", "dns", "nodes"}},
		{[]string{"failover", "--name", "mine", "--to", ""}, []string{"a", "b"}},
		{[]string{"failover", "--to", ""}, nil},
		{[]string{"recover", "--name", "mine", "--lost", ""}, []string{"a", "b"}},
		{[]string{"recover", "--level", ""}, []string{"1", "2", "3"}},
		{[]string{"verify", "region-loss", ""}, names},
		{[]string{"run", "--objective", ""}, objectives},
		{[]string{"run", "--topology", ""}, scenarios.TopologyNames()},
		{[]string{"run", "--mutant", "no-f"}, []string{"no-failover", "no-fencing", "no-fsync"}},
		{[]string{"run", "--target", ""}, []string{"reference"}},
		{[]string{"up", "--backend", ""}, []string{"container", "process"}},
		{[]string{"analyze", ""}, []string{"runs/new", "runs/old"}},
		{[]string{"compare", "runs/"}, []string{"runs/new", "runs/old"}},
		{[]string{"slo", "budget", ""}, []string{"runs/new", "runs/old"}},
		{[]string{"report", "x", "--format", "j"}, []string{"json", "junit"}},
		{[]string{"completion", ""}, []string{"bash", "fish", "zsh"}},
		{[]string{"check", ""}, []string{"yaml", "yml", "json"}}, // of files with these ends
	} {
		code, out, stderr := cli(t, append([]string{"__complete"}, c.args...)...)
		require.Equal(t, exitMet, code, stderr)
		var got []string
		for line := range strings.Lines(out) {
			word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			if word != "" && !strings.HasPrefix(word, ":") {
				got = append(got, word)
			}
		}
		assert.Subset(t, got, c.want, "%v", c.args)
		if len(c.want) == 2 && strings.HasPrefix(c.want[0], "runs/") {
			assert.Equal(t, c.want, got, "the latest first, and runs only")
		}
	}
}

// pty is a terminal that a test looks at from the other side.
func pty(t *testing.T) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	go func() { _, _ = io.Copy(io.Discard, master) }() // ends when the terminal is closed
	t.Cleanup(func() { slave.Close() })
	return slave
}

func TestColourIsForTerminals(t *testing.T) {
	tty := pty(t)
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	assert.True(t, colorful(tty))
	t.Setenv("NO_COLOR", "1")
	assert.False(t, colorful(tty))
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "dumb")
	assert.False(t, colorful(tty))
	t.Setenv("TERM", "xterm")
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	defer file.Close()
	assert.False(t, colorful(file))

	live, done := newProgress(tty, false, false)
	assert.IsType(t, &liveProgress{}, live)
	done()
	plain, done := newProgress(tty, false, true)
	assert.IsType(t, &plainProgress{}, plain, "--plain has no bars")
	done()
	piped, done := newProgress(file, false, false)
	assert.IsType(t, &plainProgress{}, piped)
	done()
}

// -q prints the verdict in one line, and nothing else.
func TestQuietIsOneLine(t *testing.T) {
	var out, errs bytes.Buffer
	cmd := verifyCommand()
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	f := &verifyFlags{runFlags: runFlags{quiet: true, mutant: "no-fsync"}}
	require.NoError(t, f.print(cmd, &slo.Verification{Verdict: slo.Missed}, "somewhere"))
	assert.Equal(t, "verify: missed (MUTANT no-fsync: broken on purpose)\n", out.String())
	assert.Empty(t, errs.String())
	each(newRootCmd(), func(c *cobra.Command) {
		if c.Flags().Lookup("plain") != nil {
			assert.NotNil(t, c.Flags().ShorthandLookup("q"), "%s: what has a display has -q", c.CommandPath())
		}
	})
	tell(nil, scenarios.Phase{Text: "nobody is told"})
}

func TestDoctorSaysWhatAbsenceCosts(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	fs := examine(t.Context(), t.TempDir())
	seen := map[string]finding{}
	for _, f := range fs {
		seen[f.What] = f
		assert.NotEmpty(t, f.Found, f.What)
		if !f.OK {
			assert.NotEmpty(t, f.Advice, "%s is missing: what does that cost?", f.What)
		}
	}
	for _, tool := range tools {
		f := seen[tool.names[0]]
		assert.False(t, f.OK, f.What)
		assert.False(t, f.Needed, "%s: runs need nothing but this program", f.What)
	}
	for _, what := range []string{"cores", "memory available", "open files", "disk sync", "disk space", "ports of the stack", "timers", "clock", "docker"} {
		assert.Contains(t, seen, what)
	}
}

// What the operating system refuses comes with what to do, once.
func TestAdviceForWhatTheSystemRefuses(t *testing.T) {
	for _, a := range advice {
		assert.Equal(t, "make the folder: mkdir x: "+a.is.Error()+"; "+a.what,
			advised(fmt.Errorf("make the folder: %w", &fs.PathError{Op: "mkdir", Path: "x", Err: a.is})).Error())
	}
	for _, no := range []syscall.Errno{syscall.EROFS, syscall.EACCES, syscall.ENOSPC, syscall.ENOENT, syscall.ENOTDIR, syscall.EISDIR, syscall.EADDRINUSE, syscall.EMFILE} {
		err := advised(&fs.PathError{Op: "mkdir", Path: "x", Err: no})
		assert.Contains(t, err.Error(), "; ", "nothing says what to do about it")
		assert.Equal(t, err.Error(), advised(err).Error(), "said twice")
	}
}
