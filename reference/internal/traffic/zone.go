// Package traffic is the platform's part of global traffic management: an
// authoritative DNS server for one zone, in every node. Its answers follow
// health and priority as the node sees them, and their time to live is short.
//
//	ZONE                 A     the front doors of the best region: the primary while a node of it is well
//	_resp._tcp.ZONE      SRV   every front door that is well; priority by region, the best first
//	REGION.ZONE          A     the front doors of a region that are well
//	NODE.ZONE            A     a node's address, well or not
//
// A node that does not know better than others, because it does not hear the
// leader of the meta group, answers SERVFAIL: resolvers then ask another
// server, and whoever announces an anycast address withdraws it there.
package traffic

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// DefaultZone is the zone where none is configured. The top-level domain test
// is reserved (RFC 2606).
const DefaultZone = "fivenines.test."

// TTL of every answer, and for how long a resolver may keep that there is none.
const TTL = 2 * time.Second

// Service is the name below the zone of the SRV records.
const Service = "_resp._tcp"

// Door is the front door of a node.
type Door struct {
	Node   string
	Region string
	Addr   netip.AddrPort
}

// Doors reads front doors as the node's configuration has them. One whose
// host is a name has no address to answer with.
func Doors(nodes, regions []string, clients map[string]string) ([]Door, error) {
	var all []Door
	for i, n := range nodes {
		ap, err := netip.ParseAddrPort(clients[n])
		if err != nil || !ap.Addr().Is4() {
			return nil, fmt.Errorf("front door of %s: %q is not an IPv4 address and port, which DNS has to answer with", n, clients[n])
		}
		all = append(all, Door{n, regions[i], ap})
	}
	return all, nil
}

// View is what a node knows at one time.
type View struct {
	Fit     bool            // it hears the meta group's leader, or is that
	Primary string          // region
	Down    map[string]bool // nodes that are suspected, or not ready
}

// Zone answers questions. It is immutable.
type Zone struct {
	name    string
	host    string // this server
	regions []string
	doors   []Door
}

// NewZone makes the zone as one node serves it. Regions are in order of preference.
func NewZone(name, node string, regions []string, doors []Door) *Zone {
	return &Zone{name: dns.CanonicalName(name), host: node, regions: regions, doors: doors}
}

// Name is the zone's, with the final dot.
func (z *Zone) Name() string { return z.name }

// order is the regions, the best first.
func (z *Zone) order(v View) []string {
	order := make([]string, 0, len(z.regions))
	for _, r := range z.regions {
		if r == v.Primary {
			order = append(order, r)
		}
	}
	for _, r := range z.regions {
		if r != v.Primary {
			order = append(order, r)
		}
	}
	return order
}

// well lists the doors of a region that are.
func (z *Zone) well(v View, region string) (all []Door) {
	for _, d := range z.doors {
		if d.Region == region && !v.Down[d.Node] {
			all = append(all, d)
		}
	}
	return all
}

// best lists the doors of the first region that has one.
func (z *Zone) best(v View) []Door {
	for _, r := range z.order(v) {
		if ds := z.well(v, r); len(ds) > 0 {
			return ds
		}
	}
	return nil
}

// Answer answers a query; turn rotates records of one priority, so that
// resolvers that take the first one spread.
func (z *Zone) Answer(q *dns.Msg, v View, turn int) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(q)
	if q.Opcode != dns.OpcodeQuery || len(q.Question) != 1 {
		m.Rcode = dns.RcodeNotImplemented
		return m
	}
	ask := q.Question[0]
	name := dns.CanonicalName(ask.Name)
	if ask.Qclass != dns.ClassINET || !dns.IsSubDomain(z.name, name) {
		m.Rcode = dns.RcodeRefused
		return m
	}
	if !v.Fit {
		m.Rcode = dns.RcodeServerFailure
		return m
	}
	m.Authoritative = true
	label := strings.TrimSuffix(strings.TrimSuffix(name, z.name), ".")
	doors, known := z.find(label, v)
	if n := len(doors); n > 1 && label != Service {
		turn %= n
		doors = append(append([]Door(nil), doors[turn:]...), doors[:turn]...)
	}
	any := ask.Qtype == dns.TypeANY
	switch {
	case !known:
		m.Rcode = dns.RcodeNameError
	case label == Service && (ask.Qtype == dns.TypeSRV || any):
		z.services(m, v)
	case label != Service && (ask.Qtype == dns.TypeA || any):
		for _, d := range doors {
			m.Answer = append(m.Answer, z.address(name, d))
		}
	}
	if label == "" {
		if ask.Qtype == dns.TypeSOA || any {
			m.Answer = append(m.Answer, z.soa())
		}
		if ask.Qtype == dns.TypeNS || any {
			for _, d := range z.doors {
				m.Answer = append(m.Answer, &dns.NS{Hdr: z.header(z.name, dns.TypeNS), Ns: z.below(d.Node)})
			}
		}
	}
	if len(m.Answer) == 0 {
		m.Ns = append(m.Ns, z.soa())
	}
	return m
}

// find says which doors a name below the zone stands for, and whether there is
// such a name.
func (z *Zone) find(label string, v View) (doors []Door, known bool) {
	switch label {
	case "":
		return z.best(v), true
	case Service, "_tcp": // an empty non-terminal exists
		return nil, true
	}
	for _, d := range z.doors {
		if label == dns.CanonicalName(d.Node)[:len(d.Node)] {
			return []Door{d}, true
		}
	}
	for _, r := range z.regions {
		if label == dns.CanonicalName(r)[:len(r)] {
			return z.well(v, r), true
		}
	}
	return nil, false
}

// services adds the SRV records, and the addresses of their targets.
func (z *Zone) services(m *dns.Msg, v View) {
	for i, r := range z.order(v) {
		for _, d := range z.well(v, r) {
			m.Answer = append(m.Answer, &dns.SRV{
				Hdr: z.header(z.below(Service), dns.TypeSRV), Priority: uint16(10 * (i + 1)), Weight: 10, Port: d.Addr.Port(), Target: z.below(d.Node),
			})
			m.Extra = append(m.Extra, z.address(z.below(d.Node), d))
		}
	}
}

func (z *Zone) below(label string) string { return dns.CanonicalName(label + "." + z.name) }

func (z *Zone) header(name string, typ uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: typ, Class: dns.ClassINET, Ttl: uint32(TTL / time.Second)}
}

func (z *Zone) address(name string, d Door) dns.RR {
	return &dns.A{Hdr: z.header(name, dns.TypeA), A: net.IP(d.Addr.Addr().AsSlice())}
}

func (z *Zone) soa() dns.RR {
	ttl := uint32(TTL / time.Second)
	return &dns.SOA{
		Hdr: z.header(z.name, dns.TypeSOA), Ns: z.below(z.host), Mbox: z.below("hostmaster"),
		Serial: 1, Refresh: ttl, Retry: ttl, Expire: ttl, Minttl: ttl, // nobody transfers it: answers differ from node to node
	}
}
