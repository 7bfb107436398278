package traffic

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func zone(t testing.TB) *Zone {
	nodes := []string{"us-1", "us-2", "eu-1", "ap-1"}
	clients := map[string]string{"us-1": "127.1.1.1:6379", "us-2": "127.1.1.2:6379", "eu-1": "127.1.2.1:6379", "ap-1": "127.1.3.1:6380"}
	doors, err := Doors(nodes, []string{"us", "us", "eu", "ap"}, clients)
	require.NoError(t, err)
	return NewZone("example.test", "us-1", []string{"us", "eu", "ap"}, doors)
}

// show is an answer in one line: rcode, then what it says.
func show(m *dns.Msg) string {
	parts := []string{dns.RcodeToString[m.Rcode]}
	for _, rr := range m.Answer {
		switch x := rr.(type) {
		case *dns.A:
			parts = append(parts, x.A.String())
		case *dns.SRV:
			parts = append(parts, fmt.Sprintf("%d/%s:%d", x.Priority, x.Target, x.Port))
		case *dns.NS:
			parts = append(parts, x.Ns)
		default:
			parts = append(parts, dns.TypeToString[rr.Header().Rrtype])
		}
	}
	for _, rr := range m.Ns {
		parts = append(parts, "auth:"+dns.TypeToString[rr.Header().Rrtype])
	}
	slices.Sort(parts[1:])
	return strings.Join(parts, " ")
}

func TestAnswers(t *testing.T) {
	well := View{Fit: true, Primary: "us"}
	down := func(primary string, nodes ...string) View {
		v := View{Fit: true, Primary: primary, Down: map[string]bool{}}
		for _, n := range nodes {
			v.Down[n] = true
		}
		return v
	}
	z := zone(t)
	for _, c := range []struct {
		name string
		typ  uint16
		view View
		want string
	}{
		{"example.test", dns.TypeA, well, "NOERROR 127.1.1.1 127.1.1.2"},
		{"EXAMPLE.Test", dns.TypeA, well, "NOERROR 127.1.1.1 127.1.1.2"},
		{"example.test", dns.TypeA, down("us", "us-1"), "NOERROR 127.1.1.2"},
		{"example.test", dns.TypeA, down("us", "us-1", "us-2"), "NOERROR 127.1.2.1"}, // before the roles have changed
		{"example.test", dns.TypeA, down("eu"), "NOERROR 127.1.2.1"},
		{"example.test", dns.TypeA, down("eu", "eu-1"), "NOERROR 127.1.1.1 127.1.1.2"},
		{"example.test", dns.TypeA, down("us", "us-1", "us-2", "eu-1"), "NOERROR 127.1.3.1"},
		{"example.test", dns.TypeA, down("us", "us-1", "us-2", "eu-1", "ap-1"), "NOERROR auth:SOA"},
		{"example.test", dns.TypeA, View{Primary: "us"}, "SERVFAIL"},
		{"example.test", dns.TypeAAAA, well, "NOERROR auth:SOA"},
		{"example.test", dns.TypeSOA, well, "NOERROR SOA"},
		{"example.test", dns.TypeNS, well, "NOERROR ap-1.example.test. eu-1.example.test. us-1.example.test. us-2.example.test."},
		{"_resp._tcp.example.test", dns.TypeSRV, well, "NOERROR 10/us-1.example.test.:6379 10/us-2.example.test.:6379 20/eu-1.example.test.:6379 30/ap-1.example.test.:6380"},
		{"_resp._tcp.example.test", dns.TypeSRV, down("eu", "us-2"), "NOERROR 10/eu-1.example.test.:6379 20/us-1.example.test.:6379 30/ap-1.example.test.:6380"},
		{"_resp._tcp.example.test", dns.TypeA, well, "NOERROR auth:SOA"},
		{"_tcp.example.test", dns.TypeA, well, "NOERROR auth:SOA"},
		{"us.example.test", dns.TypeA, down("us", "us-1"), "NOERROR 127.1.1.2"},
		{"eu.example.test", dns.TypeA, down("us", "eu-1"), "NOERROR auth:SOA"},
		{"us-1.example.test", dns.TypeA, down("us", "us-1"), "NOERROR 127.1.1.1"},
		{"nobody.example.test", dns.TypeA, well, "NXDOMAIN auth:SOA"},
		{"a.us.example.test", dns.TypeA, well, "NXDOMAIN auth:SOA"},
		{"example.org", dns.TypeA, well, "REFUSED"},
		{"badexample.test", dns.TypeA, well, "REFUSED"},
	} {
		q := new(dns.Msg)
		q.SetQuestion(dns.Fqdn(c.name), c.typ)
		m := z.Answer(q, c.view, 0)
		assert.Equal(t, c.want, show(m), "%s %s %+v", c.name, dns.TypeToString[c.typ], c.view)
		for _, rr := range slices.Concat(m.Answer, m.Extra) {
			assert.EqualValues(t, 2, rr.Header().Ttl, "a short time to live")
		}
		_, err := m.Pack()
		assert.NoError(t, err)
	}
	q := new(dns.Msg)
	q.SetQuestion("example.test.", dns.TypeA)
	first := func(turn int) string { return z.Answer(q, well, turn).Answer[0].(*dns.A).A.String() }
	assert.NotEqual(t, first(0), first(1), "answers take turns")
	q.Question[0].Qclass = dns.ClassCHAOS
	assert.Equal(t, "REFUSED", show(z.Answer(q, well, 0)))
	q.Opcode = dns.OpcodeUpdate
	assert.Equal(t, "NOTIMP", show(z.Answer(q, well, 0)))
}

func TestDoorsNeedAddresses(t *testing.T) {
	_, err := Doors([]string{"a-1"}, []string{"a"}, map[string]string{"a-1": "a-1:6379"})
	assert.ErrorContains(t, err, `front door of a-1: "a-1:6379" is not an IPv4 address and port`)
}

// The server over both transports, with real messages; an old view is none.
func TestServer(t *testing.T) {
	var now atomic.Int64
	s, err := Listen("127.0.0.1:0", zone(t), func() time.Duration { return time.Duration(now.Load()) })
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); assert.NoError(t, <-done) })
	ask := func(network, name string, typ uint16, edns bool) *dns.Msg {
		q := new(dns.Msg)
		q.SetQuestion(name, typ)
		if edns {
			q.SetEdns0(1232, false)
		}
		r, _, err := (&dns.Client{Net: network, Timeout: 5 * time.Second}).Exchange(q, s.Addr())
		require.NoError(t, err)
		return r
	}
	assert.Equal(t, "SERVFAIL", show(ask("udp", "example.test.", dns.TypeA, false)), "it knows nothing yet")
	s.Set(View{Fit: true, Primary: "us"}, 0)
	for _, network := range []string{"udp", "tcp"} {
		r := ask(network, "example.test.", dns.TypeA, true)
		assert.Equal(t, "NOERROR 127.1.1.1 127.1.1.2", show(r))
		assert.True(t, r.Authoritative)
		if network == "udp" {
			assert.NotNil(t, r.IsEdns0())
		}
	}
	now.Store(int64(3 * time.Second))
	assert.Equal(t, "SERVFAIL", show(ask("udp", "example.test.", dns.TypeA, false)), "its node has stood still")
	assert.EqualValues(t, 2, s.Failures.Load())
}

// An answer that does not fit into a datagram says so, and is whole over TCP.
func TestTruncation(t *testing.T) {
	var nodes, regions []string
	clients := map[string]string{}
	for i := range 40 {
		n := fmt.Sprintf("region-with-a-long-name-%d", i)
		nodes, regions = append(nodes, n), append(regions, "r")
		clients[n] = net.JoinHostPort(fmt.Sprintf("127.1.1.%d", i+1), "6379")
	}
	doors, err := Doors(nodes, regions, clients)
	require.NoError(t, err)
	s, err := Listen("127.0.0.1:0", NewZone("example.test", nodes[0], []string{"r"}, doors), func() time.Duration { return 0 })
	require.NoError(t, err)
	s.Set(View{Fit: true}, 0)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); assert.NoError(t, <-done) })
	q := new(dns.Msg)
	q.SetQuestion("_resp._tcp.example.test.", dns.TypeSRV)
	r, _, err := (&dns.Client{Timeout: 5 * time.Second}).Exchange(q, s.Addr())
	require.NoError(t, err)
	assert.True(t, r.Truncated)
	assert.Less(t, len(r.Answer), 40)
	r, _, err = (&dns.Client{Net: "tcp", Timeout: 5 * time.Second}).Exchange(q, s.Addr())
	require.NoError(t, err)
	assert.False(t, r.Truncated)
	assert.Len(t, r.Answer, 40)
}

// A server that has ended answers again at the same address, and a query that
// panics ends nothing but itself.
func TestReopen(t *testing.T) {
	doors, err := Doors([]string{"a-1"}, []string{"a"}, map[string]string{"a-1": "127.1.1.1:6379"})
	require.NoError(t, err)
	var broken atomic.Bool
	s, err := Listen("127.0.0.1:0", NewZone("example.test", "a-1", []string{"a"}, doors), func() time.Duration {
		if broken.Load() {
			panic("no clock")
		}
		return 0
	})
	require.NoError(t, err)
	s.Set(View{Fit: true}, 0)
	var panics atomic.Int64
	s.Panicked = func(any) { panics.Add(1) }
	addr := s.Addr()
	ask := func() (*dns.Msg, error) {
		q := new(dns.Msg)
		q.SetQuestion("example.test.", dns.TypeSOA)
		r, _, err := (&dns.Client{Timeout: 300 * time.Millisecond}).Exchange(q, addr)
		return r, err
	}
	for range 3 {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		require.Eventually(t, func() bool { _, err := ask(); return err == nil }, 5*time.Second, 10*time.Millisecond)
		broken.Store(true)
		_, err := ask()
		require.Error(t, err)
		broken.Store(false)
		_, err = ask()
		require.NoError(t, err)
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, s.Reopen())
		require.Equal(t, addr, s.Addr())
	}
	s.Close()
	assert.EqualValues(t, 3, panics.Load())
}
