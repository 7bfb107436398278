package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/scenarios"
)

func TestRecoveryCommandsRefuseBadUsage(t *testing.T) {
	empty := t.TempDir()
	missing := filepath.Join(t.TempDir(), "archvie")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"restore --archive x", exitUsage, `"at" not set`},
		{"restore --at yesterday --archive x", exitUsage, `"yesterday" is no time`},
		{"restore --at 2999-01-01T00:00:00Z --archive x", exitUsage, "lies in the future"},
		{"restore --at now --archive " + empty + " --yes", exitUsage, "--yes needs --into"},
		{"restore --at now --archive " + empty, exitRun, "has nothing of any cluster; name the one"},
		{"restore --at now --archive " + missing, exitRun, missing + ": no such file or directory; is the path right?"},
		{"restore --at now --cluster c --archive file://" + missing, exitRun, "no such file or directory; is the path right?"},
		{"restore --at now --archive " + file, exitRun, "not a directory; name another folder"},
		{"restore --at now --cluster c --archive " + empty, exitRun, `nothing of cluster "c"`},
		{"restore --at now --cluster c --archive nowhere://x", exitRun, "archive nowhere://x"},
		{"health --name nobody", exitRun, "is not up"},
		{"failover --to x --name nobody", exitRun, "is not up"},
		{"failover --shards 3 --to x --name nobody", exitRun, "is not up"},
		{"failover --home --name nobody", exitRun, "is not up"},
		{"failover --name nobody", exitUsage, "say either --to REGION or --home"},
		{"failover --shards 3 --name nobody", exitUsage, "say either --to REGION or --home"},
		{"failover --home --to x --name nobody", exitUsage, "say either --to REGION or --home"},
		{"failover --shards three --to x --name nobody", exitUsage, `--shards "three": it wants whole numbers, such as 3,7`},
		{"recover --name nobody --level 2", exitRun, "is not up"},
		{"recover --name nobody --level 9", exitUsage, "--level 9: there are 1, 2 and 3"},
		{"recover --name nobody --level -1", exitUsage, "--level -1: there are 1, 2 and 3"},
		{"recover --name nobody", exitUsage, `"level" not set`},
		{"verify-recovery --name nobody", exitUsage, "say what to check"},
		{"verify-recovery --name nobody --check-data", exitRun, "is not up"},
		{"verify-recovery --name nobody --check-data --cluster c --archive " + empty, exitRun, `has nothing of cluster "c"; --archive and --cluster name`},
		{"verify-recovery --name nobody --check-data --cluster c --archive " + missing, exitRun, "no such file or directory; is the path right?"},
	} {
		code, _, stderr := cli(t, strings.Fields(c.args)...)
		assert.Equal(t, c.code, code, "%s: %s", c.args, stderr)
		assert.Contains(t, stderr, c.says, c.args)
	}
	left, err := os.ReadDir(empty)
	require.NoError(t, err)
	require.Empty(t, left)
	require.NoDirExists(t, missing, "a command that reads an archive made one")
}

// TestRecoverIsRefusedWhileTheLostAnswer: a state file names two regions; the
// one said to be lost answers on its admin address.
func TestRecoverIsRefusedWhileTheLostAnswer(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/recovery" {
			fmt.Fprint(w, `{"node":"b-1","region":"b","incarnation":1,"shards":0,"regions":[{"name":"a"},{"name":"b"}],"groups":[],"peers":[]}`)
		}
	}))
	defer srv.Close()
	t.Setenv("TMPDIR", t.TempDir())
	s, err := claimState("mine")
	require.NoError(t, err)
	defer s.release()
	addr := strings.TrimPrefix(srv.URL, "http://")
	require.NoError(t, s.write(&upState{PID: os.Getpid(), Since: time.Now(), Target: "reference", Ready: true,
		Nodes: []upNode{{ID: "a-1", Region: "a", Admin: addr}, {ID: "b-1", Region: "b", Admin: addr}}}))
	require.FileExists(t, filepath.Join(os.TempDir(), fmt.Sprintf("fivenines-%d", os.Getuid()), "up", "mine.json"))
	code, _, stderr := cli(t, "recover", "--name", "mine", "--level", "2", "--lost", "a", "--regions-are-gone", "--yes")
	require.Equal(t, exitRun, code)
	require.Contains(t, stderr, "refused: a-1 of the region a, said to be lost, answers at its admin address")
}

// TestReplicasThatWereNotComparedAreNotEqual: two nodes that hold the two shards; a comparison
// needs two checksums of one index, and to have none is no sign of health.
func TestReplicasThatWereNotComparedAreNotEqual(t *testing.T) {
	sums := map[string]string{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		node, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		fmt.Fprintf(w, `{"node":%q,"region":"a","shards":2,"groups":[{"group":1,"sums":[{"index":7,"sum":5}]},{"group":2,"sums":[%s]}]}`, node, sums[node])
	}))
	defer srv.Close()
	t.Setenv("TMPDIR", t.TempDir())
	s, err := claimState("mine")
	require.NoError(t, err)
	defer s.release()
	addr := strings.TrimPrefix(srv.URL, "http://")
	require.NoError(t, s.write(&upState{PID: os.Getpid(), Since: time.Now(), Target: "reference", Ready: true,
		Nodes: []upNode{{ID: "a-1", Region: "a", Admin: addr + "/a-1"}, {ID: "a-2", Region: "a", Admin: addr + "/a-2"}}}))
	for _, c := range []struct {
		one, other string
		code       int
		out, says  string
	}{
		{``, ``, exitRun, "1 of 2 shards have equal replicas", "the replicas of shards 1 are not compared"},
		{`{"index":9,"sum":1}`, ``, exitRun, "1 of 2 shards", "ask again then"},
		{`{"index":9,"sum":1}`, `{"index":8,"sum":1}`, exitRun, "1 of 2 shards", "ask again then"},
		{`{"index":9,"sum":1}`, `{"index":9,"sum":2}`, exitMiss, "differs: shard 1: the replicas differ at index 9", ""},
		{`{"index":9,"sum":1}`, `{"index":9,"sum":1}`, exitMet, "2 of 2 shards have equal replicas (4 compared)", ""},
	} {
		sums = map[string]string{"a-1": c.one, "a-2": c.other}
		code, out, stderr := cli(t, "verify-recovery", "--name", "mine", "--check-data")
		require.Equal(t, c.code, code, "%v: %s%s", c, out, stderr)
		require.Contains(t, out, c.out, "%v", c)
		require.Contains(t, stderr, c.says, "%v", c)
	}
}

// TestWhatComesUpIsNotThereYet: between its start and its readiness an up has no nodes to ask, and
// an empty table or "all is well" would be taken for an answer.
func TestWhatComesUpIsNotThereYet(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s, err := claimState("mine")
	require.NoError(t, err)
	defer s.release()
	require.NoError(t, s.write(&upState{PID: os.Getpid(), Since: time.Now(), Target: "reference", Archive: t.TempDir()}))
	for _, args := range []string{"status", "health", "failover --to a", "failover --home", "recover --level 1", "recover --level 2", "recover --level 3", "verify-recovery --check-data", "verify-recovery --check-sessions"} {
		code, out, stderr := cli(t, append(strings.Fields(args), "--name", "mine")...)
		require.Equal(t, exitRun, code, args)
		require.Empty(t, out, args)
		require.Contains(t, stderr, `"mine" is still coming up, its nodes are not ready yet; ask again`, args)
	}
	code, out, stderr := cli(t, "status", "--json", "--name", "mine")
	require.Equal(t, exitMet, code, stderr)
	require.Contains(t, out, `"ready": false`)
}

func TestRecoverPrintsJSONOfEveryLevel(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"node":"a-1","region":"a","incarnation":1,"shards":0,"regions":[{"name":"a"}],"groups":[],"peers":[]}`)
	}))
	defer srv.Close()
	t.Setenv("TMPDIR", t.TempDir())
	s, err := claimState("mine")
	require.NoError(t, err)
	defer s.release()
	require.NoError(t, s.write(&upState{PID: os.Getpid(), Since: time.Now(), Target: "reference", Ready: true,
		Nodes: []upNode{{ID: "a-1", Region: "a", Admin: strings.TrimPrefix(srv.URL, "http://")}}}))
	_, out, stderr := cli(t, "recover", "--name", "mine", "--level", "1", "--json")
	require.True(t, json.Valid([]byte(out)), "%s%s", out, stderr)
}

// slowToComeUp is a backend whose nodes never get ready.
type slowToComeUp struct{ fixtures.Backend }

func (slowToComeUp) Up(ctx context.Context, _ *fixtures.Topology, _ fixtures.Target, _ fixtures.UpOptions) (fixtures.Deployment, error) {
	<-ctx.Done()
	return nil, fmt.Errorf("node a-1 is not ready: %w", context.Cause(ctx))
}

func TestUpSaysThatItWasInterrupted(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	topo, err := scenarios.Topology("three-node")
	require.NoError(t, err)
	target, err := targetNamed("reference")
	require.NoError(t, err)
	err = (&upFlags{name: "mine"}).hold(ctx, io.Discard, io.Discard, topo, slowToComeUp{}, target)
	require.EqualError(t, err, "interrupted before three-node was up; everything was ended")
}

// broken is a backend whose nodes end at once.
type broken struct{ fixtures.Backend }

func (broken) Up(context.Context, *fixtures.Topology, fixtures.Target, fixtures.UpOptions) (fixtures.Deployment, error) {
	return nil, errors.New("node a-1 is not ready: it ended (log: x)")
}

func TestUpSaysWhereTheLogOfAFailureIs(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	topo, err := scenarios.Topology("three-node")
	require.NoError(t, err)
	target, err := targetNamed("reference")
	require.NoError(t, err)
	up := func(dir string) error {
		return (&upFlags{name: "mine", dir: dir}).hold(t.Context(), io.Discard, io.Discard, topo, broken{}, target)
	}
	require.EqualError(t, up(""), "bring three-node up: node a-1 is not ready: it ended (log: x); its folder is gone with it: --dir DIR keeps one, with the logs")
	require.EqualError(t, up(t.TempDir()), "bring three-node up: node a-1 is not ready: it ended (log: x)")
}
