package loadgen

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/internal/udptcp"
	"github.com/fivenines/fivenines/loadgen/history"
)

// nameServer answers for a few names over UDP and TCP.
type nameServer struct {
	addr string

	mu      sync.Mutex
	hosts   map[string][]string
	ttl     uint32
	fail    bool
	queries int
}

func newNameServer(t *testing.T, hosts map[string][]string) *nameServer {
	s := &nameServer{hosts: hosts, ttl: 1}
	udp, tcp, err := udptcp.Listen("127.0.0.1:0")
	require.NoError(t, err)
	s.addr = udp.LocalAddr().String()
	var wg sync.WaitGroup
	for _, x := range []*dns.Server{{PacketConn: udp, Handler: s}, {Listener: tcp, Handler: s}} {
		up := make(chan struct{})
		x.NotifyStartedFunc = func() { close(up) }
		wg.Go(func() { _ = x.ActivateAndServe() })
		<-up
		t.Cleanup(func() { _ = x.Shutdown() })
	}
	return s
}

func (s *nameServer) set(name string, hosts ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hosts[name] = hosts
}

func (s *nameServer) change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

func (s *nameServer) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queries
}

func (s *nameServer) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queries++
	m := new(dns.Msg)
	m.SetReply(q)
	hosts, known := s.hosts[strings.TrimSuffix(q.Question[0].Name, ".")]
	switch {
	case s.fail:
		m.Rcode = dns.RcodeServerFailure
	case !known:
		m.Rcode = dns.RcodeNameError
	}
	for _, h := range hosts {
		if !s.fail {
			m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: s.ttl}, A: net.ParseIP(h)})
		}
	}
	if _, ok := w.RemoteAddr().(*net.UDPAddr); ok {
		m.Truncate(dnsSize)
	}
	_ = w.WriteMsg(m)
}

func (s *nameServer) clients(names ...string) *DNS {
	return &DNS{Server: s.addr, Names: func(int) []string { return names }}
}

func perNode(ops []history.Op, since time.Duration) map[uint8]int {
	per := map[uint8]int{}
	for i := range ops {
		if o := &ops[i]; good(o) && o.Intended >= since {
			per[o.Node]++
		}
	}
	return per
}

// Clients go where DNS sends them, nowhere else, and take turns there; when the
// answer changes they follow within its time to live, and nothing fails for it.
func TestClientsFollowDNS(t *testing.T) {
	t.Parallel()
	ns := newNameServer(t, map[string][]string{"door.test": {"192.0.2.1", "192.0.2.2"}})
	d := ns.clients("door.test")
	var mu sync.Mutex
	var told []string
	d.Told = func(region int, nodes []string) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, fmt.Sprint(region, nodes))
	}
	r := newRig(t, Workload{DNS: d}, 0, 0, 1)
	r.lead(2) // they do not ask for leaders
	r.fill()
	begun := ns.asked()
	ops := r.run(2 * time.Second)
	r.inTime()
	require.Zero(t, count(ops, bad))
	per := perNode(ops, 0)
	require.InDelta(t, per[0], per[1], float64(per[0])/3, "they take turns")
	require.Zero(t, per[2])
	require.Zero(t, r.servers[2].Conns(), "nobody connects to what is not named")
	require.InDelta(t, 2, ns.asked()-begun, 1.01, "once in a time to live")

	var from time.Duration
	ops = r.run(3*time.Second, after(time.Second, func() {
		from = r.e.clock()
		ns.set("door.test", "192.0.2.3")
	}))
	r.inTime()
	require.Zero(t, count(ops, bad))
	require.Equal(t, []uint8{2}, keys(perNode(ops, from+1300*time.Millisecond)))
	require.Eventually(t, func() bool { return r.servers[0].Conns()+r.servers[1].Conns() == 0 }, 5*time.Second, 10*time.Millisecond, "what is not named any more is left")
	mu.Lock()
	require.Equal(t, []string{"0 [n0 n1]", "0 [n2]"}, told)
	mu.Unlock()

	// While DNS knows nothing, or says so, the last answer is kept.
	ns.change(func() { ns.fail = true })
	ops = r.run(1500 * time.Millisecond)
	r.inTime()
	require.Zero(t, count(ops, bad))
}

func keys(m map[uint8]int) (all []uint8) {
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// What the clients know falls silent. They ask again at once, and are back when DNS
// is: not before, although the other door would serve them.
func TestOutageLastsUntilDNSKnows(t *testing.T) {
	t.Parallel()
	ns := newNameServer(t, map[string][]string{"door.test": {"192.0.2.1"}})
	ns.change(func() { ns.ttl = 60 })
	r := newRig(t, Workload{DNS: ns.clients("door.test"), Rate: 500}, 0, 1)
	r.fill()
	var from, moved time.Duration
	ops := r.run(4*time.Second, after(time.Second, func() {
		from = r.e.clock()
		r.servers[0].Stall()
	}), after(2500*time.Millisecond, func() {
		ns.set("door.test", "192.0.2.2")
		moved = r.e.clock()
	}))
	r.inTime()
	first := time.Duration(1 << 62)
	for i := range ops {
		if o := &ops[i]; good(o) && o.Node == 1 {
			first = min(first, o.End)
		}
	}
	require.Greater(t, first, moved, "nobody guesses what DNS does not say")
	require.Less(t, first-moved, 1500*time.Millisecond, "long before the time to live is over")
	require.Positive(t, count(ops, func(o *history.Op) bool { return bad(o) && o.Intended > from }))
}

// The next name is asked for where the first has no address; long answers come over TCP.
func TestLookup(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 120 {
		many = append(many, fmt.Sprintf("198.51.100.%d", i+1))
	}
	ns := newNameServer(t, map[string][]string{"none.test": nil, "some.test": {"192.0.2.9", "192.0.2.8"}, "many.test": many})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, c := range []struct {
		names []string
		want  []string
	}{
		{[]string{"some.test"}, []string{"192.0.2.9", "192.0.2.8"}},
		{[]string{"none.test", "some.test"}, []string{"192.0.2.9", "192.0.2.8"}},
		{[]string{"nobody.test", "some.test"}, []string{"192.0.2.9", "192.0.2.8"}},
		{[]string{"many.test"}, many},
	} {
		hosts, ttl, err := ns.clients(c.names...).lookup(ctx, 0)
		require.NoError(t, err, c.names)
		require.Equal(t, c.want, hosts, "in the answer's order")
		require.Equal(t, time.Second, ttl)
	}
	_, _, err := ns.clients("none.test", "nobody.test").lookup(ctx, 0)
	require.ErrorContains(t, err, "no address for none.test or nobody.test")
	ns.change(func() { ns.fail = true })
	_, _, err = ns.clients("some.test").lookup(ctx, 0)
	require.ErrorContains(t, err, "some.test: SERVFAIL")
}
