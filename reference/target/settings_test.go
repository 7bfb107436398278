package target

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/reference/internal/admission"
	"github.com/fivenines/fivenines/reference/internal/failover"
	"github.com/fivenines/fivenines/reference/internal/node"
)

// Settings of a topology reach the node, and what is wrong with one is said
// before anything starts.
func TestSettings(t *testing.T) {
	topo := fixtures.ThreeRegion()
	command := func(settings map[string]string) (node.Config, error) {
		own := *topo
		own.Settings = settings
		dir := t.TempDir()
		n := topo.Nodes()[0]
		_, err := New("fivenines").Command(fixtures.NodeSpec{
			ID: n.ID, Region: n.Region, Topology: &own, Dir: dir,
			Listen: map[fixtures.Port]string{fixtures.PortClient: "127.0.0.1:1", fixtures.PortPeer: "127.0.0.1:2", fixtures.PortAdmin: "127.0.0.1:3"},
			Admins: map[string]string{n.ID: "127.0.0.1:3"},
		}, fixtures.StartOptions{First: true})
		var c node.Config
		if err == nil {
			b, rerr := os.ReadFile(filepath.Join(dir, "node.json"))
			require.NoError(t, rerr)
			require.NoError(t, json.Unmarshal(b, &c))
		}
		return c, err
	}
	c, err := command(map[string]string{"session_memory": "65536", "fail_back_after": "7s", "max_in_flight": "512", "shed_after": "2s"})
	require.NoError(t, err)
	assert.Equal(t, admission.Config{MaxInFlight: 512, ShedAfter: failover.Duration(2 * time.Second)}, c.Admission)
	assert.EqualValues(t, 65536, c.SessionMemory)
	assert.NotZero(t, c.Failover.FailBack)
	c, err = command(nil)
	require.NoError(t, err)
	assert.Zero(t, c.SessionMemory)
	for name, value := range map[string]string{"session_memory": "much", "fail_back_after": "soon", "no_such_thing": "1", "max_in_flight": "0", "shed_after": "-1s"} {
		_, err := command(map[string]string{name: value})
		assert.ErrorContains(t, err, name)
	}
	_, err = command(map[string]string{"session_memory": "100"})
	assert.ErrorContains(t, err, "at least 4096")
}
