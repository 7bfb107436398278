package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const repository = "../.."

// smallLoad is what makes runs of the documentation quick. Nothing else of them is
// changed: the commands are run as they stand there.
var smallLoad = []string{
	"FIVENINES_TOPOLOGY=three-node", "FIVENINES_RPS=600", "FIVENINES_SESSIONS=1500",
	"FIVENINES_BEFORE=4s", "FIVENINES_AFTER=16s",
}

// unmarked are commands of the README that are not run, since its blocks say no
// language and so carry no marks. Each must be there, and have a reason; whatever
// is not named here is run.
var unmarked = []struct{ command, reason string }{
	{"go test ./...", "this test is part of it"},
	{"fivenines up &", "holds until Ctrl-C, and the address below is right only if no other run has taken it: marks (background, until) would run it"},
	{"redis-cli -h 127.64.1.1", "see fivenines up"},
	{"redis-benchmark -h 127.64.1.1", "see fivenines up"},
	{"fivenines run node-crash --trials 29", "29 trials take a quarter of an hour"},
	{"fivenines run node-crash --max-trials 100", "36 trials take a quarter of an hour"},
	{"fivenines verify --trials 30", "hours; scenarios and slo/projection test what it does"},
	{"fivenines run balancer-crash --backend container", ".ci/containers runs it"},
	{"fivenines run region-loss --backend container", ".ci/containers runs it"},
	{"apt-get install", "changes the machine; .ci/run does it"},
	{"docker/images.sh", ".ci/run does it"},
	{"docker-compose -f docker/compose.yaml", "docker/stack's TestUp does it"},
	{"go run ./docker/stack/cmd", "docker/stack's TestUp does it"},
}

// programs begin the lines of unmarked blocks that are commands.
var programs = []string{"fivenines", "go", "redis-cli", "redis-benchmark", "apt-get", "docker/images.sh", "docker-compose", "docker", "curl", "dig", "make"}

// looseCommands are the commands in blocks without a language, fenced or indented.
func looseCommands(file, text string) ([]block, error) {
	fenced, err := blocksOf(file, text, true)
	if err != nil {
		return nil, err
	}
	type line struct {
		n    int
		text string
	}
	var lines []line
	for _, b := range fenced {
		if b.lang != "" {
			continue
		}
		var n int
		fmt.Sscanf(b.at[strings.LastIndex(b.at, ":")+1:], "%d", &n)
		for i, l := range strings.Split(b.text, "\n") {
			lines = append(lines, line{n + 1 + i, l})
		}
	}
	for i, l := range strings.Split(text, "\n") {
		if code, ok := strings.CutPrefix(l, "    "); ok {
			lines = append(lines, line{i + 1, code})
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.n - b.n })
	var out []block
	for _, l := range lines {
		words := strings.Fields(l.text)
		if len(words) > 0 && slices.Contains(programs, words[0]) {
			out = append(out, block{at: fmt.Sprintf("%s:%d", file, l.n), lang: "sh", text: strings.TrimSpace(l.text) + "\n"})
		}
	}
	return out, nil
}

// documents are the files whose commands are run, from the repository's root.
func documents(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(repository, "docs", "*.md"))
	require.NoError(t, err)
	out := []string{"README.md"}
	for _, f := range found {
		out = append(out, filepath.Join("docs", filepath.Base(f)))
	}
	return out
}

// commandsIn are the blocks of a document that are run, in order.
func commandsIn(file, text string) ([]block, error) {
	if file != "README.md" {
		return blocksOf(file, text, false)
	}
	bs, err := blocksOf(file, text, true)
	if err != nil {
		return nil, err
	}
	bs = slices.DeleteFunc(bs, func(b block) bool { return b.lang == "" })
	loose, err := looseCommands(file, text)
	if err != nil {
		return nil, err
	}
	for i, b := range loose {
		for _, u := range unmarked {
			if strings.HasPrefix(b.text, u.command) {
				loose[i].skip = u.reason
			}
		}
	}
	return append(loose, bs...), nil
}

// newScratch is a folder in which documents' commands run, with fivenines on the
// PATH, and a go command that works as it does in the repository.
func newScratch(t *testing.T) *scratch {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, ".github", "baselines"), 0o755))
	bin := builtForDocs(t)
	root, err := filepath.Abs(repository)
	require.NoError(t, err)
	env := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "FIVENINES_") })
	env = append(env, smallLoad...)
	env = append(env, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "REPOSITORY="+root, "NO_COLOR=1", "GOBIN="+filepath.Join(dir, "bin"))
	return &scratch{dir: dir, env: env, say: t.Logf, retries: 2}
}

// goShim is the go command in a scratch folder: packages are those of the
// repository, the folder in which their programs run is the scratch.
const goShim = `#!/usr/bin/env bash
set -euo pipefail
if [ -e go.mod ]; then exec %[1]q "$@"; fi
verb=$1
shift
if [ "$verb" != run ]; then
  args=()
  previous=
  for a in "$@"; do
    if [ "$previous" = -o ]; then a=$PWD/$a; fi
    args+=("$a")
    previous=$a
  done
  exec %[1]q "$verb" -C "$REPOSITORY" "${args[@]}"
fi
package=$1
shift
program=$(mktemp -d)/program
%[1]q build -C "$REPOSITORY" -o "$program" "$package"
exec "$program" "$@"
`

var builtOnce struct {
	sync.Once
	dir string
	err error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if builtOnce.dir != "" {
		_ = os.RemoveAll(builtOnce.dir)
	}
	os.Exit(code)
}

// builtForDocs is a folder with this program and the go command.
func builtForDocs(t *testing.T) string {
	t.Helper()
	builtOnce.Do(func() {
		if builtOnce.dir, builtOnce.err = os.MkdirTemp("", "fivenines-docs-"); builtOnce.err != nil {
			return
		}
		real, err := exec.LookPath("go")
		if err != nil {
			builtOnce.err = err
			return
		}
		if out, err := exec.Command(real, "build", "-o", builtOnce.dir+"/", ".").CombinedOutput(); err != nil {
			builtOnce.err = fmt.Errorf("build fivenines: %w: %s", err, out)
			return
		}
		builtOnce.err = os.WriteFile(filepath.Join(builtOnce.dir, "go"), fmt.Appendf(nil, goShim, real), 0o755)
	})
	require.NoError(t, builtOnce.err)
	return builtOnce.dir
}

// Every command of the README and of docs/ is run, or says why not.
func TestCommandsOfTheDocs(t *testing.T) {
	if testing.Short() {
		t.Skip("brings topologies up")
	}
	for _, file := range documents(t) {
		t.Run(file, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(repository, file))
			require.NoError(t, err)
			bs, err := commandsIn(file, string(text))
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			s := newScratch(t)
			defer func() { assert.NoError(t, s.end()) }()
			for _, b := range bs {
				began := time.Now()
				if err := s.run(ctx, b); err != nil {
					t.Fatal(err) // the next ones build on it
				}
				if took := time.Since(began); took > time.Second {
					t.Logf("%s: %v", b.at, took.Round(100*time.Millisecond))
				}
			}
		})
	}
}

var inlineRE = regexp.MustCompile("`(fivenines [^`]+)`")

// ill lists commands and flags that a document names and that do not exist: in
// blocks that are not run here too, and in the text.
func ill(file, text string) []string {
	root := newRootCmd()
	var out []string
	look := func(at, line string) {
		if err := wellFormed(root, line); err != nil {
			out = append(out, fmt.Sprintf("%s: %s: %v", at, strings.TrimSpace(line), err))
		}
	}
	bs, err := commandsIn(file, text)
	if err != nil {
		return []string{err.Error()}
	}
	for _, b := range bs {
		if b.file != "" {
			whole, err := os.ReadFile(filepath.Join(repository, b.file))
			if err != nil || !strings.Contains(string(whole), b.text) {
				out = append(out, fmt.Sprintf("%s: the block is not in %s as it stands here", b.at, b.file))
			}
		}
		if b.lang == "go" && b.file == "" {
			out = append(out, b.at+": Go code that is part of no file is compiled by nobody")
		}
		if b.lang != "sh" && b.lang != "console" {
			continue
		}
		for line := range strings.Lines(strings.ReplaceAll(b.text, "\\\n", " ")) {
			look(b.at, strings.TrimPrefix(line, "$ "))
		}
	}
	for i, line := range strings.Split(text, "\n") {
		for _, m := range inlineRE.FindAllStringSubmatch(line, -1) {
			look(fmt.Sprintf("%s:%d", file, i+1), m[1])
		}
	}
	return out
}

func TestDocsNameCommandsThatExist(t *testing.T) {
	used := map[string]bool{}
	for _, file := range append(documents(t), "ARCHITECTURE.md") {
		text, err := os.ReadFile(filepath.Join(repository, file))
		require.NoError(t, err)
		if file == "ARCHITECTURE.md" {
			for i, line := range strings.Split(string(text), "\n") {
				for _, m := range inlineRE.FindAllStringSubmatch(line, -1) {
					assert.NoError(t, wellFormed(newRootCmd(), m[1]), "%s:%d", file, i+1)
				}
			}
			continue
		}
		assert.Empty(t, ill(file, string(text)))
		bs, err := commandsIn(file, string(text))
		require.NoError(t, err)
		for _, b := range bs {
			used[b.skip] = true
		}
	}
	for _, u := range unmarked {
		assert.NotEmpty(t, u.reason, u.command)
		assert.True(t, used[u.reason], "%q is in the README no more: take it off the list", u.command)
	}
}

var linkRE = regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)]*)?\)`)

// deadLinks lists links of a document in a folder that lead to no file.
func deadLinks(dir, text string) []string {
	var out []string
	for _, m := range linkRE.FindAllStringSubmatch(text, -1) {
		if strings.Contains(m[1], "://") {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, m[1])); err != nil {
			out = append(out, m[1])
		}
	}
	return out
}

func TestLinksOfTheDocs(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(repository, "docs", "reference", "*.md"))
	require.NoError(t, err)
	for _, f := range documents(t) {
		pages = append(pages, filepath.Join(repository, f))
	}
	for _, f := range pages {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		assert.Empty(t, deadLinks(filepath.Dir(f), string(text)), f)
	}
	assert.Equal(t, []string{"no-such.md"}, deadLinks(repository, "[a](README.md) [b](no-such.md#part) [c](https://example.com)"))
}

// What is wrong in a document is found.
func TestBrokenDocsAreFound(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"```\nfivenines list\n```\n", `a block in ""`},
		{"```shell\nfivenines list\n```\n", `a block in "shell"`},
		{"```sh exti=1\nfivenines list\n```\n", `no mark is called "exti"`},
		{"```sh exit=one\nfivenines list\n```\n", "is no exit status"},
		{"```sh needs=dokcer\nfivenines list\n```\n", "needs=dokcer; there are"},
		{"```sh skip\nfivenines list\n```\n", "skip needs a reason"},
		{"```sh\nfivenines list\n", "the block does not end"},
		{"```sh\nfivenines lsit\n```\n", "lsit"},
		{"```sh skip=\"it takes an hour\"\nfivenines verify --trails 30\n```\n", "fivenines verify has no flag --trails"},
		{"```go\npackage main\n```\n", "is compiled by nobody"},
		{"```go file=docs/examples/ownsystem/target.go\npackage mian\n```\n", "is not in docs/examples/ownsystem/target.go as it stands here"},
		{"```go file=no/such.go\npackage main\n```\n", "is not in no/such.go"},
		{"Then run `fivenines run region-loss --mutnat x`.\n", "fivenines run has no flag --mutnat"},
		{"```console\n$ fivenines run x --seed 1 && fivenines frobnicate\n```\n", "frobnicate"},
	} {
		found := strings.Join(ill("docs/x.md", c.text), "\n")
		assert.Contains(t, found, c.want, "%q", c.text)
	}
	assert.Empty(t, ill("docs/x.md", "```sh\nfivenines run region-loss --seed 1 | tee \"a; b\" # and --not-a-flag\nredis-cli --foo\n```\n```yaml\nname: x\n```\nSee `fivenines slo budget RUN`.\n"))
}

// Commands that do not do what the document says are found.
func TestBrokenCommandsAreFound(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	for _, c := range []struct{ text, want string }{
		{"```sh\nfivenines check no-such.yaml\n```\n", "docs/x.md:1: exit status 2, not 0"},
		{"```sh\nfivenines list >/dev/null\nfalse\nfivenines list\n```\n", "exit status 1, not 0"},
		{"```sh exit=1\nfivenines list\n```\n", "exit status 0, not 1"},
		{"```console\n$ fivenines list\nno-such-scenario\n```\n", `does not show "no-such-scenario"`},
		{"```console\n$ fivenines check --schema\nproperties...\n```\n", "does not show"},
		{"```sh\nprintf 'name: x\\nworkload: {rsp: 5}\\n' > mine.yaml\n```\n\nThen:\n\n```sh\nfivenines check mine.yaml\n```\n", "docs/x.md:7: exit status 2, not 0"},
		{"```sh background until=never\nsleep 0.1\n```\n", "it ended"},
	} {
		assert.ErrorContains(t, runDoc(t, c.text), c.want, "%q", c.text)
	}
	assert.NoError(t, runDoc(t, "```sh\nprintf 'name: x\\n' > mine.yaml\n```\n```console\n$ fivenines check mine.yaml\nmine.yaml: ok, ...faults...\n```\n"+
		"```sh exit=2\nfivenines check no-such.yaml\n```\n```sh skip=\"it would fail, and is not run\"\nfalse\n```\n<!-- test: exit=2 -->\n```sh\nfivenines analyze .\n```\n"+
		"```sh background until=ready\necho ready && sleep 60\n```\n```sh\ngo run ./cmd/fivenines version\n```\n"))
}

func runDoc(t *testing.T, text string) error {
	t.Helper()
	bs, err := commandsIn("docs/x.md", text)
	if err != nil {
		return err
	}
	s := newScratch(t)
	s.retries = 0
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, b := range bs {
		if err = s.run(ctx, b); err != nil {
			break
		}
	}
	if e := s.end(); err == nil {
		err = e
	}
	return err
}
