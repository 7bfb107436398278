// Package udptcp listens on one port number for datagrams and for streams, as a
// DNS server does (RFC 7766).
package udptcp

import (
	"errors"
	"net"
	"syscall"
)

// attempts bounds the port numbers that are tried where any will do: one that is
// free for datagrams may be in use for streams.
const attempts = 50

// Listen opens addr ("host:port") for UDP and for TCP. With port 0 both get the
// same free one. The error is that of the listener that failed, and nothing is
// left open.
func Listen(addr string) (net.PacketConn, net.Listener, error) {
	return listen(addr, net.ListenPacket, net.Listen)
}

func listen(addr string, packets func(network, addr string) (net.PacketConn, error), streams func(network, addr string) (net.Listener, error)) (net.PacketConn, net.Listener, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, nil, err
	}
	for left := attempts; ; left-- {
		udp, err := packets("udp", addr)
		if err != nil {
			return nil, nil, err
		}
		tcp, err := streams("tcp", udp.LocalAddr().String())
		if err == nil {
			return udp, tcp, nil
		}
		udp.Close()
		if port != "0" || left == 1 || !errors.Is(err, syscall.EADDRINUSE) {
			return nil, nil, err
		}
	}
}
