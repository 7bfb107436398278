package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var errNoDNS = errors.New("no DNS answers")

// dnsSays is a lookup that always gives the same.
func dnsSays(err error, ips ...string) func(context.Context, string) ([]netip.Addr, error) {
	return func(context.Context, string) ([]netip.Addr, error) {
		var all []netip.Addr
		for _, ip := range ips {
			all = append(all, netip.MustParseAddr(ip))
		}
		return all, err
	}
}

// DNS that is gone or wrong costs nothing once a peer was reached.
func TestAPeerIsFoundWhateverDNSSays(t *testing.T) {
	_, addr := listening(t)
	_, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	// Nobody listens on the port of another loopback address: dialing it is refused.
	const right, wrong = "127.0.0.1", "127.0.0.9"
	file := filepath.Join(t.TempDir(), "peers.json")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	connect := func(b *book) error {
		n := &Node{cfg: Config{Cluster: "test", ID: "b-1"}, boot: 2, book: b, log: slog.New(slog.DiscardHandler)}
		n.incarnation.Store(3)
		c, _, err := (&peer{n: n, id: "a-1", addr: net.JoinHostPort("a-1.test", port)}).open(ctx, false)
		if err == nil {
			c.Close()
		}
		return err
	}

	b := newBook(file)
	b.lookup = dnsSays(errNoDNS)
	assert.ErrorIs(t, connect(b), errNoDNS, "nothing is known yet")
	b.lookup = dnsSays(nil, wrong)
	assert.ErrorContains(t, connect(b), "refused", "a lie is all that is known")
	b.lookup = dnsSays(nil, right)
	require.NoError(t, connect(b))
	b.lookup = dnsSays(errNoDNS)
	assert.NoError(t, connect(b), "gone")
	b.lookup = dnsSays(nil, wrong)
	assert.NoError(t, connect(b), "wrong")
	b.lookup = func(ctx context.Context, _ string) ([]netip.Addr, error) { <-ctx.Done(); return nil, ctx.Err() }
	began := time.Now()
	assert.NoError(t, connect(b), "slow")
	assert.Less(t, time.Since(began), 5*resolveTimeout)

	// A restarted node knows it too.
	b = newBook(file)
	b.lookup = dnsSays(errNoDNS)
	assert.NoError(t, connect(b), "gone, after a restart")

	// A peer that moved is found where DNS says, and there from then on.
	b = newBook("")
	require.NoError(t, b.reached("a-1.test:1", wrong+":1"))
	b.lookup = dnsSays(nil, right)
	require.NoError(t, connect(b))
	b.lookup = dnsSays(errNoDNS)
	assert.NoError(t, connect(b))
}

func TestTheBookOfAddresses(t *testing.T) {
	ctx := context.Background()
	b := newBook("")
	b.lookup = dnsSays(nil, "10.0.0.1", "::ffff:10.0.0.2")
	all, err := b.addresses(ctx, "a-1.test:7000")
	require.NoError(t, err)
	assert.Equal(t, []string{"10.0.0.1:7000", "10.0.0.2:7000"}, all)
	require.NoError(t, b.reached("a-1.test:7000", "10.0.0.2:7000"))
	all, err = b.addresses(ctx, "a-1.test:7000")
	require.NoError(t, err)
	assert.Equal(t, []string{"10.0.0.1:7000", "10.0.0.2:7000"}, all, "once")
	b.lookup = dnsSays(errNoDNS)
	all, err = b.addresses(ctx, "a-1.test:7001")
	require.NoError(t, err)
	assert.Equal(t, []string{"10.0.0.2:7001"}, all)
	_, err = b.addresses(ctx, "b-1.test:7000")
	assert.ErrorIs(t, err, errNoDNS)
	assert.ErrorContains(t, err, "no address of b-1.test is known")
	all, err = b.addresses(ctx, "127.0.0.1:7000")
	require.NoError(t, err, "an address is asked of nobody")
	assert.Equal(t, []string{"127.0.0.1:7000"}, all)
	require.NoError(t, b.reached("127.0.0.1:7000", "127.0.0.1:7000"))
	assert.NotContains(t, b.good, "127.0.0.1")
	_, err = b.addresses(ctx, "no port")
	assert.Error(t, err)
}

// What an earlier process left is a hint: anything in it may be rubbish.
func TestAnOldBookMayBeRubbish(t *testing.T) {
	for _, text := range []string{"", "{", "[]", `{"a-1.test":"not an address"}`, `{"a-1.test":7}`} {
		file := filepath.Join(t.TempDir(), "peers.json")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
		assert.Empty(t, newBook(file).good, text)
	}
	// A disk that takes no writes keeps nothing, and the node goes on.
	b := newBook(filepath.Join(t.TempDir(), "missing", "peers.json"))
	assert.Error(t, b.reached("a-1.test:1", "10.0.0.1:1"))
	b.lookup = dnsSays(errNoDNS)
	all, err := b.addresses(context.Background(), "a-1.test:1")
	require.NoError(t, err)
	assert.Equal(t, []string{"10.0.0.1:1"}, all)
}
