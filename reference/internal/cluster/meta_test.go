package cluster

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func apply(t *testing.T, m *Meta, c Command) Outcome {
	t.Helper()
	b, err := json.Marshal(c)
	require.NoError(t, err)
	v, err := m.Apply(1, b)
	require.NoError(t, err)
	return v.(Outcome)
}

func TestMetaCommands(t *testing.T) {
	const us, eu, ap = "us-east-1", "eu-west-1", "ap-southeast-1"
	type step struct {
		c       Command
		applied bool
		primary string
		epoch   uint64
		gen     uint32 // of eu-west-1-1
	}
	rejoin := func(node string, nonce uint64) Command { return Command{Kind: "rejoin", Node: node, Nonce: nonce} }
	promote := func(region string, epoch uint64) Command {
		return Command{Kind: "promote", Region: region, Epoch: epoch}
	}
	for name, steps := range map[string][]step{
		"promotion": {
			{promote(eu, 1), true, eu, 2, 0},
			{promote(us, 2), true, us, 3, 0},
		},
		"a promotion that saw another epoch does nothing": {
			{promote(eu, 2), false, us, 1, 0},
			{promote(eu, 0), false, us, 1, 0},
			{promote(eu, 1), true, eu, 2, 0},
			{promote(ap, 1), false, eu, 2, 0}, // two managers, one won
			{promote(eu, 1), false, eu, 2, 0}, // the same command again
		},
		"who is primary already changes no epoch": {
			{promote(us, 1), false, us, 1, 0},
		},
		"no region of that name": {
			{promote("", 1), false, us, 1, 0},
			{promote("mars", 1), false, us, 1, 0},
		},
		"a lost disk gets one generation for each process that asks": {
			{rejoin(eu+"-1", 7), true, us, 1, 1},
			{rejoin(eu+"-1", 7), false, us, 1, 1}, // asked again
			{rejoin(eu+"-1", 8), true, us, 1, 2},  // lost once more
			{rejoin(eu+"-2", 9), true, us, 1, 2},
		},
		"no nonce, no node of that name": {
			{rejoin(eu+"-1", 0), false, us, 1, 0},
			{rejoin("", 7), false, us, 1, 0},
			{rejoin("mars-1", 7), false, us, 1, 0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := NewMeta(mapOf(t, threeRegion, 12, 3))
			for i, s := range steps {
				o := apply(t, m, s.c)
				require.Equal(t, s.applied, o.Applied, "step %d: %+v", i, s.c)
				require.Equal(t, s.c, o.Command)
				st := m.State()
				require.Equal(t, st, o.State)
				require.Equal(t, s.primary, st.Primary, "step %d", i)
				require.Equal(t, s.epoch, st.Epoch, "step %d", i)
				require.Equal(t, s.gen, st.Generations[eu+"-1"], "step %d", i)
			}
			// The same from a snapshot.
			n := NewMeta(mapOf(t, threeRegion, 12, 3))
			require.NoError(t, n.Restore(m.Snapshot()))
			require.Equal(t, m.State(), n.State())
			require.Equal(t, apply(t, m, promote(ap, m.State().Epoch)), apply(t, n, promote(ap, n.State().Epoch)))
			require.Equal(t, m.Snapshot(), n.Snapshot())
		})
	}
}

func TestMetaRefusesWhatItDoesNotKnow(t *testing.T) {
	m := NewMeta(mapOf(t, threeRegion, 12, 3))
	before := m.State()
	for _, in := range []string{"", "{", "null x", `{"kind":"demote","region":"us-east-1"}`, `{}`} {
		_, err := m.Apply(1, []byte(in))
		require.ErrorContains(t, err, "meta command", "%q", in)
	}
	for _, in := range []string{"{", `{}`, `{"epoch":7}`, `{"primary":""}`} {
		require.ErrorContains(t, m.Restore([]byte(in)), "meta snapshot", "%q", in)
	}
	require.Equal(t, before, m.State(), "an error changes nothing")
	require.NoError(t, m.Restore(nil), "the snapshot before any command")
	require.Equal(t, before, m.State())
	require.NoError(t, m.Restore([]byte(`{"primary":"eu-west-1"}`)))
	apply(t, m, Command{Kind: "rejoin", Node: "us-east-1-1", Nonce: 1}) // into maps that the snapshot did not have
}

// What State hands out is a copy.
func TestMetaStateIsACopy(t *testing.T) {
	m := NewMeta(mapOf(t, threeRegion, 12, 3))
	s := m.State()
	s.Generations["us-east-1-1"] = 7
	s.Nonces["us-east-1-1"] = 7
	require.Empty(t, m.State().Generations)
	require.Empty(t, m.State().Nonces)
}
