package target

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures"
)

// Answers at the one address follow the loss of the primary region, and its
// return, in real processes: a resolver that keeps an answer no longer than
// its time to live is where the sessions are.
func TestDNSFollowsARegionLoss(t *testing.T) {
	if testing.Short() {
		t.Skip("brings a topology up")
	}
	d, _ := up(t, oneNodeARegion(), fixtures.UpOptions{})
	addr := d.(fixtures.Resolver).DNSAddr()
	zone := d.Target().(fixtures.Resolved).Zone()
	ask := func(network, name string, typ uint16) *dns.Msg {
		q := new(dns.Msg)
		q.SetQuestion(name, typ)
		r, _, err := (&dns.Client{Net: network, Timeout: 3 * time.Second}).Exchange(q, addr)
		require.NoError(t, err)
		return r
	}
	hosts := map[string]string{}
	for _, n := range d.Nodes() {
		host, _, err := net.SplitHostPort(n.Listen[fixtures.PortClient])
		require.NoError(t, err)
		hosts[host] = n.ID
	}
	front := func() string {
		var at []string
		for _, rr := range ask("udp", zone, dns.TypeA).Answer {
			at = append(at, hosts[rr.(*dns.A).A.String()])
			assert.LessOrEqual(t, rr.Header().Ttl, uint32(2))
		}
		slices.Sort(at)
		return strings.Join(at, " ")
	}
	require.Eventually(t, func() bool { return front() == us }, 10*time.Second, 20*time.Millisecond)
	services := func() (by []string) {
		all := ask("tcp", "_resp._tcp."+zone, dns.TypeSRV).Answer
		slices.SortFunc(all, func(a, b dns.RR) int { return int(a.(*dns.SRV).Priority) - int(b.(*dns.SRV).Priority) })
		for _, rr := range all {
			by = append(by, strings.TrimSuffix(rr.(*dns.SRV).Target, "."+zone))
		}
		return by
	}
	require.Equal(t, []string{us, eu, ap}, services())

	// As region-loss does it: silent links, a process that is held stopped.
	var links []fixtures.Link
	for _, l := range d.Links() {
		if l.ToRegion == "us-east-1" || l.FromRegion == "us-east-1" && l.Kind == fixtures.PeerLink {
			links = append(links, l)
		}
	}
	ctx := t.Context()
	require.NoError(t, d.Cut(ctx, links...))
	require.NoError(t, d.Pause(ctx, us))
	began := time.Now()
	require.Eventually(t, func() bool { return front() == eu }, 10*time.Second, 20*time.Millisecond, "answers follow")
	t.Logf("answers followed after %v", time.Since(began).Round(time.Millisecond))
	assert.Less(t, time.Since(began), 8*time.Second)
	assert.Equal(t, []string{eu, ap}, services(), "nobody is sent to what is gone")

	require.NoError(t, d.Resume(ctx, us))
	require.NoError(t, d.Mend(ctx, links...))
	require.Eventually(t, func() bool { return front() == us }, 30*time.Second, 50*time.Millisecond, "and come back with the roles")
}

// A node that is cut off from the others does not answer for them.
func TestDNSOfAnIsolatedNodeIsSilent(t *testing.T) {
	if testing.Short() {
		t.Skip("brings a topology up")
	}
	d, _ := up(t, oneNodeARegion(), fixtures.UpOptions{})
	zone := d.Target().(fixtures.Resolved).Zone()
	own := ""
	var links []fixtures.Link
	for _, n := range d.Nodes() {
		if n.ID == us {
			own = n.Listen[fixtures.PortDNS]
		}
	}
	for _, l := range d.Links() {
		if l.Kind == fixtures.PeerLink && (l.ToRegion == "us-east-1") != (l.FromRegion == "us-east-1") {
			links = append(links, l)
		}
	}
	rcode := func(addr string) int {
		q := new(dns.Msg)
		q.SetQuestion(zone, dns.TypeA)
		r, _, err := (&dns.Client{Timeout: 3 * time.Second}).Exchange(q, addr)
		require.NoError(t, err)
		return r.Rcode
	}
	require.Eventually(t, func() bool { return rcode(own) == dns.RcodeSuccess }, 10*time.Second, 20*time.Millisecond)
	require.NoError(t, d.Cut(t.Context(), links...))
	require.Eventually(t, func() bool { return rcode(own) == dns.RcodeServerFailure }, 10*time.Second, 20*time.Millisecond)
	one := d.(fixtures.Resolver).DNSAddr() // the others have to elect a leader of the meta group first
	require.Eventually(t, func() bool { return rcode(one) == dns.RcodeSuccess }, 10*time.Second, 20*time.Millisecond, "the one address leads to another site")
	require.Equal(t, dns.RcodeServerFailure, rcode(own), "still")
}
