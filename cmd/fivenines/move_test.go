package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/reference"
)

// homesOf answers as two nodes of one system would, a-1 and b-1, with three shards
// of which each is led where it is at home.
type homesOf struct {
	mu    sync.Mutex
	homes []string
	last  map[string]uint64 // end of every log, by region
	asked []string
}

func (h *homesOf) server(t *testing.T, region string) string {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if r.Method == http.MethodPost {
			h.asked = append(h.asked, r.URL.Path+"?"+r.URL.RawQuery)
			for _, s := range strings.Split(r.URL.Query().Get("shards"), ",") {
				h.homes[s[0]-'0'] = r.URL.Query().Get("region")
			}
			return
		}
		groups := []map[string]any{{"group": 0, "serving": region == "a"}}
		for s, home := range h.homes {
			groups = append(groups, map[string]any{"group": s + 1, "serving": home == region, "voter": true, "sessions": 10 * (s + 1), "last": h.last[region], "applied": h.last[region]})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"node": region + "-1", "region": region, "shards": len(h.homes), "homes": h.homes, "groups": groups,
			"regions": []map[string]string{{"name": "a"}, {"name": "b"}}, "peers": []string{}})
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func TestFailoverMovesShards(t *testing.T) {
	h := &homesOf{homes: []string{"a", "a", "b"}, last: map[string]uint64{"a": 5000, "b": 5000}}
	t.Setenv("TMPDIR", t.TempDir())
	st, err := claimState("mine")
	require.NoError(t, err)
	defer st.release()
	require.NoError(t, st.write(&upState{PID: os.Getpid(), Since: time.Now(), Target: "reference", Ready: true,
		Nodes: []upNode{{ID: "a-1", Region: "a", Admin: h.server(t, "a")}, {ID: "b-1", Region: "b", Admin: h.server(t, "b")}}}))

	args := []string{"failover", "--name", "mine", "--shards", "0,2", "--to", "b"}
	code, out, stderr := cli(t, args...)
	require.Equal(t, exitMet, code, stderr)
	require.Equal(t, "SHARD  HOME NOW  LED BY  SESSIONS  NEW HOME\n0      a         a-1     10        b\n2      b         b-1     30        b\n", out)
	require.Contains(t, stderr, "nothing was changed; say --yes to move them")
	require.Empty(t, h.asked, "a dry run")

	code, out, stderr = cli(t, append(args, "--json", "--yes")...)
	require.Equal(t, exitMet, code, stderr)
	var p reference.Move
	require.NoError(t, json.Unmarshal([]byte(out), &p))
	require.Len(t, p.Shards, 2)
	require.Equal(t, []string{"/homes?region=b&shards=0%2C2"}, h.asked)
	require.Equal(t, []string{"b", "a", "b"}, h.homes)

	// A region whose replicas lag is not given anything.
	h.last["a"] = 9000
	code, _, stderr = cli(t, "failover", "--name", "mine", "--shards", "1", "--to", "b", "--yes")
	require.Equal(t, exitRun, code)
	require.Contains(t, stderr, "refused: the replica of shard 1 in b is 4000 entries behind")
	for _, c := range []struct{ shards, to, says string }{{"3", "b", "there is no shard 3; they are 0 to 2"}, {"1", "mars", `no region is called "mars"; there are a, b`}} {
		code, _, stderr = cli(t, "failover", "--name", "mine", "--shards", c.shards, "--to", c.to, "--yes")
		require.Equal(t, exitRun, code)
		require.Contains(t, stderr, c.says)
	}
	require.Len(t, h.asked, 1)
}
