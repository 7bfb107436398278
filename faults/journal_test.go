package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/fixtures/process"
	"github.com/fivenines/fivenines/fixtures/targettest/fake"
	"github.com/fivenines/fivenines/internal/procfs"
)

func TestJournal(t *testing.T) {
	d := up(t)
	dir := t.TempDir()
	j, err := OpenJournal(dir)
	require.NoError(t, err)
	require.Len(t, journals(t, dir), 1)
	f := parse(t, d, "node-pause")
	id, err := j.Asked(f, d)
	require.NoError(t, err)
	// It is on disk, whole, before the fault is injected.
	b, err := os.ReadFile(journals(t, dir)[0])
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	require.Len(t, lines, 2)
	var e entry
	require.NoError(t, json.Unmarshal([]byte(lines[1]), &e))
	assert.Equal(t, "node-pause(node=east-1)", e.Fault)
	assert.Equal(t, d.Undo(), *e.Undo)

	// Its owner lives: nobody else undoes it.
	rs, err := Recover(ctxFor(t, time.Second), dir, nil)
	require.NoError(t, err)
	assert.Empty(t, rs)
	requireRunning(t, d)

	require.NoError(t, j.Undone(id, d))
	assert.ErrorContains(t, j.Undone(id, d), "undone already")
	require.NoError(t, j.Close())
	require.NoError(t, j.Close())
	assert.Empty(t, journals(t, dir))
	_, err = j.Asked(f, d)
	assert.ErrorContains(t, err, "closed")
}

func requireRunning(t testing.TB, d fixtures.Deployment) {
	t.Helper()
	for _, n := range d.Nodes() {
		s, err := d.State(n.ID)
		require.NoError(t, err)
		require.Equal(t, fixtures.Running, s, n.ID)
	}
}

func TestJournalCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := OpenJournal(filepath.Join(file, "journal"))
	assert.ErrorContains(t, err, "undo journal")

	d := up(t)
	j, err := OpenJournal(t.TempDir())
	require.NoError(t, err)
	defer j.Close()
	j.f.Close() // as on a disk that went away
	_, err = j.Asked(parse(t, d, "node-pause"), d)
	assert.ErrorContains(t, err, "undo journal", "a fault that is not in the journal is not injected")
}

// sleeper is a process that a killed run could have left.
func sleeper(t testing.TB) (*exec.Cmd, int64) {
	t.Helper()
	cmd := exec.Command("sleep", "300")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	s, err := procfs.Read(cmd.Process.Pid)
	require.NoError(t, err)
	return cmd, s.Start
}

func leave(t testing.TB, dir, name, boot string, undo fixtures.UndoInfo, tail string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	var b strings.Builder
	for _, e := range []entry{
		{Op: "open", PID: 4711, Boot: boot},
		{Op: "asked", ID: 1, Fault: "node-pause(node=a)", Undo: &undo},
		{Op: "undone", ID: 1},
		{Op: "asked", ID: 2, Fault: "node-crash(node=a)"},
	} {
		l, err := json.Marshal(e)
		require.NoError(t, err)
		b.Write(l)
		b.WriteByte('\n')
	}
	require.NoError(t, os.WriteFile(file, []byte(b.String()+tail), 0o600))
	return file
}

func TestRecoverKillsOnlyWhatTheRunStarted(t *testing.T) {
	dir := t.TempDir()
	ours, start := sleeper(t)
	reused, reusedStart := sleeper(t)
	file := leave(t, dir, "a.jsonl", procfs.BootID(), fixtures.UndoInfo{
		Procs:   map[string]int{"a": ours.Process.Pid, "b": reused.Process.Pid, "c": 1 << 22},
		Started: map[string]int64{"a": start, "b": reusedStart - 1, "c": 1},
	}, `{"op":"asked","id":3,"fau`) // torn by the crash
	rs, err := Recover(ctxFor(t, 5*time.Second), dir, nil)
	require.NoError(t, err)
	assert.Equal(t, []Recovered{{Journal: file, Owner: 4711, Faults: []string{"node-crash(node=a)"}, Killed: []string{"a"}}}, rs)
	assert.Equal(t, "run of process 4711, which was killed, left node-crash(node=a); ended a", rs[0].String())
	assert.False(t, alive(ours.Process.Pid, start))
	assert.True(t, alive(reused.Process.Pid, reusedStart), "a process id that was given out again")
	assert.Empty(t, journals(t, dir))
	rs, err = Recover(ctxFor(t, time.Second), dir, nil)
	assert.NoError(t, err)
	assert.Empty(t, rs)
}

func TestRecoverAfterAReboot(t *testing.T) {
	dir := t.TempDir()
	other, start := sleeper(t)
	leave(t, dir, "a.jsonl", "another-boot", fixtures.UndoInfo{
		Procs: map[string]int{"a": other.Process.Pid}, Started: map[string]int64{"a": start},
	}, "")
	rs, err := Recover(ctxFor(t, 5*time.Second), dir, nil)
	require.NoError(t, err)
	require.Len(t, rs, 1)
	assert.Empty(t, rs[0].Killed)
	assert.True(t, alive(other.Process.Pid, start))
}

// reaper is a backend that has left something, or fails to remove it.
type reaper struct {
	removed []string
	err     error
}

func (r reaper) Reap(context.Context) ([]string, error) { return r.removed, r.err }

func TestRecoverReapsWhatABackendLeft(t *testing.T) {
	dir := t.TempDir()
	other, start := sleeper(t)
	file := leave(t, dir, "a.jsonl", procfs.BootID(), fixtures.UndoInfo{
		Backend: "container", Procs: map[string]int{"a": other.Process.Pid}, Started: map[string]int64{"a": start},
	}, "")
	rs, err := Recover(ctxFor(t, 5*time.Second), dir, map[string]fixtures.Reaper{"swarm": reaper{}})
	require.NoError(t, err)
	assert.Empty(t, rs)
	assert.FileExists(t, file, "nobody here can undo it")
	_, err = Recover(ctxFor(t, 5*time.Second), dir, map[string]fixtures.Reaper{"container": reaper{err: errors.New("no engine")}})
	assert.ErrorContains(t, err, "no engine")
	assert.FileExists(t, file, "it is tried again")
	rs, err = Recover(ctxFor(t, 5*time.Second), dir, map[string]fixtures.Reaper{"container": reaper{removed: []string{"container a"}}})
	require.NoError(t, err)
	require.Len(t, rs, 1)
	assert.Equal(t, []string{"container a"}, rs[0].Killed)
	assert.Empty(t, journals(t, dir))
	assert.True(t, alive(other.Process.Pid, start), "a container's process is its engine's to end")
}

// Nodes that were functions of the process that was killed are gone with it.
func TestRecoverNeedsNoReaperForFunctions(t *testing.T) {
	dir := t.TempDir()
	leave(t, dir, "a.jsonl", procfs.BootID(), fixtures.UndoInfo{Backend: "in-process"}, "")
	rs, err := Recover(ctxFor(t, 5*time.Second), dir, nil)
	require.NoError(t, err)
	require.Len(t, rs, 1)
	assert.Empty(t, rs[0].Killed)
	assert.Empty(t, journals(t, dir))
}

func TestRecoverLeavesWhatOthersCouldHaveWritten(t *testing.T) {
	dir := t.TempDir()
	other, start := sleeper(t)
	file := leave(t, dir, "a.jsonl", procfs.BootID(), fixtures.UndoInfo{
		Procs: map[string]int{"a": other.Process.Pid}, Started: map[string]int64{"a": start},
	}, "")
	require.NoError(t, os.Chmod(file, 0o666))
	_, err := Recover(ctxFor(t, 5*time.Second), dir, nil)
	assert.ErrorContains(t, err, "not ours alone")
	assert.True(t, alive(other.Process.Pid, start))
	assert.FileExists(t, file)
}

// harness is a run that is killed in the middle of a fault. One of its nodes
// is started without the parent-death signal, as a backend without it would.
func harness(dir string) {
	err := func() error {
		ctx := context.Background()
		topo, _ := tiny()
		d, err := process.New(process.Options{}).Up(ctx, topo, &fake.Target{NoEvents: true}, fixtures.UpOptions{Dir: filepath.Join(dir, "run")})
		if err != nil {
			return err
		}
		j, err := OpenJournal(filepath.Join(dir, "journal"))
		if err != nil {
			return err
		}
		f, err := New("region-loss", nil, topo)
		if err != nil {
			return err
		}
		left := exec.Command("sleep", "300")
		if err := left.Start(); err != nil {
			return err
		}
		s, err := procfs.Read(left.Process.Pid)
		if err != nil {
			return err
		}
		if _, err := j.Asked(f, orphaned{d, left.Process.Pid, s.Start}); err != nil {
			return err
		}
		owned = j
		if err := f.Inject(ctx, d); err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(orphaned{d, left.Process.Pid, s.Start}.Undo())
	}()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	select {}
}

// owned keeps a journal's file, and so its lock, from being collected.
var owned *Journal

type orphaned struct {
	fixtures.Deployment
	pid   int
	start int64
}

func (o orphaned) Undo() fixtures.UndoInfo {
	u := o.Deployment.Undo()
	u.Procs["orphan"], u.Started["orphan"] = o.pid, o.start
	return u
}

func TestRecoverAfterSIGKILLInTheMiddleOfAFault(t *testing.T) {
	dir := t.TempDir()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), envHarness+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer cmd.Wait()
	defer cmd.Process.Kill()
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	var undo fixtures.UndoInfo
	require.NoError(t, json.Unmarshal([]byte(line), &undo), line)
	require.Len(t, undo.Procs, 4)

	jdir := filepath.Join(dir, "journal")
	rs, err := Recover(ctxFor(t, 5*time.Second), jdir, nil)
	require.NoError(t, err)
	require.Empty(t, rs, "its owner lives")
	require.True(t, alive(undo.Procs["east-1"], undo.Started["east-1"]))

	require.NoError(t, cmd.Process.Kill())
	cmd.Wait()
	require.Eventually(t, func() bool { return !alive(undo.Procs["east-1"], undo.Started["east-1"]) }, 5*time.Second, 5*time.Millisecond)
	require.True(t, alive(undo.Procs["orphan"], undo.Started["orphan"]), "something is left to recover")
	rs, err = Recover(ctxFor(t, 5*time.Second), jdir, nil)
	require.NoError(t, err)
	require.Len(t, rs, 1)
	assert.Equal(t, cmd.Process.Pid, rs[0].Owner)
	assert.Equal(t, []string{"region-loss(region=east, mode=silent)"}, rs[0].Faults)
	assert.Contains(t, rs[0].Killed, "orphan")
	for n, pid := range undo.Procs {
		assert.False(t, alive(pid, undo.Started[n]), n)
	}
	assert.Empty(t, journals(t, jdir))
}

func FuzzReadEntries(f *testing.F) {
	f.Add([]byte(`{"op":"open","pid":1}` + "\n" + `{"op":"asked","id":1,"undo":{"procs":{"a":1}}}` + "\n"))
	f.Add([]byte("{\"op\":"))
	f.Fuzz(func(t *testing.T, b []byte) {
		file := filepath.Join(t.TempDir(), "j")
		require.NoError(t, os.WriteFile(file, b, 0o600))
		r, err := os.Open(file)
		require.NoError(t, err)
		defer r.Close()
		readEntries(r)
	})
}
