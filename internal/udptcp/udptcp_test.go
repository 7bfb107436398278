package udptcp

import (
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBothHaveThePort(t *testing.T) {
	udp, tcp, err := Listen("127.0.0.1:0")
	require.NoError(t, err)
	defer udp.Close()
	defer tcp.Close()
	assert.Equal(t, udp.LocalAddr().String(), tcp.Addr().String())
}

// Where any port will do, one that streams have taken is passed over, and the
// datagrams' half of it is free again.
func TestATakenPortIsPassedOver(t *testing.T) {
	var tried []string
	streams := func(network, addr string) (net.Listener, error) {
		if tried = append(tried, addr); len(tried) < 3 {
			return nil, &net.OpError{Op: "listen", Err: syscall.EADDRINUSE}
		}
		return net.Listen(network, addr)
	}
	udp, tcp, err := listen("127.0.0.1:0", net.ListenPacket, streams)
	require.NoError(t, err)
	defer udp.Close()
	defer tcp.Close()
	require.Len(t, tried, 3)
	assert.Equal(t, tried[2], udp.LocalAddr().String())
	again, err := net.ListenPacket("udp", tried[0])
	require.NoError(t, err, "the port that was passed over is still open")
	again.Close()
}

func TestAPortThatIsAskedForIsTheOnlyOneTried(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer tcp.Close()
	_, _, err = Listen(tcp.Addr().String())
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	require.NoError(t, err, "nothing is left open")
	udp.Close()
}

func TestTriesAreBounded(t *testing.T) {
	n := 0
	_, _, err := listen("127.0.0.1:0", net.ListenPacket, func(string, string) (net.Listener, error) {
		n++
		return nil, &net.OpError{Op: "listen", Err: syscall.EADDRINUSE}
	})
	assert.ErrorIs(t, err, syscall.EADDRINUSE)
	assert.Equal(t, attempts, n)
	n = 0
	_, _, err = listen("127.0.0.1:0", net.ListenPacket, func(string, string) (net.Listener, error) {
		n++
		return nil, syscall.EACCES
	})
	assert.ErrorIs(t, err, syscall.EACCES)
	assert.Equal(t, 1, n, "what another port would not change is not tried again")
	_, _, err = Listen("no port")
	assert.Error(t, err)
}
